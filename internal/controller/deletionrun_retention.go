package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/notify"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// retentionRun is one reconcile of the run of a rule.
type retentionRun struct {
	*DeletionRunReconciler
	run    *v1alpha1.DeletionRun
	record *state.Run
	policy *v1alpha1.RetentionPolicy
	// began tells that the run has begun before this reconcile.
	began bool
	// working tells that workers of a Job are at it, and may go on.
	working bool
	// ended tells that the run had ended before this reconcile.
	ended bool
	// targets of the rule, if they were needed.
	targets []*retention.Target
}

// retain carries the run of a rule on.
func (r *DeletionRunReconciler) retain(ctx context.Context, run *v1alpha1.DeletionRun) (outcome, error) {
	ref := run.Spec.Retention
	if ref.Until == nil { // refused by the API, but for objects that were stored without it
		ref.Until = &metav1.Time{}
	}
	record, err := r.State.Run(ctx, sweeper.UID(ref.PolicyUID, ref.Rule, ref.Until.Time))
	if errors.Is(err, state.ErrNotFound) || err == nil && (record.Namespace != run.Namespace || record.Name != run.Name || record.Sweep == nil) {
		return outcome{}, fault.Terminalf(v1alpha1.ReasonInvalidSpec,
			"this run was not made by the operator for a rule of a RetentionPolicy; set dryRun to see what a rule would do, or the annotation %s on the policy to follow its rules now", v1alpha1.AnnotationSweep)
	}
	if err != nil {
		return outcome{}, err
	}
	t := &retentionRun{DeletionRunReconciler: r, run: run, record: record, began: record.StartedAt != nil, ended: record.FinishedAt != nil}
	o, err := t.advance(ctx)
	if err == nil && !t.working { // whatever the run waits for, its workers wait for it too
		err = t.Sweeper.Recall(ctx, t.record)
	}
	if err == nil && executor.Ended(t.record) && !run.Status.Phase.Finished() {
		if err = t.Sweeper.Settle(ctx, t.record); err == nil {
			err = t.Sweeper.Close(ctx, t.record)
		}
	}
	if err == nil || !executor.Ended(t.record) { // an end is shown when nothing of it is left to be done
		t.project(ctx)
	}
	return o, err
}

// advance decides what is next: the end, a wait, or the sweep.
func (t *retentionRun) advance(ctx context.Context) (outcome, error) {
	if executor.Ended(t.record) {
		return t.afterEnd(ctx)
	}
	if err := t.commands(ctx, t.run, t.record); err != nil {
		return outcome{}, err
	}
	if o, wait := t.notYet(t.run, t.record); wait {
		return o, nil
	}
	if ended, err := t.endings(ctx); err != nil || ended {
		return endedSweep(t.record), err
	}
	if !t.began {
		if err := t.decisions(ctx); err != nil {
			return outcome{}, err
		}
		again, err := t.tell(ctx)
		if err != nil {
			return outcome{}, err
		}
		if v, err := t.time(ctx); err != nil || v.Action != policy.Proceed {
			v.After = min(v.After, again)
			return verdictOutcome(v), err
		}
	}
	task, err := t.sweepTask(ctx)
	if err != nil {
		return t.later(ctx, err)
	}
	record, cause := t.Sweeper.Advance(ctx, *task)
	if record != nil {
		t.record = record
	}
	if cause == nil && executor.Finished(t.record) {
		return t.afterEnd(ctx)
	}
	return t.later(ctx, cause)
}

// later shows why a run does not go on now. What has not begun simply waits; what fails is tried again, and is Failed at last.
func (t *retentionRun) later(ctx context.Context, cause error) (outcome, error) {
	var working *sweeper.Working
	switch {
	case errors.As(cause, &working):
		t.working = true
		return reconciling(v1alpha1.ReasonProcessing, working.Message, working.Again), nil
	case errors.Is(cause, executor.ErrBudget):
		t.working = true
		return reconciling(v1alpha1.ReasonProcessing, "the run goes on", time.Millisecond), nil
	case errors.Is(cause, state.ErrConflict), apierrors.IsConflict(cause):
		return outcome{}, cause
	}
	var waiting *fault.Waiting
	if t.record.StartedAt == nil && errors.As(cause, &waiting) {
		return reconciling(waiting.Reason, waiting.Message, min(max(waiting.After, time.Second), policy.MaxRequeue)), nil
	}
	if gone, err := t.namespaceGone(ctx, t.run, cause); err != nil || gone {
		if err == nil {
			err = t.Executor.Abandon(ctx, t.record, v1alpha1.ReasonNamespaceDeleted)
		}
		return endedSweep(t.record), err
	}
	next, err := t.Executor.RecordFailure(ctx, t.record, cause)
	if err != nil {
		return outcome{}, errors.Join(cause, err)
	}
	if t.record.Phase == string(v1alpha1.PhaseFailed) {
		return endedSweep(t.record), nil
	}
	return reconciling(t.record.Reason, t.record.Message, next), nil
}

// endings are what ends a run that has not begun: somebody cancelled it, or its rule is gone.
func (t *retentionRun) endings(ctx context.Context) (ended bool, err error) {
	ref := t.run.Spec.Retention
	var p v1alpha1.RetentionPolicy
	err = t.Get(ctx, client.ObjectKey{Namespace: t.run.Namespace, Name: ref.Policy}, &p)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, err
	}
	// A policy that is being deleted stays until its runs that have begun have ended.
	gone := err != nil || string(p.UID) != ref.PolicyUID || !p.DeletionTimestamp.IsZero() && !t.began ||
		!slices.ContainsFunc(p.Spec.Rules, func(r v1alpha1.RetentionRule) bool { return r.Name == ref.Rule })
	t.policy = &p
	switch {
	case gone && t.began:
		if terminating, err := namespaceTerminating(ctx, t.Secrets, t.run.Namespace); err != nil || !terminating {
			return false, errors.Join(err, fault.Waitingf(v1alpha1.ReasonRuleGone, policy.MaxRequeue,
				"the rule %s of RetentionPolicy %s is gone in the middle of the run; give it back, or abandon the run with the annotation %s", ref.Rule, ref.Policy, v1alpha1.AnnotationAbandon))
		}
		return true, t.Executor.Abandon(ctx, t.record, v1alpha1.ReasonNamespaceDeleted)
	case gone:
		return true, t.Sweeper.Cancel(ctx, t.record, v1alpha1.ReasonRuleGone, "")
	case t.began:
		return false, nil
	case t.run.Spec.Cancelled:
		return true, t.Sweeper.Cancel(ctx, t.record, v1alpha1.ReasonCancelled, t.actor(v1alpha1.AnnotationCancelledBy, "true"))
	case !t.run.DeletionTimestamp.IsZero():
		return true, t.Sweeper.Cancel(ctx, t.record, v1alpha1.ReasonCancelled, v1alpha1.ActorUnknown)
	}
	return false, nil
}

func (t *retentionRun) actor(annotation, value string) string {
	return stamp.Name(t.Stamps.Read("DeletionRun", t.run, annotation, value))
}

// untold is how long to wait before those outside are told again who could not be reached.
const untold = time.Minute

// tell lets those outside the cluster know of the announcement, and tells when to try again. Who cannot be reached keeps no data
// beyond its time: the run and its entry in the ledger are there in any case.
func (t *retentionRun) tell(ctx context.Context) (again time.Duration, err error) {
	sweep := t.record.Sweep
	if t.Outside == nil || sweep.Told {
		return policy.MaxRequeue, nil
	}
	now := t.Clock.Now()
	if away := time.Unix(0, t.outsideAway.Load()); now.Before(away) { // one run that waits for it is enough
		return away.Sub(now), nil
	}
	err = t.Outside.Announce(ctx, notify.Announcement{Namespace: t.run.Namespace, Run: t.run.Name, Policy: sweep.Policy, Rule: sweep.Rule, ScheduledAt: sweep.ScheduledAt.UTC(),
		Due: sweep.Due, Total: sweep.Total, ID: t.record.UID + "/announced", At: sweep.AnnouncedAt.UTC()})
	if err != nil {
		log.FromContext(ctx).Error(err, "the announcement did not get out of the cluster")
		t.Recorder.Eventf(t.run, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotificationFailed, "Announce",
			"the place of --events-to did not take the announcement; it is told again each minute, and the operator's log says why")
		t.outsideAway.Store(now.Add(untold).UnixNano())
		return untold, nil
	}
	sweep.Told = true
	return policy.MaxRequeue, t.State.Update(ctx, func(tx state.Tx) error { return tx.PutRun(t.record) })
}

// decisions takes a confirmation and a postponement, and puts them on record.
func (t *retentionRun) decisions(ctx context.Context) error {
	sweep := t.record.Sweep
	at, actor := sweep.AnnouncedFor, ""
	if p := t.run.Spec.Postponed; p != nil {
		if v := policy.JudgePostponement(t.policy.Spec.Notice, sweep.AnnouncedFor, p); v.Action != policy.Proceed {
			return &fault.Waiting{Reason: v.Reason, Message: v.Message, After: policy.MaxRequeue}
		}
		at, actor = policy.CeilSecond(p.To.Time), t.actor(v1alpha1.AnnotationPostponedBy, v1alpha1.PostponementValue(p))
	}
	var confirmed *int64
	if c := t.run.Spec.Confirmed; c != nil {
		confirmed = &c.Records
	}
	var entries []sweeper.Decision
	if !at.Equal(sweep.ScheduledAt) {
		entries = append(entries, sweeper.Decision{Kind: ledger.KindRetentionPostponed, Actor: actor, Name: "scheduledAt", Value: formatTime(at)})
	}
	if confirmed != nil && (sweep.Confirmed == nil || *sweep.Confirmed != *confirmed) {
		entries = append(entries, sweeper.Decision{Kind: ledger.KindRetentionConfirmed, Actor: t.actor(v1alpha1.AnnotationApprovedBy, v1alpha1.ConfirmationValue(t.run.Spec.Confirmed)),
			Name: "records", Value: v1alpha1.ConfirmationValue(t.run.Spec.Confirmed)})
	}
	if len(entries) == 0 && (confirmed == nil) == (sweep.Confirmed == nil) {
		return nil
	}
	sweep.ScheduledAt, sweep.Confirmed = at, confirmed
	return t.Sweeper.Decide(ctx, t.record, entries)
}

// time tells whether the run's time has come: by both clocks, or because somebody confirmed it.
func (t *retentionRun) time(ctx context.Context) (policy.Verdict, error) {
	sweep := t.record.Sweep
	if sweep.Confirmed != nil {
		return policy.Verdict{Action: policy.Proceed}, nil
	}
	witness, err := t.Witness.Now(ctx)
	if err != nil {
		return policy.Verdict{}, err
	}
	v := policy.Reached(sweep.ScheduledAt, t.Clock.Now().UTC(), witness)
	if v.Reason != v1alpha1.ReasonGracePeriod {
		return v, nil
	}
	return policy.JudgeAnnounced(t.policy.Spec, policy.SweepFacts{Announced: sweep.Due, Due: sweep.Due, Total: sweep.Total}, sweep.AnnouncedFor, sweep.ScheduledAt, v.After), nil
}

// sweepTask is what the rule says now.
func (t *retentionRun) sweepTask(ctx context.Context) (*sweeper.Task, error) {
	if err := t.stop(ctx); err != nil {
		return nil, err
	}
	targets, err := ruleTargets(ctx, t.Client, t.policy, t.run.Spec.Retention.Rule)
	if err != nil {
		return nil, err
	}
	t.targets = targets
	task := &sweeper.Task{RunUID: t.record.UID, Namespace: t.run.Namespace, Name: t.run.Name, Policy: t.policy.Spec, Targets: targets, Stop: t.stop}
	if e := t.policy.Spec.Execution; e != nil {
		task.Parallelism = int(e.Parallelism)
		task.Delegate = e.Mode == v1alpha1.ExecuteAsJob && !sweeper.Erases(targets)
	}
	if sweeper.Erases(targets) {
		task.Eraser = &ruleEraser{requests: t.Requests, origin: origin{namespace: t.run.Namespace, prefix: requestPrefix(t.run.Name), key: "run/" + string(t.run.UID),
			source: v1alpha1.SourceRetention, note: "rule " + t.run.Spec.Retention.Rule + " of RetentionPolicy " + truncate(t.policy.Name, 180), run: t.run}}
	}
	return task, nil
}

// stop tells why the run may not go on: its policy, its namespace or the whole operator is suspended.
func (t *retentionRun) stop(ctx context.Context) error {
	var p v1alpha1.RetentionPolicy
	if err := t.Get(ctx, client.ObjectKeyFromObject(t.policy), &p); err != nil {
		return err
	}
	word := ""
	switch {
	case p.Spec.Suspend:
		word = "spec.suspend of RetentionPolicy " + p.Name
	case p.Spec.DryRun:
		word = "spec.dryRun of RetentionPolicy " + p.Name
	}
	if word == "" {
		suspended, err := t.Kill.Suspended(ctx, t.run.Namespace)
		if err != nil {
			return err
		}
		if suspended == "" {
			return nil
		}
		word = "the annotation " + v1alpha1.AnnotationSuspend + " of namespace " + suspended
	}
	return fault.Waitingf(v1alpha1.ReasonSuspended, time.Minute, "%s stops the run before its next batch; nothing is lost, and it goes on when that is taken back", word)
}

// SweepTask is what a worker of a Job needs to know of a run: what its rule says now. c is not cached.
func SweepTask(ctx context.Context, c client.Reader, record *state.Run) (*sweeper.Task, error) {
	var p v1alpha1.RetentionPolicy
	err := c.Get(ctx, client.ObjectKey{Namespace: record.Namespace, Name: record.Sweep.Policy}, &p)
	if apierrors.IsNotFound(err) || err == nil && string(p.UID) != record.Sweep.PolicyUID {
		return nil, fault.Waitingf(v1alpha1.ReasonRuleGone, time.Minute, "RetentionPolicy %s is gone", record.Sweep.Policy)
	}
	if err != nil {
		return nil, err
	}
	targets, err := ruleTargets(ctx, c, &p, record.Sweep.Rule)
	if err != nil {
		return nil, err
	}
	return &sweeper.Task{RunUID: record.UID, Namespace: record.Namespace, Name: record.Name, Policy: p.Spec, Targets: targets}, nil
}

// ruleTargets compiles one rule of a policy. Maps that are not Ready, and problems of the rule, are what it waits for.
func ruleTargets(ctx context.Context, c client.Reader, p *v1alpha1.RetentionPolicy, rule string) ([]*retention.Target, error) {
	rules, problems, err := compileRules(ctx, c, p)
	if err != nil {
		return nil, err
	}
	for _, problem := range problems {
		if problem.Rule == rule || problem.Rule == "" {
			return nil, &fault.Waiting{Reason: problem.Reason, Message: problem.Message, After: policy.MaxRequeue}
		}
	}
	return rules.Of(rule), nil
}

// compileRules compiles the rules of a policy by the maps of its namespace.
func compileRules(ctx context.Context, c client.Reader, p *v1alpha1.RetentionPolicy) (*retention.Rules, []retention.Problem, error) {
	var maps v1alpha1.PersonalDataMapList
	if err := c.List(ctx, &maps, client.InNamespace(p.Namespace)); err != nil {
		return nil, nil, err
	}
	sources, v := policy.SelectMaps(maps.Items, "")
	if v.Action != policy.Proceed {
		return nil, []retention.Problem{{Reason: v.Reason, Message: v.Message}}, nil
	}
	rules, problems := retention.Compile(p.Spec, sources)
	return rules, problems, nil
}

// endedSweep shows a run that has ended.
func endedSweep(record *state.Run) outcome {
	switch v1alpha1.Phase(record.Phase) {
	case v1alpha1.PhaseFailed:
		return stalled(record.Reason, record.Message, 0)
	case v1alpha1.PhaseCancelled:
		return ready(record.Reason, "the run was cancelled before it began; what it announced is announced anew")
	}
	message := fmt.Sprintf("%d records that were due are treated, and a further look found none", record.Sweep.Done)
	if record.Sweep.Left > 0 {
		message = fmt.Sprintf("%d records that were due are treated, the most that were announced or confirmed; %d more are due and are announced anew", record.Sweep.Done, record.Sweep.Left)
	}
	if record.Sweep.PurgedAt != nil {
		message += "; what it archived is purged"
	}
	return ready(record.Reason, message)
}

// project writes the record into the status.
func (t *retentionRun) project(ctx context.Context) {
	st, sweep := &t.run.Status, t.record.Sweep
	st.Phase, st.Attempts = v1alpha1.Phase(t.record.Phase), int32(t.record.Attempts)
	st.StartedAt, st.FinishedAt = seconds(t.record.StartedAt), seconds(t.record.FinishedAt)
	st.ScheduledAt = seconds(&sweep.ScheduledAt)
	st.Announced = &v1alpha1.Announcement{At: metav1.NewTime(sweep.AnnouncedAt.Truncate(time.Second)), Due: sweep.Due, Total: sweep.Total}
	if len(t.record.Outcome) > 0 {
		var result executor.Outcome
		_ = json.Unmarshal(t.record.Outcome, &result)
		st.Counts = result.Counts
	}
	if t.record.StartedAt == nil {
		return
	}
	if t.record.FinishedAt != nil {
		if !t.ended {
			t.swept.count(t.record, sweep.Counts, t.targets, !t.began, true)
		}
		st.Progress, st.RecordsPerSecond, st.EstimatedEnd = fmt.Sprintf("%d/%d", sweep.Done, sweep.Done), 0, nil
		return
	}
	if p, err := t.Sweeper.Progress(ctx, t.record); err == nil {
		t.swept.count(t.record, p.Counts, t.targets, !t.began, false)
		t.showProgress(p)
	}
}

func (t *retentionRun) showProgress(p *sweeper.Progress) {
	st := &t.run.Status
	st.Counts = sweeper.CategoryCounts(p.Counts)
	st.Progress = fmt.Sprintf("%d/%d", p.Done, max(p.Due, p.Done))
	st.Shards = p.Shards
	elapsed := t.Clock.Now().Sub(*t.record.StartedAt)
	st.RecordsPerSecond, st.EstimatedEnd = 0, nil
	if elapsed >= time.Second && p.Done > 0 {
		st.RecordsPerSecond = int64(float64(p.Records) / elapsed.Seconds())
		left := time.Duration(float64(elapsed) * float64(max(p.Due-p.Done, 0)) / float64(p.Done))
		end := metav1.NewTime(t.Clock.Now().Add(left).UTC().Truncate(time.Second))
		st.EstimatedEnd = &end
	}
}

// previewRule counts what a rule would treat now. It changes nothing.
func (r *DeletionRunReconciler) previewRule(ctx context.Context, run *v1alpha1.DeletionRun) (outcome, error) {
	if o, ended := previewed(run); ended {
		return o, nil
	}
	ref := run.Spec.Retention
	var p v1alpha1.RetentionPolicy
	err := r.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: ref.Policy}, &p)
	if apierrors.IsNotFound(err) {
		err = r.Secrets.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: ref.Policy}, &p) // applied together, the cache may not know it yet
	}
	if apierrors.IsNotFound(err) || err == nil && ref.PolicyUID != "" && string(p.UID) != ref.PolicyUID {
		return outcome{}, fault.Terminalf(v1alpha1.ReasonRuleGone, "there is no RetentionPolicy %s with the uid of spec.retention.policyUID in this namespace", ref.Policy)
	}
	if err != nil {
		return outcome{}, err
	}
	targets, err := ruleTargets(ctx, r.Client, &p, ref.Rule)
	if err != nil {
		return outcome{}, err
	}
	if len(targets) == 0 {
		return outcome{}, fault.Terminalf(v1alpha1.ReasonRuleGone, "RetentionPolicy %s has no rule %s", ref.Policy, ref.Rule)
	}
	now := metav1.NewTime(r.Clock.Now().UTC().Truncate(time.Second))
	until := now.Time
	if ref.Until != nil {
		until = ref.Until.Time
	}
	st := &run.Status
	st.Announced = &v1alpha1.Announcement{At: now}
	var counts []state.SweepCount
	st.Retained = nil
	for _, t := range targets {
		count, err := r.Sweeper.Count(ctx, run.Namespace, t, time.Time{}, until)
		if err != nil {
			return outcome{}, err
		}
		st.Announced.Due, st.Announced.Total = st.Announced.Due+count.Due, st.Announced.Total+count.Total
		counts = append(counts, sweeper.StepCounts(t, count)...)
		st.Retained = append(st.Retained, sweeper.Retained(t, count)...)
	}
	st.Phase, st.FinishedAt = v1alpha1.PhaseCompleted, &now
	st.Counts = sweeper.CategoryCounts(counts)
	st.Retained = st.Retained[:min(len(st.Retained), maxRetained)]
	return ready(v1alpha1.ReasonDryRun, fmt.Sprintf("nothing was changed; %d of %d records would go at %s", st.Announced.Due, st.Announced.Total, until.UTC().Format(time.RFC3339))), nil
}

// afterEnd purges what the run archived once its time has come by both clocks, and says when to look again.
func (t *retentionRun) afterEnd(ctx context.Context) (outcome, error) {
	o := endedSweep(t.record)
	if s := t.record.Sweep; s.ArchiveStore != "" && s.PurgedAt == nil && t.record.FinishedAt != nil {
		var wait time.Duration
		at, err := policy.PurgeTime(*t.record.FinishedAt, s.ArchiveRetention)
		if err == nil {
			wait, err = t.passed(ctx, at)
		}
		if err == nil && wait == 0 {
			err = t.Sweeper.Purge(ctx, t.record)
			o = endedSweep(t.record)
		}
		var waiting *fault.Waiting
		if errors.As(err, &waiting) {
			o.message, o.requeue = o.message+"; "+waiting.Message, waiting.After
			return o, nil
		}
		o.requeue = wait
		return o, err
	}
	return t.purgeRun(ctx, o)
}

// passed tells how long to wait until both clocks have passed a time; zero when they have.
func (t *retentionRun) passed(ctx context.Context, at time.Time) (time.Duration, error) {
	now := t.Clock.Now().UTC()
	if now.Before(at) {
		return policy.Hint(at.Sub(now)), nil
	}
	witness, err := t.Witness.Now(ctx)
	if err != nil {
		return 0, err
	}
	return policy.Reached(at, now, witness).After, nil
}

// purgeRun removes a run whose archive retention has ended: the ledger has what it did.
func (t *retentionRun) purgeRun(ctx context.Context, o outcome) (outcome, error) {
	if t.record.FinishedAt == nil || !t.run.DeletionTimestamp.IsZero() {
		return o, nil
	}
	var policies v1alpha1.RetentionPolicyList
	if err := t.List(ctx, &policies, client.InNamespace(t.run.Namespace)); err != nil {
		return o, err
	}
	snapshot, _ := policy.SelectPolicy(policies.Items, true) // one that cannot be applied leaves the default
	at, err := policy.PurgeTime(*t.record.FinishedAt, snapshot.ArchiveRetention)
	if err != nil {
		return o, err
	}
	if o.requeue, err = t.passed(ctx, at); err != nil || o.requeue > 0 {
		return o, err
	}
	return o, client.IgnoreNotFound(t.Delete(ctx, t.run))
}
