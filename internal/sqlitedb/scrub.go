package sqlitedb

import (
	"context"
	"errors"
	"time"

	"k8s.io/utils/clock"
)

// errBusy means that a reader kept the write-ahead log from being emptied.
var errBusy = errors.New("the write-ahead log is in use")

// Scrub moves the write-ahead log into the main file and cuts it to nothing. With SecureDelete the pages that it carries
// hold zeros where something was deleted; until then the old pages are still in the main file and in the log.
func (db *DB) Scrub(ctx context.Context) error {
	var busy, frames, moved int
	err := db.scrubber.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved)
	if err == nil && busy != 0 {
		err = errBusy
	}
	db.mu.Lock()
	db.dirty = err != nil
	db.mu.Unlock()
	return err
}

// scrubDelay is how long destroyed material may stay in the write-ahead log: the first commit after a scrub costs one more
// sync, so that one scrub serves what many callers destroy.
const scrubDelay = time.Second

// ScrubSoon has Scrub done beside the caller's way, after scrubDelay. If a reader is in its way, then RetryScrub does it,
// which every later write calls, or the next opening.
func (db *DB) ScrubSoon() {
	db.mu.Lock()
	db.dirty = true
	db.mu.Unlock()
	db.signalScrub()
}

// RetryScrub repeats a Scrub that did not succeed.
func (db *DB) RetryScrub() {
	db.mu.Lock()
	dirty := db.dirty
	db.mu.Unlock()
	if dirty {
		db.signalScrub()
	}
}

func (db *DB) signalScrub() {
	select {
	case db.scrubs <- struct{}{}:
	default: // one is about to run anyway
	}
}

func (db *DB) scrubLoop() {
	defer close(db.done)
	for {
		select {
		case <-db.stop:
			return
		case <-db.scrubs:
		}
		select {
		case <-db.stop:
			return
		case <-clock.RealClock{}.After(scrubDelay):
			_ = db.Scrub(context.Background()) // remembered in dirty
		}
	}
}
