package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// maxLikely is how many likely places a coverage lists.
const maxLikely = 50

// coverage of a table or a column by the maps.
type covered int

const (
	unknown covered = iota
	ignored
	mapped
)

// survey is what the maps say of one store's tables, by their full names.
type survey struct {
	store   string
	facts   StoreFacts
	maps    []string // whose tables and schemas count; none means all
	mapped  map[backend.Table][]*entity
	ignored map[backend.Table]bool
	columns map[backend.Table]map[string]bool // ignored ones of mapped tables
	named   map[backend.Table]map[string]bool // columns that the maps name
	schemas map[string]bool                   // that the chosen maps name
	own     map[backend.Table]bool            // tables that the chosen maps map or ignore
}

// survey looks at one store from the side of the given maps, or of all.
func (g *Graph) survey(store string, facts StoreFacts, maps []string) *survey {
	s := &survey{store: store, facts: facts, maps: maps, mapped: map[backend.Table][]*entity{}, ignored: map[backend.Table]bool{},
		columns: map[backend.Table]map[string]bool{}, named: map[backend.Table]map[string]bool{}, schemas: map[string]bool{}, own: map[backend.Table]bool{}}
	note := func(mapName string, t backend.Table) {
		if len(maps) == 0 || slices.Contains(maps, mapName) {
			s.schemas[t.Schema], s.own[t] = true, true
		}
	}
	for _, e := range g.entities {
		if e.spec.Store != store {
			continue
		}
		t := facts.normal(e.table)
		s.mapped[t] = append(s.mapped[t], e)
		if s.named[t] == nil {
			s.named[t] = map[string]bool{}
		}
		addAll(s.named[t], e.named())
		note(e.mapName, t)
	}
	for _, i := range g.ignored {
		if i.store == store {
			t := facts.normal(i.table)
			s.ignored[t] = true
			note(i.mapName, t)
		}
	}
	for _, i := range g.ignoredColumns {
		if i.store == store {
			t := facts.normal(i.table)
			if s.columns[t] == nil {
				s.columns[t] = map[string]bool{}
			}
			addAll(s.columns[t], i.columns)
		}
	}
	return s
}

// named lists the columns that the entity, or one that refers to it, names.
func (e *entity) named() []string {
	var out []string
	for _, u := range e.uses() {
		out = append(out, u.column)
	}
	for _, f := range e.written() {
		if f.Fingerprint != nil {
			out = append(out, f.Fingerprint.Per...)
			if f.Fingerprint.Parent == "" {
				out = append(out, f.Fingerprint.Columns...)
			}
		}
	}
	for _, ed := range e.children {
		for _, f := range ed.child.written() {
			if f.Fingerprint != nil && qualified(ed.child.mapName, f.Fingerprint.Parent) == e.name {
				out = append(out, f.Fingerprint.Columns...)
			}
		}
	}
	return out
}

func (s *survey) table(t backend.Table) covered {
	switch {
	case len(s.mapped[t]) > 0:
		return mapped
	case s.ignored[t]:
		return ignored
	}
	return unknown
}

// column of a mapped table: what is deleted or kept as a whole is mapped with all its columns.
func (s *survey) column(t backend.Table, name string) covered {
	whole := !slices.ContainsFunc(s.mapped[t], func(e *entity) bool {
		return e.spec.Action != v1alpha1.ActionDelete && e.spec.Action != v1alpha1.ActionKeep
	})
	switch {
	case whole, s.named[t][name]:
		return mapped
	case s.columns[t][name]:
		return ignored
	}
	return unknown
}

// all lists the tables of the chosen maps' schemas, each once.
func (s *survey) all() []backend.Table {
	var tables []backend.Table
	for _, t := range s.facts.Schema.All {
		if t = s.facts.normal(t); s.schemas[t.Schema] {
			tables = append(tables, t)
		}
	}
	return sortTables(tables)
}

// infos are the described tables of the chosen maps' schemas by their full names.
func (s *survey) infos() map[backend.Table]*backend.TableInfo {
	all := map[backend.Table]*backend.TableInfo{}
	for i := range s.facts.Schema.Tables {
		info := &s.facts.Schema.Tables[i]
		if t := s.facts.normal(info.Table); s.schemas[t.Schema] {
			all[t] = info
		}
	}
	return all
}

// Coverage counts the tables of the schemas that the given maps, or all, name: mapped, ignored, and unknown, which is
// neither; and the columns of the mapped ones.
func (g *Graph) Coverage(stores map[string]StoreFacts, maps ...string) v1alpha1.MapCoverage {
	var c v1alpha1.MapCoverage
	var places []place
	for _, store := range g.Stores() {
		if stores[store].Schema == nil {
			continue
		}
		s := g.survey(store, stores[store], maps)
		for _, t := range s.all() {
			switch s.table(t) {
			case mapped:
				c.Mapped++
			case ignored:
				c.Ignored++
			case unknown:
				c.Unknown++
			}
		}
		s.countColumns(&c.Columns)
		places = append(places, s.likely()...)
	}
	c.Likely, c.LikelyCount = chooseLikely(places)
	return c
}

func (s *survey) countColumns(c *v1alpha1.ColumnCoverage) {
	for t, info := range s.infos() {
		if s.table(t) != mapped {
			continue
		}
		for _, col := range info.Columns {
			switch s.column(t, col.Name) {
			case mapped:
				c.Mapped++
			case ignored:
				c.Ignored++
			case unknown:
				c.Unknown++
			}
		}
	}
}

// ignoredColumn is an entry that leaves out columns of a mapped table.
type ignoredColumns struct {
	ignoredTable
	columns []string
}

func (c *compiler) ignoredColumns() []ignoredColumns {
	var all []ignoredColumns
	for _, m := range c.maps {
		for _, t := range m.Spec.Ignored {
			if len(t.Columns) > 0 {
				all = append(all, ignoredColumns{columns: t.Columns,
					ignoredTable: ignoredTable{mapName: m.Name, store: t.Store, table: backend.Table{Schema: t.Schema, Name: t.Table}}})
			}
		}
	}
	return all
}

// checkIgnoredColumns refuses columns of a table that nobody maps: such an entry would look as if the table were covered.
func (c *checker) checkIgnoredColumns() {
	for _, i := range c.g.ignoredColumns {
		facts, ok := c.stores[i.store]
		if !ok || facts.Schema == nil || c.g.scope != "" {
			continue
		}
		t := facts.normal(i.table)
		info := facts.find(t)
		isMapped := slices.ContainsFunc(c.g.entities, func(e *entity) bool { return e.spec.Store == i.store && facts.normal(e.table) == t })
		if !isMapped {
			c.add(Problem{Reason: v1alpha1.ReasonInvalidSpec, Map: i.mapName,
				Message: "ignored names columns of table " + tableText(t) + ", which no entity maps; map the table, or ignore it as a whole"})
			continue
		}
		for _, name := range i.columns {
			if info != nil && column(info, name) == nil {
				c.warnings = append(c.warnings, Problem{Reason: v1alpha1.ReasonSchemaMismatch, Map: i.mapName, Column: name,
					Message: "ignored names column " + name + " of table " + tableText(t) + ", which does not exist; remove it"})
			}
		}
	}
}

// Relevant leaves of the facts what bears on an erasure: mapped and ignored tables, and those that refer to mapped ones.
func (g *Graph) Relevant(stores map[string]StoreFacts) map[string]StoreFacts {
	out := map[string]StoreFacts{}
	for name, facts := range stores {
		if facts.Schema != nil {
			s := g.survey(name, facts, nil)
			schema := *facts.Schema
			schema.Tables = slices.DeleteFunc(slices.Clone(schema.Tables), func(info backend.TableInfo) bool {
				return s.table(facts.normal(info.Table)) == unknown && !slices.ContainsFunc(info.ForeignKeys, func(fk backend.ForeignKey) bool {
					return s.table(facts.normal(fk.References)) == mapped
				})
			})
			facts.Schema = &schema
		}
		out[name] = facts
	}
	return out
}

// SchemaDigest is the SHA-256, in hexadecimal, of the structure of the tables that the stores described: the same for
// the same structure, in whatever order the stores list it. Privileges are no part of it.
func SchemaDigest(stores map[string]StoreFacts) string {
	type table struct {
		Store    string
		Table    backend.Table
		Kind     backend.TableKind
		Columns  []string
		Unique   []string
		Keys     []string
		Triggers []string
		Hidden   bool
	}
	var all []table
	for _, store := range sortedKeys(stores) {
		facts := stores[store]
		if facts.Schema == nil {
			continue
		}
		for _, info := range facts.Schema.Tables {
			t := table{Store: store, Table: facts.normal(info.Table), Kind: info.Kind, Triggers: slices.Clone(info.Triggers), Hidden: info.RowSecurity}
			for _, c := range info.Columns {
				c.SelectPrivilege, c.UpdatePrivilege = false, false
				t.Columns = append(t.Columns, jsonText(c))
			}
			for _, u := range info.Unique {
				t.Unique = append(t.Unique, jsonText(u))
			}
			for _, fk := range info.ForeignKeys {
				fk.References = facts.normal(fk.References)
				t.Keys = append(t.Keys, jsonText(fk))
			}
			slices.Sort(t.Columns)
			slices.Sort(t.Unique)
			slices.Sort(t.Keys)
			slices.Sort(t.Triggers)
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b table) int { return strings.Compare(jsonText(a), jsonText(b)) })
	sum := sha256.Sum256([]byte(jsonText(all)))
	return hex.EncodeToString(sum[:])
}

func jsonText(v any) string {
	data, _ := json.Marshal(v) // names and flags only: cannot fail
	return string(data)
}
