package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/sql/mysql"
	"github.com/lethe-dev/lethe/test/certtest"
	"github.com/lethe-dev/lethe/test/mariadbtest"
)

func TestConnectionProblems(t *testing.T) {
	d := newDatabase(t)
	for _, c := range []struct {
		name    string
		change  func(*mysql.Config)
		refused bool
	}{
		{"wrong password", func(c *mysql.Config) { c.Password = "canary-password" }, true},
		{"no such user", func(c *mysql.Config) { c.User = "nobody_here" }, true},
		{"no such database", func(c *mysql.Config) { c.Database = "nowhere" }, true},
		{"no TLS", func(c *mysql.Config) { c.TLSMode = "require" }, true},
		{"no such socket", func(c *mysql.Config) { c.Host = "/nowhere" }, false},
		{"closed port", func(c *mysql.Config) { c.Port = 1 }, false},
		{"no such host", func(c *mysql.Config) { c.Host = "nowhere.invalid" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := d.config()
			c.change(&config)
			_, err := d.open(t, config).Describe(ctx)
			var refused *backend.RefusedError
			var unavailable *backend.UnavailableError
			if c.refused != errors.As(err, &refused) || c.refused == errors.As(err, &unavailable) || strings.Contains(fmt.Sprint(err), "canary") {
				t.Errorf("%v", err)
			}
		})
	}
	good := d.config()
	good.Host = server.Socket
	if _, err := d.open(t, good).Describe(ctx); err != nil {
		t.Errorf("over the socket: %v", err)
	}
	for _, c := range []mysql.Config{{Host: "h", Database: "d", TLSMode: "maybe"}, {Host: "h", Database: "d", CACert: []byte("none")},
		{Host: "h", Database: "d", Port: 70000}, {Host: "h"}} {
		var refused *backend.RefusedError
		if _, err := mysql.Open(ctx, c); !errors.As(err, &refused) {
			t.Errorf("%v: %v", c, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", good, good, good, good); strings.Contains(text, "secret-password") {
		t.Errorf("the password is printed: %s", text)
	}
}

func TestTLSModes(t *testing.T) {
	trusted, key, err := certtest.SelfSigned("db.example")
	other, _, err2 := certtest.SelfSigned("db.example")
	s, err3 := mariadbtest.Start(ctx, mariadbtest.Options{Cert: trusted, Key: key})
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	for _, c := range []struct {
		mode string
		ca   []byte
		good bool
	}{{"require", nil, true}, {"require", trusted, true}, {"require", other, false}, {"verify-ca", trusted, true}, {"verify-ca", other, false}, {"verify-ca", nil, false},
		{"verify-full", trusted, false}, {"", trusted, false}, {"disable", nil, true}} {
		b, err := mysql.Open(ctx, mysql.Config{Host: s.Host, Port: s.Port, Database: "mysql", User: s.User, Password: s.Password, TLSMode: c.mode, CACert: c.ca})
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

func TestExcessivePrivileges(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE own (id INT)")
	d.Exec(t, fmt.Sprintf("GRANT SELECT, UPDATE, DELETE ON %s.* TO %s", d.name, d.user))
	describe := func() []string {
		t.Helper()
		got, err := d.Open(t, backendtest.Limits{}).Describe(ctx)
		if err != nil || !strings.HasPrefix(got.Version, "MariaDB 1") || strings.Contains(got.Version, "-") {
			t.Fatalf("%+v, %v", got, err)
		}
		return got.Excessive
	}
	wantEqual(t, "a plain user", describe(), []string(nil))
	d.Exec(t, "GRANT SUPER, FILE, CREATE USER ON *.* TO "+d.user)
	wantEqual(t, "a mighty user", describe(), []string{"FILE", "SUPER", "CREATE USER"})
	d.Exec(t, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM "+d.user)
	d.Exec(t, fmt.Sprintf("GRANT SELECT, UPDATE, DELETE ON %s.* TO %s", d.name, d.user))
	var refused *backend.RefusedError
	if _, err := d.Open(t, backendtest.Limits{}).Describe(ctx); !errors.As(err, &refused) || !strings.Contains(err.Error(), "GRANT REFERENCES ON *.*") {
		t.Errorf("a user who sees no foreign keys: %v", err)
	}
	d.Exec(t, "GRANT REFERENCES ON *.* TO "+d.user)
	d.Exec(t, fmt.Sprintf("CREATE ROLE role_%s", d.name))
	d.Exec(t, fmt.Sprintf("GRANT ALL PRIVILEGES ON %s.* TO role_%s WITH GRANT OPTION", d.name, d.name))
	d.Exec(t, fmt.Sprintf("GRANT role_%s TO %s", d.name, d.user))
	d.Exec(t, fmt.Sprintf("SET DEFAULT ROLE role_%s FOR %s", d.name, d.user))
	wantEqual(t, "by a role", describe(), []string{"ALL PRIVILEGES", "GRANT OPTION"})
	c := d.config()
	c.User, c.Password = server.User, server.Password
	got, err := d.open(t, c).Describe(ctx)
	if err != nil || fmt.Sprint(got.Excessive) != "[ALL PRIVILEGES GRANT OPTION]" {
		t.Errorf("superuser: %+v, %v", got, err)
	}
}

func TestInspectKinds(t *testing.T) {
	d := newDatabase(t)
	for _, s := range []string{
		`CREATE TABLE person (id INT PRIMARY KEY, email VARCHAR(100), code VARCHAR(20) COLLATE utf8mb4_bin, low VARCHAR(100) AS (lower(email)) STORED, virt INT AS (id + 1), t TEXT, KEY (code, email), KEY (t(20)), FULLTEXT (email))`,
		`CREATE TABLE parts (id INT PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 2`,
		`CREATE TABLE history (id INT PRIMARY KEY) WITH SYSTEM VERSIONING`,
		`CREATE TABLE mine (id INT PRIMARY KEY) ENGINE = MyISAM`, `CREATE TABLE area (id INT PRIMARY KEY) ENGINE = Aria`, `CREATE TABLE mem (id INT PRIMARY KEY) ENGINE = MEMORY`,
		`CREATE VIEW people AS SELECT id FROM person`,
		`CREATE TABLE card (id INT, a INT REFERENCES person (id) ON DELETE CASCADE, b INT REFERENCES person (id) ON DELETE SET NULL, c INT REFERENCES person (id) ON DELETE NO ACTION)`,
	} {
		d.Exec(t, s)
	}
	d.Exec(t, "CREATE DATABASE other_"+d.name)
	d.Exec(t, fmt.Sprintf("CREATE TABLE other_%[1]s.far (id INT, up INT, FOREIGN KEY (up) REFERENCES %[1]s.person (id) ON DELETE CASCADE)", d.name))
	d.Exec(t, fmt.Sprintf("REVOKE UPDATE, DELETE ON card FROM %s", d.user))
	d.Exec(t, fmt.Sprintf("GRANT UPDATE (b) ON card TO %s", d.user))
	var asked []backend.Table
	for _, name := range []string{"person", "parts", "history", "mine", "area", "mem", "people", "nowhere", "Person"} {
		asked = append(asked, backend.Table{Name: name})
	}
	s, err := d.Open(t, backendtest.Limits{}).(backend.Inspector).Inspect(ctx, asked)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]backend.TableInfo{}
	var kinds []string
	for _, i := range s.Tables {
		byName[i.Table.Name] = i
		kinds = append(kinds, fmt.Sprintf("%s %s %s", i.Table.Name, i.Kind, i.NonTransactional))
	}
	wantEqual(t, "kinds", kinds, []string{"area Table Aria", "card Table ", "history Other ", "mem Table MEMORY", "mine Table MyISAM", "parts Partitioned ", "people View ", "person Table ", "far Table "})
	wantEqual(t, "of another schema", byName["far"].Table.Schema, "other_"+d.name)
	p := byName["person"]
	wantEqual(t, "indexes", p.Indexed, [][]string{{"id"}, {"code", "email"}, {"t"}})
	wantEqual(t, "folded", p.Folded, []backend.FoldedIndex{{Column: "email", Normalize: backend.LowerCase, After: []string{"code"}}, {Column: "t", Normalize: backend.LowerCase, After: []string{}}})
	wantEqual(t, "generated", []bool{p.Columns[1].Generated, p.Columns[3].Generated, p.Columns[4].Generated}, []bool{false, true, true})
	c := byName["card"]
	wantEqual(t, "rights", c.Privileges, backend.Privileges{Select: true})
	wantEqual(t, "rights on a column", []bool{c.Columns[1].UpdatePrivilege, c.Columns[2].UpdatePrivilege}, []bool{false, true})
	var actions []string
	for _, k := range c.ForeignKeys {
		actions = append(actions, fmt.Sprintf("%v %v %v %s", k.Columns, k.References, k.RefColumns, k.OnDelete))
	}
	wantEqual(t, "foreign keys", actions, []string{"[a] { person} [id] CASCADE", "[b] { person} [id] SET NULL", "[c] { person} [id] NO ACTION"})
}

// What cannot be rolled back needs somebody's consent.
func TestEngines(t *testing.T) {
	for _, engine := range []string{"MyISAM", "Aria", "MEMORY"} {
		t.Run(engine, func(t *testing.T) {
			d := newDatabase(t)
			d.Exec(t, "CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(20))")
			d.Exec(t, "CREATE TABLE log (id INT PRIMARY KEY, name VARCHAR(20)) ENGINE = "+engine)
			for _, name := range []string{"person", "log"} {
				d.Exec(t, "INSERT INTO "+name+" VALUES (1, 'x'), (2, 'x'), (3, 'x')")
			}
			b := d.Open(t, backendtest.Limits{})
			batch := backend.Batch{Operations: []backend.Operation{deletion("person", "1"), deletion("log", "1", "2")}}
			var refused *backend.RefusedError
			if _, err := b.Execute(ctx, batch); !errors.As(err, &refused) || !strings.Contains(err.Error(), engine) {
				t.Fatal(err)
			}
			wantEqual(t, "rows", d.Dump(t, "SELECT (SELECT count(*) FROM person), (SELECT count(*) FROM log)"), []string{"3|3"})
			batch.AcceptNonTransactional = []backend.Table{{Schema: d.name, Name: "log"}}
			batch.BeforeEffect = func(context.Context) error { return errors.New("not yet") }
			if _, err := b.Execute(ctx, batch); err == nil {
				t.Error("no permission was needed")
			}
			wantEqual(t, "rows", d.Dump(t, "SELECT (SELECT count(*) FROM person), (SELECT count(*) FROM log)"), []string{"3|3"})
			calls := 0
			batch.BeforeEffect = func(context.Context) error {
				wantEqual(t, "rows", d.Dump(t, "SELECT (SELECT count(*) FROM person), (SELECT count(*) FROM log)"), []string{"3|3"})
				calls++
				return nil
			}
			got, err := b.Execute(ctx, batch)
			if err != nil || fmt.Sprint(got.Affected) != "[1 2]" || calls != 1 {
				t.Errorf("%+v, %v, %d calls", got, err, calls)
			}
			wantEqual(t, "rows", d.Dump(t, "SELECT (SELECT count(*) FROM person), (SELECT count(*) FROM log)"), []string{"2|1"})
		})
	}
}

// What the server is set to must not change what statements mean.
func TestServerSettings(t *testing.T) {
	s, err := mariadbtest.Start(ctx, mariadbtest.Options{Settings: map[string]string{
		"sql-mode": "ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH", "default-time-zone": "+05:00", "autocommit": "0", "completion-type": "1",
		"character-set-server": "latin1", "collation-server": "latin1_swedish_ci", "lower-case-table-names": "1", "transaction-isolation": "SERIALIZABLE",
		"default-regex-flags": "EXTENDED", "in-predicate-conversion-threshold": "2", "init-connect": "SET sql_select_limit = 1, foreign_key_checks = 0, sql_safe_updates = 1, sql_auto_is_null = 1",
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Stop() }()
	own := server
	server = s
	defer func() { server = own }()
	d := newDatabase(t)
	d.Exec(t, "SET autocommit = 1")
	d.Exec(t, `CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(20) CHARACTER SET utf8mb4, c CHAR(5), at TIMESTAMP NULL)`)
	d.Exec(t, `CREATE TABLE card (id INT PRIMARY KEY, person INT, FOREIGN KEY (person) REFERENCES person (id))`)
	d.Exec(t, `INSERT INTO person VALUES (1, 'a\\', 'c', '2024-01-01 05:00:00'), (2, ' B'' ', 'c', NULL), (3, 'x', 'c', NULL)`)
	d.Exec(t, `INSERT INTO card VALUES (1, 1)`)
	b := d.Open(t, backendtest.Limits{})
	q := backend.Query{Entity: "e", Table: backend.Table{Name: "Person"}, KeyColumns: []string{"id"}, Columns: []string{"c", "at"}, AnyOf: []backend.Match{
		identity("c", backend.None, "c"), identity("name", backend.TrimLowerCase, "b'"), identity("name", backend.None, `a\`)}}
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
	if err != nil || len(res.Rows["e"]) != 3 {
		t.Fatalf("%+v, %v", res, err)
	}
	wantEqual(t, "values", []string{b.Text(res.Rows["e"][0].Values[0]), b.Text(res.Rows["e"][0].Values[1])}, []string{"c", "2024-01-01 00:00:00"})
	var stale *backend.StaleError
	if _, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{deletion("person", "1")}}); !errors.As(err, &stale) {
		t.Errorf("foreign key: %v", err)
	}
	if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{deletion("person", "2", "3")}}); err != nil || got.Affected[0] != 2 {
		t.Errorf("%+v, %v", got, err)
	}
	wantEqual(t, "rows", d.Dump(t, "SELECT id FROM person"), []string{"1"})
}

// A call that was given up leaves no session behind that works on and keeps its locks.
func TestGivenUpCallsAreEnded(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id INT PRIMARY KEY)")
	d.Exec(t, "INSERT INTO person VALUES (1), (2)")
	d.Exec(t, "BEGIN")
	d.Dump(t, "SELECT * FROM person WHERE id = 2 FOR UPDATE")
	b := d.Open(t, backendtest.Limits{BatchSize: 1})
	c, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	var unavailable *backend.UnavailableError
	if _, err := b.Execute(c, backend.Batch{Operations: []backend.Operation{deletion("person", "1", "2")}}); !errors.As(err, &unavailable) {
		t.Fatal(err)
	}
	d.Exec(t, "SET innodb_lock_wait_timeout = 2") // the backend's own is 10 s
	d.Exec(t, "DELETE FROM person WHERE id = 1")
	d.Exec(t, "COMMIT")
}

// Many statements of different shapes do not use up the server.
func TestShapes(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id INT PRIMARY KEY, name VARCHAR(20))")
	d.Exec(t, "INSERT INTO person SELECT seq, seq FROM seq_1_to_3000")
	b := d.Open(t, backendtest.Limits{})
	var values []string
	for n := 1; n <= 2500; n += 1 + n/8 {
		for len(values) < n {
			values = append(values, fmt.Sprint(len(values)+1))
		}
		wantEqual(t, fmt.Sprint(n), len(find(t, b, "person", "id", identity("id", backend.None, values...))), n)
		wantEqual(t, fmt.Sprint(n), len(find(t, b, "person", "id", identity("name", backend.LowerCase, values...))), n)
	}
}
