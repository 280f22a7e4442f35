package backendtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
)

// alike are texts that one collation or another takes for the same.
var alike = []string{"ann", "Ann", "ANN", "änn", "ÄNN", "a\u0308nn", "ａnn", "ann ", "ann  ", "an\u200bn", "straße", "strasse", "1", "1 ", "01", "１", "①"}

// testCollations: whatever a column's collation takes for the same, only the very text is found, referred to, updated and deleted.
func testCollations(t *testing.T, e *env) {
	d := e.Dialect()
	for _, s := range d.Prepare {
		e.Exec(t, s)
	}
	e.Exec(t, fmt.Sprintf(`CREATE TABLE known (n BIGINT PRIMARY KEY, id %s)`, d.KeyText))
	for i, v := range alike {
		e.Exec(t, `INSERT INTO known VALUES ($1, $2)`, i, v)
	}
	for i, kind := range append([]string{d.KeyText}, d.Folding...) {
		t.Run(kind, func(t *testing.T) {
			f := folding{env: e, table: table(fmt.Sprint("folding", i))}
			e.Exec(t, fmt.Sprintf(`CREATE TABLE %s (id BIGINT PRIMARY KEY, v %s, note TEXT)`, f.table.Name, kind))
			e.Exec(t, fmt.Sprintf(`CREATE INDEX %s_v ON %s (v)`, f.table.Name, f.table.Name))
			for i, v := range alike {
				e.Exec(t, fmt.Sprintf(`INSERT INTO %s VALUES ($1, $2, 'n')`, f.table.Name), i, v)
			}
			f.testFinding(t)
			f.testWriting(t)
		})
	}
}

// folding is a table whose column v has all of the texts, at the id of their place.
type folding struct {
	*env
	table backend.Table
}

func (f folding) find(t *testing.T, m backend.Match, scope ...backend.Condition) []string {
	t.Helper()
	known := backend.Query{Entity: "known", Table: table("known"), KeyColumns: []string{"n"}}
	if m.Parent != nil {
		known.AnyOf = []backend.Match{identity("id", backend.None, m.Parent.Entity)}
		m.Parent.Entity = "known"
	}
	q := backend.Query{Entity: "e", Table: f.table, KeyColumns: []string{"id"}, AnyOf: []backend.Match{m}, Scope: scope}
	return found(f.b, resolve(t, f.b, backend.ResolveRequest{Queries: []backend.Query{known, q}}), "e")
}

func (f folding) testFinding(t *testing.T) {
	all := backend.Match{Values: &backend.ValuesMatch{Columns: []string{"note"}, Rows: [][]string{{"n"}}}}
	for i, v := range alike {
		for what, got := range map[string][]string{
			"identity":   f.find(t, identity("v", backend.None, v)),
			"values":     f.find(t, backend.Match{Values: &backend.ValuesMatch{Columns: []string{"v", "note"}, Rows: [][]string{{v, "n"}, {v, "N"}}}}),
			"loose":      f.find(t, backend.Match{Values: &backend.ValuesMatch{Columns: []string{"v"}, Rows: [][]string{{v}}, Loose: true}}),
			"a scope":    f.find(t, all, backend.Condition{Column: "v", Operator: backend.In, Values: []string{v}}),
			"references": f.find(t, child(v, "v", "id")),
		} {
			WantEqual(t, fmt.Sprintf("%s %q", what, v), got, []string{fmt.Sprint(i)})
		}
		others := f.find(t, all, backend.Condition{Column: "v", Operator: backend.NotIn, Values: []string{v}})
		WantEqual(t, fmt.Sprintf("all but %q", v), len(others), len(alike)-1)
	}
	WantEqual(t, "in lower case", f.find(t, identity("v", backend.LowerCase, "aNn")), []string{"0", "1", "2"})
	WantEqual(t, "in lower case, with an accent", f.find(t, identity("v", backend.LowerCase, "ÄNN")), []string{"3", "4"})
}

func (f folding) testWriting(t *testing.T) {
	op := backend.Operation{Entity: "e", Action: backend.Update, Table: f.table, KeyColumns: []string{"v"}, Columns: []string{"note"}}
	for i, v := range alike {
		op.Keys, op.Set = f.keys(v), [][]backend.Value{{f.value(fmt.Sprint(i))}}
		wantLeft(t, f.b, []backend.Operation{op}, 1)
		WantEqual(t, fmt.Sprintf("updated by %q", v), execute(t, f.b, []backend.Operation{op}), []int64{1})
	}
	op.Action, op.Columns, op.Set = backend.Delete, nil, nil
	for i, v := range alike {
		op.Keys = f.keys(v)
		WantEqual(t, fmt.Sprintf("deleted by %q", v), execute(t, f.b, []backend.Operation{op}), []int64{1})
		left := f.Dump(t, "SELECT id FROM "+f.table.Name)
		if len(left) != len(alike)-1-i || slices.Contains(left, fmt.Sprint(i)) {
			t.Errorf("%q: %v are left", v, left)
		}
	}
}
