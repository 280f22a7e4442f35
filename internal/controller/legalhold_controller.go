package controller

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/crash"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/state"
)

var (
	crashHoldPlaced = crash.Define("hold/placed")
	crashHoldLifted = crash.Define("hold/lifted")
)

// LegalHoldReconciler puts holds into force in the state store, where runs read them under a lock.
type LegalHoldReconciler struct {
	client.Client
	State      state.Store
	Journal    *journal.Journal
	Pseudonyms *Pseudonyms
	Clock      clock.PassiveClock
	Recorder   events.EventRecorder
	// Stamps tells what admission has stamped from what somebody else wrote.
	Stamps *stamp.Sealer
	// Governance records what is applied.
	Governance *Governance
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=legalholds,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=legalholds/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=legalholds/finalizers,verbs=update

// Reconcile places or lifts one hold.
func (r *LegalHoldReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var h v1alpha1.LegalHold
	if err := r.Get(ctx, req.NamespacedName, &h); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if h.Spec.Lifted {
		return r.lifted(ctx, &h)
	}
	if h.DeletionTimestamp.IsZero() {
		// The finalizer stands before the hold is in force: from then on deleting the object cannot end it.
		if err := setFinalizer(ctx, r.Client, &h, true); err != nil {
			return result(outcome{}, err)
		}
	}
	read := h.DeepCopy()
	since, err := r.place(ctx, &h)
	if err != nil {
		return r.finish(ctx, &h, read, outcome{}, err)
	}
	h.Status.InForceSince = &metav1.Time{Time: since}
	o := ready(v1alpha1.ReasonInForce, "the hold is in force; only spec.lifted ends it")
	if !h.DeletionTimestamp.IsZero() {
		o.message = "the object was deleted, the hold stays in force: set spec.lifted to end it"
	}
	// A hold is taken even while the ledger is away; its entry follows.
	if err := r.record(ctx, &h, "placed", ledger.KindHoldPlaced); err != nil {
		_, why := fault.Public(err)
		o.message += "; it is not in the ledger yet: " + why
		o.requeue = time.Minute
		return r.finish(ctx, &h, read, o, nil)
	}
	if until := h.Spec.ExpectedUntil; until != nil {
		if left := until.Sub(r.Clock.Now()); left > 0 {
			o.requeue = min(left+time.Second, time.Hour)
		} else {
			o.message += "; its expected end has passed: review it"
		}
	}
	return r.finish(ctx, &h, read, o, nil)
}

// place brings the hold into force and tells since when.
func (r *LegalHoldReconciler) place(ctx context.Context, h *v1alpha1.LegalHold) (time.Time, error) {
	known, err := r.State.Hold(ctx, string(h.UID))
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return time.Time{}, err
	}
	hold := state.Hold{UID: string(h.UID), Namespace: h.Namespace, Name: h.Name, InForceSince: r.Clock.Now().UTC()}
	for _, id := range h.Spec.Subjects {
		p, err := r.Pseudonyms.Subject(ctx, h.Namespace, id)
		if err != nil {
			return time.Time{}, err
		}
		hold.SubjectPseudonyms = append(hold.SubjectPseudonyms, p)
	}
	if known != nil && slices.Equal(known.SubjectPseudonyms, hold.SubjectPseudonyms) { // else their key was destroyed since
		return known.InForceSince, nil
	}
	if hold.Records, err = holdRecords(h); err != nil {
		return time.Time{}, err
	}
	if err := r.State.PlaceHold(ctx, hold); err != nil {
		return time.Time{}, err
	}
	crashHoldPlaced.Hit()
	if known != nil {
		return known.InForceSince, nil
	}
	return hold.InForceSince, nil
}

// record appends what became of the hold to the ledger, once.
func (r *LegalHoldReconciler) record(ctx context.Context, h *v1alpha1.LegalHold, what, kind string) error {
	annotation, value := v1alpha1.AnnotationRequestedBy, ""
	if kind == ledger.KindHoldLifted {
		annotation, value = v1alpha1.AnnotationLiftedBy, "true"
	}
	actor := stamp.Name(r.Stamps.Read("LegalHold", h, annotation, value))
	return r.Journal.Append(ctx, h.Namespace, ledger.Entry{Key: "hold/" + string(h.UID) + "/" + what, Kind: kind, Actor: actor,
		Attributes: map[string]string{"hold": string(h.UID)}})
}

func holdRecords(h *v1alpha1.LegalHold) (json.RawMessage, error) {
	if len(h.Spec.Records) == 0 {
		return nil, nil
	}
	var records []planner.HoldRecord
	for _, s := range h.Spec.Records {
		records = append(records, planner.HoldRecord{Map: s.Map, Entity: s.Entity, Conditions: s.Conditions})
	}
	return json.Marshal(records)
}

// lifted ends the hold in the state store, then says so, then lets the object go.
func (r *LegalHoldReconciler) lifted(ctx context.Context, h *v1alpha1.LegalHold) (ctrl.Result, error) {
	read := h.DeepCopy()
	at, err := r.lift(ctx, h)
	if err != nil {
		return r.finish(ctx, h, read, outcome{}, err)
	}
	h.Status.LiftedAt = &metav1.Time{Time: at}
	if res, err := r.finish(ctx, h, read, ready(v1alpha1.ReasonLifted, "the hold is lifted"), nil); err != nil || res.RequeueAfter > 0 {
		return res, err
	}
	return ctrl.Result{}, setFinalizer(ctx, r.Client, h, false)
}

func (r *LegalHoldReconciler) lift(ctx context.Context, h *v1alpha1.LegalHold) (time.Time, error) {
	now := r.Clock.Now().UTC()
	known, err := r.State.Hold(ctx, string(h.UID))
	if errors.Is(err, state.ErrNotFound) {
		return now, nil
	}
	if err != nil {
		return now, err
	}
	if known.LiftedAt != nil {
		return *known.LiftedAt, nil
	}
	if err := r.record(ctx, h, "lifted", ledger.KindHoldLifted); err != nil {
		return now, err
	}
	if err := r.State.Update(ctx, func(tx state.Tx) error { return tx.LiftHold(string(h.UID), now) }); err != nil {
		return now, err
	}
	crashHoldLifted.Hit()
	return now, nil
}

func (r *LegalHoldReconciler) finish(ctx context.Context, h, read *v1alpha1.LegalHold, o outcome, err error) (ctrl.Result, error) {
	if err != nil {
		o, err = fromError(err)
	}
	again := r.Governance.Record(ctx, "LegalHold", h)
	res, err := publish(ctx, r.Client, r.Recorder, h, read, o, err)
	return sooner(again, res, err)
}

// SetupWithManager registers the controller.
func (r *LegalHoldReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).For(&v1alpha1.LegalHold{}).Complete(r)
}
