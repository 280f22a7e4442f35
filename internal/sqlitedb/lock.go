package sqlitedb

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another process has the store open.
var ErrLocked = errors.New("the store is in use by another process")

// LockFile takes the exclusive lock of a file that stands for something else; closing it gives the lock free.
func LockFile(path string) (*os.File, error) { return lockFile(path) }

// lockFile takes the exclusive lock that stands for the whole store. The kernel releases it with the process, however
// that ends. The file itself is never removed: whoever removed it would let two processes lock two different files.
func lockFile(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%w (%s is locked)", ErrLocked, path)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
