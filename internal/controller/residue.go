package controller

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

// maxDueResidues is how many the first look at the state store asks for.
const maxDueResidues = 100

// ResidueWatch makes a DeletionRun for each residue whose date has come and whose holds are lifted.
type ResidueWatch struct {
	client.Client
	State   state.Store
	Clock   clock.PassiveClock
	Witness Witness
	Log     logr.Logger
	// Interval between two looks. Default 30 s.
	Interval time.Duration
}

// NeedLeaderElection tells that one operator at a time does this.
func (w *ResidueWatch) NeedLeaderElection() bool { return true }

// Start looks for due residues until the context ends.
func (w *ResidueWatch) Start(ctx context.Context) error {
	every(ctx, w.Interval, w.look, func(err error) {
		w.Log.Info("due residues were not looked at; the next look will", "reason", apierrors.ReasonForError(err))
	})
	return nil
}

// every looks in an interval, of 30 s by default, until the context ends, and tells of each look that failed.
func every(ctx context.Context, interval time.Duration, look func(context.Context) error, failed func(error)) {
	if interval == 0 {
		interval = 30 * time.Second
	}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := look(ctx); err != nil && ctx.Err() == nil {
			failed(err)
		}
	}, interval)
}

func (w *ResidueWatch) look(ctx context.Context) error {
	due, err := w.due(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	witness, err := w.Witness.Now(ctx)
	if err != nil {
		return err
	}
	// One that cannot go, for example because its namespace is going away, does not keep the others.
	var errs []error
	for i := range due {
		if err := w.begin(ctx, &due[i], witness); err != nil {
			w.Log.Info("a residue that is due cannot be deleted yet", "residue", due[i].ID, "namespace", due[i].Namespace, "reason", apierrors.ReasonForError(err))
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// due are all residues that are due: those that wait for something must not crowd out the others.
func (w *ResidueWatch) due(ctx context.Context) ([]state.Residue, error) {
	for limit := maxDueResidues; ; limit *= 10 {
		due, err := w.State.DueResidues(ctx, w.Clock.Now().UTC(), limit)
		if err != nil || len(due) < limit {
			return due, err
		}
	}
}

func (w *ResidueWatch) begin(ctx context.Context, residue *state.Residue, witness time.Time) error {
	ready, err := executor.ResidueDue(ctx, w.State, residue, w.Clock.Now())
	if err != nil || !ready {
		return err
	}
	at := residue.CreatedAt
	if residue.Until != nil {
		at = *residue.Until
	}
	if v := policy.Reached(at, w.Clock.Now().UTC(), witness); v.Action != policy.Proceed {
		w.Log.Info("a residue waits", "residue", residue.ID, "reason", v.Reason)
		return nil
	}
	return w.createRun(ctx, residue)
}

func (w *ResidueWatch) createRun(ctx context.Context, residue *state.Residue) error {
	run := &v1alpha1.DeletionRun{
		ObjectMeta: metav1.ObjectMeta{Name: "residue-" + residue.ID, Namespace: residue.Namespace, Finalizers: []string{v1alpha1.Finalizer},
			Labels:      map[string]string{LabelRequest: labelValue(residue.RequestName), LabelResidue: residue.ID},
			Annotations: map[string]string{v1alpha1.AnnotationRequest: residue.RequestName}},
		Spec: v1alpha1.DeletionRunSpec{Residue: &v1alpha1.ResidueReference{ID: residue.ID}},
	}
	if w.Get(ctx, client.ObjectKeyFromObject(run), &v1alpha1.DeletionRun{}) == nil {
		return nil
	}
	err := w.Create(ctx, run)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
