package backend

import (
	"context"
	"time"
)

// Retainer is the capability of telling which records the store itself keeps from being deleted for now, for stores
// that can: such records are retained for a reason that the operator did not make and cannot lift.
type Retainer interface {
	// Retained finds, among the keys of the operations, those that the store would refuse to delete at this time.
	// Nothing is changed. Keys that are gone are not retained.
	Retained(ctx context.Context, ops []Operation) ([]Retention, error)
}

// Retention says that and until when a store keeps a record.
type Retention struct {
	// Entity of the operation, and Key of the record as the operation has it.
	Entity string
	Key    Key
	// Until when, in UTC; nil where no end is set (a legal hold lasts until somebody lifts it).
	Until *time.Time
	// Basis names the store's rule in a few words without data of the record, for example "object lock, legal hold".
	Basis string
}
