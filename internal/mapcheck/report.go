package mapcheck

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
)

// Finding is one thing that a map's author should know. It holds names of tables and columns, never data.
type Finding struct {
	Reason  string `json:"reason"`
	Map     string `json:"map,omitempty"`
	Entity  string `json:"entity,omitempty"`
	Column  string `json:"column,omitempty"`
	Message string `json:"message"`
}

// Report is what was found.
type Report struct {
	// OK is true if there are no problems and everything could be looked at.
	OK       bool                  `json:"ok"`
	Maps     []string              `json:"maps"`
	Problems []Finding             `json:"problems"`
	Warnings []Finding             `json:"warnings"`
	Coverage *v1alpha1.MapCoverage `json:"coverage,omitempty"`
	// Errors say what could not be looked at.
	Errors []string `json:"errors,omitempty"`
}

// Open opens the store of a name; nil means that it was not given.
type Open func(ctx context.Context, name string) (*stores.Store, error)

// Maps reads the maps of manifests and checks them against the API's schema. It leaves out those that the API would refuse, of
// which nothing can be taken for granted.
func Maps(documents []Document, r *Report) []planner.MapSource {
	var sources []planner.MapSource
	for _, d := range documents {
		if d.Kind != KindMap {
			continue
		}
		r.Maps = append(r.Maps, d.Metadata.Name)
		refuse := func(message string) {
			r.Problems = append(r.Problems, Finding{Reason: v1alpha1.ReasonInvalidSpec, Map: d.Metadata.Name, Message: message})
		}
		problems, err := Schema(d)
		if err != nil {
			refuse(err.Error())
		}
		for _, p := range problems {
			refuse(p)
		}
		var m v1alpha1.PersonalDataMap
		if err := Decode(d, &m); err != nil {
			refuse(err.Error())
			continue
		}
		if len(problems) > 0 {
			continue
		}
		sources = append(sources, planner.MapSource{Name: m.Name, Generation: 1, Spec: m.Spec})
	}
	return sources
}

// Check compiles the maps and holds them against the live stores. Maps refer to each other: without one of them nothing is said
// of the others.
func Check(ctx context.Context, sources []planner.MapSource, open Open, r *Report) {
	if len(sources) < len(r.Maps) {
		return
	}
	graph, problems := planner.Compile(sources, "")
	problems = append(problems, scopeProblems(sources)...)
	if graph != nil {
		facts := r.facts(ctx, graph, sources, open)
		if len(r.Errors) == 0 {
			problems = append(problems, graph.Check(facts)...)
			r.Warnings = append(r.Warnings, findings(graph.Warnings(facts))...)
			coverage := graph.Coverage(facts)
			r.Coverage = &coverage
		}
	}
	for _, f := range findings(problems) {
		if !slices.Contains(r.Problems, f) {
			r.Problems = append(r.Problems, f)
		}
	}
	r.OK = len(r.Problems) == 0 && len(r.Errors) == 0
}

// scopeProblems are those that show only when a scope is chosen.
func scopeProblems(sources []planner.MapSource) []planner.Problem {
	var problems []planner.Problem
	for _, m := range sources {
		for _, s := range m.Spec.Scopes {
			_, of := planner.Compile(sources, s.Name)
			problems = append(problems, of...)
		}
	}
	return problems
}

func findings(problems []planner.Problem) []Finding {
	var list []Finding
	for _, p := range problems {
		list = append(list, Finding{Reason: p.Reason, Map: p.Map, Entity: p.Entity, Column: p.Column, Message: p.Message})
	}
	return list
}

// facts describes the stores. One that holds no tables and was not given is taken for what the maps say it is.
func (r *Report) facts(ctx context.Context, graph *planner.Graph, sources []planner.MapSource, open Open) map[string]planner.StoreFacts {
	facts := map[string]planner.StoreFacts{}
	for _, name := range graph.Stores() {
		store, err := open(ctx, name)
		switch {
		case err != nil:
			r.fail(name, err)
		case store != nil:
			f, err := store.Facts(ctx, graph)
			if err != nil {
				r.fail(name, err)
			}
			facts[name] = f
		case len(graph.Tables(name)) > 0:
			r.Errors = append(r.Errors, fmt.Sprintf("the maps name the store %s, which was not given", name))
		default:
			facts[name] = planner.StoreFacts{Kind: kindOf(sources, name)}
			r.Warnings = append(r.Warnings, Finding{Reason: v1alpha1.ReasonStoreNotFound, Message: fmt.Sprintf("store %s was not given and was not looked at", name)})
		}
	}
	return facts
}

func (r *Report) fail(store string, err error) {
	reason, message := fault.Public(err)
	if !strings.Contains(message, store) {
		message = "store " + store + ": " + message
	}
	r.Errors = append(r.Errors, reason+": "+message)
}

// kindOf a store that is only referred to.
func kindOf(sources []planner.MapSource, store string) planner.StoreKind {
	kind := planner.PathStore
	for _, m := range sources {
		for _, e := range m.Spec.Entities {
			for _, f := range e.Files {
				if f.Store == store && f.Kind == v1alpha1.FileKindPrefix {
					kind = planner.ObjectStore
				}
			}
			if slices.ContainsFunc(e.Keys, func(k v1alpha1.KeyReference) bool { return k.Store == store }) {
				kind = planner.KeyStore
			}
			if slices.ContainsFunc(e.Resources, func(s v1alpha1.ResourceReference) bool { return s.Store == store }) {
				kind = planner.ServiceStore
			}
		}
	}
	return kind
}

// Strict makes problems of what is a warning else, and of tables and columns that nobody has decided on.
func (r *Report) Strict() {
	r.Problems, r.Warnings = append(r.Problems, r.Warnings...), nil
	if c := r.Coverage; c != nil && c.Unknown+c.Columns.Unknown > 0 {
		r.Problems = append(r.Problems, Finding{Reason: v1alpha1.ReasonMapIncomplete,
			Message: fmt.Sprintf("%d tables and %d columns of mapped tables are neither mapped nor ignored", c.Unknown, c.Columns.Unknown)})
	}
	r.OK = len(r.Problems) == 0 && len(r.Errors) == 0
}

// Text writes the report for people.
func (r *Report) Text(w io.Writer) error {
	var b strings.Builder
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "ERROR   %s\n", e)
	}
	for _, f := range r.Problems {
		fmt.Fprintf(&b, "PROBLEM %s\n", f.text())
	}
	for _, f := range r.Warnings {
		fmt.Fprintf(&b, "WARNING %s\n", f.text())
	}
	if c := r.Coverage; c != nil {
		fmt.Fprintf(&b, "tables:  %d mapped, %d ignored, %d unknown\n", c.Mapped, c.Ignored, c.Unknown)
		fmt.Fprintf(&b, "columns: %d mapped, %d ignored, %d unknown (of mapped tables)\n", c.Columns.Mapped, c.Columns.Ignored, c.Columns.Unknown)
		if c.LikelyCount > 0 {
			fmt.Fprintf(&b, "likely personal data that is neither mapped nor ignored (%d):\n", c.LikelyCount)
			for _, l := range c.Likely {
				fmt.Fprintf(&b, "  %s\n", l)
			}
		}
	}
	verdict := "fit for erasures"
	switch {
	case len(r.Errors) > 0:
		verdict = "could not be checked"
	case len(r.Problems) > 0:
		verdict = fmt.Sprintf("not fit for erasures: %d problems", len(r.Problems))
	}
	fmt.Fprintf(&b, "%s: %s\n", strings.Join(r.Maps, ", "), verdict)
	_, err := io.WriteString(w, b.String())
	return err
}

func (f Finding) text() string {
	where := strings.Trim(f.Map+"/"+f.Entity, "/")
	if f.Column != "" {
		where += "." + f.Column
	}
	if where != "" {
		where += ": "
	}
	return f.Reason + " " + where + f.Message
}
