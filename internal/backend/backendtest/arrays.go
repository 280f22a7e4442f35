package backendtest

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/internal/backend"
)

// testArrays is for databases whose columns can be arrays; all others refuse what it asks for.
func testArrays(t *testing.T, e *env) {
	arrays, ok := e.b.(backend.Arrays)
	if !ok {
		e.testNoArrays(t)
		return
	}
	e.Exec(t, `CREATE TABLE crew (id BIGINT PRIMARY KEY, emails TEXT[], members INTEGER[], boats BIGINT[], codes VARCHAR(20)[])`)
	e.Exec(t, `CREATE TABLE member (id INTEGER PRIMARY KEY, person VARCHAR(50))`)
	e.Exec(t, `CREATE TABLE boat (id BIGINT PRIMARY KEY, name TEXT)`)
	e.Exec(t, `INSERT INTO member VALUES (1, '1'), (2, '10'), (10, '1'), (11, '10')`)
	e.Exec(t, `INSERT INTO boat VALUES (1, 'hers'), (2, 'theirs'), (3, 'nobody''s'), (10, 'hers too'), (11, 'his')`)
	e.Exec(t, `INSERT INTO crew VALUES (1, '{ann@example.com,NULL,"a, \"b\" {c}"}', '{1,2}', '{1,2}', '{x}'), (2, '{Ann@Example.com}', '{2,11}', '{2,11}', '{"1"}'),
		(3, '{joann@example.com,"ann@example.com, bob@x.org"}', '{10}', '{10}', '{10}'), (4, NULL, NULL, NULL, NULL), (5, '{}', '{}', '{}', '{}'),
		(6, '{bob@x.org}', '{11,NULL}', '{11,NULL}', '{11}')`)
	find := func(m backend.Match) []string {
		t.Helper()
		q := backend.Query{Entity: "crew", Table: table("crew"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{m}}
		member := backend.Query{Entity: "member", Table: table("member"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{identity("person", backend.None, "1")}}
		return found(e.b, resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{member, q}}), "crew")
	}
	WantEqual(t, "an element, whole", find(element("emails", backend.None, "ann@example.com", "x")), []string{"1"})
	WantEqual(t, "an element in lower case", find(element("emails", backend.LowerCase, "ANN@example.com")), []string{"1", "2"})
	WantEqual(t, "an element, trimmed", find(element("emails", backend.TrimLowerCase, " ann@example.com ")), []string{"1", "2"})
	WantEqual(t, "an element with all that needs quotes", find(element("emails", backend.None, `a, "b" {c}`)), []string{"1"})
	WantEqual(t, "a number", find(element("members", backend.None, "1")), []string{"1"})
	WantEqual(t, "nothing", find(element("emails", backend.None)), []string(nil))
	// References: by the elements of this table's arrays, of the same type and of another one.
	for column, want := range map[string][]string{"members": {"1", "3"}, "boats": {"1", "3"}, "codes": {"2", "3"}} {
		m := child("member", column, "id")
		m.Parent.Element = true
		WantEqual(t, "references by "+column, find(m), want)
	}
	WantEqual(t, "references by values", find(backend.Match{Values: &backend.ValuesMatch{Columns: []string{"boats"}, Rows: [][]string{{"10"}, {"2"}}, Element: true}}), []string{"1", "2", "3"})
	e.testArraysOfParents(t)
	// What is read comes apart again.
	q := backend.Query{Entity: "crew", Table: table("crew"), KeyColumns: []string{"id"}, Columns: []string{"emails", "boats"}, AnyOf: []backend.Match{identity("id", backend.None, "1", "4", "5", "6")}}
	var got [][]string
	for _, row := range resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{q}}).Rows["crew"] {
		for _, v := range row.Values {
			list, _ := arrays.Elements(v)
			got = append(got, list)
		}
	}
	if diff := cmp.Diff([][]string{{"ann@example.com", `a, "b" {c}`}, {"1", "2"}, nil, nil, {}, {}, {"bob@x.org"}, {"11"}}, got); diff != "" {
		t.Errorf("elements (-want +got):\n%s", diff)
	}
	e.testTakeElements(t)
}

// testArraysOfParents: boats are named by the crews' arrays.
func (e *env) testArraysOfParents(t *testing.T) {
	crew := backend.Query{Entity: "crew", Table: table("crew"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{identity("id", backend.None, "1", "3")}}
	for _, column := range []string{"boats", "members", "codes"} { // of the same type, of another one, and of text
		boat := backend.Query{Entity: "boat", Table: table("boat"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{child("crew", "id", column)},
			Shared: []backend.SharedMatch{{Entities: []string{"crew"}, Columns: []string{"id"}, ParentColumns: []string{column}, Element: true}}}
		boat.AnyOf[0].Parent.ParentElement = true
		res := resolve(t, e.b, backend.ResolveRequest{Queries: []backend.Query{crew, boat}})
		want, shared := []string{"1", "2", "10"}, []bool{false, true, false}
		if column == "codes" {
			want, shared = []string{"10"}, []bool{false}
		}
		WantEqual(t, "boats that the arrays "+column+" name", found(e.b, res, "boat"), want)
		for i, row := range res.Rows["boat"] {
			WantEqual(t, fmt.Sprint("others have boat ", i, " by ", column), row.Shared[0], shared[i])
		}
	}
	op := backend.Operation{Entity: "boat", Action: backend.Delete, Table: table("boat"), KeyColumns: []string{"id"}, Keys: e.keys("3"),
		Referrers: []backend.Referrer{{Table: table("crew"), Columns: []string{"boats"}, References: []string{"id"}, Element: true}}}
	WantEqual(t, "boats that nobody has", execute(t, e.b, []backend.Operation{op}), []int64{1})
	op.Keys = e.keys("11")
	_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
	wantError[*backend.StaleError](t, err, "boat")
}

func (e *env) testTakeElements(t *testing.T) {
	op := backend.Operation{Entity: "crew", Action: backend.Update, Table: table("crew"), KeyColumns: []string{"id"}, Columns: []string{"emails", "members", "codes"},
		Elements: []bool{true, true, false}}
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		op.Keys = append(op.Keys, e.keys(id)...)
		op.Set = append(op.Set, []backend.Value{e.value(`["ann@example.com", "a, \"b\" {c}"]`), e.value(`["1", "10"]`), nil})
	}
	ops := []backend.Operation{op}
	wantLeft(t, e.b, ops, 4) // 4 has none of it already
	WantEqual(t, "affected", execute(t, e.b, ops), []int64{4})
	wantLeft(t, e.b, ops, 0)
	WantEqual(t, "affected by doing it again", execute(t, e.b, ops), []int64{0})
	WantEqual(t, "crews", e.Dump(t, "SELECT id, emails, members FROM crew ORDER BY id"), []string{`1|{NULL}|{2}`, `2|{Ann@Example.com}|{2,11}`,
		`3|{joann@example.com,"ann@example.com, bob@x.org"}|{}`, `4|NULL|NULL`, `5|{}|{}`, `6|{bob@x.org}|{11,NULL}`})
	op.Elements, op.Members = []bool{true}, nil
	_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
	wantError[*backend.RefusedError](t, err, "crew")
	op.Columns, op.Elements, op.Keys, op.Set = []string{"emails", "emails"}, []bool{false, true}, e.keys("6"), [][]backend.Value{{nil, e.value(`[]`)}}
	_, err = e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
	wantError[*backend.RefusedError](t, err, "crew", "elements")
	_, err = e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "crew", Table: table("crew"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{element("id", backend.None, "1")}}}})
	wantError[*backend.RefusedError](t, err, "crew", "id", "array")
}

func element(column string, n backend.Normalization, values ...string) backend.Match {
	m := identity(column, n, values...)
	m.Identity.Element = true
	return m
}

func (e *env) testNoArrays(t *testing.T) {
	before := e.dump(t)
	parents := child("person", "id", "id")
	parents.Parent.ParentElement = true
	for _, m := range []backend.Match{element("name", backend.None, "1"), {Values: &backend.ValuesMatch{Columns: []string{"title"}, Rows: [][]string{{"1"}}, Element: true}}, parents} {
		q := backend.Query{Entity: "application", Table: table("application"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{m}}
		if m.Identity != nil {
			q.Table = table("person")
		}
		_, err := e.b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{persons(identity("id", backend.None, "1")), q}})
		wantError[*backend.RefusedError](t, err, "application", "array")
	}
	op := backend.Operation{Entity: "person", Action: backend.Update, Table: table("person"), KeyColumns: []string{"id"}, Keys: e.keys("1"), Columns: []string{"name"},
		Elements: []bool{true}, Set: [][]backend.Value{{e.value(`["Ann"]`)}}}
	_, err := e.b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
	wantError[*backend.RefusedError](t, err, "person", "array")
	e.unchanged(t, before)
}
