package projectionsqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

// catchUp takes in what an origin's log has and the index has not, page by page.
func (x *Index) catchUp(ctx context.Context, origin string) (*database, error) {
	if err := x.begin(ctx); err != nil {
		return nil, err
	}
	defer x.end()
	db, err := x.opened(ctx)
	for more := true; more && err == nil; {
		more, err = db.page(ctx, x.source, origin)
	}
	return db, err
}

// page takes in the next page of a log. The last entry that was taken in is read again: if it is another one by now, or gone, the
// log is another one, and all of it is taken in anew.
func (db *database) page(ctx context.Context, source projection.Source, origin string) (more bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	at, err := db.position(ctx, origin)
	if err != nil {
		return false, err
	}
	from := uint64(max(at.size-1, 0))
	records, err := source.Entries(ctx, origin, from, ledger.MaxPage)
	if err != nil {
		return false, sourceError{err}
	}
	whole := len(records) == ledger.MaxPage
	if at.size > 0 {
		if len(records) == 0 || !bytes.Equal(ledger.LeafHash(records[0].Leaf), at.leaf) {
			return true, db.forget(ctx, at)
		}
		records = records[1:]
	}
	for i, r := range records {
		if r.Index != uint64(at.size)+uint64(i) {
			return false, sourceError{fmt.Errorf("%w: entry %d is missing", ledger.ErrCorrupt, uint64(at.size)+uint64(i))}
		}
	}
	if len(records) == 0 {
		return false, nil
	}
	return whole, db.take(ctx, origin, at, records)
}

// position is how far an origin's log is taken in.
func (db *database) position(ctx context.Context, origin string) (position, error) {
	if at, ok := db.positions[origin]; ok {
		return at, nil
	}
	var at position
	err := db.writer.QueryRowContext(ctx, `SELECT number, size, leaf FROM origins WHERE name = ?`, origin).Scan(&at.number, &at.size, &at.leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return position{}, nil
	}
	return at, err
}

// forget removes all that is known of an origin.
func (db *database) forget(ctx context.Context, at position) error {
	clear(db.positions)
	clear(db.words)
	return db.transaction(ctx, func(tx *sql.Tx) error {
		first, last := id(at.number, 0), id(at.number, indexMask)
		for _, table := range []string{"entries", "requests", "categories"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE id BETWEEN ? AND ?`, first, last); err != nil {
				return err
			}
		}
		for _, statement := range []string{`DELETE FROM words WHERE origin = ?`, `DELETE FROM days WHERE origin = ?`, `DELETE FROM origins WHERE number = ?`} {
			if _, err := tx.ExecContext(ctx, statement, at.number); err != nil {
				return err
			}
		}
		return nil
	})
}

// take takes in records that follow what is there. Rows and position change together.
func (db *database) take(ctx context.Context, origin string, at position, records []ledger.Record) error {
	if len(db.words) > maxWords {
		clear(db.words)
	}
	var next position
	err := db.transaction(ctx, func(tx *sql.Tx) error {
		next = position{number: at.number, size: at.size + int64(len(records)), leaf: ledger.LeafHash(records[len(records)-1].Leaf)}
		if next.number == 0 {
			if err := tx.QueryRowContext(ctx, `INSERT INTO origins (name, size) VALUES (?, 0) RETURNING number`, origin).Scan(&next.number); err != nil {
				return err
			}
		}
		b := db.newBatch(tx, next.number)
		for _, r := range records {
			if err := b.add(ctx, r); err != nil {
				return err
			}
		}
		if err := b.write(ctx); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE origins SET size = ?, leaf = ? WHERE number = ?`, next.size, next.leaf, next.number)
		return err
	})
	if err != nil {
		clear(db.words) // some were of this transaction
		return err
	}
	db.positions[origin] = next
	return nil
}

func (db *database) transaction(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.writer.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
