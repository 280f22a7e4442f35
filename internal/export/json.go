package export

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// Format names the form and version of the JSON.
const Format = "lethe.dev/compliance-export/v1"

// jsonWriter writes one document: the head, the records in an array, one on a line, and the summary.
type jsonWriter struct {
	to      io.Writer
	columns []column
	line    bytes.Buffer
	some    bool
}

type jsonCheckpoint struct {
	Ledger string `json:"ledger"`
	Size   uint64 `json:"size"`
	Root   string `json:"root"`
}

type jsonPeriod struct {
	From *time.Time `json:"from,omitempty"`
	To   *time.Time `json:"to,omitempty"`
}

type jsonHead struct {
	Format      string              `json:"format"`
	Title       string              `json:"title"`
	Log         string              `json:"log"`
	Namespace   string              `json:"namespace"`
	Export      string              `json:"export"`
	UID         string              `json:"uid"`
	RequestedBy string              `json:"requestedBy,omitempty"`
	MadeAt      time.Time           `json:"madeAt"`
	Period      jsonPeriod          `json:"period"`
	Filters     map[string][]string `json:"filters"`
	Checkpoint  jsonCheckpoint      `json:"checkpoint"`
}

func newJSON(to io.Writer, head *Head) (*jsonWriter, error) {
	h := jsonHead{Format: Format, Title: head.Title(), Log: string(head.Log), Namespace: head.Namespace, Export: head.Name, UID: head.UID,
		RequestedBy: head.RequestedBy, MadeAt: head.MadeAt.UTC(), Filters: map[string][]string{},
		Checkpoint: jsonCheckpoint{head.Ledger, head.Checkpoint.Size, hex.EncodeToString(head.Checkpoint.Root)}}
	if !head.Period.From.IsZero() {
		h.Period.From = &head.Period.From
	}
	if !head.Period.To.IsZero() {
		h.Period.To = &head.Period.To
	}
	for _, l := range head.lists() {
		if len(l.words) > 0 {
			h.Filters[l.name] = l.words
		}
	}
	w := &jsonWriter{to: to, columns: logs[head.Log].columns}
	if err := w.encode(h); err != nil {
		return nil, err
	}
	w.line.Truncate(w.line.Len() - 1) // the array of records belongs to the object
	w.line.WriteString(",\"records\":[\n")
	return w, w.flush()
}

// encode appends the JSON of a value, without the line's end.
func (w *jsonWriter) encode(value any) error {
	encoder := json.NewEncoder(&w.line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return err
	}
	w.line.Truncate(w.line.Len() - 1)
	return nil
}

func (w *jsonWriter) flush() error {
	_, err := w.to.Write(w.line.Bytes())
	w.line.Reset()
	return err
}

func (w *jsonWriter) record(r *Record) error {
	if w.some {
		w.line.WriteString(",\n")
	}
	w.some = true
	for i, c := range w.columns {
		w.line.WriteByte("{,"[min(i, 1)])
		if err := w.encode(c.name); err != nil {
			return err
		}
		w.line.WriteByte(':')
		if err := w.encode(jsonValue(c.value(r))); err != nil {
			return err
		}
	}
	if r.Deletion != nil {
		if err := w.details(r.Deletion); err != nil {
			return err
		}
	}
	w.line.WriteByte('}')
	return w.flush()
}

// jsonValue is null where there is nothing.
func jsonValue(value any) any {
	switch v := value.(type) {
	case string:
		if v == "" {
			return nil
		}
	case time.Time:
		if v.IsZero() {
			return nil
		}
		return v.UTC()
	}
	return value
}

type jsonEvent struct {
	Time       time.Time         `json:"time"`
	Kind       string            `json:"kind"`
	Reason     string            `json:"reason,omitempty"`
	Actor      string            `json:"actor,omitempty"`
	Step       string            `json:"step,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// details are the history of a request or a run, and what was done by category; of a run also what it announced.
func (w *jsonWriter) details(d *Deletion) error {
	history := make([]jsonEvent, 0, len(d.Events))
	for _, e := range d.Events {
		history = append(history, jsonEvent{e.Time, e.Kind, e.Reason, e.Actor, e.Step, e.Attributes})
	}
	w.line.WriteString(`,"history":`)
	if err := w.encode(history); err != nil {
		return err
	}
	if d.More > 0 {
		w.line.WriteString(`,"historyCut":true`)
	}
	if d.Run != nil {
		w.line.WriteString(`,"announcedCounts":`)
		if err := w.encode(listOf(d.Run.Announced)); err != nil {
			return err
		}
	}
	w.line.WriteString(`,"counts":`)
	return w.encode(listOf(d.Counts))
}

// listOf is never null.
func listOf(counts []ledger.Count) []ledger.Count {
	if counts == nil {
		return []ledger.Count{}
	}
	return counts
}

func (w *jsonWriter) close(s *Summary) error {
	w.line.WriteString("\n],\"summary\":")
	type day struct {
		Date    string `json:"date"`
		Records int64  `json:"records"`
	}
	days := []day{}
	for _, d := range s.Days() {
		days = append(days, day{d.Date.Format(time.DateOnly), d.Records})
	}
	if err := w.encode(struct {
		Records  int64            `json:"records"`
		ByStatus map[string]int64 `json:"byStatus"`
		Days     []day            `json:"days"`
	}{s.Records, s.ByStatus, days}); err != nil {
		return err
	}
	w.line.WriteString("}\n")
	return w.flush()
}
