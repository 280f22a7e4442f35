// Package filesystem is the backend for a folder of files. All access goes through os.Root: nothing outside the folder
// is touched, and no symbolic link is followed out of it.
package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Config of a folder.
type Config struct {
	// Root is the folder that the operator assigns to the namespace.
	Root string
	// Path of the store's folder, relative to Root; empty or "." is Root itself.
	Path string
	// BatchSize is not needed here; a batch has as many files as the caller gives it.
	BatchSize int
}

// Backend is a folder. It is opened anew for each call, so that a volume that comes back is found again.
type Backend struct {
	config Config
	// folder as it was when the store was opened: an empty mount point in its place must not pass for "all gone".
	folder os.FileInfo
	// escapes is what os.Root reports when a path leaves it.
	escapes error
}

var _ backend.Backend = (*Backend)(nil)

// Open checks that the folder is there.
func Open(c Config) (backend.Backend, error) {
	if c.Path == "" {
		c.Path = "."
	}
	if !filepath.IsLocal(c.Path) || strings.ContainsRune(c.Path, 0) {
		return nil, outside("", "the folder's path leaves the namespace's root", "correct the DataStore")
	}
	b := &Backend{config: c}
	if root, err := os.OpenRoot(c.Root); err == nil {
		_, err = root.Lstat("../x")
		b.escapes = cause(err)
		_ = root.Close()
	}
	root, err := b.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if b.folder, err = root.Stat("."); err != nil {
		return nil, b.translate(err, "")
	}
	return b, nil
}

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func (b *Backend) open() (*os.Root, error) {
	top, err := os.OpenRoot(b.config.Root)
	if err != nil {
		return nil, unavailableFolder(err)
	}
	defer func() { _ = top.Close() }()
	root, err := top.OpenRoot(b.config.Path)
	if err != nil {
		if b.escapes != nil && errors.Is(err, b.escapes) {
			return nil, outside("", "the folder's path leaves the namespace's root", "correct the DataStore")
		}
		return nil, unavailableFolder(err)
	}
	if b.folder == nil {
		return root, nil
	}
	now, err := root.Stat(".")
	if err == nil && os.SameFile(b.folder, now) {
		return root, nil
	}
	_ = root.Close()
	return nil, &backend.UnavailableError{Problem: "the store's folder is not the one it was: it was unmounted or replaced"}
}

// unavailableFolder: a folder that is missing may be a volume that is not mounted, and comes back.
func unavailableFolder(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &backend.RefusedError{Problem: "no permission to open the store's folder",
			Remedy: "grant the operator's user access to it", Err: cause(err)}
	}
	return &backend.UnavailableError{Problem: "the store's folder is not available", Err: cause(err)}
}

func outside(entity, problem, remedy string) error {
	return &backend.RefusedError{Entity: entity, Problem: problem, Remedy: remedy, Err: backend.ErrPathOutsideRoot}
}

// translate leaves file names out: they may hold data.
func (b *Backend) translate(err error, entity string) error {
	err = cause(err)
	switch {
	case err == nil:
		return nil
	case b.escapes != nil && errors.Is(err, b.escapes):
		return outside(entity, "a path leads through a symbolic link out of the store's folder", "remove the link")
	case errors.Is(err, unix.EROFS):
		return &backend.RefusedError{Entity: entity, Problem: "the volume is mounted read-only", Remedy: "mount it for writing", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &backend.RefusedError{Entity: entity, Problem: "no permission to read or remove a file",
			Remedy: "grant the operator's user read, write and search permission on the folders", Err: err}
	case errors.Is(err, unix.ENAMETOOLONG):
		return &backend.RefusedError{Entity: entity, Problem: "a path is too long for the file system", Err: err}
	default:
		return &backend.UnavailableError{Problem: "the volume reports an error", Err: err}
	}
}

// clean checks a path before it is used. A ".." is refused even where it stays inside the folder, and so is an empty
// part: both come from a value that was put into a template, and lead to files of others.
func clean(p string, directory bool) (string, error) {
	parts := strings.Split(p, "/")
	if directory && len(parts) > 1 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	switch {
	case strings.ContainsRune(p, 0), path.IsAbs(p), slices.Contains(parts, ".."):
		return "", outside("", "a path leaves the store's folder", "correct the path's template or the values in its columns")
	case slices.Contains(parts, ""):
		return "", &backend.RefusedError{Problem: "a path is empty or has an empty part", Remedy: "correct the path's template"}
	case path.Clean(p) == ".":
		return "", &backend.RefusedError{Problem: "a path names the store's folder itself", Remedy: "correct the path's template"}
	case !utf8.ValidString(p):
		return "", badName()
	}
	return path.Clean(p), nil
}

// badName: a plan is JSON and would not bring such a name back as it was.
func badName() error {
	return &backend.RefusedError{Problem: "the name of a file is not valid UTF-8", Remedy: "rename the file"}
}

func named(err error, entity string) error {
	var r *backend.RefusedError
	if errors.As(err, &r) && r.Entity == "" {
		r.Entity = entity
	}
	return err
}

// Describe names the kind of file system.
func (b *Backend) Describe(context.Context) (backend.Description, error) {
	root, err := b.open()
	if err != nil {
		return backend.Description{}, err
	}
	defer func() { _ = root.Close() }()
	f, err := root.Open(".")
	if err != nil {
		return backend.Description{}, b.translate(err, "")
	}
	defer func() { _ = f.Close() }()
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return backend.Description{}, b.translate(err, "")
	}
	if s.Flags&unix.ST_RDONLY != 0 {
		return backend.Description{}, b.translate(unix.EROFS, "")
	}
	return backend.Description{Version: fmt.Sprintf("file system of type %#x", s.Type)}, nil
}

// Resolve lists the files that exist; of a directory all that is in it, and after the files the directories themselves,
// the deepest first. A symbolic link stands for itself.
func (b *Backend) Resolve(ctx context.Context, req backend.ResolveRequest) (*backend.Resolution, error) {
	root, err := b.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	res := &backend.Resolution{Rows: make(map[string][]backend.Row, len(req.Queries))}
	w := walk{b: b, root: root, max: req.MaxRows}
	for _, q := range req.Queries {
		if len(q.AnyOf) > 0 || q.Table.Name != "" {
			return nil, &backend.RefusedError{Entity: q.Entity, Problem: "a file store has no tables", Remedy: "name paths in the data map"}
		}
		w.files, w.dirs = map[string][]int{}, map[string][]int{}
		for i, p := range q.Paths {
			w.current = i
			if err := w.find(ctx, p); err != nil {
				return nil, named(err, q.Entity)
			}
		}
		res.Rows[q.Entity] = w.rows(q)
	}
	return res, nil
}

// walk gathers what the paths of one query lead to.
type walk struct {
	b           *Backend
	root        *os.Root
	files, dirs map[string][]int // with the indexes of the paths that lead there
	current     int              // index of the path that is looked up
	found, max  int64
}

func (w *walk) find(ctx context.Context, p backend.Path) error {
	directory := p.Kind == backend.Directory
	if !directory && p.Kind != "" && p.Kind != backend.File {
		return &backend.RefusedError{Problem: fmt.Sprintf("a file store has no paths of the kind %s", p.Kind), Remedy: "use File or Directory in the data map"}
	}
	name, err := clean(p.Path, directory)
	if err != nil {
		return err
	}
	info, err := w.root.Lstat(name)
	switch {
	case missing(err):
		return nil
	case err != nil:
		return w.b.translate(err, "")
	case !info.IsDir():
		return w.add(w.files, name)
	case !directory:
		return &backend.RefusedError{Problem: "a path is a folder where the data map says that it is a file",
			Remedy: "set kind: Directory in the data map, or correct the path's template"}
	}
	for todo := []string{name}; len(todo) > 0; {
		if err := ctx.Err(); err != nil {
			return &backend.UnavailableError{Problem: "the call was cancelled", Err: err}
		}
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if err := w.add(w.dirs, dir); err != nil {
			return err
		}
		below, err := w.read(dir)
		if err != nil {
			return err
		}
		todo = append(todo, below...)
	}
	return nil
}

// read adds the files of a folder and returns the folders in it.
func (w *walk) read(dir string) (below []string, err error) {
	f, err := w.root.Open(dir)
	if missing(err) {
		return nil, nil
	} else if err != nil {
		return nil, w.b.translate(err, "")
	}
	defer func() { _ = f.Close() }()
	for {
		entries, err := f.ReadDir(1000)
		for _, e := range entries {
			if !utf8.ValidString(e.Name()) {
				return nil, badName()
			}
			name := path.Join(dir, e.Name())
			if e.IsDir() {
				below = append(below, name)
			} else if err := w.add(w.files, name); err != nil {
				return nil, err
			}
		}
		if errors.Is(err, io.EOF) {
			return below, nil
		} else if err != nil {
			return nil, w.b.translate(err, "")
		}
	}
}

// add notes that the current path leads to the name.
func (w *walk) add(set map[string][]int, name string) error {
	known := set[name]
	if len(known) > 0 && known[len(known)-1] == w.current {
		return nil
	}
	set[name] = append(known, w.current)
	if len(known) > 0 {
		return nil
	}
	if w.found++; w.max > 0 && w.found > w.max {
		return &backend.TooManyRowsError{MaxRows: w.max}
	}
	return nil
}

func (w *walk) rows(q backend.Query) []backend.Row {
	var rows []backend.Row
	add := func(name string, paths []int) {
		rows = append(rows, backend.Row{
			Key: backend.Key{name}, Values: make([]backend.Value, len(q.Columns)), Clocks: make([]backend.Clock, len(q.Clocks)),
			Flags: make([]bool, len(q.Flags)), Paths: paths, Name: name,
		})
	}
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		add(name, w.files[name])
	}
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(w.dirs))) { // what is in a folder sorts after it
		add(name+"/", w.dirs[name])
	}
	return rows
}

// missing: a path below what is now a file does not exist either.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) }

// Execute removes files, and folders that are empty by then. Folders that are not stay, and Verify counts them. It goes
// on after an error and reports the first.
func (b *Backend) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	paths, err := operations(batch.Operations)
	if err != nil {
		return nil, err
	}
	root, err := b.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	if err := batch.AwaitEffect(ctx); err != nil {
		return nil, err
	}
	res := &backend.Result{Affected: make([]int64, len(paths))}
	var first error
	parents := map[string]bool{}
	for i, names := range paths {
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return nil, &backend.UnavailableError{Problem: "the call was cancelled", Err: err}
			}
			err := root.Remove(name)
			parents[path.Dir(name)] = true
			switch {
			case err == nil:
				res.Affected[i]++
			case missing(err), errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
			case first == nil:
				first = b.translate(err, batch.Operations[i].Entity)
			}
		}
	}
	// Also after a removal that found nothing: the one that did may have ended before it came here.
	if err := b.sync(root, parents); first == nil {
		first = err
	}
	if first != nil {
		return nil, first
	}
	return res, nil
}

// operations are the clean paths of each operation.
func operations(ops []backend.Operation) ([][]string, error) {
	paths := make([][]string, len(ops))
	for i, op := range ops {
		if op.Action != backend.Unlink {
			return nil, &backend.RefusedError{Entity: op.Entity, Problem: fmt.Sprintf("a file store has no action %q", op.Action)}
		}
		for _, k := range op.Keys {
			if len(k) != 1 {
				return nil, &backend.RefusedError{Entity: op.Entity, Problem: "a key of a file is its path"}
			}
			name, err := clean(k[0], true)
			if err != nil {
				return nil, named(err, op.Entity)
			}
			paths[i] = append(paths[i], name)
		}
	}
	return paths, nil
}

// sync makes removals durable. Of a folder that is gone itself, the next one above counts.
func (b *Backend) sync(root *os.Root, dirs map[string]bool) error {
	done := map[string]bool{}
	for dir := range dirs {
		for !done[dir] {
			done[dir] = true
			err := syncDir(root, dir)
			if missing(err) && dir != "." {
				dir = path.Dir(dir)
				continue
			}
			if err != nil && !errors.Is(err, b.escapes) { // what led out was reported when it was removed
				return b.translate(err, "")
			}
			break
		}
	}
	return nil
}

func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

// Verify counts the files and folders that exist.
func (b *Backend) Verify(ctx context.Context, ops []backend.Operation) ([]int64, error) {
	paths, err := operations(ops)
	if err != nil {
		return nil, err
	}
	root, err := b.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }()
	left := make([]int64, len(paths))
	for i, names := range paths {
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return nil, &backend.UnavailableError{Problem: "the call was cancelled", Err: err}
			}
			_, err := root.Lstat(name)
			if err == nil {
				left[i]++
			} else if !missing(err) {
				return nil, b.translate(err, ops[i].Entity)
			}
		}
	}
	return left, nil
}

// Text is the value itself.
func (*Backend) Text(v backend.Value) string {
	if v == nil {
		return ""
	}
	return *v
}

// FromText is the text itself.
func (*Backend) FromText(text string) backend.Value { return &text }

// Close has nothing to release.
func (*Backend) Close() error { return nil }
