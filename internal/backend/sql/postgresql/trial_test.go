package postgresql_test

import (
	"context"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
)

func TestColumnsTakeOrRefuseValues(t *testing.T) {
	ctx := context.Background()
	name, conn := benchmarkDatabase(t)
	for _, s := range []string{
		`CREATE TYPE mood AS ENUM ('good', 'bad')`,
		`CREATE TABLE lookup (code text PRIMARY KEY)`, `INSERT INTO lookup VALUES ('known')`,
		`CREATE DOMAIN short AS text CHECK (length(VALUE) < 4)`,
		`CREATE TABLE "Trial" (mood mood, born date, n numeric(4,2), mail text CHECK (mail LIKE '%@%'), "Odd ""name" text CHECK ("Odd ""name" <> 'x'),
		 code text REFERENCES lookup, pair int, also int, CHECK (pair < also), short short)`,
	} {
		if _, err := conn.Exec(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	be, err := postgresql.Open(ctx, config(name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = be.Close() }()
	tester := be.(backend.ValueTester)
	for _, c := range []struct{ column, text, want string }{
		{"mood", "good", ""}, {"mood", "other", "type mood"}, {"born", "2000-01-01", ""}, {"born", "removed", "type date"},
		{"n", "12.34", ""}, {"n", "123.4", "type numeric(4,2)"}, {"mail", "gone@invalid", ""}, {"mail", "gone", "check constraint"},
		{`Odd "name`, "y", ""}, {`Odd "name`, "x", "check constraint"}, {"code", "known", ""}, {"code", "unknown", "refers to"},
		{"pair", "1", ""}, {"short", "abc", ""}, {"short", "abcd", "type short"}, {"missing", "x", ""}, {"mail", "'; DROP TABLE lookup; --@", ""},
	} {
		got, err := tester.TestValues(ctx, []backend.Trial{{Table: backend.Table{Name: "Trial"}, Column: c.column, Text: c.text}})
		if err != nil || len(got) != 1 || (got[0] == "") != (c.want == "") || !strings.Contains(got[0], c.want) {
			t.Errorf("%s takes %q: got %q, %v; want %q", c.column, c.text, got, err, c.want)
		}
	}
}
