package ledger

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// TamperedError says what does not hold and between which entries: From is the first that may be affected, To the one
// after the last.
type TamperedError struct {
	From, To uint64
	Problem  string
	Err      error // ErrTruncated, ErrForked, ErrCorrupt or ErrBadCheckpoint
}

func (e *TamperedError) Error() string {
	return fmt.Sprintf("entries %d to %d: %s", e.From, e.To, e.Problem)
}
func (e *TamperedError) Unwrap() error { return e.Err }

// Evidence is what a verifier has.
type Evidence struct {
	// OriginLine is the full name of the origin.
	OriginLine string
	// Verifier is the log's public key for that origin.
	Verifier note.Verifier
	// Current is the signed checkpoint that covers the records.
	Current []byte
	// Earlier are checkpoints kept elsewhere, ascending by size. Without one, a log that its owner wrote anew from the
	// beginning cannot be told from the first.
	Earlier []Checkpoint
}

// VerifyRecords recomputes the tree from all records of a log, from index 0 on, and holds it against the evidence. It
// needs nothing else: no store and no key but the public one. Memory does not grow with the number of records.
func VerifyRecords(evidence Evidence, records iter.Seq2[Record, error]) error {
	current, err := OpenCheckpoint(evidence.Current, evidence.OriginLine, evidence.Verifier)
	if err != nil {
		return &TamperedError{Problem: "the checkpoint is not signed with the log's key", Err: err}
	}
	known, err := knownStates(evidence, current.Checkpoint)
	if err != nil {
		return err
	}
	var tree Tree
	from := uint64(0) // everything before it is confirmed
	confirm := func() error {
		for len(known) > 0 && known[0].Size == tree.size {
			if !bytes.Equal(tree.Root(), known[0].Root) {
				return &TamperedError{from, tree.size, "they are not the ones that the checkpoint stands for", ErrForked}
			}
			from, known = tree.size, known[1:]
		}
		return nil
	}
	if err := confirm(); err != nil {
		return err
	}
	for record, err := range records {
		if err != nil {
			return err
		}
		if tree.size == current.Size {
			return &TamperedError{tree.size, tree.size + 1, "the checkpoint covers fewer entries", ErrCorrupt}
		}
		if tree, err = addRecord(tree, record); err != nil {
			return err
		}
		if err := confirm(); err != nil {
			return err
		}
	}
	if tree.size != current.Size {
		return &TamperedError{tree.size, current.Size, "they are missing", ErrTruncated}
	}
	return nil
}

// knownStates puts the earlier checkpoints and the current one in a row.
func knownStates(evidence Evidence, current Checkpoint) ([]Checkpoint, error) {
	var size uint64
	for _, c := range evidence.Earlier {
		if c.OriginLine != evidence.OriginLine || c.Size < size {
			return nil, fmt.Errorf("%w: the earlier ones must be of the same origin and ascending", ErrBadCheckpoint)
		}
		size = c.Size
		if c.Size > current.Size {
			return nil, &TamperedError{current.Size, c.Size, "an earlier checkpoint covers more entries", ErrTruncated}
		}
	}
	return append(append([]Checkpoint{}, evidence.Earlier...), current), nil
}

func addRecord(tree Tree, record Record) (Tree, error) {
	at := tree.size
	if record.Index != at {
		return tree, &TamperedError{at, at + 1, "an entry is missing or out of its place", ErrCorrupt}
	}
	if _, err := DecodeLeaf(record.Leaf); err != nil {
		return tree, &TamperedError{at, at + 1, "the entry is not in canonical form", ErrCorrupt}
	}
	next, _ := tree.With(LeafHash(record.Leaf))
	return next, nil
}

// VerifyInclusion checks that a leaf is in the log at its index.
func VerifyInclusion(c Checkpoint, index uint64, leaf []byte, hashes [][]byte) error {
	err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, c.Size, LeafHash(leaf), hashes, c.Root)
	if err != nil {
		return &TamperedError{index, index + 1, "the proof does not show that the checkpoint covers the entry", ErrForked}
	}
	return nil
}

// VerifyConsistency checks that the newer checkpoint continues the older one.
func VerifyConsistency(older, newer Checkpoint, hashes [][]byte) error {
	if older.OriginLine != newer.OriginLine {
		return fmt.Errorf("%w: the checkpoints are of two origins", ErrBadCheckpoint)
	}
	if older.Size > newer.Size {
		return &TamperedError{newer.Size, older.Size, "the older checkpoint covers more entries", ErrTruncated}
	}
	if older.Size == 0 && !bytes.Equal(older.Root, Tree{}.Root()) {
		return &TamperedError{0, 0, "the empty tree has another root", ErrForked}
	}
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, newer.Size, hashes, older.Root, newer.Root)
	if err != nil {
		return &TamperedError{0, older.Size, "the newer checkpoint does not continue the older one", ErrForked}
	}
	return nil
}
