package backend

import (
	"context"
	"errors"
	"io"
)

var (
	// ErrExists means that something is already under a path that is to be new.
	ErrExists = errors.New("there is something under this path already, and it is not overwritten")
	// ErrNoObject means that nothing is under a path.
	ErrNoObject = errors.New("there is nothing under this path")
)

// ObjectWriter is the capability of taking files, for stores of files and objects.
type ObjectWriter interface {
	// PutNew stores content of exactly size bytes under a path where nothing is, else it is ErrExists. Nothing half-written is
	// seen under the path, and nothing is left after an error.
	PutNew(ctx context.Context, path string, content io.Reader, size int64) error
	// OpenObject reads what is under a path, or is ErrNoObject.
	OpenObject(ctx context.Context, path string) (io.ReadCloser, error)
}
