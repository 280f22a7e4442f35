package harness

import (
	"context"
	"sync"
	"time"
)

// Clock is a clock that a test sets. It implements clock.PassiveClock, and Witness by a second one of its own.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock begins at the given time.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now is the time that was set last.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Since is the time since t.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Set jumps to a time, forwards or backwards.
func (c *Clock) Set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// Step jumps by a duration.
func (c *Clock) Step(d time.Duration) { c.Set(c.Now().Add(d)) }

// Witness shows a Clock as the second clock of an operator.
type Witness struct{ *Clock }

// Now is the time that was set last.
func (w Witness) Now(context.Context) (time.Time, error) { return w.Clock.Now(), nil }
