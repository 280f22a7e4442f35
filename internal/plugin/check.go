package plugin

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/cli"
)

// Outcomes of a check.
const (
	checkOK      = "ok"
	checkWarning = "warning"
	checkFailed  = "failed"
	// checkUnknown is what could not be looked at, mostly for lack of rights.
	checkUnknown = "unknown"
)

// finding is one thing that was checked.
type finding struct {
	Area    string `json:"area"`
	What    string `json:"what"`
	Outcome string `json:"outcome"`
	Message string `json:"message,omitempty"`
	// Remedy is what to do about it.
	Remedy string `json:"remedy,omitempty"`
}

// checker collects findings about one namespace.
type checker struct {
	s         *session
	c         client.Client
	namespace string
	findings  []finding
}

func (k *checker) ok(area, what, format string, args ...any) {
	k.findings = append(k.findings, finding{Area: area, What: what, Outcome: checkOK, Message: fmt.Sprintf(format, args...)})
}

func (k *checker) problem(outcome, area, what, remedy, format string, args ...any) {
	k.findings = append(k.findings, finding{Area: area, What: what, Outcome: outcome, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// list lists objects of the namespace, or says why they cannot be looked at.
func (k *checker) list(ctx context.Context, area string, list client.ObjectList, options ...client.ListOption) bool {
	if err := k.c.List(ctx, list, append([]client.ListOption{client.InNamespace(k.namespace)}, options...)...); err != nil {
		k.problem(checkUnknown, area, "", "", "%s", plain(err))
		return false
	}
	return true
}

func (s *session) newCheckCommand() *cobra.Command {
	var o output
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check whether the set-up of a namespace is sound, and what you may do in it",
		Long: `Check whether the set-up of a namespace is sound: that the cluster knows Lethe's kinds, in this version; that admission answers; that stores
are reachable, maps ready and without drift, policies followed, holds in force; that no request has failed or is late; that the ledger is
anchored by checkpoints that its public key verifies; and what you may do. It changes nothing: admission is asked by a dry run.

What you may not look at is unknown, not sound. The exit status is 1 if something has failed.`,
		Example: `  kubectl lethe check -n recruiting
  kubectl lethe check -n recruiting --as carla --as-group privacy-team -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, namespace, err := s.connect()
			if err != nil {
				return err
			}
			k := &checker{s: s, c: c, namespace: namespace}
			if err := k.run(cmd.Context()); err != nil {
				return err
			}
			if err := o.write(s.Streams.Out, k.findings, func(out io.Writer) error { return findingsText(out, k.findings) }); err != nil {
				return err
			}
			if slices.ContainsFunc(k.findings, func(f finding) bool { return f.Outcome == checkFailed }) {
				return &cli.ExitError{Code: 1}
			}
			return nil
		},
	}
	o.register(cmd)
	return cmd
}

func (k *checker) run(ctx context.Context) error {
	known, err := k.kinds(ctx)
	if err != nil || !known {
		return err
	}
	k.admission(ctx)
	k.stores(ctx)
	k.maps(ctx)
	k.policies(ctx)
	k.holds(ctx)
	handled := k.requests(ctx)
	k.ledger(ctx, handled)
	return k.rights(ctx)
}

func findingsText(out io.Writer, findings []finding) error {
	t := newTable(out, "RESULT", "AREA", "WHAT", "MESSAGE")
	count := map[string]int{}
	for _, f := range findings {
		count[f.Outcome]++
		message := f.Message
		if f.Remedy != "" {
			message = strings.TrimSuffix(message, ".") + ": " + f.Remedy
		}
		t.row(strings.ToUpper(f.Outcome), f.Area, f.What, message)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%d ok, %s, %d failed, %d unknown\n", count[checkOK], counted(count[checkWarning], "warning"), count[checkFailed], count[checkUnknown])
	return err
}
