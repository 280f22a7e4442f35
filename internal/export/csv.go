package export

import (
	"encoding/csv"
	"io"
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

// inert makes a text that a spreadsheet would take for a formula begin with an apostrophe, which it shows as text. The last
// four are what some of them read as the ASCII signs.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}
