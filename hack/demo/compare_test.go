package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompareTells checks that the demo's witness sees what it is there to see.
func TestCompareTells(t *testing.T) {
	ctx := context.Background()
	data := t.TempDir()
	if err := seed(ctx, data, 1000); err != nil {
		t.Fatal(err)
	}
	ats, err := openSystem(data, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ats.close()
	id := applicantID(withTaxDocument)
	before, err := takeSnapshot(ctx, ats, id)
	if err != nil {
		t.Fatal(err)
	}
	saved := filepath.Join(t.TempDir(), "before")
	if err := before.write(saved); err != nil {
		t.Fatal(err)
	}

	tests := []struct {
		name, change, kept, miss string
	}{
		{name: "nothing changed", kept: "all"},
		{name: "everything still there", miss: "applicants: 1 as before"},
		{name: "own row changed", change: `UPDATE applicants SET city = 'Elsewhere' WHERE id = '` + id + `'`, kept: "all",
			miss: "applicants: 1 of 1 are not as before"},
		{name: "row of another changed", change: `UPDATE applicants SET city = 'Elsewhere' WHERE id = 'app-000001'`, kept: "all",
			miss: "somebody else's data has changed"},
		{name: "row of another gone", change: `DELETE FROM consents WHERE id = 'con-000001'`, kept: "all",
			miss: "somebody else's data has changed"},
		{name: "type of a value of another changed", change: `UPDATE messages SET subject = CAST(subject AS BLOB) WHERE id = 'msg-000001'`,
			kept: "all", miss: "somebody else's data has changed"},
		{name: "new row of the person", change: `INSERT INTO talent_pool VALUES ('tal-new', '` + id + `', 'all', '2026-01-01')`,
			kept: "all", miss: "talent_pool: 1 new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			undo := change(t, ats, tt.change)
			defer undo()
			checkComparison(t, ats, saved, "", tt.kept, tt.miss)
		})
	}

	t.Run("anonymized row still tells who it was", func(t *testing.T) {
		undo := change(t, ats, `UPDATE consents SET ip_address = NULL WHERE lower(email) = '`+strings.ToLower(before.Person.Email)+`'`)
		defer undo()
		checkComparison(t, ats, saved, "consents", "", "consents: 1 of 1 anonymized, an identity stands in 1")
	})
	t.Run("file of another changed", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(ats.storage, "recordings", "int-000001", "audio.ogg"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		checkComparison(t, ats, saved, "", "all", "somebody else's data has changed")
	})
}

// change executes a statement on a savepoint and returns what takes it back.
func change(t *testing.T, s *system, statement string) func() {
	t.Helper()
	for _, step := range []string{`SAVEPOINT test`, statement} {
		if _, err := s.db.Exec(step); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if _, err := s.db.Exec(`ROLLBACK TO test; RELEASE test`); err != nil {
			t.Fatal(err)
		}
	}
}

// checkComparison compares and looks for the miss, or for none.
func checkComparison(t *testing.T, s *system, saved, anonymized, kept, miss string) {
	t.Helper()
	want, err := parseExpectation(anonymized, kept, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = compareWith(context.Background(), &out, s, saved, want)
	if miss == "" && err != nil {
		t.Fatalf("got %v, want no miss:\n%s", err, out.String())
	}
	if miss != "" && (!errors.Is(err, errUnmet) || !strings.Contains(out.String(), "MISS "+miss)) {
		t.Fatalf("got %v, want the miss %q:\n%s", err, miss, out.String())
	}
}
