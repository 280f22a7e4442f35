package postgresql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// translate makes an error of package backend of any other. The server's message and detail hold data of rows: only its
// code and the names of tables, columns and constraints are passed on.
func translate(err error, entity string) error {
	if err == nil || known(err) {
		return err
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return fromServer(pg, entity)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &backend.UnavailableError{Problem: "the database did not answer in time, or the call was cancelled", Err: err}
	}
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	if errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &host) {
		return refused("", "the server's certificate cannot be verified", "correct ca.crt in the Secret, the host or sslMode")
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		if strings.Contains(err.Error(), "server refused TLS connection") { // the driver has no value for it
			return refused("", "the server does not offer TLS", "let it offer TLS, or correct sslMode")
		}
		return &backend.UnavailableError{Problem: "the database cannot be reached", Err: err}
	}
	var encode interface{ SafeToRetry() bool }
	if errors.As(err, &encode) {
		return &backend.UnavailableError{Problem: "the connection to the database was lost", Err: err}
	}
	return &backend.UnavailableError{Problem: "the connection to the database failed", Err: err}
}

// translateOf translates an error of a pipeline.
func translateOf(err error) error {
	var e *entityError
	if !errors.As(err, &e) {
		return translate(err, "")
	}
	if e.guard != nil && forbidden(err) {
		table := core.TableName(e.guard.Table)
		return refused(e.entity, fmt.Sprintf("table %s cannot be read: %s of it would %s rows that refer to records that go, "+
			"and whether there are such rows must be known", table, e.guard.Name, e.guard.Effect()),
			"GRANT SELECT on table "+table+" and USAGE on its schema, and BYPASSRLS where a policy applies")
	}
	return translate(err, e.entity)
}

func forbidden(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42501"
}

func known(err error) bool {
	var u *backend.UnavailableError
	var r *backend.RefusedError
	var s *backend.StaleError
	var t *backend.TooManyRowsError
	return errors.As(err, &u) || errors.As(err, &r) || errors.As(err, &s) || errors.As(err, &t)
}

func refused(entity, problem, remedy string) error {
	return &backend.RefusedError{Entity: entity, Problem: problem, Remedy: remedy}
}

func unavailable(pg *pgconn.PgError, problem string) error {
	return &backend.UnavailableError{Problem: problem, Err: &serverError{pg.Code}}
}

// serverError keeps a server's code for tests and logs, without its message.
type serverError struct{ code string }

func (e *serverError) Error() string { return "SQLSTATE " + e.code }

func fromServer(pg *pgconn.PgError, entity string) error {
	switch pg.Code {
	case "23503": // foreign_key_violation
		return &backend.StaleError{
			Entity:  entity,
			Problem: fmt.Sprintf("records of table %q refer to it (constraint %q)", pg.TableName, pg.ConstraintName),
			Err:     &serverError{pg.Code},
		}
	case "55P03", "40P01", "40001", "57014", "25P03":
		return unavailable(pg, map[string]string{
			"55P03": "another session holds a lock for longer than the lock timeout",
			"40P01": "the statement was ended to resolve a deadlock",
			"40001": "another transaction changed the same records",
			"57014": "the statement took longer than the statement timeout, or was cancelled",
			"25P03": "the session was idle in its transaction for too long",
		}[pg.Code])
	case "25006": // read_only_sql_transaction
		return unavailable(pg, "the server is a standby or read-only")
	case "28P01", "28000":
		return refused("", "the server refuses the user or password", "correct the credentials in the Secret, or pg_hba.conf")
	case "3D000":
		return refused("", "the database does not exist", "correct the DataStore")
	case "42501": // insufficient_privilege, row-level security
		return refused(entity, "the privileges do not suffice, or a row-level security policy would hide rows",
			"grant SELECT, UPDATE and DELETE on the table, USAGE on its schema, and BYPASSRLS where a policy applies")
	}
	return fromServerClass(pg, entity)
}

func fromServerClass(pg *pgconn.PgError, entity string) error {
	switch pg.Code[:min(2, len(pg.Code))] {
	case "08", "53", "57", "58", "40":
		return unavailable(pg, "the server is not available (SQLSTATE "+pg.Code+")")
	case "23":
		return refused(entity, fmt.Sprintf("constraint %q of table %q refuses the change (SQLSTATE %s)%s",
			pg.ConstraintName, pg.TableName, pg.Code, onColumn(pg)), "choose another strategy for the column in the data map")
	case "22":
		if strings.HasPrefix(pg.File, "json") { // the part of the server that parses documents
			return refused(entity, core.NoDocument+" (SQLSTATE "+pg.Code+")", core.NoDocumentRemedy)
		}
		return refused(entity, fmt.Sprintf("a value does not fit its column%s (SQLSTATE %s)", onColumn(pg), pg.Code),
			"compare columns, identities and conditions of the data map with the types of the table")
	case "42", "0A":
		return refused(entity, "the table, a column or a type is not as the data map says (SQLSTATE "+pg.Code+")",
			"correct the data map")
	case "P0":
		return refused(entity, "a trigger or function of the database refuses (SQLSTATE "+pg.Code+")", "correct the trigger")
	default:
		return refused(entity, "the server refuses the statement (SQLSTATE "+pg.Code+")", "see the server's log")
	}
}

func onColumn(pg *pgconn.PgError) string {
	if pg.ColumnName == "" {
		return ""
	}
	return fmt.Sprintf(" at column %q", pg.ColumnName)
}

// mismatched reports whether the server's answer may mean that cached facts or plans are out of date.
func mismatched(err error) bool {
	var e *entityError
	if errors.Is(err, core.ErrReferred) || errors.Is(err, core.ErrNoCascade) || errors.As(err, &e) && e.guard != nil && forbidden(err) {
		return true // by a foreign key that may be gone by now
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		var r *backend.RefusedError
		return errors.As(err, &r) // a column that the cached facts do not have
	}
	switch pg.Code {
	case "42703", "42P01", "42804", "42883", "42704", "22P02", "0A000", "26000":
		return true
	}
	return false
}

// lost reports whether the connection is gone, and not the server's answer the reason.
func lost(err error) bool {
	if err == nil || known(err) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "57P01" || pg.Code == "57P02" // the server said goodbye while the connection was idle
	}
	return true
}
