package mysql

import (
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

func (dialect) IsClock(c *core.Column) bool {
	switch c.Category {
	case datetime, text, integer, unsigned, decimal, single, double:
		return true
	}
	return false
}

func (dialect) ClockText(c *core.Column, t time.Time) string {
	t = t.UTC().Truncate(time.Microsecond)
	switch {
	case c.Type == "date":
		return t.Format(time.DateOnly)
	case c.Category == datetime:
		return t.Format("2006-01-02 15:04:05.000000")
	case c.Category == integer || c.Category == unsigned:
		return fmt.Sprint(t.Unix())
	case c.Category == text:
		return t.Format(time.RFC3339Nano)
	default:
		return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
	}
}

func (d dialect) ClockBy(b *core.Builder, expr string, c *core.Column, t time.Time) string {
	switch c.Category {
	case text:
		return fmt.Sprintf("(%s < CONVERT(%s USING %s) COLLATE %s AND %s <= CAST(%s AS SIGNED))", expr, bind(b, core.ClockBound(t)), charset(c), c.Collation,
			d.ClockMicros(expr, c), bind(b, core.Micros(t)))
	case datetime:
		kind := "DATETIME(6)"
		if c.Type == "date" {
			kind = "DATE"
		}
		return fmt.Sprintf("(%s <= CAST(%s AS %s) AND %s)", expr, bind(b, d.ClockText(c, t)), kind, readable(expr))
	case integer, unsigned:
		return fmt.Sprintf("(%s BETWEEN %d AND CAST(%s AS SIGNED))", expr, core.MinUnix, bind(b, t.Unix()))
	default:
		return fmt.Sprintf("(%s BETWEEN %d AND CAST(%s AS DECIMAL(20,6)))", expr, core.MinUnix, bind(b, d.ClockText(c, t)))
	}
}

// readable is false of zero dates, and of dates in part zero.
func readable(expr string) string {
	return fmt.Sprintf("%s >= '0001-01-01' AND MONTH(%s) > 0 AND DAYOFMONTH(%s) > 0", expr, expr, expr)
}

func (dialect) ClockMicros(expr string, c *core.Column) string {
	switch c.Category {
	case text:
		return textMicros("TRIM(CONVERT(" + expr + " USING utf8mb4))")
	case datetime:
		return fmt.Sprintf("CASE WHEN %s THEN TIMESTAMPDIFF(MICROSECOND, '1970-01-01', %s) END", readable(expr), expr)
	default:
		return fmt.Sprintf("CASE WHEN %s BETWEEN %d AND %d THEN CAST(CEIL(CAST(%s AS DECIMAL(30,9)) * 1000000) AS SIGNED) END", expr, core.MinUnix, core.MaxUnix, expr)
	}
}

// textMicros takes a text apart that the pattern matches. A day that the month does not have makes the cast NULL.
func textMicros(x string) string {
	at := fmt.Sprintf("CAST(CONCAT(SUBSTR(%s, 1, 10), ' ', IF(CHAR_LENGTH(%s) > 10, SUBSTR(%s, 12, 8), '00:00:00')) AS DATETIME)", x, x, x)
	zone := fmt.Sprintf("IF(CHAR_LENGTH(%s) > 19, COALESCE(REGEXP_SUBSTR(SUBSTR(%s, 20), '[+-][0-9:]+$'), ''), '')", x, x)
	fraction := fmt.Sprintf("COALESCE(REGEXP_SUBSTR(%s, '[.][0-9]+'), '')", x)
	return fmt.Sprintf("CASE WHEN %s REGEXP '%s' AND LEFT(%s, 4) <> '0000' THEN TIMESTAMPDIFF(MICROSECOND, '1970-01-01', %s) "+
		"+ CAST(CEIL(CAST(CONCAT('0', %s) AS DECIMAL(20,9)) * 1000000) AS SIGNED) "+
		"- IF(%s = '', 0, IF(LEFT(%s, 1) = '-', -1, 1) * (CAST(SUBSTR(%s, 2, 2) AS SIGNED) * 3600 + CAST(CONCAT('0', SUBSTR(%s, 5, 2)) AS SIGNED) * 60)) * 1000000 END",
		x, core.ClockPattern, x, at, fraction, zone, zone, zone, zone)
}

// Ordered: an ENUM or SET is sorted by its number, and compared as text.
func (dialect) Ordered(expr string, c *core.Column) string {
	if c.Category == enum {
		return typed(expr, c)
	}
	return expr
}

// KeyOrder has no comparison of rows, for which no index serves.
func (dialect) KeyOrder(b *core.Builder, exprs []string, cols []*core.Column, sign string, key backend.Key) string {
	if len(key) != len(cols) {
		b.Fail(&backend.RefusedError{Problem: "a key has not as many values as key columns"})
		return never
	}
	value := func(i int) string {
		s, err := operand(cols[i], key[i])
		if err != nil {
			b.Fail(err)
		}
		return typed(bind(b, s), cols[i])
	}
	end, before := len(exprs)-1, sign[:1]
	term := fmt.Sprintf("%s %s %s", compared(exprs[end], cols[end]), sign, value(end))
	for i := end - 1; i >= 0; i-- {
		e := compared(exprs[i], cols[i])
		term = fmt.Sprintf("(%s %s= %s AND (%s %s %s OR %s))", e, before, value(i), e, before, value(i), term)
	}
	return term
}

func (dialect) Plain(b *core.Builder, c *core.Column, text string) string {
	s, err := operand(c, text)
	if err != nil {
		b.Fail(err)
	}
	return bind(b, s)
}

func (dialect) Truncated(expr string, c *core.Column, to string) string {
	format, rest := "%Y-%m-%d", ""
	length := 10
	switch to {
	case backend.TruncateYear:
		format, rest, length = "%Y-01-01", "-01-01", 4
	case backend.TruncateMonth:
		format, rest, length = "%Y-%m-01", "-01", 7
	case backend.TruncateDay:
	default:
		return ""
	}
	switch c.Category {
	case datetime:
		return fmt.Sprintf("CAST(DATE_FORMAT(%s, '%s') AS %s)", expr, format, strings.ToUpper(map[bool]string{true: "date", false: "datetime"}[c.Type == "date"]))
	case text:
		x := "TRIM(CONVERT(" + expr + " USING utf8mb4))"
		return fmt.Sprintf("CASE WHEN %s IS NOT NULL THEN CONCAT(LEFT(%s, %d), '%s') END", textMicros(x), x, length, rest)
	default:
		return ""
	}
}
