package planner

import (
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// A store may give the key of a deleted record to a new one (SQLite does so with row ids, and so does whoever chooses keys
// by hand). What a second look finds under a key that the plan deletes is therefore the subject's only if more than the
// key says so.

// Deletes has the keys that a plan deletes, by entity.
type Deletes map[string]map[string]bool

// Deletes lists the keys that the plan's steps delete.
func (p *Plan) Deletes() Deletes {
	out := Deletes{}
	for _, s := range p.Steps {
		for _, op := range s.Operations {
			if op.Action != backend.Delete {
				continue
			}
			if out[op.Entity] == nil {
				out[op.Entity] = map[string]bool{}
			}
			for _, k := range op.Keys {
				out[op.Entity][keyID(k)] = true
			}
		}
	}
	return out
}

// dropReused leaves out, parents first, what has a deleted record's key by chance, and what was found only because it
// refers to such a record.
func (r *Resolver) dropReused(found *Facts) {
	if len(r.opts.Deletes) == 0 {
		return
	}
	reused := map[string]map[string]bool{}
	for _, e := range r.g.entities {
		ef := found.Entities[e.name]
		reused[e.name] = map[string]bool{}
		if ef == nil {
			continue
		}
		ef.Rows = slices.DeleteFunc(ef.Rows, func(row RowFacts) bool {
			id := keyID(row.Key)
			stranger := r.stranger(e, &row, r.opts.Deletes[e.name][id], reused)
			if stranger {
				reused[e.name][id] = true
			}
			return stranger
		})
	}
}

// stranger tells whether nothing but a key that is used again leads to a record.
func (r *Resolver) stranger(e *entity, row *RowFacts, deleted bool, reused map[string]map[string]bool) bool {
	parents := 0
	for _, ref := range row.Parents {
		ed := e.edgeAt(ref.Edge)
		if ed == nil || !ed.deep {
			continue
		}
		if !reused[ed.parent.name][ref.Key] {
			return false
		}
		parents++
	}
	// A record with another key and without a parent was found by an identity.
	return (deleted || parents > 0) && !r.identified(e, row)
}

// identified tells whether a column of the record holds one of the subject's identities.
func (r *Resolver) identified(e *entity, row *RowFacts) bool {
	if r.opts.SkipIdentities {
		return false
	}
	for _, m := range e.spec.IdentifiedBy {
		v := e.value(row, m.Column)
		if v == nil {
			continue
		}
		text := normalized(r.opts.text(e.spec.Store, v), m.Normalize)
		for _, want := range r.subject.Identities[m.Identity] {
			if text == normalized(want, m.Normalize) {
				return true
			}
		}
	}
	return false
}

func normalized(text string, n v1alpha1.Normalization) string {
	switch n {
	case v1alpha1.NormalizeLowerCase:
		return strings.ToLower(text)
	case v1alpha1.NormalizeTrimLowerCase:
		return strings.ToLower(strings.TrimSpace(text))
	}
	return text
}

// Present keeps of a step's operations what the facts do not know to be gone, in the same order.
func (g *Graph) Present(ops []backend.Operation, f *Facts) []backend.Operation {
	gone := map[string]map[string]bool{}
	for name, ef := range f.Entities {
		gone[name] = map[string]bool{}
		for i := range ef.Rows {
			if ef.Rows[i].Gone {
				gone[name][keyID(ef.Rows[i].Key)] = true
			}
		}
	}
	out := make([]backend.Operation, len(ops))
	for i, op := range ops {
		out[i] = op
		if op.Action == backend.Unlink || len(gone[op.Entity]) == 0 {
			continue
		}
		out[i].Keys, out[i].Set, out[i].Expect = nil, nil, nil
		for k, key := range op.Keys {
			if gone[op.Entity][keyID(key)] {
				continue
			}
			out[i].Keys = append(out[i].Keys, key)
			if op.Set != nil {
				out[i].Set = append(out[i].Set, op.Set[k])
			}
			if op.Expect != nil {
				out[i].Expect = append(out[i].Expect, op.Expect[k])
			}
		}
	}
	return out
}
