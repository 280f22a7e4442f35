package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
)

// selftest asks an installation, from inside the cluster, whether it works. It changes nothing.
type selftest struct {
	kubeconfig, namespace, url string
	admission                  bool
	patience                   time.Duration
	say                        func(format string, args ...any)
}

func newSelftestCommand() *cobra.Command {
	s := &selftest{}
	cmd := &cobra.Command{
		Use:   "selftest",
		Short: "Ask an installation whether it works: its kinds, its answer, its admission (helm test runs this)",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.say = func(format string, args ...any) { fmt.Fprintf(cmd.OutOrStdout(), format+"\n", args...) }
			return s.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.kubeconfig, "kubeconfig", "", "kubeconfig file; default: the cluster that this process runs in, or KUBECONFIG")
	flags.StringVarP(&s.namespace, "namespace", "n", defaultNamespace(), "namespace that the operator serves, in which a request is created as a dry run")
	flags.StringVar(&s.url, "url", "", "URL of the operator that must answer, for example http://lethe-metrics.lethe-system.svc:8080/metrics; default: none is asked")
	flags.BoolVar(&s.admission, "admission", true, "expect that admission refuses an approval by an account without the verb, which is this one")
	flags.DurationVar(&s.patience, "timeout", time.Minute, "how long to wait for the installation to work")
	return cmd
}

func (s *selftest) run(ctx context.Context) error {
	config, err := (&managerFlags{kubeconfig: s.kubeconfig}).restConfig()
	if err != nil {
		return err
	}
	c, err := client.New(config, client.Options{Scheme: wiring.NewScheme()})
	if err != nil {
		return fmt.Errorf("the Kubernetes API: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if s.url != "" {
		if err := s.until(ctx, "the operator answers", s.answers); err != nil {
			return err
		}
	}
	return s.until(ctx, "a request is taken", func(ctx context.Context) error { return s.requests(ctx, c) })
}

// until tries until it works or time is up.
func (s *selftest) until(ctx context.Context, what string, try func(context.Context) error) error {
	for {
		err := try(ctx)
		if err == nil {
			s.say("ok: %s", what)
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in %s: %s: %w", s.patience, what, err)
		case <-time.After(time.Second):
		}
	}
}

func (s *selftest) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", s.url, response.Status)
	}
	return nil
}

// requests creates one as a dry run, which goes by the schema and by admission and is not stored; and another that is approved
// already, which admission must refuse to an account without the verb.
func (s *selftest) requests(ctx context.Context, c client.Client) error {
	request := func(approved bool) error {
		return c.Create(ctx, &v1alpha1.ErasureRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "selftest-"},
			Spec:       v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: "selftest"}, Source: v1alpha1.SourceAdmin, Approved: approved},
		}, client.DryRunAll)
	}
	if err := request(false); err != nil || !s.admission {
		return err
	}
	err := request(true)
	switch {
	case err == nil:
		return errors.New("an approved one is taken too, though this account lacks the verb approve: the API server does not ask the webhooks; look at the webhook configurations of this installation")
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), `needs the verb "approve"`):
		return nil
	}
	return err
}
