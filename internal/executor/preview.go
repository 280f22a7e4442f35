package executor

import (
	"context"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

// Preview is what an erasure would do.
type Preview struct {
	Outcome
	Steps []v1alpha1.RunStep
	// Skipped says what could not be looked at; empty for maps that are fit for an erasure.
	Skipped []planner.Problem
}

// Preview counts what an erasure would do. It changes nothing, and nothing of it is kept. Of maps that are not fit, which
// partial allows, it counts what can be counted.
func (e *Executor) Preview(ctx context.Context, task Task, partial bool) (*Preview, error) {
	identities, err := task.Request.Identities(ctx)
	if err != nil {
		return nil, err
	}
	out := &Preview{}
	graph, problems := planner.Compile(task.Request.Maps, task.Request.Scope)
	if partial {
		facts, err := e.facts(ctx, task)
		if err != nil {
			return nil, err
		}
		graph, out.Skipped = planner.Countable(task.Request.Maps, task.Request.Scope, facts)
		problems = nil
	}
	if graph == nil && partial {
		return nil, fault.Terminalf(v1alpha1.ReasonMapNotReady, "nothing of the maps can be looked at: %s", firstMessage(out.Skipped))
	}
	if len(problems) > 0 || graph == nil {
		return nil, fault.Terminalf(v1alpha1.ReasonMapNotReady, "the maps do not fit together: %s", firstMessage(problems))
	}
	r := &run{Executor: e, task: task, graph: graph, known: []string{task.SubjectPseudonym}, record: &state.Run{},
		material: &material{Subject: planner.Subject{Identities: identities}}}
	if err := complete(graph, r.material.Subject); err != nil {
		return nil, err
	}
	plan, err := r.previewPlan(ctx, partial)
	if err != nil {
		return nil, err
	}
	for _, s := range plan.Steps {
		out.Steps = append(out.Steps, v1alpha1.RunStep{Name: s.Name, State: v1alpha1.StepSkipped, Reason: v1alpha1.ReasonDryRun, Planned: s.Planned})
	}
	out.Counts, out.Retained = plan.Counts, plan.Retained
	return out, nil
}

// previewPlan makes the plan that an erasure would make now. Nobody is found as little as by the erasure, as far as all maps are fit.
func (r *run) previewPlan(ctx context.Context, partial bool) (*planner.Plan, error) {
	facts, holds, err := r.survey(ctx)
	if err != nil {
		return nil, err
	}
	if a := r.graph.Assess(facts, holds, r.Clock.Now().UTC()); a.NotFound && !partial {
		v := policy.JudgeSubject(a)
		return nil, &fault.Waiting{Reason: v.Reason, Message: v.Message, After: v.After}
	}
	r.key = make([]byte, 32) // the values of a preview are never written, so a constant seed does
	return r.build(ctx, facts, holds)
}

// facts describes the stores that answer; the others are left out.
func (e *Executor) facts(ctx context.Context, task Task) (map[string]planner.StoreFacts, error) {
	facts := map[string]planner.StoreFacts{}
	tables, _ := planner.Compile(task.Request.Maps, "")
	if tables == nil {
		return facts, nil
	}
	for _, name := range planner.StoresOf(task.Request.Maps) {
		store, err := e.Stores.Get(ctx, task.Namespace, name)
		if err == nil {
			var f planner.StoreFacts
			if f, err = store.Facts(ctx, tables); err == nil {
				facts[name] = f
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return facts, nil
}
