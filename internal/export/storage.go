package export

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

var (
	// ErrQuota means that the folder has no room left by the operator's flag.
	ErrQuota = errors.New("the operator's folder for exports has no room left (--export-max-bytes): delete exports that nobody needs, narrow the period, or name a dataStoreRef")
	// ErrFull means that the disk has no room left.
	ErrFull = errors.New("the disk of the operator's folder for exports is full: make room, delete exports that nobody needs, or name a dataStoreRef")
	// ErrGone means that a file is not there.
	ErrGone = errors.New("the file of the export is not there")
)

// partial ends the name of a file that is being written.
const partial = ".part"

// Storage is the operator's folder of files: <namespace>/<uid of the export>/<name of the file>. All access goes through
// os.Root: nothing outside is touched.
type Storage struct {
	root *os.Root
	max  int64

	mu   sync.Mutex
	used int64
}

// OpenStorage opens the folder, which is made where it is missing. Max bounds the bytes of all files; 0 does not.
func OpenStorage(folder string, max int64) (*Storage, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("the folder for exports: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("the folder for exports: %w", err)
	}
	s := &Storage{root: root, max: max}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if strings.HasSuffix(name, partial) { // of a process that was killed: it is made anew from the start
			return root.Remove(name)
		}
		info, err := d.Info()
		if err == nil {
			s.used += info.Size()
		}
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the folder for exports: %w", err), root.Close())
	}
	return s, nil
}

// Close releases the folder.
func (s *Storage) Close() error { return s.root.Close() }

// take takes room, or says that there is none.
func (s *Storage) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.max > 0 && s.used+n > s.max {
		return ErrQuota
	}
	s.used += n
	return nil
}

func (s *Storage) give(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= n
}

// File that is being written. It is there under its name once Commit has returned, and not before.
type File struct {
	storage *Storage
	file    *os.File
	name    string
	size    int64
	digest  hash.Hash
	done    bool
}

// Create begins a file. Whatever is there under the name is replaced: it is of the same export.
func (s *Storage) Create(namespace, uid, name string) (*File, error) {
	folder := path.Join(namespace, uid)
	if err := s.root.MkdirAll(folder, 0o700); err != nil {
		return nil, storageError(err)
	}
	f := &File{storage: s, name: path.Join(folder, name), digest: sha256.New()}
	var err error
	f.file, err = s.root.OpenFile(f.name+partial, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, storageError(err)
	}
	return f, nil
}

// Write appends, within the quota.
func (f *File) Write(p []byte) (int, error) {
	if err := f.storage.take(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := f.file.Write(p)
	f.storage.give(int64(len(p) - n))
	f.size += int64(n)
	_, _ = f.digest.Write(p[:n])
	return n, storageError(err)
}

// Size and SHA256 of what was written.
func (f *File) Size() int64    { return f.size }
func (f *File) SHA256() []byte { return f.digest.Sum(nil) }

// Hex of a digest.
func Hex(digest []byte) string { return hex.EncodeToString(digest) }

// Reader reads what was written from its beginning.
func (f *File) Reader() (io.ReadSeeker, error) {
	_, err := f.file.Seek(0, io.SeekStart)
	return f.file, storageError(err)
}

// Commit makes the file durable under its name.
func (f *File) Commit() error {
	if err := errors.Join(f.file.Sync(), f.file.Close()); err != nil {
		return storageError(err)
	}
	before, _ := f.storage.root.Stat(f.name)
	if err := f.storage.root.Rename(f.name+partial, f.name); err != nil {
		return storageError(err)
	}
	f.done = true
	if before != nil {
		f.storage.give(before.Size())
	}
	return f.storage.sync(path.Dir(f.name))
}

// Discard removes what was written, unless it was committed.
func (f *File) Discard() {
	if f.done {
		return
	}
	f.done = true
	_ = f.file.Close()
	if f.storage.root.Remove(f.name+partial) == nil {
		f.storage.give(f.size)
	}
	_ = f.storage.root.Remove(path.Dir(f.name)) // if it is empty
}

func (s *Storage) sync(folder string) error {
	dir, err := s.root.Open(folder)
	if err != nil {
		return storageError(err)
	}
	return storageError(errors.Join(dir.Sync(), dir.Close()))
}

// Open opens a file for reading.
func (s *Storage) Open(namespace, uid, name string) (*os.File, error) {
	file, err := s.root.Open(path.Join(namespace, uid, name))
	return file, storageError(err)
}

// Remove removes all files of an export.
func (s *Storage) Remove(namespace, uid string) error {
	folder := path.Join(namespace, uid)
	if !safe(namespace) || !safe(uid) {
		return fmt.Errorf("%w: no name of an export", ErrGone)
	}
	var size int64
	dir, err := s.root.Open(folder)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return storageError(err)
	}
	entries, err := dir.ReadDir(-1)
	_ = dir.Close()
	if err != nil {
		return storageError(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
	}
	if err := s.root.RemoveAll(folder); err != nil {
		return storageError(err)
	}
	s.give(size)
	_ = s.root.Remove(namespace) // if it is empty
	return nil
}

// Kept lists the UIDs of exports with files, by namespace.
func (s *Storage) Kept() (map[string][]string, error) {
	found, err := fs.Glob(s.root.FS(), "*/*")
	if err != nil {
		return nil, storageError(err)
	}
	out := map[string][]string{}
	for _, name := range found {
		out[path.Dir(name)] = append(out[path.Dir(name)], path.Base(name))
	}
	return out, nil
}

func safe(part string) bool {
	return part != "" && part != "." && part != ".." && !strings.ContainsAny(part, "/\\\x00")
}

// storageError says what is wrong without the names of files.
func storageError(err error) error {
	var p *fs.PathError
	switch {
	case err == nil || errors.Is(err, ErrQuota):
		return err
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return ErrFull
	case errors.Is(err, fs.ErrNotExist):
		return ErrGone
	case errors.As(err, &p):
		return fmt.Errorf("the operator's folder for exports: %w", p.Err)
	}
	return err
}
