package sweeper

import (
	"context"
	"errors"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
)

// subjectsPage is how many people are looked for at a time.
const subjectsPage = 50

// Eraser makes erasure requests for people.
type Eraser interface {
	// Erase makes requests for those who have none for this run yet. While too many are not finished it is a *fault.Waiting.
	Erase(ctx context.Context, ids []string) (Erasures, error)
	// Await waits until Requests counts requests that Erase has named. Where that takes too long it is a *fault.Waiting.
	Await(ctx context.Context, names []string) error
	// Requests counts those that the run made, and those of them that have not ended.
	Requests(ctx context.Context) (made, unfinished int, err error)
}

// Erasures are what is asked for some people.
type Erasures struct {
	// Names of the requests, whoever made them.
	Names []string
	// Made counts those that were made now, Refused the people for whom none can be made because the API refuses their ids.
	Made, Refused int
}

func (s *shard) erases() bool { return s.target.Rule.Action == v1alpha1.RuleEraseSubject }

// subjects has requests made for the people of the next page.
func (s *shard) subjects(ctx context.Context) (more bool, err error) {
	size := s.room.take(subjectsPage)
	if size == 0 {
		return false, nil
	}
	var asked Erasures
	defer func() { s.room.settle(size, asked.Made) }()
	var last backend.Key
	err = s.State.WithHolds(ctx, s.task.Namespace, func(ctx context.Context, holds []state.Hold) error {
		w, err := s.due(ctx, holds)
		if err != nil {
			return err
		}
		var ids []string
		last, ids, err = look(ctx, s.able, s.store.Backend, w.sweep, backend.SweepBatch{From: s.at.First, After: s.at.After, Until: s.at.Until, Limit: size, Held: w.held})
		if err != nil {
			return fault.FromStore(s.target.Store, err)
		}
		asked, err = s.task.Eraser.Erase(ctx, ids)
		return err
	})
	part := s.record.Shard
	part.Done += int64(asked.Made) // whatever becomes of the page: these are not made again
	part.Counts = mergeCounts(part.Counts, erased(s.target, asked.Made))
	if err == nil {
		err = s.task.Eraser.Await(ctx, asked.Names) // a run that overlooked one would take its work for done
	}
	if err != nil {
		return false, err
	}
	part.Skipped += int64(asked.Refused)
	s.at.After = last
	return last != nil, nil
}

// erased counts whole people.
func erased(t *retention.Target, n int) []state.SweepCount {
	if n == 0 {
		return nil
	}
	return []state.SweepCount{{Entity: t.Map + "/" + t.Entity, Category: t.Category, Action: string(v1alpha1.RuleEraseSubject), Count: int64(n)}}
}

// errLook ends a page that is only looked at.
var errLook = errors.New("only looked at")

// look finds the people of the next page of a sweep and changes nothing: its transaction is given up.
func look(ctx context.Context, able backend.Sweeper, store backend.Backend, sweep *backend.Sweep, b backend.SweepBatch) (last backend.Key, ids []string, err error) {
	last, err = See(ctx, able, store, sweep, b, func(_ context.Context, found []string) error {
		ids = found
		return errLook
	})
	if errors.Is(err, errLook) {
		err = nil
	}
	return last, ids, err
}

// See does the next page of a sweep once see, which gets its people, has returned without an error. An error of see comes back as it
// is.
func See(ctx context.Context, able backend.Sweeper, store backend.Backend, sweep *backend.Sweep, b backend.SweepBatch,
	see func(ctx context.Context, ids []string) error,
) (last backend.Key, err error) {
	held := b.Held
	var ids []string
	var refused error
	b.Held = func(ctx context.Context, subjects []backend.Value) ([]bool, error) {
		answer := make([]bool, len(subjects))
		if held != nil {
			var err error
			if answer, err = held(ctx, subjects); err != nil {
				return nil, err
			}
		}
		ids = nil // of this attempt
		for i, v := range subjects {
			if v != nil && !answer[i] && store.Text(v) != "" {
				ids = append(ids, store.Text(v))
			}
		}
		return answer, nil
	}
	b.BeforeEffect = func(ctx context.Context, r *backend.SweepResult) error {
		last = r.Last
		refused = see(ctx, ids)
		return refused
	}
	result, err := able.SweepBatch(ctx, sweep, b)
	switch {
	case refused != nil:
		return last, refused
	case err != nil:
		return nil, err
	}
	return result.Last, nil
}

// unfinished waits until the requests that a pass made have ended: before, a further look would find the same people.
func (r *run) unfinished(ctx context.Context) error {
	if r.task.Eraser == nil {
		return nil
	}
	_, n, err := r.task.Eraser.Requests(ctx)
	if err != nil || n == 0 {
		return err
	}
	return fault.Waitingf(v1alpha1.ReasonProcessing, time.Minute, "%d erasure requests that the run made are not finished", n)
}

// Erases tells whether the targets of a rule are people.
func Erases(targets []*retention.Target) bool {
	return len(targets) > 0 && targets[0].Rule.Action == v1alpha1.RuleEraseSubject
}

// countRequests takes the requests themselves where they are more than what was counted: a process may have died between making one
// and counting it. They may be fewer, where one is gone or not seen yet.
func (r *run) countRequests(ctx context.Context) error {
	made, _, err := r.task.Eraser.Requests(ctx)
	if err != nil || len(r.task.Targets) == 0 {
		return err
	}
	if sweep := r.record.Sweep; int64(made) > sweep.Done {
		sweep.Done, sweep.Counts = int64(made), erased(r.task.Targets[0], made)
	}
	return nil
}
