package planner

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// BuildInput is what a plan is made from besides the facts.
type BuildInput struct {
	RunID    string
	Revision int
	// Now decides which holds have ended.
	Now time.Time
	// RunSeed makes pseudonyms, random values and nonces; at least 16 bytes.
	RunSeed []byte
	// NamespaceKey makes hashes; needed only where a map uses the strategy Hash.
	NamespaceKey []byte
	// Holds are the legal holds in force that concern the subject.
	Holds []Hold
	// Codec turns values to text and back.
	Codec Codec
	// Subject is whose identities the strategy Redact takes out of texts.
	Subject Subject
}

// errStaleFacts is returned for facts that do not fit the graph or the holds: gather them anew.
var errStaleFacts = errors.New("the facts were gathered for other maps or holds; gather them anew")

// IsStaleFacts tells whether Build refused facts that were gathered for other maps or holds.
func IsStaleFacts(err error) bool { return errors.Is(err, errStaleFacts) }

// builder makes the steps of a plan.
type builder struct {
	*buckets
	in     BuildInput
	values anonymizer
}

// Build makes the plan. The same facts and input always give the same plan. Errors that a person can mend are of type
// *ProblemError; none holds personal data.
func (g *Graph) Build(f *Facts, in BuildInput) (*Plan, error) {
	if len(in.RunSeed) < 16 {
		return nil, errors.New("planner: the run's seed needs at least 16 bytes")
	}
	if len(f.Problems) > 0 {
		return nil, &ProblemError{f.Problems[0]}
	}
	if err := g.fits(f); err != nil {
		return nil, err
	}
	part := g.partition(f, in.Holds, in.Now)
	if len(part.unknown) > 0 {
		return nil, fmt.Errorf("planner: a legal hold is new: %w", errStaleFacts)
	}
	if err := part.checkClaims(); err != nil {
		return nil, err
	}
	b := &builder{buckets: part.buckets(), in: in,
		values: anonymizer{runSeed: in.RunSeed, namespaceKey: in.NamespaceKey, subject: in.Subject}}
	plan := &Plan{RunID: in.RunID, Revision: in.Revision, Nonce: nonce(in.RunSeed, "plan"), Scope: g.scope,
		Counts: b.counts(), Retained: b.retained(), Tombstones: part.erasedRoots()}
	for _, m := range g.maps {
		plan.Maps = append(plan.Maps, PlanMap{Name: m.Name, UID: m.UID, Generation: m.Generation})
	}
	var err error
	if plan.Steps, err = b.steps(b.main, "now"); err != nil {
		return nil, err
	}
	plan.Residues, err = b.residues()
	return plan, err
}

// fits tells whether the facts were gathered for this graph.
func (g *Graph) fits(f *Facts) error {
	for _, e := range g.entities {
		ef := f.Entities[e.name]
		if ef == nil {
			continue
		}
		if !slices.Equal(ef.Columns, e.columns) || !slices.Equal(ef.Clocks, e.clocks) {
			return fmt.Errorf("planner: entity %s: %w", e.name, errStaleFacts)
		}
		for i := range ef.Rows {
			r := &ef.Rows[i]
			if len(r.Key) != len(e.spec.Key) || len(r.Values) != len(e.columns) || len(r.Clocks) != len(e.clocks) || len(r.Held) != len(e.holds) ||
				len(r.Refers) != len(e.counts) {
				return fmt.Errorf("planner: entity %s: %w", e.name, errStaleFacts)
			}
		}
	}
	return nil
}

// checkClaims refuses a record that two entities of one table want to treat differently.
func (p *partition) checkClaims() error {
	type claim struct {
		table tableID
		key   string
	}
	tables := map[tableID]int{}
	for _, e := range p.g.entities {
		tables[tableID{e.spec.Store, e.table}]++
	}
	claims := map[claim]*rowState{}
	for _, e := range p.g.entities {
		id := tableID{e.spec.Store, e.table}
		if tables[id] < 2 {
			continue
		}
		for _, s := range p.states[e] {
			first := claims[claim{id, s.id}]
			if first == nil {
				claims[claim{id, s.id}] = s
				continue
			}
			if (!first.left() || !s.left()) && (first.fate != s.fate || s.fate != fateDelete) {
				return &ProblemError{e.problem(v1alpha1.ReasonInvalidSpec, "",
					"%s and %s both claim a record of table %s and treat it differently; make their conditions exclude each other", first.e.name, e.name, e.spec.Table)}
			}
		}
	}
	return nil
}

// residues makes one for each release, in the order in which they are treated.
func (b *builder) residues() ([]Residue, error) {
	var out []Residue
	for _, k := range b.laterKeys() {
		to := b.later[k]
		r := Residue{ID: b.residueID(k), HoldUIDs: to.release.uids, NoEnd: to.release.noEnd, Counts: to.counts().list(), Retained: retained(to)}
		if !to.release.until.IsZero() {
			until := to.release.until
			r.Until = &until
		}
		for _, before := range sortedKeys(to.after) {
			r.After = append(r.After, b.residueID(before))
		}
		var bases []string
		for _, d := range r.Retained {
			bases = append(bases, d.Basis)
		}
		if len(bases) == 0 {
			bases = []string{"files that several retained records name"}
		}
		sort.Strings(bases)
		r.Basis = cut(strings.Join(slices.Compact(bases), "; "), 512)
		steps, err := b.steps(to, k)
		if err != nil {
			return nil, err
		}
		r.Steps = steps
		for _, e := range b.g.entities {
			for _, s := range to.rows[e] {
				if e.spec.Root != nil {
					r.Tombstones = append(r.Tombstones, s.root())
				}
			}
		}
		out = append(out, r)
	}
	return out, nil
}

func (b *builder) residueID(key string) string {
	return nonce(b.in.RunSeed, tuple([]string{"residue", b.in.RunID, key}))
}

// steps makes the steps of one bucket: records by store, children's stores first, then what
// the records name in path stores, then what is final.
func (b *builder) steps(to *bucket, name string) ([]Step, error) {
	var steps []Step
	add := func(kind StepKind, store string, ops []backend.Operation, purposes []Purpose) {
		if len(ops) == 0 {
			return
		}
		s := Step{Name: strings.ToLower(string(kind)) + "/" + store, Kind: kind, Store: store, Operations: ops, Purposes: purposes}
		s.Nonce = nonce(b.in.RunSeed, tuple([]string{"step", name, s.Name}))
		for _, op := range ops {
			s.Planned += int64(len(op.Keys))
		}
		steps = append(steps, s)
	}
	for _, store := range b.g.stores {
		ops, purposes := b.cuts(to, store)
		more, morePurposes, err := b.rowOperations(to, store, false)
		if err != nil {
			return nil, err
		}
		add(StepRecords, store, append(ops, more...), append(purposes, morePurposes...))
	}
	for _, kind := range []StepKind{StepFiles, StepKeys, StepResources} {
		for _, store := range b.pathStores(to, kind) {
			ops, purposes := b.pathOperations(to, store)
			add(kind, store, ops, purposes)
		}
	}
	for _, store := range b.g.stores {
		ops, purposes, err := b.rowOperations(to, store, true)
		if err != nil {
			return nil, err
		}
		add(StepFinal, store, ops, purposes)
	}
	return steps, nil
}

// cuts sets links to NULL. Expect keeps a record alone whose link points elsewhere by now.
func (b *builder) cuts(to *bucket, store string) (ops []backend.Operation, purposes []Purpose) {
	ids := make([]cutID, 0, len(to.cuts))
	for id := range to.cuts {
		if id.e.spec.Store == store {
			ids = append(ids, id)
		}
	}
	sort.Slice(ids, func(i, j int) bool {
		a, c := ids[i], ids[j]
		if a.e != c.e {
			return a.e.execAt < c.e.execAt
		}
		if a.edge != c.edge {
			return a.edge < c.edge
		}
		return !a.other && c.other
	})
	for _, id := range ids {
		ed := id.e.edgeAt(id.edge)
		columns := ed.unlink
		switch {
		case ed.deep && ed.parent == ed.child && id.e.deletes():
			columns = ed.ownColumns()
		case ed.deep:
			columns = id.e.nulled(ed)
		}
		op := backend.Operation{Entity: id.e.name, Action: backend.Update, Table: id.e.table, KeyColumns: id.e.spec.Key, Columns: columns}
		links := slices.Clone(to.cuts[id])
		slices.SortFunc(links, func(a, c cutLink) int { return slices.Compare(a.key, c.key) })
		if ed.cutsElements() {
			op.Elements = []bool{true}
			for _, l := range links {
				op.Keys, op.Set = append(op.Keys, l.key), append(op.Set, []backend.Value{b.in.Codec.value(store, b.texts(l.remove))})
			}
			ops, purposes = append(ops, op), append(purposes, PurposeUnlink)
			continue
		}
		for _, l := range links {
			op.Keys = append(op.Keys, l.key)
			op.Set = append(op.Set, make([]backend.Value, len(columns)))
			op.Expect = append(op.Expect, l.expect)
		}
		ops, purposes = append(ops, op), append(purposes, PurposeUnlink)
	}
	return ops, purposes
}

// texts are values as a JSON array of their plain texts.
func (b *builder) texts(list []element) string {
	texts := []string{}
	for _, el := range list {
		if el.value != nil {
			texts = append(texts, b.in.Codec.text(el.store, el.value))
		}
	}
	return jsonTexts(texts)
}

func jsonTexts(texts []string) string {
	slices.Sort(texts)
	text, _ := json.Marshal(slices.Compact(texts)) // strings always have a JSON form
	return string(text)
}

// rowOperations deletes and overwrites the records of one store, children first.
func (b *builder) rowOperations(to *bucket, store string, final bool) (ops []backend.Operation, purposes []Purpose, err error) {
	for _, e := range b.g.exec {
		if e.spec.Store != store || e.final() != final {
			continue
		}
		if e.spec.Pinned != nil {
			pins, err := b.operations(e, to.pins[e], backend.Update, e.spec.Pinned.Fields)
			if err != nil {
				return nil, nil, err
			}
			for _, op := range pins {
				ops, purposes = append(ops, op), append(purposes, PurposePin)
			}
		}
		action, purpose := backend.Delete, PurposeDelete
		switch e.spec.Action {
		case v1alpha1.ActionAnonymize:
			action, purpose = backend.Update, PurposeAnonymize
		case v1alpha1.ActionMark:
			action, purpose = backend.Update, PurposeMark
		}
		levels := [][]*rowState{to.rows[e]}
		if action == backend.Delete {
			levels = e.grow(to.rows[e]).levels
		}
		for _, level := range levels {
			rows, err := b.operations(e, level, action, e.spec.Fields)
			if err != nil {
				return nil, nil, err
			}
			for _, op := range rows {
				ops, purposes = append(ops, op), append(purposes, purpose)
			}
		}
	}
	return ops, purposes, nil
}

// operations treats records of one entity: one operation for each set of holds that must still not select the records.
func (b *builder) operations(e *entity, rows []*rowState, action backend.Action, fields []v1alpha1.FieldChange) ([]backend.Operation, error) {
	type group struct {
		open uint32
		own  bool // whoever refers to the records
	}
	byGroup := map[group]*backend.Operation{}
	var groups []group
	for _, s := range rows {
		g := group{s.open, s.own}
		op := byGroup[g]
		if op == nil {
			op = &backend.Operation{Entity: e.name, Action: action, Table: e.table, KeyColumns: e.spec.Key, Unless: e.unless(s.open)}
			switch {
			case action == backend.Update:
				op.Columns, op.Members, op.Elements = targets(fields)
			case !s.own:
				op.Referrers = e.referrers()
			}
			byGroup[g] = op
			groups = append(groups, g)
		}
		op.Keys = append(op.Keys, s.row.Key)
		if action != backend.Update {
			continue
		}
		set := make([]backend.Value, len(fields))
		for i, f := range fields {
			v, err := b.newValue(e, f, s.row)
			var unreadable documentError
			if errors.As(err, &unreadable) {
				return nil, &ProblemError{e.documentProblem(f, err)}
			}
			if err != nil {
				return nil, &ProblemError{e.problem(v1alpha1.ReasonInvalidSpec, f.Column, "entity %s, column %s: %s", e.name, f.Column, err.Error())}
			}
			set[i] = v
		}
		op.Set = append(op.Set, set)
	}
	slices.SortFunc(groups, func(a, c group) int {
		if a.own != c.own && a.own {
			return -1
		}
		return cmp.Compare(a.open, c.open)
	})
	ops := make([]backend.Operation, 0, len(groups))
	for _, g := range groups {
		ops = append(ops, *byGroup[g])
	}
	return ops, nil
}

// targets are the columns that the fields set, with the paths of members, and where elements are taken out, if there are any.
func targets(fields []v1alpha1.FieldChange) (columns []string, members [][]string, elements []bool) {
	parts, takes := false, false
	for _, f := range fields {
		path, _ := parseMemberPath(f.Path) // checked before
		columns, members, elements = append(columns, f.Column), append(members, path), append(elements, removesElements(f))
		parts, takes = parts || len(path) > 0, takes || removesElements(f)
	}
	if !parts {
		members = nil
	}
	if !takes {
		elements = nil
	}
	return columns, members, elements
}

// removesElements tells whether the change takes the subject's identities out of an array.
func removesElements(f v1alpha1.FieldChange) bool {
	return f.Strategy == v1alpha1.StrategyRemove && f.Path == ""
}

// unless lists the conditions of the holds that did not select the records.
func (e *entity) unless(open uint32) [][]backend.Condition {
	var groups [][]backend.Condition
	for i, h := range e.holds {
		if open&(1<<i) != 0 && len(h.conditions) > 0 {
			groups = append(groups, h.conditions)
		}
	}
	return groups
}

func (b *builder) pathStores(to *bucket, kind StepKind) []string {
	set := map[string]bool{}
	for group := range to.files {
		if group.reference().step == kind {
			set[group.store] = true
		}
	}
	return sortedKeys(set)
}

func (b *builder) pathOperations(to *bucket, store string) (ops []backend.Operation, purposes []Purpose) {
	var groups []fileGroup
	for group := range to.files {
		if group.store == store {
			groups = append(groups, group)
		}
	}
	sort.Slice(groups, func(i, j int) bool {
		if groups[i].e != groups[j].e {
			return groups[i].e.execAt < groups[j].e.execAt
		}
		return groups[i].ref < groups[j].ref
	})
	for _, group := range groups {
		paths := slices.Clone(to.files[group])
		// What is in a folder goes before the folder.
		slices.SortFunc(paths, func(a, c string) int { return strings.Compare(c, a) })
		op := backend.Operation{Entity: group.e.name, Action: backend.Unlink}
		for _, p := range paths {
			op.Keys = append(op.Keys, backend.Key{p})
		}
		ops, purposes = append(ops, op), append(purposes, PurposeFile)
	}
	return ops, purposes
}

// Roots are the records of the root entities.
func (g *Graph) Roots(f *Facts) []RootRef {
	var out []RootRef
	for _, e := range g.entities {
		ef := f.Entities[e.name]
		if e.spec.Root == nil || ef == nil {
			continue
		}
		for _, r := range ef.Rows {
			out = append(out, e.ref(r.Key))
		}
	}
	return out
}

// erasedRoots are the records of the root entities that this plan erases, now or for the most part: not those that it
// leaves alone because they are outside the scope, kept or retained.
func (p *partition) erasedRoots() []RootRef {
	var out []RootRef
	for _, e := range p.g.entities {
		for _, s := range p.states[e] {
			if e.spec.Root != nil && (s.fate == fateDelete || s.fate == fateUpdate || s.fate == fatePin) {
				out = append(out, s.root())
			}
		}
	}
	return out
}

func (s *rowState) root() RootRef { return s.e.ref(s.row.Key) }

func (e *entity) ref(key backend.Key) RootRef {
	text := keyID(key)
	if len(key) == 1 {
		text = key[0]
	}
	return RootRef{Store: e.spec.Store, Entity: e.name, Key: text}
}
