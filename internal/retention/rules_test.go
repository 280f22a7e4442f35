package retention

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
)

var now = at("2026-11-26")

// office is a small map: people with cases, papers in cases, and houses that cases are about.
func office() *v1alpha1.PersonalDataMapSpec {
	link := func(parent, column string, relation v1alpha1.ParentRelation) v1alpha1.Parent {
		return v1alpha1.Parent{Entity: parent, Relation: relation, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: "id"}}}
	}
	return &v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{
		{Name: "people", Store: "db", Table: "people", Key: []string{"id"}, Category: "contact", Action: v1alpha1.ActionDelete, Root: &v1alpha1.Root{Rows: v1alpha1.RowsOne},
			IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "person_no", Identity: "id"}},
			Clocks:       []v1alpha1.Clock{{Name: "ended", Children: "cases", Clock: "ended"}, {Name: "seen", Column: "seen_at"}}},
		{Name: "houses", Store: "db", Table: "houses", Key: []string{"id"}, Category: "other", Action: v1alpha1.ActionAnonymize,
			IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "keeper", Identity: "email"}},
			Fields:       []v1alpha1.FieldChange{{Column: "keeper", Strategy: v1alpha1.StrategyNull}},
			Clocks:       []v1alpha1.Clock{{Name: "sold", Column: "sold_at"}}},
		{Name: "cases", Store: "db", Table: "cases", Key: []string{"id"}, Category: "profile", Action: v1alpha1.ActionDelete,
			Parents: []v1alpha1.Parent{link("people", "person_id", v1alpha1.RelationDeep), link("houses", "house_id", v1alpha1.RelationShallow)},
			Clocks:  []v1alpha1.Clock{{Name: "ended", Column: "ended_at", MinPeriod: "P1M", MaxPeriod: "P1Y"}}},
		{Name: "papers", Store: "db", Table: "papers", Key: []string{"id"}, Category: "documents", Action: v1alpha1.ActionDelete,
			Parents: []v1alpha1.Parent{link("cases", "case_id", v1alpha1.RelationDeep)},
			Files:   []v1alpha1.FileReference{{Store: "files", Path: "papers/{id}/{name}"}},
			Keys:    []v1alpha1.KeyReference{{Store: "cache", Key: "paper:{id}:*"}},
			Clocks:  []v1alpha1.Clock{{Name: "ended", Parent: "cases", Clock: "ended"}}},
	}}
}

func entity(m *v1alpha1.PersonalDataMapSpec, name string) *v1alpha1.Entity {
	return &m.Entities[slices.IndexFunc(m.Entities, func(e v1alpha1.Entity) bool { return e.Name == name })]
}

func compileOffice(m *v1alpha1.PersonalDataMapSpec, rules ...v1alpha1.RetentionRule) (*Rules, []Problem) {
	return Compile(v1alpha1.RetentionPolicySpec{Rules: rules}, []planner.MapSource{{Name: "office", UID: "1", Spec: *m}})
}

func mustTarget(t *testing.T, m *v1alpha1.PersonalDataMapSpec, rules ...v1alpha1.RetentionRule) *Target {
	t.Helper()
	compiled, problems := compileOffice(m, rules...)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return compiled.Of(rules[len(rules)-1].Name)[0]
}

func mustSweep(t *testing.T, target *Target, holds ...Hold) *backend.Sweep {
	t.Helper()
	s, err := target.Sweep(now, now, holds)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func casesRule(change func(*v1alpha1.RetentionRule)) v1alpha1.RetentionRule {
	r := v1alpha1.RetentionRule{Name: "cases", Entity: "office/cases", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleDelete}
	if change != nil {
		change(&r)
	}
	return r
}

func TestWhatARuleCannotDoIsAProblemOfIt(t *testing.T) {
	text := "x"
	type edit = func(*v1alpha1.PersonalDataMapSpec, *v1alpha1.RetentionRule)
	tests := map[string]struct {
		change edit
		reason string
		says   string
	}{
		"an entity that no map has": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Entity = "office/case" }, v1alpha1.ReasonEntityUnknown, "office/case"},
		"a category that no map has": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Entity, r.Category = "", "resume" },
			v1alpha1.ReasonEntityUnknown, "category resume"},
		"a clock that the entity lacks": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Clock = "closed" }, v1alpha1.ReasonClockUnknown, "no clock closed"},
		"a clock of a parent without it": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "papers").Clocks[0].Clock, r.Entity = "closed", "office/papers"
		}, v1alpha1.ReasonClockUnknown, "office/cases has no clock closed"},
		"a clock of an entity that is no parent": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "papers").Clocks[0].Parent, r.Entity = "houses", "office/papers"
		}, v1alpha1.ReasonClockUnknown, "no entry of parents"},
		"a clock by two references": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			e := entity(m, "papers")
			e.Parents = append(e.Parents, v1alpha1.Parent{Entity: "cases", Relation: v1alpha1.RelationShallow, Columns: []v1alpha1.ColumnPair{{Column: "old_case_id", ParentColumn: "id"}}})
			r.Entity = "office/papers"
		}, v1alpha1.ReasonClockUnknown, "2 references"},
		"a clock that leads back to itself": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "cases").Clocks[0] = v1alpha1.Clock{Name: "ended", Children: "papers", Clock: "ended"}
		}, v1alpha1.ReasonClockUnknown, "leads back to itself"},
		"a clock of children that is no column": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "papers").Clocks[0] = v1alpha1.Clock{Name: "ended", Column: "ended_at"}
			entity(m, "cases").Clocks[0] = v1alpha1.Clock{Name: "ended", Children: "papers", Clock: "ended"}
			r.Entity, r.Action, r.Fields = "office/people", v1alpha1.RuleAnonymize, []v1alpha1.FieldChange{{Column: "name", Strategy: v1alpha1.StrategyNull}}
		}, v1alpha1.ReasonRuleUnsupported, "only a column"},
		"a clock in another store": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "papers").Store, r.Entity = "other", "office/papers"
		}, v1alpha1.ReasonRuleUnsupported, "another store"},
		"clock and after":                {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.After = "x" }, v1alpha1.ReasonInvalidSpec, "either a clock or after"},
		"a period that is none":          {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Period = "6 months" }, v1alpha1.ReasonInvalidSpec, "ISO 8601"},
		"a period under the map's bound": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Period = "P30D" }, v1alpha1.ReasonPeriodOutOfRange, "shorter than P1M"},
		"a period over the map's bound":  {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Period = "P366D" }, v1alpha1.ReasonPeriodOutOfRange, "longer than P1Y"},
		"a period over the rule's bound": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.MaxPeriod = "P3M" }, v1alpha1.ReasonPeriodOutOfRange, "bounds of the rule"},
		"a bound that is none": {func(m *v1alpha1.PersonalDataMapSpec, _ *v1alpha1.RetentionRule) {
			entity(m, "cases").Clocks[0].MinPeriod = "1M"
		}, v1alpha1.ReasonInvalidSpec, "ISO 8601"},
		"an archive retention that is no": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.ArchiveRetention = "1M" }, v1alpha1.ReasonInvalidSpec, "archiveRetention"},
		"a condition without values": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			r.Unless = []v1alpha1.Condition{{Column: "status", Operator: v1alpha1.OperatorIn}}
		}, v1alpha1.ReasonInvalidSpec, "In and NotIn need values"},
		"an unknown action": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Action = "Burn" }, v1alpha1.ReasonInvalidSpec, "Burn"},
		"a tree": {func(m *v1alpha1.PersonalDataMapSpec, _ *v1alpha1.RetentionRule) {
			e := entity(m, "papers")
			e.Parents = append(e.Parents, v1alpha1.Parent{Entity: "papers", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "answers", ParentColumn: "id"}}})
		}, v1alpha1.ReasonRuleUnsupported, "refers to itself"},
		"shared records": {func(m *v1alpha1.PersonalDataMapSpec, _ *v1alpha1.RetentionRule) {
			m.Entities = append(m.Entities, v1alpha1.Entity{Name: "stamps", Store: "db", Table: "stamps", Key: []string{"id"}, Category: "x", Action: v1alpha1.ActionDelete,
				Parents: []v1alpha1.Parent{{Entity: "papers", Relation: v1alpha1.RelationRefCount, Columns: []v1alpha1.ColumnPair{{Column: "id", ParentColumn: "stamp_id"}}}}})
		}, v1alpha1.ReasonRuleUnsupported, "RefCount"},
		"an array": {func(m *v1alpha1.PersonalDataMapSpec, _ *v1alpha1.RetentionRule) {
			entity(m, "papers").Parents[0].Columns[0].Comparison = v1alpha1.ReferenceElement
		}, v1alpha1.ReasonRuleUnsupported, "array"},
		"children in another store": {func(m *v1alpha1.PersonalDataMapSpec, _ *v1alpha1.RetentionRule) { entity(m, "papers").Store = "other" },
			v1alpha1.ReasonRuleUnsupported, "another store"},
		"children that the map keeps": {func(m *v1alpha1.PersonalDataMapSpec, _ *v1alpha1.RetentionRule) {
			e := entity(m, "papers")
			e.Action, e.LegalBasis = v1alpha1.ActionKeep, "law"
		}, v1alpha1.ReasonRuleUnsupported, "keeps the records of office/papers"},
		"children with a strategy that needs the value": {func(m *v1alpha1.PersonalDataMapSpec, _ *v1alpha1.RetentionRule) {
			e := entity(m, "papers")
			e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "name", Strategy: v1alpha1.StrategyHash}}
		}, v1alpha1.ReasonRuleUnsupported, "the strategy Hash"},
		"a member of a document": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			r.Action, r.Fields, r.Stamp = v1alpha1.RuleAnonymize, []v1alpha1.FieldChange{{Column: "doc", Path: "$.name", Strategy: v1alpha1.StrategyNull}}, "done_at"
		}, v1alpha1.ReasonRuleUnsupported, "JSON"},
		"an active process behind a store's border": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "cases").ActiveWhen = []v1alpha1.Condition{{Column: "ended_at", Operator: v1alpha1.OperatorDoesNotExist}}
			e := entity(m, "papers")
			e.Store, e.Clocks, r.Entity = "other", []v1alpha1.Clock{{Name: "ended", Column: "ended_at"}}, "office/papers"
		}, v1alpha1.ReasonRuleUnsupported, "still running in office/cases"},
		"anonymise without fields": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Action = v1alpha1.RuleAnonymize }, v1alpha1.ReasonInvalidSpec, "needs fields"},
		"mark without anything":    {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Action = v1alpha1.RuleMark }, v1alpha1.ReasonInvalidSpec, "fields or a stamp"},
		"overwrite the key": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			r.Action, r.Fields = v1alpha1.RuleAnonymize, []v1alpha1.FieldChange{{Column: "id", Strategy: v1alpha1.StrategyNull}}
		}, v1alpha1.ReasonInvalidSpec, "key"},
		"overwrite the stamp": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			r.Action, r.Stamp, r.Fields = v1alpha1.RuleMark, "done_at", []v1alpha1.FieldChange{{Column: "done_at", Strategy: v1alpha1.StrategyConstant, Value: &text}}
		}, v1alpha1.ReasonInvalidSpec, "name the stamp"},
		"overwrite what a law looks at": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "cases").Holds = []v1alpha1.StatutoryHold{{Name: "law", LegalBasis: "law", Clock: "filed_at", Period: "P1Y"}}
			r.Action, r.Fields = v1alpha1.RuleAnonymize, []v1alpha1.FieldChange{{Column: "filed_at", Strategy: v1alpha1.StrategyNull}}
		}, v1alpha1.ReasonInvalidSpec, "the hold law looks"},
		"erase who is no person": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Action = v1alpha1.RuleEraseSubject }, v1alpha1.ReasonRuleUnsupported, "root entity"},
		"erase who has no id": {func(m *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) {
			entity(m, "people").IdentifiedBy[0].Identity = "email"
			r.Entity, r.Action = "office/people", v1alpha1.RuleEraseSubject
		}, v1alpha1.ReasonRuleUnsupported, "identity id"},
		"delete the person but not the traces": {func(_ *v1alpha1.PersonalDataMapSpec, r *v1alpha1.RetentionRule) { r.Entity = "office/people" },
			v1alpha1.ReasonRuleUnsupported, "office/houses"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m, r := office(), casesRule(nil)
			tt.change(m, &r)
			fine := v1alpha1.RetentionRule{Name: "houses", Entity: "office/houses", Clock: "sold", Period: "P1Y", Action: v1alpha1.RuleAnonymize}
			rules, problems := compileOffice(m, r, fine)
			if !slices.ContainsFunc(problems, func(p Problem) bool {
				return p.Rule == "cases" && p.Reason == tt.reason && strings.Contains(p.Message, tt.says)
			}) {
				t.Errorf("problems %v", problems)
			}
			if len(rules.Of("cases")) != 0 || len(rules.Of("houses")) != 1 {
				t.Errorf("the rule has %d targets, the other %d", len(rules.Of("cases")), len(rules.Of("houses")))
			}
		})
	}
}

func TestAChainWithAGapIsAProblem(t *testing.T) {
	sold := v1alpha1.RetentionRule{Name: "sold", Entity: "office/houses", Clock: "sold", Period: "P1Y", Action: v1alpha1.RuleMark, Stamp: "archived_at"}
	after := func(before string, entity string) v1alpha1.RetentionRule {
		return v1alpha1.RetentionRule{Name: "then", Entity: entity, After: before, Period: "P1Y", Action: v1alpha1.RuleMark, Stamp: "then_at"}
	}
	tests := map[string]struct {
		rules []v1alpha1.RetentionRule
		says  string // empty: no problem
	}{
		"the same entity":       {[]v1alpha1.RetentionRule{sold, after("sold", "office/houses")}, ""},
		"a child":               {[]v1alpha1.RetentionRule{sold, after("sold", "office/cases")}, ""},
		"a grandchild":          {[]v1alpha1.RetentionRule{sold, after("sold", "office/papers")}, ""},
		"no such rule":          {[]v1alpha1.RetentionRule{after("gone", "office/houses")}, "no rule of this policy has the name gone"},
		"unrelated":             {[]v1alpha1.RetentionRule{sold, after("sold", "office/people")}, "neither is an entity of that rule nor refers"},
		"itself":                {[]v1alpha1.RetentionRule{after("then", "office/houses")}, "leads back"},
		"no time is left":       {[]v1alpha1.RetentionRule{casesRule(nil), after("cases", "office/papers")}, "leaves no time behind"},
		"a gap further back":    {[]v1alpha1.RetentionRule{{Name: "mid", Entity: "office/houses", After: "gone", Period: "P1Y", Action: v1alpha1.RuleMark, Stamp: "mid_at"}, after("mid", "office/houses")}, "the name gone"},
		"a circle further back": {[]v1alpha1.RetentionRule{{Name: "mid", Entity: "office/houses", After: "mid2", Period: "P1Y", Action: v1alpha1.RuleMark, Stamp: "mid_at"}, {Name: "mid2", Entity: "office/houses", After: "mid", Period: "P1Y", Action: v1alpha1.RuleMark, Stamp: "mid2_at"}, after("mid", "office/houses")}, "leads back"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			rules, problems := compileOffice(office(), tt.rules...)
			gap := slices.ContainsFunc(problems, func(p Problem) bool {
				return p.Rule == "then" && p.Reason == v1alpha1.ReasonChainGap && strings.Contains(p.Message, tt.says)
			})
			if gap == (tt.says == "") || len(rules.Of("then")) == 1 != (tt.says == "") {
				t.Errorf("%v", problems)
			}
		})
	}
}

func TestTwoWaysToAStampAreAGap(t *testing.T) {
	m := office()
	e := entity(m, "cases")
	e.Parents = append(e.Parents, v1alpha1.Parent{Entity: "houses", Relation: v1alpha1.RelationShallow, Columns: []v1alpha1.ColumnPair{{Column: "garage_id", ParentColumn: "id"}}})
	_, problems := compileOffice(m, v1alpha1.RetentionRule{Name: "sold", Entity: "office/houses", Clock: "sold", Period: "P1Y", Action: v1alpha1.RuleMark, Stamp: "archived_at"},
		casesRule(func(r *v1alpha1.RetentionRule) { r.Clock, r.After = "", "sold" }))
	if len(problems) != 1 || problems[0].Reason != v1alpha1.ReasonChainGap || !strings.Contains(problems[0].Message, "2 references") {
		t.Error(problems)
	}
}

func TestMapsThatAreBrokenGiveNoTarget(t *testing.T) {
	m := office()
	entity(m, "papers").Parents[0].Entity = "gone"
	rules, problems := compileOffice(m, casesRule(nil))
	if len(rules.Targets) != 0 || len(problems) == 0 || problems[0].Reason != v1alpha1.ReasonMapNotReady || problems[0].Rule != "" {
		t.Errorf("%v, %v", rules.Targets, problems)
	}
	if rules, problems = Compile(v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{casesRule(nil)}}, nil); len(rules.Targets) != 0 || len(problems) != 1 || problems[0].Reason != v1alpha1.ReasonNoMap {
		t.Errorf("%v, %v", rules.Targets, problems)
	}
	if rules, problems = Compile(v1alpha1.RetentionPolicySpec{}, nil); len(rules.Targets) != 0 || len(problems) != 0 {
		t.Errorf("a policy without rules: %v", problems)
	}
}

func TestTwoRulesOfOneNameAreOne(t *testing.T) {
	rules, problems := compileOffice(office(), casesRule(nil), casesRule(func(r *v1alpha1.RetentionRule) { r.Period = "P1M" }))
	if len(rules.Targets) != 1 || rules.Targets[0].Rule.Period != "P6M" || len(problems) != 1 || problems[0].Reason != v1alpha1.ReasonInvalidSpec {
		t.Errorf("%v", problems)
	}
}

func TestACategoryIsForAllThatNoRuleNames(t *testing.T) {
	m := office()
	for _, e := range []v1alpha1.Entity{
		{Name: "letters", Category: "documents", Clocks: []v1alpha1.Clock{{Name: "ended", Column: "sent_at"}}},
		{Name: "photos", Category: "documents"},
		{Name: "deeds", Category: "documents", Action: v1alpha1.ActionKeep, LegalBasis: "law"},
	} {
		e.Store, e.Table, e.Key = "db", e.Name, []string{"id"}
		if e.Action == "" {
			e.Action = v1alpha1.ActionDelete
		}
		e.Parents = []v1alpha1.Parent{{Entity: "people", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "person_id", ParentColumn: "id"}}}}
		m.Entities = append(m.Entities, e)
	}
	all := v1alpha1.RetentionRule{Name: "documents", Category: "documents", Clock: "ended", Period: "P1M", Action: v1alpha1.RuleDelete}
	rules, problems := compileOffice(m, all, v1alpha1.RetentionRule{Name: "mine", Entity: "office/papers", Clock: "ended", Period: "P1Y", Action: v1alpha1.RuleDelete})
	if got := rules.Of("documents"); len(got) != 1 || got[0].Entity != "letters" || got[0].Category != "documents" || got[0].Store != "db" {
		t.Errorf("targets %v", got)
	}
	if len(problems) != 1 || problems[0].Entity != "office/photos" || problems[0].Reason != v1alpha1.ReasonClockUnknown {
		t.Errorf("problems %v", problems)
	}
}

func TestTheStepsGoFromTheDeepest(t *testing.T) {
	m := office()
	m.Ignored = []v1alpha1.IgnoredTable{{Store: "db", Table: "log", Reason: "none"}}
	entity(m, "cases").Conditions = []v1alpha1.Condition{{Column: "tenant", Operator: v1alpha1.OperatorIn, Values: []string{"acme"}}}
	entity(m, "papers").Conditions = []v1alpha1.Condition{{Column: "tenant", Operator: v1alpha1.OperatorIn, Values: []string{"acme"}}}
	m.Entities = append(m.Entities, v1alpha1.Entity{Name: "bills", Store: "db", Table: "bills", Key: []string{"no"}, Category: "money", Action: v1alpha1.ActionKeep, LegalBasis: "law",
		IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "payer", Identity: "id"}},
		Parents: []v1alpha1.Parent{{Entity: "papers", Relation: v1alpha1.RelationShallow, Columns: []v1alpha1.ColumnPair{{Column: "paper_id", ParentColumn: "id"}},
			Conditions: []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorIn, Values: []string{"paper"}}}}}})
	target := mustTarget(t, m, casesRule(nil))
	left := target.Left(now)
	if left.Scope != nil || left.Keep != nil || len(left.Steps) != 3 {
		t.Errorf("what is left is not told by keys alone: %+v", left)
	}
	s := mustSweep(t, target) // which Left has not changed
	tenant := []backend.Condition{{Column: "tenant", Operator: backend.In, Values: []string{"acme"}}}
	toPapers := backend.Hop{Table: backend.Table{Name: "papers"}, Columns: []string{"id"}, TargetColumns: []string{"case_id"}, Down: true}
	toBills := backend.Hop{Table: backend.Table{Name: "bills"}, Columns: []string{"id"}, TargetColumns: []string{"paper_id"}, Down: true,
		Conditions: []backend.Condition{{Column: "kind", Operator: backend.In, Values: []string{"paper"}}}}
	want := []backend.SweepStep{
		{Entity: "office/bills", Table: backend.Table{Name: "bills"}, KeyColumns: []string{"no"}, Path: []backend.Hop{toPapers, toBills}, Action: backend.Update, Columns: []backend.SweepColumn{{Column: "paper_id"}}},
		{Entity: "office/papers", Table: backend.Table{Name: "papers"}, KeyColumns: []string{"id"}, Path: []backend.Hop{toPapers}, Scope: tenant, Action: backend.Delete, Collect: []string{"id", "name"}},
		{Entity: "office/cases", Table: backend.Table{Name: "cases"}, KeyColumns: []string{"id"}, Scope: tenant, Action: backend.Delete},
	}
	if !reflect.DeepEqual(s.Steps, want) {
		t.Errorf("steps\n%+v\nwant\n%+v", s.Steps, want)
	}
	if !reflect.DeepEqual(s.Scope, tenant) || !reflect.DeepEqual(s.Ignored, []backend.Table{{Name: "log"}}) || s.Clock.Column != "ended_at" || !s.Cutoff.Equal(at("2026-05-26")) || !s.Now.Equal(now) {
		t.Errorf("%+v", s)
	}
	if got := mustTarget(t, m, casesRule(nil)).Steps(); !reflect.DeepEqual(got, []Step{{"office/bills", "money", planner.PurposeUnlink}, {"office/papers", "documents", planner.PurposeDelete}, {"office/cases", "profile", planner.PurposeDelete}}) {
		t.Errorf("%v", got)
	}
}

// A record that goes anyway goes before the one that it refers to by a Shallow link, so that no link is cut that cannot be.
func TestWhatGoesAnywayGoesBeforeItsLinksAreCut(t *testing.T) {
	m := office()
	child := func(name string, parents ...v1alpha1.Parent) v1alpha1.Entity {
		return v1alpha1.Entity{Name: name, Store: "db", Table: name, Key: []string{"id"}, Category: "x", Action: v1alpha1.ActionDelete, Parents: parents}
	}
	ref := func(parent string, relation v1alpha1.ParentRelation) v1alpha1.Parent {
		return v1alpha1.Parent{Entity: parent, Relation: relation, Columns: []v1alpha1.ColumnPair{{Column: parent + "_id", ParentColumn: "id"}}}
	}
	m.Entities = append(m.Entities, child("agendas", ref("cases", v1alpha1.RelationDeep)), child("visits", ref("cases", v1alpha1.RelationDeep)),
		child("points", ref("visits", v1alpha1.RelationDeep), ref("agendas", v1alpha1.RelationShallow)))
	var got []string
	for _, s := range mustTarget(t, m, casesRule(nil)).Steps() {
		got = append(got, string(s.Action)+" "+strings.TrimPrefix(s.Entity, "office/"))
	}
	at := func(step string) int { return slices.Index(got, step) }
	if len(got) != 6 || at("Delete points") > at("Unlink points") || at("Unlink points") > at("Delete agendas") || at("Delete points") > at("Delete visits") || at("Delete cases") != 5 {
		t.Errorf("%q", got)
	}
}

// Two entities for one table: a record that is the other's is not outside the scope, one of another tenant is.
func TestARecordOfATwinIsNotOutsideTheScope(t *testing.T) {
	m := office()
	in := func(column, value string) v1alpha1.Condition {
		return v1alpha1.Condition{Column: column, Operator: v1alpha1.OperatorIn, Values: []string{value}}
	}
	for _, kind := range []string{"people", "cases"} {
		m.Entities = append(m.Entities, v1alpha1.Entity{Name: "notes-on-" + kind, Store: "db", Table: "notes", Key: []string{"id"}, Category: "notes", Action: v1alpha1.ActionDelete,
			Conditions: []v1alpha1.Condition{in("tenant", "acme"), in("about", kind)},
			Parents:    []v1alpha1.Parent{{Entity: kind, Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "item", ParentColumn: "id"}}}}})
	}
	s := mustSweep(t, mustTarget(t, m, casesRule(nil)))
	old := row{"id": "7", "ended_at": "2020-01-01T00:00:00Z"}
	tests := map[string]struct {
		note row
		due  bool
	}{
		"its own":          {row{"id": "1", "item": "7", "tenant": "acme", "about": "cases"}, true},
		"the twin's":       {row{"id": "1", "item": "7", "tenant": "acme", "about": "people"}, true},
		"another tenant's": {row{"id": "1", "item": "7", "tenant": "umbrella", "about": "cases"}, false},
	}
	for name, tt := range tests {
		data := memory{{Name: "cases"}: {old}, {Name: "notes"}: {tt.note}}
		if got := data.due(old, s); got != tt.due {
			t.Errorf("%s: due %v", name, got)
		}
		data.run(s)
		if left := len(data[backend.Table{Name: "notes"}]); (left == 0) != (name == "its own") {
			t.Errorf("%s: %d notes are left", name, left)
		}
	}
}

func TestChildrenThatTheMapKeepsAnonymisedAreOverwritten(t *testing.T) {
	m := office()
	e := entity(m, "papers")
	e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "case_id", Strategy: v1alpha1.StrategyNull}, {Column: "name", Strategy: v1alpha1.StrategyNull}}
	target := mustTarget(t, m, casesRule(nil))
	if s := mustSweep(t, target); s.Steps[0].Action != backend.Update || !reflect.DeepEqual(s.Steps[0].Columns, []backend.SweepColumn{{Column: "case_id"}, {Column: "name"}}) || len(s.Steps[0].Collect) == 0 {
		t.Errorf("%+v", s.Steps)
	}
	if got := target.Steps()[0]; got != (Step{"office/papers", "documents", planner.PurposeAnonymize}) {
		t.Errorf("%+v", got)
	}
}

// A clock by a parent counts where the reference is one, and within the parent's scope.
func TestAParentsClockIsThatOfItsOwnParent(t *testing.T) {
	m := office()
	in := func(column, value string) []v1alpha1.Condition {
		return []v1alpha1.Condition{{Column: column, Operator: v1alpha1.OperatorIn, Values: []string{value}}}
	}
	entity(m, "cases").Conditions = in("tenant", "acme")
	entity(m, "papers").Parents[0].Conditions = in("of", "case")
	s := mustSweep(t, mustTarget(t, m, v1alpha1.RetentionRule{Name: "papers", Entity: "office/papers", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleDelete}))
	tests := map[string]struct {
		tenant, of string
		due        bool
	}{
		"its case":              {"acme", "case", true},
		"another tenant's case": {"umbrella", "case", false},
		"not about a case":      {"acme", "house", false},
	}
	for name, tt := range tests {
		paper := row{"id": "1", "case_id": "1", "of": tt.of}
		data := memory{{Name: "cases"}: {{"id": "1", "tenant": tt.tenant, "ended_at": "2020-01-01T00:00:00Z"}}, {Name: "papers"}: {paper}}
		if got := data.due(paper, s); got != tt.due {
			t.Errorf("%s: due %v", name, got)
		}
	}
}

// A link of another tenant's record is not cut: the record that it leads to stays.
func TestALinkFromOutsideTheScopeKeeps(t *testing.T) {
	m := office()
	m.Entities = append(m.Entities, v1alpha1.Entity{Name: "visits", Store: "db", Table: "visits", Key: []string{"id"}, Category: "x", Action: v1alpha1.ActionDelete,
		Conditions: []v1alpha1.Condition{{Column: "tenant", Operator: v1alpha1.OperatorIn, Values: []string{"acme"}}},
		Parents: []v1alpha1.Parent{{Entity: "people", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "person_id", ParentColumn: "id"}}},
			{Entity: "cases", Relation: v1alpha1.RelationShallow, Columns: []v1alpha1.ColumnPair{{Column: "case_id", ParentColumn: "id"}}}}})
	target := mustTarget(t, m, casesRule(nil))
	for tenant, want := range map[string]bool{"acme": true, "umbrella": false} {
		old := row{"id": "1", "ended_at": "2020-01-01T00:00:00Z"}
		data := memory{{Name: "cases"}: {old}, {Name: "visits"}: {{"id": "1", "case_id": "1", "tenant": tenant}}}
		if got := data.due(old, mustSweep(t, target)); got != want {
			t.Errorf("tenant %s: due %v", tenant, got)
		}
		s, err := target.Explained(now, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := Decide(target, data.explain(old, s), s, now); d.IsDue(now) != want || !want && d.Deciding != "outside the scope of office/visits" {
			t.Errorf("tenant %s: %+v", tenant, d)
		}
	}
}

// Of the entities that the rule before is for, the nearest counts.
func TestAChainCountsFromTheNearestStamp(t *testing.T) {
	m := office()
	entity(m, "cases").Category, entity(m, "people").Category = "stages", "stages"
	entity(m, "people").Clocks = []v1alpha1.Clock{{Name: "ended", Column: "ended_at"}}
	s := mustSweep(t, mustTarget(t, m, v1alpha1.RetentionRule{Name: "stages", Category: "stages", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleMark, Stamp: "staged_at"},
		v1alpha1.RetentionRule{Name: "papers", Entity: "office/papers", After: "stages", Period: "P6M", Action: v1alpha1.RuleDelete}))
	if s.Clock.Column != "staged_at" || len(s.Clock.Path) != 1 || s.Clock.Path[0].Table.Name != "cases" {
		t.Errorf("%+v", s.Clock)
	}
}

func TestAnonymisingWritesFieldsAndStamp(t *testing.T) {
	text := "removed"
	fields := []v1alpha1.FieldChange{{Column: "name", Strategy: v1alpha1.StrategyConstant, Value: &text}, {Column: "phone", Strategy: v1alpha1.StrategyNull},
		{Column: "born", Strategy: v1alpha1.StrategyTruncateDate, Unit: v1alpha1.UnitYear}}
	s := mustSweep(t, mustTarget(t, office(), casesRule(func(r *v1alpha1.RetentionRule) {
		r.Action, r.Fields, r.Stamp = v1alpha1.RuleAnonymize, fields, "done_at"
	})))
	want := []backend.SweepColumn{{Column: "name", Value: &text}, {Column: "phone"}, {Column: "born", Truncate: backend.TruncateYear}, {Column: "done_at", Now: true}}
	if len(s.Steps) != 1 || s.Steps[0].Action != backend.Update || !reflect.DeepEqual(s.Steps[0].Columns, want) {
		t.Errorf("%+v", s.Steps)
	}
	if !reflect.DeepEqual(s.Scope, []backend.Condition{{Column: "done_at", Operator: backend.DoesNotExist}}) {
		t.Errorf("scope %+v", s.Scope)
	}
}

// What a rule without a stamp has treated is not due again, and an explanation says so where conditions can tell.
func TestWithoutAStampARecordIsDoneWhenNothingChanges(t *testing.T) {
	rule := v1alpha1.RetentionRule{Name: "houses", Entity: "office/houses", Clock: "sold", Period: "P1Y", Action: v1alpha1.RuleAnonymize}
	target := mustTarget(t, office(), rule)
	house := row{"id": "1", "keeper": "k", "sold_at": "2020-01-01T00:00:00Z"}
	data := memory{{Name: "houses"}: {house}}
	explained, err := target.Explained(now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := Decide(target, data.explain(house, explained), explained, now); !d.IsDue(now) || len(mustSweep(t, target).Keep) != 0 {
		t.Errorf("%+v", d)
	}
	if got := data.run(mustSweep(t, target)); !slices.Equal(got, []string{"1"}) {
		t.Errorf("treated %v", got)
	}
	if d := Decide(target, data.explain(house, explained), explained, now); d.Deciding != "done by rule houses" || !d.Due.IsZero() {
		t.Errorf("%+v", d)
	}
	if got := data.run(mustSweep(t, target)); len(got) != 0 {
		t.Errorf("treated again: %v", got)
	}
	rule.Fields = []v1alpha1.FieldChange{{Column: "sold_at", Strategy: v1alpha1.StrategyTruncateDate, Unit: v1alpha1.UnitYear}}
	target = mustTarget(t, office(), rule)
	if explained, err = target.Explained(now, nil); err != nil || len(explained.Keep) != 0 {
		t.Errorf("%+v, %v", explained, err)
	}
}

func TestAnErasureOfThePersonHasNoSteps(t *testing.T) {
	m := office()
	entity(m, "cases").ActiveWhen = []v1alpha1.Condition{{Column: "ended_at", Operator: v1alpha1.OperatorDoesNotExist}}
	entity(m, "papers").Holds = []v1alpha1.StatutoryHold{{Name: "law", LegalBasis: "law", Clock: "filed_at", Period: "P10Y"}}
	target := mustTarget(t, m, v1alpha1.RetentionRule{Name: "persons", Entity: "office/people", Clock: "ended", Period: "P1Y", Action: v1alpha1.RuleEraseSubject})
	s := mustSweep(t, target, Hold{Name: "h", Records: []planner.HoldRecord{{Map: "office", Entity: "papers"}, {Map: "office", Entity: "people"}}}, Hold{Name: "s", Subjects: true})
	if len(s.Steps) != 0 || !reflect.DeepEqual(s.Subject, &backend.SweepClock{Column: "person_no"}) {
		t.Errorf("%+v", s)
	}
	// The request leaves what laws and holds keep; a process makes it wait.
	if len(s.Keep) != 1 || s.Keep[0].Name != "process active in office/cases" || len(s.Keep[0].Path) != 1 {
		t.Errorf("%+v", s.Keep)
	}
}

func TestHoldsBySubjectNeedAWay(t *testing.T) {
	hold := Hold{Name: "matter-1", Subjects: true}
	refused := func(target *Target) {
		t.Helper()
		s, err := target.Sweep(now, now, []Hold{hold})
		var waiting *fault.Waiting
		if s != nil || !errors.As(err, &waiting) || waiting.Reason != v1alpha1.ReasonLegalHold || !strings.Contains(waiting.Message, "matter-1") {
			t.Errorf("%v, %v", s, err)
		}
		if _, err := target.Sweep(now, now, nil); err != nil {
			t.Error(err)
		}
	}
	papers := v1alpha1.RetentionRule{Name: "papers", Entity: "office/papers", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleDelete}

	target := mustTarget(t, office(), papers)
	s := mustSweep(t, target, hold)
	if s.Subject == nil || s.Subject.Column != "person_no" || len(s.Subject.Path) != 2 || s.Subject.Path[1].Table.Name != "people" || s.Subject.Path[1].Down || target.UnknownHeld() {
		t.Errorf("%+v", s.Subject)
	}

	m := office()
	entity(m, "people").IdentifiedBy[0].Column = "id"
	if s := mustSweep(t, mustTarget(t, m, papers), hold); s.Subject.Column != "person_id" || len(s.Subject.Path) != 1 {
		t.Errorf("the reference itself names the person: %+v", s.Subject)
	}

	entity(m, "cases").Parents[0].Conditions = []v1alpha1.Condition{{Column: "of", Operator: v1alpha1.OperatorIn, Values: []string{"person"}}}
	if s := mustSweep(t, mustTarget(t, m, papers), hold); s.Subject.Column != "id" || len(s.Subject.Path) != 2 || len(s.Subject.Path[1].Conditions) != 1 {
		t.Errorf("the reference names a person only under a condition: %+v", s.Subject)
	}

	houses := v1alpha1.RetentionRule{Name: "houses", Entity: "office/houses", Clock: "sold", Period: "P1Y", Action: v1alpha1.RuleAnonymize}
	refused(mustTarget(t, office(), houses))

	m = office()
	entity(m, "papers").IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "author", Identity: "email"}}
	if target := mustTarget(t, m, papers); !target.UnknownHeld() {
		t.Error("a paper without a case may be somebody's by its author")
	}

	m = office()
	entity(m, "papers").Parents = append(entity(m, "papers").Parents, v1alpha1.Parent{Entity: "people", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "people", ParentColumn: "id", Comparison: v1alpha1.ReferenceElement}}})
	refused(mustTarget(t, m, papers))
}

// A record with two ways to persons is only judged by one: while somebody is held, the other one keeps it.
func TestASecondWayToAPersonKeeps(t *testing.T) {
	m := office()
	entity(m, "papers").Parents = append(entity(m, "papers").Parents, v1alpha1.Parent{Entity: "people", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "author_id", ParentColumn: "id"}}})
	target := mustTarget(t, m, v1alpha1.RetentionRule{Name: "papers", Entity: "office/papers", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleDelete})
	data := memory{{Name: "people"}: {{"id": "1", "person_no": "one"}}, {Name: "cases"}: {{"id": "7", "person_id": "1", "ended_at": "2020-01-01T00:00:00Z"}},
		{Name: "papers"}: {{"id": "a", "case_id": "7"}, {"id": "b", "case_id": "7", "author_id": "1"}}}
	if got := data.dueKeys(mustSweep(t, target)); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("without a hold: %v", got)
	}
	if got := data.dueKeys(mustSweep(t, target, Hold{Name: "h", Subjects: true})); !slices.Equal(got, []string{"a"}) {
		t.Errorf("with a hold: %v", got)
	}
}

func TestAHoldOnAnEntityThatIsGoneStopsEverything(t *testing.T) {
	_, err := mustTarget(t, office(), casesRule(nil)).Sweep(now, now, []Hold{{Name: "h", Records: []planner.HoldRecord{{Map: "office", Entity: "case-files"}}}})
	var waiting *fault.Waiting
	if !errors.As(err, &waiting) || !strings.Contains(waiting.Message, "office/case-files") {
		t.Error(err)
	}
}

func TestFilesAreNamedByWhatWasCollected(t *testing.T) {
	target := mustTarget(t, office(), casesRule(nil))
	value := func(s string) backend.Value { return &s }
	upper := func(v backend.Value) string { return strings.ToUpper(*v) }
	got, err := target.Files(0, []backend.Value{value("p*1"), value("cv.pdf")}, upper)
	want := []FileRef{{"files", backend.Path{Path: "papers/P*1/CV.PDF", Kind: ""}, "documents"}, {"cache", backend.Path{Path: `paper:P\*1:*`, Kind: backend.KeyPattern}, "documents"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	// A column that is empty names no file, but for the others.
	if got, err := target.Files(0, []backend.Value{value("1"), nil}, upper); err != nil || len(got) != 1 || got[0].Store != "cache" {
		t.Errorf("%v, %v", got, err)
	}
	_, err = target.Files(0, []backend.Value{value("1"), value("../../secret-name")}, upper)
	var terminal *fault.Terminal
	if !errors.As(err, &terminal) || terminal.Reason != v1alpha1.ReasonPathOutsideRoot || strings.Contains(strings.ToLower(terminal.Message), "secret-name") {
		t.Error(err)
	}
	if got, err := target.Files(1, nil, upper); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	if got := target.Stores(); !slices.Equal(got, []string{"files", "cache"}) {
		t.Error(got)
	}
}

func TestATemplateMustNameOneRecordsFiles(t *testing.T) {
	tests := map[string]struct {
		path   string
		unique [][]string
		rule   v1alpha1.RetentionRule
		ok     bool
	}{
		"the key":                              {"{id}", nil, casesRule(nil), true},
		"the parent that goes":                 {"cases/{case_id}", nil, casesRule(nil), true},
		"the parent that stays":                {"cases/{case_id}", nil, v1alpha1.RetentionRule{Name: "cases", Entity: "office/papers", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleDelete}, false},
		"something":                            {"{shelf}/{name}", [][]string{{"id"}}, casesRule(nil), false},
		"something unique":                     {"{shelf}/{name}", [][]string{{"name", "shelf"}}, casesRule(nil), true},
		"something unique with something more": {"{shelf}/{name}", [][]string{{"name", "shelf", "year"}}, casesRule(nil), false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := office()
			e := entity(m, "papers")
			e.Files, e.Keys = []v1alpha1.FileReference{{Store: "files", Path: tt.path, Kind: v1alpha1.FileKindDirectory}}, nil
			problems := mustTarget(t, m, tt.rule).CheckSchema(&backend.Schema{Tables: []backend.TableInfo{{Table: backend.Table{Name: "papers"}, Unique: tt.unique}}})
			if len(problems) == 0 != tt.ok || len(problems) > 0 && (problems[0].Reason != v1alpha1.ReasonRuleUnsupported || problems[0].Entity != "office/papers") {
				t.Errorf("%v", problems)
			}
		})
	}
}

// What falls due within a second falls due at its end, and a clock after now is not due whatever is counted for later.
func TestSecondsAndFutureClocks(t *testing.T) {
	target := mustTarget(t, office(), v1alpha1.RetentionRule{Name: "houses", Entity: "office/houses", Clock: "sold", Period: "P1Y", Action: v1alpha1.RuleAnonymize})
	house := row{"id": "1", "keeper": "k", "sold_at": "2025-11-26T00:00:00.25Z"}
	data := memory{{Name: "houses"}: {house}}
	due := func(now, until time.Time) bool {
		t.Helper()
		s, err := target.Sweep(now, until, nil)
		if err != nil {
			t.Fatal(err)
		}
		if s.Cutoff.Nanosecond() != 0 && s.Cutoff.Nanosecond() != 999_999_999 {
			t.Errorf("cutoff %s", s.Cutoff)
		}
		return data.due(house, s)
	}
	if due(now, now.Add(500*time.Millisecond)) || !due(now, now.Add(time.Second)) {
		t.Error("a quarter of a second was not rounded up")
	}
	house["sold_at"] = "2026-11-27T00:00:00Z"
	if due(now, now.AddDate(2, 0, 0)) || !due(now.AddDate(0, 0, 1), now.AddDate(2, 0, 0)) {
		t.Error("a clock in the future counts")
	}
}

// Whatever keeps what would go with a record, or what it belongs to, keeps the record.
func TestWhatKeepsARecord(t *testing.T) {
	open := []v1alpha1.Condition{{Column: "state", Operator: v1alpha1.OperatorIn, Values: []string{"open"}}}
	law := []v1alpha1.StatutoryHold{{Name: "law", LegalBasis: "law", Clock: "filed_at", Period: "P10Y", Conditions: open}}
	legal := func(entity string) []Hold {
		return []Hold{{Name: "matter", Records: []planner.HoldRecord{{Map: "office", Entity: entity, Conditions: open}}}}
	}
	active := func(m *v1alpha1.PersonalDataMapSpec, name string) { entity(m, name).ActiveWhen = open }
	held := func(m *v1alpha1.PersonalDataMapSpec, name string) { entity(m, name).Holds = law }
	papers := v1alpha1.RetentionRule{Name: "cases", Entity: "office/papers", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleDelete}
	mark := casesRule(func(r *v1alpha1.RetentionRule) { r.Action, r.Stamp = v1alpha1.RuleMark, "done_at" })
	tests := map[string]struct {
		rule     v1alpha1.RetentionRule
		change   func(*v1alpha1.PersonalDataMapSpec)
		holds    []Hold
		open     string // the table whose record is open
		deciding string // empty: it goes
	}{
		"nothing":                          {rule: casesRule(nil), open: "cases"},
		"its process":                      {casesRule(nil), func(m *v1alpha1.PersonalDataMapSpec) { active(m, "cases") }, nil, "cases", "process active in office/cases"},
		"the process of a dependant":       {casesRule(nil), func(m *v1alpha1.PersonalDataMapSpec) { active(m, "papers") }, nil, "papers", "process active in office/papers"},
		"the process of a parent":          {casesRule(nil), func(m *v1alpha1.PersonalDataMapSpec) { active(m, "people") }, nil, "people", "process active in office/people"},
		"the process of a grandparent":     {papers, func(m *v1alpha1.PersonalDataMapSpec) { active(m, "people") }, nil, "people", "process active in office/people"},
		"the process of a Shallow parent":  {casesRule(nil), func(m *v1alpha1.PersonalDataMapSpec) { active(m, "houses") }, nil, "houses", ""},
		"its law":                          {casesRule(nil), func(m *v1alpha1.PersonalDataMapSpec) { held(m, "cases") }, nil, "cases", "statutory hold office/cases/law"},
		"the law of a dependant":           {casesRule(nil), func(m *v1alpha1.PersonalDataMapSpec) { held(m, "papers") }, nil, "papers", "statutory hold office/papers/law"},
		"the law of a parent":              {papers, func(m *v1alpha1.PersonalDataMapSpec) { held(m, "cases") }, nil, "cases", ""},
		"its legal hold":                   {casesRule(nil), nil, legal("cases"), "cases", "legal hold matter"},
		"the legal hold of a dependant":    {casesRule(nil), nil, legal("papers"), "papers", "legal hold matter"},
		"the legal hold of a parent":       {papers, nil, legal("cases"), "cases", ""},
		"a mark: its law":                  {mark, func(m *v1alpha1.PersonalDataMapSpec) { held(m, "cases") }, nil, "cases", "statutory hold office/cases/law"},
		"a mark: its legal hold":           {mark, nil, legal("cases"), "cases", "legal hold matter"},
		"a mark: the law of a dependant":   {mark, func(m *v1alpha1.PersonalDataMapSpec) { held(m, "papers") }, nil, "papers", ""},
		"a mark: a dependant's legal hold": {mark, nil, legal("papers"), "papers", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := office()
			if tt.change != nil {
				tt.change(m)
			}
			data := memory{{Name: "people"}: {{"id": "1"}}, {Name: "houses"}: {{"id": "1"}}, {Name: "cases"}: {{"id": "1", "person_id": "1", "house_id": "1", "ended_at": "2020-01-01T00:00:00Z"}},
				{Name: "papers"}: {{"id": "1", "case_id": "1"}}}
			r := data[backend.Table{Name: tt.open}][0]
			r["state"] = "open"
			r["filed_at"] = "2020-01-01T00:00:00Z"
			target := mustTarget(t, m, tt.rule)
			s := mustSweep(t, target, tt.holds...)
			record := data[s.Table][0]
			if got := data.due(record, s); got != (tt.deciding == "") {
				t.Errorf("due %v", got)
			}
			if d := Decide(target, data.explain(record, s), s, now); tt.deciding != "" && d.Deciding != tt.deciding {
				t.Errorf("%+v", d)
			}
			delete(r, "state")
			if !data.due(record, s) {
				t.Error("it is not due without that either")
			}
		})
	}
}

func TestADecisionSaysWhy(t *testing.T) {
	m := office()
	e := entity(m, "papers")
	e.Clocks = append(e.Clocks, v1alpha1.Clock{Name: "filed", Column: "filed_at"})
	e.Holds = []v1alpha1.StatutoryHold{{Name: "short", LegalBasis: "law 1", Clock: "filed_at", Period: "P2Y"}, {Name: "long", LegalBasis: "law 2", Clock: "paid_at", Period: "P10Y", Conditions: []v1alpha1.Condition{{Column: "paid_at", Operator: v1alpha1.OperatorExists}}}}
	target := mustTarget(t, m, v1alpha1.RetentionRule{Name: "papers", Entity: "office/papers", Clock: "filed", Period: "P6M", Action: v1alpha1.RuleDelete,
		Unless: []v1alpha1.Condition{{Column: "status", Operator: v1alpha1.OperatorIn, Values: []string{"open"}}}})
	hold := Hold{Name: "matter", Records: []planner.HoldRecord{{Map: "office", Entity: "papers", Conditions: []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorIn, Values: []string{"x"}}}}}}
	tests := map[string]struct {
		record   row
		due      string
		deciding string
		says     string
	}{
		"no clock":             {row{"paid_at": "2010-01-01T00:00:00Z"}, "", "statutory hold office/papers/short", "until somebody corrects it"},
		"the shorter law":      {row{"filed_at": "2026-01-10T00:00:00Z"}, "2028-01-10", "statutory hold office/papers/short", "law 1"},
		"the longer law":       {row{"filed_at": "2026-01-10T00:00:00Z", "paid_at": "2026-01-31T00:00:00Z"}, "2036-01-31", "statutory hold office/papers/long", "law 2"},
		"an unreadable payday": {row{"filed_at": "2026-01-10T00:00:00Z", "paid_at": "soon"}, "", "statutory hold office/papers/long", "unreadable"},
		"a hold over all":      {row{"filed_at": "2026-01-10T00:00:00Z", "paid_at": "soon", "kind": "x", "status": "open"}, "", "legal hold matter", "until that is lifted"},
		"a condition":          {row{"filed_at": "2016-01-10T00:00:00Z", "status": "open"}, "", "unless status", "while it meets the condition on status"},
		"the rule, long ago":   {row{"filed_at": "2016-01-10T00:00:00Z"}, "2016-07-10", "rule papers", "P6M since its clock (filed)"},
		"in the future":        {row{"filed_at": "2126-01-10T00:00:00Z"}, "2128-01-10", "statutory hold office/papers/short", "law 1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := mustSweep(t, target, hold)
			tt.record["id"] = "1"
			d := Decide(target, memory{{Name: "papers"}: {tt.record}}.explain(tt.record, s), s, now)
			want := time.Time{}
			if tt.due != "" {
				want = at(tt.due)
			}
			if !d.Due.Equal(want) || d.Deciding != tt.deciding || !strings.Contains(d.Message, tt.says) || d.Rule != "papers" {
				t.Errorf("%+v", d)
			}
		})
	}
	if d := Decide(target, backend.SweepExplanation{}, mustSweep(t, target), now); !d.Due.IsZero() || d.Deciding != "rule papers" || !strings.Contains(d.Message, "not about it") {
		t.Errorf("not found: %+v", d)
	}
	// The latest time that could be read does not keep it any more, so one that cannot be read does.
	s := mustSweep(t, target)
	x := backend.SweepExplanation{Found: true, Clock: backend.Clock{Time: at("2016-01-10"), Valid: true}, Keep: make([]bool, len(s.Keep)), Clocks: make([]backend.Clock, len(s.Keep))}
	x.Keep[2], x.Clocks[2] = true, backend.Clock{Time: at("2015-01-31"), Valid: true}
	if d := Decide(target, x, s, now); !d.Due.IsZero() || d.Deciding != "statutory hold office/papers/long" {
		t.Errorf("one of several times is unreadable: %+v", d)
	}
	if d := (Decision{Rule: "papers", Due: now}).HeldBy("matter"); !d.Due.IsZero() || d.Deciding != "legal hold matter" || d.IsDue(now) {
		t.Errorf("%+v", d)
	}
}

func TestTheFirstRuleThatIsDueDecides(t *testing.T) {
	early, late := Decision{Rule: "a", Due: at("2026-01-01"), Deciding: "rule a"}, Decision{Rule: "b", Due: at("2027-01-01"), Deciding: "rule b"}
	active, held, never := Decision{Rule: "c", Deciding: "process active in x/y"}, Decision{Rule: "d", Deciding: "legal hold h"}, Decision{Rule: "e", Deciding: "rule e"}
	tests := map[string]struct {
		of   []Decision
		want string
	}{
		"the first":      {[]Decision{late, early}, "a"},
		"one that goes":  {[]Decision{held, late, active}, "b"},
		"the strongest":  {[]Decision{never, active, held}, "d"},
		"a process":      {[]Decision{active, never}, "c"},
		"nothing at all": {nil, ""},
	}
	for name, tt := range tests {
		if got, ok := Latest(tt.of); got.Rule != tt.want || ok != (len(tt.of) > 0) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestWideningChanges(t *testing.T) {
	text := "x"
	cond := v1alpha1.Condition{Column: "status", Operator: v1alpha1.OperatorIn, Values: []string{"open"}}
	old := v1alpha1.RetentionRule{Name: "r", Entity: "m/e", Clock: "ended", Period: "P6M", Action: v1alpha1.RuleAnonymize, Stamp: "done_at",
		Conditions: []v1alpha1.Condition{cond}, Unless: []v1alpha1.Condition{cond}, Fields: []v1alpha1.FieldChange{{Column: "name", Strategy: v1alpha1.StrategyNull}}}
	tests := map[string]struct {
		change func(*v1alpha1.RetentionRule)
		says   string // empty: nothing widens
	}{
		"nothing":          {func(*v1alpha1.RetentionRule) {}, ""},
		"a longer period":  {func(r *v1alpha1.RetentionRule) { r.Period = "P7M" }, ""},
		"the same period":  {func(r *v1alpha1.RetentionRule) { r.Period = "P0Y6M" }, ""},
		"a shorter period": {func(r *v1alpha1.RetentionRule) { r.Period = "P5M" }, "period is shorter (P5M instead of P6M)"},
		"one that may be":  {func(r *v1alpha1.RetentionRule) { r.Period = "P183D" }, "period is shorter"},
		"another condition": {func(r *v1alpha1.RetentionRule) {
			r.Conditions = append(r.Conditions, v1alpha1.Condition{Column: "x", Operator: v1alpha1.OperatorExists})
		}, ""},
		"no condition": {func(r *v1alpha1.RetentionRule) { r.Conditions = nil }, "no longer limited by the condition on status"},
		"another unless": {func(r *v1alpha1.RetentionRule) {
			r.Unless = append(r.Unless, v1alpha1.Condition{Column: "x", Operator: v1alpha1.OperatorExists})
		}, ""},
		"no unless":         {func(r *v1alpha1.RetentionRule) { r.Unless = nil }, "no longer keeps records by the condition on status"},
		"a stronger action": {func(r *v1alpha1.RetentionRule) { r.Action = v1alpha1.RuleDelete }, "its action does more (Delete instead of Anonymize)"},
		"a weaker action":   {func(r *v1alpha1.RetentionRule) { r.Action = v1alpha1.RuleMark }, ""},
		"other records":     {func(r *v1alpha1.RetentionRule) { r.Entity = "m/f" }, "for other records (m/f instead of m/e)"},
		"another clock":     {func(r *v1alpha1.RetentionRule) { r.Clock, r.After = "", "q" }, "counts from another time (q instead of ended)"},
		"another stamp":     {func(r *v1alpha1.RetentionRule) { r.Stamp = "x" }, "the stamp done_at are no longer left out"},
		"another field": {func(r *v1alpha1.RetentionRule) {
			r.Fields[0] = v1alpha1.FieldChange{Column: "name", Strategy: v1alpha1.StrategyConstant, Value: &text}
		}, "overwrites column name"},
		"another name":           {func(r *v1alpha1.RetentionRule) { r.Name = "s" }, "rule s is new"},
		"a period that is wrong": {func(r *v1alpha1.RetentionRule) { r.Period = "soon" }, "period is shorter"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			changed := *old.DeepCopy()
			tt.change(&changed)
			why := WideningChange(v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{old}}, v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{changed}})
			if len(why) > 0 != (tt.says != "") || tt.says != "" && !strings.Contains(strings.Join(why, "\n"), tt.says) {
				t.Errorf("%q", why)
			}
		})
	}
	category := v1alpha1.RetentionRule{Name: "all", Category: "documents", Clock: "ended", Period: "P1M", Action: v1alpha1.RuleDelete}
	why := WideningChange(v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{old, category}}, v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{category}})
	if len(why) != 1 || !strings.Contains(why[0], "no rule names m/e any more") {
		t.Errorf("a rule by entity was removed: %q", why)
	}
}
