package sql

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// rows tests that a record of a step's table is one that the step is for: the records of the sweep that meet the test lead to it.
func (x *sweeper) rows(alias string, step *backend.SweepStep, test func(alias string) (string, error)) (string, error) {
	return x.led(alias, step, func(root string, _ *backend.Hop) (string, error) { return test(root) }, 0)
}

// rowsOf is rows for the keys of records, which need not be looked up where the first hop refers to them by their key.
func (x *sweeper) rowsOf(alias string, step *backend.SweepStep, keys []backend.Key) (string, error) {
	in := func(alias string, t backend.Table, names []string) (string, error) {
		exprs, cols, err := x.columns(alias, t, names)
		if err != nil {
			return "", err
		}
		return x.Dialect.InKeys(&x.b, exprs, cols, keys), nil
	}
	if len(step.Path) == 0 || !x.byKey(&step.Path[0]) {
		return x.led(alias, step, func(root string, _ *backend.Hop) (string, error) { return in(root, x.sweep.Table, x.sweep.KeyColumns) }, 0)
	}
	return x.led(alias, step, func(child string, first *backend.Hop) (string, error) {
		names := make([]string, len(x.sweep.KeyColumns))
		for i, k := range x.sweep.KeyColumns {
			names[i] = first.TargetColumns[slices.Index(first.Columns, k)]
		}
		return in(child, first.Table, names)
	}, 1)
}

// byKey tells whether a hop leads from a record to those that have its key in columns of the same types.
func (x *sweeper) byKey(h *backend.Hop) bool {
	if !h.Down || len(h.Columns) != len(x.sweep.KeyColumns) || len(h.TargetColumns) != len(h.Columns) {
		return false
	}
	for i, name := range h.Columns {
		own, target := x.Tables[x.sweep.Table][name], x.Tables[h.Table][h.TargetColumns[i]]
		if !slices.Contains(x.sweep.KeyColumns, name) || slices.Index(h.Columns, name) != i || own == nil || target == nil ||
			own.Type != target.Type || own.Collation != target.Collation {
			return false
		}
	}
	return true
}

// led tests that hops lead to the record from one that meets a test: a record of the sweep, or with skip 1 what the first hop
// leads to.
func (x *sweeper) led(alias string, step *backend.SweepStep, test func(alias string, first *backend.Hop) (string, error), skip int) (string, error) {
	path := step.Path
	if len(path) == skip {
		term, err := test(alias, firstHop(path))
		if err != nil || skip == 0 {
			return term, err
		}
		conds, err := x.hopConditions(&route{}, &path[0], alias)
		return strings.Join(append([]string{term}, conds...), " AND "), err
	}
	start := x.alias()
	r := route{alias: start, table: x.sweep.Table}
	if skip == 1 {
		conds, err := x.hopConditions(&route{}, &path[0], start)
		if err != nil {
			return "", err
		}
		r.table, r.where = path[0].Table, conds
	}
	table, _, err := x.table(r.table)
	if err != nil {
		return "", err
	}
	r.from = []string{table + " AS " + start}
	term, err := test(start, firstHop(path))
	if err != nil {
		return "", err
	}
	r.where = append([]string{term}, r.where...)
	last := len(path) - 1
	for i := skip; i < last; i++ {
		if err := x.hop(&r, &path[i], x.alias()); err != nil {
			return "", err
		}
	}
	return x.referredBy(alias, step, &r, &path[last])
}

func firstHop(path []backend.Hop) *backend.Hop {
	if len(path) == 0 {
		return nil
	}
	return &path[0]
}

// referredBy tests that the last hop of a step leads from what was found to the record.
func (x *sweeper) referredBy(alias string, step *backend.SweepStep, r *route, h *backend.Hop) (string, error) {
	own, ownCols, err := x.columns(alias, step.Table, h.TargetColumns)
	if err != nil {
		return "", err
	}
	theirs, theirCols, err := x.columns(r.alias, r.table, h.Columns)
	if err != nil {
		return "", err
	}
	if len(own) == 0 || len(own) != len(theirs) {
		return "", &backend.RefusedError{Problem: "a reference needs as many columns as it refers to", Remedy: "correct the data map"}
	}
	var left, right []string
	for i := range own {
		l, r := x.Dialect.Pair(own[i], ownCols[i], theirs[i], theirCols[i])
		left, right = append(left, l...), append(right, r...)
	}
	var outer []string
	if len(h.Conditions) > 0 {
		owner, of, terms := r.alias, r.table, &r.where
		if h.Down {
			owner, of, terms = alias, h.Table, &outer
		}
		term, err := x.conditions(&x.b, owner, of, h.Conditions)
		if err != nil {
			return "", err
		}
		*terms = append(*terms, term)
	}
	if len(h.TargetConditions) > 0 {
		term, err := x.conditions(&x.b, alias, h.Table, h.TargetConditions)
		if err != nil {
			return "", err
		}
		outer = append(outer, term)
	}
	in := fmt.Sprintf("%s IN (SELECT %s FROM %s WHERE %s)", tuple(left), strings.Join(right, ", "), strings.Join(r.from, ", "), strings.Join(r.where, " AND "))
	return strings.Join(append([]string{in}, outer...), " AND "), nil
}

// assigned are the columns that an update sets, and to what.
func (x *sweeper) assigned(alias string, step *backend.SweepStep) (columns, values []string, err error) {
	for i := range step.Columns {
		set := &step.Columns[i]
		expr, col, err := x.column(alias, step.Table, set.Column)
		if err != nil {
			return nil, nil, err
		}
		value := "NULL"
		switch {
		case set.Now:
			value = x.Dialect.Assign(x.Dialect.Plain(&x.b, col, x.Dialect.ClockText(col, x.sweep.Now)), col)
		case set.Truncate != "":
			value = x.Dialect.Truncated(expr, col, set.Truncate)
		case set.Value != nil:
			value = x.Dialect.Assign(x.Dialect.Plain(&x.b, col, *set.Value), col)
		}
		columns, values = append(columns, x.Dialect.Quote(set.Column)), append(values, value)
	}
	return columns, values, nil
}

// same tests that a column has what an update would set it to.
func (x *sweeper) same(alias string, step *backend.SweepStep, set *backend.SweepColumn) (string, error) {
	expr, col, err := x.column(alias, step.Table, set.Column)
	if err == nil {
		err = x.checkSet(step, set, col)
	}
	if err != nil {
		return "", err
	}
	switch {
	case set.Now:
		return expr + " IS NOT NULL", nil
	case set.Truncate != "":
		return fmt.Sprintf("COALESCE(%s = %s, %s IS NULL)", expr, x.Dialect.Truncated(expr, col, set.Truncate), expr), nil
	case set.Value == nil:
		return expr + " IS NULL", nil
	default:
		return x.Dialect.Same(expr, x.Dialect.Plain(&x.b, col, *set.Value), col), nil
	}
}

func (x *sweeper) checkSet(step *backend.SweepStep, set *backend.SweepColumn, col *Column) error {
	refuse := func(problem string) error {
		return &backend.RefusedError{Problem: fmt.Sprintf("column %q of table %s %s", set.Column, TableName(step.Table), problem),
			Remedy: "choose another strategy for the column in the data map"}
	}
	_, isArray := x.arrays(col)
	switch {
	case col.Generated:
		return refuse("is generated and cannot be written")
	case slices.Contains(step.KeyColumns, set.Column):
		return refuse("is part of the key and stays")
	case set.Now && !x.Dialect.IsClock(col):
		return refuse("is of type " + col.Type + ", which holds no point in time")
	case set.Truncate != "" && x.Dialect.Truncated("", col, set.Truncate) == "":
		return refuse("is of type " + col.Type + ", of which no " + strings.ToLower(set.Truncate) + " can be kept")
	case !set.Now && set.Truncate == "" && set.Value == nil && col.NotNull:
		return refuse("is NOT NULL and cannot be made empty")
	case set.Value != nil && isArray == nil:
		return refuse("is an array, which no value can stand for")
	}
	return nil
}

// differs tests that a step would change a record.
func (x *sweeper) differs(alias string, step *backend.SweepStep) (string, error) {
	if step.Action == backend.Delete {
		return and(nil), nil
	}
	same := make([]string, len(step.Columns))
	for i := range step.Columns {
		var err error
		if same[i], err = x.same(alias, step, &step.Columns[i]); err != nil {
			return "", err
		}
	}
	return "NOT " + and(same), nil
}

// SweepSteps makes the statements that treat the records with the keys and their dependants, in the order to run them. Op is the
// step. Dependants that the schema deletes with their parents are left to it where the database counts what it deletes.
func (c *Compiler) SweepSteps(s *backend.Sweep, keys []backend.Key) ([]Statement, error) {
	var locks, statements, counts []Statement
	left := c.sweeper(s).cascading()
	for i := range s.Steps {
		guards, lock, err := c.sweepGuards(s, i, keys, left)
		if err != nil {
			return nil, withEntity(err, s.Steps[i].Entity)
		}
		locks, statements = append(locks, lock...), append(statements, guards...)
		if ref := left[i]; ref != nil {
			locks = append(locks, Statement{Text: ref.Counter, Op: i, Tally: -1})
			counts = append(counts, Statement{Text: ref.Counter, Op: i, Tally: 1})
			continue
		}
		x := c.sweeper(s)
		text, err := x.treat(i, keys)
		if err != nil {
			return nil, withEntity(err, s.Steps[i].Entity)
		}
		st, err := x.statement(text, i)
		if err != nil {
			return nil, withEntity(err, s.Steps[i].Entity)
		}
		statements = append(statements, st)
	}
	return slices.Concat(locks, statements, counts), nil
}

// cascading has, for each step that the schema does along with the step of the parents, the foreign key by which it does; nil for the
// others.
func (x *sweeper) cascading() []*Reference {
	left := make([]*Reference, len(x.sweep.Steps))
	for i := range x.sweep.Steps {
		parent := &x.sweep.Steps[i]
		if parent.Action != backend.Delete {
			continue
		}
		for n := range x.References[parent.Table] {
			ref := &x.References[parent.Table][n]
			if by := x.covers(i, ref); by >= 0 && ref.Counter != "" && len(x.sweep.Steps[by].Collect) == 0 && x.alone(by) {
				left[by] = ref
			}
		}
	}
	return left
}

// alone tells whether no other step has the table of a step.
func (x *sweeper) alone(i int) bool {
	return !slices.ContainsFunc(slices.Concat(x.sweep.Steps[:i], x.sweep.Steps[i+1:]), func(other backend.SweepStep) bool {
		return x.full(other.Table) == x.full(x.sweep.Steps[i].Table)
	})
}

func (x *sweeper) treat(i int, keys []backend.Key) (string, error) {
	step := &x.sweep.Steps[i]
	table, _, err := x.table(step.Table)
	if err != nil {
		return "", err
	}
	where, err := x.rowsOf(self, step, keys)
	if err != nil {
		return "", err
	}
	exprs, cols, err := x.columns(self, step.Table, step.Collect)
	if err != nil {
		return "", err
	}
	collect := x.read(exprs, cols)
	if step.Action == backend.Delete {
		text := x.Dialect.Delete(table, self, where)
		if len(collect) > 0 {
			text += " RETURNING " + strings.Join(collect, ", ")
		}
		return text, nil
	}
	differs, err := x.differs(self, step)
	if err != nil {
		return "", err
	}
	columns, values, err := x.assigned(self, step)
	if err != nil {
		return "", err
	}
	where += " AND " + differs
	if len(collect) == 0 {
		return fmt.Sprintf("UPDATE %s AS %s SET %s WHERE %s", table, self, Assignments(columns, values), where), nil
	}
	return x.collectUpdated(step, table, where, collect, Assignments(columns, values))
}

// SweepUpdate makes a statement that updates what is due in a range and returns the keys, for sweeps of one step.
func (c *Compiler) SweepUpdate(s *backend.Sweep, r SweepRange) (Statement, error) {
	x := c.sweeper(s)
	step := &s.Steps[0]
	table, keys, cols, err := x.records()
	if err != nil {
		return Statement{}, err
	}
	terms := x.bounds(keys, cols, r)
	due, err := x.dueIn(self, r)
	if err != nil {
		return Statement{}, err
	}
	columns, values, err := x.assigned(self, step)
	if err != nil {
		return Statement{}, withEntity(err, step.Entity)
	}
	return x.statement(fmt.Sprintf("UPDATE %s AS %s SET %s WHERE %s RETURNING %s", table, self, Assignments(columns, values),
		strings.Join(append(terms, due), " AND "), strings.Join(x.read(keys, cols), ", ")), 0)
}

// SweepDelete makes a statement without an alias that deletes what is due in a range, for sweeps that look at the records alone.
func (c *Compiler) SweepDelete(s *backend.Sweep, r SweepRange) (Statement, error) {
	x := c.sweeper(s)
	table, _, err := x.table(s.Table)
	if err != nil {
		return Statement{}, err
	}
	alias := x.Dialect.Quote(s.Table.Name)
	keys, cols, err := x.keys(alias)
	if err != nil {
		return Statement{}, err
	}
	terms := x.bounds(keys, cols, r)
	due, err := x.dueIn(alias, r)
	if err != nil {
		return Statement{}, err
	}
	return x.statement(fmt.Sprintf("DELETE FROM %s WHERE %s", table, strings.Join(append(terms, due), " AND ")), len(s.Steps)-1)
}

// collectUpdated returns columns as they were before an update.
func (x *sweeper) collectUpdated(step *backend.SweepStep, table, where string, collect []string, assignments string) (string, error) {
	keys, _, err := x.columns(self, step.Table, step.KeyColumns)
	if err != nil {
		return "", err
	}
	names, old := numbered("k", len(keys)), numbered("v", len(collect))
	before := make([]string, len(keys))
	for i, n := range names {
		before[i] = "b." + n
	}
	return fmt.Sprintf("WITH b AS (SELECT %s FROM %s AS %s WHERE %s FOR UPDATE OF %s), u AS (UPDATE %s AS %s SET %s FROM b WHERE %s) SELECT %s FROM b",
		strings.Join(append(named(keys, names), named(collect, old)...), ", "), table, self, where, self,
		table, self, assignments, strings.Join(equal(keys, before), " AND "), strings.Join(old, ", ")), nil
}

// covers is the index of the step that deletes whatever refers to a step's records by a foreign key, or -1.
func (x *sweeper) covers(i int, ref *Reference) int {
	return slices.IndexFunc(x.sweep.Steps, func(other backend.SweepStep) bool {
		n := len(other.Path)
		return other.Action == backend.Delete && n > 0 && samePath(other.Path[:n-1], x.sweep.Steps[i].Path) && x.refers(&other, ref)
	})
}

func samePath(a, b []backend.Hop) bool { return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b) }

// refers tells whether the last hop of a step is just a foreign key.
func (x *sweeper) refers(step *backend.SweepStep, ref *Reference) bool {
	h := &step.Path[len(step.Path)-1]
	if !h.Down || len(h.Conditions)+len(h.TargetConditions)+len(step.Scope) > 0 || x.full(step.Table) != ref.Table || len(h.Columns) != len(ref.Columns) {
		return false
	}
	for i, name := range h.TargetColumns {
		at := slices.Index(ref.Columns, name)
		if at < 0 || ref.RefColumns[at] != h.Columns[i] {
			return false
		}
	}
	return true
}

// sweepGuards make statements that count what the database would delete or change besides when a step deletes, and, where
// dependants of dependants could come in between, lock the step's records first.
func (c *Compiler) sweepGuards(s *backend.Sweep, i int, keys []backend.Key, left []*Reference) (guards, lock []Statement, err error) {
	step := &s.Steps[i]
	if step.Action != backend.Delete {
		return nil, nil, nil
	}
	locking := false
	for n := range c.References[step.Table] {
		ref := &c.References[step.Table][n]
		if !ref.Deletes && slices.ContainsFunc(s.Ignored, func(t backend.Table) bool { return c.full(t) == ref.Table }) {
			continue
		}
		if by := c.sweeper(s).covers(i, ref); by >= 0 { // what comes too late goes with its parent, but not the paths of its files
			locking = locking || len(s.Steps[by].Collect) > 0
			continue
		}
		locking = true
		st, err := c.sweepGuard(s, i, ref, keys, left)
		if err != nil {
			return nil, nil, err
		}
		guards = append(guards, st)
	}
	if !locking || len(step.Path) == 0 { // the records themselves are locked
		return guards, nil, nil
	}
	x := c.sweeper(s)
	table, _, err := x.table(step.Table)
	if err != nil {
		return nil, nil, err
	}
	where, err := x.rowsOf(self, step, keys)
	if err != nil {
		return nil, nil, err
	}
	st, err := x.statement(fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s AS %s WHERE %s FOR UPDATE OF %s) AS l", table, self, where, self), i)
	st.Locks = true
	return guards, []Statement{st}, err
}

func (c *Compiler) sweepGuard(s *backend.Sweep, i int, ref *Reference, keys []backend.Key, left []*Reference) (Statement, error) {
	x := c.sweeper(s)
	step := &s.Steps[i]
	table, _, err := x.table(step.Table)
	if err != nil {
		return Statement{}, err
	}
	where, err := x.rowsOf(self, step, keys)
	if err != nil {
		return Statement{}, err
	}
	terms := []string{where}
	for j := range s.Steps {
		done := j < i && left[j] == nil
		if done || s.Steps[j].Action != backend.Delete || c.full(s.Steps[j].Table) != ref.Table {
			continue
		}
		going, err := x.rowsOf(referrer, &s.Steps[j], keys)
		if err != nil {
			return Statement{}, err
		}
		terms = append(terms, not("("+going+")"))
	}
	st, err := x.statement(fmt.Sprintf("SELECT count(*) FROM %s AS %s JOIN %s AS %s ON %s WHERE %s", ref.From, referrer, table, self, ref.On,
		strings.Join(terms, " AND ")), i)
	st.Guard = ref
	return st, err
}
