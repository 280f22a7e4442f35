package statesqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/mod/sumdb/note"

	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
	"github.com/lethe-dev/lethe/internal/state"
)

var (
	ctx   = context.Background()
	start = time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
)

func at(hours int) *time.Time {
	t := start.Add(time.Duration(hours) * time.Hour)
	return &t
}

// opened is a state store with a file of its own, which has a ledger too.
type opened struct {
	*Store
}

func (o opened) Close() error { return o.db.Close() }

func tryOpen(path string) (opened, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{ApplicationID: 1, SecureDelete: true,
		Migrations: []sqlitedb.Migrations{ledgersqlite.Migrations(), Migrations()}})
	if err != nil {
		return opened{}, err
	}
	signer, err := ledger.NewSigner("lethe.dev/test", make([]byte, 32))
	if err != nil {
		return opened{}, err
	}
	log, err := ledgersqlite.New(ctx, db, ledgersqlite.Options{LogName: "lethe.dev/test", Signer: signer})
	if err != nil {
		return opened{}, err
	}
	s, err := New(ctx, db, log)
	return opened{s}, err
}

func open(t testing.TB, path string) opened {
	t.Helper()
	s, err := tryOpen(path)
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

func put(g Gomega, s state.Store, records ...any) {
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		for _, r := range records {
			var err error
			switch r := r.(type) {
			case *state.Request:
				err = tx.PutRequest(r)
			case *state.Run:
				err = tx.PutRun(r)
			case *state.Residue:
				err = tx.PutResidue(r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})).To(Succeed())
}

func request(uid string) *state.Request {
	return &state.Request{UID: uid, Namespace: "hr", Name: "er-" + uid, Handle: "h-" + uid, SubjectPseudonym: "p1.k.subject-" + uid,
		Phase: "Pending", Stage: "Grace", ReceivedAt: start, DueAt: *at(30), ConfirmedAt: at(1), ScheduledAt: at(2), ApprovedAt: at(3),
		Policy: json.RawMessage(`{"grace":"P60D"}`), Maps: json.RawMessage(`[1]`), ApprovalNeeded: true, Deactivation: []byte("sealed-deactivation-" + uid),
		DeactivationState: "Done", RunUID: "run", History: json.RawMessage(`[]`)}
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	r := request("1")
	run := &state.Run{UID: "run", Namespace: "hr", Name: "run-1", RequestUID: "1", PlanRevision: 2, PlanDigest: "d", Sealed: []byte{1, 2, 3},
		Steps: []state.StepRecord{{Name: "a", State: "Done", Cursor: 4, Done: 5}}, Effects: true, Attempts: 1, StartedAt: at(1), NextAttemptAt: at(2)}
	residue := &state.Residue{ID: "res", Namespace: "hr", RequestUID: "1", RequestName: "er-1", SubjectPseudonym: "p", Basis: "AO 147", Until: at(9),
		HoldUIDs: []string{"hold"}, Counts: json.RawMessage(`[{"a":1}]`), Sealed: []byte("x"), CreatedAt: start, State: state.ResidueWaiting}
	put(g, s, r, run, residue)
	hold := state.Hold{UID: "hold", Namespace: "hr", Name: "case-7", SubjectPseudonyms: []string{"p"}, Records: json.RawMessage(`[]`), InForceSince: start}
	g.Expect(s.PlaceHold(ctx, hold)).To(Succeed())
	id := s.ID()
	for i := range 2 {
		g.Expect(s.Request(ctx, "1")).To(Equal(r))
		g.Expect(s.Run(ctx, "run")).To(Equal(run))
		g.Expect(s.Residue(ctx, "res")).To(Equal(residue))
		g.Expect(s.Residues(ctx, "hr", "1")).To(Equal([]state.Residue{*residue}))
		g.Expect(s.Hold(ctx, "hold")).To(Equal(&hold))
		g.Expect(s.Holds(ctx, "hr")).To(Equal([]state.Hold{hold}))
		g.Expect(s.ID()).To(Equal(id))
		g.Expect(s.Epoch()).To(Equal(int64(i + 1)))
		if i == 0 {
			g.Expect(s.Close()).To(Succeed())
			s = open(t, path)
		}
	}
	for _, err := range []error{second(s.Request(ctx, "x")), second(s.Run(ctx, "x")), second(s.Hold(ctx, "x")), second(s.Residue(ctx, "x")),
		second(s.ClaimOwner(ctx, "hr", "x")), second(s.Checkpoint(ctx, "x")), second(s.FinishedByName(ctx, "hr", "er-1", "")),
		second(s.Tombstone(ctx, "a", "b", "c", "d"))} {
		g.Expect(err).To(MatchError(state.ErrNotFound))
	}
	g.Expect(s.Holds(ctx, "other")).To(BeEmpty())
}

func second[T any](_ T, err error) error { return err }

func TestStaleWritesConflictAndLeaveTheRecordAsItWas(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	first := request("1")
	put(g, s, first)
	g.Expect(first.Revision).To(Equal(int64(1)))
	mine, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	theirs, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	mine.Phase = "Completed"
	put(g, s, mine)
	g.Expect(mine.Revision).To(Equal(int64(2)))

	theirs.Phase = "Cancelled"
	run := &state.Run{UID: "r", Namespace: "hr", Name: "r"}
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		if err := tx.PutRun(run); err != nil {
			return err
		}
		return tx.PutRequest(theirs)
	})).To(MatchError(state.ErrConflict))
	g.Expect(theirs.Revision).To(Equal(int64(1)))
	g.Expect(run.Revision).To(BeZero(), "undone with the transaction")
	_, err = s.Run(ctx, "r")
	g.Expect(err).To(MatchError(state.ErrNotFound))
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.PutRequest(request("1")) })).To(MatchError(state.ErrConflict), "created twice")
	now, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(now.Phase).To(Equal("Completed"))

	boom := errors.New("boom")
	g.Expect(s.Update(ctx, func(state.Tx) error { return boom })).To(Equal(boom))
}

func TestPanicInsideAnUpdateUndoesIt(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	g.Expect(func() {
		_ = s.Update(ctx, func(tx state.Tx) error {
			_ = tx.PutRequest(request("1"))
			panic("x")
		})
	}).To(Panic())
	_, err := s.Request(ctx, "1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
	put(g, s, request("1"))
}

func TestOneOfManyClaimsWins(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	var winners atomic.Int32
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			err := s.Update(ctx, func(tx state.Tx) error {
				existing, err := tx.Claim("hr", []string{fmt.Sprint("own", i), "shared"}, state.Owner{UID: fmt.Sprint(i), Name: "n"})
				if err == nil && existing == nil {
					winners.Add(1)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	g.Expect(winners.Load()).To(Equal(int32(1)))
	owner, err := s.ClaimOwner(ctx, "hr", "shared")
	g.Expect(err).NotTo(HaveOccurred())
	for i := range 16 {
		_, err := s.ClaimOwner(ctx, "hr", fmt.Sprint("own", i))
		g.Expect(err == nil).To(Equal(fmt.Sprint(i) == owner.UID), "all or nothing")
	}
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		existing, err := tx.Claim("hr", []string{"shared", "more"}, *owner)
		g.Expect(existing).To(BeNil())
		return err
	})).To(Succeed())
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		existing, err := tx.Claim("other", []string{"shared"}, state.Owner{UID: "x"})
		g.Expect(existing).To(BeNil(), "namespaces are apart")
		return errors.Join(err, tx.ReleaseClaims(owner.UID))
	})).To(Succeed())
	_, err = s.ClaimOwner(ctx, "hr", "shared")
	g.Expect(err).To(MatchError(state.ErrNotFound))
}

func TestFinishedByName(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	for i, uid := range []string{"a", "b", "c"} {
		r := request(uid)
		r.Name = "er"
		if uid != "c" {
			r.FinishedAt = at(i)
		}
		put(g, s, r)
	}
	found, err := s.FinishedByName(ctx, "hr", "er", "c")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found.UID).To(Equal("b"))
	found, err = s.FinishedByName(ctx, "hr", "er", "b")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found.UID).To(Equal("a"))
	_, err = s.FinishedByName(ctx, "it", "er", "b")
	g.Expect(err).To(MatchError(state.ErrNotFound))
}

func TestDueResidues(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	g.Expect(s.PlaceHold(ctx, state.Hold{UID: "hold", Namespace: "hr", Name: "h", InForceSince: start})).To(Succeed())
	residue := func(id string, until *time.Time, holds ...string) *state.Residue {
		return &state.Residue{ID: id, Namespace: "hr", RequestUID: "1", Until: until, HoldUIDs: holds, CreatedAt: start, State: state.ResidueWaiting,
			SubjectPseudonym: "p", Sealed: []byte("s")}
	}
	done := residue("done", at(1))
	done.State = state.ResidueDone
	later := residue("later", at(5))
	put(g, s, residue("date", at(1)), later, residue("held", nil, "hold"), residue("held and dated", at(6), "hold"),
		residue("unknown hold", nil, "nowhere"), done, residue("free", nil))
	due := func(now *time.Time) (ids []string) {
		list, err := s.DueResidues(ctx, *now, 10)
		g.Expect(err).NotTo(HaveOccurred())
		for _, r := range list {
			g.Expect(r.Sealed).To(BeEmpty())
			ids = append(ids, r.ID)
		}
		return ids
	}
	g.Expect(due(at(0))).To(Equal([]string{"free"}))
	g.Expect(due(at(1))).To(Equal([]string{"free", "date"}))
	g.Expect(due(at(6))).To(Equal([]string{"free", "date", "later"}))
	lift := func(uid string) error {
		return s.Update(ctx, func(tx state.Tx) error { return tx.LiftHold(uid, *at(7)) })
	}
	g.Expect(lift("hold")).To(Succeed())
	g.Expect(lift("hold")).To(Succeed())
	g.Expect(lift("nowhere")).To(MatchError(state.ErrNotFound))
	g.Expect(due(at(0))).To(ConsistOf("free", "held"))
	g.Expect(due(at(6))).To(ConsistOf("free", "held", "date", "later", "held and dated"))

	later.HoldUIDs = []string{"nowhere"}
	put(g, s, later)
	g.Expect(due(at(6))).NotTo(ContainElement("later"))
	list, err := s.DueResidues(ctx, *at(6), 2)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(2))
	stored, err := s.Residue(ctx, "done")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.SubjectPseudonym).To(BeEmpty())

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

func TestLiftedHoldStaysLifted(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	hold := state.Hold{UID: "h", Namespace: "hr", Name: "h", InForceSince: start}
	g.Expect(s.PlaceHold(ctx, hold)).To(Succeed())
	again := hold
	again.InForceSince, again.SubjectPseudonyms = *at(5), []string{"p"}
	g.Expect(s.PlaceHold(ctx, again)).To(Succeed())
	stored, err := s.Hold(ctx, "h")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.InForceSince).To(Equal(start))
	g.Expect(stored.SubjectPseudonyms).To(Equal([]string{"p"}))
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.LiftHold("h", *at(6)) })).To(Succeed())
	g.Expect(s.PlaceHold(ctx, hold)).To(MatchError(state.ErrLifted))
	g.Expect(s.Holds(ctx, "hr")).To(BeEmpty())
	stored, err = s.Hold(ctx, "h")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.LiftedAt).To(Equal(at(6)))
	g.Expect(s.PlaceHold(ctx, state.Hold{})).NotTo(Succeed())
}

// Promise 4: while somebody acts on the holds of a namespace, none comes into force there; one that was placed before is
// seen; and the acting may write.
func TestNoHoldComesIntoForceWhileOthersAct(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	g.Expect(s.PlaceHold(ctx, state.Hold{UID: "before", Namespace: "hr", Name: "h", InForceSince: start})).To(Succeed())
	placed := make(chan error, 1)
	g.Expect(s.WithHolds(ctx, "hr", func(ctx context.Context, holds []state.Hold) error {
		g.Expect(holds).To(HaveLen(1))
		go func() {
			placed <- s.PlaceHold(context.Background(), state.Hold{UID: "during", Namespace: "hr", Name: "h", InForceSince: start})
		}()
		g.Consistently(placed, 50*time.Millisecond).ShouldNot(Receive())
		g.Expect(s.PlaceHold(ctx, state.Hold{UID: "elsewhere", Namespace: "it", Name: "h", InForceSince: start})).To(Succeed())
		put(g, s, request("1"))
		g.Expect(s.Holds(ctx, "hr")).To(HaveLen(1))

		// Who comes after the waiting hold waits for it, and gives up with its context.
		short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
		defer cancel()
		err := s.WithHolds(short, "hr", func(context.Context, []state.Hold) error { t.Error("got in before the waiting hold"); return nil })
		g.Expect(err).To(MatchError(context.DeadlineExceeded))
		return nil
	})).To(Succeed())
	g.Eventually(placed).Should(Receive(BeNil()))
	g.Expect(s.WithHolds(ctx, "hr", func(_ context.Context, holds []state.Hold) error {
		g.Expect(holds).To(HaveLen(2))
		return nil
	})).To(Succeed())

	// Many readers one after another do not starve the one who waits.
	stop := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = s.WithHolds(ctx, "hr", func(context.Context, []state.Hold) error { time.Sleep(time.Millisecond); return nil })
				}
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	g.Expect(s.PlaceHold(ctx, state.Hold{UID: "late", Namespace: "hr", Name: "h", InForceSince: start})).To(Succeed())
	close(stop)
	group.Wait()
}

// Promise 7: what is destroyed is in none of the files any more.
func TestDestroyedMaterialLeavesTheFiles(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	secret := bytes.Repeat([]byte("CANARY-PLAN-"), 2000) // several pages
	r, run := request("1"), &state.Run{UID: "run", Namespace: "hr", Name: "r", Sealed: secret}
	residue := &state.Residue{ID: "res", Namespace: "hr", RequestUID: "1", SubjectPseudonym: r.SubjectPseudonym, Sealed: []byte("CANARY-RES"),
		CreatedAt: start, State: state.ResidueWaiting}
	put(g, s, r, run, residue)
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
	put(g, s, run, residue, r)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return errors.Join(tx.ReleaseClaims("1"), tx.DestroySubjectLink("1")) })).To(Succeed())
	g.Eventually(traces, "10s").Should(BeZero())

	put(g, s, r) // still has the pseudonym in memory
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
	put(g, s, run)
	reading, err := s.db.Reader.Begin()
	g.Expect(err).NotTo(HaveOccurred())
	var n int
	g.Expect(reading.QueryRow("SELECT COUNT(*) FROM runs").Scan(&n)).To(Succeed())
	run.Sealed = nil
	put(g, s, run)
	g.Expect(s.db.Scrub(ctx)).NotTo(Succeed())
	g.Expect(reading.Rollback()).To(Succeed())
	put(g, s, request("other"))
	g.Eventually(func() bool {
		content, err := os.ReadFile(path + "-wal")
		return err == nil && !bytes.Contains(content, []byte("CANARY"))
	}, "10s").Should(BeTrue())
}

func TestTombstones(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	stone := state.Tombstone{Namespace: "hr", Store: "ats", Entity: "applicants", MAC: "t1.x", ErasedAt: start}
	later, earlier := stone, stone
	later.ErasedAt, earlier.ErasedAt = *at(5), *at(-5)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.PutTombstones([]state.Tombstone{stone, stone, later, earlier}) })).To(Succeed())
	g.Expect(s.Tombstone(ctx, "hr", "ats", "applicants", "t1.x")).To(Equal(&later))
}

func verifierKey(g Gomega, origin string) string {
	signer, err := ledger.NewSigner("lethe.dev/test", make([]byte, 32))
	g.Expect(err).NotTo(HaveOccurred())
	key, err := signer.VerifierKeyFor(origin)
	g.Expect(err).NotTo(HaveOccurred())
	return key
}

func entry(key string) ledger.Entry {
	return ledger.Entry{Key: key, Time: start, Kind: ledger.KindErasureOutcome, Handle: "h"}
}

func TestChangesAndTheirEntriesLastTogether(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	no := errors.New("no")
	both := func(uid string, err error, entries ...ledger.Entry) (receipt *ledger.Receipt, _ error) {
		return receipt, s.Update(ctx, func(tx state.Tx) error {
			if err := tx.PutRequest(request(uid)); err != nil {
				return err
			}
			var appendErr error
			receipt, appendErr = tx.Append("hr", entries...)
			return errors.Join(appendErr, err)
		})
	}
	_, err := both("0", no, entry("0"))
	g.Expect(err).To(MatchError(no))
	g.Expect(second(s.ledger.Checkpoint(ctx, "hr"))).To(MatchError(ledger.ErrNotFound), "what was refused leaves no entry, and no origin")
	receipt, err := both("1", nil, entry("a"), entry("b"))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = both("1", nil, entry("c")) // a new record that is there already
	g.Expect(err).To(MatchError(state.ErrConflict))
	_, err = both("2", no, entry("d"))
	g.Expect(err).To(MatchError(no))
	g.Expect(second(s.Request(ctx, "2"))).To(MatchError(state.ErrNotFound))
	g.Expect(s.ledger.Checkpoint(ctx, "hr")).To(Equal(receipt.Checkpoint))
	known := &state.Checkpoint{Origin: "hr", Size: 2, Root: receipt.Checkpoint.Root}
	g.Expect(s.Checkpoint(ctx, "hr")).To(Equal(known))
	again, err := both("3", nil, entry("b"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal(&ledger.Receipt{Indexes: []uint64{1}, Checkpoint: receipt.Checkpoint}))
	g.Expect(s.Checkpoint(ctx, "hr")).To(Equal(known))
}

func TestNothingIsAppendedToALedgerThatWasCutShort(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	for _, key := range []string{"a", "b", "c"} {
		g.Expect(s.Update(ctx, func(tx state.Tx) error { return second(tx.Append("hr", entry(key))) })).To(Succeed())
	}
	_, err := s.db.Writer.Exec("DROP TRIGGER entries_are_kept; DELETE FROM entries WHERE id % 1099511627776 > 0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Close()).To(Succeed())
	s = open(t, path)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return second(tx.Append("hr", entry("d"))) })).To(MatchError(ledger.ErrTruncated))
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return second(tx.Append("hr", entry("d"), entry("e"))) })).To(MatchError(ledger.ErrTruncated))
}

func TestWritesAtTheSameTimeStandOrFallAlone(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	put(g, s, request("taken"))
	no := errors.New("no")
	begun, end := make(chan struct{}), make(chan struct{})
	var first, others sync.WaitGroup
	first.Go(func() { // all others come while this one has the store
		_ = s.Update(ctx, func(state.Tx) error { close(begun); <-end; return nil })
	})
	<-begun
	const n = 200
	errs, receipts := make([]error, n), make([]*ledger.Receipt, n)
	for i := range n {
		others.Go(func() {
			defer func() {
				if recover() != nil {
					errs[i] = errors.New("panic")
				}
			}()
			errs[i] = s.Update(ctx, func(tx state.Tx) error {
				uid := fmt.Sprint("r", i)
				if i%4 == 1 {
					uid = "taken"
				}
				var err error
				if receipts[i], err = tx.Append(fmt.Sprint("ns", i%3), entry(uid)); err != nil {
					return err
				}
				switch i % 4 {
				case 2:
					return no
				case 3:
					panic("a bug")
				}
				return tx.PutRequest(request(uid))
			})
		})
	}
	time.Sleep(50 * time.Millisecond) // for most of them to wait together
	close(end)
	first.Wait()
	others.Wait()
	var entries int
	for i, err := range errs {
		switch i % 4 {
		case 0:
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(second(s.Request(ctx, fmt.Sprint("r", i)))).To(Succeed())
			g.Expect(receipts[i].Checkpoint.Note).NotTo(BeEmpty())
			g.Expect(receipts[i].Checkpoint.Size).To(BeNumerically(">", receipts[i].Indexes[0]))
			entries++
		case 1:
			g.Expect(err).To(MatchError(state.ErrConflict))
		case 2:
			g.Expect(err).To(MatchError(no))
		case 3:
			g.Expect(err).To(MatchError("panic"))
		}
	}
	for i := range 3 {
		origin := fmt.Sprint("ns", i)
		records, err := s.ledger.Entries(ctx, origin, 0, 0)
		g.Expect(err).NotTo(HaveOccurred())
		entries -= len(records)
		last, err := s.ledger.Checkpoint(ctx, origin)
		g.Expect(err).NotTo(HaveOccurred())
		verifier, err := note.NewVerifier(verifierKey(g, origin))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(ledger.VerifyRecords(ledger.Evidence{OriginLine: last.OriginLine, Verifier: verifier, Current: last.Note}, func(yield func(ledger.Record, error) bool) {
			for _, r := range records {
				if !yield(r, nil) {
					return
				}
			}
		})).To(Succeed())
	}
	g.Expect(entries).To(BeZero(), "what failed has left no entry, what succeeded has one")
}

func TestSecondProcessIsLockedOutAndTheOvertakenCannotWrite(t *testing.T) {
	g := NewWithT(t)
	path := filepath.Join(t.TempDir(), "state.db")
	old := open(t, path)
	_, err := tryOpen(path)
	g.Expect(err).To(MatchError(sqlitedb.ErrLocked))
	g.Expect(os.Remove(path + ".lock")).To(Succeed())
	open(t, path)
	g.Expect(old.Update(ctx, func(tx state.Tx) error { return tx.PutRequest(request("1")) })).To(MatchError(state.ErrStaleEpoch))
	g.Expect(old.PlaceHold(ctx, state.Hold{UID: "h", Namespace: "hr", InForceSince: start})).To(MatchError(state.ErrStaleEpoch))
	g.Expect(old.WithHolds(ctx, "hr", func(context.Context, []state.Hold) error { return nil })).To(MatchError(state.ErrStaleEpoch))
}

func TestCancelledContextWritesNothing(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	cancelled, cancel := context.WithCancel(ctx)
	r := request("1")
	g.Expect(s.Update(cancelled, func(tx state.Tx) error {
		defer cancel()
		return tx.PutRequest(r)
	})).To(MatchError(context.Canceled))
	g.Expect(r.Revision).To(BeZero())
	_, err := s.Request(ctx, "1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
}

func BenchmarkUpdateRequest(b *testing.B) {
	s := newStore(b)
	r := request("1")
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
		r := request(fmt.Sprint(i))
		run := &state.Run{UID: r.UID, Namespace: "hr", Name: r.UID, Sealed: plan, Steps: make([]state.StepRecord, 4)}
		check := func(err error) {
			if err != nil {
				b.Fatal(err)
			}
		}
		check(s.Update(ctx, func(tx state.Tx) error { return errors.Join(tx.PutRequest(r), tx.PutRun(run)) }))
		check(s.Update(ctx, func(tx state.Tx) error { return tx.PutRun(run) }))
		run.Sealed, r.Deactivation, r.FinishedAt = nil, nil, at(1)
		check(s.Update(ctx, func(tx state.Tx) error {
			return errors.Join(tx.PutRun(run), tx.PutRequest(r), tx.ReleaseClaims(r.UID), tx.DestroySubjectLink(r.UID))
		}))
	}
}

func BenchmarkReadRequest(b *testing.B) {
	s := newStore(b)
	put(NewWithT(b), s, request("1"))
	b.ResetTimer()
	for range b.N {
		if _, err := s.Request(ctx, "1"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSchemaBaselines(t *testing.T) {
	g := NewWithT(t)
	s := newStore(t)
	_, err := s.SchemaBaseline(ctx, "m1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
	b := state.SchemaBaseline{MapUID: "m1", Namespace: "hr", Generation: 1, Tables: []byte{1, 2, 3}}
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.PutSchemaBaseline(b) })).To(Succeed())
	b.Generation, b.Tables = 2, []byte{4}
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.PutSchemaBaseline(b) })).To(Succeed())
	g.Expect(s.SchemaBaseline(ctx, "m1")).To(Equal(&b))
	for range 2 {
		g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.DeleteSchemaBaseline("m1") })).To(Succeed())
	}
	_, err = s.SchemaBaseline(ctx, "m1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
}
