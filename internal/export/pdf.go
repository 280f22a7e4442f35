package export

import (
	"errors"
	"io"
)

func newPDF(io.Writer, *Head) (writer, error) { return nil, errors.New("not yet") }
