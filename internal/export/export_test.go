package export

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

var begin = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// memory is a ledger of one namespace, as far as a scan needs it.
type memory struct {
	ledger.Log
	records []ledger.Record
}

func (m *memory) Entries(_ context.Context, _ string, from uint64, limit int) ([]ledger.Record, error) {
	if from >= uint64(len(m.records)) {
		return nil, nil
	}
	return m.records[from:min(int(from)+limit, len(m.records))], nil
}

func (m *memory) append(entries ...ledger.Entry) {
	for _, e := range entries {
		e.Key = fmt.Sprint(len(m.records))
		m.records = append(m.records, ledger.Record{Index: uint64(len(m.records)), Entry: e})
	}
}

func (m *memory) head(log v1alpha1.ExportLog, format v1alpha1.ExportFormat, change ...func(*Head)) *Head {
	h := &Head{Query: Query{Log: log, Format: format}, Namespace: "hr", Name: "quarter", UID: "0b8e6a52", Ledger: "lethe.dev/cluster/hr",
		Checkpoint: ledger.Checkpoint{Size: uint64(len(m.records)), Root: make([]byte, 32)}, MadeAt: begin.AddDate(0, 3, 0), RequestedBy: "dora"}
	for _, f := range change {
		f(h)
	}
	return h
}

func (m *memory) write(t *testing.T, h *Head) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := Write(context.Background(), Scan{m}, h, &out, func(uint64) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// requests of all statuses: 0 Completed, 1 Pending, 2 Cancelled, 3 Failed.
func requests(n int) *memory {
	m := &memory{}
	for i := range n {
		handle, day := fmt.Sprintf("h%05d", i), begin.AddDate(0, 0, i%90)
		source := []string{"Subject", "Admin", "Retention"}[i%3]
		m.append(ledger.Entry{Time: day, Kind: ledger.KindErasureReceived, Handle: handle, Reason: source, Actor: "alice"},
			ledger.Entry{Time: day.Add(time.Minute), Kind: ledger.KindErasureConfirmed, Handle: handle, Attributes: map[string]string{"scheduledAt": day.AddDate(0, 0, 60).Format(time.RFC3339)}})
		switch i % 4 {
		case 0:
			m.append(ledger.Entry{Time: day.AddDate(0, 0, 60), Kind: ledger.KindErasureCompleted, Handle: handle, Counts: []ledger.Count{
				{Category: "contact", Action: "Delete", Count: 3}, {Category: "Bewerbungsunterlagen – Größe", Action: "Retain", Basis: "§ 147 AO", Count: 1}}},
				ledger.Entry{Time: day.AddDate(0, 0, 60), Kind: ledger.KindCertificateIssued, Handle: handle, Reason: "Retained", Attributes: map[string]string{"digest": "sha256:abc", "number": "1"}})
		case 2:
			m.append(ledger.Entry{Time: day.Add(time.Hour), Kind: ledger.KindErasureCancelled, Handle: handle, Reason: "Cancelled", Actor: "bea"})
		case 3:
			m.append(ledger.Entry{Time: day.AddDate(0, 0, 60), Kind: ledger.KindErasureFailed, Handle: handle, Reason: "StoreRefused"})
		}
	}
	return m
}

const runUID = "0d3c6f0e-2f5d-4c0c-9a55-6f3f2f4d8a11.documents.1772539200"

// sweeps are four runs of rules, with a request that one of them made: Completed, Pending, Cancelled, Failed.
func (m *memory) sweeps() *memory {
	entry := func(run string, after time.Duration, kind, reason, actor string, attributes ...string) ledger.Entry {
		e := ledger.Entry{Time: begin.Add(after), Kind: kind, Run: run, Reason: reason, Actor: actor, Attributes: map[string]string{"policy": "after-process-end", "rule": "documents"}}
		for i := 0; i < len(attributes); i += 2 {
			e.Attributes[attributes[i]] = attributes[i+1]
		}
		return e
	}
	announce := func(run string) ledger.Entry {
		e := entry(run, time.Hour, ledger.KindRetentionAnnounced, "", "", "scheduledAt", "2026-02-04T09:00:00Z", "until", "2026-02-04T09:00:00Z")
		e.Counts = []ledger.Count{{Entity: "hiring/documents", Category: "documents", Action: "Delete", Count: 12}, {Entity: "hiring/vacancies", Category: "contact", Action: "Unlink", Count: 2}}
		return e
	}
	day := 24 * time.Hour
	done := entry(runUID, 40*day+time.Hour, ledger.KindRunCompleted, "", "")
	done.Counts = []ledger.Count{{Entity: "hiring/documents", Category: "documents", Action: "Delete", Count: 11}, {Entity: "hiring/documents", Category: "documents", Action: "File", Count: 11}, {Entity: "hiring/notes", Category: "notes", Action: "Anonymize", Count: 3}}
	m.append(announce(runUID), entry(runUID, 2*day, ledger.KindRetentionPostponed, "", "bea", "scheduledAt", "2026-02-20T09:00:00Z"), entry(runUID, 40*day, ledger.KindRetentionConfirmed, "", "carla", "records", "12"),
		entry(runUID, 40*day+time.Minute, ledger.KindRunStarted, "", "", "records", "11"))
	for range 600 {
		m.append(entry(runUID, 40*day+2*time.Minute, ledger.KindRetentionIntent, "", ""), entry(runUID, 40*day+2*time.Minute, ledger.KindRetentionOutcome, "", ""))
	}
	m.append(entry(runUID, 40*day+time.Hour, ledger.KindRetentionVerified, "", ""), done,
		ledger.Entry{Time: begin.AddDate(0, 0, 1), Kind: ledger.KindErasureReceived, Handle: "h-of-run", Reason: "Retention"},
		announce("u.documents.2"),
		announce("u.documents.3"), entry("u.documents.3", 2*day, ledger.KindRunCancelled, "RuleGone", "dora"),
		announce("u.documents.4"), entry("u.documents.4", 40*day, ledger.KindRunStarted, "", ""), entry("u.documents.4", 41*day, ledger.KindRunFailed, "StoreRefused", ""),
		ledger.Entry{Time: begin, Kind: ledger.KindRunStarted, Run: "by-hand", Actor: "alice"})
	return m
}

func TestRunsOfRulesAreInTheLogOfDeletions(t *testing.T) {
	m := requests(1).sweeps()
	found := rows(t, m.write(t, m.head(v1alpha1.LogDeletions, v1alpha1.FormatCSV)))
	if got := column1(found, "status"); !slices.Equal(got, []string{"Completed", "Completed", "Pending", "Pending", "Cancelled", "Failed"}) {
		t.Fatalf("statuses: %v", got)
	}
	for name, want := range map[string]string{"request": runUID, "source": "Retention", "reason": "Swept", "requestedBy": "", "received": "2026-01-05T10:00:00Z",
		"scheduledDeletion": "2026-02-20T09:00:00Z", "due": "", "begun": "2026-02-14T09:01:00Z", "finished": "2026-02-14T10:00:00Z", "announced": "12", "deleted": "11", "anonymized": "3",
		"policy": "after-process-end", "rule": "documents", "confirmedBy": "carla", "postponedBy": "bea", "certificate": ""} {
		if found[1][name] != want {
			t.Errorf("%s is %q, want %q", name, found[1][name], want)
		}
	}
	if found[0]["rule"] != "" || found[0]["announced"] != "" || found[2]["request"] != "h-of-run" || found[2]["rule"] != "" {
		t.Errorf("requests have a rule: %v", found)
	}
	if got := column1(found, "reason"); !slices.Equal(got[3:], []string{"Announced", "RuleGone", "StoreRefused"}) {
		t.Errorf("reasons: %v", got)
	}
	for name, tc := range map[string]struct {
		filters v1alpha1.ExportFilters
		want    int
	}{
		"source":   {v1alpha1.ExportFilters{Sources: []v1alpha1.Source{v1alpha1.SourceRetention}}, 5},
		"reason":   {v1alpha1.ExportFilters{Reasons: []string{"Swept"}}, 1},
		"category": {v1alpha1.ExportFilters{Categories: []string{"documents"}}, 1},
		"status":   {v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusCancelled}}, 1},
	} {
		if got := rows(t, m.write(t, m.head(v1alpha1.LogDeletions, v1alpha1.FormatCSV, func(h *Head) { h.Filters = tc.filters }))); len(got) != tc.want {
			t.Errorf("%s: %v, want %d", name, column1(got, "request"), tc.want)
		}
	}
	var d struct {
		Records []struct {
			Rule, Policy            string
			Begun                   *time.Time
			History                 []struct{ Kind, Actor string }
			HistoryCut              bool
			AnnouncedCounts, Counts []ledger.Count
		}
	}
	if err := json.Unmarshal(m.write(t, m.head(v1alpha1.LogDeletions, v1alpha1.FormatJSON)), &d); err != nil {
		t.Fatal(err)
	}
	run := d.Records[1]
	if run.Rule != "documents" || run.Begun == nil || len(run.AnnouncedCounts) != 2 || len(run.Counts) != 3 || run.HistoryCut {
		t.Errorf("run: %+v", run)
	}
	var kinds []string
	for _, e := range run.History {
		kinds = append(kinds, e.Kind)
	}
	if want := []string{"retention.announced", "retention.postponed", "retention.confirmed", "run.started", "retention.verified", "run.completed"}; !slices.Equal(kinds, want) {
		t.Errorf("history: %v, want %v", kinds, want)
	}
}

func rows(t *testing.T, file []byte) []map[string]string {
	t.Helper()
	lines, err := csv.NewReader(bytes.NewReader(file)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		out = append(out, row)
	}
	return out
}

func column1(rows []map[string]string, name string) []string {
	var out []string
	for _, r := range rows {
		out = append(out, r[name])
	}
	return out
}

// The access log has what the operator's doors decided and what the API server's audit log told of.
func TestAccessHasWhatTheAPIServerSaw(t *testing.T) {
	m := &memory{}
	m.append(ledger.Entry{Time: begin, Kind: ledger.KindAccessDecided, Reason: ledger.ReasonGranted, Actor: "dora", Attributes: map[string]string{"permission": "approve"}},
		ledger.Entry{Time: begin, Kind: ledger.KindAccessObserved, Reason: ledger.ReasonDenied, Actor: "carla", Attributes: map[string]string{"permission": "list",
			"resource": "erasurerequests", "endpoint": "kubernetes", "code": "403", ledger.AttributeImpersonator: "mallory"}},
		ledger.Entry{Time: begin, Kind: ledger.KindGovernanceChanged, Actor: "nobody"})
	found := rows(t, m.write(t, m.head(v1alpha1.LogAccess, v1alpha1.FormatCSV)))
	if got := column1(found, "user"); !slices.Equal(got, []string{"dora", "carla"}) {
		t.Fatalf("users: %v", got)
	}
	for name, want := range map[string]string{"permission": "list", "status": "Denied", "endpoint": "kubernetes", "code": "403", "impersonatedBy": "mallory"} {
		if found[1][name] != want {
			t.Errorf("%s is %q, want %q", name, found[1][name], want)
		}
	}
}

func TestDeletionsAreOneRecordForEachRequest(t *testing.T) {
	m := requests(4)
	found := rows(t, m.write(t, m.head(v1alpha1.LogDeletions, v1alpha1.FormatCSV)))
	if got := column1(found, "status"); !slices.Equal(got, []string{"Completed", "Pending", "Cancelled", "Failed"}) {
		t.Errorf("statuses: %v", got)
	}
	first := found[0]
	for name, want := range map[string]string{"request": "h00000", "source": "Subject", "reason": "Retained", "requestedBy": "alice", "received": "2026-01-05T09:00:00Z",
		"scheduledDeletion": "2026-03-06T09:00:00Z", "due": "2026-02-05T09:00:00Z", "finished": "2026-03-06T09:00:00Z", "deleted": "3", "retained": "1", "certificate": "sha256:abc"} {
		if first[name] != want {
			t.Errorf("%s is %q, want %q", name, first[name], want)
		}
	}
	if found[1]["finished"] != "" {
		t.Errorf("a pending request is finished: %v", found[1])
	}
}

func TestFiltersChooseByWhatWasSoAtTheCheckpoint(t *testing.T) {
	m := requests(8)
	for name, tc := range map[string]struct {
		filters v1alpha1.ExportFilters
		want    []string
	}{
		"none":           {v1alpha1.ExportFilters{}, []string{"h00000", "h00001", "h00002", "h00003", "h00004", "h00005", "h00006", "h00007"}},
		"Processed":      {v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusProcessed}}, []string{"h00000", "h00004"}},
		"two statuses":   {v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusPending, v1alpha1.StatusFailed}}, []string{"h00001", "h00003", "h00005", "h00007"}},
		"source":         {v1alpha1.ExportFilters{Sources: []v1alpha1.Source{v1alpha1.SourceAdmin}}, []string{"h00001", "h00004", "h00007"}},
		"reason":         {v1alpha1.ExportFilters{Reasons: []string{"StoreRefused"}}, []string{"h00003", "h00007"}},
		"category":       {v1alpha1.ExportFilters{Categories: []string{"contact"}}, []string{"h00000", "h00004"}},
		"actor":          {v1alpha1.ExportFilters{Actors: []string{"nobody"}}, nil},
		"all must agree": {v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusFailed}, Sources: []v1alpha1.Source{v1alpha1.SourceAdmin}}, []string{"h00007"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := m.head(v1alpha1.LogDeletions, v1alpha1.FormatCSV, func(h *Head) { h.Filters = tc.filters })
			if got := column1(rows(t, m.write(t, h)), "request"); !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
	h := m.head(v1alpha1.LogDeletions, v1alpha1.FormatCSV, func(h *Head) { h.Period = projection.Period{From: begin.AddDate(0, 0, 1), To: begin.AddDate(0, 0, 3)} })
	if got := column1(rows(t, m.write(t, h)), "request"); !slices.Equal(got, []string{"h00001", "h00002"}) {
		t.Errorf("the period has its first moment and not its last: %v", got)
	}
}

// Whatever is recorded after the checkpoint changes nothing: the bytes are the same.
func TestTheSameCheckpointMakesTheSameBytes(t *testing.T) {
	for _, format := range []v1alpha1.ExportFormat{v1alpha1.FormatCSV, v1alpha1.FormatJSON, v1alpha1.FormatPDF} {
		for log := range logs {
			t.Run(fmt.Sprint(log, format), func(t *testing.T) {
				m := requests(250).sweeps()
				h := m.head(log, format)
				before := m.write(t, h)
				m.append(ledger.Entry{Time: begin, Kind: ledger.KindErasureCompleted, Handle: "h00001"}, ledger.Entry{Time: begin, Kind: ledger.KindErasureReceived, Handle: "later"},
					ledger.Entry{Time: begin, Kind: ledger.KindAccessDecided, Reason: "Granted"}, ledger.Entry{Time: begin, Kind: ledger.KindHoldPlaced},
					ledger.Entry{Time: begin, Kind: ledger.KindExportStarted}, ledger.Entry{Time: begin, Kind: ledger.KindCertificateIssued, Handle: "h00001"},
					ledger.Entry{Time: begin, Kind: ledger.KindRunCompleted, Run: "u.documents.2"}, ledger.Entry{Time: begin, Kind: ledger.KindRetentionAnnounced, Run: "later"})
				if after := m.write(t, h); !bytes.Equal(before, after) {
					t.Error("the file changed with what was recorded later")
				}
			})
		}
	}
}

func TestJSONIsOneDocumentThatSaysWhatItIs(t *testing.T) {
	m := requests(5)
	file := m.write(t, m.head(v1alpha1.LogDeletions, v1alpha1.FormatJSON, func(h *Head) {
		h.Filters.Statuses = []v1alpha1.ExportStatusWord{v1alpha1.StatusProcessed}
		h.Period.From = begin
	}))
	var d struct {
		Format, Title, Log, Namespace, RequestedBy string
		Period                                     struct{ From, To *time.Time }
		Filters                                    map[string][]string
		Checkpoint                                 struct {
			Ledger, Root string
			Size         uint64
		}
		Records []struct {
			Request, Status string
			Finished        *time.Time
			Deleted         int64
			History         []struct{ Kind string }
			Counts          []ledger.Count
		}
		Summary struct {
			Records  int64
			ByStatus map[string]int64
			Days     []struct {
				Date    string
				Records int64
			}
		}
	}
	if err := json.Unmarshal(file, &d); err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	if len(d.Records) != 2 || d.Records[0].Status != "Completed" || d.Records[0].Deleted != 3 || len(d.Records[0].History) != 4 || len(d.Records[0].Counts) != 2 {
		t.Errorf("records: %+v", d.Records)
	}
	if d.Format != Format || d.Title != "Deletion log" || d.RequestedBy != "dora" || d.Period.From == nil || d.Period.To != nil || d.Checkpoint.Size != uint64(len(m.records)) ||
		!slices.Equal(d.Filters["statuses"], []string{"Processed"}) {
		t.Errorf("head: %+v", d)
	}
	if d.Summary.Records != 2 || d.Summary.ByStatus["Completed"] != 2 || len(d.Summary.Days) != 2 {
		t.Errorf("summary: %+v", d.Summary)
	}
	empty := (&memory{}).write(t, (&memory{}).head(v1alpha1.LogAudit, v1alpha1.FormatJSON))
	if !json.Valid(empty) {
		t.Errorf("an empty log makes no JSON: %s", empty)
	}
}

func TestLogsHaveTheProductsColumns(t *testing.T) {
	m := &memory{}
	m.append(ledger.Entry{Time: begin, Kind: ledger.KindAccessDecided, Reason: ledger.ReasonDenied, Actor: "eve", Attributes: map[string]string{"permission": "approve",
		"resource": "erasurerequests", "groups": "hr,staff", "operation": "UPDATE"}},
		ledger.Entry{Time: begin, Kind: ledger.KindAccessDecided, Reason: ledger.ReasonGranted, Actor: "dora", Attributes: map[string]string{"permission": "get",
			"resource": "complianceexports/download", "endpoint": "/exports/hr/quarter"}},
		ledger.Entry{Time: begin, Kind: ledger.KindGovernanceChanged, Actor: "dora", Attributes: map[string]string{"kind": "RetentionPolicy", "name": "requests", "fields": "spec.requests.gracePeriod", "generation": "2"}},
		ledger.Entry{Time: begin, Kind: ledger.KindExportCompleted, Actor: "dora", Attributes: map[string]string{"export": "u", "log": "Deletions", "format": "PDF", "records": "12", "size": "345"}})
	find := func(log v1alpha1.ExportLog, filters v1alpha1.ExportFilters) []map[string]string {
		return rows(t, m.write(t, m.head(log, v1alpha1.FormatCSV, func(h *Head) { h.Filters = filters })))
	}
	if got := find(v1alpha1.LogAccess, v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusDenied}}); len(got) != 1 ||
		got[0]["permission"] != "approve" || got[0]["status"] != "Denied" || got[0]["resource"] != "erasurerequests" || got[0]["user"] != "eve" || got[0]["endpoint"] != "admission" {
		t.Errorf("access: %v", got)
	}
	if got := find(v1alpha1.LogAccess, v1alpha1.ExportFilters{Permissions: []string{"get"}}); len(got) != 1 || got[0]["endpoint"] != "/exports/hr/quarter" {
		t.Errorf("access by permission: %v", got)
	}
	if got := find(v1alpha1.LogAudit, v1alpha1.ExportFilters{}); len(got) != 1 || got[0]["fields"] != "spec.requests.gracePeriod" || got[0]["user"] != "dora" {
		t.Errorf("audit: %v", got)
	}
	if got := find(v1alpha1.LogExports, v1alpha1.ExportFilters{Logs: []v1alpha1.ExportLog{v1alpha1.LogDeletions}}); len(got) != 1 || got[0]["status"] != "Completed" || got[0]["size"] != "345" {
		t.Errorf("exports: %v", got)
	}
	if got := find(v1alpha1.LogExports, v1alpha1.ExportFilters{Logs: []v1alpha1.ExportLog{v1alpha1.LogAccess}}); len(got) != 0 {
		t.Errorf("exports of another log: %v", got)
	}
}

// No cell begins with what a spreadsheet takes for a formula, and nothing else is changed.
func TestNoCellIsAFormula(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.StringMatching(`[=+\-@\t\r\n＝＋－＠][a-zA-Z0-9(),"'!|=\r\n ]*`),
			rapid.StringMatching("[ \u200b\ufeff\u00a0\"]*[a-c]?([;\\t\\r\\n][ \"\u200b]*[=@a-c-]+)*")).Draw(r, "value")
		m := &memory{}
		m.append(ledger.Entry{Time: begin, Kind: ledger.KindAccessDecided, Reason: ledger.ReasonGranted, Actor: value, Attributes: map[string]string{"permission": value}})
		var out bytes.Buffer
		if _, err := Write(context.Background(), Scan{m}, m.head(v1alpha1.LogAccess, v1alpha1.FormatCSV), &out, func(uint64) error { return nil }); err != nil {
			r.Fatal(err)
		}
		lines, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(lines) != 2 {
			r.Fatalf("%v, %d lines", err, len(lines))
		}
		for i, c := range lines[1] {
			if c != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(c)[0]) {
				r.Fatalf("column %s begins like a formula: %q", lines[0][i], c)
			}
			for _, part := range strings.FieldsFunc(c, func(sign rune) bool { return strings.ContainsRune(";\t\r\n", sign) }) {
				shown := strings.TrimLeftFunc(part, func(sign rune) bool {
					return sign == '"' || unicode.IsSpace(sign) || unicode.In(sign, unicode.Z, unicode.C)
				})
				if shown != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(shown)[0]) {
					r.Fatalf("column %s has a part that begins like a formula: %q", lines[0][i], c)
				}
			}
		}
		got := lines[1][slices.Index(lines[0], "permission")]
		bare := strings.NewReplacer("\r", "", "'", "").Replace // a reader of CSV takes carriage returns before a line's end away
		if bare(got) != bare(value) {
			r.Fatalf("%q became %q", value, got)
		}
	})
}

// A PDF is laid out in memory: what is too great for that ends with the remedy, long before the memory does.
func TestPDFIsBounded(t *testing.T) {
	few, many := &memory{}, &memory{}
	for i := range MaxPDFRecords + 1 {
		many.append(ledger.Entry{Time: begin, Kind: ledger.KindAccessDecided, Reason: ledger.ReasonGranted, Actor: fmt.Sprint(i)})
	}
	for i := range maxPDFLines/maxEvents + 1 {
		for range maxEvents {
			few.append(ledger.Entry{Time: begin, Kind: ledger.KindErasureReceived, Handle: fmt.Sprint(i)})
		}
	}
	for name, tc := range map[string]struct {
		m   *memory
		log v1alpha1.ExportLog
	}{"records": {many, v1alpha1.LogAccess}, "entries": {few, v1alpha1.LogDeletions}} {
		_, err := Write(context.Background(), Scan{tc.m}, tc.m.head(tc.log, v1alpha1.FormatPDF), &bytes.Buffer{}, func(uint64) error { return nil })
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "take CSV or JSON") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatALogDoesNotHaveIsRefused(t *testing.T) {
	day := func(d int) *metav1.Time { return &metav1.Time{Time: begin.AddDate(0, 0, d)} }
	for want, spec := range map[string]v1alpha1.ComplianceExportSpec{
		"":                          {Log: v1alpha1.LogDeletions, Period: v1alpha1.ExportPeriod{From: day(0), To: day(1)}},
		"period is reversed":        {Log: v1alpha1.LogDeletions, Period: v1alpha1.ExportPeriod{From: day(1), To: day(0)}},
		"period is reversed or emp": {Log: v1alpha1.LogDeletions, Period: v1alpha1.ExportPeriod{From: day(1), To: day(1)}},
		"spec.log must be":          {Log: "Everything"},
		"spec.format must be":       {Log: v1alpha1.LogAudit, Format: "XLS"},
		"sources is not for":        {Log: v1alpha1.LogAudit, Filters: v1alpha1.ExportFilters{Sources: []v1alpha1.Source{"Admin"}}},
		"statuses has a word":       {Log: v1alpha1.LogAccess, Filters: v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{"Pending"}}},
		"actors is not for":         {Log: v1alpha1.LogCertificates, Filters: v1alpha1.ExportFilters{Actors: []string{"a"}}},
		"kinds has a kind":          {Log: v1alpha1.LogAudit, Filters: v1alpha1.ExportFilters{Kinds: []string{"erasure."}}},
	} {
		_, err := NewQuery(&spec)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
