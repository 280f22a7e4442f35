package planner

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
)

// fate is what happens to a record now. Every record has exactly one.
type fate int

const (
	fateDelete  fate = iota // removed
	fateUpdate              // fields overwritten
	fateRetain              // held by a law or a legal hold: not changed before its release
	fatePin                 // would go, but a retained record refers to it
	fateKeep                // kept by the map's action Keep
	fateOutside             // not in the scope
	fateShared              // stays, because records that do not go refer to it
	fateAbsent              // gone by somebody else's hand while it was held: neither ours to count nor to touch
)

// release is when what is retained may go: the date has passed and all the legal holds are lifted. Never where noEnd.
type release struct {
	until time.Time
	noEnd bool
	uids  []string // sorted
}

func (r release) none() bool { return r.until.IsZero() && !r.noEnd && len(r.uids) == 0 }

// join is the release of what must outlast both: the later date and all holds of either. So a record that several
// retained records need never goes before the last of them may.
func (r release) join(o release) release {
	out := release{until: r.until, noEnd: r.noEnd || o.noEnd, uids: r.uids}
	if o.until.After(out.until) {
		out.until = o.until
	}
	if out.noEnd {
		out.until = time.Time{}
	}
	if len(o.uids) > 0 {
		out.uids = sortedUnion(r.uids, o.uids)
	}
	return out
}

// key sorts dated releases by date, then those without.
func (r release) key() string {
	until := "9999-12-31T23:59:59Z~"
	if !r.until.IsZero() {
		until = r.until.Format(time.RFC3339)
	}
	return fmt.Sprintf("%s %t %s", until, r.noEnd, tuple(r.uids))
}

func sortedUnion(a, b []string) []string {
	out := append(slices.Clone(a), b...)
	sort.Strings(out)
	return slices.Compact(out)
}

// rowState is a record with what is decided on it.
type rowState struct {
	e       *entity
	row     *RowFacts
	id      string
	fate    fate
	release release
	bases   []string // why it is retained, sorted
	needed  []string // why records that refer to it are retained, as "entity: basis"
	pinned  release  // of the records that refer to it
	stays   bool     // it is not the subject's alone: a record that never goes refers to it, or to what it belongs to
	own     bool     // an identity or a Deep parent makes it the subject's, whoever refers to it
	open    uint32   // bit i: hold i did not select the record, which must still be so when it is treated
}

// left tells whether the record stays as it is, without an end.
func (s *rowState) left() bool {
	return s.fate == fateKeep || s.fate == fateOutside || s.fate == fateShared || s.fate == fateAbsent
}

// partition decides on all records.
type partition struct {
	g       *Graph
	facts   *Facts
	holds   []Hold
	unknown map[string]bool // holds on records that the facts do not know
	now     time.Time
	states  map[*entity][]*rowState
	index   map[string]map[string]*rowState // by entity's name and key
	// counted are the records that a record refers to by RefCount references of theirs.
	counted map[*rowState][]*rowState
	// open are the records of the entity at hand that are to be decided on.
	open []*rowState
}

func (g *Graph) partition(f *Facts, holds []Hold, now time.Time) *partition {
	p := &partition{g: g, facts: f, now: now, unknown: map[string]bool{}, states: map[*entity][]*rowState{}, index: map[string]map[string]*rowState{},
		counted: map[*rowState][]*rowState{}}
	p.holds = slices.Clone(holds)
	slices.SortFunc(p.holds, func(a, b Hold) int { return strings.Compare(a.UID, b.UID) })
	known := map[string]bool{}
	addAll(known, f.Holds)
	for _, h := range p.holds {
		if len(h.Records) > 0 && !known[h.evaluationID()] {
			p.unknown[h.UID] = true
		}
	}
	for i := len(g.entities) - 1; i >= 0; i-- {
		p.load(g.entities[i])
	}
	p.count()
	// In the order of execution whatever pins a record is decided before the record is. Along references of an entity to itself
	// one decision may change another; they only ever keep more.
	for _, e := range g.exec {
		p.open = slices.Clone(p.states[e])
		for len(p.open) > 0 {
			last := len(p.open) - 1
			s := p.open[last]
			p.open = p.open[:last]
			p.settle(s)
		}
	}
	return p
}

// count finds what stays because of records that never go: shared records, and what belongs to them alone.
func (p *partition) count() {
	for _, e := range p.g.entities { // parents before children
		if !slices.ContainsFunc(e.edges, p.doubts) {
			continue
		}
		claimed := map[*rowState]bool{}
		below := p.below(e)
		for open := slices.Clone(p.states[e]); len(open) > 0; {
			s := open[len(open)-1]
			open = open[:len(open)-1]
			if !claimed[s] && p.claims(s, claimed) {
				claimed[s] = true
				open = append(open, below[s]...)
			}
		}
		for _, s := range p.states[e] {
			s.stays = !claimed[s]
			for _, ref := range s.row.Parents {
				if ed := e.edgeAt(ref.Edge); ed != nil && ed.shared {
					if by := p.index[ed.parent.name][ref.Key]; by != nil {
						p.counted[by] = append(p.counted[by], s)
					}
				}
			}
		}
	}
}

// below has the records that belong to others of the same entity.
func (p *partition) below(e *entity) map[*rowState][]*rowState {
	below := map[*rowState][]*rowState{}
	for _, ed := range e.selfEdges() {
		for _, s := range p.states[e] {
			for _, ref := range s.row.Parents {
				if parent := p.index[e.name][ref.Key]; parent != nil && ref.Edge == ed.index {
					below[parent] = append(below[parent], s)
				}
			}
		}
	}
	return below
}

// doubts tells whether a record may not be the subject's although the reference led to it.
func (p *partition) doubts(ed *edge) bool {
	return ed.shared || ed.deep && slices.ContainsFunc(p.states[ed.parent], func(s *rowState) bool { return s.stays })
}

// claims tells whether the record is the subject's: an identity or a Deep parent that is says so, or all that refers to it
// is and lets go of it.
func (p *partition) claims(s *rowState, claimed map[*rowState]bool) bool {
	deep, counted, free := false, false, !s.row.Shared
	for _, ref := range s.row.Parents {
		ed := s.e.edgeAt(ref.Edge)
		if ed == nil {
			continue
		}
		switch by := p.index[ed.parent.name][ref.Key]; {
		case by == nil:
		case ed.deep:
			deep = true
			s.own = s.own || !by.stays && (ed.parent != s.e || claimed[by])
		case ed.shared:
			counted = true
			free = free && (by.row.Gone || !by.stays && by.e.forgets(ed))
		}
	}
	s.own = s.own || s.row.Identified
	return s.own || free && (counted || !deep)
}

// forgets tells whether an erasure of the entity's records ends what they refer to by a RefCount reference.
func (e *entity) forgets(ed *edge) bool {
	return e.deletes() || e.updates() && slices.ContainsFunc(ed.parentColumns, e.nulls)
}

func (p *partition) load(e *entity) {
	ef := p.facts.Entities[e.name]
	if ef == nil {
		return
	}
	p.index[e.name] = map[string]*rowState{}
	for i := range ef.Rows {
		s := &rowState{e: e, row: &ef.Rows[i], id: keyID(ef.Rows[i].Key)}
		p.states[e] = append(p.states[e], s)
		p.index[e.name][s.id] = s
	}
}

// settle decides on one record, after all that refer to it, and hands its reasons on to those that it refers to. Where
// that concerns a record of the same entity, which may have been decided on before, this one is open again.
func (p *partition) settle(s *rowState) {
	s.fate, s.release, s.bases, s.open = fateDelete, release{}, nil, 0
	switch {
	case s.e.outside:
		s.fate = fateOutside
	case s.e.spec.Action == v1alpha1.ActionKeep:
		s.fate = fateKeep
	case s.stays:
		s.fate = fateShared
	default:
		p.judge(s)
	}
	for _, counted := range p.counted[s] {
		p.keepCounted(s, counted)
	}
}

// judge decides on a record that an erasure treats.
func (p *partition) judge(s *rowState) {
	if s.e.updates() {
		s.fate = fateUpdate
	}
	p.hold(s)
	switch {
	case !s.release.none() && s.row.Gone:
		s.fate = fateAbsent
		return
	case !s.release.none():
		s.fate = fateRetain
		if s.e.deletes() {
			s.release = s.release.join(s.pinned)
		}
	case s.e.deletes() && !s.pinned.none() && !s.row.Gone:
		s.fate, s.release = fatePin, s.pinned
	default:
		return
	}
	p.pinParents(s)
}

// keepCounted keeps a shared record for as long as one that refers to it is retained.
func (p *partition) keepCounted(by, s *rowState) {
	if by.fate == fateRetain || by.fate == fatePin {
		s.pinned = s.pinned.join(by.release)
		s.needed = sortedUnion(s.needed, []string{by.e.name + ": " + by.basis()})
	}
}

// nulls tells whether the entity's own fields set a column to NULL.
func (e *entity) nulls(column string) bool {
	return slices.ContainsFunc(e.spec.Fields, func(f v1alpha1.FieldChange) bool {
		return f.Column == column && f.Path == "" && f.Strategy == v1alpha1.StrategyNull
	})
}

// pinParents keeps the records that a kept one refers to. Those of the same entity may have to be decided on anew.
func (p *partition) pinParents(s *rowState) {
	needs := s.needed
	for _, b := range s.bases {
		needs = sortedUnion(needs, []string{s.e.name + ": " + b})
	}
	for _, ref := range s.row.Parents {
		ed := s.e.edgeAt(ref.Edge)
		if ed == nil || !ed.deep || !ed.parent.deletes() {
			continue
		}
		parent := p.index[ed.parent.name][ref.Key]
		if parent == nil {
			continue
		}
		pinned, needed := parent.pinned.join(s.release), sortedUnion(parent.needed, needs)
		if ed.parent == s.e && (pinned.key() != parent.pinned.key() || len(needed) != len(parent.needed)) {
			p.open = append(p.open, parent)
		}
		parent.pinned, parent.needed = pinned, needed
	}
}

func (e *entity) edgeAt(index int) *edge {
	for _, ed := range e.edges {
		if ed.index == index {
			return ed
		}
	}
	return nil
}

// hold finds the laws and legal holds that keep a record; the latest date wins, and all reasons are noted.
func (p *partition) hold(s *rowState) {
	for _, h := range p.holds {
		if p.legallyHeld(h, s) {
			s.release = s.release.join(release{uids: []string{h.UID}})
			s.bases = append(s.bases, "legal hold "+h.Name)
		}
	}
	for i, h := range s.e.holds {
		if i >= len(s.row.Held) || !s.row.Held[i] {
			s.open |= 1 << i
			continue
		}
		until, ends := h.until(s.e.clock(s.row, h.spec.Clock))
		switch {
		case !ends:
			s.release = s.release.join(release{noEnd: true})
			s.bases = append(s.bases, h.spec.LegalBasis+" (its date is missing or unreadable: no end)")
		case until.After(p.now):
			s.release = s.release.join(release{until: until})
			s.bases = append(s.bases, h.spec.LegalBasis)
		}
	}
	sort.Strings(s.bases)
	s.bases = slices.Compact(s.bases)
}

func (p *partition) legallyHeld(h Hold, s *rowState) bool {
	// What is gone cannot be kept by a hold on the subject: it is named by a plan that was made before.
	if h.WholeSubject && !s.row.Gone {
		return true
	}
	if !p.unknown[h.UID] {
		return len(h.Records) > 0 && slices.Contains(s.row.Legal, h.UID)
	}
	return !s.row.Gone && slices.ContainsFunc(h.Records, func(r HoldRecord) bool { return r.entity() == s.e.name })
}

func (e *entity) clock(r *RowFacts, column string) backend.Clock {
	if i, ok := e.clockAt[column]; ok && i < len(r.Clocks) {
		return r.Clocks[i]
	}
	return backend.Clock{}
}

// until is when a statutory hold ends: clock plus period on the calendar in UTC, rounded up to the second. False means
// never: the clock is unreadable, or the end is beyond what a date can say.
func (h hold) until(c backend.Clock) (time.Time, bool) {
	if !c.Valid {
		return time.Time{}, false
	}
	t := period.CeilSecond(h.period.AddTo(c.Time))
	if t.Year() > 9999 || t.Year() < 1 {
		return time.Time{}, false
	}
	return t, true
}

// basis is the text of why a record is kept.
func (s *rowState) basis() string {
	var parts []string
	parts = append(parts, s.bases...)
	if s.fate == fatePin {
		for _, n := range s.needed {
			parts = append(parts, "needed by "+n)
		}
	}
	return cut(strings.Join(parts, "; "), 512)
}

// cut shortens a text to at most n bytes without breaking a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	end := n - 3
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "..."
}
