package mapcheck

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for text, want := range map[string][]string{
		"":                                  nil,
		"kind: A\n---\nkind: B\n":           {"A", "B"},
		"--- {kind: A}\n---\n# none\n":      {"A"},
		"---\r\nkind: A\r\n---\r\nkind: B":  {"A", "B"},
		"kind: A\nx: |\n  ---\n  kind: B\n": {"A"},
		"--- # a comment\nkind: A\n---":     {"A"},
		`{"kind": "A"}`:                     {"A"},
		"a: b":                              nil,
	} {
		documents, err := Split([]byte(text))
		var kinds []string
		for _, d := range documents {
			kinds = append(kinds, d.Kind)
		}
		if err != nil || !slices.Equal(kinds, want) {
			t.Errorf("%q: %q, %v; want %q", text, kinds, err, want)
		}
	}
}

// Whatever a file holds, it is read or refused; what is read is an object of JSON.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"kind: A\n---\nkind: B", "--- {kind: A}", "- a", "a: &x [*x]", "kind: [", "\x00", "kind: A\nkind: B", "? a", "!!binary x", "%YAML 1.1\n---\nkind: A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		documents, err := Split([]byte(text))
		if err != nil && len(documents) > 0 {
			t.Errorf("%q: documents and an error", text)
		}
		for _, d := range documents {
			var object map[string]any
			if json.Unmarshal(d.JSON, &object) != nil || d.Kind == "" || strings.TrimSpace(text) == "" {
				t.Errorf("%q: %+v", text, d)
			}
			if _, err := Schema(d); err != nil && d.Kind == KindMap {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}
