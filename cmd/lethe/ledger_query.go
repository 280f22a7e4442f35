package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
	projectionsqlite "github.com/lethe-dev/lethe/internal/projection/sqlite"
)

// queryFlags say what is asked of a ledger.
type queryFlags struct {
	ledgerFlags
	index, format, from, to string

	of                                        string
	kinds, reasons, actors, handles, subjects []string
	statuses, sources, categories             []string
	after                                     int64
	limit                                     int
}

// What a query lists.
const (
	ofEntries  = "entries"
	ofRequests = "requests"
)

func (f *queryFlags) registerQuestion(cmd *cobra.Command) *cobra.Command {
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "beginning of the period: a day such as 2026-03-01, in UTC, or a time such as 2026-03-01T12:00:00Z")
	flags.StringVar(&f.to, "to", "", "end of the period, which is not part of it")
	flags.StringVarP(&f.format, "format", "o", "table", "table, or json")
	flags.StringVar(&f.index, "index", "", "file in which the index is kept for the next time; without it a temporary one is made of all entries")
	return f.register(cmd)
}

func newLedgerQueryCommand() *cobra.Command {
	f := &queryFlags{}
	cmd := &cobra.Command{
		Use:   "query --namespace NAMESPACE [filters]",
		Short: "List the entries or requests of a ledger that match",
		Long: `List the entries of a namespace's ledger that match all filters, or its requests and runs of retention rules with --of requests. A filter that is given
several times is met by any of its words. With -o json there is one object on each line. What is listed is what the ledger has:
lethe verify ledger tells whether it holds.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd, func(ctx context.Context, index projection.Reader, p projection.Period) error {
				if f.of == ofRequests {
					return f.listRequests(ctx, index, p, cmd.OutOrStdout())
				}
				return f.listEntries(ctx, index, p, cmd.OutOrStdout())
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.of, "of", ofEntries, "what is listed: entries, or requests with the runs of retention rules")
	flags.StringArrayVar(&f.kinds, "kind", nil, "kind of the entry, such as hold.placed, or hold. for all of holds (entries)")
	flags.StringArrayVar(&f.reasons, "reason", nil, "reason")
	flags.StringArrayVar(&f.actors, "actor", nil, "who did it; of requests who asked; as the ledger has it")
	flags.StringArrayVar(&f.handles, "handle", nil, "handle of the request, or UID of a run of a rule")
	flags.StringArrayVar(&f.subjects, "subject", nil, "pseudonym of the request's subject")
	flags.StringArrayVar(&f.statuses, "status", nil, strings.Join(projection.Statuses(), ", ")+" (requests)")
	flags.StringArrayVar(&f.sources, "source", nil, "who it came from, such as Subject or Retention (requests)")
	flags.StringArrayVar(&f.categories, "category", nil, "category of which something was deleted, anonymised or kept (requests)")
	flags.Int64Var(&f.after, "after", -1, "begin after the entry, or the request, with this index")
	flags.IntVar(&f.limit, "limit", 0, "list this many at most; 0 is all")
	return f.registerQuestion(cmd)
}

func newLedgerStatsCommand() *cobra.Command {
	f := &queryFlags{of: ofRequests}
	return f.registerQuestion(&cobra.Command{
		Use:   "stats --namespace NAMESPACE",
		Short: "Count the requests and the runs of retention rules of a ledger by what became of them, and by day",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.ask(cmd, func(ctx context.Context, index projection.Reader, p projection.Period) error {
				s, err := index.Statistics(ctx, f.namespace, p, time.Now())
				if err != nil {
					return err
				}
				return f.writeStatistics(cmd.OutOrStdout(), s)
			})
		},
	})
}

// ask opens the ledger and its index. All that can go wrong ends with status 2.
func (f *queryFlags) ask(cmd *cobra.Command, use func(ctx context.Context, index projection.Reader, p projection.Period) error) error {
	p, err := f.check()
	if err != nil {
		return &cli.ExitError{Code: 2, Err: err}
	}
	return f.open(cmd.Context(), func(source ledgerSource, _ ledger.SignedCheckpoint) (err error) {
		if err := f.lookUp(cmd.Context(), source); err != nil {
			return err
		}
		path := f.index
		if path == "" {
			folder, err := os.MkdirTemp("", "lethe-index-")
			if err != nil {
				return fmt.Errorf("a temporary folder for the index: %w", cli.Cause(err))
			}
			defer func() { _ = os.RemoveAll(folder) }()
			path = filepath.Join(folder, "index")
		}
		index := projectionsqlite.New(source, projectionsqlite.Options{Path: path})
		defer func() { err = errors.Join(err, index.Close()) }()
		return use(cmd.Context(), index, p)
	})
}

// lookUp turns pseudonyms into the handles of their requests.
func (f *queryFlags) lookUp(ctx context.Context, source ledgerSource) error {
	if len(f.subjects) == 0 {
		return nil
	}
	theirs, err := source.HandlesOf(ctx, f.namespace, f.subjects)
	if err != nil {
		return err
	}
	if len(f.handles) > 0 {
		theirs = slices.DeleteFunc(theirs, func(h string) bool { return !slices.Contains(f.handles, h) })
	}
	if f.handles = theirs; len(theirs) == 0 {
		f.handles = []string{""} // which no request has
	}
	return nil
}

// check refuses what cannot be asked.
func (f *queryFlags) check() (p projection.Period, err error) {
	if f.format != "table" && f.format != "json" {
		return p, fmt.Errorf("--format %s: it is table or json", f.format)
	}
	if f.of != ofEntries && f.of != ofRequests {
		return p, fmt.Errorf("--of %s: it is %s or %s", f.of, ofEntries, ofRequests)
	}
	if p.From, err = cli.Moment("from", f.from); err != nil {
		return p, err
	}
	if p.To, err = cli.Moment("to", f.to); err != nil {
		return p, err
	}
	if !p.From.IsZero() && !p.To.IsZero() && !p.From.Before(p.To) {
		return p, fmt.Errorf("--from %s is not before --to %s: the period is empty or reversed", f.from, f.to)
	}
	for _, k := range f.kinds {
		if !slices.ContainsFunc(ledger.Kinds(), func(kind string) bool { return projection.KindMatches(k, kind) }) {
			return p, fmt.Errorf("--kind %s: there is no such kind; there are: %s", k, strings.Join(ledger.Kinds(), ", "))
		}
	}
	for _, s := range f.statuses {
		if !slices.Contains(projection.Statuses(), s) {
			return p, fmt.Errorf("--status %s: it is one of %s", s, strings.Join(projection.Statuses(), ", "))
		}
	}
	if f.of == ofRequests && len(f.kinds) > 0 {
		return p, fmt.Errorf("--kind is for --of %s", ofEntries)
	}
	if f.of == ofEntries && len(f.statuses)+len(f.sources)+len(f.categories) > 0 {
		return p, fmt.Errorf("--status, --source and --category are for --of %s", ofRequests)
	}
	if f.limit < 0 {
		return p, errors.New("--limit is not negative")
	}
	return p, nil
}

// pages lists page after page until the end or the limit. next returns how many it has listed and the last one's index.
func (f *queryFlags) pages(next func(from uint64, limit int) (n int, last uint64, err error)) error {
	from, left := uint64(max(f.after+1, 0)), f.limit
	for {
		limit := ledger.MaxPage
		if f.limit > 0 {
			limit = min(limit, left)
		}
		n, last, err := next(from, limit)
		left -= n
		if err != nil || n < limit || f.limit > 0 && left == 0 {
			return err
		}
		from = last + 1
	}
}

func (f *queryFlags) listEntries(ctx context.Context, index projection.Reader, p projection.Period, out io.Writer) error {
	filter := projection.EntryFilter{Period: p, Kinds: f.kinds, Reasons: f.reasons, Actors: f.actors, Handles: f.handles}
	rows := cli.NewRows(out, f.format, "INDEX", "TIME", "KIND", "HANDLE", "REASON", "ACTOR")
	return f.pages(func(from uint64, limit int) (int, uint64, error) {
		page, err := index.Entries(ctx, f.namespace, filter, from, limit)
		if err != nil || len(page) == 0 {
			return 0, 0, errors.Join(err, rows.Flush())
		}
		for _, r := range page {
			e := r.Entry
			rows.Add(struct {
				Index uint64          `json:"index"`
				Entry json.RawMessage `json:"entry"`
			}{r.Index, r.Leaf}, strconv.FormatUint(r.Index, 10), cli.ClockTime(e.Time), e.Kind, e.Handle, e.Reason, e.Actor)
		}
		return len(page), page[len(page)-1].Index, rows.Flush()
	})
}

// requestLine is a request in JSON.
type requestLine struct {
	Index       uint64         `json:"index"`
	Handle      string         `json:"handle"`
	Status      string         `json:"status"`
	Source      string         `json:"source,omitempty"`
	Reason      string         `json:"reason,omitempty"`
	Actor       string         `json:"actor,omitempty"`
	ReceivedAt  time.Time      `json:"receivedAt"`
	ScheduledAt time.Time      `json:"scheduledAt,omitzero"`
	DueAt       time.Time      `json:"dueAt,omitzero"`
	FinishedAt  time.Time      `json:"finishedAt,omitzero"`
	Counts      []ledger.Count `json:"counts,omitempty"`
	// Run is what runs of retention rules have besides; the handle is then the run's UID, receivedAt when it was announced.
	Run *projection.Run `json:"run,omitempty"`
}

// ruleOf is the rule of a run, as POLICY/RULE.
func ruleOf(r projection.Request) string {
	if r.Run == nil {
		return ""
	}
	return r.Run.Policy + "/" + r.Run.Rule
}

func (f *queryFlags) listRequests(ctx context.Context, index projection.Reader, p projection.Period, out io.Writer) error {
	filter := projection.RequestFilter{Period: p, Statuses: f.statuses, Sources: f.sources, Reasons: f.reasons, Actors: f.actors, Categories: f.categories,
		Handles: f.handles}
	rows := cli.NewRows(out, f.format, "INDEX", "HANDLE", "STATUS", "REASON", "SOURCE", "RECEIVED", "SCHEDULED", "DUE", "FINISHED", "ACTOR", "RULE")
	return f.pages(func(from uint64, limit int) (int, uint64, error) {
		page, err := index.Requests(ctx, f.namespace, filter, from, limit)
		if err != nil || len(page) == 0 {
			return 0, 0, errors.Join(err, rows.Flush())
		}
		for _, r := range page {
			rows.Add(requestLine(r), strconv.FormatUint(r.Index, 10), r.Handle, r.Status, r.Reason, r.Source,
				cli.ClockTime(r.ReceivedAt), cli.ClockTime(r.ScheduledAt), cli.ClockTime(r.DueAt), cli.ClockTime(r.FinishedAt), r.Actor, ruleOf(r))
		}
		return len(page), page[len(page)-1].Index, rows.Flush()
	})
}

// dayLine and runsLine are statistics in JSON.
type dayLine struct {
	Date      string    `json:"date"`
	Received  int64     `json:"received"`
	Completed int64     `json:"completed"`
	Cancelled int64     `json:"cancelled"`
	Failed    int64     `json:"failed"`
	Runs      dayOfRuns `json:"runs"`
}

type dayOfRuns struct {
	Announced int64 `json:"announced"`
	Completed int64 `json:"completed"`
	Cancelled int64 `json:"cancelled"`
	Failed    int64 `json:"failed"`
}

type runsLine struct {
	Total     int64 `json:"total"`
	Pending   int64 `json:"pending"`
	Completed int64 `json:"completed"`
	Cancelled int64 `json:"cancelled"`
	Failed    int64 `json:"failed"`
}

func (f *queryFlags) writeStatistics(out io.Writer, s projection.Statistics) error {
	days := make([]dayLine, 0, len(s.Days))
	for _, d := range s.Days {
		days = append(days, dayLine{d.Date.Format(time.DateOnly), d.Received, d.Completed, d.Cancelled, d.Failed, dayOfRuns(d.Runs)})
	}
	if f.format == "json" {
		return json.NewEncoder(out).Encode(struct {
			Total                   int64     `json:"total"`
			Pending                 int64     `json:"pending"`
			Completed               int64     `json:"completed"`
			Cancelled               int64     `json:"cancelled"`
			Failed                  int64     `json:"failed"`
			Overdue                 int64     `json:"overdue"`
			MeanSecondsToCompletion int64     `json:"meanSecondsToCompletion"`
			Runs                    runsLine  `json:"runs"`
			Days                    []dayLine `json:"days"`
		}{s.Total, s.Pending, s.Completed, s.Cancelled, s.Failed, s.Overdue, int64(s.MeanTimeToCompletion / time.Second), runsLine(s.Runs), days})
	}
	text := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, line := range []struct {
		name  string
		value any
	}{{"Total", s.Total}, {"Pending", s.Pending}, {"Completed", s.Completed}, {"Cancelled", s.Cancelled}, {"Failed", s.Failed}, {"Overdue", s.Overdue},
		{"Mean time to completion", s.MeanTimeToCompletion.Round(time.Second)}} {
		_, _ = fmt.Fprintf(text, "%s\t%v\n", line.name, line.value)
	}
	if r := s.Runs; r.Total > 0 {
		_, _ = fmt.Fprintf(text, "Runs of retention rules\t%d: %d pending, %d completed, %d cancelled, %d failed\n", r.Total, r.Pending, r.Completed, r.Cancelled, r.Failed)
	}
	if len(days) > 0 {
		_, _ = fmt.Fprint(text, "\nDATE\tRECEIVED\tCOMPLETED\tCANCELLED\tFAILED\tRUNS ANNOUNCED\tCOMPLETED\tCANCELLED\tFAILED\n")
	}
	for _, d := range days {
		_, _ = fmt.Fprintf(text, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", d.Date, d.Received, d.Completed, d.Cancelled, d.Failed,
			d.Runs.Announced, d.Runs.Completed, d.Runs.Cancelled, d.Runs.Failed)
	}
	return text.Flush()
}
