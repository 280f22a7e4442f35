package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func TestFromStore(t *testing.T) {
	driver := errors.New("duplicate key (email)=(somebody@example.org)")
	for name, test := range map[string]struct {
		in       error
		reason   string
		terminal bool
	}{
		"unavailable": {&backend.UnavailableError{Problem: "connection refused", Err: driver}, v1alpha1.ReasonStoreUnreachable, false},
		"refused":     {&backend.RefusedError{Problem: "permission denied", Err: driver}, v1alpha1.ReasonStoreRefused, true},
		"outside":     {&backend.RefusedError{Problem: "x", Err: backend.ErrPathOutsideRoot}, v1alpha1.ReasonPathOutsideRoot, true},
		"too many":    {&backend.TooManyRowsError{MaxRows: 10}, v1alpha1.ReasonPlanTooLarge, true},
		"cancelled":   {context.Canceled, v1alpha1.ReasonStoreUnreachable, false},
		"unknown":     {driver, v1alpha1.ReasonStoreUnreachable, false},
		"wrapped":     {fmt.Errorf("resolve: %w", &backend.RefusedError{Problem: "no", Err: driver}), v1alpha1.ReasonStoreRefused, true},
	} {
		t.Run(name, func(t *testing.T) {
			err := FromStore("ats", test.in)
			reason, message := Public(err)
			var terminal *Terminal
			if reason != test.reason || errors.As(err, &terminal) != test.terminal {
				t.Errorf("%s (terminal %t), want %s (%t)", reason, errors.As(err, &terminal), test.reason, test.terminal)
			}
			if strings.Contains(message+err.Error(), "example.org") {
				t.Error("the public text repeats what the driver said")
			}
			if !errors.Is(err, test.in) {
				t.Error("the cause is lost")
			}
		})
	}
}

func TestPublicHidesUnknownErrors(t *testing.T) {
	if _, message := Public(errors.New("somebody@example.org")); strings.Contains(message, "somebody") {
		t.Error("an unknown error's text is shown")
	}
}
