package pgdb

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// scrubDelay is how long destroyed material may stay in dead rows, where nobody's snapshot keeps them longer.
	scrubDelay = time.Minute
	scrubTime  = 10 * time.Minute
)

// scrubber has tables vacuumed from which something was destroyed, so that the rows that hold it are gone and their place
// can be taken by others. What PostgreSQL keeps in its write-ahead log, archives, replicas and backups it cannot reach.
type scrubber struct {
	wake    chan struct{}
	ending  chan struct{}
	endOnce sync.Once
	scrubMu sync.Mutex
	unclean map[string]bool
}

func (s *scrubber) init() {
	s.wake, s.ending, s.unclean = make(chan struct{}, 1), make(chan struct{}), map[string]bool{}
}

func (s *scrubber) stop() { s.endOnce.Do(func() { close(s.ending) }) }

// ScrubSoon has tables vacuumed within scrubDelay.
func (s *scrubber) ScrubSoon(tables ...string) {
	s.scrubMu.Lock()
	for _, table := range tables {
		s.unclean[table] = true
	}
	s.scrubMu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // one is about to run anyway
	}
}

func (db *DB) scrubLoop() {
	for {
		select {
		case <-db.ending:
			return
		case <-db.wake:
		}
		select {
		case <-db.ending:
			return
		case <-clock.RealClock{}.After(scrubDelay):
		}
		if db.Scrub(db.life) != nil {
			db.ScrubSoon() // again later
		}
	}
}

// Scrub vacuums what ScrubSoon has named.
func (db *DB) Scrub(ctx context.Context) error {
	db.scrubMu.Lock()
	tables := db.unclean
	db.unclean = map[string]bool{}
	db.scrubMu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, scrubTime)
	defer cancel()
	var first error
	for table := range tables {
		// Without index cleanup dead rows may leave their place behind as long as they are few.
		if _, err := db.gate.Exec(ctx, "VACUUM (INDEX_CLEANUP on, TRUNCATE off) "+table); err != nil {
			db.scrubMu.Lock()
			db.unclean[table] = true
			db.scrubMu.Unlock()
			first = clean(err)
		}
	}
	return first
}
