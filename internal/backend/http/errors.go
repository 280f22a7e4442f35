package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"

	"github.com/lethe-dev/lethe/internal/backend"
)

func refused(problem, remedy string) *backend.RefusedError {
	return &backend.RefusedError{Problem: problem, Remedy: remedy}
}

func unavailable(problem string, err error) error {
	return &backend.UnavailableError{Problem: problem, Err: err}
}

// of names the entity in an error.
func of(err error, entity string) error {
	var r *backend.RefusedError
	if errors.As(err, &r) && r.Entity == "" {
		r.Entity = entity
	}
	return err
}

// untrue is for answers that cannot be right: nothing else that the service says can be trusted then.
func untrue(what string) error {
	return refused("the service's answer "+what, "correct the service: see http-contract.md")
}

// translate makes an error of package backend of one of the transport. Its text may hold addresses: it is not passed on.
func translate(err error) error {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &host):
		return refused("the service's certificate is for another name", "correct the URL in the DataStore, or the certificate")
	case errors.As(err, &verification), errors.As(err, &authority):
		return refused("the service's certificate cannot be verified", "correct ca.crt in the Secret, or the certificate")
	case alerted(err):
		return refused("the service refuses the TLS connection", "correct tls.crt and tls.key in the Secret")
	case errors.As(err, &record), errors.Is(err, nethttp.ErrSchemeMismatch):
		return refused("the service does not speak TLS at this address", "correct the URL in the DataStore")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable("the service did not answer in time, or the call was cancelled", err)
	default:
		return unavailable("the connection to the service failed", err)
	}
}

// alertInternal is the alert of a server that has a problem of its own.
const alertInternal = tls.AlertError(80)

// alerted reports whether the other side ended the TLS connection because of what it was shown, or was not.
func alerted(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() != alertInternal.Error()
}

// statusError keeps a status for tests and logs.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("HTTP status %d", e.status) }

// fromStatus tells what a status means that is not the one that the contract has for success. What the service writes
// beside it may hold ids and is not passed on.
func fromStatus(status int) error {
	cause := &statusError{status}
	text := fmt.Sprintf("(HTTP status %d)", status)
	switch {
	case status == nethttp.StatusUnauthorized || status == nethttp.StatusForbidden:
		return &backend.RefusedError{Problem: "the service refuses the credentials " + text,
			Remedy: "correct the Secret, or grant Lethe what the contract needs", Err: cause}
	case status == nethttp.StatusNotFound || status == nethttp.StatusMethodNotAllowed:
		return &backend.RefusedError{Problem: "the service does not implement the contract at this URL " + text,
			Remedy: "correct the URL in the DataStore, or the service: see http-contract.md", Err: cause}
	case status == nethttp.StatusTooManyRequests || status == nethttp.StatusServiceUnavailable:
		return unavailable("the service asks to come again later "+text, cause)
	// A conflict is a request of the same key that is still at work.
	case status == nethttp.StatusRequestTimeout || status == nethttp.StatusConflict || status == nethttp.StatusTooEarly || status >= 500:
		return unavailable("the service is not available "+text, cause)
	case status >= 300 && status < 400:
		return &backend.RefusedError{Problem: "the service redirects, and redirects are not followed " + text,
			Remedy: "name the right URL in the DataStore", Err: cause}
	case status < 300:
		return &backend.RefusedError{Problem: "the service answers with a status that the contract has not " + text,
			Remedy: "correct the service: see http-contract.md", Err: cause}
	default:
		return &backend.RefusedError{Problem: "the service refuses the request " + text, Remedy: "see the service's log", Err: cause}
	}
}
