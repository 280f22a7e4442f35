package planner

// A Deep reference of a table to itself makes trees of records. Children are deleted before their parents, level by
// level, for not every database checks its constraints at the end of a statement; where records refer to each other in a
// circle, the links between them are cut first.

// selfEdges are the Deep references of the entity to itself.
func (e *entity) selfEdges() []*edge {
	var edges []*edge
	for _, ed := range e.edges {
		if ed.deep && ed.parent == e {
			edges = append(edges, ed)
		}
	}
	return edges
}

// tree is the order of records of one entity along its references to itself.
type tree struct {
	levels [][]*rowState // the deepest first
	// loose are the links that close a circle, by the index of the edge.
	loose map[int][]*rowState
}

// maxLevels bounds the number of operations; what hangs deeper loses its link first.
const maxLevels = 64

// grow sorts the records.
func (e *entity) grow(rows []*rowState) tree {
	edges := map[int]bool{}
	for _, ed := range e.selfEdges() {
		edges[ed.index] = true
	}
	if len(edges) == 0 || len(rows) < 2 {
		return tree{levels: [][]*rowState{rows}}
	}
	here := make(map[string]*rowState, len(rows))
	for _, s := range rows {
		here[s.id] = s
	}
	t := tree{loose: map[int][]*rowState{}}
	depth := map[*rowState]int{}
	for _, s := range rows {
		t.climb(s, here, edges, depth)
	}
	t.levels = make([][]*rowState, maxLevels)
	deepest := 0
	for _, s := range rows {
		deepest = max(deepest, depth[s])
		t.levels[maxLevels-1-depth[s]] = append(t.levels[maxLevels-1-depth[s]], s)
	}
	t.levels = t.levels[maxLevels-1-deepest:]
	return t
}

// climb finds the depth of a record: one below its deepest parent. It walks with a stack of its own, for a chain may be as
// long as a table.
func (t *tree) climb(start *rowState, here map[string]*rowState, edges map[int]bool, depth map[*rowState]int) {
	const visiting = -1
	type frame struct {
		row  *rowState
		next int
	}
	if _, known := depth[start]; known {
		return
	}
	depth[start] = visiting
	level := map[*rowState]int{}
	stack := []frame{{row: start}}
	for len(stack) > 0 {
		top := &stack[len(stack)-1]
		if top.next == len(top.row.row.Parents) {
			depth[top.row] = level[top.row]
			stack = stack[:len(stack)-1]
			continue
		}
		ref := top.row.row.Parents[top.next]
		parent := here[ref.Key]
		if !edges[ref.Edge] || parent == nil || parent == top.row { // a record may be its own parent
			top.next++
			continue
		}
		switch d, known := depth[parent]; {
		case !known:
			depth[parent] = visiting
			stack = append(stack, frame{row: parent})
			continue
		case d == visiting || d+1 >= maxLevels:
			t.loose[ref.Edge] = append(t.loose[ref.Edge], top.row)
		default:
			level[top.row] = max(level[top.row], d+1)
		}
		top.next++
	}
}

// cutCircles cuts the links between the records of one bucket that close a circle.
func (b *buckets) cutCircles(e *entity, to *bucket) {
	if len(e.selfEdges()) == 0 || !e.deletes() {
		return
	}
	for index, rows := range e.grow(to.rows[e]).loose {
		ed := e.edgeAt(index)
		for _, s := range rows {
			l := cutLink{id: s.id, key: s.row.Key}
			for _, c := range ed.ownColumns() {
				l.expect = append(l.expect, s.e.value(s.row, c))
			}
			b.addCut(to, cutID{e: e, edge: index}, l)
		}
	}
}
