package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/sql/mysql"
	"github.com/lethe-dev/lethe/test/mariadbtest"
)

var (
	ctx    = context.Background()
	server *mariadbtest.Server
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	s, err := mariadbtest.Start(ctx, mariadbtest.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = s.Stop() }()
	server = s
	return m.Run()
}

func TestContract(t *testing.T) {
	backendtest.Run(t, func(t *testing.T) backendtest.Database { return newDatabase(t) })
}

// database has an owner, the application, and a user of its own with the rights that Lethe needs.
type database struct {
	name, user string
	app        *sql.Conn
}

func newDatabase(t testing.TB) *database {
	t.Helper()
	name, err := server.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	d := &database{name: name, user: "lethe_" + name}
	d.connect(t)
	d.Exec(t, fmt.Sprintf("CREATE USER %s IDENTIFIED BY 'secret-password'", d.user))
	d.Exec(t, fmt.Sprintf("GRANT REFERENCES ON *.* TO %s", d.user))
	return d
}

func (d *database) connect(t testing.TB) {
	t.Helper()
	db, err := server.Connect(d.name, map[string]string{"sql_mode": "'ANSI,STRICT_ALL_TABLES'", "max_statement_time": "30"})
	if err != nil {
		t.Fatal(err)
	}
	if d.app, err = db.Conn(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
}

func (d *database) open(t testing.TB, c mysql.Config) backend.Backend {
	t.Helper()
	b, err := mysql.Open(ctx, c)
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

func (d *database) config() mysql.Config {
	return mysql.Config{Host: server.Host, Port: server.Port, Database: d.name, User: d.user, Password: "secret-password", TLSMode: "disable"}
}

func (d *database) Open(t testing.TB, l backendtest.Limits) backend.Backend {
	t.Helper()
	c := d.config()
	c.BatchSize, c.StatementTimeout, c.LockTimeout = l.BatchSize, l.StatementTimeout, l.LockTimeout
	return d.open(t, c)
}

var (
	argument = regexp.MustCompile(`\$([0-9])`)
	created  = regexp.MustCompile(`(?i)^\s*CREATE (?:TABLE|VIEW) ("(?:[^"]|"")*"|\w+(?:\.\w+)?)`)
	renamed  = regexp.MustCompile(`(?i)^\s*ALTER TABLE \w+ RENAME TO (\w+)`)
)

// Exec grants the rights on each table that it makes: those on a whole database would hold for sessions that are open.
func (d *database) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if len(args) > 0 {
		statement = argument.ReplaceAllString(statement, "?")
	}
	if _, err := d.app.ExecContext(ctx, statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	for _, pattern := range []*regexp.Regexp{created, renamed} {
		if m := pattern.FindStringSubmatch(statement); m != nil {
			d.Exec(t, fmt.Sprintf("GRANT SELECT, UPDATE, DELETE, TRIGGER ON %s TO %s", m[1], d.user))
		}
	}
}

func (d *database) Dump(t testing.TB, query string) []string {
	t.Helper()
	rows, err := d.app.QueryContext(ctx, query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		raw, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range raw {
			into[i] = &raw[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		parts := make([]string, len(raw))
		for i, v := range raw {
			if parts[i] = v.String; !v.Valid {
				parts[i] = "NULL"
			}
		}
		lines = append(lines, strings.Join(parts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func (d *database) trigger(t *testing.T, name, table, when, event, body string) {
	t.Helper()
	d.Exec(t, fmt.Sprintf("CREATE TRIGGER %s %s %s ON %s FOR EACH ROW %s", name, when, event, table, body))
}

func (d *database) Count(t *testing.T, table string) {
	for _, event := range []string{"UPDATE", "DELETE"} {
		d.trigger(t, "count_"+table+event, table, "AFTER", event, "INSERT INTO effects VALUES ('"+table+"')")
	}
}

func (d *database) Lock(t *testing.T, table string) func() {
	d.Exec(t, "BEGIN")
	d.Dump(t, "SELECT * FROM "+table+" FOR UPDATE")
	return func() { d.Exec(t, "ROLLBACK") }
}

func (d *database) Slow(t *testing.T, table string) {
	d.trigger(t, "slow", table, "BEFORE", "DELETE", "SET @slow = SLEEP(2)")
}

func (d *database) Break(t *testing.T, table string) func() {
	d.trigger(t, "broken", table, "BEFORE", "DELETE", "KILL CONNECTION_ID()")
	return func() { d.Exec(t, "DROP TRIGGER broken") }
}

func (d *database) Forbid(t *testing.T, table string) bool {
	d.Exec(t, fmt.Sprintf("REVOKE DELETE ON %s FROM %s", table, d.user))
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

func (*database) BlobType() string { return "LONGBLOB" }

func (*database) Blob(hex string) string { return "x'" + hex + "'" }

// Dialect: long text has the server's collation, which takes letters of any case for the same.
func (*database) Dialect() backendtest.Dialect {
	return backendtest.Dialect{KeyText: "VARCHAR(190) COLLATE utf8mb4_bin", Text: "TEXT", Timestamp: "DATETIME(6)", Numeric: "DECIMAL(30,4)",
		JSON: "JSON", LongKey: func(short, long []string) string {
			for _, c := range long {
				short = append(short, c+"(50)")
			}
			return "KEY (" + strings.Join(short, ", ") + ")"
		}, Folding: []string{"VARCHAR(50) COLLATE utf8mb4_general_ci", "VARCHAR(50) COLLATE utf8mb4_uca1400_ai_ci", "VARCHAR(50) COLLATE utf8mb4_nopad_bin"}}
}

var _ = errors.Is

func TestSweepContract(t *testing.T) {
	backendtest.RunSweep(t, func(t *testing.T) backendtest.SweepDatabase { return newDatabase(t) })
}

func (d *database) Session(t testing.TB) func(string) (int64, error) {
	t.Helper()
	db, err := server.Connect(d.name, map[string]string{"sql_mode": "'ANSI,STRICT_ALL_TABLES'", "max_statement_time": "30", "innodb_lock_wait_timeout": "5"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	return func(statement string) (int64, error) {
		r, err := db.ExecContext(ctx, statement)
		if err != nil {
			return 0, err
		}
		return r.RowsAffected()
	}
}

func (*database) Sweeps() backendtest.SweepKinds {
	return backendtest.SweepKinds{Clocks: []string{"DATE", "TIMESTAMP(6) NULL", "VARCHAR(40)"}, NoClock: "TIME", Generated: "BIGINT GENERATED ALWAYS AS (at + 1) STORED", RowLocks: true}
}
