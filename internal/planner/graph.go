package planner

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
)

// MapSource is a data map at one generation, as it is sealed with a plan.
type MapSource struct {
	Name       string                       `json:"name"`
	UID        string                       `json:"uid"`
	Generation int64                        `json:"generation"`
	Spec       v1alpha1.PersonalDataMapSpec `json:"spec"`
}

// Problem is one reason why maps cannot be used. It holds no personal data.
type Problem struct {
	// Reason is one of the Reason constants of the API.
	Reason string `json:"reason"`
	// Map and Entity (its name within the map) that it concerns; Entity may be empty.
	Map    string `json:"map,omitempty"`
	Entity string `json:"entity,omitempty"`
	// Column that it concerns, where it is one column.
	Column string `json:"column,omitempty"`
	// Message says what is wrong and what to do.
	Message string `json:"message"`
}

// ProblemError is a Problem that a plan runs into.
type ProblemError struct{ Problem }

func (e *ProblemError) Error() string { return e.Message }

// Graph is the compiled form of the maps of one namespace, for one scope.
type Graph struct {
	scope    string
	maps     []MapSource
	entities []*entity // parents before children along Deep edges
	exec     []*entity // children before parents, the order of execution
	stores   []string  // of tables, in the order of execution
	byName   map[string]*entity
	ignored  []ignoredTable
	// ignoredColumns are left out of tables that are mapped.
	ignoredColumns []ignoredColumns
	waves          int
}

type ignoredTable struct {
	mapName, store string
	table          backend.Table
}

// entity is an entity of a map with all that is derived from it.
type entity struct {
	name, mapName string
	spec          v1alpha1.Entity
	// outside entities are not in the chosen scope: their records are looked at to find others, and stay untouched.
	outside bool
	order   int // position in Graph.entities
	execAt  int // position in Graph.exec
	wave    int // of resolution

	table      backend.Table
	scope      []backend.Condition
	edges      []*edge // to parents
	children   []*edge // from children
	holds      []hold
	references []reference

	// counts are the RefCount references of children to which only records count that meet conditions.
	counts []*edge

	keyAt    map[string]int
	columns  []string // read besides the key
	columnAt map[string]int
	clocks   []string
	clockAt  map[string]int

	flags      [][]backend.Condition
	activeFlag int   // -1 without activeWhen
	holdFlags  []int // -1 where a hold has no conditions
}

// edge is a reference from a child to a parent.
type edge struct {
	index         int // in the child's spec.parents
	child, parent *entity
	deep          bool
	// shared is a RefCount reference: the child goes with the last record of the parent that refers to it.
	shared                 bool
	columns, parentColumns []string
	// element means that the one column that refers is an array, each element of which refers.
	element bool
	// conditions are on the records that refer: the child's, of a RefCount reference the parent's.
	conditions []backend.Condition
	flag       int // of the flags of the entity that refers, -1 without conditions
	counts     int // of a RefCount reference with conditions: its place in the parent's counts
	// unlink are the columns that lose their value when the link goes.
	unlink []string
	wave   int // of the query for records that are reached by a Shallow edge
}

// leads tells whether the parent's records lead to the child's.
func (ed *edge) leads() bool { return ed.deep || ed.shared }

type hold struct {
	spec       v1alpha1.StatutoryHold
	period     period.Period
	conditions []backend.Condition
}

// deletes tells whether an erasure removes the entity's records.
func (e *entity) deletes() bool { return !e.outside && e.spec.Action == v1alpha1.ActionDelete }

// updates tells whether an erasure overwrites fields of the entity's records.
func (e *entity) updates() bool {
	return !e.outside && (e.spec.Action == v1alpha1.ActionAnonymize || e.spec.Action == v1alpha1.ActionMark)
}

func (e *entity) final() bool { return e.spec.Order == v1alpha1.OrderFinal }

func (e *entity) problem(reason, column, format string, args ...any) Problem {
	return Problem{Reason: reason, Map: e.mapName, Entity: e.spec.Name, Column: column, Message: fmt.Sprintf(format, args...)}
}

// compiler gathers what Compile needs in between.
type compiler struct {
	scope    string
	maps     []MapSource
	all      []*entity // of all maps, sorted by name
	byName   map[string]*entity
	inGraph  map[*entity]bool
	problems []Problem
}

// Compile makes the graph of the maps for one scope; the empty scope is everything. It returns what is wrong with the
// maps as far as that shows without looking at a store. The graph is nil only if there is nothing to work with; a graph
// that comes with problems serves for Check, never for a plan.
func Compile(maps []MapSource, scope string) (*Graph, []Problem) {
	c := &compiler{scope: scope, maps: slices.Clone(maps), byName: map[string]*entity{}, inGraph: map[*entity]bool{}}
	sort.SliceStable(c.maps, func(i, j int) bool { return c.maps[i].Name < c.maps[j].Name })
	c.declare()
	c.link()
	c.choose()
	if len(c.inGraph) == 0 {
		return nil, sortProblems(c.problems)
	}
	g := &Graph{scope: scope, maps: c.maps, byName: map[string]*entity{}}
	for _, e := range c.all {
		if c.inGraph[e] {
			g.entities = append(g.entities, e)
			g.byName[e.name] = e
		}
	}
	g.ignored, g.ignoredColumns = c.ignoredTables(), c.ignoredColumns()
	c.checkStatic(g)
	g.sortEntities()
	g.sortStores()
	for _, e := range g.entities {
		e.layOut()
	}
	g.assignWaves()
	return g, sortProblems(c.problems)
}

func (c *compiler) add(p Problem) { c.problems = append(c.problems, p) }

// declare makes the entities of all maps.
func (c *compiler) declare() {
	for i, m := range c.maps {
		if i > 0 && c.maps[i-1].Name == m.Name {
			c.add(Problem{Reason: v1alpha1.ReasonInvalidSpec, Map: m.Name, Message: "two maps have this name; a namespace can have only one"})
			continue
		}
		for _, spec := range m.Spec.Entities {
			e := &entity{name: m.Name + "/" + spec.Name, mapName: m.Name, spec: spec,
				table: backend.Table{Schema: spec.Schema, Name: spec.Table}, scope: conditions(spec.Conditions)}
			if c.byName[e.name] != nil {
				c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "two entities have this name; rename one"))
				continue
			}
			c.byName[e.name] = e
			c.all = append(c.all, e)
		}
	}
	sort.Slice(c.all, func(i, j int) bool { return c.all[i].name < c.all[j].name })
}

// link makes the edges between entities.
func (c *compiler) link() {
	for _, e := range c.all {
		for i, p := range e.spec.Parents {
			name := qualified(e.mapName, p.Entity)
			parent := c.byName[name]
			if parent == nil {
				c.add(e.problem(v1alpha1.ReasonMapIncomplete, "", "parent %s does not exist; correct its name or add it to its map", name))
				continue
			}
			ed := &edge{index: i, child: e, parent: parent, deep: p.Relation == v1alpha1.RelationDeep, shared: p.Relation == v1alpha1.RelationRefCount,
				conditions: conditions(p.Conditions), flag: -1, counts: -1}
			for _, pair := range p.Columns {
				ed.columns = append(ed.columns, pair.Column)
				ed.parentColumns = append(ed.parentColumns, pair.ParentColumn)
				ed.element = ed.element || pair.Comparison == v1alpha1.ReferenceElement
			}
			e.edges = append(e.edges, ed)
		}
	}
}

// choose decides which entities are in the graph: those of the scope, all that they are reached through, and the roots.
func (c *compiler) choose() {
	knows := c.scopes()
	if c.scope == "" {
		for _, e := range c.all {
			c.inGraph[e] = true
		}
	} else if len(knows) == 0 {
		c.add(Problem{Reason: v1alpha1.ReasonScopeUnknown,
			Message: fmt.Sprintf("no map knows the scope %s; name one that a map has in spec.scopes, or none", c.scope)})
		return
	}
	for _, e := range c.all {
		if !c.inGraph[e] && (knows[e.mapName][e.spec.Name] || e.spec.Root != nil && knows[e.mapName] != nil) {
			c.include(e)
		}
	}
	for _, e := range c.all {
		e.outside = c.scope != "" && !knows[e.mapName][e.spec.Name]
	}
	for _, e := range c.all {
		c.keepEdges(e)
	}
}

// scopes returns the entities of the chosen scope by map, and checks that the scopes of all maps name entities.
func (c *compiler) scopes() map[string]map[string]bool {
	knows := map[string]map[string]bool{}
	for _, m := range c.maps {
		for _, s := range m.Spec.Scopes {
			for _, name := range s.Entities {
				if c.byName[m.Name+"/"+name] == nil {
					c.add(Problem{Reason: v1alpha1.ReasonInvalidSpec, Map: m.Name, Entity: name,
						Message: fmt.Sprintf("scope %s names the entity %s, which the map does not have; correct the name", s.Name, name)})
				} else if s.Name == c.scope {
					if knows[m.Name] == nil {
						knows[m.Name] = map[string]bool{}
					}
					knows[m.Name][name] = true
				}
			}
		}
	}
	return knows
}

// include takes an entity into the graph with all entities that its records are found through.
func (c *compiler) include(e *entity) {
	if c.inGraph[e] {
		return
	}
	c.inGraph[e] = true
	for _, ed := range e.edges {
		if ed.leads() {
			c.include(ed.parent)
		}
	}
}

// keepEdges drops the edges that leave the graph. A record outside the scope that refers to a record that is deleted would
// be left without what it belongs to: that scope is refused.
func (c *compiler) keepEdges(e *entity) {
	var kept []*edge
	for _, ed := range e.edges {
		if e.outside && !ed.shared && ed.parent.deletes() && c.inGraph[ed.parent] {
			c.add(e.problem(v1alpha1.ReasonMapIncomplete, "", "the scope %s deletes from %s but leaves out %s, which refers to it; add it to the scope", c.scope, ed.parent.name, e.name))
		}
		if c.inGraph[e] && c.inGraph[ed.parent] {
			kept = append(kept, ed)
			ed.parent.children = append(ed.parent.children, ed)
		}
	}
	e.edges = kept
}

func (c *compiler) ignoredTables() []ignoredTable {
	var all []ignoredTable
	for _, m := range c.maps {
		for _, t := range m.Spec.Ignored {
			if len(t.Columns) == 0 {
				all = append(all, ignoredTable{mapName: m.Name, store: t.Store, table: backend.Table{Schema: t.Schema, Name: t.Table}})
			}
		}
	}
	return all
}

// layOut decides which columns, clocks and flags are read of the entity's records.
func (e *entity) layOut() {
	e.keyAt, e.columnAt, e.clockAt = map[string]int{}, map[string]int{}, map[string]int{}
	for i, k := range e.spec.Key {
		e.keyAt[k] = i
	}
	need := map[string]bool{}
	for _, ed := range e.edges {
		addAll(need, ed.columns)
	}
	for _, ed := range e.children {
		addAll(need, ed.parentColumns)
	}
	for _, r := range e.references {
		addAll(need, r.columns())
	}
	for _, f := range e.written() {
		if f.Path != "" || removesElements(f) {
			need[f.Column] = true // whether it is a document has to be known before anything is changed
		}
		switch f.Strategy {
		case v1alpha1.StrategyPseudonym, v1alpha1.StrategyHash, v1alpha1.StrategyTruncateDate, v1alpha1.StrategyRedact:
			need[f.Column] = true
		case v1alpha1.StrategyFingerprint:
			addAll(need, f.Fingerprint.Per)
			if f.Fingerprint.Parent == "" {
				addAll(need, f.Fingerprint.Columns)
			}
		}
	}
	for _, ed := range e.children {
		for _, f := range ed.child.written() {
			if f.Fingerprint != nil && qualified(ed.child.mapName, f.Fingerprint.Parent) == e.name {
				addAll(need, f.Fingerprint.Columns)
			}
		}
	}
	for _, d := range e.spec.Deactivate {
		need[d.Column] = true
	}
	for _, m := range e.spec.IdentifiedBy {
		need[m.Column] = true
	}
	for k := range e.keyAt {
		delete(need, k)
	}
	e.columns = sortedKeys(need)
	for i, col := range e.columns {
		e.columnAt[col] = i
	}
	e.layOutFlags()
}

// written lists the changes to fields, those of pinned records too.
func (e *entity) written() []v1alpha1.FieldChange {
	if e.spec.Pinned == nil {
		return e.spec.Fields
	}
	return append(slices.Clone(e.spec.Fields), e.spec.Pinned.Fields...)
}

func (e *entity) layOutFlags() {
	flag := func(list []backend.Condition) int {
		if len(list) == 0 {
			return -1
		}
		e.flags = append(e.flags, list)
		return len(e.flags) - 1
	}
	e.activeFlag = flag(conditions(e.spec.ActiveWhen))
	for _, h := range e.holds {
		e.holdFlags = append(e.holdFlags, flag(h.conditions))
		if _, ok := e.clockAt[h.spec.Clock]; !ok {
			e.clockAt[h.spec.Clock] = len(e.clocks)
			e.clocks = append(e.clocks, h.spec.Clock)
		}
	}
	for _, ed := range e.edges {
		if !ed.shared {
			ed.flag = flag(ed.conditions)
		}
		ed.unlink = ed.unlinkColumns()
	}
	for _, ed := range e.children {
		if ed.shared && len(ed.conditions) > 0 {
			ed.flag, ed.counts = flag(ed.conditions), len(e.counts)
			e.counts = append(e.counts, ed)
		}
	}
}

// refers tells whether a record of the parent meets the conditions under which it refers by a RefCount reference.
func (ed *edge) refers(row *RowFacts) bool {
	return ed.counts < 0 || ed.counts < len(row.Refers) && row.Refers[ed.counts]
}

// unlinkColumns are the columns of a Shallow edge that are set to NULL. Columns that say more than the link stay: those of
// the key, of conditions and of other references, for example a tenant column that every composite reference shares.
func (ed *edge) unlinkColumns() []string {
	if ed.leads() {
		return nil
	}
	return ed.ownColumns()
}

// ownColumns are the columns of the reference that say nothing else.
func (ed *edge) ownColumns() []string {
	shared := map[string]bool{}
	addAll(shared, ed.child.spec.Key)
	for _, list := range [][]v1alpha1.Condition{ed.child.spec.Conditions, ed.child.spec.Parents[ed.index].Conditions} {
		for _, cond := range list {
			shared[cond.Column] = true
		}
	}
	if len(ed.columns) > 1 {
		for _, other := range ed.child.edges {
			if other != ed && !slices.Equal(other.columns, ed.columns) {
				addAll(shared, other.columns)
			}
		}
	}
	var cols []string
	for _, c := range ed.columns {
		if !shared[c] {
			cols = append(cols, c)
		}
	}
	return cols
}

// assignWaves decides in which round of requests an entity is resolved: with its parents where they share its store,
// after them where they do not.
func (g *Graph) assignWaves() {
	for _, e := range g.entities {
		for _, ed := range e.edges {
			if ed.leads() && ed.parent.order < e.order {
				e.wave = max(e.wave, ed.nextWave())
			}
		}
		g.waves = max(g.waves, e.wave+1)
	}
	for _, e := range g.entities {
		for _, ed := range e.edges {
			if !ed.leads() {
				ed.wave = ed.nextWave()
				g.waves = max(g.waves, ed.wave+1)
			}
		}
	}
}

func (ed *edge) nextWave() int {
	if ed.sameStore() {
		return ed.parent.wave
	}
	return ed.parent.wave + 1
}

func (ed *edge) sameStore() bool { return ed.child.spec.Store == ed.parent.spec.Store }

// Stores names the stores that the graph uses, of tables and of files, sorted.
func (g *Graph) Stores() []string {
	set := map[string]bool{}
	for _, e := range g.entities {
		set[e.spec.Store] = true
		for _, r := range e.references {
			set[r.store] = true
		}
	}
	return sortedKeys(set)
}

// Tables lists the tables of one store that entities map, each once, sorted.
func (g *Graph) Tables(store string) []backend.Table {
	var tables []backend.Table
	for _, e := range g.entities {
		if e.spec.Store == store {
			tables = append(tables, e.table)
		}
	}
	return sortTables(tables)
}

// IgnoredTables lists the tables of one store that the maps ignore, each once, sorted.
func (g *Graph) IgnoredTables(store string) []backend.Table {
	var tables []backend.Table
	for _, t := range g.ignored {
		if t.store == store {
			tables = append(tables, t.table)
		}
	}
	return sortTables(tables)
}

// AcceptedTables lists the tables of one store whose engine may lack transactions, each once, sorted.
func (g *Graph) AcceptedTables(store string) []backend.Table {
	var tables []backend.Table
	for _, e := range g.entities {
		if e.spec.Store == store && e.spec.NonTransactional == v1alpha1.NonTransactionalAccept {
			tables = append(tables, e.table)
		}
	}
	return sortTables(tables)
}

func sortTables(tables []backend.Table) []backend.Table {
	slices.SortFunc(tables, func(a, b backend.Table) int {
		if c := strings.Compare(a.Schema, b.Schema); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return slices.Compact(tables)
}

func qualified(mapName, entity string) string {
	if strings.Contains(entity, "/") {
		return entity
	}
	return mapName + "/" + entity
}

func conditions(list []v1alpha1.Condition) []backend.Condition {
	var out []backend.Condition
	for _, c := range list {
		out = append(out, backend.Condition{Column: c.Column, Operator: backend.Operator(c.Operator), Values: c.Values})
	}
	return out
}

func addAll(set map[string]bool, items []string) {
	for _, i := range items {
		set[i] = true
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func sortProblems(problems []Problem) []Problem {
	text := func(p Problem) string {
		return strings.Join([]string{p.Map, p.Entity, p.Column, p.Reason, p.Message}, "\x00")
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return strings.Compare(text(a), text(b)) })
	return slices.Compact(problems)
}
