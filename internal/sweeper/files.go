package sweeper

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/state"
)

// actionFile is what the ledger calls the removal of a file.
const actionFile = "DeleteFile"

// file is what a record that goes names in a path store.
type file struct {
	Store    string       `json:"store"`
	Path     backend.Path `json:"path"`
	Category string       `json:"category"`
}

// files are what the records of a page name.
func (s *shard) files(result *backend.SweepResult) ([]file, error) {
	var files []file
	for step, rows := range result.Collected {
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
		s.removal = nil
		if err == nil {
			s.record.Shard.Counts = mergeCounts(s.record.Shard.Counts, counts)
			crashFiles.Hit()
		}
		return err
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
			counts = append(counts, state.SweepCount{Entity: s.target.Map + "/" + s.target.Entity, Category: p.category, Action: actionFile, Count: n})
		}
	}
	return counts, nil
}

func (s *shard) removeFrom(ctx context.Context, name string, paths []backend.Path) (int64, error) {
	store, err := s.Stores.Get(ctx, s.task.Namespace, name)
	if err != nil {
		return 0, err
	}
	var removed int64
	size := max(int(store.Limits.BatchSize), 1)
	for part := range slices.Chunk(paths, size) {
		const query = "files"
		found, err := store.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: query, Paths: part}}})
		if err != nil {
			return removed, fault.FromStore(name, err)
		}
		op := backend.Operation{Entity: query, Action: backend.Unlink}
		for _, row := range found.Rows[query] {
			op.Keys = append(op.Keys, row.Key)
		}
		if op.Keys, err = deletable(ctx, store, op); err != nil {
			return removed, fault.FromStore(name, err)
		}
		if err := s.archiveFiles(ctx, name, store.Backend, found.Rows[query], op.Keys); err != nil {
			return removed, err
		}
		for keys := range slices.Chunk(op.Keys, size) {
			result, err := store.Execute(ctx, backend.Batch{ID: s.record.UID, Operations: []backend.Operation{{Entity: query, Action: backend.Unlink, Keys: keys}}})
			if err != nil {
				return removed, fault.FromStore(name, err)
			}
			removed += result.Affected[0]
		}
	}
	return removed, nil
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

// errLook ends a page that is only looked at.
var errLook = errors.New("only looked at")

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
	files := doubted.Files
	part := s.record.Shard
	switch {
	case left == 0: // it is done
	case left == len(doubted.Keys): // it is not
		files = nil
		if doubted.Archive != "" {
			if err := unlink(ctx, s.archive.store, doubted.Archive); err != nil {
				return fault.FromStore(s.archive.name, err)
			}
		}
		s.at.After = doubted.Before
		part.Done -= int64(left)
		part.Counts = s.add(part.Counts, doubted.Affected, -1)
	default:
		// Others have changed records of it since. Those that are there still are treated again; their files stay until then.
		if files, err = s.filesWithout(ctx, doubted); err != nil {
			return err
		}
		s.at.After = doubted.Before
		part.Done -= int64(left)
		affected := make([]int64, len(doubted.Affected))
		affected[len(affected)-1] = int64(left)
		part.Counts = s.add(part.Counts, affected, -1)
	}
	counts, err := s.removeAll(ctx, files)
	if err != nil {
		return err
	}
	part.Counts = mergeCounts(part.Counts, counts)
	s.room.give(left)
	s.at.Pending = nil
	entry := s.entry("recovered", kindOutcome)
	entry.Attributes["records"] = formatInt(int64(len(doubted.Keys) - left))
	return s.saveShard(ctx, []ledger.Entry{entry}, false)
}

// left is how many records of a page are there as if nothing had been done.
func (s *shard) left(ctx context.Context, doubted *page) (int, error) {
	w, err := s.window(ctx, s.task.Namespace, s.target, nil, noTime, s.run.record.Sweep.Until, true)
	if err != nil {
		return 0, err
	}
	w.sweep.Keep = nil
	if done := s.target.Done(); done != nil {
		w.sweep.Keep = append(w.sweep.Keep, *done)
	}
	found, err := s.able.ExplainSweep(ctx, w.sweep, doubted.Keys)
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

// filesWithout are the files of a page but for those of records that are still due.
func (s *shard) filesWithout(ctx context.Context, doubted *page) ([]file, error) {
	kept := map[file]bool{}
	_, _, err := s.look(ctx, backend.SweepBatch{After: doubted.Before, Until: doubted.Last, Limit: len(doubted.Keys)}, func(r *backend.SweepResult) error {
		files, err := s.files(r)
		for _, f := range files {
			kept[f] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(doubted.Files), func(f file) bool { return kept[f] }), nil
}

// look finds the next page without treating it: its transaction is given up.
func (s *shard) look(ctx context.Context, b backend.SweepBatch, see func(*backend.SweepResult) error) (last backend.Key, n int, err error) {
	w, err := s.window(ctx, s.task.Namespace, s.target, nil, noTime, s.run.record.Sweep.Until, true)
	if err != nil {
		return nil, 0, err
	}
	b.BeforeEffect = func(_ context.Context, r *backend.SweepResult) error {
		last, n = r.Last, len(r.Keys)
		if err := see(r); err != nil {
			return err
		}
		return errLook
	}
	_, err = s.able.SweepBatch(ctx, w.sweep, b)
	if errors.Is(err, errLook) {
		err = nil
	}
	return last, n, fault.FromStore(s.target.Store, err)
}
