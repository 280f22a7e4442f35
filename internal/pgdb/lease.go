package pgdb

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// lease is what this process knows of its lock. The server gives the lock to somebody else as soon as it takes the
// connection for gone, and who comes next waits for one lease: within that time this process finds out or counts as lost.
type lease struct {
	mu       sync.Mutex
	latest   time.Time // when the last question was sent to which the server had an answer
	stopping chan struct{}
	stopOnce sync.Once
}

func (l *lease) init() { l.stopping = make(chan struct{}) }

func (l *lease) stop() { l.stopOnce.Do(func() { close(l.stopping) }) }

// proved notes that the server answered on the writing connection what was sent then.
func (l *lease) proved(sent time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if sent.After(l.latest) {
		l.latest = sent
	}
}

func (l *lease) age() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return clock.RealClock{}.Since(l.latest)
}

// keep asks the server regularly whether the lock is still held.
func (db *DB) keep() {
	period := db.options.Lease / 10
	for {
		left := db.options.Lease - db.age()
		if left <= 0 {
			db.lose(errors.Join(ErrLost, errors.New("the server does not answer")))
			return
		}
		select {
		case <-db.stopping:
			return
		case <-db.life.Done():
			return
		case <-clock.RealClock{}.After(min(period, left)):
		}
		if db.age() >= period && db.using.TryLock() { // who uses it proves it too
			db.ask(db.options.Lease - db.age())
			db.using.Unlock()
		}
	}
}

// ask looks whether this process may still write; call it with the connection.
func (db *DB) ask(patience time.Duration) {
	if db.Err() != nil || patience <= 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	sent := clock.RealClock{}.Now()
	var epoch int64
	err := db.writer.QueryRow(ctx, `SELECT epoch FROM store_identity`).Scan(&epoch)
	switch {
	case err != nil:
		db.lose(errors.Join(ErrLost, clean(err)))
	case epoch != db.epoch:
		db.lose(ErrStaleEpoch)
	default:
		db.proved(sent)
	}
}

// lose ends everything: this process may no longer write.
func (db *DB) lose(why error) {
	db.end(why)
	// Somebody may be waiting for an answer on it that will not come.
	_ = db.writer.PgConn().Conn().Close()
}

// Lost is closed when this process may no longer write; Err tells why.
func (db *DB) Lost() <-chan struct{} { return db.life.Done() }

// Err is why this process may no longer write, nil while it may.
func (db *DB) Err() error {
	if db.life.Err() == nil {
		return nil
	}
	return context.Cause(db.life)
}
