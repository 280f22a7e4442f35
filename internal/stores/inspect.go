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
	return f, nil
}

// InspectAll describes the named tables and all others of their schemas; without a name those of the default schema.
func InspectAll(ctx context.Context, inspector backend.Inspector, named []backend.Table) (*backend.Schema, error) {
	schema, err := inspector.Inspect(ctx, named)
	if err != nil {
		return nil, err
	}
	return inspector.Inspect(ctx, append(named, schema.All...))
}
