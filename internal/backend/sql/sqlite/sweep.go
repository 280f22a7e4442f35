package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

var _ backend.Sweeper = (*Backend)(nil)

// sweep runs f in a transaction, with the tables of a sweep.
func (b *Backend) sweep(ctx context.Context, begin string, s *backend.Sweep, f func(*sql.Conn, *core.Compiler) error) error {
	if err := core.CheckSweepShape(s); err != nil {
		return err
	}
	return b.transaction(ctx, begin, core.SweepTables(s), f)
}

// CheckSweep makes all statements, and lets SQLite plan them.
func (b *Backend) CheckSweep(ctx context.Context, s *backend.Sweep) error {
	return b.sweep(ctx, "BEGIN", s, func(conn *sql.Conn, c *core.Compiler) error {
		statements, err := c.SweepCheck(s)
		if err != nil {
			return err
		}
		for _, st := range statements {
			st.Text = "EXPLAIN " + st.Text
			if err := b.eachRow(ctx, conn, st, func([]any) error { return nil }); err != nil {
				return translate(err, "")
			}
		}
		return nil
	})
}

// CountSweep counts in one snapshot.
func (b *Backend) CountSweep(ctx context.Context, s *backend.Sweep) (*backend.SweepCount, error) {
	n := &backend.SweepCount{Steps: make([]int64, len(s.Steps)), Kept: make([]int64, len(s.Keep))}
	err := b.sweep(ctx, "BEGIN", s, func(conn *sql.Conn, c *core.Compiler) error {
		statements, err := c.SweepCount(s)
		if err != nil {
			return err
		}
		var earliest *int64
		for _, st := range statements {
			into := core.SweepCounts(n, &earliest)
			if st.Op >= 0 {
				into = []any{&n.Steps[st.Op]}
			}
			if err := b.countRow(ctx, conn, st, into); err != nil {
				return translate(err, "")
			}
		}
		n.Earliest = core.FromMicros(earliest).Time
		return nil
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// SplitSweep reads the keys in one snapshot.
func (b *Backend) SplitSweep(ctx context.Context, s *backend.Sweep, n int) ([]backend.Key, error) {
	var found [][]backend.Value
	err := b.sweep(ctx, "BEGIN", s, func(conn *sql.Conn, c *core.Compiler) error {
		st, err := c.SweepSplit(s, n)
		if err != nil {
			return err
		}
		return b.eachRow(ctx, conn, st, func(raw []any) error {
			found = append(found, toValues(raw))
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return core.SplitBounds(s, found)
}

// CollectSweep looks at records by their keys.
func (b *Backend) CollectSweep(ctx context.Context, s *backend.Sweep, keys []backend.Key) ([][][]backend.Value, error) {
	collected := make([][][]backend.Value, len(s.Steps))
	err := b.sweep(ctx, "BEGIN", s, func(conn *sql.Conn, c *core.Compiler) error {
		statements, err := c.SweepCollect(s, keys)
		if err != nil {
			return err
		}
		for _, st := range statements {
			if err := b.eachRow(ctx, conn, st, func(raw []any) error {
				collected[st.Op] = append(collected[st.Op], toValues(raw)[len(s.Steps[st.Op].KeyColumns):])
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return collected, err
}

// ExplainSweep looks at records by their keys.
func (b *Backend) ExplainSweep(ctx context.Context, s *backend.Sweep, keys []backend.Key) ([]backend.SweepExplanation, error) {
	var found []backend.SweepExplanation
	err := b.sweep(ctx, "BEGIN", s, func(conn *sql.Conn, c *core.Compiler) error {
		if len(keys) == 0 {
			return nil
		}
		st, err := c.SweepExplain(s, keys)
		if err != nil {
			return err
		}
		return b.eachRow(ctx, conn, st, func(raw []any) error {
			values := toValues(raw)
			key, err := core.SweepKey(s.KeyColumns, values)
			if err == nil {
				e := core.Explanation(s, key, values[len(key):])
				e.Subject = b.plain(e.Subject)
				found = append(found, e)
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return core.Explanations(s, keys, found), nil
}

// Lag is none: a file has no replicas that it knows of.
func (*Backend) Lag(context.Context) (lag time.Duration, ok bool, err error) { return 0, false, nil }

// SweepBatch has the database for itself, so that nothing changes between the choice and the end.
func (b *Backend) SweepBatch(ctx context.Context, s *backend.Sweep, batch backend.SweepBatch) (*backend.SweepResult, error) {
	if err := core.CheckSweepBatch(s, &batch); err != nil {
		return nil, err
	}
	res := core.NewSweepResult(s)
	err := b.sweep(ctx, "BEGIN IMMEDIATE", s, func(conn *sql.Conn, c *core.Compiler) error {
		p := page{Backend: b, conn: conn, c: c, sweep: s, batch: &batch, res: res}
		keys, err := p.choose(ctx)
		if err != nil || len(keys) == 0 {
			return err
		}
		if err := p.treat(ctx, keys); err != nil {
			return err
		}
		return core.BeforeSweep(ctx, &batch, res)
	})
	if err != nil {
		return nil, err
	}
	b.checkpoint(ctx)
	return res, nil
}

// page is one batch of a sweep.
type page struct {
	*Backend
	conn  *sql.Conn
	c     *core.Compiler
	sweep *backend.Sweep
	batch *backend.SweepBatch
	res   *backend.SweepResult
}

func (p *page) choose(ctx context.Context) ([]backend.Key, error) {
	r := core.RangeOf(p.batch)
	r.Limit, r.Subject = p.batch.Limit, true
	st, err := p.c.SweepDue(p.sweep, r)
	if err != nil {
		return nil, err
	}
	var keys []backend.Key
	var subjects []backend.Value
	err = p.eachRow(ctx, p.conn, st, func(raw []any) error {
		values := toValues(raw)
		key, err := core.SweepKey(p.sweep.KeyColumns, values)
		if err == nil {
			keys, subjects = append(keys, key), append(subjects, p.plain(values[len(key)]))
		}
		return err
	})
	if err != nil {
		return nil, translate(err, p.entity())
	}
	if len(keys) == p.batch.Limit {
		p.res.Last = keys[len(keys)-1]
	}
	return core.Chosen(ctx, p.batch, p.res, keys, subjects, nil, int64(len(keys)))
}

func (p *page) entity() string { return core.SweepEntity(p.sweep, -1) }

// treat finds all records before it changes any.
func (p *page) treat(ctx context.Context, keys []backend.Key) error {
	rows := core.NewSweepRows(p.sweep, p.res)
	for i := range p.sweep.Steps {
		statements, err := p.c.SweepFind(p.sweep, i, keys, "")
		if err != nil {
			return err
		}
		for _, st := range statements {
			if err := p.eachRow(ctx, p.conn, st, func(raw []any) error { return rows.Add(i, toValues(raw)) }); err != nil {
				return translate(err, p.sweep.Steps[i].Entity)
			}
		}
	}
	updates, err := p.c.SweepUpdates(rows)
	if err != nil {
		return err
	}
	for _, st := range updates {
		n, err := p.exec(ctx, p.conn, st)
		if err != nil {
			return translate(err, p.sweep.Steps[st.Op].Entity)
		}
		p.res.Affected[st.Op] += n
	}
	ops, steps := rows.Deletions()
	done := &backend.Result{Affected: make([]int64, len(ops))}
	if err := p.change(ctx, p.conn, p.c, backend.Batch{Operations: ops, Ignored: p.sweep.Ignored}, done); err != nil {
		return err
	}
	left, err := p.count(ctx, p.conn, p.c, ops)
	if err != nil {
		return err
	}
	for i, n := range left {
		if n > 0 {
			return &backend.StaleError{Entity: ops[i].Entity, Problem: fmt.Sprintf("%d records that are due are still there after the deletion: a trigger interferes", n)}
		}
	}
	rows.Deleted(ops, steps)
	return core.SweepDone(p.sweep, p.res, keys)
}

// eachRow reads all rows of a query.
func (b *Backend) eachRow(ctx context.Context, conn *sql.Conn, st core.Statement, read func([]any) error) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.StatementTimeout)
	defer cancel()
	rows, err := conn.QueryContext(ctx, st.Text, st.Args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		raw, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range raw {
			into[i] = &raw[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := read(raw); err != nil {
			return err
		}
	}
	return rows.Err()
}

func toValues(raw []any) []backend.Value {
	values := make([]backend.Value, len(raw))
	for i, v := range raw {
		values[i] = toValue(v)
	}
	return values
}

// plain is a value as text.
func (b *Backend) plain(v backend.Value) backend.Value {
	if v == nil {
		return nil
	}
	text := b.Text(v)
	return &text
}
