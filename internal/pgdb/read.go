package pgdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Query hands over what was committed.
func (db *DB) Query(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error {
	if err := db.Err(); err != nil {
		return err
	}
	rows, err := db.reader.Query(ctx, sql, args...)
	if err == nil {
		err = read(rows)
		rows.Close()
		err = errors.Join(err, rows.Err())
	}
	return ended(ctx, err)
}

// Guard runs fn while nobody has the exclusive side of the guard of that name. look, in the same transaction, may read what is
// guarded. fn's context ends when this process may no longer write.
func (db *DB) Guard(ctx context.Context, name string, look func(pgx.Rows) error, sql string, args []any, fn func(ctx context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(db.life, func() { cancel(db.Err()) })() //nolint:contextcheck // two contexts end it
	return db.gated(ctx, name, "pg_advisory_xact_lock_shared", func(batch *pgx.Batch) {
		batch.Queue(sql, args...).Query(look)
	}, fn)
}

// Exclude runs fn while nobody has either side of the guard of that name. Who waits goes before those who come later.
func (db *DB) Exclude(ctx context.Context, name string, fn func(ctx context.Context) error) error {
	return db.gated(ctx, name, "pg_advisory_xact_lock", func(*pgx.Batch) {}, fn)
}

// gated holds an advisory lock of a transaction, in a connection of its own, while fn runs.
func (db *DB) gated(ctx context.Context, name, lock string, also func(*pgx.Batch), fn func(ctx context.Context) error) error {
	if err := db.Err(); err != nil {
		return err
	}
	conn, err := db.gate.Acquire(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	defer giveBack(ctx, conn)
	batch := &pgx.Batch{}
	batch.Queue(begin)
	batch.Queue("SELECT "+lock+"($1)", db.key("guard", name))
	also(batch)
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return ended(ctx, err)
	}
	return fn(ctx)
}

// giveBack ends the transaction, and with it the lock.
func giveBack(ctx context.Context, conn *pgxpool.Conn) {
	defer conn.Release()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	if conn.Conn().IsClosed() || conn.Conn().PgConn().TxStatus() == 'I' {
		return
	}
	if _, err := conn.Exec(ctx, rollback); err != nil {
		_ = conn.Conn().Close(ctx)
	}
}

// ended prefers the reason that the caller's context has for an error.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), clean(err))
	}
	return clean(err)
}
