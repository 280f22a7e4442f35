package planner

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func refCount(parent, column, parentColumn string) v1alpha1.Parent {
	return v1alpha1.Parent{Entity: parent, Relation: v1alpha1.RelationRefCount, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: parentColumn}}}
}

// erase plans and executes, and returns the plan.
func erase(t *testing.T, g *Graph, stores map[string]*fakeStore, in BuildInput) (*Plan, *Facts) {
	t.Helper()
	facts := resolveAll(g, stores, in.Subject, in.Holds, nil, ResolveOptions{})
	plan := mustBuild(t, g, facts, in)
	for _, s := range plan.Steps {
		if err := stores[s.Store].execute(s); err != nil {
			t.Fatal(err)
		}
	}
	return plan, facts
}

func ids(f *fakeStore, table string) []string {
	var out []string
	for _, row := range f.rowsOf(table) {
		out = append(out, *row["id"])
	}
	slices.Sort(out)
	return out
}

func inputFor(subject Subject, holds []Hold) BuildInput {
	in := buildInput(holds)
	in.Subject = subject
	return in
}

func TestTreeGoesLeavesFirst(t *testing.T) {
	g := mustCompile(t, source(applicant(), child("note", deep("applicant", "applicant_id"), deep("note", "reply_to"))))
	f := newFake()
	f.fks = []fakeFK{{"notes", "reply_to", "notes", "id"}, {"notes", "applicant_id", "applicants", "id"}}
	f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	f.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("you")})
	for id, row := range map[string][2]string{"10": {"1", ""}, "11": {"2", "10"}, "12": {"", "11"}, "13": {"1", "13"}, "20": {"2", ""}, "21": {"2", "20"},
		"30": {"1", "32"}, "31": {"", "30"}, "32": {"", "31"}} {
		r := map[string]*string{"id": text(id)}
		if row[0] != "" {
			r["applicant_id"] = text(row[0])
		}
		if row[1] != "" {
			r["reply_to"] = text(row[1])
		}
		f.insert("notes", r)
	}
	plan, _ := erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	if diff := cmp.Diff([]string{"20", "21"}, ids(f, "notes")); diff != "" {
		t.Errorf("notes that are left (-want +got):\n%s\n%s", diff, strings.Join(describe(plan.Steps), "\n"))
	}
}

func TestLongChainGoes(t *testing.T) {
	g := mustCompile(t, source(applicant(), child("note", deep("applicant", "applicant_id"), deep("note", "reply_to"))))
	f := newFake()
	f.fks = []fakeFK{{"notes", "reply_to", "notes", "id"}}
	f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	f.insert("notes", map[string]*string{"id": text("0"), "applicant_id": text("1")})
	for i := 1; i < 300; i++ {
		f.insert("notes", map[string]*string{"id": text(fmt.Sprint(i)), "reply_to": text(fmt.Sprint(i - 1))})
	}
	erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	if n := len(f.rowsOf("notes")); n != 0 {
		t.Errorf("%d notes are left", n)
	}
}

func TestHoldKeepsTheBranchAboveIt(t *testing.T) {
	note := child("note", deep("applicant", "applicant_id"), deep("note", "reply_to"))
	note.Holds = []v1alpha1.StatutoryHold{{Name: "law", LegalBasis: "law", Clock: "at", Period: "P10Y",
		Conditions: []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorIn, Values: []string{"contract"}}}}}
	g := mustCompile(t, source(applicant(), note))
	f := newFake()
	f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	for _, row := range [][3]string{{"9", "", ""}, {"8", "9", ""}, {"7", "8", "contract"}, {"6", "7", ""}, {"5", "9", ""}} {
		r := map[string]*string{"id": text(row[0]), "applicant_id": text("1"), "at": text("2026-01-01T00:00:00Z")}
		if row[1] != "" {
			r["reply_to"] = text(row[1])
		}
		if row[2] != "" {
			r["kind"] = text(row[2])
		}
		f.insert("notes", r)
	}
	erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	if diff := cmp.Diff([]string{"7", "8", "9"}, ids(f, "notes")); diff != "" {
		t.Errorf("notes that are left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1"}, ids(f, "applicants")); diff != "" {
		t.Errorf("the applicant that they need (-want +got):\n%s", diff)
	}
}

func sharedDocuments() (MapSource, *fakeStore) {
	f := newFake()
	f.fks = []fakeFK{{"links", "doc", "docs", "id"}, {"links", "applicant_id", "applicants", "id"}}
	f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	f.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("you")})
	for _, id := range []string{"mine", "ours", "yours"} {
		f.insert("docs", map[string]*string{"id": text(id)})
	}
	for id, l := range map[string][2]string{"1": {"1", "mine"}, "2": {"1", "mine"}, "3": {"1", "ours"}, "4": {"2", "ours"}, "5": {"2", "yours"}} {
		f.insert("links", map[string]*string{"id": text(id), "applicant_id": text(l[0]), "doc": text(l[1])})
	}
	return source(applicant(), child("link", deep("applicant", "applicant_id")), child("doc", refCount("link", "id", "doc"))), f
}

func TestSharedRecordStaysUntilTheLastOneGoes(t *testing.T) {
	maps, f := sharedDocuments()
	g := mustCompile(t, maps)
	stores := map[string]*fakeStore{"ats": f}
	before, facts := erase(t, g, stores, inputFor(me, nil))
	if diff := cmp.Diff([]string{"ours", "yours"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents after the first (-want +got):\n%s\n%s", diff, strings.Join(describe(before.Steps), "\n"))
	}
	// A second look finds nothing to do.
	again := MergeFacts(facts, resolveAll(g, stores, me, nil, facts, ResolveOptions{Deletes: before.Deletes()}))
	after := mustBuild(t, g, again, inputFor(me, nil))
	if diff := cmp.Diff(describe(before.Steps), describe(after.Steps)); diff != "" {
		t.Errorf("the second look plans otherwise (-first +second):\n%s", diff)
	}
	you := Subject{Identities: map[string][]string{"id": {"you"}, "email": nil}}
	erase(t, g, stores, inputFor(you, nil))
	if left := ids(f, "docs"); len(left) != 0 {
		t.Errorf("documents after the last one: %v", left)
	}
}

func TestSharedRecordThatSomebodyGetsMeanwhileIsStale(t *testing.T) {
	maps, f := sharedDocuments()
	g := mustCompile(t, maps)
	stores := map[string]*fakeStore{"ats": f}
	facts := resolveAll(g, stores, me, nil, nil, ResolveOptions{})
	plan := mustBuild(t, g, facts, inputFor(me, nil))
	f.insert("links", map[string]*string{"id": text("6"), "applicant_id": text("2"), "doc": text("mine")})
	if err := f.clone().execute(plan.Steps[0]); err == nil || !strings.Contains(err.Error(), "stale") {
		t.Errorf("got %v, want a stale batch", err)
	}
	fresh := MergeFacts(facts, resolveAll(g, stores, me, nil, facts, ResolveOptions{Deletes: plan.Deletes()}))
	plan = mustBuild(t, g, fresh, inputFor(me, nil))
	if err := f.execute(plan.Steps[0]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"mine", "ours", "yours"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
}

func TestRetainedLinkKeepsTheDocument(t *testing.T) {
	maps, f := sharedDocuments()
	maps.Spec.Entities[1].Holds = []v1alpha1.StatutoryHold{{Name: "law", LegalBasis: "law", Clock: "at", Period: "P10Y",
		Conditions: []v1alpha1.Condition{{Column: "id", Operator: v1alpha1.OperatorIn, Values: []string{"2"}}}}}
	g := mustCompile(t, maps)
	for _, row := range f.rowsOf("links") {
		row["at"] = text("2026-01-01T00:00:00Z")
	}
	plan, _ := erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	if diff := cmp.Diff([]string{"mine", "ours", "yours"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	if len(plan.Residues) != 1 {
		t.Fatalf("%d residues, want 1", len(plan.Residues))
	}
	for _, s := range plan.Residues[0].Steps {
		if err := f.execute(s); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"ours", "yours"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents after the date (-want +got):\n%s", diff)
	}
}

func TestRedactLeavesTheOthers(t *testing.T) {
	words := []string{"Ann@example.com", "4711", "marie", " ann marie "}
	for in, want := range map[string]string{
		"ann@example.com":                          "[gone]",
		"bob@x.org, ANN@example.com;eve@x.org":     "bob@x.org, [gone];eve@x.org",
		"Ann <ann@example.com>, joann@example.com": "Ann <[gone]>, joann@example.com",
		`["ann@example.com"]`:                      `["[gone]"]`,
		"ann@example.com.au 4711 47110":            "ann@example.com.au [gone] 47110",
		"":                                         "",
		"\u00E9,ann@example.com,":                  "\u00E9,[gone],",
		"Write to ann@example.com. Or to 'ann@example.com'!":    "Write to [gone]. Or to '[gone]'!",
		"x.ann@example.com ann@example.com.br ann@example.com.": "x.ann@example.com ann@example.com.br [gone].",
		"mailto:ann@example.com":                                "mailto:ann@example.com",
		"Ann Marie, ann  marie, Joann Marie: Ann Marie":         "[gone], ann  [gone], Joann [gone]: [gone]",
		"ann@example.com ann@example.com":                       "[gone] [gone]",
		"?4711? 4711.5":                                         "?[gone]? 4711.5",
	} {
		if got := redact(in, words, "[gone]"); got != want {
			t.Errorf("redact(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMemberPaths(t *testing.T) {
	for path, want := range map[string][]string{
		"$.a": {"a"}, "$.a.b_1": {"a", "b_1"}, `$["x y"].z`: {"x y", "z"}, `$.a["b.c"]`: {"a", "b.c"},
		"$": nil, "a": nil, "$.": nil, "$.a.": nil, "$..a": nil, "$.a[0]": nil, "$.*": nil, `$["a`: nil, `$[""]`: nil, `$["a\"b"]`: nil, "$.a-b": nil, "$a": nil,
	} {
		got, err := parseMemberPath(path)
		if (err == nil) != (want != nil) || err == nil && !slices.Equal(got, want) {
			t.Errorf("parseMemberPath(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
	doc := `{"a": {"b": "text", "n": 12.50, "null": null}, "x y": [1]}`
	for path, want := range map[string]string{"$.a.b": "text", "$.a.n": "12.50", `$["x y"]`: "[1]"} {
		names, _ := parseMemberPath(path)
		if got, ok := memberText(doc, names); !ok || got != want {
			t.Errorf("memberText(%q) = %q, %t; want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{"$.a.c", "$.a.b.c", "$.a.null", "$.z"} {
		names, _ := parseMemberPath(path)
		if got, ok := memberText(doc, names); ok {
			t.Errorf("memberText(%q) = %q, want none", path, got)
		}
	}
}

func TestUnreadableDocumentsArePlannedByNobody(t *testing.T) {
	for doc, want := range map[string]string{
		"": "", " \n": "", `{"contact": {"email": "x"}}`: "", `{"contact": 1, "n": 1, "n": 2}`: "", `[{"contact": 1}]`: "", `{"contact": {"n": 1, "n": 2}}`: "", "null": "",
		`{"contact": {"email": "x", "email": "y"}}`: "twice", `{"contact": {"email": "x", "em\u0061il": "y"}}`: "twice", `{"contact": {}, "contact": {}}`: "twice",
		"ann@example.com": "no JSON", `{"contact": `: "no JSON", `{'contact': 1}`: "no JSON", `{} {}`: "no JSON",
	} {
		path := []string{"contact", "email"}
		err := checkDocument(doc, path)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("checkDocument(%q) = %v, want %q", doc, err, want)
		}
	}
	e := with(child("profile", deep("applicant", "applicant_id")), func(e *v1alpha1.Entity) {
		e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "doc", Path: "$.contact.email", Strategy: v1alpha1.StrategyRemove}}
	})
	pinned := with(child("profile", deep("applicant", "applicant_id")), func(p *v1alpha1.Entity) { p.Pinned = &v1alpha1.Pinned{Fields: e.Fields} })
	for name, tt := range map[string]struct {
		entity v1alpha1.Entity
		want   string
	}{"anonymized": {e, v1alpha1.ReasonDocumentUnreadable}, "deleted": {pinned, ""}} {
		f := newFake()
		f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
		f.insert("profiles", map[string]*string{"id": text("1"), "applicant_id": text("1"), "doc": text("ann@example.com")})
		g := mustCompile(t, source(applicant(), tt.entity))
		facts := resolveAll(g, map[string]*fakeStore{"ats": f}, me, nil, nil, ResolveOptions{})
		_, err := g.Build(facts, inputFor(me, nil))
		var p *ProblemError
		got := ""
		if errors.As(err, &p) {
			got = p.Reason
		}
		if got != tt.want || tt.want != "" && (p.Column != "doc" || strings.Contains(err.Error(), "ann@") || !strings.Contains(err.Error(), "ats/profile")) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func FuzzMemberPath(f *testing.F) {
	f.Add("$.a.b")
	f.Add(`$["x y"].c`)
	f.Fuzz(func(t *testing.T, s string) {
		names, err := parseMemberPath(s)
		if err == nil && (len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return n == "" || strings.ContainsAny(n, "\"\\\x00") })) {
			t.Errorf("parseMemberPath(%q) = %q", s, names)
		}
	})
}

func FuzzReference(f *testing.F) {
	f.Add("a/{b}/c", "1")
	f.Add("session:{id}:*", "*")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		tpl, err := parseTemplate(pattern)
		if err != nil {
			return
		}
		fill := func(string) (string, bool) { return value, true }
		if p, ok := (reference{kind: backend.File, path: tpl}).fill(fill); ok && tpl.checkPath() == nil && cleanPath(p.Path) && (strings.HasPrefix(p.Path, "/") || strings.Contains("/"+p.Path+"/", "/../")) {
			t.Errorf("the path %q leaves its folder", p.Path)
		}
		p, ok := reference{kind: backend.KeyPattern, path: tpl}.fill(fill)
		if !ok || len(tpl.columns()) != 1 {
			return
		}
		if got := strings.NewReplacer(`\*`, "*", `\?`, "?", `\[`, "[", `\]`, "]", `\\`, `\`).Replace(escapeGlob(value)); got != value && !strings.Contains(value, `\`) {
			t.Errorf("escaping %q gives %q", value, p.Path)
		}
	})
}

func TestFingerprintRecognisesWithinItsScope(t *testing.T) {
	application := child("application", deep("applicant", "applicant_id"))
	application.Action = v1alpha1.ActionAnonymize
	application.Fields = []v1alpha1.FieldChange{{Column: "applicant_id", Strategy: v1alpha1.StrategyNull},
		{Column: "print", Strategy: v1alpha1.StrategyFingerprint, Fingerprint: &v1alpha1.Fingerprint{Parent: "applicant", Columns: []string{"email", "phone"}, Per: []string{"vacancy"}}}}
	g := mustCompile(t, source(applicant(), application))
	f := newFake()
	f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me"), "email": text(" Me@X.org"), "phone": text("1")})
	for id, vacancy := range map[string]string{"10": "v1", "11": "v1", "12": "v2"} {
		f.insert("applications", map[string]*string{"id": text(id), "applicant_id": text("1"), "vacancy": text(vacancy)})
	}
	erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	prints := map[string]string{}
	for _, row := range f.rowsOf("applications") {
		prints[*row["id"]] = *row["print"]
	}
	if prints["10"] != prints["11"] || prints["10"] == prints["12"] {
		t.Errorf("fingerprints %v: want the same for one vacancy and another one for the other", prints)
	}
	key := buildInput(nil).NamespaceKey
	if got, ok, err := Fingerprint(key, "ats/application", "print", []string{"v1"}, []string{"ME@x.org", "1 "}); err != nil || !ok || got != prints["10"] {
		t.Errorf("the same data gives %q, want %q", got, prints["10"])
	}
	if _, ok, _ := Fingerprint(key, "ats/application", "print", []string{"v1"}, []string{" ", ""}); ok {
		t.Error("blank values have a fingerprint")
	}
}

func TestTreesOfAnyShape(t *testing.T) {
	g := mustCompile(t, source(applicant(), child("note", deep("applicant", "applicant_id"), deep("note", "reply_to"))))
	rapid.Check(t, func(rt *rapid.T) {
		f := newFake()
		f.fks = []fakeFK{{"notes", "reply_to", "notes", "id"}, {"notes", "applicant_id", "applicants", "id"}}
		f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
		f.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("you")})
		n := rapid.IntRange(1, 12).Draw(rt, "notes")
		mine := map[int]bool{}
		parent := map[int]int{}
		for i := range n {
			row := map[string]*string{"id": text(fmt.Sprint(i))}
			if owner := rapid.IntRange(0, 2).Draw(rt, "owner"); owner > 0 {
				row["applicant_id"] = text(fmt.Sprint(owner))
				mine[i] = owner == 1
			}
			if p := rapid.IntRange(-1, n-1).Draw(rt, "parent"); p >= 0 {
				row["reply_to"], parent[i] = text(fmt.Sprint(p)), p
			}
			f.insert("notes", row)
		}
		var want []string
		for i := range n {
			own, at := mine[i], i
			for range n {
				p, ok := parent[at]
				if !ok {
					break
				}
				at = p
				own = own || mine[at]
			}
			if !own {
				want = append(want, fmt.Sprint(i))
			}
		}
		slices.Sort(want)
		erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
		if got := ids(f, "notes"); !slices.Equal(got, want) {
			rt.Errorf("left %v, want %v", got, want)
		}
	})
}

func TestLockedFilesAreRetained(t *testing.T) {
	e := applicant()
	e.Files = []v1alpha1.FileReference{{Store: "docs", Path: "{id}", Kind: v1alpha1.FileKindDirectory, Category: "documents"}}
	g := mustCompile(t, source(e))
	ats, docs := newFake(), newFake()
	ats.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	for _, name := range []string{"free", "dated", "over", "held"} {
		docs.files["1/"+name] = true
	}
	facts := resolveAll(g, map[string]*fakeStore{"ats": ats, "docs": docs}, me, nil, nil, ResolveOptions{})
	in := inputFor(me, nil)
	later, before := in.Now.AddDate(1, 0, 0), in.Now.AddDate(-1, 0, 0)
	ops := facts.FileOperations("docs")
	if len(ops) != 1 || len(ops[0].Keys) != 4 {
		t.Fatalf("operations %v", ops)
	}
	facts.Lock("docs", []backend.Retention{{Key: backend.Key{"1/dated"}, Until: &later, Basis: "object lock"}, {Key: backend.Key{"1/over"}, Until: &before, Basis: "object lock"},
		{Key: backend.Key{"1/held"}, Basis: "object lock, legal hold"}})
	plan := mustBuild(t, g, facts, in)
	if diff := cmp.Diff([]string{"records/ats: Delete ats/applicant 1", "files/docs: File ats/applicant 1/over,1/free"}, describe(plan.Steps)); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	var kept []string
	for _, r := range plan.Residues {
		for _, d := range r.Retained {
			kept = append(kept, fmt.Sprintf("%s %s %d %t %t", d.Category, d.Basis, d.Count, d.Until != nil, r.NoEnd))
		}
	}
	if diff := cmp.Diff([]string{"documents object lock 1 true false", "documents object lock, legal hold 1 false true"}, kept); diff != "" {
		t.Errorf("retained (-want +got):\n%s", diff)
	}
}
