package backend

import (
	"context"
	"time"
)

// Sweeper is the capability of finding and treating the records of a table whose time has come, page by page, for stores
// that have tables and transactions.
type Sweeper interface {
	// CheckSweep says what the store cannot do of a sweep, for example a column that is not there; nil where it can. It does
	// not count.
	CheckSweep(ctx context.Context, s *Sweep) error

	// CountSweep counts what is due by each of the cutoffs. It changes nothing and locks nothing.
	CountSweep(ctx context.Context, s *Sweep) (*SweepCount, error)

	// SweepBatch treats the next records that are due, their dependants first, in one transaction. Records that another
	// transaction has locked are skipped and reported; records that are no longer due when their turn comes are left alone.
	SweepBatch(ctx context.Context, s *Sweep, b SweepBatch) (*SweepResult, error)

	// SplitSweep cuts the keys of the records whose clock has passed the cutoff into at most n ranges of about the same number of
	// them and returns the first key of all and then the last one of each range, in order; nothing where there are none. Before
	// the first and beyond the last one nothing is due: who goes there looks through all that stays.
	SplitSweep(ctx context.Context, s *Sweep, n int) (bounds []Key, err error)

	// CollectSweep returns what the steps collect, in their order, of the records with the keys and of their dependants as they are
	// now, due or not, but for those that an update would not change. It changes nothing and waits for nobody.
	CollectSweep(ctx context.Context, s *Sweep, keys []Key) (collected [][][]Value, err error)

	// ExplainSweep looks at single records, due or not: what their clocks say and which tests keep them.
	ExplainSweep(ctx context.Context, s *Sweep, keys []Key) ([]SweepExplanation, error)

	// Lag is how far the slowest replica of the store is behind; ok is false where it has none or cannot tell.
	Lag(ctx context.Context) (lag time.Duration, ok bool, err error)
}

// Hop leads from a record to records of another table: from a child to its parent, or with Down from a parent to its
// children.
type Hop struct {
	Table Table
	// Columns of the table that the hop comes from, TargetColumns of Table, in the same order: they are equal.
	Columns, TargetColumns []string
	// Conditions on the record that refers: with Down a record of Table, else the one that the hop comes from.
	Conditions []Condition
	// TargetConditions on records of Table, such as its tenant.
	TargetConditions []Condition
	// Down leads from a parent to all of its children.
	Down bool
}

// SweepClock is the time from which a period counts.
type SweepClock struct {
	// Column of the record, or of that at the end of Path.
	Column string
	// Path to the record that has the column. Where it leads down, the latest of the children counts; a record without any
	// child, or with a child whose column is empty or unreadable, has no clock.
	Path []Hop
}

// SweepTest keeps a record: while there is a record at the end of Path (the record itself where Path is empty) that meets all
// of Conditions and, if there is a Clock, whose clock is empty, unreadable or after the Cutoff.
type SweepTest struct {
	// Name of the rule, hold or map that demands it, for reports: never data.
	Name       string
	Path       []Hop
	Conditions []Condition
	// Clock of the record at the end of Path. Optional; its own path leads on from there.
	Clock  *SweepClock
	Cutoff time.Time
}

// SweepStep is what happens to the dependants of the records that are due, or to those themselves (Path is empty; the last
// step).
type SweepStep struct {
	// Entity names the step within the sweep.
	Entity     string
	Table      Table
	KeyColumns []string
	// Path from the records that are due down to these.
	Path []Hop
	// Scope must hold for a record of Table; one that Path leads to and that is outside it keeps the record that is due.
	Scope []Condition
	// Action: Delete, or Update.
	Action Action
	// Columns that an Update sets, and to what. A record that has all of the values already is not written again, and one that is
	// due and of which no step would change anything does not count as due.
	Columns []SweepColumn
	// Collect are columns to return of every record treated, such as the paths of its files.
	Collect []string
}

// SweepColumn is the new value of one column, the same for every record or made from the old one by the store.
type SweepColumn struct {
	Column string
	// Value in plain text; nil is NULL. Not used with Truncate or Now.
	Value *string
	// Truncate keeps year, month or day of the value.
	Truncate string
	// Now sets the column to Sweep.Now where it is NULL, or where another column of the step changes: a time that is there says
	// that the record was treated.
	Now bool
}

// Truncations of a SweepColumn.
const (
	TruncateYear  = "Year"
	TruncateMonth = "Month"
	TruncateDay   = "Day"
)

// Sweep says which records of a table are due and what happens to them. It holds no values of records.
type Sweep struct {
	Table      Table
	KeyColumns []string
	// Scope must hold for every record.
	Scope []Condition
	// Clock from which the period counts; a record is due once its clock is at or before Cutoff. A record whose clock is empty,
	// unreadable or after Now is not due. Without a column every record is; then nothing is deleted.
	Clock  SweepClock
	Cutoff time.Time
	// Since leaves records whose clock is at or before it to somebody else. Optional.
	Since time.Time
	// Now tells clocks in the future.
	Now time.Time
	// Keep are tests of which none may hold.
	Keep []SweepTest
	// Subject leads to the column that names the person, for SweepBatch.Held. Optional; what it leads to may be nobody.
	Subject *SweepClock
	// Steps from the deepest dependants to the records themselves. Without any the records are only looked for.
	Steps []SweepStep
	// Ignored are tables whose foreign keys may be set to NULL or their default by the store when a record goes.
	Ignored []Table
	// Brief has CountSweep count Total and Due only: the rest has it look at every record.
	Brief bool
}

// SweepCount counts records of a sweep's table within its scope.
type SweepCount struct {
	// Total records in the scope.
	Total int64
	// Due by Cutoff, after all tests.
	Due int64
	// Steps has, in the order of Sweep.Steps, how many records would be treated with those that are due.
	Steps []int64
	// NoClock have an empty or unreadable clock, Future one after Now; neither is due.
	NoClock, Future int64
	// Kept counts, in the order of Sweep.Keep, the records past the cutoff that the test keeps; a record may count several
	// times.
	Kept []int64
	// Earliest clock of those that are due; zero where none is.
	Earliest time.Time
}

// SweepBatch is one page of a sweep.
type SweepBatch struct {
	// From is the first key of the range, nil for all.
	From Key
	// After is the key that the last page ended with; nil for the first.
	After Key
	// Until is the last key of the range, nil for all.
	Until Key
	// Limit of due records in the page, greater than 0.
	Limit int
	// Held tells, for the persons of the page's records (plain text, nil where there is none), which ones must be left
	// alone. Nil where no hold is by person. An error ends the batch.
	Held func(ctx context.Context, subjects []Value) ([]bool, error)
	// BeforeEffect, if set, is called with the result right before it may become lasting; an error ends the batch without any.
	BeforeEffect func(ctx context.Context, r *SweepResult) error
}

// SweepResult is what one page did.
type SweepResult struct {
	// Last key of the page, where the next one begins; nil when the range is at its end.
	Last Key
	// Keys of the records that were treated.
	Keys []Key
	// Affected counts, in the order of Sweep.Steps, the records treated.
	Affected []int64
	// Collected has, in the order of Sweep.Steps, the columns that the step collects, of every record treated.
	Collected [][][]Value
	// Locked counts records that another transaction had locked, Held those that Held told to leave alone.
	Locked, Held int64
}

// SweepExplanation is what a sweep finds of one record.
type SweepExplanation struct {
	Key Key
	// Found is false where the table has no such record within the scope.
	Found bool
	// Clock of the sweep.
	Clock Clock
	// Keep tells, in the order of Sweep.Keep, which tests keep the record, and Clocks what their clocks say (those without
	// one are not Valid; of several records the latest).
	Keep   []bool
	Clocks []Clock
	// Subject is the person's name in plain text, nil where there is none.
	Subject Value
}
