package sweeper

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
)

// lagInterval is how often a store is asked how far its replicas are behind.
const lagInterval = 2 * time.Second

// position is where a shard is. It holds keys and paths, so it is sealed.
type position struct {
	// First and Until are the first and the last key of the shard's range where they are known. A shard that follows another one has
	// From, where that one ends, instead. After is where the next page begins, nil is the beginning.
	First backend.Key `json:"first,omitempty"`
	From  backend.Key `json:"from,omitempty"`
	Until backend.Key `json:"until,omitempty"`
	After backend.Key `json:"after,omitempty"`
	// Pending is the last page, until its files are removed.
	Pending *page `json:"pending,omitempty"`
}

// page is what is about to be treated.
type page struct {
	// Before is where the page began.
	Before   backend.Key   `json:"before,omitempty"`
	Last     backend.Key   `json:"last,omitempty"`
	Keys     []backend.Key `json:"keys"`
	Affected []int64       `json:"affected"`
	Files    []file        `json:"files,omitempty"`
	// Archive has the records of the page, for a rule that archives.
	Archive string `json:"archive,omitempty"`
}

// allowance is how many records the run may still treat. Its workers share it.
type allowance struct {
	mu   sync.Mutex
	left int64
	// taken is what workers have for the pages that they are at, settled is told when one has ended.
	taken   int64
	settled *sync.Cond
}

func newAllowance(left int64) *allowance {
	a := &allowance{left: left}
	a.settled = sync.NewCond(&a.mu)
	return a
}

// take reserves up to n for a page. Where all is reserved it waits for what other pages leave; 0 is that nothing is left.
func (a *allowance) take(n int) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.left <= 0 && a.taken > 0 {
		a.settled.Wait()
	}
	got := int(max(min(int64(n), a.left), 0))
	a.left, a.taken = a.left-int64(got), a.taken+int64(got)
	return got
}

// settle ends what was taken for a page, of which so many were needed.
func (a *allowance) settle(taken, needed int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken -= int64(taken)
	a.left += int64(taken - needed)
	a.settled.Broadcast()
}

// give returns what was not needed after all.
func (a *allowance) give(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left += int64(n)
}

func (a *allowance) empty() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.left <= 0
}

// shard is one worker on one range of one target.
type shard struct {
	*run
	target *retention.Target
	record *state.Run
	at     position
	store  *stores.Store
	able   backend.Sweeper
	pace   policy.Pace
	// removal is the removal of the files of the last page, nil where there is none.
	removal func() error
	// outcome is the entry on the last page that is not in the ledger yet.
	outcome  []ledger.Entry
	lagAsked time.Time
	// archive takes the records of a rule that archives.
	archive *archive
}

func partUID(runUID string, target, index int) string {
	return fmt.Sprintf("%s/%d/%d", runUID, target, index)
}

// part makes the record of a shard.
func (r *run) part(target, index int, at position) (*state.Run, error) {
	record := &state.Run{UID: partUID(r.record.UID, target, index), Namespace: r.record.Namespace, Name: r.record.Name, Phase: string(v1alpha1.PhasePending),
		Shard: &state.Shard{RunUID: r.record.UID, Target: target, Index: index}}
	err := r.seal(record, at)
	return record, err
}

func (r *run) seal(record *state.Run, at position) error {
	plain, err := json.Marshal(at)
	if err == nil {
		record.Sealed, err = keys.Seal(r.key, plain, []byte(record.UID))
	}
	return err
}

func (r *run) unseal(record *state.Run) (at position, err error) {
	plain, err := keys.Open(r.key, record.Sealed, []byte(record.UID))
	if err == nil {
		err = json.Unmarshal(plain, &at)
	}
	if err != nil {
		return at, &fault.Terminal{Reason: v1alpha1.ReasonSealedMaterialMissing, Err: err,
			Message: "how far the run was cannot be read: its key in the operator's namespace or its record in the state store was changed or lost"}
	}
	return at, nil
}

// load reads all shards and what the run may still treat.
func (r *run) load(ctx context.Context) error {
	sweep := r.record.Sweep
	r.shards = nil
	r.room = newAllowance(sweep.Limit - sweep.Done)
	for i, t := range sweep.Targets {
		if i >= len(r.task.Targets) || r.task.Targets[i].Name() != t.Entity {
			return fault.Waitingf(v1alpha1.ReasonRuleGone, policy.MaxRequeue, "the rule was for %s when the run began and is not any more; give it that entity back, or abandon the run", t.Entity)
		}
		for k := range t.Shards {
			record, err := r.State.Run(ctx, partUID(r.record.UID, i, k))
			if err != nil {
				return err
			}
			s, err := r.shard(ctx, r.task.Targets[i], record)
			if err != nil {
				return err
			}
			r.room.left -= record.Shard.Done
			r.shards = append(r.shards, s)
		}
	}
	if r.task.Eraser == nil {
		return nil
	}
	made, _, err := r.task.Eraser.Requests(ctx) // with those that a process made before it died, and never counted
	r.room.left = min(r.room.left, sweep.Limit-int64(made))
	return err
}

// shard makes a worker of a shard's record.
func (r *run) shard(ctx context.Context, target *retention.Target, record *state.Run) (s *shard, err error) {
	s = &shard{run: r, target: target, record: record, pace: policy.PaceOf(r.task.Policy.Throttle)}
	if s.at, err = r.unseal(record); err != nil {
		return nil, err
	}
	s.store, s.able, err = r.store(ctx, r.task.Namespace, target.Store)
	return s, err
}

// sweep lets the shards of one target after the other work side by side.
func (r *run) sweep(ctx context.Context) error {
	for i := range r.record.Sweep.Targets {
		if r.delegates(i) {
			return r.delegate(ctx, i)
		}
		if err := r.recall(ctx); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		var group sync.WaitGroup
		var once sync.Once
		var first error
		for _, s := range r.shards {
			if s.record.Shard.Target == i && !s.record.Shard.Over {
				group.Go(func() {
					if err := s.work(ctx); err != nil {
						once.Do(func() { first = err; cancel() })
					}
				})
			}
		}
		group.Wait()
		cancel()
		if first != nil {
			return first
		}
	}
	return nil
}

// work does page after page until the range is at its end.
func (s *shard) work(ctx context.Context) error {
	if err := s.openArchive(ctx); err != nil {
		return err
	}
	if s.at.Pending != nil {
		if err := s.recover(ctx); err != nil {
			return err
		}
	}
	for {
		if err := s.mayGoOn(ctx); err != nil {
			return s.pause(ctx, err)
		}
		var took time.Duration
		var more bool
		var err error
		if s.erases() {
			more, err = s.subjects(ctx)
		} else {
			took, more, err = s.page(ctx)
		}
		if err != nil {
			return s.pause(ctx, err)
		}
		if !more {
			s.record.Shard.Over = true
			return s.pause(ctx, nil)
		}
		s.rest(ctx, s.pace.Rest(took))
	}
}

// mayGoOn tells why no further page is to be begun now.
func (s *shard) mayGoOn(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := s.Clock.Now()
	if !s.deadline.IsZero() && now.After(s.deadline) {
		return executor.ErrBudget
	}
	if s.task.Stop != nil {
		if err := s.task.Stop(ctx); err != nil {
			return err
		}
	}
	if now.Sub(s.lagAsked) < lagInterval {
		return nil
	}
	s.lagAsked = now
	lag, known, err := s.able.Lag(ctx)
	if err != nil {
		return fault.FromStore(s.target.Store, err)
	}
	if known && lag > s.pace.MaxLag {
		return fault.Waitingf(v1alpha1.ReasonReplicaLag, 5*time.Second, "a replica of store %s is %s behind, more than throttle.maxReplicaLagSeconds allows; the run goes on when it has caught up",
			s.target.Store, lag.Round(time.Second))
	}
	return nil
}

// rest waits, or until the context ends.
func (s *shard) rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	c := s.Resting
	if c == nil {
		c = clock.RealClock{}
	}
	select {
	case <-ctx.Done():
	case <-c.After(d):
	}
}

// due is the sweep of what the shard's run treats now, under these holds.
func (s *shard) due(ctx context.Context, holds []state.Hold) (*window, error) {
	since, err := s.since(ctx)
	if err != nil {
		return nil, err
	}
	return s.window(ctx, s.task.Namespace, s.target, holds, since, s.run.record.Sweep.Until, true)
}

// page treats the next page. It returns false when the range is at its end.
func (s *shard) page(ctx context.Context) (took time.Duration, more bool, err error) {
	part := s.record.Shard
	if part.Size == 0 {
		part.Size = s.pace.First()
	}
	size := s.room.take(part.Size)
	if size == 0 {
		part.Bounded = true
		return 0, false, nil
	}
	before := s.at
	var result *backend.SweepResult
	var refused error // why the page may not last
	begun := s.Clock.Now()
	err = s.State.WithHolds(ctx, s.task.Namespace, func(ctx context.Context, holds []state.Hold) error {
		w, err := s.due(ctx, holds)
		if err != nil {
			return err
		}
		if s.archive != nil {
			s.archive.collect(w.sweep)
		}
		result, err = s.able.SweepBatch(ctx, w.sweep, backend.SweepBatch{From: s.at.First, After: s.at.After, Until: s.at.Until, Limit: size, Held: w.held,
			BeforeEffect: func(ctx context.Context, r *backend.SweepResult) error {
				if refused == nil && s.at.Pending != before.Pending {
					refused = errInDoubt
				}
				if refused == nil {
					refused = s.intend(ctx, r, w.sweep)
				}
				return refused
			}})
		if refused != nil {
			return refused
		}
		return fault.FromStore(s.target.Store, err)
	})
	if err != nil {
		s.room.settle(size, s.recorded(before))
		s.doubt(before)
		return 0, false, err
	}
	crashEffect.Hit()
	took = s.Clock.Now().Sub(begun)
	s.room.settle(size, len(result.Keys))
	part.Skipped += result.Locked
	part.Size = s.pace.Next(part.Size, took)
	s.at.After = result.Last
	if len(result.Keys) > 0 {
		s.settle() //nolint:contextcheck // the removal that it begins is waited for in any case
	}
	return took, result.Last != nil, nil
}

// errInDoubt ends a page that a store tries again after it was on record: nobody knows what became of the first attempt before the
// store was asked.
var errInDoubt = &fault.Transient{Reason: v1alpha1.ReasonStoreUnreachable, Message: "a page was interrupted; the store is asked what became of it"}

// recorded is how many records a page that failed has on record: they count as treated until the store says what became of them.
func (s *shard) recorded(before position) int {
	if s.at.Pending == before.Pending {
		return 0
	}
	return len(s.at.Pending.Keys)
}

// doubt keeps what is known of a page that failed: where it was on record, the store may have done it.
func (s *shard) doubt(before position) {
	if s.at.Pending == before.Pending {
		s.at = before
	}
}

// intend puts a page on record right before it may become lasting.
func (s *shard) intend(ctx context.Context, result *backend.SweepResult, sweep *backend.Sweep) error {
	if len(result.Keys) == 0 {
		return nil
	}
	if err := s.removed(); err != nil {
		return err
	}
	part := s.record.Shard
	files, err := s.files(result.Collected)
	if err != nil {
		return err
	}
	archived := ""
	if s.archive != nil {
		if archived, err = s.keep(ctx, result, sweep); err != nil {
			return err
		}
		crashArchived.Hit()
	}
	before, batch, done, counts := s.at, part.Batch, part.Done, part.Counts
	s.at.Pending = &page{Before: s.at.After, Last: result.Last, Keys: result.Keys, Affected: result.Affected, Files: files, Archive: archived}
	s.at.After = result.Last
	part.Batch++
	part.Done += int64(len(result.Keys))
	part.Counts = s.add(counts, result.Affected, 1)
	entry := s.entry("intent", ledger.KindRetentionIntent)
	entry.Counts = ledgerCounts(s.add(nil, result.Affected, 1))
	if err := s.saveShard(ctx, append(s.outcome, entry), true); err != nil {
		s.at, part.Batch, part.Done, part.Counts = before, batch, done, counts
		return err
	}
	s.outcome = nil
	crashIntent.Hit()
	return nil
}

// settle takes note that the page on record is done: its files can go while the next page is prepared.
func (s *shard) settle() {
	outcome := s.entry("outcome", ledger.KindRetentionOutcome)
	outcome.Counts = ledgerCounts(s.add(nil, s.at.Pending.Affected, 1))
	s.outcome = []ledger.Entry{outcome}
	s.remove(s.at.Pending.Files)
}

// pause writes down where the shard is, with nothing in doubt, unless something went wrong with the page itself.
func (s *shard) pause(ctx context.Context, cause error) error {
	ctx = context.WithoutCancel(ctx) // it has its own deadline in the store
	if len(s.outcome) == 0 && s.at.Pending != nil {
		return cause // in doubt: whoever goes on asks the store
	}
	if err := s.removed(); err != nil {
		if cause == nil {
			cause = err
		}
		return cause
	}
	s.at.Pending = nil
	if err := s.saveShard(ctx, s.outcome, false); err != nil {
		if cause == nil {
			cause = err
		}
		return cause
	}
	s.outcome = nil
	return cause
}

// saveShard writes where the shard is, with entries. After an intent comes what cannot be undone.
func (s *shard) saveShard(ctx context.Context, entries []ledger.Entry, intent bool) error {
	if err := s.seal(s.record, s.at); err != nil {
		return err
	}
	return s.put(ctx, s.record, entries, intent)
}
