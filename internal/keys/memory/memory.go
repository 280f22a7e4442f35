// Package keysmemory keeps keys in memory, for tests and benchmarks.
package keysmemory

import (
	"context"
	"crypto/rand"
	"slices"
	"sync"

	"github.com/lethe-dev/lethe/internal/keys"
)

// Store implements keys.Store.
type Store struct {
	mu   sync.Mutex
	keys map[keys.ID][]byte
}

// New makes an empty store.
func New() *Store { return &Store{keys: map[keys.ID][]byte{}} }

// Ensure implements keys.Store.
func (s *Store) Ensure(_ context.Context, id keys.ID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key, ok := s.keys[id]; ok {
		return slices.Clone(key), nil
	}
	key := make([]byte, keys.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	s.keys[id] = key
	return slices.Clone(key), nil
}

// Get implements keys.Store.
func (s *Store) Get(_ context.Context, id keys.ID) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.keys[id]
	if !ok {
		return nil, keys.ErrNotFound
	}
	return slices.Clone(key), nil
}

// Destroy implements keys.Store.
func (s *Store) Destroy(_ context.Context, id keys.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keys[id])
	delete(s.keys, id)
	return nil
}

// Len counts the keys, so that tests see what is left.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}
