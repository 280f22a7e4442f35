// Package stores opens the data stores that DataStore objects describe and keeps the connections.
package stores

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
)

// credentialsMaxAge is how long a Secret's content is trusted before it is read again.
const credentialsMaxAge = 30 * time.Second

// Request is what an Opener needs to open a store.
type Request struct {
	Spec v1alpha1.DataStoreSpec
	// Credentials is the Secret's content; nil for stores without credentials.
	Credentials map[string][]byte
	// LocalRoot is the folder that the operator's flag assigns to the namespace, for local stores.
	LocalRoot string
}

// Opener opens one kind of store.
type Opener func(ctx context.Context, req Request) (backend.Backend, error)

// Openers has one opener for each kind that the operator knows; adapters are put in by main.
type Openers struct {
	PostgreSQL, MySQL, SQLite, Filesystem, S3, Redis, HTTP Opener
}

// Store is an open store with what the planner needs to know of it.
type Store struct {
	backend.Backend
	Name          string
	Kind          planner.StoreKind
	DefaultSchema string
	// Identity tells this database or folder from another one: what is planned for one is not done to another.
	Identity string
	Limits   v1alpha1.StoreLimits
}

// Pool opens stores on demand and keeps them, one for each DataStore, until its generation or its credentials change.
type Pool struct {
	client     client.Reader // cached: DataStores
	secrets    client.Reader // uncached: Secrets are read one by one
	openers    Openers
	localRoots map[string]string
	clock      clock.PassiveClock
	log        logr.Logger

	mu   sync.Mutex
	open map[types.NamespacedName]*entry
	// turns has a place for each DataStore that is opened: of two who find no store one opens it, and the other gets the same.
	turns map[types.NamespacedName]chan struct{}
}

type entry struct {
	uid           types.UID
	generation    int64
	secretVersion string
	checked       time.Time
	store         *Store
}

// NewPool makes a pool. localRoots maps namespaces to folders.
func NewPool(c, secrets client.Reader, openers Openers, localRoots map[string]string, clk clock.PassiveClock, log logr.Logger) *Pool {
	return &Pool{client: c, secrets: secrets, openers: openers, localRoots: localRoots, clock: clk, log: log,
		open: map[types.NamespacedName]*entry{}, turns: map[types.NamespacedName]chan struct{}{}}
}

// Get opens the store of the DataStore name in the namespace. Errors are of package fault.
func (p *Pool) Get(ctx context.Context, namespace, name string) (*Store, error) {
	var ds v1alpha1.DataStore
	if err := p.client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, &ds); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fault.Waitingf(v1alpha1.ReasonStoreNotFound, time.Minute, "there is no DataStore %s in this namespace; create it", name)
		}
		return nil, err
	}
	return p.GetFor(ctx, &ds)
}

// GetFor opens the store that ds describes.
func (p *Pool) GetFor(ctx context.Context, ds *v1alpha1.DataStore) (*Store, error) {
	key := types.NamespacedName{Namespace: ds.Namespace, Name: ds.Name}
	if e := p.opened(key, ds); e != nil && p.clock.Since(e.checked) < credentialsMaxAge {
		return e.store, nil
	}
	done, err := p.turn(ctx, key)
	if err != nil {
		return nil, err
	}
	defer done()
	e := p.opened(key, ds)
	if e != nil && p.clock.Since(e.checked) < credentialsMaxAge {
		return e.store, nil
	}
	credentials, version, err := p.credentials(ctx, ds)
	if err != nil {
		return nil, err
	}
	if e != nil && e.secretVersion == version {
		p.put(key, &entry{uid: e.uid, generation: e.generation, secretVersion: version, checked: p.clock.Now(), store: e.store})
		return e.store, nil
	}
	store, err := p.openStore(ctx, ds, credentials)
	if err != nil {
		return nil, err
	}
	if old := p.put(key, &entry{uid: ds.UID, generation: ds.Generation, secretVersion: version, checked: p.clock.Now(), store: store}); old != nil {
		p.release(key, old)
	}
	return store, nil
}

// opened is what is open of a DataStore as it is now, or nil. An entry is never changed.
func (p *Pool) opened(key types.NamespacedName, ds *v1alpha1.DataStore) *entry {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.open[key]; e != nil && e.uid == ds.UID && e.generation == ds.Generation {
		return e
	}
	return nil
}

// put returns what was there before.
func (p *Pool) put(key types.NamespacedName, e *entry) (old *entry) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old = p.open[key]
	p.open[key] = e
	return old
}

// turn waits until nobody else opens the DataStore.
func (p *Pool) turn(ctx context.Context, key types.NamespacedName) (done func(), err error) {
	p.mu.Lock()
	t := p.turns[key]
	if t == nil {
		t = make(chan struct{}, 1)
		p.turns[key] = t
	}
	p.mu.Unlock()
	select {
	case t <- struct{}{}:
		return func() { <-t }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *Pool) openStore(ctx context.Context, ds *v1alpha1.DataStore, credentials map[string][]byte) (*Store, error) {
	s := &Store{Name: ds.Name, Kind: planner.TableStore, Limits: ds.Spec.Limits, Identity: identity(ds.Spec)}
	req := Request{Spec: ds.Spec, Credentials: credentials}
	var open Opener
	switch spec := ds.Spec; {
	case spec.PostgreSQL != nil:
		open, s.DefaultSchema = p.openers.PostgreSQL, spec.PostgreSQL.Schema
	case spec.MySQL != nil:
		open, s.DefaultSchema = p.openers.MySQL, spec.MySQL.Database
	case spec.SQLite != nil:
		open = p.openers.SQLite
	case spec.Filesystem != nil:
		open, s.Kind = p.openers.Filesystem, planner.PathStore
	case spec.S3 != nil:
		open, s.Kind = p.openers.S3, planner.ObjectStore
	case spec.Redis != nil:
		open, s.Kind = p.openers.Redis, planner.KeyStore
	case spec.HTTP != nil:
		open, s.Kind = p.openers.HTTP, planner.ServiceStore
	}
	if open == nil {
		return nil, fault.Terminalf(v1alpha1.ReasonInvalidSpec, "DataStore %s is of a kind that this operator does not know", ds.Name)
	}
	if ds.Spec.SQLite != nil || ds.Spec.Filesystem != nil {
		root, ok := p.localRoots[ds.Namespace]
		if !ok {
			return nil, fault.Terminalf(v1alpha1.ReasonLocalRootMissing,
				"DataStore %s is local, and the operator was given no folder for namespace %s; start it with --local-root %s=PATH", ds.Name, ds.Namespace, ds.Namespace)
		}
		req.LocalRoot = root
	}
	b, err := open(ctx, req)
	if err != nil {
		return nil, fault.FromStore(ds.Name, err)
	}
	s.Backend = b
	return s, nil
}

// Forget closes the store of a DataStore that is gone.
func (p *Pool) Forget(key types.NamespacedName) {
	p.mu.Lock()
	old := p.open[key]
	delete(p.open, key)
	delete(p.turns, key)
	p.mu.Unlock()
	if old != nil {
		p.release(key, old)
	}
}

// release closes in the background: closing waits for those who still use the store.
func (p *Pool) release(key types.NamespacedName, e *entry) {
	go func() {
		if err := e.store.Close(); err != nil {
			p.log.Info("a data store was not closed cleanly", "dataStore", key)
		}
	}()
}

// Close closes all stores.
func (p *Pool) Close() error {
	p.mu.Lock()
	open := p.open
	p.open = map[types.NamespacedName]*entry{}
	p.mu.Unlock()
	var errs []error
	for key, e := range open {
		if err := e.store.Close(); err != nil {
			errs = append(errs, fmt.Errorf("data store %s was not closed cleanly", key))
		}
	}
	return errors.Join(errs...)
}
