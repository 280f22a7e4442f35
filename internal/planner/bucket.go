package planner

import (
	"slices"
	"sort"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
)

// bucket is what is done together: now, or at one release.
type bucket struct {
	release release
	rows    map[*entity][]*rowState // deleted or overwritten
	pins    map[*entity][]*rowState // overwritten now by pinned.fields, deleted later
	cuts    map[cutID][]cutLink
	files   map[fileGroup][]string
	locked  map[lockID]int64 // files that only their store keeps
	after   map[string]bool  // releases whose records refer to records of this one
}

// cutID is a group of links that are set to NULL together.
type cutID struct {
	e     *entity
	edge  int
	other bool // records of somebody else
}

type cutLink struct {
	id     string
	key    backend.Key
	expect []backend.Value
	// remove are values of the records referred to, where the link is an element of an array.
	remove []element
}

// element is the value of a column of a store.
type element struct {
	store string
	value backend.Value
}

type fileGroup struct {
	store string
	e     *entity
	ref   int
}

// lockID groups the files that a store keeps for the same reason.
type lockID struct {
	category, entity, basis string
}

func (g fileGroup) reference() reference { return g.e.references[g.ref] }

// buckets are the partition sorted by when it is treated.
type buckets struct {
	*partition
	main    *bucket
	later   map[string]*bucket
	cutSeen map[*bucket]map[cutID]map[string]bool
}

func (p *partition) buckets() *buckets {
	b := &buckets{partition: p, main: newBucket(release{}), later: map[string]*bucket{}, cutSeen: map[*bucket]map[cutID]map[string]bool{}}
	for _, e := range p.g.entities {
		for _, s := range p.states[e] {
			b.place(s)
		}
	}
	for _, e := range p.g.entities {
		for _, s := range p.states[e] {
			b.cutOwn(s)
		}
		if ef := p.facts.Entities[e.name]; ef != nil && !e.outside {
			for _, l := range ef.Links {
				b.cutOther(e, l)
			}
		}
	}
	for _, e := range p.g.entities {
		b.cutCircles(e, b.main)
		for _, to := range b.later {
			b.cutCircles(e, to)
		}
	}
	for _, f := range p.facts.Files {
		b.placeFile(f)
	}
	return b
}

func newBucket(r release) *bucket {
	return &bucket{release: r, rows: map[*entity][]*rowState{}, pins: map[*entity][]*rowState{}, cuts: map[cutID][]cutLink{},
		files: map[fileGroup][]string{}, locked: map[lockID]int64{}, after: map[string]bool{}}
}

// at is the bucket of a release; nothing retained is now.
func (b *buckets) at(r release) *bucket {
	if r.none() {
		return b.main
	}
	k := r.key()
	if b.later[k] == nil {
		b.later[k] = newBucket(r)
	}
	return b.later[k]
}

// of is the bucket in which a record is treated, nil for records that are never treated.
func (b *buckets) of(s *rowState) *bucket {
	switch s.fate {
	case fateDelete, fateUpdate:
		return b.main
	case fateRetain, fatePin:
		return b.at(s.release)
	}
	return nil
}

func (b *buckets) place(s *rowState) {
	to := b.of(s)
	if to == nil {
		return
	}
	to.rows[s.e] = append(to.rows[s.e], s)
	if s.fate == fatePin && s.e.spec.Pinned != nil {
		b.main.pins[s.e] = append(b.main.pins[s.e], s)
	}
}

// cutOwn cuts the links of the subject's own records to records that go before them.
func (b *buckets) cutOwn(s *rowState) {
	from := b.of(s)
	for _, ref := range s.row.Parents {
		ed := s.e.edgeAt(ref.Edge)
		if ed == nil || !ed.parent.deletes() && !ed.shared {
			continue
		}
		parent := b.index[ed.parent.name][ref.Key]
		if parent == nil || b.of(parent) == nil {
			continue
		}
		to := b.of(parent)
		switch {
		case ed.shared: // the record that refers goes first; what is overwritten may be referred to
			if from != nil && s.e.deletes() {
				b.waitFor(from, to)
			}
			continue
		case ed.deep:
			b.waitFor(to, from)
		}
		if columns := b.cutColumns(s, ed, from, to); len(columns) > 0 {
			l := cutLink{id: s.id, key: s.row.Key}
			if ed.cutsElements() {
				l.remove = ed.referredBy(parent)
			}
			for _, c := range columns {
				l.expect = append(l.expect, s.e.value(s.row, c))
			}
			b.addCut(to, cutID{e: s.e, edge: ed.index}, l)
		}
	}
}

func (b *buckets) waitFor(to, from *bucket) {
	if from != nil && from != b.main && from != to {
		to.after[from.release.key()] = true
	}
}

// cutColumns says which columns of a link have to be NULL before the parent goes, none where the record itself goes first.
func (b *buckets) cutColumns(s *rowState, ed *edge, from, to *bucket) []string {
	if s.fate == fateOutside || s.fate == fateAbsent {
		return nil
	}
	if ed.deep {
		// Final records are overwritten last, after their parents are gone.
		if s.e.final() && from == to && ed.sameStore() {
			return s.e.nulled(ed)
		}
		return nil
	}
	if s.e.deletes() && (from == b.main && to != b.main) {
		return nil
	}
	if s.e.deletes() && from == to && s.e.execAt < ed.parent.execAt {
		return nil
	}
	return ed.unlink
}

// nulled are the columns of a reference that the entity's own fields set to NULL.
func (e *entity) nulled(ed *edge) []string {
	var cols []string
	for _, c := range ed.columns {
		if e.nulls(c) {
			cols = append(cols, c)
		}
	}
	return cols
}

// cutOther cuts the links of somebody else's record.
func (b *buckets) cutOther(e *entity, l LinkFacts) {
	ed := e.edgeAt(l.Edge)
	if ed == nil || len(ed.unlink) == 0 {
		return
	}
	for _, key := range l.Parents {
		if parent := b.index[ed.parent.name][key]; parent != nil {
			if to := b.of(parent); to != nil {
				cut := cutLink{id: keyID(l.Key), key: l.Key, expect: l.Values}
				if ed.cutsElements() {
					cut.remove = ed.referredBy(parent)
				}
				b.addCut(to, cutID{e: e, edge: l.Edge, other: true}, cut)
			}
		}
	}
}

// cutsElements tells whether the link is an element of an array, and goes alone.
func (ed *edge) cutsElements() bool { return ed.element && !ed.leads() }

// referredBy is the value by which an array refers to a record.
func (ed *edge) referredBy(parent *rowState) []element {
	return []element{{store: parent.e.spec.Store, value: parent.e.value(parent.row, ed.parentColumns[0])}}
}

func (b *buckets) addCut(to *bucket, id cutID, l cutLink) {
	if b.cutSeen[to] == nil {
		b.cutSeen[to] = map[cutID]map[string]bool{}
	}
	if b.cutSeen[to][id] == nil {
		b.cutSeen[to][id] = map[string]bool{}
	}
	if b.cutSeen[to][id][l.id] {
		if len(l.remove) > 0 { // several elements of one array
			at := slices.IndexFunc(to.cuts[id], func(c cutLink) bool { return c.id == l.id })
			to.cuts[id][at].remove = append(to.cuts[id][at].remove, l.remove...)
		}
		return
	}
	b.cutSeen[to][id][l.id] = true
	to.cuts[id] = append(to.cuts[id], l)
}

// placeFile decides on a file: it goes with the last of the records that name it, and never while one of them stays.
func (b *buckets) placeFile(f FileFacts) {
	var when release
	var group *fileGroup
	if slices.ContainsFunc(f.Owners, b.keeps) {
		return
	}
	for _, o := range f.Owners {
		s := b.index[o.Entity][o.Key]
		when = when.join(s.release)
		if group == nil && o.Ref < len(s.e.references) {
			group = &fileGroup{store: f.Store, e: s.e, ref: o.Ref}
		}
	}
	if group == nil {
		return
	}
	until := when.join(f.Locked.release(b.now))
	to := b.at(until)
	to.files[*group] = append(to.files[*group], f.Path)
	if until.key() != when.key() {
		to.locked[lockID{category: group.reference().category, entity: group.e.name, basis: f.Locked.Basis}]++
	}
}

// keeps tells whether a record stays for good, and with it what it names.
func (p *partition) keeps(o Owner) bool {
	s := p.index[o.Entity][o.Key]
	return s == nil || s.fate == fateKeep || s.fate == fateOutside || s.fate == fateShared || s.e.spec.Action == v1alpha1.ActionMark
}

// release is when the store lets the file go.
func (l *Lock) release(now time.Time) release {
	switch {
	case l == nil || l.Until != nil && !l.Until.After(now):
		return release{}
	case l.Until == nil:
		return release{noEnd: true}
	}
	return release{until: period.CeilSecond(l.Until.UTC())}
}

// laterKeys are the releases in the order in which they are treated: by date, and those that others wait for first.
func (b *buckets) laterKeys() []string {
	keys := sortedKeys(b.later)
	var deps []dependency
	for _, k := range keys {
		for before := range b.later[k].after {
			deps = append(deps, dependency{node: k, before: before})
		}
	}
	return sortByDependencies(keys, deps)
}

// counter adds up counts by category.
type counter map[string]*v1alpha1.CategoryCount

func (c counter) of(category string) *v1alpha1.CategoryCount {
	if c[category] == nil {
		c[category] = &v1alpha1.CategoryCount{Category: category}
	}
	return c[category]
}

func (c counter) list() []v1alpha1.CategoryCount {
	var out []v1alpha1.CategoryCount
	for _, k := range sortedKeys(c) {
		out = append(out, *c[k])
	}
	return out
}

// counts of what is done in one bucket.
func (to *bucket) counts() counter {
	c := counter{}
	for e, rows := range to.rows {
		n, of := int64(len(rows)), c.of(e.spec.Category)
		switch e.spec.Action {
		case v1alpha1.ActionDelete:
			of.Deleted += n
		case v1alpha1.ActionAnonymize:
			of.Anonymized += n
		case v1alpha1.ActionMark:
			of.Marked += n
		}
	}
	unlinked := map[*entity]map[string]bool{}
	for id, links := range to.cuts {
		if id.other && unlinked[id.e] == nil {
			unlinked[id.e] = map[string]bool{}
		}
		for _, l := range links {
			if id.other && !unlinked[id.e][l.id] {
				unlinked[id.e][l.id] = true
				c.of(id.e.spec.Category).Unlinked++
			}
		}
	}
	for group, paths := range to.files {
		of := c.of(group.reference().category)
		for _, p := range paths {
			switch {
			case group.reference().step != StepFiles:
				of.Deleted++
			case !strings.HasSuffix(p, "/"): // a folder is no file
				of.Files++
			}
		}
	}
	return c
}

// counts of what happens now, what is retained and what is kept.
func (b *buckets) counts() []v1alpha1.CategoryCount {
	c := b.main.counts()
	for e, states := range b.states {
		for _, s := range states {
			switch s.fate {
			case fateRetain, fatePin:
				c.of(e.spec.Category).Retained++
			case fateKeep:
				if !s.row.Gone {
					c.of(e.spec.Category).Kept++
				}
			case fateShared:
				if !s.row.Gone {
					c.of(e.spec.Category).Shared++
				}
			}
		}
	}
	for _, to := range b.later {
		for lock, n := range to.locked {
			c.of(lock.category).Retained += n
		}
	}
	return c.list()
}

// retained lists what stays in the buckets given, by entity, basis and date.
func retained(list ...*bucket) []v1alpha1.RetainedData {
	at := map[string]*v1alpha1.RetainedData{}
	for _, to := range list {
		for e, rows := range to.rows {
			for _, s := range rows {
				id := tuple([]string{e.spec.Category, e.name, to.release.key(), s.basis()})
				if at[id] == nil {
					at[id] = &v1alpha1.RetainedData{Category: e.spec.Category, Entity: e.name, Basis: s.basis(), Until: to.release.shown()}
				}
				at[id].Count++
			}
		}
		for lock, n := range to.locked {
			at[tuple([]string{lock.category, lock.entity, to.release.key(), lock.basis})] =
				&v1alpha1.RetainedData{Category: lock.category, Entity: lock.entity, Basis: lock.basis, Until: to.release.shown(), Count: n}
		}
	}
	// Holds lead to different releases with the same words: for a reader they are one.
	merged := map[string]*v1alpha1.RetainedData{}
	for _, id := range sortedKeys(at) {
		d := at[id]
		until := ""
		if d.Until != nil {
			until = d.Until.Format("2006-01-02T15:04:05Z")
		}
		k := tuple([]string{d.Entity, until, d.Basis})
		if merged[k] == nil {
			merged[k] = d
		} else {
			merged[k].Count += d.Count
		}
	}
	var out []v1alpha1.RetainedData
	for _, k := range sortedKeys(merged) {
		out = append(out, *merged[k])
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Category < out[j].Category })
	return out
}

// shown is the date that people see: none while a legal hold, whose end nobody knows, keeps the data too.
func (r release) shown() *metav1.Time {
	if r.noEnd || len(r.uids) > 0 || r.until.IsZero() {
		return nil
	}
	t := metav1.NewTime(r.until)
	return &t
}

func (b *buckets) retained() []v1alpha1.RetainedData {
	var list []*bucket
	for _, k := range sortedKeys(b.later) {
		list = append(list, b.later[k])
	}
	return retained(list...)
}
