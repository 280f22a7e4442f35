package postgresql

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// dialect of PostgreSQL. Lists of values are bound as one array of text and cast to the column's type by the server, so
// that the text of a statement does not depend on their number and a prepared plan serves for all.
type dialect struct {
	schema string // of tables that name none
}

var _ core.Dialect = dialect{}

func (dialect) Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (dialect) Placeholder(n int) string { return fmt.Sprintf("$%d", n) }

func (d dialect) Table(schema, name string) string {
	if schema == "" {
		schema = d.Quote(d.schema)
	}
	return schema + "." + name
}

func (dialect) Read(expr string, _ *core.Column) string { return expr + "::text" }

// exactly is a column as it is compared: not with a collation that takes accents or cases for the same.
func exactly(expr string, c *core.Column) string {
	if c.Collation == "" {
		return expr
	}
	return "(" + expr + " COLLATE " + c.Collation + ")"
}

func (dialect) TextOf(expr string, c *core.Column) string {
	expr = exactly(expr, c)
	if c.Type == "text" || c.Type == "character varying" {
		return expr // without a cast an index on lower(column) serves
	}
	return expr + "::text"
}

func fold(operand string, n backend.Normalization) string {
	return "pg_catalog.lower(" + trimmed(operand, n) + ")"
}

func trimmed(operand string, n backend.Normalization) string {
	if n == backend.TrimLowerCase {
		return "pg_catalog.btrim(" + operand + `, E' \t\n\x0B\f\r')`
	}
	return operand
}

// foldExact: two letters outside ASCII have lower-case forms inside it, the Kelvin sign a k and the I with a dot an i, and
// would make an address match another one. They leave fewer letters beside these two.
func foldExact(expr string, n backend.Normalization) string {
	expr = trimmed(expr, n)
	// As a CASE the planner takes it for selective, which the identity beside it is.
	return fmt.Sprintf("CASE WHEN pg_catalog.octet_length(%s) = pg_catalog.char_length(%s) THEN 1 "+
		"WHEN pg_catalog.char_length(pg_catalog.translate(%s, 'ik', '')) >= pg_catalog.char_length(pg_catalog.translate(%s, 'iIkK', '')) THEN 1 ELSE 0 END = 1",
		expr, expr, fold(expr, backend.LowerCase), expr)
}

func (d dialect) InFolded(b *core.Builder, expr string, c *core.Column, values []string, n backend.Normalization, _ bool) string {
	text := d.TextOf(expr, c)
	return fmt.Sprintf("(%s = ANY(ARRAY(SELECT %s FROM unnest($%d::text[]) AS x(c1))) AND %s)", fold(text, n), fold("x.c1", n),
		b.Bind(values), foldExact(text, n))
}

func (dialect) InUnion(exprs []string, _ []*core.Column, selects []string) string {
	return core.Tuple(exprs) + " IN (" + strings.Join(selects, " UNION ") + ")"
}

func (dialect) Materialized() string { return "MATERIALIZED" }

func (dialect) Quantiles(b *core.Builder, expr string, c *core.Column, n int) string {
	if c.Category == categoryArray { // there are no arrays of arrays
		return ""
	}
	parts := make([]float64, n+1)
	for i := range parts {
		parts[i] = float64(i) / float64(n)
	}
	return fmt.Sprintf("unnest(percentile_disc($%d::float8[]) WITHIN GROUP (ORDER BY %s))", b.Bind(parts), expr)
}

func (dialect) Extremes(c *core.Column) (fence string, ok bool) {
	return " OFFSET 0", c.Type == "smallint" || c.Type == "integer" || c.Type == "bigint"
}

func (dialect) Delete(table, alias, where string) string {
	return "DELETE FROM " + table + " AS " + alias + " WHERE " + where
}

func (dialect) Update(table, alias string, columns, exprs []string, values, where string) string {
	return fmt.Sprintf("UPDATE %s AS %s SET %s FROM %s WHERE %s", table, alias, core.Assignments(columns, exprs), values, where)
}

func (d dialect) InText(b *core.Builder, exprs []string, cols []*core.Column, rows [][]string) string {
	lists := make([][]string, len(cols))
	for i := range cols {
		lists[i] = make([]string, len(rows))
		for j, row := range rows {
			lists[i][j] = row[i]
		}
	}
	return in(b, exprs, cols, lists)
}

var (
	integerTypes = map[string]int{"smallint": 16, "integer": 32, "bigint": 64}
	uuidText     = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// InLoose compares as text but for the types of which it is plain what is a value of theirs, so that their indexes serve.
func (d dialect) InLoose(b *core.Builder, exprs []string, cols []*core.Column, rows [][]string) string {
	exprs, cols, rows = slices.Clone(exprs), slices.Clone(cols), slices.Clone(rows)
	for i, c := range cols {
		bits := integerTypes[c.Type]
		fits := func(string) bool { return true }
		switch {
		case bits > 0:
			fits = func(v string) bool { _, err := strconv.ParseInt(v, 10, bits); return err == nil }
		case c.Type == "uuid":
			fits = uuidText.MatchString
		case c.Type != "text" && c.Type != "character varying":
			exprs[i], cols[i] = exprs[i]+"::text", &core.Column{Name: c.Name, Type: "text", Category: "S"}
		}
		rows = slices.DeleteFunc(rows, func(row []string) bool { return !fits(row[i]) })
	}
	if len(rows) == 0 {
		return "(1 = 0)"
	}
	return d.InText(b, exprs, cols, rows)
}

// ContainsWord looks for the word first, which is fast, and for what stands around it where there is one.
func (d dialect) ContainsWord(b *core.Builder, text string, words []string, fold bool) string {
	patterns := make([]string, len(words))
	for i, w := range words {
		patterns[i] = core.WordPattern(w)
	}
	word, pattern := "x.c1", "x.c2"
	if fold {
		ascii := core.AllASCII(words)
		if !ascii {
			text = guarded(text)
		}
		text, word, pattern = foldWord(text, ascii), foldWord(word, ascii), foldWord(pattern, ascii)
	}
	return fmt.Sprintf(`EXISTS (SELECT FROM unnest($%d::text[], $%d::text[]) AS x(c1, c2) `+
		`WHERE CASE WHEN pg_catalog.strpos((%s) COLLATE "C", (%s) COLLATE "C") > 0 THEN (%s) COLLATE "C" ~ (%s) COLLATE "C" ELSE false END)`,
		b.Bind(words), b.Bind(patterns), text, word, text, pattern)
}

func foldWord(text string, ascii bool) string {
	if ascii {
		return "pg_catalog.translate(" + text + ", 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')"
	}
	return "pg_catalog.lower(" + text + ")"
}

// guarded is a text in which the look-alikes, the I with a dot and the Kelvin sign, gave way to what no text has. Their numbers
// hang on the text, or the server would make them before it knows that it has such letters.
func guarded(text string) string {
	letter := func(n int) string { return fmt.Sprintf("pg_catalog.chr(%d + 0 * pg_catalog.length(%s))", n, text) }
	return fmt.Sprintf("CASE WHEN pg_catalog.getdatabaseencoding() = 'UTF8' THEN pg_catalog.translate(%s, %s || %s, %s || %s) ELSE %s END",
		text, letter(0x130), letter(0x212A), letter(0xFDD0), letter(0xFDD1), text)
}

// AssignMembers: OFFSET 0 keeps the planner from putting a document into every place that names it, over and over where
// members are nested.
func (dialect) AssignMembers(b *core.Builder, expr string, members []core.Member, c *core.Column) string {
	doc := documentOf(expr, c)
	for _, m := range members {
		at := fmt.Sprintf("$%d::text[]", b.Bind(m.Path))
		doc = fmt.Sprintf("(SELECT CASE WHEN m.doc #> %s IS NULL THEN m.doc WHEN %s IS NULL THEN m.doc #- %s ELSE pg_catalog.jsonb_set(m.doc, %s, %s::jsonb, false) END "+
			"FROM (SELECT %s AS doc OFFSET 0) AS m)", at, m.Value, at, at, m.Value, doc)
	}
	if isJSON(c) {
		return doc + "::" + c.Type
	}
	return fmt.Sprintf("COALESCE(%s::text, %s::text)::%s", doc, expr, c.Type)
}

func (dialect) SameMember(b *core.Builder, expr string, m core.Member, c *core.Column) string {
	member := fmt.Sprintf("(%s #> $%d::text[])", documentOf(expr, c), b.Bind(m.Path))
	return fmt.Sprintf("(%s IS NULL OR %s IS NOT NULL AND %s = %s::jsonb)", member, m.Value, member, m.Value)
}

// documentOf a column; a blank text has none.
func documentOf(expr string, c *core.Column) string {
	if isJSON(c) {
		return expr + "::jsonb"
	}
	return fmt.Sprintf(`(CASE WHEN pg_catalog.btrim(%s::text, E' \t\n\x0B\f\r') <> '' THEN %s::text::jsonb END)`, expr, expr)
}

func isJSON(c *core.Column) bool { return c.Type == "json" || c.Type == "jsonb" }

func (d dialect) InKeys(b *core.Builder, exprs []string, cols []*core.Column, keys []backend.Key) string {
	lists := make([][]string, len(cols))
	for i := range cols {
		lists[i] = make([]string, len(keys))
		for j, key := range keys {
			lists[i][j] = key[i]
		}
	}
	return in(b, exprs, cols, lists)
}

func in(b *core.Builder, exprs []string, cols []*core.Column, lists [][]string) string {
	if len(exprs) == 1 && cols[0].Category != categoryArray {
		n := b.Bind(lists[0])
		equal := fmt.Sprintf("%s = ANY($%d::text[]::%s[])", exprs[0], n, cols[0].Type)
		if cols[0].Collation != "" { // an index of the column's collation serves, and finds more
			equal = fmt.Sprintf("(%s AND %s = ANY($%d::text[]::%s[]))", equal, exactly(exprs[0], cols[0]), n, cols[0].Type)
		}
		return equal
	}
	exprs = slices.Clone(exprs)
	for i, c := range cols {
		exprs[i] = exactly(exprs[i], c)
	}
	read, args, names := make([]string, len(cols)), make([]string, len(cols)), make([]string, len(cols))
	for i, c := range cols {
		names[i] = fmt.Sprintf("c%d", i+1)
		read[i] = fmt.Sprintf("x.%s::%s", names[i], c.Type)
		args[i] = fmt.Sprintf("$%d::text[]", b.Bind(lists[i]))
	}
	return fmt.Sprintf("%s IN (SELECT %s FROM unnest(%s) AS x(%s))", core.Tuple(exprs), strings.Join(read, ", "),
		strings.Join(args, ", "), strings.Join(names, ", "))
}

func (d dialect) NotInKeys(b *core.Builder, exprs []string, cols []*core.Column, keys []backend.Key) string {
	return "(" + d.InKeys(b, exprs, cols, keys) + ") IS NOT TRUE"
}

func (d dialect) NotInText(b *core.Builder, expr string, c *core.Column, values []string) string {
	return "NOT (" + in(b, []string{expr}, []*core.Column{c}, [][]string{values}) + ")"
}

func (dialect) Constant(b *core.Builder, c *core.Column, text string) string {
	return fmt.Sprintf("$%d::text::%s", b.Bind(text), c.Type)
}

func (dialect) Operand(expr string, _ *core.Column) string { return expr }

// Pair casts the parent's side where that cannot fail, so that an index on the reference serves.
func (dialect) Pair(child string, cc *core.Column, parent string, pc *core.Column) (children, parents []string) {
	const text, user, enum = "S", "U", "E"
	child, parent = exactly(child, cc), exactly(parent, pc)
	switch {
	case cc.Type == pc.Type:
		return []string{child}, []string{parent}
	case cc.Category == pc.Category && cc.Category != user && cc.Category != enum:
		return []string{child}, []string{parent}
	case cc.Category == text:
		return []string{child}, []string{parent + "::text"}
	default:
		return []string{child + "::text"}, []string{parent + "::text"}
	}
}

func (dialect) Values(b *core.Builder, rows [][]backend.Value, _ []*core.Column) string {
	width := len(rows[0])
	args, names := make([]string, width), make([]string, width)
	for i := range width {
		list := make([]backend.Value, len(rows))
		for j, row := range rows {
			list[j] = row[i]
		}
		args[i], names[i] = fmt.Sprintf("$%d::text[]", b.Bind(list)), fmt.Sprintf("c%d", i+1)
	}
	return fmt.Sprintf("unnest(%s) AS v(%s)", strings.Join(args, ", "), strings.Join(names, ", "))
}

func (dialect) KeyEqual(expr, v string, c *core.Column) string {
	equal := expr + " = " + v + "::" + c.Type
	if c.Collation != "" {
		equal += " AND " + exactly(expr, c) + " = " + v + "::" + c.Type
	}
	return equal
}

func (dialect) Assign(v string, c *core.Column) string { return v + "::" + c.Type }

// Same compares text: every type has it, and what is equal in a type without being the same (1.0 and 1.00, or letters
// of a case-insensitive text) is written.
func (dialect) Same(expr, v string, c *core.Column) string {
	return fmt.Sprintf("%s::text IS NOT DISTINCT FROM %s::%s::text", expr, v, c.Stored)
}

func (dialect) SameAsRead(expr, v string, _ *core.Column) string {
	return expr + "::text IS NOT DISTINCT FROM " + v
}

func (dialect) NoLimit() any { return nil }

// Categories of types, as pg_type has them.
const (
	categoryArray   = "A"
	categoryNumeric = "N"
)
