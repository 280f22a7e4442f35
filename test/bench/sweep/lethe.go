package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

var key = []string{"id"}

func hop(table, column string) backend.Hop {
	return backend.Hop{Table: backend.Table{Name: table}, Columns: key, TargetColumns: []string{column}, Down: true}
}

func step(table string, action backend.Action, path ...backend.Hop) backend.SweepStep {
	return backend.SweepStep{Entity: table, Table: backend.Table{Name: table}, KeyColumns: key, Path: path, Action: action}
}

// sweepOf deletes what is due in a table after its steps.
func sweepOf(table string, cutoff time.Time, steps ...backend.SweepStep) *backend.Sweep {
	return &backend.Sweep{Table: backend.Table{Name: table}, KeyColumns: key, Clock: backend.SweepClock{Column: "seen"},
		Cutoff: cutoff, Now: time.Now(), Steps: steps}
}

// candidateSweep returns the paths of the documents.
func candidateSweep(cutoff time.Time) *backend.Sweep {
	document := step("document", backend.Delete, hop("document", "candidate_id"))
	document.Collect = []string{"path"}
	application := hop("application", "candidate_id")
	return sweepOf("candidate", cutoff, step("note", backend.Delete, application, hop("note", "application_id")),
		step("application", backend.Delete, application), document, step("candidate", backend.Delete))
}

// record is what must be durable before a page's effects are: nothing here, where the store alone is measured.
type record func(ctx context.Context, r *backend.SweepResult) error

// sweep treats all that is due in pages; with several workers each has a range of the keys.
func sweep(ctx context.Context, b backend.Sweeper, s *backend.Sweep, limit, workers int, before record) (int64, error) {
	bounds, err := b.SplitSweep(ctx, s, workers)
	if err != nil || len(bounds) == 0 {
		return 0, err
	}
	var treated atomic.Int64
	var wait sync.WaitGroup
	errs := make(chan error, len(bounds))
	for i, until := range bounds[1:] {
		batch := backend.SweepBatch{Limit: limit, BeforeEffect: before, From: bounds[0], Until: until}
		if i > 0 {
			batch.After = bounds[i]
		}
		wait.Go(func() {
			n, err := pages(ctx, b, s, batch)
			treated.Add(n)
			if err != nil {
				errs <- err
			}
		})
	}
	wait.Wait()
	select {
	case err := <-errs:
		return 0, err
	default:
		return treated.Load(), nil
	}
}

func pages(ctx context.Context, b backend.Sweeper, s *backend.Sweep, batch backend.SweepBatch) (treated int64, err error) {
	for {
		r, err := b.SweepBatch(ctx, s, batch)
		if err != nil {
			return treated, fmt.Errorf("after %d: %w", treated, err)
		}
		treated += int64(len(r.Keys))
		if r.Last == nil {
			return treated, nil
		}
		batch.After = r.Last
	}
}
