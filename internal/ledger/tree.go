package ledger

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// NodeReader reads hashes of complete subtrees from a store.
type NodeReader func(ctx context.Context, ids []compact.NodeID) ([][]byte, error)

var ranges = compact.RangeFactory{Hash: hashChildren}

// LeafHash is the RFC 6962 hash of a leaf. Like hashChildren it is what rfc6962.DefaultHasher computes, in half the time.
func LeafHash(leaf []byte) []byte {
	var buffer [1024]byte
	buffer[0] = rfc6962.RFC6962LeafHashPrefix
	sum := sha256.Sum256(append(buffer[:1], leaf...))
	return sum[:]
}

// hashChildren is the RFC 6962 hash of an inner node.
func hashChildren(left, right []byte) []byte {
	var buffer [1 + 2*sha256.Size]byte
	buffer[0] = rfc6962.RFC6962NodeHashPrefix
	copy(buffer[1:], left)
	copy(buffer[1+sha256.Size:], right)
	sum := sha256.Sum256(buffer[:])
	return sum[:]
}

// Tree is the right edge of a Merkle tree, all that appending needs. It is a value: With returns a new one.
type Tree struct {
	size   uint64
	hashes [][]byte
}

// LoadTree reads the edge of a tree of the given size.
func LoadTree(ctx context.Context, size uint64, read NodeReader) (Tree, error) {
	hashes, err := read(ctx, compact.RangeNodes(0, size, nil))
	if err != nil {
		return Tree{}, err
	}
	if len(hashes) != compact.RangeSize(0, size) {
		return Tree{}, fmt.Errorf("%w: nodes are missing", ErrCorrupt)
	}
	return Tree{size: size, hashes: hashes}, nil
}

// Size is the number of leaves.
func (t Tree) Size() uint64 { return t.size }

// Root is the RFC 6962 tree head.
func (t Tree) Root() []byte {
	if t.size == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	r, err := ranges.NewRange(0, t.size, slices.Clone(t.hashes))
	if err != nil {
		panic("ledger: a tree without its nodes") // LoadTree and With keep this from happening
	}
	root, err := r.GetRootHash(nil)
	if err != nil {
		panic("ledger: a tree that does not begin at zero")
	}
	return root
}

// With appends a leaf's hash. It returns the new tree and the hashes of the subtrees that the leaf completes, from the
// leaf itself upwards: node (level, index) is completed by leaf CompletedBy(node), at place level of that list.
func (t Tree) With(leafHash []byte) (Tree, [][]byte) {
	left, nodes := len(t.hashes), [][]byte{leafHash}
	for size := t.size; size&1 == 1; size >>= 1 {
		left--
		nodes = append(nodes, hashChildren(t.hashes[left], nodes[len(nodes)-1]))
	}
	hashes := make([][]byte, left+1)
	copy(hashes, t.hashes[:left])
	hashes[left] = nodes[len(nodes)-1]
	return Tree{size: t.size + 1, hashes: hashes}, nodes
}

// RootOf is the hash of the subtree of leaves that follow one another.
func RootOf(leaves [][]byte) []byte {
	var tree Tree
	for _, leaf := range leaves {
		tree, _ = tree.With(LeafHash(leaf))
	}
	return tree.Root()
}

// CompletedBy is the index of the leaf with which a subtree became complete.
func CompletedBy(id compact.NodeID) uint64 { return (id.Index+1)<<id.Level - 1 }

// ProveInclusion builds an inclusion proof.
func ProveInclusion(ctx context.Context, index, size uint64, read NodeReader) ([][]byte, error) {
	nodes, err := proof.Inclusion(index, size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return prove(ctx, nodes, read)
}

// ProveConsistency builds a consistency proof.
func ProveConsistency(ctx context.Context, older, newer uint64, read NodeReader) ([][]byte, error) {
	nodes, err := proof.Consistency(older, newer)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return prove(ctx, nodes, read)
}

func prove(ctx context.Context, nodes proof.Nodes, read NodeReader) ([][]byte, error) {
	hashes, err := read(ctx, nodes.IDs)
	if err != nil {
		return nil, err
	}
	return nodes.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
}
