package statesqlite

import (
	"context"
	"encoding/json"
	"errors"
	"math"

	"golang.org/x/sync/semaphore"

	"github.com/lethe-dev/lethe/internal/state"
)

// everybody is the weight of the exclusive side of a gate.
const everybody = math.MaxInt32

// gate is the lock between those who act on a namespace's holds and those who place one. It is first come, first served,
// so neither side starves. One process has the file, so a lock in memory is enough; the PostgreSQL store will use
// advisory locks.
func (s *Store) gate(namespace string) *semaphore.Weighted {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gates[namespace]
	if g == nil {
		g = semaphore.NewWeighted(everybody)
		s.gates[namespace] = g
	}
	return g
}

// WithHolds implements state.Store.
func (s *Store) WithHolds(ctx context.Context, namespace string, fn func(context.Context, []state.Hold) error) error {
	gate := s.gate(namespace)
	if err := gate.Acquire(ctx, 1); err != nil {
		return err
	}
	defer gate.Release(1)
	// Whoever was overtaken does not see the successor's gate, so the holds that it reads would not last.
	if err := s.checkEpoch(ctx); err != nil {
		return err
	}
	holds, err := s.Holds(ctx, namespace)
	if err != nil {
		return err
	}
	return fn(ctx, holds)
}

func (s *Store) checkEpoch(ctx context.Context) error {
	var now int64
	if err := s.stmt(ctx, selectEpoch).QueryRowContext(ctx).Scan(&now); err != nil { //nolint:sqlclosecheck // its pool or transaction closes it
		return translate("read state store", err)
	}
	if now != s.db.Epoch() {
		return state.ErrStaleEpoch
	}
	return nil
}

// PlaceHold implements state.Store.
func (s *Store) PlaceHold(ctx context.Context, hold state.Hold) error {
	if hold.UID == "" || hold.Namespace == "" || hold.InForceSince.IsZero() || hold.LiftedAt != nil {
		return errors.New("place hold: it needs a UID, a namespace and the time it begins, and cannot be lifted already")
	}
	gate := s.gate(hold.Namespace)
	if err := gate.Acquire(ctx, everybody); err != nil {
		return err
	}
	defer gate.Release(everybody)
	return s.Update(ctx, func(t state.Tx) error { return t.(*tx).putHold(hold) })
}

func (t *tx) putHold(hold state.Hold) error {
	hold.InUTC()
	before, err := t.Hold(t.ctx, hold.UID)
	if err == nil {
		err = hold.Replace(before)
	} else if errors.Is(err, state.ErrNotFound) {
		err = nil
	}
	if err != nil {
		return err
	}
	body, err := json.Marshal(hold)
	if err != nil {
		return err
	}
	_, err = t.exec(upsertHold, hold.UID, hold.Namespace, hold.Name, string(body))
	return err
}
