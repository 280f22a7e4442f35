package mysql

import (
	"fmt"
	"strings"

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

// AssignMember fails, by a subquery of two rows, for text that is no document: the server's functions would make NULL of
// it. Members of one column are nested, so what is inside stands only once in what is around it. A value is put in as null
// before the member is taken out.
func (dialect) AssignMember(b *core.Builder, base string, path []string, v string, _ *core.Column) string {
	const change, nowhere = "JSON_REMOVE(JSON_REPLACE(", "[2147483647]"
	at := bind(b, core.MemberPath(path))
	if !strings.HasPrefix(base, change) {
		base = fmt.Sprintf("CASE WHEN %s IS NULL OR JSON_VALID(%s) THEN %s ELSE (SELECT %s UNION ALL SELECT %s) END", base, base, base, base, base)
	}
	return fmt.Sprintf("%s%s, %s, JSON_EXTRACT(%s, '$')), IF(%s IS NULL, %s, CONCAT(%s, '%s')))", change, base, at, v, v, at, at, nowhere)
}

func (d dialect) SameMember(b *core.Builder, expr string, path []string, v string, _ *core.Column) string {
	at := bind(b, core.MemberPath(path))
	compact := func(s string) string { return bytesOf(fmt.Sprintf(d.compact, s)) }
	return fmt.Sprintf("CASE WHEN %s IS NULL THEN TRUE WHEN NOT JSON_VALID(%s) THEN FALSE WHEN NOT JSON_CONTAINS_PATH(%s, 'one', %s) THEN TRUE "+
		"WHEN %s IS NULL THEN FALSE ELSE %s = %s END", expr, expr, expr, at, v,
		compact("JSON_EXTRACT("+expr+", "+at+")"), compact("JSON_EXTRACT("+v+", '$')"))
}
