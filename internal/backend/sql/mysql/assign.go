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

// AssignMembers fails, by a subquery of two rows, for text that is no document: the server's functions would make NULL of
// it. A value is put in as null before the member is taken out.
func (dialect) AssignMembers(b *core.Builder, expr string, members []core.Member, _ *core.Column) string {
	const nowhere = "[2147483647]"
	doc := fmt.Sprintf("CASE WHEN JSON_VALID(%s) THEN %s ELSE (SELECT %s UNION ALL SELECT %s) END", expr, expr, expr, expr)
	for _, m := range members {
		at := bind(b, core.MemberPath(m.Path))
		doc = fmt.Sprintf("JSON_REMOVE(JSON_REPLACE(%s, %s, JSON_EXTRACT(%s, '$')), IF(%s IS NULL, %s, CONCAT(%s, '%s')))", doc, at, m.Value, m.Value, at, at, nowhere)
	}
	return fmt.Sprintf("CASE WHEN %s THEN %s ELSE %s END", blank(expr), expr, doc)
}

func (d dialect) SameMember(b *core.Builder, expr string, m core.Member, _ *core.Column) string {
	at := bind(b, core.MemberPath(m.Path))
	compact := func(s string) string { return bytesOf(fmt.Sprintf(d.compact, s)) }
	return fmt.Sprintf("CASE WHEN %s THEN TRUE WHEN NOT JSON_VALID(%s) THEN FALSE WHEN NOT JSON_CONTAINS_PATH(%s, 'one', %s) THEN TRUE "+
		"WHEN %s IS NULL THEN FALSE ELSE %s = %s END", blank(expr), expr, expr, at, m.Value,
		compact("JSON_EXTRACT("+expr+", "+at+")"), compact("JSON_EXTRACT("+m.Value+", '$')"))
}

// blank tests for NULL and for a text that is no document. A document of the server's own type is never blank.
func blank(expr string) string {
	return fmt.Sprintf("(%s IS NULL OR CAST(%s AS CHAR) REGEXP '^[[:space:]]*$')", expr, expr)
}
