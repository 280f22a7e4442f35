package http

import (
	"context"
	"fmt"
	nethttp "net/http"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// present asks which of the ids are there. It returns each at most once.
func (b *Backend) present(ctx context.Context, resource string, ids []string) (map[string]bool, error) {
	rep, err := b.call(ctx, request{method: nethttp.MethodPost, path: "/verify", want: []int{nethttp.StatusOK},
		body: map[string]any{"resource": resource, "ids": ids}}, b.deadline())
	if err != nil {
		return nil, err
	}
	// A list that is missing must not pass for an empty one.
	var answer struct{ Present *[]*string }
	if err := rep.read(&answer); err != nil {
		return nil, err
	}
	if answer.Present == nil {
		return nil, untrue("does not say what is present")
	}
	asked := make(map[string]bool, len(ids))
	for _, id := range ids {
		asked[id] = true
	}
	there := make(map[string]bool, len(*answer.Present))
	for _, id := range *answer.Present {
		if id == nil || !asked[*id] {
			return nil, untrue("has an id that was not asked for")
		}
		there[*id] = true
	}
	return there, nil
}

// Resolve asks which of the records are there that the paths name.
func (b *Backend) Resolve(ctx context.Context, req backend.ResolveRequest) (*backend.Resolution, error) {
	res := &backend.Resolution{Rows: make(map[string][]backend.Row, len(req.Queries))}
	var found int64
	for _, q := range req.Queries {
		leads, err := leads(q)
		if err != nil {
			return nil, of(err, q.Entity)
		}
		rows := []backend.Row{}
		for _, c := range leads.chunks(b.config.BatchSize) {
			there, err := b.present(ctx, c.resource, c.ids)
			if err != nil {
				return nil, of(err, q.Entity)
			}
			if found += int64(len(there)); req.MaxRows > 0 && found > req.MaxRows {
				return nil, &backend.TooManyRowsError{MaxRows: req.MaxRows}
			}
			for id := range there {
				r := record{c.resource, id}
				key, err := r.encode()
				if err != nil {
					return nil, of(refused("an id cannot be written down", ""), q.Entity)
				}
				rows = append(rows, backend.Row{
					Key: backend.Key{key}, Values: make([]backend.Value, len(q.Columns)), Clocks: make([]backend.Clock, len(q.Clocks)),
					Flags: make([]bool, len(q.Flags)), Paths: leads.paths[r],
				})
			}
		}
		slices.SortFunc(rows, func(a, b backend.Row) int { return strings.Compare(a.Key[0], b.Key[0]) })
		res.Rows[q.Entity] = rows
	}
	return res, nil
}

// lookup is what a query asks for.
type lookup struct {
	resources []string
	ids       map[string][]string // by resource
	paths     map[record][]int    // that lead to it
}

func leads(q backend.Query) (*lookup, error) {
	if len(q.AnyOf) > 0 || q.Table.Name != "" {
		return nil, refused("a service has no tables", "name paths in the data map")
	}
	l := &lookup{ids: map[string][]string{}, paths: map[record][]int{}}
	for i, p := range q.Paths {
		if p.Kind != backend.Resource {
			return nil, refused(fmt.Sprintf("a service has no paths of the kind %q", p.Kind), "use Resource in the data map")
		}
		r := record{p.Member, p.Path}
		if err := r.check(); err != nil {
			return nil, err
		}
		if l.paths[r] == nil {
			if l.ids[r.resource] == nil {
				l.resources = append(l.resources, r.resource)
			}
			l.ids[r.resource] = append(l.ids[r.resource], r.id)
		}
		l.paths[r] = append(l.paths[r], i)
	}
	return l, nil
}

func (l *lookup) chunks(size int) []chunk {
	var list []chunk
	for _, resource := range l.resources {
		for part := range slices.Chunk(l.ids[resource], size) {
			list = append(list, chunk{resource: resource, ids: part})
		}
	}
	return list
}

// Verify asks which of the records are there, and counts them.
func (b *Backend) Verify(ctx context.Context, ops []backend.Operation) ([]int64, error) {
	list, err := chunks(ops, b.config.BatchSize)
	if err != nil {
		return nil, err
	}
	left := make([]int64, len(ops))
	for _, c := range list {
		there, err := b.present(ctx, c.resource, c.ids)
		if err != nil {
			return nil, of(err, ops[c.op].Entity)
		}
		left[c.op] += int64(len(there))
	}
	return left, nil
}
