package postgresql

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

var _ backend.Sweeper = (*Backend)(nil)

const (
	// planForValues: which index finds what is due depends on the cutoff and on where the page begins. Only for that one statement:
	// it would have the server plan each check of a foreign key anew.
	planForValues = "SET LOCAL plan_cache_mode = force_custom_plan"
	planOnce      = "SET LOCAL plan_cache_mode = force_generic_plan"
	// beginReadPlanned is one snapshot, to be ended by endRead, for what is planned for the values at hand: without them the server
	// would take little of a table for due.
	beginReadPlanned = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	endRead          = "COMMIT"
	skipLocked       = " FOR UPDATE OF t SKIP LOCKED"
)

// CheckSweep makes all statements, and lets the server plan them. The tables may have changed since they were last read.
func (b *Backend) CheckSweep(ctx context.Context, s *backend.Sweep) error {
	b.forget()
	if err := core.CheckSweepShape(s); err != nil {
		return err
	}
	return b.run(ctx, core.SweepTables(s), func(conn *pgx.Conn, c *core.Compiler) error {
		statements, err := c.SweepCheck(s)
		if err != nil {
			return err
		}
		c.References = c.References.WithoutCounters() // a right that is missing is found for each step
		steps, err := c.SweepSteps(s, nil)
		if err != nil {
			return err
		}
		statements = append(statements, steps...)
		for i := range statements {
			statements[i].Text = "EXPLAIN " + statements[i].Text
		}
		return b.pipeline(ctx, conn, beginRead, statements, entityOf(s), func(_ core.Statement, rows pgx.Rows) error {
			rows.Close()
			return rows.Err()
		})
	})
}

func entityOf(s *backend.Sweep) func(int) string {
	return func(i int) string { return core.SweepEntity(s, i) }
}

// CountSweep counts in one snapshot.
func (b *Backend) CountSweep(ctx context.Context, s *backend.Sweep) (*backend.SweepCount, error) {
	if err := core.CheckSweepShape(s); err != nil {
		return nil, err
	}
	var n *backend.SweepCount
	err := b.run(ctx, core.SweepTables(s), func(conn *pgx.Conn, c *core.Compiler) error {
		n = &backend.SweepCount{Steps: make([]int64, len(s.Steps)), Kept: make([]int64, len(s.Keep))}
		statements, err := c.SweepCount(s)
		if err != nil {
			return err
		}
		var earliest *int64
		err = b.readPlanned(ctx, conn, s, statements, func(st core.Statement, rows pgx.Rows) error {
			into := core.SweepCounts(n, &earliest)
			if st.Op >= 0 {
				into = []any{&n.Steps[st.Op]}
			}
			_, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, row.Scan(into...) })
			return err
		})
		n.Earliest = core.FromMicros(earliest).Time
		return err
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// readPlanned runs statements in one snapshot, each with a plan for the values at hand.
func (b *Backend) readPlanned(ctx context.Context, conn *pgx.Conn, s *backend.Sweep, statements []core.Statement, read func(core.Statement, pgx.Rows) error) error {
	all := slices.Concat([]core.Statement{{Text: planForValues, Op: -1}}, statements, []core.Statement{{Text: endRead, Op: -1}})
	n := 0
	return b.pipeline(ctx, conn, beginReadPlanned, all, entityOf(s), func(st core.Statement, rows pgx.Rows) error {
		if n++; n == 1 || n == len(all) {
			rows.Close()
			return rows.Err()
		}
		return read(st, rows)
	})
}

// SplitSweep reads the keys' index on the server.
func (b *Backend) SplitSweep(ctx context.Context, s *backend.Sweep, n int) ([]backend.Key, error) {
	if err := core.CheckSweepShape(s); err != nil {
		return nil, err
	}
	var found [][]backend.Value
	err := b.run(ctx, core.SweepTables(s), func(conn *pgx.Conn, c *core.Compiler) error {
		found = nil
		st, err := c.SweepSplit(s, n)
		if err != nil {
			return err
		}
		return b.readPlanned(ctx, conn, s, []core.Statement{st}, func(_ core.Statement, rows pgx.Rows) error {
			return eachRow(rows, func(values []backend.Value) error {
				found = append(found, values)
				return nil
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return core.SplitBounds(s, found)
}

// CollectSweep looks at records by their keys.
func (b *Backend) CollectSweep(ctx context.Context, s *backend.Sweep, keys []backend.Key) ([][][]backend.Value, error) {
	var collected [][][]backend.Value
	err := b.run(ctx, core.SweepTables(s), func(conn *pgx.Conn, c *core.Compiler) error {
		collected = make([][][]backend.Value, len(s.Steps))
		statements, err := c.SweepCollect(s, keys)
		if err != nil || len(statements) == 0 {
			return err
		}
		return b.pipeline(ctx, conn, beginRead, statements, entityOf(s), func(st core.Statement, rows pgx.Rows) error {
			return eachRow(rows, func(values []backend.Value) error {
				collected[st.Op] = append(collected[st.Op], values[len(s.Steps[st.Op].KeyColumns):])
				return nil
			})
		})
	})
	return collected, err
}

// ExplainSweep looks at records by their keys.
func (b *Backend) ExplainSweep(ctx context.Context, s *backend.Sweep, keys []backend.Key) ([]backend.SweepExplanation, error) {
	if err := core.CheckSweepShape(s); err != nil || len(keys) == 0 {
		return nil, err
	}
	var list []backend.SweepExplanation
	err := b.run(ctx, core.SweepTables(s), func(conn *pgx.Conn, c *core.Compiler) error {
		st, err := c.SweepExplain(s, keys)
		if err != nil {
			return err
		}
		var found []backend.SweepExplanation
		err = b.pipeline(ctx, conn, beginRead, []core.Statement{st}, entityOf(s), func(_ core.Statement, rows pgx.Rows) error {
			return eachRow(rows, func(values []backend.Value) error {
				key, err := keyOf(values, s)
				if err == nil {
					found = append(found, core.Explanation(s, key, values[len(key):]))
				}
				return err
			})
		})
		list = core.Explanations(s, keys, found)
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// lagQuery: a replica that has nothing to replay has no lag.
const lagQuery = `SELECT count(*) > 0 AND COALESCE(bool_and(state IS NOT NULL), false), COALESCE(max(EXTRACT(EPOCH FROM replay_lag)), 0)::float8
FROM pg_catalog.pg_stat_replication WHERE state IS DISTINCT FROM 'backup'`

// Lag needs the role pg_monitor.
func (b *Backend) Lag(ctx context.Context) (lag time.Duration, ok bool, err error) {
	err = b.run(ctx, nil, func(conn *pgx.Conn, _ *core.Compiler) error {
		var seconds float64
		err := conn.QueryRow(ctx, lagQuery).Scan(&ok, &seconds)
		lag = time.Duration(seconds * float64(time.Second))
		return err
	})
	if err != nil || !ok {
		return 0, false, err
	}
	return lag, true, nil
}

// SweepBatch is five round trips: look how far the page may reach, choose and lock, look again at what is committed since, treat,
// commit.
func (b *Backend) SweepBatch(ctx context.Context, s *backend.Sweep, batch backend.SweepBatch) (*backend.SweepResult, error) {
	if err := core.CheckSweepBatch(s, &batch); err != nil {
		return nil, err
	}
	var res *backend.SweepResult
	err := b.run(ctx, core.SweepTables(s), func(conn *pgx.Conn, c *core.Compiler) error {
		c.Ignored = s.Ignored
		p := page{Backend: b, conn: conn, c: c, sweep: s, batch: &batch, res: core.NewSweepResult(s)}
		res = p.res
		return p.run(ctx)
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// page is one attempt at a batch of a sweep.
type page struct {
	*Backend
	conn  *pgx.Conn
	c     *core.Compiler
	sweep *backend.Sweep
	batch *backend.SweepBatch
	res   *backend.SweepResult
}

func (p *page) run(ctx context.Context) error {
	done, err := p.atOnce(ctx)
	if err != nil {
		return err
	}
	if done && p.res.Keys == nil {
		return nil // nothing is due any more
	}
	if !done {
		keys, err := p.choose(ctx)
		if err != nil || len(keys) == 0 {
			return err // what was locked is released with the connection
		}
		if err := p.treat(ctx, keys); err != nil {
			return err
		}
	}
	if err := core.BeforeSweep(ctx, p.batch, p.res); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.silence())
	defer cancel()
	return commit(ctx, p.conn)
}

// shortWait is for records that others have locked: an update in passing waits for those who are just about to finish.
const shortWait = "SET LOCAL lock_timeout = '50ms'"

// atOnce updates the records of the page that are due in one statement, where nothing else must be known of them: locking them first
// would be half of the work. It is not done where another session keeps a lock, or the next records are not due.
func (p *page) atOnce(ctx context.Context) (done bool, err error) {
	s := p.sweep
	if len(s.Steps) != 1 || s.Steps[0].Action != backend.Update || len(s.Steps[0].Collect) > 0 || p.batch.Held != nil || core.SweepLooksFurther(s) {
		return false, nil
	}
	r := core.RangeOf(p.batch)
	r.Near = true
	if done, err = p.updateNext(ctx, r); done || err != nil {
		return done, err
	}
	var first backend.Key
	next := core.RangeOf(p.batch)
	next.Limit = 1
	err = p.look(ctx, beginWrite, next, func(values []backend.Value) error {
		first, err = keyOf(values, s)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := p.undo(ctx); err != nil || first == nil {
		return true, err
	}
	r.From, r.After = first, nil
	return p.updateNext(ctx, r)
}

// updateNext updates what is due of so many next records as the page may have.
func (p *page) updateNext(ctx context.Context, r core.SweepRange) (done bool, err error) {
	bound, err := p.bound(ctx, r, p.batch.Limit-1)
	if err != nil {
		return false, err
	}
	if bound != nil {
		r.Until = bound
	}
	st, err := p.c.SweepUpdate(p.sweep, r)
	if err != nil {
		return false, err
	}
	var keys []backend.Key
	err = p.planned(ctx, goOn, st, func(values []backend.Value) error {
		key, err := keyOf(values, p.sweep)
		keys = append(keys, key)
		return err
	}, core.Statement{Text: shortWait, Op: -1})
	var locked *pgconn.PgError
	if errors.As(err, &locked) && locked.Code == "55P03" || err == nil && len(keys) == 0 {
		return false, p.undo(ctx)
	}
	p.res.Last, p.res.Keys, p.res.Affected[0] = bound, keys, int64(len(keys))
	return true, err
}

func (p *page) undo(ctx context.Context) error {
	_, err := p.conn.Exec(ctx, "ROLLBACK")
	return err
}

// choose locks the page's records and returns the keys of those to treat.
func (p *page) choose(ctx context.Context) ([]backend.Key, error) {
	r := core.RangeOf(p.batch)
	r.Limit, r.Subject, r.Lock = p.batch.Limit, p.batch.Held != nil, skipLocked
	keys, subjects, near, err := p.lock(ctx, r)
	if err != nil {
		return nil, err
	}
	if len(keys) == p.batch.Limit {
		p.res.Last = keys[len(keys)-1]
		r.Until = p.res.Last
	}
	r.Near = near
	// What is locked is as it was looked at, but for what other records say of it. What is due besides is locked by others.
	r.Limit, r.Subject, r.Lock, r.Count = 0, false, "", !core.SweepLooksFurther(p.sweep)
	still := map[string]bool{}
	var due int64
	err = p.look(ctx, goOn, r, func(values []backend.Value) error {
		if r.Count {
			due, err = strconv.ParseInt(*values[0], 10, 64)
			return err
		}
		key, err := keyOf(values, p.sweep)
		still[core.KeyText(key)] = true
		return err
	})
	if err != nil {
		return nil, err
	}
	if r.Count {
		still = nil
	}
	return core.Chosen(ctx, p.batch, p.res, keys, subjects, still, due)
}

// nearby is how many times its limit a page looks at first.
const nearby = 4

// lock takes the next records that are due. Where the old ones stand together, as they mostly do, they are found nearby by their key;
// the planner does not know that, and would look at all that is due for each page.
func (p *page) lock(ctx context.Context, r core.SweepRange) (keys []backend.Key, subjects []backend.Value, near bool, err error) {
	read := func(values []backend.Value) error {
		key, err := keyOf(values, p.sweep)
		keys = append(keys, key)
		if r.Subject {
			subjects = append(subjects, values[len(key)])
		}
		return err
	}
	bound, err := p.bound(ctx, r, nearby*r.Limit)
	if err != nil {
		return nil, nil, false, err
	}
	close := r
	close.Near = true
	if bound != nil {
		close.Until = bound
	}
	if err := p.look(ctx, goOn, close, read); err != nil || bound == nil || len(keys) == r.Limit {
		return keys, subjects, true, err
	}
	keys, subjects = nil, nil
	err = p.look(ctx, goOn, r, read)
	return keys, subjects, false, err
}

// bound begins the transaction and is the key so many records away, nil where the range has fewer.
func (p *page) bound(ctx context.Context, r core.SweepRange, records int) (bound backend.Key, err error) {
	st, err := p.c.SweepBound(p.sweep, r, records)
	if err != nil {
		return nil, err
	}
	err = p.planned(ctx, beginWrite, st, func(values []backend.Value) error { bound, err = keyOf(values, p.sweep); return err })
	return bound, err
}

// look selects records that are due.
func (p *page) look(ctx context.Context, begin string, r core.SweepRange, read func([]backend.Value) error) error {
	st, err := p.c.SweepDue(p.sweep, r)
	if err != nil {
		return err
	}
	return p.planned(ctx, begin, st, read)
}

// planned runs a statement with a plan for the values at hand.
func (p *page) planned(ctx context.Context, begin string, st core.Statement, read func([]backend.Value) error, before ...core.Statement) error {
	statements := slices.Concat(before, []core.Statement{{Text: planForValues, Op: -1}, st, {Text: planOnce, Op: -1}})
	return p.pipeline(ctx, p.conn, begin, statements, entityOf(p.sweep), func(st core.Statement, rows pgx.Rows) error {
		if st.Op < 0 {
			rows.Close()
			return rows.Err()
		}
		return eachRow(rows, read)
	})
}

func (p *page) treat(ctx context.Context, keys []backend.Key) error {
	if len(p.sweep.Steps) == 0 {
		return core.SweepDone(p.sweep, p.res, keys)
	}
	statements, err := p.c.SweepSteps(p.sweep, keys)
	if err != nil {
		return err
	}
	err = p.pipeline(ctx, p.conn, goOn, statements, entityOf(p.sweep), func(st core.Statement, rows pgx.Rows) error {
		switch {
		case st.Guard != nil:
			count, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
			if err != nil {
				return err
			}
			return st.JudgeFor(p.sweep.Steps[st.Op].Entity, count)
		case st.Tally != 0:
			return p.tally(st, rows)
		case st.Locks:
			rows.Close()
			return rows.Err()
		}
		if err := eachRow(rows, func(values []backend.Value) error {
			p.res.Collected[st.Op] = append(p.res.Collected[st.Op], values)
			return nil
		}); err != nil {
			return err
		}
		p.res.Affected[st.Op] += rows.CommandTag().RowsAffected()
		return nil
	})
	if err != nil {
		return err
	}
	return core.SweepDone(p.sweep, p.res, keys)
}

// tally counts what went by a cascade. The locks of the parents' deletion keep the foreign key as it is until the end.
func (p *page) tally(st core.Statement, rows pgx.Rows) error {
	count, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[*int64])
	if err != nil {
		return err
	}
	if count == nil {
		return &backend.StaleError{Entity: p.sweep.Steps[st.Op].Entity, Err: core.ErrNoCascade, Problem: "a foreign key that deletes its records was changed meanwhile"}
	}
	p.res.Affected[st.Op] += st.Tally * *count
	return nil
}

// maxSlab is the most rows that share memory taken at once: one allocation for each value would be most of the work.
const maxSlab = 256

// eachRow reads the rows of a statement as text.
func eachRow(rows pgx.Rows, read func([]backend.Value) error) error {
	defer rows.Close()
	var texts []string
	var values []backend.Value
	slab := 1
	for rows.Next() {
		raw := rows.RawValues()
		n := len(raw)
		if len(values) < n {
			texts, values = make([]string, slab*n), make([]backend.Value, slab*n)
			slab = min(4*slab, maxSlab)
		}
		for i, v := range raw {
			if v == nil {
				continue
			}
			if !utf8.Valid(v) {
				return refused("", "a value is not valid UTF-8", "convert the database to the encoding UTF8")
			}
			texts[i] = string(v)
			values[i] = &texts[i]
		}
		if err := read(values[:n:n]); err != nil {
			return err
		}
		texts, values = texts[n:], values[n:]
	}
	return rows.Err()
}

// keyOf is the key at the beginning of a row.
func keyOf(values []backend.Value, s *backend.Sweep) (backend.Key, error) {
	return core.SweepKey(s.KeyColumns, values)
}
