// Package period does calendar arithmetic with ISO 8601 periods of years, months, weeks and days, in UTC.
//
// It parses by itself and strictly: the periods here decide how long data stays, so fractions, signs, repeated units and
// times of day, which general parsers accept, are refused.
package period

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The largest numbers accepted: a thousand years in each unit, so that no sum overflows.
const (
	maxYears  = 1000
	maxMonths = 12 * maxYears
	maxWeeks  = 53 * maxYears
	maxDays   = 366 * maxYears
)

// ErrInvalid is what every error of Parse wraps.
var ErrInvalid = errors.New("period must be ISO 8601 in whole years, months, weeks and days, for example P10Y or P1Y6M")

// Period is a number of calendar units.
type Period struct {
	Years, Months, Weeks, Days int
}

// ParsePeriod is Parse.
func ParsePeriod(s string) (Period, error) { return Parse(s) }

// Parse reads P[nY][nM][nW][nD] with at least one unit.
func Parse(s string) (Period, error) {
	var p Period
	if len(s) < 3 || s[0] != 'P' || len(s) > 32 {
		return p, ErrInvalid
	}
	units := []struct {
		letter byte
		limit  int
		into   *int
	}{{'Y', maxYears, &p.Years}, {'M', maxMonths, &p.Months}, {'W', maxWeeks, &p.Weeks}, {'D', maxDays, &p.Days}}
	rest := s[1:]
	for _, u := range units {
		digits := leadingDigits(rest)
		if digits == 0 || digits == len(rest) || rest[digits] != u.letter {
			continue
		}
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || n > u.limit {
			return Period{}, fmt.Errorf("%w: at most %d%c", ErrInvalid, u.limit, u.letter)
		}
		*u.into = n
		rest = rest[digits+1:]
	}
	if rest != "" {
		return Period{}, ErrInvalid
	}
	return p, nil
}

func leadingDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// AddPeriod is p.AddTo(t).
func AddPeriod(t time.Time, p Period) time.Time { return p.AddTo(t) }

// AddTo returns t plus p on the calendar in UTC. Years and months come first and keep the day of the month; where
// the month reached is shorter, its last day is taken (January 31 plus P1M is the last day of February), then weeks and
// days are added. The time of day stays.
func (p Period) AddTo(t time.Time) time.Time {
	t = t.UTC()
	year, month, day := t.Date()
	months := int(month) - 1 + p.Months + 12*p.Years
	year, month = year+months/12, time.Month(months%12+1)
	day = min(day, daysIn(year, month))
	return time.Date(year, month, day+7*p.Weeks+p.Days, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// CeilSecond rounds up to the full second, so that nothing falls due a fraction of a second early.
func CeilSecond(t time.Time) time.Time {
	if t.Nanosecond() == 0 {
		return t
	}
	return t.Add(time.Second - time.Duration(t.Nanosecond()))
}
