package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Rows writes a table, a page at a time, or a JSON object on each line.
type Rows struct {
	json  *json.Encoder
	table *tabwriter.Writer
	err   error
}

// NewRows begins a table; format is table or json.
func NewRows(out io.Writer, format string, head ...string) *Rows {
	if format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		return &Rows{json: encoder}
	}
	r := &Rows{table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	r.Add(nil, head...)
	return r
}

// Add adds a row: object for JSON, cells for the table.
func (r *Rows) Add(object any, cells ...string) {
	if r.err != nil {
		return
	}
	if r.json != nil {
		r.err = r.json.Encode(object)
		return
	}
	for i := range cells {
		cells[i] = Printable(cells[i])
	}
	_, r.err = fmt.Fprintln(r.table, strings.Join(cells, "\t"))
}

// Flush writes what was added.
func (r *Rows) Flush() error {
	if r.err == nil && r.table != nil {
		r.err = r.table.Flush()
	}
	return r.err
}

// Printable keeps a text of the ledger from telling a terminal what to do.
func Printable(text string) string {
	if text == "" {
		return "-"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// ClockTime is a time as tables have it.
func ClockTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// Moment reads a day or a time that a flag has; none is the zero time.
func Moment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s %s: it is neither a day such as 2026-03-01 nor a time such as 2026-03-01T12:00:00Z", flag, text)
}
