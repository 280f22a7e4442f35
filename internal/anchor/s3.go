package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-dev/lethe/internal/period"
)

// bucket keeps each checkpoint as an object.
type bucket struct {
	client       *minio.Client
	name, prefix string
	retention    *period.Period
	options      Options
}

func openS3(u *url.URL, o Options) (Place, error) {
	query := u.Query()
	for parameter := range query {
		if !slices.Contains([]string{"endpoint", "region", "retention", "path-style"}, parameter) {
			return nil, errors.New("its parameters may be endpoint, region, retention and path-style")
		}
	}
	server := &url.URL{Scheme: "https", Host: "s3.amazonaws.com"}
	if text := query.Get("endpoint"); text != "" {
		var err error
		if server, err = url.Parse(text); err != nil || server.Host == "" || strings.Trim(server.Path, "/") != "" ||
			server.Scheme != "https" && (server.Scheme != "http" || !isLoopback(server.Hostname())) {
			return nil, errors.New("its endpoint must be https://host")
		}
	}
	b := &bucket{name: u.Host, prefix: u.Path, options: o}
	if text := query.Get("retention"); text != "" {
		p, err := period.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("its retention: %w", err)
		}
		b.retention = &p
	}
	region := query.Get("region")
	if region == "" {
		region = "us-east-1"
	}
	lookup := minio.BucketLookupDNS
	if query.Get("path-style") == "true" {
		lookup = minio.BucketLookupPath
	}
	var err error
	b.client, err = minio.New(server.Host, &minio.Options{Secure: server.Scheme == "https", Region: region, BucketLookup: lookup, MaxRetries: 3,
		Creds: credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{}})})
	if err != nil || b.name == "" {
		return nil, errors.New("it must be s3://bucket/prefix, with a bucket and an endpoint that can be")
	}
	return b, nil
}

func (b *bucket) Name() string { return "s3:" + b.name }

// Keep puts the object where none of that name is, under compliance retention if the place has one.
func (b *bucket) Keep(ctx context.Context, origin string, size uint64, checkpoint []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	key := strings.TrimPrefix(name(b.prefix, origin, size), "/")
	o := minio.PutObjectOptions{ContentType: "text/plain; charset=utf-8", SendContentMd5: true}
	if b.retention != nil {
		o.Mode, o.RetainUntilDate = minio.Compliance, b.retention.AddTo(b.options.Now().UTC())
	}
	o.SetMatchETagExcept("*")
	_, err := b.client.PutObject(ctx, b.name, key, bytes.NewReader(checkpoint), int64(len(checkpoint)), o)
	if status := minio.ToErrorResponse(err).StatusCode; err == nil || status != http.StatusPreconditionFailed && status != http.StatusConflict {
		return err
	}
	object, err := b.client.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = object.Close() }()
	there, err := io.ReadAll(io.LimitReader(object, maxCheckpoint))
	if minio.ToErrorResponse(err).StatusCode == http.StatusForbidden {
		return fmt.Errorf("%w: %w", ErrUnread, err)
	}
	if err != nil {
		return err
	}
	return compare(there, checkpoint)
}
