package backend

import "context"

// Trial is a value that a data map would write into a column.
type Trial struct {
	Table  Table
	Column string
	// Text of the value; it comes from the map, never from a record.
	Text string
}

// ValueTester is the capability of telling, without looking at a record, whether columns take values: their types, the
// constraints on them alone, and the tables that they refer to.
type ValueTester interface {
	// TestValues returns, in the order of the trials, why a column does not take its value, empty where it does or where that
	// cannot be told.
	TestValues(ctx context.Context, trials []Trial) ([]string, error)
}
