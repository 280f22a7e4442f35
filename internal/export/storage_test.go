package export

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func openStorage(t *testing.T, folder string, max int64) *Storage {
	t.Helper()
	s, err := OpenStorage(folder, max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func put(s *Storage, uid, text string) error {
	f, err := s.Create("hr", uid, "a.csv")
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := io.WriteString(f, text); err != nil {
		return err
	}
	return f.Commit()
}

func names(t *testing.T, folder string) []string {
	t.Helper()
	var all []string
	if err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err == nil && path != folder {
			all = append(all, strings.TrimPrefix(path, folder+"/"))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// The bound holds over all files, what goes makes room again, and who hits it leaves nothing behind.
func TestQuota(t *testing.T) {
	folder := t.TempDir()
	s := openStorage(t, folder, 10)
	for _, step := range []struct {
		what string
		do   func() error
		want error
	}{
		{"six of ten", func() error { return put(s, "a", "123456") }, nil},
		{"six more", func() error { return put(s, "b", "123456") }, ErrQuota},
		{"four more", func() error { return put(s, "b", "1234") }, nil},
		{"one more", func() error { return put(s, "c", "1") }, ErrQuota},
		{"room again", func() error { return s.Remove("hr", "a") }, nil},
		{"six again", func() error { return put(s, "c", "123456") }, nil},
		{"nothing there", func() error { return s.Remove("hr", "a") }, nil},
		{"still full", func() error { return put(s, "d", "1") }, ErrQuota},
	} {
		if err := step.do(); !errors.Is(err, step.want) {
			t.Errorf("%s: %v", step.what, err)
		}
	}
	if got := names(t, folder); !slices.Equal(got, []string{"hr", "hr/b", "hr/b/a.csv", "hr/c", "hr/c/a.csv"}) {
		t.Errorf("there is %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openStorage(t, folder, 10)
	if err := put(again, "d", "1"); !errors.Is(err, ErrQuota) {
		t.Errorf("what is there counts for the next process too: %v", err)
	}
	if err := put(again, "c", "1"); !errors.Is(err, ErrQuota) { // until it is whole, the old file takes room too
		t.Errorf("%v", err)
	}
}

// A process that is killed leaves a file that the next one removes; the file of before stays whole.
func TestHalfWrittenFilesAreNeverSeen(t *testing.T) {
	folder := t.TempDir()
	s := openStorage(t, folder, 0)
	if err := put(s, "a", "first"); err != nil {
		t.Fatal(err)
	}
	f, err := s.Create("hr", "a", "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, "half"); err != nil {
		t.Fatal(err)
	}
	read := func(s *Storage) string {
		file, err := s.Open("hr", "a", "a.csv")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		text, err := io.ReadAll(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := read(s); got != "first" {
		t.Errorf("while another is written: %q", got)
	}
	again := openStorage(t, folder, 0)
	if got := names(t, folder); !slices.Equal(got, []string{"hr", "hr/a", "hr/a/a.csv"}) || read(again) != "first" {
		t.Errorf("after a kill there is %v", got)
	}
}

func TestStorageStaysInItsFolder(t *testing.T) {
	outer := t.TempDir()
	if err := os.WriteFile(filepath.Join(outer, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openStorage(t, filepath.Join(outer, "exports"), 0)
	for _, uid := range []string{"..", "../..", ".", "", "a/b"} {
		if err := s.Remove("hr", uid); err == nil {
			t.Errorf("%q was removed", uid)
		}
	}
	if _, err := s.Open("..", "", "secret"); err == nil {
		t.Error("a file outside was opened")
	}
	if _, err := s.Create("..", "..", "secret"); err == nil {
		t.Error("a file outside was made")
	}
	if _, err := os.Stat(filepath.Join(outer, "secret")); err != nil {
		t.Error(err)
	}
}

// Objects may have longer names than files.
func TestTheLongestNameHasAFile(t *testing.T) {
	namespace, name := strings.Repeat("n", 63), strings.Repeat("x", 253)
	const uid = "0b8e6a52-6a32-4b3c-9b8e-3f4f3b0e8a11"
	s := openStorage(t, t.TempDir(), 0)
	f, err := s.Create(namespace, uid, FileName(name, v1alpha1.FormatJSON))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	const beside = ".lethe-part" // as a DataStore's folder names what is unfinished
	file := StoreName(namespace, name, uid, v1alpha1.FormatJSON)
	if err := os.WriteFile(filepath.Join(t.TempDir(), file+beside), nil, 0o600); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(file, "-0b8e6a52.json") {
		t.Error(file)
	}
}
