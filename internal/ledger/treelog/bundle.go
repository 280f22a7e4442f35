package treelog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/bits"

	"github.com/transparency-dev/merkle/compact"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// BundleSize is how many entries a bundle may have: whoever reads one of them reads all.
const BundleSize = 64

// Bundle is what the database has as one row: entries that were appended together, one behind the other.
type Bundle struct {
	// ID of the first entry.
	ID int64
	// Entries is how many there are.
	Entries int
	// Leaves are their canonical texts with a newline between them, which a canonical text has not; as a Zstandard frame if they are
	// long (see pack).
	Leaves []byte
	// Nodes are 32 bytes for each complete subtree that ends within the bundle and begins before it, in the order in which entries
	// completed them, for each entry from the smallest subtree upwards. What begins within the bundle is hashed from the leaves.
	Nodes []byte
	// Checkpoint is the signed one where an append ends, else nil.
	Checkpoint []byte
}

// NewBundle is a bundle with the hashes of its keys, by which a database finds its entries.
type NewBundle struct {
	Bundle
	Keys []KeyHash
}

// First tells whether a bundle begins its tree: none is before it.
func (b Bundle) First() bool { return b.ID&IndexMask == 0 }

// bundles puts rows that follow one another into bundles, the last one with the checkpoint.
func bundles(rows []row, checkpoint []byte) []NewBundle {
	var list []NewBundle
	for len(rows) > 0 {
		n := min(len(rows), BundleSize)
		b := NewBundle{Bundle: Bundle{ID: rows[0].id, Entries: n, Nodes: []byte{}}, Keys: make([]KeyHash, n)}
		size := n
		for _, r := range rows[:n] {
			size += len(r.leaf)
		}
		texts := make([]byte, 0, size)
		for i, r := range rows[:n] {
			if i > 0 {
				texts = append(texts, '\n')
			}
			b.Keys[i], texts = r.key, append(texts, r.leaf...)
			for _, hash := range r.nodes[min(levelBefore(i), len(r.nodes)):] {
				b.Nodes = append(b.Nodes, hash...)
			}
		}
		b.Leaves = pack(texts)
		list, rows = append(list, b), rows[n:]
	}
	list[len(list)-1].Checkpoint = checkpoint
	return list
}

// levelBefore is the least level at which a subtree that ends with the entry at a place of a bundle begins before the bundle.
func levelBefore(place int) int { return bits.Len64(uint64(place) + 1) }

// leaves are the texts of the entries.
func (b Bundle) leaves() ([][]byte, error) {
	texts, err := unpack(b.Leaves)
	if err != nil {
		return nil, b.corrupt("the store has no readable texts for them: " + err.Error())
	}
	leaves := bytes.Split(texts, []byte{'\n'})
	if len(leaves) != b.Entries {
		return nil, b.corrupt(fmt.Sprintf("the store has %d texts for them", len(leaves)))
	}
	return leaves, nil
}

func (b Bundle) corrupt(problem string) error {
	from := uint64(b.ID & IndexMask)
	return &ledger.TamperedError{From: from, To: from + uint64(b.Entries), Err: ledger.ErrCorrupt, Problem: problem}
}

// Leaves are the texts of those entries of bundles that are in a range of ids.
func Leaves(list []Bundle, from, to int64) ([]Stored, error) {
	var stored []Stored
	for _, b := range list {
		leaves, err := b.leaves()
		if err != nil {
			return nil, err
		}
		for i, leaf := range leaves {
			if id := b.ID + int64(i); from <= id && id < to {
				stored = append(stored, Stored{ID: id, Leaf: leaf})
			}
		}
	}
	return stored, nil
}

// Node is a complete subtree, by the ids of its first and its last entry.
type Node struct{ First, Last int64 }

// level of the subtree.
func (n Node) level() int { return bits.Len64(uint64(n.Last - n.First)) }

// hash finds a subtree's hash in the bundle that has its last entry; nil if it is not there.
func (b Bundle) hash(n Node) ([]byte, error) {
	if n.Last < b.ID || n.Last >= b.ID+int64(b.Entries) {
		return nil, nil
	}
	if n.First >= b.ID {
		leaves, err := b.leaves()
		if err != nil {
			return nil, err
		}
		return ledger.RootOf(leaves[n.First-b.ID : n.Last-b.ID+1]), nil
	}
	last := int(n.Last - b.ID)
	at := n.level() - levelBefore(last)
	for place := range last {
		at += max(0, bits.TrailingZeros64(uint64(b.ID&IndexMask)+uint64(place)+1)+1-levelBefore(place))
	}
	if at *= sha256.Size; at+sha256.Size > len(b.Nodes) {
		return nil, nil
	}
	return b.Nodes[at : at+sha256.Size], nil
}

// NodeReader reads hashes of an origin's tree out of its bundles. For each node read returns the bundle that has its last entry, or
// one before it if that is missing: with leaves if the subtree begins within that bundle, else with nodes.
func NodeReader(origin int64, read func(ctx context.Context, nodes []Node) ([]Bundle, error)) ledger.NodeReader {
	return func(ctx context.Context, ids []compact.NodeID) ([][]byte, error) {
		nodes := make([]Node, len(ids))
		for i, id := range ids {
			nodes[i] = Node{First: ID(origin, id.Index<<id.Level), Last: ID(origin, ledger.CompletedBy(id))}
		}
		found, err := read(ctx, nodes)
		if err != nil {
			return nil, err
		}
		hashes := make([][]byte, len(ids))
		for i, id := range ids {
			if hashes[i], err = found[i].hash(nodes[i]); err != nil {
				return nil, err
			}
			if hashes[i] == nil {
				return nil, fmt.Errorf("%w: node %d of level %d is missing", ledger.ErrCorrupt, id.Index, id.Level)
			}
		}
		return hashes, nil
	}
}
