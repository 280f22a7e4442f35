// Package journal appends to the ledger together with changes of the state store, and tells by the newest checkpoint that the
// state store knows whether the ledger was cut short or replaced.
package journal

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// retryAfter is how long to wait for a ledger that is away or not sound.
const retryAfter = time.Minute

// Journal is the ledger together with what the state store knows of it.
type Journal struct {
	Ledger ledger.Log
	State  state.Store
	Clock  clock.PassiveClock
	// Problem, if set, says what else keeps a namespace's log from being trusted.
	Problem func(namespace string) error
}

// Check compares the namespace's log with the newest checkpoint that the state store knows. A log that is away, shorter or
// another one is a *fault.Waiting: nothing may be deleted until that is mended.
func (j *Journal) Check(ctx context.Context, namespace string) error {
	known, err := j.State.Checkpoint(ctx, namespace)
	switch {
	case errors.Is(err, state.ErrNotFound):
		err = nil
	case err == nil:
		err = j.Ledger.Check(ctx, namespace, known.Size, known.Root)
	}
	if errors.Is(err, ledger.ErrTruncated) {
		// A commit can be read a moment before the ledger has taken note of it: when a write after it is done, it has.
		if err = j.State.Update(ctx, func(state.Tx) error { return nil }); err == nil {
			err = j.Ledger.Check(ctx, namespace, known.Size, known.Root)
		}
	}
	if err == nil && j.Problem != nil {
		err = j.Problem(namespace)
	}
	if err == nil {
		metrics.LedgerSound.WithLabelValues(namespace).Set(1)
		return nil
	}
	if ctx.Err() == nil {
		metrics.LedgerSound.WithLabelValues(namespace).Set(0)
	}
	return &fault.Waiting{Reason: v1alpha1.ReasonLedgerUnavailable, After: retryAfter, Err: err,
		Message: "the ledger is away or does not continue its last known checkpoint: nothing is deleted until that is mended"}
}

// Record appends entries, stamped with the time, and changes the state store in the same transaction. Entries whose key is
// there already are not appended again. It does not check the log: whoever begins something calls Check before.
func (j *Journal) Record(ctx context.Context, namespace string, entries []ledger.Entry, also ...func(state.Tx) error) (err error) {
	ctx, span := tracing.Start(ctx, "ledger append", tracing.Namespace, namespace)
	span.Count(tracing.Entries, int64(len(entries)))
	defer func() { span.End(err) }()
	now := j.Clock.Now().UTC()
	for i := range entries {
		entries[i].Time = now
	}
	var refused error
	err = j.State.Update(ctx, func(tx state.Tx) error {
		for _, f := range also {
			if refused = f(tx); refused != nil {
				return refused
			}
		}
		if len(entries) == 0 {
			return nil
		}
		_, err := tx.Append(namespace, entries...)
		return err
	})
	if err == nil || refused != nil || len(entries) == 0 || errors.Is(err, state.ErrConflict) {
		return err
	}
	message := "the ledger takes no entry: nothing is deleted until it does"
	if errors.Is(err, state.ErrFull) {
		message = "the ledger's volume or database is full: nothing is deleted until it has room"
	}
	return &fault.Waiting{Reason: v1alpha1.ReasonLedgerUnavailable, After: retryAfter, Err: err, Message: message}
}

// Append checks the log and appends entries.
func (j *Journal) Append(ctx context.Context, namespace string, entries ...ledger.Entry) error {
	if err := j.Check(ctx, namespace); err != nil {
		return err
	}
	return j.Record(ctx, namespace, entries)
}
