package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Execute treats all operations in one transaction, and commits only if nothing is left to do.
func (b *Backend) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	ops := batch.Operations
	res := &backend.Result{Affected: make([]int64, len(ops))}
	var deleting []backend.Table
	for i := range ops {
		if ops[i].Action == backend.Delete {
			deleting = append(deleting, ops[i].Table)
		}
	}
	awaited := false
	err := b.run(ctx, tablesOf(ops), deleting, func(s *session, c *core.Compiler) error {
		clear(res.Affected)
		c.Ignored = batch.Ignored
		x := execution{session: s, compiler: c, batch: &batch, affected: res.Affected, awaited: &awaited, facts: b.known()}
		lasting, err := b.refuseNonTransactional(&batch, x.facts.engines)
		if err != nil {
			return err
		}
		if x.statements, err = c.Execute(ops); err != nil || len(x.statements) == 0 {
			return err
		}
		if x.checks, err = c.Check(ops); err != nil {
			return err
		}
		if lasting {
			if err := x.await(ctx); err != nil {
				return err
			}
		}
		return x.final(s.transaction(ctx, func() error { return x.run(ctx) }))
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

func (b *Backend) known() facts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.facts
}

// refuseNonTransactional reports whether changes of the batch last at once, which somebody must have accepted.
func (b *Backend) refuseNonTransactional(batch *backend.Batch, engines map[backend.Table]string) (lasting bool, err error) {
	for i := range batch.Operations {
		op := &batch.Operations[i]
		engine := engines[op.Table]
		if engine == "" {
			continue
		}
		lasting = true
		if !slices.ContainsFunc(batch.AcceptNonTransactional, func(t backend.Table) bool { return b.full(t) == b.full(op.Table) }) {
			return false, refused(op.Entity, fmt.Sprintf("table %s has the engine %s, on which nothing can be rolled back", core.TableName(op.Table), engine),
				"convert the table to InnoDB, or accept that a batch that fails is done in part")
		}
	}
	return lasting, nil
}

// execution is one attempt at a batch.
type execution struct {
	*session
	compiler   *core.Compiler
	batch      *backend.Batch
	statements []core.Statement
	checks     []core.Statement
	affected   []int64
	facts      facts
	// awaited is true once the batch's effects may last.
	awaited *bool
}

// await asks once whether the effects may last.
func (x *execution) await(ctx context.Context) error {
	if *x.awaited {
		return nil
	}
	err := x.batch.AwaitEffect(ctx)
	*x.awaited = err == nil
	if err != nil && !known(err) {
		err = &backend.UnavailableError{Problem: "the effects were not permitted", Err: err}
	}
	return err
}

// final makes sure that an attempt whose effects may last is not made again without notice.
func (x *execution) final(err error) error {
	if *x.awaited {
		return translateOf(err)
	}
	return err
}

// run is what stands between begin and commit.
func (x *execution) run(ctx context.Context) error {
	if err := x.operations(ctx, x.statements); err != nil {
		return err
	}
	left, err := x.count(ctx, x.checks, x.batch.Operations)
	if err != nil {
		return err
	}
	for i, n := range left {
		if n > 0 {
			return &backend.StaleError{Entity: x.batch.Operations[i].Entity, Problem: fmt.Sprintf(
				"%d planned records are not as planned after the change: a condition keeps them, or another session or a trigger interferes", n)}
		}
	}
	return x.await(ctx)
}

// operations runs the statements of all operations.
func (x *execution) operations(ctx context.Context, rest []core.Statement) error {
	for len(rest) > 0 {
		n := 1
		for n < len(rest) && rest[n].Op == rest[0].Op {
			n++
		}
		if err := x.operation(ctx, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// operation runs the statements of one operation, of which guards are the first.
func (x *execution) operation(ctx context.Context, statements []core.Statement) error {
	op := &x.batch.Operations[statements[0].Op]
	if statements[0].Guard != nil {
		if err := x.lock(ctx, op); err != nil {
			return of(op.Entity, nil, err)
		}
	}
	changes := slices.IndexFunc(statements, func(s core.Statement) bool { return s.Guard == nil })
	for _, st := range statements[:changes] {
		if err := x.guard(ctx, st); err != nil {
			return of(op.Entity, st.Guard, err)
		}
	}
	if itself := x.facts.deletions[op.Table].itself; op.Action == backend.Delete && len(itself) > 0 {
		if err := x.unravel(ctx, statements[changes:]); err != nil {
			return of(op.Entity, nil, err)
		}
		if err := x.detach(ctx, op, itself, statements[changes:]); err != nil {
			return of(op.Entity, nil, err)
		}
	}
	for _, st := range statements[changes:] {
		n, err := x.exec(ctx, st)
		if err != nil {
			return of(op.Entity, nil, err)
		}
		x.affected[st.Op] += n
	}
	return nil
}

// lock keeps others from referring to records that go: for that they would have to read the record under a lock.
func (x *execution) lock(ctx context.Context, op *backend.Operation) error {
	_, err := x.left(ctx, op)
	return err
}

// left counts the records of an operation, under a lock.
func (x *execution) left(ctx context.Context, op *backend.Operation) (left int64, err error) {
	locks, err := x.compiler.Lock(op)
	if err != nil {
		return 0, err
	}
	for _, st := range locks {
		var n int64
		if err := x.countRow(ctx, st, &n); err != nil {
			return 0, err
		}
		left += n
	}
	return left, nil
}

// guard reads what is committed, and waits for what is not yet.
func (x *execution) guard(ctx context.Context, st core.Statement) error {
	var n int64
	st.Text += x.share
	if err := x.countRow(ctx, st, &n); err != nil {
		return err
	}
	return st.Judge(x.batch.Operations, n)
}

// detach cuts the links of what is left of an operation's rows to themselves, and goes on with the deletion: the server
// lets no row go that refers to itself.
func (x *execution) detach(ctx context.Context, op *backend.Operation, itself []foreignKey, deletion []core.Statement) error {
	left, err := x.left(ctx, op)
	if err != nil || left == 0 {
		return err
	}
	for _, k := range itself {
		cuts, err := x.compiler.Detach(op, k.columns, k.refColumns)
		if err != nil {
			return err
		}
		for _, st := range cuts {
			if _, err := x.exec(ctx, st); err != nil {
				return err
			}
		}
	}
	return x.unravel(ctx, deletion)
}

// unravel deletes from a table that refers to itself: the server checks such a key row by row, in whatever order. So
// rows to which none refers go first, until there are no more.
func (x *execution) unravel(ctx context.Context, statements []core.Statement) error {
	for {
		var gone int64
		for _, st := range statements {
			st.Text = strings.Replace(st.Text, "DELETE ", "DELETE IGNORE ", 1)
			n, err := x.exec(ctx, st)
			if err != nil {
				return err
			}
			x.affected[st.Op] += n
			gone += n
		}
		if gone == 0 {
			return nil
		}
	}
}

func (s *session) exec(ctx context.Context, st core.Statement) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit())
	defer cancel()
	text, args := positional(st)
	r, err := s.ExecContext(ctx, text, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// limit is how long to wait for a statement: longer than the server lets it run, where it sees to that.
func (s *session) limit() time.Duration {
	if s.bounds {
		return s.config.silence()
	}
	return s.config.StatementTimeout
}

// command runs one of the statements that begin and end transactions.
func (s *session) command(ctx context.Context, text string) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.silence())
	defer cancel()
	_, err := s.ExecContext(ctx, text)
	return err
}

// snapshot calls f so that all its queries see the same; one query alone does anyway.
func (s *session) snapshot(ctx context.Context, queries int, f func() error) error {
	if queries < 2 {
		return f()
	}
	if err := s.command(ctx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return err
	}
	if err := s.command(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		s.discard() // the isolation level would be the next transaction's
		return err
	}
	err := f()
	if e := s.end(ctx, "COMMIT"); err == nil {
		err = e
	}
	return err
}

// transaction runs f between begin and commit; any error rolls back.
func (s *session) transaction(ctx context.Context, f func() error) error {
	if err := s.command(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	if err := f(); err != nil {
		_ = s.end(ctx, "ROLLBACK")
		return err
	}
	if err := s.command(ctx, "COMMIT"); err != nil {
		s.discard()
		if lost(err) || ctx.Err() != nil || number(err) == 0 {
			return &backend.UnavailableError{Problem: "the connection was lost while the transaction was committed: " +
				"it may or may not have taken effect", Err: err}
		}
		return err
	}
	return nil
}

// end leaves a transaction, whatever becomes of the call, or gives the connection up.
func (s *session) end(ctx context.Context, how string) error {
	err := s.command(context.WithoutCancel(ctx), how)
	if err != nil {
		s.discard()
	}
	return err
}
