package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// translate makes an error of package backend of any other; SQLite's message may quote the schema and values and is not
// passed on.
func translate(err error, entity string) error {
	var u *backend.UnavailableError
	var r *backend.RefusedError
	var st *backend.StaleError
	var t *backend.TooManyRowsError
	if err == nil || errors.As(err, &u) || errors.As(err, &r) || errors.As(err, &st) || errors.As(err, &t) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &backend.UnavailableError{Problem: "the database did not answer in time, or the call was cancelled", Err: err}
	}
	var s *sqlite.Error
	if !errors.As(err, &s) {
		return &backend.UnavailableError{Problem: "the database file cannot be used", Err: err}
	}
	if s.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER && strings.Contains(s.Error(), "FOREIGN KEY constraint failed") {
		return fromCode(sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, entity) // SQLite enforces ON DELETE RESTRICT with a trigger of its own
	}
	if s.Code() == sqlite3.SQLITE_ERROR && strings.Contains(s.Error(), "malformed JSON") {
		return &backend.RefusedError{Entity: entity, Problem: core.NoDocument, Remedy: core.NoDocumentRemedy}
	}
	return fromCode(s.Code(), entity)
}

func fromCode(code int, entity string) error {
	cause := fmt.Errorf("SQLite result code %d", code)
	unavailable := func(problem string) error { return &backend.UnavailableError{Problem: problem, Err: cause} }
	refused := func(problem, remedy string) error {
		return &backend.RefusedError{Entity: entity, Problem: fmt.Sprintf("%s (SQLite code %d)", problem, code), Remedy: remedy, Err: cause}
	}
	if code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY {
		return &backend.StaleError{Entity: entity, Problem: "records of another table refer to it", Err: cause}
	}
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return unavailable("another process holds the database's lock for longer than the lock timeout")
	case sqlite3.SQLITE_INTERRUPT:
		return unavailable("the statement took longer than the statement timeout, or was cancelled")
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL:
		return unavailable(fmt.Sprintf("the database file cannot be read or written (SQLite code %d)", code))
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
		return refused("the database file is read-only", "grant the operator's user write access to the file and its folder")
	case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
		return refused("the file is not a database, is encrypted or damaged", "correct the DataStore, or repair the file")
	case sqlite3.SQLITE_CONSTRAINT:
		return refused("a constraint or trigger refuses the change", "choose another strategy for the column in the data map")
	case sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_MISMATCH:
		return refused("a value does not fit its column", "correct the data map")
	default:
		return refused("the table, a column or a trigger is not as the data map says", "correct the data map")
	}
}
