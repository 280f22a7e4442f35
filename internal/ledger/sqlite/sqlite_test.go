package ledgersqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	. "github.com/onsi/gomega"
	"golang.org/x/mod/sumdb/note"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/ledgertest"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
)

var (
	ctx    = context.Background()
	engine = ledgertest.Engine{
		New: func(t testing.TB) ledgertest.Place { return place{filepath.Join(t.TempDir(), "ledger.db")} },
		OpenAt: func(address string, signer note.Signer, rotations ...ledger.Rotation) (ledgertest.Log, error) {
			return place{address}.Open(signer, rotations...)
		},
		Locked: sqlitedb.ErrLocked,
		Zeros:  "zeroblob(length(nodes))",
		Former: former,
	}
)

func TestMain(m *testing.M) {
	ledgertest.Child(engine)
	os.Exit(m.Run())
}

func TestContract(t *testing.T) { ledgertest.Run(t, engine) }

// former has the schema of the first release.
func former(t testing.TB, rows []ledgertest.FormerRow) ledgertest.Place {
	t.Helper()
	p, files := place{filepath.Join(t.TempDir(), "ledger.db")}, fstest.MapFS{}
	text, err := migrations.ReadFile("migrations/00001_entries.sql")
	if err != nil {
		t.Fatal(err)
	}
	files["00001_entries.sql"] = &fstest.MapFile{Data: text}
	db, err := sqlitedb.Open(ctx, p.path, sqlitedb.Options{ApplicationID: 1, Migrations: []sqlitedb.Migrations{{Part: "ledger", Files: files}}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Writer.Exec("INSERT INTO origins (name) VALUES ('hr')"); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if _, err := db.Writer.Exec("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", r.ID, r.KeyHash, r.Leaf, r.Nodes, r.Checkpoint); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// place is a file with nothing but a ledger.
type place struct{ path string }

func (p place) Open(signer note.Signer, rotations ...ledger.Rotation) (ledgertest.Log, error) {
	return p.open(signer, rotations...)
}

func (p place) open(signer note.Signer, rotations ...ledger.Rotation) (opened, error) {
	db, err := sqlitedb.Open(ctx, p.path, sqlitedb.Options{ApplicationID: 1, Migrations: []sqlitedb.Migrations{Migrations()}})
	if err != nil {
		return opened{}, err
	}
	l, err := New(ctx, db, Options{LogName: ledgertest.LogName, Signer: signer, Rotations: rotations})
	return opened{l}, err
}

func (p place) Address() string { return p.path }

func (p place) Unlock(t testing.TB) {
	t.Helper()
	if err := os.Remove(p.path + ".lock"); err != nil {
		t.Fatal(err)
	}
}

func (p place) raw(f func(*sql.DB) error) error {
	raw, err := sql.Open("sqlite", p.path)
	if err != nil {
		return err
	}
	defer raw.Close()
	return f(raw)
}

func (p place) Exec(statement string) error {
	return p.raw(func(raw *sql.DB) error {
		_, err := raw.Exec(statement)
		return err
	})
}

func (p place) Tamper(t testing.TB, statement string) {
	t.Helper()
	p.unprotect(t)
	if err := p.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func (p place) unprotect(t testing.TB) {
	t.Helper()
	for _, trigger := range []string{"bundles_stay", "bundles_are_kept", "keys_stay", "keys_are_kept"} {
		if err := p.Exec("DROP TRIGGER IF EXISTS " + trigger); err != nil {
			t.Fatal(err)
		}
	}
}

func (p place) Retouch(t testing.TB, index int64, checkpoint []byte) {
	t.Helper()
	p.set(t, "bundles", "checkpoint", index, checkpoint)
}

func (p place) Retell(t testing.TB, index int64, texts []byte) {
	t.Helper()
	p.set(t, "bundles", "leaves", index, texts)
}

func (p place) Rehash(t testing.TB, index int64, hash []byte) {
	t.Helper()
	p.set(t, "keys", "hash", index, hash)
}

func (p place) set(t testing.TB, table, column string, index int64, value []byte) {
	t.Helper()
	p.unprotect(t)
	err := p.raw(func(raw *sql.DB) error {
		_, err := raw.Exec("UPDATE "+table+" SET "+column+" = ? WHERE id = ?", value, 1<<40+index)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p place) Texts(t testing.TB) (texts [][]byte) {
	t.Helper()
	err := p.raw(func(raw *sql.DB) error {
		rows, err := raw.Query("SELECT leaves FROM bundles ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text []byte
			if err := rows.Scan(&text); err != nil {
				return err
			}
			texts = append(texts, text)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// opened is a ledger with a file of its own.
type opened struct{ *Log }

func (o opened) Epoch() int64 { return o.db.Epoch() }
func (o opened) Close() error { return o.db.Close() }

func (o opened) Hold(testing.TB) (release func()) {
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = o.db.Write(ctx, func(context.Context, *sqlitedb.Tx) error { close(begun); <-end; return nil })
	}()
	<-begun
	return func() { close(end); <-ended }
}

func TestFullDiskLosesNothingAcknowledged(t *testing.T) {
	g := NewWithT(t)
	l, err := place{filepath.Join(t.TempDir(), "l.db")}.open(ledgertest.Signer(1))
	g.Expect(err).NotTo(HaveOccurred())
	defer l.Close()
	_, err = l.db.Writer.Exec("PRAGMA max_page_count = 40")
	g.Expect(err).NotTo(HaveOccurred())
	acknowledged := 0
	for ; err == nil; acknowledged++ {
		_, err = l.Append(ctx, "hr", ledgertest.Entry(fmt.Sprint(acknowledged)))
	}
	acknowledged--
	g.Expect(err).To(MatchError(ContainSubstring("full")))
	g.Expect(acknowledged).To(BeNumerically(">", 10))
	last, err := l.Checkpoint(ctx, "hr")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(last.Size).To(Equal(uint64(acknowledged)))
	ledgertest.Verify(t, l, "hr", nil)

	_, err = l.db.Writer.Exec("PRAGMA max_page_count = 4000")
	g.Expect(err).NotTo(HaveOccurred())
	r, err := l.Append(ctx, "hr", ledgertest.Entry(fmt.Sprint(acknowledged)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{last.Size}))
	ledgertest.Verify(t, l, "hr", []ledger.Checkpoint{last.Checkpoint})
}

func TestFilesOfAFormerReleaseAreRefusedUntilTheyAreCarriedOver(t *testing.T) {
	g := NewWithT(t)
	p := former(t, nil)
	_, err := OpenFile(ctx, p.Address())
	g.Expect(err).To(MatchError(ContainSubstring("carried over when the operator opens it")))
	l, err := p.Open(ledgertest.Signer(1))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())
	f, err := OpenFile(ctx, p.Address())
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(f.Close()).To(Succeed())
}
