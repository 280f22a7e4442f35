package treelog

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// existing finds an origin that has entries.
func (l *Log[T]) existing(ctx context.Context, name string) (*origin, *tip, error) {
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

func (l *Log[T]) nodeReader(o *origin) ledger.NodeReader { return NodeReader(o.number, l.db.Nodes) }

// Checkpoint implements ledger.Log.
func (l *Log[T]) Checkpoint(ctx context.Context, name string) (ledger.SignedCheckpoint, error) {
	_, t, err := l.existing(ctx, name)
	if err != nil {
		return ledger.SignedCheckpoint{}, err
	}
	return t.checkpoint, nil
}

// Find implements ledger.Log.
func (l *Log[T]) Find(ctx context.Context, name, key string) (ledger.Record, error) {
	o, err := l.origin(ctx, name)
	if err != nil {
		return ledger.Record{}, err
	}
	if o == nil {
		return ledger.Record{}, ledger.ErrNotFound
	}
	stored, err := l.find(ctx, o, key)
	if err != nil {
		return ledger.Record{}, l.failed("find a ledger entry", err)
	}
	if stored == nil {
		return ledger.Record{}, ledger.ErrNotFound
	}
	r, err := stored.record()
	if err == nil && r.Entry.Key != key {
		err = fmt.Errorf("%w: its keys lead to other entries", ledger.ErrCorrupt)
	}
	return r, err
}

func (l *Log[T]) find(ctx context.Context, o *origin, key string) (*Stored, error) {
	id, b, err := l.db.Find(ctx, hashKey(o.number, key))
	if id == 0 && err == nil && o.legacy {
		id, b, err = l.db.Find(ctx, hashKeyBefore(o.number, key))
	}
	if id == 0 || err != nil {
		return nil, err
	}
	found, err := Leaves([]Bundle{b}, id, id+1)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: entry %d is missing", ledger.ErrCorrupt, id&IndexMask)
	}
	if err != nil {
		return nil, err
	}
	return &found[0], nil
}

// Entries implements ledger.Log.
func (l *Log[T]) Entries(ctx context.Context, name string, from uint64, limit int) ([]ledger.Record, error) {
	o, err := l.origin(ctx, name)
	if err != nil || o == nil || from > IndexMask {
		return nil, err
	}
	if limit <= 0 || limit > ledger.MaxPage {
		limit = ledger.MaxPage
	}
	begin, end := Range(o.number, from, uint64(limit))
	page, err := l.db.Page(ctx, begin, end)
	if err != nil {
		return nil, l.failed("read ledger entries", err)
	}
	leaves, err := Leaves(page, begin, end)
	if err != nil {
		return nil, err
	}
	return Records(leaves)
}

// Records reads leaves.
func Records(leaves []Stored) ([]ledger.Record, error) {
	records := make([]ledger.Record, len(leaves))
	for i, stored := range leaves {
		var err error
		if records[i], err = stored.record(); err != nil {
			return nil, err
		}
	}
	return records, nil
}

func (s Stored) record() (ledger.Record, error) {
	index := uint64(s.ID & IndexMask)
	entry, err := ledger.DecodeLeaf(s.Leaf)
	if err != nil {
		return ledger.Record{}, &ledger.TamperedError{From: index, To: index + 1, Problem: err.Error(), Err: ledger.ErrCorrupt}
	}
	return ledger.Record{Index: index, Leaf: s.Leaf, Entry: entry}, nil
}

// InclusionProof implements ledger.Log.
func (l *Log[T]) InclusionProof(ctx context.Context, name string, index, size uint64) ([][]byte, error) {
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
func (l *Log[T]) ConsistencyProof(ctx context.Context, name string, older, newer uint64) ([][]byte, error) {
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
func (l *Log[T]) Check(ctx context.Context, name string, knownSize uint64, knownRoot []byte) error {
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
			return l.failed("check the ledger", err)
		}
	}
	if !bytes.Equal(then.Root(), knownRoot) {
		return ledger.ErrForked
	}
	return nil
}

// Origins implements ledger.Log.
func (l *Log[T]) Origins(ctx context.Context) ([]string, error) {
	names, err := l.db.Origins(ctx)
	if err != nil {
		return nil, l.failed("read origins", err)
	}
	return names, nil
}
