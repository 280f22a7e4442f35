package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
	projectionsqlite "github.com/lethe-dev/lethe/internal/projection/sqlite"
)

// steps are the entries of a request's life.
var steps = []string{ledger.KindErasureReceived, ledger.KindErasureApproved, ledger.KindErasureConfirmed, ledger.KindErasureDeactivated, ledger.KindErasureProcessing,
	ledger.KindErasurePlanned, ledger.KindErasureIntent, ledger.KindErasureOutcome, ledger.KindErasureCompleted, ledger.KindCertificateIssued}

var start = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// perDay is how many entries of the large ledger fall onto one day: a million are three years.
const perDay = 1000

// handle is of the form that ledger.NewHandle makes, the same each time.
func handle(at time.Time, number int) string {
	ms := at.UnixMilli()
	return fmt.Sprintf("%08x-%04x-7000-8000-%012x", ms>>16, ms&0xffff, number)
}

// one is the entry at a place of the large ledger: lives of requests, one in ten of which fails.
func one(i int) ledger.Entry {
	request, step := i/len(steps), i%len(steps)
	at := start.Add(time.Duration(i) * (24 * time.Hour / perDay))
	h := handle(at.Add(-time.Duration(step)*(24*time.Hour/perDay)), request)
	e := ledger.Entry{Key: h + "/" + steps[step], Time: at, Kind: steps[step], Handle: h, Run: "0b8e6a52-5b0e-4b39-9f0e-6d6b8d3f2a11"}
	switch e.Kind {
	case ledger.KindErasureReceived:
		e.Reason, e.Actor = []string{"Subject", "Admin", "ConsentWithdrawn", "Retention"}[request%4], fmt.Sprintf("user-%d", request%100)
		e.Attributes = map[string]string{ledger.AttributeDueAt: at.AddDate(0, 1, 0).Format(time.RFC3339)}
	case ledger.KindErasureCompleted:
		e.Counts = []ledger.Count{{Category: "notes", Action: "Delete", Count: 12}, {Category: "contact", Action: "Anonymize", Count: 1}}
		if request%10 == 0 {
			e.Kind, e.Reason, e.Counts = ledger.KindErasureFailed, "StoreUnavailable", nil
		}
	}
	return e
}

// large measures what is asked of a large ledger.
func large(ctx context.Context, s store, entries int, index string) (err error) {
	log, size, closed, err := s.open(ctx, "large")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed()) }()
	begin := time.Now()
	for from := 0; from < entries; {
		page := make([]ledger.Entry, min(1000, entries-from))
		for i := range page {
			page[i] = one(from + i)
		}
		if _, err := log.Append(ctx, "hr", page...); err != nil {
			return err
		}
		from += len(page)
	}
	fmt.Fprintf(os.Stderr, "%d entries in %s\n", entries, time.Since(begin))
	bytes, err := size()
	if err != nil {
		return err
	}
	name := "ledger_" + s.name()
	fmt.Printf("BENCH %s_entries %d\nBENCH %s_bytes_per_entry %d\n", name, entries, name, bytes/int64(entries))
	if err := proofs(ctx, log, name, uint64(entries)); err != nil {
		return err
	}
	return questions(ctx, log, name, index, entries)
}

func proofs(ctx context.Context, log ledger.Log, name string, size uint64) error {
	c, err := log.Checkpoint(ctx, "hr")
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // places to look at
	inclusion, err := median(200, func() error {
		index := r.Uint64N(size)
		hashes, err := log.InclusionProof(ctx, "hr", index, size)
		if err != nil {
			return err
		}
		page, err := log.Entries(ctx, "hr", index, 1)
		if err != nil {
			return err
		}
		return ledger.VerifyInclusion(c.Checkpoint, index, page[0].Leaf, hashes)
	})
	if err != nil {
		return err
	}
	consistency, err := median(200, func() error {
		_, err := log.ConsistencyProof(ctx, "hr", 1+r.Uint64N(size-1), size)
		return err
	})
	fmt.Printf("BENCH %s_inclusion_ms %.3f\nBENCH %s_consistency_ms %.3f\n", name, inclusion, name, consistency)
	return err
}

// median is that of n times, in milliseconds.
func median(n int, f func() error) (float64, error) {
	times := make([]time.Duration, n)
	for i := range times {
		begin := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		times[i] = time.Since(begin)
	}
	slices.Sort(times)
	return float64(times[n/2].Microseconds()) / 1000, nil
}

// questions measures the index: how it takes in everything, and how it answers.
func questions(ctx context.Context, log ledger.Log, name, path string, entries int) (err error) {
	peak, stop := watchMemory()
	x := projectionsqlite.New(log, projectionsqlite.Options{Path: path})
	defer func() { err = errors.Join(err, x.Close()) }()
	before := resident()
	begin := time.Now()
	s, err := x.Statistics(ctx, "hr", projection.Period{}, start)
	if err != nil {
		return err
	}
	built := time.Since(begin)
	stop()
	if want := int64((entries + len(steps) - 1) / len(steps)); s.Total != want {
		return fmt.Errorf("%d requests, there are %d", s.Total, want)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	fmt.Printf("BENCH %s_index_build_s %.1f\nBENCH %s_index_bytes_per_entry %d\nBENCH %s_index_memory_mib %d\n",
		name, built.Seconds(), name, info.Size()/int64(entries), name, max(0, peak.Load()-before)>>20)
	end := start.Add(time.Duration(entries) * (24 * time.Hour / perDay))
	month := projection.Period{From: end.AddDate(0, -2, 0), To: end.AddDate(0, -1, 0)}
	i := entries
	for _, q := range []struct {
		what string
		ask  func() error
	}{
		{"statistics_all", func() error { _, err := x.Statistics(ctx, "hr", projection.Period{}, end); return err }},
		{"statistics_month", func() error { _, err := x.Statistics(ctx, "hr", month, end); return err }},
		{"append_then_statistics_month", func() error {
			if _, err := log.Append(ctx, "hr", one(i)); err != nil {
				return err
			}
			i++
			_, err := x.Statistics(ctx, "hr", month, end)
			return err
		}},
		{"page_by_kind", entriesOf(ctx, x, projection.EntryFilter{Kinds: []string{ledger.KindErasureFailed}})},
		{"page_by_actor_and_month", entriesOf(ctx, x, projection.EntryFilter{Period: month, Actors: []string{"user-7"}})},
		{"page_of_failed_requests", func() error {
			_, err := x.Requests(ctx, "hr", projection.RequestFilter{Statuses: []string{projection.Failed}}, 0, 100)
			return err
		}},
		{"page_of_requests_by_source_actor_month", func() error {
			_, err := x.Requests(ctx, "hr", projection.RequestFilter{Period: month, Sources: []string{"Subject"}, Actors: []string{"user-8"}}, 0, 100)
			return err
		}},
	} {
		ms, err := median(50, q.ask)
		if err != nil {
			return fmt.Errorf("%s: %w", q.what, err)
		}
		fmt.Printf("BENCH %s_%s_ms %.3f\n", name, q.what, ms)
	}
	return nil
}

func entriesOf(ctx context.Context, x projection.Reader, f projection.EntryFilter) func() error {
	return func() error {
		page, err := x.Entries(ctx, "hr", f, 0, 100)
		if err == nil && len(page) == 0 {
			err = errors.New("nothing was found")
		}
		return err
	}
}

// watchMemory notes the most memory that this process has until it is stopped.
func watchMemory() (peak *atomic.Int64, stop func()) {
	peak, done := &atomic.Int64{}, make(chan struct{})
	go func() {
		for {
			peak.Store(max(peak.Load(), resident()))
			select {
			case <-done:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return peak, func() { close(done) }
}

// resident is how much memory this process has, SQLite's included.
func resident() int64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmRSS:"); ok {
			var kb int64
			if _, err := fmt.Sscan(text, &kb); err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
