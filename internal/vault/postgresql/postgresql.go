// Package vaultpostgresql opens ledger and state store in one schema of a PostgreSQL database, so that what happened and what is
// to be done next become durable together, and so that another replica can take over where this one ends.
package vaultpostgresql

import (
	"context"
	"errors"
	"time"

	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	"github.com/lethe-dev/lethe/internal/pgdb"
	statepostgresql "github.com/lethe-dev/lethe/internal/state/postgresql"
)

var (
	// ErrLocked means that another process has the vault open.
	ErrLocked = pgdb.ErrLocked
	// ErrUnavailable means that the database cannot be reached at the moment.
	ErrUnavailable = pgdb.ErrUnavailable
)

// Options say where the vault is.
type Options struct {
	// URL leads to the database. It is asked for every new connection, so that a changed password is found.
	URL func() (string, error)
	// Lease is how long this process may go on without word from the server. Default pgdb.DefaultLease.
	Lease time.Duration
	// Ledger says how its checkpoints are signed.
	Ledger ledgerpostgresql.Options
}

// Vault is an open schema.
type Vault struct {
	Ledger *ledgerpostgresql.Log
	State  *statepostgresql.Store
	db     *pgdb.DB
}

// Open opens or creates the vault, for this process alone.
func Open(ctx context.Context, options Options) (*Vault, error) {
	db, err := pgdb.Open(ctx, pgdb.Options{URL: options.URL, Lease: options.Lease,
		Migrations: []pgdb.Migrations{ledgerpostgresql.Migrations(), statepostgresql.Migrations()}})
	if err != nil {
		return nil, err
	}
	v := &Vault{db: db}
	if v.Ledger, err = ledgerpostgresql.New(db, options.Ledger); err != nil {
		return nil, errors.Join(err, db.Close()) //nolint:contextcheck // it is closed whatever became of the context
	}
	v.State = statepostgresql.New(db, v.Ledger)
	return v, nil
}

// Lost is closed when this process may no longer write.
func (v *Vault) Lost() <-chan struct{} { return v.db.Lost() }

// Err is why this process may no longer write, nil while it may.
func (v *Vault) Err() error { return v.db.Err() }

// Close gives the vault free.
func (v *Vault) Close() error { return v.db.Close() }

// Worker is what a worker of a Job has of the vault.
type Worker struct {
	*statepostgresql.Worker
	db *pgdb.Helper
}

// OpenWorker waits for the turn of one shard of a run's Job, which one process at a time has.
func OpenWorker(ctx context.Context, options Options, runUID, job, turn string) (*Worker, error) {
	db, err := pgdb.OpenHelper(ctx, pgdb.Options{URL: options.URL, Lease: options.Lease,
		Migrations: []pgdb.Migrations{ledgerpostgresql.Migrations(), statepostgresql.Migrations()}}, runUID+"/"+turn)
	if err != nil {
		return nil, err
	}
	return &Worker{Worker: statepostgresql.NewWorker(db, runUID, job), db: db}, nil
}

// Close gives the turn free.
func (w *Worker) Close() { w.db.Close() }
