package main

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
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/journal"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/planner"
	statesqlite "github.com/lethe-dev/lethe/internal/state/sqlite"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/test/pgtest"
)

const namespace = "bench"

// lethe is the executor as the operator has it, but for the keys: the key of a run is a Secret, so the operator makes and
// removes it with one API write each. They are in memory here, because those writes belong to the Kubernetes API's
// latency and not to the stores'.
type lethe struct {
	executor *executor.Executor
	state    *statesqlite.Store
	ledger   *stopwatch
	timed    *timed
	store    *stores.Store
	maps     []planner.MapSource
	folder   string
}

// stopwatch is the ledger with the times at which the run begins and ends to record its outcome: what is between the last
// deletion and the first is verification, what follows the second is the run's own record.
type stopwatch struct {
	ledger.Log
	verified, recorded time.Time
}

func (s *stopwatch) Append(ctx context.Context, origin string, entries ...ledger.Entry) (ledger.Receipt, error) {
	if entries[len(entries)-1].Kind == ledger.KindErasureCompleted {
		s.verified = time.Now()
		defer func() { s.recorded = time.Now() }()
	}
	return s.Log.Append(ctx, origin, entries...)
}

// timed is the store with the time at which the last deletion was committed.
type timed struct {
	backend.Backend
	executed time.Time
}

func (t *timed) Transactional() {}

func (t *timed) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	result, err := t.Backend.Execute(ctx, batch)
	t.executed = time.Now()
	return result, err
}

// oneStore is executor.Stores with a single store.
type oneStore struct{ store *stores.Store }

func (o oneStore) Get(context.Context, string, string) (*stores.Store, error) { return o.store, nil }

func newLethe(ctx context.Context, server *pgtest.Server, database string) (_ *lethe, err error) {
	l := &lethe{maps: dataMap()}
	if l.folder, err = os.MkdirTemp("", "lethe-bench-"); err != nil {
		return nil, err
	}
	b, err := postgresql.Open(ctx, postgresql.Config{Host: server.Host, Port: server.Port, Database: database, User: server.User})
	if err != nil {
		return nil, err
	}
	l.timed = &timed{Backend: b}
	l.store = &stores.Store{Backend: l.timed, Name: "main", Kind: planner.TableStore, DefaultSchema: "public",
		Limits: v1alpha1.StoreLimits{MaxRowsPerRun: 100000}}
	signer, err := ledger.NewSigner("bench.lethe.dev", make([]byte, 32))
	if err != nil {
		return nil, err
	}
	log, err := ledgersqlite.Open(ctx, filepath.Join(l.folder, "ledger.db"), ledgersqlite.Options{LogName: "bench.lethe.dev", Signer: signer})
	if err != nil {
		return nil, err
	}
	l.ledger = &stopwatch{Log: log}
	if l.state, err = statesqlite.Open(ctx, filepath.Join(l.folder, "state.db")); err != nil {
		return nil, err
	}
	l.executor = &executor.Executor{Stores: oneStore{l.store}, State: l.state, Keys: keysmemory.New(), Clock: clock.RealClock{},
		Journal: &journal.Journal{Ledger: l.ledger, State: l.state, Clock: clock.RealClock{}}}
	return l, nil
}

func (l *lethe) close() error {
	return errors.Join(l.state.Close(), l.ledger.Close(), l.store.Close(), os.RemoveAll(l.folder))
}

// erase carries out the run of one request, from nothing to Completed.
func (l *lethe) erase(ctx context.Context, subject int) (map[string]time.Duration, error) {
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
	if record.Phase != string(v1alpha1.PhaseCompleted) || len(record.Steps) != 1 || record.Steps[0].Done != rowsOfOne {
		return nil, fmt.Errorf("the run ended as %s", record.Phase)
	}
	// The destroyed plan leaves the write-ahead log beside the run's way; nobody else should pay for that.
	if err := l.state.Scrub(ctx); err != nil {
		return nil, err
	}
	verification := l.ledger.verified.Sub(l.timed.executed)
	return map[string]time.Duration{"erasure": l.ledger.recorded.Sub(begin) - verification, "erasure_verified": end.Sub(begin)}, nil
}

func dataMap() []planner.MapSource {
	entity := func(name string) v1alpha1.Entity {
		return v1alpha1.Entity{Name: name, Store: "main", Table: name, Key: []string{"id"}, Category: "profile", Action: v1alpha1.ActionDelete}
	}
	person := entity("person")
	person.Root = &v1alpha1.Root{Rows: v1alpha1.RowsOne}
	person.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}}
	spec := v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{person}}
	for _, c := range children {
		table, column := c.parent()
		e := entity(c.name)
		e.Parents = []v1alpha1.Parent{{Entity: table, Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: "id"}}}}
		spec.Entities = append(spec.Entities, e)
	}
	return []planner.MapSource{{Name: "people", UID: "map", Generation: 1, Spec: spec}}
}
