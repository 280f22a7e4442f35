package planner

import (
	"container/heap"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// dependency says that node waits for before. A soft one gives way where it would close a circle.
type dependency struct {
	node, before string
	soft         bool
}

// sortByDependencies orders the nodes so that each stands after what it waits for; ties go by the order of nodes. A
// circle of hard dependencies, which Compile reports, is cut where the fewest soft ones wait.
func sortByDependencies(nodes []string, deps []dependency) []string {
	at := make(map[string]int, len(nodes))
	for i, n := range nodes {
		at[n] = i
	}
	current := make([]turn, len(nodes))
	waiting := make([][]dependency, len(nodes))
	for i := range nodes {
		current[i].node = i
	}
	for _, d := range deps {
		waiting[at[d.before]] = append(waiting[at[d.before]], d)
		current[at[d.node]].count(d.soft, 1)
	}
	queue := turns(slices.Clone(current))
	heap.Init(&queue)
	done := make([]bool, len(nodes))
	out := make([]string, 0, len(nodes))
	for queue.Len() > 0 {
		next := heap.Pop(&queue).(turn)
		// A turn that has changed since is in the queue again, further ahead.
		if done[next.node] {
			continue
		}
		done[next.node] = true
		out = append(out, nodes[next.node])
		for _, d := range waiting[next.node] {
			t := &current[at[d.node]]
			t.count(d.soft, -1)
			heap.Push(&queue, *t)
		}
	}
	return out
}

// turn is a node with the number of nodes that it still waits for.
type turn struct{ node, hard, soft int }

func (t *turn) count(soft bool, n int) {
	if soft {
		t.soft += n
	} else {
		t.hard += n
	}
}

// turns is a queue that prefers what waits for nothing, then what waits only softly.
type turns []turn

func (q turns) Len() int { return len(q) }
func (q turns) Less(i, j int) bool {
	a, b := q[i], q[j]
	if (a.hard == 0) != (b.hard == 0) {
		return a.hard == 0
	}
	if a.soft != b.soft {
		return a.soft < b.soft
	}
	return a.node < b.node
}
func (q turns) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *turns) Push(x any)   { *q = append(*q, x.(turn)) }
func (q *turns) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
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
			if ed.leads() {
				down = append(down, dependency{node: e.name, before: ed.parent.name})
			}
			if ed.shared { // what refers to the record goes before it
				up = append(up, dependency{node: e.name, before: ed.parent.name})
				continue
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

// checkCycles reports circles of Deep and RefCount edges; a Deep reference of an entity to itself is a tree.
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
			case !ed.leads(), ed.parent == e && ed.deep:
			case ed.parent == e:
				c.add(e.problem(v1alpha1.ReasonCycle, ed.columns[0], "%s cannot be counted by its own references; make the reference to itself Deep or Shallow", e.name))
			case state[ed.parent] == visiting:
				c.add(e.problem(v1alpha1.ReasonCycle, ed.columns[0], "Deep and RefCount references run in a circle: %s; make one of them Shallow, its link is then set to NULL first", circle(path, ed.parent)))
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
