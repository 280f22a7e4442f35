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

// Source of runs of rules, and of the requests that they make.
const sourceRetention = "Retention"

// HandleOf is the handle of the request, or the UID of the run without one, that an entry is about.
func HandleOf(e ledger.Entry) string { return cmp.Or(e.Handle, e.Run) }

// Turns tells whether an entry may begin or change a request or a run. Those on single batches, of which a run has many, do not.
func Turns(e ledger.Entry) bool {
	if e.Handle != "" {
		return true
	}
	return e.Run != "" && e.Kind != ledger.KindRetentionIntent && e.Kind != ledger.KindRetentionOutcome
}

// Begin is the request, or the run of a rule, that an entry begins, if it does.
func Begin(r ledger.Record) (Request, bool) {
	e := r.Entry
	switch {
	case e.Kind == ledger.KindErasureReceived && e.Handle != "":
		return Request{Index: r.Index, Handle: e.Handle, Status: Pending, Source: e.Reason,
			Actor: e.Actor, ReceivedAt: e.Time.UTC(), DueAt: timeOf(e, ledger.AttributeDueAt)}, true
	case e.Kind == ledger.KindRetentionAnnounced && e.Handle == "" && e.Run != "":
		return Request{Index: r.Index, Handle: e.Run, Status: Pending, Source: sourceRetention, Reason: runReasons[e.Kind],
			Actor: e.Actor, ReceivedAt: e.Time.UTC(), ScheduledAt: timeOf(e, ledger.AttributeScheduledAt),
			Run: &Run{Policy: e.Attributes["policy"], Rule: e.Attributes["rule"], Announced: addCounts(nil, e.Counts)}}, true
	}
	return Request{}, false
}

// runReasons are those of turns whose entries have none.
var runReasons = map[string]string{ledger.KindRetentionAnnounced: "Announced", ledger.KindRetentionConfirmed: "Confirmed", ledger.KindRetentionPostponed: "Postponed",
	ledger.KindRunStarted: "Processing", ledger.KindRunCompleted: "Swept", ledger.KindRunRetried: "Retried"}

// turnRun applies a later entry of a run of a rule.
func (r *Request) turnRun(e ledger.Entry) (ended bool) {
	if r.Status == Completed || r.Status == Cancelled {
		return false
	}
	run := *r.Run // who has the request as it was keeps its run
	r.Run = &run
	switch e.Kind {
	case ledger.KindRetentionConfirmed:
		run.ConfirmedBy = e.Actor
	case ledger.KindRetentionPostponed:
		run.PostponedBy, r.ScheduledAt = e.Actor, timeOf(e, ledger.AttributeScheduledAt)
	case ledger.KindRetentionRefused:
	case ledger.KindRunStarted:
		run.BegunAt = e.Time.UTC()
	case ledger.KindRunRetried:
		r.Status, r.FinishedAt = Pending, time.Time{}
	case ledger.KindRunCompleted:
		ended = r.end(Completed, e.Time)
	case ledger.KindRunCancelled:
		ended = r.end(Cancelled, e.Time)
	case ledger.KindRunFailed, ledger.KindRunAbandoned:
		ended = r.end(Failed, e.Time)
	default:
		return false
	}
	if len(e.Counts) > 0 {
		r.Counts = addCounts(nil, e.Counts)
	}
	r.Reason = cmp.Or(e.Reason, runReasons[e.Kind], r.Reason)
	return ended
}

// Turn applies a later entry of the request's handle, or of the run. It tells whether that ended the request, with the status that it has then.
// What has ended well, or was cancelled, stays so: the run that deletes later what was retained may still fail.
func (r *Request) Turn(e ledger.Entry) (ended bool) {
	if r.Run != nil {
		return r.turnRun(e)
	}
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
	return f.Contains(e.Time) && anyOf(f.Reasons, e.Reason) && anyOf(f.Actors, e.Actor) && anyOf(f.Handles, HandleOf(e)) &&
		(len(f.Kinds) == 0 || slices.ContainsFunc(f.Kinds, func(k string) bool { return KindMatches(k, e.Kind) }))
}

// Matches tells whether a request is wanted.
func (f RequestFilter) Matches(r Request) bool {
	return f.Contains(r.ReceivedAt) && anyOf(f.Statuses, r.Status) && anyOf(f.Sources, r.Source) && anyOf(f.Reasons, r.Reason) &&
		anyOf(f.Actors, r.Actor) && anyOf(f.Handles, r.Handle) &&
		(len(f.Categories) == 0 || slices.ContainsFunc(r.Counts, func(c ledger.Count) bool { return slices.Contains(f.Categories, c.Category) }))
}

func anyOf(list []string, word string) bool { return len(list) == 0 || slices.Contains(list, word) }
