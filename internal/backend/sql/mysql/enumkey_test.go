package mysql_test

import (
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// An ENUM is sorted by its number and compared as text: bounds and pages must have one order.
func TestSweepKeysThatHaveAnEnum(t *testing.T) {
	for _, key := range [][]string{{"tenant", "kind"}, {"kind", "tenant"}} {
		for _, limit := range []int{1, 100} {
			d := newDatabase(t)
			d.Exec(t, "CREATE TABLE consent (tenant BIGINT, kind ENUM('user', 'admin') NOT NULL, at BIGINT, PRIMARY KEY (tenant, kind))")
			d.Exec(t, "INSERT INTO consent VALUES (1, 'user', 1000), (1, 'admin', 1000), (2, 'user', 1000), (2, 'admin', 1000)")
			b := d.Open(t, backendtest.Limits{}).(backend.Sweeper)
			table := backend.Table{Name: "consent"}
			s := &backend.Sweep{Table: table, KeyColumns: key, Clock: backend.SweepClock{Column: "at"}, Cutoff: time.Unix(2000, 0), Now: time.Unix(3000, 0),
				Steps: []backend.SweepStep{{Entity: "consent", Table: table, KeyColumns: key, Action: backend.Delete}}}
			bounds, err := b.SplitSweep(ctx, s, 1)
			if err != nil || len(bounds) != 2 {
				t.Fatal(bounds, err)
			}
			batch := backend.SweepBatch{From: bounds[0], Until: bounds[1], Limit: limit}
			for {
				r, err := b.SweepBatch(ctx, s, batch)
				if err != nil {
					t.Fatal(err)
				}
				if r.Last == nil {
					break
				}
				batch.After = r.Last
			}
			backendtest.WantEqual(t, "left", len(d.Dump(t, "SELECT kind FROM consent")), 0)
		}
	}
}
