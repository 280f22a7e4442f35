package planner

import (
	"slices"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Node is an entity with what refers to it and what it refers to, for decisions about tables rather than about one subject.
type Node struct {
	// Name as map/entity, Map that has it.
	Name, Map string
	Spec      v1alpha1.Entity
	Table     backend.Table
	// Scope must hold for every record.
	Scope []backend.Condition
	// Parents that it refers to, in the order of the map; Children that refer to it, by name.
	Parents, Children []*Link
	// Order of treatment: what refers to others comes before them, where no circle of Shallow links is in the way.
	Order int
	// References to what a record names in path stores.
	References []Reference
}

// Link is a reference from a child to a parent.
type Link struct {
	Child, Parent          *Node
	Relation               v1alpha1.ParentRelation
	Columns, ParentColumns []string
	// Element means that the one column that refers is an array.
	Element bool
	// Conditions on the records that refer: the child's, or for the relation RefCount the parent's.
	Conditions []backend.Condition
	// Unlink are the columns of a Shallow link that lose their value when the parent goes.
	Unlink []string
}

// Reference names what a record has in a path store.
type Reference struct{ reference }

// Store that has what is named.
func (r Reference) Store() string { return r.store }

// Category of what is named.
func (r Reference) Category() string { return r.category }

// Field of the entity's spec and its text, for messages.
func (r Reference) Field() (field, text string) { return r.field, r.text }

// Columns that Fill needs, each once.
func (r Reference) Columns() []string { return r.distinct() }

// Fill makes the path of one record from the plain texts of its columns; false where one is NULL or empty, so that the record
// names nothing. Clean tells whether the path can be looked up without harm.
func (r Reference) Fill(value func(column string) (string, bool)) (path backend.Path, clean, ok bool) {
	path, ok = r.fill(value)
	return path, ok && r.clean(path), ok
}

// Nodes are the entities of the graph by name.
func (g *Graph) Nodes() []*Node {
	byName := map[string]*Node{}
	for _, name := range sortedKeys(g.byName) {
		e := g.byName[name]
		n := &Node{Name: e.name, Map: e.mapName, Spec: e.spec, Table: e.table, Scope: e.scope, Order: e.execAt}
		for _, r := range e.references {
			n.References = append(n.References, Reference{r})
		}
		byName[name] = n
	}
	var nodes []*Node
	for _, name := range sortedKeys(byName) {
		n := byName[name]
		nodes = append(nodes, n)
		for _, ed := range g.byName[name].edges {
			parent := byName[ed.parent.name]
			l := &Link{Child: n, Parent: parent, Relation: n.Spec.Parents[ed.index].Relation, Columns: ed.columns, ParentColumns: ed.parentColumns,
				Element: ed.element, Conditions: ed.conditions, Unlink: slices.Clone(ed.unlink)}
			n.Parents = append(n.Parents, l)
			parent.Children = append(parent.Children, l)
		}
	}
	return nodes
}

// Conditions in the words of the backend.
func Conditions(list []v1alpha1.Condition) []backend.Condition { return conditions(list) }

// Qualified is the full name of an entity as a map names it.
func Qualified(mapName, entity string) string { return qualified(mapName, entity) }
