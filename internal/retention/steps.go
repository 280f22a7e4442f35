package retention

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
)

// maxSteps of a sweep: entities that can be reached in more ways than that are no tree that a sweep could follow.
const maxSteps = 200

// touched are records of an entity that a target treats: its own, or what goes with them.
type touched struct {
	node *planner.Node
	path []backend.Hop
}

// step is a step of the sweep with what it means.
type step struct {
	backend.SweepStep
	node   *planner.Node
	action planner.Purpose
	// references of the records, where what they name goes with them.
	references []planner.Reference
	// link that leads to the records; nil for those that are due.
	link *planner.Link
}

// Step describes a step of the target's sweep.
type Step struct {
	// Entity as map/entity and category of its data.
	Entity, Category string
	// Action on the records: Delete, Anonymize, Mark, or Unlink for records that stay and lose a link.
	Action planner.Purpose
}

// Steps describes the steps, in the order of the sweep's.
func (t *Target) Steps() []Step {
	list := make([]Step, 0, len(t.steps))
	for _, s := range t.steps {
		list = append(list, Step{Entity: s.node.Name, Category: s.node.Spec.Category, Action: s.action})
	}
	return list
}

// buildSteps says what happens to the records that are due and to what belongs to them.
func (b *builder) buildSteps() {
	t := b.t
	b.touch(touched{node: t.node})
	defer func() { slices.SortStableFunc(t.steps, inOrder) }()
	switch t.Rule.Action {
	case v1alpha1.RuleDelete, v1alpha1.RuleArchive:
		b.refuseShared(t.node)
		b.refuseLost()
		b.below(touched{node: t.node}, []*planner.Node{t.node})
		b.addStep(step{node: t.node, action: planner.PurposeDelete, references: t.node.References,
			SweepStep: backend.SweepStep{Scope: t.node.Scope, Action: backend.Delete}})
	case v1alpha1.RuleAnonymize, v1alpha1.RuleMark:
		b.buildUpdate()
	case v1alpha1.RuleEraseSubject:
		if t.node.Spec.Root == nil {
			b.problem(v1alpha1.ReasonRuleUnsupported, "the action EraseSubject is for a root entity, whose records are the persons, and %s is none; name one", t.node.Name)
		}
	default:
		b.problem(v1alpha1.ReasonInvalidSpec, "the action %q is unknown; use Delete, Anonymize, Archive, Mark or EraseSubject", t.Rule.Action)
	}
}

// inOrder puts the steps of what refers to others before theirs, and cuts links right before what they lead to goes.
func inOrder(a, b *step) int {
	place := func(s *step) (order, own int) {
		if s.action == planner.PurposeUnlink {
			return s.link.Parent.Order, 0
		}
		return s.node.Order, 1
	}
	orderA, ownA := place(a)
	orderB, ownB := place(b)
	return cmp.Or(cmp.Compare(orderA, orderB), cmp.Compare(ownA, ownB))
}

func (b *builder) touch(r touched) { b.t.touched = append(b.t.touched, r) }

// addStep completes a step by what its entity tells.
func (b *builder) addStep(s step) {
	s.Table, s.KeyColumns = s.node.Table, s.node.Spec.Key
	s.Entity = s.node.Name
	same := 0
	for _, o := range b.t.steps {
		if o.node == s.node {
			same++
		}
	}
	if same > 0 {
		s.Entity = fmt.Sprintf("%s#%d", s.node.Name, same+1)
	}
	for _, r := range s.references {
		for _, column := range r.Columns() {
			if !slices.Contains(s.Collect, column) {
				s.Collect = append(s.Collect, column)
			}
		}
	}
	b.t.steps = append(b.t.steps, &s)
}

// below adds the steps of what refers to records that go, the deepest first.
func (b *builder) below(r touched, above []*planner.Node) {
	for _, l := range r.node.Children {
		if len(b.t.steps) > maxSteps {
			if len(b.t.steps) == maxSteps+1 {
				b.unsupported("what belongs to %s can be reached in more than %d ways", b.t.node.Name, maxSteps)
			}
			return
		}
		if b.refusesChild(l, above) {
			continue
		}
		hop := down(l)
		hop.TargetConditions = b.apart(l.Child)
		child := touched{node: l.Child, path: append(slices.Clone(r.path), hop)}
		if l.Relation == v1alpha1.RelationShallow {
			b.addStep(step{node: l.Child, action: planner.PurposeUnlink, link: l,
				SweepStep: backend.SweepStep{Path: child.path, Scope: l.Child.Scope, Action: backend.Update, Columns: nulls(l.Unlink)}})
			continue
		}
		b.touch(child)
		b.below(child, append(slices.Clone(above), l.Child))
		b.addChild(l, child)
	}
}

// apart are the conditions that tell an entity's records from those of others for the same table. A record that does not meet
// them is another entity's; one that does not meet a condition that all have, such as the tenant's, is outside the scope.
func (b *builder) apart(n *planner.Node) []backend.Condition {
	var own []backend.Condition
	twins := b.twins(n)
	for _, c := range n.Scope {
		for o := range twins {
			if o != n && !slices.ContainsFunc(o.Scope, func(other backend.Condition) bool { return reflect.DeepEqual(c, other) }) {
				own = append(own, c)
				break
			}
		}
	}
	return own
}

// addChild adds the step of records that belong to ones that go.
func (b *builder) addChild(l *planner.Link, r touched) {
	s := step{node: r.node, action: planner.PurposeDelete, references: r.node.References, link: l,
		SweepStep: backend.SweepStep{Path: r.path, Scope: r.node.Scope, Action: backend.Delete}}
	switch action := r.node.Spec.Action; action {
	case v1alpha1.ActionDelete:
		b.refuseShared(r.node)
	case v1alpha1.ActionAnonymize, v1alpha1.ActionMark:
		s.action, s.Action = planner.Purpose(action), backend.Update
		s.Columns = b.columns(r.node, "fields of "+r.node.Name, r.node.Spec.Fields)
	}
	b.addStep(s)
}

// refusesChild reports what a sweep cannot do with records that refer to ones that go.
func (b *builder) refusesChild(l *planner.Link, above []*planner.Node) bool {
	child, parent := l.Child, l.Parent
	switch {
	case l.Relation == v1alpha1.RelationRefCount:
		b.unsupported("records of %s are shared by those of %s and go with the last that refers to them (RefCount), which a sweep does not count", child.Name, parent.Name)
	case l.Element:
		b.unsupported("%s refers to %s by elements of an array, which a sweep does not follow", child.Name, parent.Name)
	case child.Spec.Store != parent.Spec.Store:
		b.unsupported("%s refers to %s from another store (%s), which no transaction covers", child.Name, parent.Name, child.Spec.Store)
	case l.Relation == v1alpha1.RelationShallow:
		if len(l.Unlink) > 0 {
			return false
		}
		b.unsupported("%s refers to %s by columns that cannot be set to NULL, because they belong to its key, to conditions or to other references", child.Name, parent.Name)
	case slices.Contains(above, child):
		b.unsupported("%s refers to itself (%s), a tree that a sweep does not follow", child.Name, circle(above, child))
	case child.Spec.Action == v1alpha1.ActionKeep:
		b.unsupported("the map keeps the records of %s, which belong to those of %s that would go; change the action in the map, make the reference Shallow, or let the rule anonymise", child.Name, parent.Name)
	default:
		return false
	}
	return true
}

func circle(above []*planner.Node, child *planner.Node) string {
	var names []string
	for _, n := range above[slices.Index(above, child):] {
		names = append(names, n.Name)
	}
	return strings.Join(append(names, child.Name), " <- ")
}

// refuseShared reports records that others count on.
func (b *builder) refuseShared(n *planner.Node) {
	for _, l := range n.Parents {
		if l.Relation == v1alpha1.RelationRefCount {
			b.unsupported("records of %s are shared by those of %s and go with the last that refers to them (RefCount), which a sweep does not count", n.Name, l.Parent.Name)
		}
	}
}

// refuseLost reports what nobody finds any more once the person is gone: records that only an identity leads to.
func (b *builder) refuseLost() {
	root := b.t.node
	if root.Spec.Root == nil {
		return
	}
	for _, n := range b.c.nodes {
		if n != root && n.Spec.Root == nil && len(n.Spec.IdentifiedBy) > 0 && n.Spec.Action != v1alpha1.ActionKeep {
			b.unsupported("records of %s are found by the identities of a person, and nobody finds them any more when only %s and what refers to it goes", n.Name, root.Name)
		}
	}
}

// buildUpdate makes the one step of a rule that anonymises or marks.
func (b *builder) buildUpdate() {
	t, r := b.t, b.t.Rule
	s := step{node: t.node, action: planner.Purpose(r.Action), SweepStep: backend.SweepStep{Scope: t.node.Scope, Action: backend.Update}}
	fields, where := r.Fields, "fields of the rule"
	if r.Action == v1alpha1.RuleAnonymize {
		s.references = t.node.References
		if len(fields) == 0 && t.node.Spec.Action == v1alpha1.ActionAnonymize {
			fields, where = t.node.Spec.Fields, "fields of "+t.node.Name
		}
		if len(fields) == 0 {
			b.problem(v1alpha1.ReasonInvalidSpec, "the action Anonymize needs fields, because the map has none for %s with that action; name the columns to overwrite", t.node.Name)
		}
	}
	s.Columns = b.columns(t.node, where, fields)
	switch {
	case r.Stamp != "":
		if slices.ContainsFunc(fields, func(f v1alpha1.FieldChange) bool { return f.Column == r.Stamp }) {
			b.problem(v1alpha1.ReasonInvalidSpec, "the %s name the stamp %s; leave it out: it gets the time", where, r.Stamp)
		}
		s.Columns = append(s.Columns, backend.SweepColumn{Column: r.Stamp, Now: true})
	case len(fields) == 0:
		b.problem(v1alpha1.ReasonInvalidSpec, "the action %s needs fields or a stamp", r.Action)
	default:
		if t.done = done(r.Name, fields); t.done == nil && len(s.references) > 0 {
			b.problem(v1alpha1.ReasonInvalidSpec, "nothing tells whether a date was truncated already, and so whether the files of a record are to go; give the rule a stamp")
		}
	}
	b.checkHeldColumns(s.Columns)
	b.addStep(s)
}

// done recognises records that are as the fields leave them, for an explanation: a store leaves those alone by itself. Nil where a
// condition cannot tell.
func done(rule string, fields []v1alpha1.FieldChange) *backend.SweepTest {
	t := &backend.SweepTest{Name: "done by rule " + rule}
	for _, f := range fields {
		switch {
		case f.Strategy == v1alpha1.StrategyNull:
			t.Conditions = append(t.Conditions, backend.Condition{Column: f.Column, Operator: backend.DoesNotExist})
		case f.Strategy == v1alpha1.StrategyConstant && f.Value != nil:
			t.Conditions = append(t.Conditions, backend.Condition{Column: f.Column, Operator: backend.In, Values: []string{*f.Value}})
		default:
			return nil
		}
	}
	return t
}

// checkHeldColumns refuses to overwrite what a statutory hold looks at.
func (b *builder) checkHeldColumns(columns []backend.SweepColumn) {
	for _, h := range b.t.node.Spec.Holds {
		for _, c := range columns {
			if c.Column == h.Clock || slices.ContainsFunc(h.Conditions, func(cond v1alpha1.Condition) bool { return cond.Column == c.Column }) {
				b.problem(v1alpha1.ReasonInvalidSpec, "it overwrites column %s of %s, at which the hold %s looks: the hold could no longer be told; leave the column alone", c.Column, b.t.node.Name, h.Name)
			}
		}
	}
}

// columns translates field changes.
func (b *builder) columns(n *planner.Node, where string, fields []v1alpha1.FieldChange) []backend.SweepColumn {
	var out []backend.SweepColumn
	for _, f := range fields {
		twice := slices.ContainsFunc(out, func(c backend.SweepColumn) bool { return c.Column == f.Column })
		switch {
		case twice || slices.Contains(n.Spec.Key, f.Column):
			b.problem(v1alpha1.ReasonInvalidSpec, "the %s name column %s twice, or it belongs to the key; leave it out", where, f.Column)
			continue
		case f.Path != "":
			b.unsupported("the %s change a member of the JSON column %s, where a sweep only changes whole columns", where, f.Column)
			continue
		}
		c := backend.SweepColumn{Column: f.Column}
		switch {
		case f.Strategy == v1alpha1.StrategyNull:
		case f.Strategy == v1alpha1.StrategyConstant && f.Value != nil:
			c.Value = f.Value
		case f.Strategy == v1alpha1.StrategyTruncateDate && truncations[f.Unit] != "":
			c.Truncate = truncations[f.Unit]
		default:
			b.unsupported("the %s overwrite column %s by the strategy %s, where a sweep only knows Null, Constant and TruncateDate", where, f.Column, f.Strategy)
			continue
		}
		out = append(out, c)
	}
	return out
}

var truncations = map[v1alpha1.DateUnit]string{
	v1alpha1.UnitYear: backend.TruncateYear, v1alpha1.UnitMonth: backend.TruncateMonth, v1alpha1.UnitDay: backend.TruncateDay}

func nulls(columns []string) []backend.SweepColumn {
	out := make([]backend.SweepColumn, 0, len(columns))
	for _, c := range columns {
		out = append(out, backend.SweepColumn{Column: c})
	}
	return out
}
