package filesystem_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/filesystem"
)

func TestContract(t *testing.T) {
	backendtest.RunFiles(t, func(t *testing.T) backendtest.Files {
		root := t.TempDir()
		folder, outside := filepath.Join(root, "store"), filepath.Join(root, "outside")
		if err := errors.Join(os.Mkdir(folder, 0o755), os.Mkdir(outside, 0o755)); err != nil {
			t.Fatal(err)
		}
		b, err := filesystem.Open(filesystem.Config{Root: root, Path: "store"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return backendtest.Files{Backend: b, Folder: folder, Outside: outside}
	})
}

func TestOpenStaysInTheRoot(t *testing.T) {
	outer := t.TempDir()
	root := filepath.Join(outer, "root")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "in"), 0o755), os.Mkdir(filepath.Join(outer, "secret"), 0o755),
		os.Symlink(filepath.Join(outer, "secret"), filepath.Join(root, "out")), os.Symlink("in", filepath.Join(root, "link")),
		os.WriteFile(filepath.Join(root, "file"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path             string
		outside, missing bool
	}{
		{path: "in"}, {path: "link"}, {path: "."}, {path: ""},
		{path: "out", outside: true}, {path: "..", outside: true}, {path: "../secret", outside: true},
		{path: "in/../../secret", outside: true}, {path: filepath.Join(outer, "secret"), outside: true}, {path: "a\x00", outside: true},
		{path: "nowhere", missing: true}, {path: "file", missing: true},
	} {
		t.Run(c.path, func(t *testing.T) {
			b, err := filesystem.Open(filesystem.Config{Root: root, Path: c.path})
			var unavailable *backend.UnavailableError
			if errors.Is(err, backend.ErrPathOutsideRoot) != c.outside || errors.As(err, &unavailable) != c.missing {
				t.Errorf("Open: %v", err)
			}
			if err == nil {
				_, err = b.Verify(context.Background(), nil)
			}
			if (err == nil) != (!c.outside && !c.missing) {
				t.Errorf("%v", err)
			}
		})
	}
}
