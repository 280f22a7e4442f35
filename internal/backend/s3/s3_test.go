package s3_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/s3"
	"github.com/lethe-dev/lethe/test/s3test"
)

var (
	ctx    = context.Background()
	server *s3test.Server
	user   s3test.Credentials // Lethe's
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if server, err = s3test.Start(ctx, s3test.Options{}); err == nil {
			user, err = server.CreateUser(ctx)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = server.Stop() }()
		return m.Run()
	}())
}

// bucket of the test server, with the policy that says what Lethe may do.
type bucket struct {
	*s3test.Server
	name       string
	user       s3test.Credentials
	versioning backendtest.ObjectVersioning
	owner      *minio.Core
	forbidden  []string
}

var _ backendtest.Objects = (*bucket)(nil)

// rights that Lethe needs, and no others: the policy grants them.
var (
	bucketRights = []string{"s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads",
		"s3:GetBucketObjectLockConfiguration"}
	objectRights = []string{"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload", "s3:GetObjectRetention", "s3:GetObjectLegalHold"}
)

func newBucket(t *testing.T, s *s3test.Server, u s3test.Credentials, v backendtest.ObjectVersioning, locks bool) *bucket {
	t.Helper()
	b := &bucket{Server: s, user: u, versioning: v}
	var err error
	if b.owner, err = s.Client(s.Root); err != nil {
		t.Fatal(err)
	}
	if b.name, err = s.CreateBucket(ctx, locks); err != nil {
		t.Fatal(err)
	}
	if v != backendtest.NoVersions && !locks {
		b.Turn(t, v)
	}
	b.grant(t)
	return b
}

func (b *bucket) grant(t *testing.T) {
	t.Helper()
	without := func(rights []string) []string {
		return slices.DeleteFunc(slices.Clone(rights), func(r string) bool { return slices.Contains(b.forbidden, r) })
	}
	statement := func(rights []string, resource string) map[string]any {
		return map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": []string{b.user.AccessKeyID}},
			"Action": without(rights), "Resource": []string{resource}}
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": slices.DeleteFunc([]map[string]any{
		statement(bucketRights, "arn:aws:s3:::"+b.name), statement(objectRights, "arn:aws:s3:::"+b.name+"/*")},
		func(s map[string]any) bool { return len(s["Action"].([]string)) == 0 })})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.owner.SetBucketPolicy(ctx, b.name, string(policy)); err != nil {
		t.Fatal(err)
	}
}

func (b *bucket) Open(t *testing.T, o backendtest.ObjectsOptions) backend.Backend {
	t.Helper()
	c := s3.Config{Endpoint: b.URL(), Region: s3test.Region, Bucket: b.name, Prefix: o.Prefix, PathStyle: true,
		AccessKeyID: b.user.AccessKeyID, SecretAccessKey: b.user.SecretAccessKey, BatchSize: o.BatchSize, Timeout: o.Timeout}
	if o.Address != "" {
		c.Endpoint = "http://" + o.Address
	}
	if o.Bucket != "" {
		c.Bucket = o.Bucket
	}
	if o.AccessKeyID != "" {
		c.AccessKeyID = o.AccessKeyID
	}
	if o.SecretAccessKey != "" {
		c.SecretAccessKey = o.SecretAccessKey
	}
	return open(t, c)
}

func open(t *testing.T, c s3.Config) backend.Backend {
	t.Helper()
	b, err := s3.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func (b *bucket) put(key string, o minio.PutObjectOptions) (version string, err error) {
	info, err := b.owner.Client.PutObject(ctx, b.name, key, strings.NewReader("x"), 1, o)
	return info.VersionID, err
}

func (b *bucket) Put(t *testing.T, key string) bool {
	t.Helper()
	_, err := b.put(key, minio.PutObjectOptions{})
	return err == nil
}

func (b *bucket) Delete(t *testing.T, key string) {
	t.Helper()
	if err := b.owner.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Expunge removes all versions of an object.
func (b *bucket) Expunge(t *testing.T, key string) {
	t.Helper()
	for range 2 {
		_ = b.owner.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{VersionID: "null"})
		for o := range b.owner.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
			if o.Key == key || strings.ContainsRune(o.Key, '\ufffd') {
				_ = b.owner.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{VersionID: o.VersionID})
			}
		}
	}
}

func (b *bucket) Upload(t *testing.T, key string) {
	t.Helper()
	id, err := b.owner.NewMultipartUpload(ctx, b.name, key, minio.PutObjectOptions{})
	if err == nil {
		_, err = b.owner.PutObjectPart(ctx, b.name, key, id, 1, strings.NewReader("part"), 4, minio.PutObjectPartOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (b *bucket) Versioning() backendtest.ObjectVersioning { return b.versioning }

func (b *bucket) Turn(t *testing.T, v backendtest.ObjectVersioning) {
	t.Helper()
	if err := b.owner.SetBucketVersioning(ctx, b.name, minio.BucketVersioningConfiguration{Status: string(v)}); err != nil {
		t.Fatal(err)
	}
}

func (b *bucket) All(t *testing.T) []string {
	t.Helper()
	var list []string
	for o := range b.owner.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		kind := "version "
		if o.IsDeleteMarker {
			kind = "marker "
		}
		list = append(list, kind+o.Key)
	}
	uploads, err := b.owner.ListMultipartUploads(ctx, b.name, "", "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads.Uploads {
		list = append(list, "upload "+u.Key)
	}
	slices.Sort(list)
	return list
}

func (b *bucket) Address() string { return b.Host }

func (b *bucket) Forbid(t *testing.T, right backendtest.ObjectRight) {
	t.Helper()
	b.forbidden = append(b.forbidden, map[backendtest.ObjectRight][]string{
		backendtest.RightToList:   {"s3:ListBucket", "s3:ListBucketVersions"},
		backendtest.RightToDelete: {"s3:DeleteObject", "s3:DeleteObjectVersion"},
		backendtest.RightToAbort:  {"s3:AbortMultipartUpload"},
	}[right]...)
	b.grant(t)
}

func (b *bucket) Stop(t *testing.T) func() {
	t.Helper()
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := b.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContract(t *testing.T) {
	for _, v := range []backendtest.ObjectVersioning{backendtest.NoVersions, backendtest.VersionsEnabled} {
		t.Run("versioning "+string(v), func(t *testing.T) {
			backendtest.RunObjects(t, func(t *testing.T) backendtest.Objects { return newBucket(t, server, user, v, false) })
		})
	}
}
