package mysql

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// translate makes an error of package backend of any other. The server's message holds data of rows and is not passed
// on.
func translate(err error, entity string) error {
	if err == nil || known(err) {
		return err
	}
	var server *mysql.MySQLError
	if errors.As(err, &server) {
		return fromServer(server, entity)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &backend.UnavailableError{Problem: "the database did not answer in time, or the call was cancelled", Err: err}
	}
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &host):
		return refused("", "the server's certificate cannot be verified", "correct ca.crt in the Secret, the host or tlsMode")
	case errors.Is(err, mysql.ErrNoTLS):
		return refused("", "the server does not offer TLS", "let it offer TLS, or correct tlsMode")
	case errors.Is(err, mysql.ErrPktTooLarge):
		return refused(entity, "the statement is longer than the server takes", "choose a smaller batchSize, or raise the server's max_allowed_packet")
	case errors.Is(err, mysql.ErrCleartextPassword), errors.Is(err, mysql.ErrNativePassword), errors.Is(err, mysql.ErrOldPassword),
		errors.Is(err, mysql.ErrUnknownPlugin):
		return refused("", "the server asks for a way of authentication that is not safe or not known",
			"let the user authenticate with a password by caching_sha2_password, ed25519 or mysql_native_password")
	}
	return &backend.UnavailableError{Problem: "the database cannot be reached, or the connection to it was lost", Err: err}
}

// translateOf translates an error of a statement.
func translateOf(err error) error {
	var e *entityError
	if !errors.As(err, &e) {
		return translate(err, "")
	}
	if e.guard != nil && forbidden(err) {
		table := core.TableName(e.guard.Table)
		return refused(e.entity, fmt.Sprintf("table %s cannot be read: %s of it would %s rows that refer to records that go, "+
			"and whether there are such rows must be known", table, e.guard.Name, e.guard.Effect()), "GRANT SELECT on table "+table)
	}
	return translate(err, e.entity)
}

// entityError remembers whose statement failed until the error is translated.
type entityError struct {
	entity string
	guard  *core.Reference // that the statement is for, if any
	err    error
}

func (e *entityError) Error() string { return "entity " + e.entity }
func (e *entityError) Unwrap() error { return e.err }

// of names the entity and guard that an error of the driver is about.
func of(entity string, guard *core.Reference, err error) error {
	if err == nil || known(err) {
		return err
	}
	return &entityError{entity, guard, err}
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

// serverError keeps a server's number for tests and logs, without its message.
type serverError struct{ number uint16 }

func (e *serverError) Error() string { return fmt.Sprintf("server error %d", e.number) }

// unavailable are the errors after which trying again can succeed.
var unavailable = map[uint16]string{
	1205: "another session holds a lock for longer than the lock timeout",
	1213: "the transaction was ended to resolve a deadlock",
	1317: "the statement was ended by the server",
	1969: "the statement took longer than the statement timeout",
	3024: "the statement took longer than the statement timeout",
	4031: "the server ended a connection that was idle for too long",
	1290: "the server is read-only", 1792: "the server is read-only", 1836: "the server is read-only",
	1020: "another transaction changed the same records", 1412: "a table was changed in the meantime",
	1615: "a table was changed in the meantime", 1684: "a table was changed in the meantime",
	1040: "the server has too many connections", 1203: "the user has too many connections", 1226: "the user has used up its resources on the server",
	1461: "the server has too many prepared statements", 1129: "the server blocks this host after too many failed connections",
}

func init() {
	for _, n := range []uint16{
		3, 5, 14, 28, // files of the server
		1021, 1030, 1037, 1038, 1041, 1114, 1135, 1206, // disk and memory
		1042, 1043, 1047, 1053, 1077, 1079, 1080, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 3169, // network and shutdown
	} {
		unavailable[n] = fmt.Sprintf("the server is not available (error %d)", n)
	}
}

func fromServer(e *mysql.MySQLError, entity string) error {
	cause := &serverError{e.Number}
	if problem, ok := unavailable[e.Number]; ok {
		return &backend.UnavailableError{Problem: problem, Err: cause}
	}
	refuse := func(problem, remedy string) error {
		return &backend.RefusedError{Entity: entity, Problem: fmt.Sprintf("%s (error %d)", problem, e.Number), Remedy: remedy, Err: cause}
	}
	switch e.Number {
	case 1216, 1217, 1451, 1452, 1761, 1762:
		return &backend.StaleError{Entity: entity, Problem: "records of a table refer to it by a foreign key", Err: cause}
	case 1045, 1130, 1251, 1524, 1698, 1862, 3118, 3159, 4151:
		entity = ""
		return refuse("the server refuses the user, its password or this host", "correct the credentials in the Secret, or the user's account")
	case 1049:
		entity = ""
		return refuse("the database does not exist", "correct the DataStore")
	case 1044, 1142, 1143, 1227, 1356, 1370:
		return refuse("the privileges do not suffice", "grant SELECT, UPDATE and DELETE on the table")
	case 1022, 1062, 1169, 1586, 1557:
		return refuse("the value is another record's already, and a key does not allow it twice", "choose another strategy for the column in the data map")
	case 1048, 1364, 3819, 4025, 1263, 1369:
		return refuse("a column or constraint of the table refuses the change", "choose another strategy for the column in the data map")
	case 1406, 1264, 1265, 1292, 1366, 1367, 1411, 1426, 1690, 1416, 4078, 3140, 3141, 3155, 3156:
		return refuse("a value does not fit its column",
			"compare columns, identities and conditions of the data map with the types of the table")
	case 1242:
		return refuse(core.NoDocument, core.NoDocumentRemedy)
	case 1644, 1441, 1442, 1336, 1415, 1422:
		return refuse("a trigger of the table refuses the change", "correct the trigger")
	case 1153, 1301:
		return refuse("the statement is longer than the server takes", "choose a smaller batchSize, or raise the server's max_allowed_packet")
	case 1665:
		return refuse("the server logs statements and cannot log this one", "set binlog_format to ROW or MIXED")
	case 1054, 1064, 1091, 1103, 1146, 1176, 1267, 1270, 1271, 1286, 1288, 1347, 1932:
		return refuse("the table, a column or a type is not as the data map says", "correct the data map")
	default: // 1105 among them, for a value that is too long to be sent, and much else
		return refuse("the server refuses the statement",
			"see the server's log; where values are long, choose a smaller batchSize or raise the server's max_allowed_packet")
	}
}

func number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

func forbidden(err error) bool {
	switch number(err) {
	case 1044, 1142, 1143:
		return true
	}
	return false
}

// mismatched reports whether the answer may mean that cached facts are out of date.
func mismatched(err error) bool {
	var e *entityError
	if errors.Is(err, core.ErrReferred) || errors.As(err, &e) && e.guard != nil && forbidden(err) {
		return true // by a foreign key that may be gone by now
	}
	var r *backend.RefusedError
	if errors.As(err, &r) { // a column that the cached facts do not have
		return true
	}
	switch number(err) {
	case 1054, 1146, 1267, 1270, 1271, 1292, 1366:
		return true
	}
	return false
}

// lost reports whether the connection is gone, and not the server's answer the reason.
func lost(err error) bool {
	return err != nil && !known(err) && number(err) == 0 && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// deadlock reports that the server rolled the transaction back because others wait for it.
func deadlock(err error) bool { return !known(err) && number(err) == 1213 }
