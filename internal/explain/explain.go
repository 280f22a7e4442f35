// Package explain tells of single records when they go if nothing changes, and what decides it. It decides as sweeps and erasures do,
// on what the stores say now, and changes nothing.
//
// What it tells holds keys of records, which are personal data: it is for the terminal of whoever asks, and for nothing else.
package explain

import (
	"context"
	"fmt"
	"slices"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
)

// Explainer explains records of a namespace.
type Explainer struct {
	// Client reads maps, policies and holds.
	Client client.Reader
	Stores executor.Stores
	// Now is the time as of which is explained.
	Now time.Time
}

// Subject explains all records of a person, as an erasure by this id would find them.
func (x *Explainer) Subject(ctx context.Context, namespace, id string) (*Report, error) {
	w, err := x.world(ctx, namespace)
	if err != nil {
		return nil, err
	}
	p, err := w.person(ctx, id)
	if err != nil {
		return nil, err
	}
	keys := map[*planner.Node][]backend.Key{}
	for _, f := range p.fates {
		n := w.nodes[f.Entity]
		keys[n] = append(keys[n], f.Key)
	}
	report := w.report()
	report.Subject, report.Holds = id, p.holdNames()
	for _, n := range w.order {
		records, err := w.explain(ctx, n, keys[n], []*person{p})
		if err != nil {
			return nil, err
		}
		report.Records = append(report.Records, records...)
	}
	report.Warnings = append(report.Warnings, w.warnings...)
	return report, nil
}

// Row explains one record, by the plain texts of its key columns.
func (x *Explainer) Row(ctx context.Context, namespace, entity string, key []string) (*Report, error) {
	w, err := x.world(ctx, namespace)
	if err != nil {
		return nil, err
	}
	n := w.nodes[entity]
	if n == nil {
		return nil, fault.Terminalf(v1alpha1.ReasonEntityUnknown, "no PersonalDataMap of namespace %s has the entity %s; name one as map/entity: %s", namespace, entity, w.entityNames())
	}
	if len(key) != len(n.Spec.Key) {
		return nil, fault.Terminalf(v1alpha1.ReasonInvalidSpec, "the key of %s has the columns %v, and %d values are given; give one for each, in this order", entity, n.Spec.Key, len(key))
	}
	rows, err := w.find(ctx, n, backend.Query{Scope: n.Scope, AnyOf: []backend.Match{{Values: &backend.ValuesMatch{Columns: n.Spec.Key, Rows: [][]string{key}, Loose: true}}}})
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fault.Terminalf(v1alpha1.ReasonNothingDue, "table %s of store %s has no such record of %s; compare key and conditions of the entity with the table: it is gone, or it never was this entity's", n.Table.Name, n.Spec.Store, entity)
	}
	keys := []backend.Key{rows[0].Key}
	people, err := w.peopleOf(ctx, n, keys)
	if err != nil {
		return nil, err
	}
	report := w.report()
	for _, p := range people {
		report.Holds = append(report.Holds, p.holdNames()...)
	}
	if report.Records, err = w.explain(ctx, n, keys, people); err != nil {
		return nil, err
	}
	report.Warnings = append(report.Warnings, w.warnings...)
	return report, nil
}

// explain explains records of one entity.
func (w *world) explain(ctx context.Context, n *planner.Node, keys []backend.Key, people []*person) ([]Record, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	own, err := w.decisions(ctx, n, keys, func(t *target) bool { return !t.erases() })
	if err != nil {
		return nil, err
	}
	above, err := w.above(ctx, n, keys)
	if err != nil {
		return nil, err
	}
	store, err := w.stores.Get(ctx, w.namespace, n.Spec.Store)
	if err != nil {
		return nil, err
	}
	var records []Record
	for _, key := range keys {
		id := idOf(key)
		all := slices.Concat(own[id], above[id])
		for _, p := range people {
			all = append(all, p.decisions[n.Name][id]...)
		}
		r := Record{Entity: n.Name, Store: n.Spec.Store, Category: n.Spec.Category}
		for i := range key {
			r.Key = append(r.Key, store.Text(&key[i]))
		}
		r.decide(all)
		records = append(records, r)
	}
	return records, nil
}

// idOf tells keys of one entity apart.
func idOf(k backend.Key) string { return fmt.Sprintf("%q", []string(k)) }
