package retention

import (
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
	"github.com/lethe-dev/lethe/internal/planner"
)

// resolveClock finds the column from which the period counts.
func (b *builder) resolveClock() {
	r := b.t.Rule
	switch {
	case (r.Clock == "") == (r.After == ""):
		b.problem(v1alpha1.ReasonInvalidSpec, "a rule has either a clock or after; give one of them")
	case r.Clock != "":
		if clock, ok := b.clockOf(b.t.node, r.Clock, nil); ok {
			b.t.clock = *clock
		}
	default:
		b.resolveAfter()
	}
}

// clockOf follows a clock of an entity to its column.
func (b *builder) clockOf(n *planner.Node, name string, seen []string) (*backend.SweepClock, bool) {
	at := slices.IndexFunc(n.Spec.Clocks, func(c v1alpha1.Clock) bool { return c.Name == name })
	id := n.Name + "\x00" + name
	switch {
	case at < 0:
		b.problem(v1alpha1.ReasonClockUnknown, "%s has no clock %s; add it to clocks in the map %s, or name another one", n.Name, name, n.Map)
		return nil, false
	case slices.Contains(seen, id):
		b.problem(v1alpha1.ReasonClockUnknown, "the clock %s of %s leads back to itself; let one of the clocks on the way name a column", name, n.Name)
		return nil, false
	}
	c := n.Spec.Clocks[at]
	if c.Column != "" {
		return &backend.SweepClock{Column: c.Column}, true
	}
	hop, next, ok := b.clockHop(n, c)
	if !ok {
		return nil, false
	}
	clock, ok := b.clockOf(next, c.Clock, append(seen, id))
	if !ok {
		return nil, false
	}
	if hop.Down && len(clock.Path) > 0 {
		b.problem(v1alpha1.ReasonRuleUnsupported, "the clock %s of %s is that of %s, which is no column: of children only a column of theirs can be the clock; name one", name, n.Name, next.Name)
		return nil, false
	}
	clock.Path = append([]backend.Hop{hop}, clock.Path...)
	return clock, true
}

// clockHop is the way to the parent or the children that have the clock.
func (b *builder) clockHop(n *planner.Node, c v1alpha1.Clock) (hop backend.Hop, next *planner.Node, ok bool) {
	var links []*planner.Link
	word, name := "parent", planner.Qualified(n.Map, c.Parent)
	if c.Children != "" {
		word, name = "children", planner.Qualified(n.Map, c.Children)
		links = slices.DeleteFunc(slices.Clone(n.Children), func(l *planner.Link) bool { return l.Child.Name != name })
	} else {
		links = slices.DeleteFunc(slices.Clone(n.Parents), func(l *planner.Link) bool { return l.Parent.Name != name })
	}
	switch {
	case len(links) == 0:
		b.problem(v1alpha1.ReasonClockUnknown, "the clock %s of %s is that of its %s %s, and no entry of parents links the two; correct the name, or add the reference", c.Name, n.Name, word, name)
		return hop, nil, false
	case len(links) > 1:
		b.problem(v1alpha1.ReasonClockUnknown, "the clock %s of %s is that of its %s %s, and %d references link the two, so that nobody can tell which it is; keep one of them", c.Name, n.Name, word, name, len(links))
		return hop, nil, false
	case !follows(links[0]):
		b.problem(v1alpha1.ReasonRuleUnsupported,
			"the clock %s of %s is that of its %s %s: a sweep follows no reference into another store, by elements of an array, or of the relation RefCount; copy the time into a column of %s", c.Name, n.Name, word, name, n.Name)
		return hop, nil, false
	case c.Children != "":
		hop, next = down(links[0]), links[0].Child
		hop.TargetConditions = next.Scope
		return hop, next, true
	}
	return up(links[0]), links[0].Parent, true
}

// follows tells whether a store can go along a link within one statement.
func follows(l *planner.Link) bool {
	return !l.Element && l.Relation != v1alpha1.RelationRefCount && l.Child.Spec.Store == l.Parent.Spec.Store
}

// up leads from the child to the parent, within the parent's scope.
func up(l *planner.Link) backend.Hop {
	return backend.Hop{Table: l.Parent.Table, Columns: l.Columns, TargetColumns: l.ParentColumns, Conditions: l.Conditions, TargetConditions: l.Parent.Scope}
}

// down leads from the parent to the children, whatever their scope.
func down(l *planner.Link) backend.Hop {
	return backend.Hop{Table: l.Child.Table, Columns: l.ParentColumns, TargetColumns: l.Columns, Conditions: l.Conditions, Down: true}
}

// resolveAfter finds the stamp of the rule before.
func (b *builder) resolveAfter() {
	r := b.t.Rule
	before, ok := b.ruleBefore(r.After)
	if !ok {
		return
	}
	for seen := []string{r.Name}; before.After != ""; {
		if slices.Contains(seen, before.Name) || before.After == r.Name {
			b.problem(v1alpha1.ReasonChainGap, "the chain of after leads back to the rule %s, so that nothing ever begins it; let the first rule count from a clock", before.After)
			return
		}
		seen = append(seen, before.Name)
		if before, ok = b.ruleBefore(before.After); !ok {
			return
		}
	}
	before, _ = b.ruleBefore(r.After)
	if before.Stamp == "" {
		b.problem(v1alpha1.ReasonChainGap, "it counts after the rule %s, which leaves no time behind; give that rule a stamp (and the action Mark or Anonymize)", before.Name)
		return
	}
	b.wayToStamp(before)
}

func (b *builder) ruleBefore(name string) (v1alpha1.RetentionRule, bool) {
	for _, r := range b.c.spec.Rules {
		if r.Name == name {
			return r, true
		}
	}
	b.problem(v1alpha1.ReasonChainGap, "the chain has a gap: no rule of this policy has the name %s; correct after", name)
	return v1alpha1.RetentionRule{}, false
}

// wayToStamp leads to the record that the rule before stamps: the same one, or one that it refers to.
func (b *builder) wayToStamp(before v1alpha1.RetentionRule) {
	n := b.t.node
	stamped := b.c.entitiesOf(before)
	if slices.Contains(stamped, n) {
		b.t.clock = backend.SweepClock{Column: before.Stamp}
		return
	}
	var found [][]backend.Hop
	ways := []way{{at: n}}
	for len(ways) > 0 && len(found) == 0 { // the nearest one, one step further up each time
		var next []way
		for _, w := range ways {
			for _, l := range w.at.Parents {
				if follows(l) && !slices.Contains(w.nodes, l.Parent) {
					next = append(next, w.along(l))
				}
			}
		}
		for _, w := range next {
			if slices.Contains(stamped, w.at) {
				found = append(found, w.path)
			}
		}
		ways = next
	}
	switch len(found) {
	case 1:
		b.t.clock = backend.SweepClock{Column: before.Stamp, Path: found[0]}
	case 0:
		b.problem(v1alpha1.ReasonChainGap, "the chain has a gap: it counts after the rule %s, and %s neither is an entity of that rule nor refers to one through parents in the same store; add the reference to the map, or give the rule a clock", before.Name, n.Name)
	default:
		b.problem(v1alpha1.ReasonChainGap, "it counts after the rule %s, and %d references lead from %s to entities of that rule, so that nobody can tell which counts; give the rule a clock that names the parent", before.Name, len(found), n.Name)
	}
}

// way is a path up from an entity.
type way struct {
	at    *planner.Node
	path  []backend.Hop
	nodes []*planner.Node
}

func (w way) along(l *planner.Link) way {
	return way{at: l.Parent, path: append(slices.Clone(w.path), up(l)), nodes: append(slices.Clone(w.nodes), w.at)}
}

// checkBounds holds the period against the bounds of the map's clock and of the rule itself.
func (b *builder) checkBounds() {
	r := b.t.Rule
	b.checkBound("bounds of the rule", r.MinPeriod, r.MaxPeriod)
	for _, c := range b.t.node.Spec.Clocks {
		if c.Name == r.Clock {
			b.checkBound("bounds of the clock "+c.Name+" of "+b.t.node.Name, c.MinPeriod, c.MaxPeriod)
		}
	}
}

func (b *builder) checkBound(where, least, most string) {
	for _, bound := range []struct {
		text, name string
		outside    func(p, bound period.Period) bool
	}{
		{least, "shorter than", func(p, bound period.Period) bool { return !covers(p, bound) }},
		{most, "longer than", func(p, bound period.Period) bool { return !covers(bound, p) }},
	} {
		if bound.text == "" {
			continue
		}
		limit, err := period.Parse(bound.text)
		switch {
		case err != nil:
			b.problem(v1alpha1.ReasonInvalidSpec, "%s: %q: %s", where, bound.text, err)
		case bound.outside(b.t.Period, limit):
			b.problem(v1alpha1.ReasonPeriodOutOfRange, "the period %s is, or can be on the calendar, %s %s, the %s; choose one between %s and %s",
				b.t.Rule.Period, bound.name, bound.text, where, orNone(least), orNone(most))
		}
	}
}

func orNone(text string) string {
	if text == "" {
		return "any"
	}
	return text
}

// covers tells whether a is at least as long as b from whatever day it counts.
func covers(a, b period.Period) bool {
	for day := range 4*365 + 1 {
		from := time.Date(2023, 1, 1+day, 0, 0, 0, 0, time.UTC)
		if a.AddTo(from).Before(b.AddTo(from)) {
			return false
		}
	}
	return true
}
