package filesystem

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/lethe-dev/lethe/internal/backend"
)

var _ backend.ObjectWriter = (*Backend)(nil)

// unfinished ends the name of a file that is being written.
const unfinished = ".lethe-part"

// PutNew writes beside and links the file under its name, which fails where something is there.
func (b *Backend) PutNew(ctx context.Context, name string, content io.Reader, size int64) error {
	name, err := clean(name, false)
	if err != nil {
		return err
	}
	root, err := b.open()
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Lstat(name); !missing(err) {
		if err == nil {
			return backend.ErrExists
		}
		return b.writeError(err)
	}
	if err := root.MkdirAll(path.Dir(name), 0o750); err != nil {
		return b.writeError(err)
	}
	if err := b.fill(ctx, root, name+unfinished, content, size); err != nil {
		_ = root.Remove(name + unfinished)
		return b.writeError(err)
	}
	err = root.Link(name+unfinished, name)
	_ = root.Remove(name + unfinished)
	if errors.Is(err, fs.ErrExist) {
		return backend.ErrExists
	}
	if err == nil {
		err = syncDir(root, path.Dir(name))
	}
	return b.writeError(err)
}

func (b *Backend) fill(ctx context.Context, root *os.Root, name string, content io.Reader, size int64) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	n, err := io.Copy(file, &cancellable{ctx, content})
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// cancellable ends a copy with its context.
type cancellable struct {
	ctx  context.Context
	from io.Reader
}

func (c *cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, &backend.UnavailableError{Problem: "the call was cancelled", Err: err}
	}
	return c.from.Read(p)
}

// OpenObject opens a file.
func (b *Backend) OpenObject(_ context.Context, name string) (io.ReadCloser, error) {
	name, err := clean(name, false)
	if err != nil {
		return nil, err
	}
	root, err := b.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	file, err := root.Open(name)
	if missing(err) {
		return nil, backend.ErrNoObject
	}
	if err != nil {
		return nil, b.writeError(err)
	}
	return file, nil
}

// writeError is translate for what only happens when files are written.
func (b *Backend) writeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return &backend.RefusedError{Problem: "the volume is full", Remedy: "make room on it", Err: cause(err)}
	case errors.Is(err, fs.ErrPermission):
		return &backend.RefusedError{Problem: "no permission to write a file", Remedy: "grant the operator's user write and search permission on the folder", Err: cause(err)}
	}
	var unavailable *backend.UnavailableError
	if errors.As(err, &unavailable) {
		return err
	}
	var p *fs.PathError
	var l *os.LinkError
	if !errors.As(err, &p) && !errors.As(err, &l) {
		return err // of the content, not of the volume
	}
	if l != nil {
		return b.translate(l.Err, "")
	}
	return b.translate(err, "")
}
