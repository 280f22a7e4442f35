package retention

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
	"github.com/lethe-dev/lethe/internal/planner"
)

// A world is a random map with random records, policy and legal holds. What a run did is judged by the map, the policy and the
// records before and after alone (judge), not by what Compile made of them.
type world struct {
	source planner.MapSource
	spec   v1alpha1.RetentionPolicySpec
	holds  []Hold
	// persons whom a legal hold names.
	persons []string
	data    memory
}

func (w *world) entity(name string) *v1alpha1.Entity {
	for i := range w.source.Spec.Entities {
		if "m/"+w.source.Spec.Entities[i].Name == name {
			return &w.source.Spec.Entities[i]
		}
	}
	return nil
}

func (w *world) compile() *Rules {
	rules, _ := Compile(w.spec, []planner.MapSource{w.source})
	return rules
}

var (
	stamped = []string{"2023-12-31T23:59:59Z", "2024-01-28T23:00:00Z", "2024-01-31T01:00:00Z", "2024-02-29T00:00:00Z", "2024-02-29T12:30:00.5Z", "2024-03-31T01:30:00Z",
		"2024-05-31T00:00:00Z", "2024-08-30T17:00:00Z", "2024-10-27T01:30:00Z", "2025-02-28T23:59:59.999999Z", "2025-03-01T00:00:00Z"}
	periods = []string{"P0D", "P1D", "P30D", "P1M", "P1M1D", "P3M", "P6M", "P26W", "P1Y", "P3Y", "P10Y"}
	colours = []string{"red", "green", "blue"}
	zones   = []*time.Location{time.UTC, mustZone("Europe/Berlin"), mustZone("America/New_York"), mustZone("Pacific/Kiritimati")}
)

func mustZone(name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return zone
}

func drawInstant(t *rapid.T, label string) time.Time {
	at, _ := time.Parse(time.RFC3339Nano, rapid.SampledFrom(stamped).Draw(t, label))
	zone := rapid.SampledFrom(zones).Draw(t, label+" zone")
	return at.In(zone).Add(time.Duration(rapid.Int64Range(-3, 3).Draw(t, label+" off")) * time.Duration(rapid.SampledFrom([]int64{0, 1, int64(time.Second), int64(time.Hour), int64(24 * time.Hour)}).Draw(t, label+" by")))
}

func drawCondition(t *rapid.T, label string) v1alpha1.Condition {
	c := v1alpha1.Condition{Column: rapid.SampledFrom([]string{"colour", "shade"}).Draw(t, label)}
	c.Operator = rapid.SampledFrom([]v1alpha1.Operator{v1alpha1.OperatorIn, v1alpha1.OperatorNotIn, v1alpha1.OperatorExists, v1alpha1.OperatorDoesNotExist,
		v1alpha1.OperatorLessThan, v1alpha1.OperatorGreaterThan}).Draw(t, label+" operator")
	if c.Operator == v1alpha1.OperatorIn || c.Operator == v1alpha1.OperatorNotIn {
		c.Values = rapid.SliceOfNDistinct(rapid.SampledFrom(colours), 1, 2, rapid.ID).Draw(t, label+" values")
	}
	if c.Operator == v1alpha1.OperatorLessThan || c.Operator == v1alpha1.OperatorGreaterThan {
		c.Values = []string{rapid.SampledFrom(colours).Draw(t, label+" value")}
	}
	return c
}

// sometimes draws true in one of n cases.
func sometimes(t *rapid.T, n int, label string) bool { return rapid.IntRange(1, n).Draw(t, label) == n }

func drawConditions(t *rapid.T, n int, label string) []v1alpha1.Condition {
	var list []v1alpha1.Condition
	for sometimes(t, n, label) && len(list) < 2 {
		list = append(list, drawCondition(t, label))
	}
	return list
}

func drawWorld(t *rapid.T) *world {
	w := &world{source: planner.MapSource{Name: "m", UID: "1"}, data: memory{}}
	n := rapid.IntRange(1, 5).Draw(t, "entities")
	for i := range n {
		w.source.Spec.Entities = append(w.source.Spec.Entities, drawEntity(t, i))
	}
	if n > 1 && sometimes(t, 3, "twin") {
		w.addTwin(t)
	}
	w.addClocks(t)
	for i := range n {
		w.addRecords(t, i)
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		w.spec.Rules = append(w.spec.Rules, w.drawRule(t, i))
	}
	for i := range rapid.IntRange(0, 2).Draw(t, "holds") {
		w.holds = append(w.holds, Hold{Name: fmt.Sprintf("matter-%d", i), Records: []planner.HoldRecord{
			{Map: "m", Entity: w.drawName(t, "held"), Conditions: append(drawConditions(t, 2, "hold"), drawCondition(t, "hold"))}}})
	}
	if sometimes(t, 4, "somebody is held") {
		w.persons = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"0.0", "0.1", "0.2", "0.3"}), 1, 3, rapid.ID).Draw(t, "persons")
		w.holds = append(w.holds, Hold{Name: "matter-x", Subjects: true})
	}
	return w
}

// drawName draws the name of one of the map's entities.
func (w *world) drawName(t *rapid.T, label string) string {
	return rapid.SampledFrom(w.source.Spec.Entities).Draw(t, label).Name
}

func drawEntity(t *rapid.T, i int) v1alpha1.Entity {
	e := v1alpha1.Entity{Name: fmt.Sprintf("e%d", i), Store: "db", Table: fmt.Sprintf("t%d", i), Key: []string{"id"}, Action: v1alpha1.ActionDelete,
		Category: rapid.SampledFrom([]string{"contact", "documents"}).Draw(t, "category"), Conditions: drawConditions(t, 5, "scope")}
	if i == 0 {
		e.Root, e.IdentifiedBy = &v1alpha1.Root{Rows: v1alpha1.RowsMany}, []v1alpha1.IdentityMatch{{Column: "id", Identity: v1alpha1.IdentityID}}
		e.Action = v1alpha1.ActionDelete
	} else {
		deep := v1alpha1.RelationDeep
		for j := range i {
			if !sometimes(t, 2, "refers") && (j < i-1 || len(e.Parents) > 0) {
				continue
			}
			p := v1alpha1.Parent{Entity: fmt.Sprintf("e%d", j), Relation: deep, Columns: []v1alpha1.ColumnPair{{Column: fmt.Sprintf("e%d_id", j), ParentColumn: "id"}}}
			if sometimes(t, 4, "polymorphic") {
				p.Conditions = []v1alpha1.Condition{drawCondition(t, "polymorphic")}
			}
			if len(e.Parents) > 0 && sometimes(t, 2, "shallow") {
				p.Relation, p.Conditions = v1alpha1.RelationShallow, nil
			}
			e.Parents = append(e.Parents, p)
		}
		if sometimes(t, 4, "anonymise") {
			e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "text", Strategy: v1alpha1.StrategyNull}}
		}
	}
	if sometimes(t, 3, "process") {
		e.ActiveWhen = append(drawConditions(t, 3, "active"), drawCondition(t, "active"))
	}
	for k := range rapid.IntRange(0, 2).Draw(t, "laws") {
		e.Holds = append(e.Holds, v1alpha1.StatutoryHold{Name: fmt.Sprintf("law-%d", k), LegalBasis: "law", Conditions: drawConditions(t, 2, "law"), Clock: "issued",
			Period: rapid.SampledFrom(periods).Draw(t, "law period")})
	}
	return e
}

// addTwin splits the records of the last table between two entities, each with its own process and laws.
func (w *world) addTwin(t *rapid.T) {
	i := len(w.source.Spec.Entities) - 1
	first, twin := &w.source.Spec.Entities[i], drawEntity(t, i)
	colour := rapid.SampledFrom(colours).Draw(t, "twin's")
	twin.Name, twin.Parents, twin.Action, twin.Fields = first.Name+"twin", first.Parents, first.Action, first.Fields
	first.Conditions = []v1alpha1.Condition{{Column: "colour", Operator: v1alpha1.OperatorNotIn, Values: []string{colour}}}
	twin.Conditions = []v1alpha1.Condition{{Column: "colour", Operator: v1alpha1.OperatorIn, Values: []string{colour}}}
	w.source.Spec.Entities = append(w.source.Spec.Entities, twin)
}

// addClocks gives each entity a clock of its own column, and clocks of parents and children where it has some.
func (w *world) addClocks(t *rapid.T) {
	entities := w.source.Spec.Entities
	for i := range entities {
		e := &entities[i]
		e.Clocks = []v1alpha1.Clock{{Name: "own", Column: "at"}}
		for _, p := range e.Parents {
			e.Clocks = append(e.Clocks, v1alpha1.Clock{Name: "of-" + p.Entity, Parent: p.Entity, Clock: rapid.SampledFrom([]string{"own", "latest"}).Draw(t, "clock of parent")})
		}
		for j := i + 1; j < len(entities); j++ {
			if slices.ContainsFunc(entities[j].Parents, func(p v1alpha1.Parent) bool { return p.Entity == e.Name }) {
				e.Clocks = append(e.Clocks, v1alpha1.Clock{Name: "latest", Children: entities[j].Name, Clock: "own"})
				break
			}
		}
	}
}

func (w *world) addRecords(t *rapid.T, i int) {
	e := w.source.Spec.Entities[i]
	for k := range rapid.IntRange(0, 4).Draw(t, "records") {
		r := row{"id": fmt.Sprintf("%d.%d", i, k), "text": "secret"}
		for _, c := range []string{"colour", "shade"} {
			if !sometimes(t, 4, c) {
				r[c] = rapid.SampledFrom(colours).Draw(t, c)
			}
		}
		for _, c := range []string{"at", "issued"} {
			switch rapid.IntRange(0, 9).Draw(t, c) {
			case 0:
			case 1:
				r[c] = "soon"
			default:
				r[c] = drawInstant(t, c).Format(time.RFC3339Nano)
			}
		}
		for _, p := range e.Parents {
			if !sometimes(t, 5, "nobody's") {
				r[p.Columns[0].Column] = fmt.Sprintf("%s.%d", strings.TrimPrefix(p.Entity, "e"), rapid.IntRange(0, 3).Draw(t, "whose"))
			}
		}
		w.data[backend.Table{Name: e.Table}] = append(w.data[backend.Table{Name: e.Table}], r)
	}
}

func (w *world) drawRule(t *rapid.T, i int) v1alpha1.RetentionRule {
	r := v1alpha1.RetentionRule{Name: fmt.Sprintf("r%d", i), Period: rapid.SampledFrom(periods).Draw(t, "period"),
		Conditions: drawConditions(t, 4, "about"), Unless: drawConditions(t, 3, "unless")}
	e := rapid.SampledFrom(w.source.Spec.Entities).Draw(t, "entity")
	if sometimes(t, 4, "by category") {
		r.Category = e.Category
		r.Clock = "own"
	} else {
		r.Entity = "m/" + e.Name
		r.Clock = rapid.SampledFrom(e.Clocks).Draw(t, "clock").Name
	}
	if i > 0 && sometimes(t, 2, "after") {
		r.Clock, r.After = "", fmt.Sprintf("r%d", i-1)
	}
	switch r.Action = rapid.SampledFrom([]v1alpha1.RuleAction{v1alpha1.RuleDelete, v1alpha1.RuleMark, v1alpha1.RuleAnonymize}).Draw(t, "action"); r.Action {
	case v1alpha1.RuleMark:
		r.Stamp = "stamp" + r.Name
	case v1alpha1.RuleAnonymize:
		r.Fields = []v1alpha1.FieldChange{{Column: "text", Strategy: v1alpha1.StrategyNull}}
		if sometimes(t, 2, "stamp") {
			r.Stamp = "stamp" + r.Name
		}
	}
	return r
}

// judge holds what a run of a rule did against the map, the policy and the holds. It knows nothing of what was compiled.
func (w *world) judge(t *rapid.T, target *Target, before, after memory, now time.Time) {
	for _, e := range w.source.Spec.Entities {
		table := backend.Table{Name: e.Table}
		for _, r := range before[table] {
			change := w.changed(r, after[table])
			if change == "" || w.twins(&e, r) {
				continue
			}
			if why := w.keeps("m/"+e.Name, &e, r, now, change == "unlinked"); why != "" {
				t.Fatalf("rule %s at %s: %s of %s was %s, and %s", target.Rule.Name, now.Format(time.RFC3339Nano), r["id"], e.Name, change, why)
			}
			if e.Name == target.Entity && change != "unlinked" {
				w.judgeOwn(t, target.Rule, &e, r, before, now)
			}
		}
	}
}

// twins tells whether a record is that of another entity for the same table.
func (w *world) twins(e *v1alpha1.Entity, r row) bool {
	return !r.meets(planner.Conditions(e.Conditions)) && slices.ContainsFunc(w.source.Spec.Entities, func(o v1alpha1.Entity) bool {
		return o.Name != e.Name && o.Table == e.Table && r.meets(planner.Conditions(o.Conditions))
	})
}

// changed says what became of a record.
func (w *world) changed(r row, now []row) string {
	at := slices.IndexFunc(now, func(o row) bool { return o["id"] == r["id"] })
	if at < 0 {
		return "deleted"
	}
	links := true
	for _, rows := range []row{r, now[at]} {
		for k := range rows {
			if rows[k] != r[k] || rows[k] != now[at][k] {
				links = links && strings.HasSuffix(k, "_id")
			}
		}
	}
	switch {
	case fmt.Sprint(r) == fmt.Sprint(now[at]):
		return ""
	case links:
		return "unlinked"
	}
	return "overwritten"
}

// keeps says what of the map or of the legal holds forbids to touch a record.
func (w *world) keeps(name string, e *v1alpha1.Entity, r row, now time.Time, linkOnly bool) string {
	if !r.meets(planner.Conditions(e.Conditions)) {
		return "is outside the scope of its entity"
	}
	if linkOnly {
		return ""
	}
	if len(e.ActiveWhen) > 0 && r.meets(planner.Conditions(e.ActiveWhen)) {
		return "its process is still running"
	}
	for _, h := range e.Holds {
		p, _ := period.Parse(h.Period)
		if issued := r.time(h.Clock); r.meets(planner.Conditions(h.Conditions)) && (!issued.Valid || p.AddTo(issued.Time).After(now)) {
			return "the law " + h.Name + " keeps it"
		}
	}
	for _, h := range w.holds {
		for _, s := range h.Records {
			if s.Map+"/"+s.Entity == name && r.meets(planner.Conditions(s.Conditions)) {
				return "the legal hold " + h.Name + " keeps it"
			}
		}
	}
	return ""
}

// held answers for the persons of a page, as the target wants it.
func (w *world) held(target *Target) func(string) bool {
	if len(w.persons) == 0 {
		return nil
	}
	return func(person string) bool {
		return person == "" && target.UnknownHeld() || slices.Contains(w.persons, person)
	}
}

// sweep is nil where nobody can tell whom the hold on persons is about: then nothing goes.
func (w *world) sweep(t *rapid.T, target *Target, now, until time.Time) *backend.Sweep {
	s, err := target.Sweep(now, until, w.holds)
	if err != nil && len(w.persons) == 0 {
		t.Fatal(err)
	}
	return s
}

// about lists the persons that a record is about, by all of its Deep references.
func (w *world) about(e *v1alpha1.Entity, r row, before memory) []string {
	if e.Root != nil {
		return []string{r["id"]}
	}
	var persons []string
	for _, p := range e.Parents {
		parent := w.entity("m/" + p.Entity)
		if p.Relation != v1alpha1.RelationDeep || !r.meets(planner.Conditions(p.Conditions)) {
			continue
		}
		for _, o := range before[backend.Table{Name: parent.Table}] {
			if o["id"] == r[p.Columns[0].Column] {
				persons = append(persons, w.about(parent, o, before)...)
			}
		}
	}
	return persons
}

// judgeOwn holds a record that the rule itself is for against its clock and its conditions.
func (w *world) judgeOwn(t *rapid.T, rule v1alpha1.RetentionRule, e *v1alpha1.Entity, r row, before memory, now time.Time) {
	p, _ := period.Parse(rule.Period)
	at := w.clock(rule, e, r, before)
	switch {
	case !at.Valid:
		t.Fatalf("rule %s: %s went without a clock", rule.Name, r["id"])
	case at.Time.After(now) || p.AddTo(at.Time).After(now):
		t.Fatalf("rule %s: %s went at %s, early: %s since %s", rule.Name, r["id"], now.Format(time.RFC3339Nano), rule.Period, at.Time.Format(time.RFC3339Nano))
	case !r.meets(planner.Conditions(rule.Conditions)):
		t.Fatalf("rule %s: it is not about %s", rule.Name, r["id"])
	case rule.Stamp != "" && r[rule.Stamp] != "":
		t.Fatalf("rule %s: %s was treated twice", rule.Name, r["id"])
	}
	for _, person := range w.about(e, r, before) {
		if slices.Contains(w.persons, person) {
			t.Fatalf("rule %s: %s went, and %s is held", rule.Name, r["id"], person)
		}
	}
	for _, c := range rule.Unless {
		if r.meets(planner.Conditions([]v1alpha1.Condition{c})) {
			t.Fatalf("rule %s: %s went, which %+v keeps", rule.Name, r["id"], c)
		}
	}
}

// clock reads a rule's clock as the map and the chain say.
func (w *world) clock(rule v1alpha1.RetentionRule, e *v1alpha1.Entity, r row, before memory) backend.Clock {
	if rule.After == "" {
		return w.named(rule.Clock, e, r, before)
	}
	for _, first := range w.spec.Rules {
		if first.Name != rule.After {
			continue
		}
		named := slices.ContainsFunc(w.spec.Rules, func(o v1alpha1.RetentionRule) bool { return o.Entity == "m/"+e.Name })
		if first.Entity == "m/"+e.Name || first.Category == e.Category && !named {
			return r.time(first.Stamp)
		}
		// Up from parent to parent to whatever has the stamp; the worlds' stamps have names of their own.
		for open := []row{r}; len(open) > 0; open = open[1:] {
			if _, ok := open[0][first.Stamp]; ok {
				return open[0].time(first.Stamp)
			}
			for k, id := range open[0] {
				if strings.HasSuffix(k, "_id") {
					for _, parent := range before[backend.Table{Name: "t" + strings.TrimSuffix(strings.TrimPrefix(k, "e"), "_id")}] {
						if parent["id"] == id {
							open = append(open, parent)
						}
					}
				}
			}
		}
	}
	return backend.Clock{}
}

func (w *world) named(name string, e *v1alpha1.Entity, r row, before memory) backend.Clock {
	at := slices.IndexFunc(e.Clocks, func(c v1alpha1.Clock) bool { return c.Name == name })
	c := e.Clocks[at]
	switch {
	case c.Column != "":
		return r.time(c.Column)
	case c.Parent != "":
		parent := w.entity("m/" + c.Parent)
		for _, o := range before[backend.Table{Name: parent.Table}] {
			if o["id"] == r[c.Parent+"_id"] {
				return w.named(c.Clock, parent, o, before)
			}
		}
		return backend.Clock{}
	}
	child := w.entity("m/" + c.Children)
	link := child.Parents[slices.IndexFunc(child.Parents, func(p v1alpha1.Parent) bool { return p.Entity == e.Name })]
	var latest backend.Clock
	for _, o := range before[backend.Table{Name: child.Table}] {
		if o[e.Name+"_id"] != r["id"] || !o.meets(planner.Conditions(link.Conditions)) || !o.meets(planner.Conditions(child.Conditions)) {
			continue
		}
		at := o.time("at")
		if !at.Valid {
			return backend.Clock{}
		}
		if at.Time.After(latest.Time) {
			latest = at
		}
	}
	return latest
}

// drawUntil draws times at which something may fall due.
func (w *world) drawNow(t *rapid.T) time.Time {
	p, _ := period.Parse(rapid.SampledFrom(periods).Draw(t, "passed"))
	now := p.AddTo(drawInstant(t, "now"))
	return now.Add(time.Duration(rapid.Int64Range(-1, 1).Draw(t, "beside")) * time.Second)
}

func TestNeverEarlyAndNeverHeld(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		rules := w.compile()
		now := w.drawNow(t)
		for range 3 { // chains go on from what was stamped before
			for _, target := range rules.Targets {
				s := w.sweep(t, target, now, now)
				if s == nil {
					continue
				}
				before := w.data.clone()
				w.data.runHeld(s, w.held(target))
				w.judge(t, target, before, w.data, now)
			}
			p, _ := period.Parse(rapid.SampledFrom(periods).Draw(t, "wait"))
			now = p.AddTo(now)
		}
	})
}

func TestTheDecisionIsWhatTheSweepDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		now := w.drawNow(t)
		for _, target := range w.compile().Targets {
			s, err := target.Explained(now, w.holds)
			if err != nil {
				if len(w.persons) == 0 {
					t.Fatal(err)
				}
				continue
			}
			for _, r := range w.data[s.Table] {
				d := Decide(target, w.data.explain(r, s), s, now)
				if d.IsDue(now) != w.data.due(r, s) {
					t.Fatalf("%s of %s at %s: %+v, and due is %v", r["id"], target.Name(), now, d, w.data.due(r, s))
				}
				w.checkDate(t, target, r, d, now)
			}
		}
	})
}

// checkDate goes to the date of a decision and to the second before, and takes away what decided.
func (w *world) checkDate(t *rapid.T, target *Target, r row, d Decision, now time.Time) {
	dueAt := func(target *Target, at time.Time, holds []Hold) bool {
		s, err := target.Sweep(at, at, holds)
		if err != nil {
			t.Fatal(err)
		}
		return w.data.due(r, s)
	}
	far := now.AddDate(500, 0, 0)
	switch {
	case d.Due.IsZero() && dueAt(target, far, w.holds):
		t.Fatalf("%s of %s: %+v, and it goes by %s", r["id"], target.Name(), d, far)
	case d.Due.After(now) && (!dueAt(target, d.Due, w.holds) || dueAt(target, d.Due.Add(-time.Second), w.holds)):
		t.Fatalf("%s of %s: %+v, and at that time due is %v, a second before %v", r["id"], target.Name(), d,
			dueAt(target, d.Due, w.holds), dueAt(target, d.Due.Add(-time.Second), w.holds))
	case !d.Due.After(now) && !d.Due.IsZero():
		return
	}
	if name, ok := strings.CutPrefix(d.Deciding, "statutory hold m/"); ok && !d.Due.IsZero() {
		entity, law, _ := strings.Cut(name, "/")
		less := w.withoutLaw(entity, law)
		for _, o := range less.compile().Targets {
			// Another test of the same hold, by another path, may decide on the same date; without the hold none does.
			if s, _ := o.Explained(now, w.holds); o.Name() == target.Name() && s != nil {
				if other := Decide(o, w.data.explain(r, s), s, now); other.Due.Equal(d.Due) && other.Deciding == d.Deciding {
					t.Fatalf("%s of %s: %+v, and without that hold too", r["id"], target.Name(), d)
				}
			}
		}
	}
	if name, ok := strings.CutPrefix(d.Deciding, "legal hold "); ok {
		left := slices.DeleteFunc(slices.Clone(w.holds), func(h Hold) bool { return h.Name == name })
		if name == "matter-x" {
			return // it keeps what has a second way to a person
		}
		s, _ := target.Explained(now, left)
		if other := Decide(target, w.data.explain(r, s), s, now); other.Deciding == d.Deciding {
			t.Fatalf("%s of %s: %+v, and without that hold too", r["id"], target.Name(), d)
		}
	}
}

// withoutLaw is the world without a statutory hold.
func (w *world) withoutLaw(entity, law string) *world {
	less := *w
	less.source.Spec = *w.source.Spec.DeepCopy()
	for i := range less.source.Spec.Entities {
		if e := &less.source.Spec.Entities[i]; e.Name == entity {
			e.Holds = slices.DeleteFunc(e.Holds, func(h v1alpha1.StatutoryHold) bool { return h.Name == law })
		}
	}
	return &less
}

func TestALongerPeriodMakesNothingMoreDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		now := w.drawNow(t)
		longer := *w
		longer.spec = *w.spec.DeepCopy()
		i := rapid.IntRange(0, len(w.spec.Rules)-1).Draw(t, "changed")
		longer.spec.Rules[i].Period = rapid.SampledFrom(periods).Draw(t, "new period")
		was, _ := period.Parse(w.spec.Rules[i].Period)
		is, _ := period.Parse(longer.spec.Rules[i].Period)
		if !covers(is, was) {
			return
		}
		if why := WideningChange(w.spec, longer.spec); len(why) > 0 {
			t.Fatalf("%s instead of %s is said to widen: %v", longer.spec.Rules[i].Period, w.spec.Rules[i].Period, why)
		}
		before, after := w.compile(), longer.compile()
		for k, target := range after.Targets {
			s, old := w.sweep(t, target, now, now), w.sweep(t, before.Targets[k], now, now)
			if s == nil || old == nil {
				continue
			}
			for _, key := range w.data.dueKeys(s) {
				if !slices.Contains(w.data.dueKeys(old), key) {
					t.Fatalf("%s: %s is due with %s, and not with %s", target.Name(), key, longer.spec.Rules[i].Period, w.spec.Rules[i].Period)
				}
			}
		}
	})
}

// Time alone never takes a record out of what is due.
func TestWhatIsDueStaysDue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		now := w.drawNow(t)
		later := now.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "later")))
		for _, target := range w.compile().Targets {
			s, next, counted := w.sweep(t, target, now, now), w.sweep(t, target, later, later), w.sweep(t, target, now, later)
			if s == nil {
				continue
			}
			due := w.data.dueKeys(next)
			for _, key := range w.data.dueKeys(s) {
				if !slices.Contains(due, key) {
					t.Fatalf("%s: %s is due at %s and not at %s", target.Name(), key, now, later)
				}
			}
			// What is announced now for later is what is due then, but for clocks that are in the future now.
			for _, key := range w.data.dueKeys(counted) {
				if !slices.Contains(due, key) {
					t.Fatalf("%s: %s was announced for %s and is not due then", target.Name(), key, later)
				}
			}
		}
	})
}
