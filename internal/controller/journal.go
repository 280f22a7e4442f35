package controller

import (
	"context"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/pseudonym"
	"github.com/lethe-dev/lethe/internal/state"
)

// Journal appends to the ledger and keeps its newest checkpoint in the state store, where it tells later whether the
// ledger was cut short.
type Journal struct {
	Ledger ledger.Log
	State  state.Store
	Clock  clock.PassiveClock
}

// Append appends to the namespace's log. Entries whose key is there already are not appended again.
func (j *Journal) Append(ctx context.Context, namespace string, entries ...ledger.Entry) error {
	for i := range entries {
		entries[i].Time = j.Clock.Now().UTC()
	}
	receipt, err := j.Ledger.Append(ctx, namespace, entries...)
	if err != nil {
		return &fault.Waiting{Reason: v1alpha1.ReasonLedgerUnavailable, After: time.Minute, Err: err, Message: "the ledger takes no entry; nothing goes on until it does"}
	}
	return j.State.Update(ctx, func(tx state.Tx) error {
		return tx.PutCheckpoint(namespace, receipt.Checkpoint.Size, receipt.Checkpoint.Root)
	})
}

// Pseudonyms makes pseudonyms under the key of a namespace.
type Pseudonyms struct{ Keys keys.Store }

// Subject is the pseudonym of a subject's id.
func (p *Pseudonyms) Subject(ctx context.Context, namespace, id string) (string, error) {
	return p.of(ctx, namespace, "subject", id)
}

// Root is the pseudonym of a subject's root record.
func (p *Pseudonyms) Root(ctx context.Context, namespace, store, entity, key string) (string, error) {
	return p.of(ctx, namespace, "root/"+store+"/"+entity, key)
}

func (p *Pseudonyms) of(ctx context.Context, namespace, kind, value string) (string, error) {
	key, err := p.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: namespace})
	if err != nil {
		return "", err
	}
	return pseudonym.Pseudonym(key, kind, pseudonym.NewSecret(value)), nil
}
