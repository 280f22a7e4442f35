package postgresql

import (
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Types of columns that are read as points in time, beside text.
const (
	typeDate        = "date"
	typeTimestamp   = "timestamp without time zone"
	typeTimestampTZ = "timestamp with time zone"
)

const categoryText = "S"

var secondsTypes = map[string]bool{"smallint": true, "integer": true, "bigint": true, "numeric": true, "real": true, "double precision": true}

func (dialect) IsClock(c *core.Column) bool {
	switch c.Type {
	case typeDate, typeTimestamp, typeTimestampTZ:
		return true
	}
	return c.Category == categoryText || secondsTypes[c.Type]
}

func (dialect) ClockText(c *core.Column, t time.Time) string {
	t = t.UTC().Truncate(time.Microsecond)
	switch {
	case c.Type == typeDate:
		return t.Format(time.DateOnly)
	case c.Type == typeTimestamp:
		return t.Format("2006-01-02 15:04:05.000000")
	case c.Type == typeTimestampTZ:
		return t.Format("2006-01-02 15:04:05.000000+00")
	case integerTypes[c.Type] > 0:
		return fmt.Sprint(t.Unix())
	case secondsTypes[c.Type]:
		return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
	default:
		return t.Format(time.RFC3339Nano)
	}
}

func (d dialect) ClockBy(b *core.Builder, expr string, c *core.Column, t time.Time) string {
	switch {
	case c.Category == categoryText:
		bound := fmt.Sprintf("$%d::text::%s", b.Bind(core.ClockBound(t)), c.Type)
		return fmt.Sprintf("(%s < %s AND %s <= $%d::bigint)", expr, bound, d.ClockMicros(expr, c), b.Bind(core.Micros(t)))
	case integerTypes[c.Type] > 0: // of a greater type, or the time might not fit
		return fmt.Sprintf("(%s >= %d AND %s <= $%d::bigint)", expr, core.MinUnix, expr, b.Bind(t.Unix()))
	case secondsTypes[c.Type]:
		return fmt.Sprintf("(%s >= %d AND %s <= $%d::text::%s)", expr, core.MinUnix, expr, b.Bind(d.ClockText(c, t)), c.Type)
	default: // What is before is infinite, or before Christ. A cast from text would be done anew for each row.
		return fmt.Sprintf("(%s >= '0001-01-01'::%s AND %s <= $%d::%s)", expr, c.Type, expr, b.Bind(d.ClockText(c, t)), c.Type)
	}
}

func (dialect) ClockMicros(expr string, c *core.Column) string {
	switch {
	case c.Category == categoryText:
		return textMicros(expr)
	case secondsTypes[c.Type]:
		return fmt.Sprintf("CASE WHEN %s >= %d AND %s <= %d THEN pg_catalog.ceil(%s::numeric * 1000000)::bigint END", expr, core.MinUnix, expr, core.MaxUnix, expr)
	default:
		return fmt.Sprintf("CASE WHEN %s >= '0001-01-01'::%s AND %s < '10000-01-01'::%s THEN (EXTRACT(EPOCH FROM %s) * 1000000)::bigint END", expr, c.Type, expr, c.Type, expr)
	}
}

// textMicros takes apart what the pattern matches, so that no cast can fail: p has year, month, day, time of day, its hour and seconds,
// fraction, zone, its hour and minutes.
func textMicros(expr string) string {
	return fmt.Sprintf(`(SELECT CASE WHEN p.p[1] <> '0000' AND p.p[3]::int <= EXTRACT(DAY FROM pg_catalog.make_date(p.p[1]::int, p.p[2]::int, 1) + interval '1 month - 1 day') `+
		`THEN (EXTRACT(EPOCH FROM (p.p[1] || '-' || p.p[2] || '-' || p.p[3] || ' ' || COALESCE(pg_catalog.substr(p.p[4], 2, CASE WHEN p.p[6] IS NULL THEN 5 ELSE 8 END), '00:00'))::timestamp)::bigint * 1000000 `+
		`+ pg_catalog.ceil(COALESCE('0' || p.p[7], '0')::numeric * 1000000)::bigint `+
		`- CASE WHEN p.p[9] IS NULL THEN 0 ELSE (pg_catalog.substr(p.p[8], 1, 1) || '1')::bigint * (p.p[9]::bigint * 3600 + COALESCE(pg_catalog.substr(p.p[10], 2)::bigint, 0) * 60) END * 1000000) END `+
		`FROM (SELECT pg_catalog.regexp_match(pg_catalog.btrim(%s::text, E' \t\n\x0B\f\r'), '%s') AS p OFFSET 0) AS p)`, expr, core.ClockPattern)
}

func (dialect) Ordered(expr string, _ *core.Column) string { return expr }

func (dialect) KeyOrder(b *core.Builder, exprs []string, cols []*core.Column, sign string, key backend.Key) string {
	if len(key) != len(cols) {
		b.Fail(&backend.RefusedError{Problem: "a key has not as many values as key columns"})
		return "NULL"
	}
	values := make([]string, len(cols))
	for i, c := range cols {
		values[i] = fmt.Sprintf("$%d::text::%s", b.Bind(key[i]), c.Type)
	}
	return core.Tuple(exprs) + " " + sign + " " + core.Tuple(values)
}

func (dialect) Plain(b *core.Builder, _ *core.Column, text string) string {
	return fmt.Sprintf("$%d::text", b.Bind(text))
}

func (d dialect) Truncated(expr string, c *core.Column, to string) string {
	unit := map[string]string{backend.TruncateYear: "year", backend.TruncateMonth: "month", backend.TruncateDay: "day"}[to]
	switch {
	case unit == "":
		return ""
	case c.Category == categoryText:
		rest := map[string]string{"year": "4) || '-01-01'", "month": "7) || '-01'", "day": "10)"}[unit]
		return fmt.Sprintf("(CASE WHEN %s IS NOT NULL THEN pg_catalog.left(pg_catalog.btrim(%s::text, E' \\t\\n\\x0B\\f\\r'), %s END)::%s", textMicros(expr), expr, rest, c.Type)
	case d.IsClock(c) && !secondsTypes[c.Type]:
		return fmt.Sprintf("pg_catalog.date_trunc('%s', %s)::%s", unit, expr, c.Type)
	default:
		return ""
	}
}
