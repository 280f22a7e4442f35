// Package backend is the contract between Lethe and the stores that hold personal data.
//
// A backend finds a subject's records (Resolve), treats one bounded batch of records that a plan names by their keys
// (Execute), and tells what is left of such a batch (Verify). Whatever else a store can do is an optional capability,
// found by type assertion. Adapters live in the packages below this one and are wired in main.
package backend

import (
	"context"
	"time"
)

// Value is one column's value in the backend's own lossless notation; nil is NULL. Only the backend that made it may
// interpret it: use Backend.Text to read it and Backend.FromText to make one.
type Value = *string

// Key names one record: one value for each key column, never nil inside. Path stores have one value in a notation of
// their own; a file store's is the path, with a slash at the end where it is a folder.
type Key []string

// Backend is an open connection to one store. All methods are safe for concurrent use, honour the context's end and
// return errors of this package's types; no error text holds data of a record, an identity or a credential.
type Backend interface {
	// Describe reports whether the store answers, its version, and whether the credentials suffice in general.
	Describe(ctx context.Context) (Description, error)

	// Resolve finds the records that the queries describe. Queries are ordered so that parents stand before children.
	// Nothing is changed and nothing stays locked.
	Resolve(ctx context.Context, req ResolveRequest) (*Resolution, error)

	// Execute treats one batch. A Transactional backend does all of it or nothing; any other does as much as it can, and
	// doing it again finishes it. Executing a batch that was executed before changes nothing and is no error.
	Execute(ctx context.Context, batch Batch) (*Result, error)

	// Verify counts, for each operation, the records that are not as the operation would leave them: rows or files that
	// are still there, rows whose fields differ from the planned values. An updated row that is gone counts as done.
	Verify(ctx context.Context, ops []Operation) ([]int64, error)

	// Text is the plain text of a value, as templates and references to other stores need it.
	Text(v Value) string

	// FromText makes a value from plain text.
	FromText(text string) Value

	// Close releases the connection. It never fails to release; the error is for the log.
	Close() error
}

// Transactional is the capability of executing a whole batch in one transaction.
type Transactional interface {
	// Transactional marks the capability.
	Transactional()
}

// Looker is the capability of answering Verify and Resolve from one look.
type Looker interface {
	// Look does both in one round trip.
	Look(ctx context.Context, ops []Operation, req ResolveRequest) (left []int64, found *Resolution, err error)
}

// Arrays is the capability of having columns that are arrays.
type Arrays interface {
	// Elements are the plain texts of the elements of an array, those that are NULL left out; false where the value is no array
	// of one dimension that begins as usual.
	Elements(v Value) ([]string, bool)
}

// Inspector is the capability of describing tables, for stores that have them.
type Inspector interface {
	// Inspect describes the named tables, every table that refers to one of them by foreign key, and lists all tables of
	// the schemas named. A table that does not exist is left out of Schema.Tables.
	Inspect(ctx context.Context, tables []Table) (*Schema, error)
}

// Description is what a store says of itself.
type Description struct {
	// Version of the server, at most 128 characters.
	Version string
	// Excessive lists privileges that the credentials have and do not need, for example "superuser".
	Excessive []string
}

// Table names a table; Schema is empty where the store has none or its default applies.
type Table struct {
	Schema string `json:"schema,omitempty"`
	Name   string `json:"name"`
}

// Operator of a Condition; the same words as in the API.
type Operator string

// The operators. In and NotIn compare with any of Values, NotIn holds for NULL too; LessThan and GreaterThan compare in
// the order of the column's type with the one value.
const (
	In           Operator = "In"
	NotIn        Operator = "NotIn"
	Exists       Operator = "Exists"
	DoesNotExist Operator = "DoesNotExist"
	LessThan     Operator = "LessThan"
	GreaterThan  Operator = "GreaterThan"
)

// Condition compares one column with constants in plain text.
type Condition struct {
	Column   string   `json:"column"`
	Operator Operator `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// ResolveRequest asks for the records of several entities in one go.
type ResolveRequest struct {
	Queries []Query
	// MaxRows bounds the records of all queries together; more is a *TooManyRowsError. 0 means no bound.
	MaxRows int64
}

// Query finds the records of one entity. Table stores use Table, path stores use Paths.
type Query struct {
	// Entity names the query within the request; a later query's ParentMatch refers to it.
	Entity string
	Table  Table
	// KeyColumns name a record.
	KeyColumns []string
	// Columns to read, in the order of Row.Values.
	Columns []string
	// Clocks are columns to read as points in time, in the order of Row.Clocks.
	Clocks []string
	// Flags are tested in the store, in the order of Row.Flags: true where all conditions of the flag hold (an empty
	// list always holds).
	Flags [][]Condition
	// Scope must hold for every record.
	Scope []Condition
	// AnyOf finds records: one match is enough. With no match at all nothing is found.
	AnyOf []Match
	// Self leads from the records found to others of the same table, and from these to further ones, in any of the ways.
	Self []ParentMatch
	// Shared asks, in the order of Row.Shared, whether other records refer to this one.
	Shared []SharedMatch
	// Paths to look up in a path store.
	Paths []Path
}

// PathKind says what a Path names. A store knows some of the kinds and refuses the others.
type PathKind string

// The kinds of paths; the empty one is File.
const (
	// File is one file or object.
	File PathKind = "File"
	// Directory is a folder with all that is in it; of objects all whose keys begin with the path and a slash.
	Directory PathKind = "Directory"
	// Prefix is all objects whose keys begin with the path.
	Prefix PathKind = "Prefix"
	// KeyPattern is the keys of a key-value store that match the path, a glob in the notation of Redis.
	KeyPattern PathKind = "KeyPattern"
	// HashField, SetMember and SortedSetMember are the Member of the one key that the path is.
	HashField       PathKind = "HashField"
	SetMember       PathKind = "SetMember"
	SortedSetMember PathKind = "SortedSetMember"
	// Resource is the record of a service of the type Member whose id the path is.
	Resource PathKind = "Resource"
)

// Path names files, objects, keys or remote records.
type Path struct {
	// Path relative to the store's folder, key, pattern or id.
	Path string
	Kind PathKind
	// Member of the kinds that have one.
	Member string
}

// Match finds records in one way; exactly one member is set.
type Match struct {
	Identity *IdentityMatch
	Parent   *ParentMatch
	Values   *ValuesMatch
}

// Normalization of both sides of an identity match; the same words as in the API.
type Normalization string

// The normalizations. The empty one is None.
const (
	None          Normalization = "None"
	LowerCase     Normalization = "LowerCase"
	TrimLowerCase Normalization = "TrimLowerCase"
)

// IdentityMatch finds records whose column equals one of the values, or contains one as a word.
type IdentityMatch struct {
	Column    string
	Values    []string // plain text
	Normalize Normalization
	// Contains looks for the values as words between the characters of WordSeparators and the ends of the text; those of
	// WordPunctuation may stand around them. A value may hold separators itself.
	Contains bool
	// Element compares each element of an array with the values.
	Element bool
}

// ParentMatch finds records that refer to the records found by an earlier query of the same request.
type ParentMatch struct {
	Entity        string   // not needed for Query.Self
	Columns       []string // of this table
	ParentColumns []string // of the parent's table, in the same order
	Conditions    []Condition
	// ParentConditions are on the parent's table: only parents that meet them are referred to. Not for Query.Self.
	ParentConditions []Condition
	// Element means that the one column is an array, each element of which refers; ParentElement, that the one column of the
	// parent is, to each element of which this one refers. Not for Query.Self.
	Element, ParentElement bool
}

// SharedMatch asks whether a record of a table that none of the queries finds has in ParentColumns what this record has in
// Columns. What the queries look for besides, their scope for example, makes no difference.
type SharedMatch struct {
	Entities      []string    // of earlier queries, all for the same table; at least one
	Columns       []string    // of this table
	ParentColumns []string    // of the queries' table, in the same order
	Conditions    []Condition // on the queries' table
	// Element means that the one column of the queries' table is an array, each element of which refers.
	Element bool
}

// ValuesMatch finds records whose columns equal one of the rows of plain-text values, for references to other stores
// and to records that are already gone.
type ValuesMatch struct {
	Columns    []string
	Rows       [][]string
	Conditions []Condition
	// Loose rows may hold what no value of the column's type is: they equal nothing. Else they are an error.
	Loose bool
	// Element means that the one column is an array, one of whose elements equals one of the rows.
	Element bool
}

// Resolution holds the records found, by Query.Entity, ordered by key.
type Resolution struct {
	Rows map[string][]Row
}

// Row is one record.
type Row struct {
	Key    Key
	Values []Value
	Clocks []Clock
	Flags  []bool
	// Shared is true where the record belongs to others too.
	Shared []bool
	// Paths are the indexes of those of the query's Paths that lead to the record; only path stores set it.
	Paths []int
	// Name is what was found, in the terms in which a Path names it; only path stores with kinds of paths that lead to many
	// set it.
	Name string
}

// Clock is a column read as a point in time.
type Clock struct {
	// Time in UTC; zero unless Valid.
	Time time.Time
	// Valid is false where the column is NULL or cannot be read as a time. Text is read as RFC 3339,
	// "2006-01-02 15:04:05" or "2006-01-02", numbers as Unix seconds.
	Valid bool
}

// Action of an Operation.
type Action string

// The actions: Delete removes records, Update overwrites columns, Unlink removes what a path store holds under its keys.
const (
	Delete Action = "Delete"
	Update Action = "Update"
	Unlink Action = "Unlink"
)

// Batch is what is executed together, in the order of Operations (children before parents).
type Batch struct {
	// ID is stable over retries: an idempotency key for stores that take one.
	ID         string
	Operations []Operation
	// Ignored are tables whose foreign keys may be set to NULL or their default by the store when a record goes. Any other
	// record that the store itself would delete or change, and that the operations do not delete, makes the batch stale.
	Ignored []Table
	// BeforeEffect, if set, returns once the effects may become lasting; an error ends the batch without any. A Transactional
	// backend calls it right before it commits, so that its work overlaps with what the effects wait for; any other calls it
	// before the first effect. It is not called for a batch that fails before that.
	BeforeEffect func(ctx context.Context) error
	// AcceptNonTransactional are tables whose changes last at once, whatever becomes of the rest of the batch. A Transactional
	// backend refuses a batch with any other table on which it cannot roll changes back (TableInfo.NonTransactional).
	AcceptNonTransactional []Table
}

// AwaitEffect calls BeforeEffect, if there is one.
func (b *Batch) AwaitEffect(ctx context.Context) error {
	if b.BeforeEffect == nil {
		return nil
	}
	return b.BeforeEffect(ctx)
}

// Operation treats records of one entity by their keys. It is part of a sealed plan and marshals to JSON.
type Operation struct {
	Entity     string   `json:"entity"`
	Action     Action   `json:"action"`
	Table      Table    `json:"table,omitzero"`
	KeyColumns []string `json:"keyColumns,omitempty"`
	// Keys of the records; of files their paths.
	Keys []Key `json:"keys"`
	// Columns that an Update sets.
	Columns []string `json:"columns,omitempty"`
	// Members are, in the order of Columns, the names that lead to the member of a JSON document that is set instead of the
	// whole column; empty for the whole. A column may stand there several times with different members. Optional.
	Members [][]string `json:"members,omitempty"`
	// Elements tells, in the order of Columns, whether the column is an array of which elements are taken out: those whose plain
	// text stands in the value in Set, a JSON array of texts. NULL and everything else in it stay. Optional.
	Elements []bool `json:"elements,omitempty"`
	// Set has, for each key, the new values in the order of Columns. A row that has them already is not written again. The
	// value of a member is a JSON text, or nil to take the member out; a document without the member stays as it is.
	Set [][]Value `json:"set,omitempty"`
	// Expect has, for each key, the values that the columns must still have; a row that differs is left alone. Optional.
	Expect [][]Value `json:"expect,omitempty"`
	// Unless are groups of conditions: a record that meets all conditions of any group must not be touched. It makes the
	// batch stale.
	Unless [][]Condition `json:"unless,omitempty"`
	// Referrers: a record that one of theirs still refers to must not be deleted. It makes the batch stale.
	Referrers []Referrer `json:"referrers,omitempty"`
}

// Member is the path of the i-th column's member, empty for the whole column.
func (o *Operation) Member(i int) []string {
	if i < len(o.Members) {
		return o.Members[i]
	}
	return nil
}

// Element tells whether elements are taken out of the i-th column.
func (o *Operation) Element(i int) bool { return i < len(o.Elements) && o.Elements[i] }

// Tables lists the tables that the operation reads or writes, its own first.
func (o *Operation) Tables() []Table {
	tables := []Table{o.Table}
	for i := range o.Referrers {
		tables = append(tables, o.Referrers[i].Table)
	}
	return tables
}

// TablesOf lists the tables that the operations read or write.
func TablesOf(ops []Operation) []Table {
	tables := make([]Table, 0, len(ops))
	for i := range ops {
		tables = append(tables, ops[i].Tables()...)
	}
	return tables
}

// Referrer is a table whose records refer to others by columns, with or without a foreign key.
type Referrer struct {
	Table      Table       `json:"table"`
	Columns    []string    `json:"columns"`              // of Table
	References []string    `json:"references"`           // of the operation's table, in the same order
	Conditions []Condition `json:"conditions,omitempty"` // on Table
	// Element means that the one column is an array, each element of which refers.
	Element bool `json:"element,omitempty"`
}

// Result of a batch.
type Result struct {
	// Affected has, for each operation, the records that this very execution changed (0 for what was done before).
	Affected []int64
}

// Schema describes tables.
type Schema struct {
	Tables []TableInfo
	// All lists every table of the schemas that were asked for, views and system tables excluded.
	All []Table
	// Fold has, by normalisation, the expression whose index serves look-ups, with %s in the column's place.
	Fold map[Normalization]string
}

// TableKind tells tables from what cannot be erased from.
type TableKind string

// The kinds of tables.
const (
	KindTable       TableKind = "Table"
	KindPartitioned TableKind = "Partitioned"
	KindView        TableKind = "View"
	// KindInherited has tables that inherit from it: a key that is unique in it is not unique among them.
	KindInherited TableKind = "Inherited"
	KindOther     TableKind = "Other"
)

// TableInfo describes one table.
type TableInfo struct {
	Table   Table
	Kind    TableKind
	Columns []ColumnInfo
	// Unique lists the column sets that are unique, the primary key first. Partial and expression indexes are left out.
	Unique [][]string
	// Indexed lists the leading column sets of the table's indexes (unique ones too).
	Indexed [][]string
	// Folded lists the indexes that serve look-ups of a normalised column.
	Folded []FoldedIndex
	// ElementIndexed lists the array columns with an index that finds their elements.
	ElementIndexed []string
	// Rows estimates the number of rows, as the store keeps it; -1 where it has no estimate.
	Rows int64
	// ForeignKeys of the table to others.
	ForeignKeys []ForeignKey
	// Privileges of the credentials on the table.
	Privileges Privileges
	// Triggers that fire on DELETE or UPDATE, by name.
	Triggers []string
	// RowSecurity is true where policies of the table could hide rows from these credentials.
	RowSecurity bool
	// NonTransactional is the name of the table's engine where changes of the table cannot be rolled back, else empty.
	NonTransactional string
}

// FoldedIndex is an index on a normalised column.
type FoldedIndex struct {
	Column    string
	Normalize Normalization
	// After are the plain columns that stand before it in the index.
	After []string
}

// ColumnInfo describes one column.
type ColumnInfo struct {
	Name string
	Type string // as the store names it
	// Base is the type behind the store's domains, without a length, of stores that have domains or arrays; [] at its end tells an
	// array.
	Base     string
	Nullable bool
	// Generated columns cannot be written.
	Generated bool
	// UpdatePrivilege to write this column.
	UpdatePrivilege bool
	// SelectPrivilege to read this column.
	SelectPrivilege bool
}

// Privileges on a table.
type Privileges struct {
	Select, Update, Delete bool
}

// ReferentialAction of a foreign key.
type ReferentialAction string

// The referential actions.
const (
	NoAction   ReferentialAction = "NO ACTION"
	Restrict   ReferentialAction = "RESTRICT"
	Cascade    ReferentialAction = "CASCADE"
	SetNull    ReferentialAction = "SET NULL"
	SetDefault ReferentialAction = "SET DEFAULT"
)

// ForeignKey is a reference from the table that has it.
type ForeignKey struct {
	Name       string
	Columns    []string
	References Table
	RefColumns []string
	OnDelete   ReferentialAction
}
