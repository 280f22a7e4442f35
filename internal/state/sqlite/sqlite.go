// Package statesqlite keeps the state store in a SQLite file: one process, one writing connection, a few for reading.
//
// Destroyed material is overwritten in the file (secure_delete) and leaves the write-ahead log by a truncating checkpoint.
// That follows at once but beside the caller's way, because it costs two more syncs; a reader in its way delays it to the
// next write, a crash to the next opening, and Scrub waits for it. Until then, and in copies of the volume, the material
// is still sealed under a key that is destroyed as well.
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

	"github.com/lethe-dev/lethe/internal/sqlitedb"
	"github.com/lethe-dev/lethe/internal/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// applicationID marks state files: "LetS" as a number.
const applicationID = 0x4c657453

// Store implements state.Store.
type Store struct {
	reader
	db *sqlitedb.DB

	write map[string]*sql.Stmt // by its text
	read  map[string]*sql.Stmt

	mu    sync.Mutex
	gates map[string]*semaphore.Weighted // by namespace
}

var _ state.Store = (*Store)(nil)

// Open opens or creates the store at path, for this process alone.
func Open(ctx context.Context, path string) (*Store, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{ApplicationID: applicationID, Migrations: files, SecureDelete: true})
	if err != nil {
		return nil, translate("open state store", err)
	}
	s := &Store{db: db, gates: map[string]*semaphore.Weighted{}}
	if s.read, err = prepare(ctx, db.Reader, readQueries); err == nil {
		s.write, err = prepare(ctx, db.Writer, readQueries, writeQueries)
	}
	if err != nil {
		_ = db.Close()
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

// Close implements state.Store.
func (s *Store) Close() error { return s.db.Close() }

// Scrub waits until destroyed material has left the write-ahead log.
func (s *Store) Scrub(ctx context.Context) error { return s.db.Scrub(ctx) }

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, fn func(tx state.Tx) error) error {
	t := &tx{}
	var refused error
	err := s.db.Write(ctx, func(ctx context.Context, inner *sql.Tx) error {
		t.ctx = ctx
		t.stmt = func(ctx context.Context, query string) *sql.Stmt { return inner.StmtContext(ctx, s.write[query]) }
		refused = fn(t)
		return refused
	})
	if err != nil {
		for _, undo := range slices.Backward(t.undo) {
			undo()
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
	case errors.Is(err, sqlitedb.ErrLocked):
		return fmt.Errorf("%s: %w: %w", doing, state.ErrLocked, err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}
