package retention

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/period"
)

// WideningChange says of each rule of a changed policy why more records may fall due by it than before, or more happens to them;
// empty where nothing widens.
func WideningChange(old, now v1alpha1.RetentionPolicySpec) []string {
	before := map[string]v1alpha1.RetentionRule{}
	for _, r := range old.Rules {
		before[r.Name] = r
	}
	var out []string
	for _, r := range now.Rules {
		was, ok := before[r.Name]
		if !ok {
			out = append(out, fmt.Sprintf("rule %s is new", r.Name))
			continue
		}
		for _, why := range widens(was, r) {
			out = append(out, fmt.Sprintf("rule %s: %s", r.Name, why))
		}
	}
	return append(out, freedEntities(old, now)...)
}

// strength of an action on a record.
var strength = map[v1alpha1.RuleAction]int{v1alpha1.RuleMark: 1, v1alpha1.RuleAnonymize: 2, v1alpha1.RuleArchive: 3, v1alpha1.RuleDelete: 4, v1alpha1.RuleEraseSubject: 5}

func widens(was, r v1alpha1.RetentionRule) []string {
	var why []string
	add := func(when bool, format string, args ...any) {
		if when {
			why = append(why, fmt.Sprintf(format, args...))
		}
	}
	add(was.Entity != r.Entity || was.Category != r.Category, "it is for other records (%s instead of %s)", r.Entity+r.Category, was.Entity+was.Category)
	add(was.Clock != r.Clock || was.After != r.After, "it counts from another time (%s instead of %s)", r.Clock+r.After, was.Clock+was.After)
	add(shorter(r.Period, was.Period), "its period is shorter (%s instead of %s)", r.Period, was.Period)
	add(strength[r.Action] > strength[was.Action], "its action does more (%s instead of %s)", r.Action, was.Action)
	for _, c := range without(was.Unless, r.Unless) {
		add(true, "it no longer keeps records by the condition on %s in unless", c.Column)
	}
	for _, c := range without(was.Conditions, r.Conditions) {
		add(true, "it is no longer limited by the condition on %s", c.Column)
	}
	add(was.Stamp != r.Stamp && was.Stamp != "", "records with the stamp %s are no longer left out", was.Stamp)
	for _, f := range r.Fields {
		add(!slices.ContainsFunc(was.Fields, func(o v1alpha1.FieldChange) bool { return reflect.DeepEqual(o, f) }), "it overwrites column %s in a new way", f.Column)
	}
	return why
}

// shorter tells whether a period can be shorter than another one. One that cannot be read counts as such.
func shorter(text, than string) bool {
	if text == than {
		return false
	}
	p, err := period.Parse(text)
	q, otherErr := period.Parse(than)
	return err != nil || otherErr != nil || !covers(p, q)
}

// without lists the conditions of a that are not in b as they are.
func without(a, b []v1alpha1.Condition) []v1alpha1.Condition {
	return slices.DeleteFunc(slices.Clone(a), func(c v1alpha1.Condition) bool {
		return slices.ContainsFunc(b, func(o v1alpha1.Condition) bool { return reflect.DeepEqual(o, c) })
	})
}

// freedEntities are those that no rule names by entity any more, so that a rule for their category takes them.
func freedEntities(old, now v1alpha1.RetentionPolicySpec) []string {
	named := map[string]bool{}
	var categories []string
	for _, r := range now.Rules {
		named[r.Entity] = true
		if r.Category != "" {
			categories = append(categories, r.Name)
		}
	}
	var out []string
	for _, r := range old.Rules {
		if r.Entity == "" || named[r.Entity] {
			continue
		}
		named[r.Entity] = true
		for _, c := range categories {
			out = append(out, fmt.Sprintf("rule %s: no rule names %s any more, so it is for these records too if they are of its category", c, r.Entity))
		}
	}
	return out
}
