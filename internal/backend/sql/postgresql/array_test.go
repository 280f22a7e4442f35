package postgresql_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// oddElements are texts that the notation of arrays, JSON or a careless comparison takes for something else.
var oddElements = []string{"a", "A", "a ", " a", "", "NULL", "null", `"`, `\`, `\\`, `a"b`, `a\"b`, "{", "}", "{a,b}", "a,b", ",", "'", "a_b", "a%b", "é", "e\u0301",
	"а", "ａ", "👩‍👩‍👧", "\u202ea", "a\nb", "a\tb", "\u00a0", "\u2028", "[1]", "[0:1]={a}", `["x"]`, "$1", "--", ";", strings.Repeat("é'\"\\", 2500)}

// TestElementsAreTakenOutOneByOne: each element alone, of an array that has all of them and NULLs between.
func TestElementsAreTakenOutOneByOne(t *testing.T) {
	for _, kind := range []string{"text[]", "varchar(20000)[]", "citext[]", "mails", "mail[]", "mails2"} {
		t.Run(kind, func(t *testing.T) {
			d := newDatabase(t)
			for _, s := range []string{`CREATE EXTENSION citext`, `CREATE DOMAIN mail AS text`, `CREATE DOMAIN mails AS text[]`, `CREATE DOMAIN mails2 AS mails`,
				fmt.Sprintf(`CREATE TABLE crew (id int PRIMARY KEY, emails %s)`, kind)} {
				d.Exec(t, s)
			}
			var all []*string
			for i := range oddElements {
				all = append(all, &oddElements[i], nil)
			}
			d.Exec(t, `INSERT INTO crew VALUES (1, $1::text[]::`+kind+`), (2, $1::text[]::`+kind+`)`, all)
			b := d.Open(t, backendtest.Limits{})
			q := backend.Query{Entity: "crew", Table: backend.Table{Name: "crew"}, KeyColumns: []string{"id"}, Columns: []string{"emails"}}
			before := d.Dump(t, `SELECT emails FROM crew WHERE id = 2`)
			for i, v := range oddElements {
				q.AnyOf = []backend.Match{{Identity: &backend.IdentityMatch{Column: "emails", Values: []string{v}, Element: true}}}
				res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
				if err != nil {
					t.Fatal(err)
				}
				row := res.Rows["crew"][0]
				list, ok := b.(backend.Arrays).Elements(row.Values[0])
				if diff := cmp.Diff(oddElements[i:], list); !ok || diff != "" {
					t.Fatalf("element %d: read (-want +got):\n%s", i, diff)
				}
				takeOut(t, b, v, 1)
				left := d.Dump(t, `SELECT count(*), count(e) FROM unnest((SELECT emails::text[] FROM crew WHERE id = 1)) e`)
				if want := fmt.Sprintf("%d|%d", 2*len(oddElements)-i-1, len(oddElements)-i-1); left[0] != want {
					t.Fatalf("element %d: left %v, want %s", i, left, want)
				}
			}
			if diff := cmp.Diff(before, d.Dump(t, `SELECT emails FROM crew WHERE id = 2`)); diff != "" {
				t.Errorf("somebody else's array:\n%s", diff)
			}
		})
	}
}

// takeOut takes a text out of the array of crew 1.
func takeOut(t *testing.T, b backend.Backend, text string, want int64) {
	t.Helper()
	set, err := json.Marshal([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	ops := []backend.Operation{{Entity: "crew", Action: backend.Update, Table: backend.Table{Name: "crew"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}},
		Columns: []string{"emails"}, Elements: []bool{true}, Set: [][]backend.Value{{b.FromText(string(set))}}}}
	for _, step := range []struct{ left, affected int64 }{{want, want}, {0, 0}} {
		if left, err := b.Verify(ctx, ops); err != nil || left[0] != step.left {
			t.Fatalf("left before: %v, %v, want %d", left, err, step.left)
		}
		if got, err := b.Execute(ctx, backend.Batch{Operations: ops}); err != nil || got.Affected[0] != step.affected {
			t.Fatalf("affected: %v, %v, want %d", got, err, step.affected)
		}
	}
}

// TestElementsOfAllTypes: what is read of an element of any type is what is taken out, and a value is not cut to the length of
// a type until it equals another subject's.
func TestElementsOfAllTypes(t *testing.T) {
	for _, c := range []struct{ kind, array, own, other string }{
		{"char(5)[]", `{"abc","abcde","ab"}`, "abc", "abcdef"},
		{"varchar(5)[]", `{abcde,abcd}`, "abcde", "abcdef"},
		{"mail[]", `{abcde,abcd}`, "abcde", "abcdef"},
		{"mail2[]", `{abcde,abcd}`, "abcde", "abcdef"},
		{"bpchars", `{abc,ab}`, "abc", "abcdef"},
		{"inet[]", `{10.0.0.1,10.0.0.0/8,::1}`, "10.0.0.1", "10.0.0.2"},
		{"cidr[]", `{10.0.0.0/8}`, "10.0.0.0/8", "10.0.0.0/16"},
		{"boolean[]", `{t,f}`, "t", ""},
		{"numeric(5,1)[]", `{1.0,2}`, "1.0", "1.01"},
		{"uuid[]", `{00000000-0000-0000-0000-00000000000a}`, "00000000-0000-0000-0000-00000000000A", "00000000-0000-0000-0000-00000000000b"},
		{"bit(3)[]", `{101}`, "101", "1011"},
		{"mood[]", `{good,bad}`, "good", ""},
		{`"char"[]`, `{a,b}`, "a", "c"},
		{"name[]", `{abc}`, "abc", "abcd"},
		{"pair[]", `{"(a,)","(,)",NULL}`, "(a,)", "(b,)"},
		{"date[]", `{2024-02-29}`, "2024-02-29", "2024-02-28"},
	} {
		t.Run(c.kind, func(t *testing.T) {
			d := newDatabase(t)
			for _, s := range []string{`CREATE DOMAIN mail AS varchar(5) CHECK (value <> '')`, `CREATE DOMAIN mail2 AS mail`, `CREATE DOMAIN bpchars AS char(5)[]`,
				`CREATE TYPE mood AS ENUM ('good', 'bad')`, `CREATE TYPE pair AS (x text, y int)`, `CREATE TABLE crew (id int PRIMARY KEY, emails ` + c.kind + `)`, `INSERT INTO crew VALUES (1, '` + c.array + `')`} {
				d.Exec(t, s)
			}
			b := d.Open(t, backendtest.Limits{})
			q := backend.Query{Entity: "crew", Table: backend.Table{Name: "crew"}, KeyColumns: []string{"id"}, Columns: []string{"emails"}}
			find := func(v string) []backend.Row {
				t.Helper()
				q.AnyOf = []backend.Match{{Identity: &backend.IdentityMatch{Column: "emails", Values: []string{v}, Element: true}}}
				res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
				if err != nil {
					t.Fatal(err)
				}
				return res.Rows["crew"]
			}
			if c.other != "" && len(find(c.other)) != 0 {
				t.Errorf("%q is found by %q", c.array, c.other)
			}
			rows := find(c.own)
			if len(rows) != 1 {
				t.Fatalf("%q is not found by %q", c.array, c.own)
			}
			list, ok := b.(backend.Arrays).Elements(rows[0].Values[0])
			if i := slices.IndexFunc(list, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), c.own) }); !ok || i < 0 {
				t.Fatalf("%q is read as %q", c.array, list)
			} else {
				takeOut(t, b, list[i], 1)
			}
			if len(find(c.own)) != 0 {
				t.Errorf("%q is still there", c.own)
			}
		})
	}
}

// TestValuesOfNestedDomains: a domain of a domain has the type of the innermost, without its length.
func TestValuesOfNestedDomains(t *testing.T) {
	d := newDatabase(t)
	for _, s := range []string{`CREATE DOMAIN mail AS varchar(5) CHECK (value <> '')`, `CREATE DOMAIN mail2 AS mail`, `CREATE TABLE person (id mail2 PRIMARY KEY)`,
		`INSERT INTO person VALUES ('abcde')`} {
		d.Exec(t, s)
	}
	b := d.Open(t, backendtest.Limits{})
	for v, want := range map[string]int{"abcde": 1, "abcdef": 0} {
		res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "person", Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"},
			AnyOf: []backend.Match{{Identity: &backend.IdentityMatch{Column: "id", Values: []string{v}}}}}}})
		if err != nil || len(res.Rows["person"]) != want {
			t.Errorf("%s: %v, %v", v, res, err)
		}
	}
}

// TestOddArraysStay: an array of several dimensions, or that begins elsewhere, has no elements that could be told, and is not
// made another one.
func TestOddArraysStay(t *testing.T) {
	for _, array := range []string{`{{a,b},{c,d}}`, `[0:1]={a,b}`, `[-1:0]={a,NULL}`} {
		d := newDatabase(t)
		d.Exec(t, `CREATE TABLE crew (id int PRIMARY KEY, emails text[])`)
		d.Exec(t, `INSERT INTO crew VALUES (1, '`+array+`')`)
		b := d.Open(t, backendtest.Limits{})
		if list, ok := b.(backend.Arrays).Elements(&array); ok {
			t.Errorf("%s is read as %q", array, list)
		}
		set := `["a"]`
		ops := []backend.Operation{{Entity: "crew", Action: backend.Update, Table: backend.Table{Name: "crew"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}},
			Columns: []string{"emails"}, Elements: []bool{true}, Set: [][]backend.Value{{&set}}}}
		_, err := b.Execute(ctx, backend.Batch{Operations: ops})
		left, verr := b.Verify(ctx, ops)
		if got := d.Dump(t, `SELECT emails FROM crew`)[0]; got != array || verr != nil || left[0] != 1 {
			t.Errorf("%s is now %s, %v; left %v, %v", array, got, err, left, verr)
		}
	}
}

// TestReferencesOfDomains: ids and arrays of domains refer as those of the types behind them.
func TestReferencesOfDomains(t *testing.T) {
	for _, types := range [][2]string{{"id", "bigint[]"}, {"bigint", "id[]"}, {"id", "ids"}, {"id2", "id[]"}, {"id", "text[]"}, {"varchar(3)", "short[]"}} {
		d := newDatabase(t)
		for _, s := range []string{`CREATE DOMAIN id AS bigint`, `CREATE DOMAIN id2 AS id`, `CREATE DOMAIN ids AS id[]`, `CREATE DOMAIN short AS varchar(2)`,
			fmt.Sprintf(`CREATE TABLE boat (id %s PRIMARY KEY)`, types[0]), fmt.Sprintf(`CREATE TABLE crew (id int PRIMARY KEY, boats %s)`, types[1]),
			`INSERT INTO boat VALUES ('1'), ('10'), ('100')`, `INSERT INTO crew VALUES (1, '{1,10}'), (2, '{10}'), (3, '{NULL}'), (4, NULL)`} {
			d.Exec(t, s)
		}
		b := d.Open(t, backendtest.Limits{})
		boat := backend.Query{Entity: "boat", Table: backend.Table{Name: "boat"}, KeyColumns: []string{"id"},
			AnyOf: []backend.Match{{Identity: &backend.IdentityMatch{Column: "id", Values: []string{"10"}}}}}
		crew := backend.Query{Entity: "crew", Table: backend.Table{Name: "crew"}, KeyColumns: []string{"id"},
			AnyOf: []backend.Match{{Parent: &backend.ParentMatch{Entity: "boat", Columns: []string{"boats"}, ParentColumns: []string{"id"}, Element: true}}}}
		find := func(queries ...backend.Query) int {
			t.Helper()
			res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: queries})
			if err != nil {
				t.Fatalf("%v: %v", types, err)
			}
			return len(res.Rows[queries[1].Entity])
		}
		if n := find(boat, crew); n != 2 {
			t.Errorf("%v: %d crews have boat 10", types, n)
		}
		crew.AnyOf = []backend.Match{{Identity: &backend.IdentityMatch{Column: "id", Values: []string{"1"}}}}
		boat.AnyOf = []backend.Match{{Parent: &backend.ParentMatch{Entity: "crew", Columns: []string{"id"}, ParentColumns: []string{"boats"}, ParentElement: true}}}
		boat.Shared = []backend.SharedMatch{{Entities: []string{"crew"}, Columns: []string{"id"}, ParentColumns: []string{"boats"}, Element: true}}
		if n := find(crew, boat); n != 2 {
			t.Errorf("%v: crew 1 has %d boats", types, n)
		}
		op := backend.Operation{Entity: "boat", Action: backend.Delete, Table: boat.Table, KeyColumns: boat.KeyColumns, Keys: []backend.Key{{"10"}},
			Referrers: []backend.Referrer{{Table: crew.Table, Columns: []string{"boats"}, References: []string{"id"}, Element: true}}}
		var stale *backend.StaleError
		if _, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}}); !errors.As(err, &stale) {
			t.Errorf("%v: %v", types, err)
		}
	}
}

// TestElementsOfCollations: an element is compared exactly, too.
func TestElementsOfCollations(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, `CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level1', deterministic = false)`)
	d.Exec(t, `CREATE TABLE crew (id int PRIMARY KEY, emails text[] COLLATE ci)`)
	d.Exec(t, `INSERT INTO crew VALUES (1, '{ann}'), (2, '{ANN,x}'), (3, '{änn}')`)
	b := d.Open(t, backendtest.Limits{})
	for n, want := range map[backend.Normalization]int{backend.None: 1, backend.LowerCase: 2} {
		res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "crew", Table: backend.Table{Name: "crew"}, KeyColumns: []string{"id"},
			AnyOf: []backend.Match{{Identity: &backend.IdentityMatch{Column: "emails", Values: []string{"ann"}, Normalize: n, Element: true}}}}}})
		if err != nil || len(res.Rows["crew"]) != want {
			t.Errorf("%s: %+v, %v", n, res, err)
		}
	}
}
