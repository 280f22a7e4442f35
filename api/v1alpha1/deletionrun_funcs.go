package v1alpha1

import (
	"strconv"
	"time"
)

// ConfirmationValue is what the stamp of who confirmed a run is bound to.
func ConfirmationValue(c *RunConfirmation) string { return strconv.FormatInt(c.Records, 10) }

// PostponementValue is what the stamp of who postponed a run is bound to.
func PostponementValue(p *RunPostponement) string { return p.To.UTC().Format(time.RFC3339) }
