package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// MaxProofFile bounds what is read of keys, checkpoints, proofs and certificates.
const MaxProofFile = 4 << 20

// ReadFile reads such a file.
func ReadFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, Cause(err))
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, MaxProofFile+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s cannot be read: %w", path, Cause(err))
	case len(text) > MaxProofFile:
		return nil, fmt.Errorf("%s is longer than %d bytes: it is no certificate, checkpoint or proof", path, MaxProofFile)
	}
	return text, nil
}

// WriteWhole writes a file so that it is there whole or not at all: what fails in the middle leaves what was there before.
func WriteWhole(path string, write func(io.Writer) error) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, Cause(err))
	}
	defer func() {
		if err != nil {
			_, _ = file.Close(), os.Remove(file.Name())
		}
	}()
	buffer := bufio.NewWriterSize(file, 1<<16)
	if err = write(buffer); err != nil {
		return err
	}
	// Only its owner reads it, as the log of accesses has names; and Windows renames no file that is open.
	if err = errors.Join(buffer.Flush(), file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, Cause(err))
	}
	return nil
}
