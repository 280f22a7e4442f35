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
	selectOrigins = `SELECT name FROM origins WHERE EXISTS (SELECT 1 FROM bundles WHERE id = number << 40) ORDER BY name COLLATE "C"`
	insertOrigin  = `INSERT INTO origins (number, name) SELECT coalesce(max(number), 0) + 1, $1 FROM origins RETURNING number`
	selectLast    = `SELECT id, entries, checkpoint FROM bundles WHERE id BETWEEN $1 AND $2 ORDER BY id DESC LIMIT 1`
	// For each subtree, of the bundle that has its last entry, or of one before it.
	selectNodes = `SELECT coalesce(b.id, 0), coalesce(b.entries, 0), CASE WHEN b.id <= n.first THEN b.leaves END, CASE WHEN b.id > n.first THEN b.nodes END
		FROM unnest($1::bigint[], $2::bigint[]) WITH ORDINALITY AS n(first, last, place)
		LEFT JOIN LATERAL (SELECT * FROM bundles WHERE id <= n.last ORDER BY id DESC LIMIT 1) b ON true ORDER BY n.place`
	selectPage = `SELECT id, entries, leaves FROM bundles
		WHERE id >= coalesce((SELECT max(id) FROM bundles WHERE id <= $1), $1) AND id < $2 ORDER BY id`
	selectKey = `SELECT k.id, coalesce(b.id, 0), coalesce(b.entries, 0), b.leaves FROM keys k
		LEFT JOIN LATERAL (SELECT * FROM bundles WHERE id <= k.id ORDER BY id DESC LIMIT 1) b ON true WHERE k.hash = $1`
	selectKnown = `SELECT hash, id FROM keys WHERE hash = ANY($1)`

	// A bundle and its keys; none if the bundle before is not there.
	insertBundle = `added AS (INSERT INTO bundles (id, entries, leaves, nodes, checkpoint)
			SELECT $1::bigint, $2::int, $3::bytea, $4::bytea, $5::bytea
			WHERE ($6 OR (SELECT id + entries FROM bundles WHERE id < $1 ORDER BY id DESC LIMIT 1) = $1)%s RETURNING id)
		INSERT INTO keys (hash, id) SELECT k.hash, added.id + k.place - 1 FROM added, unnest($7::bytea[]) WITH ORDINALITY AS k(hash, place)`
)

var (
	insertInTx = "WITH " + fmt.Sprintf(insertBundle, "")
	// The same in a transaction of its own. The row of the epoch stays locked until its end.
	insertAlone = "WITH mine AS (SELECT 1 FROM store_identity WHERE epoch = $8 FOR SHARE), " + fmt.Sprintf(insertBundle, `
			AND EXISTS (SELECT 1 FROM mine) AND NOT EXISTS (SELECT 1 FROM keys WHERE hash = ANY($7::bytea[]))`)
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
func (d *database) Last(ctx context.Context, from, to int64) (b treelog.Bundle, err error) {
	err = d.Query(ctx, first(&b.ID, &b.Entries, &b.Checkpoint), selectLast, from, to)
	return b, err
}

// Nodes implements treelog.Database.
func (d *database) Nodes(ctx context.Context, nodes []treelog.Node) (found []treelog.Bundle, err error) {
	firsts, lasts := ends(nodes)
	err = d.Query(ctx, func(rows pgx.Rows) (err error) {
		found, err = pgx.CollectRows(rows, nodesOf)
		return err
	}, selectNodes, firsts, lasts)
	return found, err
}

// ends are the first and the last entries of subtrees.
func ends(nodes []treelog.Node) (firsts, lasts []int64) {
	for _, n := range nodes {
		firsts, lasts = append(firsts, n.First), append(lasts, n.Last)
	}
	return firsts, lasts
}

// nodesOf reads a row of selectNodes.
func nodesOf(row pgx.CollectableRow) (b treelog.Bundle, err error) {
	err = row.Scan(&b.ID, &b.Entries, &b.Leaves, &b.Nodes)
	return b, err
}

// leavesOf reads a row of selectPage.
func leavesOf(row pgx.CollectableRow) (b treelog.Bundle, err error) {
	err = row.Scan(&b.ID, &b.Entries, &b.Leaves)
	return b, err
}

// Page implements treelog.Database.
func (d *database) Page(ctx context.Context, from, to int64) (page []treelog.Bundle, err error) {
	err = d.Query(ctx, func(rows pgx.Rows) (err error) {
		page, err = pgx.CollectRows(rows, leavesOf)
		return err
	}, selectPage, from, to)
	return page, err
}

// Find implements treelog.Database.
func (d *database) Find(ctx context.Context, key treelog.KeyHash) (id int64, b treelog.Bundle, err error) {
	err = d.Query(ctx, first(&id, &b.ID, &b.Entries, &b.Leaves), selectKey, key[:])
	return id, b, err
}

// AddOrigin implements treelog.Database.
func (d *database) AddOrigin(ctx context.Context, tx *pgdb.Tx, name string) (number int64, err error) {
	err = tx.Query(ctx, first(&number), insertOrigin, name)
	return number, err
}

// Known implements treelog.Database.
func (d *database) Known(ctx context.Context, tx *pgdb.Tx, keys []treelog.KeyHash) (map[treelog.KeyHash]int64, error) {
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
	}, selectKnown, raw(keys))
	return known, err
}

// raw are the hashes as the driver takes them.
func raw(keys []treelog.KeyHash) [][]byte {
	hashes := make([][]byte, len(keys))
	for i := range keys {
		hashes[i] = keys[i][:]
	}
	return hashes
}

// insertArgs are the arguments that insertInTx and insertAlone have in common.
func insertArgs(b treelog.NewBundle) []any {
	return []any{b.ID, b.Entries, b.Leaves, b.Nodes, b.Checkpoint, b.First(), raw(b.Keys)}
}

// Insert implements treelog.Database.
func (d *database) Insert(_ context.Context, tx *pgdb.Tx, bundles []treelog.NewBundle) error {
	for _, b := range bundles {
		tx.Exec(insertInTx, func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() == 0 {
				return treelog.ErrGap
			}
			return nil
		}, insertArgs(b)...)
	}
	return nil
}

// InsertAlone implements treelog.Database.
func (d *database) InsertAlone(ctx context.Context, b treelog.NewBundle) (added bool, err error) {
	err = d.Alone(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, insertAlone, append(insertArgs(b), d.Epoch())...)
		if err != nil {
			return fmt.Errorf("insert: %w", err)
		}
		added = tag.RowsAffected() > 0
		return nil
	})
	return added, err
}
