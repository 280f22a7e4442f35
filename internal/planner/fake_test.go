package planner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// fakeStore is a store in memory with the semantics of the backend contract. Values are written with a prefix, so that a
// test fails where text and values are mixed up.
type fakeStore struct {
	tables map[string]*fakeTable
	files  map[string]bool
	fks    []fakeFK
}

type fakeTable struct{ rows []map[string]*string }

type fakeFK struct{ table, column, parent, parentColumn string }

const valuePrefix = "v:"

func toText(_ string, v backend.Value) string {
	if v == nil {
		return ""
	}
	if !strings.HasPrefix(*v, valuePrefix) {
		panic("not a value: " + *v)
	}
	return strings.TrimPrefix(*v, valuePrefix)
}

func fromText(_, s string) backend.Value {
	s = valuePrefix + s
	return &s
}

var testCodec = Codec{Text: toText, FromText: fromText, Elements: testElements}

// testElements reads {a,b}.
func testElements(_ string, v backend.Value) ([]string, bool) {
	if v == nil {
		return nil, false
	}
	inner, ok := strings.CutPrefix(toText("", v), "{")
	inner, end := strings.CutSuffix(inner, "}")
	if inner == "" || !ok || !end || strings.Contains(inner, "{") {
		return []string{}, ok && end && inner == ""
	}
	return strings.Split(inner, ","), true
}

// elementsOf are the elements of a column.
func elementsOf(row map[string]*string, column string) []string {
	if row[column] == nil {
		return nil
	}
	list, _ := testElements("", fromText("", *row[column]))
	return list
}

// refersTo tells whether a row refers by columns, or by the elements of one, to what another has in other columns.
func refersTo(by map[string]*string, columns []string, element bool, row map[string]*string, others []string) bool {
	if element {
		v := row[others[0]]
		return v != nil && slices.Contains(elementsOf(by, columns[0]), *v)
	}
	a, ok := tupleOf(by, columns)
	b, also := tupleOf(row, others)
	return ok && also && a == b
}

func text(s string) *string { return &s }

func newFake() *fakeStore {
	return &fakeStore{tables: map[string]*fakeTable{}, files: map[string]bool{}}
}

func (f *fakeStore) insert(table string, row map[string]*string) {
	if f.tables[table] == nil {
		f.tables[table] = &fakeTable{}
	}
	f.tables[table].rows = append(f.tables[table].rows, row)
}

func (f *fakeStore) clone() *fakeStore {
	out := newFake()
	out.fks = f.fks
	for name, t := range f.tables {
		for _, r := range t.rows {
			out.insert(name, maps.Clone(r))
		}
	}
	out.files = maps.Clone(f.files)
	return out
}

func meets(row map[string]*string, conds []backend.Condition) bool {
	for _, c := range conds {
		v := row[c.Column]
		in := v != nil && slices.Contains(c.Values, *v)
		ok := false
		switch c.Operator {
		case backend.In:
			ok = in
		case backend.NotIn:
			ok = !in
		case backend.Exists:
			ok = v != nil
		case backend.DoesNotExist:
			ok = v == nil
		case backend.LessThan:
			ok = v != nil && *v < c.Values[0]
		case backend.GreaterThan:
			ok = v != nil && *v > c.Values[0]
		}
		if !ok {
			return false
		}
	}
	return true
}

func tupleOf(row map[string]*string, cols []string) (string, bool) {
	var out []string
	for _, c := range cols {
		if row[c] == nil {
			return "", false
		}
		out = append(out, *row[c])
	}
	return tuple(out), true
}

func (f *fakeStore) resolve(req backend.ResolveRequest) *backend.Resolution {
	res := &backend.Resolution{Rows: map[string][]backend.Row{}}
	found := map[string][]map[string]*string{}
	for _, q := range req.Queries {
		if len(q.Paths) > 0 {
			res.Rows[q.Entity] = f.resolvePaths(q.Paths)
			continue
		}
		t := f.tables[q.Table.Name]
		if t == nil {
			continue
		}
		in := make([]bool, len(t.rows))
		for i, row := range t.rows {
			if meets(row, q.Scope) && slices.ContainsFunc(q.AnyOf, func(m backend.Match) bool { return matches(row, m, found) }) {
				in[i] = true
				found[q.Entity] = append(found[q.Entity], row)
			}
		}
		for again := len(q.Self) > 0; again; {
			again = false
			for i, row := range t.rows {
				if !in[i] && meets(row, q.Scope) && leadsOn(row, q, found) {
					in[i], again = true, true
					found[q.Entity] = append(found[q.Entity], row)
				}
			}
		}
		for i, row := range t.rows {
			if in[i] {
				out := readRow(row, q)
				for _, m := range q.Shared {
					out.Shared = append(out.Shared, f.othersRefer(row, m, req.Queries, found))
				}
				res.Rows[q.Entity] = append(res.Rows[q.Entity], out)
			}
		}
	}
	return res
}

// leadsOn tells whether the row refers to one that the query has found.
func leadsOn(row map[string]*string, q backend.Query, found map[string][]map[string]*string) bool {
	return slices.ContainsFunc(q.Self, func(m backend.ParentMatch) bool {
		m.Entity = q.Entity
		return matches(row, backend.Match{Parent: &m}, found)
	})
}

// othersRefer tells whether rows that none of the match's queries found refer to the row.
func (f *fakeStore) othersRefer(row map[string]*string, m backend.SharedMatch, queries []backend.Query, found map[string][]map[string]*string) bool {
	i := slices.IndexFunc(queries, func(q backend.Query) bool { return q.Entity == m.Entities[0] })
	for _, by := range f.rowsOf(queries[i].Table.Name) {
		mine := slices.ContainsFunc(m.Entities, func(e string) bool {
			return slices.ContainsFunc(found[e], func(o map[string]*string) bool { return *o["id"] == *by["id"] })
		})
		if !mine && meets(by, m.Conditions) && refersTo(by, m.ParentColumns, m.Element, row, m.Columns) {
			return true
		}
	}
	return false
}

func (f *fakeStore) rowsOf(table string) []map[string]*string {
	if t := f.tables[table]; t != nil {
		return t.rows
	}
	return nil
}

func (f *fakeStore) resolvePaths(paths []backend.Path) []backend.Row {
	set := map[string][]int{}
	for i, p := range paths {
		for file := range f.files {
			if file == p.Path || p.Kind == backend.Directory && strings.HasPrefix(file, p.Path+"/") ||
				p.Kind == backend.Prefix && strings.HasPrefix(file, p.Path) {
				set[file] = append(set[file], i)
			}
		}
	}
	var rows []backend.Row
	for _, p := range sortedKeys(set) {
		rows = append(rows, backend.Row{Key: backend.Key{p}, Paths: set[p], Name: p})
	}
	return rows
}

func matches(row map[string]*string, m backend.Match, found map[string][]map[string]*string) bool {
	switch {
	case m.Identity != nil:
		v := row[m.Identity.Column]
		if m.Identity.Contains {
			return v != nil && slices.ContainsFunc(m.Identity.Values, func(w string) bool { return hasWord(*v, w) })
		}
		if m.Identity.Element {
			return slices.ContainsFunc(elementsOf(row, m.Identity.Column), func(e string) bool { return slices.Contains(m.Identity.Values, e) })
		}
		return v != nil && slices.Contains(m.Identity.Values, *v)
	case m.Values != nil && m.Values.Element:
		return meets(row, m.Values.Conditions) && slices.ContainsFunc(m.Values.Rows, func(r []string) bool { return slices.Contains(elementsOf(row, m.Values.Columns[0]), r[0]) })
	case m.Values != nil:
		t, ok := tupleOf(row, m.Values.Columns)
		return ok && meets(row, m.Values.Conditions) && slices.ContainsFunc(m.Values.Rows, func(r []string) bool { return tuple(r) == t })
	}
	parents, ok := found[m.Parent.Entity]
	if !ok {
		return false
	}
	return meets(row, m.Parent.Conditions) && slices.ContainsFunc(parents, func(p map[string]*string) bool {
		refers := refersTo(row, m.Parent.Columns, m.Parent.Element, p, m.Parent.ParentColumns)
		if m.Parent.ParentElement {
			refers = refersTo(p, m.Parent.ParentColumns, true, row, m.Parent.Columns)
		}
		return refers && meets(p, m.Parent.ParentConditions)
	})
}

func readRow(row map[string]*string, q backend.Query) backend.Row {
	out := backend.Row{}
	for _, k := range q.KeyColumns {
		out.Key = append(out.Key, valuePrefix+*row[k])
	}
	for _, c := range q.Columns {
		if row[c] == nil {
			out.Values = append(out.Values, nil)
		} else {
			out.Values = append(out.Values, fromText("", *row[c]))
		}
	}
	for _, c := range q.Clocks {
		clock := backend.Clock{}
		if row[c] != nil {
			if t, err := time.Parse(time.RFC3339, *row[c]); err == nil {
				clock = backend.Clock{Time: t.UTC(), Valid: true}
			}
		}
		out.Clocks = append(out.Clocks, clock)
	}
	for _, fl := range q.Flags {
		out.Flags = append(out.Flags, meets(row, fl))
	}
	return out
}

// execute does a step, and fails where a constraint would be broken, a batch is stale or a value is not a value.
func (f *fakeStore) execute(s Step) error {
	for i, op := range s.Operations {
		if op.Action == backend.Unlink {
			for _, k := range op.Keys {
				delete(f.files, k[0])
			}
			continue
		}
		if err := f.executeRows(op); err != nil {
			return fmt.Errorf("step %s operation %d: %w", s.Name, i, err)
		}
	}
	return nil
}

func (f *fakeStore) executeRows(op backend.Operation) error {
	at := map[string]int{}
	for i, k := range op.Keys {
		var plain []string
		for _, part := range k {
			plain = append(plain, toText("", &part))
		}
		at[tuple(plain)] = i
	}
	if len(at) != len(op.Keys) {
		return fmt.Errorf("entity %s: a key twice", op.Entity)
	}
	t := f.tables[op.Table.Name]
	if t == nil {
		return nil
	}
	var kept []map[string]*string
	for _, row := range t.rows {
		id, _ := tupleOf(row, op.KeyColumns)
		i, ok := at[id]
		if ok && slices.ContainsFunc(op.Unless, func(g []backend.Condition) bool { return meets(row, g) }) {
			return fmt.Errorf("entity %s: stale", op.Entity)
		}
		if ok && slices.ContainsFunc(op.Referrers, func(r backend.Referrer) bool { return f.refers(r, row) }) {
			return fmt.Errorf("entity %s: stale: still referred to", op.Entity)
		}
		if ok && op.Action == backend.Delete {
			continue
		}
		kept = append(kept, row)
		if ok {
			update(row, op, i)
		}
	}
	t.rows = kept
	return f.checkFKs()
}

func (f *fakeStore) refers(r backend.Referrer, row map[string]*string) bool {
	return slices.ContainsFunc(f.rowsOf(r.Table.Name), func(by map[string]*string) bool {
		return meets(by, r.Conditions) && refersTo(by, r.Columns, r.Element, row, r.References)
	})
}

func update(row map[string]*string, op backend.Operation, i int) {
	if op.Expect != nil {
		for j, c := range op.Columns {
			want := op.Expect[i][j]
			if (row[c] == nil) != (want == nil) || want != nil && *row[c] != toText("", want) {
				return
			}
		}
	}
	for j, c := range op.Columns {
		if op.Element(j) {
			var gone []string
			if err := json.Unmarshal([]byte(toText("", op.Set[i][j])), &gone); err != nil {
				panic(err)
			}
			if row[c] != nil {
				row[c] = text("{" + strings.Join(slices.DeleteFunc(elementsOf(row, c), func(e string) bool { return slices.Contains(gone, e) }), ",") + "}")
			}
			continue
		}
		row[c] = nil
		if v := op.Set[i][j]; v != nil {
			row[c] = text(toText("", v))
		}
	}
}

func (f *fakeStore) checkFKs() error {
	for _, fk := range f.fks {
		there := map[string]bool{}
		if t := f.tables[fk.parent]; t != nil {
			for _, p := range t.rows {
				there[*p[fk.parentColumn]] = true
			}
		}
		if t := f.tables[fk.table]; t != nil {
			for _, row := range t.rows {
				if v := row[fk.column]; v != nil && !there[*v] {
					return fmt.Errorf("constraint %s.%s -> %s broken", fk.table, fk.column, fk.parent)
				}
			}
		}
	}
	return nil
}

// resolveAll runs a resolver against fakes.
func resolveAll(g *Graph, stores map[string]*fakeStore, subject Subject, holds []Hold, prior *Facts, opts ResolveOptions) *Facts {
	opts.Text, opts.Elements = toText, testElements
	r := g.NewResolver(subject, holds, prior, opts)
	for {
		next := r.Next()
		if len(next) == 0 {
			return r.Facts()
		}
		names := sortedKeys(next)
		for _, name := range names {
			f := stores[name]
			if f == nil {
				f = newFake()
			}
			r.Put(name, f.resolve(next[name]))
		}
	}
}

func dump(stores map[string]*fakeStore) map[string]map[string]*string {
	out := map[string]map[string]*string{}
	for s, f := range stores {
		for name, t := range f.tables {
			for _, row := range t.rows {
				out[s+"/"+name+"/"+*row["id"]] = maps.Clone(row)
			}
		}
	}
	return out
}

func sortedStrings(s []string) []string {
	s = slices.Clone(s)
	sort.Strings(s)
	return s
}

// hasWord tells whether a text has a word in the sense of backend.IdentityMatch.Contains; both are normalised before.
func hasWord(text, word string) bool {
	return backend.FindWord(text, word, func(a, b string) bool { return a == b })
}
