package s3

import (
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-dev/lethe/internal/backend"
)

var _ backend.ObjectWriter = (*Backend)(nil)

// partSize of a multipart upload; one part is held in memory.
const partSize = 16 << 20

// PutNew writes an object on the condition that there is none. A server that does not know the condition is asked beforehand.
// The access key needs s3:PutObject, s3:GetObject and s3:AbortMultipartUpload.
func (b *Backend) PutNew(ctx context.Context, path string, content io.Reader, size int64) error {
	at, err := b.place(backend.Path{Path: path})
	if err != nil {
		return err
	}
	ctx, touch, stop := b.watch(ctx)
	defer stop()
	_, err = b.core.StatObject(ctx, b.config.Bucket, at.key, minio.StatObjectOptions{})
	if err == nil {
		return backend.ErrExists
	}
	if r, ok := response(err); !ok || r.StatusCode != http.StatusNotFound {
		return translate(ctx, err, "s3:GetObject")
	}
	options := minio.PutObjectOptions{PartSize: partSize, NumThreads: 1, ContentType: "application/octet-stream"}
	options.SetMatchETagExcept("*")
	source := &touching{from: content, touch: touch}
	_, err = b.core.Client.PutObject(ctx, b.config.Bucket, at.key, source, size, options)
	if source.err != nil && !errors.Is(source.err, io.EOF) {
		return source.err // what failed was not the store
	}
	if r, ok := response(err); ok && (r.StatusCode == http.StatusPreconditionFailed || r.StatusCode == http.StatusConflict) {
		return backend.ErrExists
	}
	return translate(ctx, err, "s3:PutObject")
}

// touching tells that something happens with each read.
type touching struct {
	from  io.Reader
	touch func()
	err   error
}

func (t *touching) Read(p []byte) (int, error) {
	t.touch()
	n, err := t.from.Read(p)
	t.err = err
	return n, err
}

// OpenObject reads an object.
func (b *Backend) OpenObject(ctx context.Context, path string) (io.ReadCloser, error) {
	at, err := b.place(backend.Path{Path: path})
	if err != nil {
		return nil, err
	}
	body, _, _, err := b.core.GetObject(ctx, b.config.Bucket, at.key, minio.GetObjectOptions{})
	if r, ok := response(err); ok && r.StatusCode == http.StatusNotFound && r.Code != minio.NoSuchBucket {
		return nil, backend.ErrNoObject
	}
	if err != nil {
		return nil, translate(ctx, err, "s3:GetObject")
	}
	return body, nil
}
