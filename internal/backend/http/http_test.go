package http_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/http"
)

var ctx = context.Background()

func TestContract(t *testing.T) {
	backendtest.RunResources(t, func(t *testing.T) backendtest.Resources { return newService(t) })
}

func TestContractOfOperations(t *testing.T) {
	backendtest.RunResources(t, func(t *testing.T) backendtest.Resources {
		s := newService(t)
		s.async = 3
		return s
	})
}

// secrets must be in no error: ids, what the service writes, addresses and credentials.
var secrets = []string{"canary", "127.0.0.1", "secret-", "/privacy", "op-0"}

func wantError[E error](t *testing.T, err error, words ...string) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want a %T", err, err, e)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not name %q", err, w)
		}
	}
	for _, s := range secrets {
		if strings.Contains(err.Error(), s) {
			t.Errorf("error %q holds %q", err, s)
		}
	}
}

func paths(ids ...string) backend.ResolveRequest {
	q := backend.Query{Entity: "records"}
	for _, id := range ids {
		q.Paths = append(q.Paths, backend.Path{Path: id, Kind: backend.Resource, Member: "contact"})
	}
	return backend.ResolveRequest{Queries: []backend.Query{q}}
}

func contacts(ids ...string) []backend.Operation {
	op := backend.Operation{Entity: "records", Action: backend.Unlink}
	for _, id := range ids {
		op.Keys = append(op.Keys, backend.Key{fmt.Sprintf("[%q,%q]", "contact", id)})
	}
	return []backend.Operation{op}
}

func batch(id string, ids ...string) backend.Batch {
	return backend.Batch{ID: id, Operations: contacts(ids...)}
}

// calls makes every call of a backend.
func calls(b backend.Backend) map[string]func() error {
	return map[string]func() error{
		"Describe":  func() error { _, err := b.Describe(ctx); return err },
		"Resolve":   func() error { _, err := b.Resolve(ctx, paths("canary-1")); return err },
		"Execute":   func() error { _, err := b.Execute(ctx, batch("batch", "canary-1")); return err },
		"Verify":    func() error { _, err := b.Verify(ctx, contacts("canary-1")); return err },
		"SetActive": func() error { return b.(backend.Deactivator).SetActive(ctx, "id", contacts("canary-1"), false) },
	}
}

func TestRefusesWrongConfigurations(t *testing.T) {
	for name, c := range map[string]http.Config{
		"nothing":             {},
		"no scheme":           {URL: "crm.example.com"},
		"another scheme":      {URL: "ftp://crm.example.com"},
		"plain text":          {URL: "http://crm.example.com"},
		"almost loopback":     {URL: "http://127.0.0.1.example.com"},
		"credentials":         {URL: "https://canary:secret-word@crm.example.com"},
		"a query":             {URL: "https://crm.example.com/?a=b"},
		"a fragment":          {URL: "https://crm.example.com/#a"},
		"no host":             {URL: "https:///x"},
		"a broken one":        {URL: "https://crm.example.com:canary"},
		"an unknown auth":     {URL: "https://crm.example.com", Auth: "canary"},
		"no token":            {URL: "https://crm.example.com", Auth: http.AuthBearer},
		"a broken token":      {URL: "https://crm.example.com", Auth: http.AuthBearer, Token: "canary\r\nX: y"},
		"no user":             {URL: "https://crm.example.com", Auth: http.AuthBasic, Password: "secret-word"},
		"a user with colon":   {URL: "https://crm.example.com", Auth: http.AuthBasic, Username: "canary:x"},
		"no certificate":      {URL: "https://crm.example.com", Auth: http.AuthClientCertificate},
		"a certificate, http": {URL: "http://localhost", Auth: http.AuthClientCertificate},
		"no CA":               {URL: "https://crm.example.com", CACert: []byte("canary")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := http.Open(ctx, c)
			wantError[*backend.RefusedError](t, err)
		})
	}
	for _, u := range []string{"https://crm.example.com", "http://127.0.0.1:8080/x", "http://[::1]/", "http://localhost"} {
		if _, err := http.Open(ctx, http.Config{URL: u}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
	if _, err := http.Open(ctx, http.Config{URL: "http://crm.example.com", AllowPlainText: true}); err != nil {
		t.Error(err)
	}
	c := http.Config{URL: "https://crm.example.com", Token: "secret-token", Password: "secret-word", ClientKey: []byte("secret-key")}
	if s := fmt.Sprintf("%v %+v %#v %s %d", c, c, c, c, c); strings.Contains(s, "secret-") || strings.Contains(s, "115 101") {
		t.Errorf("credentials are printed: %s", s)
	}
}

func TestAuthentication(t *testing.T) {
	cert, key, pool := clientCertificate(t)
	for _, c := range []struct {
		name, want string
		configure  func(*http.Config)
		servers    []func(*httptest.Server)
	}{
		{"None", "", func(*http.Config) {}, nil},
		{"Bearer", "Bearer secret-token", func(c *http.Config) { c.Auth, c.Token = http.AuthBearer, "secret-token" }, nil},
		{"Basic", "Basic bGV0aGU6c2VjcmV0LXfDtnJk", func(c *http.Config) { c.Auth, c.Username, c.Password = http.AuthBasic, "lethe", "secret-wörd" }, nil},
		{"ClientCertificate", "", func(c *http.Config) { c.Auth, c.ClientCert, c.ClientKey = http.AuthClientCertificate, cert, key },
			[]func(*httptest.Server){wantClientCertificate(pool)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, c.servers...)
			config := s.config()
			c.configure(&config)
			for name, call := range calls(open(t, config)) {
				if err := call(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			for _, r := range s.seen {
				if r.auth != c.want {
					t.Errorf("%s: Authorization is %q", r.path, r.auth)
				}
			}
		})
	}
}

func TestCertificates(t *testing.T) {
	_, _, pool := clientCertificate(t)
	s, strict := newService(t), newService(t, wantClientCertificate(pool))
	plain := httptest.NewServer(nethttp.NotFoundHandler())
	defer plain.Close()
	system, name, noTLS, noCert := s.config(), s.config(), s.config(), strict.config()
	system.CACert = nil
	name.URL = strings.Replace(name.URL, "127.0.0.1", "localhost", 1)
	noTLS.URL = strings.Replace(plain.URL, "http:", "https:", 1)
	for what, c := range map[string]struct {
		config http.Config
		words  string
	}{
		"an authority that is not known": {system, "certificate"}, "another name": {name, "another name"},
		"no TLS": {noTLS, "TLS"}, "no client certificate": {noCert, "TLS"},
	} {
		t.Run(what, func(t *testing.T) {
			for _, call := range calls(open(t, c.config)) {
				err := call()
				// The connection may be gone before the service's reason is read; another time it is not.
				for range 100 {
					var u *backend.UnavailableError
					if what != "no client certificate" || !errors.As(err, &u) {
						break
					}
					wantError[*backend.UnavailableError](t, err)
					err = call()
				}
				wantError[*backend.RefusedError](t, err, c.words)
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	for _, c := range []struct {
		status  int
		refused bool
		words   string
	}{
		{301, true, "redirect"}, {302, true, "redirect"}, {307, true, "redirect"}, {308, true, "redirect"}, {304, true, "304"},
		{400, true, "400"}, {401, true, "credentials"}, {403, true, "credentials"}, {404, true, "contract"}, {405, true, "contract"},
		{410, true, "410"}, {413, true, "413"}, {422, true, "422"}, {408, false, "408"}, {409, false, "409"}, {425, false, "425"}, {429, false, "429"},
		{500, false, "500"}, {501, false, "501"}, {502, false, "502"}, {503, false, "503"}, {504, false, "504"}, {206, true, "206"}, {201, true, "201"},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			s := newService(t)
			s.Put(t, "contact", "canary-1")
			s.behave(func(w nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool {
				if strings.Contains(r.URL.Path, "elsewhere") {
					t.Error("a redirect is followed")
				}
				w.Header().Set("Location", s.server.URL+"/elsewhere")
				problem(w, c.status)
				return true
			})
			for _, call := range calls(open(t, s.config())) {
				if c.refused {
					wantError[*backend.RefusedError](t, call(), c.words)
				} else {
					wantError[*backend.UnavailableError](t, call(), c.words)
				}
			}
		})
	}
}

// TestUntrueAnswers: what cannot be right is refused, and never read as "gone".
func TestUntrueAnswers(t *testing.T) {
	for _, c := range []struct{ call, name, answer string }{
		{"Verify", "an id that was not asked for", `{"present":["canary-1","canary-2"]}`},
		{"Verify", "another spelling", `{"present":["Canary-1"]}`},
		{"Verify", "no list", `{}`},
		{"Verify", "null", `{"present":null}`},
		{"Verify", "null in the list", `{"present":[null]}`},
		{"Verify", "a number in the list", `{"present":[1]}`},
		{"Verify", "no JSON", `canary`},
		{"Verify", "two values", `{"present":[]}{"present":["canary-1"]}`},
		{"Verify", "half of it", `{"present":[`},
		{"Verify", "a list alone", `["canary-1"]`},
		{"Verify", "nothing", ``},
		{"Resolve", "an id that was not asked for", `{"present":["canary-2"]}`},
		{"Resolve", "no list", `{"canary":1}`},
		{"Execute", "no state", `{"erased":1}`},
		{"Execute", "an unknown state", `{"state":"canary","erased":1}`},
		{"Execute", "a state of operations", `{"state":"Pending"}`},
		{"Execute", "accepted without a 202", `{"state":"Accepted","operation":"op-0"}`},
		{"Execute", "no number", `{"state":"Completed"}`},
		{"Execute", "less than nothing", `{"state":"Completed","erased":-1}`},
		{"Execute", "more than there are", `{"state":"Completed","erased":2}`},
		{"Execute", "a broken number", `{"state":"Completed","erased":0.5}`},
		{"Execute", "no JSON", `OK`},
		{"Describe", "another contract", `{"contract":"v2","service":"canary"}`},
		{"Describe", "no contract", `{}`},
	} {
		t.Run(c.call+" "+c.name, func(t *testing.T) {
			s := newService(t)
			s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
				w.Header().Set("Content-Type", "application/json")
				_, _ = fmt.Fprint(w, c.answer)
				return true
			})
			wantError[*backend.RefusedError](t, calls(open(t, s.config()))[c.call]())
		})
	}
}

func TestUntrueOperations(t *testing.T) {
	for name, c := range map[string]struct{ accepted, polled string }{
		"no operation":           {`{"state":"Accepted"}`, ``},
		"an operation elsewhere": {`{"state":"Accepted","operation":"../../canary"}`, ``},
		"the folder above":       {`{"state":"Accepted","operation":".."}`, ``},
		"a query":                {`{"state":"Accepted","operation":"a?canary"}`, ``},
		"completed with a 202":   {`{"state":"Completed","erased":1}`, ``},
		"an unknown state":       {`{"state":"Accepted","operation":"op-0"}`, `{"state":"canary"}`},
		"no state":               {`{"state":"Accepted","operation":"op-0"}`, `{}`},
		"too many":               {`{"state":"Accepted","operation":"op-0"}`, `{"state":"Completed","erased":99}`},
		"failed":                 {`{"state":"Accepted","operation":"op-0"}`, `{"state":"Failed","reason":"canary-1 is locked"}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			s.behave(func(w nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool {
				w.Header().Set("Content-Type", "application/json")
				if r.Method == nethttp.MethodPost {
					w.WriteHeader(nethttp.StatusAccepted)
					_, _ = fmt.Fprint(w, c.accepted)
				} else {
					_, _ = fmt.Fprint(w, c.polled)
				}
				return true
			})
			_, err := open(t, s.config()).Execute(ctx, batch("batch", "canary-1"))
			wantError[*backend.RefusedError](t, err, "entity records")
		})
	}
}

func TestAnswersAreBounded(t *testing.T) {
	for name, header := range map[string]string{"JSON": "application/json", "a web page": "text/html", "nothing said": ""} {
		t.Run(name, func(t *testing.T) {
			s := newService(t)
			var written atomic.Int64
			s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
				w.Header()["Content-Type"] = []string{header}
				for range 1000 {
					n, err := fmt.Fprint(w, `{"present":["`, strings.Repeat("canary", 10_000))
					written.Add(int64(n))
					if err != nil {
						break
					}
				}
				return true
			})
			for what, call := range calls(open(t, s.config())) {
				if what != "SetActive" {
					wantError[*backend.RefusedError](t, call())
				}
			}
			if n := written.Load(); n > 30<<20 {
				t.Errorf("%d bytes were taken", n)
			}
		})
	}
	s := newService(t)
	s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprint(w, `{"present":[]}`)
		return true
	})
	_, err := open(t, s.config()).Verify(ctx, contacts("canary-1"))
	wantError[*backend.RefusedError](t, err, "JSON")
}

// TestAServiceThatLies: who says that a record is gone although it is not is found out.
func TestAServiceThatLies(t *testing.T) {
	s := newService(t)
	s.Put(t, "contact", "canary-1", "canary-2")
	s.behave(func(w nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool {
		if !strings.HasSuffix(r.URL.Path, "/erase") {
			return false
		}
		answer(w, 200, map[string]any{"state": "Completed", "erased": 2})
		return true
	})
	b := open(t, s.config())
	if _, err := b.Execute(ctx, batch("batch", "canary-1", "canary-2")); err != nil {
		t.Fatal(err)
	}
	if left, err := b.Verify(ctx, contacts("canary-1", "canary-2")); err != nil || left[0] != 2 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestRetryAfter(t *testing.T) {
	for name, c := range map[string]struct {
		header string
		wait   time.Duration // negative: it is not waited for
	}{
		"seconds":           {"7", 7 * time.Second},
		"at once":           {"0", 200 * time.Millisecond},
		"a date":            {start.Add(9 * time.Second).Format(nethttp.TimeFormat), 9 * time.Second},
		"a date gone by":    {start.Add(-time.Hour).Format(nethttp.TimeFormat), 200 * time.Millisecond},
		"too long":          {"61", -1},
		"much too long":     {"2000000000", -1},
		"no number":         {"canary", -1},
		"less than nothing": {"-5", -1},
		"nothing":           {"", -1},
	} {
		for _, status := range []int{429, 503} {
			t.Run(fmt.Sprint(name, status), func(t *testing.T) {
				s := newService(t)
				s.Put(t, "contact", "canary-1")
				refuse := true
				s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
					if !refuse {
						return false
					}
					refuse = false
					w.Header().Set("Retry-After", c.header)
					problem(w, status)
					return true
				})
				config := s.config()
				config.Deadline = time.Minute
				b, clock := open(t, config), &leap{}
				http.SetClock(b, clock)
				left, err := b.Verify(ctx, contacts("canary-1"))
				if c.wait < 0 {
					wantError[*backend.UnavailableError](t, err, fmt.Sprint(status))
					if len(clock.waits) > 0 {
						t.Errorf("waited %v", clock.waits)
					}
					return
				}
				if err != nil || left[0] != 1 {
					t.Errorf("left %v, %v", left, err)
				}
				if !slices.Equal(clock.waits, []time.Duration{c.wait}) {
					t.Errorf("waited %v, want %s", clock.waits, c.wait)
				}
			})
		}
	}
}

// TestOverloadEnds: who always asks to come again is not asked beyond the deadline.
func TestOverloadEnds(t *testing.T) {
	s := newService(t)
	s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
		w.Header().Set("Retry-After", "20")
		problem(w, 429)
		return true
	})
	config := s.config()
	config.Deadline, config.BatchSize = time.Minute, 1
	_, err := open(t, config).Execute(ctx, batch("batch", "canary-1", "canary-2"))
	wantError[*backend.UnavailableError](t, err, "429")
	if n := len(s.requests("/erase")); n != 4 {
		t.Errorf("%d requests", n)
	}
}

func TestPolling(t *testing.T) {
	s := newService(t)
	s.async = 9
	s.Put(t, "contact", "canary-1")
	b, clock := open(t, s.config()), &leap{}
	http.SetClock(b, clock)
	res, err := b.Execute(ctx, batch("batch", "canary-1"))
	if err != nil || res.Affected[0] != 1 {
		t.Fatalf("%v, %v", res, err)
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	want := []time.Duration{ms(500), ms(1000), ms(2000), ms(4000), ms(8000), ms(16000), ms(30000), ms(30000), ms(30000)}
	if !slices.Equal(clock.waits, want) {
		t.Errorf("waited %v, want %v", clock.waits, want)
	}
	// The service may say when to ask.
	polls := 0
	s.behave(func(w nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool {
		w.Header().Set("Retry-After", "5")
		if r.Method == nethttp.MethodGet {
			polls++
		}
		if polls == 2 {
			w.Header().Del("Retry-After")
		}
		return false
	})
	s.async = 3
	clock.waits = nil
	if _, err := b.Execute(ctx, batch("other", "canary-1")); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{ms(5000), ms(5000), ms(2000)}; !slices.Equal(clock.waits, want) {
		t.Errorf("waited %v, want %v", clock.waits, want)
	}
}

// TestDeadline: what takes longer is unavailable, and the same request with the same key goes on with it.
func TestDeadline(t *testing.T) {
	s := newService(t)
	s.async = 12
	s.Put(t, "contact", "canary-1", "canary-2", "canary-3")
	config := s.config()
	config.Deadline, config.BatchSize = time.Minute, 2
	b := open(t, config)
	work := batch("batch", "canary-1", "canary-2", "canary-3")
	_, err := b.Execute(ctx, work)
	wantError[*backend.UnavailableError](t, err, "deadline")
	if n := len(s.requests("/erase")); n != 2 {
		t.Errorf("%d requests: an operation that takes long keeps others back", n)
	}
	if left, err := b.Verify(ctx, work.Operations); err != nil || left[0] != 3 {
		t.Errorf("left %v, %v", left, err)
	}
	res, err := b.Execute(ctx, work)
	if err != nil || res.Affected[0] != 3 {
		t.Fatalf("%v, %v", res, err)
	}
	if left, err := b.Verify(ctx, work.Operations); err != nil || left[0] != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	r := s.requests("/erase")
	if len(r) != 4 || len(s.results) != 2 || r[0].key != r[2].key || r[1].key != r[3].key || r[0].key == r[1].key {
		t.Errorf("%d requests, %d operations: the keys are not the same for the same ids and no others", len(r), len(s.results))
	}
	for _, one := range r {
		if one.body["requestId"] != "batch" || strings.Contains(one.key, "canary") || len(one.key) < 32 {
			t.Errorf("requestId %v, key %q", one.body["requestId"], one.key)
		}
	}
	s.async = 0
	if _, err := b.Execute(ctx, batch("another", "canary-1", "canary-2")); err != nil {
		t.Fatal(err)
	}
	if again := s.requests("/erase"); again[4].key == r[0].key {
		t.Error("another batch has the same key")
	}
}

// TestForgottenOperation: a service that was started again may know nothing of what it accepted.
func TestForgottenOperation(t *testing.T) {
	s := newService(t)
	s.async = 2
	s.Put(t, "contact", "canary-1")
	s.behave(func(w nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool {
		if r.Method == nethttp.MethodGet {
			problem(w, 404)
			return true
		}
		return false
	})
	b := open(t, s.config())
	_, err := b.Execute(ctx, batch("batch", "canary-1"))
	wantError[*backend.UnavailableError](t, err, "operation")
	s.behave(nil)
	if res, err := b.Execute(ctx, batch("batch", "canary-1")); err != nil || res.Affected[0] != 1 {
		t.Errorf("%v, %v", res, err)
	}
}

// TestHalfDoneBatch: a request that is refused does not keep the others back, an outage does.
func TestHalfDoneBatch(t *testing.T) {
	for _, c := range []struct{ status, requests, left int }{{422, 3, 1}, {500, 2, 2}} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			s := newService(t)
			s.Put(t, "contact", "canary-1", "canary-2", "canary-3")
			s.behave(func(w nethttp.ResponseWriter, r *nethttp.Request, body []byte) bool {
				if strings.HasSuffix(r.URL.Path, "/erase") && strings.Contains(string(body), "canary-2") {
					problem(w, c.status)
					return true
				}
				return false
			})
			config := s.config()
			config.BatchSize = 1
			b := open(t, config)
			work := batch("batch", "canary-1", "canary-2", "canary-3")
			_, err := b.Execute(ctx, work)
			if err == nil || len(s.requests("/erase")) != c.requests {
				t.Errorf("%v, %d requests", err, len(s.requests("/erase")))
			}
			if left, err := b.Verify(ctx, work.Operations); err != nil || left[0] != int64(c.left) {
				t.Errorf("left %v, %v", left, err)
			}
			s.behave(nil)
			if res, err := b.Execute(ctx, work); err != nil || res.Affected[0] != int64(c.left) {
				t.Errorf("%v, %v", res, err)
			}
		})
	}
}

func TestHangs(t *testing.T) {
	s := newService(t)
	s.Put(t, "contact", "canary-1")
	config := s.config()
	config.Timeout = 100 * time.Millisecond
	slow := map[string]func(w nethttp.ResponseWriter, r *nethttp.Request, body []byte) bool{
		"no answer": func(_ nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool { <-r.Context().Done(); return true },
		"half an answer": func(w nethttp.ResponseWriter, r *nethttp.Request, _ []byte) bool {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"present":[`)
			w.(nethttp.Flusher).Flush()
			<-r.Context().Done()
			return true
		},
	}
	for name, hook := range slow {
		t.Run(name, func(t *testing.T) {
			s.behave(hook)
			for what, call := range calls(open(t, config)) {
				if name == "half an answer" && what == "SetActive" {
					continue // the status says all
				}
				wantError[*backend.UnavailableError](t, call())
			}
			patient := s.config()
			patient.Timeout = time.Hour
			c, cancel := context.WithCancel(ctx)
			begun := make(chan struct{}, 1)
			s.behave(func(w nethttp.ResponseWriter, r *nethttp.Request, body []byte) bool {
				begun <- struct{}{}
				return hook(w, r, body)
			})
			go func() { <-begun; cancel() }()
			_, err := open(t, patient).Execute(c, batch("batch", "canary-1"))
			wantError[*backend.UnavailableError](t, err)
		})
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	for _, u := range []string{"https://127.0.0.1:1", "http://127.0.0.1:1", "http://" + l.Addr().String(), "https://" + l.Addr().String()} {
		for _, call := range calls(open(t, http.Config{URL: u, Timeout: 5 * time.Second})) {
			wantError[*backend.UnavailableError](t, call())
		}
	}
}

// TestNoProxy: a proxy from the environment would see ids and credentials.
func TestNoProxy(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	s := newService(t)
	for name, call := range calls(open(t, s.config())) {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCancelledWhileWaiting(t *testing.T) {
	s := newService(t)
	s.async = 2
	s.Put(t, "contact", "canary-1")
	b, err := http.Open(ctx, s.config()) // with the real clock
	if err != nil {
		t.Fatal(err)
	}
	c, cancel := context.WithCancel(ctx)
	s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
		w.Header().Set("Retry-After", "200")
		cancel()
		return false
	})
	_, err = b.Execute(c, batch("batch", "canary-1"))
	wantError[*backend.UnavailableError](t, err)
}

func TestDescribeIsPrintable(t *testing.T) {
	s := newService(t)
	s.behave(func(w nethttp.ResponseWriter, _ *nethttp.Request, _ []byte) bool {
		answer(w, 200, map[string]any{"contract": "v1", "service": "c\x1b[31mr\nm é", "version": strings.Repeat("9", 500)})
		return true
	})
	d, err := open(t, s.config()).Describe(ctx)
	if err != nil || len(d.Version) != 128 || !strings.HasPrefix(d.Version, "c[31mrm  999") {
		t.Errorf("%q, %v", d.Version, err)
	}
	b, err := json.Marshal(d)
	if err != nil || strings.Contains(string(b), `\u`) {
		t.Errorf("%s, %v", b, err)
	}
}
