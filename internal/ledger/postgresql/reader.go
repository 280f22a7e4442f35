package ledgerpostgresql

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/pgdb"
)

// Reader reads ledgers from a schema for whoever exports them: without the lock, without the key, and as they are, damaged or
// not. It changes nothing; an operator that has the schema open goes on undisturbed, because entries are only added.
type Reader struct {
	conn *pgx.Conn
}

// OpenReader connects to the database of a URL.
func OpenReader(ctx context.Context, url func() (string, error)) (*Reader, error) {
	conn, err := pgdb.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	r := &Reader{conn: conn}
	if _, err := r.Origins(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("the database holds no ledger that this release can read (one of an earlier release is carried over when the operator opens it): %w", err), r.Close()) //nolint:contextcheck // it is closed whatever became of the context
	}
	return r, nil
}

// Close ends the connection.
func (r *Reader) Close() error { return r.conn.Close(context.Background()) }

// Origins names all origins.
func (r *Reader) Origins(ctx context.Context) ([]string, error) {
	rows, err := r.conn.Query(ctx, selectOrigins)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (r *Reader) number(ctx context.Context, name string) (number int64, err error) {
	err = r.conn.QueryRow(ctx, selectOrigin, name).Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ledger.ErrNotFound
	}
	return number, err
}

// HandlesOf are the handles of the requests of subjects, by their pseudonyms. The state store in the same schema has that link,
// as long as it is not destroyed.
func (r *Reader) HandlesOf(ctx context.Context, namespace string, pseudonyms []string) ([]string, error) {
	rows, err := r.conn.Query(ctx, `SELECT body::jsonb ->> 'handle' FROM requests
		WHERE namespace = $1 AND NOT link_destroyed AND subject_pseudonym = ANY ($2)`, namespace, pseudonyms)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Checkpoint returns the newest checkpoint as it was signed.
func (r *Reader) Checkpoint(ctx context.Context, name string) ([]byte, error) {
	o, err := r.number(ctx, name)
	if err != nil {
		return nil, err
	}
	var b treelog.Bundle
	err = r.conn.QueryRow(ctx, selectLast, treelog.ID(o, 0), treelog.ID(o, treelog.IndexMask)).Scan(&b.ID, &b.Entries, &b.Checkpoint)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ledger.ErrNotFound
	}
	return b.Checkpoint, err
}

// Leaves are the texts of the first size entries, or of those that are there.
func (r *Reader) Leaves(ctx context.Context, name string, size uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		o, err := r.number(ctx, name)
		for from := uint64(0); err == nil && from < size; from += ledger.MaxPage {
			var page []treelog.Stored
			page, err = r.page(ctx, o, from, min(size-from, ledger.MaxPage))
			for _, s := range page {
				if !yield(s.Leaf, nil) {
					return
				}
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func (r *Reader) page(ctx context.Context, o int64, from, limit uint64) ([]treelog.Stored, error) {
	begin, end := treelog.Range(o, from, limit)
	rows, err := r.conn.Query(ctx, selectPage, begin, end)
	if err != nil {
		return nil, err
	}
	page, err := pgx.CollectRows(rows, leavesOf)
	if err != nil {
		return nil, err
	}
	return treelog.Leaves(page, begin, end)
}

// Entries returns up to limit entries from the index on, none at the end.
func (r *Reader) Entries(ctx context.Context, name string, from uint64, limit int) ([]ledger.Record, error) {
	o, err := r.number(ctx, name)
	if err != nil || from > treelog.IndexMask {
		return nil, ledger.IgnoreNotFound(err)
	}
	page, err := r.page(ctx, o, from, uint64(limit))
	if err != nil {
		return nil, err
	}
	return treelog.Records(page)
}

// ConsistencyProof proves that the tree of size newer continues the one of size older.
func (r *Reader) ConsistencyProof(ctx context.Context, name string, older, newer uint64) ([][]byte, error) {
	o, err := r.number(ctx, name)
	if err != nil {
		return nil, err
	}
	return ledger.ProveConsistency(ctx, older, newer, treelog.NodeReader(o, func(ctx context.Context, nodes []treelog.Node) ([]treelog.Bundle, error) {
		firsts, lasts := ends(nodes)
		rows, err := r.conn.Query(ctx, selectNodes, firsts, lasts)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, nodesOf)
	}))
}
