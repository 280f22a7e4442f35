package http_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/http"
	"github.com/lethe-dev/lethe/test/certtest"
)

// service implements the contract in memory. Its fields change how it behaves; hook answers before it if it returns true.
type service struct {
	server *httptest.Server
	ca     []byte

	mu      sync.Mutex
	active  map[string]map[string]bool // resource, id
	results map[string]*operation      // by Idempotency-Key
	polls   int
	seen    []seen
	// async makes erasures operations that end at the nth poll.
	async int
	// cut means that the connection ends before the answer.
	cut  atomic.Bool
	hook func(w nethttp.ResponseWriter, r *nethttp.Request, body []byte) bool
}

type operation struct {
	id, resource string
	ids          []string
	done         bool
	erased       int64
	polls        int
}

// seen is what matters of a request.
type seen struct {
	path, key, auth string
	body            map[string]any
}

func newService(t *testing.T, configure ...func(*httptest.Server)) *service {
	t.Helper()
	s := &service{active: map[string]map[string]bool{"contact": {}, "invoice": {}}, results: map[string]*operation{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.start(l, configure...)
	t.Cleanup(func() { s.server.Close() })
	s.ca = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.server.Certificate().Raw})
	return s
}

func (s *service) start(l net.Listener, configure ...func(*httptest.Server)) {
	s.server = &httptest.Server{Listener: l, Config: &nethttp.Server{Handler: nethttp.HandlerFunc(s.serve), ErrorLog: log.New(io.Discard, "", 0)}, EnableHTTP2: true}
	for _, c := range configure {
		c(s.server)
	}
	s.server.StartTLS()
}

func (s *service) config() http.Config {
	return http.Config{URL: s.server.URL + "/privacy/", CACert: s.ca, Timeout: 5 * time.Second}
}

func open(t *testing.T, c http.Config) backend.Backend {
	t.Helper()
	b, err := http.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	http.SetClock(b, &leap{})
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// leap is a clock on which waiting takes no time.
type leap struct {
	clock.RealClock
	mu    sync.Mutex
	ahead time.Duration
	waits []time.Duration
}

func (l *leap) Now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return start.Add(l.ahead)
}

func (l *leap) After(d time.Duration) <-chan time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ahead += d
	l.waits = append(l.waits, d)
	c := make(chan time.Time, 1)
	c <- start.Add(l.ahead)
	return c
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func (s *service) Open(t *testing.T, l backendtest.Limits) backend.Backend {
	c := s.config()
	c.BatchSize = l.BatchSize
	if l.StatementTimeout > 0 {
		c.Timeout = l.StatementTimeout
	}
	return open(t, c)
}

func (s *service) Fail(t *testing.T, f backendtest.ResourceFailure) func() {
	mend := func() { s.behave(nil) }
	switch f {
	case backendtest.ServiceStopped:
		address := s.server.Listener.Addr().String()
		s.server.CloseClientConnections()
		s.server.Close()
		return func() {
			l, err := net.Listen("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			s.start(l)
		}
	case backendtest.ServiceSilent:
		s.behave(func(_ nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool { <-r.Context().Done(); return true })
	case backendtest.ServiceForbids:
		s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
			problem(w, nethttp.StatusForbidden)
			return true
		})
	case backendtest.ServiceCutsOff:
		s.cut.Store(true)
		return func() { s.cut.Store(false) }
	}
	return mend
}

func (s *service) Put(_ *testing.T, resource string, ids ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		s.active[resource][id] = true
	}
}

func (s *service) IDs(_ *testing.T, resource string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.active[resource] {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (s *service) Inactive(_ *testing.T, resource string) ([]string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id, active := range s.active[resource] {
		if !active {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, true
}

func answer(w nethttp.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// problem is an error that holds what must not get into one of the operator's.
func problem(w nethttp.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"type":"about:blank","title":"canary-title","status":%d,"detail":"contact canary-1 is not ready"}`, status)
}

func (s *service) serve(w nethttp.ResponseWriter, r *nethttp.Request) {
	if s.cut.Load() {
		s.answer(httptest.NewRecorder(), r)
		panic(nethttp.ErrAbortHandler)
	}
	s.answer(w, r)
}

func (s *service) answer(w nethttp.ResponseWriter, r *nethttp.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var body map[string]any
	_ = json.Unmarshal(raw, &body)
	s.seen = append(s.seen, seen{r.URL.Path, r.Header.Get("Idempotency-Key"), r.Header.Get("Authorization"), body})
	if s.hook != nil && s.hook(w, r, raw) {
		return
	}
	var req struct {
		Resource, RequestID string
		IDs                 []string
		Active              *bool
	}
	if r.Method == nethttp.MethodPost && (json.Unmarshal(raw, &req) != nil || r.Header.Get("Content-Type") != "application/json") {
		problem(w, nethttp.StatusBadRequest)
		return
	}
	records, known := s.active[req.Resource]
	if r.Method == nethttp.MethodPost && !known {
		problem(w, nethttp.StatusUnprocessableEntity)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "GET /privacy/v1/":
		answer(w, 200, map[string]any{"contract": "v1", "service": "crm", "version": "1.2.3", "resources": []string{"contact", "invoice"}, "more": 1})
	case "POST /privacy/v1/verify":
		present := []string{}
		for _, id := range req.IDs {
			if _, ok := records[id]; ok {
				present = append(present, id)
			}
		}
		answer(w, 200, map[string]any{"present": present, "more": map[string]any{}})
	case "POST /privacy/v1/erase":
		s.erase(w, r.Header.Get("Idempotency-Key"), req.Resource, req.IDs)
	case "POST /privacy/v1/deactivate":
		for _, id := range req.IDs {
			if _, ok := records[id]; ok {
				records[id] = *req.Active
			}
		}
		w.WriteHeader(nethttp.StatusNoContent)
	default:
		if !s.poll(w, r) {
			problem(w, nethttp.StatusNotFound)
		}
	}
}

func (s *service) erase(w nethttp.ResponseWriter, key, resource string, ids []string) {
	if key == "" {
		problem(w, nethttp.StatusBadRequest)
		return
	}
	o, repeated := s.results[key]
	if !repeated || o.done {
		o = &operation{id: fmt.Sprint("op-", len(s.results)), resource: resource, ids: ids, polls: s.async}
		s.results[key] = o
	}
	if o.polls > 0 {
		answer(w, 202, map[string]any{"state": "Accepted", "operation": o.id})
		return
	}
	s.finish(o)
	answer(w, 200, map[string]any{"state": "Completed", "erased": o.erased})
}

func (s *service) finish(o *operation) {
	if o.done {
		return
	}
	for _, id := range o.ids {
		if _, ok := s.active[o.resource][id]; ok {
			delete(s.active[o.resource], id)
			o.erased++
		}
	}
	o.done = true
}

func (s *service) poll(w nethttp.ResponseWriter, r *nethttp.Request) bool {
	for _, o := range s.results {
		if r.Method != "GET" || r.URL.Path != "/privacy/v1/operations/"+o.id {
			continue
		}
		s.polls++
		if o.polls--; o.polls > 0 {
			answer(w, 200, map[string]any{"state": "Pending"})
			return true
		}
		s.finish(o)
		answer(w, 200, map[string]any{"state": "Completed", "erased": o.erased})
		return true
	}
	return false
}

// requests are the bodies of what was asked below a path.
func (s *service) requests(path string) []seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []seen
	for _, r := range s.seen {
		if r.path == "/privacy/v1"+path {
			list = append(list, r)
		}
	}
	return list
}

// behave sets how the service behaves from now on.
func (s *service) behave(hook func(w nethttp.ResponseWriter, r *nethttp.Request, body []byte) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = hook
}

// clientCertificate is one that signs itself.
func clientCertificate(t *testing.T) (cert, key []byte, pool *x509.CertPool) {
	t.Helper()
	cert, key, err := certtest.SelfSigned()
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return cert, key, pool
}

func wantClientCertificate(pool *x509.CertPool) func(*httptest.Server) {
	return func(s *httptest.Server) {
		s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	}
}
