package mysql

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// A value fits its column and has one form there, or it is refused, and the refusal does not show it.
func FuzzOperand(f *testing.F) {
	kinds := []string{text, enum, integer, unsigned, decimal, single, double, bit, year, datetime, daytime, binary, spatial, document, other}
	for i := range kinds {
		for _, s := range []string{"", "1", "-01", "1.50", "1e3", "2024-02-29", "0000-00-00", "2024-02-30 25:00", "-838:59:59", `\x00ff`, "\xff", "+18446744073709551615"} {
			f.Add(uint8(i), s)
		}
	}
	for i, a := range backendtest.Attacks {
		f.Add(uint8(i), a)
	}
	f.Fuzz(func(t *testing.T, kind uint8, s string) {
		c := &core.Column{Name: "c", Type: "a type", Stored: "decimal(10,2)", Category: kinds[int(kind)%len(kinds)]}
		got, err := operand(c, s)
		if err != nil {
			var refused *backend.RefusedError
			if !errors.As(err, &refused) || len(s) > 8 && strings.Contains(err.Error(), s) {
				t.Errorf("%s %q: %v", c.Category, s, err)
			}
			return
		}
		again, err := operand(c, got)
		if c.Category == binary || c.Category == spatial { // bytes in hexadecimal are text again
			again, err = operand(c, hexPrefix+got)
		}
		if err != nil || again != got {
			t.Errorf("%s %q is %q, and that is %q: %v", c.Category, s, got, again, err)
		}
	})
}

// The spellings of a member's path name the same member, which is found by what they say.
func FuzzSpellings(f *testing.F) {
	for _, s := range []string{"email", "straße/1", "a\tb", "😀", "<&>", "\u2028", "-", "a.b", "a]b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || strings.ContainsAny(name, "\"\\\x00") || strings.ToValidUTF8(name, "") != name {
			t.Skip("no name that a map can have")
		}
		paths := spellings([]string{"x", name})
		if len(paths) == 0 || len(paths) > 5 || len(slices.Compact(slices.Sorted(slices.Values(paths)))) != len(paths) {
			t.Fatalf("%q: %q", name, paths)
		}
		for _, p := range paths {
			quoted, ok := strings.CutPrefix(p, `$."x".`)
			if got := unquoted(t, quoted); !ok || got != name {
				t.Errorf("%q: %s says %q", name, p, got)
			}
		}
	})
}

func unquoted(t *testing.T, quoted string) string {
	t.Helper()
	var s string
	if err := json.Unmarshal([]byte(quoted), &s); err != nil {
		t.Fatalf("%s: %v", quoted, err)
	}
	return s
}
