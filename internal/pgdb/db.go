// Package pgdb opens the schema of a PostgreSQL database in which Lethe keeps its own records, ledger and state store together.
// One process at a time may write: the one whose writing connection holds an advisory lock of the session. Losing the
// connection is losing the lock, and that process writes no more. An epoch that rises with every opening is looked at in
// every transaction, so that whoever was overtaken is refused even where the lock does not hold, as behind a proxy that
// shares connections.
package pgdb

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/groupcommit"
)

var (
	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("the store is in use by another process")
	// ErrStaleEpoch means that the store was opened by somebody else since: this process must not write any more.
	ErrStaleEpoch = errors.New("the store was opened by another process since: this one may no longer write")
	// ErrLost means that the connection that holds the lock is gone: this process must not write any more.
	ErrLost = errors.New("the connection that holds the lock of the store was lost: this process may no longer write")
	// ErrUnavailable means that the database cannot be reached at the moment.
	ErrUnavailable = errors.New("the database cannot be reached")
	// ErrUnsuitable means that the database cannot be used.
	ErrUnsuitable = errors.New("the database is not suitable")
	// ErrWrongSchema means that the schema has tables of somebody else.
	ErrWrongSchema = errors.New("the schema holds something else")
	// ErrNewer means that a newer release of Lethe has migrated the schema.
	ErrNewer = errors.New("the store was written by a newer release")

	errClosed = errors.New("the store is closed")
)

const (
	// DefaultLease is how long a process may go on without word from the server.
	DefaultLease = 10 * time.Second
	// readers is the size of the pool for reading, gates that of the pool for those who act on holds or place them.
	readers, gates = 4, 8
)

// Options say what a schema is for.
type Options struct {
	// URL leads to the database. It is asked for every new connection, so that a changed password is found.
	URL func() (string, error)
	// Migrations are those of the parts that share the schema, in the order in which they are made.
	Migrations []Migrations
	// Lease is how long this process may go on without word from the server before it counts as lost. Default DefaultLease.
	Lease time.Duration
	// Pause is how long to wait for a predecessor that ended without saying so and may not know yet. Default: a little longer
	// than its lease; negative for not at all, in tests.
	Pause time.Duration
}

// Migrations of one part of a schema, counted apart from those of the others.
type Migrations struct {
	// Part names the table that keeps the version: lethe_<part>_version.
	Part string
	// Files holds goose's SQL files at its root.
	Files fs.FS
}

// DB is an open schema.
type DB struct {
	target
	options Options
	id      string
	epoch   int64

	group *groupcommit.Group[*Tx]
	// using is held by whoever uses the writing connection.
	using  sync.Mutex
	writer *pgx.Conn

	reader, gate *pgxpool.Pool

	// life ends when this process may no longer write.
	life context.Context //nolint:containedctx // it is the life of the open database
	end  context.CancelCauseFunc
	lease
	scrubber
}

// Open takes the lock, creates or migrates the schema and begins a new epoch.
func Open(ctx context.Context, options Options) (*DB, error) {
	if options.Lease <= 0 {
		options.Lease = DefaultLease
	}
	t, err := options.target()
	if err != nil {
		return nil, err
	}
	db := &DB{target: t, options: options}
	db.life, db.end = context.WithCancelCause(context.WithoutCancel(ctx))
	db.lease.init()
	db.scrubber.init()
	db.group = groupcommit.New[*Tx](engine{db})
	if err := db.open(ctx); err != nil {
		_ = db.Close() //nolint:contextcheck // it is closed whatever became of the context
		return nil, fmt.Errorf("open schema %s: %w", t.schema, err)
	}
	return db, nil
}

func (o Options) target() (target, error) {
	text, err := o.URL()
	if err != nil {
		return target{}, err
	}
	t, err := parseURL(text)
	if err != nil {
		return target{}, fmt.Errorf("the URL of the ledger's database: %w", err)
	}
	return t, nil
}

func (db *DB) open(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, db.with(db.options.Lease, false))
	if err != nil {
		return unavailable(err)
	}
	db.writer = conn
	if err := check(ctx, conn); err != nil {
		return clean(err)
	}
	var locked bool
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", db.key("writer")).Scan(&locked); err != nil {
		return clean(err)
	}
	if !locked {
		return ErrLocked
	}
	if err := db.makeSchema(ctx); err != nil {
		return err
	}
	for _, statement := range framing {
		if _, err := conn.Prepare(ctx, statement, statement); err != nil {
			return clean(err)
		}
	}
	sent := clock.RealClock{}.Now()
	pause, err := db.beginEpoch(ctx)
	if err != nil {
		return err
	}
	db.proved(sent)
	go db.keep() //nolint:contextcheck // it outlives the opening
	go db.scrubLoop()
	if db.reader, err = db.pool(ctx, readers, true); err == nil {
		db.gate, err = db.pool(ctx, gates, false)
	}
	if err != nil {
		return err
	}
	select {
	case <-clock.RealClock{}.After(pause):
	case <-ctx.Done():
		return ctx.Err()
	case <-db.life.Done():
	}
	return db.Err()
}

// pool opens a pool of connections, which are made when they are needed.
func (db *DB) pool(ctx context.Context, size int32, readOnly bool) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("%w: the process's PG* environment variables cannot be read", ErrUnsuitable)
	}
	config.ConnConfig, config.MaxConns, config.AfterConnect = db.with(db.options.Lease, readOnly), size, check
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		t, err := db.options.target()
		if err == nil {
			c.User, c.Password = t.config.User, t.config.Password
		}
		return err
	}
	return pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
}

// makeSchema creates the schema, if it is not there, with the table that tells that it is Lethe's, and migrates it.
func (db *DB) makeSchema(ctx context.Context) error {
	var there, ours, tables bool
	if err := db.writer.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL, to_regclass($1 || '.store_identity') IS NOT NULL,
		EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = $1)`, db.schema).Scan(&there, &ours, &tables); err != nil {
		return clean(err)
	}
	if tables && !ours {
		return ErrWrongSchema
	}
	if !ours {
		create := ""
		if !there {
			create = "CREATE SCHEMA " + pgx.Identifier{db.schema}.Sanitize() + "; "
		}
		if _, err := db.writer.Exec(ctx, create+identityTable, pgx.QueryExecModeSimpleProtocol); err != nil {
			return clean(err)
		}
	}
	return db.versions(ctx, db.options, true)
}

// versions compares the versions of the schema's parts with those that this release knows, and migrates older ones or refuses
// them.
func (t target) versions(ctx context.Context, options Options, migrate bool) error {
	pool := stdlib.OpenDB(*t.with(options.Lease, false), stdlib.OptionAfterConnect(check))
	defer func() { _ = pool.Close() }()
	for _, m := range options.Migrations {
		versions, err := database.NewStore(database.DialectPostgres, "lethe_"+m.Part+"_version")
		if err != nil {
			return err
		}
		provider, err := goose.NewProvider("", pool, m.Files, goose.WithDisableGlobalRegistry(true), goose.WithStore(versions))
		if err != nil {
			return err
		}
		have, want, err := provider.GetVersions(ctx)
		switch {
		case err != nil:
			return clean(err)
		case have > want:
			return fmt.Errorf("%w: the schema of its %s is version %d, this release knows up to %d", ErrNewer, m.Part, have, want)
		case have < want && !migrate:
			return fmt.Errorf("%w: the schema of its %s is version %d, this release needs %d: the operator has to migrate it first", ErrUnsuitable, m.Part, have, want)
		case have < want:
			if _, err := provider.Up(ctx); err != nil {
				return clean(err)
			}
		}
	}
	return nil
}

// identityTable has one row: who the store is, and who may write. Where clean is false somebody has it open, or has ended
// without saying so; lease_ms is how long that one may go on without knowing.
const identityTable = `CREATE TABLE store_identity (
	one      boolean PRIMARY KEY DEFAULT true CHECK (one),
	store_id text NOT NULL,
	epoch    bigint NOT NULL,
	clean    boolean NOT NULL,
	lease_ms bigint NOT NULL)`

// beginEpoch tells too how long a predecessor may go on that has not said that it ended.
func (db *DB) beginEpoch(ctx context.Context) (pause time.Duration, err error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return 0, err
	}
	var ended bool
	var before int64
	err = pgx.BeginFunc(ctx, db.writer, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO store_identity (store_id, epoch, clean, lease_ms) VALUES ($1, 0, true, 0) ON CONFLICT DO NOTHING`,
			hex.EncodeToString(id)); err != nil {
			return err
		}
		// Whoever was overtaken and is in a transaction holds the row until that ends.
		if err := tx.QueryRow(ctx, `SELECT clean, lease_ms FROM store_identity FOR UPDATE`).Scan(&ended, &before); err != nil {
			return err
		}
		lease := db.options.Lease.Milliseconds()
		if !ended {
			lease = max(lease, before)
		}
		return tx.QueryRow(ctx, `UPDATE store_identity SET epoch = epoch + 1, clean = false, lease_ms = $1 RETURNING store_id, epoch`, lease).
			Scan(&db.id, &db.epoch)
	})
	if err != nil {
		return 0, clean(err)
	}
	switch {
	case ended || db.options.Pause < 0:
		return 0, nil
	case db.options.Pause > 0:
		return db.options.Pause, nil
	}
	return time.Duration(before) * time.Millisecond * 5 / 4, nil
}

// Connect opens a connection for whoever only reads, whoever has the store open.
func Connect(ctx context.Context, url func() (string, error)) (*pgx.Conn, error) {
	t, err := Options{URL: url}.target()
	if err != nil {
		return nil, err
	}
	conn, err := pgx.ConnectConfig(ctx, t.with(DefaultLease, true))
	if err != nil {
		return nil, unavailable(err)
	}
	if err := check(ctx, conn); err != nil {
		_ = conn.Close(ctx)
		return nil, clean(err)
	}
	return conn, nil
}

// ID is the random identity that the store got at its creation.
func (db *DB) ID() string { return db.id }

// Epoch is the number of times that the store was opened, this time included.
func (db *DB) Epoch() int64 { return db.epoch }

// Close gives the lock free. Whoever comes next need not wait, unless somebody still acts on what was read here.
func (db *DB) Close() error {
	idle := db.gate == nil || db.gate.Stat().AcquiredConns() == 0
	err := db.closeWriter(idle)
	db.lease.stop()
	db.scrubber.stop()
	for _, pool := range []*pgxpool.Pool{db.reader, db.gate} {
		if pool != nil {
			pool.Close()
		}
	}
	return err
}

func (db *DB) closeWriter(idle bool) error {
	db.using.Lock() // where the connection is lost, whoever uses it finds out at once
	defer db.using.Unlock()
	err := db.Err()
	db.end(errClosed)
	if errors.Is(err, errClosed) || db.writer == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(db.life), connectTimeout)
	defer cancel()
	if err == nil && db.epoch > 0 && idle {
		_, err = db.writer.Exec(ctx, `UPDATE store_identity SET clean = true WHERE epoch = $1`, db.epoch)
	}
	if err == nil { // so that it is free when this returns
		_, err = db.writer.Exec(ctx, `SELECT pg_advisory_unlock($1)`, db.key("writer"))
	}
	_ = db.writer.Close(ctx)
	return clean(err)
}
