package ledgersqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
)

// File reads ledgers from a file for whoever exports them: without the lock, without the key, and as they are, damaged or
// not. It changes nothing; an operator that has the file open goes on undisturbed, because entries are only added.
type File struct {
	db *sql.DB
}

// OpenFile opens a file for reading.
func OpenFile(ctx context.Context, path string) (*File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return nil, fmt.Errorf("%s: there is no such file", path)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(5000)&_pragma=query_only(on)")
	if err != nil {
		return nil, err
	}
	f := &File{db: db}
	if _, err := f.Origins(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("%s holds no ledger that this release can read (one of an earlier release is carried over when the operator opens it): %w", path, err), db.Close())
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.db.Close() }

// Origins names all origins.
func (f *File) Origins(ctx context.Context) (names []string, err error) {
	rows, err := f.db.QueryContext(ctx, selectOrigins)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

func (f *File) number(ctx context.Context, name string) (number int64, err error) {
	err = f.db.QueryRowContext(ctx, selectOrigin, name).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		err = ledger.ErrNotFound
	}
	return number, err
}

// HandlesOf are the handles of the requests of subjects, by their pseudonyms. The state store in the same file has that link,
// as long as it is not destroyed.
func (f *File) HandlesOf(ctx context.Context, namespace string, pseudonyms []string) (handles []string, err error) {
	list, err := json.Marshal(pseudonyms)
	if err != nil {
		return nil, err
	}
	rows, err := f.db.QueryContext(ctx, `SELECT body ->> 'handle' FROM requests
		WHERE namespace = ? AND NOT link_destroyed AND subject_pseudonym IN (SELECT value FROM json_each(?))`, namespace, string(list))
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var handle string
		if err := rows.Scan(&handle); err != nil {
			return nil, err
		}
		handles = append(handles, handle)
	}
	return handles, rows.Err()
}

// Checkpoint returns the newest checkpoint as it was signed.
func (f *File) Checkpoint(ctx context.Context, name string) ([]byte, error) {
	o, err := f.number(ctx, name)
	if err != nil {
		return nil, err
	}
	var b treelog.Bundle
	if err := f.db.QueryRowContext(ctx, selectLast, treelog.ID(o, 0), treelog.ID(o, treelog.IndexMask)).Scan(&b.ID, &b.Entries, &b.Checkpoint); err != nil {
		return nil, fmt.Errorf("%w: %w", ledger.ErrNotFound, err)
	}
	return b.Checkpoint, nil
}

// Leaves are the texts of the first size entries, or of those that are there.
func (f *File) Leaves(ctx context.Context, name string, size uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		o, err := f.number(ctx, name)
		for from := uint64(0); err == nil && from < size; from += ledger.MaxPage {
			var page []treelog.Stored
			page, err = f.page(ctx, o, from, min(size-from, ledger.MaxPage))
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

func (f *File) page(ctx context.Context, o int64, from, limit uint64) ([]treelog.Stored, error) {
	begin, end := treelog.Range(o, from, limit)
	rows, err := f.db.QueryContext(ctx, selectPage, begin, end)
	if err != nil {
		return nil, err
	}
	page, err := collect(rows)
	if err != nil {
		return nil, err
	}
	return treelog.Leaves(page, begin, end)
}

// Entries returns up to limit entries from the index on, none at the end.
func (f *File) Entries(ctx context.Context, name string, from uint64, limit int) ([]ledger.Record, error) {
	o, err := f.number(ctx, name)
	if err != nil || from > treelog.IndexMask {
		return nil, ledger.IgnoreNotFound(err)
	}
	page, err := f.page(ctx, o, from, uint64(limit))
	if err != nil {
		return nil, err
	}
	return treelog.Records(page)
}

// ConsistencyProof proves that the tree of size newer continues the one of size older.
func (f *File) ConsistencyProof(ctx context.Context, name string, older, newer uint64) ([][]byte, error) {
	o, err := f.number(ctx, name)
	if err != nil {
		return nil, err
	}
	return ledger.ProveConsistency(ctx, older, newer, treelog.NodeReader(o, func(ctx context.Context, nodes []treelog.Node) ([]treelog.Bundle, error) {
		return readNodes(nodes, func(n treelog.Node) *sql.Row { return f.db.QueryRowContext(ctx, selectNode, n.First, n.Last) })
	}))
}
