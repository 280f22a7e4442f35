package planner

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// maxUnindexedRows is how many rows a table may have, by the store's estimate, that has no index for a look-up: with more
// each request would read for minutes, and its runs would time out.
const maxUnindexedRows = 10_000_000

// lookup is a way in which records are found.
type lookup struct {
	what      string
	columns   []string
	normalize backend.Normalization
	// element looks for elements of an array.
	element bool
	// fixed are columns that are compared with constants, so that an index may begin with them.
	fixed map[string]bool
}

// checkIndexes refuses a look-up that reads all of a very large table, and warns of one that reads a smaller one.
func (c *checker) checkIndexes(e *entity, info *backend.TableInfo) {
	for _, m := range e.spec.IdentifiedBy {
		if element := m.Comparison == v1alpha1.CompareElement; element && m.Normalize != v1alpha1.NormalizeLowerCase && m.Normalize != v1alpha1.NormalizeTrimLowerCase {
			c.checkLookup(e, info, lookup{what: "identifiedBy", columns: []string{m.Column}, element: true})
			continue
		} else if element {
			c.warnings = append(c.warnings, e.problem(v1alpha1.ReasonIndexMissing, m.Column,
				"the elements of column %s of table %s are compared in lower case, which no index serves: each request reads the whole table", m.Column, tableText(info.Table)))
			continue
		}
		if m.Comparison == v1alpha1.CompareContains {
			c.warnings = append(c.warnings, e.problem(v1alpha1.ReasonIndexMissing, m.Column,
				"column %s of table %s is searched for a text that contains an identity: each request reads the whole table", m.Column, tableText(info.Table)))
			continue
		}
		c.checkLookup(e, info, lookup{what: "identifiedBy", columns: []string{m.Column}, normalize: backend.Normalization(m.Normalize), fixed: fixed(e.scope)})
	}
	for _, ed := range e.edges {
		c.checkLookup(e, info, lookup{what: "the reference to " + ed.parent.name, columns: ed.columns, fixed: fixed(e.scope, ed.own()), element: ed.element && !ed.shared})
	}
	for _, ed := range e.children {
		if ed.shared {
			c.checkLookup(e, info, lookup{what: "the shared records of " + ed.child.name, columns: ed.parentColumns, fixed: fixed(ed.conditions), element: ed.element})
		}
	}
}

// fixed lists the columns that conditions compare with given values.
func fixed(lists ...[]backend.Condition) map[string]bool {
	out := map[string]bool{}
	for _, list := range lists {
		for _, cond := range list {
			if cond.Operator == backend.In {
				out[cond.Column] = true
			}
		}
	}
	return out
}

func (c *checker) checkLookup(e *entity, info *backend.TableInfo, l lookup) {
	if l.element && !slices.ContainsFunc(info.Columns, func(col backend.ColumnInfo) bool { return col.Name == l.columns[0] && isArray(&col) }) {
		return // checkArrays says so
	}
	if l.served(info) || slices.ContainsFunc(l.columns, func(name string) bool { return column(info, name) == nil }) {
		return
	}
	problem := e.problem(v1alpha1.ReasonIndexMissing, l.columns[0], "%s looks for %s in table %s without an index: each request reads the whole table%s; for example %s",
		l.what, strings.Join(l.columns, ", "), tableText(info.Table), estimate(info.Rows), l.remedy(info, c.stores[e.spec.Store].Schema))
	if info.Rows > maxUnindexedRows {
		c.add(problem)
	} else {
		c.warnings = append(c.warnings, problem)
	}
}

func estimate(rows int64) string {
	if rows <= 0 {
		return ""
	}
	return fmt.Sprintf(", about %d rows", rows)
}

// served tells whether an index begins with what is looked for, after columns that are fixed.
func (l lookup) served(info *backend.TableInfo) bool {
	if l.element {
		return slices.Contains(info.ElementIndexed, l.columns[0])
	}
	if l.normalize != "" && l.normalize != backend.None {
		return slices.ContainsFunc(info.Folded, func(f backend.FoldedIndex) bool {
			return f.Column == l.columns[0] && f.Normalize == l.normalize && !slices.ContainsFunc(f.After, func(a string) bool { return !l.fixed[a] })
		})
	}
	return slices.ContainsFunc(slices.Concat(info.Indexed, info.Unique), func(ix []string) bool {
		for _, name := range ix {
			if slices.Contains(l.columns, name) {
				return true
			}
			if !l.fixed[name] {
				return false
			}
		}
		return false
	})
}

// remedy is a statement that makes an index.
func (l lookup) remedy(info *backend.TableInfo, schema *backend.Schema) string {
	expression := strings.Join(l.columns, ", ")
	if l.element {
		return fmt.Sprintf("CREATE INDEX %s_%s_elements ON %s USING gin (%s)", info.Table.Name, expression, tableText(info.Table), expression)
	}
	if l.normalize != "" && l.normalize != backend.None {
		form := "lower(%s)"
		if schema != nil && schema.Fold[l.normalize] != "" {
			form = schema.Fold[l.normalize]
		}
		expression = strings.ReplaceAll(form, "%s", l.columns[0])
	}
	return fmt.Sprintf("CREATE INDEX %s_%s_lookup ON %s (%s)", info.Table.Name, strings.Join(l.columns, "_"), tableText(info.Table), expression)
}
