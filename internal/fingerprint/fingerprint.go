// Package fingerprint answers whether given values were seen before, by what the strategy Fingerprint has left in place of
// them: a person who applies again for the same vacancy is recognised, and nothing else is known of them.
package fingerprint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
)

// Question asks for the records of one entity that have the fingerprint of the values.
type Question struct {
	Map *v1alpha1.PersonalDataMap
	// Entity of the map, and Column of it that gets fingerprints.
	Entity, Column string
	// Per has the values of the columns within which fingerprints are compared, by column.
	Per map[string]string
	// Values that make the fingerprint, by column. They are personal data: no error names them.
	Values map[string]string
}

// Field finds the entity and the change that writes the fingerprint.
func (q *Question) Field() (*v1alpha1.Entity, *v1alpha1.FieldChange, error) {
	i := slices.IndexFunc(q.Map.Spec.Entities, func(e v1alpha1.Entity) bool { return e.Name == q.Entity })
	if i < 0 {
		return nil, nil, fmt.Errorf("map %s has no entity %s", q.Map.Name, q.Entity)
	}
	e := &q.Map.Spec.Entities[i]
	for j := range e.Fields {
		if f := &e.Fields[j]; f.Column == q.Column && f.Fingerprint != nil {
			return e, f, nil
		}
	}
	return nil, nil, fmt.Errorf("entity %s/%s writes no fingerprint into column %q", q.Map.Name, q.Entity, q.Column)
}

// Text is the fingerprint of the values under the namespace's key. It fails where a value that the map names is missing,
// where one is given that it does not name, and where all are blank.
func (q *Question) Text(namespaceKey []byte) (string, error) {
	_, f, err := q.Field()
	if err != nil {
		return "", err
	}
	per, err := pick("per", f.Fingerprint.Per, q.Per)
	if err != nil {
		return "", err
	}
	values, err := pick("values", f.Fingerprint.Columns, q.Values)
	if err != nil {
		return "", err
	}
	text, ok, err := planner.Fingerprint(namespaceKey, q.Map.Name+"/"+q.Entity, q.Column, per, values)
	if err == nil && !ok {
		err = errors.New("all values are blank: they have no fingerprint")
	}
	return text, err
}

func pick(what string, columns []string, given map[string]string) ([]string, error) {
	out := make([]string, len(columns))
	for i, c := range columns {
		v, ok := given[c]
		if !ok {
			return nil, fmt.Errorf("%s: column %s is missing; the map names %s", what, c, strings.Join(columns, ", "))
		}
		out[i] = v
	}
	if len(given) > len(columns) {
		return nil, fmt.Errorf("%s: there is one column too many; the map names %s", what, strings.Join(columns, ", "))
	}
	return out, nil
}

// Ask counts the records that have the fingerprint.
func Ask(ctx context.Context, store backend.Backend, namespaceKey []byte, q Question) (int, error) {
	text, err := q.Text(namespaceKey)
	if err != nil {
		return 0, err
	}
	e, f, err := q.Field()
	if err != nil {
		return 0, err
	}
	columns, row := []string{q.Column}, []string{text}
	for _, c := range f.Fingerprint.Per {
		columns, row = append(columns, c), append(row, q.Per[c])
	}
	found, err := store.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: e.Name, Table: backend.Table{Schema: e.Schema, Name: e.Table}, KeyColumns: e.Key,
		AnyOf: []backend.Match{{Values: &backend.ValuesMatch{Columns: columns, Rows: [][]string{row}}}}}}})
	if err != nil {
		return 0, err
	}
	return len(found.Rows[e.Name]), nil
}
