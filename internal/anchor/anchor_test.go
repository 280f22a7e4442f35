package anchor_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-dev/lethe/internal/anchor"
	"github.com/lethe-dev/lethe/test/s3test"
)

const (
	origin = "lethe.dev/4a6e/recruiting"
	path   = "/kept/lethe.dev/4a6e/recruiting/00000000000000000042.checkpoint"
	token  = "a-token"
)

var now = time.Now()

func options(t *testing.T) anchor.Options {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return anchor.Options{TokenFile: file, Now: func() time.Time { return now }}
}

func open(t *testing.T, url string) anchor.Place {
	t.Helper()
	p, err := anchor.Open(url, options(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// shelf is an HTTP server that keeps what is put there, and replaces what it has unless it is asked not to.
type shelf struct {
	mu   sync.Mutex
	kept map[string]string
	fail int
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	there, ok := s.kept[r.URL.Path]
	switch {
	case s.fail != 0:
		w.WriteHeader(s.fail)
	case r.Header.Get("Authorization") != "Bearer "+token:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet && ok:
		_, _ = io.WriteString(w, there)
	case r.Method == http.MethodPut && ok && r.Header.Get("If-None-Match") == "*":
		w.WriteHeader(http.StatusPreconditionFailed)
	case r.Method == http.MethodPut:
		text, _ := io.ReadAll(r.Body)
		s.kept[r.URL.Path] = string(text)
		w.WriteHeader(http.StatusCreated)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// keeps is what every place does.
func keeps(t *testing.T, p anchor.Place, read func() string) {
	t.Helper()
	ctx := context.Background()
	for range 2 {
		if err := p.Keep(ctx, origin, 42, []byte("first\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Keep(ctx, origin, 42, []byte("other\n")); !errors.Is(err, anchor.ErrOther) {
		t.Errorf("another checkpoint of the same size: %v", err)
	}
	if got := read(); got != "first\n" {
		t.Errorf("it keeps %q", got)
	}
}

func TestHTTPKeepsCheckpoints(t *testing.T) {
	s := &shelf{kept: map[string]string{}}
	server := httptest.NewServer(s)
	defer server.Close()
	p := open(t, server.URL+"/kept")
	keeps(t, p, func() string { return s.kept[path] })
	for _, status := range []int{http.StatusFound, http.StatusForbidden, http.StatusInternalServerError} {
		s.fail = status
		if err := p.Keep(context.Background(), origin, 43, []byte("x")); err == nil || !strings.Contains(err.Error(), http.StatusText(status)) || strings.Contains(err.Error(), token) {
			t.Errorf("%d: %v", status, err)
		}
	}
	server.Close()
	if err := p.Keep(context.Background(), origin, 43, []byte("x")); err == nil {
		t.Error("a server that is gone keeps nothing")
	}
}

func TestS3KeepsCheckpointsUnderRetention(t *testing.T) {
	ctx := context.Background()
	server, err := s3test.Start(ctx, s3test.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	name, err := server.CreateBucket(ctx, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", server.Root.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.Root.SecretAccessKey)
	owner, err := server.Client(server.Root)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, "s3://"+name+"/kept?path-style=true&retention=P10Y&endpoint="+server.URL())
	keeps(t, p, func() string {
		object, _, _, err := owner.GetObject(ctx, name, strings.TrimPrefix(path, "/"), minio.GetObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(object)
		return string(text)
	})
	info, err := owner.StatObject(ctx, name, strings.TrimPrefix(path, "/"), minio.StatObjectOptions{})
	mode, until := info.Metadata.Get("X-Amz-Object-Lock-Mode"), info.Metadata.Get("X-Amz-Object-Lock-Retain-Until-Date")
	if want := now.UTC().AddDate(10, 0, 0).Format("2006-01-02"); err != nil || mode != "COMPLIANCE" || !strings.HasPrefix(until, want) {
		t.Errorf("it stays by %s until %s, not %s: %v", mode, until, want, err)
	}
	p = open(t, "s3://there-is-no-such-bucket/?path-style=true&endpoint="+server.URL())
	if err := p.Keep(ctx, origin, 1, []byte("x")); err == nil || strings.Contains(err.Error(), server.Root.SecretAccessKey) {
		t.Errorf("a bucket that is not there: %v", err)
	}
}

func TestURLsThatLeadNowhereAreRefused(t *testing.T) {
	for url, want := range map[string]string{
		"ftp://a/b":                           "https or s3",
		"http://example.com/x":                "https://",
		"https://user:secret@example.com/":    "credentials",
		"https://example.com/#x":              "#",
		"https:///x":                          "https://host/path",
		"https://example.com/?a=b":            "without parameters",
		"s3://":                               "bucket",
		"s3://b/?retention=10y":               "retention",
		"s3://b/?endpoint=http://example.com": "endpoint",
		"s3://b/?endpoint=https://e/p":        "endpoint",
		"s3://b/?retain=P1Y":                  "parameters",
		"https://example.com/\x00":            "URL",
	} {
		if _, err := anchor.Open(url, anchor.Options{}); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}
