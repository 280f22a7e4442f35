package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Schedule says when to sweep, on the wall clock of a time zone.
//
// When the clocks change, each time of a schedule comes exactly once: one that the day skips comes at the end of the gap (02:30
// in Berlin at 03:00), one that the day has twice the first time. So an hourly schedule has no time in the second of two
// repeated hours.
type Schedule struct {
	wall cron.Schedule
	zone *time.Location
}

var descriptors = []string{"@hourly", "@daily", "@weekly", "@monthly"}

// ParseSchedule reads a schedule.
func ParseSchedule(s v1alpha1.SweepSchedule) (Schedule, error) {
	name := s.TimeZone
	if name == "" {
		name = "UTC"
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return Schedule{}, fmt.Errorf("spec.schedule.timeZone: %q is no time zone of the IANA database; name one such as Europe/Berlin", s.TimeZone)
	}
	spec := strings.TrimSpace(s.Cron)
	if !slices.Contains(descriptors, spec) && len(strings.Fields(spec)) != 5 {
		return Schedule{}, fmt.Errorf("spec.schedule.cron: %q must have five fields (minute, hour, day of month, month, day of week), for example 30 2 * * *, or be one of %s", s.Cron, strings.Join(descriptors, ", "))
	}
	if strings.Contains(spec, "=") {
		return Schedule{}, fmt.Errorf("spec.schedule.cron: %q must not name a time zone; use spec.schedule.timeZone", s.Cron)
	}
	// Times are looked for on a clock without changes, and found in the zone afterwards.
	wall, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor).Parse("TZ=UTC " + spec)
	if err != nil {
		return Schedule{}, fmt.Errorf("spec.schedule.cron: %q: %w; for example 30 2 * * * is each day at half past two", s.Cron, err)
	}
	if wall.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Schedule{}, fmt.Errorf("spec.schedule.cron: %q never comes, such as a February 30; correct the day or the month", s.Cron)
	}
	return Schedule{wall: wall, zone: zone}, nil
}

// Next is the first time of the schedule after a time, in UTC; zero where none comes within five years.
func (s Schedule) Next(after time.Time) time.Time {
	// A wall clock that went back shows times of before again; those are over.
	for wall := onWall(after.In(s.zone)); ; {
		wall = s.wall.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := s.instant(wall); at.After(after) {
			return at.UTC()
		}
	}
}

// onWall is what the wall clock shows, as if it were UTC.
func onWall(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// instant is when the wall clock first shows a time, or the end of the gap that skips it.
func (s Schedule) instant(wall time.Time) time.Time {
	near := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, s.zone)
	var first time.Time
	for _, beside := range []time.Duration{-26 * time.Hour, 26 * time.Hour} {
		_, offset := near.Add(beside).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second).In(s.zone)
		if onWall(at).Equal(wall) && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if !first.IsZero() {
		return first
	}
	start, end := near.ZoneBounds()
	if onWall(near).Before(wall) {
		return end
	}
	return start
}
