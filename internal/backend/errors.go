package backend

import (
	"errors"
	"fmt"
)

// ErrPathOutsideRoot means that a path leaves the folder it may not leave.
var ErrPathOutsideRoot = errors.New("path leaves the store's root")

// UnavailableError means that the store could not be reached, timed out or ended the connection: try again later.
// Its text says what happened without naming data or credentials.
type UnavailableError struct {
	Problem string
	Err     error // for errors.Is only; its text is never printed
}

func (e *UnavailableError) Error() string { return e.Problem }
func (e *UnavailableError) Unwrap() error { return e.Err }

// RefusedError means that the store answered and refused for a reason that trying again will not mend: missing
// privileges, a missing table, wrong credentials, a constraint that the plan cannot know.
type RefusedError struct {
	Entity  string // of the query or operation, where one is to blame
	Problem string // what is wrong
	Remedy  string // what to do
	Err     error
}

func (e *RefusedError) Error() string {
	s := e.Problem
	if e.Entity != "" {
		s = fmt.Sprintf("entity %s: %s", e.Entity, s)
	}
	if e.Remedy != "" {
		s += "; " + e.Remedy
	}
	return s
}
func (e *RefusedError) Unwrap() error { return e.Err }

// StaleError means that a transactional batch was rolled back because the data is no longer as it was when the plan was
// made (a record appeared that refers to a planned one, a condition holds now that keeps a record): plan anew.
type StaleError struct {
	Entity  string
	Problem string
	Err     error
}

func (e *StaleError) Error() string { return fmt.Sprintf("entity %s: %s", e.Entity, e.Problem) }
func (e *StaleError) Unwrap() error { return e.Err }

// TooManyRowsError means that a resolution found more records than its bound.
type TooManyRowsError struct{ MaxRows int64 }

func (e *TooManyRowsError) Error() string {
	return fmt.Sprintf("more than %d records, the store's limits.maxRowsPerRun", e.MaxRows)
}
