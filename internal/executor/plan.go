package executor

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// plan resolves everything and makes the first plan, or one more before the first effect.
func (r *run) plan(ctx context.Context) (err error) {
	ctx, span := tracing.Start(ctx, "plan", tracing.Namespace, r.task.Namespace)
	defer func() { span.End(err) }()
	identities, err := r.task.Request.Identities(ctx)
	if err != nil {
		return err
	}
	r.material = &material{Maps: r.task.Request.Maps, Scope: r.task.Request.Scope, Subject: planner.Subject{Identities: identities}}
	if err := r.compile(); err != nil {
		return err
	}
	if err := complete(r.graph, r.material.Subject); err != nil {
		return err
	}
	facts, holds, err := r.survey(ctx)
	if err != nil {
		return err
	}
	assessment := r.graph.Assess(facts, holds, r.Clock.Now().UTC())
	if r.task.Request.Forced {
		assessment.Active = nil
	}
	if v := policy.JudgeSubject(assessment); v.Action != policy.Proceed {
		return &fault.Waiting{Reason: v.Reason, Message: v.Message, After: v.After}
	}
	plan, err := r.build(ctx, facts, holds)
	if err != nil {
		return err
	}
	r.adopt(plan, facts, holds, ledger.KindErasurePlanned)
	crashPlanned.Hit()
	return nil
}

// survey finds what there is of the subject, and the holds that concern it.
func (r *run) survey(ctx context.Context) (*planner.Facts, []planner.Hold, error) {
	all, err := r.State.Holds(ctx, r.task.Namespace)
	if err != nil {
		return nil, nil, err
	}
	holds, err := HoldsFor(all, r.known...)
	if err != nil {
		return nil, nil, err
	}
	facts, err := Resolve(ctx, r.Stores, Query{Namespace: r.task.Namespace, Graph: r.graph, Subject: r.material.Subject, Holds: holds})
	if err != nil {
		return nil, nil, err
	}
	if err := r.recognize(ctx, facts); err != nil {
		return nil, nil, err
	}
	holds, err = HoldsFor(all, r.known...) // by what else names the subject, too
	return facts, holds, err
}

// complete refuses a subject of which the maps need to know more.
func complete(graph *planner.Graph, subject planner.Subject) error {
	if missing := graph.MissingIdentities(subject); len(missing) > 0 {
		v := policy.IdentitiesIncomplete(missing)
		return &fault.Waiting{Reason: v.Reason, Message: v.Message, After: v.After}
	}
	return nil
}

func (r *run) liveHolds(ctx context.Context) ([]planner.Hold, error) {
	all, err := r.State.Holds(ctx, r.task.Namespace)
	if err != nil {
		return nil, err
	}
	return HoldsFor(all, r.known...)
}

// recognize learns from the facts by which ids a hold may name the subject.
func (r *run) recognize(ctx context.Context, facts *planner.Facts) error {
	key, err := r.pseudonymKey(ctx)
	if err != nil {
		return err
	}
	open, err := OpenStores(ctx, r.stores(), r.task.Namespace, r.graph)
	if err != nil {
		return err
	}
	r.known = SubjectPseudonyms(key, r.task.SubjectPseudonym, r.graph, facts, open.Codec())
	return nil
}

func (r *run) pseudonymKey(ctx context.Context) ([]byte, error) {
	if r.namespaceKey != nil {
		return r.namespaceKey, nil
	}
	key, err := r.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: r.task.Namespace})
	r.namespaceKey = key
	return key, err
}

// stores are those of the plan, once there is one.
func (r *run) stores() Stores {
	if r.material == nil || r.material.Stores == nil {
		return r.Stores
	}
	return pinned{Stores: r.Stores, identities: r.material.Stores}
}

func (r *run) build(ctx context.Context, facts *planner.Facts, holds []planner.Hold) (*planner.Plan, error) {
	namespaceKey, err := r.pseudonymKey(ctx)
	if err != nil {
		return nil, err
	}
	open, err := OpenStores(ctx, r.stores(), r.task.Namespace, r.graph)
	if err != nil {
		return nil, err
	}
	if r.material.Stores == nil {
		r.material.Stores = open.identities()
	}
	plan, err := r.graph.Build(facts, planner.BuildInput{
		RunID: r.task.RunUID, Revision: r.record.PlanRevision + 1, Now: r.Clock.Now().UTC(),
		RunSeed: r.key, NamespaceKey: namespaceKey, Holds: holds, Codec: open.Codec(), Subject: r.material.Subject,
	})
	return plan, buildFault(err)
}

// buildFault shows what the planner says to people, and nothing else.
func buildFault(err error) error {
	var problem *planner.ProblemError
	if errors.As(err, &problem) {
		return &fault.Terminal{Reason: problem.Reason, Message: problem.Message, Err: err}
	}
	return err
}

// adopt makes the plan the one to execute. Steps that were done and are unchanged stay done.
func (r *run) adopt(plan *planner.Plan, facts *planner.Facts, holds []planner.Hold, kind string) {
	r.material.Plan, r.material.Facts, r.material.Holds = plan, facts, holds
	r.record.PlanRevision++
	r.record.PlanDigest = plan.Digest()
	done := map[string]state.StepRecord{}
	for _, s := range r.record.Steps {
		done[s.Name] = s
	}
	steps := make([]state.StepRecord, 0, len(plan.Steps))
	for _, s := range plan.Steps {
		step := state.StepRecord{Name: s.Name, Digest: s.Digest(), State: string(v1alpha1.StepPending), Planned: s.Planned}
		if old, ok := done[s.Name]; ok && old.Digest == step.Digest {
			step = old
		}
		steps = append(steps, step)
	}
	r.record.Steps = steps
	r.unsealed = true
	r.material.Kind = kind
	r.note(r.planEntry())
}

// planEntry tells the ledger of the plan. It is sealed with the plan, so that the one is never without the other.
func (r *run) planEntry() ledger.Entry {
	plan := r.material.Plan
	return ledger.Entry{
		Key: "plan/" + r.record.PlanDigest, Kind: r.material.Kind, Counts: ledgerCounts(plan.Counts, plan.Retained),
		Attributes: map[string]string{"planDigest": r.record.PlanDigest, "revision": strconv.Itoa(r.record.PlanRevision)},
	}
}

// replan makes a new plan because the data or the holds are no longer as the plan found them. After the first effect
// it amends: what was planned stays planned but for what a hold takes out, and what appeared is added.
func (r *run) replan(ctx context.Context) error {
	if r.task.ResidueID != "" {
		return fault.Waitingf(v1alpha1.ReasonAwaitingRetainedData, policy.MaxRequeue,
			"records of the residue are held or still referred to by other records; they stay until that ends")
	}
	if !r.record.Effects {
		return r.plan(ctx)
	}
	holds, err := r.liveHolds(ctx)
	if err != nil {
		return err
	}
	plan, facts, err := r.refresh(ctx, holds, nil)
	if err != nil {
		return err
	}
	r.adopt(plan, facts, holds, ledger.KindErasureAmended)
	return nil
}

// refresh looks again at everything that the plan knows or that leads to the subject, and plans on what is there now. On the
// way it does the check, if there is one.
func (r *run) refresh(ctx context.Context, holds []planner.Hold, check *Check) (*planner.Plan, *planner.Facts, error) {
	q := Query{Namespace: r.task.Namespace, Graph: r.graph, Subject: r.material.Subject, Holds: holds, Prior: r.material.Facts, Deletes: r.material.Plan.Deletes(), Check: check}
	fresh, err := Resolve(ctx, r.stores(), q)
	if err != nil {
		return nil, nil, err
	}
	if r.cameBack(fresh) {
		q.SkipIdentities = true
		if fresh, err = Resolve(ctx, r.stores(), q); err != nil {
			return nil, nil, err
		}
	}
	facts := planner.MergeFacts(r.material.Facts, fresh)
	plan, err := r.build(ctx, facts, holds)
	return plan, facts, err
}

// cameBack tells whether the subject's root records were deleted by this run and the person has registered again since:
// then only what the plan leads to is still this run's business.
func (r *run) cameBack(fresh *planner.Facts) bool {
	done := map[string]bool{}
	for i, s := range r.record.Steps {
		done[r.material.Plan.Steps[i].Store] = done[r.material.Plan.Steps[i].Store] || s.State == string(v1alpha1.StepDone)
	}
	known := map[planner.RootRef]bool{}
	for _, root := range r.graph.Roots(r.material.Facts) {
		known[root] = true
	}
	for _, root := range r.graph.Roots(fresh) {
		if !known[root] && done[root.Store] {
			return true
		}
	}
	return false
}

// seal encrypts the material into the record under the run's key.
func (r *run) seal() error {
	plain, err := json.Marshal(r.material)
	if err != nil {
		return err
	}
	r.record.Sealed, err = keys.Seal(r.key, plain, []byte(r.task.RunUID))
	return err
}

// ledgerCounts is what the ledger keeps of the counts, and of what stays with its basis.
func ledgerCounts(counts []v1alpha1.CategoryCount, retained []v1alpha1.RetainedData) []ledger.Count {
	var out []ledger.Count
	add := func(category, action string, n int64) {
		if n > 0 {
			out = append(out, ledger.Count{Category: category, Action: action, Count: n})
		}
	}
	for _, c := range counts {
		add(c.Category, "Delete", c.Deleted)
		add(c.Category, "Anonymize", c.Anonymized)
		add(c.Category, "Mark", c.Marked)
		add(c.Category, "Unlink", c.Unlinked)
		add(c.Category, "DeleteFile", c.Files)
		add(c.Category, "Keep", c.Kept)
	}
	for _, r := range retained {
		out = append(out, ledger.Count{Entity: r.Entity, Category: r.Category, Action: "Retain", Basis: r.Basis, Count: r.Count})
	}
	return out
}

func utcPtr(t time.Time) *time.Time {
	u := t.UTC()
	return &u
}
