package planner

import (
	"fmt"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// dependency says that node waits for before. A soft one gives way where it would close a circle.
type dependency struct {
	node, before string
	soft         bool
}

// sortByDependencies orders the nodes so that each stands after what it waits for; ties go by the order of nodes. A
// circle of hard dependencies, which Compile reports, is cut at its first node.
func sortByDependencies(nodes []string, deps []dependency) []string {
	hard, soft := map[string]int{}, map[string]int{}
	waiting := map[string][]dependency{}
	for _, d := range deps {
		waiting[d.before] = append(waiting[d.before], d)
		if d.soft {
			soft[d.node]++
		} else {
			hard[d.node]++
		}
	}
	done := map[string]bool{}
	var out []string
	for len(out) < len(nodes) {
		next := ""
		best := [2]int{}
		for _, n := range nodes {
			if rank := [2]int{hard[n], soft[n]}; !done[n] && (next == "" || less(rank, best)) {
				next, best = n, rank
			}
		}
		done[next] = true
		out = append(out, next)
		for _, d := range waiting[next] {
			if d.soft {
				soft[d.node]--
			} else {
				hard[d.node]--
			}
		}
	}
	return out
}

// less prefers what waits for nothing, then what waits only softly.
func less(a, b [2]int) bool {
	if (a[0] == 0) != (b[0] == 0) {
		return a[0] == 0
	}
	return a[1] < b[1]
}

// sortEntities sets the order of resolution and the order of execution. Execution puts children first along Deep edges,
// and along Shallow ones where no circle is in the way; where one is, the link is cut before its parent goes.
func (g *Graph) sortEntities() {
	var names []string
	var down, up []dependency
	for _, e := range g.entities {
		names = append(names, e.name)
		for _, ed := range e.edges {
			if ed.parent == e {
				continue
			}
			if ed.deep {
				down = append(down, dependency{node: e.name, before: ed.parent.name})
			}
			if ed.deep || ed.sameStore() {
				up = append(up, dependency{node: ed.parent.name, before: e.name, soft: !ed.deep})
			}
		}
	}
	g.entities = g.entities[:0]
	for i, n := range sortByDependencies(names, down) {
		e := g.byName[n]
		e.order = i
		g.entities = append(g.entities, e)
	}
	for i, n := range sortByDependencies(names, up) {
		e := g.byName[n]
		e.execAt = i
		g.exec = append(g.exec, e)
	}
}

// sortStores puts the stores of children before the stores of their parents.
func (g *Graph) sortStores() {
	set := map[string]bool{}
	var deps []dependency
	for _, e := range g.entities {
		set[e.spec.Store] = true
		for _, ed := range e.edges {
			if ed.deep && !ed.sameStore() {
				deps = append(deps, dependency{node: ed.parent.spec.Store, before: e.spec.Store})
			}
		}
	}
	g.stores = sortByDependencies(sortedKeys(set), deps)
}

// checkCycles reports circles of Deep edges.
func (c *compiler) checkCycles(g *Graph) {
	const visiting, visited = 1, 2
	state := map[*entity]int{}
	var path []*entity
	var visit func(e *entity)
	visit = func(e *entity) {
		state[e] = visiting
		path = append(path, e)
		for _, ed := range e.edges {
			switch {
			case !ed.deep:
			case ed.parent == e:
				c.add(e.problem(v1alpha1.ReasonCycle, ed.columns[0], "a Deep reference of %s to itself is not supported yet; make it Shallow and give each record a Deep parent or identifiedBy", e.name))
			case state[ed.parent] == visiting:
				c.add(e.problem(v1alpha1.ReasonCycle, ed.columns[0], "Deep references run in a circle: %s; make one of them Shallow, its link is then set to NULL first", circle(path, ed.parent)))
			case state[ed.parent] == 0:
				visit(ed.parent)
			}
		}
		path = path[:len(path)-1]
		state[e] = visited
	}
	for _, e := range g.entities {
		if state[e] == 0 {
			visit(e)
		}
	}
}

func circle(path []*entity, start *entity) string {
	var names []string
	for _, e := range path {
		if e == start || len(names) > 0 {
			names = append(names, e.name)
		}
	}
	if len(names) > 8 {
		names = append(names[:8], fmt.Sprintf("(%d more)", len(names)-8))
	}
	return strings.Join(append(names, start.name), " -> ")
}
