package retention

import (
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/period"
)

// Decision is when a record goes by a rule, and what decided it.
type Decision struct {
	// Rule that the decision is about.
	Rule string
	// Due is when the record goes if nothing changes, in whole seconds; in the past where it is due already. Zero: never by this
	// rule, as things are.
	Due time.Time
	// Deciding names what decided: rule NAME, statutory hold MAP/ENTITY/NAME, legal hold NAME, process active in MAP/ENTITY,
	// unless COLUMN, outside the scope of MAP/ENTITY, done by rule NAME.
	Deciding string
	// Basis in law of a statutory hold that decided.
	Basis string
	// Until is when what keeps the record ends by itself; zero where it does not.
	Until time.Time
	// Message says it in a sentence, without data of the record.
	Message string
}

// IsDue tells whether the record goes now.
func (d Decision) IsDue(now time.Time) bool { return !d.Due.IsZero() && !d.Due.After(now) }

// keeper is something that keeps a record.
type keeper struct {
	kind  keepKind
	name  string
	basis string
	// until is zero where there is no end.
	until time.Time
}

// Decide tells of one record when it goes, from what the store says of it for the sweep s of the target (Explained). The latest lawful date
// wins: that of the rule, or of the statutory hold that ends last; whatever has no end of its own wins over both.
func Decide(t *Target, x backend.SweepExplanation, s *backend.Sweep, now time.Time) Decision {
	d := Decision{Rule: t.Rule.Name, Deciding: "rule " + t.Rule.Name}
	if !x.Found {
		d.Message = fmt.Sprintf("rule %s is not about it: there is no such record in %s, it does not meet the rule's conditions, or the rule was applied to it already", t.Rule.Name, t.node.Name)
		return d
	}
	var last *keeper
	for _, k := range t.keepers(x, s) {
		if last == nil || k.outlasts(*last) {
			last = &k
		}
	}
	if last != nil && last.until.IsZero() {
		return d.keptBy(*last)
	}
	if !x.Clock.Valid {
		d.Message = fmt.Sprintf("it stays: its clock (%s) is empty or unreadable, so that no period counts", t.clockText())
		return d
	}
	due, ok := endOf(t.Period, x.Clock.Time)
	switch {
	case !ok:
		d.Message = fmt.Sprintf("it stays: its clock (%s) is so far in the future that the period never ends", t.clockText())
	case last != nil && last.until.After(due):
		d.Due = last.until
		return d.keptBy(*last)
	default:
		d.Due = due
		d.Message = fmt.Sprintf("rule %s: %s since its clock (%s) ends at %s", t.Rule.Name, t.Rule.Period, t.clockText(), due.Format(time.RFC3339))
		if x.Clock.Time.After(now) {
			d.Message += "; the clock is in the future"
		}
	}
	return d
}

// keepers lists what keeps a record.
func (t *Target) keepers(x backend.SweepExplanation, s *backend.Sweep) []keeper {
	var list []keeper
	for i, test := range s.Keep {
		if i >= len(x.Keep) || !x.Keep[i] {
			continue
		}
		k := keeper{kind: keepLegal, name: test.Name}
		switch {
		case i < len(t.tests):
			k.kind, k.basis = t.tests[i].kind, t.tests[i].basis
		case t.done != nil && test.Name == t.done.Name:
			k.kind = keepDone
		case strings.HasPrefix(test.Name, outsidePrefix):
			k.kind = keepOutside
		}
		// A clock at or before the cutoff does not keep, so another record's does, which cannot be read: no end.
		if k.kind == keepStatutory && i < len(x.Clocks) && x.Clocks[i].Valid && x.Clocks[i].Time.After(test.Cutoff) {
			k.until, _ = endOf(t.tests[i].period, x.Clocks[i].Time)
		}
		list = append(list, k)
	}
	return list
}

// outlasts tells whether k keeps a record longer than o. Of two without an end the one that weighs more is named.
func (k keeper) outlasts(o keeper) bool {
	switch {
	case k.until.IsZero() != o.until.IsZero():
		return k.until.IsZero()
	case k.until.IsZero():
		return k.kind > o.kind
	}
	return k.until.After(o.until)
}

func (d Decision) keptBy(k keeper) Decision {
	d.Deciding, d.Basis, d.Until = k.name, k.basis, k.until
	switch k.kind {
	case keepDone:
		d.Message = "the record is as rule " + d.Rule + " leaves it"
	case keepOutside:
		d.Message = "it stays because of a record that refers to it and is " + k.name + ", of another tenant for example"
	case keepUnless:
		d.Message = "rule " + d.Rule + " keeps it while it meets the condition on " + strings.TrimPrefix(k.name, "unless ")
	case keepActive:
		d.Message = "it stays while a " + k.name
	case keepStatutory:
		d.Message = "it is kept by the " + k.name + " (" + k.basis + ")"
		if k.until.IsZero() {
			d.Message += ", whose clock is empty, unreadable or without an end: it stays until somebody corrects it"
		} else {
			d.Message += " until " + k.until.Format(time.RFC3339)
		}
	case keepLegal:
		d.Message = "it is kept by the " + k.name + " until that is lifted"
	}
	return d
}

// HeldBy is the decision on a record whose person a legal hold names, or may name.
func (d Decision) HeldBy(hold string) Decision {
	d.Due = time.Time{}
	return d.keptBy(keeper{kind: keepLegal, name: "legal hold " + hold})
}

// endOf is when the period has passed, in whole seconds; false means never that a date could say.
func endOf(p period.Period, from time.Time) (time.Time, bool) {
	end := period.CeilSecond(p.EndOf(from))
	return end, end.Year() >= 1 && end.Year() <= 9999
}

// clockText names the clock of a rule.
func (t *Target) clockText() string {
	if t.Rule.Clock != "" {
		return t.Rule.Clock
	}
	return "the time of rule " + t.Rule.After
}

// Latest is the decision that counts of those of all rules that a record is concerned by: it goes with the first rule that lets it
// go, and each decision is after all that keeps the record from its rule. Where no rule lets it go, it is the decision that names
// the strongest reason. False without any decision.
func Latest(decisions []Decision) (Decision, bool) {
	if len(decisions) == 0 {
		return Decision{}, false
	}
	best := decisions[0]
	for _, d := range decisions[1:] {
		switch {
		case d.Due.IsZero() && best.Due.IsZero():
			if weight(d) > weight(best) {
				best = d
			}
		case best.Due.IsZero() || !d.Due.IsZero() && d.Due.Before(best.Due):
			best = d
		}
	}
	return best, true
}

// weight of what decided against a date.
func weight(d Decision) int {
	for i, prefix := range []string{"rule ", "done ", "outside ", "unless ", "process ", "statutory ", "legal "} {
		if strings.HasPrefix(d.Deciding, prefix) {
			return i
		}
	}
	return 0
}
