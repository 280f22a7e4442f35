// Package vaultsqlite opens ledger and state store in one SQLite file, so that what happened and what is to be done next
// become durable together.
package vaultsqlite

import (
	"context"
	"errors"

	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
	statesqlite "github.com/lethe-dev/lethe/internal/state/sqlite"
)

// applicationID marks the files: "LetV" as a number.
const applicationID = 0x4c657456

// ErrLocked means that another process has the file open.
var ErrLocked = sqlitedb.ErrLocked

// Vault is an open file.
type Vault struct {
	Ledger *ledgersqlite.Log
	State  *statesqlite.Store
	db     *sqlitedb.DB
}

// Open opens or creates the file at path, for this process alone.
func Open(ctx context.Context, path string, options ledgersqlite.Options) (*Vault, error) {
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{ApplicationID: applicationID, SecureDelete: true,
		Migrations: []sqlitedb.Migrations{ledgersqlite.Migrations(), statesqlite.Migrations()}})
	if err != nil {
		return nil, err
	}
	v := &Vault{db: db}
	if v.Ledger, err = ledgersqlite.New(ctx, db, options); err == nil {
		v.State, err = statesqlite.New(ctx, db, v.Ledger)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return v, nil
}

// Close releases the file.
func (v *Vault) Close() error { return v.db.Close() }
