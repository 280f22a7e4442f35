package pgdb

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Helper is a schema that somebody else has open, for a process that works for that one. It has one connection. That holds a lock,
// the helper's turn, and everything goes through it: when it is lost, so is the turn, and this process writes no more.
type Helper struct {
	target
	mu   sync.Mutex
	conn *pgx.Conn
}

// OpenHelper waits for the turn of that name, which one process at a time has. The schema must have the version that this release
// knows.
func OpenHelper(ctx context.Context, options Options, turn string) (*Helper, error) {
	if options.Lease <= 0 {
		options.Lease = DefaultLease
	}
	t, err := options.target()
	if err != nil {
		return nil, err
	}
	h := &Helper{target: t}
	if h.conn, err = pgx.ConnectConfig(ctx, t.with(options.Lease, false)); err != nil {
		return nil, unavailable(err)
	}
	if err = check(ctx, h.conn); err == nil {
		err = t.versions(ctx, options, false)
	}
	if err == nil {
		_, err = h.conn.Exec(ctx, "SELECT pg_advisory_lock($1)", t.key("turn", turn))
	}
	if err != nil {
		h.Close() //nolint:contextcheck // it is closed whatever became of the context
		return nil, ended(ctx, err)
	}
	return h, nil
}

// Close gives the turn free.
func (h *Helper) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	_ = h.conn.Close(ctx)
}

// Query hands over what was committed.
func (h *Helper) Query(ctx context.Context, read func(pgx.Rows) error, sql string, args ...any) error {
	return h.use(ctx, func() error { return query(ctx, h.conn, read, sql, args...) })
}

// Write runs fn in a transaction and commits it durably.
func (h *Helper) Write(ctx context.Context, fn func(tx pgx.Tx) error) error {
	var refused error
	err := h.use(ctx, func() error {
		return pgx.BeginFunc(ctx, h.conn, func(tx pgx.Tx) error {
			refused = fn(tx)
			return refused
		})
	})
	if refused != nil && !h.conn.IsClosed() {
		return refused // in the caller's own words
	}
	return err
}

// Guard runs fn while nobody has the exclusive side of any of the guards of those names. look, after they were taken, may read what
// is guarded.
func (h *Helper) Guard(ctx context.Context, names []string, look func(pgx.Rows) error, sql string, args []any, fn func(ctx context.Context) error) error {
	keys := make([]int64, len(names))
	for i, name := range names {
		keys[i] = h.key("guard", name)
	}
	defer h.letGo(ctx, keys)
	err := h.use(ctx, func() error {
		for _, key := range keys {
			if _, err := h.conn.Exec(ctx, "SELECT pg_advisory_lock_shared($1)", key); err != nil {
				return err
			}
		}
		return query(ctx, h.conn, look, sql, args...)
	})
	if err != nil {
		return err
	}
	return fn(ctx)
}

// letGo gives guards free, also those whose taking was broken off and that may or may not be held.
func (h *Helper) letGo(ctx context.Context, keys []int64) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	err := h.use(ctx, func() error {
		_, err := h.conn.Exec(ctx, "SELECT pg_advisory_unlock_shared(k) FROM unnest($1::bigint[]) AS k", keys)
		return err
	})
	if err != nil {
		h.Close() //nolint:contextcheck // it is closed whatever became of the context
	}
}

// use has the connection to itself while f runs.
func (h *Helper) use(ctx context.Context, f func() error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	err := f()
	if err != nil && h.conn.IsClosed() {
		return errors.Join(ErrLost, clean(err))
	}
	return ended(ctx, err)
}

func query(ctx context.Context, conn *pgx.Conn, read func(pgx.Rows) error, sql string, args ...any) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	err = read(rows)
	rows.Close()
	return errors.Join(err, rows.Err())
}
