package planner

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func byElement(p v1alpha1.Parent) v1alpha1.Parent {
	p.Columns[0].Comparison = v1alpha1.ReferenceElement
	return p
}

func twoApplicants() *fakeStore {
	f := newFake()
	f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	f.insert("applicants", map[string]*string{"id": text("10"), "app_id": text("me")})
	f.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("you")})
	return f
}

func many(e v1alpha1.Entity) v1alpha1.Entity {
	e.Root = &v1alpha1.Root{Rows: v1alpha1.RowsMany}
	return e
}

func columnOf(f *fakeStore, table, column string) map[string]string {
	out := map[string]string{}
	for _, row := range f.rowsOf(table) {
		out[*row["id"]] = "NULL"
		if row[column] != nil {
			out[*row["id"]] = *row[column]
		}
	}
	return out
}

func TestLinksInArraysAreCutOneByOne(t *testing.T) {
	for _, store := range []string{"ats", "other"} { // in one store, and across two
		t.Run(store, func(t *testing.T) {
			meeting := child("meeting", byElement(shallow("applicant", "people")))
			meeting.Action, meeting.LegalBasis, meeting.Store = v1alpha1.ActionKeep, "law", store
			g := mustCompile(t, source(many(applicant()), meeting))
			f := twoApplicants()
			stores := map[string]*fakeStore{"ats": f, "other": newFake()}
			for id, people := range map[string]string{"a": "{1,2,10}", "b": "{2}", "c": "{10}", "d": "{}", "e": "{11,100}"} {
				stores[store].insert("meetings", map[string]*string{"id": text(id), "people": text(people)})
			}
			stores[store].insert("meetings", map[string]*string{"id": text("f")})
			plan, facts := erase(t, g, stores, inputFor(me, nil))
			want := map[string]string{"a": "{2}", "b": "{2}", "c": "{}", "d": "{}", "e": "{11,100}", "f": "NULL"}
			if diff := cmp.Diff(want, columnOf(stores[store], "meetings", "people")); diff != "" {
				t.Errorf("meetings (-want +got):\n%s\n%s", diff, strings.Join(describe(plan.Steps), "\n"))
			}
			again := MergeFacts(facts, resolveAll(g, stores, me, nil, facts, ResolveOptions{Deletes: plan.Deletes()}))
			if diff := cmp.Diff(stepDigests(plan), stepDigests(mustBuild(t, g, again, inputFor(me, nil)))); diff != "" {
				t.Errorf("the second look plans otherwise (-first +second):\n%s", diff)
			}
		})
	}
}

func TestRecordsGoWithWhatTheirArraysName(t *testing.T) {
	letter := child("letter", byElement(deep("applicant", "to_ids")))
	g := mustCompile(t, source(many(applicant()), letter, child("page", deep("letter", "letter_id"))))
	f := twoApplicants()
	for id, to := range map[string]string{"a": "{1,2}", "b": "{2,11}", "c": "{10}", "d": "{}"} {
		f.insert("letters", map[string]*string{"id": text(id), "to_ids": text(to)})
		f.insert("pages", map[string]*string{"id": text("of " + id), "letter_id": text(id)})
	}
	erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(me, nil))
	if diff := cmp.Diff([]string{"b", "d", "of b", "of d"}, append(ids(f, "letters"), ids(f, "pages")...)); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}

func TestArraysKeepWhatTheyShare(t *testing.T) {
	mail := child("mail", deep("applicant", "applicant_id"))
	doc := child("doc", byElement(refCount("mail", "id", "docs")))
	doc.Parents[0].Conditions = in("kind", "mail")
	g := mustCompile(t, source(many(applicant()), mail, doc))
	f := twoApplicants()
	for _, id := range []string{"mine", "ours", "yours", "mine twice", "of another kind", "nobody's"} {
		f.insert("docs", map[string]*string{"id": text(id)})
	}
	for id, row := range map[string][3]string{"1": {"1", "{mine,ours,mine twice}", "mail"}, "2": {"10", "{mine twice}", "mail"}, "3": {"2", "{ours,yours}", "mail"},
		"4": {"2", "{mine}", "other"}, "5": {"1", "{of another kind}", "other"}} {
		f.insert("mails", map[string]*string{"id": text(id), "applicant_id": text(row[0]), "docs": text(row[1]), "kind": text(row[2])})
	}
	stores := map[string]*fakeStore{"ats": f}
	plan, facts := erase(t, g, stores, inputFor(me, nil))
	if diff := cmp.Diff([]string{"nobody's", "of another kind", "ours", "yours"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents (-want +got):\n%s\n%s", diff, strings.Join(describe(plan.Steps), "\n"))
	}
	for _, known := range []bool{true, false} {
		again := MergeFacts(facts, resolveAll(g, stores, me, nil, facts, ResolveOptions{Deletes: plan.Deletes(), KnownParents: known}))
		if diff := cmp.Diff(stepDigests(plan), stepDigests(mustBuild(t, g, again, inputFor(me, nil)))); diff != "" {
			t.Errorf("the second look plans otherwise (-first +second):\n%s", diff)
		}
	}
	you := Subject{Identities: map[string][]string{"id": {"you"}, "email": nil}}
	erase(t, g, stores, inputFor(you, nil))
	if diff := cmp.Diff([]string{"nobody's", "of another kind"}, ids(f, "docs")); diff != "" {
		t.Errorf("documents after the last one (-want +got):\n%s", diff)
	}
}

func TestIdentitiesAreTakenOutOfArrays(t *testing.T) {
	ticket := child("ticket")
	ticket.Action, ticket.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "watchers", Strategy: v1alpha1.StrategyRemove}}
	ticket.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "watchers", Identity: "email", Comparison: v1alpha1.CompareElement}}
	g := mustCompile(t, source(applicant(), ticket))
	f := newFake()
	f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	for id, watchers := range map[string]string{"a": "{ann@x.org,bob@x.org}", "b": "{joann@x.org}", "c": "{ANN@x.org,ann@x.org}"} {
		f.insert("tickets", map[string]*string{"id": text(id), "watchers": text(watchers)})
	}
	ann := Subject{Identities: map[string][]string{"id": {"me"}, "email": {"ann@x.org"}}}
	erase(t, g, map[string]*fakeStore{"ats": f}, inputFor(ann, nil))
	if diff := cmp.Diff(map[string]string{"a": "{bob@x.org}", "b": "{joann@x.org}", "c": "{}"}, columnOf(f, "tickets", "watchers")); diff != "" {
		t.Errorf("watchers (-want +got):\n%s", diff)
	}
	f.insert("tickets", map[string]*string{"id": text("d"), "watchers": text("{{a,b},{c,d}}")})
	f.rowsOf("tickets")[3]["id"] = text("d")
	ticket.IdentifiedBy = append(ticket.IdentifiedBy, v1alpha1.IdentityMatch{Column: "id", Identity: "email"})
	ann.Identities["email"] = []string{"d"}
	g = mustCompile(t, source(applicant(), ticket))
	facts := resolveAll(g, map[string]*fakeStore{"ats": f}, ann, nil, nil, ResolveOptions{})
	_, err := g.Build(facts, inputFor(ann, nil))
	var p *ProblemError
	if !errors.As(err, &p) || p.Reason != v1alpha1.ReasonDocumentUnreadable || p.Column != "watchers" {
		t.Errorf("an array of two dimensions: %v", err)
	}
}

func TestCheckArrays(t *testing.T) {
	element := func(column string) v1alpha1.IdentityMatch {
		return v1alpha1.IdentityMatch{Column: column, Identity: "email", Comparison: v1alpha1.CompareElement}
	}
	anonymized := func(f v1alpha1.FieldChange) func(*v1alpha1.Entity) {
		return func(e *v1alpha1.Entity) { e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{f} }
	}
	note := func(p v1alpha1.Parent, change ...func(*v1alpha1.Entity)) v1alpha1.Entity {
		e := child("note", deep("applicant", "applicant_id"), p)
		for _, f := range change {
			f(&e)
		}
		return e
	}
	text := "[gone]"
	for name, tt := range map[string]struct {
		entity v1alpha1.Entity
		arrays []string // of notes
		want   []string
	}{
		"element of an array":          {note(shallow("applicant", "x"), func(e *v1alpha1.Entity) { e.IdentifiedBy = []v1alpha1.IdentityMatch{element("to")} }), []string{"to"}, nil},
		"element of a text":            {note(shallow("applicant", "x"), func(e *v1alpha1.Entity) { e.IdentifiedBy = []v1alpha1.IdentityMatch{element("to")} }), nil, []string{"SchemaMismatch note to"}},
		"an array that equals":         {note(shallow("applicant", "x"), func(e *v1alpha1.Entity) { e.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "to", Identity: "email"}} }), []string{"to"}, []string{"SchemaMismatch note to"}},
		"reference by elements":        {note(byElement(shallow("applicant", "ids"))), []string{"ids"}, nil},
		"reference by elements of one": {note(byElement(shallow("applicant", "ids"))), nil, []string{"SchemaMismatch note ids"}},
		"reference by an array":        {note(shallow("applicant", "ids")), []string{"ids"}, []string{"SchemaMismatch note ids", "SchemaMismatch note ids"}},
		"Deep reference by an array":   {note(deep("applicant", "ids")), []string{"ids"}, []string{"SchemaMismatch note ids"}},
		"a template": {note(shallow("applicant", "x"), func(e *v1alpha1.Entity) {
			e.Files = []v1alpha1.FileReference{{Store: "docs", Path: "{id}/{names}"}}
		}), []string{"names"}, []string{"SchemaMismatch note names"}},
		"Remove of an array": {note(shallow("applicant", "x"), anonymized(v1alpha1.FieldChange{Column: "to", Strategy: v1alpha1.StrategyRemove})), []string{"to"}, nil},
		"Remove of a text":   {note(shallow("applicant", "x"), anonymized(v1alpha1.FieldChange{Column: "to", Strategy: v1alpha1.StrategyRemove})), nil, []string{"SchemaMismatch note to"}},
		"Redact of an array": {note(shallow("applicant", "x"), anonymized(v1alpha1.FieldChange{Column: "to", Strategy: v1alpha1.StrategyRedact, Value: &text})), []string{"to"}, []string{"SchemaMismatch note to"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := mustCompile(t, source(applicant(), tt.entity))
			s := schemaOf(g, "ats")
			for i := range s.Tables {
				for j := range s.Tables[i].Columns {
					col := &s.Tables[i].Columns[j]
					if s.Tables[i].Table.Name == "notes" && slices.Contains(tt.arrays, col.Name) {
						col.Type, col.Base, col.Nullable = "text[]", "text[]", col.Name != "ids" // an element can be taken out of what is NOT NULL
					}
				}
			}
			got := g.Check(map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}, "docs": {Kind: PathStore}})
			if diff := cmp.Diff(tt.want, reasons(got)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%+v", diff, got)
			}
		})
	}
	for name, e := range map[string]v1alpha1.Entity{
		"two columns": note(v1alpha1.Parent{Entity: "applicant", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{
			{Column: "ids", ParentColumn: "id", Comparison: v1alpha1.ReferenceElement}, {Column: "tenant", ParentColumn: "tenant"}}}),
		"a tree": note(byElement(deep("note", "replies"))),
	} {
		if _, problems := Compile([]MapSource{source(applicant(), e)}, ""); len(problems) != 1 || problems[0].Reason != v1alpha1.ReasonInvalidSpec {
			t.Errorf("%s: %+v", name, problems)
		}
	}
}

func TestElementsNeedAnIndexOfTheirOwn(t *testing.T) {
	g := mustCompile(t, source(applicant(), child("note", byElement(deep("applicant", "ids")))))
	s := schemaOf(g, "ats")
	notes := slices.IndexFunc(s.Tables, func(i backend.TableInfo) bool { return i.Table.Name == "notes" })
	column(&s.Tables[notes], "ids").Base = "integer[]"
	s.Tables[notes].Indexed, s.Tables[notes].Rows = [][]string{{"ids"}}, maxUnindexedRows+1
	stores := map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}}
	got := g.Check(stores)
	if diff := cmp.Diff([]string{"IndexMissing note ids"}, reasons(got)); diff != "" || !strings.Contains(got[0].Message, "USING gin (ids)") {
		t.Errorf("%s %+v", diff, got)
	}
	s.Tables[notes].ElementIndexed = []string{"ids"}
	if got := g.Check(stores); len(got) > 0 {
		t.Errorf("with an index: %+v", got)
	}
}

// TestArraysBehindDomains: what a column is, is told by the type behind its domain.
func TestArraysBehindDomains(t *testing.T) {
	note := child("note", byElement(shallow("applicant", "ids")))
	note.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "to", Identity: "email", Comparison: v1alpha1.CompareElement}, {Column: "cc", Identity: "email"}}
	g := mustCompile(t, source(applicant(), note))
	for name, tt := range map[string]struct {
		ids, to, cc [2]string // the type and the one behind it
		want        []string
	}{
		"none":                         {[2]string{"bigint[]", "bigint[]"}, [2]string{"citext[]", "citext[]"}, [2]string{"citext"}, nil},
		"names alone, as in SQLite":    {[2]string{"bigint[]"}, [2]string{"TEXT[]"}, [2]string{"TEXT[]"}, []string{"SchemaMismatch note ids", "SchemaMismatch note to"}},
		"domains":                      {[2]string{"ids", "bigint[]"}, [2]string{"mail[]", "character varying[]"}, [2]string{"mail", "text"}, nil},
		"an array that equals":         {[2]string{"ids", "uuid[]"}, [2]string{"mails", "text[]"}, [2]string{"mails", "text[]"}, []string{"SchemaMismatch note cc"}},
		"element of a domain":          {[2]string{"ids", "text[]"}, [2]string{"mail", "text"}, [2]string{"text"}, []string{"SchemaMismatch note to"}},
		"a length":                     {[2]string{"character varying(20)[]", "character varying[]"}, [2]string{"text[]", "text[]"}, [2]string{"text"}, nil},
		"ids in letters of any case":   {[2]string{"citext[]", "citext[]"}, [2]string{"text[]", "text[]"}, [2]string{"text"}, []string{"SchemaMismatch note ids"}},
		"ids with any number of zeros": {[2]string{"id[]", "numeric[]"}, [2]string{"text[]", "text[]"}, [2]string{"text"}, []string{"SchemaMismatch note ids"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := schemaOf(g, "ats")
			notes := &s.Tables[slices.IndexFunc(s.Tables, func(i backend.TableInfo) bool { return i.Table.Name == "notes" })]
			for c, kind := range map[string][2]string{"ids": tt.ids, "to": tt.to, "cc": tt.cc} {
				column(notes, c).Type, column(notes, c).Base = kind[0], kind[1]
			}
			got := g.Check(map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}})
			if diff := cmp.Diff(tt.want, reasons(got)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%+v", diff, got)
			}
		})
	}
}
