package sql

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// SweepTables lists the tables that a sweep reads or writes.
func SweepTables(s *backend.Sweep) []backend.Table {
	tables := []backend.Table{s.Table}
	along := func(hops []backend.Hop) {
		for i := range hops {
			tables = append(tables, hops[i].Table)
		}
	}
	along(s.Clock.Path)
	for i := range s.Keep {
		along(s.Keep[i].Path)
		if s.Keep[i].Clock != nil {
			along(s.Keep[i].Clock.Path)
		}
	}
	if s.Subject != nil {
		along(s.Subject.Path)
	}
	for i := range s.Steps {
		tables = append(tables, s.Steps[i].Table)
		along(s.Steps[i].Path)
	}
	return tables
}

// SweepDeletes lists the tables that a sweep deletes from.
func SweepDeletes(s *backend.Sweep) []backend.Table {
	var tables []backend.Table
	for i := range s.Steps {
		if s.Steps[i].Action == backend.Delete {
			tables = append(tables, s.Steps[i].Table)
		}
	}
	return tables
}

// SweepEntity names the entity of a step, that of the records themselves where there is no such step.
func SweepEntity(s *backend.Sweep, step int) string {
	if len(s.Steps) == 0 {
		return ""
	}
	if step < 0 || step >= len(s.Steps) {
		step = len(s.Steps) - 1
	}
	return s.Steps[step].Entity
}

// sweeper makes one statement of a sweep.
type sweeper struct {
	*Compiler
	sweep *backend.Sweep
	b     Builder
	hops  int // aliases given
}

func (c *Compiler) sweeper(s *backend.Sweep) *sweeper { return &sweeper{Compiler: c, sweep: s} }

// statement is ready to run unless something went wrong on the way.
func (x *sweeper) statement(text string, step int) (Statement, error) {
	return Statement{Text: text, Args: x.b.args, Op: step}, x.b.err
}

// route is what hops lead to: tables for a FROM, terms for a WHERE, and the last table with its alias.
type route struct {
	from, where []string
	alias       string
	table       backend.Table
}

func (x *sweeper) alias() string {
	x.hops++
	return fmt.Sprintf("h%d", x.hops)
}

// route follows hops from a record of the table.
func (x *sweeper) route(alias string, t backend.Table, hops []backend.Hop) (route, error) {
	r := route{alias: alias, table: t}
	for i := range hops {
		if err := x.hop(&r, &hops[i], x.alias()); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (x *sweeper) hop(r *route, h *backend.Hop, alias string) error {
	table, _, err := x.table(h.Table)
	if err != nil {
		return err
	}
	terms, err := x.pairs(r.alias, r.table, h.Columns, alias, h.Table, h.TargetColumns)
	if err != nil {
		return err
	}
	conds, err := x.hopConditions(r, h, alias)
	if err != nil {
		return err
	}
	r.from = append(r.from, table+" AS "+alias)
	r.where = append(append(r.where, terms...), conds...)
	r.alias, r.table = alias, h.Table
	return nil
}

// hopConditions are those on both ends of a hop, whose target has the alias.
func (x *sweeper) hopConditions(r *route, h *backend.Hop, alias string) ([]string, error) {
	owner, of := r.alias, r.table
	if h.Down {
		owner, of = alias, h.Table
	}
	var terms []string
	for _, side := range []struct {
		alias string
		table backend.Table
		conds []backend.Condition
	}{{owner, of, h.Conditions}, {alias, h.Table, h.TargetConditions}} {
		if len(side.conds) == 0 {
			continue
		}
		term, err := x.conditions(&x.b, side.alias, side.table, side.conds)
		if err != nil {
			return nil, err
		}
		terms = append(terms, term)
	}
	return terms, nil
}

// exists tests that hops lead to a record that meets a test; without hops it is the test on the record itself.
func (x *sweeper) exists(alias string, t backend.Table, hops []backend.Hop, test func(alias string, t backend.Table) (string, error)) (string, error) {
	r, err := x.route(alias, t, hops)
	if err != nil {
		return "", err
	}
	term, err := test(r.alias, r.table)
	if err != nil || len(hops) == 0 {
		return term, err
	}
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s WHERE %s)", strings.Join(r.from, ", "), strings.Join(append(r.where, term), " AND ")), nil
}

// not is the negation of a test that may be NULL.
func not(test string) string { return "NOT COALESCE(" + test + ", FALSE)" }

// clock is the column of a clock at an alias, and what its type is.
func (x *sweeper) clock(alias string, t backend.Table, name string) (string, *Column, error) {
	expr, col, err := x.column(alias, t, name)
	if err == nil && !x.Dialect.IsClock(col) {
		err = &backend.RefusedError{Problem: fmt.Sprintf("column %q of table %s is of type %s, which is no point in time", name, TableName(t), col.Type),
			Remedy: "name a column with a date, a time with a date, text or seconds since 1970 as the clock"}
	}
	return expr, col, err
}

// clockBy tests that the clock of a record is readable and not after the time. Of several records at its end all must be.
func (x *sweeper) clockBy(alias string, t backend.Table, c *backend.SweepClock, by time.Time) (string, error) {
	if c.Column == "" {
		return "TRUE", nil
	}
	test := func(alias string, t backend.Table) (string, error) {
		expr, col, err := x.clock(alias, t, c.Column)
		if err != nil {
			return "", err
		}
		return x.Dialect.ClockBy(&x.b, expr, col, by), nil
	}
	some, err := x.exists(alias, t, c.Path, test)
	if err != nil || len(c.Path) == 0 {
		return some, err
	}
	other, err := x.exists(alias, t, c.Path, func(alias string, t backend.Table) (string, error) {
		by, err := test(alias, t)
		return not(by), err
	})
	return "(" + some + " AND NOT " + other + ")", err
}

// clockMicros is the clock of a record, of several at its end the latest; NULL where one of them has none.
func (x *sweeper) clockMicros(alias string, t backend.Table, c *backend.SweepClock) (string, error) {
	if c.Column == "" {
		return "CASE WHEN FALSE THEN 9223372036854775807 END", nil // NULL, as a number of 64 bits
	}
	r, err := x.route(alias, t, c.Path)
	if err != nil {
		return "", err
	}
	expr, col, err := x.clock(r.alias, r.table, c.Column)
	if err != nil {
		return "", err
	}
	micros := x.Dialect.ClockMicros(expr, col)
	if len(c.Path) == 0 {
		return micros, nil
	}
	return fmt.Sprintf("(SELECT CASE WHEN COUNT(*) = COUNT(%s) THEN MAX(%s) END FROM %s WHERE %s)", micros, micros,
		strings.Join(r.from, ", "), strings.Join(r.where, " AND ")), nil
}

// cutoff never lies after what counts as the future.
func cutoff(s *backend.Sweep) time.Time {
	if s.Now.Before(s.Cutoff) {
		return s.Now
	}
	return s.Cutoff
}

// keeps tests that one of the sweep's tests keeps a record.
func (x *sweeper) keeps(alias string, k *backend.SweepTest) (string, error) {
	return x.exists(alias, x.sweep.Table, k.Path, func(alias string, t backend.Table) (string, error) {
		conds, err := x.conditions(&x.b, alias, t, k.Conditions)
		if err != nil || k.Clock == nil {
			return conds, err
		}
		by, err := x.clockBy(alias, t, k.Clock, k.Cutoff)
		return "(" + conds + " AND " + not(by) + ")", err
	})
}

// passed tests that a record is in the scope and past the cutoff, and not somebody else's.
func (x *sweeper) passed(alias string) (string, error) {
	by, err := x.clockBy(alias, x.sweep.Table, &x.sweep.Clock, cutoff(x.sweep))
	if err == nil && !x.sweep.Since.IsZero() {
		var other string
		other, err = x.clockBy(alias, x.sweep.Table, &x.sweep.Clock, x.sweep.Since)
		by += " AND " + not(other)
	}
	if err != nil || len(x.sweep.Scope) == 0 {
		return by, err
	}
	scope, err := x.conditions(&x.b, alias, x.sweep.Table, x.sweep.Scope)
	return scope + " AND " + by, err
}

// due tests that a record is to be treated.
func (x *sweeper) due(alias string) (string, error) {
	passed, err := x.passed(alias)
	if err != nil {
		return "", err
	}
	terms := []string{passed}
	for i := range x.sweep.Keep {
		kept, err := x.keeps(alias, &x.sweep.Keep[i])
		if err != nil {
			return "", err
		}
		terms = append(terms, "NOT "+kept)
	}
	for i := range x.sweep.Steps {
		step := &x.sweep.Steps[i]
		if len(step.Scope) == 0 || len(step.Path) == 0 {
			continue
		}
		outside, err := x.exists(alias, x.sweep.Table, step.Path, func(alias string, t backend.Table) (string, error) {
			scope, err := x.conditions(&x.b, alias, t, step.Scope)
			return "NOT " + scope, err
		})
		if err != nil {
			return "", withEntity(err, step.Entity)
		}
		terms = append(terms, "NOT "+outside)
	}
	pending, err := x.pending(alias)
	if pending != "" {
		terms = append(terms, pending)
	}
	return strings.Join(terms, " AND "), err
}

// pending tests that a step would change something, where the records themselves stay.
func (x *sweeper) pending(alias string) (string, error) {
	if n := len(x.sweep.Steps); n == 0 || x.sweep.Steps[n-1].Action != backend.Update {
		return "", nil
	}
	var terms []string
	for i := range slices.Backward(x.sweep.Steps) {
		step := &x.sweep.Steps[i]
		term, err := x.exists(alias, x.sweep.Table, step.Path, func(alias string, t backend.Table) (string, error) {
			return x.differs(alias, step)
		})
		if err != nil {
			return "", withEntity(err, step.Entity)
		}
		terms = append(terms, term)
	}
	return or(terms), nil
}

// records are the sweep's table and its key columns.
func (x *sweeper) records() (table string, keys []string, cols []*Column, err error) {
	if table, _, err = x.table(x.sweep.Table); err == nil {
		keys, cols, err = x.keys(self)
	}
	return table, keys, cols, err
}

// keys are the key columns of a sweep's records.
func (x *sweeper) keys(alias string) ([]string, []*Column, error) {
	return x.columns(alias, x.sweep.Table, x.sweep.KeyColumns)
}

// subject is the text of the column that names the person.
func (x *sweeper) subject(alias string) (string, error) {
	s := x.sweep.Subject
	if s == nil {
		return "NULL", nil
	}
	r, err := x.route(alias, x.sweep.Table, s.Path)
	if err != nil {
		return "", err
	}
	expr, col, err := x.column(r.alias, r.table, s.Column)
	if err != nil {
		return "", err
	}
	text := x.Dialect.TextOf(expr, col)
	if len(s.Path) == 0 {
		return text, nil
	}
	return fmt.Sprintf("(SELECT MIN(%s) FROM %s WHERE %s)", text, strings.Join(r.from, ", "), strings.Join(r.where, " AND ")), nil
}

// CheckSweepShape refuses a sweep that is not complete.
func CheckSweepShape(s *backend.Sweep) error {
	problem, entity := "", ""
	switch {
	case len(s.KeyColumns) == 0:
		problem = "no key columns"
	case len(s.Steps) > 0 && (len(s.Steps[len(s.Steps)-1].Path) > 0 || s.Steps[len(s.Steps)-1].Table != s.Table):
		problem = "the last step of a sweep is for its own records"
	case s.Cutoff.IsZero() || s.Now.IsZero():
		problem = "a sweep needs a cutoff and the time"
	case s.Clock.Column == "" && len(SweepDeletes(s)) > 0:
		problem = "a sweep that deletes needs a clock"
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		last := step.Table
		if n := len(step.Path); n > 0 {
			last = step.Path[n-1].Table
		}
		switch {
		case problem != "":
			continue
		case last != step.Table:
			problem = "the path of a step does not end at its table"
		case i < len(s.Steps)-1 && len(step.Path) == 0:
			problem = "only the last step is for the sweep's own records"
		case step.Action != backend.Delete && step.Action != backend.Update:
			problem = fmt.Sprintf("a database has no action %q", step.Action)
		case len(step.KeyColumns) == 0 || step.Action == backend.Update && len(step.Columns) == 0:
			problem = "a step needs key columns, and an update columns to set"
		default:
			continue
		}
		entity = step.Entity
	}
	if problem == "" {
		return nil
	}
	return &backend.RefusedError{Entity: entity, Problem: problem, Remedy: "correct the retention rule or the data map"}
}
