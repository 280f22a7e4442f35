package planner

import (
	"regexp"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Trials are the values that the maps would write into columns of one store, as far as they are known before a record is:
// constants, and samples of what is generated.
func (g *Graph) Trials(store string) []backend.Trial {
	var all []backend.Trial
	for _, e := range g.entities {
		if e.spec.Store != store || e.outside {
			continue
		}
		for _, f := range e.written() {
			if t, ok := e.trial(f); ok {
				all = append(all, t)
			}
		}
		for _, d := range e.spec.Deactivate {
			if d.Value != nil {
				all = append(all, backend.Trial{Table: e.table, Column: d.Column, Text: *d.Value})
			}
		}
	}
	return all
}

// sample has the form of a generated text.
var sample = strings.Repeat("a2", generatedLength/2)

func (e *entity) trial(f v1alpha1.FieldChange) (backend.Trial, bool) {
	t := backend.Trial{Table: e.table, Column: f.Column}
	if f.Path != "" {
		return t, false
	}
	switch f.Strategy {
	case v1alpha1.StrategyConstant:
		t.Text = *f.Value
	case v1alpha1.StrategyPseudonym, v1alpha1.StrategyHash, v1alpha1.StrategyRandom, v1alpha1.StrategyFingerprint:
		t.Text = sample
	default:
		return t, false
	}
	return t, true
}

var (
	enumType   = regexp.MustCompile(`(?is)^enum\s*\((.*)\)$`)
	enumMember = regexp.MustCompile(`'((?:[^']|'')*)'`)
)

// enumMembers are the values of a type that names them, as MySQL's enum does.
func enumMembers(columnType string) []string {
	m := enumType.FindStringSubmatch(strings.TrimSpace(columnType))
	if m == nil {
		return nil
	}
	var members []string
	for _, v := range enumMember.FindAllStringSubmatch(m[1], -1) {
		members = append(members, strings.ReplaceAll(v[1], "''", "'"))
	}
	return members
}
