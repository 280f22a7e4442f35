package s3

import (
	"context"
	"maps"
	"slices"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Verify counts what is still there of the plan, and what else is under the planned keys.
//
// An operation on a key is to leave nothing under it: a version, a delete marker or an upload that came after the plan was
// made holds the same subject's data, or at least names it, and only a new plan finds it. So it counts, for the first
// operation that names the key, unless one of the other operations names it. What an object lock keeps does not count: it
// is known, and part of another plan for the time when the lock ends.
func (b *Backend) Verify(ctx context.Context, ops []backend.Operation) ([]int64, error) {
	left := make([]int64, len(ops))
	t, err := b.targets(ops)
	if err != nil || len(t.op) == 0 {
		return left, err
	}
	v, err := b.versioning(ctx)
	if err != nil {
		return nil, err
	}
	here, err := b.here(ctx, v, keysOf(maps.Keys(t.op)))
	if err != nil {
		return nil, err
	}
	owner := map[string]int{}
	for i, list := range t.of {
		for _, e := range list {
			if _, there := here[e]; there {
				left[i]++
			}
			if _, known := owner[e.key]; !known {
				owner[e.key] = i
			}
		}
	}
	maps.DeleteFunc(here, func(e entry, _ struct{}) bool { _, planned := t.op[e]; return planned })
	others := slices.SortedFunc(maps.Keys(here), inOrder)
	locks, err := b.locks(ctx, others)
	if err != nil {
		return nil, err
	}
	for i, e := range others {
		if locks[i] == nil {
			left[owner[e.key]]++
		}
	}
	return left, nil
}
