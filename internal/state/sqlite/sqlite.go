// Package statesqlite keeps the state store in the SQLite file that it shares with the ledger: one process, one writing
// connection, a few for reading.
//
// Destroyed material is overwritten in the file (secure_delete) and leaves the write-ahead log by a truncating checkpoint.
// That follows a second later beside the caller's way, because it costs more syncs; a reader in its way delays it to the
// next write, a crash to the next opening. Until then, and in copies of the volume, the material is still sealed under a key
// that is destroyed as well.
package statesqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sync/semaphore"

	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
	"github.com/lethe-dev/lethe/internal/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations of the state store's part of the file.
func Migrations() sqlitedb.Migrations {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic("state store: its migrations are not built in")
	}
	return sqlitedb.Migrations{Part: "state", Files: files}
}

// Store implements state.Store.
type Store struct {
	reader
	db     *sqlitedb.DB
	ledger *ledgersqlite.Log

	write map[string]*sql.Stmt // by its text
	read  map[string]*sql.Stmt

	mu    sync.Mutex
	gates map[string]*semaphore.Weighted // by namespace
}

var _ state.Store = (*Store)(nil)

// New makes the state store of an open file that has been migrated, with the ledger in the same file. The file stays the
// caller's to close.
func New(ctx context.Context, db *sqlitedb.DB, log *ledgersqlite.Log) (*Store, error) {
	s := &Store{db: db, ledger: log, gates: map[string]*semaphore.Weighted{}}
	var err error
	if s.read, err = prepare(ctx, db.Reader, readQueries); err == nil {
		s.write, err = prepare(ctx, db.Writer, readQueries, writeQueries)
	}
	if err != nil {
		return nil, translate("open state store", err)
	}
	s.stmt = func(_ context.Context, query string) *sql.Stmt { return s.read[query] }
	return s, nil
}

func prepare(ctx context.Context, pool *sql.DB, queries ...[]string) (map[string]*sql.Stmt, error) {
	out := map[string]*sql.Stmt{}
	for _, list := range queries {
		for _, query := range list {
			stmt, err := pool.PrepareContext(ctx, query) //nolint:sqlclosecheck // lives as long as the pool, which closes it
			if err != nil {
				return nil, err
			}
			out[query] = stmt
		}
	}
	return out, nil
}

// ID implements state.Store.
func (s *Store) ID() string { return s.db.ID() }

// Epoch implements state.Store.
func (s *Store) Epoch() int64 { return s.db.Epoch() }

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, fn func(tx state.Tx) error) error {
	t := &tx{log: s.ledger}
	var refused error
	err := s.db.Write(ctx, func(ctx context.Context, inner *sqlitedb.Tx) error {
		t.ctx, t.inner = ctx, inner
		t.stmt = func(ctx context.Context, query string) *sql.Stmt { return inner.StmtContext(ctx, s.write[query]) }
		refused = fn(t)
		return refused
	})
	if err != nil {
		for _, undo := range slices.Backward(t.undo) {
			undo()
		}
		if sqlitedb.Full(err) {
			return errors.Join(state.ErrFull, err)
		}
		if refused != nil {
			return refused // in the caller's own words
		}
		return translate("update state store", err)
	}
	if t.destroyed {
		s.db.ScrubSoon()
	} else {
		s.db.RetryScrub()
	}
	return nil
}

// translate names errors of the store as callers know them.
func translate(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sqlitedb.ErrStaleEpoch):
		return fmt.Errorf("%s: %w", doing, state.ErrStaleEpoch)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}
