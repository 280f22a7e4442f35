package executor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/pseudonym"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// never is the date of a residue whose end nothing tells (the last full year of Unix nanoseconds): a person has to decide.
var never = time.Date(2261, 12, 31, 0, 0, 0, 0, time.UTC)

// verify queries every target again: what of the plan is not as it should be, and what else there is of the subject. It
// returns changed when something is left: then the plan covers it now and must be executed.
func (r *run) verify(ctx context.Context) (changed bool, err error) {
	ctx, span := tracing.Start(ctx, "verify", tracing.Namespace, r.task.Namespace)
	defer func() { span.End(err) }()
	if r.task.ResidueID != "" {
		left, err := r.remaining(ctx)
		if err == nil && len(left) > 0 {
			err = fault.Waitingf(v1alpha1.ReasonVerificationFailed, 0, "records of the residue are still there after they were deleted")
		}
		if err == nil {
			crashVerified.Hit()
		}
		return false, err
	}
	holds, err := r.liveHolds(ctx)
	if err != nil {
		return false, err
	}
	// The second look asks for planned records by their keys too, so that it tells which deletions have left something.
	check := r.check(func(op *backend.Operation) bool { return op.Action != backend.Delete })
	plan, facts, err := r.refresh(ctx, holds, check)
	if err == nil {
		err = check.verify(ctx, r.task.Namespace, r.stores())
	}
	if err != nil {
		return false, err
	}
	left := check.found()
	for i, step := range r.material.Plan.Steps {
		there := func(op backend.Operation) bool { return op.Action == backend.Delete && len(op.Keys) > 0 }
		if slices.ContainsFunc(r.graph.Present(step, facts), there) {
			left = append(left, i)
		}
	}
	if len(left) > 0 || r.differs(plan) {
		// Now it is known what is gone, and so what of the rest is still to be done.
		r.adopt(plan, facts, holds, ledger.KindErasureAmended)
		if left, err = r.remaining(ctx); err != nil {
			return false, err
		}
		for _, i := range left {
			r.record.Steps[i].State = string(v1alpha1.StepPending)
		}
		return true, nil
	}
	crashVerified.Hit()
	return false, nil
}

// remaining asks the stores which steps of the plan have left something as it should not be.
func (r *run) remaining(ctx context.Context) (left []int, err error) {
	check := r.check(func(*backend.Operation) bool { return true })
	if err := check.verify(ctx, r.task.Namespace, r.stores()); err != nil {
		return nil, err
	}
	return check.found(), nil
}

// check is of those operations of the plan.
func (r *run) check(of func(*backend.Operation) bool) *Check {
	check := &Check{Ops: map[string][]backend.Operation{}, Left: map[string][]int64{}, steps: map[string][]int{}}
	for i, step := range r.material.Plan.Steps {
		for _, op := range r.present(step).Operations {
			if of(&op) {
				check.Ops[step.Store] = append(check.Ops[step.Store], op)
				check.steps[step.Store] = append(check.steps[step.Store], i)
			}
		}
	}
	return check
}

// found are the steps of which something is left.
func (c *Check) found() (steps []int) {
	for store, counts := range c.Left {
		for k, n := range counts {
			if n > 0 {
				steps = append(steps, c.steps[store][k])
			}
		}
	}
	return steps
}

func (r *run) differs(plan *planner.Plan) bool {
	if len(plan.Steps) != len(r.record.Steps) {
		return true
	}
	for i, s := range plan.Steps {
		if s.Digest() != r.record.Steps[i].Digest {
			return true
		}
	}
	return false
}

// finish records the outcome, keeps residue and tombstones, and destroys the sealed material.
func (r *run) finish(ctx context.Context) error {
	if r.task.ResidueID != "" {
		return r.finishResidue(ctx)
	}
	if r.unsealed { // no step was left to do it: whoever repeats the end must record the same one
		if err := r.pin(); err != nil {
			return err
		}
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	plan := r.material.Plan
	residues, err := r.sealResidues(ctx, plan)
	if err != nil {
		return err
	}
	crashResidueSealed.Hit()
	tombstones, err := r.tombstones(ctx, plan.Tombstones)
	if err != nil {
		return err
	}
	before, pending := *r.record, len(r.pending)
	r.note(ledger.Entry{Key: "completed", Kind: ledger.KindErasureCompleted, Counts: ledgerCounts(plan.Counts, plan.Retained),
		Attributes: map[string]string{"planDigest": r.record.PlanDigest}})
	if err := r.complete(Outcome{Counts: plan.Counts, Retained: plan.Retained}); err != nil {
		return err
	}
	keep, err := r.certify(ctx, residues, nil)
	if err == nil {
		err = r.save(ctx, keep, func(tx state.Tx) error {
			for i := range residues {
				if err := tx.PutResidue(&residues[i]); err != nil {
					return err
				}
			}
			return tx.PutTombstones(tombstones)
		})
	}
	if err != nil {
		*r.record, r.pending = before, r.pending[:pending] // what is saved now must not look like an end
		return err
	}
	crashFinished.Hit()
	return r.destroyKeys(ctx)
}

func (r *run) complete(outcome Outcome) error {
	body, err := json.Marshal(outcome)
	if err != nil {
		return err
	}
	r.record.Outcome = body
	r.record.Phase, r.record.Reason, r.record.Message = string(v1alpha1.PhaseCompleted), v1alpha1.ReasonErased, ""
	if len(outcome.Retained) > 0 {
		r.record.Reason = v1alpha1.ReasonRetained
	}
	r.record.FinishedAt = utcPtr(r.Clock.Now())
	r.record.Sealed, r.record.FailingSince, r.record.NextAttemptAt = nil, nil, nil
	return nil
}

// destroyKeys destroys what opened the sealed material. It is done again after a crash.
func (r *run) destroyKeys(ctx context.Context) error {
	id := r.keyID()
	if r.task.ResidueID != "" {
		id = residueKey(r.task.Namespace, r.task.ResidueID)
	}
	if err := r.Keys.Destroy(ctx, id); err != nil {
		return err
	}
	crashKeyDestroyed.Hit()
	return nil
}

func residueKey(namespace, id string) keys.ID {
	return keys.ID{Purpose: keys.Residue, Namespace: namespace, Name: id}
}

// sealResidues keeps what a hold retains, each part under its own key, so that it outlives request and run.
func (r *run) sealResidues(ctx context.Context, plan *planner.Plan) ([]state.Residue, error) {
	residues := make([]state.Residue, 0, len(plan.Residues))
	for _, p := range plan.Residues {
		key, err := r.Keys.Ensure(ctx, residueKey(r.task.Namespace, p.ID))
		if err != nil {
			return nil, err
		}
		plain, err := json.Marshal(material{Maps: r.material.Maps, Scope: r.material.Scope, Stores: r.material.Stores, Tombstones: p.Tombstones,
			Evidence: r.graph.Evidence(p.Steps, plan.Steps, r.material.Facts),
			Plan:     &planner.Plan{Steps: p.Steps, Counts: p.Counts}})
		if err != nil {
			return nil, err
		}
		sealed, err := keys.Seal(key, plain, []byte(p.ID))
		if err != nil {
			return nil, err
		}
		counts, err := json.Marshal(p.Counts)
		if err != nil {
			return nil, err
		}
		retained, err := json.Marshal(p.Retained)
		if err != nil {
			return nil, err
		}
		residue := state.Residue{ID: p.ID, Namespace: r.task.Namespace, RequestUID: r.task.Request.UID, RequestName: r.task.Request.Name,
			Handle: r.task.Handle, SubjectPseudonym: r.task.SubjectPseudonym, Basis: p.Basis, Until: p.Until, HoldUIDs: p.HoldUIDs, After: p.After, AlsoKnownAs: r.known,
			Counts: counts, Retained: retained, Sealed: sealed, CreatedAt: r.Clock.Now().UTC(), State: state.ResidueWaiting}
		if p.NoEnd {
			residue.Until = &never
		}
		if old, err := r.State.Residue(ctx, p.ID); err == nil {
			residue.Revision = old.Revision
		} else if !errors.Is(err, state.ErrNotFound) {
			return nil, err
		}
		residues = append(residues, residue)
	}
	return residues, nil
}

func (r *run) tombstones(ctx context.Context, roots []planner.RootRef) ([]state.Tombstone, error) {
	if len(roots) == 0 {
		return nil, nil
	}
	key, err := r.Keys.Ensure(ctx, keys.ID{Purpose: keys.Tombstone, Namespace: r.task.Namespace})
	if err != nil {
		return nil, err
	}
	now := r.Clock.Now().UTC()
	tombstones := make([]state.Tombstone, 0, len(roots))
	for _, root := range roots {
		tombstones = append(tombstones, state.Tombstone{Namespace: r.task.Namespace, Store: root.Store, Entity: root.Entity,
			MAC: pseudonym.Tombstone(key, root.Store, root.Entity, []string{root.Key}), ErasedAt: now})
	}
	return tombstones, nil
}

// prepareResidue opens what a hold had kept.
func (r *run) prepareResidue(ctx context.Context) error {
	residue, err := r.State.Residue(ctx, r.task.ResidueID)
	if errors.Is(err, state.ErrNotFound) {
		return fault.Terminalf(v1alpha1.ReasonNothingDue, "the state store knows no residue %s", r.task.ResidueID)
	}
	if err != nil {
		return err
	}
	r.task.Handle, r.task.SubjectPseudonym = residue.Handle, residue.SubjectPseudonym
	r.record.Handle, r.record.RequestUID = residue.Handle, residue.RequestUID
	r.known = append(slices.Clone(residue.AlsoKnownAs), residue.SubjectPseudonym)
	if residue.State == state.ResidueDone {
		return fault.Terminalf(v1alpha1.ReasonNothingDue, "the residue %s was deleted before", r.task.ResidueID)
	}
	if err := r.residueDue(ctx, residue); err != nil {
		return err
	}
	if r.key, err = r.Keys.Get(ctx, residueKey(r.task.Namespace, r.task.ResidueID)); err == nil {
		var plain []byte
		if plain, err = keys.Open(r.key, residue.Sealed, []byte(residue.ID)); err == nil {
			r.material = &material{}
			err = json.Unmarshal(plain, r.material)
		}
	}
	if err != nil {
		return &fault.Terminal{Reason: v1alpha1.ReasonSealedMaterialMissing, Err: err,
			Message: "the sealed residue cannot be opened: its key in the operator's namespace or its record in the state store was changed or lost"}
	}
	if err := r.compile(); err != nil {
		return err
	}
	if err := r.tellApart(ctx); err != nil {
		return err
	}
	// The residue's own sealed record stays until the end; the run keeps none of its own.
	r.record.Effects = true
	if len(r.record.Steps) == 0 {
		for _, s := range r.material.Plan.Steps {
			r.record.Steps = append(r.record.Steps, state.StepRecord{Name: s.Name, Digest: s.Digest(), State: string(v1alpha1.StepPending), Planned: s.Planned})
		}
	}
	r.record.PlanDigest = r.material.Plan.Digest()
	return nil
}

// tellApart finds the records that have the key of a retained one and are somebody else's: the retained one was deleted
// by another hand, and the store gave its key away. They are left alone.
func (r *run) tellApart(ctx context.Context) error {
	open, err := OpenStores(ctx, r.stores(), r.task.Namespace, r.graph)
	if err != nil {
		return err
	}
	found := map[string][]backend.Row{}
	requests := r.graph.EvidenceRequests(r.material.Evidence, open.Codec())
	for _, name := range sortedKeys(requests) {
		res, err := open[name].Resolve(ctx, requests[name])
		if err != nil {
			return fault.FromStore(name, err)
		}
		maps.Copy(found, res.Rows)
	}
	r.material.Facts = r.graph.Strangers(r.material.Evidence, r.material.Plan.Steps, found)
	for _, file := range r.material.Facts.Files {
		if !file.Stays {
			return fault.Waitingf(v1alpha1.ReasonStoreChanged, policy.MaxRequeue,
				"entity %s: other records have the keys of retained ones by now, and may name their files; a person has to look", file.Owners[0].Entity)
		}
	}
	return nil
}

// residueDue repeats the decision that made the run: the object alone cannot make a residue due.
func (r *run) residueDue(ctx context.Context, residue *state.Residue) error {
	due, err := ResidueDue(ctx, r.State, residue, r.Clock.Now())
	if err != nil || due {
		return err
	}
	return fault.Waitingf(v1alpha1.ReasonAwaitingRetainedData, time.Hour, "the residue is not due yet")
}

// ResidueDue tells whether a residue may go: its date has come, its holds are lifted, and what refers to it is gone.
func ResidueDue(ctx context.Context, from state.Reader, residue *state.Residue, now time.Time) (bool, error) {
	if residue.Until != nil && now.Before(*residue.Until) {
		return false, nil
	}
	for _, uid := range residue.HoldUIDs {
		hold, err := from.Hold(ctx, uid)
		if err != nil {
			return false, err
		}
		if hold.LiftedAt == nil {
			return false, nil
		}
	}
	for _, id := range residue.After {
		before, err := from.Residue(ctx, id)
		if err != nil {
			return false, err
		}
		if before.State != state.ResidueDone {
			return false, nil
		}
	}
	return true, nil
}

func (r *run) finishResidue(ctx context.Context) error {
	residue, err := r.State.Residue(ctx, r.task.ResidueID)
	if err != nil {
		return err
	}
	tombstones, err := r.tombstones(ctx, r.material.Tombstones)
	if err != nil {
		return err
	}
	counts := r.graph.CountsWithout(r.material.Plan.Counts, r.material.Plan.Steps, r.material.Evidence, r.material.Facts)
	before, pending := *r.record, len(r.pending)
	r.note(ledger.Entry{Key: "completed", Kind: ledger.KindRunCompleted, Counts: ledgerCounts(counts, nil), Reason: v1alpha1.ReasonErased})
	if err := r.complete(Outcome{Counts: counts}); err != nil {
		return err
	}
	residue.State, residue.Sealed, residue.RunName, residue.AlsoKnownAs = state.ResidueDone, nil, r.task.Name, nil
	keep, err := r.certifyResidue(ctx, residue, counts)
	if err == nil {
		err = r.save(ctx, keep, func(tx state.Tx) error { return errors.Join(tx.PutResidue(residue), tx.PutTombstones(tombstones)) })
	}
	if err != nil {
		*r.record, r.pending = before, r.pending[:pending]
		return err
	}
	crashFinished.Hit()
	return r.destroyKeys(ctx)
}
