package statetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests

	"github.com/lethe-dev/lethe/internal/state"
)

func testRecords(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	s := open(t, place)
	r := Request("1")
	run := &state.Run{UID: "run", Namespace: "hr", Name: "run-1", RequestUID: "1", PlanRevision: 2, PlanDigest: "d", Sealed: []byte{1, 2, 3},
		Steps: []state.StepRecord{{Name: "a", State: "Done", Cursor: 4, Done: 5}}, Effects: true, Attempts: 1, StartedAt: At(1), NextAttemptAt: At(2)}
	residue := &state.Residue{ID: "res", Namespace: "hr", RequestUID: "1", RequestName: "er-1", SubjectPseudonym: "p", Basis: "AO 147", Until: At(9),
		HoldUIDs: []string{"hold"}, Counts: json.RawMessage(`[{"a":1}]`), Sealed: []byte("x"), CreatedAt: start, State: state.ResidueWaiting}
	Put(g, s, r, run, residue)
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
			s = open(t, place)
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

func testConflict(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	first := Request("1")
	Put(g, s, first)
	g.Expect(first.Revision).To(Equal(int64(1)))
	mine, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	theirs, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	mine.Phase = "Completed"
	Put(g, s, mine)
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
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.PutRequest(Request("1")) })).To(MatchError(state.ErrConflict), "created twice")
	now, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(now.Phase).To(Equal("Completed"))

	boom := errors.New("boom")
	g.Expect(s.Update(ctx, func(state.Tx) error { return boom })).To(Equal(boom))
}

func testPanic(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	g.Expect(func() {
		_ = s.Update(ctx, func(tx state.Tx) error {
			_ = tx.PutRequest(Request("1"))
			panic("x")
		})
	}).To(Panic())
	_, err := s.Request(ctx, "1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
	Put(g, s, Request("1"))
}

func testClaims(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
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

func testFinishedByName(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	for i, uid := range []string{"a", "b", "c"} {
		r := Request(uid)
		r.Name = "er"
		if uid != "c" {
			r.FinishedAt = At(i)
		}
		Put(g, s, r)
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

func testTombstones(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	stone := state.Tombstone{Namespace: "hr", Store: "ats", Entity: "applicants", MAC: "t1.x", ErasedAt: start}
	later, earlier := stone, stone
	later.ErasedAt, earlier.ErasedAt = *At(5), *At(-5)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.PutTombstones([]state.Tombstone{stone, stone, later, earlier}) })).To(Succeed())
	g.Expect(s.Tombstone(ctx, "hr", "ats", "applicants", "t1.x")).To(Equal(&later))
}

func testBaselines(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
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

func testSchedules(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	s := open(t, place)
	_, err := s.Schedule(ctx, "p1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
	schedule := &state.Schedule{PolicyUID: "p1", Namespace: "hr", LastSweep: At(1), AcknowledgedSweep: "n"}
	rule := schedule.Rule("candidates")
	rule.AnnouncedUntil, rule.Open = At(9), []state.OpenSweep{{RunUID: "r1", Run: "a", Until: *At(8)}, {RunUID: "r2", Run: "b", Until: *At(9)}}
	put := func(s state.Store, r *state.Schedule) error {
		return s.Update(ctx, func(tx state.Tx) error { return tx.PutSchedule(r) })
	}
	g.Expect(put(s, schedule)).To(Succeed())
	g.Expect(put(s, &state.Schedule{PolicyUID: "p1", Namespace: "hr"})).To(MatchError(state.ErrConflict), "created twice")
	stale := *schedule
	g.Expect(schedule.Close("r1")).To(BeTrue())
	g.Expect(schedule.Close("r1")).To(BeFalse(), "it is closed already")
	g.Expect(put(s, schedule)).To(Succeed())
	g.Expect(put(s, &stale)).To(MatchError(state.ErrConflict))
	g.Expect(s.Close()).To(Succeed())
	s = open(t, place)
	g.Expect(s.Schedule(ctx, "p1")).To(Equal(schedule))
	g.Expect(schedule.Rules[0].Open).To(HaveLen(1))
	for range 2 {
		g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.DeleteSchedule("p1") })).To(Succeed())
	}
	_, err = s.Schedule(ctx, "p1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
}

func testCancelled(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	cancelled, cancel := context.WithCancel(ctx)
	r := Request("1")
	g.Expect(s.Update(cancelled, func(tx state.Tx) error {
		defer cancel()
		return tx.PutRequest(r)
	})).To(MatchError(context.Canceled))
	g.Expect(r.Revision).To(BeZero())
	_, err := s.Request(ctx, "1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
}

// Promise 7: what was destroyed is not there any more, whatever somebody still has in memory.
func testDestroyed(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	r, run := Request("1"), &state.Run{UID: "run", Namespace: "hr", Name: "r", Sealed: []byte("plan")}
	residue := &state.Residue{ID: "res", Namespace: "hr", RequestUID: "1", SubjectPseudonym: r.SubjectPseudonym, Sealed: []byte("rest"),
		CreatedAt: start, State: state.ResidueWaiting}
	Put(g, s, r, run, residue)
	run.Sealed = []byte("another plan")
	Put(g, s, run)
	g.Expect(s.Run(ctx, "run")).To(Equal(run))
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		_, err := tx.Claim("hr", []string{r.SubjectPseudonym}, state.Owner{UID: "1"})
		return err
	})).To(Succeed())

	r.Deactivation, run.Sealed, residue.Sealed, residue.State = nil, nil, nil, state.ResidueDone
	Put(g, s, run, residue, r)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return errors.Join(tx.ReleaseClaims("1"), tx.DestroySubjectLink("1")) })).To(Succeed())
	Put(g, s, r) // still has the pseudonym in memory
	stored, err := s.Request(ctx, "1")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.SubjectPseudonym).To(BeEmpty(), "a destroyed link stays destroyed")
	g.Expect(stored.Deactivation).To(BeEmpty())
	g.Expect(second(s.ClaimOwner(ctx, "hr", r.SubjectPseudonym))).To(MatchError(state.ErrNotFound))
	left, err := s.Residue(ctx, "res")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(left.SubjectPseudonym).To(BeEmpty())
	g.Expect(left.Sealed).To(BeEmpty())
	last, err := s.Run(ctx, "run")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(last.Sealed).To(BeEmpty())
}

// Certificates are counted and never replaced.
func testCertificates(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	_, err := s.Certificate(ctx, "r1")
	g.Expect(err).To(MatchError(state.ErrNotFound))
	put := func(c state.Certificate) error {
		return s.Update(ctx, func(tx state.Tx) error { return tx.PutCertificate(c) })
	}
	first := state.Certificate{RequestUID: "r1", Namespace: "hr", Number: 1, EntryKey: "h/certificate/1", IssuedAt: start, Body: []byte(`{"number":1}`)}
	g.Expect(put(first)).To(Succeed())
	g.Expect(s.Certificate(ctx, "r1")).To(Equal(&first))
	second := first
	second.Number, second.Body = 2, []byte(`{"number":2}`)
	g.Expect(put(second)).To(Succeed())
	other := first
	other.Body = []byte(`{}`)
	g.Expect(put(other)).To(MatchError(state.ErrConflict))
	g.Expect(s.Certificate(ctx, "r1")).To(Equal(&second))
	_, err = s.Certificate(ctx, "r2")
	g.Expect(err).To(MatchError(state.ErrNotFound))
}
