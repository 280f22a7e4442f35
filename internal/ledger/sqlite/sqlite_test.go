package ledgersqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
)

const logName = "lethe.dev/test"

var (
	ctx   = context.Background()
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// opened is a ledger with a file of its own.
type opened struct {
	*Log
}

func (o opened) Close() error { return o.db.Close() }

func openWith(path string, signer note.Signer) (opened, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{ApplicationID: 1, Migrations: []sqlitedb.Migrations{Migrations()}})
	if err != nil {
		return opened{}, err
	}
	l, err := New(ctx, db, Options{LogName: logName, Signer: signer})
	return opened{l}, err
}

func open(t testing.TB, path string) opened {
	t.Helper()
	l, err := tryOpen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func tryOpen(path string) (opened, error) {
	signer, err := ledger.NewSigner(logName, bytes.Repeat([]byte{1}, 32))
	if err != nil {
		return opened{}, err
	}
	return openWith(path, signer)
}

func entry(key string) ledger.Entry {
	return ledger.Entry{Key: key, Time: start, Kind: ledger.KindErasureOutcome, Handle: "k3v9x2m4q7", Run: "0b8e6a52-5b0e-4b39-9f0e-6d6b8d3f2a11",
		Step: "3", Reason: "Deleted", Counts: []ledger.Count{{Store: "ats", Entity: "notes", Category: "notes", Action: "Delete", Count: 12}}}
}

func TestAppendReadProve(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path)
	_, err := l.Checkpoint(ctx, "hr")
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	g.Expect(l.Check(ctx, "hr", 0, nil)).To(Succeed())
	g.Expect(l.Check(ctx, "hr", 1, make([]byte, 32))).To(MatchError(ledger.ErrTruncated))

	r, err := l.Append(ctx, "hr", entry("a"), entry("b"), entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{0, 1, 0}))
	g.Expect(r.Appended).To(Equal(2))
	g.Expect(r.Checkpoint.OriginLine).To(Equal("lethe.dev/test/hr"))
	first := r.Checkpoint

	changed := entry("b")
	changed.Reason = "Other"
	r, err = l.Append(ctx, "hr", changed)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1}))
	g.Expect(r.Appended).To(BeZero())
	g.Expect(r.Checkpoint).To(Equal(first))

	r, err = l.Append(ctx, "hr", entry("b"), entry("c"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1, 2}))
	r, err = l.Append(ctx, "it", entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{0}), "origins are apart")
	r, err = l.Append(ctx, "hr")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Appended).To(BeZero())

	for i := range 2 { // as it is, and opened anew
		records, err := l.Entries(ctx, "hr", 0, 0)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(records).To(HaveLen(3))
		g.Expect(records[1].Entry).To(Equal(entry("b")))
		page, err := l.Entries(ctx, "hr", 1, 1)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(page).To(Equal(records[1:2]))
		g.Expect(l.Origins(ctx)).To(Equal([]string{"hr", "it"}))
		found, err := l.Find(ctx, "hr", "c")
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).To(Equal(records[2]))
		_, err = l.Find(ctx, "it", "c")
		g.Expect(err).To(MatchError(ledger.ErrNotFound))
		g.Expect(l.Check(ctx, "hr", 2, first.Root)).To(Succeed())
		g.Expect(l.Check(ctx, "hr", 2, make([]byte, 32))).To(MatchError(ledger.ErrForked))
		g.Expect(l.Check(ctx, "hr", 4, first.Root)).To(MatchError(ledger.ErrTruncated))
		if i == 0 {
			g.Expect(l.Close()).To(Succeed())
			l = open(t, path)
			g.Expect(l.db.Epoch()).To(Equal(int64(2)))
		}
	}
}

// Nothing of ours: golang.org/x/mod/sumdb/note opens the checkpoint, transparency-dev/merkle checks the proofs, and the
// leaves come out of the file by plain SQL.
func TestOthersToolsVerify(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "ledger.db")
	l := open(t, path)
	var checkpoints []ledger.SignedCheckpoint
	for i := range 37 {
		r, err := l.Append(ctx, "hr", entry(fmt.Sprint(i)))
		g.Expect(err).NotTo(HaveOccurred())
		checkpoints = append(checkpoints, r.Checkpoint)
	}
	verifierKey, err := l.options.Signer.(*ledger.Signer).VerifierKeyFor("hr")
	g.Expect(err).NotTo(HaveOccurred())

	verifier, err := note.NewVerifier(verifierKey)
	g.Expect(err).NotTo(HaveOccurred())
	last, err := note.Open(checkpoints[36].Note, note.VerifierList(verifier))
	g.Expect(err).NotTo(HaveOccurred())
	var origin, root64 string
	var size uint64
	_, err = fmt.Sscanf(last.Text, "%s\n%d\n%s\n", &origin, &size, &root64)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(origin).To(Equal(verifier.Name()))
	g.Expect(size).To(Equal(uint64(37)))

	raw, err := sql.Open("sqlite", path)
	g.Expect(err).NotTo(HaveOccurred())
	defer raw.Close()
	for i := range uint64(37) {
		var leaf []byte
		g.Expect(raw.QueryRow("SELECT leaf FROM entries ORDER BY id LIMIT 1 OFFSET ?", i).Scan(&leaf)).To(Succeed())
		hashes, err := l.InclusionProof(ctx, "hr", i, size)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(proof.VerifyInclusion(rfc6962.DefaultHasher, i, size, rfc6962.DefaultHasher.HashLeaf(leaf), hashes, checkpoints[36].Root)).To(Succeed())
		hashes, err = l.ConsistencyProof(ctx, "hr", i+1, size)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(proof.VerifyConsistency(rfc6962.DefaultHasher, i+1, size, hashes, checkpoints[i].Root, checkpoints[36].Root)).To(Succeed())
	}
	_, err = l.InclusionProof(ctx, "hr", 37, 37)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	_, err = l.InclusionProof(ctx, "hr", 1, 38)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}

// The way entries come in, alone or in groups, with repetitions, changes nothing about the tree.
func TestTreeDependsOnEntriesOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewWithT(t)
		folder, err := os.MkdirTemp("", "ledger")
		g.Expect(err).NotTo(HaveOccurred())
		defer os.RemoveAll(folder)
		l, err := tryOpen(filepath.Join(folder, "l.db"))
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { l.Close() }()
		var tree ledger.Tree
		var known []ledger.Checkpoint
		index := map[string]uint64{}
		for range rapid.IntRange(1, 8).Draw(t, "appends") {
			keys := rapid.SliceOfN(rapid.StringMatching("[a-f][a-d]"), 1, 6).Draw(t, "keys")
			var entries []ledger.Entry
			var want []uint64
			for _, key := range keys {
				entries = append(entries, entry(key))
				if _, ok := index[key]; !ok {
					index[key] = tree.Size()
					leaf, _ := ledger.EncodeLeaf(entry(key))
					tree, _, _ = tree.With(ledger.LeafHash(leaf))
				}
				want = append(want, index[key])
			}
			r, err := l.Append(ctx, "hr", entries...)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(r.Indexes).To(Equal(want))
			g.Expect(r.Checkpoint.Root).To(Equal(tree.Root()))
			known = append(known, r.Checkpoint.Checkpoint)
			if rapid.Bool().Draw(t, "reopen") {
				g.Expect(l.Close()).To(Succeed())
				l, err = tryOpen(filepath.Join(folder, "l.db"))
				g.Expect(err).NotTo(HaveOccurred())
			}
		}
		verifyAll(t, l, "hr", known)
	})
}

// verifyAll checks a log from its records.
func verifyAll(t rapid.TB, l opened, origin string, known []ledger.Checkpoint) {
	t.Helper()
	g := NewWithT(t)
	last, err := l.Checkpoint(ctx, origin)
	g.Expect(err).NotTo(HaveOccurred())
	key, err := l.options.Signer.(*ledger.Signer).VerifierKeyFor(origin)
	g.Expect(err).NotTo(HaveOccurred())
	verifier, err := note.NewVerifier(key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ledger.VerifyRecords(ledger.Evidence{OriginLine: last.OriginLine, Verifier: verifier, Current: last.Note, Earlier: known},
		func(yield func(ledger.Record, error) bool) {
			for from := uint64(0); ; {
				page, err := l.Entries(ctx, origin, from, 0)
				if err != nil {
					yield(ledger.Record{}, err)
					return
				}
				for _, r := range page {
					if !yield(r, nil) {
						return
					}
				}
				if from += uint64(len(page)); len(page) == 0 {
					return
				}
			}
		})).To(Succeed())
}

func TestConcurrentAppendsAreAllThere(t *testing.T) {
	g := NewWithT(t)
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	var group sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for w := range 8 {
		group.Go(func() {
			for i := range 40 {
				r, err := l.Append(ctx, "hr", entry(fmt.Sprint(w, i)))
				mu.Lock()
				if err == nil {
					seen[r.Indexes[0]] = true
				}
				mu.Unlock()
				_, _ = l.InclusionProof(ctx, "hr", 0, r.Checkpoint.Size)
			}
		})
	}
	group.Wait()
	g.Expect(seen).To(HaveLen(320))
	verifyAll(t, l, "hr", nil)
}

func TestSecondProcessIsLockedOut(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	_, err := tryOpen(path)
	g.Expect(err).To(MatchError(sqlitedb.ErrLocked))
	_, err = l.Append(ctx, "hr", entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())
	g.Expect(l.Close()).To(Succeed())
	open(t, path)
}

func TestOvertakenProcessCannotAppend(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "l.db")
	old := open(t, path)
	_, err := old.Append(ctx, "hr", entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.Remove(path + ".lock")).To(Succeed()) // or a file system without working locks
	successor := open(t, path)
	for _, entries := range [][]ledger.Entry{{entry("b")}, {entry("c"), entry("d")}, {entry("a")}} {
		_, err = old.Append(ctx, "hr", entries...)
		g.Expect(err).To(MatchError(ledger.ErrStaleEpoch))
	}
	_, err = old.Append(ctx, "new", entry("b"))
	g.Expect(err).To(MatchError(ledger.ErrStaleEpoch))
	r, err := successor.Append(ctx, "hr", entry("b"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1}))
	verifyAll(t, successor, "hr", nil)
}

func TestFullDiskLosesNothingAcknowledged(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	_, err := l.db.Writer.Exec("PRAGMA max_page_count = 40")
	g.Expect(err).NotTo(HaveOccurred())
	acknowledged := 0
	for ; err == nil; acknowledged++ {
		_, err = l.Append(ctx, "hr", entry(fmt.Sprint(acknowledged)))
	}
	acknowledged--
	g.Expect(err).To(MatchError(ContainSubstring("full")))
	g.Expect(acknowledged).To(BeNumerically(">", 10))
	last, err := l.Checkpoint(ctx, "hr")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(last.Size).To(Equal(uint64(acknowledged)))
	verifyAll(t, l, "hr", nil)

	_, err = l.db.Writer.Exec("PRAGMA max_page_count = 4000")
	g.Expect(err).NotTo(HaveOccurred())
	r, err := l.Append(ctx, "hr", entry(fmt.Sprint(acknowledged)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{last.Size}))
	verifyAll(t, l, "hr", []ledger.Checkpoint{last.Checkpoint})
}

// tamper changes a closed file, as somebody with access to the volume would.
func tamper(t *testing.T, path string, statements ...string) {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for _, s := range append([]string{"DROP TRIGGER entries_stay", "DROP TRIGGER entries_are_kept"}, statements...) {
		if _, err := raw.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTamperedFileIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		want      error
	}{
		"tail cut off":    {"DELETE FROM entries WHERE id % 1099511627776 > 6", ledger.ErrTruncated},
		"all gone":        {"DELETE FROM entries", ledger.ErrTruncated},
		"node changed":    {"UPDATE entries SET nodes = zeroblob(length(nodes)) WHERE id % 1099511627776 = 7", ledger.ErrCorrupt},
		"node shortened":  {"UPDATE entries SET nodes = substr(nodes, 1, 32) WHERE id % 1099511627776 = 7", ledger.ErrCorrupt},
		"checkpoint gone": {"UPDATE entries SET checkpoint = NULL WHERE id % 1099511627776 = 9", ledger.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			path := filepath.Join(t.TempDir(), "l.db")
			l := open(t, path)
			var last ledger.SignedCheckpoint
			for i := range 10 {
				r, err := l.Append(ctx, "hr", entry(fmt.Sprint(i)))
				g.Expect(err).NotTo(HaveOccurred())
				last = r.Checkpoint
			}
			g.Expect(l.Close()).To(Succeed())
			tamper(t, path, c.statement)
			l = open(t, path)
			g.Expect(l.Check(ctx, "hr", last.Size, last.Root)).To(MatchError(c.want))
		})
	}
}

func TestEntriesCannotBeChangedByMistake(t *testing.T) {
	g := NewWithT(t)
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	_, err := l.Append(ctx, "hr", entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = l.db.Writer.Exec("UPDATE entries SET leaf = x'00'")
	g.Expect(err).To(HaveOccurred())
	_, err = l.db.Writer.Exec("DELETE FROM entries")
	g.Expect(err).To(HaveOccurred())
}

func TestAnotherKeyIsRefused(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "l.db")
	l := open(t, path)
	_, err := l.Append(ctx, "hr", entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())
	signer, err := ledger.NewSigner(logName, bytes.Repeat([]byte{9}, 32))
	g.Expect(err).NotTo(HaveOccurred())
	other, err := openWith(path, signer)
	g.Expect(err).NotTo(HaveOccurred())
	defer other.Close()
	_, err = other.Append(ctx, "hr", entry("b"))
	g.Expect(err).To(MatchError(ledger.ErrWrongKey))
}

func TestCancelledContextAppendsNothing(t *testing.T) {
	g := NewWithT(t)
	l := open(t, filepath.Join(t.TempDir(), "l.db"))
	_, err := l.Append(ctx, "hr", entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	begun, end := make(chan struct{}), make(chan struct{})
	var other sync.WaitGroup
	other.Go(func() { // somebody else writes
		_ = l.db.Write(ctx, func(context.Context, *sqlitedb.Tx) error { close(begun); <-end; return nil })
	})
	<-begun
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = l.Append(short, "hr", entry("b"))
	g.Expect(errors.Is(err, context.DeadlineExceeded)).To(BeTrue())
	close(end)
	other.Wait()
	_, err = l.Find(ctx, "hr", "b")
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}
