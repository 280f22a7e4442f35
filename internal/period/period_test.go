package period

import (
	"errors"
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParsePeriod(t *testing.T) {
	tests := map[string]struct {
		want Period
		ok   bool
	}{
		"P10Y":                      {Period{Years: 10}, true},
		"P1Y2M3W4D":                 {Period{1, 2, 3, 4}, true},
		"P0D":                       {Period{}, true},
		"P30D":                      {Period{Days: 30}, true},
		"P":                         {},
		"":                          {},
		"P1":                        {},
		"PY":                        {},
		"P1D1Y":                     {},
		"P1Y1Y":                     {},
		"P1.5Y":                     {},
		"-P1Y":                      {},
		"P-1Y":                      {},
		"PT1H":                      {},
		"P1DT1H":                    {},
		"P1001Y":                    {},
		"P99999999999999999999D":    {},
		"p1y":                       {},
		" P1Y":                      {},
		"P١Y":                       {},
		"P1Y2M3W4D5Y6M7W8D9Y1M1W1D": {},
	}
	for in, tt := range tests {
		got, err := ParsePeriod(in)
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("ParsePeriod(%q) = %+v, %v; want %+v, ok %v", in, got, err, tt.want, tt.ok)
		}
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("ParsePeriod(%q): error %v is not ErrInvalid", in, err)
		}
	}
}

func TestAddPeriod(t *testing.T) {
	tests := []struct{ from, period, want string }{
		{"2026-01-31T10:00:00Z", "P1M", "2026-02-28T10:00:00Z"},
		{"2024-01-31T10:00:00Z", "P1M", "2024-02-29T10:00:00Z"},
		{"2024-02-29T00:00:00Z", "P1Y", "2025-02-28T00:00:00Z"},
		{"2024-02-29T00:00:00Z", "P4Y", "2028-02-29T00:00:00Z"},
		{"2026-01-31T00:00:00Z", "P1M1D", "2026-03-01T00:00:00Z"},
		{"2026-12-31T23:59:59.5Z", "P2W", "2027-01-14T23:59:59.5Z"},
		{"2026-03-31T00:00:00Z", "P18M", "2027-09-30T00:00:00Z"},
		{"2026-03-31T00:30:00+02:00", "P1M", "2026-04-30T22:30:00Z"},
	}
	for _, tt := range tests {
		from, _ := time.Parse(time.RFC3339Nano, tt.from)
		p, err := ParsePeriod(tt.period)
		if err != nil {
			t.Fatal(err)
		}
		if got := AddPeriod(from, p).Format(time.RFC3339Nano); got != tt.want {
			t.Errorf("%s + %s = %s, want %s", tt.from, tt.period, got, tt.want)
		}
	}
}

func TestAddPeriodNeverGoesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "t"), rapid.Int64Range(0, 999999999).Draw(t, "ns"))
		p := Period{rapid.IntRange(0, 50).Draw(t, "y"), rapid.IntRange(0, 50).Draw(t, "m"),
			rapid.IntRange(0, 50).Draw(t, "w"), rapid.IntRange(0, 50).Draw(t, "d")}
		got := AddPeriod(from, p)
		if got.Before(from) {
			t.Fatalf("%v + %+v = %v", from, p, got)
		}
		// A month has 28 days at least.
		least := from.AddDate(0, 0, 365*p.Years+28*p.Months+7*p.Weeks+p.Days-3)
		if got.Before(least) {
			t.Fatalf("%v + %+v = %v, before %v", from, p, got, least)
		}
		up := CeilSecond(got)
		if up.Before(got) || up.Sub(got) >= time.Second || up.Nanosecond() != 0 {
			t.Fatalf("CeilSecond(%v) = %v", got, up)
		}
	})
}

// drawTime draws times anywhere, and often at the ends of months and days.
func drawTime(t *rapid.T) time.Time {
	year := rapid.IntRange(1896, 2110).Draw(t, "year")
	at := time.Date(year, time.Month(rapid.IntRange(1, 12).Draw(t, "month")), 1, 0, 0, 0, 0, time.UTC)
	day := rapid.SampledFrom([]int{0, 1, 14, 26, 27, 28, 29, 30, -1, -2, -3}).Draw(t, "day")
	within := rapid.OneOf(rapid.SampledFrom([]int64{0, 1, int64(lastOfDay) - 1, int64(lastOfDay)}), rapid.Int64Range(0, int64(lastOfDay)))
	return at.AddDate(0, 0, day).Add(time.Duration(within.Draw(t, "within")))
}

func drawPeriod(t *rapid.T) Period {
	return Period{rapid.IntRange(0, 12).Draw(t, "y"), rapid.IntRange(0, 40).Draw(t, "m"), rapid.IntRange(0, 9).Draw(t, "w"), rapid.IntRange(0, 400).Draw(t, "d")}
}

func TestCutoffIsTheLatestInstantWhosePeriodHasPassed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, now := drawPeriod(t), drawTime(t)
		cutoff := p.Cutoff(now)
		if got := p.AddTo(cutoff); got.After(now) {
			t.Fatalf("%v + %+v = %v, after %v", cutoff, p, got, now)
		}
		if got := p.AddTo(cutoff.Add(1)); !got.After(now) {
			t.Fatalf("%v + %+v = %v, not after %v", cutoff.Add(1), p, got, now)
		}
		// Nothing before the cutoff is early either, although AddTo goes back where a month's end is clamped.
		before := cutoff.Add(-time.Duration(rapid.Int64Range(0, int64(5*24*time.Hour)).Draw(t, "before")))
		if got := p.AddTo(before); got.After(now) {
			t.Fatalf("%v + %+v = %v, after %v", before, p, got, now)
		}
		later := now.Add(time.Duration(rapid.Int64Range(0, int64(5*24*time.Hour)).Draw(t, "later")))
		if p.Cutoff(later).Before(cutoff) {
			t.Fatalf("cutoff of %v is %v, of %v it is %v", now, cutoff, later, p.Cutoff(later))
		}
	})
}

func TestWhatHasEndedIsWhatBeganByTheCutoff(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, began := drawPeriod(t), drawTime(t)
		end := p.EndOf(began)
		if end.Before(p.AddTo(began)) || end.After(p.AddTo(began).Add(24*time.Hour)) {
			t.Fatalf("%v + %+v ends at %v, and is %v", began, p, end, p.AddTo(began))
		}
		for _, now := range []time.Time{end.Add(-1), end, end.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "beside")))} {
			if ended, due := !end.After(now), !began.After(p.Cutoff(now)); ended != due {
				t.Fatalf("%v + %+v ends at %v; by %v with the cutoff %v it is due: %v", began, p, end, now, p.Cutoff(now), due)
			}
		}
	})
}

func TestCutoff(t *testing.T) {
	tests := []struct{ now, period, want string }{
		{"2026-08-15T10:00:00Z", "P6M", "2026-02-15T10:00:00Z"},
		{"2026-02-28T12:00:00Z", "P1M", "2026-01-28T12:00:00Z"},
		{"2026-03-01T00:00:00Z", "P1M", "2026-02-01T00:00:00Z"},
		{"2026-03-30T12:00:00Z", "P1M", "2026-02-28T23:59:59.999999999Z"},
		{"2024-02-29T06:00:00Z", "P1Y", "2023-02-28T23:59:59.999999999Z"},
		{"2025-02-28T06:00:00Z", "P1Y", "2024-02-28T06:00:00Z"},
		{"2025-03-01T06:00:00Z", "P1Y", "2024-03-01T06:00:00Z"},
		{"2026-05-01T02:00:00+02:00", "P30D", "2026-04-01T00:00:00Z"},
		{"2026-05-01T00:00:00Z", "P0D", "2026-05-01T00:00:00Z"},
	}
	for _, tt := range tests {
		now, _ := time.Parse(time.RFC3339Nano, tt.now)
		p, err := Parse(tt.period)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Cutoff(now).Format(time.RFC3339Nano); got != tt.want {
			t.Errorf("%s - %s = %s, want %s", tt.now, tt.period, got, tt.want)
		}
	}
}

func FuzzParsePeriod(f *testing.F) {
	for _, s := range []string{"P10Y", "P1Y2M3W4D", "P", "P1", "P1D1Y", "PT1H"} {
		f.Add(s)
	}
	// The pattern of the API, which may accept no more than the parser but for the numbers' size.
	pattern := regexp.MustCompile(`^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$`)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePeriod(s)
		if err == nil && !pattern.MatchString(s) {
			t.Fatalf("accepted %q", s)
		}
		if err == nil {
			AddPeriod(time.Unix(0, 0), p)
		}
	})
}
