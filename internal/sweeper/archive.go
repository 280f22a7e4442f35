package sweeper

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

// archive is where the records of a shard are moved to.
type archive struct {
	name   string
	store  backend.Backend
	writer backend.ObjectWriter
	// columns of the tables of the sweep's steps, which are collected behind what names files.
	columns map[backend.Table][]string
	// root of the run's archive.
	root string
}

// openArchive opens the store of a rule that archives; nil for any other rule.
func (s *shard) openArchive(ctx context.Context) error {
	rule := s.target.Rule
	if rule.Action != v1alpha1.RuleArchive || s.archive != nil {
		return nil
	}
	store, err := s.Stores.Get(ctx, s.task.Namespace, rule.ArchiveTo)
	if err != nil {
		return err
	}
	writer, ok := store.Backend.(backend.ObjectWriter)
	if !ok {
		return fault.Terminalf(v1alpha1.ReasonRuleUnsupported, "archiveTo of rule %s: DataStore %s takes no files; name one of kind filesystem or s3", rule.Name, rule.ArchiveTo)
	}
	w, err := s.window(ctx, s.task.Namespace, s.target, nil, noTime, s.run.record.Sweep.Until, true)
	if err != nil {
		return err
	}
	schema, err := inspect(ctx, s.store, w.sweep)
	if err != nil {
		return err
	}
	a := &archive{name: rule.ArchiveTo, store: store.Backend, writer: writer, columns: map[backend.Table][]string{}, root: s.run.record.Name}
	for _, t := range schema.Tables {
		for _, c := range t.Columns {
			a.columns[t.Table] = append(a.columns[t.Table], c.Name)
		}
	}
	s.archive = a
	return nil
}

// collect has a sweep return all columns of what it deletes, behind those that are collected already.
func (a *archive) collect(sweep *backend.Sweep) {
	for i := range sweep.Steps {
		if step := &sweep.Steps[i]; step.Action == backend.Delete {
			step.Collect = append(step.Collect, a.columns[step.Table]...)
		}
	}
}

// archivedRecord is one line of an archive.
type archivedRecord struct {
	Entity string             `json:"entity"`
	Table  string             `json:"table"`
	Values map[string]*string `json:"values"`
}

// keep writes the records of a page into the archive, before the page may last. A file that an earlier attempt left under the
// name is of a page that did not last, and is replaced.
func (s *shard) keep(ctx context.Context, result *backend.SweepResult, sweep *backend.Sweep) (name string, err error) {
	a := s.archive
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for i, rows := range result.Collected {
		columns := a.columns[sweep.Steps[i].Table]
		for _, values := range rows {
			own := values[len(values)-len(columns):]
			record := archivedRecord{Entity: sweep.Steps[i].Entity, Table: sweep.Steps[i].Table.Name, Values: map[string]*string{}}
			for k, c := range columns {
				record.Values[c] = nil
				if own[k] != nil {
					text := s.store.Text(own[k])
					record.Values[c] = &text
				}
			}
			if err := encoder.Encode(record); err != nil {
				return "", err
			}
		}
	}
	part := s.record.Shard
	name = path.Join(a.root, "records", fmt.Sprintf("%d-%d-%d-%d.ndjson", part.Target, part.Index, part.Pass, part.Batch+1))
	put := func() error { return a.writer.PutNew(ctx, name, bytes.NewReader(lines.Bytes()), int64(lines.Len())) }
	err = put()
	if errors.Is(err, backend.ErrExists) {
		if err := unlink(ctx, a.name, a.store, backend.Path{Path: name}); err != nil {
			return "", err
		}
		err = put()
	}
	return name, fault.FromStore(a.name, err)
}

// copyFile brings a file into the archive. One that is there already was brought by an earlier attempt.
func (a *archive) copyFile(ctx context.Context, from string, source backend.ObjectWriter, name string) error {
	folder := path.Join(a.root, "files", from)
	to := path.Join(folder, name)
	if !strings.HasPrefix(to, folder+"/") {
		return fault.Terminalf(v1alpha1.ReasonPathOutsideRoot, "an object of store %s has a name that leads out of its folder, and cannot be archived; rename or remove it", from)
	}
	open := func() (io.ReadCloser, error) { return source.OpenObject(ctx, name) }
	r, err := open()
	if errors.Is(err, backend.ErrNoObject) {
		return nil
	}
	if err != nil {
		return fault.FromStore(from, err)
	}
	size, err := io.Copy(io.Discard, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return fault.FromStore(from, err)
	}
	if r, err = open(); err != nil {
		return fault.FromStore(from, err)
	}
	defer func() { _ = r.Close() }()
	if err = a.writer.PutNew(ctx, to, r, size); errors.Is(err, backend.ErrExists) {
		return nil
	}
	return fault.FromStore(a.name, err)
}

// noteArchive notes, before the first record is archived, where to and for how long.
func (r *run) noteArchive() {
	for _, t := range r.task.Targets {
		if t.Rule.Action == v1alpha1.RuleArchive {
			r.record.Sweep.ArchiveStore, r.record.Sweep.ArchiveRetention = t.Rule.ArchiveTo, cmp.Or(t.Rule.ArchiveRetention, v1alpha1.DefaultArchiveRetention)
		}
	}
}

// Purge removes the archive of a run whose time has come. While a legal hold may be about what is in it, it stays.
func (s *Sweeper) Purge(ctx context.Context, record *state.Run) error {
	return s.State.WithHolds(ctx, record.Namespace, func(ctx context.Context, holds []state.Hold) error {
		for _, h := range holds {
			if len(h.SubjectPseudonyms) > 0 || len(h.Records) > 0 {
				return fault.Waitingf(v1alpha1.ReasonLegalHold, policy.MaxRequeue, "LegalHold %s may be about what is archived: the archive stays until it is lifted", h.Name)
			}
		}
		store, err := s.Stores.Get(ctx, record.Namespace, record.Sweep.ArchiveStore)
		if err != nil {
			return err
		}
		if err := unlink(ctx, store.Name, store.Backend, backend.Path{Path: record.Name, Kind: backend.Directory}); err != nil {
			return err
		}
		crashPurged.Hit()
		now := s.Clock.Now().UTC()
		record.Sweep.PurgedAt = &now
		return s.Journal.Record(ctx, record.Namespace, []ledger.Entry{entryOf(record, "purged", ledger.KindRetentionPurged)}, func(tx state.Tx) error { return tx.PutRun(record) })
	})
}
