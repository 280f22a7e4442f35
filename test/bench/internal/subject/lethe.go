package subject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/journal"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite" //nolint:depguard // a benchmark wires adapters, as cmd does
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite" //nolint:depguard // a benchmark wires adapters, as cmd does
)

const namespace = "bench"

// Lethe is the executor as the operator has it, but for the keys: the key of a run is a Secret, so the operator makes and
// removes it with one API write each. They are in memory here, because those writes belong to the Kubernetes API's
// latency and not to the stores'.
type Lethe struct {
	executor *executor.Executor
	vault    *vaultsqlite.Vault
	updates  *stopwatch
	timed    *timed
	store    *stores.Store
	maps     []planner.MapSource
	folder   string
}

// stopwatch is the state store with the time at which the last change began: the run's end with its entries in the ledger.
// What is between the last deletion and that is verification.
type stopwatch struct {
	state.Store
	begun time.Time
}

func (s *stopwatch) Update(ctx context.Context, fn func(tx state.Tx) error) error {
	s.begun = time.Now()
	return s.Store.Update(ctx, fn)
}

// timed is the store with the time at which the last deletion was committed.
type timed struct {
	backend.Backend
	executed time.Time
}

func (t *timed) Transactional() {}

// withCapabilities is the timed store with what else the store can do.
func (t *timed) withCapabilities() backend.Backend {
	if looker, ok := t.Backend.(backend.Looker); ok {
		return struct {
			*timed
			backend.Looker
		}{t, looker}
	}
	return t
}

func (t *timed) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	result, err := t.Backend.Execute(ctx, batch)
	t.executed = time.Now()
	return result, err
}

// oneStore is executor.Stores with a single store.
type oneStore struct{ store *stores.Store }

func (o oneStore) Get(context.Context, string, string) (*stores.Store, error) { return o.store, nil }

// NewLethe makes an executor for a database with the tables of this package, in the schema given. It takes over the backend.
func NewLethe(ctx context.Context, b backend.Backend, schema string) (_ *Lethe, err error) {
	l := &Lethe{maps: dataMap(), timed: &timed{Backend: b}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close(), os.RemoveAll(l.folder))
		}
	}()
	l.store = &stores.Store{Backend: l.timed.withCapabilities(), Name: "main", Kind: planner.TableStore, DefaultSchema: schema,
		Limits: v1alpha1.StoreLimits{MaxRowsPerRun: 100000}}
	if l.folder, err = os.MkdirTemp("", "lethe-bench-"); err != nil {
		return nil, err
	}
	signer, err := ledger.NewSigner("bench.lethe.dev", make([]byte, 32))
	if err != nil {
		return nil, err
	}
	l.vault, err = vaultsqlite.Open(ctx, filepath.Join(l.folder, "ledger.db"), ledgersqlite.Options{LogName: "bench.lethe.dev", Signer: signer})
	if err != nil {
		return nil, err
	}
	l.updates = &stopwatch{Store: l.vault.State}
	l.executor = &executor.Executor{Stores: oneStore{l.store}, State: l.updates, Keys: keysmemory.New(), Clock: clock.RealClock{},
		Journal: &journal.Journal{Ledger: l.vault.Ledger, State: l.updates, Clock: clock.RealClock{}}}
	return l, nil
}

// Close closes the backend too.
func (l *Lethe) Close() error {
	return errors.Join(l.vault.Close(), l.store.Close(), os.RemoveAll(l.folder))
}

// Erase carries out the run of one request, from nothing to Completed. Its figures are erasure, without verification, and
// erasure_verified, with it.
func (l *Lethe) Erase(ctx context.Context, subject int) (map[string]time.Duration, error) {
	id := strconv.Itoa(subject)
	task := executor.Task{RunUID: "run-" + id, Namespace: namespace, Name: "erase-" + id, Handle: "handle-" + id, SubjectPseudonym: "pseudonym-" + id,
		Request: &executor.RequestTask{UID: "request-" + id, Name: "request-" + id, Maps: l.maps,
			Identities: func(context.Context) (map[string][]string, error) { return map[string][]string{"id": {id}}, nil }}}
	begin := time.Now()
	record, err := l.executor.Advance(ctx, task)
	end := time.Now()
	if err != nil {
		return nil, err
	}
	if record.Phase != string(v1alpha1.PhaseCompleted) || len(record.Steps) != 1 || record.Steps[0].Done != Rows {
		return nil, fmt.Errorf("the run ended as %s", record.Phase)
	}
	verification := l.updates.begun.Sub(l.timed.executed)
	return map[string]time.Duration{"erasure": end.Sub(begin) - verification, "erasure_verified": end.Sub(begin)}, nil
}
