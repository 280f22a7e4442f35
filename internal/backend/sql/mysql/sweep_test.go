package mysql_test

import (
	"context"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// TestSweepTakesNoMoreThanItChose: a trigger of a dependant adds a record to the page's range, and it is due, right before the range is
// deleted. It stays for the next run.
func TestSweepTakesNoMoreThanItChose(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE candidate (id INT PRIMARY KEY, seen DATETIME)")
	d.Exec(t, "CREATE TABLE note (id INT PRIMARY KEY, candidate_id INT REFERENCES candidate (id))")
	d.Exec(t, "INSERT INTO candidate VALUES (1, '2020-01-01'), (2, '2020-01-01'), (4, '2020-01-01'), (5, '2030-01-01')")
	d.Exec(t, "INSERT INTO note VALUES (7, 1)")
	d.trigger(t, "ages", "note", "AFTER", "DELETE", "INSERT INTO candidate VALUES (3, '2020-01-01')")
	b, s := backendtest.CandidatesAndNotes(t, d)
	for i, want := range [][]backend.Key{{{"1"}, {"2"}, {"4"}}, {{"3"}}} {
		asked := 0
		r, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 3, BeforeEffect: func(_ context.Context, r *backend.SweepResult) error {
			asked++
			wantEqual(t, "keys on record", r.Keys, want)
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "asked", asked, 1)
		wantEqual(t, "keys", r.Keys, want)
		wantEqual(t, "affected", r.Affected, []int64{int64(1 - i), int64(len(want))})
	}
	wantEqual(t, "left", d.Dump(t, "SELECT id FROM candidate"), []string{"5"})
}

// TestSweepWaitsForNoYoungRecord: an application keeps a record locked that stands between those that go.
func TestSweepWaitsForNoYoungRecord(t *testing.T) {
	d := newDatabase(t)
	d.Exec(t, "CREATE TABLE candidate (id INT PRIMARY KEY, seen DATETIME)")
	d.Exec(t, "CREATE TABLE note (id INT PRIMARY KEY, candidate_id INT REFERENCES candidate (id))")
	d.Exec(t, "INSERT INTO candidate VALUES (1, '2020-01-01'), (2, '2030-01-01'), (3, '2020-01-01'), (4, '2020-01-01')")
	b, s := backendtest.CandidatesAndNotes(t, d)
	application := d.Session(t)
	for _, statement := range []string{"BEGIN", "UPDATE candidate SET seen = '2031-01-01' WHERE id = 2"} {
		if _, err := application(statement); err != nil {
			t.Fatal(err)
		}
	}
	r, err := b.SweepBatch(ctx, s, backend.SweepBatch{Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "keys", r.Keys, []backend.Key{{"1"}, {"3"}})
	if _, err := application("COMMIT"); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "left", d.Dump(t, "SELECT id FROM candidate ORDER BY id"), []string{"2", "4"})
}
