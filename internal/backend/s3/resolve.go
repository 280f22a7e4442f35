package s3

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Resolve lists what is under the paths. Rows come in the order in which they should go: uploads, versions, delete markers.
func (b *Backend) Resolve(ctx context.Context, req backend.ResolveRequest) (*backend.Resolution, error) {
	res := &backend.Resolution{Rows: make(map[string][]backend.Row, len(req.Queries))}
	wanted := make([]*lookup, len(req.Queries))
	for i, q := range req.Queries {
		if len(q.AnyOf) > 0 || q.Table.Name != "" {
			return nil, &backend.RefusedError{Entity: q.Entity, Problem: "an object store has no tables", Remedy: "name paths in the data map"}
		}
		var err error
		if wanted[i], err = b.lookup(q.Paths); err != nil {
			return nil, named(err, q.Entity)
		}
	}
	if !slices.ContainsFunc(wanted, func(l *lookup) bool { return len(l.files)+len(l.prefixes) > 0 }) {
		return res, nil
	}
	v, err := b.versioning(ctx)
	if err != nil {
		return nil, err
	}
	listers := b.listers(v)
	total := int64(0)
	for i, q := range req.Queries {
		found := &entries{found: map[entry]struct{}{}}
		if req.MaxRows > 0 {
			before := total
			found.full = func(n int) error {
				if before+int64(n) > req.MaxRows {
					return &backend.TooManyRowsError{MaxRows: req.MaxRows}
				}
				return nil
			}
		}
		if err := under(ctx, listers, wanted[i].outermost(), found); err != nil {
			return nil, named(err, q.Entity)
		}
		if err := at(ctx, listers, wanted[i].single(), found); err != nil {
			return nil, named(err, q.Entity)
		}
		total += int64(len(found.found))
		res.Rows[q.Entity] = wanted[i].rows(q, found)
	}
	return res, nil
}

// lookup is what the paths of one query name, with the paths' indexes.
type lookup struct {
	files, prefixes map[string][]int
	lengths         []int  // of the prefixes
	base            string // the store's prefix
}

func (b *Backend) lookup(paths []backend.Path) (*lookup, error) {
	l := &lookup{files: map[string][]int{}, prefixes: map[string][]int{}, base: b.prefix}
	for i, p := range paths {
		at, err := b.place(p)
		if err != nil {
			return nil, err
		}
		set := l.files
		if at.prefix {
			set = l.prefixes
			l.lengths = append(l.lengths, len(at.key))
		}
		set[at.key] = append(set[at.key], i)
	}
	slices.Sort(l.lengths)
	l.lengths = slices.Compact(l.lengths)
	return l, nil
}

// outermost are the prefixes that lie below no other one.
func (l *lookup) outermost() (list []string) {
	for _, p := range slices.Sorted(maps.Keys(l.prefixes)) {
		if len(list) == 0 || !strings.HasPrefix(p, list[len(list)-1]) {
			list = append(list, p)
		}
	}
	return list
}

// single are the keys that lie below no prefix.
func (l *lookup) single() (list []string) {
	for _, key := range slices.Sorted(maps.Keys(l.files)) {
		if !slices.ContainsFunc(l.lengths, func(n int) bool { return n <= len(key) && l.prefixes[key[:n]] != nil }) {
			list = append(list, key)
		}
	}
	return list
}

// leading are the indexes of the paths that lead to a key.
func (l *lookup) leading(key string) []int {
	list := slices.Clone(l.files[key])
	for _, n := range l.lengths {
		if n <= len(key) {
			list = append(list, l.prefixes[key[:n]]...)
		}
	}
	slices.Sort(list)
	return list
}

func (l *lookup) rows(q backend.Query, found *entries) []backend.Row {
	rows := make([]backend.Row, 0, len(found.found))
	for _, e := range slices.SortedFunc(maps.Keys(found.found), inOrder) {
		rows = append(rows, backend.Row{
			Key: backend.Key{e.text()}, Values: make([]backend.Value, len(q.Columns)), Clocks: make([]backend.Clock, len(q.Clocks)),
			Flags: make([]bool, len(q.Flags)), Paths: l.leading(e.key), Name: strings.TrimPrefix(e.key, l.base),
		})
	}
	return rows
}
