package sql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// SweepRange says which due records of a sweep to select.
type SweepRange struct {
	// After, From and Until bound the keys, the first without itself; nil does not.
	After, From, Until backend.Key
	// Near tells that the bounds are close to each other: no index is to be used but that of the key.
	Near bool
	// Keys to look among, nil for all.
	Keys []backend.Key
	// Limit of records; 0 is none.
	Limit int
	// Subject asks for the person behind the key columns.
	Subject bool
	// Lock ends the statement.
	Lock string
	// Count asks for the number of records instead of their keys, All for that of all in the range, due or not.
	Count, All bool
}

// RangeOf is the range that the next page of a batch is in.
func RangeOf(b *backend.SweepBatch) SweepRange {
	r := SweepRange{From: b.From, After: b.After, Until: b.Until}
	if r.After != nil {
		r.From = nil
	}
	return r
}

// SweepDue makes a statement for the keys of due records, in their order.
func (c *Compiler) SweepDue(s *backend.Sweep, r SweepRange) (Statement, error) {
	x := c.sweeper(s)
	table, keys, cols, err := x.records()
	if err != nil {
		return Statement{}, err
	}
	terms := x.bounds(keys, cols, r)
	if !r.All {
		due, err := x.dueIn(self, r)
		if err != nil {
			return Statement{}, err
		}
		terms = append(terms, due)
	}
	if r.Count {
		return x.statement(fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s", x.Dialect.Read("count(*)", &Column{}), table, self, and(terms)), len(s.Steps)-1)
	}
	list := x.read(keys, cols)
	if r.Subject {
		subject, err := x.subject(self)
		if err != nil {
			return Statement{}, err
		}
		list = append(list, subject)
	}
	text := fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s ORDER BY %s", strings.Join(list, ", "), table, self,
		and(terms), strings.Join(x.ordered(keys, cols), ", "))
	if r.Limit > 0 {
		text += " LIMIT " + x.Dialect.Placeholder(x.b.Bind(int64(r.Limit)))
	}
	return x.statement(text+r.Lock, max(len(s.Steps)-1, 0))
}

func (x *sweeper) bounds(keys []string, cols []*Column, r SweepRange) []string {
	var terms []string
	for _, bound := range []struct {
		sign string
		key  backend.Key
	}{{">", r.After}, {">=", r.From}, {"<=", r.Until}} {
		if bound.key != nil {
			terms = append(terms, x.Dialect.KeyOrder(&x.b, keys, cols, bound.sign, bound.key))
		}
	}
	if r.Keys != nil {
		terms = append(terms, x.Dialect.InKeys(&x.b, keys, cols, r.Keys))
	}
	return terms
}

// dueIn tests what is due in a range. As a truth value it serves no index.
func (x *sweeper) dueIn(alias string, r SweepRange) (string, error) {
	due, err := x.due(alias)
	if r.Near {
		due = "(" + due + ") IS TRUE"
	}
	return due, err
}

func (c *Compiler) ordered(exprs []string, cols []*Column) []string {
	list := make([]string, len(exprs))
	for i, e := range exprs {
		list[i] = c.Dialect.Ordered(e, cols[i])
	}
	return list
}

func (c *Compiler) read(exprs []string, cols []*Column) []string {
	list := make([]string, len(exprs))
	for i, e := range exprs {
		list[i] = c.Dialect.Read(e, cols[i])
	}
	return list
}

// SweepBound makes a statement for the key so many records behind the beginning of a range, due or not.
func (c *Compiler) SweepBound(s *backend.Sweep, r SweepRange, records int) (Statement, error) {
	x := c.sweeper(s)
	table, keys, cols, err := x.records()
	if err != nil {
		return Statement{}, err
	}
	return x.statement(fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s ORDER BY %s LIMIT 1 OFFSET %s", strings.Join(x.read(keys, cols), ", "), table, self,
		and(x.bounds(keys, cols, r)), strings.Join(x.ordered(keys, cols), ", "), x.Dialect.Placeholder(x.b.Bind(int64(records)))), len(s.Steps)-1)
}

// SweepCount makes the statements of CountSweep: the first has one row for the records, see SweepCounts; the others, one for each
// dependants' step of their Op, one number.
func (c *Compiler) SweepCount(s *backend.Sweep) ([]Statement, error) {
	if s.Brief {
		st, err := c.countBriefly(s)
		return []Statement{st}, err
	}
	first, err := c.countRecords(s)
	if err != nil {
		return nil, err
	}
	statements := []Statement{first}
	for i := range s.Steps {
		st, err := c.countStep(s, i)
		if err != nil {
			return nil, withEntity(err, s.Steps[i].Entity)
		}
		statements = append(statements, st)
	}
	return statements, nil
}

// SweepCounts are the places for the columns of the first statement.
func SweepCounts(n *backend.SweepCount, earliest **int64) []any {
	into := []any{&n.Total, &n.Due, &n.NoClock, &n.Future, earliest}
	for i := range n.Kept {
		into = append(into, &n.Kept[i])
	}
	return into
}

// counted are the table, the test that a record is within the scope, and the one that it is due, in the order in which a statement
// must have them.
func (x *sweeper) counted() (table, scope, due string, err error) {
	if table, _, err = x.table(x.sweep.Table); err != nil {
		return "", "", "", err
	}
	if scope, err = x.conditions(&x.b, self, x.sweep.Table, x.sweep.Scope); err != nil {
		return "", "", "", err
	}
	due, err = x.due(self)
	return table, scope, due, err
}

// countBriefly has the columns of countRecords, nothing but the first two of them counted.
func (c *Compiler) countBriefly(s *backend.Sweep) (Statement, error) {
	x := c.sweeper(s)
	table, scope, due, err := x.counted()
	if err != nil {
		return Statement{}, err
	}
	return x.statement(fmt.Sprintf("SELECT (SELECT count(*) FROM %[1]s AS %[2]s WHERE %[3]s), (SELECT count(*) FROM %[1]s AS %[2]s WHERE %[4]s), 0, 0, NULL%[5]s",
		table, self, scope, due, strings.Repeat(", 0", len(s.Keep))), -1)
}

func (c *Compiler) countRecords(s *backend.Sweep) (Statement, error) {
	x := c.sweeper(s)
	table, scope, due, err := x.counted()
	if err != nil {
		return Statement{}, err
	}
	micros, err := x.clockMicros(self, s.Table, &s.Clock)
	if err != nil {
		return Statement{}, err
	}
	test := func(term string) string { return "CASE WHEN " + term + " THEN 1 ELSE 0 END" }
	inner := []string{test(due) + " AS due", micros + " AS micros"}
	now := x.Dialect.Placeholder(x.b.Bind(Micros(s.Now)))
	outer := []string{"COUNT(*)", "COALESCE(SUM(c.due), 0)", "COALESCE(SUM(CASE WHEN c.micros IS NULL THEN 1 ELSE 0 END), 0)",
		"COALESCE(SUM(CASE WHEN c.micros > " + now + " THEN 1 ELSE 0 END), 0)", "MIN(CASE WHEN c.due = 1 THEN c.micros END)"}
	for i := range s.Keep {
		passed, err := x.passed(self)
		if err != nil {
			return Statement{}, err
		}
		kept, err := x.keeps(self, &s.Keep[i])
		if err != nil {
			return Statement{}, err
		}
		inner = append(inner, fmt.Sprintf("%s AS kept%d", test(passed+" AND "+kept), i))
		outer = append(outer, fmt.Sprintf("COALESCE(SUM(c.kept%d), 0)", i))
	}
	return x.statement(fmt.Sprintf("SELECT %s FROM (SELECT %s FROM %s AS %s WHERE %s) AS c", strings.Join(outer, ", "), strings.Join(inner, ", "),
		table, self, scope), -1)
}

func (c *Compiler) countStep(s *backend.Sweep, i int) (Statement, error) {
	x := c.sweeper(s)
	step := &s.Steps[i]
	table, _, err := x.table(step.Table)
	if err != nil {
		return Statement{}, err
	}
	rows, err := x.rows(self, step, x.due)
	if err != nil {
		return Statement{}, err
	}
	differs, err := x.differs(self, step)
	if err != nil {
		return Statement{}, err
	}
	return x.statement(fmt.Sprintf("SELECT count(*) FROM %s AS %s WHERE %s AND %s", table, self, rows, differs), i)
}

// SweepSplit makes a statement for the first key of what has passed and the last keys of n ranges of it, in their order. A row has one
// key or several; see SplitBounds.
func (c *Compiler) SweepSplit(s *backend.Sweep, n int) (Statement, error) {
	x := c.sweeper(s)
	table, keys, cols, err := x.records()
	if err != nil {
		return Statement{}, err
	}
	passed, err := x.passed(self)
	if err != nil {
		return Statement{}, err
	}
	from := fmt.Sprintf("FROM %s AS %s WHERE %s", table, self, passed)
	if len(keys) == 1 {
		read := func(name string) string { return x.Dialect.Read(name, cols[0]) }
		if fence, ok := x.Dialect.Extremes(cols[0]); ok && n == 1 {
			return x.statement(fmt.Sprintf("SELECT %s, %s FROM (SELECT MIN(x.k0) AS k0, MAX(x.k0) AS k1 FROM (SELECT %s AS k0 %s%s) AS x) AS y WHERE y.k0 IS NOT NULL",
				read("y.k0"), read("y.k1"), keys[0], from, fence), -1)
		}
		if quantiles := x.Dialect.Quantiles(&x.b, keys[0], cols[0], n); quantiles != "" {
			return x.statement(fmt.Sprintf("SELECT %s FROM (SELECT DISTINCT %s AS k0 %s) AS x ORDER BY x.k0", read("k0"), quantiles, from), -1)
		}
	}
	names := numbered("k", len(keys))
	parts := x.Dialect.Placeholder(x.b.Bind(int64(n)))
	parts2 := x.Dialect.Placeholder(x.b.Bind(int64(n)))
	return x.statement(fmt.Sprintf("SELECT %s FROM (SELECT %s, row_number() OVER (ORDER BY %s) AS place, count(*) OVER () AS total %s) AS x "+
		"WHERE x.place = 1 OR (x.place * %s) %% x.total < %s ORDER BY x.place", strings.Join(x.read(names, cols), ", "),
		strings.Join(named(keys, names), ", "), strings.Join(x.ordered(keys, cols), ", "), from, parts, parts2), -1)
}

// SplitBounds reads the rows of SweepSplit.
func SplitBounds(s *backend.Sweep, rows [][]backend.Value) ([]backend.Key, error) {
	var bounds []backend.Key
	for _, row := range rows {
		for values := range slices.Chunk(row, len(s.KeyColumns)) {
			key, err := SweepKey(s.KeyColumns, values)
			if err != nil {
				return nil, err
			}
			bounds = append(bounds, key)
		}
	}
	if len(bounds) == 1 { // of one record
		bounds = append(bounds, bounds[0])
	}
	return bounds, nil
}

// SweepExplain makes a statement for what a sweep finds of single records: key, clock, for each test whether it keeps the record
// and its clock, and the subject. Clocks are microseconds since 1970.
func (c *Compiler) SweepExplain(s *backend.Sweep, keys []backend.Key) (Statement, error) {
	x := c.sweeper(s)
	table, exprs, cols, err := x.records()
	if err != nil {
		return Statement{}, err
	}
	micros, err := x.clockMicros(self, s.Table, &s.Clock)
	if err != nil {
		return Statement{}, err
	}
	number := func(expr string) string { return x.Dialect.Read("("+expr+")", &Column{}) }
	list := append(x.read(exprs, cols), number(micros))
	for i := range s.Keep {
		kept, err := x.keeps(self, &s.Keep[i])
		if err != nil {
			return Statement{}, err
		}
		clock, err := x.keepClock(&s.Keep[i])
		if err != nil {
			return Statement{}, err
		}
		list = append(list, number("CASE WHEN "+kept+" THEN 1 ELSE 0 END"), number(clock))
	}
	subject, err := x.subject(self)
	if err != nil {
		return Statement{}, err
	}
	scope, err := x.conditions(&x.b, self, s.Table, s.Scope)
	if err != nil {
		return Statement{}, err
	}
	return x.statement(fmt.Sprintf("SELECT %s FROM %s AS %s WHERE %s AND %s", strings.Join(append(list, subject), ", "), table, self,
		x.Dialect.InKeys(&x.b, exprs, cols, keys), scope), -1)
}

// keepClock is the latest clock of the records that a test looks at.
func (x *sweeper) keepClock(k *backend.SweepTest) (string, error) {
	if k.Clock == nil {
		return "NULL", nil
	}
	r, err := x.route(self, x.sweep.Table, k.Path)
	if err != nil {
		return "", err
	}
	micros, err := x.clockMicros(r.alias, r.table, k.Clock)
	if err != nil || len(k.Path) == 0 {
		return micros, err
	}
	conds, err := x.conditions(&x.b, r.alias, r.table, k.Conditions)
	return fmt.Sprintf("(SELECT MAX(%s) FROM %s WHERE %s)", micros, strings.Join(r.from, ", "), strings.Join(append(r.where, conds), " AND ")), err
}

// Explanation reads a row of SweepExplain behind its key.
func Explanation(s *backend.Sweep, key backend.Key, rest []backend.Value) backend.SweepExplanation {
	e := backend.SweepExplanation{Key: key, Found: true, Clock: FromMicros(number(rest[0]))}
	for i := range s.Keep {
		kept := number(rest[1+2*i])
		e.Keep = append(e.Keep, kept != nil && *kept == 1)
		e.Clocks = append(e.Clocks, FromMicros(number(rest[2+2*i])))
	}
	e.Subject = rest[1+2*len(s.Keep)]
	return e
}

func number(v backend.Value) *int64 {
	if v == nil {
		return nil
	}
	n, err := strconv.ParseInt(*v, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}
