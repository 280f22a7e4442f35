package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/explain"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/stores"
)

// explainFlags of lethe explain.
type explainFlags struct {
	kubeconfig, context, namespace string
	subject, entity                string
	key                            []string
	output, localRoot              string
}

func newExplainCommand() *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain (--subject ID | --entity MAP/ENTITY --key VALUE)",
		Short: "Tell when records go and what keeps them; it changes nothing",
		Long: `Tell of the records of a person, or of one record, when they go if nothing changes, and what decides it: a rule, a statutory
hold, a LegalHold, an active process, a condition of the rule, or that no rule is about them.

It reads PersonalDataMaps, RetentionPolicies, LegalHolds and DataStores of the namespace, the Secrets that the DataStores name,
and the stores themselves, which must be reachable from here. It changes nothing. What it prints has keys of records, which are
personal data: it is for this terminal alone.`,
		Example: `  lethe explain -n hr --subject app-1
  lethe explain -n hr --entity hiring/documents --key 42 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; default: KUBECONFIG, or ~/.kube/config")
	flags.StringVar(&f.context, "context", "", "context of the kubeconfig; default: its current one")
	flags.StringVarP(&f.namespace, "namespace", "n", "", "namespace; default: that of the context")
	flags.StringVar(&f.subject, "subject", "", "id of the person, as an ErasureRequest has it in spec.subject.id")
	flags.StringVar(&f.entity, "entity", "", "entity of one record, as MAP/ENTITY")
	flags.StringArrayVar(&f.key, "key", nil, "key of that record; of a key with several columns once for each, in the order of the map")
	flags.StringVarP(&f.output, "output", "o", "table", "table or json")
	flags.StringVar(&f.localRoot, "local-root", "", "folder in which DataStores of kind sqlite are, as the operator's --local-root names it for the namespace")
	return cmd
}

func (f *explainFlags) check() error {
	switch {
	case f.output != "table" && f.output != "json":
		return errors.New("--output must be table or json")
	case (f.subject == "") == (f.entity == ""):
		return errors.New("give either --subject, or --entity with --key")
	case (f.entity == "") != (len(f.key) == 0):
		return errors.New("--entity and --key belong together")
	}
	return nil
}

func (f *explainFlags) run(cmd *cobra.Command) error {
	if err := f.check(); err != nil {
		return err
	}
	x, closeAll, err := f.open()
	if err != nil {
		return err
	}
	defer closeAll()
	var report *explain.Report
	if f.subject != "" {
		report, err = x.Subject(cmd.Context(), f.namespace, f.subject)
	} else {
		report, err = x.Row(cmd.Context(), f.namespace, f.entity, f.key)
	}
	if err != nil {
		return plain(err)
	}
	if f.output == "json" {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		return e.Encode(report)
	}
	return report.Text(cmd.OutOrStdout())
}

// plain is the message of an error without the reason before it, which is for conditions.
func plain(err error) error {
	var terminal *fault.Terminal
	var waiting *fault.Waiting
	var transient *fault.Transient
	if errors.As(err, &terminal) || errors.As(err, &waiting) || errors.As(err, &transient) {
		_, message := fault.Public(err)
		return errors.New(message)
	}
	return err
}

// open makes an explainer of the cluster that the flags name, and fills in the namespace.
func (f *explainFlags) open() (*explain.Explainer, func(), error) {
	loading := clientcmd.NewDefaultClientConfigLoadingRules()
	loading.ExplicitPath = f.kubeconfig
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(loading, &clientcmd.ConfigOverrides{CurrentContext: f.context})
	config, err := kubeconfig.ClientConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("there is no cluster to ask; name a kubeconfig with --kubeconfig or KUBECONFIG, and a context of it with --context: %w", err)
	}
	if f.namespace == "" {
		if f.namespace, _, err = kubeconfig.Namespace(); err != nil {
			return nil, nil, err
		}
	}
	c, err := client.New(config, client.Options{Scheme: wiring.NewScheme()})
	if err != nil {
		return nil, nil, err
	}
	roots := map[string]string{}
	if f.localRoot != "" {
		if roots[f.namespace], err = filepath.Abs(f.localRoot); err != nil {
			return nil, nil, err
		}
	}
	pool := stores.NewPool(c, c, wiring.Openers(), roots, clock.RealClock{}, logr.Discard())
	return &explain.Explainer{Client: c, Stores: pool, Now: clock.RealClock{}.Now()}, func() { _ = pool.Close() }, nil
}
