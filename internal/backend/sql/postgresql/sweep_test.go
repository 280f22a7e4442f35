package postgresql_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// TestSweepLeavesToTheSchemaWhatItCounts: who may not delete notes can have them deleted by the schema alone. As soon as that would not
// delete all of them, or not be counted, they have a statement of their own again.
func TestSweepLeavesToTheSchemaWhatItCounts(t *testing.T) {
	trigger := func(table, body string) []string {
		return []string{"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN " + body + " END'",
			"CREATE TRIGGER meddle BEFORE DELETE ON " + table + " FOR EACH ROW EXECUTE FUNCTION meddle()"}
	}
	for _, c := range []struct {
		name    string
		changes []string // between two pages
	}{
		{"without the foreign key", []string{"ALTER TABLE note DROP CONSTRAINT up"}},
		{"with another one", []string{"ALTER TABLE note DROP CONSTRAINT up, ADD FOREIGN KEY (candidate_id) REFERENCES candidate (id)"}},
		{"with a further one that sets NULL", []string{"ALTER TABLE note ADD FOREIGN KEY (candidate_id) REFERENCES candidate (id) ON DELETE SET NULL"}},
		{"with a further one that refuses", []string{"ALTER TABLE note DROP CONSTRAINT up", "ALTER TABLE note ADD FOREIGN KEY (candidate_id) REFERENCES candidate (id)",
			"ALTER TABLE note ADD CONSTRAINT up FOREIGN KEY (candidate_id) REFERENCES candidate (id) ON DELETE CASCADE"}},
		{"while its triggers are disabled", []string{"ALTER TABLE candidate DISABLE TRIGGER ALL"}},
		{"without its triggers", []string{"DELETE FROM pg_trigger WHERE tgconstraint = (SELECT oid FROM pg_constraint WHERE conname = 'up')"}},
		{"with a trigger that lets notes go elsewhere", trigger("candidate", "UPDATE public.note SET candidate_id = NULL WHERE candidate_id = OLD.id; RETURN OLD;")},
		{"with a trigger of the notes", trigger("note", "RETURN OLD;")},
		{"with a rule", []string{"CREATE RULE also AS ON DELETE TO candidate DO ALSO UPDATE note SET candidate_id = NULL WHERE candidate_id = OLD.id"}},
		{"as a replica", []string{"ALTER USER ROLE SET session_replication_role = replica", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ROLE'"}},
		{"without statistics", []string{"ALTER USER ROLE SET track_counts = off", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ROLE'"}},
		{"of a table with heirs", []string{"CREATE TABLE heir () INHERITS (note)", "INSERT INTO heir VALUES (9, 3)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := withCascade(t)
			b, s := backendtest.CandidatesAndNotes(t, d)
			sweepTwo := func(notes int64) {
				t.Helper()
				r, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 2})
				if err != nil {
					t.Fatal(err)
				}
				backendtest.WantEqual(t, "affected", r.Affected, []int64{notes, 2})
			}
			d.Exec(t, "REVOKE DELETE ON note FROM "+d.role)
			var refused *backend.RefusedError
			if err := b.CheckSweep(ctx, s); !errors.As(err, &refused) || refused.Entity != "note" {
				t.Errorf("nobody misses the right to delete: %v", err)
			}
			sweepTwo(3)
			for _, change := range c.changes {
				d.Exec(t, strings.ReplaceAll(change, "ROLE", d.role))
			}
			if _, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 2}); !errors.As(err, &refused) || refused.Entity != "note" {
				t.Fatalf("notes are left to the schema: %v", err)
			}
			d.Exec(t, "GRANT DELETE ON note TO "+d.role)
			sweepTwo(int64(len(d.Dump(t, "SELECT id FROM note"))))
			backendtest.WantEqual(t, "left", d.Dump(t, "SELECT id FROM candidate UNION ALL SELECT id FROM note"), []string(nil))
		})
	}
}

// TestSweepNoticesATableInThePlaceOfAnother, whose foreign key still stands in the cache.
func TestSweepNoticesATableInThePlaceOfAnother(t *testing.T) {
	d := withCascade(t)
	b, s := backendtest.CandidatesAndNotes(t, d)
	if _, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 2}); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{"CREATE TABLE fresh (LIKE note INCLUDING ALL)", "INSERT INTO fresh SELECT * FROM note", "ALTER TABLE note RENAME TO former", "ALTER TABLE fresh RENAME TO note"} {
		d.Exec(t, change)
	}
	var stale *backend.StaleError
	if _, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 2}); !errors.As(err, &stale) || !strings.Contains(err.Error(), "former") {
		t.Fatal(err)
	}
	d.Exec(t, "DROP TABLE former")
	r, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	backendtest.WantEqual(t, "affected", r.Affected, []int64{3, 2})
	backendtest.WantEqual(t, "left", d.Dump(t, "SELECT id FROM candidate UNION ALL SELECT id FROM note"), []string(nil))
}

func withCascade(t *testing.T) *database {
	t.Helper()
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE candidate (id bigint PRIMARY KEY, seen timestamptz)")
	d.Exec(t, "CREATE TABLE note (id bigint PRIMARY KEY, candidate_id bigint CONSTRAINT up REFERENCES candidate (id) ON DELETE CASCADE)")
	d.Exec(t, "INSERT INTO candidate SELECT i, '2020-01-01' FROM generate_series(1, 4) i")
	d.Exec(t, "INSERT INTO note VALUES (1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (6, 4)")
	return d
}

// TestSweepSplitsKeysThatAreArrays, of which the server makes no array.
func TestSweepSplitsKeysThatAreArrays(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE candidate (id int[] PRIMARY KEY, seen timestamptz)")
	d.Exec(t, "CREATE TABLE note (id bigint PRIMARY KEY, candidate_id int[] REFERENCES candidate (id))")
	d.Exec(t, "INSERT INTO candidate SELECT ARRAY[i, i], '2020-01-01' FROM generate_series(1, 4) i")
	b, s := backendtest.CandidatesAndNotes(t, d)
	bounds, err := b.SplitSweep(ctx, s, 2)
	if err != nil {
		t.Fatal(err)
	}
	backendtest.WantEqual(t, "bounds", bounds, []backend.Key{{"{1,1}"}, {"{2,2}"}, {"{4,4}"}})
}

// TestSweepSplitsWithAPlanForItsCutoff: one for any cutoff would jump from index to table for each record, however many are due.
func TestSweepSplitsWithAPlanForItsCutoff(t *testing.T) {
	for _, c := range []struct {
		due   int // one in so many
		whole string
	}{{400, "f|t"}, {2, "t|t"}} {
		d := newDatabase(t)
		d.Exec(t, "CREATE TABLE candidate (id bigint PRIMARY KEY, seen timestamptz)")
		d.Exec(t, "CREATE TABLE note (id bigint PRIMARY KEY, candidate_id bigint REFERENCES candidate (id))")
		d.Exec(t, fmt.Sprintf("INSERT INTO candidate SELECT i, CASE WHEN i %% %d = 0 THEN timestamptz '2020-01-01' + random() * interval '1 year' ELSE '2030-01-01' END FROM generate_series(1, 40000) i", c.due))
		d.Exec(t, "CREATE INDEX ON candidate (seen)")
		d.Exec(t, "VACUUM ANALYZE candidate")
		d.Exec(t, "SELECT pg_stat_force_next_flush()")
		d.Exec(t, "SELECT pg_stat_reset()")
		b, s := backendtest.CandidatesAndNotes(t, d)
		bounds, err := b.SplitSweep(ctx, s, 1)
		if err != nil {
			t.Fatal(err)
		}
		backendtest.WantEqual(t, "bounds", bounds, []backend.Key{{strconv.Itoa(c.due)}, {"40000"}})
		if err := b.(backend.Backend).Close(); err != nil { // a session that ends tells what it did
			t.Fatal(err)
		}
		var scans []string
		for until := time.Now().Add(10 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
			if scans = d.Dump(t, "SELECT seq_scan > 0, seq_scan + idx_scan > 0 FROM pg_stat_user_tables WHERE relname = 'candidate'"); scans[0] != "f|f" {
				break
			}
		}
		backendtest.WantEqual(t, "read as a whole, or at all", scans, []string{c.whole})
	}
}
