package mysql_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// attacks of this server's own, and such as fit in no other test.
var attacks = append(slices.Clone(backendtest.Attacks), "1 AND EXTRACTVALUE(1, CONCAT(0x7e, VERSION())) -- and what comes after it", "\x00", "a\x00' OR 1=1 -- ", "\x001\x00", "{x}",
	strings.Repeat("'", 255), strings.Repeat("\\", 255), strings.Repeat("A", 100_000))

// TestInjection puts the attacks wherever a value may stand, on columns of different types and character sets.
func TestInjection(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id BIGINT PRIMARY KEY, t VARCHAR(300) COLLATE utf8mb4_general_ci, l TEXT CHARACTER SET latin1, b BLOB, en ENUM('a', 'b'), n BIGINT, dt DATETIME, j JSON, KEY (t))")
	d.Exec(t, "CREATE TABLE child (a VARCHAR(300), b BIGINT, PRIMARY KEY (a, b))")
	d.Exec(t, `INSERT INTO person VALUES (1, 'x', 'x', 'x', 'a', 1, '2024-01-01', '{"m": "x"}'), (2, 'y', 'y', 'y', 'b', 2, '2024-01-01', '{}')`)
	d.Exec(t, "INSERT INTO child VALUES ('x', 1), ('y', 2)")
	before := []any{d.Dump(t, "SELECT * FROM person ORDER BY id"), d.Dump(t, "SELECT * FROM child ORDER BY a")}
	unchanged := func(s string) {
		t.Helper()
		wantEqual(t, s, []any{d.Dump(t, "SELECT * FROM person ORDER BY id"), d.Dump(t, "SELECT * FROM child ORDER BY a")}, before)
	}
	b := d.Open(t, backendtest.Limits{})
	ok := func(s string, err error) bool { // nothing, or that the value does not fit
		t.Helper()
		var refused *backend.RefusedError
		if err != nil && (!errors.As(err, &refused) || len(s) > 3 && strings.Contains(err.Error(), s)) {
			t.Errorf("%q: %v", s, err)
		}
		return err == nil
	}
	for _, s := range attacks {
		for _, column := range []string{"t", "l", "b", "en", "n", "dt", "j"} {
			for _, n := range []backend.Normalization{backend.None, backend.LowerCase, backend.TrimLowerCase} {
				many := []string{s}
				for i := range 3 {
					many = append(many, fmt.Sprint(s, i))
				}
				res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"},
					AnyOf: []backend.Match{identity(column, n, many...), {Values: &backend.ValuesMatch{Columns: []string{column, "id"}, Rows: [][]string{{s, "1"}}}}},
					Flags: [][]backend.Condition{{{Column: column, Operator: backend.NotIn, Values: []string{s}}}, {{Column: column, Operator: backend.LessThan, Values: []string{s}}}}}}})
				if ok(s, err) && len(res.Rows["e"]) != 0 {
					t.Errorf("%q found something in %s", s, column)
				}
			}
			_, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{
				{Entity: "e", Action: backend.Update, Table: backend.Table{Name: "person"}, KeyColumns: []string{column}, Keys: []backend.Key{{s}}, Columns: []string{"t"}, Set: [][]backend.Value{{&s}}},
				{Entity: "e", Action: backend.Delete, Table: backend.Table{Name: "person"}, KeyColumns: []string{column}, Keys: []backend.Key{{s}},
					Unless: [][]backend.Condition{{{Column: "t", Operator: backend.In, Values: []string{s}}}}}}})
			ok(s, err)
		}
		keys := []backend.Key{{s, "1"}, {s, "2"}, {s, "3"}, {s, "4"}, {s, "5"}, {s, "6"}}
		_, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{{Entity: "e", Action: backend.Delete, Table: backend.Table{Name: "child"}, KeyColumns: []string{"a", "b"}, Keys: keys}}})
		ok(s, err)
		unchanged(s)
		if len(s) > 300 || strings.ContainsRune(s, 0) {
			continue
		}
		update := backend.Operation{Entity: "e", Action: backend.Update, Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}},
			Columns: []string{"t"}, Set: [][]backend.Value{{&s}}}
		if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{update}}); err != nil || got.Affected[0] != 1 {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
		wantEqual(t, "written", d.Dump(t, "SELECT t FROM person WHERE id = 1"), []string{s})
		d.Exec(t, "UPDATE person SET t = 'x' WHERE id = 1")
	}
	invalid := "\xbf' OR 1=1 -- "
	_, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}, AnyOf: []backend.Match{identity("t", backend.None, invalid)}}}})
	var refused *backend.RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("invalid UTF-8: %v", err)
	}
}

// TestNames: names of schemas, tables, columns and constraints.
func TestNames(t *testing.T) {
	for _, name := range []string{"`", "a`; DROP TABLE person; -- x", "a``b", `a\`, "a' OR '1", "SELECT", "a.b", "?", "c1", "v", "x", "t", "u", "r", "k1", "Ü \U0001D54F"} {
		d := newDatabase(t)
		quoted := "`" + strings.ReplaceAll(name, "`", "``") + "`"
		schema := name + " " + d.name
		if strings.ContainsRune(name, 0x1D54F) { // identifiers end at the basic plane
			if _, err := d.app.ExecContext(ctx, "CREATE TABLE "+quoted+" (id INT)"); err == nil {
				t.Error("a name that no server knew has come to be")
			}
			continue
		}
		inSchema := "`" + strings.ReplaceAll(schema, "`", "``") + "`." + quoted
		for _, s := range []string{"CREATE DATABASE `" + strings.ReplaceAll(schema, "`", "``") + "`",
			"CREATE TABLE " + inSchema + " (" + quoted + " VARCHAR(20) PRIMARY KEY, val VARCHAR(20))", "INSERT INTO " + inSchema + " VALUES ('1', 'x'), ('2', 'y')",
			"CREATE TABLE `ref` (id INT PRIMARY KEY, up VARCHAR(20), CONSTRAINT " + quoted + " FOREIGN KEY (up) REFERENCES " + inSchema + " (" + quoted + ") ON DELETE CASCADE)",
			"GRANT SELECT, UPDATE, DELETE ON " + inSchema + " TO " + d.user, "GRANT SELECT ON `ref` TO " + d.user, "INSERT INTO `ref` VALUES (1, '2')"} {
			if _, err := d.app.ExecContext(ctx, s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		b := d.Open(t, backendtest.Limits{})
		table := backend.Table{Schema: schema, Name: name}
		res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: table, KeyColumns: []string{name}, Columns: []string{"val"},
			AnyOf: []backend.Match{identity(name, backend.LowerCase, "1"), identity("val", backend.None, "x")}}}})
		if err != nil || len(res.Rows["e"]) != 1 {
			t.Fatalf("%s: %+v, %v", name, res, err)
		}
		update := backend.Operation{Entity: "e", Action: backend.Update, Table: table, KeyColumns: []string{name}, Keys: []backend.Key{{"1"}}, Columns: []string{"val"}, Set: [][]backend.Value{{nil}}}
		gone := backend.Operation{Entity: "e", Action: backend.Delete, Table: table, KeyColumns: []string{name}, Keys: []backend.Key{{"1"}}}
		if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{update, gone}}); err != nil || fmt.Sprint(got.Affected) != "[1 1]" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		gone.Keys[0][0] = "2"
		var stale *backend.StaleError
		if _, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{gone}}); !errors.As(err, &stale) {
			t.Errorf("%s: %v", name, err)
		}
		s, err := b.(backend.Inspector).Inspect(ctx, []backend.Table{table})
		if err != nil || len(s.Tables) != 2 || !slices.ContainsFunc(s.Tables, func(i backend.TableInfo) bool { return i.Table == table && i.Privileges.Delete }) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// TestTooLong: what the server does not take is refused, and the connection goes on.
func TestTooLong(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id BIGINT PRIMARY KEY, t LONGTEXT)")
	d.Exec(t, "INSERT INTO person VALUES (1, 'x')")
	b := d.Open(t, backendtest.Limits{})
	long := strings.Repeat("canary ", 3<<20)
	op := backend.Operation{Entity: "e", Action: backend.Update, Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}},
		Columns: []string{"t"}, Set: [][]backend.Value{{&long}}}
	var refused *backend.RefusedError
	if _, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}}); !errors.As(err, &refused) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "max_allowed_packet") {
		t.Errorf("too long: %v", err)
	}
	long = long[:8<<20]
	if got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}}); err != nil || got.Affected[0] != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	wantEqual(t, "length", d.Dump(t, "SELECT length(t) FROM person"), []string{fmt.Sprint(8 << 20)})
}
