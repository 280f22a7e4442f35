package sweeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/pseudonym"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
)

// noTime leaves a bound out.
var noTime time.Time

// window is a sweep as it is at this moment: with the holds in force.
type window struct {
	sweep *backend.Sweep
	held  func(ctx context.Context, subjects []backend.Value) ([]bool, error)
}

// holdsOf are the legal holds as a sweep needs them, and the pseudonyms of the persons whom they name. Holds under another key
// than the namespace's are an error: nobody can tell whom they name.
func (s *Sweeper) holdsOf(all []state.Hold, key []byte) (holds []retention.Hold, persons map[string]bool, err error) {
	if _, err := executor.HoldsFor(all, pseudonym.Subject(key, "")); err != nil {
		return nil, nil, err
	}
	persons = map[string]bool{}
	for _, h := range all {
		hold := retention.Hold{Name: h.Name, Subjects: len(h.SubjectPseudonyms) > 0}
		if len(h.Records) > 0 {
			if err := json.Unmarshal(h.Records, &hold.Records); err != nil {
				return nil, nil, err
			}
		}
		for _, p := range h.SubjectPseudonyms {
			persons[p] = true
		}
		holds = append(holds, hold)
	}
	return holds, persons, nil
}

// window makes the sweep of what falls due of a target between two times. One that is to be executed before until, because
// somebody confirmed it, does not see holds end before their time: as is true for now counts, however far until is away.
func (s *Sweeper) window(ctx context.Context, namespace string, target *retention.Target, all []state.Hold, since, until time.Time, execute bool) (*window, error) {
	key, err := s.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: namespace})
	if err != nil {
		return nil, err
	}
	holds, persons, err := s.holdsOf(all, key)
	if err != nil {
		return nil, err
	}
	now := s.Clock.Now().UTC()
	at := until
	if execute {
		at = now
	}
	sweep, err := target.Sweep(now, at, holds)
	if err != nil {
		return nil, err
	}
	sweep.Cutoff = target.Period.Cutoff(until)
	if !since.IsZero() {
		sweep.Since = target.Period.Cutoff(since)
	}
	w := &window{sweep: sweep}
	if len(persons) == 0 {
		return w, nil
	}
	store, _, err := s.store(ctx, namespace, target.Store)
	if err != nil {
		return nil, err
	}
	w.held = func(_ context.Context, subjects []backend.Value) ([]bool, error) {
		held := make([]bool, len(subjects))
		for i, v := range subjects {
			if held[i] = target.UnknownHeld(); v != nil {
				held[i] = persons[pseudonym.Subject(key, store.Text(v))]
			}
		}
		return held, nil
	}
	return w, nil
}

// treated are the records of this pass that are treated, and those that others had locked.
func (r *run) treated() (treated, skipped int64) {
	for _, s := range r.shards {
		treated, skipped = treated+s.record.Shard.Done, skipped+s.record.Shard.Skipped
	}
	return treated, skipped
}

// bounded tells whether a shard ended because a worker had used up its room.
func (r *run) bounded() bool {
	return slices.ContainsFunc(r.shards, func(s *shard) bool { return s.record.Shard.Bounded })
}

// nextPass lets all shards begin again.
func (r *run) nextPass(ctx context.Context) error {
	sweep := r.record.Sweep
	sweep.Passes++
	var parts []*state.Run
	for _, s := range r.shards {
		part := s.record.Shard
		sweep.Done += part.Done
		sweep.Counts = mergeCounts(sweep.Counts, part.Counts)
		s.record.Shard = &state.Shard{RunUID: part.RunUID, Target: part.Target, Index: part.Index, Pass: sweep.Passes, Size: part.Size, Hungry: part.Bounded}
		s.at.After, s.at.Pending = s.at.From, nil
		if err := r.seal(s.record, s.at); err != nil {
			return err
		}
		parts = append(parts, s.record)
	}
	return r.save(ctx, nil, parts...)
}

// finish ends the run: a pass over everything found nothing more to do, or nothing more that it may do.
func (r *run) finish(ctx context.Context) error {
	now := r.Clock.Now().UTC()
	sweep := r.record.Sweep
	var parts []*state.Run
	for _, s := range r.shards {
		sweep.Done += s.record.Shard.Done
		sweep.Counts = mergeCounts(sweep.Counts, s.record.Shard.Counts)
		s.record.Sealed, s.record.Phase = nil, string(v1alpha1.PhaseCompleted)
		parts = append(parts, s.record)
	}
	var err error
	if r.task.Eraser != nil {
		if err = r.countRequests(ctx); err != nil {
			return err
		}
	}
	if r.room.empty() { // no pass has looked whether more is due
		if sweep.Left, err = r.left(ctx); err != nil {
			return err
		}
	}
	if r.record.Outcome, err = json.Marshal(executor.Outcome{Counts: CategoryCounts(sweep.Counts)}); err != nil {
		return err
	}
	r.record.Phase, r.record.Reason, r.record.FinishedAt = string(v1alpha1.PhaseCompleted), v1alpha1.ReasonSwept, &now
	verified := entryOf(r.record, "verified", ledger.KindRetentionVerified)
	verified.Attributes["left"] = formatInt(sweep.Left)
	completed := entryOf(r.record, "completed", ledger.KindRunCompleted)
	completed.Counts = ledgerCounts(sweep.Counts)
	if err := r.end(ctx, r.record, []ledger.Entry{verified, completed}, parts...); err != nil {
		return err
	}
	crashFinished.Hit()
	return nil
}

// Close does what the end of a run leaves to be done, whoever ended it and however often the process died on the way: it is none of
// its policy's open ones any more, so that others announce what it has left, and where it was is unreadable. A second time changes
// nothing.
func (s *Sweeper) Close(ctx context.Context, record *state.Run) error {
	var parts []*state.Run
	for i, t := range record.Sweep.Targets {
		for k := range t.Shards {
			part, err := s.State.Run(ctx, partUID(record.UID, i, k))
			if err != nil {
				return err
			}
			if len(part.Sealed) > 0 {
				part.Sealed = nil
				parts = append(parts, part)
			}
		}
	}
	schedule, err := s.State.Schedule(ctx, record.Sweep.PolicyUID)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	open := err == nil && schedule.Close(record.UID)
	if open || len(parts) > 0 {
		err := s.Journal.Record(ctx, record.Namespace, nil, func(tx state.Tx) error {
			for _, p := range parts {
				if err := tx.PutRun(p); err != nil {
					return err
				}
			}
			if !open {
				return nil
			}
			return tx.PutSchedule(schedule)
		})
		if err != nil {
			return err
		}
	}
	return s.Keys.Destroy(ctx, runKey(record))
}

// left counts what is due still.
func (r *run) left(ctx context.Context) (n int64, err error) {
	since, err := r.since(ctx)
	if err != nil {
		return 0, err
	}
	for _, t := range r.task.Targets {
		count, err := r.Count(ctx, r.task.Namespace, t, since, r.record.Sweep.Until)
		if err != nil {
			return 0, err
		}
		n += count.Due
	}
	return n, nil
}

// end saves a run that has ended, and takes it out of its policy's open ones.
func (s *Sweeper) end(ctx context.Context, record *state.Run, entries []ledger.Entry, parts ...*state.Run) error {
	schedule, err := s.State.Schedule(ctx, record.Sweep.PolicyUID)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	closed := err == nil && schedule.Close(record.UID)
	return s.Journal.Record(ctx, record.Namespace, entries, func(tx state.Tx) error {
		for _, p := range append(parts, record) {
			if err := tx.PutRun(p); err != nil {
				return err
			}
		}
		if !closed {
			return nil
		}
		return tx.PutSchedule(schedule)
	})
}

// Cancel ends a run that has not begun.
func (s *Sweeper) Cancel(ctx context.Context, record *state.Run, reason, actor string) error {
	now := s.Clock.Now().UTC()
	record.Phase, record.Reason, record.FinishedAt = string(v1alpha1.PhaseCancelled), reason, &now
	entry := entryOf(record, "cancelled", ledger.KindRunCancelled)
	entry.Reason, entry.Actor = reason, actor
	return s.end(ctx, record, []ledger.Entry{entry})
}

// save writes the run and some of its shards.
func (r *run) save(ctx context.Context, entries []ledger.Entry, parts ...*state.Run) error {
	return r.Journal.Record(ctx, r.task.Namespace, entries, func(tx state.Tx) error {
		for _, p := range append(parts, r.record) {
			if err := tx.PutRun(p); err != nil {
				return err
			}
		}
		return nil
	})
}

// entryOf makes an entry on a run.
func entryOf(record *state.Run, key, kind string) ledger.Entry {
	s := record.Sweep
	return ledger.Entry{Key: "retention/" + record.UID + "/" + key, Kind: kind, Run: record.UID,
		Attributes: map[string]string{"policy": s.Policy, "policyUID": s.PolicyUID, "rule": s.Rule, "until": s.Until.UTC().Format(time.RFC3339)}}
}

// entry makes an entry on the shard's last page.
func (s *shard) entry(key, kind string) ledger.Entry {
	part := s.record.Shard
	return ledger.Entry{Key: fmt.Sprintf("retention/%s/%s/%d/%d/%d/%d", part.RunUID, key, part.Target, part.Index, part.Pass, part.Batch), Kind: kind, Run: part.RunUID,
		Step: s.target.Map + "/" + s.target.Entity, Attributes: map[string]string{"batch": formatInt(part.Batch), "shard": strconv.Itoa(part.Index), "pass": strconv.Itoa(part.Pass)}}
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// add counts what a page did, step by step.
func (s *shard) add(counts []state.SweepCount, affected []int64, sign int64) []state.SweepCount {
	more := stepCounts(s.target, affected)
	for i := range more {
		more[i].Count *= sign
	}
	return mergeCounts(counts, more)
}

// stepCounts is what numbers in the order of a target's steps mean, by entity and action.
func stepCounts(t *retention.Target, numbers []int64) []state.SweepCount {
	var out []state.SweepCount
	for i, step := range t.Steps() {
		if i < len(numbers) && numbers[i] > 0 {
			out = append(out, state.SweepCount{Entity: step.Entity, Category: step.Category, Action: string(step.Action), Count: numbers[i]})
		}
	}
	return out
}

// mergeCounts adds counts of the same entity, category and action.
func mergeCounts(a, b []state.SweepCount) []state.SweepCount {
	out := append([]state.SweepCount(nil), a...)
next:
	for _, c := range b {
		for i := range out {
			if out[i].Entity == c.Entity && out[i].Category == c.Category && out[i].Action == c.Action {
				out[i].Count += c.Count
				continue next
			}
		}
		out = append(out, c)
	}
	return out
}

func ledgerCounts(counts []state.SweepCount) []ledger.Count {
	var out []ledger.Count
	for _, c := range counts {
		if c.Count > 0 {
			out = append(out, ledger.Count{Entity: c.Entity, Category: c.Category, Action: c.Action, Count: c.Count})
		}
	}
	return out
}

// CategoryCounts are counts as a status shows them.
func CategoryCounts(counts []state.SweepCount) []v1alpha1.CategoryCount {
	var out []v1alpha1.CategoryCount
	at := map[string]int{}
	for _, c := range counts {
		i, ok := at[c.Category]
		if !ok {
			i = len(out)
			at[c.Category] = i
			out = append(out, v1alpha1.CategoryCount{Category: c.Category})
		}
		into := map[string]*int64{"Delete": &out[i].Deleted, "Anonymize": &out[i].Anonymized, "Mark": &out[i].Marked, "Unlink": &out[i].Unlinked,
			ActionFile: &out[i].Files}[c.Action]
		if into != nil {
			*into += c.Count
		}
	}
	return out
}
