package scratch_break

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/test/pgtest"
)

func pg(t *testing.T, ddl ...string) (*pgtest.Server, backend.Backend, func(q string) string) {
	ctx := context.Background()
	s, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	name, err := s.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.Connect(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range ddl {
		if _, err := conn.Exec(ctx, d); err != nil {
			t.Fatal(d, err)
		}
	}
	b, err := postgresql.Open(ctx, postgresql.Config{Host: s.Host, Port: s.Port, Database: name, User: s.User, SSLMode: "disable", StatementTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s, b, func(q string) string {
		var v string
		if err := conn.QueryRow(ctx, q).Scan(&v); err != nil {
			return err.Error()
		}
		return v
	}
}

func res(t *testing.T, b backend.Backend, table, key string, id, val string) []backend.Row {
	r, err := b.Resolve(context.Background(), backend.ResolveRequest{Queries: []backend.Query{{Entity: "e", Table: backend.Table{Name: table}, KeyColumns: []string{key},
		AnyOf: []backend.Match{{Identity: &backend.IdentityMatch{Column: id, Values: []string{val}, Normalize: backend.LowerCase}}}}}})
	if err != nil {
		t.Log("resolve", table, err)
		return nil
	}
	return r.Rows["e"]
}

func del(b backend.Backend, table, key string, rows []backend.Row) error {
	op := backend.Operation{Entity: "e", Action: backend.Delete, Table: backend.Table{Name: table}, KeyColumns: []string{key}}
	for _, r := range rows {
		op.Keys = append(op.Keys, r.Key)
	}
	_, err := b.Execute(context.Background(), backend.Batch{ID: "x", Operations: []backend.Operation{op}})
	return err
}

func TestInherit(t *testing.T) {
	_, b, q := pg(t, `CREATE TABLE candidates (id int PRIMARY KEY, email text)`, `CREATE TABLE old_candidates (PRIMARY KEY (id)) INHERITS (candidates)`,
		`INSERT INTO candidates VALUES (5,'ann@x.org')`, `INSERT INTO old_candidates VALUES (5,'bob@x.org')`)
	in := b.(backend.Inspector)
	sch, err := in.Inspect(context.Background(), []backend.Table{{Name: "candidates"}})
	t.Log(err)
	for _, x := range sch.Tables {
		t.Logf("%+v", x)
	}
	rows := res(t, b, "candidates", "id", "email", "ann@x.org")
	t.Log(rows, del(b, "candidates", "id", rows))
	if got := q(`SELECT count(*)::text FROM old_candidates`); got != "1" {
		t.Errorf("bob is gone: %s", got)
	}
}

func TestTypes(t *testing.T) {
	_, b, q := pg(t,
		`CREATE TYPE color AS ENUM ('red','green')`, `CREATE TYPE "Mixed Type" AS ENUM ('A b','c')`,
		`CREATE DOMAIN d1 AS varchar(20)`, `CREATE DOMAIN d2 AS d1 CHECK (VALUE <> '')`,
		`CREATE EXTENSION IF NOT EXISTS citext`,
		`CREATE TABLE t_enum (id color PRIMARY KEY, email text)`, `INSERT INTO t_enum VALUES ('red','ann@x.org'),('green','bob@x.org')`,
		`CREATE TABLE t_enum2 (id "Mixed Type" PRIMARY KEY, email text)`, `INSERT INTO t_enum2 VALUES ('A b','ann@x.org'),('c','bob@x.org')`,
		`CREATE TABLE t_dom (id d2 PRIMARY KEY, email d2)`, `INSERT INTO t_dom VALUES ('a','ann@x.org'),('b','bob@x.org')`,
		`CREATE TABLE t_char (id char(10) PRIMARY KEY, email char(30))`, `INSERT INTO t_char VALUES ('a','ann@x.org'),('b','bob@x.org')`,
		`CREATE TABLE t_uuid (id uuid PRIMARY KEY, email text)`, `INSERT INTO t_uuid VALUES (gen_random_uuid(),'ann@x.org'),(gen_random_uuid(),'bob@x.org')`,
		`CREATE TABLE t_ts (id timestamptz PRIMARY KEY, email text)`, `INSERT INTO t_ts VALUES ('2024-01-01 00:00:00.123456+02','ann@x.org'),('2024-01-01 00:00:00.123457+02','bob@x.org')`,
		`CREATE TABLE t_num (id numeric PRIMARY KEY, email text)`, `INSERT INTO t_num VALUES (1.10,'ann@x.org'),(1.2,'bob@x.org')`,
		`CREATE TABLE t_f (id float8 PRIMARY KEY, email text)`, `INSERT INTO t_f VALUES (0.1::float8+0.2::float8,'ann@x.org'),(0.3,'bob@x.org')`,
		`CREATE TABLE t_f4 (id float4 PRIMARY KEY, email text)`, `INSERT INTO t_f4 VALUES (0.1,'ann@x.org'),(0.3,'bob@x.org')`,
		`CREATE TABLE "T Upper""q" ("Id" int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email citext)`, `INSERT INTO "T Upper""q"(email) VALUES ('Ann@x.org'),('bob@x.org')`,
		`CREATE TABLE t_bytea (id bytea PRIMARY KEY, email text)`, `INSERT INTO t_bytea VALUES ('\x00ff','ann@x.org'),('\x01','bob@x.org')`,
		`CREATE TABLE t_arr (id int[] PRIMARY KEY, email text)`, `INSERT INTO t_arr VALUES ('{1,2}','ann@x.org'),('{2,1}','bob@x.org')`,
		`CREATE TABLE t_date (id date PRIMARY KEY, email text)`, `INSERT INTO t_date VALUES ('0044-03-15 BC','ann@x.org'),('2024-01-01','bob@x.org')`,
		`CREATE TABLE t_bit (id bit(4) PRIMARY KEY, email text)`, `INSERT INTO t_bit VALUES (B'1010','ann@x.org'),(B'1000','bob@x.org')`,
		`CREATE TABLE t_inet (id inet PRIMARY KEY, email text)`, `INSERT INTO t_inet VALUES ('10.0.0.1/8','ann@x.org'),('10.0.0.1','bob@x.org')`,
		`CREATE TABLE t_name (id name PRIMARY KEY, email text)`, `INSERT INTO t_name VALUES ('ann','ann@x.org'),('bob','bob@x.org')`,
		`CREATE TABLE t_ch (id "char" PRIMARY KEY, email text)`, `INSERT INTO t_ch VALUES ('a','ann@x.org'),('b','bob@x.org')`,
		`CREATE TABLE t_part (id int, email text, PRIMARY KEY (id)) PARTITION BY RANGE (id)`, `CREATE TABLE t_part1 PARTITION OF t_part FOR VALUES FROM (0) TO (10)`, `INSERT INTO t_part VALUES (1,'ann@x.org'),(2,'bob@x.org')`,
		`CREATE COLLATION ci (provider=icu, locale='und-u-ks-level2', deterministic=false)`,
		`CREATE TABLE t_ci (id text COLLATE ci, tenant int, email text, PRIMARY KEY(id, tenant))`, `INSERT INTO t_ci VALUES ('a',1,'ann@x.org'),('b',1,'bob@x.org')`,
		`CREATE TABLE t_jsonb (id jsonb PRIMARY KEY, email text)`, `INSERT INTO t_jsonb VALUES ('{"a": 1}','ann@x.org'),('1','bob@x.org')`,
		`CREATE TABLE t_intv (id interval PRIMARY KEY, email text)`, `INSERT INTO t_intv VALUES ('-1 mon +3 days -04:05:06.7','ann@x.org'),('1 day','bob@x.org')`,
		`CREATE TABLE t_money (id money PRIMARY KEY, email text)`, `INSERT INTO t_money VALUES ('12.34','ann@x.org'),('1','bob@x.org')`,
		`CREATE TABLE t_range (id int4range PRIMARY KEY, email text)`, `INSERT INTO t_range VALUES ('[1,5)','ann@x.org'),('empty','bob@x.org')`,
	)
	for _, tb := range strings.Fields("t_enum t_enum2 t_dom t_char t_uuid t_ts t_num t_f t_f4 t_bytea t_arr t_date t_bit t_inet t_name t_ch t_part t_jsonb t_intv t_money t_range t_ci") {
		rows := res(t, b, tb, "id", "email", "ann@x.org")
		err := del(b, tb, "id", rows)
		left := q(`SELECT string_agg(trim(email::text), ',') FROM ` + tb)
		if err != nil || len(rows) != 1 || left != "bob@x.org" {
			t.Errorf("%s: rows %v err %v left %s", tb, rows, err, left)
		}
	}
	rows := res(t, b, `T Upper"q`, "Id", "email", "ann@x.org")
	t.Log(rows, del(b, `T Upper"q`, "Id", rows), q(`SELECT string_agg(email::text, ',') FROM "T Upper""q"`))
}

func TestHang(t *testing.T) {
	s, b, _ := pg(t, `CREATE TABLE c (id int PRIMARY KEY, email text)`, `INSERT INTO c VALUES (5,'ann@x.org')`)
	rows := res(t, b, "c", "id", "email", "ann@x.org")
	// stop all server processes of this server, as a hung VM or storage does
	out, err := exec.Command("sh", "-c", fmt.Sprintf("p=$(head -1 %s/data/postmaster.pid); kill -STOP $p $(pgrep -P $p); echo $p $(pgrep -P $p)", s.Host)).CombinedOutput()
	t.Log(string(out), err)
	pids := strings.Fields(string(out))
	defer exec.Command("kill", append([]string{"-CONT"}, pids...)...).Run()
	done := make(chan error, 1)
	start := time.Now()
	go func() { done <- del(b, "c", "id", rows) }()
	select {
	case err := <-done:
		t.Log("returned", err, time.Since(start))
	case <-time.After(40 * time.Second):
		t.Error("Execute hangs for 40 s with a statement timeout of 2 s: no client-side deadline")
		_ = exec.Command("kill", append([]string{"-CONT"}, pids...)...).Run()
		t.Log(<-done)
	}
}
