package postgresql_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// TestGuardOfCatalogue: partitions, schemas and inheritance on either side, and what a foreign key compares by.
func TestGuardOfCatalogue(t *testing.T) {
	for name, c := range map[string]struct {
		schema  string
		table   backend.Table
		blocked bool
	}{
		"partitioned parent":         {`CREATE TABLE child (id int, up int REFERENCES parts ON DELETE CASCADE); INSERT INTO child VALUES (1, 1)`, backend.Table{Name: "parts"}, true},
		"through a partition":        {`CREATE TABLE child (id int, up int REFERENCES parts ON DELETE CASCADE); INSERT INTO child VALUES (1, 1)`, backend.Table{Name: "parts_a"}, true},
		"partition alone":            {`CREATE TABLE child (id int, up int REFERENCES parts_a ON DELETE CASCADE); INSERT INTO child VALUES (1, 1)`, backend.Table{Name: "parts"}, true},
		"partitioned child":          {`CREATE TABLE child (id int, up int REFERENCES parts ON DELETE SET NULL) PARTITION BY LIST (id); CREATE TABLE child_a PARTITION OF child DEFAULT; INSERT INTO child VALUES (1, 1)`, backend.Table{Name: "parts"}, true},
		"key of a child's partition": {`CREATE TABLE child (id int, up int) PARTITION BY LIST (id); CREATE TABLE child_a PARTITION OF child DEFAULT; ALTER TABLE child_a ADD FOREIGN KEY (up) REFERENCES parts ON DELETE CASCADE; INSERT INTO child VALUES (1, 1)`, backend.Table{Name: "parts"}, true},
		"self of partitions":         {`ALTER TABLE parts ADD FOREIGN KEY (up) REFERENCES parts ON DELETE CASCADE; UPDATE parts SET up = 2 WHERE id = 1; UPDATE parts SET up = 1 WHERE id = 2`, backend.Table{Name: "parts"}, false},
		"self, another row":          {`ALTER TABLE parts ADD FOREIGN KEY (up) REFERENCES parts ON DELETE CASCADE; UPDATE parts SET up = 2 WHERE id = 100`, backend.Table{Schema: "public", Name: "parts"}, true},
		"another schema":             {`CREATE SCHEMA "o""x"; GRANT USAGE ON SCHEMA "o""x" TO PUBLIC; CREATE TABLE "o""x"."c h" (id int, "u p" int REFERENCES parts ON DELETE SET DEFAULT); INSERT INTO "o""x"."c h" VALUES (1, 1)`, backend.Table{Name: "parts"}, true},
		"inherited rows have no key": {`CREATE TABLE child (id int, up int REFERENCES parts ON DELETE CASCADE); CREATE TABLE heir () INHERITS (child); INSERT INTO heir VALUES (1, 1)`, backend.Table{Name: "parts"}, false},
		"no action refuses itself":   {`CREATE TABLE child (id int, up int REFERENCES parts); INSERT INTO child VALUES (1, 1)`, backend.Table{Name: "parts"}, true},
		"nobody refers":              {`CREATE TABLE child (id int, up int REFERENCES parts ON DELETE CASCADE); INSERT INTO child VALUES (1, 100), (2, NULL)`, backend.Table{Name: "parts"}, false},
		"letters of any case": {`CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false); DROP TABLE parts;
			CREATE TABLE parts (id text COLLATE nocase PRIMARY KEY); INSERT INTO parts VALUES ('1'), ('2'), ('A'), ('100');
			CREATE TABLE child (id int, up text REFERENCES parts ON DELETE CASCADE); INSERT INTO child VALUES (1, 'a')`, backend.Table{Name: "parts"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDatabase(t)
			d.Exec(t, "GRANT pg_read_all_data, pg_write_all_data TO "+d.role)
			for _, s := range []string{`CREATE TABLE parts (id int PRIMARY KEY, up int) PARTITION BY LIST (id)`,
				`CREATE TABLE parts_a PARTITION OF parts FOR VALUES IN (1, 2)`, `CREATE TABLE parts_b PARTITION OF parts DEFAULT`,
				`INSERT INTO parts VALUES (1), (2), (100)`} {
				d.Exec(t, s)
			}
			for _, s := range strings.Split(c.schema, ";") {
				d.Exec(t, s)
			}
			op := backend.Operation{Entity: "e", Action: backend.Delete, Table: c.table, KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}, {"2"}}}
			if name == "letters of any case" {
				op.Keys = []backend.Key{{"A"}}
			}
			_, err := d.Open(t, backendtest.Limits{}).Execute(ctx, backend.Batch{Operations: []backend.Operation{op}})
			var stale *backend.StaleError
			if c.blocked != errors.As(err, &stale) || !c.blocked && err != nil {
				t.Errorf("blocked should be %t: %v", c.blocked, err)
			}
			t.Log(err)
		})
	}
}

// TestGuardNeedsItsRight: what cannot be seen cannot be spared.
func TestGuardNeedsItsRight(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE person (id int PRIMARY KEY)")
	d.Exec(t, "CREATE TABLE card (id int, person_id int REFERENCES person ON DELETE CASCADE)")
	d.Exec(t, "INSERT INTO person VALUES (1)")
	d.Exec(t, "REVOKE ALL ON card FROM "+d.role)
	b := d.Open(t, backendtest.Limits{})
	batch := backend.Batch{Operations: []backend.Operation{{Entity: "person", Action: backend.Delete, Table: backend.Table{Name: "person"},
		KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}}}}
	for range 2 {
		_, err := b.Execute(ctx, batch)
		var refused *backend.RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), `GRANT SELECT on table "public.card"`) || !strings.Contains(err.Error(), "card_person_id_fkey") {
			t.Fatal(err)
		}
	}
	d.Exec(t, "GRANT SELECT (person_id) ON card TO "+d.role)
	if _, err := b.Execute(ctx, batch); err != nil {
		t.Error(err)
	}
}

// TestGuardAgainstLateRows: a row that is committed between the guard and the deletion is not deleted.
func TestGuardAgainstLateRows(t *testing.T) {
	for _, action := range []string{"CASCADE", "SET NULL"} {
		t.Run(action, func(t *testing.T) {
			d := newDatabase(t)
			d.Exec(t, "CREATE TABLE person (id int PRIMARY KEY)")
			d.Exec(t, "CREATE TABLE card (id int, person_id int REFERENCES person ON DELETE "+action+")")
			d.Exec(t, "INSERT INTO person VALUES (1)")
			b := d.Open(t, backendtest.Limits{})
			batch := backend.Batch{Operations: []backend.Operation{{Entity: "person", Action: backend.Delete, Table: backend.Table{Name: "person"},
				KeyColumns: []string{"id"}, Keys: []backend.Key{{"1"}}}}}
			d.Exec(t, "BEGIN")
			d.Exec(t, "INSERT INTO card VALUES (1, 1)")
			done := make(chan error)
			go func() {
				_, err := b.Execute(ctx, batch)
				done <- err
			}()
			for len(d.Dump(t, "SELECT 1 FROM pg_locks WHERE NOT granted")) == 0 {
				time.Sleep(time.Millisecond)
			}
			d.Exec(t, "COMMIT")
			var unavailable *backend.UnavailableError
			var stale *backend.StaleError
			if err := <-done; !errors.As(err, &unavailable) {
				t.Errorf("first: %v", err)
			}
			if _, err := b.Execute(ctx, batch); !errors.As(err, &stale) {
				t.Errorf("then: %v", err)
			}
			if diff := cmp.Diff([]string{"1|1"}, d.Dump(t, "SELECT * FROM card")); diff != "" {
				t.Error(diff)
			}
		})
	}
}
