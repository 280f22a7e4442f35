package planner

import (
	"slices"

	"github.com/lethe-dev/lethe/internal/backend"
)

// A RefCount reference says by which records of a table a record is shared: by all that meet the conditions of the
// reference, those of other tenants and others that the entity's own conditions leave out too. What is the subject's among
// them is told by the entities: several of them may be for one table.

// sharing is a way in which records of a table refer to the entity's.
type sharing struct {
	*edge   // the first of those that say the same
	parents []*entity
}

// sharings are the ways in which the entity's records are counted.
func (e *entity) sharings() []sharing {
	var out []sharing
	for _, ed := range e.edges {
		if !ed.shared {
			continue
		}
		same := func(s sharing) bool {
			return s.parent.table == ed.parent.table && s.element == ed.element && slices.Equal(s.columns, ed.columns) && slices.Equal(s.parentColumns, ed.parentColumns) &&
				sameConditions(s.conditions, ed.conditions)
		}
		if i := slices.IndexFunc(out, same); i >= 0 {
			out[i].parents = append(out[i].parents, ed.parent)
			continue
		}
		out = append(out, sharing{edge: ed, parents: []*entity{ed.parent}})
	}
	return out
}

// match asks whether records refer that none of the queries for the parents finds.
func (s sharing) match(query func(parent *entity) string) backend.SharedMatch {
	m := backend.SharedMatch{Columns: s.columns, ParentColumns: s.parentColumns, Conditions: s.conditions, Element: s.element}
	for _, p := range s.parents {
		m.Entities = append(m.Entities, query(p))
	}
	return m
}

// referrers are the tables whose records must not refer to what is deleted.
func (e *entity) referrers() []backend.Referrer {
	var out []backend.Referrer
	for _, s := range e.sharings() {
		out = append(out, backend.Referrer{Table: s.parent.table, Columns: s.parentColumns, References: s.columns, Conditions: s.conditions, Element: s.element})
	}
	return out
}
