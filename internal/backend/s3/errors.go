package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-dev/lethe/internal/backend"
)

// serverError keeps a server's code for tests and logs. Its message is left behind: it may hold keys and user names.
type serverError struct{ code string }

func (e *serverError) Error() string { return "S3 error " + e.code }

// code of an error if it looks like one: what else a server sends could be anything.
func code(r minio.ErrorResponse) string {
	plain := func(c rune) bool {
		return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.'
	}
	if r.Code == "" || len(r.Code) > 64 || strings.ContainsFunc(r.Code, func(c rune) bool { return !plain(c) }) {
		return "unknown"
	}
	return r.Code
}

func response(err error) (minio.ErrorResponse, bool) {
	var r minio.ErrorResponse
	ok := errors.As(err, &r)
	return r, ok
}

func notImplemented(err error) bool {
	r, ok := response(err)
	return ok && (r.StatusCode == http.StatusNotImplemented || r.Code == minio.NotImplemented)
}

func denied(err error) bool {
	r, ok := response(err)
	return ok && (r.Code == minio.AccessDenied || r.Code == "AllAccessDisabled" || saysLocked(r))
}

// translate makes an error of package backend of the library's; right is the permission that the request needs.
func translate(ctx context.Context, err error, right string) error {
	if err == nil || known(err) {
		return err
	}
	if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		problem := "the call was cancelled or its time was over"
		if errors.Is(context.Cause(ctx), errDeadline) {
			problem = errDeadline.Error()
		}
		return &backend.UnavailableError{Problem: problem, Err: err}
	}
	if r, ok := response(err); ok {
		return fromServer(r, right)
	}
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	if errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) {
		return refused("the server's certificate cannot be verified", "correct ca.crt in the Secret or the endpoint")
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return refused("the server speaks plain HTTP at an https endpoint", "correct the endpoint")
	}
	return &backend.UnavailableError{Problem: "the server cannot be reached, or its answer cannot be understood", Err: err}
}

func known(err error) bool {
	var u *backend.UnavailableError
	var r *backend.RefusedError
	var s *backend.StaleError
	var t *backend.TooManyRowsError
	return errors.As(err, &u) || errors.As(err, &r) || errors.As(err, &s) || errors.As(err, &t)
}

func fromServer(r minio.ErrorResponse, right string) error {
	failed := &serverError{code(r)}
	refuse := func(problem, remedy string) error {
		return &backend.RefusedError{Problem: problem, Remedy: remedy, Err: failed}
	}
	switch r.Code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "ExpiredTokenException", "InvalidSecurity",
		"UnrecognizedClientException", "InvalidClientTokenId", "NotSignedUp":
		return refuse("the server refuses the access key, its secret or the session token (code "+failed.code+")", "correct the credentials in the Secret")
	case minio.AccessDenied, "AllAccessDisabled", "AccountProblem":
		return refuse("the privileges do not suffice", "grant the access key "+right+" on the bucket and its objects")
	case minio.NoSuchBucket:
		return refuse("the bucket does not exist", "correct the DataStore")
	case "PermanentRedirect", "TemporaryRedirect", "Redirect", minio.InvalidRegion, "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		return refuse("the bucket is at another endpoint or in another region (code "+failed.code+")", "correct endpoint and region of the DataStore")
	case "RequestTimeTooSkewed":
		return &backend.UnavailableError{Problem: "the clocks of the operator and the server differ too much", Err: failed}
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "InternalError", "RequestTimeout", "ServiceUnavailable", "Throttling", "ThrottlingException",
		"RequestLimitExceeded", "RequestThrottled", "TooManyRequests", "OperationAborted", "RequestError":
		return &backend.UnavailableError{Problem: "the server is overloaded or not available (code " + failed.code + ")", Err: failed}
	}
	switch {
	case notImplemented(r):
		return refuse("the server does not know a request that is needed for "+right, "use a server that implements it")
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return refuse("the server sends requests elsewhere, and no other host may get them", "correct endpoint and region of the DataStore")
	case r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusRequestTimeout, r.StatusCode >= 500, r.StatusCode == 499:
		return &backend.UnavailableError{Problem: "the server is overloaded or not available (code " + failed.code + ")", Err: failed}
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		return refuse("the server refuses the access (code "+failed.code+")", "correct the credentials, or grant the access key "+right)
	}
	return refuse("the server refuses a request that needs "+right+" (code "+failed.code+")", "see the server's log")
}

// named says which entity an error is about. Errors may be shared: a copy is changed.
func named(err error, entity string) error {
	var r *backend.RefusedError
	if errors.As(err, &r) && r.Entity == "" {
		c := *r
		c.Entity = entity
		return &c
	}
	return err
}
