package planner

import (
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Assessment is what the facts say of a subject before anything is planned. But for Roots, it holds no personal data.
type Assessment struct {
	// RootRows are the records of root entities that are there; NotFound that there is none.
	RootRows int
	NotFound bool
	// Ambiguous has the root entities (map/entity) with rows: One that have more than one record.
	Ambiguous []string
	Roots     []RootRef
	// Active has the entities (map/entity) with a process that is still running.
	Active []string
	// Held has the names of the holds on the subject as a whole.
	Held []string
	// Unmatched has the names of the holds that select records of an entity which no map has: what they hold cannot be told.
	Unmatched []string
	// Counts and Retained are a preview of the plan.
	Counts   []v1alpha1.CategoryCount
	Retained []v1alpha1.RetainedData
	// RowsByStore has the records or files that the plan would touch now.
	RowsByStore map[string]int64
}

// Assess looks at the facts at a point in time. A legal hold that the facts do not know counts for every record that it
// could select.
func (g *Graph) Assess(f *Facts, holds []Hold, now time.Time) Assessment {
	p := g.partition(f, holds, now)
	b := p.buckets()
	a := Assessment{Roots: g.Roots(f), Counts: b.counts(), Retained: b.retained(), RowsByStore: b.main.byStore()}
	for _, e := range g.entities {
		ef := f.Entities[e.name]
		if ef == nil {
			continue
		}
		here, active := 0, false
		for _, s := range p.states[e] {
			if !s.row.Gone {
				here++
				active = active || s.row.Active && !s.stays
			}
		}
		if e.spec.Root != nil {
			a.RootRows += here
			if e.spec.Root.Rows == v1alpha1.RowsOne && here > 1 {
				a.Ambiguous = append(a.Ambiguous, e.name)
			}
		}
		if active {
			a.Active = append(a.Active, e.name)
		}
	}
	a.NotFound = a.RootRows == 0
	for _, h := range holds {
		if h.WholeSubject {
			a.Held = append(a.Held, h.Name)
		}
		if slices.ContainsFunc(h.Records, func(r HoldRecord) bool { return !g.declares(r) }) {
			a.Unmatched = append(a.Unmatched, h.Name)
		}
	}
	slices.Sort(a.Ambiguous)
	slices.Sort(a.Active)
	slices.Sort(a.Held)
	a.Held = slices.Compact(a.Held)
	return a
}

// declares tells whether a map has the entity, in the scope or not.
func (g *Graph) declares(r HoldRecord) bool {
	return slices.ContainsFunc(g.maps, func(m MapSource) bool {
		return m.Name == r.Map && slices.ContainsFunc(m.Spec.Entities, func(e v1alpha1.Entity) bool { return e.Name == r.Entity })
	})
}

func (to *bucket) byStore() map[string]int64 {
	n := map[string]int64{}
	for _, rows := range []map[*entity][]*rowState{to.rows, to.pins} {
		for e, list := range rows {
			n[e.spec.Store] += int64(len(list))
		}
	}
	for id, links := range to.cuts {
		n[id.e.spec.Store] += int64(len(links))
	}
	for group, paths := range to.files {
		n[group.store] += int64(len(paths))
	}
	return n
}

// Deactivation returns, by store, what deactivates the subject for the grace period: for each record whose
// columns differ from the deactivation values, those values, expecting what is there now; and the remote records that are
// taken out of use.
func (g *Graph) Deactivation(f *Facts, codec Codec) map[string][]backend.Operation {
	ops := map[string][]backend.Operation{}
	p := g.partition(f, nil, time.Time{})
	for _, e := range g.exec {
		if len(e.spec.Deactivate) == 0 || e.outside || f.Entities[e.name] == nil {
			continue
		}
		op := backend.Operation{Entity: e.name, Action: backend.Update, Table: e.table, KeyColumns: e.spec.Key}
		set := make([]backend.Value, len(e.spec.Deactivate))
		for i, d := range e.spec.Deactivate {
			op.Columns = append(op.Columns, d.Column)
			if d.Value != nil {
				set[i] = codec.value(e.spec.Store, *d.Value)
			}
		}
		for _, s := range p.states[e] {
			if s.row.Gone || s.stays { // what others have too stays in use
				continue
			}
			now, differs := e.current(s.row, codec)
			if differs {
				op.Keys, op.Set, op.Expect = append(op.Keys, s.row.Key), append(op.Set, slices.Clone(set)), append(op.Expect, now)
			}
		}
		if len(op.Keys) > 0 {
			ops[e.spec.Store] = append(ops[e.spec.Store], op)
		}
	}
	for store, op := range p.remoteDeactivation() {
		ops[store] = append(ops[store], op)
	}
	return ops
}

// remoteDeactivation names, by store, the remote records that are taken out of use: those that go once all that keeps them
// for a time has ended.
func (p *partition) remoteDeactivation() map[string]backend.Operation {
	ops := map[string]backend.Operation{}
	for _, file := range p.facts.Files {
		if slices.ContainsFunc(file.Owners, p.keeps) {
			continue
		}
		for _, o := range file.Owners {
			e := p.g.byName[o.Entity]
			if o.Ref >= len(e.references) || !e.references[o.Ref].deactivates {
				continue
			}
			op := ops[file.Store]
			op.Entity, op.Action = e.name, backend.Unlink
			op.Keys = append(op.Keys, backend.Key{file.Path})
			ops[file.Store] = op
			break
		}
	}
	return ops
}

// current reads the columns that deactivation sets, and tells whether one differs.
func (e *entity) current(r *RowFacts, codec Codec) (now []backend.Value, differs bool) {
	for _, d := range e.spec.Deactivate {
		v := e.value(r, d.Column)
		now = append(now, v)
		same := v == nil && d.Value == nil || v != nil && d.Value != nil && codec.text(e.spec.Store, v) == *d.Value
		differs = differs || !same
	}
	return now, differs
}

// Reactivation inverts a deactivation: each record that still has what Lethe wrote gets its earlier values back.
func Reactivation(ops map[string][]backend.Operation) map[string][]backend.Operation {
	out := make(map[string][]backend.Operation, len(ops))
	for store, list := range ops {
		for _, op := range slices.Backward(list) {
			op.Set, op.Expect = op.Expect, op.Set
			out[store] = append(out[store], op)
		}
	}
	return out
}
