package export

import (
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/projection"
)

// maxEvents of one request that are kept; a request that waits has an entry for each of its reasons.
const maxEvents = 500

// Deletion is a request, or a run of a retention rule, as its entries up to the checkpoint tell of it.
type Deletion struct {
	Handle      string // of a run its UID
	Status      string
	Source      string
	Reason      string // of its newest turn
	Actor       string // who asked
	ReceivedAt  time.Time
	ScheduledAt time.Time
	DueAt       time.Time
	FinishedAt  time.Time
	Counts      []ledger.Count
	Certificate string // digest of the newest one
	// Run is what runs have besides; nil for a request.
	Run    *projection.Run
	Events []ledger.Entry
	// More events than are kept.
	More int
}

// turns are the kinds after which a request has another status.
var turns = map[string]v1alpha1.ExportStatusWord{
	ledger.KindErasureReceived: v1alpha1.StatusPending, ledger.KindErasureCancelled: v1alpha1.StatusCancelled, ledger.KindErasureDuplicate: v1alpha1.StatusCancelled,
	ledger.KindErasureCompleted: v1alpha1.StatusCompleted, ledger.KindErasureFailed: v1alpha1.StatusFailed, ledger.KindErasureAbandoned: v1alpha1.StatusFailed,
	ledger.KindErasureRetried: v1alpha1.StatusPending,
}

// addRun takes one more entry of a run of a rule. A run is what the projection makes of its entries.
func (d *Deletion) addRun(r ledger.Record, as *projection.Request) {
	d.event(r.Entry)
	if as.Run == nil {
		begun, ok := projection.Begin(r)
		if !ok {
			return
		}
		*as = begun
	} else {
		as.Turn(r.Entry)
	}
	*d = Deletion{Handle: as.Handle, Status: as.Status, Source: as.Source, Reason: as.Reason, Actor: as.Actor, ReceivedAt: as.ReceivedAt, ScheduledAt: as.ScheduledAt,
		FinishedAt: as.FinishedAt, Counts: as.Counts, Run: as.Run, Events: d.Events, More: d.More}
}

func (d *Deletion) event(e ledger.Entry) {
	if len(d.Events) < maxEvents {
		d.Events = append(d.Events, e)
	} else {
		d.More++
	}
}

// run is what runs have, empty for a request.
func (d *Deletion) run() projection.Run {
	if d.Run == nil {
		return projection.Run{}
	}
	return *d.Run
}

// name of the request, or of the run, for people.
func (d *Deletion) name() string {
	if d.Run == nil {
		return d.Handle
	}
	return "rule " + d.Run.Rule + " of " + d.Run.Policy
}

// add takes one more entry of the request.
func (d *Deletion) add(e ledger.Entry) {
	d.event(e)
	if e.Kind == ledger.KindErasureReceived {
		d.Source, d.Actor, d.ReceivedAt = e.Reason, e.Actor, e.Time
		d.DueAt, _ = policy.DueDate(e.Time)
	}
	if scheduled, err := time.Parse(time.RFC3339, e.Attributes["scheduledAt"]); err == nil {
		d.ScheduledAt = scheduled
	}
	switch e.Kind {
	case ledger.KindErasureCompleted:
		d.Counts = slices.Clone(e.Counts)
	case ledger.KindRunCompleted: // of what was retained
		d.Counts = append(slices.DeleteFunc(d.Counts, func(c ledger.Count) bool { return c.Action == "Retain" && released(c, e.Counts) }), e.Counts...)
	case ledger.KindCertificateIssued:
		d.Certificate = e.Attributes["digest"]
		d.Reason = e.Reason
	}
	// What becomes of the run of retained data does not undo a completed request.
	next, turned := turns[e.Kind]
	if !turned || d.Status == string(v1alpha1.StatusCompleted) {
		return
	}
	d.Status, d.Reason, d.FinishedAt = string(next), "", time.Time{}
	if next != v1alpha1.StatusPending {
		d.Reason, d.FinishedAt = e.Reason, e.Time
	}
	if d.Reason == "" && e.Kind == ledger.KindErasureDuplicate {
		d.Reason = v1alpha1.ReasonDuplicate
	}
}

// released tells whether a later run deleted something of the category.
func released(retained ledger.Count, counts []ledger.Count) bool {
	return slices.ContainsFunc(counts, func(c ledger.Count) bool { return c.Category == retained.Category })
}

// sum of the records that were treated in one of the ways.
func (d *Deletion) sum(actions ...string) int64 { return sumOf(d.Counts, actions...) }

func sumOf(counts []ledger.Count, actions ...string) int64 {
	var n int64
	for _, c := range counts {
		if slices.Contains(actions, c.Action) {
			n += c.Count
		}
	}
	return n
}

// matches tells whether the request or the run, as it was at the checkpoint, is asked for.
func (d *Deletion) matches(q Query, statuses []string) bool {
	f := q.Filters
	inCategory := len(f.Categories) == 0 || slices.ContainsFunc(d.Counts, func(c ledger.Count) bool { return slices.Contains(f.Categories, c.Category) })
	return within(q.Period, d.ReceivedAt) && among(statuses, d.Status) && among(f.Sources, d.Source) && among(f.Reasons, d.Reason) &&
		among(f.Actors, d.Actor) && inCategory
}
