package sql

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// layouts of points in time in text; a zone may follow in any of the ways that databases write it.
var layouts = []string{
	time.RFC3339Nano,
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999-07",
	"2006-01-02T15:04:05.999999999-07",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02T15:04",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02 15:04",
	"2006-01-02",
}

// ParseClock reads text as a point in time; without a zone it is in UTC.
func ParseClock(text string) backend.Clock {
	text = strings.TrimSpace(text)
	for _, l := range layouts {
		if t, err := time.Parse(l, text); err == nil && inRange(t) {
			return backend.Clock{Time: t.UTC(), Valid: true}
		}
	}
	return backend.Clock{}
}

// UnixClock reads a number as seconds since 1970.
func UnixClock(text string) backend.Clock {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return valid(time.Unix(n, 0))
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.Abs(f) > maxUnix {
		return backend.Clock{}
	}
	whole, part := math.Modf(f)
	return valid(time.Unix(int64(whole), int64(part*1e9)))
}

// maxUnix is the year 9999.
const maxUnix = 253402300799

func valid(t time.Time) backend.Clock {
	if !inRange(t) {
		return backend.Clock{}
	}
	return backend.Clock{Time: t.UTC(), Valid: true}
}

func inRange(t time.Time) bool { return t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }

// The first and the last second that a clock can be read as.
const (
	MinUnix = -62135596800
	MaxUnix = maxUnix
)

// ClockPattern is a regular expression, of those that all databases read, for texts that ParseClock reads, but for days that a
// month does not have.
const ClockPattern = `^([0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])` +
	`([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3])(:[0-5][0-9])?)?)?)?$`

// ClockBound is a text that follows, in the order of letters, all texts that ParseClock reads as no later than the time.
func ClockBound(t time.Time) string { return t.UTC().AddDate(0, 0, 2).Format(time.DateOnly) }

// Micros is a point in time as ClockMicros gives it, rounded down.
func Micros(t time.Time) int64 { return t.Unix()*1e6 + int64(t.Nanosecond()/1000) }

// FromMicros is the reverse of Micros; nil is no clock.
func FromMicros(n *int64) backend.Clock {
	if n == nil {
		return backend.Clock{}
	}
	return valid(time.UnixMicro(*n))
}
