// Package keys keeps the secrets that make other data unreadable when they are destroyed: one key for each run, residue,
// deactivation, and for each workspace's pseudonyms and tombstones, and the ledger's signing seed.
package keys

import (
	"context"
	"errors"
)

// Size of every key in bytes.
const Size = 32

// Purpose says what a key is for.
type Purpose string

// The purposes.
const (
	Run          Purpose = "run"          // seals a run's plan, seeds its random values
	Residue      Purpose = "residue"      // seals what a hold keeps
	Pseudonym    Purpose = "pseudonym"    // a workspace's pseudonyms
	Tombstone    Purpose = "tombstone"    // a workspace's tombstones
	Ledger       Purpose = "ledger"       // seed of the ledger's signing key
	Deactivation Purpose = "deactivation" // seals the values that reactivation restores
	Admission    Purpose = "admission"    // seals who made a change
)

var (
	// ErrNotFound means that the key was never made or is destroyed.
	ErrNotFound = errors.New("key not found")
	// ErrInvalid means that what is stored in the key's place is not this key.
	ErrInvalid = errors.New("key is not usable")
)

// ID names a key. Nothing in it may be personal: it is stored in the clear.
type ID struct {
	Purpose   Purpose
	Namespace string // the workspace
	Name      string // of what the key is for: a run's UID, a residue's id; empty for keys of a whole workspace
}

// Store keeps keys. What it returns belongs to the caller.
type Store interface {
	// Ensure returns the key and makes it first if there is none. Of two that make it at once both get the same one.
	Ensure(ctx context.Context, id ID) ([]byte, error)
	// Get returns the key, or ErrNotFound.
	Get(ctx context.Context, id ID) ([]byte, error)
	// Destroy overwrites and removes the key; without a key it does nothing.
	Destroy(ctx context.Context, id ID) error
}
