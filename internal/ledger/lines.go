package ledger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// ReadLines reads an exported ledger: the canonical text of one entry on each line, in the order of the tree. The text is
// not looked at; verification does that.
func ReadLines(from io.Reader) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		lines := bufio.NewReaderSize(from, MaxLeaf+2)
		for at := uint64(0); ; at++ {
			line, err := lines.ReadSlice('\n')
			switch {
			case errors.Is(err, io.EOF) && len(line) == 0:
				return
			case errors.Is(err, io.EOF):
				err = &TamperedError{at, at + 1, "the file ends in the middle of an entry", ErrTruncated}
			case errors.Is(err, bufio.ErrBufferFull):
				err = &TamperedError{at, at + 1, "the line is longer than an entry can be", ErrCorrupt}
			case err != nil:
				err = fmt.Errorf("read the ledger's entries: %w", err)
			}
			if err != nil {
				yield(Record{}, err)
				return
			}
			if !yield(Record{Index: at, Leaf: bytes.Clone(line[:len(line)-1])}, nil) {
				return
			}
		}
	}
}

// IgnoreNotFound leaves out ErrNotFound.
func IgnoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}
