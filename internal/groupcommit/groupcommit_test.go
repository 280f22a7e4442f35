package groupcommit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// fakeTx is a transaction of a database in memory.
type fakeTx struct {
	Hooks
	rows, saved []string
}

func (tx *fakeTx) add(row string) { tx.rows = append(tx.rows, row) }

type fakeEngine struct {
	rows        []string
	commits     int
	badRollback error
	badCommit   error
}

func (e *fakeEngine) Begin(context.Context) (*fakeTx, error) { return &fakeTx{}, nil }
func (e *fakeEngine) Savepoint(_ context.Context, tx *fakeTx) error {
	tx.saved = slices.Clone(tx.rows)
	return nil
}
func (e *fakeEngine) Release(context.Context, *fakeTx) error { return nil }
func (e *fakeEngine) RollbackTo(_ context.Context, tx *fakeTx) error {
	tx.rows = tx.saved
	return e.badRollback
}

func (e *fakeEngine) Commit(_ context.Context, tx *fakeTx) error {
	if e.badCommit != nil {
		return e.badCommit
	}
	e.rows, e.commits = append(e.rows, tx.rows...), e.commits+1
	return nil
}
func (e *fakeEngine) Rollback(context.Context, *fakeTx) {}

// together has writes done in one transaction, behind one that holds the database.
func together(g Gomega, group *Group[*fakeTx], writes ...func(*fakeTx) error) []error {
	begun, end := make(chan struct{}), make(chan struct{})
	errs := make([]error, len(writes))
	var all sync.WaitGroup
	all.Go(func() {
		_ = group.Write(context.Background(), func(context.Context, *fakeTx) error { close(begun); <-end; return nil })
	})
	<-begun
	for i, w := range writes {
		all.Go(func() {
			errs[i] = group.Write(context.Background(), func(_ context.Context, tx *fakeTx) error { return w(tx) })
		})
		g.Eventually(func() int { group.mu.Lock(); defer group.mu.Unlock(); return len(group.waiting) }).Should(Equal(i + 1))
	}
	close(end)
	all.Wait()
	return errs
}

var errNo = errors.New("no")

func TestWritesShareACommitAndFailAlone(t *testing.T) {
	g := NewWithT(t)
	e := &fakeEngine{}
	var undone, committed []string
	errs := together(g, New[*fakeTx](e),
		func(tx *fakeTx) error { tx.add("a"); return nil },
		func(tx *fakeTx) error {
			tx.add("b")
			tx.OnUndo(func() { undone = append(undone, "b") })
			return errNo
		},
		func(tx *fakeTx) error {
			tx.add("c")
			tx.AfterCommit(func(ok bool) { g.Expect(ok).To(BeTrue()); committed = append(committed, "c") })
			return nil
		})
	g.Expect(errs).To(Equal([]error{nil, errNo, nil}))
	g.Expect(e.rows).To(Equal([]string{"a", "c"}))
	g.Expect(e.commits).To(Equal(2), "one for the write before, one for all of these")
	g.Expect(undone).To(Equal([]string{"b"}))
	g.Expect(committed).To(Equal([]string{"c"}))
}

// What can no longer be told apart is not committed, and nobody is told that it was.
func TestAWriteThatCannotBeUndoneAloneUndoesAll(t *testing.T) {
	g := NewWithT(t)
	lost := errors.New("the savepoint is gone")
	e := &fakeEngine{badRollback: lost}
	called := false
	errs := together(g, New[*fakeTx](e),
		func(tx *fakeTx) error {
			tx.add("a")
			tx.AfterCommit(func(ok bool) { called = !ok })
			return nil
		},
		func(*fakeTx) error { return errNo },
		func(tx *fakeTx) error { tx.add("c"); return nil })
	g.Expect(errs).To(Equal([]error{lost, errNo, lost}))
	g.Expect(e.rows).To(BeEmpty())
	g.Expect(called).To(BeTrue())
}

func TestAFailedCommitFailsEverybody(t *testing.T) {
	g := NewWithT(t)
	e := &fakeEngine{badCommit: errNo}
	errs := together(g, New[*fakeTx](e), func(tx *fakeTx) error { tx.add("a"); return nil }, func(*fakeTx) error { return nil })
	g.Expect(errs).To(Equal([]error{errNo, errNo}))
}

func TestAWriteThatWaitsEndsWithItsContext(t *testing.T) {
	g := NewWithT(t)
	group := New[*fakeTx](&fakeEngine{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	g.Expect(group.Write(context.Background(), func(context.Context, *fakeTx) error {
		ran := false
		err := group.Write(ctx, func(context.Context, *fakeTx) error { ran = true; return nil })
		g.Expect(err).To(MatchError(context.DeadlineExceeded))
		g.Expect(ran).To(BeFalse())
		return nil
	})).To(Succeed())
}
