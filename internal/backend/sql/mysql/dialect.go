package mysql

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// dialect of MySQL and MariaDB.
//
// Their collations take different texts for the same (letters of another case, without accents, spaces at the end), and
// they compare text with numbers by guessing. So text is compared twice: once as the column's collation does, which an
// index serves, and once byte by byte. Everything else is bound in a form that was checked before and cast to what the
// column compares with.
type dialect struct {
	schema string // of tables that name none
	*flavor
}

var _ core.Dialect = dialect{}

func (dialect) Quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// Placeholder is a mark that no name can hold; positional puts arguments in the order of the marks.
func (dialect) Placeholder(n int) string { return fmt.Sprintf("\x00%d\x00", n) }

// positional is a statement with the placeholders that the server knows, which have no numbers.
func positional(s core.Statement) (query string, args []any) {
	parts := strings.Split(s.Text, "\x00")
	for i := 1; i < len(parts); i += 2 {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			panic(err) // only Placeholder makes marks
		}
		parts[i] = "?"
		args = append(args, s.Args[n-1])
	}
	return strings.Join(parts, ""), args
}

func bind(b *core.Builder, v any) string { return dialect{}.Placeholder(b.Bind(v)) }

func (d dialect) Table(schema, name string) string {
	if schema == "" {
		schema = d.Quote(d.schema)
	}
	return schema + "." + name
}

// Materialized is nothing that can be said.
func (dialect) Materialized() string { return "" }

func (dialect) Quantiles(*core.Builder, string, *core.Column, int) string { return "" }

func (dialect) Extremes(c *core.Column) (fence string, ok bool) {
	return "", c.Category == integer || c.Category == unsigned
}

// NoLimit is greater than any table.
func (dialect) NoLimit() any { return int64(1) << 62 }

// maxListed is the greatest number of rows that a statement lists; more go in as one JSON document. Lists have a power of
// two as their length, so that there are few statements.
const maxListed = 1000

const (
	// maxAlternatives is the greatest number of keys of several columns that are listed.
	maxAlternatives = 4
	// maxConstants is the greatest number of constants in a list; the protocol has room for 65535.
	maxConstants = 16384
)

func padded[T any](rows []T) []T {
	size := 1
	for size < len(rows) {
		size *= 2
	}
	rows = slices.Clone(rows)
	for len(rows) < size {
		rows = append(rows, rows[0])
	}
	return rows
}

func (dialect) InText(b *core.Builder, exprs []string, cols []*core.Column, rows [][]string) string {
	return in(b, exprs, cols, rows)
}

func (dialect) InLoose(b *core.Builder, exprs []string, cols []*core.Column, rows [][]string) string {
	fits := func(row []string) bool {
		for i, v := range row {
			if _, err := operand(cols[i], v); err != nil {
				return false
			}
		}
		return true
	}
	rows = slices.DeleteFunc(slices.Clone(rows), func(row []string) bool { return !fits(row) })
	if len(rows) == 0 {
		return never
	}
	return in(b, exprs, cols, rows)
}

func (dialect) InKeys(b *core.Builder, exprs []string, cols []*core.Column, keys []backend.Key) string {
	rows := make([][]string, len(keys))
	for i, k := range keys {
		rows[i] = k
	}
	return in(b, exprs, cols, rows)
}

func (dialect) NotInText(b *core.Builder, expr string, c *core.Column, values []string) string {
	rows := make([][]string, len(values))
	for i, v := range values {
		rows[i] = []string{v}
	}
	return "NOT " + in(b, []string{expr}, []*core.Column{c}, rows)
}

// never is true of no row.
const never = "(1 = 0)"

func in(b *core.Builder, exprs []string, cols []*core.Column, rows [][]string) string {
	checked := operands(b, cols, rows)
	if len(checked) == 0 {
		return never
	}
	if len(rows) > maxListed || len(exprs) > 1 && len(rows) > maxAlternatives {
		return inDocument(b, exprs, cols, checked)
	}
	checked = padded(checked)
	if len(exprs) == 1 {
		return inList(b, exprs[0], cols[0], checked)
	}
	terms := make([]string, len(checked))
	for i, row := range checked {
		var same []string
		for j, v := range row {
			same = append(same, equals(exprs[j], bind(b, *v), cols[j])...)
		}
		terms[i] = "(" + strings.Join(same, " AND ") + ")"
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}

// operands are the rows as they compare with the columns; nil where one does not fit.
func operands(b *core.Builder, cols []*core.Column, rows [][]string) [][]backend.Value {
	checked := make([][]backend.Value, len(rows))
	for i, row := range rows {
		checked[i] = make([]backend.Value, len(row))
		for j, v := range row {
			s, err := operand(cols[j], v)
			if err != nil {
				b.Fail(err)
				return nil
			}
			checked[i][j] = &s
		}
	}
	return checked
}

// NotInKeys lists constants, which are sorted once: a document would be read again for each row.
func (d dialect) NotInKeys(b *core.Builder, exprs []string, cols []*core.Column, keys []backend.Key) string {
	left := sides(exprs, cols)
	if len(keys) == 0 || len(keys)*len(left) > maxConstants {
		return d.InKeys(b, exprs, cols, keys) + " IS NOT TRUE"
	}
	rows := make([][]string, len(keys))
	for i, k := range keys {
		rows[i] = k
	}
	checked := operands(b, cols, rows)
	if checked == nil {
		return never
	}
	list := make([]string, 0, len(keys))
	for _, row := range padded(checked) {
		values := make([]string, len(row))
		for i, v := range row {
			values[i] = bind(b, *v)
		}
		list = append(list, core.Tuple(constants(values, cols)))
	}
	return "(" + core.Tuple(left) + " IN (" + strings.Join(list, ", ") + ")) IS NOT TRUE"
}

// sides are columns as they compare with constants.
func sides(exprs []string, cols []*core.Column) []string {
	var left []string
	for i, c := range cols {
		left = append(left, compared(exprs[i], c))
		if collates(c) {
			left = append(left, exactly(exprs[i]))
		}
	}
	return left
}

func constants(values []string, cols []*core.Column) []string {
	var right []string
	for i, c := range cols {
		right = append(right, typed(values[i], c))
		if collates(c) {
			right = append(right, bytesOf(values[i]))
		}
	}
	return right
}

func inList(b *core.Builder, expr string, c *core.Column, rows [][]backend.Value) string {
	values, exact := make([]string, len(rows)), make([]string, len(rows))
	for i, row := range rows {
		v := bind(b, *row[0])
		values[i], exact[i] = typed(v, c), bytesOf(v)
	}
	term := compared(expr, c) + " IN (" + strings.Join(values, ", ") + ")"
	if collates(c) {
		term += " AND " + exactly(expr) + " IN (" + strings.Join(exact, ", ") + ")"
	}
	return "(" + term + ")"
}

func inDocument(b *core.Builder, exprs []string, cols []*core.Column, rows [][]backend.Value) string {
	values := make([]string, len(cols))
	for i := range values {
		values[i] = fmt.Sprintf("x.c%d", i+1)
	}
	return fmt.Sprintf("(%s IN (SELECT %s FROM %s))", core.Tuple(sides(exprs, cols)), strings.Join(constants(values, cols), ", "), table(b, rows, "x"))
}

// table is a relation with the columns c1, c2 ... of text.
func table(b *core.Builder, rows [][]backend.Value, alias string) string {
	var doc bytes.Buffer
	encoder := json.NewEncoder(&doc)
	encoder.SetEscapeHTML(false)
	objects := make([]map[string]string, len(rows))
	for i, row := range rows {
		objects[i] = map[string]string{}
		for j, v := range row {
			if v != nil { // a member that is not there is NULL
				objects[i][fmt.Sprintf("c%d", j+1)] = *v
			}
		}
	}
	if err := encoder.Encode(objects); err != nil {
		panic(err) // strings always marshal
	}
	columns := make([]string, len(rows[0]))
	for i := range columns {
		columns[i] = fmt.Sprintf("c%d %s CHARACTER SET utf8mb4 PATH '$.c%d'", i+1, textType(rows, i), i+1)
	}
	return fmt.Sprintf("JSON_TABLE(%s, '$[*]' COLUMNS (%s)) AS %s", bind(b, doc.String()), strings.Join(columns, ", "), alias)
}

// textType is a type that is long enough for a column of rows. The server can sort and hash the short one.
func textType(rows [][]backend.Value, i int) string {
	const short = 255
	for _, row := range rows {
		if row[i] != nil && len(*row[i]) > short {
			return "LONGTEXT"
		}
	}
	return fmt.Sprintf("VARCHAR(%d)", short)
}

// typed is an operand, or a column of table, as what the table's column compares with.
func typed(v string, c *core.Column) string {
	switch c.Category {
	case text, enum:
		return fmt.Sprintf("CONVERT(%s USING %s) COLLATE %s", v, charset(c), c.Collation)
	case integer:
		return "CAST(" + v + " AS SIGNED)"
	case unsigned, bit, year:
		return "CAST(" + v + " AS UNSIGNED)"
	case decimal:
		return fmt.Sprintf("CAST(%s AS DECIMAL(%d,%d))", v, maxDigits, scale(c))
	case single, double:
		return "(" + v + " + 0e0)"
	case datetime:
		return "CAST(" + v + " AS DATETIME(6))"
	case daytime:
		return "CAST(" + v + " AS TIME(6))"
	case binary:
		return "UNHEX(" + v + ")"
	default:
		return v
	}
}

// compared is a column as it compares with typed.
func compared(expr string, c *core.Column) string {
	switch c.Category {
	case year: // as it is, it would take 24 for 2024
		return "(" + expr + " + 0)"
	case bit:
		return "CAST(" + expr + " AS UNSIGNED)"
	case spatial:
		return "HEX(" + expr + ")"
	case document:
		return "CAST(" + expr + " AS CHAR)"
	default:
		return expr
	}
}

// collates tells whether a column compares by a collation, and needs a second comparison.
func collates(c *core.Column) bool {
	return c.Category == text || c.Category == enum || c.Category == document
}

// exactly is a text column's content, bytesOf an operand's.
func exactly(expr string) string { return "CAST(CONVERT(" + expr + " USING utf8mb4) AS BINARY)" }

func bytesOf(v string) string { return "CAST(" + v + " AS BINARY)" }

// charset is the beginning of a collation's name.
func charset(c *core.Column) string {
	name, _, _ := strings.Cut(c.Collation, "_")
	return name
}

// equals compares a column with an operand or a column of table.
func equals(expr, v string, c *core.Column) []string {
	terms := []string{compared(expr, c) + " = " + typed(v, c)}
	if collates(c) {
		terms = append(terms, exactly(expr)+" = "+bytesOf(v))
	}
	return terms
}

// Read leaves text and bytes as they are: what would convert them may have bounds of its own.
func (dialect) Read(expr string, c *core.Column) string {
	if c.Category == binary || c.Category == spatial || c.Category == text || c.Category == enum {
		return expr
	}
	return asText(expr, c)
}

// asText is the value as the server writes it, without loss.
func asText(expr string, c *core.Column) string {
	switch c.Category {
	case text, enum:
		return "CONVERT(" + expr + " USING utf8mb4)"
	case binary, spatial:
		return "CONCAT('\\\\x', LOWER(HEX(" + expr + ")))"
	case bit:
		return "CAST(CAST(" + expr + " AS UNSIGNED) AS CHAR)"
	case single:
		return "CAST((" + expr + " + 0e0) AS CHAR)" // the type itself is written with six digits
	case integer, unsigned, decimal, double:
		return "CAST((" + expr + " + 0) AS CHAR)" // without the zeros of ZEROFILL, or a fixed number of places
	default:
		return "CAST(" + expr + " AS CHAR)"
	}
}

func (dialect) TextOf(expr string, c *core.Column) string { return asText(expr, c) }

func (dialect) Constant(b *core.Builder, c *core.Column, text string) string {
	s, err := operand(c, text)
	if err != nil {
		b.Fail(err)
	}
	return typed(bind(b, s), c)
}

func (dialect) Operand(expr string, c *core.Column) string { return compared(expr, c) }

// Pair compares what does not have the same type as text.
func (dialect) Pair(child string, cc *core.Column, parent string, pc *core.Column) (children, parents []string) {
	exact := []string{bytesOf(asText(child, cc)), bytesOf(asText(parent, pc))}
	isText := func(c *core.Column) bool { return c.Category == text || c.Category == enum }
	whole := func(c *core.Column) bool { return c.Category == integer || c.Category == unsigned }
	switch {
	case isText(cc) && isText(pc) && cc.Collation == pc.Collation:
		return []string{child, exact[0]}, []string{parent, exact[1]}
	case isText(cc):
		return []string{child, exact[0]}, []string{typed(asText(parent, pc), cc), exact[1]}
	case whole(cc) && isText(pc):
		return []string{child, exact[0]}, []string{typed(parent, cc), exact[1]}
	case whole(cc) && whole(pc), cc.Category == pc.Category && cc.Category != document:
		return []string{compared(child, cc)}, []string{compared(parent, pc)}
	default:
		return exact[:1], exact[1:]
	}
}

func (d dialect) InUnion(exprs []string, cols []*core.Column, selects []string) string {
	left, right := slices.Clone(exprs), make([]string, len(exprs))
	for i, c := range cols {
		right[i] = fmt.Sprintf("x.k%d", i+1)
		if collates(c) {
			left, right = append(left, exactly(exprs[i])), append(right, exactly(right[i]))
		}
	}
	return fmt.Sprintf("%s IN (SELECT %s FROM (%s) AS x)", core.Tuple(left), strings.Join(right, ", "), strings.Join(selects, " UNION ALL "))
}

// Delete has the form for several tables: that for one knows no alias everywhere.
func (dialect) Delete(table, alias, where string) string {
	return "DELETE " + alias + " FROM " + table + " AS " + alias + " WHERE " + where
}

// Update looks up the row of the table for each row of values, and never the other way round.
func (dialect) Update(table, alias string, columns, exprs []string, values, where string) string {
	own := make([]string, len(columns))
	for i, name := range columns {
		own[i] = alias + "." + name
	}
	return fmt.Sprintf("UPDATE %s STRAIGHT_JOIN %s AS %s ON %s SET %s", values, table, alias, where, core.Assignments(own, exprs))
}
