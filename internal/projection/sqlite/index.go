// Package projectionsqlite keeps what is asked of a ledger in a SQLite file beside it. The file is an index and nothing more: it
// follows from the entries, takes in new ones before it answers, and is built anew when it is lost, damaged, of another
// version or of another ledger. Appending to the ledger does not wait for it.
package projectionsqlite

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lethe-dev/lethe/internal/projection"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
)

//go:embed schema.sql
var schema string

const (
	// version of the schema and of what is made of the entries. Raise it when either changes.
	version = 2
	// applicationID marks the files: "LetI" as a number.
	applicationID = 0x4c657449
	readers       = 3
	lockSuffix    = ".lock"
)

var (
	// errDamaged means that the index does not fit the ledger or itself.
	errDamaged = errors.New("the index does not fit the ledger")
	errClosed  = errors.New("the index is closed")
)

// sourceError is the ledger's own.
type sourceError struct{ error }

func (e sourceError) Unwrap() error { return e.error }

// Options of an index.
type Options struct {
	// Path of the file. It is made, with its folder, by the first question.
	Path string
	// Temporary removes the file at the end.
	Temporary bool
}

// Index implements projection.Reader.
type Index struct {
	source  projection.Source
	options Options

	// turn is held by whoever takes in entries, or opens the file.
	turn chan struct{}
	// using is held for reading by those who ask, and for writing by who takes the file away from them.
	using  sync.RWMutex
	closed bool
	db     *database
}

var _ projection.Reader = (*Index)(nil)

// New makes the index of a ledger. It opens nothing yet: what is wrong with the file concerns those who ask.
func New(source projection.Source, options Options) *Index {
	return &Index{source: source, options: options, turn: make(chan struct{}, 1)}
}

// Close closes the file.
func (x *Index) Close() error {
	x.turn <- struct{}{}
	defer x.end()
	x.using.Lock()
	defer x.using.Unlock()
	x.closed = true
	if x.db == nil {
		return nil
	}
	err := x.db.close(func() error {
		if x.options.Temporary {
			return errors.Join(x.remove(), os.Remove(x.options.Path+lockSuffix))
		}
		return nil
	})
	x.db = nil
	return err
}

// discard removes a damaged file, unless somebody else has by now.
func (x *Index) discard(ctx context.Context, db *database) error {
	if err := x.begin(ctx); err != nil {
		return err
	}
	defer x.end()
	x.using.Lock()
	defer x.using.Unlock()
	if x.db == nil || x.db != db {
		return nil
	}
	x.db = nil
	return db.close(x.remove)
}

// remove removes the file; the lock is a file of its own, which stays.
func (x *Index) remove() error {
	var errs []error
	for _, side := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(x.options.Path + side); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// begin waits for the turn.
func (x *Index) begin(ctx context.Context) error {
	select {
	case x.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *Index) end() { <-x.turn }

// answer takes in what the ledger has, and asks. Once, a damaged file is built anew.
func (x *Index) answer(ctx context.Context, origin string, ask func(ctx context.Context, db *sql.DB, origin int64) error) error {
	for again := true; ; again = false {
		db, err := x.catchUp(ctx, origin)
		if err == nil {
			err = x.ask(ctx, db, origin, ask)
		}
		if err == nil || !damaged(ctx, err) || !again {
			return x.named(ctx, err)
		}
		if err := x.discard(ctx, db); err != nil {
			return x.named(ctx, err)
		}
	}
}

// ask asks about an origin that has entries.
func (x *Index) ask(ctx context.Context, db *database, origin string, ask func(ctx context.Context, db *sql.DB, origin int64) error) error {
	x.using.RLock()
	defer x.using.RUnlock()
	if x.db != db { // somebody else found it damaged, or closed it
		return errDamaged
	}
	var number int64
	err := db.reader.QueryRowContext(ctx, `SELECT number FROM origins WHERE name = ?`, origin).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return ask(ctx, db.reader, number)
}

// damaged tells whether building the file anew may help.
func damaged(ctx context.Context, err error) bool {
	var s sourceError
	if ctx.Err() != nil || errors.As(err, &s) {
		return false
	}
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
			return false
		}
		return true
	}
	return errors.Is(err, errDamaged) || errors.Is(err, sqlitedb.ErrWrongFile)
}

// named says whose error it is.
func (x *Index) named(ctx context.Context, err error) error {
	var s sourceError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &s):
		return s.error
	}
	return fmt.Errorf("%w: %s: %w", projection.ErrUnavailable, x.options.Path, err)
}

// database is the open file.
type database struct {
	lock           *os.File
	writer, reader *sql.DB
	// words are ids that are in the file.
	words      map[word]int64
	statements statements
	// positions are what is taken in, by origin.
	positions map[string]position
}

type position struct {
	number, size int64
	leaf         []byte
}

// opened returns the open file; call it with the turn.
func (x *Index) opened(ctx context.Context) (*database, error) {
	x.using.Lock()
	defer x.using.Unlock()
	if x.closed {
		return nil, errClosed
	}
	if x.db != nil {
		return x.db, nil
	}
	db, err := x.open(ctx)
	if err != nil {
		return nil, err
	}
	x.db = db
	return db, nil
}

func (x *Index) open(ctx context.Context) (*database, error) {
	path, err := filepath.Abs(x.options.Path)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err != nil {
		return nil, err
	}
	db := &database{words: map[word]int64{}, positions: map[string]position{}}
	if db.lock, err = sqlitedb.LockFile(path + lockSuffix); err != nil {
		return nil, err
	}
	err = db.connect(ctx, path)
	if err != nil && damaged(ctx, err) && !errors.Is(err, sqlitedb.ErrWrongFile) { // it is never somebody else's that goes
		_ = db.closePools()
		if err = x.remove(); err == nil {
			err = db.connect(ctx, path)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.close(func() error { return nil }))
	}
	return db, nil
}

// connect opens the file and makes sure that it is one of this version.
func (db *database) connect(ctx context.Context, path string) (err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		return err
	}
	// Without a sync at each commit: what a failure of power takes is read from the ledger again. Before the write-ahead log is
	// written into the file both are synced, or the file might come to hold half of it.
	uri := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)&_pragma=temp_store(file)"
	if db.writer, err = sql.Open("sqlite", uri+"&_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-16000)"); err != nil {
		return err
	}
	db.writer.SetMaxOpenConns(1)
	if db.reader, err = sql.Open("sqlite", uri+"&_pragma=query_only(on)"); err != nil {
		return err
	}
	db.reader.SetMaxOpenConns(readers)
	db.reader.SetMaxIdleConns(readers)
	var app, have, tables int64
	for query, into := range map[string]*int64{"PRAGMA application_id": &app, "PRAGMA user_version": &have, "SELECT COUNT(*) FROM sqlite_schema": &tables} {
		if err := db.writer.QueryRowContext(ctx, query).Scan(into); err != nil {
			return err
		}
	}
	switch {
	case tables == 0:
		if _, err := db.writer.ExecContext(ctx, fmt.Sprintf("BEGIN; PRAGMA application_id = %d; PRAGMA user_version = %d; %s; COMMIT", applicationID, version, schema)); err != nil {
			return err
		}
	case app != applicationID:
		return sqlitedb.ErrWrongFile
	case have != version:
		return fmt.Errorf("%w: it is of version %d", errDamaged, have)
	}
	return db.prepare(ctx)
}

func (db *database) closePools() error {
	var errs []error
	for _, pool := range []*sql.DB{db.reader, db.writer} {
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	db.reader, db.writer = nil, nil
	return errors.Join(errs...)
}

// close closes the file, does what has to be done while nobody else has it, and gives it free.
func (db *database) close(before func() error) error {
	return errors.Join(db.closePools(), before(), db.lock.Close())
}
