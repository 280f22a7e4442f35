package planner

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// A text loses the words that are the identity, and nothing else.
func FuzzRedact(f *testing.F) {
	f.Add("to: Ann <ann@x.org>; \u212Aim@x.org|kim@x.organ", "ANN@x.org")
	f.Add("(kim@x.org)", "\u212Aim@x.org")
	f.Add("stra\u00dfe, STRASSE \u00c4\u00e4", "\u00e4\u00c4")
	f.Add("\xff a", "\xff")
	for _, a := range backendtest.Attacks {
		f.Add("x "+a+"\n", a)
	}
	f.Fuzz(func(t *testing.T, text, identity string) {
		const by = "\x00gone\x00"
		if strings.Contains(text, by) {
			t.Skip()
		}
		got, wanted := redact(text, []string{identity}, by), strings.TrimSpace(identity)
		if found := backend.FindWord(text, wanted, sameWord); found == (got == text) {
			t.Fatalf("%q without %q is %q; it is in the text: %t", text, identity, got, found)
		}
		rest := text
		for i, kept := range strings.Split(got, by) {
			if i > 0 {
				word := rest
				for n := range rest {
					if utf8.RuneCountInString(rest[:n]) == utf8.RuneCountInString(wanted) {
						word = rest[:n]
						break
					}
				}
				if rest = rest[len(word):]; !sameWord(word, wanted) || !sameWord(wanted, word) {
					t.Errorf("%q is taken for %q", word, wanted)
				}
				if odd := func(r rune) bool { return r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII }; word != wanted && strings.ContainsFunc(word+wanted, odd) {
					t.Errorf("%q looks like %q", word, wanted)
				}
			}
			var ok bool
			if rest, ok = strings.CutPrefix(rest, kept); !ok {
				t.Fatalf("%q without %q is %q", text, identity, got)
			}
		}
		if rest != "" {
			t.Errorf("%q without %q is %q", text, identity, got)
		}
	})
}

// What comes from a column is never a wildcard, and never ends another's: a pattern has the wildcards of its template alone, and
// values come back from it.
func FuzzKeyPattern(f *testing.F) {
	f.Add("session:{id}:*", "1")
	f.Add(`a\*{id}[x]?`, `\`)
	f.Add("{id}", "*\xff") // no text
	for _, a := range backendtest.Attacks {
		f.Add("k:{id}:*", a)
		f.Add(a, "1")
	}
	f.Fuzz(func(t *testing.T, pattern, value string) {
		tpl, err := parseTemplate(pattern)
		if err != nil || value == "" || len(tpl.columns()) != 1 {
			return
		}
		p, ok := reference{kind: backend.KeyPattern, path: tpl}.fill(func(string) (string, bool) { return value, true })
		if !ok {
			t.Fatalf("%q with %q names nothing", pattern, value)
		}
		var before, after string
		for i, part := range tpl {
			if part.column {
				for _, p := range tpl[:i] {
					before += p.text
				}
				for _, p := range tpl[i+1:] {
					after += p.text
				}
			}
		}
		middle, begins := strings.CutPrefix(p.Path, before)
		middle, ends := strings.CutSuffix(middle, after)
		if !begins || !ends {
			t.Fatalf("%q with %q is %q", pattern, value, p.Path)
		}
		plain, escaped := "", false
		for i := range len(middle) {
			switch c := middle[i]; {
			case !escaped && c == '\\':
				escaped = true
				continue
			case !escaped && strings.IndexByte(globSpecial, c) >= 0:
				t.Fatalf("%q in %q is a wildcard", value, p.Path)
			default:
				plain, escaped = plain+string([]byte{c}), false
			}
		}
		if escaped || plain != value {
			t.Errorf("%q comes back from %q as %q", value, p.Path, plain)
		}
	})
}

// Whatever a map says, it is compiled, or refused with a reason that names what is wrong.
func FuzzCompile(f *testing.F) {
	f.Add("docs/{id}", "session:{id}:*", "$.a", "P1Y", "In", "Delete", "value")
	f.Add("{x}", "{id}*", "$", "P", "Like", "Explode", "")
	for i, a := range backendtest.Attacks {
		f.Add(a, a, `$["`+a+`"]`, "P6M", "NotIn", []string{"Delete", "Anonymize", "Mark", "Keep"}[i%4], a)
	}
	f.Fuzz(func(t *testing.T, path, key, member, period, operator, action, value string) {
		e := v1alpha1.Entity{Name: "e", Store: "ats", Table: "t", Key: []string{"id"}, Category: value, LegalBasis: value, Action: v1alpha1.EntityAction(action),
			Root: &v1alpha1.Root{Rows: v1alpha1.RowsOne}, IdentifiedBy: []v1alpha1.IdentityMatch{{Column: value, Identity: "id"}},
			Conditions: []v1alpha1.Condition{{Column: value, Operator: v1alpha1.Operator(operator), Values: []string{value}}},
			Fields:     []v1alpha1.FieldChange{{Column: "doc", Path: member, Strategy: v1alpha1.StrategyConstant, Value: &value}},
			Holds:      []v1alpha1.StatutoryHold{{Name: "h", LegalBasis: value, Clock: value, Period: period}},
			Files:      []v1alpha1.FileReference{{Store: "files", Path: path}},
			Keys:       []v1alpha1.KeyReference{{Store: "cache", Key: key}}}
		g, problems := Compile([]MapSource{{Name: "m", UID: "u", Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{e}}}}, "")
		for _, p := range problems {
			if p.Reason == "" || p.Message == "" || p.Map == "" {
				t.Errorf("a problem says nothing: %+v", p)
			}
		}
		known := slices.Contains([]string{"In", "NotIn", "Exists", "DoesNotExist", "LessThan", "GreaterThan"}, operator) &&
			slices.Contains([]string{"Delete", "Anonymize", "Mark", "Keep"}, action)
		if len(problems) == 0 && (g == nil || !known) {
			t.Errorf("operator %q, action %q: no problem", operator, action)
		}
	})
}
