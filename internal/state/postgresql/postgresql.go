// Package statepostgresql keeps the state store in the PostgreSQL schema that it shares with the ledger: one process writes,
// through one connection.
//
// Destroyed material goes with the rows that hold it, and these are vacuumed within a minute or so. What PostgreSQL keeps of it in the
// write-ahead log, in archives, replicas and backups stays as long as these do. It is sealed under a key that is destroyed too;
// pseudonyms are not sealed, but keyed.
package statepostgresql

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"

	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/internal/state"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations of the state store's part of the schema.
func Migrations() pgdb.Migrations {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic("state store: its migrations are not built in")
	}
	return pgdb.Migrations{Part: "state", Files: files}
}

// Store implements state.Store.
type Store struct {
	reader
	db     *pgdb.DB
	ledger *ledgerpostgresql.Log
}

var _ state.Store = (*Store)(nil)

// New makes the state store of an open schema that has been migrated, with the ledger in the same schema. The schema stays the
// caller's to close.
func New(db *pgdb.DB, log *ledgerpostgresql.Log) *Store {
	return &Store{reader: reader{db.Query}, db: db, ledger: log}
}

// ID implements state.Store.
func (s *Store) ID() string { return s.db.ID() }

// Epoch implements state.Store.
func (s *Store) Epoch() int64 { return s.db.Epoch() }

// Update implements state.Store.
func (s *Store) Update(ctx context.Context, fn func(tx state.Tx) error) error {
	t := &tx{log: s.ledger}
	var refused error
	err := s.db.Write(ctx, func(ctx context.Context, inner *pgdb.Tx) error {
		t.ctx, t.inner, t.query = ctx, inner, inner.Query
		refused = fn(t)
		return refused
	})
	if err != nil {
		for _, undo := range slices.Backward(t.undo) {
			undo()
		}
		if pgdb.Full(err) {
			return errors.Join(state.ErrFull, err)
		}
		if refused != nil {
			return refused // in the caller's own words
		}
		return translate("update state store", err)
	}
	if len(t.destroyed) > 0 {
		s.db.ScrubSoon(t.destroyed...)
	}
	return nil
}

// WithHolds implements state.Store. Who waits for a lock stands in line, so neither side starves.
func (s *Store) WithHolds(ctx context.Context, namespace string, fn func(context.Context, []state.Hold) error) error {
	var holds []state.Hold
	// Whoever was overtaken must not act on what it reads.
	look := func(rows pgx.Rows) error {
		found, epoch, err := scanHolds(rows)
		if err != nil {
			return err
		}
		holds = found
		if epoch != s.db.Epoch() {
			return pgdb.ErrStaleEpoch
		}
		return nil
	}
	var acted error
	err := s.db.Guard(ctx, holdsGuard(namespace), look, selectHoldsAndEpoch, []any{namespace}, func(ctx context.Context) error {
		acted = fn(ctx, holds)
		return acted
	})
	if acted != nil {
		return acted
	}
	return translate("read holds", err)
}

// PlaceHold implements state.Store.
func (s *Store) PlaceHold(ctx context.Context, hold state.Hold) error {
	if hold.UID == "" || hold.Namespace == "" || hold.InForceSince.IsZero() || hold.LiftedAt != nil {
		return errors.New("place hold: it needs a UID, a namespace and the time it begins, and cannot be lifted already")
	}
	var placed error
	err := s.db.Exclude(ctx, holdsGuard(hold.Namespace), func(ctx context.Context) error {
		placed = s.Update(ctx, func(t state.Tx) error { return t.(*tx).putHold(hold) })
		return placed
	})
	if placed != nil {
		return placed
	}
	return translate("place hold", err)
}

func holdsGuard(namespace string) string { return "holds/" + namespace }

// translate names errors of the store as callers know them.
func translate(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgdb.ErrStaleEpoch):
		return fmt.Errorf("%s: %w", doing, state.ErrStaleEpoch)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}
