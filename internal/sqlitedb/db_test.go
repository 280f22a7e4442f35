package sqlitedb

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	. "github.com/onsi/gomega"
)

var ctx = context.Background()

func options(versions ...string) Options {
	files := fstest.MapFS{}
	for i, sql := range versions {
		files[[]string{"00001_a.sql", "00002_b.sql"}[i]] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	}
	return Options{ApplicationID: 7, Migrations: []Migrations{{Part: "test", Files: files}}, SecureDelete: true}
}

const one, two = "CREATE TABLE a (x INTEGER);", "CREATE TABLE b (x INTEGER);"

func TestMigratesForwardAndRefusesWhatIsNewer(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "odd name?%20#.db")
	db, err := Open(ctx, path, options(one))
	g.Expect(err).NotTo(HaveOccurred())
	id := db.ID()
	g.Expect(db.Close()).To(Succeed())
	db, err = Open(ctx, path, options(one, two))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(db.ID()).To(Equal(id))
	g.Expect(db.Epoch()).To(Equal(int64(2)))
	_, err = db.Reader.Exec("INSERT INTO b VALUES (1)")
	g.Expect(err).To(HaveOccurred(), "the reading pool cannot write")
	g.Expect(db.Close()).To(Succeed())
	db.ScrubSoon() // late, and harmless
	_, err = Open(ctx, path, options(one))
	g.Expect(err).To(MatchError(ErrNewer))
	db, err = Open(ctx, path, options(one, two))
	g.Expect(err).NotTo(HaveOccurred(), "the refused one has released its lock")
	g.Expect(db.Close()).To(Succeed())

	info, err := os.Stat(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
}

func TestSettingsThatTheGuaranteesRestOn(t *testing.T) {
	g := NewWithT(t)
	db, err := Open(ctx, filepath.Join(t.TempDir(), "a.db"), options(one))
	g.Expect(err).NotTo(HaveOccurred())
	defer db.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1"} {
		var got string
		g.Expect(db.Writer.QueryRow("PRAGMA " + pragma).Scan(&got)).To(Succeed())
		g.Expect(got).To(Equal(want), pragma)
	}
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "a.db")
	foreign, err := sql.Open("sqlite", path)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = foreign.Exec("CREATE TABLE customers (x)")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(foreign.Close()).To(Succeed())
	_, err = Open(ctx, path, options(one))
	g.Expect(err).To(MatchError(ErrWrongFile))

	path = filepath.Join(t.TempDir(), "b.db")
	g.Expect(os.WriteFile(path, []byte(strings.Repeat("not a database", 100)), 0o600)).To(Succeed())
	_, err = Open(ctx, path, options(one))
	g.Expect(err).To(MatchError(ContainSubstring("not a database")))
	_, err = Open(ctx, filepath.Join(t.TempDir(), "missing", "c.db"), options(one))
	g.Expect(err).To(MatchError(os.ErrNotExist))
}
