package s3_test

import (
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/s3"
	"github.com/lethe-dev/lethe/test/s3test"
)

// front stands before the real server, as gateways do: it passes requests on, counts them and answers some itself.
type front struct {
	*httptest.Server
	count  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newFront(t *testing.T, secure bool) *front {
	t.Helper()
	to, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // which is signed
	}}
	f := &front{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.count.Add(1)
		if a := f.answer.Load(); a != nil {
			(*a)(w, r)
			return
		}
		pass.ServeHTTP(w, r)
	})
	if secure {
		f.Server = httptest.NewTLSServer(handler)
	} else {
		f.Server = httptest.NewServer(handler)
	}
	t.Cleanup(f.Close)
	return f
}

func (f *front) says(h http.HandlerFunc) {
	if h == nil {
		f.answer.Store(nil)
		return
	}
	f.answer.Store(&h)
}

func (b *bucket) config(endpoint string) s3.Config {
	return s3.Config{Endpoint: endpoint, Region: s3test.Region, Bucket: b.name, PathStyle: true, AccessKeyID: b.user.AccessKeyID, SecretAccessKey: b.user.SecretAccessKey}
}

func query(ps ...backend.Path) backend.ResolveRequest {
	return backend.ResolveRequest{Queries: []backend.Query{{Entity: "files", Paths: ps}}}
}

func unlink(keys ...backend.Key) []backend.Operation {
	return []backend.Operation{{Entity: "files", Action: backend.Unlink, Keys: keys}}
}

func find(t *testing.T, b backend.Backend, ps ...backend.Path) (keys []backend.Key) {
	t.Helper()
	res, err := b.Resolve(ctx, query(ps...))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range res.Rows["files"] {
		keys = append(keys, r.Key)
	}
	return keys
}

func wantUnavailable(t *testing.T, what string, err error) {
	t.Helper()
	var u *backend.UnavailableError
	if !errors.As(err, &u) || strings.Contains(err.Error(), "canary") {
		t.Errorf("%s: %v (%T)", what, err, err)
	}
}

func wantRefused(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	var r *backend.RefusedError
	if !errors.As(err, &r) || strings.Contains(err.Error(), "canary") {
		t.Errorf("%s: %v (%T)", what, err, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q does not say %q", what, err, w)
		}
	}
}

func TestAnswersOfAServerInTrouble(t *testing.T) {
	fault := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>canary</Message><Key>canary</Key></Error>", code)
		}
	}
	// A word is of what is refused; without one the server is unavailable.
	for _, c := range []struct {
		status     int
		code, word string
	}{
		{503, "SlowDown", ""}, {500, "InternalError", ""}, {429, "TooManyRequests", ""}, {502, "", ""}, {504, "canary canary", ""},
		{408, "RequestTimeout", ""}, {403, "RequestTimeTooSkewed", ""},
		{403, "AccessDenied", "privileges"}, {403, "InvalidAccessKeyId", "credentials"}, {400, "ExpiredToken", "session token"},
		{404, "NoSuchBucket", "bucket does not exist"}, {301, "PermanentRedirect", "endpoint"},
		{400, "AuthorizationHeaderMalformed", "region"}, {400, "canary canary", "unknown"},
		{200, "InternalError", ""},
	} {
		t.Run(fmt.Sprint(c.status, " ", c.code), func(t *testing.T) {
			t.Parallel()
			b := newBucket(t, server, user, backendtest.NoVersions, false)
			b.Put(t, "canary")
			f := newFront(t, false)
			s := open(t, b.config(f.URL))
			trouble := fault(c.status, c.code)
			for what, err := range callAll(t, s, f, trouble, backend.Path{Path: "canary"}) {
				if c.word == "" {
					wantUnavailable(t, what, err)
				} else {
					wantRefused(t, what, err, c.word)
				}
			}
			if all := b.All(t); !slices.Equal(all, []string{"version canary"}) {
				t.Errorf("left: %v", all)
			}
		})
	}
}

// callAll makes every call while the front answers in its own way, and an execution that it disturbs at the effect.
func callAll(t *testing.T, s backend.Backend, f *front, trouble http.HandlerFunc, p backend.Path) map[string]error {
	t.Helper()
	keys := find(t, s, p)
	errs := map[string]error{}
	_, errs["Execute at the effect"] = s.Execute(ctx, backend.Batch{Operations: unlink(keys...), BeforeEffect: func(context.Context) error {
		f.says(trouble)
		return nil
	}})
	_, errs["Resolve"] = s.Resolve(ctx, query(p))
	_, errs["Execute"] = s.Execute(ctx, backend.Batch{Operations: unlink(keys...)})
	_, errs["Verify"] = s.Verify(ctx, unlink(keys...))
	_, errs["Describe"] = s.Describe(ctx)
	f.says(nil)
	return errs
}

func TestNoRedirectIsFollowed(t *testing.T) {
	b := newBucket(t, server, user, backendtest.NoVersions, false)
	b.Put(t, "canary")
	other := newFront(t, false)
	f := newFront(t, false)
	s := open(t, b.config(f.URL))
	keys := find(t, s, backend.Path{Path: "canary"})
	for _, status := range []int{301, 302, 303, 307, 308} {
		f.says(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL+r.RequestURI, status) })
		_, err := s.Resolve(ctx, query(backend.Path{Path: "canary"}))
		wantRefused(t, "Resolve", err, "endpoint")
		_, err = s.Execute(ctx, backend.Batch{Operations: unlink(keys...)})
		wantRefused(t, "Execute", err, "endpoint")
	}
	if n := other.count.Load(); n != 0 {
		t.Errorf("%d requests went to another host", n)
	}
}

func TestServerThatBreaksTheProtocol(t *testing.T) {
	b := newBucket(t, server, user, backendtest.VersionsEnabled, false)
	b.Put(t, "canary")
	f := newFront(t, false)
	s := open(t, b.config(f.URL))
	keys := find(t, s, backend.Path{Path: "canary"})
	versions := func(inner string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("versioning") {
				_, _ = w.Write([]byte("<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"))
				return
			}
			if r.URL.Query().Has("uploads") {
				_, _ = w.Write([]byte("<ListMultipartUploadsResult></ListMultipartUploadsResult>"))
				return
			}
			_, _ = w.Write([]byte("<ListVersionsResult>" + inner + "</ListVersionsResult>"))
		}
	}
	version := func(key, id string) string {
		return "<Version><Key>" + key + "</Key><VersionId>" + id + "</VersionId></Version>"
	}
	more := "<IsTruncated>true</IsTruncated><NextKeyMarker>canary</NextKeyMarker>"
	for name, inner := range map[string]string{
		"another object than was asked for": version("other", "1"),
		"a version without id":              version("canary", ""),
		"the same page for ever":            version("canary", "1") + more,
		"empty pages for ever":              more,
	} {
		t.Run(name, func(t *testing.T) {
			f.says(versions(inner))
			_, err := s.Resolve(ctx, query(backend.Path{Path: "canary", Kind: backend.Prefix}))
			wantRefused(t, "by prefix", err)
			_, err = s.Execute(ctx, backend.Batch{Operations: unlink(keys...)})
			wantRefused(t, "Execute", err)
		})
	}
	f.says(nil)
	deletion := func(answer string) error {
		_, err := s.Execute(ctx, backend.Batch{Operations: unlink(keys...), BeforeEffect: func(context.Context) error {
			pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: b.Host})
			f.says(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					_, _ = w.Write([]byte("<DeleteResult>" + answer + "</DeleteResult>"))
					return
				}
				pass.ServeHTTP(w, r)
			})
			return nil
		}})
		f.says(nil)
		return err
	}
	id := strings.Split(keys[0][0], ":")[1]
	for name, answer := range map[string]string{
		"a delete marker instead":   "<Deleted><Key>canary</Key><VersionId>" + id + "</VersionId><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>new</DeleteMarkerVersionId></Deleted>",
		"an id that it gave itself": "<Error><Key>canary</Key><VersionId>" + id + "</VersionId><Code>InvalidArgument</Code></Error>",
		"nothing at all":            "",
		"an unknown error":          "<Error><Key>canary</Key><VersionId>" + id + "</VersionId><Code>Canary</Code><Message>canary</Message></Error>",
	} {
		wantRefused(t, name, deletion(answer), "files")
	}
	wantUnavailable(t, "overload", deletion("<Error><Key>canary</Key><VersionId>"+id+"</VersionId><Code>SlowDown</Code></Error>"))
}

// A few keys in a great bucket cost a few requests, and many keys few requests.
func TestNumberOfRequests(t *testing.T) {
	for _, v := range []backendtest.ObjectVersioning{backendtest.NoVersions, backendtest.VersionsEnabled} {
		t.Run(string(v), func(t *testing.T) {
			b := newBucket(t, server, user, v, false)
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					for i := w; i < 3000; i += 8 {
						b.Put(t, fmt.Sprintf("all/%04d.pdf", i))
					}
				})
			}
			wg.Wait()
			f := newFront(t, false)
			s := open(t, b.config(f.URL))
			requests := func(what string, most int64, call func()) {
				f.count.Store(0)
				call()
				if n := f.count.Load(); n > most {
					t.Errorf("%s: %d requests, want at most %d", what, n, most)
				} else {
					t.Logf("%s: %d requests", what, n)
				}
			}
			var few []backend.Path
			for _, i := range []int{7, 1500, 2999} {
				few = append(few, backend.Path{Path: fmt.Sprintf("all/%04d.pdf", i)})
			}
			var keys []backend.Key
			requests("a few keys", 10, func() { keys = find(t, s, few...) })
			requests("verify a few", 10, func() { verify(t, s, keys, 3) })
			var many []backend.Path
			for i := range 3000 {
				many = append(many, backend.Path{Path: fmt.Sprintf("all/%04d.pdf", i)})
			}
			requests("many keys", 8, func() { keys = find(t, s, many...) })
			if len(keys) != 3000 {
				t.Fatalf("%d found", len(keys))
			}
			requests("verify many", 8, func() { verify(t, s, keys, 3000) })
			requests("execute", 11, func() {
				if _, err := s.Execute(ctx, backend.Batch{Operations: unlink(keys...)}); err != nil {
					t.Fatal(err)
				}
			})
			requests("verify that many are gone", 3, func() { verify(t, s, keys, 0) })
		})
	}
}

func verify(t *testing.T, b backend.Backend, keys []backend.Key, want int64) {
	t.Helper()
	left, err := b.Verify(ctx, unlink(keys...))
	if err != nil || left[0] != want {
		t.Fatalf("left: %v, %v, want %d", left, err, want)
	}
}

func TestTLS(t *testing.T) {
	b := newBucket(t, server, user, backendtest.NoVersions, false)
	f := newFront(t, true)
	c := b.config(f.URL)
	_, err := open(t, c).Describe(ctx)
	wantRefused(t, "an unknown authority", err, "certificate")
	c.CACert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: f.Certificate().Raw})
	if _, err := open(t, c).Describe(ctx); err != nil {
		t.Error(err)
	}
	c.CACert = []byte("no certificate")
	_, err = s3.Open(ctx, c)
	wantRefused(t, "no certificate", err, "PEM")
	c.CACert, c.Endpoint = nil, strings.Replace(server.URL(), "http:", "https:", 1)
	_, err = open(t, c).Describe(ctx)
	wantRefused(t, "no TLS", err, "endpoint")
}
