package sweeper

import (
	"context"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
)

// Progress is how far a run is.
type Progress struct {
	// Done and Due are records whose time has come, Records counts what goes with them too.
	Done, Due, Records int64
	Counts             []state.SweepCount
	Shards             []v1alpha1.ShardStatus
}

// Progress adds up what the shards of a run have done.
func (s *Sweeper) Progress(ctx context.Context, record *state.Run) (*Progress, error) {
	p := &Progress{Done: record.Sweep.Done, Counts: record.Sweep.Counts}
	shards := map[int]*v1alpha1.ShardStatus{}
	for i, t := range record.Sweep.Targets {
		p.Due += t.Due
		for k := range t.Shards {
			part, err := s.State.Run(ctx, partUID(record.UID, i, k))
			if err != nil {
				return nil, err
			}
			p.Done += part.Shard.Done
			p.Counts = mergeCounts(p.Counts, part.Shard.Counts)
			st := shards[k]
			if st == nil {
				st = &v1alpha1.ShardStatus{Index: int32(k), State: v1alpha1.StepDone}
				shards[k] = st
			}
			st.Done += recordsIn(part.Shard.Counts)
			if !part.Shard.Over {
				st.State = v1alpha1.StepRunning
			}
		}
	}
	p.Records = recordsIn(p.Counts)
	if len(shards) > 1 {
		for k := range len(shards) {
			p.Shards = append(p.Shards, *shards[k])
		}
	}
	return p, nil
}

func recordsIn(counts []state.SweepCount) (n int64) {
	for _, c := range counts {
		if c.Action != ActionFile {
			n += c.Count
		}
	}
	return n
}

// Decision is what somebody decided about a run that has not begun.
type Decision struct {
	Kind, Actor string
	// Name and Value of what was set.
	Name, Value string
}

// Decide puts decisions on record together with the run that they change.
func (s *Sweeper) Decide(ctx context.Context, record *state.Run, decisions []Decision) error {
	var entries []ledger.Entry
	for _, d := range decisions {
		e := entryOf(record, "decided/"+d.Kind+"/"+d.Value+"/"+formatInt(record.Revision), d.Kind)
		e.Actor, e.Attributes[d.Name] = d.Actor, d.Value
		entries = append(entries, e)
	}
	return s.Journal.Record(ctx, record.Namespace, entries, func(tx state.Tx) error { return tx.PutRun(record) })
}

// StepCounts is what would be treated of a target, by entity and action.
func StepCounts(t *retention.Target, c *Count) []state.SweepCount { return stepCounts(t, c.Steps) }

// Retained lists what keeps records whose period has passed.
func Retained(t *retention.Target, c *Count) []v1alpha1.RetainedData {
	var out []v1alpha1.RetainedData
	for i, name := range c.Keepers {
		if i < len(c.Kept) && c.Kept[i] > 0 {
			out = append(out, v1alpha1.RetainedData{Entity: t.Map + "/" + t.Entity, Category: t.Category, Basis: name, Count: c.Kept[i]})
		}
	}
	return out
}
