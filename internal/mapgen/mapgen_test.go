package mapgen_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // makes the databases

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
	"github.com/lethe-dev/lethe/internal/mapcheck"
	"github.com/lethe-dev/lethe/internal/mapgen"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/test/pgtest"
)

var ctx = context.Background()

// inspectSQLite makes a database of statements and describes it.
func inspectSQLite(t *testing.T, statements string) *backend.Schema {
	t.Helper()
	folder := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(folder, "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(ctx, statements); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := sqlite.Open(ctx, sqlite.Config{Root: folder, Path: "x.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	return inspect(t, b)
}

func inspect(t *testing.T, b backend.Backend) *backend.Schema {
	t.Helper()
	s, err := stores.InspectAll(ctx, b.(backend.Inspector), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// generated is a map with what the API and the planner say of it.
type generated struct {
	text     string
	spec     v1alpha1.PersonalDataMapSpec
	problems []planner.Problem
}

func generate(t *testing.T, in mapgen.Input) generated {
	t.Helper()
	in.Name, in.Store = "first", "db"
	text, err := mapgen.Generate(in)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(in.Schema.Tables)
	again, err := mapgen.Generate(in)
	if err != nil || string(again) != string(text) {
		t.Errorf("the same schema in another order made another map: %v", err)
	}
	documents, err := mapcheck.Split(text)
	if err != nil || len(documents) != 1 {
		t.Fatalf("%v\n%s", err, text)
	}
	if problems, err := mapcheck.Schema(documents[0]); err != nil || len(problems) > 0 {
		t.Fatalf("the API would refuse it: %v %v\n%s", problems, err, text)
	}
	var m v1alpha1.PersonalDataMap
	if err := mapcheck.Decode(documents[0], &m); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	graph, problems := planner.Compile([]planner.MapSource{{Name: m.Name, Spec: m.Spec}}, "")
	facts := map[string]planner.StoreFacts{"db": {Kind: planner.TableStore, DefaultSchema: in.DefaultSchema, Schema: in.Schema}}
	return generated{text: string(text), spec: m.Spec, problems: append(problems, graph.Check(facts)...)}
}

func (g generated) entity(t *testing.T, name string) v1alpha1.Entity {
	t.Helper()
	i := slices.IndexFunc(g.spec.Entities, func(e v1alpha1.Entity) bool { return e.Name == name })
	if i < 0 {
		t.Fatalf("no entity %s:\n%s", name, g.text)
	}
	return g.spec.Entities[i]
}

func (g generated) relation(t *testing.T, entity, column string) v1alpha1.ParentRelation {
	t.Helper()
	for _, p := range g.entity(t, entity).Parents {
		if p.Columns[0].Column == column {
			return p.Relation
		}
	}
	return ""
}

func TestSampleSystem(t *testing.T) {
	schema, err := os.ReadFile("../../hack/demo/schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	g := generate(t, mapgen.Input{Schema: inspectSQLite(t, string(schema)), Root: "applicants"})
	if len(g.problems) > 0 {
		t.Errorf("%+v", g.problems)
	}
	if len(g.spec.Entities) != 13 || g.spec.Entities[0].Name != "applicants" || g.spec.Entities[0].Root == nil {
		t.Errorf("entities:\n%s", g.text)
	}
	if got := g.relation(t, "applicants", "referred_by"); got != v1alpha1.RelationShallow {
		t.Errorf("referred_by is %s", got)
	}
	if got := g.relation(t, "evaluations", "application_id"); got != v1alpha1.RelationDeep {
		t.Errorf("evaluations are %s", got)
	}
	var ignored []string
	for _, i := range g.spec.Ignored {
		ignored = append(ignored, i.Table)
	}
	if !slices.Equal(ignored, []string{"tenants", "vacancies", "vacancy_statistics"}) {
		t.Errorf("ignored: %v", ignored)
	}
	for _, want := range []string{
		"    # - name: consents\n", "item_type says to which table item_id refers", `path: "{storage_dir}/{file_name}"`,
		"conditions: [{column: tenant_id, operator: In, values: [YOURS]}]", "clocks for holds and retention: closed_at, applied_at",
		"# It joins tables.\n    - name: candidate-matches",
	} {
		if !strings.Contains(g.text, want) {
			t.Errorf("the map lacks %q:\n%s", want, g.text)
		}
	}
}

// What a person uncomments is an entity that fits.
func TestUncommentedEntityFits(t *testing.T) {
	text, err := mapgen.Generate(mapgen.Input{Name: "m", Store: "db", Root: "people", Schema: inspectSQLite(t, `
		CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT);
		CREATE TABLE newsletter (id INTEGER PRIMARY KEY, mail_address TEXT);`)})
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "It would begin like this:\n")
	whole := strings.Split(string(text), "    # DECIDE: no foreign key")[0]
	for line := range strings.Lines(block) {
		whole += strings.Replace(line, "    # ", "    ", 1)
	}
	documents, err := mapcheck.Split([]byte(whole))
	if err != nil {
		t.Fatalf("%v\n%s", err, whole)
	}
	var m v1alpha1.PersonalDataMap
	if err := mapcheck.Decode(documents[0], &m); err != nil || len(m.Spec.Entities) != 2 || m.Spec.Entities[1].IdentifiedBy[0].Column != "mail_address" {
		t.Errorf("%v\n%s", err, whole)
	}
}

func TestPostgreSQLWithAwkwardSchema(t *testing.T) {
	server, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	database, err := server.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, awkward); err != nil {
		t.Fatal(err)
	}
	b, err := postgresql.Open(ctx, postgresql.Config{Host: server.Host, Port: server.Port, Database: database, User: server.User, SSLMode: "disable"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	g := generate(t, mapgen.Input{Schema: inspect(t, b), DefaultSchema: "public", Root: "public.Person"})
	for entity, columns := range map[string]map[string]v1alpha1.ParentRelation{
		"person":     {"manager_id": v1alpha1.RelationShallow},
		"order":      {"Person Id": v1alpha1.RelationDeep, "approved_by": v1alpha1.RelationShallow},
		"order-line": {"order_no": v1alpha1.RelationDeep},
		"audit":      {"changed_by": v1alpha1.RelationShallow},
		"membership": {"person_id": v1alpha1.RelationDeep, "team_person": v1alpha1.RelationDeep},
		"comment":    {"parent_id": v1alpha1.RelationShallow, "person_id": v1alpha1.RelationDeep},
		"draft":      {"person_id": v1alpha1.RelationDeep, "order_no": v1alpha1.RelationShallow},
		"review":     {"reviewer_id": v1alpha1.RelationDeep},
	} {
		for column, want := range columns {
			if got := g.relation(t, entity, column); got != want {
				t.Errorf("%s.%s is %q, want %s", entity, column, got, want)
			}
		}
	}
	if audit := g.entity(t, "audit"); audit.Action != v1alpha1.ActionKeep || audit.LegalBasis == "" {
		t.Errorf("audit: %+v", audit)
	}
	// What only a person can mend is said where it stands, and by the planner.
	var reasons []string
	for _, p := range g.problems {
		reasons = append(reasons, p.Entity+" "+p.Reason)
	}
	if !slices.Equal(slices.Compact(reasons), []string{"loose SchemaMismatch"}) {
		t.Errorf("problems: %+v\n%s", g.problems, g.text)
	}
	if strings.Count(g.text, "DECIDE: the table has no primary key") != 1 || !strings.Contains(g.text, "Shallow needs a column that may be NULL") {
		t.Errorf("what to decide is not said:\n%s", g.text)
	}
}

const awkward = `
CREATE TABLE "Person" ("Id" uuid PRIMARY KEY, "eMail" varchar(200), manager_id uuid REFERENCES "Person", "null" text);
CREATE TABLE "order" (no int, year int, "Person Id" uuid NOT NULL REFERENCES "Person", approved_by uuid REFERENCES "Person", PRIMARY KEY (no, year));
CREATE TABLE order_line (id int PRIMARY KEY, order_no int NOT NULL, order_year int NOT NULL, FOREIGN KEY (order_no, order_year) REFERENCES "order" (no, year));
CREATE TABLE audit (id bigint PRIMARY KEY, changed_by uuid REFERENCES "Person", what text);
CREATE TABLE team (id int PRIMARY KEY, lead_person uuid NOT NULL REFERENCES "Person");
CREATE TABLE membership (team_person int REFERENCES team, person_id uuid REFERENCES "Person", PRIMARY KEY (team_person, person_id));
CREATE TABLE comment (id int PRIMARY KEY, parent_id int REFERENCES comment, person_id uuid NOT NULL REFERENCES "Person", body text);
CREATE TABLE draft (id int PRIMARY KEY, person_id uuid REFERENCES "Person", order_no int, order_year int, FOREIGN KEY (order_no, order_year) REFERENCES "order" (no, year));
CREATE TABLE review (id int PRIMARY KEY, reviewer_id uuid NOT NULL REFERENCES "Person");
CREATE TABLE loose (person uuid REFERENCES "Person", remark text);
CREATE TABLE unit (code text PRIMARY KEY, label text);
CREATE VIEW people AS SELECT * FROM "Person";`

// Of a company's contact who once applied the company does not go, nor do its vacancies and what others sent to them.
func TestWeakTiesDoNotSpread(t *testing.T) {
	g := generate(t, mapgen.Input{Root: "candidates", Schema: inspectSQLite(t, `
		CREATE TABLE candidates (id INTEGER PRIMARY KEY, email TEXT, merged_into INTEGER REFERENCES candidates);
		CREATE TABLE companies (id INTEGER PRIMARY KEY, billing_contact_id INTEGER REFERENCES contact);
		CREATE TABLE contact (id INTEGER PRIMARY KEY, company_id INTEGER NOT NULL REFERENCES companies, email TEXT, former_candidate_id INTEGER REFERENCES candidates);
		CREATE TABLE vacancies (id INTEGER PRIMARY KEY, company_id INTEGER NOT NULL REFERENCES companies, hired_candidate_id INTEGER REFERENCES candidates);
		CREATE TABLE applications (id INTEGER PRIMARY KEY, vacancy_id INTEGER NOT NULL REFERENCES vacancies, candidate_id INTEGER REFERENCES candidates);
		CREATE TABLE hints (id INTEGER PRIMARY KEY, candidate_id INTEGER REFERENCES candidates ON DELETE SET NULL);
		CREATE TABLE seats (id INTEGER PRIMARY KEY, seat_candidate_id INTEGER REFERENCES candidates);
		CREATE TABLE watches (id INTEGER PRIMARY KEY, watched_candidate_id INTEGER NOT NULL REFERENCES candidates);`)})
	if len(g.problems) > 0 {
		t.Errorf("%+v", g.problems)
	}
	for entity, want := range map[string]struct {
		column   string
		relation v1alpha1.ParentRelation
		action   v1alpha1.EntityAction
	}{
		"contact":      {"former_candidate_id", v1alpha1.RelationShallow, v1alpha1.ActionKeep},
		"vacancies":    {"hired_candidate_id", v1alpha1.RelationShallow, v1alpha1.ActionKeep},
		"applications": {"candidate_id", v1alpha1.RelationDeep, v1alpha1.ActionDelete},
		"hints":        {"candidate_id", v1alpha1.RelationDeep, v1alpha1.ActionDelete},
		"seats":        {"seat_candidate_id", v1alpha1.RelationDeep, v1alpha1.ActionDelete}, // named after its own table
		"watches":      {"watched_candidate_id", v1alpha1.RelationDeep, v1alpha1.ActionDelete},
		"candidates":   {"merged_into", v1alpha1.RelationShallow, v1alpha1.ActionDelete},
	} {
		if got := g.relation(t, entity, want.column); got != want.relation || g.entity(t, entity).Action != want.action {
			t.Errorf("%s: %s %s, want %s %s", entity, got, g.entity(t, entity).Action, want.relation, want.action)
		}
	}
	if len(g.spec.Ignored) != 1 || g.spec.Ignored[0].Table != "companies" {
		t.Errorf("ignored: %+v", g.spec.Ignored)
	}
	for _, want := range []string{"merged_into: DECIDE: the same person once more", "ON DELETE SET NULL", "former_candidate_id: DECIDE: another tie"} {
		if !strings.Contains(g.text, want) {
			t.Errorf("the map lacks %q:\n%s", want, g.text)
		}
	}
}

// Tables that only a person can connect with the subject are not lost among those without personal data, and begin with what
// their columns tell.
func TestOpenTables(t *testing.T) {
	g := generate(t, mapgen.Input{Root: "candidates", RootID: "public_id", Schema: inspectSQLite(t, `
		CREATE TABLE candidates (id INTEGER PRIMARY KEY, site_id INTEGER, public_id TEXT UNIQUE, email TEXT);
		CREATE TABLE staff (id INTEGER PRIMARY KEY, email TEXT);
		CREATE TABLE mail (id INTEGER PRIMARY KEY, account_id INTEGER, site_id INTEGER, "from" TEXT, "to" TEXT, cc TEXT, reply_to INTEGER REFERENCES mail, sent_by INTEGER REFERENCES staff);
		CREATE TABLE mail_part (id INTEGER PRIMARY KEY, mail_id INTEGER NOT NULL REFERENCES mail, folder TEXT, file_name TEXT);
		CREATE TABLE duty (id INTEGER PRIMARY KEY, staff_id INTEGER NOT NULL REFERENCES staff);
		CREATE TABLE paper (id INTEGER PRIMARY KEY, title TEXT, file_name TEXT);
		CREATE TABLE paper_use (candidate_id INTEGER REFERENCES candidates, paper_id INTEGER REFERENCES paper, PRIMARY KEY (candidate_id, paper_id));
		CREATE TABLE sms (id INTEGER PRIMARY KEY, phone TEXT);
		CREATE TABLE remark (id INTEGER PRIMARY KEY, item_type TEXT, item_id INTEGER);
		CREATE TABLE import (id INTEGER PRIMARY KEY, raw TEXT);
		CREATE TABLE email_template (id INTEGER PRIMARY KEY, subject TEXT, body TEXT);
		CREATE TABLE setting (name TEXT PRIMARY KEY);
		CREATE TABLE invoice (id INTEGER PRIMARY KEY, candidate_id INTEGER REFERENCES candidates);`)})
	var ignored []string
	for _, i := range g.spec.Ignored {
		ignored = append(ignored, i.Table)
	}
	if !slices.Equal(ignored, []string{"duty", "email_template", "setting"}) {
		t.Errorf("ignored: %v", ignored)
	}
	for _, want := range []string{
		"    #     - column: cc\n    #       identity: email\n    #       normalize: LowerCase\n    #       comparison: Contains\n",
		"{column: reply_to, parentColumn: id}]\n    #       relation: Shallow",
		"[{column: site_id, operator: In, values: [YOURS]}]",
		"but\n    # it belongs to mail, which", "{column: mail_id, parentColumn: id}]\n    #       relation: Deep",
		`path: "{folder}/{file_name}"`,
		"    #     - entity: paper-use\n    #       columns: [{column: id, parentColumn: paper_id}]\n    #       relation: RefCount",
		"    #     - column: phone\n    #       identity: phone\n",
		"columns: [{column: item_id, parentColumn: id}]",
		"# - name: import\n", "to somebody who acts", "does a law want it kept?",
	} {
		if !strings.Contains(g.text, want) {
			t.Errorf("the map lacks %q:\n%s", want, g.text)
		}
	}
	if strings.Contains(g.text, "{column: account_id, operator") {
		t.Errorf("the root has no account_id:\n%s", g.text)
	}
}

func TestRootIsAsked(t *testing.T) {
	schema := inspectSQLite(t, `CREATE TABLE a (x TEXT, y TEXT, PRIMARY KEY (x, y)); CREATE TABLE b (id INTEGER PRIMARY KEY, email TEXT)`)
	for in, want := range map[mapgen.Input]string{
		{Root: "nobody"}:           "tables that could be the root: b",
		{}:                         "tables that could be the root: b",
		{Root: "a"}:                "--root-id",
		{Root: "b", RootID: "nix"}: `no column "nix"`,
	} {
		in.Schema = schema
		if _, err := mapgen.Generate(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", in, err)
		}
	}
}
