package ledgersqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
)

const (
	selectOrigin  = `SELECT number FROM origins WHERE name = ?`
	selectOrigins = `SELECT name FROM origins WHERE EXISTS (SELECT 1 FROM entries WHERE id = number << 40) ORDER BY name`
	insertOrigin  = `INSERT INTO origins (name) VALUES (?) RETURNING number`
	selectLast    = `SELECT id, checkpoint FROM entries WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1`
	selectNode    = `SELECT substr(nodes, ?, 32) FROM entries WHERE id = ?`
	selectPage    = `SELECT id, leaf FROM entries WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?`
	selectKey     = `SELECT id, leaf FROM entries WHERE key_hash = ?`
)

// widths are how many entries one statement can handle, the greatest first.
var widths = []int{64, 16, 4, 3, 2, 1}

// insertNext adds entries that follow one another. It adds nothing at all if the epoch is over or if the entry before has
// vanished and, unless the keys were looked up before, if one is there; the general way then finds out which. Its arguments are
// those of insertArgs.
func insertNext(n int, lookedUp bool) string {
	rows, keys := make([]string, n), make([]string, n)
	for i := range n {
		at := 5*i + 2
		rows[i] = fmt.Sprintf("(?%d, ?%d, ?%d, ?%d, ?%d)", at, at+1, at+2, at+3, at+4)
		keys[i] = fmt.Sprintf("?%d", at+1)
	}
	insert := fmt.Sprintf(`INSERT INTO entries (id, key_hash, leaf, nodes, checkpoint) SELECT * FROM (VALUES %s)
		WHERE (SELECT epoch FROM store_identity) = ?1
		AND (?2 & %d = 0 OR EXISTS (SELECT 1 FROM entries WHERE id = ?2 - 1))`, strings.Join(rows, ", "), treelog.IndexMask)
	if lookedUp {
		return insert
	}
	return insert + fmt.Sprintf(` AND NOT EXISTS (SELECT 1 FROM entries WHERE key_hash IN (%s))`, strings.Join(keys, ", "))
}

// insertArgs are the arguments of insertNext; the last row has the checkpoint.
func insertArgs(epoch int64, rows []treelog.Row, checkpoint []byte) []any {
	args := make([]any, 0, 1+5*len(rows))
	args = append(args, epoch)
	for i := range rows {
		var text []byte
		if i == len(rows)-1 {
			text = checkpoint
		}
		args = append(args, rows[i].ID, rows[i].Key[:], rows[i].Leaf, rows[i].Nodes, text)
	}
	return args
}

func selectKnown(n int) string {
	return `SELECT key_hash, id FROM entries WHERE key_hash IN (?` + strings.Repeat(", ?", n-1) + `)`
}

func (d *database) prepare(ctx context.Context) error {
	d.insert, d.insertAlone, d.known = map[int]*sql.Stmt{}, map[int]*sql.Stmt{}, map[int]*sql.Stmt{}
	var err error
	prepare := func(pool *sql.DB, query string) (stmt *sql.Stmt) {
		if err == nil {
			stmt, err = pool.PrepareContext(ctx, query)
		}
		return stmt
	}
	d.node, d.page, d.find = prepare(d.Reader, selectNode), prepare(d.Reader, selectPage), prepare(d.Reader, selectKey)
	for _, n := range widths {
		d.insert[n], d.known[n] = prepare(d.Writer, insertNext(n, true)), prepare(d.Writer, selectKnown(n))
		d.insertAlone[n] = prepare(d.Writer, insertNext(n, false))
	}
	return err
}

// eachPart calls f for parts that a statement can handle.
func eachPart[E any](list []E, f func(part []E) error) error {
	for len(list) > 0 {
		n := widths[slices.IndexFunc(widths, func(n int) bool { return n <= len(list) })]
		if err := f(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
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
func (d *database) Last(ctx context.Context, from, to int64) (id int64, checkpoint []byte, err error) {
	err = d.Reader.QueryRowContext(ctx, selectLast, from, to).Scan(&id, &checkpoint)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	return id, checkpoint, err
}

// Nodes implements treelog.Database.
func (d *database) Nodes(ctx context.Context, nodes []treelog.Node) ([][]byte, error) {
	hashes := make([][]byte, len(nodes))
	for i, n := range nodes {
		err := d.node.QueryRowContext(ctx, int64(n.Level)*sha256.Size+1, n.ID).Scan(&hashes[i])
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, err
		}
	}
	return hashes, nil
}

// Page implements treelog.Database.
func (d *database) Page(ctx context.Context, from, to int64, limit int) ([]treelog.Stored, error) {
	rows, err := d.page.QueryContext(ctx, from, to, limit)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var page []treelog.Stored
	for rows.Next() {
		var s treelog.Stored
		if err := rows.Scan(&s.ID, &s.Leaf); err != nil {
			return nil, err
		}
		page = append(page, s)
	}
	return page, rows.Err()
}

// Find implements treelog.Database.
func (d *database) Find(ctx context.Context, key treelog.KeyHash) (*treelog.Stored, error) {
	var s treelog.Stored
	err := d.find.QueryRowContext(ctx, key[:]).Scan(&s.ID, &s.Leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &s, err
}

// AddOrigin implements treelog.Database.
func (d *database) AddOrigin(ctx context.Context, tx *sqlitedb.Tx, name string) (number int64, err error) {
	err = tx.QueryRowContext(ctx, insertOrigin, name).Scan(&number)
	return number, err
}

// Known implements treelog.Database.
func (d *database) Known(ctx context.Context, tx *sqlitedb.Tx, keys []treelog.KeyHash) (map[treelog.KeyHash]int64, error) {
	known := map[treelog.KeyHash]int64{}
	err := eachPart(keys, func(part []treelog.KeyHash) error {
		args := make([]any, len(part))
		for i := range part {
			args[i] = part[i][:]
		}
		rows, err := tx.StmtContext(ctx, d.known[len(part)]).QueryContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
		if err != nil {
			return err
		}
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
	})
	return known, err
}

// Insert implements treelog.Database. Epoch and keys were looked at in this transaction, so where nothing is added it is the
// entry before that is missing.
func (d *database) Insert(ctx context.Context, tx *sqlitedb.Tx, rows []treelog.Row, checkpoint []byte) error {
	left := len(rows)
	return eachPart(rows, func(part []treelog.Row) error {
		var text []byte
		if left -= len(part); left == 0 {
			text = checkpoint
		}
		added, err := execute(ctx, tx.StmtContext(ctx, d.insert[len(part)]), insertArgs(d.Epoch(), part, text))
		if err == nil && !added {
			err = treelog.ErrGap
		}
		return err
	})
}

// FitsAlone implements treelog.Database.
func (d *database) FitsAlone(n int) bool { return d.insertAlone[n] != nil }

// InsertAlone implements treelog.Database.
func (d *database) InsertAlone(ctx context.Context, rows []treelog.Row, checkpoint []byte) (bool, error) {
	return execute(ctx, d.insertAlone[len(rows)], insertArgs(d.Epoch(), rows, checkpoint))
}

func execute(ctx context.Context, insert *sql.Stmt, args []any) (added bool, err error) {
	result, err := insert.ExecContext(ctx, args...)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n > 0, err
}
