// Command export measures how fast exports are written, and how much memory that takes: a million entries of the access log
// from a real ledger (SQLite), a million entries of 100,000 requests, and the greatest PDF.
//
// It prints one line per figure: BENCH name value. Heaps are the greatest that were seen while a file was written, above what
// was there before, in MiB.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
	projectionsqlite "github.com/lethe-dev/lethe/internal/projection/sqlite"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"

	"github.com/lethe-dev/lethe/internal/ledger/treelog"
)

const namespace = "bench"

// bound of the heap that a stream may need, in MiB; what is above is said on standard error.
const bound = 64.0

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func main() {
	entries := flag.Int("entries", 1_000_000, "entries of each ledger")
	flag.Parse()
	if err := run(context.Background(), *entries); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, entries int) (err error) {
	folder, err := os.MkdirTemp("", "lethe-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	signer, err := ledger.NewSigner("lethe.dev/bench", make([]byte, 32))
	if err != nil {
		return err
	}
	vault, err := vaultsqlite.Open(ctx, filepath.Join(folder, "ledger.db"), treelog.Options{LogName: signer.Name(), Signer: signer})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vault.Close()) }()
	if err := fill(ctx, vault.Ledger, entries); err != nil {
		return err
	}
	access := projectionsqlite.New(vault.Ledger, projectionsqlite.Options{Path: filepath.Join(folder, "index")})
	defer func() { err = errors.Join(err, access.Close()) }()
	for _, format := range []v1alpha1.ExportFormat{v1alpha1.FormatCSV, v1alpha1.FormatJSON} {
		if err := measure(ctx, "access", folder, access, v1alpha1.LogAccess, format, uint64(entries)); err != nil {
			return err
		}
	}
	requests := index(entries / perRequest)
	for _, format := range []v1alpha1.ExportFormat{v1alpha1.FormatCSV, v1alpha1.FormatJSON} {
		if err := measure(ctx, "deletions", folder, requests, v1alpha1.LogDeletions, format, requests.size()); err != nil {
			return err
		}
	}
	most := index(export.MaxPDFRecords)
	return measure(ctx, "deletions_5000", folder, most, v1alpha1.LogDeletions, v1alpha1.FormatPDF, most.size())
}

// fill appends entries of the access log in groups.
func fill(ctx context.Context, log ledger.Log, entries int) error {
	const together = 1000
	for i := 0; i < entries; i += together {
		group := make([]ledger.Entry, 0, together)
		for n := i; n < min(i+together, entries); n++ {
			group = append(group, ledger.Entry{Key: fmt.Sprint("access/", n), Time: begin.Add(time.Duration(n) * time.Second), Kind: ledger.KindAccessDecided, Reason: ledger.ReasonGranted,
				Actor: "system:serviceaccount:recruiting:officer", Attributes: map[string]string{"permission": "approve", "resource": "erasurerequests",
					"uid": "0b8e6a52-5b0e-4b39-9f0e-6d6b8d3f2a11", "operation": "UPDATE", "groups": "privacy,staff"}})
		}
		if _, err := log.Append(ctx, namespace, group...); err != nil {
			return err
		}
	}
	return nil
}

// measure writes one file.
func measure(ctx context.Context, name, folder string, reader projection.Reader, log v1alpha1.ExportLog, format v1alpha1.ExportFormat, size uint64) error {
	storage, err := export.OpenStorage(filepath.Join(folder, "exports"), 0)
	if err != nil {
		return err
	}
	defer func() { _ = storage.Close() }()
	file, err := storage.Create(namespace, name, "file")
	if err != nil {
		return err
	}
	defer file.Discard()
	head := &export.Head{Query: export.Query{Log: log, Format: format}, Namespace: namespace, Name: name, UID: name, Ledger: "lethe.dev/bench/bench",
		Checkpoint: ledger.Checkpoint{Size: size, Root: make([]byte, 32)}, MadeAt: begin}
	runtime.GC()
	peak := watchHeap()
	start := time.Now()
	records, err := export.Write(ctx, reader, head, file, func(uint64) error { return nil })
	if err == nil {
		err = file.Commit()
	}
	took := time.Since(start)
	heap := peak()
	if err != nil {
		return fmt.Errorf("%s as %s: %w", name, format, err)
	}
	if err := storage.Remove(namespace, name); err != nil {
		return err
	}
	prefix := fmt.Sprintf("export_%s_%s", name, format)
	fmt.Printf("BENCH %s_records %d\n", prefix, records)
	fmt.Printf("BENCH %s_entries_per_second %.0f\n", prefix, float64(size)/took.Seconds())
	fmt.Printf("BENCH %s_seconds %.2f\n", prefix, took.Seconds())
	fmt.Printf("BENCH %s_file_mib %.1f\n", prefix, float64(file.Size())/(1<<20))
	fmt.Printf("BENCH %s_peak_heap_mib %.1f\n", prefix, heap)
	if format != v1alpha1.FormatPDF && heap > bound {
		fmt.Fprintf(os.Stderr, "%s needs more than %.0f MiB\n", prefix, bound)
	}
	return nil
}

// watchHeap samples the heap until the function that it returns is called.
func watchHeap() func() float64 {
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, done := make(chan struct{}), make(chan float64)
	go func() {
		most := uint64(0)
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most = max(most, now.HeapInuse)
			select {
			case <-stop:
				done <- float64(most-min(most, before.HeapInuse)) / (1 << 20)
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() float64 { close(stop); return <-done }
}

// perRequest entries has each request.
const perRequest = 10

// index is a projection of a ledger that is made up as it is asked for: so many requests, each with its entries in a row.
type index int

func (n index) size() uint64 { return uint64(n) * perRequest }

func handle(i int) string { return fmt.Sprintf("k3v9x2m4q7-%08d", i) }

func (n index) entry(i, at int) ledger.Record {
	day := begin.Add(time.Duration(i) * time.Minute)
	e := ledger.Entry{Key: fmt.Sprint(handle(i), "/", at), Time: day.Add(time.Duration(at) * time.Hour), Handle: handle(i)}
	switch at {
	case 0:
		e.Kind, e.Reason, e.Actor = ledger.KindErasureReceived, "Subject", "system:serviceaccount:recruiting:portal"
	case 1:
		e.Kind, e.Reason, e.Attributes = ledger.KindErasureConfirmed, "AfterGracePeriod", map[string]string{"scheduledAt": day.AddDate(0, 0, 60).Format(time.RFC3339), "approved": "verified", "gracePeriod": "P60D"}
	case perRequest - 1:
		e.Kind, e.Counts = ledger.KindErasureCompleted, []ledger.Count{{Category: "contact", Action: "Delete", Count: 3}, {Category: "documents", Action: "DeleteFile", Count: 2},
			{Category: "invoices", Action: "Retain", Basis: "AO section 147", Count: 1}}
	default:
		e.Kind, e.Step, e.Attributes = ledger.KindErasureOutcome, fmt.Sprint("records/", at), map[string]string{"records": "29"}
	}
	return ledger.Record{Index: uint64(i*perRequest + at), Entry: e}
}

// Entries of the handles.
func (n index) Entries(_ context.Context, _ string, f projection.EntryFilter, from uint64, limit int) ([]ledger.Record, error) {
	var out []ledger.Record
	for _, h := range f.Handles {
		var i int
		if _, err := fmt.Sscanf(h, "k3v9x2m4q7-%d", &i); err != nil {
			return nil, err
		}
		for at := range perRequest {
			if r := n.entry(i, at); r.Index >= from && len(out) < limit {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

// Requests from an index on.
func (n index) Requests(_ context.Context, _ string, _ projection.RequestFilter, from uint64, limit int) ([]projection.Request, error) {
	var out []projection.Request
	for i := (int(from) + perRequest - 1) / perRequest; i < int(n) && len(out) < limit; i++ {
		out = append(out, projection.Request{Index: uint64(i * perRequest), Handle: handle(i)})
	}
	return out, nil
}

// Statistics are not asked for.
func (index) Statistics(context.Context, string, projection.Period, time.Time) (projection.Statistics, error) {
	return projection.Statistics{}, io.ErrUnexpectedEOF
}
