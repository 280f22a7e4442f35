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
)

func deletion(table string, keys ...string) backend.Operation {
	op := backend.Operation{Entity: table, Action: backend.Delete, Table: backend.Table{Name: table}, KeyColumns: []string{"id"}}
	for _, k := range keys {
		op.Keys = append(op.Keys, backend.Key{k})
	}
	return op
}

// TestGuardOfCatalogue: schemas on either side, and what a foreign key compares by.
func TestGuardOfCatalogue(t *testing.T) {
	for name, c := range map[string]struct {
		schema  string
		blocked bool
	}{
		"nobody refers":          {"CREATE TABLE child (id INT, up VARCHAR(20) REFERENCES person (id) ON DELETE CASCADE); INSERT INTO child VALUES (1, 'C'), (2, NULL)", false},
		"cascade":                {"CREATE TABLE child (id INT, up VARCHAR(20) REFERENCES person (id) ON DELETE CASCADE); INSERT INTO child VALUES (1, 'a')", true},
		"set null":               {"CREATE TABLE child (id INT, up VARCHAR(20) REFERENCES person (id) ON DELETE SET NULL); INSERT INTO child VALUES (1, 'B')", true},
		"letters of any case":    {"CREATE TABLE child (id INT, up VARCHAR(20) REFERENCES person (id) ON DELETE CASCADE); INSERT INTO child VALUES (1, 'A')", true},
		"no action":              {"CREATE TABLE child (id INT, up VARCHAR(20) REFERENCES person (id)); INSERT INTO child VALUES (1, 'a')", true},
		"another schema":         {`CREATE DATABASE "%[1]s o""x"; CREATE TABLE "%[1]s o""x"."c h" (id INT, "u p" VARCHAR(20), FOREIGN KEY ("u p") REFERENCES %[1]s.person (id) ON DELETE CASCADE); INSERT INTO "%[1]s o""x"."c h" VALUES (1, 'a')`, true},
		"a key of two columns":   {"CREATE TABLE child (id INT, x INT, up VARCHAR(20), FOREIGN KEY (x, up) REFERENCES person (n, id) ON DELETE CASCADE); INSERT INTO child VALUES (1, 1, 'a')", true},
		"half a key":             {"CREATE TABLE child (id INT, x INT, up VARCHAR(20), FOREIGN KEY (x, up) REFERENCES person (n, id) ON DELETE CASCADE); INSERT INTO child VALUES (1, NULL, 'a')", false},
		"not a primary key":      {"CREATE TABLE child (id INT, x INT REFERENCES person (n) ON DELETE CASCADE); INSERT INTO child VALUES (1, 2)", true},
		"a table of that letter": {"CREATE TABLE Person (id VARCHAR(20) PRIMARY KEY); CREATE TABLE child (id INT, up VARCHAR(20) REFERENCES Person (id) ON DELETE CASCADE); INSERT INTO Person VALUES ('a'); INSERT INTO child VALUES (1, 'a')", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t)
			d.Exec(t, "CREATE TABLE person (id VARCHAR(20) PRIMARY KEY, n INT, UNIQUE (n), UNIQUE (n, id))")
			d.Exec(t, "INSERT INTO person VALUES ('a', 1), ('b', 2), ('c', 3)")
			for _, s := range strings.Split(c.schema, "; ") {
				if strings.Contains(s, "%[1]s") {
					s = fmt.Sprintf(s, d.name)
				}
				if _, err := d.app.ExecContext(ctx, s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
			d.Exec(t, "GRANT SELECT ON *.* TO "+d.user)
			_, err := d.Open(t, backendtest.Limits{}).Execute(ctx, backend.Batch{Operations: []backend.Operation{deletion("person", "a", "b")}})
			var stale *backend.StaleError
			if c.blocked != errors.As(err, &stale) || !c.blocked && err != nil {
				t.Errorf("blocked should be %t: %v", c.blocked, err)
			}
		})
	}
}

// TestGuardNeedsItsRights: what cannot be seen cannot be spared.
func TestGuardNeedsItsRights(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id INT PRIMARY KEY)")
	d.Exec(t, "CREATE TABLE card (id INT, person_id INT REFERENCES person (id) ON DELETE CASCADE)")
	d.Exec(t, "INSERT INTO person VALUES (1)")
	d.Exec(t, "REVOKE ALL PRIVILEGES ON card FROM "+d.user)
	b := d.Open(t, backendtest.Limits{})
	batch := backend.Batch{Operations: []backend.Operation{deletion("person", "1")}}
	var refused *backend.RefusedError
	for range 2 {
		if _, err := b.Execute(ctx, batch); !errors.As(err, &refused) || !strings.Contains(err.Error(), "GRANT SELECT on table") || !strings.Contains(err.Error(), "card") {
			t.Fatal(err)
		}
	}
	d.Exec(t, "GRANT SELECT (person_id) ON card TO "+d.user)
	d.Exec(t, "REVOKE REFERENCES ON *.* FROM "+d.user)
	if _, err := d.Open(t, backendtest.Limits{}).Execute(ctx, batch); !errors.As(err, &refused) || !strings.Contains(err.Error(), "GRANT REFERENCES ON *.*") {
		t.Fatal(err)
	}
	d.Exec(t, "GRANT REFERENCES ON *.* TO "+d.user)
	if _, err := d.Open(t, backendtest.Limits{}).Execute(ctx, batch); err != nil {
		t.Error(err)
	}
}

// TestGuardAgainstLateRows: a row that is committed between the guard and the deletion is not deleted.
func TestGuardAgainstLateRows(t *testing.T) {
	for _, action := range []string{"CASCADE", "SET NULL"} {
		t.Run(action, func(t *testing.T) {
			d := newDatabase(t)
			d.Exec(t, "CREATE TABLE person (id INT PRIMARY KEY)")
			d.Exec(t, "CREATE TABLE card (id INT PRIMARY KEY, person_id INT REFERENCES person (id) ON DELETE "+action+")")
			d.Exec(t, "INSERT INTO person VALUES (1)")
			d.Exec(t, "INSERT INTO card VALUES (5, NULL)")
			b := d.Open(t, backendtest.Limits{})
			batch := backend.Batch{Operations: []backend.Operation{deletion("person", "1")}}
			for _, late := range []string{"INSERT INTO card VALUES (1, 1)", "UPDATE card SET person_id = 1 WHERE id = 5"} {
				d.Exec(t, "BEGIN")
				d.Exec(t, late)
				done := make(chan error)
				go func() {
					_, err := b.Execute(ctx, batch)
					done <- err
				}()
				for len(d.Dump(t, "SELECT 1 FROM information_schema.INNODB_LOCK_WAITS")) == 0 {
					time.Sleep(150 * time.Millisecond) // the server shows what it knew when it was asked less than 100 ms ago
				}
				d.Exec(t, "COMMIT")
				var stale *backend.StaleError
				if err := <-done; !errors.As(err, &stale) {
					t.Errorf("%s: %v", late, err)
				}
				d.Exec(t, "DELETE FROM card WHERE id = 1")
			}
			wantEqual(t, "cards", d.Dump(t, "SELECT * FROM card"), []string{"5|1"})
			// While the batch waits for its permission, nobody can refer to what goes.
			d.Exec(t, "UPDATE card SET person_id = NULL")
			batch.BeforeEffect = func(context.Context) error {
				d.Exec(t, "SET innodb_lock_wait_timeout = 1")
				if _, err := d.app.ExecContext(ctx, "INSERT INTO card VALUES (7, 1)"); err == nil {
					t.Error("a row could be inserted that refers to one that goes")
				}
				return nil
			}
			if _, err := b.Execute(ctx, batch); err != nil {
				t.Error(err)
			}
		})
	}
}

// A table that refers to itself by a key that the server checks row by row.
func TestThreads(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE comment (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES comment (id))")
	d.Exec(t, "INSERT INTO comment VALUES (1, NULL), (2, 1), (3, 2), (4, 1), (9, NULL), (10, 9), (11, 10)")
	d.Exec(t, "UPDATE comment SET parent = 4 WHERE id = 3")
	for _, size := range []int{1, 2, 100} {
		b := d.Open(t, backendtest.Limits{BatchSize: size})
		var stale *backend.StaleError
		before := d.Dump(t, "SELECT * FROM comment ORDER BY id")
		if _, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{deletion("comment", "9", "10")}}); !errors.As(err, &stale) {
			t.Errorf("another's answer: %v", err)
		}
		wantEqual(t, "rows", d.Dump(t, "SELECT * FROM comment ORDER BY id"), before)
		got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{deletion("comment", "1", "2", "3", "4")}})
		if err != nil || got.Affected[0] != 4 {
			t.Fatalf("%+v, %v", got, err)
		}
		d.Exec(t, "INSERT INTO comment VALUES (1, NULL), (2, 1), (4, 1), (3, 4)")
	}
}

// The server lets no row go that refers to itself. One whose link cannot be cut stays, and others that only look alike keep
// their links.
func TestOwnParents(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE unit (id INT, site INT, code VARCHAR(20) COLLATE utf8mb4_general_ci UNIQUE, head INT, head_site INT, of_code VARCHAR(20) COLLATE utf8mb4_general_ci, PRIMARY KEY (id, site), KEY (id), "+
		"FOREIGN KEY (head, head_site) REFERENCES unit (id, site), FOREIGN KEY (of_code) REFERENCES unit (code) ON DELETE RESTRICT)")
	d.Exec(t, "INSERT INTO unit VALUES (1, 1, 'a', 1, 1, 'A'), (2, 1, 'b', 2, 1, NULL), (3, 1, 'c', NULL, 1, 'c'), (4, 1, 'd', 4, 1, 'd')")
	b := d.Open(t, backendtest.Limits{BatchSize: 2})
	op := backend.Operation{Entity: "unit", Action: backend.Delete, Table: backend.Table{Name: "unit"}, KeyColumns: []string{"id", "site"},
		Keys: []backend.Key{{"1", "1"}, {"2", "1"}, {"3", "1"}}}
	got, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
	if err != nil || got.Affected[0] != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	wantEqual(t, "rows", d.Dump(t, "SELECT * FROM unit"), []string{"4|1|d|4|1|d"})
	d.Exec(t, "CREATE TABLE post (id INT PRIMARY KEY, thread INT NOT NULL, FOREIGN KEY (thread) REFERENCES post (id))")
	d.Exec(t, "INSERT INTO post VALUES (1, 1), (2, 1)")
	var stale *backend.StaleError
	if _, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{deletion("post", "1", "2")}}); !errors.As(err, &stale) {
		t.Errorf("a link that cannot be cut: %v", err)
	}
	wantEqual(t, "posts", d.Dump(t, "SELECT * FROM post"), []string{"1|1", "2|1"})
}
