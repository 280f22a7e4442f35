package explain

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/retention"
)

// person is one with all records.
type person struct {
	holds []planner.Hold
	// fates that an erasure now would give to the records.
	fates []planner.Fate
	// decisions of the rules that erase the person, by entity and key.
	decisions map[string]map[string][]Decision
}

// person finds a person as an erasure does.
func (w *world) person(ctx context.Context, id string) (*person, error) {
	identities, known, err := executor.IdentitiesFromRecords(ctx, w.stores, w.namespace, w.sources, id)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, fault.Terminalf(v1alpha1.ReasonSubjectNotFound, "no record of a root entity has this id (%s); give the id as an ErasureRequest does: the value of the column that the map identifies by id", strings.Join(w.roots(), ", "))
	}
	identities[v1alpha1.IdentityID] = []string{id}
	subject := planner.Subject{Identities: identities}
	if missing := w.graph.MissingIdentities(subject); len(missing) > 0 {
		w.warn("records that only these identities find are not among them, because no column of a root entity has them: %s", strings.Join(missing, ", "))
	}
	var holds []planner.Hold
	for _, h := range w.holds {
		holds = append(holds, h.Hold)
	}
	facts, err := executor.Resolve(ctx, w.stores, executor.Query{Namespace: w.namespace, Graph: w.graph, Subject: subject, Holds: holds})
	if err != nil {
		return nil, err
	}
	if len(facts.Problems) > 0 {
		return nil, fault.Terminalf(facts.Problems[0].Reason, "%s", facts.Problems[0].Message)
	}
	open, err := executor.OpenStores(ctx, w.stores, w.namespace, w.graph)
	if err != nil {
		return nil, err
	}
	ids := append(w.graph.SubjectIDs(facts, open.Codec()), id)
	p := &person{decisions: map[string]map[string][]Decision{}}
	for i, h := range w.holds {
		holds[i].WholeSubject = h.names(ids...)
		if holds[i].WholeSubject || len(h.Records) > 0 {
			p.holds = append(p.holds, holds[i])
		}
	}
	p.fates = w.graph.Fates(facts, p.holds, w.now)
	return p, w.erasures(ctx, p, facts)
}

// holdNames are those that name the person.
func (p *person) holdNames() []string {
	var names []string
	for _, h := range p.holds {
		if h.WholeSubject {
			names = append(names, h.Name)
		}
	}
	return names
}

func (w *world) roots() []string {
	var names []string
	for _, n := range w.order {
		if n.Spec.Root != nil {
			names = append(names, n.Name)
		}
	}
	return names
}

// erasures takes in what the rules that erase the person mean for the records.
func (w *world) erasures(ctx context.Context, p *person, facts *planner.Facts) error {
	for _, t := range w.targets {
		if !t.erases() {
			continue
		}
		root := t.Map + "/" + t.Entity
		var keys []backend.Key
		for _, f := range p.fates {
			if f.Entity == root {
				keys = append(keys, f.Key)
			}
		}
		var found []Decision
		if err := w.look(ctx, t, keys, func(_ backend.Key, d Decision, _ string) {
			if d.Kind != KindNotConcerned {
				found = append(found, d)
			}
		}); err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		d := first(found)
		at := w.now
		if d.raw.Due.After(at) {
			at = d.raw.Due
		}
		for _, f := range w.graph.Fates(facts, p.holds, at) {
			if p.decisions[f.Entity] == nil {
				p.decisions[f.Entity] = map[string][]Decision{}
			}
			id := idOf(f.Key)
			p.decisions[f.Entity][id] = append(p.decisions[f.Entity][id], t.erased(d, f, root))
		}
	}
	return nil
}

// erased is what the erasure of the person means for one record.
func (t *target) erased(person Decision, f planner.Fate, root string) Decision {
	d := person.raw
	d.Message = "the whole person goes: " + d.Message
	kind := ""
	if !d.Due.IsZero() {
		d, kind = kept(d, f)
	}
	out := t.noticed(d, kind)
	if out.Action = string(f.Action); f.Action == v1alpha1.ActionKeep {
		out.Action = string(v1alpha1.ActionDelete)
	}
	if out.With = root; f.Entity == root {
		out.With = ""
	}
	return out
}

// kept applies what keeps the record when the person goes.
func kept(d retention.Decision, f planner.Fate) (_ retention.Decision, kind string) {
	why := "it is kept"
	if f.Needed {
		why = "it stays because it is "
	} else if f.Basis != "" {
		why = "it is kept by "
	}
	stays := func(kind, deciding, message string) (retention.Decision, string) {
		d.Due, d.Until, d.Deciding, d.Basis, d.Message = f.Until, f.Until, deciding, f.Basis, message
		return d, kind
	}
	until := ""
	if !f.Until.IsZero() {
		until = " until " + f.Until.Format(time.RFC3339)
	}
	switch {
	case f.Action == v1alpha1.ActionKeep:
		return stays(KindKeptByMap, "action Keep", "the map keeps it when the person goes ("+f.Basis+")")
	case f.Shared:
		return stays(KindShared, "records of others", "it stays when the person goes, because records of others refer to it")
	case len(f.Holds) > 0:
		return stays(KindLegalHold, "legal hold "+slices.Min(f.Holds), why+f.Basis+", until that is lifted")
	case f.Basis != "":
		return stays(KindStatutoryHold, "statutory hold", why+f.Basis+until)
	}
	return d, ""
}
