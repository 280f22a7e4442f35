package export

import (
	"bufio"
	"context"
	"io"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/projection"
)

// writer of one format.
type writer interface {
	record(*Record) error
	close(*Summary) error
}

// Write writes the file of a head and returns how many records are in it. It calls at now and then with the index of the
// ledger up to which it is; an error of at ends it.
func Write(ctx context.Context, reader projection.Reader, head *Head, to io.Writer, at func(index uint64) error) (int64, error) {
	s := &source{reader: reader, head: head, at: at}
	out := bufio.NewWriterSize(to, 64<<10)
	var w writer
	var err error
	switch head.Format {
	case v1alpha1.FormatJSON:
		w, err = newJSON(out, head)
	case v1alpha1.FormatPDF:
		w, err = newPDF(out, head)
	default:
		w, err = newCSV(out, head)
	}
	if err != nil {
		return 0, err
	}
	summary := newSummary()
	err = s.each(ctx, func(r *Record) error {
		summary.add(r)
		return w.record(r)
	})
	if err == nil {
		err = w.close(summary)
	}
	if err == nil {
		err = out.Flush()
	}
	return summary.Records, err
}
