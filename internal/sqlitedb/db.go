// Package sqlitedb opens the SQLite files in which Lethe keeps its own records, the ledger and the state store, both in
// the same way: one process by file lock, one writing connection, write-ahead log with full synchronous commit,
// migrations, and an epoch that rises with every opening, so that whoever was overtaken can no longer write.
package sqlitedb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver
)

var (
	// ErrStaleEpoch means that the store was opened by somebody else since: this process must not write any more.
	ErrStaleEpoch = errors.New("the store was opened by another process since: this one may no longer write")
	// ErrWrongFile means that the file is a SQLite database, but not the one that belongs here.
	ErrWrongFile = errors.New("the file holds another kind of database")
	// ErrNewer means that a newer release of Lethe has migrated the file.
	ErrNewer = errors.New("the store was written by a newer release")
)

// readers is the size of the pool for reading; reads are single look-ups, so few connections are enough.
const readers = 3

// queryOnly keeps the connections of the reading pool from writing.
const queryOnly = "query_only(on)"

// Options say what a file is for.
type Options struct {
	// ApplicationID tells kinds of files apart; it is written into the file's header.
	ApplicationID int32
	// Migrations holds goose's SQL files at its root.
	Migrations fs.FS
	// SecureDelete overwrites what is deleted.
	SecureDelete bool
}

// DB is an open file.
type DB struct {
	// Reader is the pool for reading.
	Reader *sql.DB
	// Writer has the only connection that writes. Outside Write, statements on it commit by themselves.
	Writer *sql.DB

	lock     *os.File
	scrubber *sql.DB
	getEpoch *sql.Stmt
	id       string
	epoch    int64

	scrubs  chan struct{}
	stop    chan struct{}
	done    chan struct{}
	closing sync.Once
	mu      sync.Mutex
	dirty   bool // deleted material may still be in the write-ahead log
}

// Open locks the file at path, creates or migrates it and begins a new epoch.
func Open(ctx context.Context, path string, opts Options) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	db := &DB{lock: lock, scrubs: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	if err := db.open(ctx, path, opts); err != nil {
		close(db.done)
		_ = db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	go db.scrubLoop() //nolint:contextcheck // it outlives the opening
	return db, nil
}

func (db *DB) open(ctx context.Context, path string, opts Options) error {
	// SQLite gives its side files the permissions of the main file: only the operator reads any of them.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	secure := "secure_delete(off)"
	if opts.SecureDelete {
		secure = "secure_delete(on)"
	}
	if db.Writer, err = openPool(path, 1, "busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)", secure,
		"temp_store(memory)", "foreign_keys(on)", "cache_size(-8000)"); err != nil {
		return err
	}
	if err := db.prepareFile(ctx, opts); err != nil {
		return err
	}
	if db.Reader, err = openPool(path, readers, "busy_timeout(5000)", queryOnly, "temp_store(memory)"); err != nil {
		return err
	}
	// A short patience, because it makes writers wait while it waits for readers.
	if db.scrubber, err = openPool(path, 1, "busy_timeout(100)", "synchronous(full)"); err != nil {
		return err
	}
	if db.getEpoch, err = db.Writer.PrepareContext(ctx, "SELECT epoch FROM store_identity"); err != nil {
		return err
	}
	if opts.SecureDelete {
		// What a killed process had destroyed goes now.
		if err := db.Scrub(ctx); err != nil {
			return err
		}
	}
	return syncFolder(filepath.Dir(path))
}

// openPool opens a pool of connections that begin transactions with the write lock, if they can write.
func openPool(path string, size int, pragmas ...string) (*sql.DB, error) {
	query := "_pragma=" + strings.Join(pragmas, "&_pragma=")
	if !slices.Contains(pragmas, queryOnly) {
		query += "&_txlock=immediate"
	}
	pool, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query)
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	return pool, nil
}

// prepareFile makes sure that the file is of the right kind and up to date, and begins the epoch.
func (db *DB) prepareFile(ctx context.Context, opts Options) error {
	var app, tables int32
	if err := db.Writer.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return err
	}
	if err := db.Writer.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if app != opts.ApplicationID {
		if app != 0 || tables != 0 {
			return ErrWrongFile
		}
		if _, err := db.Writer.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", opts.ApplicationID)); err != nil {
			return err
		}
	}
	if err := migrate(ctx, db.Writer, opts.Migrations); err != nil {
		return err
	}
	return db.beginEpoch(ctx)
}

func migrate(ctx context.Context, pool *sql.DB, files fs.FS) error {
	provider, err := goose.NewProvider(goose.DialectSQLite3, pool, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	// The provider's Close would close the pool, which is ours.
	have, want, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("%w: its schema is version %d, this release knows up to %d", ErrNewer, have, want)
	}
	if have == want {
		return nil
	}
	_, err = provider.Up(ctx)
	return err
}

func (db *DB) beginEpoch(ctx context.Context) error {
	if _, err := db.Writer.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS store_identity (
		one INTEGER PRIMARY KEY CHECK (one = 1), store_id TEXT NOT NULL, epoch INTEGER NOT NULL) STRICT`); err != nil {
		return err
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	return db.Writer.QueryRowContext(ctx, `INSERT INTO store_identity (one, store_id, epoch) VALUES (1, ?, 1)
		ON CONFLICT (one) DO UPDATE SET epoch = epoch + 1 RETURNING store_id, epoch`,
		hex.EncodeToString(id)).Scan(&db.id, &db.epoch)
}

// syncFolder makes the new file's name as durable as its content.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}

// ID is the random identity that the file got at its creation.
func (db *DB) ID() string { return db.id }

// Epoch is the number of times that the file was opened, this time included.
func (db *DB) Epoch() int64 { return db.epoch }

// Write runs fn in one transaction and commits it durably. The context ends the waiting for the connection and, between
// two statements, the transaction; a commit that has begun is not interrupted, so that its outcome is known. Within fn
// only tx may write: another Write would wait for this one.
func (db *DB) Write(ctx context.Context, fn func(ctx context.Context, tx *sql.Tx) error) error {
	conn, err := db.Writer.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()

	// A context that can end costs every statement a goroutine.
	calm := context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(calm, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing

	// The transaction holds the write lock from its beginning: nobody can begin another epoch after this look.
	if err := db.checkEpoch(calm, tx); err != nil {
		return err
	}
	if err := fn(calm, tx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return tx.Commit()
}

func (db *DB) checkEpoch(ctx context.Context, tx *sql.Tx) error {
	var now int64
	if err := tx.StmtContext(ctx, db.getEpoch).QueryRowContext(ctx).Scan(&now); err != nil { //nolint:sqlclosecheck // the transaction closes it
		return err
	}
	if now != db.epoch {
		return ErrStaleEpoch
	}
	return nil
}

// Close writes everything into the main file, releases it and then its lock.
func (db *DB) Close() error {
	var errs []error
	db.closing.Do(func() {
		close(db.stop)
		<-db.done
		if db.getEpoch != nil {
			errs = append(errs, db.getEpoch.Close())
		}
		// The writer goes last: the last connection to a file removes the write-ahead log.
		for _, pool := range []*sql.DB{db.Reader, db.scrubber, db.Writer} {
			if pool != nil {
				errs = append(errs, pool.Close())
			}
		}
		errs = append(errs, db.lock.Close())
	})
	return errors.Join(errs...)
}
