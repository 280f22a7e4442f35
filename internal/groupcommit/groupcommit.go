// Package groupcommit makes writes that come at the same time durable in one commit, for databases with a single writer. Each
// write stands or falls alone.
package groupcommit

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// maxGroup bounds how many writes become durable in one commit.
const maxGroup = 64

// Engine is the database under a group. Its methods are called by one goroutine at a time.
type Engine[T Tx] interface {
	// Begin begins a transaction; it refuses a process that may no longer write.
	Begin(ctx context.Context) (T, error)
	// Savepoint marks where one of several writes begins.
	Savepoint(ctx context.Context, tx T) error
	// Release ends a write that others follow. An error undoes that write alone.
	Release(ctx context.Context, tx T) error
	// RollbackTo undoes everything since Savepoint and releases it.
	RollbackTo(ctx context.Context, tx T) error
	Commit(ctx context.Context, tx T) error
	// Rollback ends a transaction that was not committed, or whose Commit failed.
	Rollback(ctx context.Context, tx T)
}

// Tx is a transaction that one write or several share; it embeds Hooks.
type Tx interface{ hooks() *Hooks }

// Hooks are what has to be done when a transaction ends, or a write in it.
type Hooks struct {
	before []func(ctx context.Context) error
	after  []func(committed bool)
	undo   []func()
}

func (h *Hooks) hooks() *Hooks { return h }

// BeforeCommit has f called when all writes of the transaction are done; its error undoes them all.
func (h *Hooks) BeforeCommit(f func(ctx context.Context) error) { h.before = append(h.before, f) }

// AfterCommit has f called with how the transaction ended. Where that is not known, it was not committed as far as f is concerned.
func (h *Hooks) AfterCommit(f func(committed bool)) { h.after = append(h.after, f) }

// OnUndo has f called when the write that is running now fails and the transaction goes on without it.
func (h *Hooks) OnUndo(f func()) { h.undo = append(h.undo, f) }

// write is one caller's part of a transaction.
type write[T Tx] struct {
	ctx   context.Context // in a struct, because it lives exactly as long as the call
	alone func(ctx context.Context) (done bool, err error)
	fn    func(ctx context.Context, tx T) error

	ready chan struct{} // closed when it is done, or has to lead
	leads bool
	err   error
	panic any
}

// Group commits writes that come while another commit is under way together, by the first of them.
type Group[T Tx] struct {
	engine Engine[T]

	mu      sync.Mutex
	led     bool
	waiting []*write[T]
}

// New makes the group of a database.
func New[T Tx](engine Engine[T]) *Group[T] { return &Group[T]{engine: engine} }

// Write runs fn in a transaction, which it may share with others, and returns when that is durable. The context ends the
// waiting and, between two statements, the write; a commit that has begun is not interrupted, so that its outcome is known.
// Within fn only tx may write: another Write would wait for this one.
func (g *Group[T]) Write(ctx context.Context, fn func(ctx context.Context, tx T) error) error {
	return g.submit(&write[T]{ctx: ctx, fn: fn})
}

// WriteAlone is Write, but where nobody else writes at the moment alone may do it in a statement that commits by itself. It
// returns false if that is not possible; then fn does it.
func (g *Group[T]) WriteAlone(ctx context.Context, alone func(ctx context.Context) (done bool, err error), fn func(ctx context.Context, tx T) error) error {
	return g.submit(&write[T]{ctx: ctx, alone: alone, fn: fn})
}

// join waits until somebody has done the write, or until it has to lead.
func (g *Group[T]) join(w *write[T]) (leads bool, err error) {
	g.mu.Lock()
	g.waiting = append(g.waiting, w)
	leads = !g.led
	g.led = true
	g.mu.Unlock()
	if leads {
		return true, nil
	}
	select {
	case <-w.ready:
	case <-w.ctx.Done():
		if g.withdraw(w) {
			return false, w.ctx.Err()
		}
		<-w.ready // it is in a transaction by now
	}
	return w.leads, nil
}

// withdraw takes back a write that nobody has begun.
func (g *Group[T]) withdraw(w *write[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.waiting, w)
	if i < 0 {
		return false
	}
	g.waiting = slices.Delete(g.waiting, i, i+1)
	if w.leads {
		g.passOn()
	}
	return true
}

// take returns those who wait, the leader first.
func (g *Group[T]) take() []*write[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	members := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return members
}

// passOn makes the next one lead; call it with the lock.
func (g *Group[T]) passOn() {
	if len(g.waiting) == 0 {
		g.led = false
		return
	}
	g.waiting[0].leads = true
	close(g.waiting[0].ready)
}

// submit has a write done, together with those of others if there are any, and returns its own result.
func (g *Group[T]) submit(w *write[T]) error {
	w.ready = make(chan struct{})
	leads, err := g.join(w)
	if err != nil {
		return err
	}
	if leads {
		members := g.take()
		g.commit(members)
		g.mu.Lock()
		g.passOn()
		g.mu.Unlock()
		for _, m := range members {
			if m != w {
				close(m.ready)
			}
		}
	}
	if w.panic != nil {
		panic(w.panic)
	}
	return w.err
}

// commit does the members' writes in one transaction.
func (g *Group[T]) commit(members []*write[T]) {
	// A context that can end costs every statement a goroutine; and what concerns one must not end the others' work.
	calm := context.WithoutCancel(members[0].ctx)
	if w := members[0]; len(members) == 1 && w.alone != nil {
		done, err := w.alone(calm)
		if done || err != nil {
			w.err = err
			return
		}
	}
	if err := g.transaction(calm, members); err != nil {
		for _, m := range members {
			if m.err == nil {
				m.err = err
			}
		}
	}
}

func (g *Group[T]) transaction(ctx context.Context, members []*write[T]) (err error) {
	tx, err := g.engine.Begin(ctx)
	if err != nil {
		return err
	}
	hooks := tx.hooks()
	defer func() {
		if err != nil {
			g.engine.Rollback(ctx, tx)
		}
		for _, f := range hooks.after {
			f(err == nil)
		}
	}()
	written := 0
	for _, m := range members {
		if err := g.part(ctx, tx, m, len(members) > 1); err != nil {
			return err
		}
		if m.err == nil {
			written++
		}
	}
	if written == 0 {
		return errNothing
	}
	for _, f := range hooks.before {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return g.engine.Commit(ctx, tx)
}

// errNothing ends a transaction all of whose writes have failed; each has its own error.
var errNothing = errors.New("nothing was written")

// part does one member's write, in a savepoint where others share the transaction. An error means that the write could not be
// taken apart from theirs; its own is kept in the member.
func (g *Group[T]) part(ctx context.Context, tx T, m *write[T], shared bool) error {
	if m.err = m.ctx.Err(); m.err != nil {
		return nil
	}
	if shared {
		if err := g.engine.Savepoint(ctx, tx); err != nil {
			return err
		}
	}
	hooks := tx.hooks()
	hooks.undo = nil
	m.err = m.run(ctx, tx)
	if m.err == nil {
		m.err = m.ctx.Err()
	}
	if m.err == nil && shared {
		m.err = g.engine.Release(ctx, tx)
	}
	if m.err == nil {
		return nil
	}
	for _, f := range slices.Backward(hooks.undo) {
		f()
	}
	if shared {
		return g.engine.RollbackTo(ctx, tx)
	}
	return nil
}

// run keeps a panic for the caller, whose goroutine this may not be.
func (m *write[T]) run(ctx context.Context, tx T) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.panic, err = p, errors.New("the write panicked")
		}
	}()
	return m.fn(ctx, tx)
}
