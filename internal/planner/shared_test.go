package planner

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func lawOn(ids ...string) v1alpha1.StatutoryHold {
	return v1alpha1.StatutoryHold{Name: "law", LegalBasis: "law", Clock: "at", Period: "P10Y",
		Conditions: []v1alpha1.Condition{{Column: "id", Operator: v1alpha1.OperatorIn, Values: ids}}}
}

func TestWhatBelongsToASharedRecordStaysWithIt(t *testing.T) {
	maps, f := sharedDocuments()
	maps.Spec.Entities = append(maps.Spec.Entities, child("page", deep("doc", "doc_id")), child("line", deep("page", "page_id"), deep("applicant", "applicant_id")))
	maps.Spec.Entities[2].Parents = append(maps.Spec.Entities[2].Parents, deep("doc", "folder"))
	g := mustCompile(t, maps)
	f.insert("docs", map[string]*string{"id": text("in ours"), "folder": text("ours")})
	f.insert("docs", map[string]*string{"id": text("in mine"), "folder": text("mine")})
	for _, doc := range []string{"mine", "ours", "yours", "in ours", "in mine"} {
		f.insert("pages", map[string]*string{"id": text("of " + doc), "doc_id": text(doc)})
		f.insert("lines", map[string]*string{"id": text("of " + doc), "page_id": text("of " + doc)})
	}
	f.insert("lines", map[string]*string{"id": text("by me"), "page_id": text("of ours"), "applicant_id": text("1")})
	stores := map[string]*fakeStore{"ats": f}
	erase(t, g, stores, inputFor(me, nil))
	for table, want := range map[string][]string{
		"docs": {"in ours", "ours", "yours"}, "pages": {"of in ours", "of ours", "of yours"}, "lines": {"of in ours", "of ours", "of yours"},
	} {
		if diff := cmp.Diff(want, ids(f, table)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", table, diff)
		}
	}
}

func TestRetainedLinkThatIsNeverCutLeavesTheDocument(t *testing.T) {
	maps, f := sharedDocuments()
	link := &maps.Spec.Entities[1]
	link.Action, link.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "note", Strategy: v1alpha1.StrategyNull}}
	link.Parents[0].Relation = v1alpha1.RelationDeep
	link.Holds = []v1alpha1.StatutoryHold{lawOn("1", "2")}
	maps.Spec.Entities[0].Action, maps.Spec.Entities[0].Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyNull}}
	g := mustCompile(t, maps)
	for _, row := range f.rowsOf("links") {
		row["at"] = text("2026-01-01T00:00:00Z")
	}
	plan, _ := erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	for _, r := range plan.Residues {
		for _, s := range r.Steps {
			if err := f.execute(s); err != nil {
				t.Errorf("the residue can never be treated: %v", err)
			}
		}
	}
}

func TestResiduesNeverWaitForEachOther(t *testing.T) {
	maps, f := sharedDocuments()
	doc, link := &maps.Spec.Entities[2], &maps.Spec.Entities[1]
	doc.Parents = append(doc.Parents, deep("applicant", "applicant_id"))
	doc.Holds = []v1alpha1.StatutoryHold{lawOn("mine")}
	doc.Holds[0].Period = "P5Y"
	link.Holds = []v1alpha1.StatutoryHold{lawOn("1")}
	g := mustCompile(t, maps)
	for _, row := range append(f.rowsOf("links"), f.rowsOf("docs")...) {
		row["at"] = text("2026-01-01T00:00:00Z")
	}
	f.rowsOf("docs")[0]["applicant_id"] = text("1")
	plan, _ := erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	done := map[string]bool{}
	for _, r := range plan.Residues {
		for _, id := range r.After {
			if !done[id] {
				t.Errorf("residue %s (%s) waits for one that comes later", r.ID, r.Basis)
			}
		}
		done[r.ID] = true
		for _, s := range r.Steps {
			if err := f.execute(s); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestGracePeriodLeavesSharedRecordsInUse(t *testing.T) {
	maps, f := sharedDocuments()
	maps.Spec.Entities[2].Deactivate = []v1alpha1.ColumnValue{{Column: "state", Value: text("off")}}
	g := mustCompile(t, maps)
	facts := resolveAll(g, map[string]*fakeStore{"ats": f}, me, nil, nil, ResolveOptions{})
	ops := g.Deactivation(facts, testCodec)
	var got []string
	for _, op := range ops["ats"] {
		for _, k := range op.Keys {
			got = append(got, toText("", &k[0]))
		}
	}
	if diff := cmp.Diff([]string{"1", "mine"}, got); diff != "" {
		t.Errorf("taken out of use (-want +got):\n%s", diff)
	}
}

// residueRun treats a residue as a run at its date does.
func residueRun(t *testing.T, g *Graph, f *fakeStore, plan *Plan, facts *Facts, r Residue) []v1alpha1.CategoryCount {
	t.Helper()
	ev := g.Evidence(r.Steps, plan.Steps, facts)
	found := map[string][]backend.Row{}
	for _, req := range g.EvidenceRequests(ev, testCodec) {
		maps.Copy(found, f.resolve(req).Rows)
	}
	alone := g.Strangers(ev, r.Steps, found)
	for _, s := range r.Steps {
		s.Operations = g.Present(s, alone)
		if err := f.execute(s); err != nil {
			t.Error(err)
		}
	}
	return g.CountsWithout(r.Counts, r.Steps, ev, alone)
}

func TestWhatBecameSharedWhileItWasRetainedStays(t *testing.T) {
	source, f := sharedDocuments()
	source.Spec.Entities[1].Holds = []v1alpha1.StatutoryHold{lawOn("1", "2")}
	source.Spec.Entities[2].Parents = append(source.Spec.Entities[2].Parents, deep("doc", "folder"))
	page := with(child("page", deep("doc", "doc_id")), func(e *v1alpha1.Entity) { e.Key = []string{"doc_id", "id"} })
	page.Holds = []v1alpha1.StatutoryHold{lawOn("1", "2")}
	source.Spec.Entities = append(source.Spec.Entities, page)
	for i, path := range map[int]string{2: "docs/{id}", 3: "pages/{id}"} {
		source.Spec.Entities[i].Files = []v1alpha1.FileReference{{Store: "files", Path: path, Kind: v1alpha1.FileKindFile}}
	}
	f.insert("docs", map[string]*string{"id": text("a folded one"), "folder": text("mine")})
	f.insert("pages", map[string]*string{"id": text("1"), "doc_id": text("mine")})
	f.insert("pages", map[string]*string{"id": text("2"), "doc_id": text("a folded one")})
	for _, row := range append(f.rowsOf("links"), f.rowsOf("pages")...) {
		row["at"] = text("2026-01-01T00:00:00Z")
	}
	for _, file := range []string{"docs/mine", "docs/ours", "docs/a folded one", "pages/1"} {
		f.files[file] = true
	}
	g := mustCompile(t, source)
	counts := map[string][]v1alpha1.CategoryCount{
		"alone": {{Category: "doc", Deleted: 2, Files: 2}, {Category: "link", Deleted: 2}, {Category: "page", Deleted: 2, Files: 1}, {Category: "profile", Deleted: 1}},
		// The applicant is not needed any more; what is shared, and its pages, stay with their files.
		"shared": {{Category: "doc", Shared: 2}, {Category: "link", Deleted: 2}, {Category: "page", Shared: 2}, {Category: "profile", Deleted: 1}},
	}
	for name, want := range map[string][]string{"alone": {"ours", "yours"}, "shared": {"a folded one", "mine", "ours", "yours"}} {
		t.Run(name, func(t *testing.T) {
			f := f.clone()
			plan, facts := erase(t, g, map[string]*fakeStore{"ats": f, "files": f}, inputFor(me, nil))
			if len(plan.Residues) != 1 {
				t.Fatalf("%d residues, want 1", len(plan.Residues))
			}
			if name == "shared" {
				f.insert("links", map[string]*string{"id": text("6"), "applicant_id": text("2"), "doc": text("mine")})
			}
			got := residueRun(t, g, f, plan, facts, plan.Residues[0])
			if diff := cmp.Diff(counts[name], got); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if files := sortedKeys(f.files); len(files) != map[string]int{"alone": 1, "shared": 4}[name] {
				t.Errorf("files that are left: %v", files)
			}
			if diff := cmp.Diff(want, ids(f, "docs")); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
			if left := ids(f, "pages"); (name == "shared") != (len(left) == 2) {
				t.Errorf("pages that are left: %v", left)
			}
			if left := ids(f, "links"); slices.Contains(left, "1") || slices.Contains(left, "2") {
				t.Errorf("links that are left: %v", left)
			}
		})
	}
}

func TestOneEntityCountsAllReferencesToItsRecords(t *testing.T) {
	maps, _ := sharedDocuments()
	other := child("letter", refCount("mail", "id", "doc"))
	other.Table = "docs"
	maps.Spec.Entities = append(maps.Spec.Entities, child("mail", deep("applicant", "applicant_id")), other)
	_, problems := Compile([]MapSource{maps}, "")
	if diff := cmp.Diff([]string{"InvalidSpec letter"}, reasons(problems)); diff != "" {
		t.Errorf("two entities count references to the same records (-want +got):\n%s", diff)
	}
}

func in(column string, values ...string) []v1alpha1.Condition {
	return []v1alpha1.Condition{{Column: column, Operator: v1alpha1.OperatorIn, Values: values}}
}

func TestReferencesThatTheMapLeavesOutCount(t *testing.T) {
	source, f := sharedDocuments()
	source.Spec.Entities[1].Conditions = in("tenant", "a")
	for _, row := range f.rowsOf("links") {
		row["tenant"] = text("a")
	}
	f.insert("links", map[string]*string{"id": text("6"), "applicant_id": text("2"), "doc": text("mine"), "tenant": text("b")})
	plan, _ := erase(t, mustCompile(t, source), map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	if diff := cmp.Diff([]string{"mine", "ours", "yours"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents (-want +got):\n%s\n%s", diff, strings.Join(describe(plan.Steps), "\n"))
	}
	if left := ids(f, "links"); !slices.Contains(left, "6") {
		t.Errorf("another tenant's link is gone: %v", left)
	}
}

func TestOnlyReferencesThatMeetTheConditionsCount(t *testing.T) {
	source, f := sharedDocuments()
	source.Spec.Entities[2].Parents[0].Conditions = in("kind", "doc")
	for _, row := range f.rowsOf("links") {
		row["kind"] = text("doc")
	}
	// The same number means something else: neither does the first keep a document, nor does the second lead to one.
	f.insert("links", map[string]*string{"id": text("6"), "applicant_id": text("2"), "doc": text("mine"), "kind": text("other")})
	f.insert("links", map[string]*string{"id": text("7"), "applicant_id": text("1"), "doc": text("yours"), "kind": text("other")})
	f.insert("docs", map[string]*string{"id": text("nobody's")})
	f.insert("links", map[string]*string{"id": text("8"), "applicant_id": text("1"), "doc": text("nobody's"), "kind": nil})
	f.fks = f.fks[1:]
	g := mustCompile(t, source)
	stores := map[string]*fakeStore{"ats": f}
	plan, facts := erase(t, g, stores, inputFor(me, nil))
	want := []string{"nobody's", "ours", "yours"}
	if diff := cmp.Diff(want, ids(f, "docs")); diff != "" {
		t.Errorf("documents (-want +got):\n%s\n%s", diff, strings.Join(describe(plan.Steps), "\n"))
	}
	// Neither does a second look, by what is known or by everything, find more.
	for _, known := range []bool{true, false} {
		again := MergeFacts(facts, resolveAll(g, stores, me, nil, facts, ResolveOptions{Deletes: plan.Deletes(), KnownParents: known}))
		after := mustBuild(t, g, again, inputFor(me, nil))
		if diff := cmp.Diff(describe(plan.Steps), describe(after.Steps)); diff != "" {
			t.Errorf("the second look plans otherwise (-first +second):\n%s", diff)
		}
	}
}

func TestReferencesOfTwoEntitiesOfOneTableCountTogether(t *testing.T) {
	source, f := sharedDocuments()
	mine := source.Spec.Entities[1]
	mine.Conditions = in("kind", "a")
	second := child("second", deep("applicant", "applicant_id"))
	second.Table, second.Conditions = mine.Table, in("kind", "b")
	source.Spec.Entities[1] = mine
	source.Spec.Entities = append(source.Spec.Entities, second)
	for _, row := range f.rowsOf("links") {
		row["kind"] = text(map[string]string{"1": "a", "2": "b", "3": "a", "4": "b", "5": "a"}[*row["id"]])
	}
	left := func(source MapSource) []string {
		f := f.clone()
		erase(t, mustCompile(t, source), map[string]*fakeStore{"ats": f}, inputFor(me, nil))
		return ids(f, "docs")
	}
	if diff := cmp.Diff([]string{"mine", "ours", "yours"}, left(source)); diff != "" {
		t.Errorf("the second is not named as a parent: documents (-want +got):\n%s", diff)
	}
	source.Spec.Entities[2].Parents = append(source.Spec.Entities[2].Parents, refCount("second", "id", "doc"))
	if diff := cmp.Diff([]string{"ours", "yours"}, left(source)); diff != "" {
		t.Errorf("both are named as parents: documents (-want +got):\n%s", diff)
	}
}

func TestConstraintOnWhatIsCounted(t *testing.T) {
	for name, tt := range map[string]struct {
		conditions []v1alpha1.Condition
		want       []string
	}{
		"always":           {nil, nil},
		"under conditions": {in("kind", "doc"), []string{"ForeignKeyUncovered link doc"}},
	} {
		source, _ := sharedDocuments()
		source.Spec.Entities[2].Parents[0].Conditions = tt.conditions
		g := mustCompile(t, source)
		s := schemaOf(g, "ats")
		for i := range s.Tables {
			if s.Tables[i].Table.Name == "links" {
				s.Tables[i].ForeignKeys = []backend.ForeignKey{{Name: "f", Columns: []string{"doc"}, References: backend.Table{Schema: "public", Name: "docs"}, RefColumns: []string{"id"}}}
				if tt.conditions != nil && column(&s.Tables[i], "kind") == nil {
					t.Error("the condition's column is not one of the parent's table")
				}
			}
		}
		got := g.Check(map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}})
		if diff := cmp.Diff(tt.want, reasons(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s\n%+v", name, diff, got)
		}
	}
}

func TestEntitiesThatLeaveARecordDoNotDisagree(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*v1alpha1.Entity)
		want   bool
	}{
		"both find it shared":       {func(*v1alpha1.Entity) {}, true},
		"shared, and kept":          {func(e *v1alpha1.Entity) { e.Action, e.LegalBasis = v1alpha1.ActionKeep, "law" }, true},
		"shared, and the subject's": {func(e *v1alpha1.Entity) { e.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "owner", Identity: "id"}} }, false},
	} {
		source, f := sharedDocuments()
		links := f.tables["links"]
		links.rows = slices.DeleteFunc(links.rows, func(row map[string]*string) bool { return *row["doc"] != "ours" })
		source.Spec.Entities[2].Conditions = in("kind", "a", "b")
		second := child("paper", refCount("link", "id", "doc"))
		second.Table, second.Conditions = "docs", in("kind", "a")
		tt.change(&second)
		source.Spec.Entities = append(source.Spec.Entities, second)
		for _, row := range f.rowsOf("docs") {
			row["kind"], row["owner"] = text("a"), text("me")
		}
		g := mustCompile(t, source)
		facts := resolveAll(g, map[string]*fakeStore{"ats": f}, me, nil, nil, ResolveOptions{})
		if _, err := g.Build(facts, inputFor(me, nil)); (err == nil) != tt.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatNothingButItsKeyTellsMayBecomeSharedToo(t *testing.T) {
	source, f := sharedDocuments()
	source.Spec.Entities[1].Holds = []v1alpha1.StatutoryHold{lawOn("1", "2")}
	for _, row := range f.rowsOf("links") {
		row["at"] = text("2026-01-01T00:00:00Z")
	}
	g := mustCompile(t, source)
	plan, facts := erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	f.insert("links", map[string]*string{"id": text("6"), "applicant_id": text("2"), "doc": text("mine")})
	residueRun(t, g, f, plan, facts, plan.Residues[0])
	if diff := cmp.Diff([]string{"mine", "ours", "yours"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"4", "5", "6"}, ids(f, "links")); diff != "" {
		t.Errorf("links (-want +got):\n%s", diff)
	}
}
