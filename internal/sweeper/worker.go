package sweeper

import (
	"context"
	"errors"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/state"
)

// ErrNotNow means that a worker has to end without being done, and that nothing is wrong with it.
var ErrNotNow = errors.New("the operator does not let this worker go on; another one is started in its place where it does")

const (
	// lookAgain is how often a worker that may not go on looks whether it may.
	lookAgain = 2 * time.Second
	// defaultPatience is how long it does so.
	defaultPatience = 10 * time.Minute
)

// Worker does one shard of the run that a Job is for.
type Worker struct {
	// Sweeper reads through Records; its Journal is not used.
	*Sweeper
	Records     state.Worker
	RunUID, Job string
	// Index of the worker in its Job.
	Index int
	// Task says what the run's rule is now.
	Task func(ctx context.Context, record *state.Run) (*Task, error)
	// Patience is how long to wait for leave to go on. Default 10 minutes.
	Patience time.Duration
}

// Work goes on until the shard is over. While the operator does not let it go on, or a replica is behind, it waits.
func (w *Worker) Work(ctx context.Context) error {
	patience := w.Patience
	if patience == 0 {
		patience = defaultPatience
	}
	idle := &shard{run: &run{Sweeper: w.Sweeper}}
	last := w.Clock.Now()
	for {
		done, err := w.once(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ErrNotNow, ctx.Err())
		}
		now := w.Clock.Now()
		if done {
			last = now
		}
		var waiting *fault.Waiting
		switch {
		case errors.Is(err, state.ErrLapsed), errors.Is(err, state.ErrConflict), errors.As(err, &waiting):
		default:
			return err
		}
		if now.Sub(last) > patience {
			return errors.Join(ErrNotNow, err)
		}
		idle.rest(ctx, lookAgain)
	}
}

// once works until something is in the way. moved tells that there was anything to do before.
func (w *Worker) once(ctx context.Context) (moved bool, err error) {
	record, err := w.Records.Run(ctx, w.RunUID)
	if err != nil {
		return false, err
	}
	if executor.Ended(record) {
		return false, nil
	}
	if record.Sweep == nil || record.Sweep.Job == nil || record.Sweep.Job.Name != w.Job {
		return false, state.ErrLapsed
	}
	if err := w.Records.Leased(ctx); err != nil {
		return false, err
	}
	s, err := w.open(ctx, record)
	if err != nil || s.record.Shard.Over {
		return false, err
	}
	before := s.record.Shard.Batch
	err = s.work(ctx)
	if err != nil && ctx.Err() == nil && !errors.Is(err, state.ErrLapsed) && !errors.Is(err, state.ErrConflict) {
		w.say(ctx, s, err)
	}
	return s.record.Shard.Batch > before, err
}

// open makes the worker's shard.
func (w *Worker) open(ctx context.Context, record *state.Run) (*shard, error) {
	task, err := w.Task(ctx, record)
	if err != nil {
		return nil, err
	}
	task.Stop = w.Records.Leased
	r := &run{Sweeper: w.Sweeper, task: *task, record: record, put: func(ctx context.Context, part *state.Run, entries []ledger.Entry, intent bool) error {
		now := w.Clock.Now().UTC()
		for i := range entries {
			entries[i].Time = now
		}
		part.Shard.Remote = true
		if intent {
			part.Reason, part.Message, part.Shard.Terminal = "", "", false
		}
		return w.Records.PutShard(ctx, part, entries, intent)
	}}
	if r.key, err = w.Keys.Get(ctx, runKey(record)); err != nil {
		return nil, err
	}
	target := record.Sweep.Job.Target
	if target >= len(task.Targets) || task.Targets[target].Name() != record.Sweep.Targets[target].Entity {
		return nil, fault.Waitingf(v1alpha1.ReasonRuleGone, lookAgain, "the rule is not for %s any more", record.Sweep.Targets[target].Entity)
	}
	part, err := w.Records.Run(ctx, partUID(record.UID, target, w.Index))
	if err != nil {
		return nil, err
	}
	r.room = newAllowance(max(part.Shard.Room-part.Shard.Done, 0))
	return r.shard(ctx, task.Targets[target], part)
}

// say writes down why the worker does not go on, for the operator to show.
func (w *Worker) say(ctx context.Context, s *shard, cause error) {
	var terminal *fault.Terminal
	s.record.Reason, s.record.Message = fault.Public(cause)
	s.record.Shard.Terminal = errors.As(cause, &terminal)
	_ = s.saveShard(ctx, nil, false) // what matters is the error itself
}
