// Package subject compares ways to erase one subject from a database: 10 tables, 50 rows. It has the data, Lethe's executor
// with ledger and state store, and the comparison; the programs add a server and what people write for it by hand.
package subject

import (
	"fmt"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/planner"
)

// Rows of one subject in all tables together.
const Rows = 50

// Child is a table of the subject's data: FanOut rows for each row that it belongs to. Tables of second rank belong to the
// first row of each person in c1.
type Child struct {
	Name   string
	Second bool
	FanOut int
}

// Children are the tables below the table person, parents before children.
var Children = []Child{{"c1", false, 8}, {"c2", false, 8}, {"c3", false, 6}, {"c4", false, 6}, {"c5", false, 5},
	{"c6", true, 5}, {"c7", true, 4}, {"c8", true, 4}, {"c9", true, 3}}

// Parent is the table that the child's column refers to.
func (c Child) Parent() (table, column string) {
	if c.Second {
		return "c1", "c1_id"
	}
	return "person", "person_id"
}

// Reference is an SQL expression for what the i-th row (from 1) of the child refers to; div is the database's operator for
// the division of integers.
func (c Child) Reference(div string) string {
	ref := fmt.Sprintf("((i - 1) %s %d)", div, c.FanOut)
	if c.Second {
		ref = fmt.Sprintf("%s * %d", ref, Children[0].FanOut)
	}
	return ref + " + 1"
}

// CountRows is a query for the number of rows in all tables together.
func CountRows() string {
	query := "SELECT (SELECT count(*) FROM person)"
	for _, c := range Children {
		query += " + (SELECT count(*) FROM " + c.Name + ")"
	}
	return query
}

func dataMap() []planner.MapSource {
	entity := func(name string) v1alpha1.Entity {
		return v1alpha1.Entity{Name: name, Store: "main", Table: name, Key: []string{"id"}, Category: "profile", Action: v1alpha1.ActionDelete}
	}
	person := entity("person")
	person.Root = &v1alpha1.Root{Rows: v1alpha1.RowsOne}
	person.IdentifiedBy = []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}}
	spec := v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{person}}
	for _, c := range Children {
		table, column := c.Parent()
		e := entity(c.Name)
		e.Parents = []v1alpha1.Parent{{Entity: table, Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: column, ParentColumn: "id"}}}}
		spec.Entities = append(spec.Entities, e)
	}
	return []planner.MapSource{{Name: "people", UID: "map", Generation: 1, Spec: spec}}
}
