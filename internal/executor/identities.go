package executor

import (
	"context"
	"slices"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
)

// IdentitiesFromRecords takes the identities of a person from the root records that the id leads to, and tells whether there is one.
// The id itself is not among them.
func IdentitiesFromRecords(ctx context.Context, from Stores, namespace string, maps []planner.MapSource, id string) (identities map[string][]string, known bool, err error) {
	identities = map[string][]string{}
	for _, root := range rootQueries(maps, id) {
		store, rows, err := root.resolve(ctx, from, namespace)
		if err != nil {
			return nil, false, err
		}
		known = known || len(rows) > 0
		for i, name := range root.names {
			if _, said := identities[name]; !said {
				identities[name] = nil // said, even when the person has none
			}
			for _, row := range rows {
				v := row.Values[i]
				if v != nil && store.Text(v) != "" && !slices.Contains(identities[name], store.Text(v)) {
					identities[name] = append(identities[name], store.Text(v))
				}
			}
		}
	}
	return identities, known, nil
}

// rootQuery finds root records by the id, with the columns that hold other identities.
type rootQuery struct {
	backend.Query
	store string
	names []string
}

func (q rootQuery) resolve(ctx context.Context, from Stores, namespace string) (*stores.Store, []backend.Row, error) {
	store, err := from.Get(ctx, namespace, q.store)
	if err != nil {
		return nil, nil, err
	}
	found, err := store.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q.Query}, MaxRows: store.Limits.MaxRowsPerRun})
	if err != nil {
		return nil, nil, fault.FromStore(q.store, err)
	}
	return store, found.Rows[q.Entity], nil
}

func rootQueries(maps []planner.MapSource, id string) []rootQuery {
	var roots []rootQuery
	for _, m := range maps {
		for i := range m.Spec.Entities {
			e := &m.Spec.Entities[i]
			if e.Root == nil {
				continue
			}
			root := rootQuery{store: e.Store, Query: backend.Query{Entity: m.Name + "/" + e.Name, Table: backend.Table{Schema: e.Schema, Name: e.Table}, KeyColumns: e.Key,
				Scope: planner.Conditions(e.Conditions)}}
			for _, match := range e.IdentifiedBy {
				switch {
				case match.Comparison != v1alpha1.CompareEquals && match.Comparison != "":
				case match.Identity == v1alpha1.IdentityID:
					root.AnyOf = append(root.AnyOf, backend.Match{Identity: &backend.IdentityMatch{Column: match.Column, Values: []string{id},
						Normalize: backend.Normalization(match.Normalize)}})
				default:
					root.Columns, root.names = append(root.Columns, match.Column), append(root.names, match.Identity)
				}
			}
			if len(root.AnyOf) > 0 {
				roots = append(roots, root)
			}
		}
	}
	return roots
}
