package backendtest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
)

// FuzzIdentities holds what a database finds by an identity against a comparison of the suite's own: a column that has all of a
// text, and one in which the database takes letters for the same as it likes.
func FuzzIdentities(f *testing.F, db Database) {
	db.Exec(f, fmt.Sprintf(`CREATE TABLE folded (id BIGINT PRIMARY KEY, exact %s, content TEXT)`, db.Dialect().KeyText))
	db.Exec(f, `INSERT INTO folded VALUES (1, NULL, NULL)`)
	b := db.Open(f, Limits{})
	for _, s := range [][2]string{{"Ann@Example.com", "ann@example.com"}, {" ann@x.org\t", "ANN@x.org"}, {"\u212Aim@x.org", "kim@x.org"}, {"k\u00e9", "\u212A\u00c9"},
		{"\u0130\u00e9", "i\u00e9"}, {"M\u00fcLLER", "m\u00dcller"}, {"to: Ann <ann@x.org>; b", "ann@x.org"}, {"ann@x.organ", "ann@x.org"}, {"e\u0301", "\u00e9"}, {"\u03a3\u03c3\u03c2", "\u03c3\u03c3\u03c3"},
		{"stra\u00dfe", "STRASSE"}, {"a\u00a0", "a"}, {"a ", "a"}, {"", ""}, {"\u00c5", "\u212b"}, {"\U0001D400", "a"}, {"\uff41", "a"}, {"%", "_"}, {"x\x01", "X\x01"}} {
		for n := range uint8(3) {
			f.Add(s[0], s[1], n, false)
			f.Add(s[0], s[1], n, true)
		}
	}
	for _, a := range Attacks {
		f.Add(a, a, uint8(1), false)
	}
	f.Fuzz(func(t *testing.T, stored, wanted string, n uint8, contains bool) {
		if !utf8.ValidString(stored) || strings.ContainsRune(stored, 0) || utf8.RuneCountInString(stored) > 100 {
			t.Skip("no text that the column takes")
		}
		db.Exec(t, `UPDATE folded SET exact = $1, content = $2 WHERE id = 1`, stored, stored)
		m := backend.IdentityMatch{Values: []string{wanted}, Contains: contains,
			Normalize: []backend.Normalization{backend.None, backend.LowerCase, backend.TrimLowerCase}[n%3]}
		for _, m.Column = range []string{"exact", "content"} {
			got, ok := finds(t, b, m)
			must, may := shouldFind(m, stored)
			if ok && (must && !got || got && !may) {
				t.Errorf("%q with %q in column %s, %s, contains %t: found %t", stored, wanted, m.Column, m.Normalize, contains, got)
			}
		}
	})
}

// finds asks the database; not ok if it refuses the identity, which it may where no text can be it.
func finds(t *testing.T, b backend.Backend, m backend.IdentityMatch) (found, ok bool) {
	t.Helper()
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: table("folded"), KeyColumns: []string{"id"},
		AnyOf: []backend.Match{{Identity: &m}}}}})
	if err == nil {
		return len(res.Rows["e"]) > 0, true
	}
	wanted := m.Values[0]
	var refused *backend.RefusedError
	unfit := !utf8.ValidString(wanted) || strings.ContainsRune(wanted, 0) || m.Contains && strings.Trim(strings.TrimSpace(wanted), backend.WordSeparators) == ""
	if !errors.As(err, &refused) || !unfit || len(wanted) > 8 && strings.Contains(err.Error(), wanted) {
		t.Errorf("%q: %v", wanted, err)
	}
	return false, false
}

// shouldFind tells what a match must find, and what it may: beyond the letters that everybody has, databases differ in what
// lower case is.
func shouldFind(m backend.IdentityMatch, stored string) (must, may bool) {
	wanted, texts := m.Values[0], []string{stored}
	if m.Contains {
		texts = wordsIn(stored)
		if m.Normalize == backend.TrimLowerCase {
			wanted = strings.TrimSpace(wanted)
		}
	}
	for _, text := range texts {
		mustBe, mayBe := sameFolded(text, wanted, m.Normalize)
		must, may = must || mustBe, may || mayBe
	}
	return must, may
}

// wordsIn are all parts of a text between separators or its ends, with the punctuation at their ends and without.
func wordsIn(text string) (words []string) {
	separates := func(s string) bool { return s == "" || strings.ContainsAny(s, backend.WordSeparators) }
	runes := strings.Split(text, "")
	for i := range runes {
		before := strings.Join(runes[:i], "")
		for j := i + 1; j <= len(runes); j++ {
			after := strings.Join(runes[j:], "")
			last := func(s string) string { _, n := utf8.DecodeLastRuneInString(s); return s[len(s)-n:] }
			first := func(s string) string { _, n := utf8.DecodeRuneInString(s); return s[:n] }
			if word := strings.Join(runes[i:j], ""); separates(last(before)) && separates(first(after)) || backend.TakesPunctuation(word) &&
				separates(last(strings.TrimRight(before, backend.WordPunctuation))) && separates(first(strings.TrimLeft(after, backend.WordPunctuation))) {
				words = append(words, word)
			}
		}
	}
	return words
}

func sameFolded(stored, wanted string, n backend.Normalization) (must, may bool) {
	if n == backend.None {
		return stored == wanted, stored == wanted
	}
	equal := stored == wanted
	if n == backend.TrimLowerCase {
		const white = " \t\n\v\f\r"
		stored, wanted = strings.Trim(stored, white), strings.Trim(wanted, white)
	}
	// Letters outside ASCII with a lower case inside are taken for nothing else.
	odd := func(r rune) bool { return r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII }
	if strings.ContainsFunc(stored, odd) || strings.ContainsFunc(wanted, odd) {
		return equal, stored == wanted
	}
	common := func(r rune) bool { // ASCII, Latin and Cyrillic
		return r <= unicode.MaxASCII || r >= 0xC0 && r <= 0xFE && r != 0xD7 && r != 0xDF && r != 0xF7 || r >= 0x410 && r <= 0x44F
	}
	known := !strings.ContainsFunc(stored+wanted, func(r rune) bool { return !common(r) })
	lowerStored, lowerWanted := strings.ToLower(stored), strings.ToLower(wanted) // not the same question as EqualFold
	must = asciiLower(stored) == asciiLower(wanted) || known && lowerStored == lowerWanted
	return must, must || !isASCII(wanted) && !isASCII(stored) && (strings.EqualFold(stored, wanted) || lowerStored == lowerWanted)
}

func asciiLower(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}

// FuzzConditions holds conditions against a reading of the suite's own, and asks in three ways: as a scope, as a flag, and as
// what keeps a record from being changed.
func FuzzConditions(f *testing.F, db Database) {
	d := db.Dialect()
	db.Exec(f, fmt.Sprintf(`CREATE TABLE cond (id BIGINT PRIMARY KEY, t %s, n BIGINT, d %s, mark BIGINT)`, d.KeyText, d.Timestamp))
	db.Exec(f, `INSERT INTO cond VALUES (1, NULL, NULL, NULL, 0)`)
	b := db.Open(f, Limits{})
	for column := range uint8(3) {
		for op := range uint8(6) {
			for _, v := range []string{"", "1", "10", "-1", "01", " 1", "1.0", "1e1", "9223372036854775808", "x", "A\x1fa", "2024-02-29 10:11:12", "2024-02-30", "now", "NaN", "null", "\xff", "\x00"} {
				f.Add("a", int64(1), false, column, op, v)
			}
		}
	}
	for i, a := range Attacks {
		f.Add(a, int64(i), i%5 == 0, uint8(i), uint8(i), a)
	}
	f.Fuzz(func(t *testing.T, text string, number int64, null bool, column, op uint8, values string) {
		if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || utf8.RuneCountInString(text) > 100 {
			t.Skip("no text that the column takes")
		}
		at := fmt.Sprintf("%04d-02-%02d 03:04:05", 1000+uint64(number)%1100, 1+uint64(number)%28)
		args := []any{text, number, at}
		if null {
			args = []any{nil, nil, nil}
		}
		db.Exec(t, `UPDATE cond SET t = $1, n = $2, d = $3, mark = 0 WHERE id = 1`, args...)
		c := backend.Condition{Column: []string{"t", "n", "d"}[column%3],
			Operator: []backend.Operator{backend.In, backend.NotIn, backend.Exists, backend.DoesNotExist, backend.LessThan, backend.GreaterThan}[op%6]}
		if c.Operator != backend.Exists && c.Operator != backend.DoesNotExist {
			c.Values = strings.Split(values, "\x1f")
		}
		if c.Operator == backend.LessThan || c.Operator == backend.GreaterThan {
			c.Values = c.Values[:1]
		}
		got, ok := meets(t, b, c)
		if !ok {
			return
		}
		must, may := shouldMeet(c, text, number, null)
		if must && !got || got && !may {
			t.Errorf("%+v holds for %q %d NULL %t: %t", c, text, number, null, got)
		}
		if rows := db.Dump(t, "SELECT count(*) FROM cond"); !slices.Equal(rows, []string{"1"}) {
			t.Errorf("%+v: %v rows are left", c, rows)
		}
	})
}

// meets asks in all ways; not ok if the database refuses the value, which it must in all of them then.
func meets(t *testing.T, b backend.Backend, c backend.Condition) (meets, ok bool) {
	t.Helper()
	q := backend.Query{Entity: "e", Table: table("cond"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{identity("id", backend.None, "1")}}
	flagged, scoped := q, q
	flagged.Flags, scoped.Scope = [][]backend.Condition{{c}}, []backend.Condition{c}
	byFlag, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{flagged}})
	if err != nil {
		var refused *backend.RefusedError
		if !errors.As(err, &refused) {
			t.Errorf("%+v: %v", c, err)
		}
		for _, v := range c.Values {
			if len(v) > 8 && strings.Contains(err.Error(), v) {
				t.Errorf("%+v: the error shows the value: %v", c, err)
			}
		}
		return false, false
	}
	byScope, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{scoped}})
	if err != nil || len(byFlag.Rows["e"]) != 1 {
		t.Fatalf("%+v: %v", c, err)
	}
	meets = byFlag.Rows["e"][0].Flags[0]
	one := "1"
	res, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{{Entity: "e", Action: backend.Update, Table: table("cond"), KeyColumns: []string{"id"},
		Keys: []backend.Key{{"1"}}, Columns: []string{"mark"}, Set: [][]backend.Value{{&one}}, Unless: [][]backend.Condition{{c}}}}})
	var stale *backend.StaleError
	kept := errors.As(err, &stale)
	if !kept && err != nil || !kept && res.Affected[0] != 1 || kept != meets || len(byScope.Rows["e"]) == 1 != meets {
		t.Errorf("%+v holds as a flag: %t, as a scope: %t, keeps a record: %t, %v", c, meets, len(byScope.Rows["e"]) == 1, kept, err)
	}
	return meets, true
}

// shouldMeet tells whether a condition must hold, and whether it may: databases read some numbers and times that others do not.
func shouldMeet(c backend.Condition, text string, number int64, null bool) (must, may bool) {
	var equal func(v string) (must, may bool)
	switch c.Column {
	case "t":
		equal = func(v string) (bool, bool) { return v == text, v == text }
	case "n":
		equal = func(v string) (bool, bool) {
			same := v == strconv.FormatInt(number, 10)
			other, err := strconv.ParseInt(v, 10, 64)
			return same, same || err != nil || other == number
		}
	default:
		equal = func(string) (bool, bool) { return false, true }
	}
	switch c.Operator {
	case backend.Exists:
		return !null, !null
	case backend.DoesNotExist:
		return null, null
	case backend.In, backend.NotIn:
		for _, v := range c.Values {
			mustBe, mayBe := equal(v)
			must, may = must || mustBe, may || mayBe
		}
		if c.Operator == backend.In {
			return must && !null, may && !null
		}
		return null || !may, null || !must
	}
	if null {
		return false, false
	}
	if v, err := strconv.ParseInt(c.Values[0], 10, 64); err == nil && c.Column == "n" {
		less, more := number < v, number > v
		if c.Operator == backend.LessThan {
			return less, less
		}
		return more, more
	}
	return false, true
}
