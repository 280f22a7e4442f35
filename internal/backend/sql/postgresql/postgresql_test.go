package postgresql_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/test/certtest"
	"github.com/lethe-dev/lethe/test/pgtest"
)

var (
	ctx    = context.Background()
	server *pgtest.Server
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	s, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = s.Stop() }()
	server = s
	return m.Run()
}

func config(database string) postgresql.Config {
	return postgresql.Config{
		Host: server.Host, Port: server.Port, Database: database, User: server.User, SSLMode: "disable",
	}
}

func TestContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Database { return newDatabase(t) })
}

// database has an owner, the application, and a role of its own with the rights that Lethe needs.
type database struct {
	name, role string
	app        *pgx.Conn
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	name, err := server.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d := &database{name: name, role: "lethe_" + name}
	d.connect(t)
	d.Exec(t, fmt.Sprintf(`CREATE ROLE %s LOGIN PASSWORD 'secret-password'`, d.role))
	d.Exec(t, fmt.Sprintf(`GRANT USAGE ON SCHEMA public TO %s`, d.role))
	d.Exec(t, fmt.Sprintf(`ALTER DEFAULT PRIVILEGES GRANT SELECT, UPDATE, DELETE ON TABLES TO %s`, d.role))
	return d
}

func (d *database) connect(t testing.TB) {
	t.Helper()
	app, err := server.Connect(ctx, d.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = app.Close(ctx) })
	d.app = app
}

func (d *database) open(t testing.TB, c postgresql.Config) backend.Backend {
	t.Helper()
	b, err := postgresql.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (d *database) config() postgresql.Config {
	c := config(d.name)
	c.User, c.Password = d.role, "secret-password"
	return c
}

func (d *database) Open(t testing.TB, l backendtest.Limits) backend.Backend {
	t.Helper()
	c := d.config()
	c.BatchSize, c.StatementTimeout, c.LockTimeout = l.BatchSize, l.StatementTimeout, l.LockTimeout
	return d.open(t, c)
}

func (d *database) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := d.app.Exec(ctx, statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (d *database) Dump(t testing.TB, query string) []string {
	t.Helper()
	rows, err := d.app.Query(ctx, query, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var parts []string
		for _, v := range row.RawValues() {
			if v == nil {
				parts = append(parts, "NULL")
			} else {
				parts = append(parts, string(v))
			}
		}
		return strings.Join(parts, "|"), nil
	})
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if len(lines) == 0 {
		return nil
	}
	return lines
}

func (d *database) trigger(t *testing.T, name, table, when, events, body string) {
	t.Helper()
	d.Exec(t, fmt.Sprintf(`CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN %s RETURN OLD; END $$`, name, body))
	d.Exec(t, fmt.Sprintf(`CREATE TRIGGER %s %s %s ON %s FOR EACH ROW EXECUTE FUNCTION %s()`, name, when, events, table, name))
}

func (d *database) Count(t *testing.T, table string) {
	d.trigger(t, "count_"+table, table, "AFTER", "UPDATE OR DELETE", "INSERT INTO effects VALUES (TG_TABLE_NAME);")
}

func (d *database) Lock(t *testing.T, table string) func() {
	d.Exec(t, "BEGIN")
	d.Exec(t, "SELECT * FROM "+table+" FOR UPDATE")
	return func() { d.Exec(t, "ROLLBACK") }
}

func (d *database) Slow(t *testing.T, table string) {
	d.trigger(t, "slow", table, "BEFORE", "DELETE", "PERFORM pg_sleep(2);")
}

func (d *database) Break(t *testing.T, table string) func() {
	d.trigger(t, "break", table, "BEFORE", "DELETE", "PERFORM pg_terminate_backend(pg_backend_pid());")
	return func() { d.Exec(t, "DROP TRIGGER break ON "+table) }
}

func (d *database) Forbid(t *testing.T, table string) bool {
	d.Exec(t, fmt.Sprintf("REVOKE DELETE ON %s FROM %s", table, d.role))
	return true
}

func (d *database) Stop(t *testing.T) func() {
	t.Helper()
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := server.Restart(ctx); err != nil {
			t.Fatal(err)
		}
		d.connect(t)
	}
}

func (*database) BlobType() string { return "BYTEA" }

func (*database) Dialect() backendtest.Dialect {
	return backendtest.Dialect{KeyText: "TEXT", Text: "TEXT", Timestamp: "TIMESTAMP", Numeric: "NUMERIC", JSON: "JSONB",
		LongKey: backendtest.PrimaryKey, Partial: true, Expressions: true, SetDefault: true,
		Folding: []string{"TEXT COLLATE ci1", "VARCHAR(50) COLLATE ci2", "mail"},
		Prepare: []string{`CREATE COLLATION ci1 (provider = icu, locale = 'und-u-ka-shifted-ks-level1', deterministic = false)`,
			`CREATE COLLATION ci2 (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`, `CREATE DOMAIN mail AS TEXT COLLATE ci1`}}
}

func (*database) Blob(hex string) string { return `'\x` + hex + `'` }

func TestConnectionProblems(t *testing.T) {
	d := newDatabase(t)
	for _, c := range []struct {
		name    string
		change  func(*postgresql.Config)
		refused bool
	}{
		{"wrong password", func(c *postgresql.Config) { c.Host, c.Password = "127.0.0.1", "canary-password" }, true},
		{"no such user", func(c *postgresql.Config) { c.User = "nobody_here" }, true},
		{"no such database", func(c *postgresql.Config) { c.Database = "nowhere" }, true},
		{"no such folder", func(c *postgresql.Config) { c.Host = "/nowhere" }, false},
		{"closed port", func(c *postgresql.Config) { c.Host, c.Port = "127.0.0.1", 1 }, false},
		{"no such host", func(c *postgresql.Config) { c.Host = "nowhere.invalid" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := d.config()
			c.change(&config)
			b := d.open(t, config)
			_, err := b.Describe(ctx)
			var refused *backend.RefusedError
			var unavailable *backend.UnavailableError
			if c.refused != errors.As(err, &refused) || c.refused == errors.As(err, &unavailable) || strings.Contains(fmt.Sprint(err), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
	good := d.config()
	good.Host = "127.0.0.1"
	if _, err := d.open(t, good).Describe(ctx); err != nil {
		t.Errorf("over TCP: %v", err)
	}
	for _, c := range []postgresql.Config{{Host: "h", SSLMode: "maybe"}, {Host: "h", CACert: []byte("none")}, {Host: "h", Port: 70000}} {
		var refused *backend.RefusedError
		if _, err := postgresql.Open(ctx, c); !errors.As(err, &refused) {
			t.Errorf("%v: %v", c, err)
		}
	}
	encrypted := good
	encrypted.SSLMode = "verify-full"
	var refused *backend.RefusedError
	if _, err := d.open(t, encrypted).Describe(ctx); !errors.As(err, &refused) || !strings.Contains(err.Error(), "sslMode") {
		t.Errorf("without TLS: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", good, good, good, good); strings.Contains(text, "secret-password") {
		t.Errorf("the password is printed: %s", text)
	}
}

func TestTLSModes(t *testing.T) {
	trusted, key, err := certtest.SelfSigned("db.example")
	other, _, err2 := certtest.SelfSigned("db.example")
	s, err3 := pgtest.Start(ctx, pgtest.Options{Cert: trusted, Key: key})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	for _, c := range []struct {
		mode string
		ca   []byte
		good bool
	}{{"require", nil, true}, {"require", trusted, true}, {"require", other, false}, {"verify-ca", trusted, true}, {"verify-ca", other, false}, {"verify-ca", nil, false},
		{"verify-full", trusted, false}, {"verify-full", nil, false}, {"disable", nil, true}} {
		b, err := postgresql.Open(ctx, postgresql.Config{Host: "127.0.0.1", Port: s.Port, Database: "postgres", User: s.User, Password: s.Password, SSLMode: c.mode, CACert: c.ca})
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.Describe(ctx)
		var refused *backend.RefusedError
		if c.good != (err == nil) || !c.good && (!errors.As(err, &refused) || !strings.Contains(err.Error(), "certificate")) {
			t.Errorf("%q, CA %t: %v", c.mode, c.ca != nil, err)
		}
		_ = b.Close()
	}
}

// Policies that hide rows must not make Lethe believe that a subject has none.
func TestRowSecurityIsRefused(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id bigint PRIMARY KEY)")
	d.Exec(t, "INSERT INTO person VALUES (1)")
	d.Exec(t, "ALTER TABLE person ENABLE ROW LEVEL SECURITY")
	b := d.Open(t, backendtest.Limits{})
	s, err := b.(backend.Inspector).Inspect(ctx, []backend.Table{{Name: "person"}})
	if err != nil || len(s.Tables) != 1 || !s.Tables[0].RowSecurity {
		t.Errorf("Inspect: %+v, %v", s, err)
	}
	op := backend.Operation{Entity: "person", Action: backend.Delete, Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}}
	var refused *backend.RefusedError
	if _, err := b.Verify(ctx, []backend.Operation{op}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "row-level") {
		t.Errorf("Verify: %v", err)
	}
	d.Exec(t, "ALTER ROLE "+d.role+" BYPASSRLS")
	if left, err := d.Open(t, backendtest.Limits{}).Verify(ctx, []backend.Operation{op}); err != nil || left[0] != 1 {
		t.Errorf("Verify with BYPASSRLS: %v, %v", left, err)
	}
}

// A value must not be cut to the column's length until it equals another subject's.
func TestTypesWithLength(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, `CREATE DOMAIN mail AS varchar(8) CHECK (value <> '')`)
	d.Exec(t, `CREATE TYPE mood AS ENUM ('good', 'bad')`)
	d.Exec(t, `CREATE TABLE typed (id uuid PRIMARY KEY, v varchar(5), c char(5), b bit(3), n numeric(5,2), m mail, e mood, j json, jb jsonb,
		a text[], h "char", r int4range, i interval, x xml, tz timestamptz)`)
	d.Exec(t, `INSERT INTO typed VALUES ('00000000-0000-0000-0000-00000000000a', 'abcde', 'abc', '101', 1.23, 'ann@x.de', 'good',
		'{"a" : 1}', '{"a": 1}', '{x,NULL,"y z"}', 'q', '[1,5)', '1 mon 2 days', '<a/>', '2024-03-01 12:00+05')`)
	b := d.Open(t, backendtest.Limits{})
	q := backend.Query{Entity: "typed", Table: backend.Table{Name: "typed"}, KeyColumns: []string{"id"}}
	find := func(column string, values ...string) int {
		t.Helper()
		q.AnyOf = []backend.Match{{Identity: &backend.IdentityMatch{Column: column, Values: values}}}
		res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
		if err != nil {
			t.Fatalf("%s: %v", column, err)
		}
		return len(res.Rows["typed"])
	}
	for _, c := range []struct {
		column, value string
		want          int
	}{
		{"v", "abcde", 1}, {"v", "abcdef", 0}, {"c", "abc", 1}, {"c", "a", 0}, {"c", "abcdef", 0}, {"b", "101", 1}, {"b", "1011", 0},
		{"n", "1.23", 1}, {"n", "1.234", 0}, {"m", "ann@x.de", 1}, {"m", "ann@x.dex", 0}, {"e", "good", 1}, {"h", "q", 1}, {"a", `{x,NULL,"y z"}`, 1},
		{"id", "00000000-0000-0000-0000-00000000000A", 1}, {"tz", "2024-03-01 07:00:00+00", 1},
	} {
		if got := find(c.column, c.value); got != c.want {
			t.Errorf("%s = %q: %d rows, want %d", c.column, c.value, got, c.want)
		}
	}
	q.Columns = []string{"v", "c", "b", "n", "m", "e", "j", "jb", "a", "h", "r", "i", "x", "tz"}
	q.Clocks = []string{"tz"}
	q.AnyOf = []backend.Match{{Identity: &backend.IdentityMatch{Column: "v", Values: []string{"abcde"}}}}
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
	if err != nil {
		t.Fatal(err)
	}
	row := res.Rows["typed"][0]
	if got := row.Clocks[0].Time.Format("2006-01-02T15:04:05Z07:00"); got != "2024-03-01T07:00:00Z" {
		t.Errorf("clock %s", got)
	}
	before := d.Dump(t, "SELECT * FROM typed")
	hide := backend.Operation{Entity: "typed", Action: backend.Update, Table: q.Table, KeyColumns: q.KeyColumns, Keys: []backend.Key{row.Key},
		Columns: q.Columns, Set: [][]backend.Value{make([]backend.Value, len(q.Columns))}, Expect: [][]backend.Value{row.Values}}
	show := hide
	show.Set, show.Expect = hide.Expect, hide.Set
	for i, op := range []backend.Operation{hide, hide, show, show} {
		got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
		if err != nil || got.Affected[0] != int64(1-i%2) {
			t.Fatalf("update %d: %v, %v", i, got, err)
		}
	}
	if diff := cmp.Diff(before, d.Dump(t, "SELECT * FROM typed")); diff != "" {
		t.Errorf("not restored:\n%s", diff)
	}
	var refused *backend.RefusedError
	q.AnyOf[0].Identity = &backend.IdentityMatch{Column: "id", Values: []string{"canary"}}
	if _, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}}); !errors.As(err, &refused) || strings.Contains(err.Error(), "canary") {
		t.Errorf("no uuid: %v", err)
	}
}

func TestExcessivePrivileges(t *testing.T) {
	d := newDatabase(t)
	got, err := d.Open(t, backendtest.Limits{}).Describe(ctx)
	if err != nil || len(got.Excessive) != 0 || !strings.HasPrefix(got.Version, "PostgreSQL ") {
		t.Errorf("a plain role: %+v, %v", got, err)
	}
	d.Exec(t, "CREATE TABLE own (id int)")
	d.Exec(t, "ALTER TABLE own OWNER TO "+d.role)
	d.Exec(t, "ALTER ROLE "+d.role+" CREATEROLE CREATEDB REPLICATION")
	got, err = d.Open(t, backendtest.Limits{}).Describe(ctx)
	if diff := cmp.Diff([]string{"createrole", "createdb", "replication", "owner of tables"}, got.Excessive); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err = d.open(t, config(d.name)).Describe(ctx); err != nil || fmt.Sprint(got.Excessive) != "[superuser]" {
		t.Errorf("superuser: %+v, %v", got, err)
	}
}

// TestCitext: a type of its own compares as it does.
func TestCitext(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, `CREATE EXTENSION citext`)
	d.Exec(t, `CREATE TABLE e (id int PRIMARY KEY, v citext)`)
	d.Exec(t, `INSERT INTO e VALUES (1, 'ann'), (2, 'ANN'), (3, 'änn')`)
	b := d.Open(t, backendtest.Limits{})
	for _, n := range []backend.Normalization{backend.None, backend.LowerCase} {
		res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: backend.Table{Name: "e"}, KeyColumns: []string{"id"},
			AnyOf: []backend.Match{{Identity: &backend.IdentityMatch{Column: "v", Values: []string{"Ann"}, Normalize: n}}}}}})
		if err != nil || len(res.Rows["e"]) != 2 {
			t.Errorf("%s: %+v, %v", n, res, err)
		}
	}
}

func TestSweepContract(t *testing.T) {
	backendtest.RunSweep(t, func(t *testing.T) backendtest.SweepDatabase {
		d := newDatabase(t)
		d.Exec(t, "SET TIME ZONE 'UTC'")
		return d
	})
}

func (d *database) Session(t testing.TB) func(string) (int64, error) {
	t.Helper()
	conn, err := server.Connect(ctx, d.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	return func(statement string) (int64, error) {
		tag, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol)
		return tag.RowsAffected(), err
	}
}

func (*database) Sweeps() backendtest.SweepKinds {
	return backendtest.SweepKinds{Clocks: []string{"DATE", "TIMESTAMPTZ", "VARCHAR(40)"}, NoClock: "BIGINT[]", Generated: "BIGINT GENERATED ALWAYS AS (at + 1) STORED", RowLocks: true}
}
