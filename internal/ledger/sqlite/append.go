package ledgersqlite

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// item is an entry on its way into the file.
type item struct {
	keyHash []byte
	leaf    []byte
}

// row is an item at its place.
type row struct {
	item
	id    int64
	nodes []byte
}

// Append implements ledger.Log. A few new entries are one statement that commits by itself.
func (l *Log) Append(ctx context.Context, name string, entries ...ledger.Entry) (ledger.Receipt, error) {
	leaves := make([][]byte, len(entries))
	for i, entry := range entries {
		var err error
		if leaves[i], err = ledger.EncodeLeaf(entry); err != nil {
			return ledger.Receipt{}, err
		}
	}
	if len(entries) == 0 {
		return ledger.Receipt{}, nil
	}
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return ledger.Receipt{}, err
	}
	defer l.turn.Release(1)

	o, err := l.begin(ctx, name)
	if err != nil {
		return ledger.Receipt{}, err
	}
	t, err := l.tipInTurn(ctx, o)
	if err != nil {
		return ledger.Receipt{}, err
	}
	items := make([]item, len(entries))
	for i := range items {
		items[i] = item{keyHash: hashKey(o.number, entries[i].Key), leaf: leaves[i]}
	}
	var receipt ledger.Receipt
	var next *tip
	if short(items) {
		receipt, next, err = l.appendShort(ctx, o, t, items)
	}
	if err == nil && next == nil {
		receipt, next, err = l.appendMany(ctx, o, t, items)
	}
	if err != nil {
		// Whether it was committed is not known for certain: the next one looks into the file.
		l.setTip(o, nil)
		return ledger.Receipt{}, translate("append to the ledger", err)
	}
	l.setTip(o, next)
	return receipt, nil
}

// hashKey is 128 bits of SHA-256: keys are short and made by Lethe, and the index stays small.
func hashKey(origin int64, key string) []byte {
	text := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(key)), uint64(origin))
	sum := sha256.Sum256(append(text, key...))
	return sum[:16]
}

// place puts an item behind a tree.
func (o *origin) place(tree ledger.Tree, it item) (ledger.Tree, row, error) {
	next, nodes, err := tree.With(ledger.LeafHash(it.leaf))
	return next, row{item: it, id: o.id(tree.Size()), nodes: slices.Concat(nodes...)}, err
}

func (o *origin) seal(tree ledger.Tree) (*tip, error) {
	c, err := ledger.Checkpoint{OriginLine: o.line, Size: tree.Size(), Root: tree.Root()}.Sign(o.signer)
	return &tip{tree: tree, checkpoint: c}, err
}

// appendShort tries the short way. It returns no tip if the statement added nothing.
func (l *Log) appendShort(ctx context.Context, o *origin, t *tip, items []item) (ledger.Receipt, *tip, error) {
	var receipt ledger.Receipt
	rows, tree := make([]row, len(items)), t.tree
	for i, it := range items {
		var err error
		receipt.Indexes = append(receipt.Indexes, tree.Size())
		if tree, rows[i], err = o.place(tree, it); err != nil {
			return ledger.Receipt{}, nil, err
		}
	}
	next, err := o.seal(tree)
	if err != nil {
		return ledger.Receipt{}, nil, err
	}
	// Not to be interrupted, so that its outcome is known. Nobody else is on the connection: this is our turn.
	result, err := l.insert[len(rows)-1].ExecContext(context.WithoutCancel(ctx), insertArgs(l.db.Epoch(), rows, next.checkpoint.Note)...)
	if err != nil {
		return ledger.Receipt{}, nil, err
	}
	if added, err := result.RowsAffected(); err != nil || added == 0 {
		return ledger.Receipt{}, nil, err
	}
	receipt.Appended, receipt.Checkpoint = len(rows), next.checkpoint
	return receipt, next, nil
}

// short tells whether one statement may add the items: they are few, and no two are the same.
func short(items []item) bool {
	if len(items) > maxShort {
		return false
	}
	for i, it := range items {
		if slices.ContainsFunc(items[:i], func(before item) bool { return bytes.Equal(before.keyHash, it.keyHash) }) {
			return false
		}
	}
	return true
}

// appendMany adds what is new in one transaction, which also finds out about the epoch.
func (l *Log) appendMany(ctx context.Context, o *origin, t *tip, items []item) (ledger.Receipt, *tip, error) {
	var receipt ledger.Receipt
	next := t
	err := l.db.Write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var rows []row
		var err error
		tree := t.tree
		receipt.Indexes, rows, tree, err = l.placeNew(ctx, tx, o, tree, items)
		if err != nil || len(rows) == 0 {
			return err
		}
		if next, err = o.seal(tree); err != nil {
			return err
		}
		receipt.Appended = len(rows)
		return l.insertRows(ctx, tx, rows, next.checkpoint.Note)
	})
	receipt.Checkpoint = next.checkpoint
	return receipt, next, err
}

// placeNew finds the index of each item: where it is already, or its place behind the tree.
func (l *Log) placeNew(ctx context.Context, tx *sql.Tx, o *origin, tree ledger.Tree, items []item) (
	indexes []uint64, rows []row, grown ledger.Tree, err error,
) {
	lookup := tx.StmtContext(ctx, l.keyInTx) //nolint:sqlclosecheck // the transaction closes it
	seen := make(map[string]uint64, len(items))
	for _, it := range items {
		index, ok := seen[string(it.keyHash)]
		if !ok {
			var id int64
			var leaf []byte
			switch err := lookup.QueryRowContext(ctx, it.keyHash).Scan(&id, &leaf); {
			case err == nil:
				index = uint64(id & indexMask)
			case !errors.Is(err, sql.ErrNoRows):
				return nil, nil, tree, err
			default:
				index = tree.Size()
				var r row
				if tree, r, err = o.place(tree, it); err != nil {
					return nil, nil, tree, err
				}
				rows = append(rows, r)
			}
			seen[string(it.keyHash)] = index
		}
		indexes = append(indexes, index)
	}
	return indexes, rows, tree, nil
}

func (l *Log) insertRows(ctx context.Context, tx *sql.Tx, rows []row, checkpoint []byte) error {
	for part := range slices.Chunk(rows, maxShort) {
		insert := tx.StmtContext(ctx, l.insert[len(part)-1]) //nolint:sqlclosecheck // the transaction closes it
		var text []byte
		if part[len(part)-1].id == rows[len(rows)-1].id {
			text = checkpoint
		}
		result, err := insert.ExecContext(ctx, insertArgs(l.db.Epoch(), part, text)...)
		if err != nil {
			return err
		}
		// Epoch and key were looked at in this transaction, so it is the entry before that is missing.
		if added, err := result.RowsAffected(); err != nil || added == 0 {
			return errors.Join(err, fmt.Errorf("%w: its last entry is gone", ledger.ErrCorrupt))
		}
	}
	return nil
}
