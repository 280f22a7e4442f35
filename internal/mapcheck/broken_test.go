package mapcheck

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
)

// anyTable is a store that has every table, with the columns that the map names anywhere.
type anyTable struct {
	backend.Backend
	columns []string
}

func (s anyTable) Inspect(_ context.Context, tables []backend.Table) (*backend.Schema, error) {
	schema := &backend.Schema{All: tables}
	for _, t := range tables {
		info := backend.TableInfo{Table: t, Kind: backend.KindTable, Rows: 10, Privileges: backend.Privileges{Select: true, Update: true, Delete: true}}
		for _, c := range s.columns {
			info.Columns = append(info.Columns, backend.ColumnInfo{Name: c, Type: "text", Nullable: c != "id", SelectPrivilege: true, UpdatePrivilege: true})
			info.Indexed = append(info.Indexed, []string{c})
		}
		info.Unique = [][]string{{"id"}}
		schema.Tables = append(schema.Tables, info)
	}
	return schema, nil
}

// TestBrokenMapsAreReported: of a map of all kinds each single value is taken away, or made another one. Whatever is left, it is
// reported, and never ends the program.
func TestBrokenMapsAreReported(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "test", "realworld", "testdata", "map.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	documents, err := Split(text)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	for _, d := range documents {
		if d.Kind == KindMap {
			if err := json.Unmarshal(d.JSON, &object); err != nil {
				t.Fatal(err)
			}
		}
	}
	extra := `{"name": "more", "store": "db", "table": "more", "key": ["id"], "category": "c", "action": "Anonymize", "order": "Final",
	 "identifiedBy": [{"column": "mails", "identity": "email", "comparison": "Element", "normalize": "LowerCase"}],
	 "parents": [{"entity": "more", "relation": "Shallow", "columns": [{"column": "up", "parentColumn": "id"}]}],
	 "fields": [{"column": "a", "strategy": "Constant", "value": "x"}, {"column": "b", "strategy": "TruncateDate", "unit": "Year"},
	  {"column": "c", "path": "$.a", "strategy": "Remove"}, {"column": "f", "strategy": "Fingerprint", "fingerprint": {"columns": [{"column": "a"}], "scope": ["up"]}}],
	 "keys": [{"store": "cache", "key": "k", "kind": "HashField", "member": "{id}"}], "resources": [{"store": "crm", "resource": "contact", "id": "{id}"}]}`
	var more any
	if err := json.Unmarshal([]byte(extra), &more); err != nil {
		t.Fatal(err)
	}
	spec := object["spec"].(map[string]any)
	spec["entities"] = append(spec["entities"].([]any)[:2], more)
	columns := map[string]bool{"id": true}
	visit(object, func(parent any, key any) {
		if name, ok := at(parent, key).(string); ok {
			columns[name] = true
		}
	})
	check := func() *Report {
		data, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		d := Document{JSON: data}
		_ = json.Unmarshal(data, &d) // what is no name is refused below
		r := &Report{}
		sources := Maps([]Document{{APIVersion: d.APIVersion, Kind: KindMap, Metadata: d.Metadata, JSON: data}}, r)
		Check(t.Context(), sources, func(_ context.Context, name string) (*stores.Store, error) {
			return &stores.Store{Name: name, Kind: planner.TableStore, Backend: anyTable{columns: slices.Sorted(maps.Keys(columns))}}, nil
		}, r)
		return r
	}
	before := len(check().Problems)
	broken, reported := 0, 0
	visit(object, func(parent any, key any) {
		was := at(parent, key)
		for _, v := range []any{nil, "", "x", -1.5, []any{}, []any{nil}, map[string]any{}} {
			put(parent, key, v)
			broken++
			func() {
				defer func() {
					if p := recover(); p != nil {
						t.Errorf("%v = %v: %v", key, v, p)
					}
				}()
				if r := check(); len(r.Problems) > before {
					reported++
				}
			}()
		}
		put(parent, key, was)
	})
	t.Logf("%d broken maps, %d reported", broken, reported)
	if reported*2 < broken {
		t.Errorf("only %d of %d broken maps are reported", reported, broken)
	}
}

// visit calls f for every value of an object.
func visit(v any, f func(parent, key any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			f(v, k)
			visit(v[k], f)
		}
	case []any:
		for i := range v {
			f(v, i)
			visit(v[i], f)
		}
	}
}

func at(parent, key any) any {
	if list, ok := parent.([]any); ok {
		return list[key.(int)]
	}
	return parent.(map[string]any)[key.(string)]
}

func put(parent, key, value any) {
	if list, ok := parent.([]any); ok {
		list[key.(int)] = value
		return
	}
	if value == nil {
		value = json.RawMessage("null")
	}
	parent.(map[string]any)[fmt.Sprint(key)] = value
}
