package sql

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Execute makes the statements of a batch's operations in their order, each for at most BatchSize keys. An operation's
// guards stand before it.
func (c *Compiler) Execute(ops []backend.Operation) ([]Statement, error) {
	for i := range ops {
		if err := checkOperation(&ops[i]); err != nil {
			return nil, withEntity(err, ops[i].Entity)
		}
	}
	var statements []Statement
	for i := range ops {
		guards, err := c.guards(ops, i)
		if err != nil {
			return nil, withEntity(err, ops[i].Entity)
		}
		statements = append(statements, guards...)
		for from := 0; from < len(ops[i].Keys); from += c.BatchSize {
			op := part(&ops[i], from, min(from+c.BatchSize, len(ops[i].Keys)))
			text, b, err := c.operation(op)
			if err != nil {
				return nil, withEntity(err, ops[i].Entity)
			}
			statements = append(statements, Statement{Text: text, Args: b.args, Op: i})
		}
	}
	return statements, nil
}

// Check makes statements that count, in one row, the records that are not as their operations would leave them. Small
// operations share a statement.
func (c *Compiler) Check(ops []backend.Operation) ([]Statement, error) {
	var statements []Statement
	var b Builder
	var counts []string
	var of []int
	room := c.BatchSize
	flush := func() {
		if len(counts) > 0 {
			statements = append(statements, Statement{Text: "SELECT " + strings.Join(counts, ", "), Args: b.args, Ops: of})
		}
		b, counts, of, room = Builder{}, nil, nil, c.BatchSize
	}
	for i := range ops {
		if err := checkOperation(&ops[i]); err != nil {
			return nil, withEntity(err, ops[i].Entity)
		}
		for from := 0; from < len(ops[i].Keys); {
			if room == 0 || len(counts) >= maxCounts {
				flush()
			}
			to := min(from+room, len(ops[i].Keys))
			count, err := c.count(&b, part(&ops[i], from, to))
			if err == nil {
				err = b.err
			}
			if err != nil {
				return nil, withEntity(err, ops[i].Entity)
			}
			counts, of = append(counts, "("+count+")"), append(of, i)
			room -= to - from
			from = to
		}
	}
	flush()
	return statements, nil
}

// maxCounts bounds the length of a check, which counts with one subselect for each operation.
const maxCounts = 64

func checkOperation(op *backend.Operation) error {
	problem := ""
	switch {
	case op.Action != backend.Delete && op.Action != backend.Update:
		problem = fmt.Sprintf("a database has no action %q", op.Action)
	case len(op.KeyColumns) == 0:
		problem = "no key columns"
	case op.Action == backend.Update && (len(op.Columns) == 0 || len(op.Set) != len(op.Keys)):
		problem = "an update needs columns and a row of values for each key"
	case len(op.Expect) != 0 && len(op.Expect) != len(op.Keys):
		problem = "expected values need a row for each key"
	case slices.ContainsFunc(slices.Concat(op.Members...), func(name string) bool { return name == "" || strings.ContainsAny(name, "\"\\\x00") }):
		problem = "the name of a member is empty or has a quote, a backslash or a NUL"
	case len(op.Members) != 0 && len(op.Members) != len(op.Columns) || len(op.Elements) != 0 && len(op.Elements) != len(op.Columns):
		problem = "members need as many paths as there are columns, and so do elements"
	case slices.ContainsFunc(op.Columns, func(name string) bool { return twiceInElements(op, name) }):
		problem = "a column of which elements are taken out is set in another way, too"
	}
	for i, k := range op.Keys {
		if len(k) != len(op.KeyColumns) {
			problem = "a key has not as many values as key columns"
		}
		if op.Action == backend.Update && problem == "" && len(op.Set[i]) != len(op.Columns) ||
			problem == "" && len(op.Expect) != 0 && len(op.Expect[i]) != len(op.Columns) {
			problem = "a row of values has not as many values as columns"
		}
	}
	if problem == "" {
		return nil
	}
	return &backend.RefusedError{Problem: problem}
}

func twiceInElements(op *backend.Operation, name string) bool {
	n, element := 0, false
	for i, c := range op.Columns {
		if c == name {
			n, element = n+1, element || op.Element(i)
		}
	}
	return element && n > 1
}

// part is an operation on some of its keys.
func part(op *backend.Operation, from, to int) *backend.Operation {
	if from == 0 && to == len(op.Keys) {
		return op
	}
	o := *op
	o.Keys = op.Keys[from:to]
	if len(op.Set) > 0 {
		o.Set = op.Set[from:to]
	}
	if len(op.Expect) > 0 {
		o.Expect = op.Expect[from:to]
	}
	return &o
}

func (c *Compiler) operation(op *backend.Operation) (string, *Builder, error) {
	if c.byKey(op) {
		return c.deleteByKey(op)
	}
	b := &Builder{}
	table, _, err := c.table(op.Table)
	if err != nil {
		return "", nil, err
	}
	if op.Action == backend.Update {
		text, err := c.update(b, table, op)
		if err == nil {
			err = b.err
		}
		return text, b, err
	}
	where, err := c.inKeys(b, self, op)
	if err != nil {
		return "", nil, err
	}
	if len(op.Unless) > 0 {
		unless, err := c.unless(b, self, op.Table, op.Unless)
		if err != nil {
			return "", nil, err
		}
		where += " AND " + unless
	}
	for i := range op.Referrers {
		referred, err := c.referred(b, op.Table, &op.Referrers[i])
		if err != nil {
			return "", nil, err
		}
		where += " AND NOT " + referred
	}
	return c.Dialect.Delete(table, self, where), b, b.err
}

func (c *Compiler) update(b *Builder, table string, op *backend.Operation) (string, error) {
	values, where, err := c.pending(b, op)
	if err != nil {
		return "", err
	}
	unless, err := c.unless(b, self, op.Table, op.Unless)
	if err != nil {
		return "", err
	}
	columns, exprs, err := c.assignments(b, op)
	if err != nil {
		return "", err
	}
	return c.Dialect.Update(table, self, columns, exprs, values, where+" AND "+unless), nil
}

// assignments of an update; those to members of one column are one.
func (c *Compiler) assignments(b *Builder, op *backend.Operation) (columns, exprs []string, err error) {
	members := map[string][]Member{}
	for i, name := range op.Columns {
		if path := op.Member(i); len(path) > 0 {
			members[name] = append(members[name], Member{path, valueColumn(len(op.KeyColumns) + i)})
		}
	}
	for i, name := range op.Columns {
		expr, col, err := c.column(self, op.Table, name)
		if err != nil {
			return nil, nil, err
		}
		first := slices.Index(op.Columns, name) == i
		if op.Element(i) {
			arrays, err := c.arrays(col)
			if err != nil {
				return nil, nil, err
			}
			columns, exprs = append(columns, c.Dialect.Quote(name)), append(exprs, arrays.WithoutElements(expr, valueColumn(len(op.KeyColumns)+i), col))
			continue
		}
		switch whole := len(op.Member(i)) == 0; {
		case whole && (!first || len(members[name]) > 0):
			return nil, nil, &backend.RefusedError{Problem: fmt.Sprintf("column %q is set twice, or as a whole and in part", name), Remedy: "correct the data map"}
		case whole:
			columns, exprs = append(columns, c.Dialect.Quote(name)), append(exprs, c.Dialect.Assign(valueColumn(len(op.KeyColumns)+i), col))
		case first:
			columns, exprs = append(columns, c.Dialect.Quote(name)), append(exprs, c.Dialect.AssignMembers(b, expr, members[name], col))
		}
	}
	return columns, exprs, nil
}

// referred is true where records of the other table refer to the record.
func (c *Compiler) referred(b *Builder, t backend.Table, from *backend.Referrer) (string, error) {
	table, _, err := c.table(from.Table)
	if err != nil {
		return "", err
	}
	on, err := c.referring(self, t, from.References, other, from.Table, from.Columns, from.Element)
	if err != nil {
		return "", err
	}
	conds, err := c.conditions(b, other, from.Table, from.Conditions)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS %s WHERE %s AND %s)", table, other, and(on), conds), nil
}

// count is the select that counts the records of an operation that it has still to treat.
func (c *Compiler) count(b *Builder, op *backend.Operation) (string, error) {
	table, _, err := c.table(op.Table)
	if err != nil {
		return "", err
	}
	if op.Action == backend.Update {
		values, where, err := c.pending(b, op)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("SELECT count(*) FROM %s, %s AS %s WHERE %s", values, table, self, where), nil
	}
	where, err := c.inKeys(b, self, op)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("SELECT count(*) FROM %s AS %s WHERE %s", table, self, where), nil
}

// pending is an update's relation of values (keys, new values, expected values) and the condition that finds the rows
// that are not yet as planned, and still as expected.
func (c *Compiler) pending(b *Builder, op *backend.Operation) (values, where string, err error) {
	keys, keyCols, err := c.columns(self, op.Table, op.KeyColumns)
	if err != nil {
		return "", "", err
	}
	exprs, cols, err := c.columns(self, op.Table, op.Columns)
	if err != nil {
		return "", "", err
	}
	rows := make([][]backend.Value, len(op.Keys))
	for i, k := range op.Keys {
		row := make([]backend.Value, 0, len(k)+2*len(cols))
		for j := range k {
			row = append(row, &k[j])
		}
		row = append(row, op.Set[i]...)
		if len(op.Expect) > 0 {
			row = append(row, op.Expect[i]...)
		}
		rows[i] = row
	}
	values = c.Dialect.Values(b, rows, valueColumns(op, keyCols, cols))
	var terms, same []string
	for i, k := range keys {
		terms = append(terms, c.Dialect.KeyEqual(k, valueColumn(i), keyCols[i]))
	}
	for i, e := range exprs {
		v := valueColumn(len(keys) + i)
		if op.Element(i) {
			arrays, err := c.arrays(cols[i])
			if err != nil {
				return "", "", err
			}
			same = append(same, arrays.KeepsElements(e, v, cols[i]))
		} else if path := op.Member(i); len(path) > 0 {
			same = append(same, c.Dialect.SameMember(b, e, Member{path, v}, cols[i]))
		} else {
			same = append(same, c.Dialect.Same(e, v, cols[i]))
		}
	}
	terms = append(terms, "NOT "+and(same))
	if len(op.Expect) > 0 {
		for i, e := range exprs {
			terms = append(terms, c.Dialect.SameAsRead(e, valueColumn(len(keys)+len(exprs)+i), cols[i]))
		}
	}
	return values, and(terms), nil
}

// valueColumns are the columns that the relation of an update's values is for.
func valueColumns(op *backend.Operation, keys, cols []*Column) []*Column {
	set := slices.Clone(cols)
	for i := range set {
		if len(op.Member(i)) > 0 || op.Element(i) {
			set[i] = nil
		}
	}
	all := append(slices.Clone(keys), set...)
	if len(op.Expect) > 0 {
		all = append(all, cols...)
	}
	return all
}

// valueColumn is the i-th column, from 0, of the relation that Dialect.Values makes.
func valueColumn(i int) string { return fmt.Sprintf("v.c%d", i+1) }
