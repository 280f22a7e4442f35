package ledgersqlite

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
)

const (
	selectOrigin  = `SELECT number FROM origins WHERE name = ?`
	selectOrigins = `SELECT name FROM origins WHERE EXISTS (SELECT 1 FROM bundles WHERE id = number << 40) ORDER BY name`
	insertOrigin  = `INSERT INTO origins (name) VALUES (?) RETURNING number`
	selectLast    = `SELECT id, entries, checkpoint FROM bundles WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1`
	// Of the bundle that has the last entry of a subtree, which is ?2, or of one before it.
	selectNode = `SELECT id, entries, CASE WHEN id <= ?1 THEN leaves END, CASE WHEN id <= ?1 THEN NULL ELSE nodes END
		FROM bundles WHERE id <= ?2 ORDER BY id DESC LIMIT 1`
	selectPage = `SELECT id, entries, leaves FROM bundles
		WHERE id >= coalesce((SELECT max(id) FROM bundles WHERE id <= ?1), ?1) AND id < ?2 ORDER BY id`
	selectKey = `SELECT keys.id, b.id, b.entries, b.leaves FROM keys
		LEFT JOIN bundles b ON b.id = (SELECT max(id) FROM bundles WHERE id <= keys.id) WHERE hash = ?`
	// Of hashes that stand one behind the other.
	selectKnown  = `SELECT hash, id FROM places CROSS JOIN keys ON hash = substr(?1, 16 * place + 1, 16) WHERE place < ?2`
	insertBundle = `INSERT INTO appends (epoch, id, entries, keys, leaves, nodes, checkpoint) VALUES (?, ?, ?, ?, ?, ?, ?)`
)

func (d *database) prepare(ctx context.Context) (err error) {
	prepare := func(pool *sql.DB, query string) (stmt *sql.Stmt) {
		if err == nil {
			stmt, err = pool.PrepareContext(ctx, query)
		}
		return stmt
	}
	d.node, d.page, d.find = prepare(d.Reader, selectNode), prepare(d.Reader, selectPage), prepare(d.Reader, selectKey)
	d.known, d.insert = prepare(d.Writer, selectKnown), prepare(d.Writer, insertBundle)
	return err
}

// joined puts hashes one behind the other.
func joined(keys []treelog.KeyHash) []byte {
	text := make([]byte, 0, len(keys)*treelog.KeySize)
	for i := range keys {
		text = append(text, keys[i][:]...)
	}
	return text
}

// Origin implements treelog.Database.
func (d *database) Origin(ctx context.Context, name string) (number int64, err error) {
	err = d.Reader.QueryRowContext(ctx, selectOrigin, name).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return number, err
}

// Origins implements treelog.Database.
func (d *database) Origins(ctx context.Context) ([]string, error) {
	rows, err := d.Reader.QueryContext(ctx, selectOrigins)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// Last implements treelog.Database.
func (d *database) Last(ctx context.Context, from, to int64) (b treelog.Bundle, err error) {
	err = d.Reader.QueryRowContext(ctx, selectLast, from, to).Scan(&b.ID, &b.Entries, &b.Checkpoint)
	return b, ignoreNone(err)
}

// ignoreNone takes a row that is not there for an empty one.
func ignoreNone(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	return err
}

// Nodes implements treelog.Database.
func (d *database) Nodes(ctx context.Context, nodes []treelog.Node) ([]treelog.Bundle, error) {
	return readNodes(nodes, func(n treelog.Node) *sql.Row { return d.node.QueryRowContext(ctx, n.First, n.Last) })
}

func readNodes(nodes []treelog.Node, read func(n treelog.Node) *sql.Row) ([]treelog.Bundle, error) {
	found := make([]treelog.Bundle, len(nodes))
	for i, n := range nodes {
		b := &found[i]
		if err := ignoreNone(read(n).Scan(&b.ID, &b.Entries, &b.Leaves, &b.Nodes)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Page implements treelog.Database.
func (d *database) Page(ctx context.Context, from, to int64) ([]treelog.Bundle, error) {
	rows, err := d.page.QueryContext(ctx, from, to)
	if err != nil {
		return nil, err
	}
	return collect(rows)
}

// collect reads the rows of selectPage.
func collect(rows *sql.Rows) (page []treelog.Bundle, err error) {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b treelog.Bundle
		if err := rows.Scan(&b.ID, &b.Entries, &b.Leaves); err != nil {
			return nil, err
		}
		page = append(page, b)
	}
	return page, rows.Err()
}

// Find implements treelog.Database.
func (d *database) Find(ctx context.Context, key treelog.KeyHash) (id int64, b treelog.Bundle, err error) {
	var first, entries sql.NullInt64
	err = d.find.QueryRowContext(ctx, key[:]).Scan(&id, &first, &entries, &b.Leaves)
	b.ID, b.Entries = first.Int64, int(entries.Int64)
	return id, b, ignoreNone(err)
}

// AddOrigin implements treelog.Database.
func (d *database) AddOrigin(ctx context.Context, tx *sqlitedb.Tx, name string) (number int64, err error) {
	err = tx.QueryRowContext(ctx, insertOrigin, name).Scan(&number)
	return number, err
}

// Known implements treelog.Database.
func (d *database) Known(ctx context.Context, tx *sqlitedb.Tx, keys []treelog.KeyHash) (map[treelog.KeyHash]int64, error) {
	look, known := tx.StmtContext(ctx, d.known), map[treelog.KeyHash]int64{}
	for part := range slices.Chunk(keys, treelog.BundleSize) {
		rows, err := look.QueryContext(ctx, joined(part), len(part))
		if err != nil {
			return nil, err
		}
		if err := addKnown(known, rows); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func addKnown(known map[treelog.KeyHash]int64, rows *sql.Rows) error {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var hash []byte
		var id int64
		if err := rows.Scan(&hash, &id); err != nil {
			return err
		}
		known[treelog.KeyHash(hash)] = id
	}
	return rows.Err()
}

// Insert implements treelog.Database. Epoch and keys were looked at in this transaction.
func (d *database) Insert(ctx context.Context, tx *sqlitedb.Tx, bundles []treelog.NewBundle) error {
	insert := tx.StmtContext(ctx, d.insert) //nolint:sqlclosecheck // the transaction closes it
	for _, b := range bundles {
		_, err := insert.ExecContext(ctx, d.insertArgs(b)...)
		if code(err) == sqlite3.SQLITE_CONSTRAINT_TRIGGER {
			return treelog.ErrGap
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// InsertAlone implements treelog.Database.
func (d *database) InsertAlone(ctx context.Context, b treelog.NewBundle) (bool, error) {
	_, err := d.insert.ExecContext(ctx, d.insertArgs(b)...)
	if code(err)&0xff == sqlite3.SQLITE_CONSTRAINT {
		return false, nil
	}
	return err == nil, err
}

// insertArgs are the arguments of insertBundle.
func (d *database) insertArgs(b treelog.NewBundle) []any {
	return []any{d.Epoch(), b.ID, b.Entries, joined(b.Keys), b.Leaves, b.Nodes, b.Checkpoint}
}

// code is what SQLite calls an error, 0 if it is none of its own.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
