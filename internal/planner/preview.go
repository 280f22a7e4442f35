package planner

import (
	"maps"
	"slices"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Countable compiles what can be looked at of maps that are not fit for an erasure, for a preview: without the entities
// and references whose tables, columns or stores are missing or cannot be read. It returns the problems that keep the
// others out. The graph is nil if nothing is left.
func Countable(sources []MapSource, scope string, stores map[string]StoreFacts) (*Graph, []Problem) {
	var skipped []Problem
	sources = slices.Clone(sources)
	for i := range sources {
		sources[i].Spec = *sources[i].Spec.DeepCopy()
		skipped = append(skipped, dropReferences(&sources[i], stores)...)
	}
	for {
		graph, problems := Compile(sources, scope)
		if graph != nil {
			problems = append(problems, graph.unreadable(stores)...)
		}
		bad := map[string]bool{}
		for _, p := range problems {
			switch {
			case p.Entity == "" && p.Reason == v1alpha1.ReasonScopeUnknown:
				return nil, append(skipped, p)
			case p.Entity != "" && p.Map != "":
				bad[p.Map+"/"+p.Entity] = true
				skipped = append(skipped, p)
			}
		}
		if len(bad) == 0 || graph == nil {
			return graph, sortProblems(skipped)
		}
		left := 0
		for i := range sources {
			left += without(&sources[i], bad)
		}
		if left == 0 {
			return nil, sortProblems(skipped)
		}
	}
}

// unreadable are the problems that keep an entity's records from being counted.
func (g *Graph) unreadable(stores map[string]StoreFacts) []Problem {
	c := &checker{g: g, stores: stores}
	for _, e := range g.entities {
		if info := c.checkTable(e); info != nil {
			c.checkColumns(e, info)
		}
	}
	return c.problems
}

// dropReferences takes out what names stores that are away, so that the records at least are counted.
func dropReferences(m *MapSource, stores map[string]StoreFacts) []Problem {
	var out []Problem
	for i := range m.Spec.Entities {
		e := &m.Spec.Entities[i]
		away := func(store, what string) bool {
			if _, ok := stores[store]; ok {
				return false
			}
			out = append(out, Problem{Reason: v1alpha1.ReasonStoreNotReady, Map: m.Name, Entity: e.Name,
				Message: "the " + what + " of " + m.Name + "/" + e.Name + " in store " + store + " could not be looked at; see the DataStore"})
			return true
		}
		e.Files = slices.DeleteFunc(e.Files, func(f v1alpha1.FileReference) bool { return away(f.Store, "files") })
		e.Keys = slices.DeleteFunc(e.Keys, func(k v1alpha1.KeyReference) bool { return away(k.Store, "keys") })
		e.Resources = slices.DeleteFunc(e.Resources, func(r v1alpha1.ResourceReference) bool { return away(r.Store, "resources") })
	}
	return out
}

// without removes entities from a map, with what refers to them, and returns how many are left.
func without(m *MapSource, bad map[string]bool) int {
	m.Spec.Entities = slices.DeleteFunc(m.Spec.Entities, func(e v1alpha1.Entity) bool { return bad[m.Name+"/"+e.Name] })
	for i := range m.Spec.Entities {
		e := &m.Spec.Entities[i]
		e.Parents = slices.DeleteFunc(e.Parents, func(p v1alpha1.Parent) bool { return bad[qualified(m.Name, p.Entity)] })
	}
	for i := range m.Spec.Scopes {
		s := &m.Spec.Scopes[i]
		s.Entities = slices.DeleteFunc(s.Entities, func(name string) bool { return bad[m.Name+"/"+name] })
	}
	return len(m.Spec.Entities)
}

// StoresOf names the stores of maps, whether these compile or not, sorted.
func StoresOf(sources []MapSource) []string {
	set := map[string]bool{}
	for _, m := range sources {
		for _, e := range m.Spec.Entities {
			set[e.Store] = true
			for _, f := range e.Files {
				set[f.Store] = true
			}
			for _, k := range e.Keys {
				set[k.Store] = true
			}
			for _, r := range e.Resources {
				set[r.Store] = true
			}
		}
	}
	delete(set, "")
	return slices.Sorted(maps.Keys(set))
}
