package retention

import (
	"slices"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
)

// FileRef is a file, a key or a remote record that goes with a record.
type FileRef struct {
	Store    string
	Path     backend.Path
	Category string
}

// Files names what one record of a step has in path stores, by the values of its Collect columns (those that Sweep put there).
// Text reads a value of the target's store (Backend.Text). A path that leaves its root, or is written in an unclean way, is an
// error: nobody can tell what it names.
func (t *Target) Files(step int, collected []backend.Value, text func(backend.Value) string) ([]FileRef, error) {
	s := t.steps[step]
	value := func(column string) (string, bool) {
		at := slices.Index(s.Collect, column)
		if at < 0 || at >= len(collected) || collected[at] == nil {
			return "", false
		}
		return text(collected[at]), true
	}
	var files []FileRef
	for _, r := range s.references {
		path, clean, ok := r.Fill(value)
		if !ok {
			continue
		}
		if field, template := r.Field(); !clean {
			return nil, fault.Terminalf(v1alpha1.ReasonPathOutsideRoot,
				"%s %s of %s: a record gives a path that is not clean or leaves the store's root; correct its columns", field, template, s.node.Name)
		}
		files = append(files, FileRef{Store: r.Store(), Path: path, Category: r.Category()})
	}
	return files, nil
}

// Stores names the stores that Files can name, each once.
func (t *Target) Stores() []string {
	var stores []string
	for _, s := range t.steps {
		for _, r := range s.references {
			if !slices.Contains(stores, r.Store()) {
				stores = append(stores, r.Store())
			}
		}
	}
	return stores
}

// CheckSchema refuses templates that may name what a record names that stays. An erasure takes all records of a person, so
// what the person's records name together may go; a sweep takes some, so each template needs columns that no two records
// share, or that belong to the parent with which the record goes.
func (t *Target) CheckSchema(schema *backend.Schema) []Problem {
	var problems []Problem
	for _, s := range t.steps {
		for _, r := range s.references {
			if t.names(s, r, schema) {
				continue
			}
			field, text := r.Field()
			problems = append(problems, Problem{Rule: t.Rule.Name, Entity: s.node.Name, Reason: v1alpha1.ReasonRuleUnsupported,
				Message: "rule " + t.Rule.Name + ": " + field + " " + text + " of " + s.node.Name +
					" may be named by records that stay, too; use columns that are unique together (the key, or a unique index), or a rule with the action EraseSubject"})
		}
	}
	return problems
}

// names tells whether what the reference names belongs to the records of the step alone.
func (t *Target) names(s *step, r planner.Reference, schema *backend.Schema) bool {
	owned := [][]string{s.node.Spec.Key}
	if schema != nil {
		for _, info := range schema.Tables {
			if info.Table == s.node.Table {
				owned = append(owned, info.Unique...)
			}
		}
	}
	if s.link != nil {
		set := slices.Clone(s.link.Columns)
		for _, cond := range s.link.Conditions {
			set = append(set, cond.Column)
		}
		owned = append(owned, set)
	}
	columns := r.Columns()
	return slices.ContainsFunc(owned, func(set []string) bool {
		return len(set) > 0 && !slices.ContainsFunc(set, func(c string) bool { return !slices.Contains(columns, c) })
	})
}
