package executor

import (
	"context"
	"errors"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/state"
)

const (
	// terminalPatience is how long an error that seems to need a person is tried again before the run is Failed: a map or
	// a right is often mended within it.
	terminalPatience = time.Minute
	// transientPatience is how long a store may be away before the run is Failed. Nothing is lost: retry goes on.
	transientPatience = 72 * time.Hour
	minBackoff        = time.Second
	maxBackoff        = 5 * time.Minute
)

// RecordFailure notes that an attempt did not succeed and says when to try again. When there is no hope left the run
// becomes Failed; its sealed material stays until it is retried or abandoned.
func (e *Executor) RecordFailure(ctx context.Context, record *state.Run, cause error) (next time.Duration, err error) {
	now := e.Clock.Now().UTC()
	reason, message := fault.Public(cause)
	record.Reason, record.Message = reason, message
	var waiting *fault.Waiting
	if errors.As(cause, &waiting) {
		record.NextAttemptAt = nil // whatever it waits for may come at any moment
		return max(waiting.After, minBackoff), e.saveRecord(ctx, record)
	}
	if record.FailingSince == nil {
		record.FailingSince = &now
	}
	failing := now.Sub(*record.FailingSince)
	if failing < 0 { // the clock went back
		failing, record.FailingSince = 0, &now
	}
	patience := transientPatience
	var terminal *fault.Terminal
	if errors.As(cause, &terminal) {
		patience = terminalPatience
	}
	if failing < patience {
		next = min(max(failing, minBackoff), maxBackoff)
		record.NextAttemptAt = utcPtr(now.Add(next))
		return next, e.saveRecord(ctx, record)
	}
	record.Phase, record.NextAttemptAt, record.FinishedAt = string(v1alpha1.PhaseFailed), nil, &now
	return 0, e.endRecord(ctx, record, ledger.KindErasureFailed, reason)
}

// Ended tells whether nothing more will happen to a run: it is finished or was abandoned.
func Ended(r *state.Run) bool {
	return Finished(r) || r.Reason == v1alpha1.ReasonAbandoned || r.Reason == v1alpha1.ReasonNamespaceDeleted
}

// Retry makes a run that fails try again at once, and a failed one go on.
func (e *Executor) Retry(ctx context.Context, record *state.Run, nonce string) error {
	record.AcknowledgedRetry = nonce
	if Ended(record) {
		return e.saveRecord(ctx, record)
	}
	record.FailingSince, record.NextAttemptAt = nil, nil
	if v1alpha1.Phase(record.Phase) != v1alpha1.PhaseFailed {
		return e.saveRecord(ctx, record)
	}
	record.Phase, record.Reason, record.Message, record.FinishedAt = string(v1alpha1.PhasePending), v1alpha1.ReasonRetrying, "", nil
	return e.endRecord(ctx, record, ledger.KindErasureRetried, "")
}

// Abandon ends a run that cannot finish: the sealed material is destroyed, what is left in the stores stays there.
func (e *Executor) Abandon(ctx context.Context, record *state.Run, reason string) error {
	if Ended(record) {
		return nil
	}
	record.Phase, record.Reason = string(v1alpha1.PhaseFailed), reason
	record.Message = "the run was abandoned; data that was not deleted before is still in the stores"
	record.FinishedAt = utcPtr(e.Clock.Now())
	record.Sealed = nil
	if err := e.endRecord(ctx, record, ledger.KindErasureAbandoned, reason); err != nil {
		return err
	}
	if record.ResidueID != "" {
		return nil
	}
	return e.Keys.Destroy(ctx, keys.ID{Purpose: keys.Run, Namespace: record.Namespace, Name: record.UID})
}

func (e *Executor) saveRecord(ctx context.Context, record *state.Run) error {
	return e.State.Update(ctx, func(tx state.Tx) error { return tx.PutRun(record) })
}

// sweepKinds are the words for the runs of retention rules, which erase no single person.
var sweepKinds = map[string]string{ledger.KindErasureFailed: ledger.KindRunFailed, ledger.KindErasureRetried: ledger.KindRunRetried,
	ledger.KindErasureAbandoned: ledger.KindRunAbandoned}

// endRecord saves the record with an entry of the ledger.
func (e *Executor) endRecord(ctx context.Context, record *state.Run, kind string, reason string) error {
	r := &run{Executor: e, record: record, task: Task{RunUID: record.UID, Namespace: record.Namespace, Handle: record.Handle}}
	now := e.Clock.Now().UTC()
	if record.Sweep != nil {
		kind = sweepKinds[kind]
	}
	r.note(ledger.Entry{Key: kind + "/" + now.Format(time.RFC3339Nano), Kind: kind, Reason: reason})
	return r.save(ctx)
}
