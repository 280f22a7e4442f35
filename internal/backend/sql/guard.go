package sql

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Reference is a foreign key by which the database deletes or changes rows of a table when rows of another go.
type Reference struct {
	// Table that has the key, with its schema.
	Table backend.Table
	// Name for people, such as: constraint "x".
	Name string
	// From names the table in a FROM, On joins it, as r, with the table that it refers to, as t.
	From, On string
	// Columns of Table refer to RefColumns; only of dialects whose sweeps delete by paths.
	Columns, RefColumns []string
	// Deletes is true for CASCADE, false where the database changes the rows.
	Deletes bool
	// Counter selects how many rows of Table the transaction has deleted so far, also by the cascade. It is NULL where the foreign key
	// does not delete them any more. Empty where a database cannot tell.
	Counter string
}

// References are those to each table.
type References map[backend.Table][]Reference

// WithoutCounters are the same for a database that cannot tell.
func (r References) WithoutCounters() References {
	out := maps.Clone(r)
	for table, list := range out {
		list = slices.Clone(list)
		for i := range list {
			list[i].Counter = ""
		}
		out[table] = list
	}
	return out
}

// referrer is the alias of the table that has the foreign key.
const referrer = "r"

var (
	// ErrReferred is in the StaleError of a guard.
	ErrReferred = errors.New("rows outside the plan refer to planned ones")
	// ErrNoCascade is in the StaleError of a Counter.
	ErrNoCascade = errors.New("the database does not delete what refers to deleted rows any more")
)

// guards make statements that count, in one row, the rows that the database would delete or change on its own when the
// i-th operation deletes: those that still refer to its records and that neither it nor a later operation deletes.
func (c *Compiler) guards(ops []backend.Operation, i int) ([]Statement, error) {
	op := &ops[i]
	var statements []Statement
	if op.Action != backend.Delete {
		return nil, nil
	}
	for n := range c.References[op.Table] {
		ref := &c.References[op.Table][n]
		if !ref.Deletes && slices.ContainsFunc(c.Ignored, func(t backend.Table) bool { return c.full(t) == ref.Table }) {
			continue
		}
		going := c.deleting(ops[i:], ref.Table)
		size := c.BatchSize
		if len(going) > 0 { // or their keys would be bound again for each part
			size = max(len(op.Keys), 1)
		}
		for from := 0; from < len(op.Keys); from += size {
			text, b, err := c.guard(part(op, from, min(from+size, len(op.Keys))), ref, going)
			if err != nil {
				return nil, err
			}
			statements = append(statements, Statement{Text: text, Args: b.args, Op: i, Guard: ref})
		}
	}
	return statements, nil
}

// full is a table with its schema.
func (c *Compiler) full(t backend.Table) backend.Table {
	if t.Schema == "" {
		t.Schema = c.Schema
	}
	return t
}

// deleting are the operations that delete from a table.
func (c *Compiler) deleting(ops []backend.Operation, from backend.Table) []*backend.Operation {
	var found []*backend.Operation
	for i := range ops {
		if ops[i].Action == backend.Delete && len(ops[i].Keys) > 0 && c.full(ops[i].Table) == from {
			found = append(found, &ops[i])
		}
	}
	return found
}

func (c *Compiler) guard(op *backend.Operation, ref *Reference, going []*backend.Operation) (string, *Builder, error) {
	b := &Builder{}
	table, _, err := c.table(op.Table)
	if err != nil {
		return "", nil, err
	}
	planned, err := c.inKeys(b, self, op)
	if err != nil {
		return "", nil, err
	}
	terms := []string{planned}
	for _, g := range going {
		keys, cols, err := c.columns(referrer, g.Table, g.KeyColumns)
		if err != nil {
			return "", nil, err
		}
		terms = append(terms, c.Dialect.NotInKeys(b, keys, cols, g.Keys))
	}
	return fmt.Sprintf("SELECT count(*) FROM %s AS %s JOIN %s AS %s ON %s WHERE %s", ref.From, referrer, table, self, ref.On,
		strings.Join(terms, " AND ")), b, b.err
}

// Lock makes statements that lock the records of an operation and count them, for databases whose guards do not see what
// is committed after the transaction's begin otherwise.
func (c *Compiler) Lock(op *backend.Operation) ([]Statement, error) {
	table, _, err := c.table(op.Table)
	if err != nil {
		return nil, withEntity(err, op.Entity)
	}
	var statements []Statement
	for from := 0; from < len(op.Keys); from += c.BatchSize {
		b := &Builder{}
		where, err := c.inKeys(b, self, part(op, from, min(from+c.BatchSize, len(op.Keys))))
		if err == nil {
			err = b.err
		}
		if err != nil {
			return nil, withEntity(err, op.Entity)
		}
		statements = append(statements, Statement{
			Text: fmt.Sprintf("SELECT count(*) FROM %s AS %s WHERE %s FOR UPDATE", table, self, where), Args: b.args,
		})
	}
	return statements, nil
}

// Detach makes statements that cut the links of an operation's records to themselves, for databases that let no record go
// that refers to itself. columns refer to refs; those that are NOT NULL or part of the key stay, and with none that can be
// NULL there is no statement.
func (c *Compiler) Detach(op *backend.Operation, columns, refs []string) ([]Statement, error) {
	table, _, err := c.table(op.Table)
	if err != nil {
		return nil, withEntity(err, op.Entity)
	}
	own, cols, err := c.columns(self, op.Table, columns)
	if err != nil {
		return nil, withEntity(err, op.Entity)
	}
	to, _, err := c.columns(self, op.Table, refs)
	if err != nil {
		return nil, withEntity(err, op.Entity)
	}
	var cuts []string
	for i, col := range cols {
		if !col.NotNull && !slices.Contains(op.KeyColumns, columns[i]) {
			cuts = append(cuts, own[i]+" = NULL")
		}
	}
	if len(cuts) == 0 {
		return nil, nil
	}
	var statements []Statement
	for from := 0; from < len(op.Keys); from += c.BatchSize {
		b := &Builder{}
		where, err := c.inKeys(b, self, part(op, from, min(from+c.BatchSize, len(op.Keys))))
		if err == nil {
			err = b.err
		}
		if err != nil {
			return nil, withEntity(err, op.Entity)
		}
		statements = append(statements, Statement{Text: fmt.Sprintf("UPDATE %s AS %s SET %s WHERE %s AND %s", table, self, strings.Join(cuts, ", "), where,
			strings.Join(equal(own, to), " AND ")), Args: b.args})
	}
	return statements, nil
}

func (c *Compiler) inKeys(b *Builder, alias string, op *backend.Operation) (string, error) {
	keys, cols, err := c.columns(alias, op.Table, op.KeyColumns)
	if err != nil {
		return "", err
	}
	return c.Dialect.InKeys(b, keys, cols, op.Keys), nil
}

// Judge is the error for a guard's count, nil for none.
func (s *Statement) Judge(ops []backend.Operation, count int64) error {
	return s.JudgeFor(ops[s.Op].Entity, count)
}

// JudgeFor is Judge for an entity.
func (s *Statement) JudgeFor(entity string, count int64) error {
	if count == 0 {
		return nil
	}
	return &backend.StaleError{Entity: entity, Err: ErrReferred, Problem: fmt.Sprintf(
		"%d rows of table %s that the plan does not delete still refer to records that go, by %s, which would %s them",
		count, TableName(s.Guard.Table), s.Guard.Name, s.Guard.Effect())}
}

// Effect is what the database would do to the rows.
func (r *Reference) Effect() string {
	if r.Deletes {
		return "delete"
	}
	return "change"
}
