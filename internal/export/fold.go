package export

import (
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
)

// maxEvents of one request that are kept; a request that waits has an entry for each of its reasons.
const maxEvents = 500

// Deletion is a request as its entries up to the checkpoint tell of it.
type Deletion struct {
	Handle      string
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
	Events      []ledger.Entry
	// More events than are kept.
	More int
}

// turns are the kinds after which a request has another status.
var turns = map[string]v1alpha1.ExportStatusWord{
	ledger.KindErasureReceived: v1alpha1.StatusPending, ledger.KindErasureCancelled: v1alpha1.StatusCancelled, ledger.KindErasureDuplicate: v1alpha1.StatusCancelled,
	ledger.KindErasureCompleted: v1alpha1.StatusCompleted, ledger.KindErasureFailed: v1alpha1.StatusFailed, ledger.KindErasureAbandoned: v1alpha1.StatusFailed,
	ledger.KindErasureRetried: v1alpha1.StatusPending,
}

// add takes one more entry of the request.
func (d *Deletion) add(e ledger.Entry) {
	if len(d.Events) < maxEvents {
		d.Events = append(d.Events, e)
	} else {
		d.More++
	}
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
func (d *Deletion) sum(actions ...string) int64 {
	var n int64
	for _, c := range d.Counts {
		if slices.Contains(actions, c.Action) {
			n += c.Count
		}
	}
	return n
}

// matches tells whether the request, as it was at the checkpoint, is asked for.
func (d *Deletion) matches(q Query, statuses []string) bool {
	f := q.Filters
	inCategory := len(f.Categories) == 0 || slices.ContainsFunc(d.Counts, func(c ledger.Count) bool { return slices.Contains(f.Categories, c.Category) })
	return within(q.Period, d.ReceivedAt) && among(statuses, d.Status) && among(f.Sources, d.Source) && among(f.Reasons, d.Reason) &&
		among(f.Actors, d.Actor) && inCategory
}
