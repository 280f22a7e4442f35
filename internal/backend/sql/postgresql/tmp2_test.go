package postgresql_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
)

func BenchmarkSelects(b *testing.B) {
	name, _ := benchmarkDatabase(b)
	ctx := context.Background()
	st := postgresql.TmpCompile(queries("p7@example.com"))
	own, _ := server.Connect(ctx, name)
	own.Exec(ctx, "set plan_cache_mode=force_generic_plan; set jit=off")
	for i, s := range st {
		if i == 0 || i == 1 || i == 9 {
			fmt.Println(s.Text, s.Args)
			own.Prepare(ctx, fmt.Sprintf("x%d", i), s.Text)
			args := ""
			_ = args
			rows, err := own.Query(ctx, "EXPLAIN (ANALYZE, COSTS OFF) "+fmt.Sprintf("EXECUTE x%d('{p7@example.com}', 100)", i), pgx.QueryExecModeSimpleProtocol)
			if err != nil {
				b.Fatal(err)
			}
			ls, err := pgx.CollectRows(rows, pgx.RowTo[string])
			fmt.Println(err)
			for _, l := range ls {
				fmt.Println(l)
			}
		}
	}
	try := func(label string, st []core.Statement, begin bool) {
		t0 := time.Now()
		const n = 2000
		for range n {
			batch := &pgx.Batch{}
			if begin {
				batch.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
			}
			for _, s := range st {
				batch.Queue(s.Text, s.Args...)
			}
			if begin {
				batch.Queue("COMMIT")
			}
			if err := own.SendBatch(ctx, batch).Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(time.Since(t0).Microseconds())/n, label)
	}
	try("ours", st, false)
	try("oursBegin", st, true)
	var simple, hand []core.Statement
	for i := range 10 {
		simple = append(simple, core.Statement{Text: "SELECT 1"})
		t := fmt.Sprintf("SELECT id FROM c%d WHERE person_id IN (SELECT id FROM person WHERE lower(email) = $1)", i)
		if i > 5 {
			t = fmt.Sprintf("SELECT id FROM c%d WHERE c1_id IN (SELECT id FROM c1 WHERE person_id IN (SELECT id FROM person WHERE lower(email) = $1))", i)
		}
		if i == 0 {
			t = "SELECT id FROM person WHERE lower(email) = $1"
		}
		hand = append(hand, core.Statement{Text: t, Args: []any{"p7@example.com"}})
	}
	try("select1", simple, false)
	try("hand", hand, false)
}
