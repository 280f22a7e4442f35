package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// pace of the application's calls, in each of its sessions.
	pace     = 4 * time.Millisecond
	sessions = 2
	// share of the records that are due in which the application works.
	share = 20 // one of so many
)

// application works on candidates of which some are due: it reads one with its applications and writes it.
type application struct {
	first, last int
	mu          sync.Mutex
	took        []time.Duration
}

func (a *application) session(ctx context.Context, conn *pgx.Conn, seed int64, done <-chan struct{}) error {
	random := rand.New(rand.NewSource(seed))
	tick := time.NewTicker(pace)
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

// beside compares the application's times with those when nothing is swept.
func beside(ctx context.Context, d *database) error {
	ways := []struct {
		name string
		work func(cutoff time.Time) error
	}{
		{"undisturbed", func(time.Time) error { time.Sleep(4 * time.Second); return nil }},
		{"beside_1000", func(c time.Time) error { return d.once(ctx, c, 1000, 1) }},
		{"beside_5000", func(c time.Time) error { return d.once(ctx, c, 5000, 1) }},
		{"beside_5000_two_workers", func(c time.Time) error { return d.once(ctx, c, 5000, 2) }},
		{"beside_floor", func(c time.Time) error { return d.byHand(ctx, c) }},
	}
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
			took, err := d.during(ctx, first, first+d.o.due-1, func() error { return w.work(cutoff) })
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			p99[w.name] = append(p99[w.name], percentile(took, 0.99))
			p999[w.name] = append(p999[w.name], percentile(took, 0.999))
		}
	}
	for _, w := range ways {
		slices.Sort(p99[w.name])
		slices.Sort(p999[w.name])
		middle := p99[w.name][len(p99[w.name])/2]
		fmt.Printf("BENCH sweep_%s_p99_ms %.2f\nBENCH sweep_%s_p999_ms %.2f\n", w.name, middle, w.name, p999[w.name][len(p999[w.name])/2])
		fmt.Printf("BENCH sweep_%s_p99_ratio %.2f\n", w.name, middle/p99["undisturbed"][len(p99["undisturbed"])/2])
	}
	return nil
}

func (d *database) once(ctx context.Context, cutoff time.Time, limit, workers int) error {
	_, err := sweep(ctx, d.lethe, candidateSweep(cutoff), limit, workers, nil)
	return err
}
