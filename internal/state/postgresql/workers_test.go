package statepostgresql

import (
	"context"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/ledger"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/state/statetest"
)

// helper opens the store as a worker does.
func (p *place) helper(ctx context.Context, run, job, turn string) (*Worker, *pgdb.Helper, error) {
	db, err := pgdb.OpenHelper(ctx, pgdb.Options{URL: func() (string, error) { return p.url, nil },
		Migrations: []pgdb.Migrations{ledgerpostgresql.Migrations(), Migrations()}}, run+"/"+turn)
	if err != nil {
		return nil, nil, err
	}
	return NewWorker(db, run, job), db, nil
}

func newWorker(t *testing.T, p *place, job, turn string) (*Worker, *pgdb.Helper) {
	t.Helper()
	w, db, err := p.helper(ctx, "run", job, turn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return w, db
}

func shardOf(run, uid string) *state.Run {
	return &state.Run{UID: uid, Namespace: "hr", Name: "r", Sealed: []byte("where"), Shard: &state.Shard{RunUID: run}}
}

func entries(keys ...string) (list []ledger.Entry) {
	for _, key := range keys {
		list = append(list, ledger.Entry{Key: key, Time: start, Kind: ledger.KindRetentionIntent, Run: "run", Counts: []ledger.Count{{Entity: "m/e", Action: "Delete", Count: 3}}})
	}
	return list
}

func putRun(g Gomega, s state.Store, r *state.Run) {
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return tx.PutRun(r) })).To(Succeed())
}

func TestWorkerGoesOnOnlyWithALease(t *testing.T) {
	g := NewWithT(t)
	p, s := newStore(t)
	part := shardOf("run", "run/0/0")
	putRun(g, s, part)
	w, _ := newWorker(t, p, "job-1", "0")
	none := func(context.Context, []state.Hold) error { return nil }
	refused := func() {
		t.Helper()
		g.Expect(w.Leased(ctx)).To(MatchError(state.ErrLapsed))
		g.Expect(w.WithHolds(ctx, "hr", func(context.Context, []state.Hold) error { t.Error("got in"); return nil })).To(MatchError(state.ErrLapsed))
		g.Expect(w.PutShard(ctx, part, entries("refused"), true)).To(MatchError(state.ErrLapsed))
	}
	refused()
	g.Expect(s.Lease(ctx, "run", "job-2", time.Minute)).To(Succeed())
	refused() // it is another Job's
	g.Expect(s.Lease(ctx, "run", "job-1", time.Minute)).To(Succeed())
	g.Expect(w.Leased(ctx)).To(Succeed())
	g.Expect(w.WithHolds(ctx, "hr", none)).To(Succeed())
	g.Expect(w.PutShard(ctx, part, entries("first"), true)).To(Succeed())

	g.Expect(s.Withdraw(ctx, "run")).To(Succeed())
	refused()
	g.Expect(w.PutShard(ctx, part, entries("outcome"), false)).To(Succeed(), "what was done may be said")
	g.Expect(s.Lease(ctx, "run", "job-1", 100*time.Millisecond)).To(Succeed())
	g.Eventually(func() error { return w.Leased(ctx) }).Should(MatchError(state.ErrLapsed))

	g.Expect(s.Lease(ctx, "run", "job-1", time.Minute)).To(Succeed())
	g.Expect(s.Close()).To(Succeed())
	next, err := p.open(statetest.Signer())
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = next.Close() }()
	refused() // the next operator has not said so
}

func TestWorkersPageHoldsOffHoldsAndWithdrawal(t *testing.T) {
	g := NewWithT(t)
	p, s := newStore(t)
	g.Expect(s.PlaceHold(ctx, state.Hold{UID: "before", Namespace: "hr", Name: "h", InForceSince: start})).To(Succeed())
	g.Expect(s.Lease(ctx, "run", "job", time.Minute)).To(Succeed())
	w, _ := newWorker(t, p, "job", "0")
	other, _ := newWorker(t, p, "job", "1")
	placed, withdrawn := make(chan error, 1), make(chan error, 1)
	g.Expect(w.WithHolds(ctx, "hr", func(ctx context.Context, holds []state.Hold) error {
		g.Expect(holds).To(HaveLen(1))
		g.Expect(other.WithHolds(ctx, "hr", func(context.Context, []state.Hold) error { return nil })).To(Succeed(), "workers do not wait for each other")
		go func() {
			placed <- s.PlaceHold(context.Background(), state.Hold{UID: "during", Namespace: "hr", Name: "h", InForceSince: start})
		}()
		go func() { withdrawn <- s.Withdraw(context.Background(), "run") }()
		g.Consistently(placed, 100*time.Millisecond).ShouldNot(Receive())
		g.Consistently(withdrawn, 100*time.Millisecond).ShouldNot(Receive())
		g.Expect(w.Holds(ctx, "hr")).To(HaveLen(1))
		return nil
	})).To(Succeed())
	g.Eventually(placed).Should(Receive(BeNil()))
	g.Eventually(withdrawn).Should(Receive(BeNil()))
	g.Expect(s.Lease(ctx, "run", "job", time.Minute)).To(Succeed())
	g.Expect(w.WithHolds(ctx, "hr", func(_ context.Context, holds []state.Hold) error {
		g.Expect(holds).To(HaveLen(2))
		return nil
	})).To(Succeed())

	// One that gives up while it waits leaves nothing locked behind.
	blocked := make(chan struct{})
	go func() {
		_ = s.db.Exclude(ctx, holdsGuard("hr"), func(context.Context) error { <-blocked; return nil })
	}()
	g.Eventually(func() error {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		return w.WithHolds(short, "hr", func(context.Context, []state.Hold) error { return nil })
	}).Should(MatchError(context.DeadlineExceeded))
	close(blocked)
	g.Expect(s.Withdraw(ctx, "run")).To(Succeed())
	g.Expect(s.PlaceHold(ctx, state.Hold{UID: "after", Namespace: "hr", Name: "h", InForceSince: start})).To(Succeed())
}

func TestWorkersEntriesBecomeTheLedgersOnce(t *testing.T) {
	g := NewWithT(t)
	p, s := newStore(t)
	one, two := shardOf("run", "run/0/0"), shardOf("run", "run/0/1")
	putRun(g, s, one)
	putRun(g, s, two)
	stale := *one
	g.Expect(s.Lease(ctx, "run", "job", time.Minute)).To(Succeed())
	w, _ := newWorker(t, p, "job", "0")
	v, _ := newWorker(t, p, "job", "1")
	one.Sealed = []byte("further")
	g.Expect(w.PutShard(ctx, one, entries("1/a"), true)).To(Succeed())
	g.Expect(v.PutShard(ctx, two, entries("2/a"), true)).To(Succeed())
	g.Expect(w.PutShard(ctx, one, entries("1/b", "1/c"), true)).To(Succeed())
	g.Expect(v.PutShard(ctx, &stale, entries("stale"), true)).To(MatchError(state.ErrConflict))
	g.Expect(w.PutShard(ctx, shardOf("other", "other/0/0"), nil, false)).NotTo(Succeed(), "another run's")
	stored, err := s.Run(ctx, "run/0/0")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(stored).To(Equal(one))

	g.Expect(s.Drain(ctx, "hr", "other")).To(Succeed())
	log := func() (keys []string) {
		for {
			page, err := s.Ledger().Entries(ctx, "hr", uint64(len(keys)), 500)
			g.Expect(err).To(Or(BeNil(), MatchError(ledger.ErrNotFound)))
			if len(page) == 0 {
				return keys
			}
			for _, r := range page {
				keys = append(keys, r.Entry.Key)
				g.Expect(r.Entry.Counts).To(Equal([]ledger.Count{{Entity: "m/e", Action: "Delete", Count: 3}}))
			}
		}
	}
	g.Expect(log()).To(BeEmpty())
	for range 2 {
		g.Expect(s.Drain(ctx, "hr", "run")).To(Succeed())
		g.Expect(log()).To(Equal([]string{"1/a", "2/a", "1/b", "1/c"}))
	}
	many := make([]string, 2*drained+1)
	for i := range many {
		many[i] = "many/" + time.Duration(i).String()
	}
	g.Expect(w.PutShard(ctx, one, entries(many...), true)).To(Succeed())
	g.Expect(s.Drain(ctx, "hr", "run")).To(Succeed())
	g.Expect(log()).To(HaveLen(4 + len(many)))

	// What the operator writes stops a worker that read before.
	last, err := s.Run(ctx, "run/0/0")
	g.Expect(err).NotTo(HaveOccurred())
	putRun(g, s, last)
	g.Expect(w.PutShard(ctx, one, entries("late"), false)).To(MatchError(state.ErrConflict))
}

func TestOneShardHasOneWorkerAtATime(t *testing.T) {
	g := NewWithT(t)
	p, _ := newStore(t)
	_, first := newWorker(t, p, "job", "0")
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, _, err := p.helper(short, "run", "job", "0")
	g.Expect(err).To(MatchError(context.DeadlineExceeded))
	came := make(chan error, 1)
	go func() {
		_, db, err := p.helper(ctx, "run", "job", "0")
		if err == nil {
			db.Close()
		}
		came <- err
	}()
	g.Consistently(came, 100*time.Millisecond).ShouldNot(Receive())
	first.Close()
	g.Eventually(came).Should(Receive(BeNil()))
}
