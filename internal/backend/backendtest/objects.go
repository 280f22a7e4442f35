package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// ObjectsOptions of a connection; zero values mean Lethe's own, or the backend's default.
type ObjectsOptions struct {
	Prefix, Bucket, Address      string
	AccessKeyID, SecretAccessKey string
	BatchSize                    int
	Timeout                      time.Duration
}

// ObjectVersioning is a state of a bucket.
type ObjectVersioning string

// The states. NoVersions is a bucket that never had any.
const (
	NoVersions        ObjectVersioning = "off"
	VersionsEnabled   ObjectVersioning = "Enabled"
	VersionsSuspended ObjectVersioning = "Suspended"
)

// Objects is an empty bucket for one test, seen by its owner.
type Objects interface {
	// Open opens the backend under test with the credentials that Lethe would have.
	Open(t *testing.T, o ObjectsOptions) backend.Backend
	// Put writes an object, and a new version of it where the bucket has versions. It is false where the server takes
	// no object of that key.
	Put(t *testing.T, key string) bool
	// Delete deletes an object as an application does: where the bucket has versions it makes a delete marker.
	Delete(t *testing.T, key string)
	// Expunge removes an object with all its versions; none is no error.
	Expunge(t *testing.T, key string)
	// Upload begins a multipart upload and leaves it.
	Upload(t *testing.T, key string)
	// Versioning of the bucket at first, and Turn to change it.
	Versioning() ObjectVersioning
	Turn(t *testing.T, v ObjectVersioning)
	// All lists all that the bucket holds, sorted: "version KEY", "marker KEY" and "upload KEY".
	All(t *testing.T) []string
	// Address of the server, host and port.
	Address() string
	// Forbid takes a right from Lethe.
	Forbid(t *testing.T, right ObjectRight)
	// Stop takes the server away until the returned function is called.
	Stop(t *testing.T) (start func())
}

// ObjectRight is a right on a bucket.
type ObjectRight string

// The rights. RightToDelete is for all versions.
const (
	RightToList   ObjectRight = "list"
	RightToDelete ObjectRight = "delete"
	RightToAbort  ObjectRight = "abort uploads"
)

// RunObjects runs the suite for stores of objects. fresh makes an empty bucket.
func RunObjects(t *testing.T, fresh func(t *testing.T) Objects) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, o bucket)
	}{
		{"finds exactly what the paths name", testFindObjects},
		{"refuses paths that no object has", testObjectPaths},
		{"removes what is planned and nothing else", testRemoveObjects},
		{"keys are compared exactly", testNastyObjects},
		{"finds all versions and delete markers", testVersions},
		{"finds incomplete uploads", testUploads},
		{"a deletion never hides a version", testTurnedOn},
		{"a new version is not touched and not passed over", testNewVersion},
		{"more objects than a request takes, and a batch done by half", testManyObjects},
		{"stops at too many objects", testTooManyObjects},
		{"a store is a folder of the bucket", testObjectPrefix},
		{"waits before an effect", testBeforeRemove},
		{"a cancelled call is unavailable", testCancelObjects},
		{"a server that says nothing is unavailable", testSilentServer},
		{"a stopped server is unavailable, and found again", testStopObjects},
		{"wrong credentials and a missing bucket are refused", testWrongBucket},
		{"missing privileges are refused by name", testForbidObjects},
		{"refuses what objects have not", testWrongObjectOperations},
		{"calls run concurrently on objects", testConcurrentObjects},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := bucket{Objects: fresh(t)}
			o.put(t, "docs/1/cv.pdf", "docs/1/deep/er/letter.txt", "docs/10/cv.pdf", "docs/1.txt", "docs/1.txt2", "other/1/x")
			o.b = o.Open(t, ObjectsOptions{})
			c.test(t, o)
		})
	}
}

type bucket struct {
	Objects
	b backend.Backend
}

func (o bucket) put(t *testing.T, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if !o.Put(t, k) {
			t.Fatalf("the server does not take %q", k)
		}
	}
}

func prefix(p string) backend.Path { return backend.Path{Path: p, Kind: backend.Prefix} }

// holds lists what the rows stand for, as Objects.All does. The notation's last part is the object's key.
func holds(t *testing.T, rows []backend.Row) []string {
	t.Helper()
	var list []string
	for _, r := range rows {
		if len(r.Key) != 1 {
			t.Fatalf("a key of %d parts", len(r.Key))
		}
		parts := strings.SplitN(r.Key[0], ":", 3)
		if len(parts) != 3 {
			t.Fatalf("key %q is not of three parts", r.Key[0])
		}
		list = append(list, map[string]string{"v": "version", "o": "version", "d": "marker", "u": "upload"}[parts[0]]+" "+parts[2])
	}
	slices.Sort(list)
	return list
}

func (o bucket) find(t *testing.T, b backend.Backend, ps ...backend.Path) []backend.Row {
	t.Helper()
	return resolve(t, b, paths(ps...)).Rows["files"]
}

// planned are operations that remove the rows.
func planned(rows []backend.Row) []backend.Operation {
	op := backend.Operation{Entity: "files", Action: backend.Unlink}
	for _, r := range rows {
		op.Keys = append(op.Keys, r.Key)
	}
	return []backend.Operation{op}
}

func versions(keys ...string) []string {
	var list []string
	for _, k := range keys {
		list = append(list, "version "+k)
	}
	return list
}

func testFindObjects(t *testing.T, o bucket) {
	for _, c := range []struct {
		name  string
		paths []backend.Path
		want  []string
	}{
		{"a file is one key", []backend.Path{file("docs/1.txt")}, versions("docs/1.txt")},
		{"files", []backend.Path{file("docs/10/cv.pdf"), file("docs/1.txt2"), file("nowhere"), file("docs/1")}, versions("docs/1.txt2", "docs/10/cv.pdf")},
		{"a file twice", []backend.Path{file("docs/1.txt"), {Path: "docs/1.txt", Kind: backend.File}}, versions("docs/1.txt")},
		{"a folder", []backend.Path{folder("docs/1")}, versions("docs/1/cv.pdf", "docs/1/deep/er/letter.txt")},
		{"a prefix", []backend.Path{prefix("docs/1")}, versions("docs/1.txt", "docs/1.txt2", "docs/1/cv.pdf", "docs/1/deep/er/letter.txt", "docs/10/cv.pdf")},
		{"a prefix with its slash", []backend.Path{prefix("docs/1/deep/")}, versions("docs/1/deep/er/letter.txt")},
		{"nested", []backend.Path{folder("docs"), folder("docs/1"), file("other/1/x")}, versions("docs/1.txt", "docs/1.txt2", "docs/1/cv.pdf", "docs/1/deep/er/letter.txt", "docs/10/cv.pdf", "other/1/x")},
		{"nothing", []backend.Path{file("docs"), folder("docs/2"), prefix("nowhere"), file("docs/1.tx")}, nil},
		{"other case", []backend.Path{file("DOCS/1.txt"), prefix("Docs")}, nil},
		{"dots are no folders", []backend.Path{file("docs/./1.txt"), file("docs/../docs/1.txt"), folder("other/../docs/1")}, nil},
		{"no paths", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			WantEqual(t, "found", holds(t, o.find(t, o.b, c.paths...)), c.want)
		})
	}
	rows := o.find(t, o.b, folder("docs/2"), folder("docs/1"), file("docs/1/cv.pdf"), prefix("docs/1/c"))
	WantEqual(t, "names", slices.Sorted(slices.Values(foundNames(rows))), []string{"docs/1/cv.pdf", "docs/1/deep/er/letter.txt"})
	leads := map[string][]int{}
	for _, r := range rows {
		leads[holds(t, []backend.Row{r})[0]] = r.Paths
	}
	WantEqual(t, "paths that lead there", leads, map[string][]int{"version docs/1/cv.pdf": {1, 2, 3}, "version docs/1/deep/er/letter.txt": {1}})
}

func testObjectPaths(t *testing.T, o bucket) {
	for _, p := range []backend.Path{
		file(""), folder(""), prefix(""), folder("docs/"), folder("docs/1/"), file("docs/1\x00"), prefix("\x00"), file("docs/\xff"), prefix("\xff"),
		file(strings.Repeat("n", 1025)), folder(strings.Repeat("n", 1024)),
		{Path: "docs/1", Kind: backend.KeyPattern}, {Path: "docs/1", Kind: backend.Resource}, {Path: "docs/1", Kind: "Other"},
	} {
		_, err := o.b.Resolve(ctx, paths(file("docs/1.txt"), p))
		wantError[*backend.RefusedError](t, err, "files")
	}
	_, err := o.b.Resolve(ctx, subject("1"))
	wantError[*backend.RefusedError](t, err, "person")
}

func testRemoveObjects(t *testing.T, o bucket) {
	o.Upload(t, "docs/1/up")
	ops := planned(o.find(t, o.b, folder("docs/1"), file("docs/1.txt")))
	wantLeft(t, o.b, ops, 4)
	WantEqual(t, "affected", execute(t, o.b, ops), []int64{4})
	wantLeft(t, o.b, ops, 0)
	WantEqual(t, "affected by doing it again", execute(t, o.b, ops), []int64{0})
	WantEqual(t, "the rest", o.All(t), versions("docs/1.txt2", "docs/10/cv.pdf", "other/1/x"))
	if _, ok := o.b.(backend.Transactional); ok {
		t.Error("a store of objects is not transactional")
	}
	// Several operations of a batch, each with its own count.
	two := append(planned(o.find(t, o.b, file("docs/1.txt2"))), planned(o.find(t, o.b, folder("docs/10"), file("other/1/x")))...)
	wantLeft(t, o.b, two, 1, 2)
	WantEqual(t, "affected", execute(t, o.b, two), []int64{1, 2})
	wantLeft(t, o.b, two, 0, 0)
	WantEqual(t, "nothing", execute(t, o.b, nil), []int64{})
	d, err := o.b.Describe(ctx)
	if err != nil || d.Version == "" || len(d.Version) > 128 || !strings.Contains(d.Version, string(o.Versioning())) {
		t.Errorf("Describe: %+v, %v", d, err)
	}
}

// nastyKeys each has another one that a careless comparison or escaping takes for it.
var nastyKeys = []string{"1", "10", "a_b", "a%b", "a%5Fb", "a%2Fb", "a/b", "a%252Fb", "a b", "a+b", "a%20b", "a'b", `a"b`, `a\b`, `a\\b`, "a;b", "a?b", "a?b=c",
	"a#b", "a&b", "a&amp;b", "a<b>", "a:b", "v:null:a", "*", "%", "[a]", "{a}", "~", "-rf", "..x", "x..", "A_B", "é", "e\u0301", "É", "straße", "strasse", "ａ", "а", "a",
	"\u212A", "K", "k", "a ", " a", "a\tb", "a\nb", "a\r\nb", "😀", "a\u200bb", "a\x01b", "\u202ea", "../up", "x/../y", "x//y", "/lead", "x/./y",
	strings.Repeat("n/", 499) + "nn", strings.Repeat("n/", 499) + "nm", strings.Repeat("ü", 120)}

func testNastyObjects(t *testing.T, o bucket) {
	before := o.All(t)
	var keys []string
	for _, k := range nastyKeys {
		if !o.Put(t, k) {
			t.Logf("the server does not take %q", k)
			continue
		}
		if all := o.All(t); len(all) != len(before)+len(keys)+1 || !slices.Contains(all, "version "+k) {
			// What the server makes another key of, or lists as another one, is none of these keys.
			t.Logf("the server does not keep %q as it is", k)
			for _, other := range all {
				if key := strings.TrimPrefix(other, "version "); !slices.Contains(before, other) && !slices.Contains(keys, key) {
					o.expunge(t, k, key)
				}
			}
			continue
		}
		keys = append(keys, k)
	}
	if len(keys) < 40 {
		t.Fatalf("the server takes only %d of the keys", len(keys))
	}
	o.testIllegible(t)
	for i, k := range keys {
		rows := o.find(t, o.b, file(k))
		WantEqual(t, fmt.Sprintf("found by %q", k), holds(t, rows), versions(k))
		WantEqual(t, fmt.Sprintf("affected by %q", k), execute(t, o.b, planned(rows)), []int64{1})
		wantLeft(t, o.b, planned(rows), 0)
		want := append(slices.Clone(before), versions(keys[i+1:]...)...)
		slices.Sort(want)
		WantEqual(t, fmt.Sprintf("left after %q", k), o.All(t), want)
	}
}

// testIllegible: servers list U+FFFD where XML cannot carry a character. Such a key is not passed over and not mistaken.
func (o bucket) testIllegible(t *testing.T) {
	t.Helper()
	o.put(t, "lists/k\ufffd", "lists/kk")
	_, err := o.b.Resolve(ctx, paths(folder("lists")))
	wantError[*backend.RefusedError](t, err, "files", "key")
	_, err = o.b.Resolve(ctx, paths(file("lists/kk"), file("lists/k\x01"), file("lists/a")))
	wantError[*backend.RefusedError](t, err, "files", "key")
	WantEqual(t, "beside it", holds(t, o.find(t, o.b, file("lists/kk"), file("lists/a"))), versions("lists/kk"))
	o.expunge(t, "lists/k\ufffd", "lists/kk")
}

// expunge removes objects by the owner's hand.
func (o bucket) expunge(t *testing.T, keys ...string) {
	t.Helper()
	for _, k := range keys {
		o.Expunge(t, k)
	}
}

func testVersions(t *testing.T, o bucket) {
	if o.Versioning() == NoVersions {
		t.Skip("the bucket has no versions")
	}
	o.put(t, "a", "a", "a2", "b")
	o.Delete(t, "a")
	o.Delete(t, "b")
	o.put(t, "a")
	o.Delete(t, "a")
	want := []string{"marker a", "marker a", "version a", "version a", "version a"}
	WantEqual(t, "by file", holds(t, o.find(t, o.b, file("a"))), want)
	rows := o.find(t, o.b, prefix("a"), file("b"))
	WantEqual(t, "by prefix and file", holds(t, rows), []string{"marker a", "marker a", "marker b", "version a", "version a", "version a", "version a2", "version b"})
	for i, r := range rows {
		if marker := r.Key[0][0] == 'd'; marker != (i >= 5) {
			t.Errorf("row %d: a delete marker goes after what it hides", i)
		}
	}
	rows = slices.DeleteFunc(rows, func(r backend.Row) bool { return strings.HasSuffix(r.Key[0], ":a2") })
	WantEqual(t, "affected", execute(t, o.b, planned(rows)), []int64{7})
	wantLeft(t, o.b, planned(rows), 0)
	rest := []string{"version a2"}
	rest = append(rest, versions("docs/1.txt", "docs/1.txt2", "docs/1/cv.pdf", "docs/1/deep/er/letter.txt", "docs/10/cv.pdf", "other/1/x")...)
	WantEqual(t, "the rest", o.All(t), rest)
	// An object of the time before versions and after them.
	o.Turn(t, VersionsSuspended)
	o.put(t, "a2")
	o.Delete(t, "other/1/x")
	rows = o.find(t, o.b, file("a2"), file("other/1/x"))
	WantEqual(t, "suspended", holds(t, rows), []string{"marker other/1/x", "version a2", "version a2", "version other/1/x"})
	WantEqual(t, "affected", execute(t, o.b, planned(rows)), []int64{4})
	WantEqual(t, "the rest", o.All(t), rest[1:len(rest)-1])
}

func testUploads(t *testing.T, o bucket) {
	for _, k := range []string{"docs/1/cv.pdf", "docs/1/cv.pdf", "docs/1/cv.pdf2", "docs/10/x"} {
		o.Upload(t, k)
	}
	WantEqual(t, "by file", holds(t, o.find(t, o.b, file("docs/1/cv.pdf"))), []string{"upload docs/1/cv.pdf", "upload docs/1/cv.pdf", "version docs/1/cv.pdf"})
	rows := o.find(t, o.b, folder("docs/1"))
	WantEqual(t, "affected", execute(t, o.b, planned(rows)), []int64{5})
	wantLeft(t, o.b, planned(rows), 0)
	WantEqual(t, "the rest", o.All(t), append([]string{"upload docs/10/x"}, versions("docs/1.txt", "docs/1.txt2", "docs/10/cv.pdf", "other/1/x")...))
	// An upload of a key without any object.
	rows = o.find(t, o.b, file("docs/10/x"))
	WantEqual(t, "affected", execute(t, o.b, planned(rows)), []int64{1})
	WantEqual(t, "affected by doing it again", execute(t, o.b, planned(rows)), []int64{0})
	o.Upload(t, "docs/10/x") // one that came since
	wantLeft(t, o.b, planned(rows), 1)
}

func testTurnedOn(t *testing.T, o bucket) {
	ops := planned(o.find(t, o.b, folder("docs/1"), file("docs/1.txt")))
	o.Turn(t, VersionsEnabled) // between plan and execution
	WantEqual(t, "affected", execute(t, o.b, ops), []int64{3})
	wantLeft(t, o.b, ops, 0)
	WantEqual(t, "affected by doing it again", execute(t, o.b, ops), []int64{0})
	WantEqual(t, "no delete marker", o.All(t), versions("docs/1.txt2", "docs/10/cv.pdf", "other/1/x"))
}

func testNewVersion(t *testing.T, o bucket) {
	ops := planned(o.find(t, o.b, folder("docs/1")))
	o.put(t, "docs/1/cv.pdf", "docs/1/new.txt")
	if o.Versioning() == NoVersions { // the key has one object, and that one is planned
		WantEqual(t, "affected", execute(t, o.b, ops), []int64{2})
		wantLeft(t, o.b, ops, 0)
		WantEqual(t, "the rest", o.All(t), versions("docs/1.txt", "docs/1.txt2", "docs/1/new.txt", "docs/10/cv.pdf", "other/1/x"))
		return
	}
	wantLeft(t, o.b, ops, 3)
	WantEqual(t, "affected", execute(t, o.b, ops), []int64{2})
	wantLeft(t, o.b, ops, 1)
	WantEqual(t, "the rest", o.All(t), versions("docs/1.txt", "docs/1.txt2", "docs/1/cv.pdf", "docs/1/new.txt", "docs/10/cv.pdf", "other/1/x"))
	// It counts once, where the key is planned in part by each of two operations.
	rows := o.find(t, o.b, file("docs/1/cv.pdf"))
	wantLeft(t, o.b, append(ops, planned(rows)...), 0, 1)
	o.Delete(t, "docs/1/cv.pdf")
	wantLeft(t, o.b, append(ops, planned(rows)...), 1, 1)
}

func testManyObjects(t *testing.T, o bucket) {
	const n = 1100
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				if !o.Put(t, fmt.Sprintf("many/%04d", i)) {
					t.Errorf("not taken: %d", i)
				}
			}
		})
	}
	wg.Wait()
	o.put(t, "many/0000below", "many/00005", "manyfold")
	files := make([]backend.Path, n)
	for i := range files {
		files[i] = file(fmt.Sprintf("many/%04d", i))
	}
	rows := o.find(t, o.b, files...)
	if len(rows) != n {
		t.Fatalf("%d found by their keys, want %d", len(rows), n)
	}
	if all := o.find(t, o.b, folder("many")); len(all) != n+2 {
		t.Fatalf("%d found in the folder, want %d", len(all), n+2)
	}
	ops := planned(rows)
	wantLeft(t, o.b, ops, n)
	// Killed half-way: the rest is done by doing it again.
	half := slices.Clone(rows[:0:0])
	for i := 0; i < len(rows); i += 2 {
		half = append(half, rows[i])
	}
	small := o.Open(t, ObjectsOptions{BatchSize: 100})
	WantEqual(t, "half, in small requests", execute(t, small, planned(half)), []int64{n / 2})
	wantLeft(t, o.b, ops, n/2)
	WantEqual(t, "the rest", execute(t, o.b, ops), []int64{n / 2})
	wantLeft(t, o.b, ops, 0)
	WantEqual(t, "others", holds(t, o.find(t, o.b, prefix("many"))), versions("many/00005", "many/0000below", "manyfold"))
}

func testTooManyObjects(t *testing.T, o bucket) {
	o.Upload(t, "docs/1/up")
	req := paths(folder("docs/1"), file("docs/1.txt"))
	req.Queries = append(req.Queries, backend.Query{Entity: "more", Paths: []backend.Path{file("docs/10/cv.pdf")}})
	for limit, many := range map[int64]bool{0: false, 5: false, 4: true, 3: true, 1: true} {
		req.MaxRows = limit
		_, err := o.b.Resolve(ctx, req)
		if many {
			wantError[*backend.TooManyRowsError](t, err)
		} else if err != nil {
			t.Errorf("MaxRows %d: %v", limit, err)
		}
	}
}

func testObjectPrefix(t *testing.T, o bucket) {
	for _, p := range []string{"docs/1", "docs/1/"} {
		b := o.Open(t, ObjectsOptions{Prefix: p})
		rows := o.find(t, b, file("cv.pdf"), prefix("deep"), file(".txt"), file("/cv.pdf"), prefix("0"), file("../10/cv.pdf"))
		WantEqual(t, "found", holds(t, rows), versions("docs/1/cv.pdf", "docs/1/deep/er/letter.txt"))
		for _, name := range foundNames(rows) {
			if name == "" || !slices.Contains(o.All(t), "version docs/1/"+strings.TrimPrefix(name, "/")) || strings.HasPrefix(name, "docs") {
				t.Errorf("the name %q is not in terms of the store's paths", name)
			}
		}
		for _, path := range []backend.Path{prefix(""), folder(""), file("")} {
			_, err := b.Resolve(ctx, paths(path))
			wantError[*backend.RefusedError](t, err, "files")
		}
		before := o.All(t)
		outside := planned(o.find(t, o.b, file("docs/10/cv.pdf"), file("docs/1.txt")))
		_, err := b.Execute(ctx, backend.Batch{Operations: append(planned(rows), outside...)})
		wantError[*backend.RefusedError](t, err, "files", "prefix")
		_, err = b.Verify(ctx, outside)
		wantError[*backend.RefusedError](t, err, "files", "prefix")
		WantEqual(t, "all", o.All(t), before)
	}
	b := o.Open(t, ObjectsOptions{Prefix: "docs/1"})
	WantEqual(t, "affected", execute(t, b, planned(o.find(t, b, prefix("c")))), []int64{1})
}

func testBeforeRemove(t *testing.T, o bucket) {
	o.Upload(t, "docs/1/up")
	before := o.All(t)
	ops := planned(o.find(t, o.b, folder("docs/1")))
	_, err := o.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { return errNotYet }})
	if !errors.Is(err, errNotYet) {
		t.Errorf("refused: %v", err)
	}
	WantEqual(t, "all", o.All(t), before)
	called := 0
	_, err = o.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error {
		WantEqual(t, "all", o.All(t), before)
		called++
		return nil
	}})
	if err != nil || called != 1 {
		t.Errorf("permitted: %v, called %d times", err, called)
	}
	wantLeft(t, o.b, ops, 0)
}

func testCancelObjects(t *testing.T, o bucket) {
	before := o.All(t)
	ops := planned(o.find(t, o.b, folder("docs/1")))
	c, cancel := context.WithCancel(ctx)
	cancel()
	_, err := o.b.Resolve(c, paths(folder("docs/1"), file("docs/1.txt")))
	wantError[*backend.UnavailableError](t, err)
	_, err = o.b.Execute(c, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	_, err = o.b.Verify(c, ops)
	wantError[*backend.UnavailableError](t, err)
	_, err = o.b.Describe(c)
	wantError[*backend.UnavailableError](t, err)
	// Right before the effect.
	c, cancel = context.WithCancel(ctx)
	_, err = o.b.Execute(c, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { cancel(); return nil }})
	wantError[*backend.UnavailableError](t, err)
	WantEqual(t, "all", o.All(t), before)
}

func testSilentServer(t *testing.T, o bucket) {
	p := newSilentProxy(t, o.Address())
	b := o.Open(t, ObjectsOptions{Address: p.address, Timeout: 300 * time.Millisecond})
	ops := planned(o.find(t, b, folder("docs/1")))
	before := o.All(t)
	p.silent.Store(true)
	_, err := b.Resolve(ctx, paths(folder("docs/1")))
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Verify(ctx, ops)
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Describe(ctx)
	wantError[*backend.UnavailableError](t, err)
	p.silent.Store(false)
	// It falls silent when the deletion is sent: whether it has an effect nobody knows, and doing it again finishes it.
	_, err = b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { p.silent.Store(true); return nil }})
	wantError[*backend.UnavailableError](t, err)
	WantEqual(t, "all", o.All(t), before)
	p.silent.Store(false)
	execute(t, b, ops)
	wantLeft(t, b, ops, 0)
}

func testStopObjects(t *testing.T, o bucket) {
	ops := planned(o.find(t, o.b, folder("docs/1")))
	start := o.Stop(t)
	_, err := o.b.Resolve(ctx, paths(folder("docs/1"), file("docs/1.txt")))
	wantError[*backend.UnavailableError](t, err)
	_, err = o.b.Execute(ctx, backend.Batch{Operations: ops})
	wantError[*backend.UnavailableError](t, err)
	_, err = o.b.Verify(ctx, ops)
	wantError[*backend.UnavailableError](t, err)
	_, err = o.b.Describe(ctx)
	wantError[*backend.UnavailableError](t, err)
	start()
	// The server goes between the permission and the effect.
	_, err = o.b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { start = o.Stop(t); return nil }})
	wantError[*backend.UnavailableError](t, err)
	start()
	wantLeft(t, o.b, ops, 2)
	WantEqual(t, "affected", execute(t, o.b, ops), []int64{2})
	wantLeft(t, o.b, ops, 0)
}

func testWrongBucket(t *testing.T, o bucket) {
	ops := planned(o.find(t, o.b, folder("docs/1")))
	before := o.All(t)
	for name, wrong := range map[string]ObjectsOptions{
		"secret": {SecretAccessKey: "canary-secret"}, "access key": {AccessKeyID: "canary-key"}, "bucket": {Bucket: "no-such-bucket"},
	} {
		t.Run(name, func(t *testing.T) {
			b := o.Open(t, wrong)
			word := "access key"
			if name == "bucket" {
				word = "bucket"
			}
			_, err := b.Describe(ctx)
			wantError[*backend.RefusedError](t, err, word)
			_, err = b.Resolve(ctx, paths(folder("docs/1")))
			wantError[*backend.RefusedError](t, err, word)
			_, err = b.Execute(ctx, backend.Batch{Operations: ops})
			wantError[*backend.RefusedError](t, err, word)
			_, err = b.Verify(ctx, ops)
			wantError[*backend.RefusedError](t, err, word)
		})
	}
	WantEqual(t, "all", o.All(t), before)
}

func testForbidObjects(t *testing.T, o bucket) {
	o.Upload(t, "docs/1/up")
	rows := o.find(t, o.b, folder("docs/1"))
	var objects, uploads []backend.Row
	for _, r := range rows {
		if r.Key[0][0] == 'u' {
			uploads = append(uploads, r)
		} else {
			objects = append(objects, r)
		}
	}
	before := o.All(t)
	o.Forbid(t, RightToDelete)
	_, err := o.b.Execute(ctx, backend.Batch{Operations: planned(objects)})
	wantError[*backend.RefusedError](t, err, "files", "s3:DeleteObjectVersion")
	WantEqual(t, "all", o.All(t), before)
	// As much as can be done is done.
	_, err = o.b.Execute(ctx, backend.Batch{Operations: planned(rows)})
	wantError[*backend.RefusedError](t, err, "files", "s3:DeleteObjectVersion")
	wantLeft(t, o.b, planned(uploads), 0)
	wantLeft(t, o.b, planned(objects), 2)
	o.Upload(t, "docs/1/up")
	uploads = o.find(t, o.b, file("docs/1/up"))
	o.Forbid(t, RightToAbort)
	_, err = o.b.Execute(ctx, backend.Batch{Operations: planned(uploads)})
	wantError[*backend.RefusedError](t, err, "files", "s3:AbortMultipartUpload")
	o.Forbid(t, RightToList)
	right := "s3:ListBucketVersions"
	if o.Versioning() == NoVersions {
		right = "s3:ListBucket "
	}
	_, err = o.b.Resolve(ctx, paths(folder("docs/1")))
	wantError[*backend.RefusedError](t, err, "files", right)
	_, err = o.b.Verify(ctx, planned(objects))
	wantError[*backend.RefusedError](t, err, right)
	_, err = o.b.Describe(ctx)
	wantError[*backend.RefusedError](t, err, right)
}

func testWrongObjectOperations(t *testing.T, o bucket) {
	good := planned(o.find(t, o.b, file("docs/1.txt")))
	before := o.All(t)
	key := good[0].Keys[0]
	for _, op := range []backend.Operation{
		{Entity: "files", Action: backend.Delete, Keys: []backend.Key{key}},
		{Entity: "files", Action: backend.Update, Keys: []backend.Key{key}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{key[0], "x"}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"docs/1.txt"}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"v::docs/1.txt"}}}, // would make a delete marker
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"d::docs/1.txt"}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"v:%zz:docs/1.txt"}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"o:null:docs/1.txt"}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"x:null:docs/1.txt"}}},
		{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"v:null:"}}},
	} {
		_, err := o.b.Execute(ctx, backend.Batch{Operations: append(slices.Clone(good), op)})
		wantError[*backend.RefusedError](t, err, "files")
		_, err = o.b.Verify(ctx, []backend.Operation{op})
		wantError[*backend.RefusedError](t, err, "files")
	}
	WantEqual(t, "all", o.All(t), before)
	// Planned where the server knew no versions: it would be hidden, not deleted.
	plain := []backend.Operation{{Entity: "files", Action: backend.Unlink, Keys: []backend.Key{{"o::docs/1.txt"}}}}
	_, err := o.b.Execute(ctx, backend.Batch{Operations: plain})
	wantError[*backend.StaleError](t, err, "files")
	wantLeft(t, o.b, plain, 1)
	WantEqual(t, "all", o.All(t), before)
}

func testConcurrentObjects(t *testing.T, o bucket) {
	var wg sync.WaitGroup
	for i := range 16 {
		dir := fmt.Sprint("many/", i)
		o.put(t, dir+"/a", dir+"/b")
		wg.Go(func() {
			res, err := o.b.Resolve(ctx, paths(folder(dir)))
			if err != nil {
				t.Errorf("Resolve: %v", err)
				return
			}
			ops := planned(res.Rows["files"])
			if _, err := o.b.Execute(ctx, backend.Batch{Operations: ops}); err != nil {
				t.Errorf("Execute: %v", err)
			}
			if left, err := o.b.Verify(ctx, ops); err != nil || left[0] != 0 {
				t.Errorf("Verify: %v, %v", left, err)
			}
		})
	}
	wg.Wait()
	WantEqual(t, "left", holds(t, o.find(t, o.b, prefix("many"))), []string(nil))
}

// silentProxy stands before a server and passes everything on, until it is silent: then it takes all and answers nothing, as a
// network does that loses its packets.
type silentProxy struct {
	address string
	silent  atomic.Bool
}

func newSilentProxy(t *testing.T, server string) *silentProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &silentProxy{address: l.Addr().String()}
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			mu.Lock()
			open = append(open, client, up)
			mu.Unlock()
			go p.pass(up, client)
			go p.pass(client, up)
		}
	}()
	return p
}

func (p *silentProxy) pass(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.silent.Load() {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = to.Close()
	_, _ = io.Copy(io.Discard, from)
}
