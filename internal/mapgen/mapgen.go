// Package mapgen writes a first PersonalDataMap from a database's schema. It goes by foreign keys, names and types alone,
// so what it writes is a start that a person edits: everything that only a person can know stands beside it as a comment.
package mapgen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
)

// Input of the generator.
type Input struct {
	// Name of the map, its Namespace, and Store, the DataStore that has the tables.
	Name, Namespace, Store string
	// Schema with all tables of the schemas that the map is to cover.
	Schema *backend.Schema
	// DefaultSchema is the one of tables that name none.
	DefaultSchema string
	// Root is the table whose rows are the subjects, with or without its schema.
	Root string
	// RootID is the column that requests name in spec.subject.id. Default: the primary key.
	RootID string
}

// maxEntities and maxIgnored are the limits of the API.
const (
	maxEntities = 200
	maxIgnored  = 500
)

// table is one table with its place in the map.
type table struct {
	*backend.TableInfo
	name  string // of the entity
	keys  []foreignKey
	depth int // steps from the root; -1 where no foreign key leads to it
	// passing tables refer to the subject only as to somebody who acted, or by another weak tie.
	passing bool
	// referred counts the foreign keys to it.
	referred int
}

type foreignKey struct {
	backend.ForeignKey
	to       *table
	nullable bool
	// actor: its name tells of somebody who did something, not of whom the record is about.
	actor bool
	// qualified: its name says more than whom it refers to, as former_candidate_id does.
	qualified bool
}

// weak references do not make the record the subject's. A column that is never NULL cannot lose its value: the record has
// to go with the person.
func (k foreignKey) weak() bool { return k.nullable && (k.actor || k.qualified) }

// parent is a reference of the map.
type parent struct {
	foreignKey
	relation string
	note     string
}

// generator holds the tables of one schema.
type generator struct {
	in     Input
	tables []*table // sorted by name
	byName map[backend.Table]*table
	root   *table
	deep   map[*table][]*table // Deep references so far, for circles
	// open are the tables without a path to the subject that a person must decide on, with the reason.
	open map[*table]string
}

// Generate writes the map as YAML with comments; the same schema makes the same text.
func Generate(in Input) ([]byte, error) {
	g := &generator{in: in, byName: map[backend.Table]*table{}, deep: map[*table][]*table{}}
	g.load()
	if err := g.findRoot(); err != nil {
		return nil, err
	}
	g.reach()
	g.findOpen()
	w := &writer{}
	g.write(w)
	return w.Bytes(), nil
}

// load takes in the tables and resolves their foreign keys.
func (g *generator) load() {
	for i := range g.in.Schema.Tables {
		info := &g.in.Schema.Tables[i]
		if info.Kind != backend.KindTable && info.Kind != backend.KindPartitioned {
			continue
		}
		t := &table{TableInfo: info, depth: -1}
		g.tables = append(g.tables, t)
		g.byName[g.normal(info.Table)] = t
	}
	slices.SortFunc(g.tables, func(a, b *table) int { return strings.Compare(g.full(a), g.full(b)) })
	used := map[string]bool{}
	for _, t := range g.tables {
		t.name = entityName(t.Table.Name, used)
		for _, fk := range t.ForeignKeys {
			to := g.byName[g.normal(fk.References)]
			if to == nil {
				continue
			}
			k := foreignKey{ForeignKey: fk, to: to, actor: slices.ContainsFunc(fk.Columns, actor),
				qualified: slices.ContainsFunc(fk.Columns, func(c string) bool { return qualified(c, t, to) })}
			for _, c := range fk.Columns {
				k.nullable = k.nullable || nullable(t.TableInfo, c)
			}
			t.keys = append(t.keys, k)
			if to != t {
				to.referred++
			}
		}
		slices.SortFunc(t.keys, func(a, b foreignKey) int {
			return strings.Compare(strings.Join(a.Columns, ",")+g.full(a.to), strings.Join(b.Columns, ",")+g.full(b.to))
		})
	}
}

func (g *generator) normal(t backend.Table) backend.Table {
	if t.Schema == "" {
		t.Schema = g.in.DefaultSchema
	}
	return t
}

func (g *generator) full(t *table) string {
	n := g.normal(t.Table)
	if n.Schema == "" {
		return n.Name
	}
	return n.Schema + "." + n.Name
}

// label is how texts name a table.
func (g *generator) label(t *table) string {
	if g.normal(t.Table).Schema == g.in.DefaultSchema {
		return t.Table.Name
	}
	return g.full(t)
}

// findRoot finds the table of the subjects.
func (g *generator) findRoot() error {
	for _, t := range g.tables {
		if g.full(t) == g.in.Root || t.Table.Name == g.in.Root && g.normal(t.Table).Schema == g.in.DefaultSchema {
			g.root = t
		}
	}
	if g.root == nil {
		return fmt.Errorf("there is no table %q; tables that could be the root: %s", g.in.Root, strings.Join(g.candidates(), ", "))
	}
	if g.in.RootID == "" && len(key(g.root)) == 1 {
		g.in.RootID = key(g.root)[0]
	}
	if g.in.RootID == "" {
		return fmt.Errorf("table %s has no primary key of one column; name the column that requests give as subject.id with --root-id", g.label(g.root))
	}
	if !slices.ContainsFunc(g.root.Columns, func(c backend.ColumnInfo) bool { return c.Name == g.in.RootID }) {
		return fmt.Errorf("table %s has no column %q", g.label(g.root), g.in.RootID)
	}
	return nil
}

// candidates are tables with an address of mail, those first that others refer to most, at most ten; else all of them.
func (g *generator) candidates() []string {
	list := slices.DeleteFunc(slices.Clone(g.tables), func(t *table) bool { return len(columnsOf(t, planner.KindEmail)) == 0 })
	if len(list) == 0 {
		list = slices.Clone(g.tables)
	}
	slices.SortStableFunc(list, func(a, b *table) int { return b.referred - a.referred })
	var names []string
	for _, t := range list[:min(len(list), 10)] {
		names = append(names, g.label(t))
	}
	if len(names) == 0 {
		names = []string{"none: the credentials see no table"}
	}
	return names
}

// reach finds all that belongs to the subject: what refers to it, and what refers to that. What refers to it only weakly
// stays, and loses the link.
func (g *generator) reach() {
	g.root.depth = 0
	g.spread(false)
	g.spread(true)
}

func (g *generator) spread(weak bool) {
	for changed := true; changed; {
		changed = false
		for _, t := range g.tables {
			if t == g.root || t.passing {
				continue
			}
			for _, k := range t.keys {
				if k.to == t || k.to.depth < 0 || k.to.passing || k.weak() != weak {
					continue
				}
				if t.depth < 0 && weak {
					t.depth, t.passing, changed = k.to.depth+1, true, true
				} else if !weak && (t.depth < 0 || k.to.depth+1 < t.depth) {
					t.depth, changed = k.to.depth+1, true
				}
			}
		}
	}
}

// entities are the tables of the map, parents first.
func (g *generator) entities() []*table {
	list := slices.DeleteFunc(slices.Clone(g.tables), func(t *table) bool { return t.depth < 0 })
	slices.SortStableFunc(list, func(a, b *table) int {
		if a.passing != b.passing {
			if a.passing {
				return 1
			}
			return -1
		}
		return a.depth - b.depth
	})
	return list
}

// parents decides on the relation of each reference to another entity.
func (g *generator) parents(t *table) []parent {
	var list []parent
	for _, k := range t.keys {
		if k.to.depth < 0 || k.to.passing && t != k.to {
			continue
		}
		p := parent{foreignKey: k, relation: "Shallow"}
		cuttable := k.nullable && !slices.ContainsFunc(k.Columns, func(c string) bool { return slices.Contains(key(t), c) })
		towards := k.to != t && k.to.depth < t.depth && !t.passing
		switch {
		case k.actor && cuttable:
			p.note = "somebody who acted, it seems, not whom the record is about: only the link goes"
		case k.to == t && merges(k.Columns):
			p.note = "DECIDE: the same person once more, it seems. Deep erases the records that were merged into one with it"
		case k.qualified && cuttable && k.to != t:
			p.note = "DECIDE: another tie than that the record is the subject's, it seems: only the link goes. Deep deletes the record"
		case towards && k.actor:
			p.relation = "Deep"
			p.note = "DECIDE: somebody who acted, it seems; Deep deletes the record with that person. Shallow needs a column that may be NULL"
		case towards:
			p.relation = "Deep"
			if k.OnDelete == backend.SetNull {
				p.note = "DECIDE: the database keeps the record and cuts the link (ON DELETE SET NULL). Deep deletes it"
			}
		case cuttable:
		case k.to != t && !g.leads(k.to, t):
			p.relation = "Deep"
			p.note = "the column may not be NULL, so that the record cannot stay without it"
		default:
			p.note = "DECIDE: the column may not be NULL, so that a Shallow link cannot be cut, and Deep would run in a circle"
		}
		if p.relation == "Deep" {
			g.deep[t] = append(g.deep[t], k.to)
		}
		list = append(list, p)
	}
	return list
}

// leads tells whether Deep references lead from one table to the other.
func (g *generator) leads(from, to *table) bool {
	return from == to || slices.ContainsFunc(g.deep[from], func(next *table) bool { return g.leads(next, to) }) ||
		from.depth > to.depth // those are decided later
}

// key is the primary key, or else a unique set of columns that are never NULL.
func key(t *table) []string {
	for _, u := range t.Unique {
		if !slices.ContainsFunc(u, func(c string) bool { return nullable(t.TableInfo, c) }) {
			return u
		}
	}
	if len(t.Unique) > 0 {
		return t.Unique[0]
	}
	return nil
}

func nullable(info *backend.TableInfo, column string) bool {
	return slices.ContainsFunc(info.Columns, func(c backend.ColumnInfo) bool { return c.Name == column && c.Nullable })
}
