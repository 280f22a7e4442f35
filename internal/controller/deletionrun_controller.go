package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/notify"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// maxSteps in the status of a run.
const maxSteps = 100

// DeletionRunReconciler executes runs.
type DeletionRunReconciler struct {
	client.Client
	Secrets    client.Reader
	State      state.Store
	Executor   *executor.Executor
	Pseudonyms *Pseudonyms
	Identities *Identities
	Clock      clock.PassiveClock
	Recorder   events.EventRecorder
	// Sweeper executes the runs of retention rules, Witness and Kill say when and whether they may.
	Sweeper *sweeper.Sweeper
	Witness Witness
	Kill    *KillSwitch
	// Outside is told what is announced; nil for nobody.
	Outside Outside
	// outsideAway is until when, in Unix nanoseconds, nobody is told anything after one could not be.
	outsideAway atomic.Int64
	// Requests makes the requests of runs for several people.
	Requests *Requests
	Stamps   *stamp.Sealer
	// Concurrency is how many runs are executed at once. Default 4.
	Concurrency int

	swept swept
}

// Outside is a place outside the cluster that hears of announcements. An error means that it is to be told again.
type Outside interface {
	Announce(ctx context.Context, a notify.Announcement) error
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=deletionruns,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=deletionruns/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=deletionruns/finalizers,verbs=update

// Reconcile carries one run on.
func (r *DeletionRunReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var run v1alpha1.DeletionRun
	if err := r.Get(ctx, req.NamespacedName, &run); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	read := run.DeepCopy()
	var o outcome
	var err error
	switch {
	case run.Spec.DryRun && run.Spec.Retention != nil:
		o, err = r.previewRule(ctx, &run)
	case run.Spec.DryRun:
		o, err = r.preview(ctx, &run)
	case run.Spec.Retention != nil:
		o, err = r.retain(ctx, &run)
	case run.Spec.Subjects != nil:
		o, err = r.eraseSubjects(ctx, &run)
	default:
		o, err = r.execute(ctx, &run)
	}
	if err != nil {
		o, err = fromError(err)
	}
	if run.Status.Phase == "" {
		run.Status.Phase = v1alpha1.PhasePending
	}
	if !run.DeletionTimestamp.IsZero() && over(&run, o) && (run.Spec.Retention == nil || o.requeue == 0) { // an archive is purged before
		return ctrl.Result{}, setFinalizer(ctx, r.Client, &run, false)
	}
	summarize(&run, o)
	if perr := patchStatus(ctx, r.Client, &run, read); perr != nil {
		return result(o, client.IgnoreNotFound(perr))
	}
	transition(ctx, r.Recorder, &run, read, o.stalled)
	return result(o, err)
}

// over tells whether nothing more will happen to a run, so that a deleted object can go.
func over(run *v1alpha1.DeletionRun, o outcome) bool {
	switch o.reason {
	case v1alpha1.ReasonAbandoned, v1alpha1.ReasonNamespaceDeleted, v1alpha1.ReasonRequestGone, v1alpha1.ReasonNothingDue, v1alpha1.ReasonInvalidSpec:
		return true
	}
	return run.Status.Phase.Finished() || run.Spec.DryRun
}

// preview counts what a request would do, also by maps that are not Ready: then what can be counted.
func (r *DeletionRunReconciler) preview(ctx context.Context, run *v1alpha1.DeletionRun) (outcome, error) {
	if o, ended := previewed(run); ended {
		return o, nil
	}
	task, err := r.requestTask(ctx, run, false)
	if err != nil {
		return outcome{}, err
	}
	partial, err := r.previewMaps(ctx, run, task)
	if err != nil {
		return outcome{}, err
	}
	preview, err := r.Executor.Preview(ctx, *task, partial)
	if err != nil {
		return outcome{}, err
	}
	now := metav1.NewTime(r.Clock.Now().UTC().Truncate(time.Second))
	run.Status.Phase, run.Status.FinishedAt = v1alpha1.PhaseCompleted, &now
	steps := slices.Concat(preview.Steps, skippedSteps(preview.Skipped))
	run.Status.Counts, run.Status.Steps = preview.Counts, steps[:min(len(steps), maxSteps)]
	run.Status.Retained = preview.Retained[:min(len(preview.Retained), maxRetained)]
	if len(preview.Skipped) > 0 {
		return ready(v1alpha1.ReasonDryRunIncomplete, fmt.Sprintf("nothing was changed; status.counts has what could be counted, not all could: %s", first(messages(preview.Skipped), "problems"))), nil
	}
	return ready(v1alpha1.ReasonDryRun, "nothing was changed; status.counts has what would be"), nil
}

// previewed is what a preview that has ended shows.
func previewed(run *v1alpha1.DeletionRun) (outcome, bool) {
	ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
	if !run.Status.Phase.Finished() || ready == nil {
		return outcome{}, false
	}
	return outcome{status: ready.Status, reason: ready.Reason, message: ready.Message}, true
}

// previewMaps gives the task all maps of the namespace where those that an erasure would use are not Ready.
func (r *DeletionRunReconciler) previewMaps(ctx context.Context, run *v1alpha1.DeletionRun, task *executor.Task) (partial bool, err error) {
	if len(task.Request.Maps) > 0 {
		return false, nil
	}
	var list v1alpha1.PersonalDataMapList
	if err := r.List(ctx, &list, client.InNamespace(run.Namespace)); err != nil {
		return false, err
	}
	for i := range list.Items {
		m := &list.Items[i]
		if m.DeletionTimestamp.IsZero() {
			task.Request.Maps = append(task.Request.Maps, planner.MapSource{Name: m.Name, UID: string(m.UID), Generation: m.Generation, Spec: m.Spec})
		}
	}
	if len(task.Request.Maps) == 0 {
		return false, nil // waits, and says for what
	}
	var er v1alpha1.ErasureRequest
	if err := r.Secrets.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.Request.Name}, &er); err != nil {
		return false, err
	}
	record, err := r.State.Request(ctx, string(er.UID))
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return false, err
	}
	task.Request.Identities = r.identities(&er, record)
	return true, nil
}

func messages(problems []planner.Problem) []string {
	var list []string
	for _, p := range problems {
		list = append(list, p.Message)
	}
	return list
}

// skippedSteps name what a preview could not look at, each entity once.
func skippedSteps(problems []planner.Problem) []v1alpha1.RunStep {
	var steps []v1alpha1.RunStep
	seen := map[string]bool{}
	for _, p := range problems {
		name := "entity/" + p.Map + "/" + p.Entity
		if p.Entity != "" && !seen[name] {
			steps = append(steps, v1alpha1.RunStep{Name: name, State: v1alpha1.StepSkipped, Reason: p.Reason})
		}
		seen[name] = true
	}
	return steps
}

// execute carries a real run on.
func (r *DeletionRunReconciler) execute(ctx context.Context, run *v1alpha1.DeletionRun) (outcome, error) {
	task, err := r.task(ctx, run)
	if err != nil {
		return r.outlived(ctx, run, err)
	}
	record, err := r.State.Run(ctx, task.RunUID)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return outcome{}, err
	}
	if record != nil {
		if err := r.commands(ctx, run, record); err != nil {
			return outcome{}, err
		}
		if o, wait := r.notYet(run, record); wait {
			r.project(run, record)
			return o, nil
		}
	} else if err := r.announce(ctx, run); err != nil {
		return outcome{}, err
	}
	record, cause := r.Executor.Advance(ctx, *task)
	if record == nil {
		return outcome{}, cause
	}
	o, err := r.after(ctx, run, record, cause)
	if err == nil {
		err = r.publish(ctx, run, record)
	}
	r.project(run, record)
	return o, err
}

// outlived shows a run that had ended before its request went as it ended: that the request is gone is no failure of it.
func (r *DeletionRunReconciler) outlived(ctx context.Context, run *v1alpha1.DeletionRun, cause error) (outcome, error) {
	if reason, _ := fault.Public(cause); reason != v1alpha1.ReasonRequestGone {
		return outcome{}, cause
	}
	record, err := r.State.Run(ctx, run.Spec.Request.UID)
	if errors.Is(err, state.ErrNotFound) || err == nil && (record.Namespace != run.Namespace || record.Name != run.Name || !executor.Ended(record)) {
		return outcome{}, cause
	}
	if err != nil {
		return outcome{}, err
	}
	r.project(run, record)
	return endedRun(record), nil
}

// announce shows that the run has begun, before anything happens.
func (r *DeletionRunReconciler) announce(ctx context.Context, run *v1alpha1.DeletionRun) error {
	if run.Status.Phase != "" {
		return nil
	}
	read := run.DeepCopy()
	now := metav1.NewTime(r.Clock.Now().UTC().Truncate(time.Second))
	run.Status.Phase, run.Status.StartedAt = v1alpha1.PhasePending, &now
	summarize(run, reconciling(v1alpha1.ReasonProcessing, "planning", 0))
	return patchStatus(ctx, r.Client, run, read)
}

// after turns the result of an advance into an outcome.
func (r *DeletionRunReconciler) after(ctx context.Context, run *v1alpha1.DeletionRun, record *state.Run, cause error) (outcome, error) {
	switch {
	case cause == nil:
		return endedRun(record), nil
	case errors.Is(cause, executor.ErrBudget):
		return reconciling(v1alpha1.ReasonProcessing, "the run goes on", time.Millisecond), nil
	case errors.Is(cause, state.ErrConflict), apierrors.IsConflict(cause):
		return outcome{}, cause
	}
	if gone, err := r.namespaceGone(ctx, run, cause); err != nil || gone {
		if err == nil {
			err = r.Executor.Abandon(ctx, record, v1alpha1.ReasonNamespaceDeleted)
		}
		return endedRun(record), err
	}
	next, err := r.Executor.RecordFailure(ctx, record, cause)
	if err != nil {
		return outcome{}, errors.Join(cause, err)
	}
	if record.Phase == string(v1alpha1.PhaseFailed) {
		return endedRun(record), nil
	}
	return reconciling(record.Reason, record.Message, next), nil
}

// namespaceGone tells whether the run cannot finish because its namespace goes away: what it waits for will not come.
func (r *DeletionRunReconciler) namespaceGone(ctx context.Context, run *v1alpha1.DeletionRun, cause error) (bool, error) {
	var transient *fault.Transient
	if run.DeletionTimestamp.IsZero() || errors.As(cause, &transient) {
		return false, nil
	}
	return namespaceTerminating(ctx, r.Secrets, run.Namespace)
}

func endedRun(record *state.Run) outcome {
	if record.Phase == string(v1alpha1.PhaseFailed) {
		return stalled(record.Reason, record.Message, 0)
	}
	return ready(record.Reason, "the run is finished and a re-query confirmed it")
}

// commands takes retry and abandon.
func (r *DeletionRunReconciler) commands(ctx context.Context, run *v1alpha1.DeletionRun, record *state.Run) error {
	if nonce := run.Annotations[v1alpha1.AnnotationAbandon]; nonce != "" && record.Phase == string(v1alpha1.PhaseFailed) && !executor.Ended(record) {
		return r.Executor.Abandon(ctx, record, v1alpha1.ReasonAbandoned)
	}
	if record.Phase == string(v1alpha1.PhaseFailed) && !executor.Ended(record) {
		gone, err := r.namespaceGone(ctx, run, nil)
		if err != nil {
			return err
		}
		if gone {
			return r.Executor.Abandon(ctx, record, v1alpha1.ReasonNamespaceDeleted)
		}
	}
	if nonce := run.Annotations[v1alpha1.AnnotationRetry]; nonce != "" && nonce != record.AcknowledgedRetry {
		return r.Executor.Retry(ctx, record, nonce)
	}
	return nil
}

// notYet tells whether the run has ended or waits for its next attempt.
func (r *DeletionRunReconciler) notYet(run *v1alpha1.DeletionRun, record *state.Run) (outcome, bool) {
	if record.Phase == string(v1alpha1.PhaseFailed) {
		return endedRun(record), true
	}
	if record.NextAttemptAt == nil || run.Status.Phase == "" {
		return outcome{}, false
	}
	left := record.NextAttemptAt.Sub(r.Clock.Now())
	if left <= 0 || left > policy.MaxRequeue { // more than that can only be a clock that went back
		return outcome{}, false
	}
	return reconciling(record.Reason, record.Message, left), true
}

// task says what the run is to do, after checking that the operator itself wanted it.
func (r *DeletionRunReconciler) task(ctx context.Context, run *v1alpha1.DeletionRun) (*executor.Task, error) {
	if run.Spec.Residue != nil {
		// The id in the object is anybody's word: it may name no residue, one of another namespace, or even a request's run.
		residue, err := r.State.Residue(ctx, run.Spec.Residue.ID)
		if errors.Is(err, state.ErrNotFound) || err == nil && residue.Namespace != run.Namespace {
			return nil, fault.Terminalf(v1alpha1.ReasonNothingDue, "this namespace has no residue %s", run.Spec.Residue.ID)
		}
		if err != nil {
			return nil, err
		}
		return &executor.Task{RunUID: run.Spec.Residue.ID, Namespace: run.Namespace, Name: run.Name, ResidueID: run.Spec.Residue.ID}, nil
	}
	return r.requestTask(ctx, run, true)
}

func (r *DeletionRunReconciler) requestTask(ctx context.Context, run *v1alpha1.DeletionRun, real bool) (*executor.Task, error) {
	name := run.Spec.Request.Name
	var er v1alpha1.ErasureRequest
	key := client.ObjectKey{Namespace: run.Namespace, Name: name}
	err := r.Get(ctx, key, &er)
	if !real && apierrors.IsNotFound(err) {
		err = r.Secrets.Get(ctx, key, &er) // applied together with its dry run, the cache may not know it yet
	}
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fault.Terminalf(v1alpha1.ReasonRequestGone, "there is no ErasureRequest %s in this namespace", name)
		}
		return nil, err
	}
	if !real && er.Status.Phase.Finished() {
		return nil, fault.Terminalf(v1alpha1.ReasonRequestGone, "ErasureRequest %s has ended: there is nothing to preview", name)
	}
	task := &executor.Task{RunUID: string(er.UID), Namespace: run.Namespace, Name: run.Name}
	record, err := r.State.Request(ctx, string(er.UID))
	switch {
	case errors.Is(err, state.ErrNotFound) && !real:
		if task.SubjectPseudonym, err = r.Pseudonyms.Subject(ctx, er.Namespace, er.Spec.Subject.ID); err != nil {
			return nil, err
		}
	case err != nil && !errors.Is(err, state.ErrNotFound):
		return nil, err
	case real && (record == nil || record.ProcessingStartedAt == nil || record.RunName != run.Name || run.Spec.Request.UID != string(er.UID)):
		return nil, fault.Terminalf(v1alpha1.ReasonInvalidSpec,
			"this run was not made by the operator for a request that is being processed; create an ErasureRequest, or set dryRun")
	default:
		task.Handle, task.SubjectPseudonym = record.Handle, record.SubjectPseudonym
	}
	task.Request, err = r.requestFacts(ctx, &er, record)
	return task, err
}

// requestFacts gathers what a plan is made from. Once a run has effects its pinned material is used instead, so that
// maps which are gone or not Ready by then do not stop it.
func (r *DeletionRunReconciler) requestFacts(ctx context.Context, er *v1alpha1.ErasureRequest, record *state.Request) (*executor.RequestTask, error) {
	facts := &executor.RequestTask{UID: string(er.UID), Name: er.Name, Scope: er.Spec.Scope, Identities: r.identities(er, record),
		Forced: record != nil && record.Forced}
	if run, err := r.State.Run(ctx, string(er.UID)); err == nil && run.Effects {
		return facts, nil
	}
	maps, v, err := readyMaps(ctx, r.Client, er)
	if err != nil {
		return nil, err
	}
	facts.Maps = maps
	if v.Action != policy.Proceed {
		facts.Maps = []planner.MapSource{}
		facts.Identities = func(context.Context) (map[string][]string, error) {
			return nil, &fault.Waiting{Reason: v.Reason, Message: v.Message, After: time.Minute}
		}
	}
	return facts, nil
}

func (r *DeletionRunReconciler) identities(er *v1alpha1.ErasureRequest, record *state.Request) func(context.Context) (map[string][]string, error) {
	return func(ctx context.Context) (map[string][]string, error) {
		identities, _, err := r.Identities.Of(ctx, er, record)
		return identities, err
	}
}

// project writes the record into the status.
func (r *DeletionRunReconciler) project(run *v1alpha1.DeletionRun, record *state.Run) {
	st := &run.Status
	st.Phase, st.PlanDigest, st.PlanRevision, st.Attempts = v1alpha1.Phase(record.Phase), record.PlanDigest, int32(record.PlanRevision), int32(record.Attempts)
	st.StartedAt, st.FinishedAt = seconds(record.StartedAt), seconds(record.FinishedAt)
	var result executor.Outcome
	if len(record.Outcome) > 0 {
		_ = json.Unmarshal(record.Outcome, &result)
	}
	st.Counts, st.Retained = result.Counts, result.Retained[:min(len(result.Retained), maxRetained)]
	st.Steps = []v1alpha1.RunStep{{Name: "notify", State: v1alpha1.StepSkipped, Reason: v1alpha1.ReasonNotConfigured}}
	var planned, done int64
	for _, s := range record.Steps {
		step := v1alpha1.RunStep{Name: s.Name, State: v1alpha1.StepState(s.State), Done: s.Done, Planned: s.Planned}
		planned, done = planned+step.Planned, done+step.Done
		if len(st.Steps) < maxSteps {
			st.Steps = append(st.Steps, step)
		}
	}
	if len(record.Steps) > 0 {
		st.Progress = fmt.Sprintf("%d/%d", done, planned)
	}
}

// handle is that of the request that a run executes, or left something for it to do; empty for others.
func (r *DeletionRunReconciler) handle(ctx context.Context, key client.ObjectKey) string {
	var run v1alpha1.DeletionRun
	if r.Get(ctx, key, &run) != nil {
		return ""
	}
	name := run.Annotations[v1alpha1.AnnotationRequest]
	if run.Spec.Request != nil {
		name = run.Spec.Request.Name
	}
	if name == "" {
		return ""
	}
	return handleOf(ctx, r, client.ObjectKey{Namespace: key.Namespace, Name: name})
}

// SetupWithManager registers the controller. A run makes its own progress; a request's command reaches it as an
// annotation, and what a run may wait for wakes it: holds, maps and stores of its namespace.
func (r *DeletionRunReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.DeletionRun{}, indexUnfinishedRun, func(obj client.Object) []string {
		run, ok := obj.(*v1alpha1.DeletionRun)
		if !ok || run.Spec.DryRun || run.Status.Phase.Finished() {
			return nil
		}
		return []string{"true"}
	})
	if err != nil {
		return err
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ErasureRequest{}, indexRun, byRun); err != nil {
		return err
	}
	concurrency := r.Concurrency
	if concurrency == 0 {
		concurrency = 4
	}
	wake := ofNamespace(r, &v1alpha1.DeletionRunList{}, client.MatchingFields{indexUnfinishedRun: "true"})
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.DeletionRun{}, builder.WithPredicates(specOrCommandChanged())).
		Watches(&v1alpha1.ErasureRequest{}, handler.EnqueueRequestsFromMapFunc(runOfRequest), builder.WithPredicates(requestEnded())).
		Watches(&v1alpha1.RetentionPolicy{}, wake, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.LegalHold{}, wake, builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.PersonalDataMap{}, wake, builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.DataStore{}, wake, builder.WithPredicates(readyChanged{})).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		WithLogConstructor(loggerOf(mgr.GetLogger(), "deletionrun", "DeletionRun", func(key client.ObjectKey) string { return r.handle(ctx, key) })). // after the options, which replace all
		Complete(r)
}
