// Package fault sorts errors by what a controller should do about them: terminal ones need a person, waiting ones need
// something else to happen first, all others are transient and are tried again with back-off.
//
// Reason and Message are public: they go into conditions, events and logs, so they hold no personal data.
package fault

import (
	"errors"
	"fmt"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Terminal means that trying again changes nothing until a person has acted.
type Terminal struct {
	Reason, Message string
	Err             error
}

func (e *Terminal) Error() string { return e.Reason + ": " + e.Message }
func (e *Terminal) Unwrap() error { return e.Err }

// Waiting means that something else must happen first; look again after After.
type Waiting struct {
	Reason, Message string
	After           time.Duration
	Err             error
}

func (e *Waiting) Error() string { return e.Reason + ": " + e.Message }
func (e *Waiting) Unwrap() error { return e.Err }

// Transient is a failure that may pass by itself, with a public reason.
type Transient struct {
	Reason, Message string
	Err             error
}

func (e *Transient) Error() string { return e.Reason + ": " + e.Message }
func (e *Transient) Unwrap() error { return e.Err }

// Terminalf makes a Terminal error.
func Terminalf(reason, format string, args ...any) error {
	return &Terminal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Waitingf makes a Waiting error.
func Waitingf(reason string, after time.Duration, format string, args ...any) error {
	return &Waiting{Reason: reason, After: after, Message: fmt.Sprintf(format, args...)}
}

// FromStore translates an error of a backend, naming the store.
func FromStore(store string, err error) error {
	var refused *backend.RefusedError
	var stale *backend.StaleError
	var many *backend.TooManyRowsError
	var unavailable *backend.UnavailableError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &stale):
		return err
	case errors.As(err, &many):
		return &Terminal{Reason: v1alpha1.ReasonPlanTooLarge, Err: err,
			Message: fmt.Sprintf("store %s: %s; raise the limit if this subject really has so many", store, many.Error())}
	case errors.Is(err, backend.ErrPathOutsideRoot):
		return &Terminal{Reason: v1alpha1.ReasonPathOutsideRoot, Err: err, Message: fmt.Sprintf("store %s: %s", store, backend.ErrPathOutsideRoot.Error())}
	case errors.As(err, &refused):
		return &Terminal{Reason: v1alpha1.ReasonStoreRefused, Err: err, Message: fmt.Sprintf("store %s: %s", store, refused.Error())}
	case errors.As(err, &unavailable):
		return &Transient{Reason: v1alpha1.ReasonStoreUnreachable, Err: err, Message: fmt.Sprintf("store %s: %s", store, unavailable.Error())}
	}
	return &Transient{Reason: v1alpha1.ReasonStoreUnreachable, Err: err, Message: fmt.Sprintf("store %s: the connection failed or timed out", store)}
}

// Public gives the reason and message that may be shown. The text of an unknown error may come from anywhere, so it is
// not shown.
func Public(err error) (reason, message string) {
	var terminal *Terminal
	var waiting *Waiting
	var transient *Transient
	switch {
	case errors.As(err, &terminal):
		return terminal.Reason, terminal.Message
	case errors.As(err, &waiting):
		return waiting.Reason, waiting.Message
	case errors.As(err, &transient):
		return transient.Reason, transient.Message
	}
	return v1alpha1.ReasonInternalError, "an internal error occurred and is tried again"
}
