package planner

import (
	"cmp"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// An array is no value that equals an identity or an id: what a map says of a column has to fit what it is, or records
// would be passed over without a word.

// baseOf is the type by which a column compares: its own, or the one behind its domain.
func baseOf(col *backend.ColumnInfo) string { return cmp.Or(col.Base, col.Type) }

// isArray tells whether a column is an array of the database; a JSON document with one is not, nor what is only called so, as
// anything may be in SQLite.
func isArray(col *backend.ColumnInfo) bool { return strings.HasSuffix(col.Base, "[]") }

// elementTypes are those of which values that are equal have the same text: a reference by elements is told by texts, too.
var elementTypes = []string{"smallint", "integer", "bigint", "uuid", "text", "character varying"}

// elementType is that of an array's elements, without a length.
func elementType(col *backend.ColumnInfo) string {
	kind, _, _ := strings.Cut(strings.TrimSuffix(baseOf(col), "[]"), "(")
	return kind
}

const noArray = "column %s of table %s is of type %s; %s needs an array of the database, which PostgreSQL alone has; name such a column, or map a table with a row for each element"

// checkArrays refuses an array that is compared as if it were one value, and one value that is compared as if it were an array.
func (c *checker) checkArrays(e *entity, info *backend.TableInfo) {
	mismatch := func(col *backend.ColumnInfo, format string, args ...any) {
		c.add(e.problem(v1alpha1.ReasonSchemaMismatch, col.Name, format, args...))
	}
	for _, m := range e.spec.IdentifiedBy {
		col := column(info, m.Column)
		switch {
		case col == nil:
		case m.Comparison == v1alpha1.CompareElement && !isArray(col):
			mismatch(col, noArray, col.Name, tableText(info.Table), col.Type, "comparison: Element")
		case m.Comparison != v1alpha1.CompareElement && m.Comparison != v1alpha1.CompareContains && isArray(col):
			mismatch(col, "column %s of table %s is an array, which equals no identity; use comparison: Element", col.Name, tableText(info.Table))
		}
	}
	for _, r := range e.references {
		for _, name := range r.distinct() {
			if col := column(info, name); col != nil && isArray(col) {
				mismatch(col, "column %s of table %s is an array, which %s %q cannot name one thing by; map a table with a row for each element", name, tableText(info.Table), r.field, r.text)
			}
		}
	}
	for _, f := range e.written() {
		col := column(info, f.Column)
		switch {
		case col == nil:
		case removesElements(f) && !isArray(col):
			mismatch(col, noArray, col.Name, tableText(info.Table), col.Type, "the strategy Remove without a path")
		case f.Strategy == v1alpha1.StrategyRedact && isArray(col):
			mismatch(col, "column %s of table %s is an array; use the strategy Remove, without a path, to take the subject's identities out of it", col.Name, tableText(info.Table))
		}
	}
	for _, ed := range e.edges {
		if other := c.tables[ed.parent]; other != nil {
			c.checkPairs(ed, info, other)
		}
	}
}

func (c *checker) checkPairs(ed *edge, own, other *backend.TableInfo) {
	e := ed.child
	for i := range ed.columns {
		refers, to := column(own, ed.columns[i]), column(other, ed.parentColumns[i])
		table := own
		if ed.shared {
			refers, to, table = to, refers, other
		}
		switch {
		case refers == nil || to == nil:
		case ed.element && !isArray(refers):
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, ed.columns[i], noArray, refers.Name, tableText(table.Table), refers.Type, "a reference with comparison: Element"))
		case ed.element && isArray(to):
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, ed.columns[i], "the reference between %s and %s has an array on both sides; the elements of one must be values of the other", e.name, ed.parent.name))
		case ed.element && !slices.Contains(elementTypes, elementType(refers)):
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, ed.columns[i], "the reference between %s and %s leads by elements of type %s, of which equal values can have several texts; use an array of %s, or map a table with a row for each element",
				e.name, ed.parent.name, elementType(refers), strings.Join(elementTypes, ", ")))
		case !ed.element && isArray(refers) != isArray(to):
			c.add(e.problem(v1alpha1.ReasonSchemaMismatch, ed.columns[i], "the reference between %s and %s compares an array with one value (%s with %s), which are never equal; use comparison: Element where the array refers by its elements",
				e.name, ed.parent.name, refers.Type, to.Type))
		}
	}
}
