package redis

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/lethe-dev/lethe/internal/backend"
)

// rights is what Lethe's user needs, in the words of Redis' ACL.
const rights = "ACL SETUSER the user with ~ and the patterns of the keys, and +hello +scan +exists +hexists +sismember +zscore +unlink " +
	"+hdel +srem +zrem (categories @keyspace, @hash, @set and @sortedset), with a database other than 0 +select, in a cluster " +
	"+cluster|slots and +cluster|nodes"

func refused(problem, remedy string) *backend.RefusedError {
	return &backend.RefusedError{Problem: problem, Remedy: remedy}
}

func unavailable(problem string, err error) error {
	return &backend.UnavailableError{Problem: problem, Err: err}
}

func known(err error) bool {
	var u *backend.UnavailableError
	var r *backend.RefusedError
	var t *backend.TooManyRowsError
	return errors.As(err, &u) || errors.As(err, &r) || errors.As(err, &t)
}

// serverError keeps a server's code for tests and logs, without its message, which may name keys.
type serverError struct{ code string }

func (e *serverError) Error() string { return e.code }

// translate makes an error of package backend of any other. Of a server's answer only the code is passed on.
func translate(err error, entity string) error {
	var answer redis.Error
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case err == nil || known(err):
		return err
	case errors.As(err, &answer):
		return fromServer(answer.Error(), entity)
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &host):
		return refused("the server's certificate cannot be verified", "correct ca.crt in the Secret, or the address")
	case errors.As(err, &record):
		return refused("the server does not speak TLS at this address", "correct the address, or turn TLS off in the DataStore")
	case alerted(err):
		return refused("the server refuses the TLS connection", "correct tls.crt and tls.key in the Secret")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return unavailable("the server did not answer in time, or the call was cancelled", err)
	default:
		return unavailable("the connection to the server failed", err)
	}
}

// alertInternal is the alert of a server that has a problem of its own.
const alertInternal = tls.AlertError(80)

// alerted reports whether the other side ended the TLS connection because of what it was shown, or was not.
func alerted(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() != alertInternal.Error()
}

// transient are codes of answers that another time may be different.
var transient = map[string]string{
	"LOADING":     "the server is loading its data",
	"CLUSTERDOWN": "the cluster is down, or has no node for some of the keys",
	"READONLY":    "the server is a replica",
	"TRYAGAIN":    "the keys are being moved to another node",
	"MOVED":       "the keys were moved to another node",
	"ASK":         "the keys are being moved to another node",
	"MASTERDOWN":  "the server's master is down",
	"NOREPLICAS":  "the server has too few replicas to write",
	"OOM":         "the server is out of memory",
	"BUSY":        "the server is busy with a script",
	"MISCONF":     "the server cannot save its data and takes no writes",
	"UNBLOCKED":   "the server ended the call",
}

func fromServer(message, entity string) error {
	code, rest, _ := strings.Cut(strings.TrimPrefix(message, "-"), " ")
	r := &backend.RefusedError{Entity: entity, Err: &serverError{code}}
	if problem, ok := transient[code]; ok {
		return unavailable(problem, r.Err)
	}
	switch code {
	case "WRONGTYPE":
		r.Problem, r.Remedy = "a key is of another type than the data map says", "correct the path's kind in the data map"
	case "NOAUTH", "WRONGPASS":
		r.Entity, r.Problem, r.Remedy = "", "the server refuses the user or password", "correct the credentials in the Secret"
	case "NOPERM":
		r.Problem, r.Remedy = "the user's rights do not suffice", rights
	case "ERR":
		return fromText(rest, r)
	default:
		if strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || len(code) > 20 {
			code, r.Err = "ERR", nil
		}
		r.Problem, r.Remedy = "the server refuses the command ("+code+")", "see the server's log"
	}
	return r
}

// fromText tells apart what Redis reports without a code of its own.
func fromText(text string, r *backend.RefusedError) error {
	has := func(s string) bool { return strings.Contains(strings.ToLower(text), s) }
	switch {
	case has("max number of clients"):
		return unavailable("the server has too many clients", r.Err)
	case has("without any password configured"), has("invalid password"), has("invalid username-password"):
		r.Entity, r.Problem, r.Remedy = "", "the server refuses the user or password", "correct the credentials in the Secret"
	case has("unknown command"), has("unknown subcommand"):
		r.Problem, r.Remedy = "the server does not know a command that is needed", "use Redis 6 or later, and do not rename commands"
	case has("db index is out of range"), has("select is not allowed in cluster mode"):
		r.Entity, r.Problem, r.Remedy = "", "the server has no database with this number", "correct the DataStore"
	case has("cluster support disabled"):
		r.Entity, r.Problem, r.Remedy = "", "the server is not part of a cluster", "correct the DataStore"
	default:
		r.Problem, r.Remedy = "the server refuses the command", "see the server's log"
	}
	return r
}

// lost reports whether an error is not a server's answer to a command: then nothing is known of what was sent.
func lost(err error) bool {
	var answer redis.Error
	return err != nil && !errors.As(err, &answer)
}
