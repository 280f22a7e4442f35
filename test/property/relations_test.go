package property

import (
	"fmt"
	"regexp"
	"slices"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// passes are the kinds of references in the order in which rows get them. A row that finds nothing to refer to is left out
// before others can refer to it.
var passes = []func(i int, f ref) bool{
	func(i int, f ref) bool { return f.deep && f.to != i },
	func(i int, f ref) bool { return f.deep && f.to == i },
	func(_ int, f ref) bool { return f.counted },
	func(_ int, f ref) bool { return !f.deep && !f.counted },
}

// drawSharing lets one or two earlier tables refer to the rows of table i, which go with the last that refers to them.
func (w *world) drawSharing(t *rapid.T, i int) bool {
	tb := w.tables[i]
	var from []int
	for j, l := range w.tables[:i] {
		if l.store == tb.store {
			from = append(from, j)
		}
	}
	if len(from) == 0 {
		return false
	}
	for _, j := range rapid.SliceOfNDistinct(rapid.SampledFrom(from), 1, 2, rapid.ID[int]).Draw(t, "shared by") {
		w.drawSharer(t, j, i)
	}
	return true
}

func (w *world) drawSharer(t *rapid.T, from, i int) {
	l, tb := w.tables[from], w.tables[i]
	r := ref{to: i, counted: true, fk: rapid.Bool().Draw(t, "constraint")}
	if chance(t, 3, "polymorphic sharing") { // the column means something else in other rows, so no constraint can be on it
		r.fk, r.whenColumn, r.whenHas = false, fmt.Sprintf("kind%d", len(l.refs)), "10"
		l.add(r.whenColumn, "small", false)
	}
	parents := tb.key
	if tb.unique != nil && chance(t, 4, "shared by code") {
		parents = tb.unique
	}
	allNullable := true
	for _, p := range parents {
		c := fmt.Sprintf("rs%d_%s", len(l.refs), p)
		if p == "tenant" && l.hasTenant {
			c, allNullable = "tenant", false
		} else {
			l.add(c, tb.column(p).kind, false)
		}
		r.columns, r.parents = append(r.columns, c), append(r.parents, p)
	}
	if r.fk {
		actions := []string{"NO ACTION", "RESTRICT", "CASCADE"}
		if allNullable {
			actions = append(actions, "SET NULL")
		}
		r.onDelete = pick(t, actions, "on delete of what is shared")
	}
	l.refs = append(l.refs, r)
}

// sharers are the parents that say by which references the rows of table i are counted.
func (w *world) sharers(i int) []v1alpha1.Parent {
	var list []v1alpha1.Parent
	for j, l := range w.tables {
		for _, r := range l.refs {
			if !r.counted || r.to != i {
				continue
			}
			p := v1alpha1.Parent{Entity: fmt.Sprintf("e%d", j), Relation: v1alpha1.RelationRefCount}
			for c := range r.columns {
				p.Columns = append(p.Columns, v1alpha1.ColumnPair{Column: r.parents[c], ParentColumn: r.columns[c]})
			}
			p.Conditions = r.conditions()
			list = append(list, p)
		}
	}
	return list
}

// conditions under which the reference is one.
func (f ref) conditions() []v1alpha1.Condition {
	if f.whenColumn == "" {
		return nil
	}
	return []v1alpha1.Condition{{Column: f.whenColumn, Operator: v1alpha1.OperatorIn, Values: []string{f.whenHas}}}
}

// drawForgotten lets rows that are overwritten lose their links to what is shared, now and then.
func (w *world) drawForgotten(t *rapid.T, tb *table) {
	for _, r := range tb.refs {
		if r.counted && tb.entity.Action == v1alpha1.ActionAnonymize && rapid.Bool().Draw(t, "forgets what is shared") {
			tb.entity.Fields = append(tb.entity.Fields, v1alpha1.FieldChange{Column: r.columns[len(r.columns)-1], Strategy: v1alpha1.StrategyNull})
		}
	}
}

// mayChain tells whether the rows can be a chain that is longer than the other tables have rows. Links that an erasure
// has to cut can be NULL.
func (tb *table) mayChain(i int) bool {
	kind := tb.column("id").kind
	return (kind == "int" || kind == "text" || kind == "varchar") && slices.ContainsFunc(tb.refs, func(f ref) bool {
		return f.deep && f.to == i && !tb.column(f.columns[len(f.columns)-1]).notNull
	})
}

// above are the rows of the same table that a row may have for its parent. Where it must have one, nothing else than a
// tree is possible: a circle could not be cut.
func (tb *table) above(r *row, candidates []*row, required bool) []*row {
	at := slices.Index(tb.rows, r)
	return slices.DeleteFunc(slices.Clone(candidates), func(p *row) bool {
		i := slices.Index(tb.rows, p)
		return tb.chain && i != max(at-1, 0) || required && i > at
	})
}

// What may stand beside a word: white space and brackets and the like, with a full stop and the like between.
var (
	before, beforeOdd = regexp.MustCompile(`(^|[ \t\n\v\f\r,;<>()\[\]{}"|\\])[.:!?']*$`), regexp.MustCompile(`(^|[ \t\n\v\f\r,;<>()\[\]{}"|\\])$`)
	odd               = regexp.MustCompile(`^[.:!?']|[.:!?']$`)
	behind, behindOdd = regexp.MustCompile(`^[.:!?']*($|[ \t\n\v\f\r,;<>()\[\]{}"|\\])`), regexp.MustCompile(`^($|[ \t\n\v\f\r,;<>()\[\]{}"|\\])`)
)

// wordAt returns the end of the word that begins at a place of the text, negative for none.
func wordAt(text string, at int, word string, same func(a, b string) bool) int {
	left, right := before, behind
	if odd.MatchString(word) { // found only as it is
		left, right = beforeOdd, behindOdd
	}
	if word == "" || !left.MatchString(text[:at]) {
		return -1
	}
	for end := at + 1; end <= min(len(text), at+4*len(word)); end++ {
		if same(text[at:end], word) && right.MatchString(text[end:]) {
			return end
		}
	}
	return -1
}

func mentions(text, word string, same func(a, b string) bool) bool {
	for at := range text {
		if wordAt(text, at, word, same) > 0 {
			return true
		}
	}
	return false
}

// drawList makes a list of recipients.
func drawList(t *rapid.T) string {
	text := ""
	for range rapid.IntRange(0, 3).Draw(t, "recipients") {
		shape := pick(t, []string{"%s, ", "%s;", "Kim <%s> ", `"%s"|`, "[%s]", "%s\n", "x%s ", "%sx,", "(%s)", "%s: ", "Write to %s. ", "'%s'! ",
			"%s.au "}, "shape")
		text += fmt.Sprintf(shape, pick(t, emails, "recipient"))
	}
	return text
}

// tallyRelations counts what rows refer to each other like.
func (w *world) tallyRelations(e *expectation, seen map[string]int) {
	for i, tb := range w.tables {
		for _, r := range tb.rows {
			for _, f := range tb.refs {
				switch {
				case f.deep && f.to == i && e.fates[r] != "":
					tb.tallyTree(r, f, seen)
				case f.counted && e.fates[r] != "":
					w.tallyShared(e, r, f, seen)
				case f.counted && !w.covered(tb, r) && w.sharedWith(e, r, f):
					seen["shared by another tenant"]++
				}
			}
		}
		for _, f := range tb.entity.Fields {
			if f.Path != "" && len(tb.rows) > 0 {
				seen["member"]++
			}
			if f.Strategy == v1alpha1.StrategyRedact && len(tb.rows) > 0 {
				seen["redaction"]++
			}
		}
	}
}

func (tb *table) tallyTree(r *row, f ref, seen map[string]int) {
	if tb.chain {
		seen["long chain"]++
	}
	at := r
	for n := range tb.rows {
		next := slices.IndexFunc(tb.rows, func(p *row) bool { return f.leads(at, p) })
		if next < 0 {
			return
		}
		at = tb.rows[next]
		switch {
		case at == r && n == 0:
			seen["own parent"]++
			return
		case at == r:
			seen["circle"]++
			return
		case n == 0:
			seen["tree"]++
		}
	}
}

// sharedWith tells whether the row and one of the subject refer to the same row.
func (w *world) sharedWith(e *expectation, r *row, f ref) bool {
	return slices.ContainsFunc(w.tables[f.to].rows, func(s *row) bool {
		return f.leads(r, s) && slices.ContainsFunc(w.tables, func(tb *table) bool {
			return slices.ContainsFunc(tb.rows, func(l *row) bool {
				return e.fates[l] != "" && slices.ContainsFunc(tb.refs, func(o ref) bool { return o.counted && o.to == f.to && o.leads(l, s) })
			})
		})
	})
}

func (w *world) tallyShared(e *expectation, r *row, f ref, seen map[string]int) {
	for _, s := range w.tables[f.to].rows {
		if f.whenColumn != "" {
			seen["shared by some"]++
		}
		if f.leads(r, s) {
			fate := e.fates[s]
			if fate == "" {
				fate = "stays"
			}
			seen["shared "+string(fate)]++
		}
	}
}
