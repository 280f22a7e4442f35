package planner

import (
	"slices"
	"sort"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// MissingIdentities lists the identities that the maps look by and that the subject does not say anything about, each
// with an entity that needs it. An identity without values is said: the person has none. Without one that is missing,
// records could stay that nobody found.
func (g *Graph) MissingIdentities(subject Subject) []string {
	needed := map[string]string{}
	for _, e := range g.entities {
		for _, m := range e.spec.IdentifiedBy {
			if _, said := subject.Identities[m.Identity]; !said && needed[m.Identity] == "" {
				needed[m.Identity] = e.name
			}
		}
	}
	missing := make([]string, 0, len(needed))
	for identity, entity := range needed {
		missing = append(missing, identity+" (for "+entity+")")
	}
	sort.Strings(missing)
	return missing
}

// SubjectIDs are the application's ids of the records that are the subject, as the root entities hold them: a person who
// was found by another identity has them too.
func (g *Graph) SubjectIDs(f *Facts, codec Codec) []string {
	var ids []string
	for _, e := range g.entities {
		ef := f.Entities[e.name]
		if e.spec.Root == nil || ef == nil {
			continue
		}
		for _, column := range e.idColumns() {
			for i := range ef.Rows {
				if v := e.value(&ef.Rows[i], column); v != backend.Value(nil) {
					ids = append(ids, codec.text(e.spec.Store, v))
				}
			}
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// idColumns of a root entity hold the application's id of the subject.
func (e *entity) idColumns() []string {
	var columns []string
	for _, m := range e.spec.IdentifiedBy {
		if e.spec.Root != nil && m.Identity == v1alpha1.IdentityID {
			columns = append(columns, m.Column)
		}
	}
	return columns
}
