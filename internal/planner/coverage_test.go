package planner

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func TestPersonal(t *testing.T) {
	for _, c := range []struct {
		columns, columnType string
		want                Kind
	}{
		{"email e_mail eMail EMAIL contact_email emailAddress mail recipients", "text", KindEmail},
		{"phone phone_number mobile telefon TelefonNummer fax", "text", KindPhone},
		{"name first_name lastName vorname Nachname full_name user_name displayName", "text", KindName},
		{"street strasse straße zip plz city address delivery_address", "text", KindAddress},
		{"birth_date born dob geburtsdatum birth_at", "date", KindBirth},
		{"iban ssn tax_id passport_number passport_id", "text", KindNumber},
		{"ip ip_address user_agent", "text", KindNetwork},
		{"origin_host x", "inet", KindNetwork},
		{"note comments body cover_letter message_text", "text", KindText},
		{"avatar photo cv resume", "bytea", KindMedia},
		{"gender salary religion", "text", KindPersonal},
		{"from To cc BCC attendees", "varchar(200)", KindEmail},
		{"raw payload", "text", KindText},
		{"from to raw", "timestamp", ""},
		{"from_stage valid_to raw_score", "text", ""},
		{"data settings_doc", "jsonb", KindDocument},
		{"id created_at updated_on count amount status file_name filename tableName table_name host_name hostname product_name event_type role_name", "text", ""},
		{"email_id phone_count address_checked_at message_ids category_description", "text", ""},
		{"email_confirmed", "boolean", ""},
		{"___ ", "text", ""},
	} {
		for column := range strings.FieldsSeq(c.columns) {
			if got := Personal(column, c.columnType); got != c.want {
				t.Errorf("%s %s is %q, want %q", column, c.columnType, got, c.want)
			}
		}
	}
}

func TestTokens(t *testing.T) {
	for name, want := range map[string][]string{
		"first_name": {"first", "name"}, "firstName": {"first", "name"}, "IBANNumber": {"iban", "number"}, "eMail": {"e", "mail"},
		"APPLICANT_ID": {"applicant", "id"}, "Straße 2": {"straße", "2"}, "": nil,
	} {
		if diff := cmp.Diff(want, Tokens(name)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// surveyed is a graph with one deleted and one anonymised entity, and its live schema.
func surveyed(t *testing.T, ignored ...v1alpha1.IgnoredTable) (*Graph, map[string]StoreFacts) {
	t.Helper()
	spec := v1alpha1.PersonalDataMapSpec{Ignored: ignored, Entities: []v1alpha1.Entity{
		{Name: "person", Store: "db", Table: "person", Key: []string{"id"}, Category: "c", Action: v1alpha1.ActionDelete, Root: &v1alpha1.Root{Rows: v1alpha1.RowsOne},
			IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}, {Column: "email", Identity: "email", Normalize: v1alpha1.NormalizeLowerCase}},
			Conditions:   []v1alpha1.Condition{{Column: "tenant", Operator: v1alpha1.OperatorIn, Values: []string{"a"}}}},
		{Name: "consent", Store: "db", Table: "consent", Key: []string{"id"}, Category: "c", Action: v1alpha1.ActionAnonymize,
			IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "email", Identity: "email"}},
			Fields:       []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyNull}}},
	}}
	graph, problems := Compile([]MapSource{{Name: "m", Spec: spec}}, "")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	all := backend.Privileges{Select: true, Update: true, Delete: true}
	columns := func(names ...string) []backend.ColumnInfo {
		var list []backend.ColumnInfo
		for _, n := range names {
			list = append(list, backend.ColumnInfo{Name: n, Type: "text", Nullable: n != "id"})
		}
		return list
	}
	named := func(name string) backend.Table { return backend.Table{Name: name} }
	info := func(name string, cols ...string) backend.TableInfo {
		return backend.TableInfo{Table: named(name), Kind: backend.KindTable, Columns: columns(cols...), Privileges: all, Rows: -1,
			Unique: [][]string{{"id"}}, Indexed: [][]string{{"id"}}}
	}
	link := func(t backend.TableInfo, column, to string) backend.TableInfo {
		t.ForeignKeys = append(t.ForeignKeys, backend.ForeignKey{Name: "fk", Columns: []string{column}, References: named(to), RefColumns: []string{"id"}, OnDelete: backend.SetNull})
		return t
	}
	schema := &backend.Schema{Fold: map[backend.Normalization]string{backend.LowerCase: "lower(%s)"}, Tables: []backend.TableInfo{
		info("person", "id", "email", "tenant", "extra"), info("consent", "id", "email", "ip_address", "text_version", "version"),
		link(info("letter", "id", "writer", "size"), "writer", "person"), link(info("page", "id", "letter", "number"), "letter", "letter"),
		info("setting", "id", "contact_email"),
	}}
	for _, i := range schema.Tables {
		schema.All = append(schema.All, i.Table)
	}
	return graph, map[string]StoreFacts{"db": {Kind: TableStore, Schema: schema}}
}

func TestCoverageOfColumnsAndLikely(t *testing.T) {
	graph, facts := surveyed(t, v1alpha1.IgnoredTable{Store: "db", Table: "setting", Reason: "r"},
		v1alpha1.IgnoredTable{Store: "db", Table: "consent", Columns: []string{"version"}, Reason: "r"})
	want := v1alpha1.MapCoverage{Mapped: 2, Ignored: 1, Unknown: 2, Columns: v1alpha1.ColumnCoverage{Mapped: 6, Ignored: 1, Unknown: 2},
		Likely: []string{"db/consent.ip_address", "db/consent.text_version", "db/letter.writer", "db/page.letter"}, LikelyCount: 4}
	if diff := cmp.Diff(want, graph.Coverage(facts)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(v1alpha1.MapCoverage{}, graph.Coverage(facts, "another")); diff != "" {
		t.Error(diff)
	}
}

func TestLikelyIsBounded(t *testing.T) {
	graph, facts := surveyed(t)
	schema := facts["db"].Schema
	for i := range 80 {
		name := backend.Table{Name: fmt.Sprintf("a%03d", i)}
		schema.Tables = append(schema.Tables, backend.TableInfo{Table: name, Kind: backend.KindTable, Columns: []backend.ColumnInfo{{Name: "email", Type: "text"}}})
		schema.All = append(schema.All, name)
	}
	c := graph.Coverage(facts)
	if len(c.Likely) != 50 || c.LikelyCount != 85 || !slices.Contains(c.Likely, "db/letter.writer") || !slices.IsSorted(c.Likely) {
		t.Errorf("%d of %d, the strongest among them: %v", len(c.Likely), c.LikelyCount, slices.Contains(c.Likely, "db/letter.writer"))
	}
}

func TestIgnoredColumnsNeedAMappedTable(t *testing.T) {
	graph, facts := surveyed(t, v1alpha1.IgnoredTable{Store: "db", Table: "letter", Columns: []string{"size"}, Reason: "r"},
		v1alpha1.IgnoredTable{Store: "db", Table: "consent", Columns: []string{"gone"}, Reason: "r"})
	if got := reasons(graph.Check(facts)); !slices.Contains(got, "InvalidSpec") {
		t.Errorf("problems: %v", got)
	}
	if got := graph.Warnings(facts); !slices.ContainsFunc(got, func(p Problem) bool { return p.Column == "gone" }) {
		t.Errorf("warnings: %v", got)
	}
	if got := graph.Coverage(facts); got.Unknown != 3 {
		t.Errorf("an entry with columns ignores a whole table: %+v", got)
	}
}

func TestDrift(t *testing.T) {
	graph, facts := surveyed(t, v1alpha1.IgnoredTable{Store: "db", Table: "setting", Reason: "r"},
		v1alpha1.IgnoredTable{Store: "db", Table: "consent", Columns: []string{"later"}, Reason: "r"})
	data, err := graph.Baseline(facts, "m").Encode()
	if err != nil {
		t.Fatal(err)
	}
	base, err := DecodeBaseline(data)
	if err != nil {
		t.Fatal(err)
	}
	s := facts["db"].Schema
	s.Tables[0].Indexed = append(s.Tables[0].Indexed, []string{"email"})
	s.Tables[0].Rows, s.Tables[0].Privileges.Delete = 5, false
	if drift, _ := graph.Drift(base, facts, "m"); len(drift) > 0 {
		t.Errorf("indexes, rows and privileges are no drift: %v", drift)
	}
	text := func(table int, name string) {
		s.Tables[table].Columns = append(s.Tables[table].Columns, backend.ColumnInfo{Name: name, Type: "text"})
	}
	text(0, "iban")
	text(1, "later")  // ignored before it came
	text(2, "sender") // of a table that nobody has decided on
	text(4, "owner")  // of an ignored table
	s.Tables[0].Columns[3].Type = "bytea"
	s.Tables[1].Columns = slices.Delete(s.Tables[1].Columns, 4, 5) // version
	s.Tables[2].ForeignKeys[0].OnDelete = backend.Cascade
	s.All = append(s.All, backend.Table{Name: "fresh"})
	want := []string{
		"db/consent.version is gone",
		"db/fresh is a new table that no map maps or ignores",
		"db/letter has a foreign key (writer) to person (id) that was ON DELETE SET NULL and is ON DELETE CASCADE",
		"db/person.extra was text and is bytea",
		"db/person.iban is a new column (text)",
		"db/setting.owner is a new column (text)",
	}
	drift, next := graph.Drift(base, facts, "m")
	if diff := cmp.Diff(want, drift); diff != "" {
		t.Error(diff)
	}
	again, _ := graph.Drift(next, facts, "m")
	if diff := cmp.Diff(want, again); diff != "" {
		t.Errorf("drift passed by itself: %s", diff)
	}
	if _, ok := next["db"]["consent"].Columns["later"]; !ok {
		t.Error("what the map names already does not belong to the baseline")
	}
	if drift, kept := graph.Drift(base, map[string]StoreFacts{}, "m"); len(drift) > 0 || len(kept["db"]) != len(base["db"]) {
		t.Errorf("a store that is away is forgotten, or drift: %v", drift)
	}
	if drift, _ = graph.Drift(graph.Baseline(facts, "m"), facts, "m"); len(drift) > 0 {
		t.Errorf("a new baseline has drift: %v", drift)
	}
}

func TestBaselineOfALargeSchemaIsSmall(t *testing.T) {
	b := Baseline{"db": {}}
	for i := range 200 {
		t := TableBaseline{Columns: map[string]string{}, Keys: map[string]string{}}
		for j := range 50 {
			t.Columns[fmt.Sprintf("column_number_%d", j)] = "character varying(255)"
		}
		b["db"][fmt.Sprintf("public.table_number_%d", i)] = t
	}
	data, err := b.Encode()
	if err != nil || len(data) > 100<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	if _, err := DecodeBaseline(data[:len(data)/2]); err == nil {
		t.Error("half a baseline was read")
	}
}

func TestIndexes(t *testing.T) {
	folded := func(after ...string) backend.FoldedIndex {
		return backend.FoldedIndex{Column: "email", Normalize: backend.LowerCase, After: after}
	}
	for name, c := range map[string]struct {
		indexed [][]string
		folded  []backend.FoldedIndex
		want    bool
	}{
		"none":                            {nil, nil, false},
		"plain index":                     {[][]string{{"email"}}, nil, false},
		"folded index":                    {nil, []backend.FoldedIndex{folded()}, true},
		"folded after the tenant":         {nil, []backend.FoldedIndex{folded("tenant")}, true},
		"folded after something else":     {nil, []backend.FoldedIndex{folded("extra")}, false},
		"folded with another folding too": {nil, []backend.FoldedIndex{{Column: "email", Normalize: backend.TrimLowerCase}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			for rows, problem := range map[int64]bool{-1: false, maxUnindexedRows: false, maxUnindexedRows + 1: true} {
				graph, facts := surveyed(t)
				info := &facts["db"].Schema.Tables[0]
				info.Indexed, info.Folded, info.Rows = append(info.Indexed, c.indexed...), c.folded, rows
				is := func(p Problem) bool {
					return p.Reason == v1alpha1.ReasonIndexMissing && p.Entity == "person" && p.Column == "email" &&
						strings.Contains(p.Message, "CREATE INDEX person_email_lookup ON person (lower(email))")
				}
				if got := slices.ContainsFunc(graph.Check(facts), is); got != (problem && !c.want) {
					t.Errorf("%d rows: problem %v", rows, got)
				}
				if got := slices.ContainsFunc(graph.Warnings(facts), is); got != (!problem && !c.want) {
					t.Errorf("%d rows: warning %v", rows, got)
				}
			}
		})
	}
}

func TestCountableLeavesOutWhatCannotBeLookedAt(t *testing.T) {
	graph, facts := surveyed(t)
	sources := []MapSource{graph.maps[0]}
	sources[0].Spec = *sources[0].Spec.DeepCopy()
	sources[0].Spec.Entities = append(sources[0].Spec.Entities, v1alpha1.Entity{Name: "child", Store: "db", Table: "letter", Key: []string{"id"}, Category: "c",
		Action: v1alpha1.ActionDelete, Parents: []v1alpha1.Parent{{Entity: "consent", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "writer", ParentColumn: "id"}}}}})
	facts["db"].Schema.Tables[1].Columns[1].Name = "mail"
	counted, skipped := Countable(sources, "", facts)
	if counted == nil || len(counted.entities) != 1 || counted.entities[0].name != "m/person" {
		t.Fatalf("%+v", counted)
	}
	if diff := cmp.Diff([]string{"EntityUnreachable child", "SchemaMismatch consent email"}, reasons(skipped)); diff != "" {
		t.Error(diff)
	}
	if len(sources[0].Spec.Entities) != 3 || len(sources[0].Spec.Entities[2].Parents) != 1 {
		t.Error("the maps themselves were changed")
	}
	if counted, _ = Countable(sources, "", nil); counted != nil {
		t.Error("something is counted without a store")
	}
}
