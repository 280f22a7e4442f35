package sqlitedb

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
)

// maxGroup bounds how many writes become durable in one commit.
const maxGroup = 64

// Tx is a transaction that one write or several share. A write that fails is undone alone.
type Tx struct {
	*sql.Tx
	before []func(ctx context.Context) error
	after  []func(committed bool)
	undo   []func()
}

// BeforeCommit has f called when all writes of the transaction are done; its error undoes them all.
func (tx *Tx) BeforeCommit(f func(ctx context.Context) error) { tx.before = append(tx.before, f) }

// AfterCommit has f called with how the transaction ended. Where that is not known, it was not committed as far as f is concerned.
func (tx *Tx) AfterCommit(f func(committed bool)) { tx.after = append(tx.after, f) }

// OnUndo has f called when the write that is running now fails and the transaction goes on without it.
func (tx *Tx) OnUndo(f func()) { tx.undo = append(tx.undo, f) }

// write is one caller's part of a transaction.
type write struct {
	ctx   context.Context // in a struct, because it lives exactly as long as the call
	alone func(ctx context.Context) (done bool, err error)
	fn    func(ctx context.Context, tx *Tx) error

	ready chan struct{} // closed when it is done, or has to lead
	leads bool
	err   error
	panic any
}

// group commits writes that come while another commit is under way together, by the first of them.
type group struct {
	mu      sync.Mutex
	led     bool
	waiting []*write
}

// join waits until somebody has done the write, or until it has to lead.
func (g *group) join(w *write) (leads bool, err error) {
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
func (g *group) withdraw(w *write) bool {
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
func (g *group) take() []*write {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxGroup)
	members := slices.Clone(g.waiting[:n])
	g.waiting = slices.Delete(g.waiting, 0, n)
	return members
}

// passOn makes the next one lead; call it with the lock.
func (g *group) passOn() {
	if len(g.waiting) == 0 {
		g.led = false
		return
	}
	g.waiting[0].leads = true
	close(g.waiting[0].ready)
}

// submit has a write done, together with those of others if there are any, and returns its own result.
func (db *DB) submit(w *write) error {
	w.ready = make(chan struct{})
	leads, err := db.group.join(w)
	if err != nil {
		return err
	}
	if leads {
		members := db.group.take()
		db.commit(members)
		db.group.mu.Lock()
		db.group.passOn()
		db.group.mu.Unlock()
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
func (db *DB) commit(members []*write) {
	// A context that can end costs every statement a goroutine; and what concerns one must not end the others' work.
	calm := context.WithoutCancel(members[0].ctx)
	if w := members[0]; len(members) == 1 && w.alone != nil {
		done, err := w.alone(calm)
		if done || err != nil {
			w.err = err
			return
		}
	}
	if err := db.transaction(calm, members); err != nil {
		for _, m := range members {
			if m.err == nil {
				m.err = err
			}
		}
	}
}

func (db *DB) transaction(ctx context.Context, members []*write) (err error) {
	inner, err := db.Writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	tx := &Tx{Tx: inner}
	defer func() {
		if err != nil {
			_ = inner.Rollback() // after a commit it does nothing
		}
		for _, f := range tx.after {
			f(err == nil)
		}
	}()
	// The transaction holds the write lock from its beginning: nobody can begin another epoch after this look.
	if err := db.checkEpoch(ctx, inner); err != nil {
		return err
	}
	written := 0
	for _, m := range members {
		if m.err = db.part(ctx, tx, m, len(members) > 1); m.err == nil {
			written++
		}
	}
	if written == 0 {
		return errNothing
	}
	for _, f := range tx.before {
		if err := f(ctx); err != nil {
			return err
		}
	}
	return inner.Commit()
}

// errNothing ends a transaction all of whose writes have failed; each has its own error.
var errNothing = errors.New("nothing was written")

// part does one member's write, in a savepoint where others share the transaction.
func (db *DB) part(ctx context.Context, tx *Tx, m *write, shared bool) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	if shared {
		if _, err := tx.StmtContext(ctx, db.savepoint).ExecContext(ctx); err != nil { //nolint:sqlclosecheck // the transaction closes it
			return err
		}
	}
	tx.undo = nil
	err := m.run(ctx, tx)
	if err == nil {
		err = m.ctx.Err()
	}
	if err != nil {
		for _, f := range slices.Backward(tx.undo) {
			f()
		}
	}
	if !shared {
		return err
	}
	ends := []*sql.Stmt{db.release}
	if err != nil {
		ends = []*sql.Stmt{db.rollbackTo, db.release}
	}
	for _, end := range ends {
		if _, e := tx.StmtContext(ctx, end).ExecContext(ctx); e != nil { //nolint:sqlclosecheck // the transaction closes it
			return errors.Join(err, e)
		}
	}
	return err
}

// run keeps a panic for the caller, whose goroutine this may not be.
func (m *write) run(ctx context.Context, tx *Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.panic, err = p, errors.New("the write panicked")
		}
	}()
	return m.fn(ctx, tx)
}
