// Command ledger measures the compliance ledger: durable appends, hashing and signing included, against the floor of the same
// store, plain inserts of 300-byte rows with full synchronous commit, singly and in groups of 64, in turns; and, over a million
// entries, proofs, size, the index that answers questions, and what memory that takes.
//
// It prints one line per figure: BENCH name value. Rates are medians, per second; times are milliseconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/ledgertest"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
	"github.com/lethe-dev/lethe/test/bench/internal/turns"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// target of the ratio to the floor; what is below is said on standard error.
const target = 0.7

func main() {
	entries := flag.Int("entries", 1_000_000, "entries of the large ledger; 0 leaves it out")
	rounds := flag.Int("rounds", 9, "how often each contender appends; 0 leaves that out")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	store := flag.String("store", "", "sqlite or postgresql; both by default")
	flag.Parse()
	if err := run(context.Background(), *entries, *rounds, *profile, *store); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, entries, rounds int, profile, only string) (err error) {
	folder, err := os.MkdirTemp("", "lethe-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	server, err := pgtest.Start(ctx, pgtest.Options{Fsync: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	stop, err := turns.Profile(profile)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, s := range []store{&sqliteStore{folder: folder}, &postgresStore{server: server, url: func(schema string) string {
		return fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d&sslmode=disable&search_path=%s", server.User, server.Host, server.Port, schema)
	}}} {
		if only != "" && only != s.name() {
			continue
		}
		if rounds > 0 {
			if err := appends(ctx, s, rounds); err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
		}
		if entries > 0 {
			if err := large(ctx, s, entries, filepath.Join(folder, s.name()+".index")); err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
		}
	}
	return nil
}

// store is where ledgers and plain rows are kept.
type store interface {
	name() string
	// open makes an empty ledger.
	open(ctx context.Context, name string) (log ledger.Log, size func() (int64, error), closed func() error, err error)
	// floor makes an empty table and returns how to insert rows into it, durably when it returns.
	floor(ctx context.Context) (insert func(ctx context.Context, rows [][]byte) error, closed func() error, err error)
}

type sqliteStore struct{ folder string }

func (*sqliteStore) name() string { return "sqlite" }

func (s *sqliteStore) open(ctx context.Context, name string) (ledger.Log, func() (int64, error), func() error, error) {
	path := filepath.Join(s.folder, name+".db")
	// As the vault has it, which keeps the state store in the same file.
	db, err := sqlitedb.Open(ctx, path, sqlitedb.Options{ApplicationID: 1, SecureDelete: true, Migrations: []sqlitedb.Migrations{ledgersqlite.Migrations()}})
	if err != nil {
		return nil, nil, nil, err
	}
	log, err := ledgersqlite.New(ctx, db, ledgersqlite.Options{LogName: ledgertest.LogName, Signer: ledgertest.Signer(1)})
	return log, func() (int64, error) {
		if err := db.Scrub(ctx); err != nil { // into the main file
			return 0, err
		}
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}, db.Close, err
}

type postgresStore struct {
	server *pgtest.Server
	url    func(schema string) string
}

func (*postgresStore) name() string { return "postgresql" }

func (s *postgresStore) open(ctx context.Context, name string) (ledger.Log, func() (int64, error), func() error, error) {
	db, err := pgdb.Open(ctx, pgdb.Options{URL: func() (string, error) { return s.url(name), nil }, Pause: -1, Migrations: []pgdb.Migrations{ledgerpostgresql.Migrations()}})
	if err != nil {
		return nil, nil, nil, err
	}
	log, err := ledgerpostgresql.New(db, ledgerpostgresql.Options{LogName: ledgertest.LogName, Signer: ledgertest.Signer(1)})
	return log, func() (size int64, err error) {
		err = db.Query(ctx, func(rows pgx.Rows) error {
			rows.Next()
			return rows.Scan(&size)
		}, "SELECT pg_total_relation_size('bundles') + pg_total_relation_size('keys')")
		return size, err
	}, db.Close, err
}
