// Package state is the mutable store beside the ledger, in the same database: schedules, policy snapshots, claims, sealed
// plans, holds, residue, tombstones and known checkpoints. What it holds is authoritative; the status of Kubernetes objects
// is a projection. A change and the ledger's entries on it are one transaction.
package state

import (
	"context"
	"errors"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
)

var (
	// ErrNotFound means that there is no such record.
	ErrNotFound = errors.New("not in the state store")
	// ErrConflict means that somebody else has written the record since it was read: read it again and decide anew.
	ErrConflict = errors.New("the record was changed by somebody else")
	// ErrFull means that the volume or the database has no room.
	ErrFull = errors.New("no room is left")
	// ErrLifted means that a hold was lifted before and cannot come into force again.
	ErrLifted = errors.New("the hold is lifted")
	// ErrStaleEpoch means that another process has opened the store since.
	ErrStaleEpoch = errors.New("the state store was opened by another process since: this one may no longer write")
	// ErrLapsed means that the operator does not let a worker go on, for now or for good.
	ErrLapsed = errors.New("the operator does not let this worker go on at the moment")
)

// Reader reads. Whatever is not there is ErrNotFound; lists are then empty.
type Reader interface {
	// Request by the UID of its object.
	Request(ctx context.Context, uid string) (*Request, error)
	// FinishedByName returns the request that finished last under a name, other than exceptUID.
	FinishedByName(ctx context.Context, namespace, name, exceptUID string) (*Request, error)
	// Run by the UID of its object.
	Run(ctx context.Context, uid string) (*Run, error)
	// Hold by the UID of its object, lifted or not.
	Hold(ctx context.Context, uid string) (*Hold, error)
	// Holds in force in a namespace, by UID.
	Holds(ctx context.Context, namespace string) ([]Hold, error)
	// Residue by its id.
	Residue(ctx context.Context, id string) (*Residue, error)
	// Residues that a request left, by id, done or not.
	Residues(ctx context.Context, namespace, requestUID string) ([]Residue, error)
	// OpenResidues counts those of a namespace that are not done.
	OpenResidues(ctx context.Context, namespace string) (int64, error)
	// DueResidues are those that are not done, whose date has come or that never had one, and all of whose holds are
	// recorded as lifted; the longest due first. Sealed is left out: read it with Residue.
	DueResidues(ctx context.Context, now time.Time, limit int) ([]Residue, error)
	// ClaimOwner tells whose a claimed key is.
	ClaimOwner(ctx context.Context, namespace, key string) (*Owner, error)
	// Tombstone of an erased record.
	Tombstone(ctx context.Context, namespace, store, entity, mac string) (*Tombstone, error)
	// SchemaBaseline of a map by the UID of its object.
	SchemaBaseline(ctx context.Context, mapUID string) (*SchemaBaseline, error)
	// Schedule of a RetentionPolicy by the UID of its object.
	Schedule(ctx context.Context, policyUID string) (*Schedule, error)
	// Certificate is the newest one of a request.
	Certificate(ctx context.Context, requestUID string) (*Certificate, error)
	// Checkpoint is the newest one known of a ledger's origin.
	Checkpoint(ctx context.Context, origin string) (*Checkpoint, error)
}

// Tx is a transaction. It reads what it wrote. Records given to Put get their new Revision, and their old one back if the
// transaction does not succeed. The error of a write may be that of a later call, of Update at the latest.
type Tx interface {
	Reader
	// PutRequest writes a request, a new one with Revision 0. ErrConflict unless Revision is the stored one. A subject's
	// link that was destroyed stays destroyed.
	PutRequest(r *Request) error
	// PutRun is the same for a run.
	PutRun(r *Run) error
	// PutResidue is the same for a residue.
	PutResidue(r *Residue) error
	// Claim takes all keys for the owner, or none if another one has any of them, and then returns that one. Keys that the
	// owner has already are fine.
	Claim(namespace string, keys []string, owner Owner) (existing *Owner, err error)
	// ReleaseClaims gives up all claims of an owner.
	ReleaseClaims(uid string) error
	// LiftHold ends a hold; a second time changes nothing.
	LiftHold(uid string, at time.Time) error
	// PutTombstones adds tombstones; of two for the same record the later stays.
	PutTombstones(tombstones []Tombstone) error
	// PutSchemaBaseline writes the baseline of a map, over an earlier one.
	PutSchemaBaseline(b SchemaBaseline) error
	// DeleteSchemaBaseline removes that of a map that is gone; where there is none it does nothing.
	DeleteSchemaBaseline(mapUID string) error
	// PutSchedule writes the schedule of a policy, a new one with Revision 0. ErrConflict unless Revision is the stored one.
	PutSchedule(s *Schedule) error
	// DeleteSchedule removes that of a policy that is gone; where there is none it does nothing.
	DeleteSchedule(policyUID string) error
	// PutCertificate adds a certificate. ErrConflict if the request has one of that number.
	PutCertificate(c Certificate) error
	// Append adds entries to the ledger in the same transaction, as ledger.Log.Append does, and remembers the checkpoint that
	// covers them. The receipt's checkpoint is signed when Update has returned.
	Append(origin string, entries ...ledger.Entry) (*ledger.Receipt, error)
	// DestroySubjectLink removes the subject's pseudonym from a request, so that its handle leads to nobody, but by a
	// residue that is not done. (A residue loses its pseudonym when it is put as done.)
	DestroySubjectLink(requestUID string) error
}

// Store is the state store. All methods are safe for concurrent use.
type Store interface {
	Reader
	// Update runs fn in one transaction, durable when it returns nil; an error of fn undoes it. Transactions follow one
	// another, so within fn only the Tx may be used to write.
	Update(ctx context.Context, fn func(tx Tx) error) error
	// PlaceHold puts a hold into force, or changes the records and pseudonyms of one in force. It waits while a WithHolds
	// of its namespace runs.
	PlaceHold(ctx context.Context, hold Hold) error
	// WithHolds runs fn with the holds in force in a namespace; until fn returns no further one comes into force there.
	// Every hold whose PlaceHold returned before is among them. Many may run at once; a PlaceHold that waits goes before
	// those that come later, so fn must not call WithHolds or PlaceHold. Update is fine.
	WithHolds(ctx context.Context, namespace string, fn func(ctx context.Context, holds []Hold) error) error
	// ID is the random identity that the store got at its creation.
	ID() string
	// Epoch rises with every opening.
	Epoch() int64
}

// Delegator is a Store that lets processes beside the operator work on the shards of a run. They write no ledger: what they have to
// say waits in an outbox.
type Delegator interface {
	// Lease lets the workers of a run's Job go on for that long, by the store's own clock. It ends at once when another process
	// opens the store.
	Lease(ctx context.Context, runUID, job string, d time.Duration) error
	// Withdraw ends the lease, and waits for the pages that are under way: when it returns, no worker is in one, and none begins
	// another.
	Withdraw(ctx context.Context, runUID string) error
	// Drain moves what the workers of a run have left in the outbox into the namespace's ledger.
	Drain(ctx context.Context, namespace, runUID string) error
}

// Worker is what a worker of a Job has of the store.
type Worker interface {
	Run(ctx context.Context, uid string) (*Run, error)
	Schedule(ctx context.Context, policyUID string) (*Schedule, error)
	Holds(ctx context.Context, namespace string) ([]Hold, error)
	// WithHolds is that of Store, and ErrLapsed without a lease. Withdraw waits for it too.
	WithHolds(ctx context.Context, namespace string, fn func(ctx context.Context, holds []Hold) error) error
	// Leased is ErrLapsed unless the workers of this one's Job may go on.
	Leased(ctx context.Context) error
	// PutShard writes a shard and its entries, to become the ledger's, in one transaction. ErrConflict unless its Revision is the
	// stored one; for an intent, after which something happens that cannot be undone, ErrLapsed without a lease.
	PutShard(ctx context.Context, shard *Run, entries []ledger.Entry, intent bool) error
}
