package stores

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// closable is a store that knows whether it was closed.
type closable struct {
	backend.Backend
	closed atomic.Bool
}

func (c *closable) Close() error {
	c.closed.Store(true)
	return nil
}

// Controllers that ask for a store at once, as they do when the operator starts, get one and the same: none that another's
// replaces and closes.
func TestAStoreIsOpenedOnce(t *testing.T) {
	var opened atomic.Int64
	open := func(context.Context, Request) (backend.Backend, error) {
		opened.Add(1)
		time.Sleep(20 * time.Millisecond)
		return &closable{}, nil
	}
	p := NewPool(nil, nil, Openers{SQLite: open}, map[string]string{"hr": t.TempDir()}, clock.RealClock{}, logr.Discard())
	ds := func(generation int64) *v1alpha1.DataStore {
		return &v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Namespace: "hr", Name: "ats", UID: "u", Generation: generation},
			Spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "a.db"}}}
	}
	get := func(generation int64) *Store {
		t.Helper()
		s, err := p.GetFor(t.Context(), ds(generation))
		if err != nil {
			t.Error(err)
		}
		return s
	}
	var wg sync.WaitGroup
	var got sync.Map
	for range 20 {
		wg.Go(func() { got.Store(get(1), nil) })
	}
	wg.Wait()
	first := get(1)
	got.Range(func(s, _ any) bool {
		if s != first || first.Backend.(*closable).closed.Load() {
			t.Error("somebody has a store that another one replaced")
		}
		return true
	})
	if n := opened.Load(); n != 1 {
		t.Errorf("opened %d times", n)
	}
	if second := get(2); second == first {
		t.Error("a DataStore that was changed is not opened anew")
	}
	for deadline := time.Now().Add(10 * time.Second); !first.Backend.(*closable).closed.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the store of before is not closed")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done, err := p.turn(t.Context(), types.NamespacedName{Namespace: "hr", Name: "ats"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.GetFor(ctx, ds(3)); err == nil {
		t.Error("it waits beyond its context")
	}
	done()
}
