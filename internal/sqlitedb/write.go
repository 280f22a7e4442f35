package sqlitedb

import (
	"context"
	"database/sql"

	"github.com/lethe-dev/lethe/internal/groupcommit"
)

// Tx is a transaction that one write or several share. A write that fails is undone alone.
type Tx struct {
	*sql.Tx
	groupcommit.Hooks
}

// Write runs fn in a transaction and commits it durably; see groupcommit.Group.Write.
func (db *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return db.group.Write(ctx, fn)
}

// WriteAlone is Write, but where nobody else writes at the moment alone may do it in a statement that commits by itself.
func (db *DB) WriteAlone(ctx context.Context, alone func(ctx context.Context) (done bool, err error), fn func(ctx context.Context, tx *Tx) error) error {
	return db.group.WriteAlone(ctx, alone, fn)
}

// engine implements groupcommit.Engine.
type engine struct{ *DB }

// Begin holds the write lock from the transaction's beginning: nobody can begin another epoch after the look at it.
func (e engine) Begin(ctx context.Context) (*Tx, error) {
	inner, err := e.Writer.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	tx := &Tx{Tx: inner}
	var now int64
	err = tx.StmtContext(ctx, e.getEpoch).QueryRowContext(ctx).Scan(&now) //nolint:sqlclosecheck // the transaction closes it
	if err == nil && now != e.epoch {
		err = ErrStaleEpoch
	}
	if err != nil {
		e.Rollback(ctx, tx)
		return nil, err
	}
	return tx, nil
}

func (e engine) do(ctx context.Context, tx *Tx, stmt *sql.Stmt) error {
	_, err := tx.StmtContext(ctx, stmt).ExecContext(ctx) //nolint:sqlclosecheck // the transaction closes it
	return err
}

func (e engine) Savepoint(ctx context.Context, tx *Tx) error { return e.do(ctx, tx, e.savepoint) }
func (e engine) Release(ctx context.Context, tx *Tx) error   { return e.do(ctx, tx, e.release) }

func (e engine) RollbackTo(ctx context.Context, tx *Tx) error {
	if err := e.do(ctx, tx, e.rollbackTo); err != nil {
		return err
	}
	return e.Release(ctx, tx)
}

func (e engine) Commit(_ context.Context, tx *Tx) error { return tx.Commit() }

// Rollback does nothing after a commit.
func (e engine) Rollback(_ context.Context, tx *Tx) { _ = tx.Rollback() }
