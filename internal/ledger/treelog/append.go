package treelog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// Append implements ledger.Log. New entries are one statement that commits by itself, unless they are many or others write
// too.
func (l *Log[T]) Append(ctx context.Context, name string, entries ...ledger.Entry) (ledger.Receipt, error) {
	leaves, err := encode(entries)
	if err != nil || len(leaves) == 0 {
		return ledger.Receipt{}, err
	}
	receipt := &ledger.Receipt{}
	err = l.db.WriteAlone(ctx,
		func(ctx context.Context) (bool, error) { return l.appendAlone(ctx, receipt, name, entries, leaves) },
		func(ctx context.Context, tx T) error { return l.appendTo(ctx, tx, receipt, name, entries, leaves) })
	if err != nil {
		return ledger.Receipt{}, l.failed("append to the ledger", err)
	}
	return *receipt, nil
}

// AppendTx is Append within a transaction of the database. The receipt's checkpoint is signed when the transaction commits;
// its size and root are known at once.
func (l *Log[T]) AppendTx(ctx context.Context, tx T, name string, entries ...ledger.Entry) (*ledger.Receipt, error) {
	receipt := &ledger.Receipt{}
	leaves, err := encode(entries)
	if err != nil || len(leaves) == 0 {
		return receipt, err
	}
	if err := l.appendTo(ctx, tx, receipt, name, entries, leaves); err != nil {
		return nil, l.failed("append to the ledger", err)
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

func (o *origin) keys(entries []ledger.Entry) []KeyHash {
	keys := make([]KeyHash, len(entries))
	for i := range entries {
		keys[i] = hashKey(o.number, entries[i].Key)
	}
	return keys
}

// hashKey makes the keys of one request, which begin with its handle, neighbours, and those of requests of the same time: a random
// place for each would touch as many pages of the index as an append has entries.
func hashKey(origin int64, key string) (hash KeyHash) {
	text := append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+256), uint64(origin)), key...)
	sum := sha256.Sum256(text)
	first, _, cut := strings.Cut(key, "/")
	at, timed := ledger.HandleTime(first)
	switch {
	case timed:
		copy(hash[copy(hash[:], at[:]):], sum[:])
	case cut:
		begin := sha256.Sum256(text[:8+len(first)])
		copy(hash[copy(hash[:], begin[:placeSize]):], sum[:])
	default:
		copy(hash[:placeSize], sum[:])
		copy(hash[placeSize:], sum[:])
	}
	return hash
}

// hashKeyBefore is how the first entries of a legacy origin were hashed.
func hashKeyBefore(origin int64, key string) (hash KeyHash) {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+256), uint64(origin)), key...))
	copy(hash[:], sum[:])
	return hash
}

// known tells the ids of the keys that an origin has.
func (l *Log[T]) known(ctx context.Context, tx T, o *origin, entries []ledger.Entry, keys []KeyHash) (map[KeyHash]int64, error) {
	known, err := l.db.Known(ctx, tx, keys)
	if err != nil || !o.legacy {
		return known, err
	}
	before := make([]KeyHash, len(keys))
	for i := range entries {
		before[i] = hashKeyBefore(o.number, entries[i].Key)
	}
	old, err := l.db.Known(ctx, tx, before)
	if err != nil {
		return nil, err
	}
	for i, key := range keys {
		if id, ok := old[before[i]]; ok {
			known[key] = id
		}
	}
	return known, nil
}

// row is an entry at its place.
type row struct {
	id   int64
	key  KeyHash
	leaf []byte
	// nodes are the hashes of the complete subtrees that end with this entry, from the leaf's own upwards.
	nodes [][]byte
}

// place puts an entry behind a tree.
func (o *origin) place(tree ledger.Tree, key KeyHash, leaf []byte) (ledger.Tree, row) {
	next, nodes := tree.With(ledger.LeafHash(leaf))
	return next, row{id: o.id(tree.Size()), key: key, leaf: leaf, nodes: nodes}
}

func (o *origin) seal(tree ledger.Tree) (*tip, error) {
	c, err := ledger.Checkpoint{OriginLine: o.line, Size: tree.Size(), Root: tree.Root()}.Sign(o.signer)
	return &tip{tree: tree, checkpoint: c}, err
}

// appendAlone tries the short way: nobody else writes. It returns false if the statement added nothing.
func (l *Log[T]) appendAlone(ctx context.Context, receipt *ledger.Receipt, name string, entries []ledger.Entry, leaves [][]byte) (bool, error) {
	if len(entries) > BundleSize {
		return false, nil
	}
	o, err := l.origin(ctx, name)
	if o == nil || o.legacy || err != nil {
		return false, err
	}
	keys := o.keys(entries)
	if repeats(keys) {
		return false, nil
	}
	t, err := l.currentTip(ctx, o)
	if err != nil || len(t.rotations) > 0 {
		return false, err
	}
	rows, tree, indexes := make([]row, len(keys)), t.tree, make([]uint64, len(keys))
	for i, key := range keys {
		indexes[i] = tree.Size()
		tree, rows[i] = o.place(tree, key, leaves[i])
	}
	next, err := o.seal(tree)
	if err != nil {
		return false, err
	}
	added, err := l.db.InsertAlone(ctx, bundles(rows, next.checkpoint.Note)[0])
	if err != nil {
		l.forget(o)
		return false, err
	}
	if !added {
		return false, nil
	}
	l.committed(o, next)
	*receipt = ledger.Receipt{Indexes: indexes, Appended: len(rows), Checkpoint: next.checkpoint}
	return true, nil
}

// repeats tells whether a key is there twice.
func repeats(keys []KeyHash) bool {
	if len(keys) == 1 {
		return false
	}
	seen := make(map[KeyHash]struct{}, len(keys))
	for _, key := range keys {
		seen[key] = struct{}{}
	}
	return len(seen) < len(keys)
}

// growth is what a transaction adds to the ledger so far. It is written when the transaction commits, with one checkpoint for
// each origin.
type growth[T Tx] struct {
	tx      T
	origins map[string]*grown
}

type grown struct {
	*origin
	base     *tip // before the transaction
	tree     ledger.Tree
	rows     []row
	seen     map[KeyHash]uint64 // the index by the hash of the key, of what is in rows
	receipts []*ledger.Receipt
	next     *tip
	rotated  bool // the entries of rotations are among the rows
}

// growthOf is that of the transaction; there is one at a time.
func (l *Log[T]) growthOf(tx T) *growth[T] {
	if l.growth != nil && l.growth.tx == tx {
		return l.growth
	}
	g := &growth[T]{tx: tx, origins: map[string]*grown{}}
	l.growth = g
	tx.BeforeCommit(func(ctx context.Context) error { return l.write(ctx, g) })
	tx.AfterCommit(func(committed bool) { l.publish(g, committed) })
	return g
}

// grownOrigin finds or begins an origin within a transaction.
func (l *Log[T]) grownOrigin(ctx context.Context, tx T, name string) (*grown, error) {
	g := l.growthOf(tx)
	if o := g.origins[name]; o != nil {
		return o, nil
	}
	o, err := l.origin(ctx, name)
	if err != nil {
		return nil, err
	}
	if o == nil {
		number, err := l.db.AddOrigin(ctx, tx, name)
		if err != nil {
			return nil, err
		}
		if o, err = l.newOrigin(name, number); err != nil {
			return nil, err
		}
		tx.OnUndo(func() { delete(g.origins, name) })
		g.origins[name] = &grown{origin: o, base: &tip{}, seen: map[KeyHash]uint64{}}
		return g.origins[name], nil
	}
	t, err := l.currentTip(ctx, o)
	if err != nil {
		return nil, err
	}
	g.origins[name] = &grown{origin: o, base: t, tree: t.tree, seen: map[KeyHash]uint64{}}
	return g.origins[name], nil
}

// appendTo places what is new behind what the transaction has added before.
func (l *Log[T]) appendTo(ctx context.Context, tx T, receipt *ledger.Receipt, name string, entries []ledger.Entry, leaves [][]byte) error {
	o, err := l.grownOrigin(ctx, tx, name)
	if err != nil {
		return err
	}
	tree, had, receipts, rotated := o.tree, len(o.rows), len(o.receipts), o.rotated
	tx.OnUndo(func() {
		for _, r := range o.rows[had:] {
			delete(o.seen, r.key)
		}
		o.tree, o.rows, o.receipts, o.rotated = tree, o.rows[:had], o.receipts[:receipts], rotated
	})
	if err := o.rotate(entries[0].Time); err != nil {
		return err
	}
	keys := o.keys(entries)
	known, err := l.known(ctx, tx, o.origin, entries, keys)
	if err != nil {
		return err
	}
	*receipt = ledger.Receipt{Indexes: make([]uint64, len(keys))}
	for i, key := range keys {
		if id, ok := known[key]; ok {
			receipt.Indexes[i] = uint64(id & IndexMask)
			continue
		}
		if index, ok := o.seen[key]; ok {
			receipt.Indexes[i] = index
			continue
		}
		receipt.Indexes[i], o.seen[key] = o.tree.Size(), o.tree.Size()
		var r row
		o.tree, r = o.place(o.tree, key, leaves[i])
		o.rows = append(o.rows, r)
		receipt.Appended++
	}
	receipt.Checkpoint.Checkpoint = ledger.Checkpoint{OriginLine: o.line, Size: o.tree.Size(), Root: o.tree.Root()}
	o.receipts = append(o.receipts, receipt)
	return nil
}

// rotate places what the log has to say of its keys in front of everything that another key signs.
func (o *grown) rotate(at time.Time) error {
	if o.rotated {
		return nil
	}
	o.rotated = true
	for _, rotation := range o.base.rotations {
		entry := rotation.Entry(at)
		leaf, err := ledger.EncodeLeaf(entry)
		if err != nil {
			return err
		}
		var r row
		key := hashKey(o.number, entry.Key)
		o.seen[key] = o.tree.Size()
		o.tree, r = o.place(o.tree, key, leaf)
		o.rows = append(o.rows, r)
	}
	return nil
}

// write inserts what a transaction adds, with a checkpoint behind the last entry of each origin.
func (l *Log[T]) write(ctx context.Context, g *growth[T]) error {
	for _, o := range g.origins {
		if len(o.rows) > 0 {
			var err error
			if o.next, err = o.seal(o.tree); err != nil {
				return err
			}
			if err := l.db.Insert(ctx, g.tx, bundles(o.rows, o.next.checkpoint.Note)); err != nil {
				return l.failed("append to the ledger", err)
			}
		}
		for _, r := range o.receipts {
			r.Checkpoint = cmp.Or(o.next, o.base).checkpoint
		}
	}
	return nil
}

// publish makes what was committed known to readers.
func (l *Log[T]) publish(g *growth[T], committed bool) {
	l.growth = nil
	for name, o := range g.origins {
		switch {
		case !committed:
			l.forget(o.origin)
		case o.next != nil:
			l.remember(name, o.origin)
			l.committed(o.origin, o.next)
		}
	}
}
