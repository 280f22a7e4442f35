package controller

import (
	"context"
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

// maxDueResidues that one look turns into runs.
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
	interval := w.Interval
	if interval == 0 {
		interval = 30 * time.Second
	}
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		if err := w.look(ctx); err != nil {
			w.Log.Info("due residues were not looked at; the next look will", "reason", apierrors.ReasonForError(err))
		}
	}, interval)
	return nil
}

func (w *ResidueWatch) look(ctx context.Context) error {
	due, err := w.State.DueResidues(ctx, w.Clock.Now().UTC(), maxDueResidues)
	if err != nil || len(due) == 0 {
		return err
	}
	witness, err := w.Witness.Now(ctx)
	if err != nil {
		return err
	}
	for _, residue := range due {
		if ready, err := executor.ResidueDue(ctx, w.State, &residue, w.Clock.Now()); err != nil || !ready {
			if err != nil {
				return err
			}
			continue
		}
		at := residue.CreatedAt
		if residue.Until != nil {
			at = *residue.Until
		}
		if v := policy.Reached(at, w.Clock.Now().UTC(), witness); v.Action != policy.Proceed {
			w.Log.Info("a residue waits", "residue", residue.ID, "reason", v.Reason)
			continue
		}
		if err := w.createRun(ctx, residue); err != nil {
			return err
		}
	}
	return nil
}

func (w *ResidueWatch) createRun(ctx context.Context, residue state.Residue) error {
	run := &v1alpha1.DeletionRun{
		ObjectMeta: metav1.ObjectMeta{Name: "residue-" + residue.ID, Namespace: residue.Namespace, Finalizers: []string{v1alpha1.Finalizer},
			Labels: map[string]string{LabelRequest: labelValue(residue.RequestName), LabelResidue: residue.ID}},
		Spec: v1alpha1.DeletionRunSpec{Residue: &v1alpha1.ResidueReference{ID: residue.ID}},
	}
	err := w.Create(ctx, run)
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
