package property

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// fate is what an erasure must do to a row. Rows without one belong to somebody else.
type fate string

const (
	gone     fate = "gone"
	changed  fate = "changed"
	retained fate = "retained"
	pinned   fate = "pinned"
	kept     fate = "kept"
)

// others is what rows of somebody else count as.
const others = "others"

// tally counts what a case has shown, so that a test that shows nothing fails.
func (w *world) tally(e *expectation, before snapshot, seen map[string]int) {
	seen["main on "+w.engines["main"]]++
	if len(w.engines) > 1 {
		seen["two stores"]++
	}
	seen["file"] += len(e.files)
	w.tallyRelations(e, seen)
	w.tallyThings(e, before, seen)
	for _, tb := range w.tables {
		for _, r := range tb.rows {
			f, cuts := e.fates[r], len(e.cuts[r])
			seen["cut"] += cuts
			if f == "" {
				f = others
				seen["cut of others"] += cuts
			}
			seen[string(f)]++
		}
	}
}

// expectation is what the world must look like after the erasure, found from the rows alone.
type expectation struct {
	fates map[*row]fate
	// cuts are the columns that lose their link.
	cuts map[*row][]string
	// files and folders that must be gone.
	files map[string]bool
	// things that must be gone, with the number of rows that name them.
	things map[thing]int
	found  bool
	// blocked: a row that the map leaves out refers, by constraint, to one that goes.
	blocked bool
}

func (w *world) expect(before snapshot, at time.Time) *expectation {
	e := &expectation{fates: map[*row]fate{}, cuts: map[*row][]string{}, files: map[string]bool{}, things: map[thing]int{}}
	mine := w.mine()
	for _, r := range w.tables[0].rows {
		e.found = e.found || mine[r]
	}
	if !e.found {
		return e
	}
	w.decide(e, mine, at)
	for _, tb := range w.tables {
		for _, r := range tb.rows {
			e.cut(w, tb, r)
			e.blocked = e.blocked || !w.covered(tb, r) && e.blocks(w, tb, r)
		}
	}
	for _, tb := range w.tables {
		for _, r := range tb.rows {
			p, f := tb.path(r), e.fates[r]
			if p == "" || f != gone && f != changed {
				continue
			}
			for file := range before.files {
				if file == p || strings.HasPrefix(file, p+"/") {
					e.files[file] = true
				}
			}
		}
	}
	e.expectThings(w, before)
	return e
}

// mine finds the subject's rows.
func (w *world) mine() map[*row]bool {
	mine := map[*row]bool{}
	for again := true; again; {
		again = false
		for i, tb := range w.tables {
			for _, r := range tb.rows {
				if !mine[r] && w.covered(tb, r) && w.isMine(i, r, mine) {
					mine[r], again = true, true
				}
			}
		}
	}
	return mine
}

func (w *world) isMine(i int, r *row, mine map[*row]bool) bool {
	tb := w.tables[i]
	for _, m := range tb.entity.IdentifiedBy {
		if w.identifies(r.v[m.Column], m) {
			return true
		}
	}
	for _, f := range tb.refs {
		if f.deep && slices.ContainsFunc(w.tables[f.to].rows, func(p *row) bool { return mine[p] && f.leads(r, p) }) {
			return true
		}
	}
	return w.lastGoes(i, r, mine)
}

// lastGoes tells whether rows of the subject refer to the shared row, and none that stays.
func (w *world) lastGoes(i int, r *row, mine map[*row]bool) bool {
	referred := false
	for _, tb := range w.tables {
		for _, f := range tb.refs {
			for _, l := range tb.rows {
				if !f.counted || f.to != i || !f.leads(l, r) {
					continue
				}
				if !mine[l] || !tb.letsGo(f) {
					return false
				}
				referred = true
			}
		}
	}
	return referred
}

// letsGo tells whether an erasure ends the reference.
func (tb *table) letsGo(f ref) bool {
	return tb.entity.Action == v1alpha1.ActionDelete || slices.ContainsFunc(tb.entity.Fields, func(c v1alpha1.FieldChange) bool {
		return c.Strategy == v1alpha1.StrategyNull && slices.Contains(f.columns, c.Column)
	})
}

// covered tells whether the map looks at the row at all.
func (w *world) covered(tb *table, r *row) bool {
	return !tb.hasTenant || *r.v["tenant"] == w.tenants[0]
}

func (f ref) leads(from, to *row) bool {
	if f.whenColumn != "" && (from.v[f.whenColumn] == nil || *from.v[f.whenColumn] != f.whenHas) {
		return false
	}
	for i, c := range f.columns {
		a, b := from.v[c], to.v[f.parents[i]]
		if a == nil || b == nil || *a != *b {
			return false
		}
	}
	return true
}

func (w *world) identifies(v *string, m v1alpha1.IdentityMatch) bool {
	if v == nil {
		return false
	}
	fold := func(s string) string {
		// Letters outside ASCII with a lower case inside, such as the Kelvin sign, are what they are.
		if m.Normalize == v1alpha1.NormalizeNone || m.Normalize == "" || strings.ContainsFunc(s, lookAlike) {
			return s
		}
		if m.Normalize == v1alpha1.NormalizeTrimLowerCase {
			s = strings.Trim(s, " \t\n\v\f\r")
		}
		return strings.ToLower(s)
	}
	return slices.ContainsFunc(w.subject[m.Identity], func(s string) bool {
		switch {
		case strings.TrimSpace(s) == "":
			return false
		case m.Comparison != v1alpha1.CompareContains:
			return fold(s) == fold(*v)
		case m.Normalize == v1alpha1.NormalizeTrimLowerCase:
			s = strings.TrimSpace(s)
		}
		return mentions(*v, s, func(part, word string) bool { // nothing is trimmed of the text's words
			if m.Normalize == v1alpha1.NormalizeTrimLowerCase && part != strings.TrimSpace(part) {
				return false
			}
			return fold(part) == fold(word)
		})
	})
}

func lookAlike(r rune) bool { return r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII }

// decide gives every row of the subject its fate.
func (w *world) decide(e *expectation, mine map[*row]bool, at time.Time) {
	for _, tb := range w.tables {
		for _, r := range tb.rows {
			switch a := tb.entity.Action; {
			case !mine[r]:
			case a == v1alpha1.ActionKeep:
				e.fates[r] = kept
			case tb.held(r, at):
				e.fates[r] = retained
			case a != v1alpha1.ActionDelete:
				e.fates[r] = changed
			default:
				e.fates[r] = gone
			}
		}
	}
	for again := true; again; {
		again = false
		for _, tb := range w.tables {
			for _, r := range tb.rows {
				if e.fates[r] == retained || e.fates[r] == pinned {
					again = w.pin(e, tb, r) || again
				}
			}
		}
	}
}

// pin keeps what a row that stays for now refers to.
func (w *world) pin(e *expectation, tb *table, r *row) (news bool) {
	for _, f := range tb.refs {
		for _, p := range w.tables[f.to].rows {
			if (f.deep || f.counted) && e.fates[p] == gone && f.leads(r, p) {
				e.fates[p], news = pinned, true
			}
		}
	}
	return news
}

// held applies the statutory hold: its conditions, and one calendar year from its clock.
func (tb *table) held(r *row, now time.Time) bool {
	for _, h := range tb.entity.Holds {
		selected := true
		for _, c := range h.Conditions {
			in := r.v[c.Column] != nil && slices.Contains(c.Values, *r.v[c.Column])
			selected = in == (c.Operator == v1alpha1.OperatorIn)
		}
		clock := r.v[h.Clock]
		if selected && clock == nil {
			return true
		}
		if selected {
			at, err := time.Parse("2006-01-02 15:04:05", (*clock + " 00:00:00")[:19])
			if err != nil {
				panic(err)
			}
			if at.AddDate(1, 0, 0).After(now) {
				return true
			}
		}
	}
	return false
}

// cut takes the Shallow links to rows that go.
func (e *expectation) cut(w *world, tb *table, r *row) {
	if e.fates[r] == gone || !w.covered(tb, r) {
		return
	}
	for _, f := range tb.refs {
		if f.deep || f.counted || !slices.ContainsFunc(w.tables[f.to].rows, func(p *row) bool { return e.fates[p] == gone && f.leads(r, p) }) {
			continue
		}
		for _, c := range f.columns {
			if c != "tenant" {
				e.cuts[r] = append(e.cuts[r], c)
			}
		}
	}
}

func (e *expectation) blocks(w *world, tb *table, r *row) bool {
	return slices.ContainsFunc(tb.refs, func(f ref) bool {
		return f.fk && slices.ContainsFunc(w.tables[f.to].rows, func(p *row) bool { return e.fates[p] == gone && f.leads(r, p) })
	})
}

// untouched is what to expect of an erasure that cannot end: at most the subject's rows and files have changed.
func (w *world) untouched(e *expectation, before, after snapshot) []string {
	var wrong []string
	for _, tb := range w.tables {
		for _, r := range tb.rows {
			if e.fates[r] == "" && len(e.cuts[r]) == 0 && !maps.Equal(before.rows[r.rid], after.rows[r.rid]) {
				wrong = append(wrong, fmt.Sprintf("row %d of %s was deleted or changed", r.rid, tb.name))
			}
		}
	}
	for f := range before.files {
		if !after.files[f] && !e.files[f] {
			wrong = append(wrong, fmt.Sprintf("file %q is gone", f))
		}
	}
	for x, was := range before.things {
		if is, there := after.things[x]; e.things[x] == 0 && (!there || is != was) {
			wrong = append(wrong, fmt.Sprintf("%s %q %q is gone or changed", x.store, x.key, x.member))
		}
	}
	return wrong
}

// check compares what was with what is. It names tables, columns and row numbers only.
func (w *world) check(e *expectation, before, after snapshot) []string {
	var wrong []string
	for _, tb := range w.tables {
		for _, r := range tb.rows {
			was, is := before.rows[r.rid], after.rows[r.rid]
			if f := e.fates[r]; (is == nil) != (f == gone) {
				wrong = append(wrong, fmt.Sprintf("row %d of %s should be %q and is there: %t", r.rid, tb.name, f, is != nil))
				continue
			}
			if is == nil {
				continue
			}
			for _, c := range tb.columns {
				if why := w.checkValue(e, tb, r, c, was[c.name], is[c.name]); why != "" {
					wrong = append(wrong, fmt.Sprintf("row %d of %s (%s), column %s: %s", r.rid, tb.name, e.fates[r], c.name, why))
				}
			}
		}
	}
	if n := len(after.rows); n > len(before.rows) {
		wrong = append(wrong, fmt.Sprintf("%d rows too many", n-len(before.rows)))
	}
	for f := range before.files {
		if after.files[f] == e.files[f] {
			wrong = append(wrong, fmt.Sprintf("file %q should be gone: %t", f, e.files[f]))
		}
	}
	for f := range after.files {
		if !before.files[f] {
			wrong = append(wrong, fmt.Sprintf("file %q is new", f))
		}
	}
	return append(wrong, e.checkThings(before, after)...)
}

const null = "NULL"

func (w *world) checkValue(e *expectation, tb *table, r *row, c column, was, is string) string {
	var fields []v1alpha1.FieldChange
	switch e.fates[r] {
	case changed:
		fields = tb.entity.Fields
	case pinned:
		if tb.entity.Pinned != nil {
			fields = tb.entity.Pinned.Fields
		}
	}
	fields = slices.DeleteFunc(slices.Clone(fields), func(f v1alpha1.FieldChange) bool { return f.Column != c.name })
	switch {
	case len(fields) > 0 && fields[0].Path != "":
		return w.checkDocument(fields, was, is)
	case len(fields) > 0 && fields[0].Strategy == v1alpha1.StrategyRedact:
		return w.checkRedacted(tb, fields[0], was, is)
	case len(fields) > 0:
		return checkField(fields[0], was, is)
	case slices.Contains(e.cuts[r], c.name):
		if is != null {
			return "its link was not cut"
		}
	case was != is:
		return "it was changed"
	}
	return ""
}

var generated = regexp.MustCompile(`^s:[a-z2-7]{26}$`)

// checkField compares a field with its strategy; values have a mark of their type in front.
func checkField(f v1alpha1.FieldChange, was, is string) string {
	ok := false
	switch f.Strategy {
	case v1alpha1.StrategyNull:
		ok = is == null
	case v1alpha1.StrategyConstant:
		_, text, _ := strings.Cut(is, ":")
		ok = text == *f.Value
	case v1alpha1.StrategyRandom:
		ok = generated.MatchString(is) && is != was
	case v1alpha1.StrategyPseudonym, v1alpha1.StrategyHash:
		ok = was == null && is == null || generated.MatchString(is) && is != was
	case v1alpha1.StrategyTruncateDate:
		ok = is == truncated(was, f.Unit)
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("it does not have what %s writes: %q %q", f.Strategy, was, is)
}

// truncated works on "s:2020-05-17 10:20:30+00".
func truncated(v string, unit v1alpha1.DateUnit) string {
	if v == null {
		return v
	}
	b := []byte(v)
	switch unit {
	case v1alpha1.UnitYear:
		copy(b[7:], "01-01")
	case v1alpha1.UnitMonth:
		copy(b[10:], "01")
	}
	if len(b) > 12 {
		copy(b[13:], "00:00:00")
	}
	return string(b)
}
