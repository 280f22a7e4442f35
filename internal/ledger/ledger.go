// Package ledger is the append-only, tamper-evident record of what was done. Each origin, that is each workspace, has a
// Merkle tree of its own (RFC 6962) over canonical JSON entries, with signed checkpoints (C2SP tlog-checkpoint). Entries
// hold handles, counts, times, reasons and actors, never a person.
//
// This package has the interface and everything pure: encoding, tree, signatures, verification. Stores live below it.
package ledger

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrNotFound means that the origin, entry or checkpoint does not exist.
	ErrNotFound = errors.New("not in the ledger")
	// ErrTruncated means that the log is shorter than a checkpoint that is known of it.
	ErrTruncated = errors.New("the ledger is shorter than a known checkpoint")
	// ErrForked means that the log does not continue a checkpoint that is known of it.
	ErrForked = errors.New("the ledger does not continue a known checkpoint")
	// ErrCorrupt means that what the store holds does not fit together.
	ErrCorrupt = errors.New("the ledger's store is damaged")
	// ErrStaleEpoch means that another process has opened the ledger since.
	ErrStaleEpoch = errors.New("the ledger was opened by another process since: this one may no longer append")
	// ErrWrongKey means that the ledger's last checkpoint was signed with another key.
	ErrWrongKey = errors.New("the ledger was signed with another key")
)

// Log is a ledger. All methods are safe for concurrent use.
type Log interface {
	// Append adds entries in their order, all or none, and is durable when it returns. Entries whose Key the origin has
	// already are not added again; the receipt names their indexes. An origin begins with its first entry.
	Append(ctx context.Context, origin string, entries ...Entry) (Receipt, error)
	// Find returns the entry with the idempotency key, or ErrNotFound.
	Find(ctx context.Context, origin, key string) (Record, error)
	// Entries returns up to limit entries (MaxPage at most) from the index on; none at the end.
	Entries(ctx context.Context, origin string, from uint64, limit int) ([]Record, error)
	// Checkpoint returns the newest signed checkpoint, or ErrNotFound.
	Checkpoint(ctx context.Context, origin string) (SignedCheckpoint, error)
	// InclusionProof proves that the entry at index is in the tree of the given size.
	InclusionProof(ctx context.Context, origin string, index, size uint64) ([][]byte, error)
	// ConsistencyProof proves that the tree of size newer continues the one of size older.
	ConsistencyProof(ctx context.Context, origin string, older, newer uint64) ([][]byte, error)
	// Check compares the log with a checkpoint known from elsewhere: ErrTruncated or ErrForked if it does not continue it.
	// It reads O(log n) nodes; only verification from the records finds entries that were changed below intact nodes.
	Check(ctx context.Context, origin string, knownSize uint64, knownRoot []byte) error
	// Origins names all origins.
	Origins(ctx context.Context) ([]string, error)
}

// MaxPage bounds one call of Entries.
const MaxPage = 1000

// Receipt says what became of an Append.
type Receipt struct {
	// Indexes of the entries, in the order given.
	Indexes []uint64
	// Appended counts those that were not there before.
	Appended int
	// Checkpoint that covers all of them.
	Checkpoint SignedCheckpoint
}

// Record is an entry at its place. Leaf is the canonical text that the tree hashes; Entry is its meaning.
type Record struct {
	Index uint64
	Leaf  []byte
	Entry Entry
}

// originMax is the longest name of a namespace.
const originMax = 63

// CheckOrigin refuses what is not the name of a namespace.
func CheckOrigin(origin string) error {
	ok := origin != "" && len(origin) <= originMax && origin[0] != '-' && origin[len(origin)-1] != '-'
	for i := 0; ok && i < len(origin); i++ {
		c := origin[i]
		ok = c == '-' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
	}
	if !ok {
		return fmt.Errorf("origin is not the name of a namespace")
	}
	return nil
}

// OriginLine is the full name of an origin, the first line of its checkpoints and the name of its key.
func OriginLine(logName, origin string) string { return logName + "/" + origin }
