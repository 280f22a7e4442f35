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

// lastOfDay is the last instant of a day, from its beginning.
const lastOfDay = 24*time.Hour - time.Nanosecond

// EndOf is when p has passed since t and since everything before t. It is AddTo but for the days that a shorter month has no
// counterparts of: those end together, with the last day of the month (any time of January 29, 30 or 31 plus P1M is the end of
// February 28), for AddTo alone would let the evening of January 28 end after the morning of January 31.
func (p Period) EndOf(t time.Time) time.Time {
	end := p.AddTo(t)
	day := startOfDay(t)
	if target := p.AddTo(day); p.AddTo(day.AddDate(0, 0, -1)).Equal(target) {
		return target.Add(lastOfDay)
	}
	return end
}

// Cutoff is the latest instant such that p has passed by now since it and since everything before it: what began at t has
// ended by now (EndOf) exactly if t is at or before the cutoff. So AddTo never goes beyond now for anything up to the cutoff.
func (p Period) Cutoff(now time.Time) time.Time {
	now = now.UTC()
	today := startOfDay(now)
	sinceMidnight := now.Sub(today)
	day := today.AddDate(-p.Years, -p.Months, -7*p.Weeks-p.Days)
	for !p.AddTo(day).Before(today) {
		day = day.AddDate(0, 0, -1)
	}
	for p.AddTo(day).Before(today) {
		day = day.AddDate(0, 0, 1)
	}
	// day is the first that reaches today, or the first beyond it.
	if !p.AddTo(day).Equal(today) {
		return day.Add(-time.Nanosecond)
	}
	if sinceMidnight < lastOfDay {
		return day.Add(sinceMidnight)
	}
	for p.AddTo(day.AddDate(0, 0, 1)).Equal(today) {
		day = day.AddDate(0, 0, 1)
	}
	return day.Add(lastOfDay)
}

func startOfDay(t time.Time) time.Time {
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
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
