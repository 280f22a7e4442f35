package retention

import (
	"reflect"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/period"
	"github.com/lethe-dev/lethe/internal/planner"
)

// keepKind tells the tests that keep a record apart.
type keepKind int

const (
	keepDone      keepKind = iota // the record is as the rule leaves it
	keepOutside                   // a dependant outside the scope of its entity
	keepUnless                    // a condition of the rule
	keepActive                    // a process that is still running
	keepStatutory                 // a law
	keepLegal                     // a legal hold
)

// test keeps records, with what it means.
type test struct {
	backend.SweepTest
	kind keepKind
	// basis and period of a statutory hold; its Cutoff is set for each sweep.
	basis  string
	period period.Period
}

// Hold is a legal hold in force, as a sweep needs it: whom it names is asked for each page (backend.SweepBatch.Held).
type Hold struct {
	Name string
	// Subjects is true where the hold names persons.
	Subjects bool
	// Records that it selects.
	Records []planner.HoldRecord
}

// buildTests says what keeps the records, but for legal holds.
func (b *builder) buildTests() {
	t := b.t
	for _, cond := range t.Rule.Unless {
		b.addTest(test{kind: keepUnless, SweepTest: backend.SweepTest{Name: "unless " + cond.Column, Conditions: planner.Conditions([]v1alpha1.Condition{cond})}})
	}
	b.addActive(touched{node: t.node})
	b.activeAbove(t.node, nil, []*planner.Node{t.node})
	if t.Rule.Action == v1alpha1.RuleEraseSubject {
		// The request finds every process and every hold by itself; here only what can be found keeps requests from being made
		// that would wait. What a hold keeps of a person is left by the request, record by record.
		b.activeBelow(touched{node: t.node}, []*planner.Node{t.node})
		return
	}
	for _, r := range t.touched {
		if len(r.path) > 0 {
			b.addActive(r)
		}
	}
	for _, r := range t.touched {
		b.addStatutory(r)
	}
}

func (b *builder) addTest(t test) { b.t.tests = append(b.t.tests, t) }

// twins are the entities whose records may be those of n: n itself, and others for the same table, with the conditions that
// make a record theirs.
func (b *builder) twins(n *planner.Node) map[*planner.Node][]backend.Condition {
	return twins(b.c.nodes, n)
}

func twins(nodes []*planner.Node, n *planner.Node) map[*planner.Node][]backend.Condition {
	all := map[*planner.Node][]backend.Condition{n: nil}
	for _, o := range nodes {
		if o != n && o.Spec.Store == n.Spec.Store && o.Table == n.Table {
			all[o] = o.Scope
		}
	}
	return all
}

// addActive keeps records of which a process is still running.
func (b *builder) addActive(r touched) {
	scopes := b.twins(r.node)
	for _, n := range b.c.nodes {
		if scope, twin := scopes[n]; twin && len(n.Spec.ActiveWhen) > 0 {
			b.addTest(test{kind: keepActive, SweepTest: backend.SweepTest{Name: "process active in " + n.Name, Path: r.path,
				Conditions: slices.Concat(scope, planner.Conditions(n.Spec.ActiveWhen))}})
		}
	}
}

// activeAbove keeps records that belong to ones of which a process is still running.
func (b *builder) activeAbove(n *planner.Node, path []backend.Hop, below []*planner.Node) {
	for _, l := range n.Parents {
		switch {
		case l.Relation != v1alpha1.RelationDeep:
		case !follows(l) || slices.Contains(below, l.Parent):
			if active := b.activeAround(l.Parent, map[*planner.Node]bool{}); active != "" {
				b.unsupported("a process that is still running in %s keeps the records of %s, and a sweep cannot look there: it follows no reference from %s to %s into another store, by elements of an array, or up a tree",
					active, b.t.node.Name, l.Child.Name, l.Parent.Name)
			}
		default:
			r := touched{node: l.Parent, path: append(slices.Clone(path), up(l))}
			b.addActive(r)
			b.activeAbove(l.Parent, r.path, append(slices.Clone(below), l.Parent))
		}
	}
}

// activeAround names an entity with activeWhen at or above n.
func (b *builder) activeAround(n *planner.Node, seen map[*planner.Node]bool) string {
	if seen[n] {
		return ""
	}
	seen[n] = true
	if len(n.Spec.ActiveWhen) > 0 {
		return n.Name
	}
	for _, l := range n.Parents {
		if l.Relation == v1alpha1.RelationDeep {
			if name := b.activeAround(l.Parent, seen); name != "" {
				return name
			}
		}
	}
	return ""
}

// activeBelow keeps persons of whom a process is still running, as far as a sweep can look.
func (b *builder) activeBelow(r touched, above []*planner.Node) {
	for _, l := range r.node.Children {
		if l.Relation != v1alpha1.RelationDeep || !follows(l) || slices.Contains(above, l.Child) || len(b.t.tests) > maxSteps {
			continue
		}
		hop := down(l)
		hop.TargetConditions = l.Child.Scope
		child := touched{node: l.Child, path: append(slices.Clone(r.path), hop)}
		b.addActive(child)
		b.activeBelow(child, append(slices.Clone(above), l.Child))
	}
}

// addStatutory keeps records that a law demands to be kept.
func (b *builder) addStatutory(r touched) {
	scopes := b.twins(r.node)
	for _, n := range b.c.nodes {
		scope, twin := scopes[n]
		if !twin {
			continue
		}
		for _, h := range n.Spec.Holds {
			p, err := period.Parse(h.Period)
			if err != nil {
				continue // a problem of the map, which Compile reports
			}
			b.addTest(test{kind: keepStatutory, basis: h.LegalBasis, period: p, SweepTest: backend.SweepTest{Name: "statutory hold " + n.Name + "/" + h.Name,
				Path: r.path, Conditions: slices.Concat(scope, planner.Conditions(h.Conditions)), Clock: &backend.SweepClock{Column: h.Clock}}})
		}
	}
}

// legalTests keep the records that legal holds select.
func (t *Target) legalTests(holds []Hold) ([]backend.SweepTest, error) {
	var tests []backend.SweepTest
	for _, h := range holds {
		for _, selected := range h.Records {
			name := selected.Map + "/" + selected.Entity
			if !t.rules.declared[name] {
				return nil, fault.Waitingf(v1alpha1.ReasonLegalHold, 0,
					"LegalHold %s selects records of %s, which no PersonalDataMap of the namespace has, so that nobody can tell what it holds; give the entity its name back, or place the hold anew and lift this one", h.Name, name)
			}
			if t.Rule.Action == v1alpha1.RuleEraseSubject {
				continue // the request leaves what a hold selects
			}
			for _, r := range t.touched {
				for n, scope := range twins(t.rules.nodes, r.node) {
					if n.Name == name {
						tests = append(tests, backend.SweepTest{Name: "legal hold " + h.Name, Path: r.path, Conditions: slices.Concat(scope, planner.Conditions(selected.Conditions))})
					}
				}
			}
		}
	}
	return tests, nil
}

// findPersons finds the ways from a record to the person that it is about.
func (b *builder) findPersons() {
	t := b.t
	b.persons(t.node, nil, []*planner.Node{t.node})
	if t.Rule.Action == v1alpha1.RuleEraseSubject && t.node.Spec.Root != nil {
		own := slices.DeleteFunc(slices.Clone(t.persons), func(c backend.SweepClock) bool { return len(c.Path) > 0 })
		if len(own) != 1 {
			b.problem(v1alpha1.ReasonRuleUnsupported, "the action EraseSubject needs one column of %s that the map identifies by the identity id with the comparison Equals, and there are %d; it names the person in the request", t.node.Name, len(own))
			return
		}
		t.persons, t.lostPersons = own, nil
	}
}

func (b *builder) persons(n *planner.Node, path []backend.Hop, below []*planner.Node) {
	t := b.t
	for _, m := range n.Spec.IdentifiedBy {
		if m.Identity == v1alpha1.IdentityID && (m.Comparison == v1alpha1.CompareEquals || m.Comparison == "") {
			t.addPerson(backend.SweepClock{Column: m.Column, Path: path})
		} else {
			t.otherIdentities = true
		}
	}
	for _, l := range n.Parents {
		switch {
		case l.Relation == v1alpha1.RelationShallow:
		case !follows(l) || slices.Contains(below, l.Parent):
			t.lostPersons = append(t.lostPersons, l.Parent.Name)
		default:
			hop := up(l)
			hop.TargetConditions = nil // a person is held in whatever scope
			b.persons(l.Parent, append(slices.Clone(path), hop), append(slices.Clone(below), l.Parent))
		}
	}
}

// addPerson adds a way to a person that is not there yet. Where the last hop compares the very column at its end, the column
// that refers says the same.
func (t *Target) addPerson(w backend.SweepClock) {
	if n := len(w.Path); n > 0 {
		if last := w.Path[n-1]; len(last.Conditions) == 0 && slices.Equal(last.TargetColumns, []string{w.Column}) {
			w = backend.SweepClock{Column: last.Columns[0], Path: slices.Clone(w.Path[:n-1])}
		}
	}
	if !slices.ContainsFunc(t.persons, func(o backend.SweepClock) bool {
		return o.Column == w.Column && slices.EqualFunc(o.Path, w.Path, func(x, y backend.Hop) bool { return reflect.DeepEqual(x, y) })
	}) {
		t.persons = append(t.persons, w)
	}
}

// UnknownHeld tells whether a record that leads to nobody must be left alone while a legal hold names persons: an identity other
// than the id may make it the data of one, and that cannot be compared with a hold.
func (t *Target) UnknownHeld() bool { return t.otherIdentities }

// subject is the way to the person, and the tests that stand in for what one way cannot tell.
func (t *Target) subject(holds []Hold) (*backend.SweepClock, []backend.SweepTest, error) {
	at := slices.IndexFunc(holds, func(h Hold) bool { return h.Subjects })
	if at < 0 {
		if len(t.persons) > 0 {
			return &t.persons[0], nil, nil
		}
		return nil, nil, nil
	}
	name := holds[at].Name
	switch {
	case len(t.persons) == 0:
		return nil, nil, fault.Waitingf(v1alpha1.ReasonLegalHold, 0,
			"LegalHold %s names subjects, and no Deep parents in the same store lead from %s to a column that is identified by id, so that nobody can tell whose records they are; nothing of %s goes until it is lifted, or the map has the way", name, t.node.Name, t.node.Name)
	case len(t.lostPersons) > 0:
		return nil, nil, fault.Waitingf(v1alpha1.ReasonLegalHold, 0,
			"LegalHold %s names subjects, and a record of %s may belong to one through %s, where a sweep cannot look (another store, elements of an array, a tree, or RefCount); nothing of %s goes until it is lifted", name, t.node.Name, t.lostPersons[0], t.node.Name)
	}
	var others []backend.SweepTest
	for _, way := range t.persons[1:] {
		others = append(others, backend.SweepTest{Name: "legal hold " + name, Path: way.Path,
			Conditions: []backend.Condition{{Column: way.Column, Operator: backend.Exists}}})
	}
	return &t.persons[0], others, nil
}

// Explained is the sweep to explain single records by (backend.Sweeper.ExplainSweep and Decide), as of now. It has more tests: for
// what a store sees by itself when it sweeps.
func (t *Target) Explained(now time.Time, holds []Hold) (*backend.Sweep, error) {
	s, err := t.Sweep(now, now, holds)
	if err != nil {
		return nil, err
	}
	if t.done != nil {
		s.Keep = append(s.Keep, *t.done)
	}
	for _, st := range t.steps {
		for _, c := range st.Scope {
			if len(st.Path) == 0 {
				continue // that is whether the record is found
			}
			for _, outside := range negated(c) {
				s.Keep = append(s.Keep, backend.SweepTest{Name: outsidePrefix + st.node.Name, Path: st.Path, Conditions: []backend.Condition{outside}})
			}
		}
	}
	return s, nil
}

// Left is the sweep of records that are there and not as the rule leaves them, whether they are due or not, and whatever keeps
// them: for who has their keys and must know what became of them. It must not be executed.
func (t *Target) Left(now time.Time) *backend.Sweep {
	s := &backend.Sweep{Table: t.node.Table, KeyColumns: t.node.Spec.Key, Clock: t.clock, Cutoff: now, Now: now}
	if t.Rule.Stamp != "" {
		s.Scope = []backend.Condition{{Column: t.Rule.Stamp, Operator: backend.DoesNotExist}}
	}
	if t.done != nil {
		s.Keep = []backend.SweepTest{*t.done}
	}
	for _, st := range t.steps {
		s.Steps = append(s.Steps, st.SweepStep)
	}
	return s
}

const outsidePrefix = "outside the scope of "

// negated are conditions of which one holds where c does not.
func negated(c backend.Condition) []backend.Condition {
	switch c.Operator {
	case backend.In:
		return []backend.Condition{{Column: c.Column, Operator: backend.NotIn, Values: c.Values}}
	case backend.NotIn:
		return []backend.Condition{{Column: c.Column, Operator: backend.In, Values: c.Values}}
	case backend.Exists:
		return []backend.Condition{{Column: c.Column, Operator: backend.DoesNotExist}}
	case backend.DoesNotExist:
		return []backend.Condition{{Column: c.Column, Operator: backend.Exists}}
	}
	other := backend.LessThan
	if c.Operator == backend.LessThan {
		other = backend.GreaterThan
	}
	return []backend.Condition{{Column: c.Column, Operator: other, Values: c.Values}, {Column: c.Column, Operator: backend.In, Values: c.Values},
		{Column: c.Column, Operator: backend.DoesNotExist}}
}

// Sweep is what a store is asked for: the records that are due at until, what happens to them, and what keeps them. Now tells
// clocks in the future. With until after now it is for counting what will fall due, and must not be executed: it is then
// decided at the later time, and statutory holds that end by until count as ended.
//
// The holds are all legal holds in force. While one of them names persons, SweepBatch.Held must be set, and has to answer for
// nobody as UnknownHeld says. A hold that cannot be compared is an error: nothing goes.
//
// The sweep of EraseSubject has no steps: each record that is due has its person in Subject. That of Archive deletes; for what
// is archived the caller adds columns to SweepStep.Collect, behind those that are there: Files reads them by their place.
func (t *Target) Sweep(now, until time.Time, holds []Hold) (*backend.Sweep, error) {
	until = until.Truncate(time.Second) // what falls due is rounded up to the second
	s := &backend.Sweep{Table: t.node.Table, KeyColumns: t.node.Spec.Key, Scope: t.scope, Clock: t.clock, Cutoff: t.Period.Cutoff(until), Now: now, Ignored: t.ignored}
	for _, k := range t.tests {
		keep := k.SweepTest
		if k.kind == keepStatutory {
			keep.Cutoff = k.period.Cutoff(until)
		}
		s.Keep = append(s.Keep, keep)
	}
	legal, err := t.legalTests(holds)
	if err != nil {
		return nil, err
	}
	subject, others, err := t.subject(holds)
	if err != nil {
		return nil, err
	}
	s.Subject, s.Keep = subject, slices.Concat(s.Keep, legal, others)
	for _, st := range t.steps {
		s.Steps = append(s.Steps, st.SweepStep)
	}
	for i := range s.Steps {
		s.Steps[i].Collect = slices.Clone(s.Steps[i].Collect)
	}
	return s, nil
}
