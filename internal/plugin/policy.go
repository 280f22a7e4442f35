package plugin

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// upcoming is what retention rules will do, for machines.
type upcoming struct {
	Runs  []upcomingRun  `json:"runs"`
	Rules []upcomingRule `json:"rules"`
}

// upcomingRun is a run that was announced and has not ended.
type upcomingRun struct {
	Namespace   string       `json:"namespace"`
	Name        string       `json:"name"`
	Policy      string       `json:"policy"`
	Rule        string       `json:"rule"`
	Stage       string       `json:"stage"`
	ScheduledAt *metav1.Time `json:"scheduledAt,omitempty"`
	// Due records, of Total of the entity, when it was counted.
	Due     *int64 `json:"due,omitempty"`
	Total   *int64 `json:"total,omitempty"`
	Message string `json:"message,omitempty"`
}

// upcomingRule is what a rule found at the last sweep.
type upcomingRule struct {
	Namespace string       `json:"namespace"`
	Policy    string       `json:"policy"`
	Rule      string       `json:"rule"`
	Action    string       `json:"action"`
	What      string       `json:"what"`
	Due       int64        `json:"due"`
	Upcoming  int64        `json:"upcoming"`
	Kept      int64        `json:"kept"`
	NextSweep *metav1.Time `json:"nextSweep,omitempty"`
	// Stopped says why nothing goes: Suspended, DryRun, or the reason for which the rule cannot be followed.
	Stopped string `json:"stopped,omitempty"`
}

func (s *session) newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "See what retention rules do", Args: cobra.NoArgs}
	var o output
	var everywhere bool
	upcomingCommand := &cobra.Command{
		Use:   "upcoming",
		Short: "List announced runs with their counts and dates, and what each rule finds next",
		Long: `List the runs of retention rules that were announced, with the number of records and the time at which they begin, and what each
rule found at the last sweep: what is due, what falls due within the notice period, and what something keeps.`,
		Example: `  kubectl lethe policy upcoming -n recruiting
  kubectl lethe policy upcoming -A -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, namespace, err := s.connect()
			if err != nil {
				return err
			}
			if everywhere {
				namespace = ""
			}
			var runs v1alpha1.DeletionRunList
			var policies v1alpha1.RetentionPolicyList
			if err := c.List(cmd.Context(), &runs, client.InNamespace(namespace)); err != nil {
				return s.helpful(err, namespace)
			}
			if err := c.List(cmd.Context(), &policies, client.InNamespace(namespace)); err != nil {
				return s.helpful(err, namespace)
			}
			u := newUpcoming(runs.Items, policies.Items)
			return o.write(s.Streams.Out, u, func(out io.Writer) error { return u.text(s, out, everywhere) })
		},
	}
	o.register(upcomingCommand)
	upcomingCommand.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "of all namespaces")
	cmd.AddCommand(upcomingCommand)
	return cmd
}

func newUpcoming(runs []v1alpha1.DeletionRun, policies []v1alpha1.RetentionPolicy) upcoming {
	u := upcoming{Runs: []upcomingRun{}, Rules: []upcomingRule{}}
	for i := range runs {
		run := &runs[i]
		if run.Spec.Retention == nil || run.Spec.DryRun || run.Status.Phase.Finished() {
			continue
		}
		c := ready(run.Status.Conditions)
		one := upcomingRun{Namespace: run.Namespace, Name: run.Name, Policy: run.Spec.Retention.Policy, Rule: run.Spec.Retention.Rule, Stage: c.Reason,
			ScheduledAt: run.Status.ScheduledAt, Message: c.Message}
		if a := run.Status.Announced; a != nil {
			one.Due, one.Total = &a.Due, &a.Total
		}
		u.Runs = append(u.Runs, one)
	}
	slices.SortFunc(u.Runs, func(a, b upcomingRun) int {
		if a.ScheduledAt != nil && b.ScheduledAt != nil && !a.ScheduledAt.Equal(b.ScheduledAt) {
			return a.ScheduledAt.Compare(b.ScheduledAt.Time)
		}
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for i := range policies {
		u.Rules = append(u.Rules, upcomingRules(&policies[i])...)
	}
	return u
}

func upcomingRules(p *v1alpha1.RetentionPolicy) []upcomingRule {
	found := map[string]v1alpha1.RuleStatus{}
	for _, st := range p.Status.Rules {
		found[st.Name] = st
	}
	var rules []upcomingRule
	for i := range p.Spec.Rules {
		rule := &p.Spec.Rules[i]
		st := found[rule.Name]
		one := upcomingRule{Namespace: p.Namespace, Policy: p.Name, Rule: rule.Name, Action: string(rule.Action), What: cmp.Or(rule.Entity, "category "+rule.Category),
			Due: st.Due, Upcoming: st.Upcoming, Kept: st.Kept, NextSweep: p.Status.NextSweep, Stopped: st.Reason}
		switch {
		case p.Spec.Suspend:
			one.Stopped = v1alpha1.ReasonSuspended
		case p.Spec.DryRun:
			one.Stopped = v1alpha1.ReasonDryRun
		}
		rules = append(rules, one)
	}
	return rules
}

func (u upcoming) text(s *session, out io.Writer, everywhere bool) error {
	in := func(namespace, name string) string {
		if everywhere {
			return namespace + "/" + name
		}
		return name
	}
	if len(u.Runs) == 0 {
		_, _ = fmt.Fprintln(out, "No run of a retention rule is announced.")
	} else {
		t := newTable(out, "RUN", "POLICY", "RULE", "STAGE", "BEGINS", "WHEN", "RECORDS", "OF", "SHARE")
		for _, r := range u.Runs {
			due, total, share := "", "", ""
			if r.Due != nil {
				due, total = fmt.Sprint(*r.Due), fmt.Sprint(*r.Total)
				if *r.Total > 0 {
					share = fmt.Sprintf("%.1f %%", 100*float64(*r.Due)/float64(*r.Total))
				}
			}
			t.row(in(r.Namespace, r.Name), r.Policy, r.Rule, r.Stage, instant(r.ScheduledAt), distance(s.Clock.Now(), r.ScheduledAt), due, total, share)
		}
		_ = t.Flush()
		_, _ = fmt.Fprintln(out, "Until a run begins: kubectl lethe approve run/RUN lets it begin at once, kubectl lethe cancel run/RUN ends it.")
	}
	_, _ = fmt.Fprintln(out)
	if len(u.Rules) == 0 {
		_, err := fmt.Fprintln(out, "No RetentionPolicy has rules.")
		return err
	}
	t := newTable(out, "POLICY", "RULE", "ACTION", "WHAT", "DUE", "UPCOMING", "KEPT", "NEXT-SWEEP", "STOPPED")
	for _, r := range u.Rules {
		t.row(in(r.Namespace, r.Policy), r.Rule, r.Action, r.What, fmt.Sprint(r.Due), fmt.Sprint(r.Upcoming), fmt.Sprint(r.Kept), instant(r.NextSweep), r.Stopped)
	}
	return t.Flush()
}
