package export

import (
	"context"
	"fmt"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

// together is how many requests and runs are read with their entries at one time: the bound of what is held in memory.
const together = 100

// source reads the records of one query, up to a checkpoint, in the order of the ledger.
type source struct {
	reader   projection.Reader
	head     *Head
	statuses []string
	// at is told the index up to which everything was read.
	at func(index uint64) error
}

// each calls fn for every record.
func (s *source) each(ctx context.Context, fn func(*Record) error) error {
	s.statuses = s.head.statuses()
	if s.head.Log == v1alpha1.LogDeletions {
		return s.deletions(ctx, fn)
	}
	f := s.head.Filters
	wanted := projection.EntryFilter{Period: s.head.Period, Kinds: logs[s.head.Log].kinds, Reasons: f.Reasons, Actors: f.Actors}
	if len(f.Kinds) > 0 {
		wanted.Kinds = f.Kinds
	}
	return s.entries(ctx, wanted, 0, func(record ledger.Record) error {
		r := &Record{Index: record.Index, Entry: record.Entry}
		if !among(s.statuses, r.status()) || !among(f.Permissions, r.Entry.Attributes["permission"]) || !among(f.Logs, r.Entry.Attributes["log"]) {
			return nil
		}
		return fn(r)
	}, s.at)
}

// entries reads those that match below the checkpoint.
func (s *source) entries(ctx context.Context, f projection.EntryFilter, from uint64, fn func(ledger.Record) error, at func(uint64) error) error {
	for {
		page, err := s.reader.Entries(ctx, s.head.Namespace, f, from, ledger.MaxPage)
		if err != nil {
			return fmt.Errorf("the ledger's entries: %w", err)
		}
		for i := range page {
			if page[i].Index >= s.head.Checkpoint.Size {
				return at(s.head.Checkpoint.Size)
			}
			if err := fn(page[i]); err != nil {
				return err
			}
		}
		if len(page) == 0 {
			return at(s.head.Checkpoint.Size)
		}
		from = page[len(page)-1].Index + 1
		if err := at(from); err != nil {
			return err
		}
	}
}

// deletions reads requests and runs of rules with their entries. What one is now may be later than the checkpoint, so it is made
// again from its entries; the reader is asked only for what does not change any more.
func (s *source) deletions(ctx context.Context, fn func(*Record) error) error {
	f := projection.RequestFilter{Period: s.head.Period, Sources: text(s.head.Filters.Sources), Actors: s.head.Filters.Actors}
	for from := uint64(0); ; {
		page, err := s.reader.Requests(ctx, s.head.Namespace, f, from, together)
		if err != nil {
			return fmt.Errorf("the ledger's requests and runs: %w", err)
		}
		for len(page) > 0 && page[len(page)-1].Index >= s.head.Checkpoint.Size {
			page = page[:len(page)-1]
		}
		if len(page) == 0 {
			return s.at(s.head.Checkpoint.Size)
		}
		if err := s.fold(ctx, page, fn); err != nil {
			return err
		}
		from = page[len(page)-1].Index + 1
		if err := s.at(from); err != nil {
			return err
		}
	}
}

func (s *source) fold(ctx context.Context, page []projection.Request, fn func(*Record) error) error {
	found := make(map[string]*Deletion, len(page))
	runs := map[string]*projection.Request{}
	var handles, uids []string
	for _, r := range page {
		found[r.Handle] = &Deletion{Handle: r.Handle}
		if r.Run != nil {
			runs[r.Handle], uids = &projection.Request{}, append(uids, r.Handle)
		} else {
			handles = append(handles, r.Handle)
		}
	}
	for _, f := range []projection.EntryFilter{{Handles: handles}, {Handles: uids, Kinds: runKinds}} {
		if len(f.Handles) == 0 {
			continue
		}
		err := s.entries(ctx, f, page[0].Index, func(record ledger.Record) error {
			handle := projection.HandleOf(record.Entry)
			switch d := found[handle]; {
			case d == nil:
			case runs[handle] != nil:
				d.addRun(record, runs[handle])
			default:
				d.add(record.Entry)
			}
			return nil
		}, func(uint64) error { return nil })
		if err != nil {
			return err
		}
	}
	for _, r := range page {
		if d := found[r.Handle]; d.matches(s.head.Query, s.statuses) {
			if err := fn(&Record{Index: r.Index, Deletion: d}); err != nil {
				return err
			}
		}
	}
	return nil
}

// runKinds are those of a run of a rule, but for its batches, of which there may be many: its end says what they did together.
var runKinds = []string{ledger.KindRetentionAnnounced, ledger.KindRetentionConfirmed, ledger.KindRetentionPostponed, ledger.KindRetentionRefused, ledger.KindRetentionVerified,
	ledger.KindRunStarted, ledger.KindRunCompleted, ledger.KindRunFailed, ledger.KindRunCancelled, ledger.KindRunRetried, ledger.KindRunAbandoned}
