package sqlite_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
)

func TestInspectTellsFoldedIndexesAndRows(t *testing.T) {
	ctx := context.Background()
	folder := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(folder, "x.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(ctx, `CREATE TABLE mail (id INTEGER PRIMARY KEY, tenant INTEGER, "eMail" TEXT, plain TEXT);
		CREATE INDEX a ON mail (LOWER ( [eMail] ) DESC);
		CREATE INDEX b ON mail (tenant, lower(PLAIN), id);
		CREATE INDEX c ON mail (lower(trim(plain, char(9, 10, 11, 12, 13, 32))));
		CREATE INDEX d ON mail (lower(trim(plain)));
		CREATE INDEX e ON mail (upper(plain), lower(plain));
		CREATE INDEX f ON mail (lower(plain)) WHERE tenant = 5;
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO mail SELECT i, i, 'x', 'y' FROM n`); err != nil {
		t.Fatal(err)
	}
	b, err := sqlite.Open(ctx, sqlite.Config{Root: folder, Path: "x.db"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	for _, rows := range []int64{-1, 500} {
		s, err := b.(backend.Inspector).Inspect(ctx, []backend.Table{{Name: "mail"}})
		if err != nil {
			t.Fatal(err)
		}
		if s.Tables[0].Rows != rows {
			t.Errorf("%d rows, want %d", s.Tables[0].Rows, rows)
		}
		got := map[string]int{}
		for _, f := range s.Tables[0].Folded {
			key := f.Column + " " + string(f.Normalize)
			for _, a := range f.After {
				key += " after " + a
			}
			got[key]++
		}
		if diff := cmp.Diff(map[string]int{"eMail LowerCase": 1, "plain LowerCase after tenant": 1, "plain TrimLowerCase": 1}, got); diff != "" {
			t.Error(diff)
		}
		if _, err := db.ExecContext(ctx, "ANALYZE"); err != nil {
			t.Fatal(err)
		}
	}
}
