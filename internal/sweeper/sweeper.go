// Package sweeper carries out the runs of retention rules: records whose time has come go page by page, child first, each page
// in one transaction of its store.
//
// A page is on record before it becomes lasting: which keys it treats, which files they name, how many of which category. A
// process that dies in between leaves the page in doubt; whoever goes on asks the store whether it is done. So no file is
// removed whose record stays, and none is forgotten whose record is gone.
package sweeper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/crash"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// maxPasses of one turn over the targets of a run; what others still keep locked then is looked at again later.
const maxPasses = 5

// The places where the death of the process would be worst.
var (
	crashBegun    = crash.Define("sweep/begun")
	crashIntent   = crash.Define("sweep/intent-recorded")
	crashEffect   = crash.Define("sweep/effect-done")
	crashFiles    = crash.Define("sweep/files-removed")
	crashPass     = crash.Define("sweep/pass-recorded")
	crashFinished = crash.Define("sweep/finished")
	crashArchived = crash.Define("sweep/archived")
	crashPurged   = crash.Define("sweep/archive-purged")
	crashLaunched = crash.Define("sweep/job-recorded")
	crashCreated  = crash.Define("sweep/job-created")
)

// State is what a sweep reads, and how it keeps holds from coming into force while a page is under way.
type State interface {
	Run(ctx context.Context, uid string) (*state.Run, error)
	Schedule(ctx context.Context, policyUID string) (*state.Schedule, error)
	Holds(ctx context.Context, namespace string) ([]state.Hold, error)
	WithHolds(ctx context.Context, namespace string, fn func(ctx context.Context, holds []state.Hold) error) error
}

// Sweeper carries out runs of retention rules.
type Sweeper struct {
	Stores  executor.Stores
	State   State
	Journal *journal.Journal
	Keys    keys.Store
	Clock   clock.PassiveClock
	// Resting waits between batches. Default: the real clock.
	Resting clock.Clock
	// Budget is how long one Advance goes on before it returns to report progress. Default 10 s.
	Budget time.Duration
	// Workers and Delegator let the workers of a Job do the shards; nil where that is not possible.
	Workers   Workers
	Delegator state.Delegator
	// Lull is how long to wait before a page is looked at that a worker left in doubt. Default: a little longer than the lease of
	// a connection to the vault.
	Lull time.Duration
}

// Task is a run with what it needs from outside.
type Task struct {
	RunUID, Namespace, Name string
	// Policy as it is now, and its rule's targets.
	Policy  v1alpha1.RetentionPolicySpec
	Targets []*retention.Target
	// Parallelism is the number of workers.
	Parallelism int
	// Delegate has the shards done by the workers of a Job.
	Delegate bool
	// Stop, if set, is asked before each batch whether the run may go on.
	Stop func(ctx context.Context) error
	// Eraser is set for a rule that erases people.
	Eraser Eraser
}

// UID of the run of a rule: the same for the same rule and time.
func UID(policyUID, rule string, until time.Time) string {
	return fmt.Sprintf("%s.%s.%d", policyUID, rule, until.Unix())
}

// run is one Advance of one task.
type run struct {
	*Sweeper
	task     Task
	record   *state.Run
	key      []byte
	deadline time.Time
	shards   []*shard
	room     *allowance
	// put writes a shard with its entries.
	put func(ctx context.Context, part *state.Run, entries []ledger.Entry, intent bool) error
}

// Advance carries a run on that was announced and whose time has come, until it is finished, its budget is used up
// (executor.ErrBudget), or something is in the way. The returned record is the last one that was saved.
func (s *Sweeper) Advance(ctx context.Context, task Task) (_ *state.Run, err error) {
	ctx, span := tracing.Start(ctx, "sweep", tracing.Namespace, task.Namespace, tracing.Run, task.RunUID)
	defer func() {
		if errors.Is(err, executor.ErrBudget) {
			span.End(nil)
		} else {
			span.End(err)
		}
	}()
	record, err := s.State.Run(ctx, task.RunUID)
	if err != nil {
		return nil, err
	}
	r := &run{Sweeper: s, task: task, record: record, put: func(ctx context.Context, part *state.Run, entries []ledger.Entry, _ bool) error {
		part.Shard.Remote = false
		return s.Journal.Record(ctx, task.Namespace, entries, func(tx state.Tx) error { return tx.PutRun(part) })
	}}
	if executor.Ended(record) {
		return record, nil
	}
	budget := s.Budget
	if budget == 0 {
		budget = 10 * time.Second
	}
	r.deadline = s.Clock.Now().Add(budget)
	if err := s.Journal.Check(ctx, task.Namespace); err != nil {
		return record, err
	}
	if r.key, err = s.Keys.Ensure(ctx, runKey(record)); err != nil {
		return record, err
	}
	if record.StartedAt == nil {
		if err := r.begin(ctx); err != nil {
			return record, err
		}
	}
	err = r.advance(ctx)
	if errors.Is(err, executor.ErrBudget) && record.FailingSince != nil { // it went on for as long as it may
		record.FailingSince = nil
		return record, errors.Join(err, r.save(ctx, nil))
	}
	return record, err
}

// advance does passes over the targets until one finds nothing to do.
func (r *run) advance(ctx context.Context) error {
	for range maxPasses {
		if err := r.load(ctx); err != nil {
			return err
		}
		if err := r.Settle(ctx, r.record); err != nil { // after what was read: what comes later conflicts with what is written
			return err
		}
		if err := r.sweep(ctx); err != nil {
			return err
		}
		if err := r.unfinished(ctx); err != nil {
			return err
		}
		treated, skipped := r.treated()
		if err := r.recall(ctx); err != nil {
			return err
		}
		if treated == 0 && skipped == 0 && !r.bounded() || r.room.empty() {
			return r.finish(ctx)
		}
		if err := r.nextPass(ctx); err != nil {
			return err
		}
		crashPass.Hit()
	}
	return fault.Waitingf(v1alpha1.ReasonRecordsLocked, time.Minute, "records that are due are locked by others, come anew, or name people by ids that the API refuses for a request; they are looked at again in a minute")
}

// store opens the store of a target, which must be able to sweep.
func (s *Sweeper) store(ctx context.Context, namespace, name string) (*stores.Store, backend.Sweeper, error) {
	store, err := s.Stores.Get(ctx, namespace, name)
	if err != nil {
		return nil, nil, err
	}
	able, ok := store.Backend.(backend.Sweeper)
	if !ok {
		return nil, nil, fault.Terminalf(v1alpha1.ReasonSweepUnsupported, "store %s has no tables with transactions: rules are for entities of PostgreSQL, MySQL, MariaDB and SQLite", name)
	}
	return store, able, nil
}

// Count is what was counted, with the names of what keeps records.
type Count struct {
	*backend.SweepCount
	Keepers []string
}

// Count counts what falls due of a target between two times, zero for since all that is due by until.
func (s *Sweeper) Count(ctx context.Context, namespace string, target *retention.Target, since, until time.Time) (*Count, error) {
	return s.count(ctx, namespace, target, since, until, false)
}

func (s *Sweeper) count(ctx context.Context, namespace string, target *retention.Target, since, until time.Time, brief bool) (*Count, error) {
	holds, err := s.State.Holds(ctx, namespace)
	if err != nil {
		return nil, err
	}
	window, err := s.window(ctx, namespace, target, holds, since, until, until.Before(s.Clock.Now()))
	if err != nil {
		return nil, err
	}
	_, able, err := s.store(ctx, namespace, target.Store)
	if err != nil {
		return nil, err
	}
	if err := able.CheckSweep(ctx, window.sweep); err != nil {
		return nil, fault.FromStore(target.Store, err)
	}
	if err := s.checkSchema(ctx, namespace, target, window.sweep); err != nil {
		return nil, err
	}
	window.sweep.Brief = brief
	count, err := able.CountSweep(ctx, window.sweep)
	if err != nil {
		return nil, fault.FromStore(target.Store, err)
	}
	out := &Count{SweepCount: count}
	for _, k := range window.sweep.Keep {
		out.Keepers = append(out.Keepers, k.Name)
	}
	return out, nil
}

// Announcement is what is to be announced of a rule.
type Announcement struct {
	Namespace, Policy, PolicyUID, Rule, RunName string
	Generation                                  int64
	Until                                       time.Time
	Targets                                     []state.SweepTarget
	Total                                       int64
	Counts                                      []state.SweepCount
}

// Announce puts a run on record before there is an object for it. Doing it again changes nothing.
func (s *Sweeper) Announce(ctx context.Context, a Announcement, schedule *state.Schedule) (*state.Run, error) {
	uid := UID(a.PolicyUID, a.Rule, a.Until)
	record, err := s.State.Run(ctx, uid)
	if !errors.Is(err, state.ErrNotFound) {
		return record, err
	}
	sweep := &state.Sweep{PolicyUID: a.PolicyUID, Policy: a.Policy, Rule: a.Rule, Until: a.Until, ScheduledAt: a.Until, AnnouncedFor: a.Until,
		AnnouncedAt: s.Clock.Now().UTC(), Total: a.Total, Targets: a.Targets}
	for _, t := range a.Targets {
		sweep.Due += t.Due
	}
	record = &state.Run{UID: uid, Namespace: a.Namespace, Name: a.RunName, Phase: string(v1alpha1.PhasePending), Sweep: sweep}
	rule := schedule.Rule(a.Rule)
	rule.AnnouncedUntil, rule.Open = &a.Until, append(rule.Open, state.OpenSweep{RunUID: uid, Run: a.RunName, Until: a.Until})
	entry := entryOf(record, "announced", ledger.KindRetentionAnnounced)
	entry.Counts = ledgerCounts(a.Counts)
	entry.Attributes["scheduledAt"] = a.Until.UTC().Format(time.RFC3339)
	entry.Attributes["generation"] = fmt.Sprint(a.Generation)
	err = s.Journal.Record(ctx, a.Namespace, []ledger.Entry{entry}, func(tx state.Tx) error {
		if err := tx.PutRun(record); err != nil {
			return err
		}
		return tx.PutSchedule(schedule)
	})
	return record, err
}

// Facts counts what is due of a run now, for the decision whether it may begin.
func (r *run) facts(ctx context.Context) (policy.SweepFacts, error) {
	f := policy.SweepFacts{Announced: r.record.Sweep.Due, Confirmed: r.record.Sweep.Confirmed}
	since, err := r.since(ctx)
	if err != nil {
		return f, err
	}
	r.record.Sweep.Targets = nil
	for _, target := range r.task.Targets {
		count, err := r.count(ctx, r.task.Namespace, target, since, r.record.Sweep.Until, true)
		if err != nil {
			return f, err
		}
		f.Due, f.Total = f.Due+count.Due, f.Total+count.Total
		r.record.Sweep.Targets = append(r.record.Sweep.Targets, state.SweepTarget{Entity: target.Name(), Due: count.Due})
	}
	return f, nil
}

// since is up to when an earlier run of the rule that has not ended treats what falls due.
func (r *run) since(ctx context.Context) (time.Time, error) {
	schedule, err := r.State.Schedule(ctx, r.record.Sweep.PolicyUID)
	if errors.Is(err, state.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return Before(schedule.Rule(r.record.Sweep.Rule), r.record.UID, r.record.Sweep.Until), nil
}

// Before is the latest time up to which other runs of a rule that have not ended, and come before, treat what falls due; zero where
// there are none.
func Before(rule *state.RuleSchedule, runUID string, until time.Time) time.Time {
	var latest time.Time
	for _, o := range rule.Open {
		if o.RunUID != runUID && o.Until.Before(until) && o.Until.After(latest) {
			latest = o.Until
		}
	}
	return latest
}

// begin decides whether the run may begin, and cuts its targets into shards.
func (r *run) begin(ctx context.Context) error {
	facts, err := r.facts(ctx)
	if err != nil {
		return err
	}
	limit, v := policy.SweepLimit(r.task.Policy, facts)
	if v.Action != policy.Proceed {
		return &fault.Waiting{Reason: v.Reason, Message: v.Message, After: v.After}
	}
	now := r.Clock.Now().UTC()
	sweep := r.record.Sweep
	sweep.Limit = limit
	var parts []*state.Run
	for i, target := range r.task.Targets {
		ranges, err := r.split(ctx, target)
		if err != nil {
			return err
		}
		sweep.Targets[i].Shards = len(ranges)
		for k, p := range ranges {
			part, err := r.part(i, k, p)
			if err != nil {
				return err
			}
			parts = append(parts, part)
		}
	}
	r.noteArchive()
	r.record.StartedAt = &now
	entry := entryOf(r.record, "started", ledger.KindRunStarted)
	entry.Attributes["records"], entry.Attributes["limit"] = fmt.Sprint(facts.Due), fmt.Sprint(limit)
	err = r.save(ctx, []ledger.Entry{entry}, parts...)
	if err == nil {
		crashBegun.Hit()
	}
	return err
}

// split cuts a target's keys into ranges, one for each worker. What falls due beyond them since is for the next run.
func (r *run) split(ctx context.Context, target *retention.Target) ([]position, error) {
	w, err := r.window(ctx, r.task.Namespace, target, nil, noTime, r.record.Sweep.Until, true)
	if err != nil {
		return nil, err
	}
	_, able, err := r.store(ctx, r.task.Namespace, target.Store)
	if err != nil {
		return nil, err
	}
	bounds, err := able.SplitSweep(ctx, w.sweep, max(r.task.Parallelism, 1))
	if err != nil {
		return nil, fault.FromStore(target.Store, err)
	}
	if len(bounds) == 0 {
		return []position{{}}, nil
	}
	ranges := make([]position, len(bounds)-1)
	ranges[0].First = bounds[0]
	for i := range ranges {
		ranges[i].Until = bounds[i+1]
		if i > 0 {
			ranges[i].From, ranges[i].After = bounds[i], bounds[i]
		}
	}
	return ranges, nil
}

func runKey(record *state.Run) keys.ID {
	return keys.ID{Purpose: keys.Run, Namespace: record.Namespace, Name: record.UID}
}

// checkSchema refuses a rule whose templates may name files of records that stay, as the live schema tells.
func (s *Sweeper) checkSchema(ctx context.Context, namespace string, target *retention.Target, sweep *backend.Sweep) error {
	if len(target.Stores()) == 0 {
		return nil
	}
	store, _, err := s.store(ctx, namespace, target.Store)
	if err != nil {
		return err
	}
	schema, err := inspect(ctx, store, sweep)
	if err != nil {
		return err
	}
	for _, problem := range target.CheckSchema(schema) {
		return fault.Waitingf(problem.Reason, policy.MaxRequeue, "%s", problem.Message)
	}
	return nil
}

// inspect describes the tables that a sweep treats. What can sweep can describe its tables.
func inspect(ctx context.Context, store *stores.Store, sweep *backend.Sweep) (*backend.Schema, error) {
	inspector, ok := store.Backend.(backend.Inspector)
	if !ok {
		return nil, fault.Terminalf(v1alpha1.ReasonSweepUnsupported, "store %s cannot tell the columns of its tables", store.Name)
	}
	tables := make([]backend.Table, 0, len(sweep.Steps))
	for _, step := range sweep.Steps {
		tables = append(tables, step.Table)
	}
	schema, err := inspector.Inspect(ctx, tables)
	return schema, fault.FromStore(store.Name, err)
}
