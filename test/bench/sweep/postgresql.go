package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/test/bench/internal/turns"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// settings are those of a server of this size; nothing that works by itself may fall into somebody's turn.
var settings = map[string]string{"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off"}

// rowsOfCandidate are a candidate, its document, its application and the note of that.
const rowsOfCandidate = 4

// cpuSuffix marks the figures that are not by the clock.
const cpuSuffix = "_cpu"

// database is one of PostgreSQL with its contenders.
type database struct {
	o      options
	server *pgtest.Server
	conn   *pgx.Conn
	// hand is the session that works by hand. As those of Lethe it has to map each page of the server's memory that it meets for the
	// first time; the one that seeds and tidies has them all.
	hand  *pgx.Conn
	lethe backend.Sweeper
	close func() error
	turn  int // so many slices of the candidates were due
}

func onPostgreSQL(ctx context.Context, o options) (err error) {
	server, err := pgtest.Start(ctx, pgtest.Options{Fsync: true, Settings: settings})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	for _, part := range []struct {
		name string
		run  func(context.Context, *database) error
	}{{"delete", deletions}, {"whole", wholeRuns}, {"cascade", cascades}, {"anonymize", anonymizations}, {"beside", beside}} {
		if !o.wants(part.name) {
			continue
		}
		d, err := newDatabase(ctx, o, server, false)
		if err != nil {
			return err
		}
		if err := errors.Join(part.run(ctx, d), d.close()); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

func newDatabase(ctx context.Context, o options, server *pgtest.Server, cascade bool) (*database, error) {
	name, err := server.CreateDatabase(ctx)
	if err != nil {
		return nil, err
	}
	d := &database{o: o, server: server}
	if d.conn, err = server.Connect(ctx, name); err != nil {
		return nil, err
	}
	if d.hand, err = server.Connect(ctx, name); err != nil {
		return nil, err
	}
	b, err := postgresql.Open(ctx, postgresql.Config{Host: server.Host, Port: server.Port, Database: name, User: server.User, StatementTimeout: time.Hour})
	if err != nil {
		return nil, err
	}
	d.lethe = b.(backend.Sweeper)
	d.close = func() error {
		err := errors.Join(d.conn.Close(ctx), d.hand.Close(ctx), b.Close())
		admin, err2 := server.Connect(ctx, "postgres")
		if err2 != nil {
			return errors.Join(err, err2)
		}
		_, err3 := admin.Exec(ctx, "DROP DATABASE "+name)
		return errors.Join(err, err3, admin.Close(ctx))
	}
	return d, d.seed(ctx, cascade)
}

// seed makes candidates that no rule reaches yet. Each became inactive after those before it.
func (d *database) seed(ctx context.Context, cascade bool) error {
	action := ""
	if cascade {
		action = " ON DELETE CASCADE"
	}
	statements := []string{
		"CREATE TABLE candidate (id bigint PRIMARY KEY, email text, name text, phone text, seen timestamptz)",
		fmt.Sprintf("INSERT INTO candidate SELECT i, 'p' || i || '@example.com', 'name ' || i, '+49' || i, timestamptz '2020-01-01' + i * interval '1 second' FROM generate_series(1, %d) i", d.o.rows),
		"CREATE INDEX ON candidate (seen)",
	}
	for _, c := range []struct{ name, parent, column string }{{"document", "candidate", "candidate_id"}, {"application", "candidate", "candidate_id"}, {"note", "application", "application_id"}} {
		statements = append(statements,
			fmt.Sprintf("CREATE TABLE %s (id bigint PRIMARY KEY, %s bigint NOT NULL, path text, body text)", c.name, c.column),
			fmt.Sprintf("INSERT INTO %s SELECT i, i, 'documents/' || i || '.pdf', repeat('text ', 10) FROM generate_series(1, %d) i", c.name, d.o.rows),
			fmt.Sprintf("CREATE INDEX ON %s (%s)", c.name, c.column),
			fmt.Sprintf("ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s%s", c.name, c.column, c.parent, action))
	}
	for _, s := range statements {
		if _, err := d.conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return d.tidy(ctx)
}

func (d *database) tidy(ctx context.Context) error {
	for _, s := range []string{"VACUUM (ANALYZE) candidate", "VACUUM (ANALYZE) application", "VACUUM (ANALYZE) document", "VACUUM (ANALYZE) note", "CHECKPOINT"} {
		if _, err := d.conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// cutoff makes the next slice due.
func (d *database) cutoff() (time.Time, error) {
	d.turn++
	if d.turn*d.o.due > d.o.rows {
		return time.Time{}, errors.New("no more candidates: choose more rows, fewer rounds or less that is due")
	}
	return time.Date(2020, 1, 1, 0, 0, d.turn*d.o.due, 0, time.UTC), nil
}

// contender treats a slice in its turn.
func (d *database) contender(ctx context.Context, name string, work func(cutoff time.Time) error) turns.Contender {
	return turns.Contender{Name: name, Work: func(context.Context) (map[string]time.Duration, error) {
		cutoff, err := d.cutoff()
		if err != nil {
			return nil, err
		}
		var before time.Duration
		ready := func() error {
			err := d.tidy(ctx)
			if err == nil {
				before, err = cpu(ctx, d.conn)
			}
			return err
		}
		took, err := timed(ready, func() error { return work(cutoff) })
		if err != nil {
			return nil, err
		}
		used, err := cpu(ctx, d.conn)
		fmt.Fprintf(os.Stderr, "%s: %d ms, %d ms of the processors\n", name, took.Milliseconds(), (used - before).Milliseconds())
		return map[string]time.Duration{name: took, name + cpuSuffix: used - before}, err
	}}
}

// sweeping is Lethe.
func (d *database) sweeping(ctx context.Context, name string, limit, workers int, s func(time.Time) *backend.Sweep) turns.Contender {
	return d.contender(ctx, name, func(cutoff time.Time) error {
		n, err := sweep(ctx, d.lethe, s(cutoff), limit, workers, nil)
		if err == nil && n != int64(d.o.due) {
			err = fmt.Errorf("%w: %d of %d", errLeft, n, d.o.due)
		}
		return err
	})
}

// byHand deletes children first in one transaction, and reads the paths of the documents.
func (d *database) byHand(ctx context.Context, cutoff time.Time) error {
	return pgx.BeginFunc(ctx, d.hand, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "DELETE FROM document d USING candidate c WHERE c.id = d.candidate_id AND c.seen <= $1 RETURNING d.path", cutoff)
		if err != nil {
			return err
		}
		paths, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, s := range []string{"DELETE FROM note n USING application a, candidate c WHERE a.id = n.application_id AND c.id = a.candidate_id AND c.seen <= $1",
			"DELETE FROM application a USING candidate c WHERE c.id = a.candidate_id AND c.seen <= $1", "DELETE FROM candidate WHERE seen <= $1"} {
			if _, err := tx.Exec(ctx, s, cutoff); err != nil {
				return err
			}
		}
		if len(paths) < d.o.due { // more, where records were locked in an earlier turn
			return errLeft
		}
		return nil
	})
}

func (d *database) floor(ctx context.Context) turns.Contender {
	return d.contender(ctx, "floor", func(cutoff time.Time) error { return d.byHand(ctx, cutoff) })
}

func deletions(ctx context.Context, d *database) error {
	times, err := turns.Run(ctx, []turns.Contender{d.floor(ctx), d.sweeping(ctx, "delete_1000", 1000, 1, candidateSweep), d.sweeping(ctx, "delete_5000", 5000, 1, candidateSweep),
		d.sweeping(ctx, "delete_20000", 20000, 1, candidateSweep), d.sweeping(ctx, "delete_5000_two_workers", 5000, 2, candidateSweep)}, d.o.rounds)
	if err != nil {
		return err
	}
	speed(times, "floor", rowsOfCandidate*d.o.due)
	ratios(times, "floor", map[string]float64{"delete_5000": 1, "delete_5000_two_workers": 1.5})
	return nil
}

// cascades: the floor deletes where the schema does not cascade. Where it does, all that is deleted by hand is cheaper too.
func cascades(ctx context.Context, d *database) error {
	c, err := newDatabase(ctx, d.o, d.server, true)
	if err != nil {
		return err
	}
	times, err := turns.Run(ctx, []turns.Contender{d.floor(ctx), c.sweeping(ctx, "cascade_5000", 5000, 1, candidateSweep),
		c.sweeping(ctx, "cascade_5000_two_workers", 5000, 2, candidateSweep),
		c.contender(ctx, "cascade_by_hand", func(cutoff time.Time) error { return c.byHand(ctx, cutoff) })}, d.o.rounds)
	if err := errors.Join(err, c.close()); err != nil {
		return err
	}
	ratios(times, "floor", map[string]float64{"cascade_5000_two_workers": 2.5})
	return nil
}

// anonymizations keep the rows, so what was treated is taken away before the next turn.
func anonymizations(ctx context.Context, d *database) error {
	s := func(cutoff time.Time) *backend.Sweep {
		none := "-"
		update := step("candidate", backend.Update)
		update.Columns = []backend.SweepColumn{{Column: "email"}, {Column: "name", Value: &none}, {Column: "phone"}}
		return sweepOf("candidate", cutoff, update)
	}
	clean := func(c turns.Contender) turns.Contender {
		work := c.Work
		c.Work = func(ctx context.Context) (map[string]time.Duration, error) {
			took, err := work(ctx)
			if err == nil {
				_, err = d.conn.Exec(ctx, "UPDATE candidate SET seen = NULL WHERE email IS NULL AND seen IS NOT NULL")
			}
			return took, err
		}
		return c
	}
	hand := d.contender(ctx, "anonymize_floor", func(cutoff time.Time) error {
		_, err := d.hand.Exec(ctx, "UPDATE candidate SET email = NULL, name = '-', phone = NULL WHERE seen <= $1", cutoff)
		return err
	})
	times, err := turns.Run(ctx, []turns.Contender{clean(hand), clean(d.sweeping(ctx, "anonymize_1000", 1000, 1, s)), clean(d.sweeping(ctx, "anonymize_5000", 5000, 1, s)),
		clean(d.sweeping(ctx, "anonymize_20000", 20000, 1, s)), clean(d.sweeping(ctx, "anonymize_5000_two_workers", 5000, 2, s))}, d.o.rounds)
	if err != nil {
		return err
	}
	speed(times, "anonymize_floor", d.o.due)
	ratios(times, "anonymize_floor", map[string]float64{"anonymize_5000": 1})
	return nil
}
