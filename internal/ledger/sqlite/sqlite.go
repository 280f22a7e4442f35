// Package ledgersqlite keeps the ledger in the SQLite file that it shares with the state store: one process, one writer,
// every append durable when it returns, alone or within a transaction of the file.
package ledgersqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations of the ledger's part of the file.
func Migrations() sqlitedb.Migrations {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic("ledger: its migrations are not built in")
	}
	return sqlitedb.Migrations{Part: "ledger", Files: files}
}

// Options of a ledger.
type Options = treelog.Options

// Log implements ledger.Log.
type Log struct {
	*treelog.Log[*sqlitedb.Tx]
	db *sqlitedb.DB
}

var _ ledger.Log = (*Log)(nil)

// New makes the ledger of an open file that has been migrated. The file stays the caller's to close.
func New(ctx context.Context, db *sqlitedb.DB, options Options) (*Log, error) {
	d := &database{DB: db}
	if err := d.prepare(ctx); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	log, err := treelog.New(d, options)
	if err != nil {
		return nil, err
	}
	return &Log{Log: log, db: db}, nil
}

// database implements treelog.Database.
type database struct {
	*sqlitedb.DB
	node, page, find, known, insert *sql.Stmt
}

// Translate implements treelog.Database. SQLite's texts hold names of columns, never values.
func (d *database) Translate(err error) error {
	if errors.Is(err, sqlitedb.ErrStaleEpoch) {
		return ledger.ErrStaleEpoch
	}
	return err
}
