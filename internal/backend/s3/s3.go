// Package s3 is the backend for object stores that speak the protocol of Amazon S3.
//
// A record is what a bucket holds under a key: in a bucket that keeps versions, or kept them once, every version and every
// delete marker, else the object; and each incomplete multipart upload. Its key is one string of three parts, separated by
// colons:
//
//	v:<version id>:<key>   a version; the id of an object in a bucket without versions is "null"
//	d:<version id>:<key>   a delete marker
//	u:<upload id>:<key>    an incomplete multipart upload
//	o::<key>               an object of a server that knows no versions at all
//
// The id is escaped as in the query of a URL, so that it has no colon; the key is the object's whole key, as it is.
//
// Deletions always name the version, "null" too. So they never leave a delete marker in the place of an object, not even
// where somebody turns versioning on between two requests. The access key needs s3:GetBucketVersioning, s3:ListBucket or
// s3:ListBucketVersions, s3:ListBucketMultipartUploads, s3:DeleteObject, s3:DeleteObjectVersion and
// s3:AbortMultipartUpload, and for object locks s3:GetBucketObjectLockConfiguration, s3:GetObjectRetention and
// s3:GetObjectLegalHold.
package s3

import (
	"context"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Backend is a bucket, or a folder of one.
type Backend struct {
	config Config
	prefix string // of all keys; empty or with a slash at its end
	core   *minio.Core
	base   *http.Transport
	clock  clock.WithDelayedExecution
}

var (
	_ backend.Backend  = (*Backend)(nil)
	_ backend.Retainer = (*Backend)(nil)
)

// Describe asks for the bucket and lists a little of it, so that missing rights are found. Whether the rights to delete
// suffice shows only when something is deleted.
func (b *Backend) Describe(ctx context.Context) (backend.Description, error) {
	seen := &exchange{}
	v, err := b.versioning(withExchange(ctx, seen))
	if err != nil {
		return backend.Description{}, err
	}
	for _, list := range b.listers(v) {
		if err := list(ctx, b.prefix, 1, func([]entry) (bool, error) { return false, nil }); err != nil {
			return backend.Description{}, err
		}
	}
	locked, err := b.locked(ctx)
	if err != nil {
		return backend.Description{}, err
	}
	words := []string{"S3"}
	if name := printable(seen.server); name != "" {
		words[0] += " (" + name + ")"
	}
	switch {
	case !v.known:
		words = append(words, "no versioning")
	case v.status == "":
		words = append(words, "versioning off")
	default:
		words = append(words, "versioning "+printable(v.status))
	}
	if locked {
		words = append(words, "object lock")
	}
	return backend.Description{Version: strings.Join(words, ", ")}, nil
}

// printable is at most 48 characters of a server's text.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text)
	return text[:min(48, len(text))]
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

// Close ends the idle connections; those in use end with their calls.
func (b *Backend) Close() error {
	b.base.CloseIdleConnections()
	return nil
}
