package export

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/pdf"
)

// maxBars of the chart.
const maxBars = 45

// pdfWriter keeps the records and lays them out at the end, when all is known that the first page says.
type pdfWriter struct {
	*pdf.Document
	to      io.Writer
	head    *Head
	log     *log
	records []*Record
	size    int // records and their entries
	// lines are the records' JSON, which the digest is of.
	lines  *jsonWriter
	buffer bytes.Buffer
	digest hash.Hash
}

func newPDF(to io.Writer, head *Head) (*pdfWriter, error) {
	w := &pdfWriter{to: to, head: head, log: logs[head.Log], digest: sha256.New()}
	w.lines = &jsonWriter{to: &w.buffer, columns: w.log.columns}
	return w, nil
}

func (w *pdfWriter) record(r *Record) error {
	w.size++
	if r.Deletion != nil {
		w.size += len(r.Deletion.Events) + len(r.Deletion.Counts)
	}
	if len(w.records) == MaxPDFRecords || w.size > maxPDFLines {
		return ErrTooLarge
	}
	w.records = append(w.records, r)
	if err := w.lines.record(r); err != nil {
		return err
	}
	_, err := w.buffer.WriteTo(w.digest)
	return err
}

func (w *pdfWriter) close(s *Summary) error {
	root := hex.EncodeToString(w.head.Checkpoint.Root)
	records := "records sha256:" + hex.EncodeToString(w.digest.Sum(nil))
	var err error
	w.Document, err = pdf.New(pdf.Head{Title: w.head.Title(), Subject: "Compliance export " + w.head.Namespace + "/" + w.head.Name,
		Running: fmt.Sprintf("%s of %s, %s", w.head.Title(), w.head.Namespace, period(w.head)),
		Foot:    []string{records, fmt.Sprintf("checkpoint %d, root %s", w.head.Checkpoint.Size, root)}, Created: w.head.MadeAt})
	if err != nil {
		return err
	}
	w.Title(w.head.Title(), fmt.Sprintf("Workspace %s, %s", w.head.Namespace, period(w.head)))
	w.about()
	w.statistics(s)
	w.table()
	if w.head.Log == v1alpha1.LogDeletions && len(w.records) > 0 {
		w.details()
	}
	w.proof(records, root)
	return w.Write(w.to)
}

// period in words.
func period(h *Head) string {
	day := func(t time.Time) string {
		if t.Equal(t.Truncate(24 * time.Hour)) {
			return t.Format(time.DateOnly)
		}
		return second(t)
	}
	from, to := h.Period.From.UTC(), h.Period.To.UTC()
	switch {
	case from.IsZero() && to.IsZero():
		return "everything up to " + second(h.MadeAt)
	case from.IsZero():
		return "before " + day(to)
	case to.IsZero():
		return "from " + day(from) + " to " + second(h.MadeAt)
	}
	return "from " + day(from) + " up to, but without, " + day(to)
}

func second(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func (w *pdfWriter) about() {
	var filters []string
	for _, l := range w.head.lists() {
		if len(l.words) > 0 {
			filters = append(filters, l.name+": "+strings.Join(l.words, ", "))
		}
	}
	if len(filters) == 0 {
		filters = []string{"none"}
	}
	w.Section("What this document shows")
	w.Facts(pdf.Fact{Name: "Workspace", Value: w.head.Namespace}, pdf.Fact{Name: "Period", Value: period(w.head)},
		pdf.Fact{Name: "Filters", Value: strings.Join(filters, "; ")}, pdf.Fact{Name: "Export", Value: w.head.Name},
		pdf.Fact{Name: "Requested by", Value: w.head.RequestedBy}, pdf.Fact{Name: "State of", Value: second(w.head.MadeAt)},
		pdf.Fact{Name: "Ledger", Value: fmt.Sprintf("%s, %d entries", w.head.Ledger, w.head.Checkpoint.Size)})
}

func (w *pdfWriter) statistics(s *Summary) {
	w.Section("Summary")
	tiles := []pdf.Fact{{Name: "Total", Value: fmt.Sprint(s.Records)}}
	words := text(w.log.statuses)
	if len(words) == 0 {
		for word := range s.ByStatus {
			words = append(words, word)
		}
		slices.Sort(words)
	}
	for _, word := range words {
		if word != string(v1alpha1.StatusProcessed) && len(tiles) < 6 {
			tiles = append(tiles, pdf.Fact{Name: word, Value: fmt.Sprint(s.ByStatus[word])})
		}
	}
	w.Tiles(tiles...)
	if name, bars := volume(s.Days()); len(bars) > 0 {
		what := "Records"
		if w.head.Log == v1alpha1.LogDeletions {
			what = "Requests received and runs of rules announced,"
		}
		w.Chart(what+" "+name, bars)
	}
}

// volume groups days so that they fit into the chart.
func volume(days []Day) (name string, bars []pdf.Bar) {
	if len(days) == 0 {
		return "", nil
	}
	first, last := days[0].Date, days[len(days)-1].Date
	span := int(last.Sub(first).Hours()/24) + 1
	each := (span + maxBars - 1) / maxBars
	if each > 1 && each < 7 {
		each = 7
	}
	name = "by day"
	if each > 1 {
		name = fmt.Sprintf("by %d days, from the day that is named", each)
	}
	for i := 0; i < span; i += each {
		bars = append(bars, pdf.Bar{Label: first.AddDate(0, 0, i).Format(time.DateOnly)})
	}
	for _, d := range days {
		bars[int(d.Date.Sub(first).Hours()/24)/each].Value += d.Records
	}
	return name, bars
}

// table has the columns that have room on a page.
func (w *pdfWriter) table() {
	w.Section("Records")
	if len(w.records) == 0 {
		w.Paragraph("There are none in this period that meet the filters.")
		return
	}
	var columns []pdf.Column
	var shown []column
	for _, c := range w.log.columns {
		if c.share > 0 {
			columns, shown = append(columns, pdf.Column{Name: c.title, Share: c.share}), append(shown, c)
		}
	}
	rows := make([][]string, 0, len(w.records))
	for _, r := range w.records {
		row := make([]string, 0, len(shown))
		for _, c := range shown {
			value := c.value(r)
			if c.name == "request" && r.Deletion != nil {
				value = r.Deletion.name()
			}
			row = append(row, strings.ReplaceAll(printed(value), ",", ", ")) // where a line may be broken
		}
		rows = append(rows, row)
	}
	w.Paragraph("Times are in UTC.")
	w.Table(columns, rows)
}

func printed(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		if !v.IsZero() {
			return v.UTC().Format("2006-01-02 15:04")
		}
	}
	return "–"
}

var said = map[string]string{
	ledger.KindErasureReceived: "Received", ledger.KindErasureWaiting: "Waits", ledger.KindErasureApproved: "Approved", ledger.KindErasureConfirmed: "Confirmed, grace period begins",
	ledger.KindErasureDeactivated: "Deactivated", ledger.KindErasureReactivated: "Reactivated", ledger.KindErasureCancelled: "Cancelled", ledger.KindErasureDuplicate: "Duplicate of another request",
	ledger.KindErasureProcessing: "Processing begins", ledger.KindErasureExpedited: "Expedited", ledger.KindErasureCompleted: "Completed", ledger.KindErasureFailed: "Failed",
	ledger.KindErasureRetried: "Tried again", ledger.KindErasureAbandoned: "Abandoned", ledger.KindErasurePurged: "Object purged", ledger.KindErasureReleased: "Basis of retained data ended",
	ledger.KindErasurePlanned: "Plan sealed", ledger.KindErasureAmended: "Plan amended", ledger.KindErasureIntent: "Begins", ledger.KindErasureOutcome: "Done",
	ledger.KindErasureVerified: "Stores asked again", ledger.KindErasureRetained: "Retained", ledger.KindCertificateIssued: "Certificate issued", ledger.KindRunCompleted: "Retained data deleted",
}

// saidOfRuns are the words for the entries of runs of rules.
var saidOfRuns = map[string]string{
	ledger.KindRetentionAnnounced: "Announced", ledger.KindRetentionConfirmed: "Confirmed, may begin", ledger.KindRetentionPostponed: "Postponed",
	ledger.KindRetentionRefused: "Does not begin", ledger.KindRetentionVerified: "Store asked again, nothing is left", ledger.KindRunStarted: "Begins",
	ledger.KindRunCompleted: "Completed", ledger.KindRunFailed: "Failed", ledger.KindRunCancelled: "Cancelled", ledger.KindRunRetried: "Tried again", ledger.KindRunAbandoned: "Abandoned",
}

// execution are the kinds that belong to the deletion log; all others are the history.
var execution = []string{ledger.KindErasurePlanned, ledger.KindErasureAmended, ledger.KindErasureIntent, ledger.KindErasureOutcome, ledger.KindErasureVerified}

func (w *pdfWriter) details() {
	w.Page()
	w.Section("Details")
	for _, r := range w.records {
		d := r.Deletion
		w.Subject(d.name(), d.Status)
		w.Facts(d.facts()...)
		w.events(d)
		w.counts(d)
	}
}

// facts of a request, or of a run of a rule.
func (d *Deletion) facts() []pdf.Fact {
	if d.Run == nil {
		return []pdf.Fact{{Name: "Source", Value: d.Source}, {Name: "Reason", Value: d.Reason}, {Name: "Requested by", Value: d.Actor},
			{Name: "Scheduled deletion", Value: printed(d.ScheduledAt)}, {Name: "Statutory due date", Value: printed(d.DueAt)},
			{Name: "Certificate", Value: d.Certificate}}
	}
	by := func(actor string) string { return cmp.Or(actor, printed(nil)) }
	return []pdf.Fact{{Name: "Source", Value: d.Source + ", automatic after the rule's period"}, {Name: "Reason", Value: d.Reason}, {Name: "Run", Value: d.Handle},
		{Name: "Announced", Value: printed(d.ReceivedAt)}, {Name: "Scheduled deletion", Value: printed(d.ScheduledAt)}, {Name: "Begun", Value: printed(d.Run.BegunAt)},
		{Name: "Confirmed by", Value: by(d.Run.ConfirmedBy)}, {Name: "Postponed by", Value: by(d.Run.PostponedBy)}}
}

// events are the history, and what was executed.
func (w *pdfWriter) events(d *Deletion) {
	var history, steps [][]string
	words := said
	if d.Run != nil {
		words = saidOfRuns
	}
	for _, e := range d.Events {
		word := cmp.Or(words[e.Kind], e.Kind)
		if slices.Contains(execution, e.Kind) {
			steps = append(steps, []string{printed(e.Time), word, e.Step, e.Attributes["records"]})
		} else {
			history = append(history, []string{printed(e.Time), word, e.Reason, e.Actor})
		}
	}
	if d.More > 0 {
		history = append(history, []string{"", fmt.Sprintf("and %d more entries", d.More), "", ""})
	}
	w.Table([]pdf.Column{{Name: "Status history", Share: 2.4}, {Name: "Event", Share: 4}, {Name: "Reason", Share: 3}, {Name: "By", Share: 4}}, history)
	if len(steps) > 0 {
		w.Table([]pdf.Column{{Name: "Deletion log", Share: 2.4}, {Name: "Event", Share: 4}, {Name: "Step", Share: 5}, {Name: "Records", Share: 2, Number: true}}, steps)
	}
}

// counts are what was done by category, and of a run what it announced.
func (w *pdfWriter) counts(d *Deletion) {
	table := func(name, last string, counts []ledger.Count, cell func(ledger.Count) string) {
		var rows [][]string
		for _, c := range counts {
			rows = append(rows, []string{c.Category, c.Action, strconv.FormatInt(c.Count, 10), cell(c)})
		}
		if len(rows) > 0 {
			w.Table([]pdf.Column{{Name: name, Share: 4.4}, {Name: "Action", Share: 2.4}, {Name: "Records", Share: 1.6, Number: true}, {Name: last, Share: 5}}, rows)
		}
	}
	if d.Run == nil {
		table("Category", "Legal basis", d.Counts, func(c ledger.Count) string { return c.Basis })
		return
	}
	entity := func(c ledger.Count) string { return c.Entity }
	table("Announced category", "Entity", d.Run.Announced, entity)
	table("Category", "Entity", d.Counts, entity)
}

func (w *pdfWriter) proof(records, root string) {
	w.Together(75)
	w.Section("Proof")
	w.Paragraph("This document was made from one state of an append-only ledger, which the checkpoint names: nothing that was recorded later is in it. The ledger has an entry with " +
		"the SHA-256 of this file, and the export's proof shows that it has: lethe verify export FILE --proof FILE.proof.json --key lethe.vkey. It holds no personal data of those whose data was deleted: " +
		"requests are named by random handles, runs of retention rules by their rule. What is proven is what was recorded.")
	w.Facts(pdf.Fact{Name: "Ledger", Value: w.head.Ledger}, pdf.Fact{Name: "Checkpoint", Value: fmt.Sprintf("of %d entries", w.head.Checkpoint.Size)})
	w.Verbatim("root    " + root + "\n" + records)
	w.Paragraph("The digest of the records is that of their JSON, as an export in the format JSON has it between the brackets of records.")
}
