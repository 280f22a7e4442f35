package planner

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// The maps of the tests: an applicant with applications, messages with attachments, invoices and a consent.
func applicant() v1alpha1.Entity {
	return v1alpha1.Entity{Name: "applicant", Store: "ats", Table: "applicants", Key: []string{"id"}, Category: "profile",
		Action: v1alpha1.ActionDelete, Root: &v1alpha1.Root{Rows: v1alpha1.RowsOne},
		IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "app_id", Identity: "id"}, {Column: "email", Identity: "email", Normalize: v1alpha1.NormalizeLowerCase}},
		Deactivate:   []v1alpha1.ColumnValue{{Column: "active", Value: text("0")}, {Column: "note"}}}
}

func child(name string, parents ...v1alpha1.Parent) v1alpha1.Entity {
	return v1alpha1.Entity{Name: name, Store: "ats", Table: name + "s", Key: []string{"id"}, Category: name, Action: v1alpha1.ActionDelete, Parents: parents}
}

func deep(entity, column string) v1alpha1.Parent {
	return v1alpha1.Parent{Entity: entity, Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: "id"}}}
}

func shallow(entity, column string) v1alpha1.Parent {
	p := deep(entity, column)
	p.Relation = v1alpha1.RelationShallow
	return p
}

func source(entities ...v1alpha1.Entity) MapSource {
	return MapSource{Name: "ats", UID: "uid", Generation: 1, Spec: v1alpha1.PersonalDataMapSpec{Entities: entities}}
}

func with(e v1alpha1.Entity, change func(*v1alpha1.Entity)) v1alpha1.Entity {
	change(&e)
	return e
}

func reasons(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, strings.TrimRight(p.Reason+" "+p.Entity+" "+p.Column, " "))
	}
	return out
}

func TestCompileRefuses(t *testing.T) {
	field := func(column string, s v1alpha1.AnonymizeStrategy) v1alpha1.FieldChange {
		return v1alpha1.FieldChange{Column: column, Strategy: s}
	}
	anonymize := func(fields ...v1alpha1.FieldChange) func(*v1alpha1.Entity) {
		return func(e *v1alpha1.Entity) { e.Action, e.Fields = v1alpha1.ActionAnonymize, fields }
	}
	hold := func(period string) func(*v1alpha1.Entity) {
		return func(e *v1alpha1.Entity) {
			e.Holds = []v1alpha1.StatutoryHold{{Name: "tax", LegalBasis: "AO", Clock: "paid", Period: period}}
		}
	}
	file := func(path string) func(*v1alpha1.Entity) {
		return func(e *v1alpha1.Entity) {
			e.Files = []v1alpha1.FileReference{{Store: "docs", Path: path, Kind: v1alpha1.FileKindFile}}
		}
	}
	note := child("note", deep("applicant", "applicant_id"))
	tests := map[string]struct {
		entities []v1alpha1.Entity
		want     []string
	}{
		"nothing wrong":        {[]v1alpha1.Entity{applicant(), note}, nil},
		"unknown parent":       {[]v1alpha1.Entity{applicant(), child("note", deep("nobody", "x"))}, []string{"EntityUnreachable note", "MapIncomplete note"}},
		"no root":              {[]v1alpha1.Entity{with(applicant(), func(e *v1alpha1.Entity) { e.Root = nil })}, []string{"MapIncomplete"}},
		"unreachable":          {[]v1alpha1.Entity{applicant(), child("note", shallow("applicant", "applicant_id"))}, []string{"EntityUnreachable note"}},
		"keep by shallow link": {[]v1alpha1.Entity{applicant(), with(child("note", shallow("applicant", "applicant_id")), func(e *v1alpha1.Entity) { e.Action, e.LegalBasis = v1alpha1.ActionKeep, "x" })}, nil},
		"cycle":                {[]v1alpha1.Entity{with(applicant(), func(e *v1alpha1.Entity) { e.Parents = []v1alpha1.Parent{deep("note", "last_note")} }), note}, []string{"Cycle note applicant_id"}},
		"cycle broken":         {[]v1alpha1.Entity{with(applicant(), func(e *v1alpha1.Entity) { e.Parents = []v1alpha1.Parent{shallow("note", "last_note")} }), note}, nil},
		"deep to itself":       {[]v1alpha1.Entity{applicant(), child("note", deep("applicant", "a"), deep("note", "reply_to"))}, nil},
		"counted by itself":    {[]v1alpha1.Entity{applicant(), child("note", deep("applicant", "a"), refCount("note", "id", "reply_to"))}, []string{"Cycle note id"}},
		"counted across stores": {[]v1alpha1.Entity{applicant(), child("link", deep("applicant", "a")), with(child("doc", refCount("link", "id", "doc")), func(e *v1alpha1.Entity) { e.Store = "other" })},
			[]string{"InvalidSpec doc id"}},
		"member path":          {[]v1alpha1.Entity{applicant(), with(note, anonymize(v1alpha1.FieldChange{Column: "x", Path: "$.a[0]", Strategy: v1alpha1.StrategyNull}))}, []string{"InvalidSpec note x"}},
		"whole and in part":    {[]v1alpha1.Entity{applicant(), with(note, anonymize(field("x", v1alpha1.StrategyNull), v1alpha1.FieldChange{Column: "x", Path: "$.a", Strategy: v1alpha1.StrategyNull}))}, []string{"InvalidSpec note x"}},
		"two members":          {[]v1alpha1.Entity{applicant(), with(note, anonymize(v1alpha1.FieldChange{Column: "x", Path: "$.b", Strategy: v1alpha1.StrategyRemove}, v1alpha1.FieldChange{Column: "x", Path: "$.a", Strategy: v1alpha1.StrategyNull}))}, nil},
		"foreign fingerprint":  {[]v1alpha1.Entity{applicant(), with(note, anonymize(v1alpha1.FieldChange{Column: "x", Strategy: v1alpha1.StrategyFingerprint, Fingerprint: &v1alpha1.Fingerprint{Parent: "nobody", Columns: []string{"y"}}}))}, []string{"InvalidSpec note x"}},
		"columns side by side": {[]v1alpha1.Entity{applicant(), with(note, file("{x}{y}"))}, []string{"InvalidSpec note"}},
		"open pattern":         {[]v1alpha1.Entity{applicant(), with(note, func(e *v1alpha1.Entity) { e.Keys = []v1alpha1.KeyReference{{Store: "cache", Key: "session:{id}*"}} })}, []string{"InvalidSpec note"}},
		"open prefix": {[]v1alpha1.Entity{applicant(), with(note, func(e *v1alpha1.Entity) {
			e.Files = []v1alpha1.FileReference{{Store: "bucket", Path: "p/{id}", Kind: v1alpha1.FileKindPrefix}}
		})}, []string{"InvalidSpec note"}},
		"shallow to itself":      {[]v1alpha1.Entity{applicant(), child("note", deep("applicant", "a"), shallow("note", "reply_to"))}, nil},
		"key anonymised":         {[]v1alpha1.Entity{applicant(), with(note, anonymize(field("id", v1alpha1.StrategyNull)))}, []string{"InvalidSpec note id"}},
		"unknown strategy":       {[]v1alpha1.Entity{applicant(), with(note, anonymize(field("x", "Scramble")))}, []string{"InvalidSpec note x"}},
		"constant without value": {[]v1alpha1.Entity{applicant(), with(note, anonymize(field("x", v1alpha1.StrategyConstant)))}, []string{"InvalidSpec note x"}},
		"truncate without unit":  {[]v1alpha1.Entity{applicant(), with(note, anonymize(field("x", v1alpha1.StrategyTruncateDate)))}, []string{"InvalidSpec note x"}},
		"unknown action":         {[]v1alpha1.Entity{applicant(), with(note, func(e *v1alpha1.Entity) { e.Action = "Archive" })}, []string{"InvalidSpec note"}},
		"period":                 {[]v1alpha1.Entity{applicant(), with(note, hold("P1H"))}, []string{"InvalidSpec note"}},
		"hold on what is overwritten": {[]v1alpha1.Entity{applicant(), with(with(note, anonymize(field("paid", v1alpha1.StrategyNull))), hold("P1Y"))},
			[]string{"InvalidSpec note paid"}},
		"path climbs":      {[]v1alpha1.Entity{applicant(), with(note, file("../{x}"))}, []string{"PathOutsideRoot note"}},
		"path absolute":    {[]v1alpha1.Entity{applicant(), with(note, file("/srv/{x}"))}, []string{"PathOutsideRoot note"}},
		"path with braces": {[]v1alpha1.Entity{applicant(), with(note, file("a/{x"))}, []string{"InvalidSpec note"}},
		"final delete":     {[]v1alpha1.Entity{applicant(), with(note, func(e *v1alpha1.Entity) { e.Order = v1alpha1.OrderFinal })}, []string{"InvalidSpec note"}},
		"deactivate hides": {[]v1alpha1.Entity{with(applicant(), func(e *v1alpha1.Entity) {
			e.Deactivate = []v1alpha1.ColumnValue{{Column: "email"}}
		})}, []string{"InvalidSpec applicant email"}},
		"same records twice": {[]v1alpha1.Entity{applicant(), note, with(note, func(e *v1alpha1.Entity) { e.Name, e.Action, e.LegalBasis = "note2", v1alpha1.ActionKeep, "x" })},
			[]string{"InvalidSpec note2"}},
		"parents disagree": {[]v1alpha1.Entity{applicant(), child("note", deep("applicant", "a"), shallow("applicant", "a"))}, []string{"InvalidSpec note a"}},
		"parents of two kinds": {[]v1alpha1.Entity{applicant(), with(child("note", deep("applicant", "a"), shallow("applicant", "a")), func(e *v1alpha1.Entity) {
			e.Parents[0].Conditions = []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorIn, Values: []string{"1"}}}
			e.Parents[1].Conditions = []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorIn, Values: []string{"2"}}}
		})}, nil},
		"keys disagree": {[]v1alpha1.Entity{applicant(), note, with(note, func(e *v1alpha1.Entity) { e.Name, e.Key = "note2", []string{"no"} })}, []string{"InvalidSpec note2"}},
		"condition": {[]v1alpha1.Entity{applicant(), with(note, func(e *v1alpha1.Entity) {
			e.Conditions = []v1alpha1.Condition{{Column: "x", Operator: "Like", Values: []string{"%"}}}
		})}, []string{"InvalidSpec note x"}},
		"shallow link of shared columns": {[]v1alpha1.Entity{applicant(), with(child("note", deep("applicant", "a"), shallow("applicant", "tenant")), func(e *v1alpha1.Entity) {
			e.Conditions = []v1alpha1.Condition{{Column: "tenant", Operator: v1alpha1.OperatorIn, Values: []string{"7"}}}
		})}, []string{"InvalidSpec note tenant"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, problems := Compile([]MapSource{source(tt.entities...)}, "")
			if diff := cmp.Diff(tt.want, reasons(problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%+v", diff, problems)
			}
		})
	}
}

func TestCompileComposesMaps(t *testing.T) {
	other := MapSource{Name: "mail", Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{with(child("mail", deep("ats/applicant", "applicant")), func(e *v1alpha1.Entity) { e.Store = "mail" })}}}
	g, problems := Compile([]MapSource{other, source(applicant())}, "")
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	if diff := cmp.Diff([]string{"ats", "mail"}, g.Stores()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"mail", "ats"}, g.stores); diff != "" {
		t.Errorf("children's store first: %s", diff)
	}
	_, problems = Compile([]MapSource{other}, "")
	if diff := cmp.Diff([]string{"MapIncomplete", "EntityUnreachable mail", "MapIncomplete mail"}, reasons(problems)); diff != "" {
		t.Error(diff)
	}
	if g, problems := Compile(nil, ""); g != nil || len(problems) != 0 {
		t.Errorf("nothing to compile: %v, %v", g, problems)
	}
}

func TestScope(t *testing.T) {
	src := source(applicant(), child("note", deep("applicant", "applicant_id")), child("reply", deep("note", "note_id")))
	src.Spec.Scopes = []v1alpha1.Scope{{Name: "notes", Entities: []string{"note", "reply"}}, {Name: "half", Entities: []string{"note"}}, {Name: "wrong", Entities: []string{"none"}}}
	_, problems := Compile([]MapSource{src}, "nope")
	if diff := cmp.Diff([]string{"ScopeUnknown", "InvalidSpec none"}, reasons(problems)); diff != "" {
		t.Error(diff)
	}
	src.Spec.Scopes = src.Spec.Scopes[:2]
	// A reply left out of the scope would lose its note. Whether it is in the graph does not matter.
	store := newFake()
	store.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
	store.insert("notes", map[string]*string{"id": text("n"), "applicant_id": text("1")})
	store.insert("replys", map[string]*string{"id": text("r"), "note_id": text("n")})
	g, problems := Compile([]MapSource{src}, "notes")
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	facts := resolveAll(g, map[string]*fakeStore{"ats": store}, me, nil, nil, ResolveOptions{})
	plan, err := g.Build(facts, buildInput(nil))
	if err != nil {
		t.Fatal(err)
	}
	var touched []string
	for _, op := range plan.Steps[0].Operations {
		touched = append(touched, op.Entity)
	}
	if diff := cmp.Diff([]string{"ats/reply", "ats/note"}, touched); diff != "" {
		t.Error(diff)
	}
	if a := g.Assess(facts, nil, testNow); a.RootRows != 1 {
		t.Errorf("root rows %d, want 1: the root outside the scope still identifies the subject", a.RootRows)
	}
	if _, problems := Compile([]MapSource{src}, "half"); !slices.Equal(reasons(problems), []string{"MapIncomplete reply"}) {
		t.Errorf("scope that leaves a reply without its note: %+v", problems)
	}
}

// schemaOf describes the tables of a map as it wants them.
func schemaOf(g *Graph, store string) *backend.Schema {
	s := &backend.Schema{}
	for _, tab := range g.Tables(store) {
		info := backend.TableInfo{Table: backend.Table{Schema: "public", Name: tab.Name}, Kind: backend.KindTable, Privileges: backend.Privileges{Select: true, Update: true, Delete: true}}
		seen := map[string]bool{}
		for _, e := range g.entities {
			if e.table != tab {
				continue
			}
			info.Unique = [][]string{e.spec.Key}
			for _, f := range e.references {
				info.Unique = append(info.Unique, f.columns())
			}
			for _, u := range e.uses() {
				if !seen[u.column] {
					seen[u.column] = true
					info.Columns = append(info.Columns, backend.ColumnInfo{Name: u.column, Type: "text", Nullable: !slices.Contains(e.spec.Key, u.column), UpdatePrivilege: true, SelectPrivilege: true})
				}
			}
		}
		s.Tables = append(s.Tables, info)
		s.All = append(s.All, info.Table)
	}
	return s
}

func checkMap() MapSource {
	note := child("note", deep("applicant", "applicant_id"), shallow("applicant", "author_id"))
	consent := with(child("consent", deep("applicant", "applicant_id")), func(e *v1alpha1.Entity) {
		e.Action, e.Order = v1alpha1.ActionAnonymize, v1alpha1.OrderFinal
		e.Fields = []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyHash}, {Column: "applicant_id", Strategy: v1alpha1.StrategyNull},
			{Column: "given_on", Strategy: v1alpha1.StrategyTruncateDate, Unit: v1alpha1.UnitYear}}
		e.Files = []v1alpha1.FileReference{{Store: "docs", Path: "{file}"}}
	})
	src := source(applicant(), note, consent)
	src.Spec.Ignored = []v1alpha1.IgnoredTable{{Store: "ats", Table: "settings", Reason: "none"}}
	return src
}

func TestCheck(t *testing.T) {
	fk := func(s *backend.Schema, table, name, onDelete string, columns ...string) {
		key := backend.ForeignKey{Name: name, Columns: columns, References: backend.Table{Name: "applicants"}, RefColumns: []string{"id"}, OnDelete: backend.ReferentialAction(onDelete)}
		for i := range s.Tables {
			if s.Tables[i].Table.Name == table {
				s.Tables[i].ForeignKeys = append(s.Tables[i].ForeignKeys, key)
				return
			}
		}
		s.Tables = append(s.Tables, backend.TableInfo{Table: backend.Table{Schema: "public", Name: table}, Kind: backend.KindTable, ForeignKeys: []backend.ForeignKey{key}})
	}
	table := func(s *backend.Schema, name string) *backend.TableInfo {
		for i := range s.Tables {
			if s.Tables[i].Table.Name == name {
				return &s.Tables[i]
			}
		}
		panic(name)
	}
	col := func(s *backend.Schema, tab, name string) *backend.ColumnInfo { return column(table(s, tab), name) }
	tests := map[string]struct {
		change func(s *backend.Schema)
		want   []string
	}{
		"nothing wrong": {func(*backend.Schema) {}, nil},
		"table missing": {func(s *backend.Schema) {
			s.Tables = slices.DeleteFunc(s.Tables, func(i backend.TableInfo) bool { return i.Table.Name == "notes" })
		}, []string{"SchemaMismatch note"}},
		"view":             {func(s *backend.Schema) { table(s, "notes").Kind = backend.KindView }, []string{"SchemaMismatch note"}},
		"partitioned":      {func(s *backend.Schema) { table(s, "notes").Kind = backend.KindPartitioned }, nil},
		"row security":     {func(s *backend.Schema) { table(s, "notes").RowSecurity = true }, []string{"PrivilegesMissing note"}},
		"column missing":   {func(s *backend.Schema) { col(s, "notes", "author_id").Name = "x" }, []string{"SchemaMismatch note author_id"}},
		"key not unique":   {func(s *backend.Schema) { table(s, "notes").Unique = [][]string{{"id", "tenant"}} }, []string{"SchemaMismatch note"}},
		"key nullable":     {func(s *backend.Schema) { col(s, "notes", "id").Nullable = true }, []string{"SchemaMismatch note id"}},
		"no delete":        {func(s *backend.Schema) { table(s, "notes").Privileges.Delete = false }, []string{"PrivilegesMissing note"}},
		"no delete needed": {func(s *backend.Schema) { table(s, "consents").Privileges.Delete = false }, nil},
		"no select": {func(s *backend.Schema) {
			table(s, "notes").Privileges.Select = false
			col(s, "notes", "id").SelectPrivilege = false
		}, []string{"PrivilegesMissing note id"}},
		"no update": {func(s *backend.Schema) {
			table(s, "applicants").Privileges.Update = false
			col(s, "applicants", "active").UpdatePrivilege = false
		}, []string{"PrivilegesMissing applicant active"}},
		"generated":           {func(s *backend.Schema) { col(s, "consents", "email").Generated = true }, []string{"SchemaMismatch consent email"}},
		"null on not null":    {func(s *backend.Schema) { col(s, "consents", "applicant_id").Nullable = false }, []string{"SchemaMismatch consent applicant_id"}},
		"shallow on not null": {func(s *backend.Schema) { col(s, "notes", "author_id").Nullable = false }, []string{"SchemaMismatch note author_id"}},
		"deactivate to NULL":  {func(s *backend.Schema) { col(s, "applicants", "note").Nullable = false }, []string{"SchemaMismatch applicant note"}},
		"hash too short":      {func(s *backend.Schema) { col(s, "consents", "email").Type = "character varying(25)" }, []string{"SchemaMismatch consent email"}},
		"hash fits":           {func(s *backend.Schema) { col(s, "consents", "email").Type = "VARCHAR(26)" }, nil},
		"hash in a number":    {func(s *backend.Schema) { col(s, "consents", "email").Type = "integer" }, []string{"SchemaMismatch consent email"}},
		"date":                {func(s *backend.Schema) { col(s, "consents", "given_on").Type = "timestamp with time zone" }, nil},
		"date in a number":    {func(s *backend.Schema) { col(s, "consents", "given_on").Type = "bigint" }, []string{"SchemaMismatch consent given_on"}},
		"unmapped blocks":     {func(s *backend.Schema) { fk(s, "audits", "audits_fk", "NO ACTION", "who") }, []string{"ForeignKeyUncovered applicant who"}},
		"unmapped cascades":   {func(s *backend.Schema) { fk(s, "audits", "audits_fk", "CASCADE", "who") }, []string{"ForeignKeyUncovered applicant who"}},
		"ignored cascades":    {func(s *backend.Schema) { fk(s, "settings", "f", "CASCADE", "who") }, []string{"ForeignKeyUncovered applicant who"}},
		"unmapped set null":   {func(s *backend.Schema) { fk(s, "audits", "f", "SET NULL", "who") }, []string{"ForeignKeyUncovered applicant who"}},
		"ignored set null":    {func(s *backend.Schema) { fk(s, "settings", "f", "SET NULL", "who") }, nil},
		"mapped deep":         {func(s *backend.Schema) { fk(s, "notes", "f", "NO ACTION", "applicant_id") }, nil},
		"mapped shallow":      {func(s *backend.Schema) { fk(s, "notes", "f", "RESTRICT", "author_id") }, nil},
		"mapped uncovered":    {func(s *backend.Schema) { fk(s, "notes", "f", "NO ACTION", "reviewer_id") }, []string{"ForeignKeyUncovered note reviewer_id"}},
		"itself uncovered":    {func(s *backend.Schema) { fk(s, "applicants", "f", "NO ACTION", "referrer") }, []string{"ForeignKeyUncovered applicant referrer"}},
		"anonymised and cut":  {func(s *backend.Schema) { fk(s, "consents", "f", "NO ACTION", "applicant_id") }, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := mustCompile(t, checkMap())
			s := schemaOf(g, "ats")
			tt.change(s)
			got := g.Check(map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}, "docs": {Kind: PathStore}})
			if diff := cmp.Diff(tt.want, reasons(got)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%+v", diff, got)
			}
		})
	}
}

func TestCheckKeptChildrenBlock(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*v1alpha1.Entity)
		want   int
	}{
		{"keep", func(e *v1alpha1.Entity) { e.Action, e.LegalBasis = v1alpha1.ActionKeep, "x" }, 1},
		{"anonymize with its link", func(e *v1alpha1.Entity) {
			e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "x", Strategy: v1alpha1.StrategyNull}}
		}, 1},
		{"keep, shallow", func(e *v1alpha1.Entity) {
			e.Action, e.LegalBasis, e.Parents[0].Relation = v1alpha1.ActionKeep, "x", v1alpha1.RelationShallow
		}, 0},
	} {
		g := mustCompile(t, source(applicant(), with(child("note", deep("applicant", "applicant_id")), tt.change)))
		s := schemaOf(g, "ats")
		for i := range s.Tables {
			if s.Tables[i].Table.Name == "notes" {
				s.Tables[i].ForeignKeys = []backend.ForeignKey{{Name: "f", Columns: []string{"applicant_id"}, References: backend.Table{Schema: "public", Name: "applicants"}, RefColumns: []string{"id"}}}
			}
		}
		if got := g.Check(map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}}); len(got) != tt.want {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

func TestCheckFileNames(t *testing.T) {
	document := func(path string, change ...func(*v1alpha1.Entity)) v1alpha1.Entity {
		e := child("document", deep("applicant", "applicant_id"))
		e.Files = []v1alpha1.FileReference{{Store: "docs", Path: path}}
		for _, f := range change {
			f(&e)
		}
		return e
	}
	composite := func(e *v1alpha1.Entity) {
		e.Parents[0].Columns = append(e.Parents[0].Columns, v1alpha1.ColumnPair{Column: "tenant", ParentColumn: "tenant"})
	}
	conditional := func(e *v1alpha1.Entity) {
		e.Parents[0].Conditions = []v1alpha1.Condition{{Column: "item_type", Operator: v1alpha1.OperatorIn, Values: []string{"applicant"}}}
	}
	alsoShallow := func(e *v1alpha1.Entity) { e.Parents = append(e.Parents, shallow("applicant", "author_id")) }
	anonymized := func(e *v1alpha1.Entity) {
		e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "x", Strategy: v1alpha1.StrategyNull}, {Column: "applicant_id", Strategy: v1alpha1.StrategyNull}}
	}
	root := func(path string) v1alpha1.Entity {
		return with(applicant(), func(e *v1alpha1.Entity) { e.Files = []v1alpha1.FileReference{{Store: "docs", Path: path}} })
	}
	for name, tt := range map[string]struct {
		entities []v1alpha1.Entity
		unique   []string
		want     []string
	}{
		"the key":                        {[]v1alpha1.Entity{applicant(), document("{id}.pdf")}, nil, nil},
		"the key and more":               {[]v1alpha1.Entity{applicant(), document("{kind}/{id}.pdf")}, nil, nil},
		"a part of the key":              {[]v1alpha1.Entity{applicant(), document("{id}", func(e *v1alpha1.Entity) { e.Key = []string{"id", "position"} })}, nil, []string{"InvalidSpec document id"}},
		"no unique column":               {[]v1alpha1.Entity{applicant(), document("{file_name}")}, nil, []string{"InvalidSpec document file_name"}},
		"no column":                      {[]v1alpha1.Entity{applicant(), document("letter.pdf")}, nil, []string{"InvalidSpec document"}},
		"a unique index":                 {[]v1alpha1.Entity{applicant(), document("{file_name}")}, []string{"file_name"}, nil},
		"a unique index of two":          {[]v1alpha1.Entity{applicant(), document("{folder}/{file_name}")}, []string{"file_name", "folder"}, nil},
		"a part of a unique index":       {[]v1alpha1.Entity{applicant(), document("{file_name}")}, []string{"file_name", "folder"}, []string{"InvalidSpec document file_name"}},
		"an index of no column":          {[]v1alpha1.Entity{applicant(), document("{file_name}")}, []string{}, []string{"InvalidSpec document file_name"}},
		"a folder per parent":            {[]v1alpha1.Entity{applicant(), document("{applicant_id}/{file_name}")}, nil, nil},
		"a part of the reference":        {[]v1alpha1.Entity{applicant(), document("{applicant_id}/{file_name}", composite)}, nil, []string{"InvalidSpec document applicant_id"}},
		"the whole reference":            {[]v1alpha1.Entity{applicant(), document("{tenant}/{applicant_id}/{file_name}", composite)}, nil, nil},
		"a reference without condition":  {[]v1alpha1.Entity{applicant(), document("{applicant_id}/{file_name}", conditional)}, nil, []string{"InvalidSpec document applicant_id"}},
		"a reference with its condition": {[]v1alpha1.Entity{applicant(), document("{item_type}/{applicant_id}/{file_name}", conditional)}, nil, nil},
		"a Shallow reference":            {[]v1alpha1.Entity{applicant(), document("{author_id}/{file_name}", alsoShallow)}, nil, []string{"InvalidSpec document author_id"}},
		"anonymized":                     {[]v1alpha1.Entity{applicant(), document("{file_name}", anonymized)}, nil, []string{"InvalidSpec document file_name"}},
		"kept":                           {[]v1alpha1.Entity{applicant(), document("{file_name}", func(e *v1alpha1.Entity) { e.Action, e.LegalBasis = v1alpha1.ActionKeep, "x" })}, nil, nil},
		"the subject's ID":               {[]v1alpha1.Entity{root("{app_id}/photo.jpg")}, nil, nil},
		"another identity":               {[]v1alpha1.Entity{root("{email}/photo.jpg")}, nil, []string{"InvalidSpec applicant email"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := mustCompile(t, source(tt.entities...))
			s := schemaOf(g, "ats")
			for i := range s.Tables {
				s.Tables[i].Unique = s.Tables[i].Unique[:1] // the key
				if s.Tables[i].Table.Name == "documents" && tt.unique != nil {
					s.Tables[i].Unique = append(s.Tables[i].Unique, tt.unique)
				}
			}
			got := g.Check(map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}, "docs": {Kind: PathStore}})
			if diff := cmp.Diff(tt.want, reasons(got)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%+v", diff, got)
			}
		})
	}
}

func TestCheckStores(t *testing.T) {
	g := mustCompile(t, checkMap())
	got := g.Check(map[string]StoreFacts{"ats": {Kind: PathStore}})
	if diff := cmp.Diff([]string{"InvalidSpec applicant", "InvalidSpec consent", "StoreNotReady consent", "InvalidSpec note"}, reasons(got)); diff != "" {
		t.Error(diff)
	}
}

func TestCheckSeesOneTableWrittenInTwoWays(t *testing.T) {
	src := checkMap()
	src.Spec.Ignored = []v1alpha1.IgnoredTable{{Store: "ats", Schema: "public", Table: "notes", Reason: "none"}}
	g := mustCompile(t, src)
	got := g.Check(map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: schemaOf(g, "ats")}, "docs": {Kind: PathStore}})
	if diff := cmp.Diff([]string{"InvalidSpec note"}, reasons(got)); diff != "" {
		t.Error(diff)
	}
}

func TestCoverageAndDigest(t *testing.T) {
	g := mustCompile(t, checkMap())
	s := schemaOf(g, "ats")
	s.All = append(s.All, backend.Table{Schema: "public", Name: "settings"}, backend.Table{Name: "other"}, backend.Table{Schema: "public", Name: "other"})
	stores := map[string]StoreFacts{"ats": {Kind: TableStore, DefaultSchema: "public", Schema: s}}
	if diff := cmp.Diff(v1alpha1.MapCoverage{Mapped: 3, Ignored: 1, Unknown: 1, Columns: v1alpha1.ColumnCoverage{Mapped: 13}}, g.Coverage(stores)); diff != "" {
		t.Error(diff)
	}
	before := SchemaDigest(stores)
	slices.Reverse(s.Tables)
	slices.Reverse(s.Tables[0].Columns)
	s.Tables[0].Privileges.Delete = false
	if SchemaDigest(stores) != before {
		t.Error("order and privileges changed the digest")
	}
	s.Tables[0].Columns[0].Type = "integer"
	if SchemaDigest(stores) == before {
		t.Error("another type left the digest alone")
	}
	if len(g.Warnings(stores)) == 0 {
		t.Error("links without an index give no warning")
	}
}
