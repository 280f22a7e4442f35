package pgdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/groupcommit"
)

// Tx is a transaction that one write or several share. A write that fails is undone alone. Statements whose result nobody waits
// for travel with the next one: each round trip counts, and there is one writer.
type Tx struct {
	groupcommit.Hooks
	db    *DB
	queue []queued
	// part is where the queue begins that the running write may take back; sent tells that it can no longer.
	part int
	sent bool
	// parted tells that a write before has a savepoint to release.
	parted bool
	// begun tells that the server knows of the transaction.
	begun bool
	// over says why the transaction can only be undone.
	over error
}

type queued struct {
	sql  string
	args []any
	read func(pgx.Rows) error
	done func(pgconn.CommandTag) error
}

// Write runs fn in a transaction and commits it durably; see groupcommit.Group.Write.
func (db *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *Tx) error) error {
	return db.group.Write(ctx, fn)
}

// WriteAlone is Write, but where nobody else writes at the moment alone may do it in a statement that commits by itself.
func (db *DB) WriteAlone(ctx context.Context, alone func(ctx context.Context) (done bool, err error), fn func(ctx context.Context, tx *Tx) error) error {
	return db.group.WriteAlone(ctx, alone, fn)
}

// Alone runs f with the writing connection, outside of a transaction. What f changes must depend on the epoch.
func (db *DB) Alone(ctx context.Context, f func(ctx context.Context, conn *pgx.Conn) error) error {
	db.using.Lock()
	defer db.using.Unlock()
	if err := db.Err(); err != nil {
		return err
	}
	sent := clock.RealClock{}.Now()
	return db.answered(sent, f(ctx, db.writer))
}

// answered judges what came back on the writing connection.
func (db *DB) answered(sent time.Time, err error) error {
	if db.writer.IsClosed() {
		db.lose(errors.Join(ErrLost, clean(err)))
		return db.Err()
	}
	db.proved(sent)
	return clean(err)
}

// Exec has a statement executed before the next answer is waited for. done judges its result; the error of either is that of
// a later call, of Write at the latest.
func (tx *Tx) Exec(sql string, done func(pgconn.CommandTag) error, args ...any) {
	tx.queue = append(tx.queue, queued{sql: sql, args: args, done: done})
}

// Query executes a statement now, and hands over its rows.
func (tx *Tx) Query(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error {
	tx.queue = append(tx.queue, queued{sql: sql, args: args, read: read})
	return tx.flush(ctx)
}

// flush sends what is queued in one round trip.
func (tx *Tx) flush(ctx context.Context) error {
	if tx.over != nil {
		return tx.over
	}
	if err := tx.db.Err(); err != nil {
		return err
	}
	if len(tx.queue) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	for _, q := range tx.queue {
		statement := batch.Queue(q.sql, q.args...)
		switch {
		case q.read != nil:
			statement.Query(q.read)
		case q.done != nil:
			statement.Exec(q.done)
		}
	}
	tx.queue, tx.part, tx.sent, tx.begun = tx.queue[:0], 0, true, true
	sent := clock.RealClock{}.Now()
	return tx.db.answered(sent, tx.db.writer.SendBatch(ctx, batch).Close())
}

const (
	begin      = "BEGIN"
	lookEpoch  = "SELECT epoch FROM store_identity FOR SHARE"
	savepoint  = "SAVEPOINT part"
	release    = "RELEASE part"
	rollbackTo = "ROLLBACK TO part"
	commit     = "COMMIT"
	rollback   = "ROLLBACK"
)

// framing statements are prepared before they are needed: in a transaction that has failed most of them could not be.
var framing = []string{begin, lookEpoch, savepoint, release, rollbackTo, commit, rollback}

// engine implements groupcommit.Engine.
type engine struct{ *DB }

// Begin takes the connection. The look at the epoch locks the row until the transaction ends: who begins another one waits.
func (e engine) Begin(context.Context) (*Tx, error) {
	e.using.Lock()
	if err := e.Err(); err != nil {
		e.using.Unlock()
		return nil, err
	}
	tx := &Tx{db: e.DB}
	tx.Exec(begin, nil)
	tx.queue = append(tx.queue, queued{sql: lookEpoch, read: func(rows pgx.Rows) error {
		var epoch int64
		if !rows.Next() {
			tx.over = ErrStaleEpoch
		} else if err := rows.Scan(&epoch); err != nil {
			return err
		} else if epoch != e.epoch {
			tx.over = ErrStaleEpoch
		}
		return tx.over
	}})
	return tx, nil
}

func (e engine) Savepoint(_ context.Context, tx *Tx) error {
	if tx.parted {
		tx.Exec(release, nil)
		tx.parted = false
	}
	tx.part, tx.sent = len(tx.queue), false
	tx.Exec(savepoint, nil)
	return nil
}

// Release learns how the write went. The savepoint goes together with what follows.
func (e engine) Release(ctx context.Context, tx *Tx) error {
	if err := tx.flush(ctx); err != nil {
		return err
	}
	tx.parted = true
	return nil
}

func (e engine) RollbackTo(ctx context.Context, tx *Tx) error {
	if tx.over != nil {
		return tx.over
	}
	if !tx.sent {
		tx.queue = tx.queue[:tx.part]
		return nil
	}
	tx.queue = tx.queue[:0]
	tx.Exec(rollbackTo, nil)
	tx.Exec(release, nil)
	return tx.flush(ctx)
}

// Commit is sent alone: what was queued must have been found in order before.
func (e engine) Commit(ctx context.Context, tx *Tx) error {
	if err := tx.flush(ctx); err != nil {
		return err
	}
	sent := clock.RealClock{}.Now()
	tag, err := e.writer.Exec(ctx, commit)
	if err = e.answered(sent, err); err != nil {
		return err
	}
	if tag.String() != commit {
		return fmt.Errorf("commit: %w", pgx.ErrTxCommitRollback)
	}
	e.using.Unlock()
	return nil
}

func (e engine) Rollback(ctx context.Context, tx *Tx) {
	defer e.using.Unlock()
	if !tx.begun || e.Err() != nil || e.writer.PgConn().TxStatus() == 'I' {
		return
	}
	sent := clock.RealClock{}.Now()
	_, err := e.writer.Exec(ctx, rollback)
	if err = e.answered(sent, err); err != nil {
		e.lose(errors.Join(ErrLost, err))
	}
}
