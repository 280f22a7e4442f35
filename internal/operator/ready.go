package operator

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/internal/state"
)

const (
	// probeInterval is how long the result of a write is good for: a probe costs one durable write.
	probeInterval = 5 * time.Second
	// probePatience is how long a write may take.
	probePatience = 4 * time.Second
	// probeRecord is where a probe writes; nothing reads it.
	probeRecord = "lethe-readiness"
)

var errUnwritable = errors.New("the database of ledger and state store takes no write: look whether its volume is full, read-only or slow")

// writable asks by writing whether the vault can be written, at most once in an interval however often it is asked.
type writable struct {
	state state.Store
	clock clock.PassiveClock

	mu  sync.Mutex
	at  time.Time
	err error
}

func newWritable(s state.Store) *writable {
	return &writable{state: s, clock: clock.RealClock{}} // an injected clock tells what time it is, not how fast it passes
}

func (w *writable) check(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.at.IsZero() && w.clock.Since(w.at) < probeInterval {
		return w.err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probePatience)
	defer cancel()
	w.err = nil
	err := w.state.Update(ctx, func(tx state.Tx) error {
		return tx.PutSchemaBaseline(state.SchemaBaseline{MapUID: probeRecord, Tables: []byte{}})
	})
	if err != nil {
		w.err = errors.Join(errUnwritable, err)
		metrics.LedgerWritable.WithLabelValues().Set(0)
	} else {
		metrics.LedgerWritable.WithLabelValues().Set(1)
	}
	w.at = w.clock.Now()
	return w.err
}

// ready tells whether the ledger can be read and written by this process. That of one namespace may still be unsound: it keeps
// that namespace waiting, not the operator, and shows as lethe_ledger_sound.
func (v *Vault) ready(ctx context.Context, w *writable) error {
	if err := v.lost(); err != nil {
		return err
	}
	if _, err := v.Ledger.Origins(ctx); err != nil {
		return err
	}
	return w.check(ctx)
}
