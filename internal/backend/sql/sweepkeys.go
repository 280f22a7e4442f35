package sql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// SweepRows are the records that a page treats, by the keys of their own, for databases that look them up first: each step's are
// found before anything is changed.
type SweepRows struct {
	sweep *backend.Sweep
	res   *backend.SweepResult
	keys  [][]backend.Key
	// seen are the records of each kind: those that are deleted from one table are one, whatever leads to them.
	kinds []string
	seen  map[string]map[string]bool
}

// NewSweepRows takes what a page treats.
func NewSweepRows(s *backend.Sweep, res *backend.SweepResult) *SweepRows {
	r := &SweepRows{sweep: s, res: res, keys: make([][]backend.Key, len(s.Steps)), kinds: make([]string, len(s.Steps)), seen: map[string]map[string]bool{}}
	for i := range s.Steps {
		r.kinds[i] = fmt.Sprint(i)
		if s.Steps[i].Action == backend.Delete {
			r.kinds[i] = fmt.Sprintf("%q %q", s.Steps[i].Table, s.Steps[i].KeyColumns)
		}
		r.seen[r.kinds[i]] = map[string]bool{}
	}
	return r
}

// Add takes a row of SweepFind. A record that several ways lead to is treated once.
func (r *SweepRows) Add(i int, values []backend.Value) error {
	step := &r.sweep.Steps[i]
	n := len(step.KeyColumns)
	key, err := SweepKey(step.KeyColumns, values)
	if err != nil {
		return withEntity(err, step.Entity)
	}
	seen, name := r.seen[r.kinds[i]], KeyText(key)
	if seen[name] {
		return nil
	}
	seen[name] = true
	r.keys[i] = append(r.keys[i], key)
	if len(step.Collect) > 0 {
		r.res.Collected[i] = append(r.res.Collected[i], values[n:])
	}
	return nil
}

// AddKeys takes the keys of the sweep's own records.
func (r *SweepRows) AddKeys(i int, keys []backend.Key) error {
	for _, k := range keys {
		values := make([]backend.Value, len(k))
		for n := range k {
			values[n] = &k[n]
		}
		if err := r.Add(i, values); err != nil {
			return err
		}
	}
	return nil
}

// SweepKey is the key at the beginning of a row.
func SweepKey(columns []string, values []backend.Value) (backend.Key, error) {
	key := make(backend.Key, len(columns))
	for i, name := range columns {
		if values[i] == nil {
			return nil, &backend.RefusedError{Problem: fmt.Sprintf("a record has no value in key column %q", name),
				Remedy: "name columns as the key that are never NULL"}
		}
		key[i] = *values[i]
	}
	return key, nil
}

// Deletions are the operations that delete what was found, in the order of the steps, and the step of each.
func (r *SweepRows) Deletions() (ops []backend.Operation, steps []int) {
	for i := range r.sweep.Steps {
		step := &r.sweep.Steps[i]
		if step.Action == backend.Delete && len(r.keys[i]) > 0 {
			ops = append(ops, backend.Operation{Entity: step.Entity, Action: backend.Delete, Table: step.Table, KeyColumns: step.KeyColumns, Keys: r.keys[i]})
			steps = append(steps, i)
		}
	}
	return ops, steps
}

// Deleted takes down the deletions, of which nothing is left.
func (r *SweepRows) Deleted(ops []backend.Operation, steps []int) {
	for n, i := range steps {
		r.res.Affected[i] = int64(len(ops[n].Keys))
	}
}

// SweepFind makes statements for the keys and the collected columns of a step's records, from the keys of the sweep's.
func (c *Compiler) SweepFind(s *backend.Sweep, i int, keys []backend.Key, lock string) ([]Statement, error) {
	step := &s.Steps[i]
	var statements []Statement
	for some := range slices.Chunk(keys, c.BatchSize) {
		x := c.sweeper(s)
		st, err := x.find(i, some, lock)
		if err != nil {
			return nil, withEntity(err, step.Entity)
		}
		statements = append(statements, st)
	}
	return statements, nil
}

// SweepCollect makes statements for the keys and the collected columns of all steps that collect any.
func (c *Compiler) SweepCollect(s *backend.Sweep, keys []backend.Key) ([]Statement, error) {
	var statements []Statement
	for i := range s.Steps {
		if len(s.Steps[i].Collect) == 0 || len(keys) == 0 {
			continue
		}
		found, err := c.SweepFind(s, i, keys, "")
		if err != nil {
			return nil, err
		}
		statements = append(statements, found...)
	}
	return statements, nil
}

func (x *sweeper) find(i int, keys []backend.Key, lock string) (Statement, error) {
	step := &x.sweep.Steps[i]
	table, _, err := x.table(step.Table)
	if err != nil {
		return Statement{}, err
	}
	exprs, cols, err := x.columns(self, step.Table, slices.Concat(step.KeyColumns, step.Collect))
	if err != nil {
		return Statement{}, err
	}
	where, err := x.rowsOf(self, step, keys)
	if err != nil {
		return Statement{}, err
	}
	differs, err := x.differs(self, step)
	if err != nil {
		return Statement{}, err
	}
	return x.statement(fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s AND %s%s", strings.Join(x.read(exprs, cols), ", "), table, self, where, differs, lock), i)
}

// SweepUpdates makes the statements of the steps that update what was found.
func (c *Compiler) SweepUpdates(r *SweepRows) ([]Statement, error) {
	var statements []Statement
	for i := range r.sweep.Steps {
		step := &r.sweep.Steps[i]
		if step.Action != backend.Update {
			continue
		}
		for some := range slices.Chunk(r.keys[i], c.BatchSize) {
			x := c.sweeper(r.sweep)
			st, err := x.updateKeys(i, some)
			if err != nil {
				return nil, withEntity(err, step.Entity)
			}
			statements = append(statements, st)
		}
	}
	return statements, nil
}

func (x *sweeper) updateKeys(i int, keys []backend.Key) (Statement, error) {
	step := &x.sweep.Steps[i]
	table, _, err := x.table(step.Table)
	if err != nil {
		return Statement{}, err
	}
	columns, values, err := x.assigned(self, step)
	if err != nil {
		return Statement{}, err
	}
	exprs, cols, err := x.columns(self, step.Table, step.KeyColumns)
	if err != nil {
		return Statement{}, err
	}
	return x.statement(fmt.Sprintf("UPDATE %s AS %s SET %s WHERE %s", table, self, Assignments(columns, values),
		x.Dialect.InKeys(&x.b, exprs, cols, keys)), i)
}

// SweepFindsItself tells whether a page's own keys are all that must be known of a step.
func SweepFindsItself(step *backend.SweepStep) bool {
	return len(step.Path) == 0 && step.Action == backend.Delete && len(step.Collect) == 0
}

// SweepLooksFurther tells whether it takes more than a record itself to tell whether it is due.
func SweepLooksFurther(s *backend.Sweep) bool {
	further := len(s.Clock.Path) > 0
	for i := range s.Keep {
		further = further || len(s.Keep[i].Path) > 0 || s.Keep[i].Clock != nil && len(s.Keep[i].Clock.Path) > 0
	}
	updates := len(s.Steps) > 0 && s.Steps[len(s.Steps)-1].Action == backend.Update
	for i := range s.Steps {
		further = further || len(s.Steps[i].Path) > 0 && (updates || len(s.Steps[i].Scope) > 0)
	}
	return further
}

// deleteByKey is a deletion by keys of one column in a form that knows no alias.
func (c *Compiler) deleteByKey(op *backend.Operation) (string, *Builder, error) {
	b := &Builder{}
	table, _, err := c.table(op.Table)
	if err != nil {
		return "", nil, err
	}
	where, err := c.inKeys(b, c.Dialect.Quote(op.Table.Name), op)
	if err != nil {
		return "", nil, err
	}
	return "DELETE FROM " + table + " WHERE " + where, b, b.err
}

// byKey tells whether deleteByKey will do for an operation.
func (c *Compiler) byKey(op *backend.Operation) bool {
	return c.WithoutAlias && op.Action == backend.Delete && len(op.KeyColumns) == 1 && len(op.Unless) == 0 && len(op.Referrers) == 0
}
