package postgresql_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
)

func BenchmarkParts(b *testing.B) {
	name, conn := benchmarkDatabase(b)
	ctx := context.Background()
	be, _ := postgresql.Open(ctx, config(name))
	var tr, te, traw, tc time.Duration
	own, _ := server.Connect(ctx, name)
	n := 0
	for b.Loop() {
		id := n%subjects + 1
		n++
		req := queries(fmt.Sprintf("P%d@example.com", id))
		t0 := time.Now()
		res, err := be.Resolve(ctx, req)
		if err != nil {
			b.Fatal(err)
		}
		t1 := time.Now()
		d := deletion(req, res)
		be.Execute(ctx, d)
		t2 := time.Now()
		tr += t1.Sub(t0)
		te += t2.Sub(t1)
		restore(b, conn, id)
		t3 := time.Now()
		batch := &pgx.Batch{}
		batch.Queue("BEGIN")
		for _, op := range d.Operations {
			var ks []string
			for _, k := range op.Keys {
				ks = append(ks, k[0])
			}
			batch.Queue("DELETE FROM "+op.Table.Name+" WHERE id = ANY($1::text[]::bigint[])", ks)
		}
		own.SendBatch(ctx, batch).Close()
		t4 := time.Now()
		own.Exec(ctx, "COMMIT")
		tc += time.Since(t4)
		traw += t4.Sub(t3)
		restore(b, conn, id)
	}
	b.ReportMetric(float64(tr.Microseconds())/float64(n), "resolve")
	b.ReportMetric(float64(te.Microseconds())/float64(n), "execute")
	b.ReportMetric(float64(traw.Microseconds())/float64(n), "raw")
	b.ReportMetric(float64(tc.Microseconds())/float64(n), "rawcommit")
}
