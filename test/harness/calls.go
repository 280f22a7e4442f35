package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"

	"k8s.io/client-go/rest"
)

// Call is a request to the API server that was answered with success.
type Call struct {
	// Method, resource with subresource ("erasurerequests/status"), namespace and name in the path; what it has not is empty.
	Method, Resource, Namespace, Name string
	// Unchanged is true for a patch that named the resourceVersion which the object still has: it changed nothing.
	Unchanged bool
}

// Write tells whether the call may change something.
func (c Call) Write() bool { return c.Method != http.MethodGet }

// StatusWrite tells whether the call writes the status of an object.
func (c Call) StatusWrite() bool { return c.Write() && strings.HasSuffix(c.Resource, "/status") }

// Calls counts what clients ask of the API server.
type Calls struct {
	mu   sync.Mutex
	list []Call
}

// Watch makes the clients of a configuration tell their calls.
func (c *Calls) Watch(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &told{calls: c, next: next} })
	return config
}

// Take returns the calls since the last time.
func (c *Calls) Take() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.list
	c.list = nil
	return list
}

type told struct {
	calls *Calls
	next  http.RoundTripper
}

// RoundTrip passes the request on and notes it.
func (t *told) RoundTrip(req *http.Request) (*http.Response, error) {
	var sent string
	if req.Method == http.MethodPatch && req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		_ = req.Body.Close()
		sent, req.Body = version(body), io.NopCloser(bytes.NewReader(body))
	}
	res, err := t.next.RoundTrip(req)
	if err != nil || res.StatusCode >= http.StatusMultipleChoices {
		return res, err
	}
	call := parse(req)
	if sent != "" {
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return nil, err
		}
		_ = res.Body.Close()
		res.Body = io.NopCloser(bytes.NewReader(body))
		call.Unchanged = version(body) == sent
	}
	t.calls.mu.Lock()
	defer t.calls.mu.Unlock()
	t.calls.list = append(t.calls.list, call)
	return res, nil
}

// version is the resourceVersion in an object or patch.
func version(body []byte) string {
	var o struct {
		Metadata struct {
			ResourceVersion string `json:"resourceVersion"`
		} `json:"metadata"`
	}
	if json.Unmarshal(body, &o) != nil {
		return ""
	}
	return o.Metadata.ResourceVersion
}

// parse reads /api/v1/... or /apis/group/version/..., with or without a namespace.
func parse(req *http.Request) Call {
	c := Call{Method: req.Method}
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if parts[0] == "apis" {
		parts = parts[1:]
	}
	parts = parts[min(2, len(parts)):]
	if len(parts) > 2 && parts[0] == "namespaces" {
		c.Namespace, parts = parts[1], parts[2:]
	}
	if len(parts) > 0 {
		c.Resource = parts[0]
	}
	if len(parts) > 1 {
		c.Name = parts[1]
	}
	if len(parts) > 2 {
		c.Resource += "/" + parts[2]
	}
	return c
}
