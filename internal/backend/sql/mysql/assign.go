package mysql

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

func (dialect) Values(b *core.Builder, rows [][]backend.Value, cols []*core.Column) string {
	checked := make([][]backend.Value, len(rows))
	for i, row := range rows {
		checked[i] = make([]backend.Value, len(row))
		for j, v := range row {
			if v == nil || cols[j] == nil {
				checked[i][j] = v
				continue
			}
			s, err := operand(cols[j], *v)
			if err != nil {
				b.Fail(err)
			}
			checked[i][j] = &s
		}
	}
	return table(b, checked, "v")
}

func (dialect) KeyEqual(expr, v string, c *core.Column) string {
	return strings.Join(equals(expr, v, c), " AND ")
}

// Assign lets the column itself convert text and points in time.
func (dialect) Assign(v string, c *core.Column) string {
	switch c.Category {
	case text, enum, document, datetime, daytime, other:
		return v
	case spatial:
		return "UNHEX(" + v + ")"
	default:
		return typed(v, c)
	}
}

// Same casts to the column's precision, as an assignment does.
func (dialect) Same(expr, v string, c *core.Column) string {
	same := func(left, right string) string { return "(" + left + " <=> " + right + ")" }
	length, places := "", "0"
	if m := numbers.FindStringSubmatch(c.Stored); m != nil {
		length, places = m[0], m[2]
	}
	switch c.Category {
	case text:
		if c.Type == "char" { // which has no spaces at its end
			v = "TRIM(TRAILING ' ' FROM " + v + ")"
		}
		return same(exactly(expr), bytesOf(v))
	case enum: // which has its own spelling of a value
		return same(expr, typed(v, c))
	case decimal:
		return same(expr, "CAST("+v+" AS DECIMAL"+length+")")
	case single, double:
		if places != "" && places != "0" {
			return same(expr, "ROUND("+v+" + 0e0, "+places+")")
		}
		return same(expr, typed(v, c))
	case datetime:
		kind := "DATETIME"
		if c.Type == "date" {
			kind = "DATE"
		}
		return same(expr, "CAST("+v+" AS "+kind+length+")")
	case daytime:
		return same(expr, "CAST("+v+" AS TIME"+length+")")
	case document:
		return same(bytesOf(asText(expr, c)), bytesOf("CAST(JSON_EXTRACT("+v+", '$') AS CHAR)"))
	case binary:
		if c.Type == "binary" { // which is filled with zeros
			return same(expr, fmt.Sprintf("CAST(UNHEX(%s) AS BINARY%s)", v, length))
		}
		return same(expr, typed(v, c))
	default:
		return same(compared(expr, c), typed(v, c))
	}
}

func (d dialect) SameAsRead(expr, v string, c *core.Column) string { return d.Same(expr, v, c) }

// AssignMembers fails, by a subquery of two rows, for text that is no document: the server's functions would make NULL of
// it. A value is put in as null before the member is taken out.
func (dialect) AssignMembers(b *core.Builder, expr string, members []core.Member, _ *core.Column) string {
	const nowhere = "[2147483647]"
	doc := fmt.Sprintf("CASE WHEN JSON_VALID(%s) THEN %s ELSE (SELECT %s UNION ALL SELECT %s) END", expr, expr, expr, expr)
	for _, m := range members {
		var replace, remove strings.Builder
		for _, at := range bindSpellings(b, m.Path) {
			fmt.Fprintf(&replace, ", %s, JSON_EXTRACT(%s, '$')", at, m.Value)
			fmt.Fprintf(&remove, ", IF(%s IS NULL, %s, CONCAT(%s, '%s'))", m.Value, at, at, nowhere)
		}
		doc = fmt.Sprintf("JSON_REMOVE(JSON_REPLACE(%s%s)%s)", doc, replace.String(), remove.String())
	}
	return fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END", blank(expr), expr, doc)
}

// SameMember trusts a path that leads nowhere only where taking the member out changes nothing, which MariaDB does by what a
// name says and not by how it is spelled.
func (d dialect) SameMember(b *core.Builder, expr string, m core.Member, _ *core.Column) string {
	compact := func(s string) string { return bytesOf(fmt.Sprintf(d.compact, s)) }
	paths := bindSpellings(b, m.Path)
	same := make([]string, len(paths))
	for i, at := range paths {
		same[i] = fmt.Sprintf("(NOT JSON_CONTAINS_PATH(%s, 'one', %s) OR %s = %s)", expr, at,
			compact("JSON_EXTRACT("+expr+", "+at+")"), compact("JSON_EXTRACT("+m.Value+", '$')"))
	}
	last := len(m.Path) - 1
	without := func(innermost string) string {
		return bytesOf(fmt.Sprintf("JSON_MERGE_PATCH(%s, %s)", expr, bind(b, nested(m.Path[:last], innermost))))
	}
	return fmt.Sprintf("CASE WHEN %s THEN TRUE WHEN NOT JSON_VALID(%s) THEN FALSE WHEN NOT JSON_CONTAINS_PATH(%s, 'one', %s) THEN %s = %s "+
		"WHEN %s IS NULL THEN FALSE ELSE %s END", blank(expr), expr, expr, strings.Join(paths, ", "), without(nested(m.Path[last:], "null")), without("{}"),
		m.Value, strings.Join(same, " AND "))
}

// blank tests for NULL and for a text that is no document. A document of the server's own type is never blank.
func blank(expr string) string {
	return fmt.Sprintf("(%s IS NULL OR CAST(%s AS CHAR) REGEXP '^[[:space:]]*$')", expr, expr)
}

// nested is a document with one member inside the other.
func nested(names []string, innermost string) string {
	for _, name := range slices.Backward(names) {
		text, err := json.Marshal(name)
		if err != nil {
			panic(err) // strings always marshal
		}
		innermost = "{" + string(text) + ":" + innermost + "}"
	}
	return innermost
}

func bindSpellings(b *core.Builder, path []string) []string {
	var bound []string
	for _, s := range spellings(path) {
		bound = append(bound, bind(b, s))
	}
	return bound
}

// spellings are the paths of a member as the usual writers of JSON spell names: MariaDB compares spellings.
func spellings(names []string) []string {
	ascii := func(r rune) bool { return r <= unicode.MaxASCII }
	var paths []string
	for _, escape := range []func(r rune) string{
		func(rune) string { return "" },
		func(r rune) string { // PHP
			if r == '/' {
				return `\/`
			}
			return escaped(r, `\u%04x`, !ascii(r))
		},
		func(r rune) string { return escaped(r, `\u%04x`, !ascii(r)) },                                      // Python
		func(r rune) string { return escaped(r, `\u%04X`, !ascii(r) || strings.ContainsRune("<>&'+`", r)) }, // .NET
		func(r rune) string { return escaped(r, `\u%04x`, strings.ContainsRune("<>&\u2028\u2029", r)) },     // Go
	} {
		var path strings.Builder
		path.WriteByte('$')
		for _, name := range names {
			path.WriteString(`."`)
			for _, r := range name {
				if s := escape(r); s != "" {
					path.WriteString(s)
				} else {
					path.WriteString(must(r))
				}
			}
			path.WriteByte('"')
		}
		if !slices.Contains(paths, path.String()) {
			paths = append(paths, path.String())
		}
	}
	return paths
}

// escaped is a letter in the notation of JSON for any, or nothing.
func escaped(r rune, format string, needed bool) string {
	switch {
	case !needed:
		return ""
	case r > 0xFFFF:
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(format+format, high, low)
	}
	return fmt.Sprintf(format, r)
}

// must is a letter as JSON has to have it. Names have neither quotes nor backslashes.
func must(r rune) string {
	if i := strings.IndexRune("\b\f\n\r\t", r); i >= 0 {
		return `\` + "bfnrt"[i:i+1]
	}
	return cmp.Or(escaped(r, `\u%04x`, r < ' '), string(r))
}
