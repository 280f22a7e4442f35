package s3

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Config of a bucket. Nothing is taken from the environment, from files or from metadata services.
type Config struct {
	// Endpoint is the server's URL, https or http, without a path.
	Endpoint string
	// Region that requests are signed for. Default us-east-1.
	Region string
	Bucket string
	// Prefix is the folder in the bucket that all paths are below; a slash is added at its end. Empty is the whole bucket.
	Prefix string
	// PathStyle puts the bucket into the path of requests; else it is part of the host's name.
	PathStyle   bool
	AccessKeyID string
	// SecretAccessKey and SessionToken are never printed: Config formats itself without them.
	SecretAccessKey, SessionToken string
	// CACert in PEM replaces the system's certificates.
	CACert []byte
	// BatchSize is the greatest number of objects in one request to delete, 1 to 1,000, which is the default.
	BatchSize int
	// Timeout of one request, its retries included. Default one minute.
	Timeout time.Duration
}

// Format prints the configuration without its credentials, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "s3 %s/%s/%s", c.Endpoint, c.Bucket, c.Prefix)
}

const (
	connectTimeout = 10 * time.Second
	maxBatch       = 1000 // objects in one request, by the protocol
	attempts       = 3    // of one request
	parallel       = 8    // requests of one kind at one time
)

func (c Config) withDefaults() Config {
	if c.Region == "" {
		c.Region = "us-east-1" // a region that is not given would be asked for, with a right that is not needed otherwise
	}
	if c.Prefix != "" && !strings.HasSuffix(c.Prefix, "/") {
		c.Prefix += "/"
	}
	if c.BatchSize <= 0 || c.BatchSize > maxBatch {
		c.BatchSize = maxBatch
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	return c
}

func (c Config) check() (*url.URL, error) {
	endpoint, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || endpoint.Scheme != "http" && endpoint.Scheme != "https" || endpoint.Host == "" || endpoint.User != nil ||
		strings.Trim(endpoint.Path, "/") != "" || endpoint.RawQuery != "" || endpoint.Fragment != "":
		return nil, refused("the endpoint is no URL of a host", "use https://host or https://host:port")
	case s3utils.CheckValidBucketName(c.Bucket) != nil:
		return nil, refused("the bucket has a name that no bucket can have", "correct the DataStore")
	case s3utils.IsS3ExpressBucket(c.Bucket):
		return nil, refused("directory buckets do not list their objects in order", "use a general purpose bucket")
	case s3utils.IsGoogleEndpoint(*endpoint):
		return nil, refused("Google Cloud Storage has versions of another kind than S3, and would keep what is deleted", "use another store")
	case c.AccessKeyID == "" || c.SecretAccessKey == "":
		return nil, refused("the access key or its secret is missing", "complete the Secret")
	case c.Prefix != "" && checkKey(c.Prefix) != nil:
		return nil, refused("the prefix is no valid key", "correct the DataStore")
	}
	return endpoint, nil
}

// Open makes a backend. It connects when it is first used.
func Open(_ context.Context, c Config) (backend.Backend, error) {
	c = c.withDefaults()
	endpoint, err := c.check()
	if err != nil {
		return nil, err
	}
	base, err := c.transport(endpoint.Scheme == "https")
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupDNS
	if c.PathStyle {
		lookup = minio.BucketLookupPath
	}
	// The library does not follow redirects.
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, c.SessionToken),
		Secure: endpoint.Scheme == "https", Region: c.Region, BucketLookup: lookup, MaxRetries: attempts,
		Transport: &transport{base: base},
	})
	if err != nil {
		return nil, refused("the endpoint is no valid host", "use https://host or https://host:port")
	}
	core.SetS3EnableDualstack(false) // another host than the one that is given
	return &Backend{config: c, prefix: c.Prefix, core: core, base: base, clock: clock.RealClock{}}, nil
}

// transport has no proxy: none from the environment may get the requests.
func (c Config) transport(secure bool) (*http.Transport, error) {
	t := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: connectTimeout,
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 2 * parallel,
		DisableCompression:  true,
	}
	if secure {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if secure && len(c.CACert) > 0 {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(c.CACert) {
			return nil, refused("ca.crt holds no certificate in PEM", "correct the Secret")
		}
	}
	return t, nil
}

// exchange lets a call see its requests: the library does not show where a page of a list ends, or the server's name.
type exchange struct {
	before func() error // called before each request, in the goroutine of the call
	server string       // that the last answer names
	keep   bool         // the body of the last answer, which must be a short one
	body   []byte
}

const maxKept = 64 << 10

type exchangeKey struct{}

func withExchange(ctx context.Context, e *exchange) context.Context {
	return context.WithValue(ctx, exchangeKey{}, e)
}

// transport is the HTTP transport with what an exchange asks for.
type transport struct{ base *http.Transport }

func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	e, _ := req.Context().Value(exchangeKey{}).(*exchange)
	if e != nil && e.before != nil {
		if err := e.before(); err != nil {
			return nil, err
		}
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil || e == nil {
		return resp, err
	}
	e.server = resp.Header.Get("Server")
	if e.keep {
		e.body, err = io.ReadAll(io.LimitReader(resp.Body, maxKept))
		if closed := resp.Body.Close(); err != nil || closed != nil {
			return nil, errors.Join(err, closed)
		}
		resp.Body = io.NopCloser(bytes.NewReader(e.body))
	}
	return resp, nil
}

var errDeadline = errors.New("the server did not answer in time")

// watch ends the context when nothing happens for as long as a request may take; touch says that something did.
func (b *Backend) watch(ctx context.Context) (watched context.Context, touch, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := b.clock.AfterFunc(b.config.Timeout, func() { cancel(errDeadline) })
	return ctx, func() { timer.Reset(b.config.Timeout) }, func() { timer.Stop(); cancel(context.Canceled) }
}
