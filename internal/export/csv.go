package export

import (
	"encoding/csv"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// csvWriter writes RFC 4180, but for lines that end with LF alone, with a line of names first.
type csvWriter struct {
	out     *csv.Writer
	columns []column
	line    []string
}

func newCSV(to io.Writer, head *Head) (*csvWriter, error) {
	w := &csvWriter{out: csv.NewWriter(to), columns: logs[head.Log].columns}
	for _, c := range w.columns {
		w.line = append(w.line, c.name)
	}
	return w, w.out.Write(w.line)
}

func (w *csvWriter) record(r *Record) error {
	for i, c := range w.columns {
		w.line[i] = cell(c.value(r))
	}
	return w.out.Write(w.line)
}

func (w *csvWriter) close(*Summary) error {
	w.out.Flush()
	return w.out.Error()
}

func cell(value any) string {
	switch v := value.(type) {
	case string:
		return inert(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case time.Time:
		if !v.IsZero() {
			return v.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// formula is where a spreadsheet may take a text for a formula: at the beginning of a cell, whatever does not show before it, or
// behind a sign that separates cells where the comma does not, as it does for Excel in half of Europe, whatever quotes say. The
// last four signs are what some read as the ASCII ones.
var formula = regexp.MustCompile(`(^|[;\t\r\n])([\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x{9f}\p{Z}\p{Cf}\p{Co}"]*[=+\-@＝＋－＠])`)

// inert puts an apostrophe before what would be a formula, which makes it text.
func inert(s string) string {
	if s != "" && strings.ContainsRune("\t\r\n", rune(s[0])) {
		s = "'" + s
	}
	return formula.ReplaceAllString(s, "$1'$2")
}
