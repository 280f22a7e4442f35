// Package backendtest is the contract of package backend as a test suite. Every backend passes it against its real
// engine: Run is for databases, RunFiles for stores of files, and so on. The functions that begin with Fuzz are the bodies of
// fuzz tests.
package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Limits of a connection; zero means the backend's default.
type Limits struct {
	BatchSize                     int
	StatementTimeout, LockTimeout time.Duration
}

// Database is an empty database for one test, seen by its owner.
type Database interface {
	// Open opens the backend under test with the credentials that Lethe would have.
	Open(t testing.TB, l Limits) backend.Backend
	// Exec runs SQL as the application: what all databases understand, with identifiers in double quotes and $1 for arguments.
	Exec(t testing.TB, statement string, args ...any)
	// Dump returns all rows that a query finds as text that tells different values apart.
	Dump(t testing.TB, query string) []string
	// Count makes triggers that write a row into the table effects for each row of the table that is changed or deleted.
	Count(t *testing.T, table string)
	// Lock holds a lock that keeps others from changing the table until the returned function is called.
	Lock(t *testing.T, table string) (unlock func())
	// Slow makes each deletion of a row of the table take longer than a second.
	Slow(t *testing.T, table string)
	// Break makes the connection die when a row of the table is deleted; the returned function mends it. Nil results
	// mean that the engine has no connection that could die.
	Break(t *testing.T, table string) (mend func())
	// Forbid takes the right to change the table from Lethe; nil where only the file has rights.
	Forbid(t *testing.T, table string) (ok bool)
	// Stop takes the server away until the returned function is called; nil where there is none.
	Stop(t *testing.T) (start func())
	// BlobType is the name of the type for bytes, Blob a literal of it.
	BlobType() string
	Blob(hex string) string
	// Dialect is what SQL needs to know of the database.
	Dialect() Dialect
}

// Dialect is what differs between databases in the suite's SQL.
type Dialect struct {
	// KeyText is the type of short text that can be in a key and tells all texts apart, Text that of long text.
	KeyText, Text string
	// Timestamp has microseconds and no zone, Numeric two decimal places at least.
	Timestamp, Numeric string
	// JSON is the type of documents.
	JSON string
	// LongKey is the clause of a primary key over columns, of which the long ones are of type Text, or of what comes nearest.
	LongKey func(short, long []string) string
	// Partial, Expressions and SetDefault are true where there are partial indexes, indexes on expressions and
	// ON DELETE SET DEFAULT.
	Partial, Expressions, SetDefault bool
	// Folding are types of short text that take different texts for the same when they compare, once Prepare was run.
	Folding, Prepare []string
}

// PrimaryKey is a LongKey of databases that have any text in keys.
func PrimaryKey(short, long []string) string {
	return "PRIMARY KEY (" + strings.Join(slices.Concat(short, long), ", ") + ")"
}

// Run runs the suite for databases. fresh makes an empty database.
func Run(t *testing.T, fresh func(t *testing.T) Database) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, e *env)
	}{
		{"finds by identity", testIdentity},
		{"finds along parents", testParents},
		{"finds by values of other stores", testValues},
		{"values that a column cannot have find nothing", testLoose},
		{"finds each record once by any of several ways", testAnyOf},
		{"finds along references of a table to itself", testSelf},
		{"tells what others have too", testShared},
		{"follows references of parents that meet conditions", testParentConditions},
		{"finds a word in a text", testContains},
		{"changes members of documents and nothing else of them", testDocumentMembers},
		{"a text that is no document is refused by name, and a blank one stays", testNoDocument},
		{"finds and takes out elements of arrays, or refuses to", testArrays},
		{"a record that others refer to makes the batch stale", testReferrers},
		{"reads columns, clocks and flags", testReads},
		{"conditions hold as in the API", testConditions},
		{"stops at too many records", testTooManyRows},
		{"deletes the subject's records and no others", testDelete},
		{"updates as planned and no others", testUpdate},
		{"updates only what is as expected", testExpect},
		{"waits before an effect lasts", testBeforeEffect},
		{"treats batches greater than a statement", testBatchSize},
		{"a record that a condition keeps makes the batch stale", testUnless},
		{"a record that refers to a planned one makes the batch stale", testForeignKey},
		{"a foreign key deletes and changes nothing that is not planned", testGuard},
		{"a foreign key is no obstacle to what is planned", testGuardPlanned},
		{"a table that refers to itself loses what is planned alone", testGuardSelf},
		{"a foreign key that is gone is no obstacle", testGuardChanged},
		{"keys are compared exactly", testNastyKeys},
		{"texts that a collation takes for the same are told apart", testCollations},
		{"values come back without loss", testLossless},
		{"no value is executed", testInjection},
		{"no name is executed", testNames},
		{"a locked record is unavailable, and nothing is done", testLock},
		{"a slow statement is unavailable, and nothing is done", testTimeout},
		{"a cancelled call is unavailable, and nothing is done", testCancel},
		{"a lost connection is unavailable, and nothing is done", testBreak},
		{"missing privileges are refused, and nothing is done", testForbid},
		{"a stopped server is unavailable, and found again", testStop},
		{"calls run concurrently", testConcurrent},
		{"verify finds what is left", testVerify},
		{"what the map has wrong is refused by name", testWrongMap},
		{"a changed table is noticed", testChangedTable},
		{"a record without key is refused", testNullKey},
		{"a constraint is refused without its data", testConstraint},
		{"describes itself and its tables", testInspect},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := fresh(t)
			e := &env{Database: db}
			e.makeTables(t)
			e.b = db.Open(t, Limits{})
			c.test(t, e)
		})
	}
}

// env is a database with the suite's tables and rows.
type env struct {
	Database
	b backend.Backend
}

var ctx = context.Background()

// The names of the suite's tables, children first.
var tables = []string{"note", "tag", "application", "person"}

func (e *env) makeTables(t *testing.T) {
	t.Helper()
	d := e.Dialect()
	for _, s := range []string{
		fmt.Sprintf(`CREATE TABLE person (id %s PRIMARY KEY, tenant BIGINT NOT NULL, email %s, alias TEXT, name TEXT,
		 score NUMERIC(10,2), born %s, status TEXT)`, d.KeyText, d.KeyText, d.Timestamp),
		fmt.Sprintf(`CREATE TABLE application (id BIGINT PRIMARY KEY, person_id %s NOT NULL REFERENCES person (id), title TEXT,
		 closed %s, state TEXT)`, d.KeyText, d.Timestamp),
		`CREATE TABLE note (app_id BIGINT NOT NULL REFERENCES application (id), seq BIGINT NOT NULL, body TEXT,
		 PRIMARY KEY (app_id, seq))`,
		`CREATE TABLE tag (id BIGINT PRIMARY KEY, item_type BIGINT NOT NULL, item_id TEXT, label TEXT)`,
		`CREATE INDEX application_person ON application (person_id)`,
		`CREATE TABLE effects (tab TEXT NOT NULL)`,
		`INSERT INTO person VALUES
		 ('1', 1, 'Ann@Example.com', 'ann', 'Ann', 1.50, '1980-02-29 10:11:12', 'open'),
		 ('10', 1, 'bob@example.com', 'ann@example.com', 'Bob', 2.00, NULL, 'closed'),
		 ('11', 2, 'ann@example.com', NULL, 'Ann of another tenant', NULL, NULL, NULL)`,
		`INSERT INTO application VALUES
		 (100, '1', 'Cook', '2024-03-01 00:00:00', 'done'), (101, '1', 'Waiter', NULL, 'open'),
		 (110, '10', 'Cook', NULL, 'open'), (111, '11', 'Cook', NULL, 'open')`,
		`INSERT INTO note VALUES (100, 1, 'a'), (100, 2, 'b'), (101, 1, 'c'), (110, 1, 'd'), (111, 2, 'e')`,
		`INSERT INTO tag VALUES (1, 100, '1', 'x'), (2, 200, '1', 'y'), (3, 100, '10', 'z'), (4, 100, NULL, 'w'),
		 (5, 300, '100', 'v')`,
	} {
		e.Exec(t, s)
	}
}

// dump is everything in the suite's tables.
func (e *env) dump(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, name := range tables {
		all[name] = e.Dump(t, "SELECT * FROM "+name+" ORDER BY 1, 2")
	}
	return all
}

// unchanged fails if the suite's tables are not as they were.
func (e *env) unchanged(t *testing.T, before map[string][]string) {
	t.Helper()
	if diff := cmp.Diff(before, e.dump(t)); diff != "" {
		t.Errorf("rows changed (-before +after):\n%s", diff)
	}
}

func table(name string) backend.Table { return backend.Table{Name: name} }

func identity(column string, n backend.Normalization, values ...string) backend.Match {
	return backend.Match{Identity: &backend.IdentityMatch{Column: column, Values: values, Normalize: n}}
}

func child(entity, column, parentColumn string, conds ...backend.Condition) backend.Match {
	return backend.Match{Parent: &backend.ParentMatch{
		Entity: entity, Columns: []string{column}, ParentColumns: []string{parentColumn}, Conditions: conds,
	}}
}

func persons(matches ...backend.Match) backend.Query {
	return backend.Query{Entity: "person", Table: table("person"), KeyColumns: []string{"id"}, AnyOf: matches}
}

// subject is all data of the person with the id.
func subject(id string) backend.ResolveRequest {
	return backend.ResolveRequest{Queries: []backend.Query{
		persons(identity("id", backend.None, id)),
		{Entity: "application", Table: table("application"), KeyColumns: []string{"id"},
			AnyOf: []backend.Match{child("person", "person_id", "id")}},
		{Entity: "note", Table: table("note"), KeyColumns: []string{"app_id", "seq"},
			AnyOf: []backend.Match{child("application", "app_id", "id")}},
		{Entity: "tag", Table: table("tag"), KeyColumns: []string{"id"}, AnyOf: []backend.Match{
			child("person", "item_id", "id", backend.Condition{Column: "item_type", Operator: backend.In, Values: []string{"100"}}),
			child("application", "item_id", "id", backend.Condition{Column: "item_type", Operator: backend.In, Values: []string{"300"}}),
		}},
	}}
}

func resolve(t *testing.T, b backend.Backend, req backend.ResolveRequest) *backend.Resolution {
	t.Helper()
	res, err := b.Resolve(ctx, req)
	if err != nil {
		t.Fatalf("Resolve: %v", err)
	}
	return res
}

// found are the keys of an entity as text.
func found(b backend.Backend, res *backend.Resolution, entity string) []string {
	var keys []string
	for _, r := range res.Rows[entity] {
		parts := make([]string, len(r.Key))
		for i := range r.Key {
			parts[i] = b.Text(&r.Key[i])
		}
		keys = append(keys, strings.Join(parts, "/"))
	}
	return keys
}

// deletion deletes everything that was found, children first.
func deletion(req backend.ResolveRequest, res *backend.Resolution) []backend.Operation {
	var ops []backend.Operation
	for _, q := range slices.Backward(req.Queries) {
		op := backend.Operation{Entity: q.Entity, Action: backend.Delete, Table: q.Table, KeyColumns: q.KeyColumns}
		for _, r := range res.Rows[q.Entity] {
			op.Keys = append(op.Keys, r.Key)
		}
		ops = append(ops, op)
	}
	return ops
}

func execute(t *testing.T, b backend.Backend, ops []backend.Operation) []int64 {
	t.Helper()
	res, err := b.Execute(ctx, backend.Batch{ID: "batch", Operations: ops})
	if err != nil {
		t.Fatalf("Execute: %v", err)
	}
	return res.Affected
}

func wantLeft(t *testing.T, b backend.Backend, ops []backend.Operation, want ...int64) {
	t.Helper()
	got, err := b.Verify(ctx, ops)
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	WantEqual(t, "Verify", got, want)
}

// WantEqual fails a test with what differs.
func WantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// wantError fails unless err is of the type, and its text holds the words and none of the data.
func wantError[E error](t *testing.T, err error, words ...string) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want a %T", err, err, e)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not name %q", err, w)
		}
	}
	for _, data := range []string{"@example.com", "Ann", "canary"} {
		if strings.Contains(err.Error(), data) {
			t.Errorf("error %q holds data of a record", err)
		}
	}
}
