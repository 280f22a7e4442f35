package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Files is a store of files for one test. Its folder holds other subjects' files too, and it stands beside a folder
// that the store must not touch.
type Files struct {
	Backend backend.Backend
	// Folder is the store's folder; the suite puts files there with the os package.
	Folder string
	// Outside is a folder outside the store.
	Outside string
}

// RunFiles runs the suite for stores of files. fresh makes an empty store.
func RunFiles(t *testing.T, fresh func(t *testing.T) Files) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, f Files)
	}{
		{"finds files that exist", testFindFiles},
		{"finds all of a folder", testFindFolder},
		{"refuses paths that lead out", testPathsOutside},
		{"removes what is planned and nothing else", testUnlink},
		{"waits before an effect", testBeforeUnlink},
		{"never follows a link", testLinks},
		{"keeps a folder in which something is left", testFolderNotEmpty},
		{"stops at too many files", testTooManyFiles},
		{"a missing folder is not an erased one", testFolderGone},
		{"odd names", testOddNames},
		{"refuses what files have not", testWrongFileOperations},
		{"a cancelled call is unavailable, and ended by the next", testCancelFiles},
		{"calls run concurrently on files", testConcurrentFiles},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := fresh(t)
			f.write(t, "docs/1/cv.pdf", "docs/1/deep/er/letter.txt", "docs/10/cv.pdf", "docs/1.txt", "other/1/x")
			if err := os.WriteFile(filepath.Join(f.Outside, "secret"), []byte("secret"), 0o600); err != nil {
				t.Fatal(err)
			}
			c.test(t, f)
			if _, err := os.Stat(filepath.Join(f.Outside, "secret")); err != nil {
				t.Errorf("a file outside the store: %v", err)
			}
		})
	}
}

func (f Files) write(t *testing.T, names ...string) {
	t.Helper()
	for _, n := range names {
		p := filepath.Join(f.Folder, n)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(n), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// tree lists everything in the store.
func (f Files) tree(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(f.Folder, func(p string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(f.Folder, p); err == nil && rel != "." {
			if d.IsDir() {
				rel += "/"
			}
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func paths(ps ...backend.Path) backend.ResolveRequest {
	return backend.ResolveRequest{Queries: []backend.Query{{Entity: "files", Paths: ps}}}
}

func file(p string) backend.Path   { return backend.Path{Path: p} }
func folder(p string) backend.Path { return backend.Path{Path: p, Kind: backend.Directory} }

func unlink(names ...string) []backend.Operation {
	op := backend.Operation{Entity: "files", Action: backend.Unlink}
	for _, n := range names {
		op.Keys = append(op.Keys, backend.Key{n})
	}
	return []backend.Operation{op}
}

// foundNames are the names of rows, each as the row stands.
func foundNames(rows []backend.Row) []string {
	var list []string
	for _, r := range rows {
		list = append(list, r.Name)
	}
	return list
}

func testFindFiles(t *testing.T, f Files) {
	res := resolve(t, f.Backend, paths(file("docs/10/cv.pdf"), file("docs/./1/cv.pdf"), file("docs/1/cv.pdf"), file("docs/2/cv.pdf"),
		file("docs/1.txt/below"), file("nowhere")))
	WantEqual(t, "files", found(f.Backend, res, "files"), []string{"docs/1/cv.pdf", "docs/10/cv.pdf"})
	_, err := f.Backend.Resolve(ctx, paths(file("docs/1")))
	wantError[*backend.RefusedError](t, err, "files", "folder")
}

func testFindFolder(t *testing.T, f Files) {
	want := []string{"docs/1/cv.pdf", "docs/1/deep/er/letter.txt", "docs/1/deep/er/", "docs/1/deep/", "docs/1/"}
	for _, p := range []string{"docs/1", "docs/1/"} {
		res := resolve(t, f.Backend, paths(folder(p), file("docs/1/cv.pdf"), folder("docs/1/deep"), folder("docs/2")))
		WantEqual(t, "folder", found(f.Backend, res, "files"), want)
		WantEqual(t, "names", foundNames(res.Rows["files"]), want)
	}
	res := resolve(t, f.Backend, paths(folder("docs/2"), folder("docs/1"), file("docs/1/cv.pdf")))
	for i, leads := range [][]int{{1, 2}, {1}, {1}, {1}, {1}} {
		WantEqual(t, "paths that lead to "+want[i], res.Rows["files"][i].Paths, leads)
	}
	for _, kind := range []backend.PathKind{backend.Prefix, backend.KeyPattern, backend.Resource, "Other"} {
		_, err := f.Backend.Resolve(ctx, paths(backend.Path{Path: "docs/1", Kind: kind}))
		wantError[*backend.RefusedError](t, err, "files", string(kind))
	}
	res = resolve(t, f.Backend, paths(folder("docs/1.txt")))
	WantEqual(t, "a file where a folder was expected", found(f.Backend, res, "files"), []string{"docs/1.txt"})
}

func testPathsOutside(t *testing.T, f Files) {
	before := f.tree(t)
	out := filepath.Base(f.Outside)
	for link, target := range map[string]string{"docs/out": f.Outside, "docs/up": "../..", "docs/file": filepath.Join(f.Outside, "secret")} {
		if err := os.Symlink(target, filepath.Join(f.Folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"../" + out + "/secret", "..", "docs/../docs/1/cv.pdf", "docs/..", filepath.Join(f.Outside, "secret"), "/", "/etc/passwd",
		"docs/1\x00/cv.pdf", "docs/out/secret", "docs/up/" + out + "/secret", "docs/1/../../../" + out} {
		for _, kind := range []backend.PathKind{"", backend.File, backend.Directory} {
			_, err := f.Backend.Resolve(ctx, paths(backend.Path{Path: p, Kind: kind}))
			wantError[*backend.RefusedError](t, err, "files")
			if !errors.Is(err, backend.ErrPathOutsideRoot) {
				t.Errorf("Resolve %q: %v is no ErrPathOutsideRoot", p, err)
			}
		}
		_, err := f.Backend.Execute(ctx, backend.Batch{Operations: unlink(p)})
		wantError[*backend.RefusedError](t, err, "files")
		_, err = f.Backend.Verify(ctx, unlink(p))
		wantError[*backend.RefusedError](t, err, "files")
	}
	// These would be the whole store, or somebody else's folder, where a column is empty.
	for _, p := range []string{"", ".", "./", "docs//cv.pdf", "docs//"} {
		_, err := f.Backend.Resolve(ctx, paths(folder(p)))
		wantError[*backend.RefusedError](t, err, "files")
		_, err = f.Backend.Execute(ctx, backend.Batch{Operations: unlink(p)})
		wantError[*backend.RefusedError](t, err, "files")
	}
	for _, link := range []string{"docs/out", "docs/up", "docs/file"} {
		if err := os.Remove(filepath.Join(f.Folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	WantEqual(t, "tree", f.tree(t), before)
}

func testUnlink(t *testing.T, f Files) {
	req := paths(folder("docs/1"), file("docs/1.txt"))
	res := resolve(t, f.Backend, req)
	ops := unlink(found(f.Backend, res, "files")...)
	wantLeft(t, f.Backend, ops, 6)
	WantEqual(t, "affected", execute(t, f.Backend, ops), []int64{6})
	wantLeft(t, f.Backend, ops, 0)
	WantEqual(t, "affected by doing it again", execute(t, f.Backend, ops), []int64{0})
	WantEqual(t, "tree", f.tree(t), []string{"docs/", "docs/10/", "docs/10/cv.pdf", "other/", "other/1/", "other/1/x"})
	f.write(t, "docs/1/cv.pdf")
	wantLeft(t, f.Backend, ops, 2) // the file and its folder
	if _, ok := f.Backend.(backend.Transactional); ok {
		t.Error("a store of files is not transactional")
	}
	// Killed half-way: the rest is done by doing it again.
	WantEqual(t, "half", execute(t, f.Backend, unlink("docs/1/cv.pdf")), []int64{1})
	WantEqual(t, "the rest", execute(t, f.Backend, ops), []int64{1})
}

func testBeforeUnlink(t *testing.T, f Files) {
	before := f.tree(t)
	_, err := f.Backend.Execute(ctx, backend.Batch{Operations: unlink("docs/1.txt"), BeforeEffect: func(context.Context) error { return errNotYet }})
	if err == nil {
		t.Error("removed although it was refused")
	}
	WantEqual(t, "tree", f.tree(t), before)
	called := false
	_, err = f.Backend.Execute(ctx, backend.Batch{Operations: unlink("docs/1.txt"), BeforeEffect: func(context.Context) error {
		WantEqual(t, "tree", f.tree(t), before)
		called = true
		return nil
	}})
	if err != nil || !called {
		t.Errorf("permitted: %v, called: %t", err, called)
	}
	wantLeft(t, f.Backend, unlink("docs/1.txt"), 0)
}

func testLinks(t *testing.T, f Files) {
	for link, target := range map[string]string{
		"docs/1/out": f.Outside, "docs/1/other": "../../other", "docs/1/loop": ".", "docs/1/dangling": "nowhere", "docs/link": "../other/1/x",
	} {
		if err := os.Symlink(target, filepath.Join(f.Folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	res := resolve(t, f.Backend, paths(folder("docs/1"), file("docs/link"), folder("docs/1/other")))
	names := found(f.Backend, res, "files")
	WantEqual(t, "links stand for themselves", names, []string{"docs/1/cv.pdf", "docs/1/dangling", "docs/1/deep/er/letter.txt", "docs/1/loop",
		"docs/1/other", "docs/1/out", "docs/link", "docs/1/deep/er/", "docs/1/deep/", "docs/1/"})
	WantEqual(t, "affected", execute(t, f.Backend, unlink(names...)), []int64{10})
	WantEqual(t, "tree", f.tree(t), []string{"docs/", "docs/1.txt", "docs/10/", "docs/10/cv.pdf", "other/", "other/1/", "other/1/x"})
}

func testFolderNotEmpty(t *testing.T, f Files) {
	res := resolve(t, f.Backend, paths(folder("docs/1")))
	ops := unlink(found(f.Backend, res, "files")...)
	f.write(t, "docs/1/late.txt")
	WantEqual(t, "affected", execute(t, f.Backend, ops), []int64{4})
	wantLeft(t, f.Backend, ops, 1)
}

func testTooManyFiles(t *testing.T, f Files) {
	req := paths(folder("docs/1"), file("docs/1.txt"))
	req.MaxRows = 6
	resolve(t, f.Backend, req)
	req.MaxRows = 5
	_, err := f.Backend.Resolve(ctx, req)
	wantError[*backend.TooManyRowsError](t, err)
}

func testFolderGone(t *testing.T, f Files) {
	away := f.Folder + "-away"
	fail := func(what string) {
		t.Helper()
		_, err := f.Backend.Resolve(ctx, paths(file("docs/1.txt")))
		wantError[*backend.UnavailableError](t, err)
		_, err = f.Backend.Execute(ctx, backend.Batch{Operations: unlink("docs/1.txt")})
		wantError[*backend.UnavailableError](t, err)
		_, err = f.Backend.Verify(ctx, unlink("docs/1.txt"))
		wantError[*backend.UnavailableError](t, err)
		if _, err = f.Backend.Describe(ctx); err == nil {
			t.Errorf("%s: Describe finds nothing wrong", what)
		}
	}
	if err := os.Rename(f.Folder, away); err != nil {
		t.Fatal(err)
	}
	fail("no folder")
	if err := os.Mkdir(f.Folder, 0o755); err != nil { // as an unmounted volume leaves it
		t.Fatal(err)
	}
	fail("another folder in its place")
	if err := errors.Join(os.Remove(f.Folder), os.Rename(away, f.Folder)); err != nil {
		t.Fatal(err)
	}
	wantLeft(t, f.Backend, unlink("docs/1.txt"), 1)
}

func testOddNames(t *testing.T, f Files) {
	names := []string{"1", "10", "01", " 1", "1 ", "a_b", "a%b", "aXb", "A_B", "а", "ａ", "a", "straße", "strasse", "\u212A", "K", "k", "-rf", "a b", "a'b", `a"b`, `a\b`, "*", "?", "é", "e\u0301", "...", "..x", "x..", "~", "$HOME", "a\nb", strings.Repeat("n", 200)}
	for _, n := range names {
		f.write(t, "odd/"+n)
	}
	for i, n := range names {
		res := resolve(t, f.Backend, paths(file("odd/"+n)))
		WantEqual(t, n, found(f.Backend, res, "files"), []string{"odd/" + n})
		WantEqual(t, n, execute(t, f.Backend, unlink("odd/"+n)), []int64{1})
		if left, err := os.ReadDir(filepath.Join(f.Folder, "odd")); err != nil || len(left) != len(names)-1-i {
			t.Fatalf("%q: %d files left, %v", n, len(left), err)
		}
	}
	// A name that a plan could not carry must not be passed over in silence.
	f.write(t, "odd/\xff")
	_, err := f.Backend.Resolve(ctx, paths(folder("odd")))
	wantError[*backend.RefusedError](t, err, "files", "UTF-8")
	for _, long := range []string{"odd/" + strings.Repeat("n", 300), strings.Repeat("odd/", 2_500)} {
		_, err = f.Backend.Resolve(ctx, paths(file(long)))
		wantError[*backend.RefusedError](t, err, "files")
	}
}

func testWrongFileOperations(t *testing.T, f Files) {
	before := f.tree(t)
	for _, op := range []backend.Operation{
		{Entity: "files", Action: backend.Delete, Keys: []backend.Key{{"docs/1.txt"}}},
		{Entity: "files", Action: backend.Update, Keys: []backend.Key{{"docs/1.txt"}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"docs/1.txt", "x"}}},
	} {
		// The good operation before the bad one is not begun.
		_, err := f.Backend.Execute(ctx, backend.Batch{Operations: append(unlink("docs/1.txt"), op)})
		wantError[*backend.RefusedError](t, err, "files")
	}
	_, err := f.Backend.Resolve(ctx, subject("1"))
	wantError[*backend.RefusedError](t, err, "person")
	c, cancel := context.WithCancel(ctx)
	cancel()
	_, err = f.Backend.Execute(c, backend.Batch{Operations: unlink("docs/1.txt")})
	wantError[*backend.UnavailableError](t, err)
	WantEqual(t, "tree", f.tree(t), before)
	d, err := f.Backend.Describe(ctx)
	if err != nil || d.Version == "" {
		t.Errorf("Describe: %+v, %v", d, err)
	}
}

// countdown is cancelled when it has been asked n times.
type countdown struct {
	context.Context
	n int
}

func (c *countdown) Err() error {
	if c.n--; c.n < 0 {
		return context.Canceled
	}
	return nil
}

func testCancelFiles(t *testing.T, f Files) {
	before := f.tree(t)
	ops := unlink(found(f.Backend, resolve(t, f.Backend, paths(folder("docs/1"))), "files")...)
	for n := range 2 {
		_, err := f.Backend.Resolve(&countdown{ctx, n}, paths(folder("docs/1")))
		wantError[*backend.UnavailableError](t, err)
		_, err = f.Backend.Verify(&countdown{ctx, n}, ops)
		wantError[*backend.UnavailableError](t, err)
	}
	WantEqual(t, "tree", f.tree(t), before)
	_, err := f.Backend.Execute(&countdown{ctx, 2}, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	wantLeft(t, f.Backend, ops, 3)
	WantEqual(t, "the rest", execute(t, f.Backend, ops), []int64{3})
	WantEqual(t, "tree", f.tree(t), []string{"docs/", "docs/1.txt", "docs/10/", "docs/10/cv.pdf", "other/", "other/1/", "other/1/x"})
}

func testConcurrentFiles(t *testing.T, f Files) {
	var wg sync.WaitGroup
	for i := range 16 {
		dir := fmt.Sprint("many/", i)
		f.write(t, dir+"/a", dir+"/b")
		wg.Go(func() {
			res, err := f.Backend.Resolve(ctx, paths(folder(dir)))
			if err != nil {
				t.Errorf("Resolve: %v", err)
				return
			}
			if _, err := f.Backend.Execute(ctx, backend.Batch{Operations: unlink(found(f.Backend, res, "files")...)}); err != nil {
				t.Errorf("Execute: %v", err)
			}
		})
	}
	wg.Wait()
	if left, err := os.ReadDir(filepath.Join(f.Folder, "many")); err != nil || len(left) != 0 {
		t.Errorf("%d left, %v", len(left), err)
	}
}
