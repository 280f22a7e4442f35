package statetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests
	"golang.org/x/mod/sumdb/note"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/state"
)

func entry(key string) ledger.Entry {
	return ledger.Entry{Key: key, Time: start, Kind: ledger.KindErasureOutcome, Handle: "h"}
}

func testTogether(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	s := open(t, place)
	no := errors.New("no")
	both := func(uid string, err error, entries ...ledger.Entry) (receipt *ledger.Receipt, _ error) {
		return receipt, s.Update(ctx, func(tx state.Tx) error {
			if err := tx.PutRequest(Request(uid)); err != nil {
				return err
			}
			var appendErr error
			receipt, appendErr = tx.Append("hr", entries...)
			return errors.Join(appendErr, err)
		})
	}
	_, err := both("0", no, entry("0"))
	g.Expect(err).To(MatchError(no))
	g.Expect(second(s.Ledger().Checkpoint(ctx, "hr"))).To(MatchError(ledger.ErrNotFound), "what was refused leaves no entry, and no origin")
	receipt, err := both("1", nil, entry("a"), entry("b"))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = both("1", nil, entry("c")) // a new record that is there already
	g.Expect(err).To(MatchError(state.ErrConflict))
	_, err = both("2", no, entry("d"))
	g.Expect(err).To(MatchError(no))
	g.Expect(second(s.Request(ctx, "2"))).To(MatchError(state.ErrNotFound))
	g.Expect(s.Ledger().Checkpoint(ctx, "hr")).To(Equal(receipt.Checkpoint))
	known := &state.Checkpoint{Origin: "hr", Size: 2, Root: receipt.Checkpoint.Root}
	g.Expect(s.Checkpoint(ctx, "hr")).To(Equal(known))
	again, err := both("3", nil, entry("b"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal(&ledger.Receipt{Indexes: []uint64{1}, Checkpoint: receipt.Checkpoint}))
	g.Expect(s.Checkpoint(ctx, "hr")).To(Equal(known))
}

func testCutShort(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	s := open(t, place)
	for _, key := range []string{"a", "b", "c"} {
		g.Expect(s.Update(ctx, func(tx state.Tx) error { return second(tx.Append("hr", entry(key))) })).To(Succeed())
	}
	place.CutLedger(t)
	g.Expect(s.Close()).To(Succeed())
	s = open(t, place)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return second(tx.Append("hr", entry("d"))) })).To(MatchError(ledger.ErrTruncated))
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return second(tx.Append("hr", entry("d"), entry("e"))) })).To(MatchError(ledger.ErrTruncated))
}

func testAtTheSameTime(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	Put(g, s, Request("taken"))
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
				return tx.PutRequest(Request(uid))
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
		entries -= verified(g, s.Ledger(), fmt.Sprint("ns", i))
	}
	g.Expect(entries).To(BeZero(), "what failed has left no entry, what succeeded has one")
}

// verified counts the entries of a ledger, which the newest checkpoint covers.
func verified(g Gomega, log ledger.Log, origin string) int {
	records, err := log.Entries(ctx, origin, 0, 0)
	g.Expect(err).NotTo(HaveOccurred())
	last, err := log.Checkpoint(ctx, origin)
	g.Expect(err).NotTo(HaveOccurred())
	key, err := Signer().VerifierKeyFor(origin)
	g.Expect(err).NotTo(HaveOccurred())
	verifier, err := note.NewVerifier(key)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ledger.VerifyRecords(ledger.Evidence{OriginLine: last.OriginLine, Verifier: verifier, Current: last.Note}, func(yield func(ledger.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	})).To(Succeed())
	return len(records)
}

func testOvertaken(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	old := open(t, place)
	_, err := place.Open(Signer())
	g.Expect(err).To(MatchError(e.Locked))
	place.Unlock(t)
	open(t, place)
	g.Expect(old.Update(ctx, func(tx state.Tx) error { return tx.PutRequest(Request("1")) })).To(MatchError(state.ErrStaleEpoch))
	g.Expect(old.PlaceHold(ctx, state.Hold{UID: "h", Namespace: "hr", InForceSince: start})).To(MatchError(state.ErrStaleEpoch))
	g.Expect(old.WithHolds(ctx, "hr", func(context.Context, []state.Hold) error { return nil })).To(MatchError(state.ErrStaleEpoch))
}
