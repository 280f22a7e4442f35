// Package keystest is the contract that every keys.Store keeps.
package keystest

import (
	"context"
	"sync"
	"testing"

	"github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/keys"
)

// Run checks a store. open returns an empty one.
func Run(t *testing.T, open func(t *testing.T) keys.Store) {
	t.Helper()
	ctx := context.Background()
	id := keys.ID{Purpose: keys.Run, Namespace: "hr", Name: "run-1"}

	t.Run("a key is made once and comes back", func(t *testing.T) {
		g, store := gomega.NewWithT(t), open(t)
		_, err := store.Get(ctx, id)
		g.Expect(err).To(gomega.MatchError(keys.ErrNotFound))
		key, err := store.Ensure(ctx, id)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(key).To(gomega.HaveLen(keys.Size))
		again, err := store.Ensure(ctx, id)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(again).To(gomega.Equal(key))
		clear(again) // the caller's copy
		got, err := store.Get(ctx, id)
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(got).To(gomega.Equal(key))
	})
	t.Run("keys differ by purpose, namespace and name", func(t *testing.T) {
		g, store := gomega.NewWithT(t), open(t)
		seen := map[string]bool{}
		for _, id := range []keys.ID{id, {Purpose: keys.Residue, Namespace: "hr", Name: "run-1"},
			{Purpose: keys.Run, Namespace: "it", Name: "run-1"}, {Purpose: keys.Run, Namespace: "hr", Name: "run-2"},
			{Purpose: keys.Pseudonym, Namespace: "hr"}} {
			key, err := store.Ensure(ctx, id)
			g.Expect(err).NotTo(gomega.HaveOccurred())
			seen[string(key)] = true
		}
		g.Expect(seen).To(gomega.HaveLen(5))
	})
	t.Run("a destroyed key is gone, and a new one is another", func(t *testing.T) {
		for _, id := range []keys.ID{id, {Purpose: keys.Pseudonym, Namespace: "hr"}} {
			g, store := gomega.NewWithT(t), open(t)
			g.Expect(store.Destroy(ctx, id)).To(gomega.Succeed())
			key, err := store.Ensure(ctx, id)
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(store.Destroy(ctx, id)).To(gomega.Succeed())
			g.Expect(store.Destroy(ctx, id)).To(gomega.Succeed())
			_, err = store.Get(ctx, id)
			g.Expect(err).To(gomega.MatchError(keys.ErrNotFound))
			other, err := store.Ensure(ctx, id)
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(other).NotTo(gomega.Equal(key))
		}
	})
	t.Run("all that make a key at once get the same one", func(t *testing.T) {
		g, store := gomega.NewWithT(t), open(t)
		var group sync.WaitGroup
		got := make([]string, 16)
		for i := range got {
			group.Go(func() {
				key, err := store.Ensure(ctx, id)
				if err == nil {
					got[i] = string(key)
				}
			})
		}
		group.Wait()
		g.Expect(got).To(gomega.HaveEach(gomega.And(gomega.HaveLen(keys.Size), gomega.Equal(got[0]))))
	})
}
