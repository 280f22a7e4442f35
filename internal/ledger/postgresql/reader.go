package ledgerpostgresql

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"

	"github.com/jackc/pgx/v5"
	"github.com/transparency-dev/merkle/compact"

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
		return nil, errors.Join(fmt.Errorf("the database holds no ledger that this release can read: %w", err), r.Close()) //nolint:contextcheck // it is closed whatever became of the context
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
	var id int64
	var text []byte
	err = r.conn.QueryRow(ctx, selectLast, treelog.ID(o, 0), treelog.ID(o, treelog.IndexMask)).Scan(&id, &text)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ledger.ErrNotFound
	}
	return text, err
}

// Leaves are the texts of the first size entries, or of those that are there.
func (r *Reader) Leaves(ctx context.Context, name string, size uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		o, err := r.number(ctx, name)
		for from := uint64(0); err == nil && from < size; {
			var page []treelog.Stored
			page, err = r.page(ctx, o, from, min(size-from, ledger.MaxPage))
			for _, s := range page {
				if !yield(s.Leaf, nil) {
					return
				}
			}
			if from += uint64(len(page)); len(page) == 0 {
				break
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func (r *Reader) page(ctx context.Context, o int64, from, limit uint64) ([]treelog.Stored, error) {
	rows, err := r.conn.Query(ctx, selectPage, treelog.ID(o, from), treelog.ID(o, treelog.IndexMask), int64(limit))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[treelog.Stored])
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
	leaves := make([][]byte, len(page))
	for i := range page {
		leaves[i] = page[i].Leaf
	}
	return ledger.DecodeLeaves(from, leaves)
}

// ConsistencyProof proves that the tree of size newer continues the one of size older.
func (r *Reader) ConsistencyProof(ctx context.Context, name string, older, newer uint64) ([][]byte, error) {
	o, err := r.number(ctx, name)
	if err != nil {
		return nil, err
	}
	return ledger.ProveConsistency(ctx, older, newer, func(ctx context.Context, ids []compact.NodeID) ([][]byte, error) {
		hashes := make([][]byte, len(ids))
		for i, id := range ids {
			var place int64
			err := r.conn.QueryRow(ctx, selectNodes, []int64{treelog.ID(o, ledger.CompletedBy(id))}, []int32{int32(id.Level)}).Scan(&place, &hashes[i])
			if err != nil || len(hashes[i]) != sha256.Size {
				return nil, fmt.Errorf("%w: node %d of level %d is missing", ledger.ErrCorrupt, id.Index, id.Level)
			}
		}
		return hashes, nil
	})
}
