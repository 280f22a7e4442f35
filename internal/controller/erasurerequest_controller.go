package controller

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/crash"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/state"
)

// The places where the death of the process would be worst.
var (
	crashReceived         = crash.Define("request/received")
	crashReceivedRecorded = crash.Define("request/received-recorded")
	crashConfirmRecorded  = crash.Define("request/confirm-recorded")
	crashConfirmed        = crash.Define("request/confirmed")
	crashDeactivated      = crash.Define("request/deactivated-in-store")
	crashDeactivationSet  = crash.Define("request/deactivation-saved")
	crashBegun            = crash.Define("request/begun-in-status")
	crashProcessing       = crash.Define("request/processing-saved")
	crashRunCreated       = crash.Define("request/run-created")
	crashReactivated      = crash.Define("request/reactivated-in-store")
	crashEndRecorded      = crash.Define("request/end-recorded")
	crashEnded            = crash.Define("request/ended")
	crashCleaned          = crash.Define("request/identities-destroyed")
	crashCertificate      = crash.Define("request/certificate-published")
	crashOrphanEnded      = crash.Define("request/orphan-ended")
	crashOrphanReleased   = crash.Define("request/orphan-released")
)

// Indexes of the cache.
const (
	// indexWaiting has the requests that wait for something else than time, by "true".
	indexWaiting = "waiting"
	// indexAwaitsOther has the requests that wait for the end of another one, by "true".
	indexAwaitsOther = "awaitsOther"
	// indexUnfinishedRun has the runs that are not finished, by "true".
	indexUnfinishedRun = "unfinishedRun"
)

// ErasureRequestReconciler leads requests from the door to their end.
type ErasureRequestReconciler struct {
	client.Client
	// Secrets reads past the cache: Secrets, which are not in it, and requests, of which only a part is.
	Secrets    client.Reader
	State      state.Store
	Journal    *journal.Journal
	Keys       keys.Store
	Pseudonyms *Pseudonyms
	Identities *Identities
	Stores     executor.Stores
	Clock      clock.PassiveClock
	Witness    Witness
	Recorder   events.EventRecorder
	// Admission is true where admission verifies who approves.
	Admission bool
	// Stamps tells what admission has stamped from what somebody else wrote.
	Stamps *stamp.Sealer
	// Concurrency is how many requests are reconciled at once. Default 4.
	Concurrency int
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=erasurerequests,verbs=get;list;watch;create;update;patch;delete;expedite;force
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=erasurerequests/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=erasurerequests/finalizers,verbs=update

// session is one reconcile of one request.
type session struct {
	*ErasureRequestReconciler
	er, read *v1alpha1.ErasureRequest
	record   *state.Request
	// recorded is true where the run has recorded the end in the ledger, with its counts.
	recorded bool
	// again is true where somebody asked to look again.
	again bool
	// retryAwaited is true where the failed run has not yet followed a retry.
	retryAwaited bool
	// orphanEnded is true where a claim ended a request whose object is gone, which may have changed the subject's records.
	orphanEnded bool
	// handleLogged is true where the lines of the log have the handle from the beginning.
	handleLogged bool
}

// dueFirst is the priority of a request whose time comes within the hour, above those that are only looked at.
const dueFirst = 1

// Reconcile leads one request on. Most requests wait most of the time: that costs one look at the record.
func (r *ErasureRequestReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &session{ErasureRequestReconciler: r, er: &v1alpha1.ErasureRequest{}}
	if err := r.Get(ctx, req.NamespacedName, s.er); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	s.handleLogged = s.er.Status.Handle != ""
	if err := s.recall(ctx); err != nil {
		return ctrl.Result{}, err
	}
	if s.waits() {
		return s.later(), nil
	}
	if err := s.readLive(ctx, req); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if s.er.DeletionTimestamp.IsZero() {
		if err := setFinalizer(ctx, r.Client, s.er, true); err != nil {
			return result(outcome{}, err)
		}
	}
	s.read = s.er.DeepCopy()
	o, err := s.steps(ctx)
	res, err := s.finish(ctx, o, err)
	if err == nil && o.reason == v1alpha1.ReasonGracePeriod {
		res.Priority = s.later().Priority
	}
	return res, err
}

// recall reads the record.
func (s *session) recall(ctx context.Context) error {
	record, err := s.State.Request(ctx, string(s.er.UID))
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	s.record = record
	return nil
}

// readLive reads the request itself, of which the cache has only a part.
func (s *session) readLive(ctx context.Context, req ctrl.Request) error {
	cached := s.er.UID
	s.er = &v1alpha1.ErasureRequest{}
	if err := s.Secrets.Get(ctx, req.NamespacedName, s.er); err != nil {
		return err
	}
	s.er.ManagedFields = nil
	if s.er.UID == cached {
		return nil
	}
	return s.recall(ctx)
}

// waits tells whether the request only waits for its time, so that there is nothing to do and nothing to show. The record
// decides; what the cache has of the status only tells whether it shows that already.
func (s *session) waits() bool {
	er, r := s.er, s.record
	if r == nil || r.ConfirmedAt == nil || r.ScheduledAt == nil || r.ProcessingStartedAt != nil || s.finished() || r.DeactivationState == deactivationIntended {
		return false
	}
	now := s.now()
	var known v1alpha1.AcknowledgedCommands
	decode(r.Acknowledged, &known)
	asked := s.asked()
	switch {
	case !now.Before(*r.ScheduledAt), !er.DeletionTimestamp.IsZero(), !controllerutil.ContainsFinalizer(er, v1alpha1.Finalizer):
		return false
	case er.Spec.Cancelled, er.Spec.Timing != v1alpha1.Timing(r.Timing), asked != known && asked != (v1alpha1.AcknowledgedCommands{}):
		return false
	}
	reason, _, risk := policy.Risk(now, r.DueAt, r.ScheduledAt, false)
	st := &er.Status
	return st.ObservedGeneration == er.Generation && st.Phase == v1alpha1.Phase(r.Phase) && st.ProcessingStartedAt == nil && st.FinishedAt == nil &&
		sameTime(st.ScheduledAt, r.ScheduledAt) && sameTime(st.DueAt, &r.DueAt) &&
		shows(st.Conditions, v1alpha1.ConditionReady, false, v1alpha1.ReasonGracePeriod) && shows(st.Conditions, v1alpha1.ConditionOverdueRisk, risk, reason)
}

func shows(conditions []metav1.Condition, kind string, status bool, reason string) bool {
	c := meta.FindStatusCondition(conditions, kind)
	return c != nil && (c.Status == metav1.ConditionTrue) == status && c.Reason == reason
}

// later is when to look at a waiting request again. Where that is its time, it goes before all those that go on waiting.
func (s *session) later() ctrl.Result {
	left := s.record.ScheduledAt.Sub(s.now())
	priority := handler.LowPriority
	if left <= policy.MaxRequeue {
		priority = dueFirst
	}
	return ctrl.Result{RequeueAfter: policy.Hint(left), Priority: &priority}
}

// steps is the life of a request, in its order.
func (s *session) steps(ctx context.Context) (outcome, error) {
	if s.record == nil {
		if !s.er.DeletionTimestamp.IsZero() {
			return outcome{}, nil // never received: nothing to undo
		}
		if o, done, err := s.receive(ctx); done || err != nil {
			return o, err
		}
	}
	if o, done, err := s.commands(ctx); done || err != nil {
		return o, err
	}
	switch {
	case s.finished():
		return s.afterEnd(ctx)
	case s.record.ProcessingStartedAt != nil:
		return s.process(ctx)
	case (s.er.Spec.Cancelled || !s.er.DeletionTimestamp.IsZero()) && !s.begun():
		return s.cancel(ctx)
	case s.record.ConfirmedAt == nil:
		if o, done, err := s.check(ctx); done || err != nil {
			return o, err
		}
	}
	return s.grace(ctx)
}

// begun tells whether the point of no return stands in the status and not yet in the record, because the process died
// between the two: then it is too late to cancel. The status alone begins nothing, and nothing early.
func (s *session) begun() bool {
	at := s.record.ScheduledAt
	return s.er.Status.ProcessingStartedAt != nil && at != nil && !s.now().Before(*at)
}

// finished tells whether the request has ended for good.
func (s *session) finished() bool {
	switch s.record.Stage {
	case v1alpha1.ReasonAbandoned, v1alpha1.ReasonNamespaceDeleted, v1alpha1.ReasonRequestGone:
		return true
	}
	return v1alpha1.Phase(s.record.Phase).Finished()
}

// finish projects record and outcome into the status with one write, and lets a deleted object go that has ended.
func (s *session) finish(ctx context.Context, o outcome, err error) (ctrl.Result, error) {
	if err != nil {
		o, err = fromError(err)
	}
	gone := !s.er.DeletionTimestamp.IsZero() && (s.record == nil || s.finished())
	if gone && err == nil && o.requeue == 0 {
		return ctrl.Result{}, s.letGo(ctx)
	}
	s.project(ctx, o)
	if perr := patchStatus(ctx, s.Client, s.er, s.read); perr != nil {
		return result(o, client.IgnoreNotFound(perr))
	}
	transition(s.named(ctx), s.Recorder, s.er, s.read, o.stalled || s.er.Status.Phase == v1alpha1.PhaseFailed)
	s.alert()
	return result(o, err)
}

func (s *session) letGo(ctx context.Context) error {
	return setFinalizer(ctx, s.Client, s.er, false)
}

func (s *session) now() time.Time { return s.Clock.Now().UTC() }

// save writes the record; its revision guards against a second writer.
func (s *session) save(ctx context.Context, also ...func(state.Tx) error) error {
	return s.State.Update(ctx, func(tx state.Tx) error {
		for _, f := range also {
			if err := f(tx); err != nil {
				return err
			}
		}
		return tx.PutRequest(s.record)
	})
}

// journal appends an entry of this request; key is unique within it.
func (s *session) journal(ctx context.Context, key string, e ledger.Entry) error {
	e.Key, e.Handle = s.record.Handle+"/"+key, s.record.Handle
	return s.Journal.Append(ctx, s.er.Namespace, e)
}

// alert emits a warning when the statutory due date comes to be at risk.
func (s *session) alert() {
	was := meta.FindStatusCondition(s.read.Status.Conditions, v1alpha1.ConditionOverdueRisk)
	is := meta.FindStatusCondition(s.er.Status.Conditions, v1alpha1.ConditionOverdueRisk)
	if is == nil || is.Status != metav1.ConditionTrue || (was != nil && was.Status == is.Status && was.Reason == is.Reason) {
		return
	}
	s.Recorder.Eventf(s.er, nil, "Warning", is.Reason, "Reconcile", "%s", is.Message)
}

// waiting tells whether a request waits for something that a map, a policy or a hold may bring about. One in its grace
// period waits for time alone, and there may be very many of those.
func waiting(er *v1alpha1.ErasureRequest) bool {
	if er.Status.Phase.Finished() {
		return false
	}
	ready := meta.FindStatusCondition(er.Status.Conditions, v1alpha1.ConditionReady)
	return ready == nil || (ready.Reason != v1alpha1.ReasonGracePeriod && ready.Reason != v1alpha1.ReasonProcessing)
}

// SetupWithManager registers the controller. What a waiting request waits for wakes it: maps, policies and holds of its
// namespace, and the end of another request for the same subject. Its runs wake it always.
func (r *ErasureRequestReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	for index, has := range map[string]func(*v1alpha1.ErasureRequest) bool{indexWaiting: waiting, indexAwaitsOther: awaitsOther} {
		err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ErasureRequest{}, index, func(obj client.Object) []string {
			if er, ok := obj.(*v1alpha1.ErasureRequest); !ok || !has(er) {
				return nil
			}
			return []string{"true"}
		})
		if err != nil {
			return err
		}
	}
	wake := ofNamespace(r, &v1alpha1.ErasureRequestList{}, client.MatchingFields{indexWaiting: "true"})
	concurrency := r.Concurrency
	if concurrency == 0 {
		concurrency = 4
	}
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.ErasureRequest{}, builder.WithPredicates(specOrCommandChanged())).
		Watches(&v1alpha1.DeletionRun{}, handler.EnqueueRequestsFromMapFunc(requestOfRun), builder.WithPredicates(runMoved())).
		Watches(&v1alpha1.PersonalDataMap{}, wake, builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.RetentionPolicy{}, wake, builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.LegalHold{}, wake, builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.ErasureRequest{}, ofNamespace(r, &v1alpha1.ErasureRequestList{}, client.MatchingFields{indexAwaitsOther: "true"}),
			builder.WithPredicates(requestEnded())).
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrency}).
		WithLogConstructor(loggerOf(mgr.GetLogger(), "erasurerequest", "ErasureRequest", func(key client.ObjectKey) string { return handleOf(ctx, r, key) })). // after the options, which replace all
		Complete(r)
}

// runMoved passes the events of runs that tell their request something: not its own making of one, nor each step.
func runMoved() predicate.Predicate {
	said := func(obj client.Object) (text string) {
		if run, ok := obj.(*v1alpha1.DeletionRun); ok {
			if ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady); ready != nil {
				text = ready.Reason + ": " + ready.Message
			}
			text += " " + string(run.Status.Phase)
		}
		return text
	}
	return predicate.Funcs{
		CreateFunc: func(ctrlevent.CreateEvent) bool { return false }, // whoever finds it when the operator starts looks at the request too
		UpdateFunc: func(e ctrlevent.UpdateEvent) bool { return said(e.ObjectOld) != said(e.ObjectNew) },
	}
}

func requestOfRun(_ context.Context, obj client.Object) []reconcile.Request {
	run, ok := obj.(*v1alpha1.DeletionRun)
	if !ok || run.Spec.DryRun {
		return nil
	}
	name := run.Annotations[v1alpha1.AnnotationRequest] // a label may be too short for it
	if run.Spec.Request != nil {
		name = run.Spec.Request.Name
	}
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: run.Namespace, Name: name}}}
}

// hint is when to look at a time again.
func (s *session) hint(at time.Time) time.Duration { return policy.Hint(at.Sub(s.now())) }
