package http

import (
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
)

// SetClock replaces the clock of waits.
func SetClock(b backend.Backend, c clock.Clock) { b.(*Backend).clock = c }
