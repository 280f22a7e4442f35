package postgresql_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
)

// The benchmarks erase one subject with about 50 rows in 10 tables from a database with 1000 subjects.

const subjects = 1000

// fanOut is the number of children of the person's row in the tables c1 to c9.
var fanOut = []int{8, 8, 6, 6, 5, 5, 4, 4, 3}

func benchmarkDatabase(tb testing.TB) (string, *pgx.Conn) {
	tb.Helper()
	ctx := context.Background()
	name, err := server.CreateDatabase(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := server.Connect(ctx, name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(ctx) })
	must := func(sql string) {
		if _, err := conn.Exec(ctx, sql); err != nil {
			tb.Fatal(err)
		}
	}
	must("CREATE TABLE person (id bigint PRIMARY KEY, email text NOT NULL, name text); CREATE INDEX ON person (lower(email))")
	must(fmt.Sprintf("INSERT INTO person SELECT i, 'p'||i||'@example.com', 'n' FROM generate_series(1, %d) i", subjects))
	for i, n := range fanOut {
		parent, column := "person", "person_id"
		if i >= 5 {
			parent, column = "c1", "c1_id"
		}
		must(fmt.Sprintf(`CREATE TABLE c%d (id bigint PRIMARY KEY, %s bigint NOT NULL REFERENCES %s, body text)`, i+1, column, parent))
		ref := fmt.Sprintf("(i-1) / %d + 1", n)
		if i >= 5 { // children of the first of each person's rows in c1
			ref = fmt.Sprintf("((i-1) / %d) * %d + 1", n, fanOut[0])
		}
		must(fmt.Sprintf("INSERT INTO c%d SELECT i, %s, 'body' FROM generate_series(1, %d) i", i+1, ref, subjects*n))
		must(fmt.Sprintf("CREATE INDEX ON c%d (%s)", i+1, column))
	}
	must("VACUUM ANALYZE")
	return name, conn
}

func queries(email string) backend.ResolveRequest {
	req := backend.ResolveRequest{MaxRows: 10000, Queries: []backend.Query{{
		Entity: "person", Table: backend.Table{Name: "person"}, KeyColumns: []string{"id"}, Columns: []string{"email"},
		AnyOf: []backend.Match{{Identity: &backend.IdentityMatch{
			Column: "email", Values: []string{email}, Normalize: backend.LowerCase,
		}}},
	}}}
	for i := range fanOut {
		parent, column := "person", "person_id"
		if i >= 5 {
			parent, column = "c1", "c1_id"
		}
		name := fmt.Sprintf("c%d", i+1)
		req.Queries = append(req.Queries, backend.Query{
			Entity: name, Table: backend.Table{Name: name}, KeyColumns: []string{"id"},
			AnyOf: []backend.Match{{Parent: &backend.ParentMatch{
				Entity: parent, Columns: []string{column}, ParentColumns: []string{"id"},
			}}},
		})
	}
	return req
}

func deletion(req backend.ResolveRequest, res *backend.Resolution) backend.Batch {
	var b backend.Batch
	for i := len(req.Queries) - 1; i >= 0; i-- {
		q := req.Queries[i]
		op := backend.Operation{Entity: q.Entity, Action: backend.Delete, Table: q.Table, KeyColumns: q.KeyColumns}
		for _, r := range res.Rows[q.Entity] {
			op.Keys = append(op.Keys, r.Key)
		}
		b.Operations = append(b.Operations, op)
	}
	return b
}

// restore puts the subject's rows back, outside the measured time.
func restore(b *testing.B, conn *pgx.Conn, id int) {
	b.StopTimer()
	defer b.StartTimer()
	batch := &pgx.Batch{}
	batch.Queue("INSERT INTO person VALUES ($1, 'p'||$1::bigint||'@example.com', 'n')", id)
	for i, n := range fanOut {
		ref := fmt.Sprintf("(i-1) / %d + 1", n)
		if i >= 5 {
			ref = fmt.Sprintf("((i-1) / %d) * %d + 1", n, fanOut[0])
		}
		batch.Queue(fmt.Sprintf("INSERT INTO c%d SELECT i, %s, 'body' FROM generate_series($1::int * %d + 1, $1::int * %d + %d) i",
			i+1, ref, n, n, n), id-1)
	}
	if err := conn.SendBatch(context.Background(), batch).Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkHandWrittenBatch(b *testing.B) {
	name, conn := benchmarkDatabase(b)
	ctx := context.Background()
	own, err := server.Connect(ctx, name)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = own.Close(ctx) }()
	n := 0
	for b.Loop() {
		id := n%subjects + 1
		n++
		email := fmt.Sprintf("p%d@example.com", id)
		batch := &pgx.Batch{}
		for i := len(fanOut); i > 0; i-- {
			where := "person_id IN (SELECT id FROM person WHERE lower(email) = $1)"
			if i > 5 {
				where = "c1_id IN (SELECT id FROM c1 WHERE person_id IN (SELECT id FROM person WHERE lower(email) = $1))"
			}
			batch.Queue(fmt.Sprintf("DELETE FROM c%d WHERE %s", i, where), email)
		}
		batch.Queue("DELETE FROM person WHERE lower(email) = $1", email)
		if err := own.SendBatch(ctx, batch).Close(); err != nil {
			b.Fatal(err)
		}
		restore(b, conn, id)
	}
}

func benchmarkErase(b *testing.B, erase func(context.Context, backend.Backend, string) error) {
	name, conn := benchmarkDatabase(b)
	ctx := context.Background()
	be, err := postgresql.Open(ctx, config(name))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = be.Close() }()
	n := 0
	for b.Loop() {
		id := n%subjects + 1
		n++
		if err := erase(ctx, be, fmt.Sprintf("P%d@example.com", id)); err != nil {
			b.Fatal(err)
		}
		restore(b, conn, id)
	}
}

func BenchmarkResolveExecute(b *testing.B) {
	benchmarkErase(b, func(ctx context.Context, be backend.Backend, email string) error {
		req := queries(email)
		res, err := be.Resolve(ctx, req)
		if err != nil {
			return err
		}
		got, err := be.Execute(ctx, deletion(req, res))
		if err != nil {
			return err
		}
		total := int64(0)
		for _, n := range got.Affected {
			total += n
		}
		if total != 50 {
			return fmt.Errorf("%d rows deleted, want 50", total)
		}
		return nil
	})
}

func BenchmarkResolve(b *testing.B) {
	name, _ := benchmarkDatabase(b)
	be, err := postgresql.Open(context.Background(), config(name))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = be.Close() }()
	for b.Loop() {
		if _, err := be.Resolve(context.Background(), queries("p7@example.com")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	name, _ := benchmarkDatabase(b)
	be, err := postgresql.Open(context.Background(), config(name))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = be.Close() }()
	req := queries("p7@example.com")
	res, err := be.Resolve(context.Background(), req)
	if err != nil {
		b.Fatal(err)
	}
	ops := deletion(req, res).Operations
	for b.Loop() {
		if _, err := be.Verify(context.Background(), ops); err != nil {
			b.Fatal(err)
		}
	}
}

// An execution that finds nothing to do.
func BenchmarkExecuteAgain(b *testing.B) {
	name, _ := benchmarkDatabase(b)
	be, err := postgresql.Open(context.Background(), config(name))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = be.Close() }()
	req := queries("p7@example.com")
	res, err := be.Resolve(context.Background(), req)
	if err != nil {
		b.Fatal(err)
	}
	batch := deletion(req, res)
	for b.Loop() {
		if _, err := be.Execute(context.Background(), batch); err != nil {
			b.Fatal(err)
		}
	}
}
