package s3_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/s3"
)

func TestObjectLock(t *testing.T) {
	b := newBucket(t, server, user, backendtest.VersionsEnabled, true)
	until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	for key, o := range map[string]minio.PutObjectOptions{
		"canary/free":       {},
		"canary/compliance": {Mode: minio.Compliance, RetainUntilDate: until},
		"canary/governance": {Mode: minio.Governance, RetainUntilDate: until},
		"canary/held":       {LegalHold: minio.LegalHoldEnabled},
		"canary/both":       {Mode: minio.Governance, RetainUntilDate: until, LegalHold: minio.LegalHoldEnabled},
	} {
		o.SendContentMd5 = true
		if _, err := b.put(key, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.put("canary/governance", minio.PutObjectOptions{}); err != nil { // a newer version without lock
		t.Fatal(err)
	}
	b.Delete(t, "canary/held")
	b.Upload(t, "canary/up")
	s := b.Open(t, backendtest.ObjectsOptions{})
	if d, err := s.Describe(ctx); err != nil || !strings.Contains(d.Version, "object lock") {
		t.Errorf("Describe: %+v, %v", d, err)
	}
	keys := find(t, s, backend.Path{Path: "canary", Kind: backend.Directory})
	ops := unlink(keys...)
	retained, err := s.(backend.Retainer).Retained(ctx, ops)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	byName := map[string]backend.Key{}
	for _, r := range retained {
		name := strings.TrimPrefix(strings.SplitN(r.Key[0], ":", 3)[2], "canary/")
		end := "no end"
		if r.Until != nil {
			end = r.Until.Sub(until).String()
		}
		got[name] = fmt.Sprint(r.Entity, ", ", end, ", ", r.Basis)
		byName[name] = r.Key
	}
	if diff := cmp.Diff(map[string]string{
		"compliance": "files, 0s, object lock, compliance retention", "governance": "files, 0s, object lock, governance retention",
		"held": "files, no end, object lock, legal hold", "both": "files, no end, object lock, legal hold",
	}, got); diff != "" {
		t.Errorf("retained (-want +got):\n%s", diff)
	}
	for name, words := range map[string][]string{
		"compliance": {"files", "object lock", "until " + until.Format(time.RFC3339)}, "governance": {"until " + until.Format(time.RFC3339)},
		"held": {"object lock", "legal hold"}, "both": {"legal hold"},
	} {
		_, err := s.Execute(ctx, backend.Batch{Operations: unlink(byName[name])})
		wantRefused(t, name, err, words...)
	}
	// What is not locked goes, with the locked ones in the same batch.
	_, err = s.Execute(ctx, backend.Batch{Operations: ops})
	wantRefused(t, "all", err, "object lock")
	verify(t, s, keys, 4)
	if diff := cmp.Diff([]string{"version canary/both", "version canary/compliance", "version canary/governance", "version canary/held"}, b.All(t)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	// A plan for the rest of the key is done although the locked version is still there.
	var free []backend.Key
	for _, k := range keys {
		if strings.HasSuffix(k[0], "/governance") && k[0] != byName["governance"][0] {
			free = append(free, k)
		}
	}
	verify(t, s, free, 0)
	b.Put(t, "canary/governance")
	verify(t, s, free, 1)
	// Gone versions and delete markers are not retained.
	gone, err := s.(backend.Retainer).Retained(ctx, unlink(append(free, find(t, s, backend.Path{Path: "canary/free"})...)...))
	if err != nil || len(gone) != 0 {
		t.Errorf("gone: %v, %v", gone, err)
	}
}

func TestRetainedWithoutLocks(t *testing.T) {
	b := newBucket(t, server, user, backendtest.VersionsEnabled, false)
	b.Put(t, "a")
	s := b.Open(t, backendtest.ObjectsOptions{})
	retained, err := s.(backend.Retainer).Retained(ctx, unlink(find(t, s, backend.Path{Path: "a"})...))
	if err != nil || len(retained) != 0 {
		t.Errorf("%v, %v", retained, err)
	}
	_, err = s.(backend.Retainer).Retained(ctx, unlink(backend.Key{"a"}))
	wantRefused(t, "no key", err, "files")
}

func TestMissingRightsToReadLocks(t *testing.T) {
	b := newBucket(t, server, user, backendtest.VersionsEnabled, true)
	if _, err := b.put("canary", minio.PutObjectOptions{LegalHold: minio.LegalHoldEnabled, SendContentMd5: true}); err != nil {
		t.Fatal(err)
	}
	s := b.Open(t, backendtest.ObjectsOptions{})
	keys := find(t, s, backend.Path{Path: "canary"})
	b.forbidden = []string{"s3:GetObjectRetention", "s3:GetObjectLegalHold"}
	b.grant(t)
	_, err := s.(backend.Retainer).Retained(ctx, unlink(keys...))
	wantRefused(t, "Retained", err, "s3:GetObjectLegalHold")
	_, err = s.Execute(ctx, backend.Batch{Operations: unlink(keys...)})
	wantRefused(t, "Execute", err, "object lock")
}

func TestServerWithoutVersions(t *testing.T) {
	b := newBucket(t, server, user, backendtest.NoVersions, false)
	for _, k := range []string{"docs/1/a", "docs/1/b", "docs/10/a"} {
		b.Put(t, k)
	}
	b.Upload(t, "docs/1/a")
	f := newFront(t, false)
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: b.Host})
	none := func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); q.Has("versioning") || q.Has("object-lock") {
			w.WriteHeader(http.StatusNotImplemented)
			return
		}
		pass.ServeHTTP(w, r)
	}
	f.says(none)
	s := open(t, b.config(f.URL))
	keys := find(t, s, backend.Path{Path: "docs/1", Kind: backend.Directory})
	if len(keys) != 3 || keys[1][0] != "o::docs/1/a" {
		t.Fatalf("found %v", keys)
	}
	verify(t, s, keys, 3)
	if d, err := s.Describe(ctx); err != nil || !strings.Contains(d.Version, "no versioning") {
		t.Errorf("Describe: %+v, %v", d, err)
	}
	f.says(nil) // it learns of versions, and a plan that knows none could only hide them
	_, err := s.Execute(ctx, backend.Batch{Operations: unlink(keys...)})
	var stale *backend.StaleError
	if !errors.As(err, &stale) {
		t.Errorf("Execute: %v", err)
	}
	f.says(none)
	res, err := s.Execute(ctx, backend.Batch{Operations: unlink(keys...)})
	if err != nil || res.Affected[0] != 3 {
		t.Fatalf("Execute: %+v, %v", res, err)
	}
	verify(t, s, keys, 0)
	if left := b.All(t); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	good := s3.Config{Endpoint: "https://s3.example.com", Bucket: "bucket", AccessKeyID: "key", SecretAccessKey: "canary"}
	if b, err := s3.Open(ctx, good); err != nil {
		t.Fatal(err)
	} else if err := b.Close(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(c *s3.Config){
		"no scheme":          func(c *s3.Config) { c.Endpoint = "s3.example.com" },
		"another scheme":     func(c *s3.Config) { c.Endpoint = "ftp://s3.example.com" },
		"no host":            func(c *s3.Config) { c.Endpoint = "https://" },
		"a path":             func(c *s3.Config) { c.Endpoint = "https://s3.example.com/bucket" },
		"a user":             func(c *s3.Config) { c.Endpoint = "https://canary:canary@s3.example.com" },
		"no bucket":          func(c *s3.Config) { c.Bucket = "" },
		"a path as bucket":   func(c *s3.Config) { c.Bucket = "a/../b" },
		"a directory bucket": func(c *s3.Config) { c.Bucket = "bucket--usw2-az1--x-s3" },
		"Google":             func(c *s3.Config) { c.Endpoint = "https://storage.googleapis.com" },
		"no key":             func(c *s3.Config) { c.AccessKeyID = "" },
		"no secret":          func(c *s3.Config) { c.SecretAccessKey = "" },
		"a bad prefix":       func(c *s3.Config) { c.Prefix = "a\xff" },
	} {
		c := good
		change(&c)
		_, err := s3.Open(ctx, c)
		wantRefused(t, name, err)
	}
	good.SessionToken = "canary"
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		if text := fmt.Sprintf(verb, good); strings.Contains(text, "canary") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// Nothing but the configuration says where requests go and who makes them.
func TestEnvironmentIsIgnored(t *testing.T) {
	b := newBucket(t, server, user, backendtest.NoVersions, false)
	other := newFront(t, false)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"} {
		t.Setenv(name, other.URL)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", server.Root.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.Root.SecretAccessKey)
	c := b.config("http://s3.invalid")
	_, err := open(t, c).Describe(ctx)
	var u *backend.UnavailableError
	if !errors.As(err, &u) || other.count.Load() != 0 {
		t.Errorf("%v, %d requests through the proxy", err, other.count.Load())
	}
	c = b.config(b.URL())
	c.AccessKeyID, c.SecretAccessKey = "nobody", "nothing"
	_, err = open(t, c).Describe(ctx)
	wantRefused(t, "credentials", err, "access key")
}
