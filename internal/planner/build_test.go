package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// invoice is held for ten years where it is paid; it refers to an application, which refers to the applicant.
func invoiceMap() MapSource {
	application := child("application", deep("applicant", "applicant_id"))
	application.Pinned = &v1alpha1.Pinned{Fields: []v1alpha1.FieldChange{{Column: "letter", Strategy: v1alpha1.StrategyNull}}}
	application.Files = []v1alpha1.FileReference{{Store: "docs", Path: "{id}", Kind: v1alpha1.FileKindDirectory, Category: "documents"}}
	invoice := child("invoice", deep("application", "application_id"))
	invoice.Holds = []v1alpha1.StatutoryHold{{Name: "tax", LegalBasis: "AO 147", Clock: "paid_at", Period: "P10Y",
		Conditions: []v1alpha1.Condition{{Column: "paid", Operator: v1alpha1.OperatorIn, Values: []string{"1"}}}}}
	return source(applicant(), application, invoice)
}

func invoiceStores() map[string]*fakeStore {
	ats, docs := newFake(), newFake()
	ats.fks = []fakeFK{{"applications", "applicant_id", "applicants", "id"}, {"invoices", "application_id", "applications", "id"}}
	ats.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me"), "active": text("1")})
	for _, id := range []string{"10", "11"} {
		ats.insert("applications", map[string]*string{"id": text(id), "applicant_id": text("1"), "letter": text("dear")})
		docs.files[id+"/cv.pdf"] = true
		docs.files[id+"/more/letter.pdf"] = true
	}
	ats.insert("invoices", map[string]*string{"id": text("100"), "application_id": text("10"), "paid": text("1"), "paid_at": text("2020-02-29T10:00:00.5Z")})
	ats.insert("invoices", map[string]*string{"id": text("101"), "application_id": text("11"), "paid": text("0"), "paid_at": nil})
	ats.insert("invoices", map[string]*string{"id": text("102"), "application_id": text("11"), "paid": text("1"), "paid_at": text("2010-01-01T00:00:00Z")})
	return map[string]*fakeStore{"ats": ats, "docs": docs}
}

func mustBuild(t *testing.T, g *Graph, f *Facts, in BuildInput) *Plan {
	t.Helper()
	p, err := g.Build(f, in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// describe prints steps as "step: purpose entity keys".
func describe(steps []Step) []string {
	var out []string
	for _, s := range steps {
		for i, op := range s.Operations {
			var keys []string
			for _, k := range op.Keys {
				keys = append(keys, strings.TrimPrefix(strings.Join(k, "+"), valuePrefix))
			}
			line := fmt.Sprintf("%s: %s %s %s", s.Name, s.Purposes[i], op.Entity, strings.Join(keys, ","))
			if len(op.Unless) > 0 {
				line += fmt.Sprintf(" unless %d", len(op.Unless))
			}
			out = append(out, line)
		}
	}
	return out
}

func TestStatutoryHoldKeepsWhatItNeeds(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	facts := resolveAll(g, invoiceStores(), me, nil, nil, ResolveOptions{})
	plan := mustBuild(t, g, facts, buildInput(nil))
	want := []string{
		"records/ats: Delete ats/invoice 102",
		"records/ats: Delete ats/invoice 101 unless 1",
		"records/ats: Pin ats/application 10",
		"records/ats: Delete ats/application 11",
		"files/docs: File ats/application 11/more/letter.pdf,11/cv.pdf",
	}
	if diff := cmp.Diff(want, describe(plan.Steps)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if len(plan.Residues) != 1 {
		t.Fatalf("residues: %+v", plan.Residues)
	}
	r := plan.Residues[0]
	until := time.Date(2030, 2, 28, 10, 0, 1, 0, time.UTC) // February 29 plus ten years, rounded up
	if r.Until == nil || !r.Until.Equal(until) || r.NoEnd || len(r.HoldUIDs) != 0 {
		t.Errorf("residue until %v, want %v", r.Until, until)
	}
	want = []string{"records/ats: Delete ats/invoice 100", "records/ats: Delete ats/application 10", "records/ats: Delete ats/applicant 1",
		"files/docs: File ats/application 10/more/letter.pdf,10/cv.pdf"}
	if diff := cmp.Diff(want, describe(r.Steps)); diff != "" {
		t.Errorf("residue (-want +got):\n%s", diff)
	}
	var bases []string
	for _, d := range plan.Retained {
		bases = append(bases, fmt.Sprintf("%s %d %s %s", d.Entity, d.Count, d.Basis, d.Until.UTC().Format(time.RFC3339)))
	}
	if diff := cmp.Diff([]string{
		"ats/application 1 needed by ats/invoice: AO 147 2030-02-28T10:00:01Z",
		"ats/invoice 1 AO 147 2030-02-28T10:00:01Z",
		"ats/applicant 1 needed by ats/invoice: AO 147 2030-02-28T10:00:01Z",
	}, bases); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]v1alpha1.CategoryCount{{Category: "application", Deleted: 1, Retained: 1}, {Category: "documents", Files: 2},
		{Category: "invoice", Deleted: 2, Retained: 1}, {Category: "profile", Retained: 1}}, plan.Counts); diff != "" {
		t.Error(diff)
	}
}

func TestHoldNeverEndsEarly(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	facts := resolveAll(g, invoiceStores(), me, nil, nil, ResolveOptions{})
	until := time.Date(2030, 2, 28, 10, 0, 1, 0, time.UTC)
	for _, tt := range []struct {
		now  time.Time
		held int
	}{{until.Add(-time.Nanosecond), 1}, {until, 0}, {until.Add(time.Second), 0}} {
		in := buildInput(nil)
		in.Now = tt.now
		if got := len(mustBuild(t, g, facts, in).Residues); got != tt.held {
			t.Errorf("at %v: %d residues, want %d", tt.now, got, tt.held)
		}
	}
}

func TestHoldWithoutReadableClockHasNoEnd(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	for _, clock := range []*string{nil, text("some day"), text("9995-01-01T00:00:00Z")} {
		stores := invoiceStores()
		stores["ats"].tables["invoices"].rows[0]["paid_at"] = clock
		r := mustBuild(t, g, resolveAll(g, stores, me, nil, nil, ResolveOptions{}), buildInput(nil)).Residues
		if len(r) != 1 || !r[0].NoEnd || r[0].Until != nil {
			t.Errorf("residues: %+v", r)
		}
	}
}

func TestLegalHolds(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	record := Hold{UID: "h1", Name: "case", Records: []HoldRecord{{Map: "ats", Entity: "invoice",
		Conditions: []v1alpha1.Condition{{Column: "paid", Operator: v1alpha1.OperatorIn, Values: []string{"0"}}}}}}
	whole := Hold{UID: "h2", Name: "matter", WholeSubject: true}

	facts := resolveAll(g, invoiceStores(), me, []Hold{record}, nil, ResolveOptions{})
	plan := mustBuild(t, g, facts, buildInput([]Hold{record}))
	var got []string
	for _, r := range plan.Residues {
		got = append(got, fmt.Sprintf("%v %v %v", r.Until != nil, r.HoldUIDs, describe(r.Steps)))
	}
	want := []string{
		"true [] [records/ats: Delete ats/invoice 100 records/ats: Delete ats/application 10 files/docs: File ats/application 10/more/letter.pdf,10/cv.pdf]",
		"false [h1] [records/ats: Delete ats/invoice 101 unless 1 records/ats: Delete ats/application 11 files/docs: File ats/application 11/more/letter.pdf,11/cv.pdf]",
		// Both invoices need the applicant: it outlasts the date and the hold.
		"true [h1] [records/ats: Delete ats/applicant 1]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	before := sortedStrings([]string{plan.Residues[0].ID, plan.Residues[1].ID})
	if diff := cmp.Diff(before, sortedStrings(plan.Residues[2].After)); diff != "" {
		t.Error(diff)
	}

	if plan = mustBuild(t, g, facts, buildInput([]Hold{whole})); len(plan.Steps) != 0 {
		t.Errorf("a hold on the subject leaves steps: %v", describe(plan.Steps))
	}
	a := g.Assess(facts, []Hold{whole}, testNow)
	if diff := cmp.Diff([]string{"matter"}, a.Held); diff != "" {
		t.Error(diff)
	}
	record.UID = "new"
	if _, err := g.Build(facts, buildInput([]Hold{record})); !IsStaleFacts(err) {
		t.Errorf("a hold that the facts do not know: %v", err)
	}
	if a := g.Assess(facts, []Hold{record}, testNow); a.RowsByStore["ats"] >= 4 {
		t.Errorf("an unknown hold must count for all records in a preview: %+v", a.RowsByStore)
	}
}

func TestLiveHoldsMakeTheBatchStale(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	stores := invoiceStores()
	plan := mustBuild(t, g, resolveAll(g, stores, me, nil, nil, ResolveOptions{}), buildInput(nil))
	before := plan.Steps[0].Digest()
	for _, tt := range []struct {
		hold  Hold
		stale bool
	}{
		{Hold{UID: "x", Records: []HoldRecord{{Map: "ats", Entity: "invoice"}}}, true},
		{Hold{UID: "x", WholeSubject: true}, true},
		{Hold{UID: "x", Records: []HoldRecord{{Map: "ats", Entity: "invoice", Conditions: []v1alpha1.Condition{{Column: "paid", Operator: v1alpha1.OperatorIn, Values: []string{"7"}}}}}}, false},
		{Hold{UID: "x", Records: []HoldRecord{{Map: "other", Entity: "invoice"}}}, false},
	} {
		err := stores["ats"].clone().execute(g.WithLiveHolds(plan.Steps[0], []Hold{tt.hold}))
		if (err != nil) != tt.stale {
			t.Errorf("%+v: %v", tt.hold, err)
		}
	}
	if plan.Steps[0].Digest() != before {
		t.Error("WithLiveHolds changed the plan")
	}
	// An invoice that is paid after planning becomes one that the law keeps.
	stores["ats"].tables["invoices"].rows[1]["paid"] = text("1")
	if err := stores["ats"].execute(plan.Steps[0]); err == nil {
		t.Error("a record that became held was deleted")
	}
}

func TestSharedFileGoesWithItsLastRecord(t *testing.T) {
	src := invoiceMap()
	src.Spec.Entities[1].Files[0] = v1alpha1.FileReference{Store: "docs", Path: "shared/{letter}", Kind: v1alpha1.FileKindFile}
	g := mustCompile(t, src)
	stores := invoiceStores()
	stores["docs"].files = map[string]bool{"shared/dear": true}
	plan := mustBuild(t, g, resolveAll(g, stores, me, nil, nil, ResolveOptions{}), buildInput(nil))
	for _, s := range plan.Steps {
		if s.Kind == StepFiles {
			t.Errorf("the file of a retained record goes now: %v", describe(plan.Steps))
		}
	}
	if got := describe(plan.Residues[0].Steps); !slices.Contains(got, "files/docs: File ats/application shared/dear") {
		t.Errorf("the file does not go with the residue: %v", got)
	}
}

func TestPathOutsideRootStopsThePlan(t *testing.T) {
	src := invoiceMap()
	src.Spec.Entities[1].Files[0].Path = "docs/{letter}"
	g := mustCompile(t, src)
	for value, ok := range map[string]bool{"a.pdf": true, "sub/a.pdf": true, "": true, "../a": false, "a/../../b": false, "/etc/passwd": false, "a//b": false, "a\\b": false, "a/": false, ".": false} {
		stores := invoiceStores()
		stores["ats"].tables["applications"].rows[0]["letter"] = text(value)
		_, err := g.Build(resolveAll(g, stores, me, nil, nil, ResolveOptions{}), buildInput(nil))
		var problem *ProblemError
		if (err == nil) != ok || err != nil && (!errors.As(err, &problem) || problem.Reason != v1alpha1.ReasonPathOutsideRoot) {
			t.Errorf("value %q: %v", value, err)
		}
		if err != nil && value != "" && value != "." && strings.Contains(err.Error(), value) {
			t.Errorf("the error tells the value: %v", err)
		}
	}
}

func TestShallowLinksOfOthersAreCut(t *testing.T) {
	src := source(applicant(), with(child("note", shallow("applicant", "author_id"), deep("ticket", "ticket_id")), func(*v1alpha1.Entity) {}),
		with(child("ticket"), func(e *v1alpha1.Entity) { e.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "owner", Identity: "id"}} }))
	g := mustCompile(t, src)
	ats := newFake()
	ats.fks = []fakeFK{{"notes", "author_id", "applicants", "id"}}
	ats.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	ats.insert("notes", map[string]*string{"id": text("n1"), "author_id": text("1"), "ticket_id": text("t2"), "body": text("theirs")})
	ats.insert("notes", map[string]*string{"id": text("n2"), "author_id": text("1"), "ticket_id": text("t1")})
	ats.insert("tickets", map[string]*string{"id": text("t1"), "owner": text("me")})
	ats.insert("tickets", map[string]*string{"id": text("t2"), "owner": text("you")})
	stores := map[string]*fakeStore{"ats": ats}
	plan := mustBuild(t, g, resolveAll(g, stores, me, nil, nil, ResolveOptions{}), buildInput(nil))
	want := []string{"records/ats: Unlink ats/note n1", "records/ats: Delete ats/note n2", "records/ats: Delete ats/applicant 1", "records/ats: Delete ats/ticket t1"}
	if diff := cmp.Diff(want, describe(plan.Steps)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]v1alpha1.CategoryCount{{Category: "note", Deleted: 1, Unlinked: 1}, {Category: "profile", Deleted: 1}, {Category: "ticket", Deleted: 1}}, plan.Counts); diff != "" {
		t.Error(diff)
	}
	// A link that points elsewhere by now is left alone.
	ats.tables["notes"].rows[0]["author_id"] = text("2")
	ats.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("you")})
	if err := ats.execute(plan.Steps[0]); err != nil {
		t.Fatal(err)
	}
	if v := ats.tables["notes"].rows[0]["author_id"]; v == nil || *v != "2" {
		t.Error("the link to somebody else was cut")
	}
}

func TestValues(t *testing.T) {
	fields := []v1alpha1.FieldChange{{Column: "a", Strategy: v1alpha1.StrategyPseudonym}, {Column: "b", Strategy: v1alpha1.StrategyPseudonym},
		{Column: "c", Strategy: v1alpha1.StrategyHash}, {Column: "d", Strategy: v1alpha1.StrategyRandom}, {Column: "e", Strategy: v1alpha1.StrategyNull},
		{Column: "f", Strategy: v1alpha1.StrategyConstant, Value: text("gone")}, {Column: "g", Strategy: v1alpha1.StrategyTruncateDate, Unit: v1alpha1.UnitMonth}}
	g := mustCompile(t, source(with(applicant(), func(e *v1alpha1.Entity) { e.Action, e.Fields = v1alpha1.ActionAnonymize, fields })))
	ats := newFake()
	ats.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me"), "a": text("x"), "b": text("x"), "c": text("x"), "e": text("x"), "g": text("2024-02-29")})
	ats.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("me"), "c": text("x")})
	stores := map[string]*fakeStore{"ats": ats}
	facts := resolveAll(g, stores, me, nil, nil, ResolveOptions{})
	in := buildInput(nil)
	set := mustBuild(t, g, facts, in).Steps[0].Operations[0].Set
	one, two := set[0], set[1]
	if !sameValue(one[0], one[1]) || sameValue(one[0], one[2]) || !sameValue(one[2], two[2]) || sameValue(one[3], two[3]) {
		t.Errorf("equal and different values are mixed up")
	}
	for i, want := range []int{26, 26, 26, 26} {
		if got := len(toText("", one[i])); got != want {
			t.Errorf("value %d has %d characters", i, got)
		}
	}
	if one[4] != nil || toText("", one[5]) != "gone" || toText("", one[6]) != "2024-02-01" {
		t.Error("Null, Constant or TruncateDate is wrong")
	}
	if two[0] != nil || two[1] != nil || two[6] != nil || two[3] == nil {
		t.Error("NULL stays NULL but for Random")
	}
	in.RunSeed = []byte("another seed of the run")
	other := mustBuild(t, g, facts, in).Steps[0].Operations[0].Set[0]
	if sameValue(one[0], other[0]) || !sameValue(one[2], other[2]) || sameValue(one[3], other[3]) {
		t.Error("pseudonyms and random values belong to a run, hashes to the namespace")
	}
	ats.tables["applicants"].rows[0]["g"] = text("secret-value")
	_, err := g.Build(resolveAll(g, stores, me, nil, nil, ResolveOptions{}), in)
	var problem *ProblemError
	if !errors.As(err, &problem) || problem.Column != "g" || strings.Contains(err.Error(), "secret-value") {
		t.Errorf("unreadable date: %v", err)
	}
	in.NamespaceKey = nil
	if _, err := g.Build(facts, in); err == nil {
		t.Error("a hash without the namespace's key")
	}
}

func TestTruncateDate(t *testing.T) {
	for _, tt := range []struct {
		in   string
		unit v1alpha1.DateUnit
		want string
	}{
		{"2024-05-17", v1alpha1.UnitYear, "2024-01-01"},
		{"2024-05-17", v1alpha1.UnitMonth, "2024-05-01"},
		{"2024-05-17", v1alpha1.UnitDay, "2024-05-17"},
		{"2024-05-17 10:11:12", v1alpha1.UnitDay, "2024-05-17 00:00:00"},
		{"2024-05-17 10:11:12.345+02", v1alpha1.UnitMonth, "2024-05-01 00:00:00.000+02"},
		{"2024-05-17T10:11:12.5+05:30", v1alpha1.UnitYear, "2024-01-01T00:00:00.0+05:30"},
		{"2024-05-17T10:11Z", v1alpha1.UnitYear, "2024-01-01T00:00Z"},
		{"2024-02-30", v1alpha1.UnitDay, ""}, {"infinity", v1alpha1.UnitDay, ""}, {"1715940000", v1alpha1.UnitDay, ""},
		{"2024-05-17 25:00:00", v1alpha1.UnitDay, ""}, {"", v1alpha1.UnitDay, ""}, {"2024-05-17x", v1alpha1.UnitDay, ""},
		{"2024-05-17", "Week", ""},
	} {
		if got, ok := truncateDate(tt.in, tt.unit); got != tt.want || ok != (tt.want != "") {
			t.Errorf("truncateDate(%q, %s) = %q, %v; want %q", tt.in, tt.unit, got, ok, tt.want)
		}
	}
}

func TestAssess(t *testing.T) {
	src := invoiceMap()
	src.Spec.Entities[1].ActiveWhen = []v1alpha1.Condition{{Column: "letter", Operator: v1alpha1.OperatorIn, Values: []string{"dear"}}}
	g := mustCompile(t, src)
	stores := invoiceStores()
	facts := resolveAll(g, stores, me, nil, nil, ResolveOptions{})
	a := g.Assess(facts, nil, testNow)
	if a.NotFound || a.RootRows != 1 || len(a.Ambiguous) != 0 || !slices.Equal(a.Active, []string{"ats/application"}) {
		t.Errorf("%+v", a)
	}
	if diff := cmp.Diff([]RootRef{{Store: "ats", Entity: "ats/applicant", Key: "v:1"}}, a.Roots); diff != "" {
		t.Error(diff)
	}
	plan := mustBuild(t, g, facts, buildInput(nil))
	if diff := cmp.Diff(plan.Counts, a.Counts); diff != "" {
		t.Errorf("preview and plan differ: %s", diff)
	}
	if diff := cmp.Diff(map[string]int64{"ats": plan.Steps[0].Planned, "docs": plan.Steps[1].Planned}, a.RowsByStore); diff != "" {
		t.Error(diff)
	}
	stores["ats"].insert("applicants", map[string]*string{"id": text("2"), "app_id": text("me")})
	if a := g.Assess(resolveAll(g, stores, me, nil, nil, ResolveOptions{}), nil, testNow); !slices.Equal(a.Ambiguous, []string{"ats/applicant"}) {
		t.Errorf("%+v", a.Ambiguous)
	}
	for _, ids := range [][]string{nil, {""}, {" "}, {"nobody"}} {
		facts := resolveAll(g, stores, Subject{Identities: map[string][]string{"id": ids, "email": {""}}}, nil, nil, ResolveOptions{})
		if a := g.Assess(facts, nil, testNow); !a.NotFound {
			t.Errorf("identity %q finds %d records", ids, a.RootRows)
		}
	}
}

func TestDeactivation(t *testing.T) {
	g := mustCompile(t, source(applicant()))
	ats := newFake()
	ats.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me"), "active": text("1"), "note": text("x")})
	ats.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("me"), "active": text("0"), "note": nil})
	ats.insert("applicants", map[string]*string{"id": text("3"), "app_id": text("me"), "active": text("1"), "note": nil})
	before := dump(map[string]*fakeStore{"ats": ats})
	ops := g.Deactivation(resolveAll(g, map[string]*fakeStore{"ats": ats}, me, nil, nil, ResolveOptions{}), testCodec)
	if len(ops["ats"]) != 1 || len(ops["ats"][0].Keys) != 2 {
		t.Fatalf("%+v", ops)
	}
	if err := ats.execute(Step{Operations: ops["ats"]}); err != nil {
		t.Fatal(err)
	}
	if v := ats.tables["applicants"].rows[0]; *v["active"] != "0" || v["note"] != nil {
		t.Error("not deactivated")
	}
	// What somebody else changed meanwhile stays.
	ats.tables["applicants"].rows[2]["note"] = text("theirs")
	before["ats/applicants/3"]["active"], before["ats/applicants/3"]["note"] = text("0"), text("theirs")
	if err := ats.execute(Step{Operations: Reactivation(ops)["ats"]}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, dump(map[string]*fakeStore{"ats": ats})); diff != "" {
		t.Error(diff)
	}
}

func TestLateRowsAreFoundAfterTheirParentsAreGone(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	stores := invoiceStores()
	stores["ats"].fks = nil
	facts := resolveAll(g, stores, me, nil, nil, ResolveOptions{})
	plan := mustBuild(t, g, facts, buildInput(nil))
	for _, s := range plan.Steps {
		if err := stores[s.Store].execute(s); err != nil {
			t.Fatal(err)
		}
	}
	stores["ats"].insert("invoices", map[string]*string{"id": text("103"), "application_id": text("11"), "paid": text("0")})
	merged := MergeFacts(facts, resolveAll(g, stores, me, nil, facts, ResolveOptions{}))
	again := mustBuild(t, g, merged, buildInput(nil))
	if got := describe(again.Steps); !slices.Contains(got, "records/ats: Delete ats/invoice 101,103 unless 1") {
		t.Errorf("the late record is not found: %v", got)
	}
	if again.Steps[0].Digest() == plan.Steps[0].Digest() || again.Steps[1].Digest() != plan.Steps[1].Digest() {
		t.Error("digests must tell changed steps from unchanged ones")
	}
}

func TestConflictingClaimsStopThePlan(t *testing.T) {
	cond := func(v string) func(*v1alpha1.Entity) {
		return func(e *v1alpha1.Entity) {
			e.Conditions = []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorNotIn, Values: []string{v}}}
		}
	}
	note := child("note", deep("applicant", "a"))
	g := mustCompile(t, source(applicant(), with(note, cond("x")), with(with(note, cond("y")), func(e *v1alpha1.Entity) {
		e.Name, e.Action, e.LegalBasis = "kept", v1alpha1.ActionKeep, "law"
	})))
	ats := newFake()
	ats.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	for id, ok := range map[string]bool{"x": true, "y": true, "z": false} {
		store := ats.clone()
		store.insert("notes", map[string]*string{"id": text(id), "a": text("1"), "kind": text(id)})
		_, err := g.Build(resolveAll(g, map[string]*fakeStore{"ats": store}, me, nil, nil, ResolveOptions{}), buildInput(nil))
		if (err == nil) != ok {
			t.Errorf("kind %s: %v", id, err)
		}
	}
}

func TestWaves(t *testing.T) {
	mail := with(child("mail", deep("applicant", "a")), func(e *v1alpha1.Entity) { e.Store = "mail" })
	g := mustCompile(t, source(applicant(), child("note", deep("applicant", "a")), mail, child("bounce", deep("mail", "m"))))
	r := g.NewResolver(me, nil, nil, ResolveOptions{Text: toText, MaxRows: map[string]int64{"ats": 7}})
	first := r.Next()
	if len(first) != 1 || len(first["ats"].Queries) != 2 || first["ats"].MaxRows != 7 || first["ats"].Queries[1].AnyOf[0].Parent == nil {
		t.Fatalf("%+v", first)
	}
	if diff := cmp.Diff(first, r.Next()); diff != "" {
		t.Errorf("Next must repeat what is not answered: %s", diff)
	}
	r.Put("ats", &backend.Resolution{Rows: map[string][]backend.Row{"ats/applicant": {{Key: backend.Key{"v:1"}, Values: []backend.Value{nil, nil}}}}})
	second := r.Next()
	want := backend.Match{Values: &backend.ValuesMatch{Columns: []string{"a"}, Rows: [][]string{{"1"}}}}
	if len(second) != 1 || len(second["mail"].Queries) != 1 {
		t.Fatalf("%+v", second)
	}
	if diff := cmp.Diff([]backend.Match{want}, second["mail"].Queries[0].AnyOf); diff != "" {
		t.Error(diff)
	}
	r.Put("mail", &backend.Resolution{})
	if third := r.Next(); len(third) != 0 {
		t.Errorf("nothing refers to no mail: %+v", third)
	}
}

// A plan of many records, all held until different dates, takes time in proportion.
func TestManyRecordsAreLinear(t *testing.T) {
	g := mustCompile(t, invoiceMap())
	const n = 20000
	facts := resolveAll(g, invoiceStores(), me, nil, nil, ResolveOptions{})
	row := facts.Entities["ats/invoice"].Rows[0]
	for i := range n {
		r := row
		r.Key = backend.Key{fmt.Sprintf("v:%06d", 1000+i)}
		r.Clocks = []backend.Clock{{Time: testNow.Add(time.Duration(i) * time.Second), Valid: true}}
		facts.Entities["ats/invoice"].Rows = append(facts.Entities["ats/invoice"].Rows, r)
	}
	plan := mustBuild(t, g, facts, buildInput(nil))
	if len(plan.Residues) != n+1 {
		t.Errorf("%d residues", len(plan.Residues))
	}
}
