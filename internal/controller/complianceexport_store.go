package controller

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"path"
	"strconv"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/stores"
)

// storePath is where the file is in its DataStore.
func (w *exportWork) storePath() string {
	return path.Join(w.x.Spec.Destination.Path, export.StoreName(w.x.Namespace, w.x.Name, string(w.x.UID), w.x.Spec.Format))
}

// keeper opens the DataStore for writing.
func (w *exportWork) keeper(ctx context.Context) (*stores.Store, backend.ObjectWriter, error) {
	name := w.x.Spec.Destination.DataStoreRef.Name
	store, err := w.Stores.Get(ctx, w.x.Namespace, name)
	if err != nil {
		return nil, nil, err
	}
	writer, ok := store.Backend.(backend.ObjectWriter)
	if !ok {
		return nil, nil, fault.Terminalf(v1alpha1.ReasonInvalidSpec, "spec.destination.dataStoreRef: DataStore %s takes no files; name one of kind s3 or filesystem", name)
	}
	return store, writer, nil
}

// tally counts and digests what is written.
type tally struct {
	size   int64
	digest interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (t *tally) Write(p []byte) (int, error) {
	t.size += int64(len(p))
	return t.digest.Write(p)
}

// writeToStore makes the file twice, which makes the same bytes twice: once for size and digest, once for the store. So nothing
// is kept in between, and a file that an earlier attempt has left there is known again.
func (w *exportWork) writeToStore(ctx context.Context, head *export.Head) (made, error) {
	store, writer, err := w.keeper(ctx)
	if err != nil {
		return made{}, err
	}
	first := &tally{digest: sha256.New()}
	records, err := export.Write(ctx, w.Projection, head, first, w.progress(ctx, head))
	if err != nil {
		return made{}, err
	}
	file := made{records, first.size, export.Hex(first.digest.Sum(nil))}
	from, to := io.Pipe()
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, err := export.Write(ctx, w.Projection, head, to, func(uint64) error { return ctx.Err() })
		_ = to.CloseWithError(err)
	}()
	err = writer.PutNew(ctx, w.storePath(), from, file.size)
	_ = from.CloseWithError(errors.New("nobody reads any more"))
	<-written
	if errors.Is(err, backend.ErrExists) {
		same, err := w.holds(ctx, writer, file)
		if err == nil && !same {
			err = fault.Terminalf(v1alpha1.ReasonAlreadyExists, "DataStore %s has something else at %s, and it is not overwritten", store.Name, w.storePath())
		}
		return file, err
	}
	return file, fault.FromStore(store.Name, err)
}

// holds tells whether the store has exactly this file.
func (w *exportWork) holds(ctx context.Context, writer backend.ObjectWriter, file made) (bool, error) {
	content, err := writer.OpenObject(ctx, w.storePath())
	if errors.Is(err, backend.ErrNoObject) {
		return false, nil
	}
	if err != nil {
		return false, fault.FromStore(w.x.Spec.Destination.DataStoreRef.Name, err)
	}
	defer func() { _ = content.Close() }()
	found := &tally{digest: sha256.New()}
	if _, err := io.Copy(found, content); err != nil {
		return false, fault.FromStore(w.x.Spec.Destination.DataStoreRef.Name, &backend.UnavailableError{Problem: "the file cannot be read", Err: err})
	}
	return found.size == file.size && export.Hex(found.digest.Sum(nil)) == file.sha256, nil
}

// removeFromStore removes the file if it is the one that was written; anything else there is somebody else's. A DataStore that
// is gone keeps nobody from deleting the export.
func (w *exportWork) removeFromStore(ctx context.Context) error {
	store, writer, err := w.keeper(ctx)
	if reason, _ := fault.Public(err); err != nil && reason == v1alpha1.ReasonStoreNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	completed, err := w.find(ctx, "completed")
	if err != nil || completed == nil {
		return err // what an attempt left is complete, and of no size that is on record: it stays
	}
	size, err := strconv.ParseInt(completed.Entry.Attributes[export.AttributeSize], 10, 64)
	if err != nil {
		return err
	}
	same, err := w.holds(ctx, writer, made{size: size, sha256: completed.Entry.Attributes[export.AttributeSHA256]})
	if err != nil || !same {
		return err
	}
	const entity = "export"
	found, err := store.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: entity, Paths: []backend.Path{{Path: w.storePath()}}}}})
	if err != nil {
		return fault.FromStore(store.Name, err)
	}
	op := backend.Operation{Entity: entity, Action: backend.Unlink}
	for _, row := range found.Rows[entity] {
		op.Keys = append(op.Keys, row.Key)
	}
	_, err = store.Execute(ctx, backend.Batch{ID: string(w.x.UID), Operations: []backend.Operation{op}})
	return fault.FromStore(store.Name, err)
}
