package sqlite

import (
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Functions for points in time, which are registered with the driver.
const (
	clockFunction    = "lethe_clock"
	truncateFunction = "lethe_truncate"
)

// clockOf reads a value as decode does.
func clockOf(v driver.Value) backend.Clock {
	switch v := v.(type) {
	case string:
		return core.ParseClock(v)
	case int64, float64:
		return core.UnixClock(*toValue(v))
	}
	return backend.Clock{}
}

// clockMicros is lethe_clock(value): microseconds since 1970, rounded up.
func clockMicros(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	c := clockOf(args[0])
	if !c.Valid {
		return nil, nil
	}
	return core.Micros(c.Time.Add(time.Microsecond - 1)), nil
}

// truncate is lethe_truncate(value, unit); what is no point in time becomes NULL.
func truncate(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	c := clockOf(args[0])
	unit, _ := args[1].(string)
	if !c.Valid {
		return nil, nil
	}
	year, month, day := c.Time.Date()
	if unit != backend.TruncateDay {
		day = 1
	}
	if unit == backend.TruncateYear {
		month = time.January
	}
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	text, ok := args[0].(string)
	switch text = strings.TrimSpace(text); {
	case !ok:
		return t.Unix(), nil
	case len(text) == len(time.DateOnly):
		return t.Format(time.DateOnly), nil
	case strings.Contains(text, "T"):
		return t.Format(time.RFC3339), nil
	default:
		return t.Format(time.DateTime), nil
	}
}

// IsClock: any column can hold text and numbers.
func (dialect) IsClock(*core.Column) bool { return true }

// ClockText is in the notation of the declared type, for which nothing stands in the values.
func (dialect) ClockText(c *core.Column, t time.Time) string {
	t = t.UTC().Truncate(time.Microsecond)
	switch declared := strings.ToUpper(c.Type); {
	case c.Category == integer:
		return fmt.Sprint(t.Unix())
	case c.Category == real:
		return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
	case declared == "DATE":
		return t.Format(time.DateOnly)
	case c.Category == numeric:
		return t.Format("2006-01-02 15:04:05.999999")
	default:
		return t.Format(time.RFC3339Nano)
	}
}

// ClockBy looks first as an index does: numbers stand before text. Only then the function reads the value.
func (d dialect) ClockBy(b *core.Builder, expr string, c *core.Column, t time.Time) string {
	bound := fmt.Sprintf("%s < ?%d", expr, b.Bind(core.ClockBound(t)))
	if c.Category != text {
		bound = fmt.Sprintf("(%s <= ?%d OR (%s >= '' AND %s))", expr, b.Bind(t.Unix()+1), expr, bound)
	}
	return fmt.Sprintf("(%s AND %s <= ?%d)", bound, d.ClockMicros(expr, c), b.Bind(core.Micros(t)))
}

func (dialect) ClockMicros(expr string, _ *core.Column) string {
	return clockFunction + "(" + expr + ")"
}

func (dialect) Ordered(expr string, _ *core.Column) string { return expr }

func (dialect) KeyOrder(b *core.Builder, exprs []string, _ []*core.Column, sign string, key backend.Key) string {
	if len(key) != len(exprs) {
		b.Fail(&backend.RefusedError{Problem: "a key has not as many values as key columns"})
		return "NULL"
	}
	values := make([]string, len(key))
	for i := range key {
		values[i] = fmt.Sprintf("?%d", b.Bind(fromValue(&key[i])))
	}
	return core.Tuple(exprs) + " " + sign + " " + core.Tuple(values)
}

func (dialect) Plain(b *core.Builder, _ *core.Column, text string) string {
	return fmt.Sprintf("?%d", b.Bind(text))
}

func (dialect) Truncated(expr string, _ *core.Column, to string) string {
	switch to {
	case backend.TruncateYear, backend.TruncateMonth, backend.TruncateDay:
		return fmt.Sprintf("%s(%s, '%s')", truncateFunction, expr, to)
	}
	return ""
}
