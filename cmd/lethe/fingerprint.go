package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/fingerprint"
	"github.com/lethe-dev/lethe/internal/keys"
	keyskubernetes "github.com/lethe-dev/lethe/internal/keys/kubernetes"
	"github.com/lethe-dev/lethe/internal/stores"
)

// maxValues bounds what is read from standard input.
const maxValues = 1 << 20

// errNoMatch ends the command with status 1.
var errNoMatch = errors.New("no record has this fingerprint")

type fingerprintFlags struct {
	managerFlags
	namespace, mapName, entity, column string
	per                                map[string]string
	show                               bool
}

func newFingerprintCommand() *cobra.Command {
	f := &fingerprintFlags{}
	cmd := &cobra.Command{
		Use:   "fingerprint --namespace NAMESPACE --map MAP --entity ENTITY --column COLUMN [--per COLUMN=VALUE]",
		Short: "Tell whether values were seen before, by the fingerprints that erasures left; values are read as JSON from standard input",
		Long: "Reads a JSON object of column and value from standard input, for example {\"email\": \"...\"}, and tells how many records have its fingerprint.\n" +
			"Status 0 means that there is one, 1 that there is none, 2 that it could not be told. It reads the namespace's key in the operator's\n" +
			"namespace and the DataStore's credentials, so only those who may read both can ask. Nothing is changed, and no value is shown.",
		Example: `  lethe fingerprint --namespace recruiting --map ats --entity applications --column fingerprint --per vacancy_id=17 < values.json`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := f.run(cmd.Context(), cmd.InOrStdin())
			if text != "" {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), text)
			}
			switch {
			case errors.Is(err, errNoMatch):
				return &cli.ExitError{Code: 1, Err: err}
			case err != nil:
				return &cli.ExitError{Code: 2, Err: err}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &cli.ExitError{Code: 2, Err: err} })
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; default: the cluster that this process runs in, or KUBECONFIG")
	flags.StringVar(&f.Namespace, "operator-namespace", defaultNamespace(), "namespace of the operator's own Secrets")
	flags.StringArrayVar(&f.localRoots, "local-root", nil, "NAMESPACE=PATH, as the operator has it; may be repeated")
	flags.StringVar(&f.namespace, "namespace", "", "namespace of the map")
	flags.StringVar(&f.mapName, "map", "", "PersonalDataMap")
	flags.StringVar(&f.entity, "entity", "", "entity of the map that has fingerprints")
	flags.StringVar(&f.column, "column", "", "column that holds them")
	flags.StringToStringVar(&f.per, "per", nil, "COLUMN=VALUE within which to look, as the map's fingerprint.per says")
	flags.BoolVar(&f.show, "show", false, "print the fingerprint instead of asking the store, for those who compare it themselves")
	return cmd
}

func (f *fingerprintFlags) run(ctx context.Context, stdin io.Reader) (string, error) {
	q := fingerprint.Question{Map: &v1alpha1.PersonalDataMap{}, Entity: f.entity, Column: f.column, Per: f.per}
	if err := json.NewDecoder(io.LimitReader(stdin, maxValues)).Decode(&q.Values); err != nil {
		return "", errors.New("standard input must be a JSON object of column and text") // the error would show what it read
	}
	config, err := f.restConfig()
	if err != nil {
		return "", err
	}
	cl, err := client.New(config, client.Options{Scheme: wiring.NewScheme()})
	if err != nil {
		return "", err
	}
	if err := cl.Get(ctx, types.NamespacedName{Namespace: f.namespace, Name: f.mapName}, q.Map); err != nil {
		return "", err
	}
	key, err := keyskubernetes.New(cl, cl, f.Namespace).Get(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: f.namespace})
	switch {
	case errors.Is(err, keys.ErrNotFound):
		return "", fmt.Errorf("namespace %s has no key yet: nothing was erased in it, or --operator-namespace is another one", f.namespace)
	case err != nil:
		return "", err
	}
	if f.show {
		return q.Text(key)
	}
	roots, err := parseLocalRoots(f.localRoots)
	if err != nil {
		return "", err
	}
	pool := stores.NewPool(cl, cl, wiring.Openers(), roots, clock.RealClock{}, logr.Discard())
	defer func() { _ = pool.Close() }()
	e, _, err := q.Field()
	if err != nil {
		return "", err
	}
	store, err := pool.Get(ctx, f.namespace, e.Store)
	if err != nil {
		return "", public(err)
	}
	n, err := fingerprint.Ask(ctx, store, key, q)
	switch {
	case err != nil:
		return "", public(fault.FromStore(store.Name, err))
	case n == 0:
		return "", errNoMatch
	}
	return fmt.Sprintf("%d records have this fingerprint", n), nil
}
