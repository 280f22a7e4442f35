package postgresql_test

import (
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// TestSweepLeavesToTheSchemaWhatItCounts: a trigger tells of the statements that deleted notes, Lethe's own and those of the server.
func TestSweepLeavesToTheSchemaWhatItCounts(t *testing.T) {
	for _, c := range []struct {
		name       string
		changes    []string // between two pages
		statements []string
	}{
		{name: "as long as it cascades", statements: []string{"1"}},
		{name: "not without the foreign key", changes: []string{"ALTER TABLE note DROP CONSTRAINT up"}, statements: []string{"1"}},
		{name: "not with another one", changes: []string{"ALTER TABLE note DROP CONSTRAINT up, ADD FOREIGN KEY (candidate_id) REFERENCES candidate (id)"}, statements: []string{"1"}},
		{name: "not while its triggers are disabled", changes: []string{"ALTER TABLE candidate DISABLE TRIGGER ALL"}, statements: []string{"1"}},
		{name: "not as a replica", changes: []string{"ALTER USER ROLE SET session_replication_role = replica", "terminate"}, statements: []string{"0"}},
		{name: "not without statistics", changes: []string{"ALTER USER ROLE SET track_counts = off", "terminate"}, statements: []string{"2"}},
		{name: "not of a table with heirs", changes: []string{"CREATE TABLE heir () INHERITS (note)", "INSERT INTO heir VALUES (9, 3)"}, statements: []string{"2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDatabase(t)
			d.Exec(t, "CREATE TABLE candidate (id bigint PRIMARY KEY, seen timestamptz)")
			d.Exec(t, "CREATE TABLE note (id bigint PRIMARY KEY, candidate_id bigint CONSTRAINT up REFERENCES candidate (id) ON DELETE CASCADE)")
			d.Exec(t, "CREATE TABLE deletions (one int)")
			d.Exec(t, "CREATE FUNCTION deleted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN INSERT INTO public.deletions VALUES (1); RETURN NULL; END'")
			d.Exec(t, "CREATE TRIGGER deleted AFTER DELETE ON note FOR EACH STATEMENT EXECUTE FUNCTION deleted()")
			d.Exec(t, "INSERT INTO candidate SELECT i, '2020-01-01' FROM generate_series(1, 4) i")
			d.Exec(t, "INSERT INTO note VALUES (1, 1), (2, 1), (3, 2), (4, 3), (5, 3), (6, 4)")
			b, s := backendtest.CandidatesAndNotes(t, d)
			sweepTwo := func(notes int64) {
				t.Helper()
				r, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 2})
				if err != nil {
					t.Fatal(err)
				}
				backendtest.WantEqual(t, "affected", r.Affected, []int64{notes, 2})
			}
			sweepTwo(3)
			backendtest.WantEqual(t, "statements", d.Dump(t, "SELECT count(*) FROM deletions"), []string{"1"})
			d.Exec(t, "TRUNCATE deletions")
			for _, change := range c.changes {
				if change == "terminate" {
					change = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ROLE'"
				}
				d.Exec(t, strings.ReplaceAll(change, "ROLE", d.role))
			}
			sweepTwo(int64(len(d.Dump(t, "SELECT id FROM note"))))
			backendtest.WantEqual(t, "statements", d.Dump(t, "SELECT count(*) FROM deletions"), c.statements)
			backendtest.WantEqual(t, "left", d.Dump(t, "SELECT id FROM candidate UNION ALL SELECT id FROM note"), []string(nil))
		})
	}
}
