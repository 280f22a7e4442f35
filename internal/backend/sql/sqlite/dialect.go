package sqlite

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// dialect of SQLite. Plain text is bound as one JSON array and read through json_each, whose values have no type of
// their own, so that the column's affinity applies as it does to a literal. Values that were read before are bound one
// by one with their storage class: JSON has no blobs, and SQLite reads and writes its real numbers with loss.
type dialect struct{}

var _ core.Dialect = dialect{}

// Affinities, as the categories of columns.
const (
	text    = "TEXT"
	none    = "BLOB"
	integer = "INTEGER"
	real    = "REAL"
	numeric = "NUMERIC"
)

// affinity of a declared type (https://sqlite.org/datatype3.html, 3.1; it does without the last letters of DOUBLE).
func affinity(declared string) string {
	t := strings.ToUpper(declared)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(t, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return integer
	case has("CHAR", "CLOB", "TEXT"):
		return text
	case t == "" || t == "ANY" || has("BLOB"):
		return none
	case has("REAL", "FLOA", "DOUBLE"):
		return real
	default:
		return numeric
	}
}

func (dialect) Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (dialect) Placeholder(n int) string { return fmt.Sprintf("?%d", n) }

func (dialect) Table(_, name string) string { return `"main".` + name }

// Read makes the column an expression: the driver turns plain columns of some declared types into times and booleans.
func (dialect) Read(expr string, _ *core.Column) string { return "+" + expr }

func (dialect) TextOf(expr string, c *core.Column) string {
	if c.Category == text {
		return expr // without a cast an index on lower(column) serves
	}
	return "CAST(" + expr + " AS TEXT)"
}

// fold: SQLite's lower knows ASCII only, and an index on it serves; other letters need a function of our own.
func fold(operand string, n backend.Normalization, ascii bool) string {
	if n == backend.TrimLowerCase {
		operand = "trim(" + operand + ", char(9, 10, 11, 12, 13, 32))"
	}
	if ascii {
		return "lower(" + operand + ")"
	}
	return lowerFunction + "(" + operand + ")"
}

// InFolded needs no care for look-alikes: no function maps them into ASCII.
func (d dialect) InFolded(b *core.Builder, expr string, c *core.Column, values []string, n backend.Normalization, ascii bool) string {
	return fmt.Sprintf("%s IN (SELECT %s FROM json_each(%s) AS x)", fold(d.TextOf(expr, c), n, ascii), fold("x.value", n, ascii),
		bindJSON(b, values))
}

func (dialect) InUnion(exprs []string, _ []*core.Column, selects []string) string {
	return core.Tuple(exprs) + " IN (" + strings.Join(selects, " UNION ") + ")"
}

func (dialect) Materialized() string { return "MATERIALIZED" }

func (dialect) Quantiles(*core.Builder, string, *core.Column, int) string { return "" }

func (dialect) Extremes(*core.Column) (fence string, ok bool) { return "", true }

func (dialect) Delete(table, alias, where string) string {
	return "DELETE FROM " + table + " AS " + alias + " WHERE " + where
}

func (dialect) Update(table, alias string, columns, exprs []string, values, where string) string {
	return fmt.Sprintf("UPDATE %s AS %s SET %s FROM %s WHERE %s", table, alias, core.Assignments(columns, exprs), values, where)
}

func bindJSON(b *core.Builder, v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and slices of them always marshal
	}
	return fmt.Sprintf("?%d", b.Bind(string(text)))
}

// comparable is a column as it compares with plain text: one without affinity would never equal text that looks like
// the number it holds.
func comparable(expr string, c *core.Column) string {
	if c.Category == none {
		return "CAST(" + expr + " AS TEXT)"
	}
	return expr
}

func (dialect) InText(b *core.Builder, exprs []string, cols []*core.Column, rows [][]string) string {
	left, right := make([]string, len(exprs)), make([]string, len(exprs))
	for i, e := range exprs {
		left[i], right[i] = comparable(e, cols[i]), fmt.Sprintf("json_extract(x.value, '$[%d]')", i)
	}
	return exactly(left, cols, fmt.Sprintf("SELECT %s FROM json_each(%s) AS x", strings.Join(right, ", "), bindJSON(b, rows)))
}

// exactly tests whether columns are among the rows that the text of a statement gives: first as an index serves, and then
// without the columns' collations, which may take cases and blanks at the end for nothing.
func exactly(exprs []string, cols []*core.Column, rows string) string {
	term := core.Tuple(exprs) + " IN (" + rows + ")"
	exact := make([]string, len(exprs))
	for i, e := range exprs {
		exact[i] = e + " COLLATE BINARY"
	}
	if slices.ContainsFunc(cols, collates) {
		term = "(" + term + " AND " + core.Tuple(exact) + " IN (" + rows + "))"
	}
	return term
}

// InLoose needs care for blobs alone, of which the text is their digits: text that is no number does not become one.
func (d dialect) InLoose(b *core.Builder, exprs []string, cols []*core.Column, rows [][]string) string {
	exprs, cols = slices.Clone(exprs), slices.Clone(cols)
	for i, c := range cols {
		if c.Category == none {
			exprs[i] = fmt.Sprintf("CASE typeof(%s) WHEN 'blob' THEN lower(hex(%s)) ELSE CAST(%s AS TEXT) END", exprs[i], exprs[i], exprs[i])
			cols[i] = &core.Column{Name: c.Name, Category: text}
		}
	}
	return d.InText(b, exprs, cols, rows)
}

func (d dialect) NotInKeys(b *core.Builder, exprs []string, cols []*core.Column, keys []backend.Key) string {
	return "(" + d.InKeys(b, exprs, cols, keys) + ") IS NOT TRUE"
}

func (d dialect) NotInText(b *core.Builder, expr string, c *core.Column, values []string) string {
	rows := make([][]string, len(values))
	for i, v := range values {
		rows[i] = []string{v}
	}
	return "NOT (" + d.InText(b, []string{expr}, []*core.Column{c}, rows) + ")"
}

func (dialect) Constant(b *core.Builder, _ *core.Column, text string) string {
	return fmt.Sprintf("?%d", b.Bind(text))
}

func (dialect) Operand(expr string, c *core.Column) string { return comparable(expr, c) }

// Pair leaves it to the columns' affinities, and compares once more without the child's collation.
func (dialect) Pair(child string, cc *core.Column, parent string, _ *core.Column) (children, parents []string) {
	if collates(cc) {
		return []string{child, child + " COLLATE BINARY"}, []string{parent, parent}
	}
	return []string{child}, []string{parent}
}

func (dialect) ContainsWord(b *core.Builder, text string, words []string, fold bool) string {
	return fmt.Sprintf("%s(%s, %s, %t)", wordFunction, text, bindJSON(b, words), fold)
}

func (dialect) AssignMembers(b *core.Builder, expr string, members []core.Member, _ *core.Column) string {
	doc := expr
	for _, m := range members {
		at := bindPath(b, m.Path)
		doc = fmt.Sprintf("(SELECT CASE WHEN %s IS NULL THEN json_remove(m.doc, %s) ELSE json_replace(m.doc, %s, json(%s)) END FROM (SELECT %s AS doc LIMIT 1) AS m)",
			m.Value, at, at, m.Value, doc)
	}
	return fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END", blank(expr), expr, doc)
}

func (dialect) SameMember(b *core.Builder, expr string, m core.Member, _ *core.Column) string {
	at := bindPath(b, m.Path)
	return fmt.Sprintf("CASE WHEN %s THEN 1 ELSE (json_type(%s, %s) IS NULL OR %s IS NOT NULL AND (%s -> %s) IS json(%s)) END",
		blank(expr), expr, at, m.Value, expr, at, m.Value)
}

// blank tests for a text that is no document.
func blank(expr string) string { return "trim(" + expr + ", char(9, 10, 11, 12, 13, 32)) = ''" }

func bindPath(b *core.Builder, path []string) string {
	return fmt.Sprintf("?%d", b.Bind(core.MemberPath(path)))
}

// InKeys compares twice where a collation could take different keys for the same: once as an index does, once byte by
// byte. More keys than a statement can have bound values go in as JSON.
func (dialect) InKeys(b *core.Builder, exprs []string, cols []*core.Column, keys []backend.Key) string {
	rows := make([][]backend.Value, len(keys))
	for i, k := range keys {
		rows[i] = make([]backend.Value, len(k))
		for j := range k {
			rows[i][j] = &k[j]
		}
	}
	values := ""
	if len(keys) > maxBatch {
		values = bindDecoded(b, keys)
	} else {
		values = bindRows(b, rows)
	}
	return exactly(exprs, cols, values)
}

func collates(c *core.Column) bool { return c.Category == text || c.Category == none }

func bindRows(b *core.Builder, rows [][]backend.Value) string {
	var s strings.Builder
	s.WriteString("VALUES ")
	for i, row := range rows {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteByte('(')
		for j, v := range row {
			if j > 0 {
				s.WriteString(", ")
			}
			fmt.Fprintf(&s, "?%d", b.Bind(fromValue(v)))
		}
		s.WriteByte(')')
	}
	return s.String()
}

// bindDecoded is bindRows with one bound value.
func bindDecoded(b *core.Builder, keys []backend.Key) string {
	columns := make([]string, len(keys[0]))
	for i := range columns {
		columns[i] = fmt.Sprintf("%s(json_extract(x.value, '$[%d]'))", valueFunction, i)
	}
	return fmt.Sprintf("SELECT %s FROM json_each(%s) AS x", strings.Join(columns, ", "), bindJSON(b, keys))
}

func (dialect) Values(b *core.Builder, rows [][]backend.Value, _ []*core.Column) string {
	names := make([]string, len(rows[0]))
	for i := range names {
		names[i] = fmt.Sprintf("x.column%d AS c%d", i+1, i+1)
	}
	return fmt.Sprintf("(SELECT %s FROM (%s) AS x) AS v", strings.Join(names, ", "), bindRows(b, rows))
}

func (dialect) KeyEqual(expr, v string, c *core.Column) string {
	if collates(c) {
		return fmt.Sprintf("(%s = %s AND %s = %s COLLATE BINARY)", expr, v, expr, v)
	}
	return expr + " = " + v
}

func (dialect) Assign(v string, _ *core.Column) string { return v }

func (dialect) Same(expr, v string, _ *core.Column) string {
	return expr + " IS " + v + " COLLATE BINARY"
}

func (d dialect) SameAsRead(expr, v string, c *core.Column) string { return d.Same(expr, v, c) }

func (dialect) NoLimit() any { return int64(-1) }

// The functions that are registered with the driver.
const (
	lowerFunction = "lethe_lower"
	valueFunction = "lethe_value"
	wordFunction  = "lethe_word"
)
