// Package sql makes the statements of the backends that are SQL databases. It knows the contract of package backend and
// no driver: a Dialect says how one database writes what differs between them, and the packages below run the statements
// in the way that suits their database.
//
// Every identifier goes through quote, every value is bound, and the text of a statement depends on the shape of what is
// asked alone, never on data, so that databases can keep plans.
package sql

import (
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Statement is ready to run.
type Statement struct {
	Text string
	Args []any
	// Op is the index of the query or operation that it belongs to.
	Op int
	// Ops are the operations that the columns of a check's one row count for.
	Ops []int
	// Guard is set for a statement that counts, in one row, what must be none: see Judge.
	Guard *Reference
	// Locks is set for a statement that only locks.
	Locks bool
	// Tally is -1 or 1 for a Counter that is read before and after the rows go.
	Tally int64
}

// Column is what the catalogue says of a column.
type Column struct {
	Name string
	// Type in which values are compared: the database's name of it, without length or precision, which would cut values
	// until they match those of others.
	Type string
	// Stored is the type with length and precision.
	Stored string
	// Category groups types that compare with each other, in the dialect's own letters.
	Category string
	NotNull  bool
	// Generated columns cannot be written.
	Generated bool
	// Primary columns are part of the primary key; only of dialects that must name an index.
	Primary bool
	// Collation of text, for dialects that must name it.
	Collation string
}

// Member of a JSON document: the names that lead to it, and the column of Values that has its new JSON text.
type Member struct {
	Path  []string
	Value string
}

// NoDocument is what a backend says of a column that holds text where the data map names members.
const NoDocument = "a column of which the data map names members holds a text that is no JSON document, or none that the server can take apart"

// NoDocumentRemedy is what to do about it.
const NoDocumentRemedy = "correct the text, or let the data map overwrite the column as a whole, without a path"

// Facts are the columns of a table by name.
type Facts map[string]*Column

// Tables holds the facts of tables.
type Tables map[backend.Table]Facts

// Dialect is what differs between databases.
type Dialect interface {
	// Quote an identifier that is not empty and has no NUL.
	Quote(name string) string
	// Placeholder of the n-th argument, from 1.
	Placeholder(n int) string
	// Table qualifies a table's quoted names; schema may be empty.
	Table(schema, name string) string
	// Read is the select-list expression that delivers a column without loss.
	Read(expr string, c *Column) string
	// Materialized is the word that makes the database compute a common table expression before anything else, or empty.
	Materialized() string
	// Quantiles are rows: the first value of a column and then the last one in each of n equal parts of what a select finds. Empty
	// where the database has no function for it.
	Quantiles(b *Builder, expr string, c *Column, n int) string
	// Extremes tells whether MIN and MAX order a column as ORDER BY does. Fence, behind a select, keeps the database from walking
	// along an index for them through all that the select leaves out.
	Extremes(c *Column) (fence string, ok bool)
	// TextOf is a column as text.
	TextOf(expr string, c *Column) string
	// InText tests whether the columns equal one of the rows of plain text.
	InText(b *Builder, exprs []string, cols []*Column, rows [][]string) string
	// InLoose is InText for rows that may hold what is no value of the column's type, which equals nothing. It may find a little
	// more than what equals as text.
	InLoose(b *Builder, exprs []string, cols []*Column, rows [][]string) string
	// InFolded tests whether the normalised column equals one of the values, normalised too. ascii is true where no value has
	// a letter outside ASCII; look-alikes of ASCII text do not equal it.
	InFolded(b *Builder, expr string, c *Column, values []string, n backend.Normalization, ascii bool) string
	// InUnion tests whether the key columns equal a row that one of the selects finds; these call the columns k1, k2 ...
	InUnion(exprs []string, cols []*Column, selects []string) string
	// ContainsWord tests whether a text has one of the words in the sense of backend.FindWord. A fold compares in lower case: letters of ASCII alone where the word has no others.
	ContainsWord(b *Builder, text string, words []string, fold bool) string
	// AssignMembers is the JSON document in a column with members replaced by JSON texts, or without those that are NULL. A
	// document without a member stays as it is, and so does a blank text, which is no document.
	AssignMembers(b *Builder, expr string, members []Member, c *Column) string
	// SameMember tests whether AssignMembers would leave the column's document as it is.
	SameMember(b *Builder, expr string, m Member, c *Column) string
	// InKeys tests whether the key columns equal one of the keys.
	InKeys(b *Builder, exprs []string, cols []*Column, keys []backend.Key) string
	// NotInKeys tests whether the key columns equal none of the keys; it holds for NULL too.
	NotInKeys(b *Builder, exprs []string, cols []*Column, keys []backend.Key) string
	// NotInText is the negation of InText for one column that is not NULL.
	NotInText(b *Builder, expr string, c *Column, values []string) string
	// Constant is a plain-text value as one of the column's type, to compare with.
	Constant(b *Builder, c *Column, text string) string
	// Operand is a column on the left of Constant.
	Operand(expr string, c *Column) string
	// Pair makes a reference and what it refers to comparable: expressions that are equal, one by one, where it refers.
	Pair(child string, cc *Column, parent string, pc *Column) (children, parents []string)
	// Values is a relation named v with the columns c1, c2 ... that holds the rows, of values for the columns cols; a nil one
	// is for a JSON text.
	Values(b *Builder, rows [][]backend.Value, cols []*Column) string
	// KeyEqual compares a key column with a column of Values.
	KeyEqual(expr, v string, c *Column) string
	// Assign is a column of Values as the right side of an assignment.
	Assign(v string, c *Column) string
	// Same tests whether a column holds just what an assignment of v would leave in it; NULL is the same as NULL.
	Same(expr, v string, c *Column) string
	// SameAsRead tests whether a column still holds what was read from it before.
	SameAsRead(expr, v string, c *Column) string
	// Delete is the statement that deletes from a table under its alias.
	Delete(table, alias, where string) string
	// Update is the statement that sets quoted columns of a table, under its alias, to expressions, where a row of the
	// relation that Values makes meets the condition.
	Update(table, alias string, columns, exprs []string, values, where string) string
	// NoLimit is the argument of LIMIT that means none.
	NoLimit() any
	// IsClock tells whether a column can be read as a point in time.
	IsClock(c *Column) bool
	// ClockText is a point in time as plain text of a column that can be read as one, rounded down to what the type holds.
	ClockText(c *Column, t time.Time) string
	// ClockBy tests that a column is readable and not after a point in time; it may be NULL where it is not. An index on the
	// column serves.
	ClockBy(b *Builder, expr string, c *Column, t time.Time) string
	// ClockMicros is a column as microseconds since 1970, rounded up; NULL where it is empty or unreadable.
	ClockMicros(expr string, c *Column) string
	// Ordered is a column as it is sorted, in the order of KeyOrder.
	Ordered(expr string, c *Column) string
	// KeyOrder compares keys in the order of their columns; sign is >, >= or <=.
	KeyOrder(b *Builder, exprs []string, cols []*Column, sign string, key backend.Key) string
	// Plain is a plain-text value to be used like a column of Values.
	Plain(b *Builder, c *Column, text string) string
	// Truncated is a column of which year, month or day is left, as one of backend's truncations says; empty where its type has
	// none.
	Truncated(expr string, c *Column, to string) string
}

// Arrays is what a Dialect has besides where columns can be arrays.
type Arrays interface {
	// ElementColumn are the facts of an element of an array column.
	ElementColumn(c *Column) *Column
	// HasElement tests whether an array column has an element that equals one of the texts.
	HasElement(b *Builder, expr string, c *Column, values []string) string
	// AnyElement tests whether a test holds of an element of an array column, which it knows as element.
	AnyElement(expr, element, test string) string
	// HasElementOf tests whether an array column has an element that equals a value of the column value of a select, of which
	// the rest is from.
	HasElementOf(expr string, c *Column, value string, vc *Column, from string) string
	// ElementOf tests whether a value is an element of an array column.
	ElementOf(value string, vc *Column, expr string, c *Column) string
	// InElementsOf tests whether a value is an element of the array column arrays of a select, of which the rest is from.
	InElementsOf(value string, vc *Column, arrays string, c *Column, from string) string
	// WithoutElements is an array column without the elements that the JSON array of texts v names; KeepsElements tests
	// whether it has none of them.
	WithoutElements(expr, v string, c *Column) string
	KeepsElements(expr, v string, c *Column) string
}

// arrays of the dialect, if the columns are some.
func (c *Compiler) arrays(cols ...*Column) (Arrays, error) {
	a, ok := c.Dialect.(Arrays)
	for _, col := range cols {
		if !ok || a.ElementColumn(col) == nil {
			return nil, &backend.RefusedError{Problem: fmt.Sprintf("column %q is no array of the database", col.Name), Remedy: "leave comparison: Element away in the data map, or map a table with a row for each element"}
		}
	}
	return a, nil
}

// Builder collects the arguments of one statement.
type Builder struct {
	args []any
	err  error
}

// Bind adds an argument and returns its number.
func (b *Builder) Bind(arg any) int {
	b.args = append(b.args, arg)
	return len(b.args)
}

// Fail makes the statement fail with the error, for example because a value does not fit its column.
func (b *Builder) Fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Compiler makes statements. It is good for one call of a backend.
type Compiler struct {
	Dialect Dialect
	Tables  Tables
	// BatchSize is the greatest number of records in one statement.
	BatchSize int
	// Schema of tables that name none.
	Schema string
	// References to the tables that Execute deletes from.
	References References
	// Ignored tables, as in backend.Batch.
	Ignored []backend.Table
	// WithoutAlias deletes by keys of one column in a form that knows no alias: for it MariaDB finds single rows by their keys where
	// for the other it may read, and lock, a whole table.
	WithoutAlias bool
}

// CheckNames refuses names that no database can quote.
func CheckNames(names ...string) error {
	for _, n := range names {
		if n == "" || strings.ContainsRune(n, 0) {
			return &backend.RefusedError{
				Problem: "a table or column has an empty name or one with a NUL character",
				Remedy:  "correct the data map",
			}
		}
	}
	return nil
}

func (c *Compiler) quote(name string) (string, error) {
	if err := CheckNames(name); err != nil {
		return "", err
	}
	return c.Dialect.Quote(name), nil
}

// table returns the table's text and facts.
func (c *Compiler) table(t backend.Table) (string, Facts, error) {
	name, err := c.quote(t.Name)
	if err != nil {
		return "", nil, err
	}
	schema := ""
	if t.Schema != "" {
		if schema, err = c.quote(t.Schema); err != nil {
			return "", nil, err
		}
	}
	facts, ok := c.Tables[t]
	if !ok {
		return "", nil, &backend.RefusedError{
			Problem: fmt.Sprintf("table %s does not exist or is not visible", TableName(t)),
			Remedy:  "correct the data map, or grant access to the table",
		}
	}
	return c.Dialect.Table(schema, name), facts, nil
}

// column returns the qualified column and its facts.
func (c *Compiler) column(alias string, t backend.Table, name string) (string, *Column, error) {
	q, err := c.quote(name)
	if err != nil {
		return "", nil, err
	}
	col, ok := c.Tables[t][name]
	if !ok {
		return "", nil, &backend.RefusedError{
			Problem: fmt.Sprintf("table %s has no column %q", TableName(t), name),
			Remedy:  "correct the data map",
		}
	}
	return alias + "." + q, col, nil
}

func (c *Compiler) columns(alias string, t backend.Table, names []string) ([]string, []*Column, error) {
	exprs, cols := make([]string, len(names)), make([]*Column, len(names))
	for i, n := range names {
		var err error
		if exprs[i], cols[i], err = c.column(alias, t, n); err != nil {
			return nil, nil, err
		}
	}
	return exprs, cols, nil
}

// TableName is a table's name for people.
func TableName(t backend.Table) string {
	if t.Schema == "" {
		return fmt.Sprintf("%q", t.Name)
	}
	return fmt.Sprintf("%q", t.Schema+"."+t.Name)
}

// withEntity names the entity in a refusal that does not name one yet.
func withEntity(err error, entity string) error {
	if r, ok := err.(*backend.RefusedError); ok && r.Entity == "" { //nolint:errorlint // just made here, never wrapped
		r.Entity = entity
	}
	return err
}

// tuple is "a" or "(a, b)".
func tuple(exprs []string) string {
	if len(exprs) == 1 {
		return exprs[0]
	}
	return "(" + strings.Join(exprs, ", ") + ")"
}

// Tuple is "a" or "(a, b)".
func Tuple(exprs []string) string { return tuple(exprs) }

// Assignments is "a = x, b = y".
func Assignments(columns, exprs []string) string { return strings.Join(equal(columns, exprs), ", ") }

func and(terms []string) string {
	if len(terms) == 0 {
		return "(1 = 1)"
	}
	return "(" + strings.Join(terms, " AND ") + ")"
}

func or(terms []string) string {
	if len(terms) == 0 {
		return "(1 = 0)"
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}
