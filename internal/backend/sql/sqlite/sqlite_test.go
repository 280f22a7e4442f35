package sqlite_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
)

var ctx = context.Background()

func TestContract(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		t.Run("journal mode "+mode, func(t *testing.T) {
			backendtest.Run(t, func(t *testing.T) backendtest.Database { return newDatabase(t, mode) })
		})
	}
}

// database is a file that the application has open too.
type database struct {
	root string
	app  *sql.DB
}

func newDatabase(t testing.TB, mode string) *database {
	t.Helper()
	return newDatabaseIn(t, t.TempDir(), mode)
}

func newDatabaseIn(t testing.TB, folder, mode string) *database {
	t.Helper()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	d := openDatabase(t, folder)
	d.Exec(t, "PRAGMA journal_mode = "+mode)
	d.Exec(t, "CREATE TABLE made (x)")
	d.Exec(t, "DROP TABLE made")
	return d
}

func openDatabase(t testing.TB, folder string) *database {
	t.Helper()
	d := &database{root: folder}
	app, err := sql.Open("sqlite", "file:"+filepath.Join(d.root, "app.db")+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	app.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = app.Close() })
	d.app = app
	return d
}

func (d *database) Open(t testing.TB, l backendtest.Limits) backend.Backend {
	t.Helper()
	b, err := sqlite.Open(ctx, sqlite.Config{Root: d.root, Path: "app.db", BatchSize: l.BatchSize,
		StatementTimeout: l.StatementTimeout, LockTimeout: l.LockTimeout})
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

func (d *database) Exec(t testing.TB, statement string, args ...any) {
	t.Helper()
	if _, err := d.app.Exec(statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (d *database) Dump(t testing.TB, query string) []string {
	t.Helper()
	rows, err := d.app.Query(query)
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
		raw, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range raw {
			into[i] = &raw[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		parts := make([]string, len(raw))
		for i, v := range raw {
			switch v := v.(type) {
			case nil:
				parts[i] = "NULL"
			case []byte:
				parts[i] = "x'" + hex.EncodeToString(v) + "'"
			default:
				parts[i] = fmt.Sprint(v)
			}
		}
		lines = append(lines, strings.Join(parts, "|"))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func (d *database) Count(t *testing.T, table string) {
	for _, event := range []string{"UPDATE", "DELETE"} {
		d.Exec(t, fmt.Sprintf("CREATE TRIGGER count_%s_%s AFTER %s ON %s BEGIN INSERT INTO effects VALUES ('%s'); END",
			table, event, event, table, table))
	}
}

func (d *database) Lock(t *testing.T, _ string) func() {
	d.Exec(t, "BEGIN IMMEDIATE")
	return func() { d.Exec(t, "ROLLBACK") }
}

func (d *database) Slow(t *testing.T, table string) {
	d.Exec(t, "CREATE TABLE slow (n)")
	d.Exec(t, fmt.Sprintf(`CREATE TRIGGER slow BEFORE DELETE ON %s BEGIN
		INSERT INTO slow SELECT count(*) FROM (WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r LIMIT 100000000) SELECT n FROM r);
		END`, table))
}

func (*database) Break(*testing.T, string) func() { return nil }

func (*database) Forbid(*testing.T, string) bool { return false }

func (*database) Stop(*testing.T) func() { return nil }

func (*database) BlobType() string { return "BLOB" }

func (*database) Dialect() backendtest.Dialect {
	return backendtest.Dialect{KeyText: "TEXT", Text: "TEXT", Timestamp: "TIMESTAMP", Numeric: "NUMERIC", JSON: "TEXT",
		LongKey: backendtest.PrimaryKey, Partial: true, Expressions: true, SetDefault: true,
		Folding: []string{"TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "COLLATE NOCASE", "BLOB COLLATE RTRIM"}}
}

func (*database) Blob(hex string) string { return "x'" + hex + "'" }

func TestOpenStaysInTheRoot(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{filepath.Join(outer, "secret.db"), filepath.Join(root, "a ?#%b.db"), filepath.Join(root, "not.db")} {
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "not.db"), []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{
		"out.db": filepath.Join(outer, "secret.db"), "up": "..", "in.db": "a ?#%b.db", "dangling.db": filepath.Join(outer, "new.db"),
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	var refused *backend.RefusedError
	var unavailable *backend.UnavailableError
	for _, c := range []struct {
		path    string
		target  any
		outside bool
	}{
		{"a ?#%b.db", nil, false}, {"in.db", nil, false},
		{"missing.db", &unavailable, false}, {"missing/x.db", &unavailable, false},
		{"../secret.db", &refused, true}, {filepath.Join(outer, "secret.db"), &refused, true}, {"x/../../secret.db", &refused, true},
		{"out.db", &refused, true}, {"up/secret.db", &refused, true}, {"dangling.db", &refused, true}, {"", &refused, true},
		{"a\x00.db", &refused, true}, {".", &refused, false}, {"not.db", &refused, false},
	} {
		t.Run(c.path, func(t *testing.T) {
			b, err := sqlite.Open(ctx, sqlite.Config{Root: root, Path: c.path})
			if err == nil {
				_ = b.Close()
			}
			if c.target == nil && err != nil || c.target != nil && !errors.As(err, c.target) || errors.Is(err, backend.ErrPathOutsideRoot) != c.outside {
				t.Errorf("Open: %v", err)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(outer, "new.db")); err == nil {
		t.Error("a file was made outside the root")
	}
	_, err := sqlite.Open(ctx, sqlite.Config{Root: filepath.Join(outer, "nowhere"), Path: "x.db"})
	if !errors.As(err, &unavailable) {
		t.Errorf("without a root: %v", err)
	}
}

// Columns without a declared type, collations that take keys for the same, and text that is not UTF-8.
func TestLooseTypes(t *testing.T) {
	d := newDatabase(t, "delete")
	d.Exec(t, `CREATE TABLE loose (k PRIMARY KEY NOT NULL, v)`)
	d.Exec(t, `INSERT INTO loose VALUES (10, 'number'), ('10', 'text'), (x'3130', 'blob'), (10.5, 'real'), (CAST(x'ff41' AS TEXT), 'bytes')`)
	d.Exec(t, `CREATE TABLE folded (k TEXT COLLATE NOCASE NOT NULL, n INTEGER, v TEXT COLLATE NOCASE)`)
	d.Exec(t, `CREATE UNIQUE INDEX exact ON folded (k COLLATE BINARY)`)
	d.Exec(t, `INSERT INTO folded VALUES ('ann', 1, 'X'), ('ANN', 2, 'X')`)
	b := d.Open(t, backendtest.Limits{})
	q := backend.Query{Entity: "loose", Table: backend.Table{Name: "loose"}, KeyColumns: []string{"k"}, Columns: []string{"v"},
		AnyOf: []backend.Match{{Identity: &backend.IdentityMatch{Column: "v", Values: []string{"number", "text", "blob", "real", "bytes"}}}}}
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}})
	if err != nil || len(res.Rows["loose"]) != 5 {
		t.Fatalf("%v, %v", res, err)
	}
	for i, r := range res.Rows["loose"] {
		ops := []backend.Operation{{Entity: "loose", Action: backend.Delete, Table: q.Table, KeyColumns: q.KeyColumns, Keys: []backend.Key{r.Key}}}
		got, err := b.Execute(ctx, backend.Batch{Operations: ops})
		if err != nil || got.Affected[0] != 1 || len(d.Dump(t, "SELECT * FROM loose")) != 4-i {
			t.Fatalf("key %d: %v, %v", i, got, err)
		}
	}
	d.Exec(t, `INSERT INTO loose VALUES (1, x''), (2, ''), (3, NULL), (4, 9e999)`)
	q.AnyOf[0].Identity = &backend.IdentityMatch{Column: "k", Values: []string{"1", "2", "3", "4"}}
	if res, err = b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}}); err != nil || len(res.Rows["loose"]) != 4 {
		t.Fatalf("%v, %v", res, err)
	}
	restore := backend.Operation{Entity: "loose", Action: backend.Update, Table: q.Table, KeyColumns: q.KeyColumns, Columns: q.Columns}
	for _, r := range res.Rows["loose"] {
		restore.Keys, restore.Set = append(restore.Keys, r.Key), append(restore.Set, r.Values)
	}
	before := d.Dump(t, "SELECT k, typeof(v), quote(v) FROM loose ORDER BY k")
	d.Exec(t, `UPDATE loose SET v = 'hidden'`)
	if _, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{restore}}); err != nil {
		t.Fatal(err)
	}
	if after := d.Dump(t, "SELECT k, typeof(v), quote(v) FROM loose ORDER BY k"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("restored %v, want %v", after, before)
	}
	ops := []backend.Operation{
		{Entity: "folded", Action: backend.Update, Table: backend.Table{Name: "folded"}, KeyColumns: []string{"k"},
			Keys: []backend.Key{{*b.FromText("ann")}}, Columns: []string{"v"}, Set: [][]backend.Value{{b.FromText("x")}}},
		{Entity: "folded", Action: backend.Delete, Table: backend.Table{Name: "folded"}, KeyColumns: []string{"k"},
			Keys: []backend.Key{{*b.FromText("ANN")}}},
	}
	got, err := b.Execute(ctx, backend.Batch{Operations: ops})
	if err != nil || fmt.Sprint(got.Affected) != "[1 1]" || fmt.Sprint(d.Dump(t, "SELECT * FROM folded")) != "[ann|1|x]" {
		t.Errorf("%v, %v: %v", got, err, d.Dump(t, "SELECT * FROM folded"))
	}
}

// TestMissingRights: a file is all that has rights here, and its folder, in which the journal is made.
func TestMissingRights(t *testing.T) {
	root, ok := backendtest.Unprivileged(t)
	if !ok {
		return
	}
	for _, c := range []struct {
		name         string
		file, folder os.FileMode
		reads        bool
	}{
		{"a file that may not be written", 0o400, 0o700, true},
		{"a folder in which no journal can be made", 0o600, 0o500, true},
		{"a file that may not be read", 0, 0o700, false},
		{"a folder that may not be entered", 0o600, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDatabaseIn(t, filepath.Join(root, strings.ReplaceAll(c.name, " ", "-")), "delete")
			d.Exec(t, `CREATE TABLE person (id INTEGER PRIMARY KEY)`)
			d.Exec(t, `INSERT INTO person VALUES (1), (2)`)
			mode := func(file, folder os.FileMode) {
				t.Helper()
				if err := errors.Join(os.Chmod(d.root, 0o700), os.Chmod(filepath.Join(d.root, "app.db"), file), os.Chmod(d.root, folder)); err != nil {
					t.Fatal(err)
				}
			}
			ops := []backend.Operation{{Entity: "person", Action: backend.Delete, Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}}}
			mode(c.file, c.folder)
			var refused *backend.RefusedError
			b, err := sqlite.Open(ctx, sqlite.Config{Root: d.root, Path: "app.db"})
			if (err == nil) != c.reads || err != nil && (!errors.As(err, &refused) || !strings.Contains(err.Error(), "grant")) {
				t.Errorf("Open: %v", err)
			}
			if err == nil {
				if left, err := b.Verify(ctx, ops); err != nil || left[0] != 1 {
					t.Errorf("Verify: %v, %v", left, err)
				}
				if _, err = b.Execute(ctx, backend.Batch{Operations: ops}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "grant") {
					t.Errorf("Execute: %v", err)
				}
				_ = b.Close()
			}
			mode(0o600, 0o700)
			if got := d.Dump(t, "SELECT * FROM person"); len(got) != 2 {
				t.Errorf("left: %v", got)
			}
			if got, err := d.Open(t, backendtest.Limits{}).Execute(ctx, backend.Batch{Operations: ops}); err != nil || got.Affected[0] != 1 {
				t.Errorf("with the rights: %v, %v", got, err)
			}
		})
	}
}

// TestKilledInTheMiddle: a process that dies with changes written, and before they are committed, has changed nothing.
func TestKilledInTheMiddle(t *testing.T) {
	const rows = 20_000 // more than the cache holds, so that changes are in the file itself
	root, child := backendtest.InChild(t)
	all := backend.Operation{Entity: "person", Action: backend.Delete, Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}}
	for i := range rows {
		all.Keys = append(all.Keys, backend.Key{fmt.Sprint(i + 1)})
	}
	ops := []backend.Operation{all}
	open := func(mode string) backend.Backend {
		t.Helper()
		b, err := sqlite.Open(ctx, sqlite.Config{Root: filepath.Join(root, mode), Path: "app.db"})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if child {
		mode := os.Getenv("LETHE_TEST_MODE")
		_, err := open(mode).Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}})
		t.Fatalf("it goes on: %v", err)
	}
	for _, mode := range []string{"delete", "wal"} {
		d := newDatabaseIn(t, filepath.Join(root, mode), mode)
		d.Exec(t, `CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT)`)
		d.Exec(t, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= $1) INSERT INTO person SELECT i, hex(randomblob(200)) FROM n`, rows)
		before := d.Dump(t, "SELECT * FROM person")
		if err := d.app.Close(); err != nil {
			t.Fatal(err)
		}
		if err := filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error { return errors.Join(err, os.Chmod(p, 0o777)) }); err != nil {
			t.Fatal(err)
		}
		t.Setenv("LETHE_TEST_MODE", mode)
		out, err := backendtest.RunChild(t, root)
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: the process ended otherwise: %v\n%s", mode, err, out)
		}
		if log, err := os.Stat(filepath.Join(root, mode, map[string]string{"delete": "app.db-journal", "wal": "app.db-wal"}[mode])); err != nil || log.Size() < 1<<20 {
			t.Errorf("%s: it had changed nothing yet: %+v, %v", mode, log, err)
		}
		b := open(mode)
		defer func() { _ = b.Close() }()
		if left, err := b.Verify(ctx, ops); err != nil || left[0] != rows {
			t.Errorf("%s: left %v, %v", mode, left, err)
		}
		again := openDatabase(t, filepath.Join(root, mode))
		if got := again.Dump(t, "SELECT * FROM person"); !slices.Equal(got, before) {
			t.Errorf("%s: %d rows, want %d", mode, len(got), len(before))
		}
		if got, err := b.Execute(ctx, backend.Batch{Operations: ops}); err != nil || got.Affected[0] != rows || len(again.Dump(t, "SELECT * FROM person")) != 1 {
			t.Errorf("%s: ended by %v, %v", mode, got, err)
		}
	}
}

// TestFileTakenAwayAndReplaced: what is not there is waited for, and a file that a restore puts in its place is the database from
// then on.
func TestFileTakenAwayAndReplaced(t *testing.T) {
	d, backup := newDatabase(t, "delete"), newDatabase(t, "delete")
	for _, db := range []*database{d, backup} {
		db.Exec(t, `CREATE TABLE person (id INTEGER PRIMARY KEY)`)
		db.Exec(t, `INSERT INTO person VALUES (1), (2)`)
	}
	b := d.Open(t, backendtest.Limits{})
	ops := []backend.Operation{{Entity: "person", Action: backend.Delete, Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}}}
	verify := func() ([]int64, error) { return b.Verify(ctx, ops) }
	if _, err := b.Execute(ctx, backend.Batch{Operations: ops}); err != nil {
		t.Fatal(err)
	}
	file, away := filepath.Join(d.root, "app.db"), filepath.Join(d.root, "away.db")
	if err := os.Rename(file, away); err != nil {
		t.Fatal(err)
	}
	var unavailable *backend.UnavailableError
	_, err := b.Execute(ctx, backend.Batch{Operations: ops})
	_, verr := verify()
	_, derr := b.Describe(ctx)
	_, ierr := b.(backend.Inspector).Inspect(ctx, nil)
	for _, err := range []error{err, verr, derr, ierr} {
		if !errors.As(err, &unavailable) {
			t.Errorf("without its file: %v", err)
		}
	}
	if err := os.Rename(away, file); err != nil {
		t.Fatal(err)
	}
	if left, err := verify(); err != nil || left[0] != 0 {
		t.Errorf("with its file: %v, %v", left, err)
	}
	backup.Exec(t, `CREATE TABLE later (id INTEGER PRIMARY KEY)`)
	if err := os.Rename(filepath.Join(backup.root, "app.db"), file); err != nil {
		t.Fatal(err)
	}
	if s, err := b.(backend.Inspector).Inspect(ctx, nil); err != nil || !slices.Contains(s.All, backend.Table{Name: "later"}) {
		t.Errorf("the schema of another file: %+v, %v", s, err)
	}
	if left, err := verify(); err != nil || left[0] != 1 {
		t.Errorf("with another file: %v, %v", left, err)
	}
	if got, err := b.Execute(ctx, backend.Batch{Operations: ops}); err != nil || got.Affected[0] != 1 {
		t.Errorf("with another file: %v, %v", got, err)
	}
	if got := openDatabase(t, d.root).Dump(t, "SELECT * FROM person"); !slices.Equal(got, []string{"2"}) {
		t.Errorf("left %v", got)
	}
}

func TestSweepContract(t *testing.T) {
	for _, mode := range []string{"delete", "wal"} {
		t.Run("journal mode "+mode, func(t *testing.T) {
			backendtest.RunSweep(t, func(t *testing.T) backendtest.SweepDatabase { return newDatabase(t, mode) })
		})
	}
}

func (d *database) Session(t testing.TB) func(string) (int64, error) {
	t.Helper()
	app := openDatabase(t, d.root).app
	return func(statement string) (int64, error) {
		r, err := app.Exec(statement)
		if err != nil {
			return 0, err
		}
		return r.RowsAffected()
	}
}

func (*database) Sweeps() backendtest.SweepKinds {
	return backendtest.SweepKinds{Clocks: []string{"DATE", "DATETIME", "VARCHAR(40) COLLATE NOCASE", "BLOB"}, Generated: "BIGINT GENERATED ALWAYS AS (at + 1)"}
}
