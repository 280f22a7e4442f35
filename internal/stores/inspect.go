package stores

import (
	"context"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
)

// Facts are what the planner needs to know of the store: whether it answers, and, where it has tables, all of the schemas
// that the graph names. Errors are of package fault.
func (s *Store) Facts(ctx context.Context, graph *planner.Graph) (planner.StoreFacts, error) {
	f := planner.StoreFacts{Kind: s.Kind, DefaultSchema: s.DefaultSchema}
	inspector, ok := s.Backend.(backend.Inspector)
	if !ok {
		_, err := s.Describe(ctx)
		return f, fault.FromStore(s.Name, err)
	}
	schema, err := InspectAll(ctx, inspector, append(graph.Tables(s.Name), graph.IgnoredTables(s.Name)...))
	if err != nil {
		return f, fault.FromStore(s.Name, err)
	}
	f.Schema = schema
	f.Refused, err = s.refused(ctx, graph.Trials(s.Name))
	return f, err
}

// refused asks the store which of the values its columns do not take.
func (s *Store) refused(ctx context.Context, trials []backend.Trial) (map[backend.Trial]string, error) {
	tester, ok := s.Backend.(backend.ValueTester)
	if !ok || len(trials) == 0 {
		return nil, nil
	}
	problems, err := tester.TestValues(ctx, trials)
	if err != nil {
		return nil, fault.FromStore(s.Name, err)
	}
	refused := map[backend.Trial]string{}
	for i, why := range problems {
		if why != "" {
			refused[trials[i]] = why
		}
	}
	return refused, nil
}

// InspectAll describes the named tables and all others of their schemas; without a name those of the default schema.
func InspectAll(ctx context.Context, inspector backend.Inspector, named []backend.Table) (*backend.Schema, error) {
	schema, err := inspector.Inspect(ctx, named)
	if err != nil {
		return nil, err
	}
	return inspector.Inspect(ctx, append(named, schema.All...))
}
