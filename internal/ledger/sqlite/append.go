package ledgersqlite

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
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

// Append implements ledger.Log. A few new entries are one statement that commits by itself, unless others write too.
func (l *Log) Append(ctx context.Context, name string, entries ...ledger.Entry) (ledger.Receipt, error) {
	leaves, err := encode(entries)
	if err != nil || len(leaves) == 0 {
		return ledger.Receipt{}, err
	}
	receipt := &ledger.Receipt{}
	err = l.db.WriteAlone(ctx,
		func(ctx context.Context) (bool, error) { return l.appendAlone(ctx, receipt, name, entries, leaves) },
		func(ctx context.Context, tx *sqlitedb.Tx) error {
			return l.appendTo(ctx, tx, receipt, name, entries, leaves)
		})
	if err != nil {
		return ledger.Receipt{}, translate("append to the ledger", err)
	}
	return *receipt, nil
}

// AppendTx is Append within a transaction of the file. The receipt's checkpoint is signed when the transaction commits; its
// size and root are known at once.
func (l *Log) AppendTx(ctx context.Context, tx *sqlitedb.Tx, name string, entries ...ledger.Entry) (*ledger.Receipt, error) {
	receipt := &ledger.Receipt{}
	leaves, err := encode(entries)
	if err != nil || len(leaves) == 0 {
		return receipt, err
	}
	if err := l.appendTo(ctx, tx, receipt, name, entries, leaves); err != nil {
		return nil, translate("append to the ledger", err)
	}
	return receipt, nil
}

func encode(entries []ledger.Entry) ([][]byte, error) {
	leaves := make([][]byte, len(entries))
	for i, entry := range entries {
		var err error
		if leaves[i], err = ledger.EncodeLeaf(entry); err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

func (o *origin) items(entries []ledger.Entry, leaves [][]byte) []item {
	items := make([]item, len(entries))
	for i := range items {
		items[i] = item{keyHash: hashKey(o.number, entries[i].Key), leaf: leaves[i]}
	}
	return items
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

// appendAlone tries the short way: nobody else writes. It returns false if the statement added nothing.
func (l *Log) appendAlone(ctx context.Context, receipt *ledger.Receipt, name string, entries []ledger.Entry, leaves [][]byte) (bool, error) {
	o, err := l.origin(ctx, name)
	if o == nil || err != nil {
		return false, err
	}
	items := o.items(entries, leaves)
	if !short(items) {
		return false, nil
	}
	t, err := l.currentTip(ctx, o)
	if err != nil {
		return false, err
	}
	rows, tree, indexes := make([]row, len(items)), t.tree, make([]uint64, len(items))
	for i, it := range items {
		indexes[i] = tree.Size()
		if tree, rows[i], err = o.place(tree, it); err != nil {
			return false, err
		}
	}
	next, err := o.seal(tree)
	if err != nil {
		return false, err
	}
	result, err := l.insert[len(rows)-1].ExecContext(ctx, insertArgs(l.db.Epoch(), rows, next.checkpoint.Note)...)
	if err != nil {
		l.setTip(o, nil) // whether it was committed is not known for certain: the next one looks into the file
		return false, err
	}
	if added, err := result.RowsAffected(); err != nil || added == 0 {
		return false, err
	}
	l.setTip(o, next)
	*receipt = ledger.Receipt{Indexes: indexes, Appended: len(rows), Checkpoint: next.checkpoint}
	return true, nil
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

// growth is what a transaction adds to the ledger so far. It is written when the transaction commits, with one checkpoint for
// each origin.
type growth struct {
	tx      *sqlitedb.Tx
	origins map[string]*grown
}

type grown struct {
	*origin
	base     *tip // before the transaction
	tree     ledger.Tree
	rows     []row
	seen     map[string]uint64 // the index by the hash of the key, of what is in rows
	receipts []*ledger.Receipt
	next     *tip
}

// growthOf is that of the transaction; there is one at a time.
func (l *Log) growthOf(tx *sqlitedb.Tx) *growth {
	if l.growth != nil && l.growth.tx == tx {
		return l.growth
	}
	g := &growth{tx: tx, origins: map[string]*grown{}}
	l.growth = g
	tx.BeforeCommit(func(ctx context.Context) error { return l.write(ctx, g) })
	tx.AfterCommit(func(committed bool) { l.publish(g, committed) })
	return g
}

// grownOrigin finds or begins an origin within a transaction.
func (l *Log) grownOrigin(ctx context.Context, tx *sqlitedb.Tx, name string) (*grown, error) {
	g := l.growthOf(tx)
	if o := g.origins[name]; o != nil {
		return o, nil
	}
	o, err := l.origin(ctx, name)
	if err != nil {
		return nil, err
	}
	if o == nil {
		var number int64
		if err := tx.QueryRowContext(ctx, `INSERT INTO origins (name) VALUES (?) RETURNING number`, name).Scan(&number); err != nil {
			return nil, err
		}
		if o, err = l.newOrigin(name, number); err != nil {
			return nil, err
		}
		tx.OnUndo(func() { delete(g.origins, name) })
		g.origins[name] = &grown{origin: o, base: &tip{}, seen: map[string]uint64{}}
		return g.origins[name], nil
	}
	t, err := l.currentTip(ctx, o)
	if err != nil {
		return nil, err
	}
	g.origins[name] = &grown{origin: o, base: t, tree: t.tree, seen: map[string]uint64{}}
	return g.origins[name], nil
}

// appendTo places what is new behind what the transaction has added before.
func (l *Log) appendTo(ctx context.Context, tx *sqlitedb.Tx, receipt *ledger.Receipt, name string, entries []ledger.Entry, leaves [][]byte) error {
	o, err := l.grownOrigin(ctx, tx, name)
	if err != nil {
		return err
	}
	tree, had, receipts := o.tree, len(o.rows), len(o.receipts)
	tx.OnUndo(func() {
		for _, r := range o.rows[had:] {
			delete(o.seen, string(r.keyHash))
		}
		o.tree, o.rows, o.receipts = tree, o.rows[:had], o.receipts[:receipts]
	})
	lookup := tx.StmtContext(ctx, l.keyInTx) //nolint:sqlclosecheck // the transaction closes it
	*receipt = ledger.Receipt{}
	for _, it := range o.items(entries, leaves) {
		index, ok := o.seen[string(it.keyHash)]
		if !ok {
			var id int64
			var leaf []byte
			switch err := lookup.QueryRowContext(ctx, it.keyHash).Scan(&id, &leaf); {
			case err == nil:
				index = uint64(id & indexMask)
			case !errors.Is(err, sql.ErrNoRows):
				return err
			default:
				index = o.tree.Size()
				var r row
				if o.tree, r, err = o.place(o.tree, it); err != nil {
					return err
				}
				o.rows, o.seen[string(it.keyHash)] = append(o.rows, r), index
				receipt.Appended++
			}
		}
		receipt.Indexes = append(receipt.Indexes, index)
	}
	receipt.Checkpoint.Checkpoint = ledger.Checkpoint{OriginLine: o.line, Size: o.tree.Size(), Root: o.tree.Root()}
	o.receipts = append(o.receipts, receipt)
	return nil
}

// write inserts what a transaction adds, with a checkpoint behind the last entry of each origin.
func (l *Log) write(ctx context.Context, g *growth) error {
	for _, o := range g.origins {
		if len(o.rows) > 0 {
			var err error
			if o.next, err = o.seal(o.tree); err != nil {
				return err
			}
			if err := l.insertRows(ctx, g.tx, o.rows, o.next.checkpoint.Note); err != nil {
				return translate("append to the ledger", err)
			}
		}
		for _, r := range o.receipts {
			r.Checkpoint = cmp.Or(o.next, o.base).checkpoint
		}
	}
	return nil
}

// publish makes what was committed known to readers.
func (l *Log) publish(g *growth, committed bool) {
	l.growth = nil
	for name, o := range g.origins {
		switch {
		case !committed:
			l.setTip(o.origin, nil) // not known for certain: the next one looks into the file
		case o.next != nil:
			l.remember(name, o.origin)
			l.setTip(o.origin, o.next)
		}
	}
}

func (l *Log) insertRows(ctx context.Context, tx *sqlitedb.Tx, rows []row, checkpoint []byte) error {
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
