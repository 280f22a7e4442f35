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
