package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

var _ backend.Sweeper = (*Backend)(nil)

const (
	forUpdate  = " FOR UPDATE"
	skipLocked = " FOR UPDATE SKIP LOCKED"
)

// sweeping runs f with the tables of a sweep, of which deleting are those that it deletes from.
func (b *Backend) sweeping(ctx context.Context, s *backend.Sweep, deleting []backend.Table, f func(*session, *core.Compiler) error) error {
	if err := core.CheckSweepShape(s); err != nil {
		return err
	}
	return b.run(ctx, core.SweepTables(s), deleting, f)
}

// CheckSweep makes all statements, and lets the server plan them. The tables may have changed since they were last read.
func (b *Backend) CheckSweep(ctx context.Context, s *backend.Sweep) error {
	b.forget()
	return b.sweeping(ctx, s, core.SweepDeletes(s), func(se *session, c *core.Compiler) error {
		if _, err := b.refuseNonTransactional(sweepTables(s), b.known().engines); err != nil {
			return err
		}
		statements, err := c.SweepCheck(s)
		if err != nil {
			return err
		}
		for _, st := range statements {
			st.Text = "EXPLAIN " + st.Text
			if err := se.eachRow(ctx, st, func([]sql.RawBytes) error { return nil }); err != nil {
				return err
			}
		}
		return nil
	})
}

// sweepTables is a batch of the tables that a sweep changes.
func sweepTables(s *backend.Sweep) *backend.Batch {
	var batch backend.Batch
	for i := range s.Steps {
		batch.Operations = append(batch.Operations, backend.Operation{Entity: s.Steps[i].Entity, Table: s.Steps[i].Table})
	}
	return &batch
}

// CountSweep counts in one snapshot.
func (b *Backend) CountSweep(ctx context.Context, s *backend.Sweep) (*backend.SweepCount, error) {
	var n *backend.SweepCount
	err := b.sweeping(ctx, s, nil, func(se *session, c *core.Compiler) error {
		n = &backend.SweepCount{Steps: make([]int64, len(s.Steps)), Kept: make([]int64, len(s.Keep))}
		statements, err := c.SweepCount(s)
		if err != nil {
			return err
		}
		var earliest *int64
		err = se.snapshot(ctx, len(statements), func() error {
			for _, st := range statements {
				into := core.SweepCounts(n, &earliest)
				if st.Op >= 0 {
					into = []any{&n.Steps[st.Op]}
				}
				if err := se.countRow(ctx, st, into...); err != nil {
					return err
				}
			}
			return nil
		})
		n.Earliest = core.FromMicros(earliest).Time
		return err
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// SplitSweep reads the keys' index on the server.
func (b *Backend) SplitSweep(ctx context.Context, s *backend.Sweep, n int) ([]backend.Key, error) {
	var found [][]backend.Value
	err := b.sweeping(ctx, s, nil, func(se *session, c *core.Compiler) error {
		found = nil
		st, err := c.SweepSplit(s, n)
		if err != nil {
			return err
		}
		return se.eachRow(ctx, st, func(raw []sql.RawBytes) error {
			for one := range slices.Chunk(raw, len(s.KeyColumns)) {
				_, values, err := keyed(one, s.Table, s.KeyColumns, nil, c.Tables)
				if err != nil {
					return err
				}
				found = append(found, values)
			}
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
	var collected [][][]backend.Value
	err := b.sweeping(ctx, s, nil, func(se *session, c *core.Compiler) error {
		collected = make([][][]backend.Value, len(s.Steps))
		statements, err := c.SweepCollect(s, keys)
		if err != nil {
			return err
		}
		for _, st := range statements {
			step := &s.Steps[st.Op]
			if err := se.eachRow(ctx, st, func(raw []sql.RawBytes) error {
				_, values, err := keyed(raw, step.Table, step.KeyColumns, step.Collect, c.Tables)
				if err == nil {
					collected[st.Op] = append(collected[st.Op], values[len(step.KeyColumns):])
				}
				return err
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
	err := b.sweeping(ctx, s, nil, func(se *session, c *core.Compiler) error {
		found = nil
		if len(keys) == 0 {
			return nil
		}
		st, err := c.SweepExplain(s, keys)
		if err != nil {
			return err
		}
		return se.eachRow(ctx, st, func(raw []sql.RawBytes) error {
			key, values, err := keyed(raw, s.Table, s.KeyColumns, nil, c.Tables)
			if err == nil {
				found = append(found, core.Explanation(s, key, values[len(key):]))
			}
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return core.Explanations(s, keys, found), nil
}

// Lag cannot be told: the servers do not know how far their replicas are.
func (*Backend) Lag(context.Context) (lag time.Duration, ok bool, err error) { return 0, false, nil }

// SweepBatch treats a page in one transaction.
func (b *Backend) SweepBatch(ctx context.Context, s *backend.Sweep, batch backend.SweepBatch) (*backend.SweepResult, error) {
	if err := core.CheckSweepBatch(s, &batch); err != nil {
		return nil, err
	}
	var res *backend.SweepResult
	err := b.sweeping(ctx, s, core.SweepDeletes(s), func(se *session, c *core.Compiler) error {
		known := b.known()
		if _, err := b.refuseNonTransactional(sweepTables(s), known.engines); err != nil {
			return err
		}
		res = core.NewSweepResult(s)
		c.Ignored = s.Ignored
		p := page{session: se, c: c, sweep: s, batch: &batch, res: res, facts: known}
		err := se.transaction(ctx, func() error { return p.run(ctx) })
		if errors.Is(err, errMoreDue) {
			*res = *core.NewSweepResult(s)
			p.byKeys = true
			err = se.transaction(ctx, func() error { return p.run(ctx) })
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// page is one attempt at a batch of a sweep.
type page struct {
	*session
	c     *core.Compiler
	sweep *backend.Sweep
	batch *backend.SweepBatch
	res   *backend.SweepResult
	facts facts
	// all is the range of which every record is treated, nil where some of it stays or nobody knows.
	all    *core.SweepRange
	byKeys bool // delete by keys in any case
}

// errMoreDue undoes the deletion of a range in which more fell due since it was looked at.
var errMoreDue = errors.New("more than what was chosen is due")

func (p *page) run(ctx context.Context) error {
	keys, err := p.near(ctx)
	if err == nil && keys == nil {
		keys, err = p.anywhere(ctx)
	}
	if err != nil || len(keys) == 0 {
		return of(p.entity(), nil, err)
	}
	if err := p.treat(ctx, keys); err != nil {
		return err
	}
	return core.BeforeSweep(ctx, p.batch, p.res)
}

// nearby is how many times its limit a page looks at first.
const nearby = 2

// near locks the next records that are due and returns the keys of those to treat, where the old ones stand together, as they mostly
// do; nil where they do not. The optimizer does not know that, and would look at all that is due for each page.
func (p *page) near(ctx context.Context) ([]backend.Key, error) {
	r := core.RangeOf(p.batch)
	st, err := p.c.SweepBound(p.sweep, r, nearby*p.batch.Limit)
	if err != nil {
		return nil, err
	}
	p.byPrimaryKey(&st)
	last := true // the range ends nearby
	err = p.eachRow(ctx, st, func(raw []sql.RawBytes) error {
		last = false
		r.Until, _, err = keyed(raw, p.sweep.Table, p.sweep.KeyColumns, nil, p.c.Tables)
		return err
	})
	if err != nil {
		return nil, err
	}
	var subjects []backend.Value
	r.Near, r.Limit, r.Lock = true, p.batch.Limit, skipLocked
	locked, err := p.due(ctx, r, &subjects)
	full := len(locked) == p.batch.Limit
	if err != nil || !full && !last {
		return nil, err
	}
	if full {
		r.Until = locked[len(locked)-1]
		p.res.Last = r.Until
	}
	r.Limit, r.Lock = 0, ""
	still, due, err := p.again(ctx, r)
	if err != nil {
		return nil, err
	}
	keys, err := core.Chosen(ctx, p.batch, p.res, locked, subjects, still, due)
	if keys == nil {
		keys = []backend.Key{}
	}
	if err == nil && still == nil && int64(len(keys)) == due {
		err = p.whole(ctx, r, due)
	}
	return keys, err
}

// whole notes a range without any other record than those that are due: to delete it by the range waits for nobody's lock.
func (p *page) whole(ctx context.Context, r core.SweepRange, due int64) error {
	counted := r
	counted.Count, counted.All = true, true
	st, err := p.c.SweepDue(p.sweep, counted)
	if err != nil {
		return err
	}
	p.byPrimaryKey(&st)
	var total int64
	if err := p.countRow(ctx, st, &total); err != nil {
		return err
	}
	if total == due {
		p.all = &r
	}
	return nil
}

// again looks at what is due when the locks are there: other records may say something else by now, and what is due besides is locked
// by others.
func (p *page) again(ctx context.Context, r core.SweepRange) (still map[string]bool, due int64, err error) {
	if core.SweepLooksFurther(p.sweep) {
		keys, err := p.due(ctx, r, nil)
		still = make(map[string]bool, len(keys))
		for _, k := range keys {
			still[core.KeyText(k)] = true
		}
		return still, 0, err
	}
	r.Count = true
	st, err := p.c.SweepDue(p.sweep, r)
	if err != nil {
		return nil, 0, err
	}
	p.byPrimaryKey(&st)
	err = p.countRow(ctx, st, &due)
	return nil, due, err
}

// anywhere chooses without a lock, for the server would lock all that it looks at, and locks the records by their keys.
func (p *page) anywhere(ctx context.Context) ([]backend.Key, error) {
	r := core.RangeOf(p.batch)
	r.Limit = p.batch.Limit
	chosen, err := p.due(ctx, r, nil)
	if err != nil {
		return nil, err
	}
	if len(chosen) == p.batch.Limit {
		p.res.Last = chosen[len(chosen)-1]
	}
	return p.lock(ctx, chosen)
}

func (p *page) entity() string { return core.SweepEntity(p.sweep, -1) }

// due reads keys of due records, and their subjects where there is a place for them.
func (p *page) due(ctx context.Context, r core.SweepRange, subjects *[]backend.Value) ([]backend.Key, error) {
	r.Subject = subjects != nil
	st, err := p.c.SweepDue(p.sweep, r)
	if err != nil {
		return nil, err
	}
	if r.Keys != nil || r.Near {
		p.byPrimaryKey(&st)
	}
	var keys []backend.Key
	err = p.eachRow(ctx, st, func(raw []sql.RawBytes) error {
		key, values, err := keyed(raw, p.sweep.Table, p.sweep.KeyColumns, nil, p.c.Tables)
		keys = append(keys, key)
		if r.Subject && err == nil {
			*subjects = append(*subjects, values[len(key)])
		}
		return err
	})
	return keys, err
}

// byPrimaryKey keeps a statement that looks for records by their keys, or between two, from reading, and with that locking, all that is
// due.
func (p *page) byPrimaryKey(st *core.Statement) {
	parts := 0
	for name, c := range p.c.Tables[p.sweep.Table] {
		if !c.Primary {
			continue
		}
		if !slices.Contains(p.sweep.KeyColumns, name) {
			return
		}
		parts++
	}
	if parts > 0 {
		st.Text = strings.Replace(st.Text, "` AS t WHERE ", "` AS t FORCE INDEX (PRIMARY) WHERE ", 1)
	}
}

// lock returns the keys of the records to treat. What other records say is read once more when the locks are there.
func (p *page) lock(ctx context.Context, chosen []backend.Key) ([]backend.Key, error) {
	var locked []backend.Key
	var subjects []backend.Value
	for some := range slices.Chunk(chosen, p.c.BatchSize) {
		keys, err := p.due(ctx, core.SweepRange{Keys: some, Lock: skipLocked}, &subjects)
		if err != nil {
			return nil, err
		}
		locked = append(locked, keys...)
	}
	if len(locked) == len(chosen) && !core.SweepLooksFurther(p.sweep) {
		return core.Chosen(ctx, p.batch, p.res, locked, subjects, nil, int64(len(locked)))
	}
	still := map[string]bool{}
	for some := range slices.Chunk(chosen, p.c.BatchSize) {
		keys, err := p.due(ctx, core.SweepRange{Keys: some}, nil)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			still[core.KeyText(k)] = true
		}
	}
	return core.Chosen(ctx, p.batch, p.res, locked, subjects, still, 0)
}

// treat finds all records before it changes any.
func (p *page) treat(ctx context.Context, keys []backend.Key) error {
	rows := core.NewSweepRows(p.sweep, p.res)
	for i := range p.sweep.Steps {
		if err := p.find(ctx, rows, i, keys); err != nil {
			return of(p.sweep.Steps[i].Entity, nil, err)
		}
	}
	updates, err := p.c.SweepUpdates(rows)
	if err != nil {
		return err
	}
	for _, st := range updates {
		n, err := p.exec(ctx, st)
		if err != nil {
			return of(p.sweep.Steps[st.Op].Entity, nil, err)
		}
		p.res.Affected[st.Op] += n
	}
	ops, steps := rows.Deletions()
	if err := p.delete(ctx, ops); err != nil {
		return err
	}
	rows.Deleted(ops, steps)
	return core.SweepDone(p.sweep, p.res, keys)
}

func (p *page) find(ctx context.Context, rows *core.SweepRows, i int, keys []backend.Key) error {
	step := &p.sweep.Steps[i]
	if core.SweepFindsItself(step) && slices.Equal(step.KeyColumns, p.sweep.KeyColumns) {
		return rows.AddKeys(i, keys)
	}
	statements, err := p.c.SweepFind(p.sweep, i, keys, forUpdate)
	if err != nil {
		return err
	}
	for _, st := range statements {
		if err := p.eachRow(ctx, st, func(raw []sql.RawBytes) error {
			_, values, err := keyed(raw, step.Table, step.KeyColumns, step.Collect, p.c.Tables)
			if err != nil {
				return err
			}
			return rows.Add(i, values)
		}); err != nil {
			return err
		}
	}
	return nil
}

// delete does the operations as Execute does, but looks for what is left only where fewer records went than there are keys.
func (p *page) delete(ctx context.Context, ops []backend.Operation) error {
	p.c.WithoutAlias = true
	statements, err := p.c.Execute(ops)
	if err != nil {
		return err
	}
	ranged, err := p.deleteRange(ops, &statements)
	if err != nil {
		return err
	}
	x := execution{session: p.session, compiler: p.c, batch: &backend.Batch{Operations: ops, Ignored: p.sweep.Ignored}, affected: make([]int64, len(ops)), facts: p.facts}
	if err := x.operations(ctx, statements); err != nil {
		return err
	}
	if last := len(ops) - 1; ranged && x.affected[last] > int64(len(ops[last].Keys)) {
		return errMoreDue
	}
	for i := range ops {
		if x.affected[i] >= int64(len(ops[i].Keys)) {
			continue
		}
		checks, err := p.c.Check(ops[i : i+1])
		if err != nil {
			return err
		}
		left, err := p.count(ctx, checks, ops[i:i+1])
		if err != nil {
			return err
		}
		if left[0] > 0 {
			return &backend.StaleError{Entity: ops[i].Entity, Problem: fmt.Sprintf("%d records that are due are still there after the deletion: a trigger interferes", left[0])}
		}
	}
	return nil
}

// deleteRange has the last of the operations, where it takes every record of a range, done by one statement for the range: that takes
// two thirds of the time that lists of keys do. What is locked cannot change, so if no more goes than was chosen, it is that.
func (p *page) deleteRange(ops []backend.Operation, statements *[]core.Statement) (bool, error) {
	last := len(ops) - 1
	if last < 0 || p.byKeys || p.all == nil || p.sweep.Steps[len(p.sweep.Steps)-1].Action != backend.Delete || len(p.facts.deletions[p.sweep.Table].itself) > 0 {
		return false, nil
	}
	st, err := p.c.SweepDelete(p.sweep, *p.all)
	if err != nil {
		return false, err
	}
	st.Op = last
	*statements = append(slices.DeleteFunc(*statements, func(s core.Statement) bool { return s.Op == last && s.Guard == nil }), st)
	return true, nil
}

// eachRow reads all rows of a query.
func (s *session) eachRow(ctx context.Context, st core.Statement, read func([]sql.RawBytes) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.silence())
	defer cancel()
	text, args := positional(st)
	rows, err := s.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	raw, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if err := read(raw); err != nil {
			return err
		}
	}
	return rows.Err()
}

// keyed are the values of a row that begins with the key and further columns of a table; what stands behind is text.
func keyed(raw []sql.RawBytes, t backend.Table, key, further []string, tables core.Tables) (backend.Key, []backend.Value, error) {
	names := slices.Concat(key, further)
	values := make([]backend.Value, len(raw))
	for i := range raw {
		c := &core.Column{}
		if i < len(names) {
			c = tables[t][names[i]]
		}
		if values[i] = toValue(raw[i], c); values[i] != nil && !utf8.ValidString(*values[i]) {
			return nil, nil, refused("", fmt.Sprintf("a value of table %s is not valid in its character set", core.TableName(t)), "repair the value")
		}
	}
	k, err := core.SweepKey(key, values)
	return k, values, err
}
