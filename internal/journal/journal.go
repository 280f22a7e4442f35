// Package journal appends to the ledger and keeps its newest checkpoint in the state store, where it tells later whether
// the ledger was cut short or replaced.
package journal

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/state"
)

// retryAfter is how long to wait for a ledger that is away or not sound.
const retryAfter = time.Minute

// Journal is the ledger together with what the state store knows of it.
type Journal struct {
	Ledger ledger.Log
	State  state.Store
	Clock  clock.PassiveClock
}

// Check compares the namespace's log with the newest checkpoint that the state store knows. A log that is away, shorter or
// another one is a *fault.Waiting: nothing may be deleted until that is mended.
func (j *Journal) Check(ctx context.Context, namespace string) error {
	known, err := j.State.Checkpoint(ctx, namespace)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err == nil {
		err = j.Ledger.Check(ctx, namespace, known.Size, known.Root)
	}
	if err == nil {
		return nil
	}
	return &fault.Waiting{Reason: v1alpha1.ReasonLedgerUnavailable, After: retryAfter, Err: err,
		Message: "the ledger is away or does not continue its last known checkpoint: nothing is deleted until that is mended"}
}

// Write appends entries, stamped with the time, and returns the checkpoint that covers them; the caller keeps it with its
// next state write. Entries whose key is there already are not appended again.
func (j *Journal) Write(ctx context.Context, namespace string, entries ...ledger.Entry) (*ledger.SignedCheckpoint, error) {
	for i := range entries {
		entries[i].Time = j.Clock.Now().UTC()
	}
	receipt, err := j.Ledger.Append(ctx, namespace, entries...)
	if err != nil {
		return nil, &fault.Waiting{Reason: v1alpha1.ReasonLedgerUnavailable, After: retryAfter, Err: err,
			Message: "the ledger takes no entry: nothing is deleted until it does"}
	}
	return &receipt.Checkpoint, nil
}

// Append checks the log, appends entries and keeps the new checkpoint.
func (j *Journal) Append(ctx context.Context, namespace string, entries ...ledger.Entry) error {
	if err := j.Check(ctx, namespace); err != nil {
		return err
	}
	checkpoint, err := j.Write(ctx, namespace, entries...)
	if err != nil {
		return err
	}
	return j.State.Update(ctx, func(tx state.Tx) error {
		return tx.PutCheckpoint(namespace, checkpoint.Size, checkpoint.Root)
	})
}
