// Package export writes logs of the ledger as files: CSV, JSON or PDF. A file shows one state of the ledger, that of a
// checkpoint: the same checkpoint, query and time make the same bytes, whatever was recorded since. Files hold handles, counts,
// times, reasons and actors, never a subject.
package export

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

// MaxPDFRecords and maxPDFLines, which are records with all their entries, bound a PDF, which is laid out in memory: 5,000 requests
// of ten entries each need 200 MiB.
const (
	MaxPDFRecords = 5000
	maxPDFLines   = 60_000
)

var (
	// ErrInvalid means that a query asks for what its log does not have.
	ErrInvalid = errors.New("invalid export")
	// ErrTooLarge means that a PDF would have too many records.
	ErrTooLarge = fmt.Errorf("a PDF has at most %d records with %d lines, and there are more: narrow the period or the filters, or take CSV or JSON", MaxPDFRecords, maxPDFLines)
)

// Query says what is exported.
type Query struct {
	Log     v1alpha1.ExportLog
	Format  v1alpha1.ExportFormat
	Period  projection.Period
	Filters v1alpha1.ExportFilters
}

// NewQuery checks a spec. The API checks the same; this is for objects that were stored before a rule existed.
func NewQuery(spec *v1alpha1.ComplianceExportSpec) (Query, error) {
	q := Query{Log: spec.Log, Format: spec.Format, Filters: spec.Filters}
	if q.Format == "" {
		q.Format = v1alpha1.FormatCSV
	}
	if !slices.Contains([]v1alpha1.ExportFormat{v1alpha1.FormatCSV, v1alpha1.FormatJSON, v1alpha1.FormatPDF}, q.Format) {
		return q, fmt.Errorf("%w: spec.format must be CSV, JSON or PDF", ErrInvalid)
	}
	if spec.Period.From != nil {
		q.Period.From = spec.Period.From.UTC()
	}
	if spec.Period.To != nil {
		q.Period.To = spec.Period.To.UTC()
	}
	if !q.Period.From.IsZero() && !q.Period.To.IsZero() && !q.Period.From.Before(q.Period.To) {
		return q, fmt.Errorf("%w: spec.period is reversed or empty; from must be before to", ErrInvalid)
	}
	log, known := logs[q.Log]
	if !known {
		return q, fmt.Errorf("%w: spec.log must be Deletions, Audit, Access, Exports or Certificates", ErrInvalid)
	}
	return q, log.check(q)
}

// check refuses filters that the log does not have.
func (l *log) check(q Query) error {
	for _, f := range q.lists() {
		if len(f.words) > 0 && !slices.Contains(l.filters, f.name) {
			return fmt.Errorf("%w: spec.filters.%s is not for the log %s, which has %s", ErrInvalid, f.name, q.Log, strings.Join(l.filters, ", "))
		}
	}
	for _, word := range q.Filters.Statuses {
		if !slices.Contains(l.statuses, word) {
			return fmt.Errorf("%w: spec.filters.statuses has a word that the log %s does not have", ErrInvalid, q.Log)
		}
	}
	for _, kind := range q.Filters.Kinds {
		if !slices.ContainsFunc(l.kinds, func(own string) bool { return strings.HasPrefix(kind, own) }) {
			return fmt.Errorf("%w: spec.filters.kinds has a kind that is not of the log %s", ErrInvalid, q.Log)
		}
	}
	return nil
}

type list struct {
	name  string
	words []string
}

func (q Query) lists() []list {
	f := q.Filters
	return []list{{"statuses", text(f.Statuses)}, {"sources", text(f.Sources)}, {"reasons", f.Reasons}, {"categories", f.Categories},
		{"actors", f.Actors}, {"kinds", f.Kinds}, {"permissions", f.Permissions}, {"logs", text(f.Logs)}}
}

func text[T ~string](words []T) []string {
	out := make([]string, 0, len(words))
	for _, w := range words {
		out = append(out, string(w))
	}
	return out
}

// statuses are those that are asked for, with the product's Processed as Completed.
func (q Query) statuses() []string {
	var out []string
	for _, s := range q.Filters.Statuses {
		if s == v1alpha1.StatusProcessed {
			s = v1alpha1.StatusCompleted
		}
		out = append(out, string(s))
	}
	return out
}

// among tells whether a word is asked for; a list that is not set asks nothing.
func among[T ~string](wanted []T, word string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, T(word))
}

func within(p projection.Period, t time.Time) bool {
	return !t.Before(p.From) && (p.To.IsZero() || t.Before(p.To))
}

// Title of the file.
func (q Query) Title() string { return logs[q.Log].title }

// ContentType of the file.
func ContentType(format v1alpha1.ExportFormat) string {
	switch format {
	case v1alpha1.FormatJSON:
		return "application/json"
	case v1alpha1.FormatPDF:
		return "application/pdf"
	}
	return "text/csv; charset=utf-8"
}

// Head is what a file says of itself.
type Head struct {
	Query
	// Namespace and Name of the export, and its UID.
	Namespace, Name, UID string
	// Ledger is the full name of the origin; Checkpoint its state that the file shows.
	Ledger     string
	Checkpoint ledger.Checkpoint
	// MadeAt is when the checkpoint was taken.
	MadeAt      time.Time
	RequestedBy string
}

// FilterNames are the lists that ask for something.
func (q Query) FilterNames() []string {
	var names []string
	for _, l := range q.lists() {
		if len(l.words) > 0 {
			names = append(names, l.name)
		}
	}
	return names
}

// maxName bounds what a file's name has of an object's, which may be longer than a folder takes.
const maxName = 150

// FileName of an export of the name.
func FileName(name string, format v1alpha1.ExportFormat) string {
	name = name[:min(len(name), maxName)]
	if format == "" {
		format = v1alpha1.FormatCSV
	}
	return name + "." + strings.ToLower(string(format))
}

// StoreName of the file where exports of many namespaces may be together. The UID keeps exports of one name apart.
func StoreName(namespace, name, uid string, format v1alpha1.ExportFormat) string {
	return namespace + "-" + name[:min(len(name), maxName)] + "-" + uid[:min(8, len(uid))] + FileName("", format)
}

// DownloadPath of an export at the operator's endpoint.
func DownloadPath(namespace, name string) string { return "/exports/" + namespace + "/" + name }
