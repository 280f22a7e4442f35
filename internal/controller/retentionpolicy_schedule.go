package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/crash"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// LabelPolicy is on the runs of a policy's rules.
const LabelPolicy = "privacy.lethe.dev/policy"

// followAgain is how soon rules are followed again of which one could not be, because its store was away for example.
const followAgain = 5 * time.Minute

var (
	crashAnnounced = crash.Define("policy/announced")
	crashFollowed  = crash.Define("policy/followed")
)

// follow follows the schedule of a policy's rules: it announces runs for what falls due within the notice period, and shows what
// the rules find. It returns when to look again.
func (r *RetentionPolicyReconciler) follow(ctx context.Context, p *v1alpha1.RetentionPolicy) (outcome, error) {
	schedule, err := retention.ParseSchedule(*p.Spec.Schedule)
	if err != nil {
		return stalled(v1alpha1.ReasonScheduleInvalid, err.Error(), 0), nil
	}
	known, err := r.schedule(ctx, p)
	if err != nil {
		return outcome{}, err
	}
	if err := r.ensureRuns(ctx, p, known); err != nil {
		return outcome{}, err
	}
	rules, problems, err := compileRules(ctx, r.Client, p)
	if err != nil {
		return outcome{}, err
	}
	due, err := r.dueSweep(ctx, p, known, schedule)
	if err != nil {
		return outcome{}, err
	}
	nonce := p.Annotations[v1alpha1.AnnotationSweep]
	asked := nonce != "" && nonce != known.AcknowledgedSweep
	again := policy.MaxRequeue
	if at := r.Clock.Now().UTC(); (due || asked) && !p.Spec.Suspend && rules != nil {
		all, err := r.followRules(ctx, p, known, rules, problems, at)
		if err != nil {
			return outcome{}, err
		}
		if all {
			known.LastSweep = &at
		} else {
			again = followAgain
		}
		if err := r.followed(ctx, known, nonce); err != nil {
			return outcome{}, err
		}
	}
	showRules(p, problems)
	p.Status.LastSweep, p.Status.AcknowledgedSweep = seconds(known.LastSweep), known.AcknowledgedSweep
	next := metav1.NewTime(schedule.Next(r.Clock.Now()))
	p.Status.NextSweep = &next
	if p.Spec.Suspend {
		p.Status.NextSweep = nil
	}
	return rulesOutcome(p, problems, min(again, policy.Hint(next.Sub(r.Clock.Now())))), nil
}

// rulesOutcome is how the rules are as a whole.
func rulesOutcome(p *v1alpha1.RetentionPolicy, problems []retention.Problem, again time.Duration) outcome {
	if len(problems) > 0 {
		o := stalled(problems[0].Reason, problems[0].Message, again)
		switch problems[0].Reason {
		case v1alpha1.ReasonMapNotReady, v1alpha1.ReasonNoMap: // a policy that is applied together with its maps has nothing wrong
			o.stalled = false
		}
		if len(problems) > 1 {
			o.message += fmt.Sprintf(" (and %d more problems, see status.rules)", len(problems)-1)
		}
		return o
	}
	o := ready(v1alpha1.ReasonReady, fmt.Sprintf("%d rules are applied on schedule", len(p.Spec.Rules)))
	switch {
	case p.Spec.Suspend:
		o = ready(v1alpha1.ReasonSuspended, "spec.suspend: the schedule is not followed, and runs stop before their next batch")
	case p.Spec.DryRun:
		o = ready(v1alpha1.ReasonDryRun, "spec.dryRun: the rules count what is due and delete nothing")
	}
	o.requeue = again
	return o
}

// schedule is what is known of the policy's sweeps.
func (r *RetentionPolicyReconciler) schedule(ctx context.Context, p *v1alpha1.RetentionPolicy) (*state.Schedule, error) {
	known, err := r.State.Schedule(ctx, string(p.UID))
	if errors.Is(err, state.ErrNotFound) {
		return &state.Schedule{PolicyUID: string(p.UID), Namespace: p.Namespace}, nil
	}
	return known, err
}

// dueSweep tells whether a time of the schedule has come by both clocks. Times that passed while nobody followed them are one.
func (r *RetentionPolicyReconciler) dueSweep(ctx context.Context, p *v1alpha1.RetentionPolicy, known *state.Schedule, schedule retention.Schedule) (bool, error) {
	now := r.Clock.Now().UTC()
	last := p.CreationTimestamp.Time
	if known.LastSweep != nil {
		last = *known.LastSweep
	}
	next := schedule.Next(last)
	if next.IsZero() || next.After(now) {
		return false, nil
	}
	witness, err := r.Witness.Now(ctx)
	if err != nil {
		return false, err
	}
	return policy.Reached(next, now, witness).Action == policy.Proceed, nil
}

// followRules announces what falls due by each rule. A rule with a problem keeps none of the others. It tells whether all were
// followed that can be without somebody changing something.
func (r *RetentionPolicyReconciler) followRules(ctx context.Context, p *v1alpha1.RetentionPolicy, known *state.Schedule, rules *retention.Rules, problems []retention.Problem, at time.Time) (all bool, err error) {
	notice, err := policy.NoticePeriod(p.Spec.Notice)
	if err != nil {
		return false, err
	}
	all = true
	until := policy.CeilSecond(notice.AddTo(at))
	for _, rule := range p.Spec.Rules {
		if slices.ContainsFunc(problems, func(x retention.Problem) bool { return x.Rule == rule.Name || x.Rule == "" }) {
			continue
		}
		status := ruleStatus(p, rule.Name)
		*status = v1alpha1.RuleStatus{Name: rule.Name, AnnouncedUntil: status.AnnouncedUntil}
		if err := r.followRule(ctx, p, known, rule, rules.Of(rule.Name), status, until); err != nil {
			var terminal *fault.Terminal
			var waiting *fault.Waiting
			if errors.Is(err, state.ErrConflict) || ctx.Err() != nil {
				return false, err
			}
			all = all && (errors.As(err, &terminal) || errors.As(err, &waiting))
			status.Reason, status.Message = fault.Public(err)
			r.Recorder.Eventf(p, nil, corev1.EventTypeWarning, status.Reason, "Sweep", "rule %s: %s", rule.Name, status.Message)
		}
	}
	return all, nil
}

// followRule counts what a rule finds, and announces what falls due by until and is not announced yet.
func (r *RetentionPolicyReconciler) followRule(ctx context.Context, p *v1alpha1.RetentionPolicy, known *state.Schedule, rule v1alpha1.RetentionRule, targets []*retention.Target,
	status *v1alpha1.RuleStatus, until time.Time,
) error {
	schedule := known.Rule(rule.Name)
	since := sweeper.Before(schedule, "", until.Add(time.Second))
	a := sweeper.Announcement{Namespace: p.Namespace, Policy: p.Name, PolicyUID: string(p.UID), Generation: p.Generation, Rule: rule.Name, Until: until,
		RunName: sweepName(p.Name, rule.Name, until)}
	now := r.Clock.Now().UTC()
	for _, t := range targets {
		current, err := r.Sweeper.Count(ctx, p.Namespace, t, time.Time{}, now)
		if err != nil {
			return err
		}
		addStatus(status, current)
		count := current
		if until.After(now) || !since.IsZero() {
			if count, err = r.Sweeper.Count(ctx, p.Namespace, t, since, until); err != nil {
				return err
			}
		}
		status.Upcoming += count.Due
		a.Total += count.Total
		a.Targets = append(a.Targets, state.SweepTarget{Entity: t.Name(), Due: count.Due})
		a.Counts = append(a.Counts, sweeper.StepCounts(t, count)...)
	}
	if p.Spec.DryRun || !since.Before(until) {
		return nil
	}
	announced := metav1.NewTime(until)
	status.AnnouncedUntil = &announced
	if status.Upcoming == 0 {
		schedule.AnnouncedUntil = &until
		return nil
	}
	record, err := r.Sweeper.Announce(ctx, a, known)
	if err != nil {
		return err
	}
	crashAnnounced.Hit()
	if err := r.createRun(ctx, p, record); err != nil {
		return err
	}
	r.Recorder.Eventf(p, nil, corev1.EventTypeNormal, v1alpha1.ReasonAnnounced, "Sweep", "DeletionRun %s: %d of %d records fall due by rule %s and go at %s unless somebody cancels or postpones it",
		record.Name, record.Sweep.Due, record.Sweep.Total, rule.Name, until.Format(time.RFC3339))
	return nil
}

func addStatus(status *v1alpha1.RuleStatus, c *sweeper.Count) {
	status.Due += c.Due
	status.WithoutClock += c.NoClock
	status.InFuture += c.Future
	var kept int64
	for _, n := range c.Kept {
		kept = max(kept, n)
	}
	status.Kept += kept
}

// followed notes what was announced, and that it was asked for.
func (r *RetentionPolicyReconciler) followed(ctx context.Context, known *state.Schedule, nonce string) error {
	crashFollowed.Hit()
	known.AcknowledgedSweep = nonce
	return r.State.Update(ctx, func(tx state.Tx) error { return tx.PutSchedule(known) })
}

// showRules brings the list of rules into the order of the spec, and shows the problems.
func showRules(p *v1alpha1.RetentionPolicy, problems []retention.Problem) {
	var list []v1alpha1.RuleStatus
	for _, rule := range p.Spec.Rules {
		st := *ruleStatus(p, rule.Name)
		for _, problem := range problems {
			if problem.Rule == rule.Name || problem.Rule == "" {
				st.Reason, st.Message = problem.Reason, truncate(problem.Message, 1024)
				break
			}
		}
		list = append(list, st)
	}
	p.Status.Rules = list
}

// ruleStatus is that of one rule, added where it is not there.
func ruleStatus(p *v1alpha1.RetentionPolicy, name string) *v1alpha1.RuleStatus {
	for i := range p.Status.Rules {
		if p.Status.Rules[i].Name == name {
			return &p.Status.Rules[i]
		}
	}
	p.Status.Rules = append(p.Status.Rules, v1alpha1.RuleStatus{Name: name})
	return &p.Status.Rules[len(p.Status.Rules)-1]
}

// sweepName names the run of a rule: the same for the same rule and time.
func sweepName(policyName, rule string, until time.Time) string {
	const most = 180
	name := policyName + "-" + rule
	if len(name) > most {
		name = strings.TrimRight(name[:most], "-.")
	}
	return name + "-" + until.UTC().Format("20060102t150405")
}

// ensureRuns makes the objects of announced runs that are not there, because the process died in between.
func (r *RetentionPolicyReconciler) ensureRuns(ctx context.Context, p *v1alpha1.RetentionPolicy, known *state.Schedule) error {
	for _, rule := range known.Rules {
		for _, open := range rule.Open {
			record, err := r.State.Run(ctx, open.RunUID)
			if err != nil {
				return err
			}
			if err := r.createRun(ctx, p, record); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *RetentionPolicyReconciler) createRun(ctx context.Context, p *v1alpha1.RetentionPolicy, record *state.Run) error {
	sweep, until := record.Sweep, metav1.NewTime(record.Sweep.Until)
	run := &v1alpha1.DeletionRun{
		ObjectMeta: metav1.ObjectMeta{Name: record.Name, Namespace: p.Namespace, Finalizers: []string{v1alpha1.Finalizer}, Labels: map[string]string{LabelPolicy: labelValue(p.Name)}},
		Spec: v1alpha1.DeletionRunSpec{Retention: &v1alpha1.RetentionReference{Policy: sweep.Policy, PolicyUID: sweep.PolicyUID, Rule: sweep.Rule,
			Until: &until}},
	}
	if r.Get(ctx, client.ObjectKeyFromObject(run), &v1alpha1.DeletionRun{}) == nil {
		return nil
	}
	if err := r.Create(ctx, run); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// leave lets a policy go once none of its runs is open: they are cancelled, or end.
func (r *RetentionPolicyReconciler) leave(ctx context.Context, p *v1alpha1.RetentionPolicy) (again time.Duration, err error) {
	known, err := r.schedule(ctx, p)
	if err != nil {
		return 0, err
	}
	for _, rule := range known.Rules {
		if len(rule.Open) > 0 {
			return 2 * time.Second, r.ensureRuns(ctx, p, known)
		}
	}
	if known.Revision > 0 {
		if err := r.State.Update(ctx, func(tx state.Tx) error { return tx.DeleteSchedule(string(p.UID)) }); err != nil {
			return 0, err
		}
	}
	return 0, setFinalizer(ctx, r.Client, p, false)
}
