package sweeper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/state"
)

const (
	// leaseTime is how long workers go on without word from the operator.
	leaseTime = 20 * time.Second
	// defaultLull is longer than the server takes to find out that a worker is gone.
	defaultLull = 13 * time.Second
	// lookRoom is the room that each worker gets, so that it looks at its range, before those that need more share the rest.
	lookRoom = 1000
)

// Job is what Workers are to do: one target of a run, with one worker for each shard.
type Job struct {
	Name, RunUID, Namespace, Run string
	Workers                      int
}

// JobState is how a Job is.
type JobState struct {
	// Active workers, and those of them that run.
	Active, Ready int
	// Ended tells that no worker is coming any more.
	Ended bool
	// Message says why, where the Job failed.
	Message string
}

// Workers run shards in processes of their own.
type Workers interface {
	// Ensure makes the Job where it is not there, and tells how it is.
	Ensure(ctx context.Context, job Job) (JobState, error)
	// Remove ends a Job and its workers; one that has ended, or is not there, is fine.
	Remove(ctx context.Context, name string) error
}

// Working means that the workers of a Job are at it.
type Working struct {
	Message string
	// Again is when to look again.
	Again time.Duration
}

func (w *Working) Error() string { return w.Message }

// JobName of the nth Job of a run.
func JobName(runUID string, n int) string {
	sum := sha256.Sum256([]byte(runUID))
	return fmt.Sprintf("lethe-sweep-%s-%d", hex.EncodeToString(sum[:6]), n)
}

// delegates tells whether the shards of a target are for the workers of a Job. Later passes, which look for what was locked or came
// anew, are the operator's own, unless workers ran out of room.
func (r *run) delegates(target int) bool {
	if !r.task.Delegate || r.Workers == nil || r.Delegator == nil {
		return false
	}
	var open, hungry int
	for _, s := range r.shards {
		part := s.record.Shard
		if part.Target != target {
			continue
		}
		if !part.Over {
			open++
		}
		if part.Hungry {
			hungry++
		}
	}
	sweep := r.record.Sweep
	if job := sweep.Job; open > 0 && job != nil && job.Pass == sweep.Passes && job.Target == target {
		return true
	}
	return open > 0 && r.room.left >= int64(open) && (sweep.Passes == 0 || hungry > 0)
}

// delegate has the shards of a target done by the workers of a Job. It returns *Working while they are at it.
func (r *run) delegate(ctx context.Context, target int) error {
	sweep := r.record.Sweep
	if job := sweep.Job; job == nil || job.Pass != sweep.Passes || job.Target != target {
		if err := r.recall(ctx); err != nil {
			return err
		}
		if err := r.launch(ctx, target); err != nil {
			return err
		}
	}
	st, err := r.Workers.Ensure(ctx, Job{Name: sweep.Job.Name, RunUID: r.record.UID, Namespace: r.record.Namespace, Run: r.record.Name, Workers: sweep.Targets[target].Shards})
	if err != nil {
		return err
	}
	crashCreated.Hit()
	if st.Ended {
		return r.after(ctx, target, st)
	}
	if err := r.Delegator.Lease(ctx, r.record.UID, sweep.Job.Name, leaseTime); err != nil {
		return err
	}
	message := fmt.Sprintf("%d of %d workers of Job %s are at work", st.Ready, sweep.Targets[target].Shards, sweep.Job.Name)
	if trouble := r.trouble(target); trouble != nil {
		message += "; one of them says: " + trouble.Message
	}
	return &Working{Message: message, Again: 2 * time.Second}
}

// launch puts a Job on record, and what each of its workers may treat, before there is one.
func (r *run) launch(ctx context.Context, target int) error {
	sweep := r.record.Sweep
	var parts []*state.Run
	var hungry []bool
	for _, s := range r.shards {
		if part := s.record.Shard; part.Target == target && !part.Over {
			parts, hungry = append(parts, s.record), append(hungry, part.Hungry)
		}
	}
	for i, n := range share(r.room.left, hungry) {
		part := parts[i]
		part.Shard.Room, part.Shard.Terminal = part.Shard.Done+n, false
		part.Reason, part.Message = "", ""
	}
	sweep.Jobs++
	sweep.Job = &state.SweepJob{Name: JobName(r.record.UID, sweep.Jobs), Pass: sweep.Passes, Target: target}
	err := r.save(ctx, nil, parts...)
	if err == nil {
		crashLaunched.Hit()
	}
	return err
}

// share divides what a run may still treat among workers: all of it, and to each enough for a look, but most to the hungry ones.
func share(left int64, hungry []bool) []int64 {
	rooms := make([]int64, len(hungry))
	n := int64(len(hungry))
	if n == 0 || left <= 0 {
		return rooms
	}
	base := min(left/n, lookRoom)
	var eaters []int
	for i := range rooms {
		rooms[i] = base
		if hungry[i] {
			eaters = append(eaters, i)
		}
	}
	if len(eaters) == 0 {
		for i := range rooms {
			eaters = append(eaters, i)
		}
	}
	rest := left - base*n
	each, odd := rest/int64(len(eaters)), rest%int64(len(eaters))
	for k, i := range eaters {
		rooms[i] += each
		if int64(k) < odd {
			rooms[i]++
		}
	}
	return rooms
}

// after judges a Job that has ended.
func (r *run) after(ctx context.Context, target int, st JobState) error {
	for _, s := range r.shards {
		if s.record.Shard.Target != target {
			continue
		}
		record, err := r.State.Run(ctx, s.record.UID)
		if err != nil {
			return err
		}
		s.record = record
	}
	if r.open(target) == 0 {
		return executor.ErrBudget // they have ended since: look again at once
	}
	cause := r.trouble(target)
	name := r.record.Sweep.Job.Name
	if err := r.recall(ctx); err != nil {
		return err
	}
	if err := r.save(ctx, nil); err != nil {
		return err
	}
	message := fmt.Sprintf("Job %s ended before its workers were done", name)
	if st.Message != "" {
		message += " (" + st.Message + ")"
	}
	if cause == nil {
		return &fault.Transient{Reason: v1alpha1.ReasonWorkersFailed, Message: message + "; a new one is made"}
	}
	if cause.Shard.Terminal {
		return &fault.Terminal{Reason: cause.Reason, Message: message + ": " + cause.Message}
	}
	return &fault.Transient{Reason: cause.Reason, Message: message + ": " + cause.Message}
}

// open counts the shards of a target that are not over.
func (r *run) open(target int) (n int) {
	for _, s := range r.shards {
		if part := s.record.Shard; part.Target == target && !part.Over {
			n++
		}
	}
	return n
}

// trouble is a shard of a target whose worker has said why it does not go on; nil where there is none.
func (r *run) trouble(target int) *state.Run {
	for _, s := range r.shards {
		if part := s.record.Shard; part.Target == target && !part.Over && s.record.Reason != "" {
			return s.record
		}
	}
	return nil
}

// recall takes the run back from its workers. The record is changed, and not saved. Workers that are done end by themselves.
func (r *run) recall(ctx context.Context) error {
	job := r.record.Sweep.Job
	return r.Sweeper.recall(ctx, r.record, job != nil && r.open(job.Target) > 0)
}

func (s *Sweeper) recall(ctx context.Context, record *state.Run, remove bool) error {
	job := record.Sweep.Job
	if job == nil {
		return nil
	}
	if s.Delegator == nil || s.Workers == nil {
		return fault.Waitingf(v1alpha1.ReasonJobsUnavailable, time.Minute, "workers of Job %s are at the run, and this operator cannot take it back from them", job.Name)
	}
	if err := s.Delegator.Withdraw(ctx, record.UID); err != nil {
		return err
	}
	if remove {
		if err := s.Workers.Remove(ctx, job.Name); err != nil {
			return err
		}
	}
	record.Sweep.Job = nil
	return nil
}

// Recall takes a run that is not to go on back from its workers: a page that is under way ends, and none follows.
func (s *Sweeper) Recall(ctx context.Context, record *state.Run) error {
	if record.Sweep == nil || record.Sweep.Job == nil {
		return nil
	}
	if err := s.recall(ctx, record, true); err != nil {
		return err
	}
	// What they have said follows when the run goes on or has ended: the ledger may be what it waits for.
	return s.Journal.Record(ctx, record.Namespace, nil, func(tx state.Tx) error { return tx.PutRun(record) })
}

// Settle moves what workers of a run have said into the ledger.
func (s *Sweeper) Settle(ctx context.Context, record *state.Run) error {
	if s.Delegator == nil || record.Sweep.Jobs == 0 {
		return nil
	}
	return s.Delegator.Drain(ctx, record.Namespace, record.UID)
}

func (s *Sweeper) lull() time.Duration {
	if s.Lull == 0 {
		return defaultLull
	}
	return s.Lull
}
