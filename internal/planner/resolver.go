package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Subject is the person whose data is looked for: plain values by the name of the identity; "id" is always there.
type Subject struct {
	Identities map[string][]string `json:"identities"`
}

// Hold is a legal hold in force that concerns the subject or its namespace.
type Hold struct {
	UID  string `json:"uid"`
	Name string `json:"name"`
	// WholeSubject means that the subject itself is held.
	WholeSubject bool         `json:"wholeSubject,omitempty"`
	Records      []HoldRecord `json:"records,omitempty"`
}

// HoldRecord selects records of one entity; without conditions all of them.
type HoldRecord struct {
	Map        string               `json:"map"`
	Entity     string               `json:"entity"`
	Conditions []v1alpha1.Condition `json:"conditions,omitempty"`
}

func (r HoldRecord) entity() string { return r.Map + "/" + r.Entity }

// evaluationID names what a hold selects, so that facts show whether they know it.
func (h Hold) evaluationID() string {
	data, _ := json.Marshal(h.Records) // strings only: cannot fail
	sum := sha256.Sum256(data)
	return h.UID + ":" + hex.EncodeToString(sum[:8])
}

// ResolveOptions say how to look for a subject.
type ResolveOptions struct {
	// Text is the plain text of a store's value (Backend.Text); nil takes the value for its text.
	Text func(store string, v backend.Value) string
	// Elements are the plain texts of the elements of a store's array (Arrays.Elements).
	Elements func(store string, v backend.Value) ([]string, bool)
	// SkipIdentities looks only for the records of prior facts and for what refers to them. It is for a person who came
	// back: what is found by an identity now may be new data, which nobody asked to erase.
	SkipIdentities bool
	// KnownParents looks for what refers to the records of the prior facts, and not to those that this look finds: cheap for
	// the stores, and enough where nothing new turns up (see Graph.Covers).
	KnownParents bool
	// Deletes has the keys that the plan deletes: a second look takes what it finds under them for the subject's only if an
	// identity or a parent says so.
	Deletes Deletes
	// MaxRows bounds what one request may find, by store.
	MaxRows map[string]int64
}

func (o ResolveOptions) text(store string, v backend.Value) string {
	if v == nil {
		return ""
	}
	if o.Text == nil {
		return *v
	}
	return o.Text(store, v)
}

// Resolver gathers the facts about one subject: Next says what to ask, Put takes the answers, until Next is empty. It is
// not safe for concurrent use.
type Resolver struct {
	g       *Graph
	subject Subject
	prior   *Facts
	opts    ResolveOptions
	holds   []Hold
	legal   map[*entity][]legalFlag

	wave     int
	after    int // what was asked when all tables had answered: files, then names
	open     map[string]backend.ResolveRequest
	rows     map[string][]backend.Row // by query
	wanted   map[string][][]Owner     // by query, for each of its paths
	paths    map[string][]backend.Path
	doubts   map[string]*doubt // by query
	problems []Problem
	// unreadable are documents of records found.
	unreadable []Problem
}

// legalFlag is a condition of a legal hold on records.
type legalFlag struct {
	uid  string
	flag int // -1 selects every record
}

// NewResolver begins to look for the subject. Records of the prior facts are found again by their keys and by the links
// to them, even where their parents are gone.
func (g *Graph) NewResolver(subject Subject, holds []Hold, prior *Facts, opts ResolveOptions) *Resolver {
	return &Resolver{g: g, subject: subject, prior: prior, opts: opts, holds: holds, legal: map[*entity][]legalFlag{},
		open: map[string]backend.ResolveRequest{}, rows: map[string][]backend.Row{}, wanted: map[string][][]Owner{}, paths: map[string][]backend.Path{}}
}

// Next returns, by store, what can be asked now; it is the same until all of it was answered. Empty means finished.
func (r *Resolver) Next() map[string]backend.ResolveRequest {
	for len(r.open) == 0 && r.after < 2 {
		switch {
		case r.wave < r.g.waves:
			r.askTables(r.wave)
			r.wave++
		case r.after == 0:
			r.askFiles()
			r.after++
		default:
			r.askNames()
			r.after++
		}
	}
	return maps.Clone(r.open)
}

// Put takes a store's answer.
func (r *Resolver) Put(store string, res *backend.Resolution) {
	req, ok := r.open[store]
	if !ok || res == nil {
		return
	}
	for _, q := range req.Queries {
		r.rows[q.Entity] = res.Rows[q.Entity]
	}
	delete(r.open, store)
}

func (r *Resolver) ask(store string, q backend.Query) {
	req := r.open[store]
	req.MaxRows = r.opts.MaxRows[store]
	req.Queries = append(req.Queries, q)
	r.open[store] = req
}

func (r *Resolver) asked(e *entity) bool {
	return slices.ContainsFunc(r.open[e.spec.Store].Queries, func(q backend.Query) bool { return q.Entity == e.name })
}

func (r *Resolver) askTables(wave int) {
	for _, e := range r.g.entities {
		if e.wave == wave {
			r.askEntity(e)
		}
	}
	for _, e := range r.g.entities {
		for _, ed := range e.edges {
			if !ed.leads() && ed.wave == wave && ed.parent.deletes() && !e.outside {
				r.askLinks(ed)
			}
		}
	}
}

func (r *Resolver) askEntity(e *entity) {
	var match []backend.Match
	if !r.opts.SkipIdentities {
		for _, m := range e.spec.IdentifiedBy {
			if values := r.identities(m.Identity); len(values) > 0 {
				match = append(match, backend.Match{Identity: &backend.IdentityMatch{Column: m.Column, Values: values,
					Normalize: backend.Normalization(m.Normalize), Contains: m.Comparison == v1alpha1.CompareContains, Element: m.Comparison == v1alpha1.CompareElement}})
			}
		}
	}
	for _, ed := range e.edges {
		if ed.leads() {
			match = append(match, r.matchParent(ed, e.wave)...)
		}
	}
	if keys := r.priorKeys(e); len(keys) > 0 {
		match = append(match, backend.Match{Values: &backend.ValuesMatch{Columns: e.spec.Key, Rows: keys}})
	}
	if len(match) == 0 {
		return
	}
	q := backend.Query{Entity: e.name, Table: e.table, KeyColumns: e.spec.Key, Columns: e.columns,
		Clocks: e.clocks, Flags: r.flags(e), Scope: e.scope, AnyOf: match, Self: r.self(e), Shared: r.shared(e)}
	r.ask(e.spec.Store, q)
}

// self leads from the entity's records to those that refer to them, unless only what the prior facts lead to is looked for.
func (r *Resolver) self(e *entity) []backend.ParentMatch {
	if r.opts.KnownParents {
		return nil
	}
	var ways []backend.ParentMatch
	for _, ed := range e.selfEdges() {
		ways = append(ways, backend.ParentMatch{Columns: ed.columns, ParentColumns: ed.parentColumns, Conditions: ed.conditions})
	}
	return ways
}

// shared asks for each way in which the record is counted whether others refer to it.
func (r *Resolver) shared(e *entity) []backend.SharedMatch {
	var list []backend.SharedMatch
	for _, s := range e.sharings() {
		list = append(list, s.match(r.referring))
	}
	return list
}

// referring is the query of this request that finds the subject's records of the entity.
func (r *Resolver) referring(e *entity) string {
	if r.asked(e) {
		return e.name
	}
	name := e.name + "#known"
	if slices.ContainsFunc(r.open[e.spec.Store].Queries, func(q backend.Query) bool { return q.Entity == name }) {
		return name
	}
	q := backend.Query{Entity: name, Table: e.table, KeyColumns: e.spec.Key, Scope: e.scope}
	var keys [][]string
	for _, row := range r.knownRows(e) {
		if texts, ok := r.texts(e, &row, e.spec.Key); ok {
			keys = append(keys, texts)
		}
	}
	if len(keys) > 0 {
		q.AnyOf = []backend.Match{{Values: &backend.ValuesMatch{Columns: e.spec.Key, Rows: keys}}}
	}
	r.ask(e.spec.Store, q)
	return name
}

// identities are the subject's values of one name. Blank ones are left out: they would match everybody without a value.
func (r *Resolver) identities(name string) []string {
	return slices.DeleteFunc(slices.Clone(r.subject.Identities[name]), func(v string) bool { return strings.TrimSpace(v) == "" })
}

// flags are the entity's own and one for each legal hold that selects some of its records.
func (r *Resolver) flags(e *entity) [][]backend.Condition {
	flags := slices.Clone(e.flags)
	r.legal[e] = nil
	for _, h := range r.holds {
		for _, rec := range h.Records {
			if rec.entity() != e.name {
				continue
			}
			f := legalFlag{uid: h.UID, flag: -1}
			if len(rec.Conditions) > 0 {
				f.flag = len(flags)
				flags = append(flags, conditions(rec.Conditions))
			}
			r.legal[e] = append(r.legal[e], f)
		}
	}
	return flags
}

// askLinks looks for the records of others that refer to records that go. Only what is needed to cut the link is read.
func (r *Resolver) askLinks(ed *edge) {
	match := r.matchParent(ed, ed.wave)
	if len(match) == 0 {
		return
	}
	e := ed.child
	r.ask(e.spec.Store, backend.Query{Entity: ed.query(), Table: e.table, KeyColumns: e.spec.Key, Columns: ed.linkColumns(),
		Scope: e.scope, AnyOf: match})
}

func (ed *edge) query() string { return ed.child.name + "#" + strconv.Itoa(ed.index) }

// linkColumns are the columns of the reference that the key does not hold.
func (ed *edge) linkColumns() []string {
	var cols []string
	for _, c := range ed.columns {
		if _, ok := ed.child.keyAt[c]; !ok {
			cols = append(cols, c)
		}
	}
	return cols
}

// matchParent finds what refers to the parent's records: those of the same request by the store itself, all others by
// their values.
func (r *Resolver) matchParent(ed *edge, wave int) []backend.Match {
	var match []backend.Match
	var known []*RowFacts
	if ed.sameStore() && ed.parent.wave == wave {
		if r.asked(ed.parent) && !r.opts.KnownParents {
			match = append(match, backend.Match{Parent: ed.parentMatch()})
		}
	} else {
		for _, row := range r.rows[ed.parent.name] {
			known = append(known, ed.parent.known(row))
		}
	}
	if p := r.priorOf(ed.parent); p != nil {
		for i := range p.Rows {
			known = append(known, &p.Rows[i])
		}
	}
	seen := map[string][]string{}
	for _, row := range known {
		for _, texts := range r.referred(ed, row) {
			seen[tuple(texts)] = texts
		}
	}
	if len(seen) > 0 {
		rows := make([][]string, 0, len(seen))
		for _, id := range sortedKeys(seen) {
			rows = append(rows, seen[id])
		}
		match = append(match, backend.Match{Values: &backend.ValuesMatch{Columns: ed.columns, Rows: rows, Conditions: ed.own(), Element: ed.element && !ed.shared}})
	}
	return match
}

// referred are the values by which children refer to a record of the parent: one, or of a RefCount reference by elements those
// to which the record refers.
func (r *Resolver) referred(ed *edge, row *RowFacts) [][]string {
	if !ed.refers(row) {
		return nil
	}
	return r.tuples(ed.parent, row, ed.parentColumns, ed.element && ed.shared)
}

// tuples are the plain texts of columns: none where one is NULL, and one for each element where the column is an array.
func (r *Resolver) tuples(e *entity, row *RowFacts, columns []string, elements bool) [][]string {
	if !elements {
		if texts, ok := r.texts(e, row, columns); ok {
			return [][]string{texts}
		}
		return nil
	}
	v := e.value(row, columns[0])
	if v == nil {
		return nil
	}
	list, ok := r.elements(e, columns[0], v)
	if !ok {
		return nil
	}
	out := make([][]string, len(list))
	for i, text := range list {
		out[i] = []string{text}
	}
	return out
}

// elements of an array; one that cannot be read stands in the way of a plan.
func (r *Resolver) elements(e *entity, column string, v backend.Value) ([]string, bool) {
	if r.opts.Elements != nil {
		if list, ok := r.opts.Elements(e.spec.Store, v); ok {
			return list, true
		}
	}
	r.unreadable = append(r.unreadable, e.arrayProblem(column))
	return nil, false
}

func (e *entity) arrayProblem(column string) Problem {
	return e.problem(v1alpha1.ReasonDocumentUnreadable, column,
		"entity %s, column %s: a record holds no array of one dimension that begins at 1, so that its elements cannot be told; correct it, or leave comparison: Element away", e.name, column)
}

// own are the reference's conditions on the child's records.
func (ed *edge) own() []backend.Condition {
	if ed.shared {
		return nil
	}
	return ed.conditions
}

func (ed *edge) parentMatch() *backend.ParentMatch {
	m := &backend.ParentMatch{Entity: ed.parent.name, Columns: ed.columns, ParentColumns: ed.parentColumns, Conditions: ed.own(),
		Element: ed.element && !ed.shared, ParentElement: ed.element && ed.shared}
	if ed.shared {
		m.ParentConditions = ed.conditions
	}
	return m
}

// known is what a row says that a query of the entity found, as far as others refer to it.
func (e *entity) known(row backend.Row) *RowFacts {
	f := &RowFacts{Key: row.Key, Values: row.Values}
	for _, ed := range e.counts {
		f.Refers = append(f.Refers, ed.flag < len(row.Flags) && row.Flags[ed.flag])
	}
	return f
}

func (r *Resolver) priorOf(e *entity) *EntityFacts {
	if r.prior == nil {
		return nil
	}
	p := r.prior.Entities[e.name]
	if p == nil || !slices.Equal(p.Columns, e.columns) {
		return nil
	}
	return p
}

func (r *Resolver) priorKeys(e *entity) [][]string {
	p := r.priorOf(e)
	if p == nil {
		return nil
	}
	var keys [][]string
	for i := range p.Rows {
		if texts, ok := r.texts(e, &p.Rows[i], e.spec.Key); ok {
			keys = append(keys, texts)
		}
	}
	return keys
}

// texts reads columns as plain text; false where one is NULL.
func (r *Resolver) texts(e *entity, row *RowFacts, columns []string) ([]string, bool) {
	out := make([]string, len(columns))
	for i, c := range columns {
		v := e.value(row, c)
		if v == nil {
			return nil, false
		}
		out[i] = r.opts.text(e.spec.Store, v)
	}
	return out, true
}

// askFiles asks the path stores for what the records name, those that are gone too.
func (r *Resolver) askFiles() {
	if !slices.ContainsFunc(r.g.entities, func(e *entity) bool { return len(e.references) > 0 }) {
		return
	}
	known := MergeFacts(r.prior, r.tableFacts())
	for _, e := range r.g.entities {
		ef := known.Entities[e.name]
		if ef == nil {
			continue
		}
		for i, ref := range e.references {
			name := fileQuery(e, i)
			named := map[string]backend.Path{}
			owners := map[string][]Owner{}
			for j := range ef.Rows {
				if p, ok := r.path(e, ref, &ef.Rows[j]); ok {
					id := tuple([]string{p.Path, p.Member})
					named[id] = p
					owners[id] = append(owners[id], Owner{Entity: e.name, Key: keyID(ef.Rows[j].Key), Ref: i})
				}
			}
			if len(owners) == 0 {
				continue
			}
			var paths []backend.Path
			for _, id := range sortedKeys(owners) {
				paths = append(paths, named[id])
				r.wanted[name] = append(r.wanted[name], owners[id])
			}
			r.paths[name] = paths
			r.ask(ref.store, backend.Query{Entity: name, KeyColumns: []string{"path"}, Paths: paths})
		}
	}
}

func fileQuery(e *entity, ref int) string { return e.name + "#file" + strconv.Itoa(ref) }

func (r *Resolver) path(e *entity, ref reference, row *RowFacts) (backend.Path, bool) {
	p, ok := ref.fill(func(column string) (string, bool) {
		v := e.value(row, column)
		return r.opts.text(e.spec.Store, v), v != nil
	})
	if ok && !ref.clean(p) {
		r.problems = append(r.problems, e.problem(v1alpha1.ReasonPathOutsideRoot, "",
			"a record of %s names a path that is not relative and clean, or leaves the folder of store %s; correct the record or the template", e.name, ref.store))
		return p, false
	}
	return p, ok
}

// Facts returns what was found; complete once Next is empty.
func (r *Resolver) Facts() *Facts {
	r.unreadable = nil
	f := r.tableFacts()
	f.Files = r.foundFiles()
	f.Problems = sortProblems(slices.Concat(r.problems, r.unreadable, r.nameProblems()))
	return f
}

// foundFiles brings the files that exist together with the records whose paths lead to them.
func (r *Resolver) foundFiles() []FileFacts {
	var files []FileFacts
	for _, e := range r.g.entities {
		for i, ref := range e.references {
			name := fileQuery(e, i)
			for _, row := range r.rows[name] {
				var owners []Owner
				for _, p := range row.Paths {
					owners = append(owners, r.wanted[name][p]...)
				}
				if len(row.Key) == 1 && len(owners) > 0 {
					files = append(files, FileFacts{Store: ref.store, Path: row.Key[0], Owners: sortOwners(owners)})
				}
			}
		}
	}
	return mergeFiles(nil, files)
}

// tableFacts makes facts of the rows found.
func (r *Resolver) tableFacts() *Facts {
	out := &Facts{Entities: map[string]*EntityFacts{}}
	for _, h := range r.holds {
		if len(h.Records) > 0 {
			out.Holds = append(out.Holds, h.evaluationID())
		}
	}
	sort.Strings(out.Holds)
	parents := r.parentIndex()
	for _, e := range r.g.entities {
		ef := &EntityFacts{Columns: e.columns, Clocks: e.clocks}
		mine := map[string]bool{}
		for _, row := range r.rows[e.name] {
			id := keyID(row.Key)
			if !mine[id] {
				ef.Rows = append(ef.Rows, r.rowFacts(e, row, parents))
			}
			mine[id] = true
		}
		for _, ed := range e.edges {
			ef.Links = append(ef.Links, r.linkFacts(ed, mine, parents)...)
		}
		ef.sort()
		out.Entities[e.name] = ef
	}
	r.dropReused(out)
	return out
}

func (r *Resolver) rowFacts(e *entity, row backend.Row, parents parentIndex) RowFacts {
	flag := func(i int) bool { return i < 0 || i < len(row.Flags) && row.Flags[i] }
	f := *e.known(row)
	f.Clocks = row.Clocks
	f.Active = e.activeFlag >= 0 && flag(e.activeFlag)
	for _, i := range e.holdFlags {
		f.Held = append(f.Held, flag(i))
	}
	for _, l := range r.legal[e] {
		if flag(l.flag) {
			f.Legal = append(f.Legal, l.uid)
		}
	}
	sort.Strings(f.Legal)
	f.Legal = slices.Compact(f.Legal)
	for _, ed := range e.edges {
		if !ed.shared && !flag(ed.flag) {
			continue
		}
		for _, texts := range r.tuples(e, &f, ed.columns, ed.element && !ed.shared) {
			for _, key := range parents[ed.parentID()][tuple(texts)] {
				f.Parents = append(f.Parents, ParentRef{Edge: ed.index, Key: key})
			}
		}
	}
	f.Parents = sortParents(f.Parents)
	r.unreadable = append(r.unreadable, r.documentProblems(e, &f)...)
	f.Shared = slices.Contains(row.Shared, true)
	f.Identified = r.identified(e, &f)
	f.Own = f.Identified || slices.ContainsFunc(f.Parents, func(ref ParentRef) bool { return e.edgeAt(ref.Edge).deep })
	return f
}

func (r *Resolver) linkFacts(ed *edge, mine map[string]bool, parents parentIndex) []LinkFacts {
	var out []LinkFacts
	cols := ed.linkColumns()
	value := func(row backend.Row, column string) backend.Value {
		if i, ok := ed.child.keyAt[column]; ok && i < len(row.Key) {
			return &row.Key[i]
		}
		if i := slices.Index(cols, column); i >= 0 && i < len(row.Values) {
			return row.Values[i]
		}
		return nil
	}
	for _, row := range r.rows[ed.query()] {
		if mine[keyID(row.Key)] {
			continue
		}
		l := LinkFacts{Edge: ed.index, Key: row.Key}
		texts := make([]string, len(ed.columns))
		for i, c := range ed.columns {
			texts[i] = r.opts.text(ed.child.spec.Store, value(row, c))
		}
		for _, c := range ed.unlink {
			l.Values = append(l.Values, value(row, c))
		}
		if v := value(row, ed.columns[0]); ed.element && v != nil {
			list, _ := r.elements(ed.child, ed.columns[0], v)
			for _, text := range list {
				l.Parents = append(l.Parents, parents[ed.parentID()][tuple([]string{text})]...)
			}
		} else {
			l.Parents = slices.Clone(parents[ed.parentID()][tuple(texts)])
		}
		slices.Sort(l.Parents)
		l.Parents = slices.Compact(l.Parents)
		out = append(out, l)
	}
	return out
}

// parentIndex finds parents' keys by the text of the columns that children refer to.
type parentIndex map[string]map[string][]string

func (ed *edge) parentID() string {
	id := append([]string{ed.parent.name}, ed.parentColumns...)
	if ed.counts >= 0 || ed.element && ed.shared {
		id = append(id, "", ed.child.name, strconv.Itoa(ed.index))
	}
	return tuple(id)
}

func (r *Resolver) parentIndex() parentIndex {
	index := parentIndex{}
	for _, e := range r.g.entities {
		for _, ed := range e.children {
			id := ed.parentID()
			if index[id] != nil {
				continue
			}
			index[id] = map[string][]string{}
			for _, row := range r.knownRows(e) {
				for _, texts := range r.referred(ed, &row) {
					index[id][tuple(texts)] = append(index[id][tuple(texts)], keyID(row.Key))
				}
			}
		}
	}
	return index
}

// knownRows are the rows found, and those that only an earlier look found.
func (r *Resolver) knownRows(e *entity) []RowFacts {
	var out []RowFacts
	now := map[string]*RowFacts{}
	for _, row := range r.rows[e.name] {
		f := e.known(row)
		out = append(out, *f)
		now[keyID(row.Key)] = f
	}
	if p := r.priorOf(e); p != nil {
		for _, row := range p.Rows {
			if f := now[keyID(row.Key)]; f == nil || !slices.EqualFunc(f.Values, row.Values, sameValue) || !slices.Equal(f.Refers, row.Refers) {
				out = append(out, row)
			}
		}
	}
	return out
}

func sameValue(a, b backend.Value) bool {
	return a == b || a != nil && b != nil && *a == *b
}
