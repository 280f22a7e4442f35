package ledgersqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/compact"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// existing finds an origin that has entries.
func (l *Log) existing(ctx context.Context, name string) (*origin, *tip, error) {
	o, err := l.origin(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	if o == nil {
		return nil, nil, fmt.Errorf("origin %s: %w", name, ledger.ErrNotFound)
	}
	t, err := l.currentTip(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	if t.tree.Size() == 0 {
		return nil, nil, fmt.Errorf("origin %s: %w", name, ledger.ErrNotFound)
	}
	return o, t, nil
}

// nodeReader reads subtrees' hashes: each is in the row of the entry that completed it, at the place of its level.
func (l *Log) nodeReader(o *origin) ledger.NodeReader {
	return func(ctx context.Context, ids []compact.NodeID) ([][]byte, error) {
		hashes := make([][]byte, len(ids))
		for i, id := range ids {
			offset := int64(id.Level)*sha256.Size + 1
			err := l.node.QueryRowContext(ctx, offset, o.id(ledger.CompletedBy(id))).Scan(&hashes[i])
			if errors.Is(err, sql.ErrNoRows) || err == nil && len(hashes[i]) != sha256.Size {
				return nil, fmt.Errorf("%w: node %d of level %d is missing", ledger.ErrCorrupt, id.Index, id.Level)
			}
			if err != nil {
				return nil, err
			}
		}
		return hashes, nil
	}
}

// Checkpoint implements ledger.Log.
func (l *Log) Checkpoint(ctx context.Context, name string) (ledger.SignedCheckpoint, error) {
	_, t, err := l.existing(ctx, name)
	if err != nil {
		return ledger.SignedCheckpoint{}, err
	}
	return t.checkpoint, nil
}

// Find implements ledger.Log.
func (l *Log) Find(ctx context.Context, name, key string) (ledger.Record, error) {
	o, err := l.origin(ctx, name)
	if err != nil {
		return ledger.Record{}, err
	}
	if o == nil {
		return ledger.Record{}, ledger.ErrNotFound
	}
	var id int64
	var leaf []byte
	err = l.key.QueryRowContext(ctx, hashKey(o.number, key)).Scan(&id, &leaf)
	if errors.Is(err, sql.ErrNoRows) {
		return ledger.Record{}, ledger.ErrNotFound
	}
	if err != nil {
		return ledger.Record{}, translate("find a ledger entry", err)
	}
	return record(id, leaf)
}

// Entries implements ledger.Log.
func (l *Log) Entries(ctx context.Context, name string, from uint64, limit int) ([]ledger.Record, error) {
	o, err := l.origin(ctx, name)
	if err != nil || o == nil || from > indexMask {
		return nil, err
	}
	if limit <= 0 || limit > ledger.MaxPage {
		limit = ledger.MaxPage
	}
	rows, err := l.page.QueryContext(ctx, o.id(from), o.id(indexMask), limit)
	if err != nil {
		return nil, translate("read ledger entries", err)
	}
	defer func() { _ = rows.Close() }()
	var records []ledger.Record
	for rows.Next() {
		var id int64
		var leaf []byte
		if err := rows.Scan(&id, &leaf); err != nil {
			return nil, translate("read ledger entries", err)
		}
		r, err := record(id, leaf)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	if err := rows.Err(); err != nil {
		return nil, translate("read ledger entries", err)
	}
	return records, nil
}

func record(id int64, leaf []byte) (ledger.Record, error) {
	index := uint64(id & indexMask)
	entry, err := ledger.DecodeLeaf(leaf)
	if err != nil {
		return ledger.Record{}, fmt.Errorf("%w: entry %d: %w", ledger.ErrCorrupt, index, err)
	}
	return ledger.Record{Index: index, Leaf: leaf, Entry: entry}, nil
}

// InclusionProof implements ledger.Log.
func (l *Log) InclusionProof(ctx context.Context, name string, index, size uint64) ([][]byte, error) {
	o, t, err := l.existing(ctx, name)
	if err != nil {
		return nil, err
	}
	if size > t.tree.Size() {
		return nil, fmt.Errorf("size %d: %w", size, ledger.ErrNotFound)
	}
	return ledger.ProveInclusion(ctx, index, size, l.nodeReader(o))
}

// ConsistencyProof implements ledger.Log.
func (l *Log) ConsistencyProof(ctx context.Context, name string, older, newer uint64) ([][]byte, error) {
	o, t, err := l.existing(ctx, name)
	if err != nil {
		return nil, err
	}
	if newer > t.tree.Size() {
		return nil, fmt.Errorf("size %d: %w", newer, ledger.ErrNotFound)
	}
	return ledger.ProveConsistency(ctx, older, newer, l.nodeReader(o))
}

// Check implements ledger.Log.
func (l *Log) Check(ctx context.Context, name string, knownSize uint64, knownRoot []byte) error {
	if knownSize == 0 {
		return nil // every log continues the empty one
	}
	o, t, err := l.existing(ctx, name)
	if errors.Is(err, ledger.ErrNotFound) {
		return ledger.ErrTruncated
	}
	if err != nil {
		return err
	}
	if knownSize > t.tree.Size() {
		return ledger.ErrTruncated
	}
	then := t.tree
	if knownSize < then.Size() {
		if then, err = ledger.LoadTree(ctx, knownSize, l.nodeReader(o)); err != nil {
			return translate("check the ledger", err)
		}
	}
	if !bytes.Equal(then.Root(), knownRoot) {
		return ledger.ErrForked
	}
	return nil
}

// Origins implements ledger.Log.
func (l *Log) Origins(ctx context.Context) ([]string, error) {
	rows, err := l.db.Reader.QueryContext(ctx, selectOrigins)
	if err != nil {
		return nil, translate("read origins", err)
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, translate("read origins", err)
		}
		names = append(names, name)
	}
	return names, rows.Err()
}
