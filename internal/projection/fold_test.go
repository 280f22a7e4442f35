package projection

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/ledger"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// life folds entries of one handle, a minute apart, and counts how often the request ended.
func life(entries ...ledger.Entry) (r Request, ends int) {
	received := ledger.Entry{Kind: ledger.KindErasureReceived, Handle: "h", Reason: "Subject", Actor: "alice", Time: start,
		Attributes: map[string]string{ledger.AttributeDueAt: "2026-04-01T12:00:00Z"}}
	r, _ = Begin(ledger.Record{Index: 7, Entry: received})
	for i, e := range entries {
		e.Time = start.Add(time.Duration(i+1) * time.Minute)
		if r.Turn(e) {
			ends++
		}
	}
	return r, ends
}

func TestARequestIsWhatItsEntriesTell(t *testing.T) {
	g := NewWithT(t)
	pending := Request{Index: 7, Handle: "h", Status: Pending, Source: "Subject", Actor: "alice", ReceivedAt: start, DueAt: start.AddDate(0, 1, 0)}
	r, ends := life()
	g.Expect(r).To(Equal(pending))
	g.Expect(ends).To(BeZero())

	confirmed := ledger.Entry{Kind: ledger.KindErasureConfirmed, Reason: "AfterGracePeriod", Attributes: map[string]string{ledger.AttributeScheduledAt: "2026-04-30T12:00:00Z"}}
	completed := ledger.Entry{Kind: ledger.KindErasureCompleted, Counts: []ledger.Count{{Category: "notes", Action: "Delete", Count: 3}, {Category: "consent", Action: "Retain", Basis: "law", Count: 1}}}
	certified := ledger.Entry{Kind: ledger.KindCertificateIssued, Reason: "Retained"}
	want := pending
	want.ScheduledAt, want.Status, want.Reason, want.FinishedAt = start.AddDate(0, 2, -1), Completed, "Retained", start.Add(2*time.Minute)
	want.Counts = []ledger.Count{{Category: "consent", Action: "Retain", Basis: "law", Count: 1}, {Category: "notes", Action: "Delete", Count: 3}}
	r, ends = life(confirmed, completed, certified)
	g.Expect(r).To(Equal(want))
	g.Expect(ends).To(Equal(1))

	// The run that deletes later what was retained fails first, and changes no status.
	r, ends = life(confirmed, completed, certified, ledger.Entry{Kind: ledger.KindErasureFailed, Reason: "StoreUnavailable"}, ledger.Entry{Kind: ledger.KindErasureRetried},
		ledger.Entry{Kind: ledger.KindRunCompleted, Reason: "Erased", Counts: []ledger.Count{{Category: "notes", Action: "Delete", Count: 1}}},
		ledger.Entry{Kind: ledger.KindCertificateIssued, Reason: "Erased"})
	want.Reason, want.Counts[1].Count = "Erased", 4
	g.Expect(r).To(Equal(want))
	g.Expect(ends).To(Equal(1))

	r, ends = life(ledger.Entry{Kind: ledger.KindErasureFailed, Reason: "StoreUnavailable"}, ledger.Entry{Kind: ledger.KindErasureRetried})
	g.Expect([]string{r.Status, r.Reason}).To(Equal([]string{Pending, "StoreUnavailable"}))
	g.Expect(r.FinishedAt).To(BeZero())
	g.Expect(ends).To(Equal(1))
	r, ends = life(ledger.Entry{Kind: ledger.KindErasureFailed}, ledger.Entry{Kind: ledger.KindErasureAbandoned, Reason: "Abandoned"})
	g.Expect([]string{r.Status, r.Reason}).To(Equal([]string{Failed, "Abandoned"}))
	g.Expect(ends).To(Equal(1))
	for _, kind := range []string{ledger.KindErasureCancelled, ledger.KindErasureDuplicate} {
		r, ends = life(ledger.Entry{Kind: kind, Reason: "x"}, completed)
		g.Expect([]string{r.Status, r.Reason}).To(Equal([]string{Cancelled, "x"}))
		g.Expect(ends).To(Equal(1))
	}
	r, _ = life(ledger.Entry{Kind: ledger.KindErasureExtended, Attributes: map[string]string{ledger.AttributeDueAt: "2026-06-01T12:00:00Z"}})
	g.Expect(r.DueAt).To(Equal(start.AddDate(0, 3, 0)))
	r, _ = life(ledger.Entry{Kind: ledger.KindErasureApproved, Reason: "no turn"}, ledger.Entry{Kind: ledger.KindErasureOutcome})
	g.Expect(r).To(Equal(pending))
	_, ok := Begin(ledger.Record{Entry: ledger.Entry{Kind: ledger.KindErasureConfirmed, Handle: "h"}})
	g.Expect(ok).To(BeFalse())
}

// sweep folds entries of one run of a rule, a minute apart, and counts how often it ended.
func sweep(entries ...ledger.Entry) (r Request, ends int) {
	announced := ledger.Entry{Kind: ledger.KindRetentionAnnounced, Run: "u.documents.1", Time: start,
		Attributes: map[string]string{"policy": "age", "rule": "documents", ledger.AttributeScheduledAt: "2026-03-31T12:00:00Z"},
		Counts:     []ledger.Count{{Category: "documents", Action: "Delete", Count: 4}}}
	r, _ = Begin(ledger.Record{Index: 3, Entry: announced})
	for i, e := range entries {
		e.Run, e.Time = "u.documents.1", start.Add(time.Duration(i+1)*time.Minute)
		if r.Turn(e) {
			ends++
		}
	}
	return r, ends
}

func TestARunIsWhatItsEntriesTell(t *testing.T) {
	g := NewWithT(t)
	counts := []ledger.Count{{Category: "documents", Action: "Delete", Count: 4}}
	pending := Request{Index: 3, Handle: "u.documents.1", Status: Pending, Source: "Retention", Reason: "Announced", ReceivedAt: start, ScheduledAt: start.AddDate(0, 0, 30),
		Run: &Run{Policy: "age", Rule: "documents", Announced: counts}}
	r, ends := sweep()
	g.Expect(r).To(Equal(pending))
	g.Expect(ends).To(BeZero())

	postponed := ledger.Entry{Kind: ledger.KindRetentionPostponed, Actor: "bea", Attributes: map[string]string{ledger.AttributeScheduledAt: "2026-05-01T12:00:00Z"}}
	confirmed := ledger.Entry{Kind: ledger.KindRetentionConfirmed, Actor: "carla"}
	r, _ = sweep(postponed)
	g.Expect([]any{r.Reason, r.ScheduledAt, r.Run.PostponedBy}).To(HaveExactElements("Postponed", start.AddDate(0, 2, 0), "bea"))
	started, intent := ledger.Entry{Kind: ledger.KindRunStarted}, ledger.Entry{Kind: ledger.KindRetentionIntent}
	completed := ledger.Entry{Kind: ledger.KindRunCompleted, Counts: []ledger.Count{{Category: "documents", Action: "Delete", Count: 3}}}
	r, ends = sweep(postponed, confirmed, started, intent, ledger.Entry{Kind: ledger.KindRetentionVerified}, completed, ledger.Entry{Kind: ledger.KindRunCancelled})
	want := pending
	want.Status, want.Reason, want.ScheduledAt, want.FinishedAt, want.Counts = Completed, "Swept", start.AddDate(0, 2, 0), start.Add(6*time.Minute), completed.Counts
	want.Run = &Run{Policy: "age", Rule: "documents", BegunAt: start.Add(3 * time.Minute), ConfirmedBy: "carla", PostponedBy: "bea", Announced: counts}
	g.Expect(r).To(Equal(want))
	g.Expect(ends).To(Equal(1))

	r, _ = sweep(ledger.Entry{Kind: ledger.KindRetentionRefused, Reason: "MoreThanAnnounced"})
	g.Expect([]string{r.Status, r.Reason}).To(Equal([]string{Pending, "MoreThanAnnounced"}))
	r, _ = sweep(ledger.Entry{Kind: ledger.KindRunCancelled, Reason: "RuleGone"}, started)
	g.Expect([]string{r.Status, r.Reason}).To(Equal([]string{Cancelled, "RuleGone"}))
	r, ends = sweep(started, ledger.Entry{Kind: ledger.KindRunFailed, Reason: "StoreRefused"}, ledger.Entry{Kind: ledger.KindRunRetried}, completed)
	g.Expect([]string{r.Status, r.Reason}).To(Equal([]string{Completed, "Swept"}))
	g.Expect(ends).To(Equal(2))
	r, _ = sweep(started, ledger.Entry{Kind: ledger.KindRunAbandoned, Reason: "Abandoned"})
	g.Expect([]string{r.Status, r.Reason}).To(Equal([]string{Failed, "Abandoned"}))

	// Requests that a run makes are requests, runs by hand have nothing of their own, and batches change nothing.
	_, ok := Begin(ledger.Record{Entry: ledger.Entry{Kind: ledger.KindRunStarted, Run: "by-hand"}})
	g.Expect(ok).To(BeFalse())
	r, _ = Begin(ledger.Record{Entry: ledger.Entry{Kind: ledger.KindErasureReceived, Handle: "h", Reason: "Retention"}})
	g.Expect(r.Run).To(BeNil())
	for _, kind := range []string{ledger.KindRetentionIntent, ledger.KindRetentionOutcome} {
		g.Expect(Turns(ledger.Entry{Kind: kind, Run: "u"})).To(BeFalse())
	}
}
