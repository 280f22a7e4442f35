// Package sqlitedb opens the SQLite file in which Lethe keeps its own records, ledger and state store together: one process
// by file lock, one writing connection, write-ahead log with full synchronous commit in groups, migrations, and an epoch
// that rises with every opening, so that whoever was overtaken can no longer write.
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
	"github.com/pressly/goose/v3/database"
	_ "modernc.org/sqlite" // the driver

	"github.com/lethe-dev/lethe/internal/groupcommit"
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
	// Migrations are those of the parts that share the file, in the order in which they are made.
	Migrations []Migrations
	// SecureDelete overwrites what is deleted.
	SecureDelete bool
}

// Migrations of one part of a file, counted apart from those of the others.
type Migrations struct {
	// Part names the table that keeps the version: lethe_<part>_version.
	Part string
	// Files holds goose's SQL files at its root.
	Files fs.FS
}

// DB is an open file.
type DB struct {
	// Reader is the pool for reading.
	Reader *sql.DB
	// Writer has the only connection that writes. Outside Write, statements on it commit by themselves.
	Writer *sql.DB

	lock     *os.File
	scrubber *sql.DB
	id       string
	epoch    int64

	group                                    *groupcommit.Group[*Tx]
	getEpoch, savepoint, release, rollbackTo *sql.Stmt

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
	db.group = groupcommit.New[*Tx](engine{db})
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
		"temp_store(memory)", "foreign_keys(on)", "cache_size(-8000)", "wal_autocheckpoint(2000)"); err != nil {
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
	for stmt, text := range map[**sql.Stmt]string{&db.getEpoch: "SELECT epoch FROM store_identity",
		&db.savepoint: "SAVEPOINT part", &db.release: "RELEASE part", &db.rollbackTo: "ROLLBACK TO part"} {
		if *stmt, err = db.Writer.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // lives as long as the pool, which closes it
			return err
		}
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
	for _, m := range opts.Migrations {
		if err := migrate(ctx, db.Writer, m); err != nil {
			return err
		}
	}
	return db.beginEpoch(ctx)
}

func migrate(ctx context.Context, pool *sql.DB, m Migrations) error {
	versions, err := database.NewStore(database.DialectSQLite3, "lethe_"+m.Part+"_version")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider("", pool, m.Files, goose.WithDisableGlobalRegistry(true), goose.WithStore(versions))
	if err != nil {
		return err
	}
	// The provider's Close would close the pool, which is ours.
	have, want, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("%w: the schema of its %s is version %d, this release knows up to %d", ErrNewer, m.Part, have, want)
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

// Close writes everything into the main file, releases it and then its lock.
func (db *DB) Close() error {
	var errs []error
	db.closing.Do(func() {
		close(db.stop)
		<-db.done
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
