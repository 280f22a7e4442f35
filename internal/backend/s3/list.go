package s3

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-dev/lethe/internal/backend"
)

// versioning of a bucket.
type versioning struct {
	// known is false where the server has no versions at all.
	known bool
	// status is Enabled, Suspended or empty, which means that the bucket never had versions.
	status string
}

func (v versioning) kept() bool { return v.status != "" }

func (b *Backend) versioning(ctx context.Context) (versioning, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.Timeout, errDeadline)
	defer cancel()
	config, err := b.core.GetBucketVersioning(ctx, b.config.Bucket)
	if notImplemented(err) {
		return versioning{}, nil
	}
	if err != nil {
		return versioning{}, translate(ctx, err, "s3:GetBucketVersioning")
	}
	return versioning{known: true, status: config.Status}, nil
}

// visitor takes the entries of a page of a list and says whether to go on. A page covers a range of keys that no later
// page covers again, but for its last key; within the page the order is the server's.
type visitor func(page []entry) (more bool, err error)

// lister lists what is under a prefix, in pages of at most size entries.
type lister func(ctx context.Context, prefix string, size int, visit visitor) error

const (
	maxPage = 1000 // entries of a page, by the protocol
	// maxEmpty is how many pages without any entry may follow on each other.
	maxEmpty = 100
)

// listers are the lists that together hold all that a bucket has under its keys.
func (b *Backend) listers(v versioning) []lister {
	return []lister{
		func(ctx context.Context, prefix string, size int, visit visitor) error {
			return b.listObjects(ctx, v, prefix, size, visit)
		},
		b.listUploads,
	}
}

// listObjects lists the versions and delete markers of a bucket that keeps them, else the objects.
func (b *Backend) listObjects(ctx context.Context, v versioning, prefix string, size int, visit visitor) error {
	ctx, touch, stop := b.watch(ctx)
	defer stop()
	right, noOwner := "s3:ListBucket", false
	if v.kept() {
		right = "s3:ListBucketVersions"
	}
	var page []entry
	var visited error
	steps, done := pageSteps{prefix: prefix}, false
	hook := &exchange{before: func() error { // all of the last page is there when the next one is asked for
		touch()
		var more bool
		if more, visited = steps.step(page, visit); visited == nil && more {
			page = nil
			return nil
		}
		done = true
		stop()
		return context.Canceled // so that the library does not try again
	}}
	for o := range b.core.ListObjectsIter(withExchange(ctx, hook), b.config.Bucket, minio.ListObjectsOptions{
		Prefix: prefix, Recursive: true, WithVersions: v.kept(), MaxKeys: size, FetchOwner: &noOwner,
	}) {
		if done {
			return visited
		}
		if o.Err != nil {
			return translate(ctx, o.Err, right)
		}
		e := entry{kind: kindVersion, id: o.VersionID, key: o.Key}
		switch {
		case o.IsDeleteMarker:
			e.kind = kindMarker
		case !v.known:
			e.kind, e.id = kindObject, ""
		case !v.kept():
			e.id = nullVersion
		}
		page = append(page, e)
	}
	if done {
		return visited
	}
	if ctx.Err() != nil { // with which the library's list just ends
		return translate(ctx, ctx.Err(), right)
	}
	_, err := steps.step(page, visit)
	return err
}

// listUploads lists the incomplete multipart uploads.
func (b *Backend) listUploads(ctx context.Context, prefix string, size int, visit visitor) error {
	steps := pageSteps{prefix: prefix}
	keyMarker, idMarker := "", ""
	for {
		result, err := b.uploadsPage(ctx, prefix, keyMarker, idMarker, size)
		if err != nil {
			return err
		}
		page := make([]entry, len(result.Uploads))
		for i, u := range result.Uploads {
			page[i] = entry{kind: kindUpload, id: u.UploadID, key: u.Key}
		}
		if more, err := steps.step(page, visit); err != nil || !more || !result.IsTruncated {
			return err
		}
		if result.NextKeyMarker == "" || result.NextKeyMarker == keyMarker && result.NextUploadIDMarker == idMarker {
			return badList
		}
		keyMarker, idMarker = result.NextKeyMarker, result.NextUploadIDMarker
	}
}

func (b *Backend) uploadsPage(ctx context.Context, prefix, keyMarker, idMarker string, size int) (minio.ListMultipartUploadsResult, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.Timeout, errDeadline)
	defer cancel()
	result, err := b.core.ListMultipartUploads(ctx, b.config.Bucket, prefix, keyMarker, idMarker, "", size)
	return result, translate(ctx, err, "s3:ListBucketMultipartUploads")
}

// badList: without order, nobody knows when all versions of a key were seen.
var badList = refused("the server's lists are not those of S3: they do not advance in the order of the keys", "use a server that lists in order")

// pageSteps checks that the pages of a list are what was asked for.
type pageSteps struct {
	prefix string
	first  entry  // of the last page
	last   string // the greatest key so far
	empty  int
}

func (s *pageSteps) step(page []entry, visit visitor) (more bool, err error) {
	if len(page) == 0 {
		if s.empty++; s.empty > maxEmpty {
			return false, badList
		}
		return true, nil
	}
	if page[0] == s.first {
		return false, badList
	}
	s.first, s.empty = page[0], 0
	before := s.last
	for _, e := range page {
		switch {
		case !strings.HasPrefix(e.key, s.prefix):
			return false, refused("the server lists objects that were not asked for", "use a server that lists by prefix")
		case e.kind != kindObject && e.id == "":
			return false, refused("the server lists a version or an upload without its id", "use a server that names versions")
		case !legible(e.key): // nobody knows where it belongs
			continue
		case e.key < before:
			return false, badList
		}
		s.last = max(s.last, e.key)
	}
	return visit(page)
}

// legible: a key is what it seems to be. Servers put U+FFFD in the place of what XML cannot carry, so that the key may be
// another object's.
func legible(key string) bool { return !strings.ContainsRune(key, utf8.RuneError) }

var illegible = refused("the server cannot list the key of an object as it is", "rename the object")

// masked is how a server may list a key that XML cannot carry; ok is false for other keys.
func masked(key string) (listed string, ok bool) {
	listed = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xFFFE || r == 0xFFFF {
			return utf8.RuneError
		}
		return r
	}, key)
	return listed, listed != key
}

func refused(problem, remedy string) error {
	return &backend.RefusedError{Problem: problem, Remedy: remedy}
}
