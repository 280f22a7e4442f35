package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/policy"
)

const (
	// pace of the application's calls, in each of its sessions.
	interval = 2 * time.Millisecond
	sessions = 2
	// share of the records that are to go in which the application works.
	share = 20 // one of so many
)

// application works on candidates that are to go: it reads one with its applications and writes it.
type application struct {
	first, last int
	mu          sync.Mutex
	took        []time.Duration
}

func (a *application) session(ctx context.Context, conn *pgx.Conn, seed int64, done <-chan struct{}) error {
	random := rand.New(rand.NewSource(seed))
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return nil
		case <-tick.C:
		}
		id := a.first + random.Intn((a.last-a.first)/share)*share
		begin := time.Now()
		batch := &pgx.Batch{}
		batch.Queue("SELECT c.name, count(a.id) FROM candidate c LEFT JOIN application a ON a.candidate_id = c.id WHERE c.id = $1 GROUP BY c.id", id)
		batch.Queue("UPDATE candidate SET name = $2 WHERE id = $1", id, fmt.Sprint("name ", random.Intn(1000)))
		if err := conn.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
		a.mu.Lock()
		a.took = append(a.took, time.Since(begin))
		a.mu.Unlock()
	}
}

// during runs the application beside work and returns how long its calls took, in order.
func (d *database) during(ctx context.Context, first, last int, work func() error) ([]time.Duration, error) {
	app := &application{first: first, last: last}
	done := make(chan struct{})
	var wait sync.WaitGroup
	errs := make([]error, sessions)
	for i := range sessions {
		conn, err := pgx.ConnectConfig(ctx, d.conn.Config().Copy())
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close(ctx) }()
		wait.Go(func() { errs[i] = app.session(ctx, conn, int64(i), done) })
	}
	err := work()
	close(done)
	wait.Wait()
	slices.Sort(app.took)
	return app.took, errors.Join(append(errs, err)...)
}

func percentile(sorted []time.Duration, p float64) float64 {
	return float64(sorted[min(int(p*float64(len(sorted))), len(sorted)-1)].Microseconds()) / 1000
}

// beside compares the application's times with those when nothing is swept. A turn sees one part of a sweep that has the whole table
// before it: the application works on what is gone at its end as on what is not.
func beside(ctx context.Context, d *database) error {
	ways := []struct {
		name string
		work func(cutoff time.Time) error
	}{
		{"undisturbed", func(time.Time) error { time.Sleep(4 * time.Second); return nil }},
		{"beside_default", func(c time.Time) error { return d.paced(ctx, c) }},
		{"beside_1000", func(c time.Time) error { return d.once(ctx, c, 1000, 1) }},
		{"beside_5000", func(c time.Time) error { return d.once(ctx, c, 5000, 1) }},
		{"beside_5000_two_workers", func(c time.Time) error { return d.once(ctx, c, 5000, 2) }},
		{"beside_floor", func(c time.Time) error { return d.byHand(ctx, c) }},
	}
	d.o.due = d.o.rows * 2 / 3 / (len(ways) * d.o.besideRounds)
	p99, p999 := map[string][]float64{}, map[string][]float64{}
	for round := range d.o.besideRounds {
		for i := range ways {
			w := ways[(i+round)%len(ways)]
			first, before := d.turn*d.o.due+1, d.turn
			cutoff, err := d.cutoff()
			if err != nil {
				return err
			}
			if w.name == "undisturbed" { // of the candidates that the next one sweeps
				d.turn = before
			}
			if err := d.tidy(ctx); err != nil {
				return err
			}
			took, err := d.during(ctx, first, d.o.rows, func() error { return w.work(cutoff) })
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			fmt.Fprintf(os.Stderr, "%s: %d calls, p99 %.1f ms, p99.9 %.1f ms\n", w.name, len(took), percentile(took, 0.99), percentile(took, 0.999))
			p99[w.name] = append(p99[w.name], percentile(took, 0.99))
			p999[w.name] = append(p999[w.name], percentile(took, 0.999))
		}
	}
	undisturbed := median(p99["undisturbed"])
	for _, w := range ways {
		middle := median(p99[w.name])
		fmt.Printf("BENCH sweep_%s_p99_ms %.2f\nBENCH sweep_%s_p999_ms %.2f\n", w.name, middle, w.name, median(p999[w.name]))
		fmt.Printf("BENCH sweep_%s_p99_ratio %.2f\n", w.name, middle/undisturbed)
	}
	if ratio, longest := median(p99["beside_default"])/undisturbed, median(p999["beside_default"]); ratio > 2.5 || longest > 150 {
		fmt.Fprintf(os.Stderr, "beside the default mode p99 is %.2f times the undisturbed, p99.9 %.0f ms; the targets are 2.5 and 150 ms\n", ratio, longest)
	}
	return nil
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

// paced sweeps as a policy without spec.throttle does.
func (d *database) paced(ctx context.Context, cutoff time.Time) error {
	pace := policy.PaceOf(nil)
	s, batch := candidateSweep(cutoff), backend.SweepBatch{Limit: pace.First()}
	for {
		begin := time.Now()
		r, err := d.lethe.SweepBatch(ctx, s, batch)
		if err != nil || r.Last == nil {
			return err
		}
		took := time.Since(begin)
		batch.After, batch.Limit = r.Last, pace.Next(batch.Limit, took)
		time.Sleep(pace.Rest(took))
	}
}

func (d *database) once(ctx context.Context, cutoff time.Time, limit, workers int) error {
	_, err := sweep(ctx, d.lethe, candidateSweep(cutoff), limit, workers, nil)
	return err
}
