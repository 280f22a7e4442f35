package statesqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/state/statetest"
)

var (
	ctx   = context.Background()
	start = time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
)

func TestContract(t *testing.T) {
	statetest.Run(t, statetest.Engine{
		New:    func(t testing.TB) statetest.Place { return place{filepath.Join(t.TempDir(), "state.db")} },
		Locked: sqlitedb.ErrLocked,
	})
}

// place is a file with a state store and a ledger.
type place struct{ path string }

func (p place) Open(signer *ledger.Signer) (statetest.Store, error) { return p.open(signer) }

func (p place) open(signer *ledger.Signer) (opened, error) {
	db, err := sqlitedb.Open(ctx, p.path, sqlitedb.Options{ApplicationID: 1, SecureDelete: true,
		Migrations: []sqlitedb.Migrations{ledgersqlite.Migrations(), Migrations()}})
	if err != nil {
		return opened{}, err
	}
	log, err := ledgersqlite.New(ctx, db, ledgersqlite.Options{LogName: statetest.LogName, Signer: signer})
	if err != nil {
		return opened{}, err
	}
	s, err := New(ctx, db, log)
	return opened{s}, err
}

func (p place) Unlock(t testing.TB) {
	t.Helper()
	if err := os.Remove(p.path + ".lock"); err != nil {
		t.Fatal(err)
	}
}

func (p place) CutLedger(t testing.TB) {
	t.Helper()
	raw, err := sql.Open("sqlite", p.path)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if _, err := raw.Exec("DROP TRIGGER bundles_are_kept; DELETE FROM bundles WHERE id % 1099511627776 > 0"); err != nil {
		t.Fatal(err)
	}
}

// opened is a state store with a file of its own.
type opened struct{ *Store }

func (o opened) Ledger() ledger.Log { return o.ledger }
func (o opened) Close() error       { return o.db.Close() }

func open(t testing.TB, path string) opened {
	t.Helper()
	s, err := place{path}.open(statetest.Signer())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newStore(t testing.TB) opened {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "state.db"))
}

// The due ones are found by their index, without looking at those that are held.
func TestDueResiduesAreFoundByIndex(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	var plan string
	rows, err := s.db.Reader.Query("EXPLAIN QUERY PLAN "+selectDue, 1, 1)
	g.Expect(err).NotTo(HaveOccurred())
	defer rows.Close()
	for rows.Next() {
		var a, b, c int
		var detail string
		g.Expect(rows.Scan(&a, &b, &c, &detail)).To(Succeed())
		plan += detail + "\n"
	}
	g.Expect(rows.Err()).To(Succeed())
	g.Expect(plan).To(ContainSubstring("residues_due"))
	g.Expect(plan).NotTo(ContainSubstring("TEMP B-TREE"))
}

// Promise 7: what is destroyed is in none of the files any more.
func TestDestroyedMaterialLeavesTheFiles(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	secret := bytes.Repeat([]byte("CANARY-PLAN-"), 2000) // several pages
	r, run := statetest.Request("1"), &state.Run{UID: "run", Namespace: "hr", Name: "r", Sealed: secret}
	residue := &state.Residue{ID: "res", Namespace: "hr", RequestUID: "1", SubjectPseudonym: r.SubjectPseudonym, Sealed: []byte("CANARY-RES"),
		CreatedAt: start, State: state.ResidueWaiting}
	statetest.Put(g, s, r, run, residue)
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		_, err := tx.Claim("hr", []string{r.SubjectPseudonym}, state.Owner{UID: "1"})
		return err
	})).To(Succeed())
	traces := func() int {
		n := 0
		for _, suffix := range []string{"", "-wal"} {
			content, err := os.ReadFile(path + suffix)
			g.Expect(err).NotTo(HaveOccurred())
			n += bytes.Count(content, []byte("CANARY")) + bytes.Count(content, []byte("subject-1")) + bytes.Count(content, []byte("sealed-deactivation"))
		}
		return n
	}
	g.Expect(traces()).To(BeNumerically(">", 2000))
	g.Expect(s.db.Scrub(ctx)).To(Succeed()) // so that it is in the main file too

	r.Deactivation, run.Sealed, residue.Sealed, residue.State = nil, nil, nil, state.ResidueDone
	statetest.Put(g, s, run, residue, r)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return errors.Join(tx.ReleaseClaims("1"), tx.DestroySubjectLink("1")) })).To(Succeed())
	g.Eventually(traces, "10s").Should(BeZero())

	statetest.Put(g, s, r) // still has the pseudonym in memory
	stored, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.SubjectPseudonym).To(BeEmpty(), "a destroyed link stays destroyed")
	g.Expect(traces()).To(BeZero())
}

func TestScrubIsRepeatedUntilNobodyReads(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	run := &state.Run{UID: "run", Namespace: "hr", Name: "r", Sealed: []byte("CANARY")}
	statetest.Put(g, s, run)
	reading, err := s.db.Reader.Begin()
	g.Expect(err).NotTo(HaveOccurred())
	var n int
	g.Expect(reading.QueryRow("SELECT COUNT(*) FROM runs").Scan(&n)).To(Succeed())
	run.Sealed = nil
	statetest.Put(g, s, run)
	g.Expect(s.db.Scrub(ctx)).NotTo(Succeed())
	g.Expect(reading.Rollback()).To(Succeed())
	statetest.Put(g, s, statetest.Request("other"))
	g.Eventually(func() bool {
		content, err := os.ReadFile(path + "-wal")
		return err == nil && !bytes.Contains(content, []byte("CANARY"))
	}, "10s").Should(BeTrue())
}

func BenchmarkUpdateRequest(b *testing.B) {
	s := newStore(b)
	r := statetest.Request("1")
	b.ResetTimer()
	for range b.N {
		if err := s.Update(ctx, func(tx state.Tx) error { return tx.PutRequest(r) }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLife is the state store's share of one erasure: the plan sealed, the run finished, everything destroyed.
func BenchmarkLife(b *testing.B) {
	s := newStore(b)
	plan := bytes.Repeat([]byte{7}, 4000)
	b.ResetTimer()
	for i := range b.N {
		r := statetest.Request(fmt.Sprint(i))
		run := &state.Run{UID: r.UID, Namespace: "hr", Name: r.UID, Sealed: plan, Steps: make([]state.StepRecord, 4)}
		check := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		check(s.Update(ctx, func(tx state.Tx) error { return errors.Join(tx.PutRequest(r), tx.PutRun(run)) }))
		check(s.Update(ctx, func(tx state.Tx) error { return tx.PutRun(run) }))
		run.Sealed, r.Deactivation, r.FinishedAt = nil, nil, statetest.At(1)
		check(s.Update(ctx, func(tx state.Tx) error {
			return errors.Join(tx.PutRun(run), tx.PutRequest(r), tx.ReleaseClaims(r.UID), tx.DestroySubjectLink(r.UID))
		}))
	}
}

func BenchmarkReadRequest(b *testing.B) {
	s := newStore(b)
	statetest.Put(NewWithT(b), s, statetest.Request("1"))
	b.ResetTimer()
	for range b.N {
		if _, err := s.Request(ctx, "1"); err != nil {
			b.Fatal(err)
		}
	}
}
