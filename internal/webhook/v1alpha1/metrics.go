package v1alpha1

import (
	"net/http"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/internal/metrics"
)

// Words that say why the webhooks decided as they did.
const (
	reasonAllowed     = "Allowed"
	reasonVerbMissing = "VerbMissing"
	reasonFourEyes    = "FourEyes"
	reasonRefused     = "Refused"
	reasonUnreadable  = "Unreadable"
	reasonUnavailable = "Unavailable"
	reasonUnstamped   = "Unstamped"
)

// ruling is a response with the verb that it was about, if it was about one, and a word that says why.
type ruling struct {
	admission.Response
	verb, reason string
}

// counted counts a ruling and returns its response.
func (k kind) counted(req admission.Request, r ruling) admission.Response {
	decision, reason := "allowed", reasonAllowed
	if !r.Allowed {
		decision, reason = "denied", r.reason
		if r.Result != nil && (r.Result.Code >= http.StatusInternalServerError || r.Result.Code == http.StatusBadRequest) {
			decision = "error"
		}
	}
	verb := r.verb
	if verb == "" || r.Allowed {
		verb = strings.ToLower(string(req.Operation))
	}
	metrics.AdmissionDecisions.WithLabelValues(k.name, verb, decision, reason).Inc()
	return r.Response
}
