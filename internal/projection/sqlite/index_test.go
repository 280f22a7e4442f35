package projectionsqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/ledgertest"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/internal/projection"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
	"github.com/lethe-dev/lethe/test/pgtest"
)

var (
	ctx     = context.Background()
	server  *pgtest.Server
	schemas atomic.Int64
	start   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// stores are the ledgers that the index works over.
	stores = map[string]func(t testing.TB) ledger.Log{"SQLite": newSQLite, "PostgreSQL": newPostgreSQL}
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		child()
	}
	var err error
	if server, err = pgtest.Start(ctx, pgtest.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = server.Stop()
	os.Exit(code)
}

func newSQLite(t testing.TB) ledger.Log {
	t.Helper()
	db, err := sqlitedb.Open(ctx, filepath.Join(t.TempDir(), "ledger.db"), sqlitedb.Options{ApplicationID: 1, Migrations: []sqlitedb.Migrations{ledgersqlite.Migrations()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	log, err := ledgersqlite.New(ctx, db, ledgersqlite.Options{LogName: ledgertest.LogName, Signer: ledgertest.Signer(1)})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func newPostgreSQL(t testing.TB) ledger.Log {
	t.Helper()
	url := fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d&sslmode=disable&search_path=projection%d", server.User, server.Host, server.Port, schemas.Add(1))
	db, err := pgdb.Open(ctx, pgdb.Options{URL: func() (string, error) { return url, nil }, Pause: -1, Migrations: []pgdb.Migrations{ledgerpostgresql.Migrations()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	log, err := ledgerpostgresql.New(db, ledgerpostgresql.Options{LogName: ledgertest.LogName, Signer: ledgertest.Signer(1)})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func openRaw(t testing.TB, path string) *sql.DB {
	t.Helper()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	return raw
}

func newIndex(t testing.TB, source projection.Source) *Index {
	t.Helper()
	x := New(source, Options{Path: filepath.Join(t.TempDir(), "sub", "ledger.index")})
	t.Cleanup(func() { _ = x.Close() })
	return x
}

// naive answers from all entries.
type naive []ledger.Record

func (n naive) requests() []projection.Request {
	var list []projection.Request
	at := map[string]int{}
	for _, r := range n {
		if i, ok := at[projection.HandleOf(r.Entry)]; ok {
			list[i].Turn(r.Entry)
		} else if begun, ok := projection.Begin(r); ok {
			at[projection.HandleOf(r.Entry)] = len(list)
			list = append(list, begun)
		}
	}
	return list
}

func (n naive) Requests(f projection.RequestFilter, from uint64, limit int) (found []projection.Request) {
	for _, r := range n.requests() {
		if r.Index >= from && f.Matches(r) && len(found) < limit {
			found = append(found, r)
		}
	}
	return found
}

func (n naive) Entries(f projection.EntryFilter, from uint64, limit int) (found []ledger.Record) {
	for _, r := range n {
		if r.Index >= from && f.Matches(r.Entry) && len(found) < limit {
			found = append(found, r)
		}
	}
	return found
}

func (n naive) Statistics(p projection.Period, now time.Time) projection.Statistics {
	var s projection.Statistics
	var took, completed int64
	for _, r := range n.requests() {
		if !p.Contains(r.ReceivedAt) {
			continue
		}
		of := map[string]*int64{projection.Pending: &s.Pending, projection.Completed: &s.Completed, projection.Cancelled: &s.Cancelled, projection.Failed: &s.Failed}
		if r.Run != nil {
			s.Runs.Total++
			of = map[string]*int64{projection.Pending: &s.Runs.Pending, projection.Completed: &s.Runs.Completed, projection.Cancelled: &s.Runs.Cancelled, projection.Failed: &s.Runs.Failed}
		} else {
			s.Total++
		}
		*of[r.Status]++
		if r.Status == projection.Pending && !r.DueAt.IsZero() && r.DueAt.Before(now) {
			s.Overdue++
		}
		if r.Status == projection.Completed && r.Run == nil {
			completed++
			took += r.FinishedAt.Sub(r.ReceivedAt).Milliseconds()
		}
	}
	if completed > 0 {
		s.MeanTimeToCompletion = time.Duration(took/completed) * time.Millisecond
	}
	days := map[time.Time]*projection.Day{}
	day := func(t time.Time) *projection.Day {
		date := t.UTC().Truncate(24 * time.Hour)
		if !p.Contains(t) {
			return &projection.Day{}
		}
		if days[date] == nil {
			days[date] = &projection.Day{Date: date}
		}
		return days[date]
	}
	alive := map[string]*projection.Request{}
	for _, r := range n {
		request, d := alive[projection.HandleOf(r.Entry)], day(r.Entry.Time)
		if request == nil {
			if begun, ok := projection.Begin(r); ok {
				alive[projection.HandleOf(r.Entry)] = &begun
				*map[bool]*int64{false: &d.Received, true: &d.Runs.Announced}[begun.Run != nil]++
			}
			continue
		}
		if !request.Turn(r.Entry) {
			continue
		}
		if request.Run != nil {
			*map[string]*int64{projection.Completed: &d.Runs.Completed, projection.Cancelled: &d.Runs.Cancelled, projection.Failed: &d.Runs.Failed}[request.Status]++
		} else {
			*map[string]*int64{projection.Completed: &d.Completed, projection.Cancelled: &d.Cancelled, projection.Failed: &d.Failed}[request.Status]++
		}
	}
	for date, d := range days {
		if *d == (projection.Day{Date: date}) {
			delete(days, date) // nothing happened on it
		}
	}
	for _, d := range days {
		s.Days = append(s.Days, *d)
	}
	slices.SortFunc(s.Days, func(a, b projection.Day) int { return a.Date.Compare(b.Date) })
	return s
}

func all(t rapid.TB, log ledger.Log, origin string) naive {
	var list naive
	for {
		page, err := log.Entries(ctx, origin, uint64(len(list)), 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return list
		}
		list = append(list, page...)
	}
}

var (
	kindWords   = []string{ledger.KindErasureReceived, ledger.KindErasureConfirmed, ledger.KindErasureCancelled, ledger.KindErasureCompleted, ledger.KindErasureFailed, ledger.KindErasureRetried, ledger.KindErasureAbandoned, ledger.KindErasureOutcome, ledger.KindErasureExtended, ledger.KindRunCompleted, ledger.KindCertificateIssued, ledger.KindHoldPlaced, ledger.KindGovernanceChanged}
	reasonWords = []string{"", "Subject", "Admin", "Retention", "Erased", "StoreUnavailable"}
	// Entries of runs have no handle: those of rules, and of requests.
	runKinds    = []string{ledger.KindRetentionAnnounced, ledger.KindRetentionAnnounced, ledger.KindRetentionPostponed, ledger.KindRetentionConfirmed, ledger.KindRetentionRefused, ledger.KindRunStarted, ledger.KindRetentionIntent, ledger.KindRetentionOutcome, ledger.KindRunCompleted, ledger.KindRunFailed, ledger.KindRunCancelled, ledger.KindRunRetried}
	runWords    = []string{"u.a.1", "u.a.2", "u.b.1", "by-hand"}
	actorWords  = []string{"", "alice", "bob", "p1.k.someone"}
	handleWords = []string{"", "h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8"}
	categories  = []string{"", "notes", "contact", "consent"}
)

// moments are on a few days, so that some fall onto the same one, onto its border, or before what was recorded earlier.
func moment(t *rapid.T, name string) time.Time {
	at := start.Truncate(24*time.Hour).AddDate(0, 0, rapid.IntRange(-2, 4).Draw(t, name+" day"))
	return at.Add(rapid.SampledFrom([]time.Duration{0, 1, time.Hour, 12*time.Hour + 7, 24*time.Hour - 1}).Draw(t, name+" time"))
}

func randomEntry(t *rapid.T, key string) ledger.Entry {
	pick := func(name string, words []string) string { return rapid.SampledFrom(words).Draw(t, name) }
	e := ledger.Entry{Key: key, Time: moment(t, "at"), Kind: pick("kind", kindWords), Handle: pick("handle", handleWords), Reason: pick("reason", reasonWords), Actor: pick("actor", actorWords)}
	if rapid.IntRange(0, 2).Draw(t, "of a run") == 0 {
		e.Kind, e.Handle, e.Run = pick("kind of the run", runKinds), "", pick("run", runWords)
	}
	switch e.Kind {
	case ledger.KindRetentionAnnounced, ledger.KindRetentionPostponed:
		e.Attributes = map[string]string{"policy": "age", "rule": "documents", ledger.AttributeScheduledAt: moment(t, "scheduled").Format(time.RFC3339)}
	case ledger.KindErasureReceived:
		e.Attributes = map[string]string{ledger.AttributeDueAt: moment(t, "due").Format(time.RFC3339)}
	case ledger.KindErasureConfirmed:
		e.Attributes = map[string]string{ledger.AttributeScheduledAt: moment(t, "scheduled").Format(time.RFC3339)}
	case ledger.KindErasureExtended:
		e.Attributes = map[string]string{ledger.AttributeDueAt: pick("extended", []string{"", "nonsense", "2026-03-02T00:00:00Z"})}
	case ledger.KindErasureCompleted, ledger.KindRunCompleted:
		for range rapid.IntRange(0, 3).Draw(t, "counts") {
			e.Counts = append(e.Counts, ledger.Count{Category: pick("category", categories), Action: "Delete", Count: rapid.Int64Range(0, 9).Draw(t, "count")})
		}
	}
	return e
}

func randomPeriod(t *rapid.T) (p projection.Period) {
	if rapid.Bool().Draw(t, "has from") {
		p.From = moment(t, "from")
	}
	if rapid.Bool().Draw(t, "has to") {
		p.To = moment(t, "to")
	}
	return p
}

func words(t *rapid.T, name string, from []string, more ...string) []string {
	if rapid.IntRange(0, 2).Draw(t, name+" asked") > 0 {
		return nil
	}
	return rapid.SliceOfN(rapid.SampledFrom(slices.DeleteFunc(append(slices.Clone(from), more...), func(s string) bool { return s == "" })), 1, 3).Draw(t, name)
}

// compare asks the index and the naive one the same.
func compare(t *rapid.T, x *Index, want naive, origin string) {
	g := NewWithT(t)
	p := randomPeriod(t)
	from, limit := rapid.Uint64Range(0, uint64(len(want)+1)).Draw(t, "index"), rapid.IntRange(1, 30).Draw(t, "limit")
	ef := projection.EntryFilter{Period: p, Kinds: words(t, "kinds", kindWords, "erasure.", "hold.", "retention.", "unknown"), Reasons: words(t, "reasons", reasonWords, "unknown"),
		Actors: words(t, "actors", actorWords), Handles: words(t, "handles", handleWords, append(runWords, "unknown")...)}
	entries, err := x.Entries(ctx, origin, ef, from, limit)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entries).To(HaveLen(len(want.Entries(ef, from, limit))))
	g.Expect(append([]ledger.Record(nil), entries...)).To(Equal(want.Entries(ef, from, limit)))
	rf := projection.RequestFilter{Period: p, Statuses: words(t, "statuses", projection.Statuses(), "Unknown"), Sources: words(t, "sources", reasonWords), Reasons: words(t, "their reasons", reasonWords),
		Actors: words(t, "requesters", actorWords), Categories: words(t, "categories", categories, "unknown"), Handles: words(t, "their handles", handleWords, runWords...)}
	requests, err := x.Requests(ctx, origin, rf, from, limit)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(requests).To(Equal(want.Requests(rf, from, limit)))
	now := moment(t, "now")
	s, err := x.Statistics(ctx, origin, p, now)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s).To(Equal(want.Statistics(p, now)))
}

// Whatever requests live through, in whatever order of times and with whatever is asked: the answer is the one that all entries
// give, over both stores, also of an index that was lost, damaged, or opened anew in between.
func TestAnswersAreThoseOfAllEntries(t *testing.T) {
	for name, open := range stores {
		t.Run(name, func(t *testing.T) {
			log := open(t)
			folder := t.TempDir()
			cases := 0
			rapid.Check(t, func(t *rapid.T) {
				cases++
				origins := []string{fmt.Sprintf("hr-%d", cases), fmt.Sprintf("it-%d", cases)}
				path := filepath.Join(folder, fmt.Sprint(cases))
				x := New(log, Options{Path: path})
				defer func() { _ = x.Close() }()
				key := 0
				for range rapid.IntRange(1, 4).Draw(t, "rounds") {
					for _, origin := range origins {
						var entries []ledger.Entry
						for range rapid.IntRange(0, 40).Draw(t, "entries") {
							key++
							entries = append(entries, randomEntry(t, fmt.Sprint(key)))
						}
						if len(entries) > 0 {
							if _, err := log.Append(ctx, origin, entries...); err != nil {
								t.Fatal(err)
							}
						}
					}
					switch rapid.IntRange(0, 5).Draw(t, "accident") {
					case 0:
						_ = x.Close()
						x = New(log, Options{Path: path})
					case 1:
						_ = x.Close()
						_ = os.Remove(path)
						x = New(log, Options{Path: path})
					case 2:
						_ = x.Close()
						_ = os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o600)
						x = New(log, Options{Path: path})
					}
					for _, origin := range origins {
						compare(t, x, all(t, log, origin), origin)
					}
				}
			})
		})
	}
}
