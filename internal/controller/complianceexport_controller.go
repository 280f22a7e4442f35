package controller

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/crash"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/projection"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/stores"
)

var (
	crashExportStarted  = crash.Define("export/started")
	crashExportWritten  = crash.Define("export/written")
	crashExportRecorded = crash.Define("export/recorded")
	crashExportPurged   = crash.Define("export/purged")
)

const (
	// progressInterval is how often the status of an export under way is written at most.
	progressInterval = 10 * time.Second
	// exportsTogether is how many exports are made at one time.
	exportsTogether = 2
)

// errExportDeleted ends an export whose object was deleted meanwhile.
var errExportDeleted = errors.New("the export was deleted")

// ComplianceExportReconciler makes exports. What became of one stands in the ledger, under keys that its UID tells: status is a
// projection of it. A file is made from the checkpoint that its start has put on record, so that it is the same file again
// after a crash.
type ComplianceExportReconciler struct {
	client.Client
	Journal    *journal.Journal
	Projection projection.Reader
	// Storage is nil where the operator keeps no files.
	Storage *export.Storage
	Stores  *stores.Pool
	Clock   clock.PassiveClock
	// LedgerName is that of the ledger without the origin.
	LedgerName string
	Recorder   events.EventRecorder
	Stamps     *stamp.Sealer
	// Admission is true where admission asks who may export the access log.
	Admission bool
	// layout is held by whoever lays out a PDF, which takes memory.
	layout sync.Mutex
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=complianceexports,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=complianceexports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=complianceexports/finalizers,verbs=update

// Reconcile makes one export, or purges it.
func (r *ComplianceExportReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var x v1alpha1.ComplianceExport
	if err := r.Get(ctx, req.NamespacedName, &x); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	w := &exportWork{ComplianceExportReconciler: r, x: &x, read: x.DeepCopy()}
	if !x.DeletionTimestamp.IsZero() {
		return w.release(ctx)
	}
	if err := setFinalizer(ctx, r.Client, &x, true); err != nil {
		return result(outcome{}, err)
	}
	w.read = x.DeepCopy()
	o, err := w.advance(ctx)
	if errors.Is(err, errExportDeleted) {
		return w.release(ctx)
	}
	if err != nil {
		o, err = fromError(err)
	}
	if x.Status.Phase == "" {
		x.Status.Phase = v1alpha1.ExportProcessing
	}
	return publish(ctx, r.Client, r.Recorder, &x, w.read, o, err)
}

// exportWork is one look at one export.
type exportWork struct {
	*ComplianceExportReconciler
	x, read *v1alpha1.ComplianceExport
}

// advance does what is next.
func (w *exportWork) advance(ctx context.Context) (outcome, error) {
	if purged, err := w.find(ctx, "purged"); err != nil || purged != nil {
		return w.purged(), err
	}
	if failed, err := w.find(ctx, "failed"); err != nil || failed != nil {
		return w.failed(failed), err
	}
	completed, err := w.find(ctx, "completed")
	if err != nil {
		return outcome{}, err
	}
	started, err := w.find(ctx, "started")
	if err != nil {
		return outcome{}, err
	}
	if completed != nil && started != nil {
		return w.keep(ctx, started, completed)
	}
	err = w.make(ctx, started)
	if final := finalError(err); final != nil {
		return w.fail(ctx, final)
	}
	if err != nil {
		return outcome{}, err
	}
	if started, err = w.find(ctx, "started"); err == nil {
		completed, err = w.find(ctx, "completed")
	}
	if err != nil || started == nil || completed == nil {
		return outcome{}, errors.Join(err, errors.New("what was recorded of the export is not in the ledger"))
	}
	return w.keep(ctx, started, completed)
}

// find is the entry on what became of the export, nil if there is none.
func (w *exportWork) find(ctx context.Context, what string) (*ledger.Record, error) {
	record, err := w.Journal.Ledger.Find(ctx, w.x.Namespace, export.Key(string(w.x.UID), what))
	if errors.Is(err, ledger.ErrNotFound) {
		return nil, nil
	}
	return &record, err
}

// record appends what became of the export.
func (w *exportWork) record(ctx context.Context, what string, e ledger.Entry) error {
	uid := string(w.x.UID)
	e.Key = export.Key(uid, what)
	attributes := map[string]string{export.AttributeExport: uid, export.AttributeLog: string(w.x.Spec.Log), export.AttributeFormat: string(w.x.Spec.Format)}
	for name, value := range e.Attributes {
		if value != "" {
			attributes[name] = value
		}
	}
	e.Attributes = attributes
	return w.Journal.Append(ctx, w.x.Namespace, e)
}

// requester is who admission saw ask. An export of the access log counts as asked for only by a stamp that was given for it.
func (w *exportWork) requester() (name string, known bool) {
	st, known := w.Stamps.Read("ComplianceExport", w.x, v1alpha1.AnnotationRequestedBy, RequestedValue(w.x))
	return stamp.Name(st, known), known
}

// RequestedValue is what the stamp on the creation of an export is bound to.
func RequestedValue(x *v1alpha1.ComplianceExport) string {
	if x.Spec.Log == v1alpha1.LogAccess {
		return v1alpha1.ResourceAccessLogs
	}
	return ""
}

// fail puts on record that the export will not be made.
func (w *exportWork) fail(ctx context.Context, cause *fault.Terminal) (outcome, error) {
	actor, _ := w.requester()
	if err := w.record(ctx, "failed", ledger.Entry{Kind: ledger.KindExportFailed, Actor: actor, Reason: cause.Reason}); err != nil {
		return outcome{}, err
	}
	w.x.Status.Phase, w.x.Status.RequestedBy = v1alpha1.ExportFailed, actor
	return stalled(cause.Reason, cause.Message, 0), nil
}

// failed shows a failure that is on record.
func (w *exportWork) failed(record *ledger.Record) outcome {
	if record == nil {
		return outcome{}
	}
	w.x.Status.Phase, w.x.Status.RequestedBy = v1alpha1.ExportFailed, record.Entry.Actor
	o := stalled(record.Entry.Reason, "the export failed; make another one when the cause is gone", 0)
	for _, c := range w.read.Status.Conditions { // the ledger does not hold the message
		if c.Type == v1alpha1.ConditionReady && c.Reason == record.Entry.Reason {
			o.message = c.Message
		}
	}
	return o
}

// finalError tells which errors no waiting mends: an export never changes, so another one has to be made.
func finalError(err error) *fault.Terminal {
	var terminal *fault.Terminal
	for cause, reason := range map[error]string{export.ErrInvalid: v1alpha1.ReasonInvalidSpec, export.ErrTooLarge: v1alpha1.ReasonExportTooLarge,
		export.ErrQuota: v1alpha1.ReasonQuotaExceeded, export.ErrFull: v1alpha1.ReasonStorageFull} {
		if errors.Is(err, cause) {
			return &fault.Terminal{Reason: reason, Message: err.Error(), Err: err}
		}
	}
	if errors.As(err, &terminal) {
		return terminal
	}
	return nil
}

// keep shows a complete export, and purges it when its time has come.
func (w *exportWork) keep(ctx context.Context, started, completed *ledger.Record) (outcome, error) {
	if err := w.show(ctx, started, completed); err != nil {
		return outcome{}, err
	}
	left := w.x.Status.ExpiresAt.Sub(w.Clock.Now())
	if left <= 0 {
		if err := w.purge(ctx, "Expired"); err != nil {
			return outcome{}, err
		}
		return w.purged(), nil
	}
	if err := w.present(ctx, started, completed); err != nil {
		return outcome{}, err
	}
	o := ready(v1alpha1.ReasonExported, fmt.Sprintf("%d records, to be purged at %s", w.x.Status.Records, w.x.Status.ExpiresAt.UTC().Format(time.RFC3339)))
	o.requeue = policy.Hint(left)
	return o, nil
}

func (w *exportWork) purged() outcome {
	w.x.Status.Phase, w.x.Status.Location = v1alpha1.ExportCompleted, ""
	return ready(v1alpha1.ReasonPurged, "the file was removed at the end of its archive retention; delete the object when nobody needs it any more")
}

// purge removes the file, and puts that on record.
func (w *exportWork) purge(ctx context.Context, why string) error {
	if err := w.remove(ctx); err != nil {
		return err
	}
	crashExportPurged.Hit()
	return w.record(ctx, "purged", ledger.Entry{Kind: ledger.KindExportPurged, Reason: why})
}

// release removes the file of an export that was deleted, and lets the object go.
func (w *exportWork) release(ctx context.Context) (ctrl.Result, error) {
	err := w.forget(ctx)
	if err == nil {
		return ctrl.Result{}, setFinalizer(ctx, w.Client, w.x, false)
	}
	o, err := fromError(err)
	return publish(ctx, w.Client, w.Recorder, w.x, w.read, o, err)
}

func (w *exportWork) forget(ctx context.Context) error {
	started, err := w.find(ctx, "started")
	if err != nil || started == nil {
		return err
	}
	purged, err := w.find(ctx, "purged")
	if err != nil || purged != nil {
		return err
	}
	completed, err := w.find(ctx, "completed")
	if err != nil {
		return err
	}
	if completed == nil {
		return w.remove(ctx)
	}
	return w.purge(ctx, "Deleted")
}

// SetupWithManager registers the controller.
func (r *ComplianceExportReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.ComplianceExport{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		WithOptions(controller.Options{MaxConcurrentReconciles: exportsTogether}).
		Complete(r)
}
