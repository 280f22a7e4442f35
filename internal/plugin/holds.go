package plugin

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// States of a hold.
const (
	holdInForce    = "InForce"
	holdLifted     = "Lifted"
	holdNotInForce = "NotInForce"
)

// holdLine is a hold for machines.
type holdLine struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// State is InForce, Lifted or NotInForce: with the last one nothing is held yet.
	State         string       `json:"state"`
	Since         *metav1.Time `json:"inForceSince,omitempty"`
	LiftedAt      *metav1.Time `json:"liftedAt,omitempty"`
	Subjects      int          `json:"subjects"`
	Records       []string     `json:"records,omitempty"`
	PlacedBy      string       `json:"placedBy,omitempty"`
	Reason        string       `json:"reason"`
	ExpectedUntil *metav1.Time `json:"expectedUntil,omitempty"`
	Message       string       `json:"message,omitempty"`
	// Deleting is true for an object that was deleted and whose hold goes on.
	Deleting bool `json:"deleting,omitempty"`
}

func (s *session) newHoldsCommand() *cobra.Command {
	var o output
	var all, everywhere bool
	var subject string
	cmd := &cobra.Command{
		Use:   "holds",
		Short: "List the legal holds that keep data, and what each covers",
		Long: `List the legal holds that are in force, and those that are not yet: until the state is InForce nothing is held. A hold that was
deleted stays in force until it is lifted.`,
		Example: `  kubectl lethe holds
  kubectl lethe holds --subject app-000202 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, namespace, err := s.connect()
			if err != nil {
				return err
			}
			if everywhere {
				namespace = ""
			}
			var list v1alpha1.LegalHoldList
			if err := c.List(cmd.Context(), &list, client.InNamespace(namespace)); err != nil {
				return s.helpful(err, namespace)
			}
			lines := holdLines(list.Items, subject, all)
			return o.write(s.Streams.Out, lines, func(out io.Writer) error { return holdsText(out, lines, everywhere) })
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list those that were lifted too")
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "list those of all namespaces")
	cmd.Flags().StringVar(&subject, "subject", "", "list those that name this person; holds that select records may concern the person besides")
	return cmd
}

func holdLines(items []v1alpha1.LegalHold, subject string, all bool) []holdLine {
	lines := []holdLine{}
	for i := range items {
		h := &items[i]
		if subject != "" && !slices.Contains(h.Spec.Subjects, subject) {
			continue
		}
		c := ready(h.Status.Conditions)
		l := holdLine{Namespace: h.Namespace, Name: h.Name, State: holdNotInForce, Since: h.Status.InForceSince, LiftedAt: h.Status.LiftedAt, Subjects: len(h.Spec.Subjects),
			PlacedBy: h.Spec.PlacedBy, Reason: h.Spec.Reason, ExpectedUntil: h.Spec.ExpectedUntil, Deleting: h.DeletionTimestamp != nil}
		switch {
		case h.Status.LiftedAt != nil:
			l.State = holdLifted
		case h.Status.InForceSince != nil:
			l.State = holdInForce
		default:
			l.Message = c.Message
		}
		for _, r := range h.Spec.Records {
			text := r.Map + "/" + r.Entity
			if n := len(r.Conditions); n > 0 {
				text += " on " + counted(n, "condition")
			}
			l.Records = append(l.Records, text)
		}
		if l.State != holdLifted || all {
			lines = append(lines, l)
		}
	}
	slices.SortFunc(lines, func(a, b holdLine) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return lines
}

func holdsText(out io.Writer, lines []holdLine, everywhere bool) error {
	if len(lines) == 0 {
		_, err := fmt.Fprintln(out, "No legal hold keeps anything here.")
		return err
	}
	head := []string{"NAME", "STATE", "SINCE", "COVERS", "PLACED-BY", "EXPECTED-UNTIL", "REASON"}
	if everywhere {
		head = append([]string{"NAMESPACE"}, head...)
	}
	t := newTable(out, head...)
	for _, l := range lines {
		covers := l.Records
		if l.Subjects > 0 {
			covers = append([]string{counted(l.Subjects, "subject")}, covers...)
		}
		state := l.State
		if l.Deleting {
			state += ", deleted but not lifted"
		}
		cells := []string{l.Name, state, instant(l.Since), strings.Join(covers, ", "), l.PlacedBy, instant(l.ExpectedUntil), l.Reason}
		if everywhere {
			cells = append([]string{l.Namespace}, cells...)
		}
		t.row(cells...)
	}
	return t.Flush()
}
