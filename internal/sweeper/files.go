package sweeper

import (
	"context"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

// ActionFile is what the ledger calls the removal of a file.
const ActionFile = "DeleteFile"

// unlinkBatch is how many files of an archive are removed at a time.
const unlinkBatch = 1000

// file is what a record that goes names in a path store.
type file struct {
	Store    string       `json:"store"`
	Path     backend.Path `json:"path"`
	Category string       `json:"category"`
}

// files are what the records of a page name, by what its steps have collected.
func (s *shard) files(collected [][][]backend.Value) ([]file, error) {
	var files []file
	for step, rows := range collected {
		for _, values := range rows {
			refs, err := s.target.Files(step, values, s.store.Text)
			if err != nil {
				return nil, err
			}
			for _, ref := range refs {
				files = append(files, file{Store: ref.Store, Path: ref.Path, Category: ref.Category})
			}
		}
	}
	return files, nil
}

// remove begins the removal of files beside the next page.
func (s *shard) remove(files []file) {
	if len(files) == 0 {
		return
	}
	done := make(chan struct{})
	var counts []state.SweepCount
	var err error
	ctx := context.Background() // it is waited for in any case, and each call has the deadline of its store
	go func() {
		defer close(done)
		counts, err = s.removeAll(ctx, files)
	}()
	s.removal = func() error {
		<-done
		if err != nil {
			return err // for whoever asks again, too: the page stays on record
		}
		s.removal = nil
		s.record.Shard.Counts = mergeCounts(s.record.Shard.Counts, counts)
		crashFiles.Hit()
		return nil
	}
}

// removed waits until the files of the last page are gone.
func (s *shard) removed() error {
	if s.removal == nil {
		return nil
	}
	return s.removal()
}

// removeAll removes files, store by store. What is gone already is fine; what a store itself keeps, stays.
func (s *shard) removeAll(ctx context.Context, files []file) ([]state.SweepCount, error) {
	type place struct{ store, category string }
	var places []place
	paths := map[place][]backend.Path{}
	for _, f := range files {
		p := place{f.Store, f.Category}
		if paths[p] == nil {
			places = append(places, p)
		}
		paths[p] = append(paths[p], f.Path)
	}
	var counts []state.SweepCount
	for _, p := range places {
		n, err := s.removeFrom(ctx, p.store, paths[p])
		if err != nil {
			return counts, err
		}
		if n > 0 {
			counts = append(counts, state.SweepCount{Entity: s.target.Map + "/" + s.target.Entity, Category: p.category, Action: ActionFile, Count: n})
		}
	}
	return counts, nil
}

func (s *shard) removeFrom(ctx context.Context, name string, paths []backend.Path) (removed int64, err error) {
	store, err := s.Stores.Get(ctx, s.task.Namespace, name)
	if err != nil {
		return 0, err
	}
	size := max(int(store.Limits.BatchSize), 1)
	for part := range slices.Chunk(paths, size) {
		n, err := removePaths(ctx, name, store.Backend, s.record.UID, size, part, func(rows []backend.Row, keys []backend.Key) error {
			return s.archiveFiles(ctx, name, store.Backend, rows, keys)
		})
		if removed += n; err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// removePaths removes what paths lead to but for what the store itself keeps, and says how much that was. Before that it calls before,
// with what was found and what of it goes. Errors are of package fault.
func removePaths(ctx context.Context, name string, store backend.Backend, id string, size int, paths []backend.Path, before func([]backend.Row, []backend.Key) error) (removed int64, err error) {
	const query = "files"
	found, err := store.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: query, Paths: paths}}})
	if err != nil {
		return 0, fault.FromStore(name, err)
	}
	op := backend.Operation{Entity: query, Action: backend.Unlink}
	for _, row := range found.Rows[query] {
		op.Keys = append(op.Keys, row.Key)
	}
	if op.Keys, err = deletable(ctx, store, op); err != nil {
		return 0, fault.FromStore(name, err)
	}
	if err := before(found.Rows[query], op.Keys); err != nil {
		return 0, err
	}
	for keys := range slices.Chunk(op.Keys, size) {
		result, err := store.Execute(ctx, backend.Batch{ID: id, Operations: []backend.Operation{{Entity: query, Action: backend.Unlink, Keys: keys}}})
		if err != nil {
			return removed, fault.FromStore(name, err)
		}
		removed += result.Affected[0]
	}
	return removed, nil
}

// unlink removes what one path leads to.
func unlink(ctx context.Context, name string, store backend.Backend, p backend.Path) error {
	_, err := removePaths(ctx, name, store, p.Path, unlinkBatch, []backend.Path{p}, func(found []backend.Row, goes []backend.Key) error {
		if len(goes) < len(found) {
			return fault.Waitingf(v1alpha1.ReasonStoreRefused, policy.MaxRequeue, "store %s itself keeps what was archived, by an object lock for example; it is removed when that ends", name)
		}
		return nil
	})
	return err
}

// archiveFiles brings files into the archive before they are removed.
func (s *shard) archiveFiles(ctx context.Context, name string, store backend.Backend, rows []backend.Row, removed []backend.Key) error {
	if s.archive == nil {
		return nil
	}
	source, ok := store.(backend.ObjectWriter)
	if !ok {
		return nil // keys and remote records are no documents: they go
	}
	for _, row := range rows {
		gone := slices.ContainsFunc(removed, func(k backend.Key) bool { return slices.Equal(k, row.Key) })
		file := row.Name
		if file == "" {
			file = row.Key[0]
		}
		if !gone || strings.HasSuffix(file, "/") {
			continue
		}
		if err := s.archive.copyFile(ctx, name, source, file); err != nil {
			return err
		}
	}
	return nil
}

// deletable leaves out what the store itself keeps for now.
func deletable(ctx context.Context, store backend.Backend, op backend.Operation) ([]backend.Key, error) {
	retainer, ok := store.(backend.Retainer)
	if !ok || len(op.Keys) == 0 {
		return op.Keys, nil
	}
	kept, err := retainer.Retained(ctx, []backend.Operation{op})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(op.Keys, func(k backend.Key) bool {
		return slices.ContainsFunc(kept, func(r backend.Retention) bool { return slices.Equal(r.Key, k) })
	}), nil
}

// recover asks the store what became of the page that was on record when a process, or a connection, ended.
func (s *shard) recover(ctx context.Context) error {
	if s.record.Shard.Remote {
		// A worker that was cut off may have asked the store to commit a moment ago.
		s.rest(ctx, s.lull())
	}
	if err := s.mayGoOn(ctx); err != nil {
		return err
	}
	doubted := s.at.Pending
	left, err := s.left(ctx, doubted)
	if err != nil {
		return err
	}
	files, undone := doubted.Files, make([]int64, len(doubted.Affected))
	switch {
	case left == 0: // it is done
	case left == len(doubted.Keys): // it is not
		files, undone = nil, doubted.Affected
		if doubted.Archive != "" {
			if err := unlink(ctx, s.archive.name, s.archive.store, backend.Path{Path: doubted.Archive}); err != nil {
				return err
			}
		}
	default:
		// Others have changed records of it since. Those that are there still are treated again; their files stay until then.
		if files, err = s.filesWithout(ctx, doubted); err != nil {
			return err
		}
		undone[len(undone)-1] = int64(left)
	}
	counts, err := s.removeAll(ctx, files)
	if err != nil {
		return err
	}
	part := s.record.Shard
	if left > 0 {
		s.at.After = doubted.Before
		part.Done -= int64(left)
		part.Counts = s.add(part.Counts, undone, -1)
	}
	part.Counts = mergeCounts(part.Counts, counts)
	s.room.give(left)
	s.at.Pending = nil
	entry := s.entry("recovered", ledger.KindRetentionOutcome)
	entry.Attributes["records"] = formatInt(int64(len(doubted.Keys) - left))
	return s.saveShard(ctx, []ledger.Entry{entry}, false)
}

// left is how many records of a page are there as if nothing had been done.
func (s *shard) left(ctx context.Context, doubted *page) (int, error) {
	found, err := s.able.ExplainSweep(ctx, s.target.Left(s.Clock.Now()), doubted.Keys)
	if err != nil {
		return 0, fault.FromStore(s.target.Store, err)
	}
	n := 0
	for _, f := range found {
		if f.Found && !slices.Contains(f.Keep, true) {
			n++
		}
	}
	return n, nil
}

// filesWithout are the files of a page but for those that its records name which are there still.
func (s *shard) filesWithout(ctx context.Context, doubted *page) ([]file, error) {
	if len(doubted.Files) == 0 {
		return nil, nil
	}
	collected, err := s.able.CollectSweep(ctx, s.target.Left(s.Clock.Now()), doubted.Keys)
	if err != nil {
		return nil, fault.FromStore(s.target.Store, err)
	}
	named, err := s.files(collected)
	if err != nil {
		return nil, err
	}
	stays := map[file]bool{}
	for _, f := range named {
		stays[f] = true
	}
	return slices.DeleteFunc(slices.Clone(doubted.Files), func(f file) bool { return stays[f] }), nil
}
