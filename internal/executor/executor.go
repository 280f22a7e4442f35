// Package executor carries out deletion runs: it resolves everything first, seals the plan, and then does one bounded
// batch after the other, intent before effect and outcome after it.
//
// A store and the ledger cannot commit together, so effects are defined by the planned keys: whatever was interrupted is
// done again by the same keys, which changes nothing where it was done before. Counts come from the plan.
package executor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/crash"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// maxRevisions bounds how often one run may plan anew because the data changed under it.
const maxRevisions = 8

// The places where the death of the process would be worst.
var (
	crashPlanned       = crash.Define("run/planned")
	crashIntent        = crash.Define("step/intent-recorded")
	crashEffect        = crash.Define("step/effect-done")
	crashBatchSaved    = crash.Define("step/batch-saved")
	crashOutcome       = crash.Define("step/outcome-recorded")
	crashVerified      = crash.Define("run/verified")
	crashResidueSealed = crash.Define("run/residue-sealed")
	crashFinished      = crash.Define("run/finished")
	crashKeyDestroyed  = crash.Define("run/key-destroyed")
)

// Stores opens data stores by namespace and name.
type Stores interface {
	Get(ctx context.Context, namespace, name string) (*stores.Store, error)
}

// Executor carries out runs.
type Executor struct {
	Stores  Stores
	State   state.Store
	Journal *journal.Journal
	Keys    keys.Store
	Clock   clock.PassiveClock
	// Budget is how long one Advance goes on before it returns to report progress. Default 10 s.
	Budget time.Duration
}

// Task is a run with what it needs from outside.
type Task struct {
	RunUID, Namespace, Name string
	Handle                  string
	SubjectPseudonym        string
	// Request is set for the run of an erasure request.
	Request *RequestTask
	// ResidueID is set for the run of a residue.
	ResidueID string
}

// RequestTask is what a plan is made from.
type RequestTask struct {
	UID, Name string
	Maps      []planner.MapSource
	Scope     string
	// Forced leaves active processes out of account.
	Forced bool
	// Identities reads the subject's identities; called only while there is no sealed plan.
	Identities func(ctx context.Context) (map[string][]string, error)
}

// material is what a run seals: everything that it needs to finish.
type material struct {
	Maps    []planner.MapSource `json:"maps,omitempty"`
	Scope   string              `json:"scope,omitempty"`
	Subject planner.Subject     `json:"subject"`
	Facts   *planner.Facts      `json:"facts,omitempty"`
	// Holds that the plan was made with.
	Holds []planner.Hold `json:"holds,omitempty"`
	Plan  *planner.Plan  `json:"plan"`
	// Stores are the identities of the stores that the plan was made for.
	Stores map[string]string `json:"stores,omitempty"`
	// Evidence tells the records of a residue from others that have their keys by then.
	Evidence planner.Evidence `json:"evidence,omitempty"`
	// Tombstones of the roots that a residue deletes.
	Tombstones []planner.RootRef `json:"tombstones,omitempty"`
	// Kind of the ledger's entry on the plan.
	Kind string `json:"kind,omitempty"`
}

// Outcome is the result of a finished run, kept in the state store and shown in status.
type Outcome struct {
	Counts   []v1alpha1.CategoryCount `json:"counts,omitempty"`
	Retained []v1alpha1.RetainedData  `json:"retained,omitempty"`
}

// run is one Advance of one task.
type run struct {
	*Executor
	task     Task
	record   *state.Run
	material *material
	graph    *planner.Graph
	key      []byte
	// unsealed is true while the material is newer than what the record has sealed.
	unsealed bool
	// pending entries go into the ledger with the next save.
	pending []ledger.Entry
	// obstacle is why the last execution did not fit the data, nil for another reason.
	obstacle *backend.StaleError
	deadline time.Time
	// known are the pseudonyms under which a hold may name the subject.
	known []string
	// namespaceKey makes the pseudonyms of the namespace.
	namespaceKey []byte
}

// Advance carries the task on until it is finished, its budget is used up, or something is in the way. The returned
// record is always the last one that was saved. Errors are of package fault; finished runs return nil and do nothing.
func (e *Executor) Advance(ctx context.Context, task Task) (_ *state.Run, err error) {
	ctx, span := tracing.Start(ctx, "run", tracing.Namespace, task.Namespace, tracing.Run, task.RunUID, tracing.Handle, task.Handle)
	defer func() { span.End(beyondBudget(err)) }()
	r := &run{Executor: e, task: task, known: []string{task.SubjectPseudonym}}
	budget := e.Budget
	if budget == 0 {
		budget = 10 * time.Second
	}
	r.deadline = e.Clock.Now().Add(budget)
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	if Finished(r.record) {
		return r.record, r.destroyKeys(ctx)
	}
	err = r.advance(ctx)
	if err != nil {
		err = errors.Join(err, r.settle(ctx))
	}
	return r.record, err
}

// beyondBudget is nil where a run only paused.
func beyondBudget(err error) error {
	if errors.Is(err, ErrBudget) {
		return nil
	}
	return err
}

// Finished tells whether a run has ended for good.
func Finished(r *state.Run) bool { return v1alpha1.Phase(r.Phase).Finished() }

func (r *run) load(ctx context.Context) error {
	record, err := r.State.Run(ctx, r.task.RunUID)
	if errors.Is(err, state.ErrNotFound) {
		now := r.Clock.Now().UTC()
		r.record = &state.Run{UID: r.task.RunUID, Namespace: r.task.Namespace, Name: r.task.Name, Handle: r.task.Handle,
			ResidueID: r.task.ResidueID, Phase: string(v1alpha1.PhasePending), StartedAt: &now}
		if r.task.Request != nil {
			r.record.RequestUID = r.task.Request.UID
		}
		return nil
	}
	r.record = record
	return err
}

func (r *run) advance(ctx context.Context) error {
	if err := r.Journal.Check(ctx, r.task.Namespace); err != nil {
		return err
	}
	r.record.Attempts++
	if err := r.prepare(ctx); err != nil {
		return err
	}
	for range maxRevisions {
		stale, err := r.execute(ctx)
		if err != nil {
			return err
		}
		if stale {
			if err := r.replan(ctx); err != nil {
				return err
			}
			continue
		}
		changed, err := r.verify(ctx)
		if err != nil {
			return err
		}
		if !changed {
			return r.finish(ctx)
		}
	}
	return r.unsettled()
}

// unsettled says that no plan fitted the data for long enough, and why the last one did not.
func (r *run) unsettled() error {
	why := ""
	if r.obstacle != nil {
		why = ": " + r.obstacle.Error()
	}
	return fault.Terminalf(v1alpha1.ReasonVerificationFailed,
		"data of the subject kept appearing while it was erased (%d plans)%s; stop what writes it and retry", maxRevisions, why)
}

// prepare opens the sealed plan, or makes one.
func (r *run) prepare(ctx context.Context) error {
	if r.task.ResidueID != "" {
		return r.prepareResidue(ctx)
	}
	key, err := r.Keys.Ensure(ctx, r.keyID())
	if err != nil {
		return err
	}
	r.key = key
	// Before the first effect the plan is made anew at each attempt, so that a changed map or hold always counts.
	if !r.record.Effects {
		return r.plan(ctx)
	}
	if err := r.unseal(); err != nil {
		return err
	}
	// Perhaps the process died before the ledger had it; what the ledger has already is not added again.
	r.note(r.planEntry())
	if err := r.compile(); err != nil {
		return err
	}
	return r.resume(ctx)
}

// resume looks again before it goes on: what the process that ended had done is known to be gone then, and its keys,
// which may be somebody else's by now, are left alone.
func (r *run) resume(ctx context.Context) error {
	if err := r.recognize(ctx, r.material.Facts); err != nil {
		return err
	}
	holds, err := r.liveHolds(ctx)
	if err != nil {
		return err
	}
	plan, facts, err := r.refresh(ctx, holds, nil)
	if err != nil {
		return err
	}
	if r.differs(plan) || !sameHolds(holds, r.material.Holds) {
		r.adopt(plan, facts, holds, ledger.KindErasureAmended)
		return nil
	}
	r.material.Facts = facts
	return nil
}

func (r *run) keyID() keys.ID {
	return keys.ID{Purpose: keys.Run, Namespace: r.task.Namespace, Name: r.task.RunUID}
}

func (r *run) unseal() error {
	plain, err := keys.Open(r.key, r.record.Sealed, []byte(r.task.RunUID))
	if err == nil {
		r.material = &material{}
		err = json.Unmarshal(plain, r.material)
	}
	if err != nil {
		return &fault.Terminal{Reason: v1alpha1.ReasonSealedMaterialMissing, Err: err,
			Message: "the sealed plan of this run cannot be opened: its key in the operator's namespace or its record in the state store was changed or lost"}
	}
	return nil
}

func (r *run) compile() error {
	graph, problems := planner.Compile(r.material.Maps, r.material.Scope)
	if len(problems) > 0 || graph == nil {
		return fault.Terminalf(v1alpha1.ReasonMapNotReady, "the pinned maps do not fit together: %s", firstMessage(problems))
	}
	r.graph = graph
	return nil
}

func firstMessage(problems []planner.Problem) string {
	if len(problems) == 0 {
		return "no entity is left"
	}
	return problems[0].Message
}

// note keeps an entry for the ledger until the next save.
func (r *run) note(e ledger.Entry) {
	e.Handle, e.Run = r.task.Handle, r.task.RunUID
	e.Key = r.task.Handle + "/" + r.task.RunUID + "/" + e.Key
	r.pending = append(r.pending, e)
}

// save writes the record, the ledger's entries that wait, and whatever else belongs to the same moment, in one transaction.
func (r *run) save(ctx context.Context, also ...func(state.Tx) error) error {
	err := r.Journal.Record(ctx, r.task.Namespace, slices.Clone(r.pending), append(also, func(tx state.Tx) error { return tx.PutRun(r.record) })...)
	if err == nil {
		r.pending = nil
	}
	return err
}
