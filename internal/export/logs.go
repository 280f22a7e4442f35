package export

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// log is what is known of one of the logs.
type log struct {
	title string
	// kinds of its entries; those that end with a dot are beginnings.
	kinds []string
	// filters and statuses that it has.
	filters  []string
	statuses []v1alpha1.ExportStatusWord
	columns  []column
}

// column of a record: a text, a whole number or a time.
type column struct {
	name, title string
	value       func(*Record) any
	// share of the width of a PDF's page; 0 where it is not in the table.
	share float64
}

// Record is one line of a file: an entry, or a request or a run of a rule with its entries.
type Record struct {
	Index uint64
	Entry ledger.Entry
	// Deletion is set in the log Deletions.
	Deletion *Deletion
}

func attribute(name string) func(*Record) any {
	return func(r *Record) any { return r.Entry.Attributes[name] }
}

func number(name string) func(*Record) any {
	return func(r *Record) any {
		n, err := strconv.ParseInt(r.Entry.Attributes[name], 10, 64)
		if err != nil {
			return nil
		}
		return n
	}
}

func index(r *Record) any  { return int64(r.Index) }
func at(r *Record) any     { return r.Entry.Time }
func kind(r *Record) any   { return r.Entry.Kind }
func reason(r *Record) any { return r.Entry.Reason }
func actor(r *Record) any  { return r.Entry.Actor }
func handle(r *Record) any { return r.Entry.Handle }

// rest are the attributes as JSON, for what has no column of its own.
func rest(r *Record) any {
	if len(r.Entry.Attributes) == 0 {
		return ""
	}
	text, err := json.Marshal(r.Entry.Attributes)
	if err != nil {
		return ""
	}
	return string(text)
}

func deletion[T any](value func(*Deletion) T) func(*Record) any {
	return func(r *Record) any { return value(r.Deletion) }
}

// announced is how many records the announcement of a run said would be deleted or anonymised.
func announced(r *Record) any {
	if r.Deletion.Run == nil {
		return nil
	}
	return sumOf(r.Deletion.Run.Announced, "Delete", "Anonymize")
}

var exportStatus = map[string]string{ledger.KindExportStarted: "Processing", ledger.KindExportCompleted: "Completed", ledger.KindExportFailed: "Failed",
	ledger.KindExportDownloaded: "Downloaded", ledger.KindExportPurged: "Purged"}

// status of a record in the words of its log.
func (r *Record) status() string {
	switch {
	case r.Deletion != nil:
		return r.Deletion.Status
	case exportStatus[r.Entry.Kind] != "":
		return exportStatus[r.Entry.Kind]
	}
	return r.Entry.Reason
}

func status(r *Record) any { return r.status() }

var logs = map[v1alpha1.ExportLog]*log{
	v1alpha1.LogDeletions: {
		title: "Deletion log", kinds: []string{"erasure."}, filters: []string{"statuses", "sources", "reasons", "categories", "actors"},
		statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusPending, v1alpha1.StatusProcessed, v1alpha1.StatusCompleted, v1alpha1.StatusCancelled, v1alpha1.StatusFailed},
		columns: []column{
			{"request", "Request or rule", deletion(func(d *Deletion) string { return d.Handle }), 3.4},
			{"status", "Status", status, 2},
			{"source", "Source", deletion(func(d *Deletion) string { return d.Source }), 2.6},
			{"reason", "Reason", deletion(func(d *Deletion) string { return d.Reason }), 0},
			{"requestedBy", "Requested by", deletion(func(d *Deletion) string { return d.Actor }), 0},
			{"received", "Received", deletion(func(d *Deletion) time.Time { return d.ReceivedAt }), 2.7},
			{"scheduledDeletion", "Scheduled deletion", deletion(func(d *Deletion) time.Time { return d.ScheduledAt }), 2.7},
			{"due", "Due", deletion(func(d *Deletion) time.Time { return d.DueAt }), 0},
			{"finished", "Finished", deletion(func(d *Deletion) time.Time { return d.FinishedAt }), 2.7},
			{"deleted", "Deleted", deletion(func(d *Deletion) int64 { return d.sum("Delete") }), 0},
			{"anonymized", "Anonymized", deletion(func(d *Deletion) int64 { return d.sum("Anonymize") }), 0},
			{"retained", "Retained", deletion(func(d *Deletion) int64 { return d.sum("Retain", "Keep") }), 0},
			{"certificate", "Certificate", deletion(func(d *Deletion) string { return d.Certificate }), 0},
			{"firstEntry", "First entry", index, 0},
			// Of runs of rules; empty for requests.
			{"policy", "Policy", deletion(func(d *Deletion) string { return d.run().Policy }), 0},
			{"rule", "Rule", deletion(func(d *Deletion) string { return d.run().Rule }), 0},
			{"announced", "Announced", announced, 0},
			{"begun", "Begun", deletion(func(d *Deletion) time.Time { return d.run().BegunAt }), 0},
			{"confirmedBy", "Confirmed by", deletion(func(d *Deletion) string { return d.run().ConfirmedBy }), 0},
			{"postponedBy", "Postponed by", deletion(func(d *Deletion) string { return d.run().PostponedBy }), 0},
		},
	},
	v1alpha1.LogAudit: {
		title: "Audit log", kinds: []string{"governance.", "hold.", "key."}, filters: []string{"reasons", "actors", "kinds"},
		columns: []column{
			{"time", "Time", at, 3.6}, {"entry", "Entry", index, 0}, {"action", "Action", kind, 3.6}, {"result", "Result", reason, 2},
			{"user", "User", actor, 2.8}, {"groups", "Groups", attribute(ledger.AttributeGroups), 0},
			{"objectKind", "Object", attribute("kind"), 3}, {"objectName", "Name", attribute("name"), 2.6}, {"objectUID", "UID", attribute("uid"), 0},
			{"generation", "Generation", number("generation"), 0}, {"fields", "Changed fields", attribute("fields"), 3.8}, {"details", "Details", rest, 0},
		},
	},
	v1alpha1.LogAccess: {
		title: "Access log", kinds: []string{ledger.KindAccessDecided, ledger.KindAccessObserved}, filters: []string{"statuses", "actors", "permissions"},
		statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusGranted, v1alpha1.StatusDenied},
		columns: []column{
			{"time", "Time", at, 3.4}, {"entry", "Entry", index, 0}, {"permission", "Permission", attribute("permission"), 2}, {"status", "Status", status, 1.6},
			{"resource", "Resource", attribute("resource"), 3}, {"user", "User", actor, 3}, {"groups", "Groups", attribute(ledger.AttributeGroups), 2.4},
			{"endpoint", "Endpoint", endpoint, 3}, {"objectUID", "UID", attribute("uid"), 0}, {"operation", "Operation", attribute("operation"), 0},
			{"requestedAt", "Requested at", attribute("requestedAt"), 0}, {"code", "Code", number("code"), 0}, {"scope", "Scope", attribute("scope"), 0},
			{"impersonatedBy", "Impersonated by", attribute(ledger.AttributeImpersonator), 0},
		},
	},
	v1alpha1.LogExports: {
		title: "Export log", kinds: []string{"export."}, filters: []string{"statuses", "actors", "logs"},
		statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusProcessing, v1alpha1.StatusCompleted, v1alpha1.StatusFailed, v1alpha1.StatusDownloaded, v1alpha1.StatusPurged},
		columns: []column{
			{"time", "Time", at, 3.4}, {"entry", "Entry", index, 0}, {"export", "Export", attribute("export"), 3.2}, {"type", "Type", attribute("log"), 2},
			{"format", "Format", attribute("format"), 1.3}, {"status", "Status", status, 2}, {"reason", "Reason", reason, 0},
			{"records", "Records", number("records"), 1.5}, {"size", "Size", number("size"), 1.8}, {"sha256", "SHA-256", attribute("sha256"), 0},
			{"user", "User", actor, 2.8},
		},
	},
	v1alpha1.LogCertificates: {
		title: "Certificates of erasure", kinds: []string{ledger.KindCertificateIssued}, filters: []string{"reasons"},
		columns: []column{
			{"time", "Issued", at, 2.6}, {"entry", "Entry", index, 1.2}, {"request", "Request", handle, 3.2}, {"number", "No", number("number"), 0.8},
			{"result", "Result", reason, 1.6}, {"digest", "Digest", attribute("digest"), 5},
		},
	},
}

// endpoint is where a permission was asked for: at a URL of the operator, or at the API server, which asked admission.
func endpoint(r *Record) any {
	if e := r.Entry.Attributes["endpoint"]; e != "" {
		return e
	}
	if r.Entry.Attributes["operation"] != "" {
		return "admission"
	}
	return ""
}
