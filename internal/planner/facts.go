package planner

import (
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Facts are what the stores said about one subject: everything that planning needs. They hold personal data and are only
// ever stored sealed.
type Facts struct {
	// Holds that the records were tested for, so that a plan never goes on facts that do not know a hold.
	Holds    []string                `json:"holds,omitempty"`
	Entities map[string]*EntityFacts `json:"entities"`
	Files    []FileFacts             `json:"files,omitempty"`
	// Problems that stand in the way of a plan, such as a path that leaves its root.
	Problems []Problem `json:"problems,omitempty"`
}

// EntityFacts are the records of one entity.
type EntityFacts struct {
	// Columns in the order of RowFacts.Values, Clocks in the order of RowFacts.Clocks.
	Columns []string `json:"columns,omitempty"`
	Clocks  []string `json:"clocks,omitempty"`
	// Rows are the subject's records, by key.
	Rows []RowFacts `json:"rows,omitempty"`
	// Links are records that are not the subject's and refer to it by a Shallow reference.
	Links []LinkFacts `json:"links,omitempty"`
}

// RowFacts is one record of the subject.
type RowFacts struct {
	Key    backend.Key     `json:"key"`
	Values []backend.Value `json:"values,omitempty"`
	Clocks []backend.Clock `json:"clocks,omitempty"`
	// Active is true where the record shows that a process is still running.
	Active bool `json:"active,omitempty"`
	// Held tells for each statutory hold of the entity whether its conditions are met.
	Held []bool `json:"held,omitempty"`
	// Legal has the UIDs of the legal holds that select the record.
	Legal []string `json:"legal,omitempty"`
	// Parents are the records that this one refers to.
	Parents []ParentRef `json:"parents,omitempty"`
	// Refers tells for each RefCount reference to the entity that has conditions whether the record meets them.
	Refers []bool `json:"refers,omitempty"`
	// Shared is true where records that are not the subject's refer to it by a RefCount reference.
	Shared bool `json:"shared,omitempty"`
	// Identified is true where an identity says that it is the subject's.
	Identified bool `json:"identified,omitempty"`
	// Own is true where an identity or a Deep parent says that it is the subject's, whoever refers to it.
	Own bool `json:"own,omitempty"`
	// Gone marks a record that an earlier look found and a later one did not.
	Gone bool `json:"gone,omitempty"`
}

// ParentRef is a link from a record to the record of a parent.
type ParentRef struct {
	// Edge is the index in the entity's parents.
	Edge int `json:"edge"`
	// Key is the parent's key in the notation of keyID.
	Key string `json:"key"`
}

// LinkFacts is a record of somebody else that refers to a record of the subject.
type LinkFacts struct {
	Edge int         `json:"edge"`
	Key  backend.Key `json:"key"`
	// Values of the columns that are set to NULL.
	Values  []backend.Value `json:"values"`
	Parents []string        `json:"parents"`
}

// FileFacts is a file that exists, with the records that name it.
type FileFacts struct {
	Store  string  `json:"store"`
	Path   string  `json:"path"`
	Owners []Owner `json:"owners"`
	// Stays means that it stays because a record that names it is shared by now.
	Stays bool `json:"stays,omitempty"`
	// Locked says that the store itself keeps the file for now.
	Locked *Lock `json:"locked,omitempty"`
}

// Lock is why and until when a store keeps a file, nil for no end.
type Lock struct {
	Basis string     `json:"basis"`
	Until *time.Time `json:"until,omitempty"`
}

// FileOperations name the files found in one store, so that the store can be asked which of them it keeps.
func (f *Facts) FileOperations(store string) []backend.Operation {
	var ops []backend.Operation
	at := map[string]int{}
	for _, file := range f.Files {
		if file.Store != store || len(file.Owners) == 0 {
			continue
		}
		entity := file.Owners[0].Entity
		i, ok := at[entity]
		if !ok {
			i = len(ops)
			at[entity] = i
			ops = append(ops, backend.Operation{Entity: entity, Action: backend.Unlink})
		}
		ops[i].Keys = append(ops[i].Keys, backend.Key{file.Path})
	}
	return ops
}

// Lock notes what a store keeps.
func (f *Facts) Lock(store string, retained []backend.Retention) {
	locks := map[string]*Lock{}
	for _, r := range retained {
		locks[keyID(r.Key)] = &Lock{Basis: r.Basis, Until: r.Until}
	}
	for i := range f.Files {
		if f.Files[i].Store == store {
			f.Files[i].Locked = locks[keyID(backend.Key{f.Files[i].Path})]
		}
	}
}

// Owner is a record that names a file.
type Owner struct {
	Entity string `json:"entity"`
	Key    string `json:"key"`
	// Ref is the index in the entity's files.
	Ref int `json:"ref"`
}

// tuple joins texts so that different lists never give the same text.
func tuple(parts []string) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(strconv.Itoa(len(p)))
		b.WriteByte(':')
		b.WriteString(p)
	}
	return b.String()
}

func keyID(k backend.Key) string { return tuple(k) }

func (o Owner) id() string { return tuple([]string{o.Entity, strconv.Itoa(o.Ref), o.Key}) }

func (f FileFacts) id() string { return tuple([]string{f.Store, f.Path}) }

func (l LinkFacts) id() string { return strconv.Itoa(l.Edge) + "/" + keyID(l.Key) }

// MergeFacts brings the facts of a second look together with those of an earlier one. Records known before keep their
// values, so that what was planned for them stays the same, and take the flags, clocks and holds of now. Records that are
// no longer found stay, as Gone; new ones are added. Merging the same facts again changes nothing.
func MergeFacts(prior, fresh *Facts) *Facts {
	if prior == nil {
		return fresh
	}
	if fresh == nil {
		return prior
	}
	out := &Facts{Holds: fresh.Holds, Entities: map[string]*EntityFacts{}, Files: mergeFiles(prior.Files, fresh.Files), Problems: fresh.Problems}
	for name, f := range fresh.Entities {
		out.Entities[name] = f
	}
	for name, p := range prior.Entities {
		out.Entities[name] = mergeEntity(p, fresh.Entities[name])
	}
	return out
}

// Covers tells whether a look with KnownParents found only records that the prior facts have, with the values by which
// others refer to them. Then a look without it would find the same.
func (g *Graph) Covers(prior, fresh *Facts) bool {
	for _, e := range g.entities {
		now, before := fresh.Entities[e.name], prior.Entities[e.name]
		if now == nil || len(now.Rows) == 0 {
			continue
		}
		if before == nil || !slices.Equal(before.Columns, now.Columns) {
			return false
		}
		known := make(map[string]*RowFacts, len(before.Rows))
		for i := range before.Rows {
			known[keyID(before.Rows[i].Key)] = &before.Rows[i]
		}
		for i := range now.Rows {
			row := known[keyID(now.Rows[i].Key)]
			if row == nil || !e.sameReferred(row, &now.Rows[i]) {
				return false
			}
		}
	}
	return true
}

// sameReferred compares the columns that other entities refer to.
func (e *entity) sameReferred(a, b *RowFacts) bool {
	for _, ed := range e.children {
		for _, c := range ed.parentColumns {
			if !sameValue(e.value(a, c), e.value(b, c)) {
				return false
			}
		}
	}
	return slices.Equal(a.Refers, b.Refers)
}

func mergeEntity(prior, fresh *EntityFacts) *EntityFacts {
	if fresh == nil {
		fresh = &EntityFacts{Columns: prior.Columns, Clocks: prior.Clocks}
	}
	if !slices.Equal(prior.Columns, fresh.Columns) || !slices.Equal(prior.Clocks, fresh.Clocks) {
		return fresh // of another map: the values would not fit
	}
	out := &EntityFacts{Columns: fresh.Columns, Clocks: fresh.Clocks}
	before := map[string]RowFacts{}
	for _, r := range prior.Rows {
		before[keyID(r.Key)] = r
	}
	rows := map[string]bool{}
	for _, r := range fresh.Rows {
		id := keyID(r.Key)
		rows[id] = true
		if p, ok := before[id]; ok {
			r.Values = p.Values
			r.Parents = mergeParents(p.Parents, r.Parents)
			r.Identified, r.Own = r.Identified || p.Identified, r.Own || p.Own
			r.Refers = mergeRefers(p.Refers, r.Refers)
		}
		out.Rows = append(out.Rows, r)
	}
	for id, r := range before {
		if !rows[id] {
			r.Gone = true
			rows[id] = true
			out.Rows = append(out.Rows, r)
		}
	}
	out.Links = mergeLinks(prior.Links, fresh.Links, rows)
	out.sort()
	return out
}

// mergeRefers keeps what either look says, as mergeParents does.
func mergeRefers(a, b []bool) []bool {
	out := slices.Clone(b)
	for i := range min(len(a), len(b)) {
		out[i] = a[i] || b[i]
	}
	return out
}

func mergeParents(a, b []ParentRef) []ParentRef {
	return sortParents(append(slices.Clone(a), b...))
}

func sortParents(refs []ParentRef) []ParentRef {
	sort.Slice(refs, func(i, j int) bool {
		if refs[i].Edge != refs[j].Edge {
			return refs[i].Edge < refs[j].Edge
		}
		return refs[i].Key < refs[j].Key
	})
	return slices.Compact(refs)
}

// mergeLinks keeps the values of the earlier look, and drops records that turned out to be the subject's.
func mergeLinks(prior, fresh []LinkFacts, rows map[string]bool) []LinkFacts {
	var out []LinkFacts
	at := map[string]int{}
	for _, l := range append(slices.Clone(prior), fresh...) {
		if rows[keyID(l.Key)] {
			continue
		}
		if i, ok := at[l.id()]; ok {
			parents := append(slices.Clone(out[i].Parents), l.Parents...)
			slices.Sort(parents)
			out[i].Parents = slices.Compact(parents)
			continue
		}
		at[l.id()] = len(out)
		out = append(out, l)
	}
	return out
}

func mergeFiles(prior, fresh []FileFacts) []FileFacts {
	var out []FileFacts
	at := map[string]int{}
	for _, f := range append(slices.Clone(prior), fresh...) {
		if i, ok := at[f.id()]; ok {
			out[i].Owners, out[i].Locked = sortOwners(append(slices.Clone(out[i].Owners), f.Owners...)), f.Locked
			continue
		}
		at[f.id()] = len(out)
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].id() < out[j].id() })
	return out
}

func sortOwners(owners []Owner) []Owner {
	sort.Slice(owners, func(i, j int) bool { return owners[i].id() < owners[j].id() })
	return slices.Compact(owners)
}

func (f *EntityFacts) sort() {
	sort.Slice(f.Rows, func(i, j int) bool { return slices.Compare(f.Rows[i].Key, f.Rows[j].Key) < 0 })
	sort.Slice(f.Links, func(i, j int) bool {
		if f.Links[i].Edge != f.Links[j].Edge {
			return f.Links[i].Edge < f.Links[j].Edge
		}
		return slices.Compare(f.Links[i].Key, f.Links[j].Key) < 0
	})
}

// value reads a column of a record, of the key too.
func (e *entity) value(r *RowFacts, column string) backend.Value {
	if i, ok := e.keyAt[column]; ok && i < len(r.Key) {
		return &r.Key[i]
	}
	if i, ok := e.columnAt[column]; ok && i < len(r.Values) {
		return r.Values[i]
	}
	return nil
}
