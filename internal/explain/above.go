package explain

import (
	"context"
	"slices"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
)

// above are the decisions on the records that records of an entity belong to, and with which they go, by key.
func (w *world) above(ctx context.Context, n *planner.Node, keys []backend.Key) (map[string][]Decision, error) {
	out := map[string][]Decision{}
	err := w.climb(ctx, n, keys, (*target).takes, func(up *planner.Node, t *target, d Decision, _ string, below []string) {
		if d.Kind == KindNotConcerned {
			return
		}
		d.Action, d.With = string(n.Spec.Action), up.Name
		d.Message = "it goes with the record of " + up.Name + " that it belongs to: " + d.Message
		for _, id := range below {
			out[id] = append(out[id], d)
		}
	})
	return out, err
}

// peopleOf are the persons of records, as far as a rule erases persons.
func (w *world) peopleOf(ctx context.Context, n *planner.Node, keys []backend.Key) ([]*person, error) {
	var ids []string
	note := func(id string) {
		if id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, t := range w.targets {
		if t.Map+"/"+t.Entity == n.Name && t.erases() {
			if err := w.look(ctx, t, keys, func(_ backend.Key, _ Decision, id string) { note(id) }); err != nil {
				return nil, err
			}
		}
	}
	if err := w.climb(ctx, n, keys, (*target).erases, func(_ *planner.Node, _ *target, _ Decision, id string, _ []string) { note(id) }); err != nil {
		return nil, err
	}
	var people []*person
	for _, id := range ids {
		p, err := w.person(ctx, id)
		if err != nil {
			return nil, err
		}
		people = append(people, p)
	}
	return people, nil
}

// climb goes up from records along references by which a sweep takes what belongs to a record, and shows what the wanted targets decide
// on the records there: with the person of each, and the ids of the records below it.
func (w *world) climb(ctx context.Context, n *planner.Node, keys []backend.Key, wanted func(*target) bool,
	see func(up *planner.Node, t *target, d Decision, person string, below []string),
) error {
	level := map[*planner.Node]map[string]*climber{n: {}}
	for _, key := range keys {
		level[n][idOf(key)] = &climber{key: key, below: []string{idOf(key)}}
	}
	// An entity that refers to itself is a tree, which no sweep follows: so the way up has no more levels than there are entities.
	for range w.order {
		next := map[*planner.Node]map[string]*climber{}
		for at, records := range level {
			for _, l := range at.Parents {
				if l.Relation != v1alpha1.RelationDeep || l.Element || l.Parent == at || l.Parent.Spec.Store != at.Spec.Store || !w.leads(l.Parent, wanted, nil) {
					continue
				}
				if err := w.step(ctx, l, records, next); err != nil {
					return err
				}
			}
		}
		for at, records := range next {
			if err := w.seeAll(ctx, at, records, wanted, see); err != nil {
				return err
			}
		}
		if level = next; len(level) == 0 {
			return nil
		}
	}
	return nil
}

// climber is a record on the way up, with the ids of those where the way began.
type climber struct {
	key   backend.Key
	below []string
}

func (w *world) seeAll(ctx context.Context, at *planner.Node, records map[string]*climber, wanted func(*target) bool,
	see func(up *planner.Node, t *target, d Decision, person string, below []string),
) error {
	var keys []backend.Key
	for _, r := range records {
		keys = append(keys, r.key)
	}
	for _, t := range w.targets {
		if t.Map+"/"+t.Entity != at.Name || !wanted(t) {
			continue
		}
		if err := w.look(ctx, t, keys, func(key backend.Key, d Decision, person string) {
			if r := records[idOf(key)]; r != nil {
				see(at, t, d, person, r.below)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// leads tells whether a wanted target is for the entity, or for one above it.
func (w *world) leads(n *planner.Node, wanted func(*target) bool, below []*planner.Node) bool {
	if slices.Contains(below, n) {
		return false
	}
	return slices.ContainsFunc(w.targets, func(t *target) bool { return t.Map+"/"+t.Entity == n.Name && wanted(t) }) ||
		slices.ContainsFunc(n.Parents, func(l *planner.Link) bool {
			return l.Relation == v1alpha1.RelationDeep && w.leads(l.Parent, wanted, append(slices.Clone(below), n))
		})
}

// step finds the parents of records.
func (w *world) step(ctx context.Context, l *planner.Link, records map[string]*climber, next map[*planner.Node]map[string]*climber) error {
	store, err := w.stores.Get(ctx, w.namespace, l.Child.Spec.Store)
	if err != nil {
		return err
	}
	var keys [][]string
	for _, r := range records {
		keys = append(keys, texts(store, r.key))
	}
	for part := range slices.Chunk(keys, page) {
		children, err := w.find(ctx, l.Child, backend.Query{Columns: l.Columns, Flags: [][]backend.Condition{l.Conditions},
			AnyOf: []backend.Match{{Values: &backend.ValuesMatch{Columns: l.Child.Spec.Key, Rows: part}}}})
		if err != nil {
			return err
		}
		referring := map[string][]string{} // the ids where the way began, by what refers
		var wanted [][]string
		for _, row := range children {
			values, whole := valueTexts(store, row.Values)
			r := records[idOf(row.Key)]
			if r == nil || !whole || !row.Flags[0] {
				continue
			}
			id := idOf(values)
			if referring[id] == nil {
				wanted = append(wanted, values)
			}
			referring[id] = append(referring[id], r.below...)
		}
		if len(wanted) == 0 {
			continue
		}
		parents, err := w.find(ctx, l.Parent, backend.Query{Columns: l.ParentColumns, Scope: l.Parent.Scope,
			AnyOf: []backend.Match{{Values: &backend.ValuesMatch{Columns: l.ParentColumns, Rows: wanted, Loose: true}}}})
		if err != nil {
			return err
		}
		for _, row := range parents {
			values, _ := valueTexts(store, row.Values)
			reached(next, l.Parent, row.Key, referring[idOf(values)])
		}
	}
	return nil
}

func reached(next map[*planner.Node]map[string]*climber, n *planner.Node, key backend.Key, below []string) {
	if len(below) == 0 {
		return
	}
	if next[n] == nil {
		next[n] = map[string]*climber{}
	}
	id := idOf(key)
	if next[n][id] == nil {
		next[n][id] = &climber{key: key}
	}
	r := next[n][id]
	r.below = append(r.below, below...)
	slices.Sort(r.below)
	r.below = slices.Compact(r.below)
}

func texts(store *stores.Store, key backend.Key) []string {
	out := make([]string, 0, len(key))
	for i := range key {
		out = append(out, store.Text(&key[i]))
	}
	return out
}

// valueTexts are the plain texts of values; false where one is NULL, which refers to nothing.
func valueTexts(store *stores.Store, values []backend.Value) ([]string, bool) {
	out := make([]string, 0, len(values))
	for _, v := range values {
		if v == nil {
			return nil, false
		}
		out = append(out, store.Text(v))
	}
	return out, true
}
