// Package projection answers questions about a ledger that its tree does not: which entries and which requests match, how many
// there are and how long they took. What it knows follows from the entries alone and can be built again from them at any time.
package projection

import (
	"context"
	"errors"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// Period is a span of time from From to, but without, To. A zero time leaves that side open.
type Period struct{ From, To time.Time }

// EntryFilter says which entries are wanted. Of a list any word may be met; an empty list asks nothing.
type EntryFilter struct {
	Period
	Kinds   []string // exact kinds such as hold.placed, or all below a word with a dot at its end: hold.
	Reasons []string
	Actors  []string // as the entry has them: in full or as a pseudonym
	Handles []string // of requests, and the UIDs of runs of rules (HandleOf); those of a subject's requests are in the state store alone
}

// RequestFilter says which requests and runs of rules are wanted, by the day of their receipt or announcement. Of a list any word
// may be met; an empty list asks nothing.
type RequestFilter struct {
	Period
	Statuses   []string // Pending, Completed, Cancelled, Failed
	Sources    []string
	Reasons    []string
	Actors     []string // who asked, as the entry has it
	Categories []string // of which something was deleted, anonymised or kept
	Handles    []string
}

// Request is one request, or one run of a retention rule, as its entries tell of it.
type Request struct {
	// Index of its first entry. Pages are in this order.
	Index       uint64
	Handle      string    // of a run its UID
	Status      string    // Pending, Completed, Cancelled, Failed
	Source      string    // of a run Retention
	Reason      string    // of its newest turn
	Actor       string    // who asked
	ReceivedAt  time.Time // of a run when it was announced
	ScheduledAt time.Time // zero before it is confirmed
	DueAt       time.Time // zero for a run
	FinishedAt  time.Time // zero while it is Pending
	Counts      []ledger.Count
	// Run is what runs have besides; nil for a request.
	Run *Run
}

// Run of a retention rule.
type Run struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	// BegunAt is zero before it begins.
	BegunAt time.Time `json:"begunAt,omitzero"`
	// ConfirmedBy and PostponedBy are who did so last, as the entry has it.
	ConfirmedBy string `json:"confirmedBy,omitempty"`
	PostponedBy string `json:"postponedBy,omitempty"`
	// Announced is what was due then, by category.
	Announced []ledger.Count `json:"announced,omitempty"`
}

// Day has what happened on one day, in UTC.
type Day struct {
	Date                                   time.Time
	Received, Completed, Cancelled, Failed int64
	Runs                                   RunsOfDay
}

// RunsOfDay has what happened to runs of rules on one day.
type RunsOfDay struct{ Announced, Completed, Cancelled, Failed int64 }

// RunStatistics of an origin.
type RunStatistics struct {
	// Of runs announced in the period, by what they are now.
	Total, Pending, Completed, Cancelled, Failed int64
}

// Statistics of an origin.
type Statistics struct {
	// Of requests received in the period, by what they are now.
	Total, Pending, Completed, Cancelled, Failed int64
	// Overdue are Pending now and past their statutory due date.
	Overdue int64
	// MeanTimeToCompletion of the requests that were received in the period and are Completed.
	MeanTimeToCompletion time.Duration
	// Runs of retention rules, which the figures above leave out. The requests that a run makes are among those.
	Runs RunStatistics
	// Days of the period on which something happened, oldest first.
	Days []Day
}

// Source has the entries: a ledger.Log, or whoever reads its file.
type Source interface {
	// Entries returns up to limit entries (ledger.MaxPage at most) from the index on; none at the end.
	Entries(ctx context.Context, origin string, from uint64, limit int) ([]ledger.Record, error)
}

// ErrUnavailable means that questions cannot be answered at the moment. The ledger itself is not concerned.
var ErrUnavailable = errors.New("the ledger's index is not available")

// Reader answers from a state of the ledger that is at least as new as the call.
type Reader interface {
	// Entries are up to limit (ledger.MaxPage at most) that match, from the index on, in the order of the ledger.
	Entries(ctx context.Context, origin string, f EntryFilter, from uint64, limit int) ([]ledger.Record, error)
	// Requests are up to limit (ledger.MaxPage at most) that match, from the index on, in the order of their receipt.
	Requests(ctx context.Context, origin string, f RequestFilter, from uint64, limit int) ([]Request, error)
	// Statistics count the requests of a period; now tells which are overdue.
	Statistics(ctx context.Context, origin string, p Period, now time.Time) (Statistics, error)
}
