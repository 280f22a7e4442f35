package explain

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lethe-dev/lethe/internal/retention"
)

// Format names the form and version of a report's JSON.
const Format = "lethe.dev/explanation/v1"

// Report is what is explained. It holds keys of records.
type Report struct {
	Format    string `json:"format"`
	Namespace string `json:"namespace"`
	// Time as of which it is explained.
	Time time.Time `json:"time"`
	// Subject that was asked for, if it was one.
	Subject string `json:"subject,omitempty"`
	// Holds are the legal holds that name the person.
	Holds   []string `json:"holds,omitempty"`
	Records []Record `json:"records"`
	// Warnings say what could not be taken into account, and why.
	Warnings []string `json:"warnings"`
}

// Record is one record.
type Record struct {
	// Entity as map/entity.
	Entity   string   `json:"entity"`
	Store    string   `json:"store"`
	Key      []string `json:"key"`
	Category string   `json:"category"`
	// GoesAt is when it goes if nothing changes; in the past where it is due already. Not there: it stays, as things are.
	GoesAt *time.Time `json:"goesAt,omitempty"`
	// Decision that counts.
	Decision
	// Others are the decisions of the other rules that are about it, the next one first.
	Others []Decision `json:"others,omitempty"`
}

// Kinds of what decides.
const (
	KindRule          = "Rule"          // its period
	KindNoClock       = "NoClock"       // its clock cannot be read
	KindStatutoryHold = "StatutoryHold" // a law
	KindLegalHold     = "LegalHold"
	KindActiveProcess = "ActiveProcess"
	KindCondition     = "Condition"    // the rule's unless
	KindOutsideScope  = "OutsideScope" // a record below it is not within its entity's conditions
	KindDone          = "Done"         // the record is as the rule leaves it
	KindKeptByMap     = "KeptByMap"    // the action Keep
	KindShared        = "Shared"       // others refer to it
	KindStopped       = "Stopped"      // the policy is a dry run, or suspended
	KindNotConcerned  = "NotConcerned" // the rule is not about it
	KindNoRule        = "NoRule"
)

// Decision is what one rule means for a record.
type Decision struct {
	// Kind of what decides: one of the Kind constants.
	Kind string `json:"kind"`
	// DecidedBy names it.
	DecidedBy string `json:"decidedBy,omitempty"`
	Policy    string `json:"policy,omitempty"`
	Rule      string `json:"rule,omitempty"`
	// Action on the record: Delete, Archive, Anonymize or Mark.
	Action string `json:"action,omitempty"`
	// At is when the action is due.
	At *time.Time `json:"at,omitempty"`
	// With is the entity of the record with which it goes: one that it belongs to, or the person.
	With string `json:"with,omitempty"`
	// Basis in law, and Until when what keeps the record ends by itself.
	Basis   string     `json:"basis,omitempty"`
	Until   *time.Time `json:"until,omitempty"`
	Message string     `json:"message"`

	raw retention.Decision
}

// noticed makes a decision of a rule's.
func (t *target) noticed(d retention.Decision, kind string) Decision {
	out := Decision{Kind: kind, Policy: t.policy, Rule: t.Rule.Name, Action: string(t.Rule.Action), Message: d.Message, raw: d}
	if out.Kind == "" {
		out.Kind = kindOf(d)
	}
	out.fill()
	if t.stopped != "" && kind != KindNotConcerned {
		out.Kind, out.At = KindStopped, nil
		out.DecidedBy, out.Message = t.stopped, out.Message+"; but "+t.stopped+" stops the policy, so that nothing goes"
	}
	return out
}

func (d *Decision) fill() {
	d.DecidedBy, d.Basis, d.At, d.Until = d.raw.Deciding, d.raw.Basis, nil, nil
	if !d.raw.Due.IsZero() {
		d.At = &d.raw.Due
	}
	if !d.raw.Until.IsZero() {
		d.Until = &d.raw.Until
	}
}

func kindOf(d retention.Decision) string {
	for prefix, kind := range map[string]string{"statutory hold": KindStatutoryHold, "legal hold": KindLegalHold, "process active": KindActiveProcess,
		"unless ": KindCondition, "outside ": KindOutsideScope, "done ": KindDone} {
		if strings.HasPrefix(d.Deciding, prefix) {
			return kind
		}
	}
	if d.Due.IsZero() {
		return KindNoClock
	}
	return KindRule
}

// removes tells whether the record itself goes.
func (d *Decision) removes() bool { return d.Action == "Delete" || d.Action == "Archive" }

func (d *Decision) same(o Decision) bool {
	return d.raw == o.raw && d.Policy == o.Policy && d.Action == o.Action && d.With == o.With
}

// decide picks the decision that counts: of the rules by which the record goes the first that lets it go; where there is none, of those
// that anonymise it. A policy that is stopped counts only where there is no other.
func (r *Record) decide(all []Decision) {
	for _, candidates := range [][]Decision{
		filter(all, func(d Decision) bool { return d.removes() && d.Kind != KindStopped }),
		filter(all, func(d Decision) bool { return d.removes() }),
		filter(all, func(d Decision) bool { return d.Action == "Anonymize" && d.Kind != KindStopped }),
		filter(all, func(d Decision) bool { return d.Action == "Anonymize" }),
	} {
		if len(candidates) > 0 {
			r.Decision = first(candidates)
			break
		}
	}
	if r.Kind == "" {
		r.Decision = Decision{Kind: KindNoRule, Message: "it stays: no rule deletes or anonymises it"}
	}
	if r.At != nil && r.removes() {
		r.GoesAt = r.At
	}
	for _, d := range all {
		if !d.same(r.Decision) && !slices.ContainsFunc(r.Others, d.same) { // two ways may lead to one record
			r.Others = append(r.Others, d)
		}
	}
	slices.SortStableFunc(r.Others, func(a, b Decision) int {
		switch {
		case a.At == nil && b.At == nil:
			return 0
		case a.At == nil:
			return 1
		case b.At == nil:
			return -1
		}
		return a.At.Compare(*b.At)
	})
}

// filter leaves out, beside what keep does not want, what is not about the record.
func filter(list []Decision, keep func(Decision) bool) []Decision {
	var out []Decision
	for _, d := range list {
		if d.Kind != KindNotConcerned && keep(d) {
			out = append(out, d)
		}
	}
	return out
}

func first(list []Decision) Decision {
	raws := make([]retention.Decision, 0, len(list))
	for _, d := range list {
		raws = append(raws, d.raw)
	}
	best, _ := retention.Latest(raws)
	return list[slices.Index(raws, best)]
}

// Text writes the report as a table.
func (r *Report) Text(out io.Writer) error {
	var b strings.Builder
	for _, h := range r.Holds {
		fmt.Fprintf(&b, "LegalHold %s names this person: nothing goes until it is lifted.\n", h)
	}
	t := tabwriter.NewWriter(&b, 0, 8, 3, ' ', 0)
	_, _ = fmt.Fprintln(t, "ENTITY\tKEY\tCATEGORY\tWHEN\tWHAT\tPOLICY\tWHY")
	for i := range r.Records {
		rec := &r.Records[i]
		r.line(t, rec, rec.Decision)
		for _, d := range rec.Others {
			if d.At != nil && !d.removes() && d.Kind != KindNotConcerned {
				r.line(t, rec, d)
			}
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, w := range r.Warnings {
		fmt.Fprintf(&b, "WARNING %s\n", w)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *Report) line(out io.Writer, rec *Record, d Decision) {
	when, what := "stays", "-"
	if d.At != nil {
		when, what = d.At.UTC().Format(time.RFC3339), d.Action
		if !d.At.After(r.Time) {
			when = "due since " + when
		}
	}
	_, _ = fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", rec.Entity, cell(strings.Join(rec.Key, ",")), rec.Category, when, what, cmp.Or(d.Policy, "-"), d.Message)
}

// cell keeps a key to its cell, and from commanding the terminal.
func cell(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 }) {
		return fmt.Sprintf("%q", s)
	}
	return s
}
