package projection

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// Statuses of a request.
const (
	Pending   = "Pending"
	Completed = "Completed"
	Cancelled = "Cancelled"
	Failed    = "Failed"
)

// Statuses are all of them.
func Statuses() []string { return []string{Pending, Completed, Cancelled, Failed} }

// Begin is the request that an entry begins, if it does.
func Begin(r ledger.Record) (Request, bool) {
	e := r.Entry
	if e.Kind != ledger.KindErasureReceived || e.Handle == "" {
		return Request{}, false
	}
	return Request{Index: r.Index, Handle: e.Handle, Status: Pending, Source: e.Reason,
		Actor: e.Actor, ReceivedAt: e.Time.UTC(), DueAt: timeOf(e, ledger.AttributeDueAt)}, true
}

// Turn applies a later entry of the request's handle. It tells whether that ended the request, with the status that it has then.
// What has ended well, or was cancelled, stays so: the run that deletes later what was retained may still fail.
func (r *Request) Turn(e ledger.Entry) (ended bool) {
	final := r.Status == Completed || r.Status == Cancelled
	switch e.Kind {
	case ledger.KindRunCompleted: // of what was retained
		r.Counts = addCounts(r.Counts, e.Counts)
		return false
	case ledger.KindCertificateIssued:
	case ledger.KindErasureFailed, ledger.KindErasureAbandoned, ledger.KindErasureRetried, ledger.KindErasureCancelled, ledger.KindErasureDuplicate,
		ledger.KindErasureCompleted, ledger.KindErasureConfirmed, ledger.KindErasureExpedited, ledger.KindErasureWaiting, ledger.KindErasureRefused:
		if final {
			return false
		}
	case ledger.KindErasureExtended:
	default:
		return false
	}
	switch e.Kind {
	case ledger.KindErasureConfirmed, ledger.KindErasureExpedited:
		r.ScheduledAt = timeOf(e, ledger.AttributeScheduledAt)
	case ledger.KindErasureExtended:
		r.DueAt = timeOf(e, ledger.AttributeDueAt)
	case ledger.KindErasureCancelled, ledger.KindErasureDuplicate:
		ended = r.end(Cancelled, e.Time)
	case ledger.KindErasureFailed, ledger.KindErasureAbandoned:
		ended = r.end(Failed, e.Time)
	case ledger.KindErasureRetried:
		r.Status, r.FinishedAt = Pending, time.Time{}
	case ledger.KindErasureCompleted:
		ended = r.end(Completed, e.Time)
		r.Counts = addCounts(nil, e.Counts)
	}
	if e.Reason != "" {
		r.Reason = e.Reason
	}
	return ended
}

func (r *Request) end(status string, at time.Time) bool {
	ended := r.Status == Pending
	r.Status, r.FinishedAt = status, at.UTC()
	return ended
}

func timeOf(e ledger.Entry, attribute string) time.Time {
	t, err := time.Parse(time.RFC3339, e.Attributes[attribute])
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// addCounts sums what is alike, in a fixed order.
func addCounts(to, more []ledger.Count) []ledger.Count {
	sum := map[ledger.Count]int64{}
	for _, c := range append(slices.Clone(to), more...) {
		n := c.Count
		c.Count = 0
		sum[c] += n
	}
	var out []ledger.Count
	for c, n := range sum {
		c.Count = n
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b ledger.Count) int {
		return cmp.Or(cmp.Compare(a.Store, b.Store), cmp.Compare(a.Entity, b.Entity), cmp.Compare(a.Category, b.Category),
			cmp.Compare(a.Action, b.Action), cmp.Compare(a.Basis, b.Basis))
	})
	return out
}

// Contains tells whether a time is in the period.
func (p Period) Contains(t time.Time) bool {
	return (p.From.IsZero() || !t.Before(p.From)) && (p.To.IsZero() || t.Before(p.To))
}

// KindMatches tells whether a kind is the one that a filter names, or below the word that it names with a dot at its end.
func KindMatches(filter, kind string) bool {
	return filter == kind || strings.HasSuffix(filter, ".") && strings.HasPrefix(kind, filter)
}

// Matches tells whether an entry is wanted.
func (f EntryFilter) Matches(e ledger.Entry) bool {
	return f.Contains(e.Time) && anyOf(f.Reasons, e.Reason) && anyOf(f.Actors, e.Actor) && anyOf(f.Handles, e.Handle) &&
		(len(f.Kinds) == 0 || slices.ContainsFunc(f.Kinds, func(k string) bool { return KindMatches(k, e.Kind) }))
}

// Matches tells whether a request is wanted.
func (f RequestFilter) Matches(r Request) bool {
	return f.Contains(r.ReceivedAt) && anyOf(f.Statuses, r.Status) && anyOf(f.Sources, r.Source) && anyOf(f.Reasons, r.Reason) &&
		anyOf(f.Actors, r.Actor) && anyOf(f.Handles, r.Handle) &&
		(len(f.Categories) == 0 || slices.ContainsFunc(r.Counts, func(c ledger.Count) bool { return slices.Contains(f.Categories, c.Category) }))
}

func anyOf(list []string, word string) bool { return len(list) == 0 || slices.Contains(list, word) }
