// Package ledgerpostgresql keeps the ledger in the PostgreSQL schema that it shares with the state store: one process writes,
// every append is durable when it returns, alone or within a transaction of the schema.
package ledgerpostgresql

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/pgdb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations of the ledger's part of the schema.
func Migrations() pgdb.Migrations {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic("ledger: its migrations are not built in")
	}
	return pgdb.Migrations{Part: "ledger", Files: files}
}

const (
	selectOrigin  = `SELECT number FROM origins WHERE name = $1`
	selectOrigins = `SELECT name FROM origins WHERE EXISTS (SELECT 1 FROM entries WHERE id = number << 40) ORDER BY name COLLATE "C"`
	insertOrigin  = `INSERT INTO origins (number, name) SELECT coalesce(max(number), 0) + 1, $1 FROM origins RETURNING number`
	selectLast    = `SELECT id, checkpoint FROM entries WHERE id BETWEEN $1 AND $2 ORDER BY id DESC LIMIT 1`
	selectNodes   = `SELECT n.place, substr(e.nodes, n.level * 32 + 1, 32)
		FROM unnest($1::bigint[], $2::int[]) WITH ORDINALITY AS n(id, level, place) JOIN entries e ON e.id = n.id`
	selectPage  = `SELECT id, leaf FROM entries WHERE id BETWEEN $1 AND $2 ORDER BY id LIMIT $3`
	selectKey   = `SELECT id, leaf FROM entries WHERE key_hash = $1`
	selectKnown = `SELECT key_hash, id FROM entries WHERE key_hash = ANY($1)`

	// Rows that follow one another, the last one with the checkpoint; none if the one before the first is not there.
	insertRows = `INSERT INTO entries (id, key_hash, leaf, nodes, checkpoint)
		SELECT r.id, r.key_hash, r.leaf, r.nodes, CASE WHEN r.id = $6 THEN $5::bytea END
		FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[]) AS r(id, key_hash, leaf, nodes)
		WHERE ($7 OR EXISTS (SELECT 1 FROM entries WHERE id = ($1::bigint[])[1] - 1))`
	// The same in a transaction of its own. The row of the epoch stays locked until its end.
	insertAlone = `WITH mine AS (SELECT 1 FROM store_identity WHERE epoch = $8 FOR SHARE) ` + insertRows + `
		AND EXISTS (SELECT 1 FROM mine) AND NOT EXISTS (SELECT 1 FROM entries WHERE key_hash = ANY($2::bytea[]))`
)

// Options of a ledger.
type Options = treelog.Options

// Log implements ledger.Log.
type Log = treelog.Log[*pgdb.Tx]

var _ ledger.Log = (*Log)(nil)

// New makes the ledger of an open schema that has been migrated. The schema stays the caller's to close.
func New(db *pgdb.DB, options Options) (*Log, error) {
	return treelog.New(&database{db}, options)
}

// database implements treelog.Database.
type database struct{ *pgdb.DB }

// Translate implements treelog.Database.
func (d *database) Translate(err error) error {
	if errors.Is(err, pgdb.ErrStaleEpoch) {
		return ledger.ErrStaleEpoch
	}
	return err
}

// first scans the first row, if there is one.
func first(dest ...any) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		if !rows.Next() {
			return rows.Err()
		}
		return rows.Scan(dest...)
	}
}

// Origin implements treelog.Database.
func (d *database) Origin(ctx context.Context, name string) (number int64, err error) {
	err = d.Query(ctx, first(&number), selectOrigin, name)
	return number, err
}

// Origins implements treelog.Database.
func (d *database) Origins(ctx context.Context) (names []string, err error) {
	err = d.Query(ctx, func(rows pgx.Rows) (err error) {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}, selectOrigins)
	return names, err
}

// Last implements treelog.Database.
func (d *database) Last(ctx context.Context, from, to int64) (id int64, checkpoint []byte, err error) {
	err = d.Query(ctx, first(&id, &checkpoint), selectLast, from, to)
	return id, checkpoint, err
}

// Nodes implements treelog.Database.
func (d *database) Nodes(ctx context.Context, nodes []treelog.Node) ([][]byte, error) {
	ids, levels, hashes := make([]int64, len(nodes)), make([]int32, len(nodes)), make([][]byte, len(nodes))
	for i, n := range nodes {
		ids[i], levels[i] = n.ID, int32(n.Level)
	}
	err := d.Query(ctx, func(rows pgx.Rows) error {
		for rows.Next() {
			var place int64
			var hash []byte
			if err := rows.Scan(&place, &hash); err != nil {
				return err
			}
			hashes[place-1] = hash
		}
		return rows.Err()
	}, selectNodes, ids, levels)
	return hashes, err
}

// Page implements treelog.Database.
func (d *database) Page(ctx context.Context, from, to int64, limit int) (page []treelog.Stored, err error) {
	err = d.Query(ctx, func(rows pgx.Rows) (err error) {
		page, err = pgx.CollectRows(rows, pgx.RowToStructByPos[treelog.Stored])
		return err
	}, selectPage, from, to, limit)
	return page, err
}

// Find implements treelog.Database.
func (d *database) Find(ctx context.Context, key treelog.KeyHash) (*treelog.Stored, error) {
	var s treelog.Stored
	if err := d.Query(ctx, first(&s.ID, &s.Leaf), selectKey, key[:]); err != nil || s.ID == 0 {
		return nil, err
	}
	return &s, nil
}

// AddOrigin implements treelog.Database.
func (d *database) AddOrigin(ctx context.Context, tx *pgdb.Tx, name string) (number int64, err error) {
	err = tx.Query(ctx, first(&number), insertOrigin, name)
	return number, err
}

// Known implements treelog.Database.
func (d *database) Known(ctx context.Context, tx *pgdb.Tx, keys []treelog.KeyHash) (map[treelog.KeyHash]int64, error) {
	hashes := make([][]byte, len(keys))
	for i := range keys {
		hashes[i] = keys[i][:]
	}
	known := map[treelog.KeyHash]int64{}
	err := tx.Query(ctx, func(rows pgx.Rows) error {
		for rows.Next() {
			var hash []byte
			var id int64
			if err := rows.Scan(&hash, &id); err != nil {
				return err
			}
			known[treelog.KeyHash(hash)] = id
		}
		return rows.Err()
	}, selectKnown, hashes)
	return known, err
}

// insertArgs are the arguments that insertRows and insertAlone have in common.
func insertArgs(rows []treelog.Row, checkpoint []byte) []any {
	ids := make([]int64, len(rows))
	keys, leaves, nodes := make([][]byte, len(rows)), make([][]byte, len(rows)), make([][]byte, len(rows))
	for i := range rows {
		ids[i], keys[i], leaves[i], nodes[i] = rows[i].ID, rows[i].Key[:], rows[i].Leaf, rows[i].Nodes
	}
	return []any{ids, keys, leaves, nodes, checkpoint, ids[len(ids)-1], rows[0].First()}
}

// Insert implements treelog.Database.
func (d *database) Insert(_ context.Context, tx *pgdb.Tx, rows []treelog.Row, checkpoint []byte) error {
	tx.Exec(insertRows, func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return treelog.ErrGap
		}
		return nil
	}, insertArgs(rows, checkpoint)...)
	return nil
}

// FitsAlone implements treelog.Database.
func (*database) FitsAlone(int) bool { return true }

// InsertAlone implements treelog.Database.
func (d *database) InsertAlone(ctx context.Context, rows []treelog.Row, checkpoint []byte) (added bool, err error) {
	err = d.Alone(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, insertAlone, append(insertArgs(rows, checkpoint), d.Epoch())...)
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		added = tag.RowsAffected() > 0
		return nil
	})
	return added, err
}
