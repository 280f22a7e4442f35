package statetest

import (
	"context"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests

	"github.com/lethe-dev/lethe/internal/state"
)

func testDueResidues(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	g.Expect(s.PlaceHold(ctx, state.Hold{UID: "hold", Namespace: "hr", Name: "h", InForceSince: start})).To(Succeed())
	residue := func(id string, until *time.Time, holds ...string) *state.Residue {
		return &state.Residue{ID: id, Namespace: "hr", RequestUID: "1", Until: until, HoldUIDs: holds, CreatedAt: start, State: state.ResidueWaiting,
			SubjectPseudonym: "p", Sealed: []byte("s")}
	}
	done := residue("done", At(1))
	done.State = state.ResidueDone
	later := residue("later", At(5))
	Put(g, s, residue("date", At(1)), later, residue("held", nil, "hold"), residue("held and dated", At(6), "hold"),
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
	g.Expect(due(At(0))).To(Equal([]string{"free"}))
	g.Expect(due(At(1))).To(Equal([]string{"free", "date"}))
	g.Expect(due(At(6))).To(Equal([]string{"free", "date", "later"}))
	lift := func(uid string) error {
		return s.Update(ctx, func(tx state.Tx) error { return tx.LiftHold(uid, *At(7)) })
	}
	g.Expect(lift("hold")).To(Succeed())
	g.Expect(lift("hold")).To(Succeed())
	g.Expect(lift("nowhere")).To(MatchError(state.ErrNotFound))
	g.Expect(due(At(0))).To(ConsistOf("free", "held"))
	g.Expect(due(At(6))).To(ConsistOf("free", "held", "date", "later", "held and dated"))

	later.HoldUIDs = []string{"nowhere"}
	Put(g, s, later)
	g.Expect(due(At(6))).NotTo(ContainElement("later"))
	list, err := s.DueResidues(ctx, *At(6), 2)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(list).To(HaveLen(2))
	stored, err := s.Residue(ctx, "done")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.SubjectPseudonym).To(BeEmpty())
}

func testLifted(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	hold := state.Hold{UID: "h", Namespace: "hr", Name: "h", InForceSince: start}
	g.Expect(s.PlaceHold(ctx, hold)).To(Succeed())
	again := hold
	again.InForceSince, again.SubjectPseudonyms = *At(5), []string{"p"}
	g.Expect(s.PlaceHold(ctx, again)).To(Succeed())
	stored, err := s.Hold(ctx, "h")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.InForceSince).To(Equal(start))
	g.Expect(stored.SubjectPseudonyms).To(Equal([]string{"p"}))
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.LiftHold("h", *At(6)) })).To(Succeed())
	g.Expect(s.PlaceHold(ctx, hold)).To(MatchError(state.ErrLifted))
	g.Expect(s.Holds(ctx, "hr")).To(BeEmpty())
	stored, err = s.Hold(ctx, "h")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored.LiftedAt).To(Equal(At(6)))
	g.Expect(s.PlaceHold(ctx, state.Hold{})).NotTo(Succeed())
}

// seen; and the acting may write.
func testGate(t *testing.T, e Engine) {
	g := NewWithT(t)
	s := open(t, e.New(t))
	g.Expect(s.PlaceHold(ctx, state.Hold{UID: "before", Namespace: "hr", Name: "h", InForceSince: start})).To(Succeed())
	placed := make(chan error, 1)
	g.Expect(s.WithHolds(ctx, "hr", func(ctx context.Context, holds []state.Hold) error {
		g.Expect(holds).To(HaveLen(1))
		go func() {
			placed <- s.PlaceHold(context.Background(), state.Hold{UID: "during", Namespace: "hr", Name: "h", InForceSince: start})
		}()
		g.Consistently(placed, 50*time.Millisecond).ShouldNot(Receive())
		g.Expect(s.PlaceHold(ctx, state.Hold{UID: "elsewhere", Namespace: "it", Name: "h", InForceSince: start})).To(Succeed())
		Put(g, s, Request("1"))
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
