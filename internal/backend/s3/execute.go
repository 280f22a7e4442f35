package s3

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/internal/backend"
)

// targets are the entries that operations name.
type targets struct {
	ops []backend.Operation
	of  [][]entry     // by operation
	op  map[entry]int // the first operation that names it
}

func (b *Backend) targets(ops []backend.Operation) (*targets, error) {
	t := &targets{ops: ops, of: make([][]entry, len(ops)), op: map[entry]int{}}
	for i, op := range ops {
		if op.Action != backend.Unlink {
			return nil, &backend.RefusedError{Entity: op.Entity, Problem: fmt.Sprintf("an object store has no action %q", op.Action)}
		}
		for _, k := range op.Keys {
			if len(k) != 1 {
				return nil, &backend.RefusedError{Entity: op.Entity, Problem: "a key of an object store is one text"}
			}
			e, ok := parseEntry(k[0])
			if !ok || len(e.key) <= len(b.prefix) || e.key[:len(b.prefix)] != b.prefix {
				return nil, &backend.RefusedError{Entity: op.Entity, Problem: "a planned key is no version, object or upload below the store's prefix",
					Remedy: "see whether the DataStore's prefix was changed, and plan anew"}
			}
			t.of[i] = append(t.of[i], e)
			if _, known := t.op[e]; !known {
				t.op[e] = i
			}
		}
	}
	return t, nil
}

// keysOf are the objects' keys, sorted and unique.
func keysOf(list iter.Seq[entry]) []string {
	var keys []string
	for e := range list {
		keys = append(keys, e.key)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// here finds all that the bucket has under these keys.
func (b *Backend) here(ctx context.Context, v versioning, keys []string) (map[entry]struct{}, error) {
	found := &entries{found: map[entry]struct{}{}}
	err := at(ctx, b.listers(v), keys, found)
	return found.found, err
}

// Execute removes exactly the planned versions, markers and uploads. The server answers alike for what is there and what
// is not, so a list tells beforehand what is changed; all of it is deleted whatever the list says.
func (b *Backend) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	t, err := b.targets(batch.Operations)
	if err != nil {
		return nil, err
	}
	r := &removal{b: b, t: t, removed: map[entry]bool{}}
	var present map[entry]struct{}
	if len(t.op) > 0 {
		if r.v, err = b.versioning(ctx); err != nil {
			return nil, err
		}
		if err := t.fits(r.v); err != nil {
			return nil, err
		}
		if present, err = b.here(ctx, r.v, keysOf(maps.Keys(t.op))); err != nil {
			return nil, err
		}
	}
	if err := batch.AwaitEffect(ctx); err != nil {
		return nil, err
	}
	if err := r.run(ctx); err != nil {
		return nil, err
	}
	res := &backend.Result{Affected: make([]int64, len(batch.Operations))}
	for e, i := range t.op {
		if _, was := present[e]; was && r.removed[e] {
			res.Affected[i]++
		}
	}
	return res, nil
}

// fits makes the batch stale where objects were planned without version that would only be hidden by now.
func (t *targets) fits(v versioning) error {
	if !v.known {
		return nil
	}
	for e, i := range t.op {
		if e.kind == kindObject {
			return &backend.StaleError{Entity: t.ops[i].Entity, Problem: "the server knows versions by now, which it did not when the plan was made"}
		}
	}
	return nil
}

// removal of a batch. It goes on after an error and keeps the first.
type removal struct {
	b *Backend
	t *targets
	v versioning

	mu      sync.Mutex
	removed map[entry]bool
	first   error
}

func (r *removal) fail(err error, e entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.first == nil {
		r.first = named(err, r.t.ops[r.t.op[e]].Entity)
	}
}

func (r *removal) run(ctx context.Context) error {
	var uploads, versions []entry
	for _, e := range slices.SortedFunc(maps.Keys(r.t.op), inOrder) {
		if e.kind == kindUpload {
			uploads = append(uploads, e)
		} else {
			versions = append(versions, e)
		}
	}
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, e := range uploads {
		group.Go(func() error { r.abort(ctx, e); return nil })
	}
	_ = group.Wait()
	for chunk := range slices.Chunk(versions, r.b.config.BatchSize) {
		var away *backend.UnavailableError
		if ctx.Err() != nil || errors.As(r.first, &away) { // nothing is won by waiting for each of the requests
			break
		}
		r.remove(ctx, chunk)
	}
	if r.first == nil {
		return translate(ctx, ctx.Err(), "")
	}
	return r.first
}

// abort ends an upload. One that is gone was ended or completed; what a completed one became is found by Verify.
func (r *removal) abort(ctx context.Context, e entry) {
	if ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeoutCause(ctx, r.b.config.Timeout, errDeadline)
	defer cancel()
	err := r.b.core.AbortMultipartUpload(ctx, r.b.config.Bucket, e.key, e.id)
	if resp, ok := response(err); ok && resp.Code == minio.NoSuchUpload {
		return
	}
	if err != nil {
		r.fail(translate(ctx, err, "s3:AbortMultipartUpload"), e)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed[e] = true
}

const rightsToDelete = "s3:DeleteObject and s3:DeleteObjectVersion"

// remove deletes versions in one request.
func (r *removal) remove(ctx context.Context, chunk []entry) {
	limited, cancel := context.WithTimeoutCause(ctx, r.b.config.Timeout, errDeadline)
	defer cancel()
	type name struct{ key, version string }
	silent := make(map[name]entry, len(chunk)) // of which the server said nothing yet
	for _, e := range chunk {
		silent[name{e.key, e.version()}] = e
	}
	results, err := r.b.core.RemoveObjectsWithIter(limited, r.b.config.Bucket, func(yield func(minio.ObjectInfo) bool) {
		for _, e := range chunk {
			if !yield(minio.ObjectInfo{Key: e.key, VersionID: e.version()}) {
				return
			}
		}
	}, minio.RemoveObjectsOptions{})
	if err != nil {
		r.fail(translate(limited, err, rightsToDelete), chunk[0])
		return
	}
	failed := map[entry]error{}
	var whole error
	for res := range results {
		n := name{res.ObjectName, res.ObjectVersionID}
		e, ok := silent[n]
		if !ok && n.version == "" { // some leave "null" away
			n.version = nullVersion
			e, ok = silent[n]
		}
		switch {
		case !ok && res.Err != nil:
			whole = res.Err
		case !ok:
		case res.Err != nil:
			failed[e] = res.Err
			delete(silent, n)
		case res.DeleteMarker && res.DeleteMarkerVersionID != "" && res.DeleteMarkerVersionID != e.id:
			r.fail(refused("the server made a delete marker where a version was to be deleted", "use a server that deletes versions"), e)
			return
		default:
			r.removed[e] = true
			delete(silent, n)
		}
	}
	r.judge(ctx, limited, chunk, failed, slices.SortedFunc(maps.Values(silent), inOrder), whole)
}

// judge finds out what a request that did not delete all means.
func (r *removal) judge(ctx, limited context.Context, chunk []entry, failed map[entry]error, silent []entry, whole error) {
	for _, e := range chunk {
		if err := failed[e]; err != nil && denied(err) {
			r.fail(r.b.deniedVersion(ctx, e, err), e)
			return
		} else if err != nil {
			r.fail(translate(limited, err, rightsToDelete), e)
			return
		}
	}
	if whole == nil {
		whole = limited.Err() // with which the library just ends
	}
	if whole != nil {
		r.fail(translate(limited, whole, rightsToDelete), chunk[0])
		return
	}
	if len(silent) == 0 {
		return
	}
	// The library passes over versions that the server does not find, and over ids that it does not take.
	left, err := r.b.here(ctx, r.v, keysOf(slices.Values(silent)))
	if err != nil {
		r.fail(err, silent[0])
		return
	}
	for _, e := range silent {
		if _, there := left[e]; there {
			r.fail(refused("the server neither deletes a version nor says why", "use a server that deletes versions by their ids"), e)
			return
		}
	}
}
