package retention

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestEachTimeOfADayComesOnceWhenTheClocksChange(t *testing.T) {
	tests := map[string]struct {
		zone, cron, from string
		want             []string
	}{
		"Berlin skips 02:30": {"Europe/Berlin", "30 2 * * *", "2026-03-27T12:00:00Z",
			[]string{"2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		"Berlin has 02:30 twice": {"Europe/Berlin", "30 2 * * *", "2026-10-23T12:00:00Z",
			[]string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		"Berlin skips the whole hour": {"Europe/Berlin", "*/20 2 * * *", "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z", "2026-03-30T00:20:00Z"}},
		"Berlin, hourly, in spring": {"Europe/Berlin", "@hourly", "2026-03-28T23:59:59Z",
			[]string{"2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"}},
		"Berlin, hourly, in autumn": {"Europe/Berlin", "0 * * * *", "2026-10-24T23:30:00Z",
			[]string{"2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"}},
		"New York skips 02:30": {"America/New_York", "30 2 * * *", "2026-03-07T12:00:00Z",
			[]string{"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"}},
		"New York has 01:30 twice": {"America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z",
			[]string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		"asked within the second hour": {"America/New_York", "30 1 * * *", "2026-11-01T06:15:00Z",
			[]string{"2026-11-02T06:30:00Z"}},
		"Samoa skips a day": {"Pacific/Apia", "0 12 * * *", "2011-12-29T00:00:00Z",
			[]string{"2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"}},
		"UTC": {"", "0 0 29 2 *", "2026-01-01T00:00:00Z", []string{"2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := ParseSchedule(v1alpha1.SweepSchedule{Cron: tt.cron, TimeZone: tt.zone})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for now := at(tt.from); len(got) < len(tt.want); {
				now = s.Next(now)
				got = append(got, now.Format(time.RFC3339))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever the zone and the time of day: once each day, at that time where the day has it.
func TestADailyScheduleComesOnceADay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "Africa/Casablanca", "UTC"}).Draw(t, "zone")
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		s, err := ParseSchedule(v1alpha1.SweepSchedule{Cron: at("2026-01-01").Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute).Format("4 15 * * *"), TimeZone: zone})
		if err != nil {
			t.Fatal(err)
		}
		loc, _ := time.LoadLocation(zone)
		year, month := rapid.IntRange(2008, 2040).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month"))
		now := time.Date(year, month, 1, 0, 0, 0, -1, loc)
		for day := 1; day < 28; day++ {
			next := s.Next(now).In(loc)
			if next.Day() != day || next.Month() != month {
				t.Fatalf("%s: after %s comes %s, not on the %d.", zone, now, next, day)
			}
			there := time.Date(year, month, day, hour, minute, 0, 0, loc)
			if there.Hour() == hour && there.Minute() == minute && (next.Hour() != hour || next.Minute() != minute) {
				t.Fatalf("%s: %d:%d comes at %s", zone, hour, minute, next)
			}
			now = next
		}
	})
}

func TestSchedulesThatAreRefused(t *testing.T) {
	tests := map[string]struct{ cron, zone, says string }{
		"every":         {"@every 1h", "", "five fields"},
		"reboot":        {"@reboot", "", "five fields"},
		"yearly":        {"@yearly", "", "five fields"},
		"seconds":       {"0 30 2 * * *", "", "five fields"},
		"four":          {"30 2 * *", "", "five fields"},
		"empty":         {"", "", "five fields"},
		"zone in cron":  {"TZ=Europe/Berlin 2 * * *", "", "timeZone"},
		"hour 24":       {"0 24 * * *", "", "above maximum"},
		"word":          {"a 2 * * *", "", "30 2 * * *"},
		"February 30":   {"0 0 30 2 *", "", "never comes"},
		"zone":          {"0 2 * * *", "Europe/Bielefeld", "IANA"},
		"local":         {"0 2 * * *", "Local", "IANA"},
		"path":          {"0 2 * * *", "../etc/passwd", "IANA"},
		"no such month": {"0 0 1 13 *", "", "above maximum"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := ParseSchedule(v1alpha1.SweepSchedule{Cron: tt.cron, TimeZone: tt.zone})
			if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), "spec.schedule.") {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, spec := range append(slices.Clone(descriptors), "*/5 0-6,22 1-15 JAN-MAR MON", " 0 2 * * * ") {
		if _, err := ParseSchedule(v1alpha1.SweepSchedule{Cron: spec, TimeZone: "Europe/Berlin"}); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("30 2 * * *", "Europe/Berlin")
	f.Add("@daily", "UTC")
	f.Add("TZ=", "")
	f.Fuzz(func(t *testing.T, spec, zone string) {
		s, err := ParseSchedule(v1alpha1.SweepSchedule{Cron: spec, TimeZone: zone})
		if err != nil {
			return
		}
		from := at("2026-10-25")
		if next := s.Next(from); !next.IsZero() && !next.After(from) {
			t.Fatalf("%q in %q: after %s comes %s", spec, zone, from, next)
		}
	})
}
