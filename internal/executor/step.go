package executor

import (
	"context"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// ErrBudget means that the run is fine and wants to go on at once.
var ErrBudget = errors.New("the time for one turn is used up")

// errHoldsChanged means that the holds in force are not those that the plan was made with.
var errHoldsChanged = errors.New("holds changed")

// execute does the steps that are not done. It returns stale when the plan no longer fits the data or the holds.
func (r *run) execute(ctx context.Context) (stale bool, err error) {
	r.obstacle = nil
	var away error // the first store that did not answer
	for i := range r.material.Plan.Steps {
		if r.record.Steps[i].State == string(v1alpha1.StepDone) {
			continue
		}
		if r.Clock.Now().After(r.deadline) {
			return false, ErrBudget
		}
		if err := r.step(ctx, i); err != nil {
			var staleErr *backend.StaleError
			if errors.As(err, &staleErr) {
				r.obstacle = staleErr
				return true, nil
			}
			if errors.Is(err, errHoldsChanged) {
				return true, nil
			}
			var unavailable *backend.UnavailableError
			if !errors.As(err, &unavailable) || ctx.Err() != nil || !r.graph.Proceeds() {
				return false, err
			}
			if away == nil {
				away = err
			}
		}
	}
	return false, away
}

// step does one step: intent, its batches, outcome.
func (r *run) step(ctx context.Context, i int) (err error) {
	step := r.material.Plan.Steps[i]
	ctx, span := tracing.Start(ctx, "step", tracing.Namespace, r.task.Namespace, tracing.Step, step.Name, tracing.Store, step.Store)
	span.Count(tracing.Records, step.Planned)
	defer func() { span.End(beyondBudget(err)) }()
	store, err := r.stores().Get(ctx, r.task.Namespace, step.Store)
	if err != nil {
		return err
	}
	batches := batchesOf(r.present(step), store)
	for n := int(r.record.Steps[i].Cursor); n < len(batches); n++ {
		if err := r.batch(ctx, i, n, batches[n], store); err != nil {
			return err
		}
		if n+1 == len(batches) {
			break
		}
		r.record.Steps[i].Cursor = int64(n + 1)
		r.record.Steps[i].Done += keysIn(batches[n])
		if err := r.save(ctx); err != nil {
			return err
		}
		crashBatchSaved.Hit()
		if r.Clock.Now().After(r.deadline) {
			return ErrBudget
		}
	}
	record := &r.record.Steps[i]
	before, pending := *record, len(r.pending)
	r.note(ledger.Entry{Key: "outcome/" + step.Name + "/" + record.Digest, Kind: ledger.KindErasureOutcome, Step: step.Name,
		Attributes: map[string]string{"records": fmt.Sprint(r.treated(step))}})
	record.State, record.Done, record.Cursor = string(v1alpha1.StepDone), r.treated(step), 0
	// That of the last step is saved with the end of the run or with what is in its way: one write less. Before that the
	// step would be done again, which changes nothing.
	if i+1 < len(r.material.Plan.Steps) {
		if err := r.save(ctx); err != nil {
			*record, r.pending = before, r.pending[:pending]
			return err
		}
	}
	crashOutcome.Hit()
	r.measure(step)
	return nil
}

// treated is the number of records of a step, without those of a residue that are left alone.
func (r *run) treated(step planner.Step) int64 {
	if r.task.ResidueID != "" {
		return keysIn(r.present(step).Operations)
	}
	return step.Planned
}

// settle saves what waits although the run stopped. Where the ledger does not take it, the last step counts as not done, so
// that its outcome is recorded when it is done again.
func (r *run) settle(ctx context.Context) error {
	if r.material == nil || r.material.Plan == nil || !r.record.Effects || len(r.pending) == 0 {
		return nil
	}
	err := r.pin()
	if err == nil {
		err = r.save(ctx)
	}
	if n := len(r.record.Steps); err != nil && n > 0 {
		r.record.Steps[n-1].State = string(v1alpha1.StepRunning)
	}
	return err
}

// present leaves out of a step what is gone: its key may be another record's by now.
func (r *run) present(step planner.Step) planner.Step {
	if r.material.Facts != nil && (step.Records() || r.task.ResidueID != "") {
		step.Operations = r.graph.Present(step, r.material.Facts)
	}
	return step
}

// batch does one batch while no new hold can come into force.
func (r *run) batch(ctx context.Context, i, n int, ops []backend.Operation, store *stores.Store) error {
	return r.State.WithHolds(ctx, r.task.Namespace, func(ctx context.Context, all []state.Hold) error {
		holds, err := HoldsFor(all, r.known...)
		if err != nil {
			return err
		}
		if err := r.permitted(holds); err != nil {
			return err
		}
		step := r.material.Plan.Steps[i]
		part := step
		part.Operations = ops
		batch := backend.Batch{ID: fmt.Sprintf("%s/%s/%d", r.task.RunUID, r.record.Steps[i].Digest, n),
			Operations: r.graph.WithLiveHolds(part, holds).Operations, Ignored: r.graph.IgnoredTables(step.Store),
			AcceptNonTransactional: r.graph.AcceptedTables(step.Store)}
		recorded := func() error { return nil }
		if n == 0 {
			// While the intent becomes durable, the store prepares the effect.
			recorded = begin(func() error { return r.intend(ctx, i, step) })
			batch.BeforeEffect = func(context.Context) error { return recorded() }
		}
		_, err = store.Execute(ctx, batch)
		if err := recorded(); err != nil {
			return err
		}
		if err != nil {
			return fault.FromStore(store.Name, err)
		}
		crashEffect.Hit()
		return nil
	})
}

// begin runs f beside the caller and returns how to wait for its result.
func begin(f func() error) (wait func() error) {
	done := make(chan struct{})
	var err error
	go func() { defer close(done); err = f() }()
	return func() error { <-done; return err }
}

// permitted compares the holds in force with those that the plan knows.
func (r *run) permitted(holds []planner.Hold) error {
	if r.task.ResidueID == "" {
		if !sameHolds(holds, r.material.Holds) {
			return errHoldsChanged
		}
		return nil
	}
	for _, h := range holds {
		if h.WholeSubject {
			return fault.Waitingf(v1alpha1.ReasonLegalHold, 0, "the subject is under LegalHold %s; what was retained stays until it is lifted", h.Name)
		}
	}
	return nil
}

// intend records the intent in the ledger and seals the plan, before the first effect of a step.
func (r *run) intend(ctx context.Context, i int, step planner.Step) error {
	first, before := !r.record.Effects, len(r.pending)
	if err := r.pin(); err != nil {
		return err
	}
	r.record.Steps[i].State = string(v1alpha1.StepRunning)
	r.note(ledger.Entry{Key: "intent/" + step.Name + "/" + r.record.Steps[i].Digest, Kind: ledger.KindErasureIntent, Step: step.Name,
		Attributes: map[string]string{"planDigest": r.record.PlanDigest, "records": fmt.Sprint(step.Planned)}})
	if err := r.save(ctx); err != nil {
		r.record.Effects, r.pending = !first, r.pending[:before] // no effect has happened, so the next attempt may plan anew
		return err
	}
	crashIntent.Hit()
	return nil
}

// pin makes the plan the one that every later process finishes.
func (r *run) pin() error {
	if r.unsealed {
		if err := r.seal(); err != nil {
			return err
		}
		r.unsealed = false
	}
	r.record.Effects = true
	return nil
}

// batchesOf cuts a step into batches: one for a store that does it in one transaction, else as the store's limit says.
func batchesOf(step planner.Step, store *stores.Store) [][]backend.Operation {
	if _, ok := store.Backend.(backend.Transactional); ok {
		return [][]backend.Operation{step.Operations}
	}
	size := max(int(store.Limits.BatchSize), 1)
	var batches [][]backend.Operation
	var current []backend.Operation
	room := size
	for _, op := range step.Operations {
		for from := 0; from < len(op.Keys); {
			to := min(from+room, len(op.Keys))
			current = append(current, slice(op, from, to))
			room -= to - from
			from = to
			if room == 0 {
				batches, current, room = append(batches, current), nil, size
			}
		}
	}
	if len(current) > 0 {
		batches = append(batches, current)
	}
	return batches
}

func slice(op backend.Operation, from, to int) backend.Operation {
	op.Keys = op.Keys[from:to]
	if op.Set != nil {
		op.Set = op.Set[from:to]
	}
	if op.Expect != nil {
		op.Expect = op.Expect[from:to]
	}
	return op
}

func keysIn(ops []backend.Operation) int64 {
	var n int64
	for _, op := range ops {
		n += int64(len(op.Keys))
	}
	return n
}
