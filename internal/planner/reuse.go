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
		// Along a reference to itself one finding leads to the next.
		for again := true; again; {
			before := len(ef.Rows)
			ef.Rows = slices.DeleteFunc(ef.Rows, func(row RowFacts) bool {
				id := keyID(row.Key)
				stranger := r.stranger(e, &row, r.opts.Deletes[e.name][id], reused)
				if stranger {
					reused[e.name][id] = true
				}
				return stranger
			})
			again = len(ef.Rows) < before && len(e.selfEdges()) > 0
		}
	}
}

// stranger tells whether nothing but a key that is used again leads to a record.
func (r *Resolver) stranger(e *entity, row *RowFacts, deleted bool, reused map[string]map[string]bool) bool {
	parents := 0
	for _, ref := range row.Parents {
		ed := e.edgeAt(ref.Edge)
		if ed == nil || !ed.leads() {
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
		text := r.opts.text(e.spec.Store, v)
		same := func(part, identity string) bool { return sameIdentity(part, identity, m.Normalize) }
		for _, want := range r.subject.Identities[m.Identity] {
			switch {
			case m.Comparison == v1alpha1.CompareElement:
				list, _ := r.elements(e, m.Column, v)
				if slices.ContainsFunc(list, func(element string) bool { return same(element, want) }) {
					return true
				}
			case m.Comparison != v1alpha1.CompareContains:
				if same(text, want) {
					return true
				}
			case m.Normalize == v1alpha1.NormalizeTrimLowerCase:
				want = strings.TrimSpace(want)
				fallthrough
			default:
				if backend.FindWord(text, want, same) {
					return true
				}
			}
		}
	}
	return false
}

func sameIdentity(text, identity string, n v1alpha1.Normalization) bool {
	switch n {
	case v1alpha1.NormalizeLowerCase:
		return sameWord(text, identity)
	case v1alpha1.NormalizeTrimLowerCase:
		return sameWord(strings.TrimSpace(text), strings.TrimSpace(identity))
	}
	return text == identity
}

// Present keeps of a step's operations what the facts do not know to be gone, or to stay with a shared record, in the same
// order.
func (g *Graph) Present(step Step, f *Facts) []backend.Operation {
	gone := map[string]map[string]bool{}
	for name, ef := range f.Entities {
		gone[name] = map[string]bool{}
		for i := range ef.Rows {
			if ef.Rows[i].Gone {
				gone[name][keyID(ef.Rows[i].Key)] = true
			}
		}
	}
	stay := map[string]bool{}
	for _, file := range f.Files {
		stay[file.id()] = stay[file.id()] || file.Stays
	}
	out := make([]backend.Operation, len(step.Operations))
	for i, op := range step.Operations {
		out[i] = op
		if op.Action == backend.Unlink {
			out[i].Keys = slices.DeleteFunc(slices.Clone(op.Keys), func(k backend.Key) bool { return stay[FileFacts{Store: step.Store, Path: k[0]}.id()] })
			continue
		}
		if len(gone[op.Entity]) == 0 {
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

// Evidence is what the records of a residue held in the columns that make them the subject's, so that another record with
// the same key is told from them years later.
type Evidence map[string]EntityEvidence

// EntityEvidence has the values of one entity's records by key.
type EntityEvidence struct {
	Columns []string                   `json:"columns"`
	Keys    map[string]backend.Key     `json:"keys"`
	Values  map[string][]backend.Value `json:"values"`
	// Files that go with the records, by key.
	Files map[string][]EvidenceFile `json:"files,omitempty"`
}

// EvidenceFile is what a record names in a path store, with how it is counted.
type EvidenceFile struct {
	Store    string `json:"store"`
	Path     string `json:"path"`
	Category string `json:"category"`
	// File is true for a file, false for a key or a remote record; a folder is not counted.
	File bool `json:"file,omitempty"`
}

// Evidence gathers, for the records that later steps treat, what they hold once the plan's own steps are done.
func (g *Graph) Evidence(later, now []Step, f *Facts) Evidence {
	written := map[string]map[string]backend.Value{}
	for _, s := range now {
		for _, op := range s.Operations {
			for k := range op.Set {
				for c, column := range op.Columns {
					if op.Element(c) || len(op.Member(c)) > 0 {
						continue // what is set is not what the column holds then
					}
					id := tuple([]string{op.Entity, keyID(op.Keys[k])})
					if written[id] == nil {
						written[id] = map[string]backend.Value{}
					}
					written[id][column] = op.Set[k][c]
				}
			}
		}
	}
	out := Evidence{}
	for _, e := range g.entities {
		columns := e.evidenceColumns()
		treated := keysOf(later, e.name)
		if ef := f.Entities[e.name]; ef != nil && len(treated) > 0 {
			ev := EntityEvidence{Columns: columns, Keys: map[string]backend.Key{}, Values: map[string][]backend.Value{}, Files: g.filesOf(e, later, f)}
			for i := range ef.Rows {
				row := &ef.Rows[i]
				id := keyID(row.Key)
				if !treated[id] {
					continue
				}
				ev.Keys[id], ev.Values[id] = row.Key, []backend.Value{}
				for _, c := range columns {
					v := e.value(row, c)
					if now, changed := written[tuple([]string{e.name, id})][c]; changed {
						v = now
					}
					ev.Values[id] = append(ev.Values[id], v)
				}
			}
			out[e.name] = ev
		}
	}
	return out
}

// filesOf are the files of the entity's records that the steps remove.
func (g *Graph) filesOf(e *entity, steps []Step, f *Facts) map[string][]EvidenceFile {
	removed := map[string]*entity{}
	for _, s := range steps {
		for _, op := range s.Operations {
			for _, k := range op.Keys {
				if op.Action == backend.Unlink {
					removed[FileFacts{Store: s.Store, Path: k[0]}.id()] = g.byName[op.Entity]
				}
			}
		}
	}
	out := map[string][]EvidenceFile{}
	for _, file := range f.Files {
		by := removed[file.id()]
		if by == nil {
			continue
		}
		file.Owners = slices.Clone(file.Owners)
		at := slices.IndexFunc(file.Owners, func(o Owner) bool { return o.Entity == by.name && o.Ref < len(by.references) })
		for _, o := range file.Owners {
			if o.Entity == e.name && at >= 0 {
				ref := by.references[file.Owners[at].Ref]
				out[o.Key] = append(out[o.Key], EvidenceFile{Store: file.Store, Path: file.Path, Category: ref.category, File: ref.step == StepFiles})
			}
		}
	}
	return out
}

func keysOf(steps []Step, entity string) map[string]bool {
	keys := map[string]bool{}
	for _, s := range steps {
		for _, op := range s.Operations {
			if op.Entity == entity && op.Action != backend.Unlink {
				for _, k := range op.Keys {
					keys[keyID(k)] = true
				}
			}
		}
	}
	return keys
}

// evidenceColumns are those by which the subject's records are found, but for the key itself.
func (e *entity) evidenceColumns() []string {
	set := map[string]bool{}
	for _, m := range e.spec.IdentifiedBy {
		set[m.Column] = true
	}
	for _, ed := range e.edges {
		if ed.leads() {
			addAll(set, ed.columns)
		}
	}
	for k := range e.keyAt {
		delete(set, k)
	}
	return sortedKeys(set)
}

// EvidenceRequests read, by store, what is under the keys now, and whether others refer to it.
func (g *Graph) EvidenceRequests(ev Evidence, codec Codec) map[string]backend.ResolveRequest {
	out := map[string]backend.ResolveRequest{}
	for _, e := range g.entities {
		known, ok := ev[e.name]
		if !ok {
			continue
		}
		var rows [][]string
		for _, id := range sortedKeys(known.Keys) {
			texts := make([]string, len(known.Keys[id]))
			for i := range texts {
				texts[i] = codec.text(e.spec.Store, &known.Keys[id][i])
			}
			rows = append(rows, texts)
		}
		req := out[e.spec.Store]
		q := backend.Query{Entity: e.name, Table: e.table, KeyColumns: e.spec.Key, Columns: known.Columns,
			AnyOf: []backend.Match{{Values: &backend.ValuesMatch{Columns: e.spec.Key, Rows: rows}}}}
		referring := func(parent *entity) string {
			own := backend.Query{Entity: parent.name + "#known", Table: parent.table, KeyColumns: parent.spec.Key, Scope: parent.scope}
			if at := slices.IndexFunc(req.Queries, func(q backend.Query) bool { return q.Entity == parent.name }); at >= 0 {
				own.AnyOf = req.Queries[at].AnyOf
			}
			if !slices.ContainsFunc(req.Queries, func(q backend.Query) bool { return q.Entity == own.Entity }) {
				req.Queries = append(req.Queries, own)
			}
			return own.Entity
		}
		for _, s := range e.sharings() {
			q.Shared = append(q.Shared, s.match(referring))
		}
		req.Queries = append(req.Queries, q)
		out[e.spec.Store] = req
	}
	return out
}

// Strangers compares what is there now with the evidence, parents first. The facts it returns know as gone every record
// that the steps must leave alone: because somebody else's record has its key, so that none of what made it the subject's is
// as it was, or, as Shared, because others refer to it or to what it belongs to by now. They list the files that these records
// name: those of shared ones stay.
func (g *Graph) Strangers(ev Evidence, steps []Step, found map[string][]backend.Row) *Facts {
	facts := &Facts{Entities: map[string]*EntityFacts{}}
	strangers, common := map[string]map[string]bool{}, map[string]map[string]bool{}
	for _, e := range g.entities {
		known, counted := ev[e.name], countedKeys(steps, e.name)
		strangers[e.name], common[e.name] = map[string]bool{}, map[string]bool{}
		// Along a reference to itself one finding leads to the next.
		for again := true; again; {
			again = false
			for _, row := range found[e.name] {
				id := keyID(row.Key)
				before, ok := known.Values[id]
				shared := counted[id] && slices.Contains(row.Shared, true)
				r := evidence{columns: known.Columns, key: row.Key, before: before, now: row.Values}
				if !ok || strangers[e.name][id] || !shared && e.same(r, strangers) {
					continue
				}
				shared = shared || e.below(r, common)
				strangers[e.name][id], common[e.name][id], again = true, shared, len(e.selfEdges()) > 0
				facts.leave(e, row.Key, shared, known.Files[id])
			}
		}
	}
	return facts
}

// leave notes a record that is left alone.
func (f *Facts) leave(e *entity, key backend.Key, shared bool, files []EvidenceFile) {
	if f.Entities[e.name] == nil {
		f.Entities[e.name] = &EntityFacts{}
	}
	f.Entities[e.name].Rows = append(f.Entities[e.name].Rows, RowFacts{Key: key, Gone: true, Shared: shared})
	for _, file := range files {
		f.Files = append(f.Files, FileFacts{Store: file.Store, Path: file.Path, Owners: []Owner{{Entity: e.name, Key: keyID(key)}}, Stays: shared})
	}
}

// evidence is what one record held in the columns that make it the subject's, and what it holds now.
type evidence struct {
	columns     []string
	key         backend.Key // the same by definition
	before, now []backend.Value
}

func (r evidence) at(e *entity, values []backend.Value, column string) backend.Value {
	if i, ok := e.keyAt[column]; ok && i < len(r.key) {
		return &r.key[i]
	}
	if i := slices.Index(r.columns, column); i >= 0 && i < len(values) {
		return values[i]
	}
	return nil
}

// link is what the record refers to by the edge, nil for nothing, and whether it still does.
func (r evidence) link(ed *edge) (link backend.Key, still bool) {
	if ed.element {
		return nil, false // an array may lose other elements: it speaks neither for the record nor against it
	}
	still = true
	for _, c := range ed.columns {
		v := r.at(ed.child, r.before, c)
		if v == nil {
			return nil, false
		}
		link, still = append(link, *v), still && sameValue(v, r.at(ed.child, r.now, c))
	}
	return link, still
}

// byKey tells whether the edge refers by the parent's key.
func (ed *edge) byKey() bool { return slices.Equal(ed.parentColumns, ed.parent.spec.Key) }

// below tells whether the record still belongs to one that is shared by now.
func (e *entity) below(r evidence, common map[string]map[string]bool) bool {
	return slices.ContainsFunc(e.edges, func(ed *edge) bool {
		link, still := r.link(ed)
		return ed.deep && ed.byKey() && still && common[ed.parent.name][keyID(link)]
	})
}

// CountsWithout are the counts of the steps without the records that are left alone, and without their files. Those that are
// shared count as such.
func (g *Graph) CountsWithout(counts []v1alpha1.CategoryCount, steps []Step, ev Evidence, alone *Facts) []v1alpha1.CategoryCount {
	purposes := map[string]Purpose{}
	for _, s := range steps {
		for i, op := range s.Operations {
			for _, k := range op.Keys {
				if i < len(s.Purposes) && s.Purposes[i] != PurposeUnlink && s.Purposes[i] != PurposeFile {
					purposes[tuple([]string{op.Entity, keyID(k)})] = s.Purposes[i]
				}
			}
		}
	}
	c := counter{}
	for _, n := range counts {
		*c.of(n.Category) = n
	}
	stays := map[string]bool{}
	for _, e := range g.entities {
		ef := alone.Entities[e.name]
		if ef == nil {
			continue
		}
		for i := range ef.Rows {
			id := keyID(ef.Rows[i].Key)
			c.leave(e, purposes[tuple([]string{e.name, id})], ef.Rows[i].Shared)
			for _, f := range ev[e.name].Files[id] {
				if file := (FileFacts{Store: f.Store, Path: f.Path}).id(); ef.Rows[i].Shared && !stays[file] {
					stays[file] = true
					c.leaveFile(f)
				}
			}
		}
	}
	return slices.DeleteFunc(c.list(), func(n v1alpha1.CategoryCount) bool { return n == v1alpha1.CategoryCount{Category: n.Category} })
}

func (c counter) leave(e *entity, purpose Purpose, shared bool) {
	of := c.of(e.spec.Category)
	switch purpose {
	case PurposeDelete:
		of.Deleted--
	case PurposeAnonymize:
		of.Anonymized--
	case PurposeMark:
		of.Marked--
	default:
		return
	}
	if shared {
		of.Shared++
	}
}

func (c counter) leaveFile(f EvidenceFile) {
	switch {
	case !f.File:
		c.of(f.Category).Deleted--
	case !strings.HasSuffix(f.Path, "/"):
		c.of(f.Category).Files--
	}
}

// countedKeys are the keys of an entity's records that go only if nothing refers to them.
func countedKeys(steps []Step, entity string) map[string]bool {
	keys := map[string]bool{}
	for _, s := range steps {
		for _, op := range s.Operations {
			for _, k := range op.Keys {
				if op.Entity == entity && len(op.Referrers) > 0 {
					keys[keyID(k)] = true
				}
			}
		}
	}
	return keys
}

// same tells whether an identity, or a reference to a parent that is no stranger, is as it was. Where there was neither,
// nothing speaks against it.
func (e *entity) same(r evidence, strangers map[string]map[string]bool) bool {
	said := false
	for _, m := range e.spec.IdentifiedBy {
		if _, key := e.keyAt[m.Column]; key {
			continue // it is the same by definition, whoever has it
		}
		if v := r.at(e, r.before, m.Column); v != nil {
			said = true
			if sameValue(v, r.at(e, r.now, m.Column)) {
				return true
			}
		}
	}
	for _, ed := range e.edges {
		link, still := r.link(ed)
		if !ed.leads() || link == nil {
			continue
		}
		// A reference by the parent's key says nothing once that key is somebody else's.
		strange := ed.byKey() && strangers[ed.parent.name][keyID(link)]
		if subset(ed.columns, e.spec.Key) {
			said = said || strange // that it is the same says nothing for it
			continue
		}
		said = true
		if still && !strange {
			return true
		}
	}
	return !said
}
