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

// TestMissingRights: what may not be looked at is not taken for gone, and what may not be removed is named.
func TestMissingRights(t *testing.T) {
	root, ok := backendtest.Unprivileged(t)
	if !ok {
		return
	}
	ctx := context.Background()
	for _, name := range []string{"own/1.txt", "kept/1.txt", "kept/deep/2.txt", "hidden/1.txt", "hidden/deep/2.txt"} {
		if err := errors.Join(os.MkdirAll(filepath.Join(root, "store", filepath.Dir(name)), 0o755), os.WriteFile(filepath.Join(root, "store", name), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	mode := func(folder string, mode os.FileMode) {
		t.Helper()
		if err := os.Chmod(filepath.Join(root, "store", folder), mode); err != nil {
			t.Fatal(err)
		}
	}
	mode("kept", 0o500)
	mode("hidden", 0)
	b, err := filesystem.Open(filesystem.Config{Root: root, Path: "store"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	unlink := func(names ...string) []backend.Operation {
		op := backend.Operation{Entity: "files", Action: backend.Unlink}
		for _, n := range names {
			op.Keys = append(op.Keys, backend.Key{n})
		}
		return []backend.Operation{op}
	}
	resolve := func(kind backend.PathKind, path string) error {
		_, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{{Entity: "files", Paths: []backend.Path{{Path: path, Kind: kind}}}}})
		return err
	}
	run := func(names ...string) error {
		_, err := b.Execute(ctx, backend.Batch{Operations: unlink(names...)})
		return err
	}
	verify := func(names ...string) error { _, err := b.Verify(ctx, unlink(names...)); return err }
	for what, err := range map[string]error{"a file in a hidden folder": resolve(backend.File, "hidden/1.txt"), "a file deeper": resolve(backend.File, "hidden/deep/2.txt"),
		"a file that is not there": resolve(backend.File, "hidden/none"), "a hidden folder": resolve(backend.Directory, "hidden"), "all": resolve(backend.Directory, "hidden/deep"),
		"left in a hidden folder": verify("hidden/1.txt"), "left, of what is not there": verify("hidden/none"), "removing what is hidden": run("hidden/1.txt"),
		"removing what is kept": run("kept/1.txt", "own/1.txt", "kept/deep/2.txt")} {
		var refused *backend.RefusedError
		if !errors.As(err, &refused) || refused.Entity != "files" || refused.Remedy == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	// What could be done is done, and the rest when the right is there.
	if _, err := os.Stat(filepath.Join(root, "store", "own", "1.txt")); !errors.Is(err, os.ErrNotExist) {
		t.Error("what may be removed stays because of what may not")
	}
	mode("kept", 0o700)
	mode("hidden", 0o700)
	all := unlink("kept/1.txt", "kept/deep/2.txt", "own/1.txt", "hidden/1.txt", "hidden/deep/2.txt")
	if left, err := b.Verify(ctx, all); err != nil || left[0] != 3 { // kept/deep could be written
		t.Errorf("left %v, %v", left, err)
	}
	if res, err := b.Execute(ctx, backend.Batch{Operations: all}); err != nil || res.Affected[0] != 3 {
		t.Errorf("%v, %v", res, err)
	}
}

func TestTakesFiles(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "store"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := filesystem.Open(filesystem.Config{Root: root, Path: "store"})
	if err != nil {
		t.Fatal(err)
	}
	backendtest.RunWriter(t, b, func(t *testing.T) []string {
		var names []string
		if err := filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, name)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return names
	})
	writer := b.(backend.ObjectWriter)
	for _, path := range []string{"../out.csv", "/out.csv", "a/../../out.csv", ""} {
		if err := writer.PutNew(context.Background(), path, nil, 0); err == nil {
			t.Errorf("%q was written", path)
		}
	}
	if err := os.Symlink(t.TempDir(), filepath.Join(root, "store", "out")); err != nil {
		t.Fatal(err)
	}
	if err := writer.PutNew(context.Background(), "out/x.csv", nil, 0); !errors.Is(err, backend.ErrPathOutsideRoot) {
		t.Errorf("through a link that leads out: %v", err)
	}
}
