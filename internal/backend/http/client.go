package http

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	nethttp "net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is one call of the service.
type request struct {
	method string
	path   string // below the base
	body   any
	// key is the Idempotency-Key, if the call has one.
	key string
	// want are the statuses of success.
	want []int
}

// reply is an answer of success.
type reply struct {
	status int
	body   []byte
	// after is how long the service asks to wait before the next request, negative if it does not say.
	after time.Duration
}

// smallestAnswer is how much of an answer is read at least. An answer that repeats all that was asked is longer by the
// ids, of which each character may be escaped.
const (
	smallestAnswer = 64 << 10
	escaped        = 6
)

// call makes a request, again if the service asks for that and the deadline leaves the time.
func (b *Backend) call(ctx context.Context, r request, deadline time.Time) (*reply, error) {
	var body []byte
	if r.body != nil {
		var err error
		if body, err = json.Marshal(r.body); err != nil {
			return nil, refused("the request cannot be written down", "")
		}
	}
	for {
		rep, err := b.once(ctx, r, body)
		if err != nil || slices.Contains(r.want, rep.status) {
			return rep, err
		}
		err = fromStatus(rep.status)
		if rep.status != nethttp.StatusTooManyRequests && rep.status != nethttp.StatusServiceUnavailable || rep.after < 0 {
			return nil, err
		}
		if waitErr := b.wait(ctx, max(rep.after, shortestWait), deadline); errors.Is(waitErr, errTooLate) {
			return nil, err
		} else if waitErr != nil {
			return nil, waitErr
		}
	}
}

// once makes a request, and reads an answer of success as far as it may be long.
func (b *Backend) once(ctx context.Context, r request, body []byte) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.Timeout)
	defer cancel()
	req, err := nethttp.NewRequestWithContext(ctx, r.method, b.base+r.path, bytes.NewReader(body))
	if err != nil {
		return nil, refused("the service's URL cannot be used", "correct the DataStore")
	}
	req.Header.Set("Accept", "application/json, application/problem+json")
	req.Header.Set("User-Agent", "lethe")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if b.authorization != "" {
		req.Header.Set("Authorization", b.authorization)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, translate(err)
	}
	defer func() { _ = resp.Body.Close() }()
	rep := &reply{status: resp.StatusCode, after: b.retryAfter(resp.Header.Get("Retry-After"))}
	limit := int64(smallestAnswer + escaped*len(body))
	if !slices.Contains(r.want, rep.status) {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, smallestAnswer)) // so that the connection can be used again
		return rep, nil
	}
	if rep.body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1)); err != nil {
		return nil, translate(err)
	}
	if int64(len(rep.body)) > limit {
		return nil, untrue("is longer than it can be")
	}
	if rep.status == nethttp.StatusNoContent {
		return rep, nil
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return nil, untrue("is not JSON")
	}
	return rep, nil
}

// read reads an answer. Fields that are not known are left out; what must be there is for the caller to see to.
func (r *reply) read(into any) error {
	if err := json.Unmarshal(r.body, into); err != nil {
		return untrue("is not the JSON of the contract")
	}
	return nil
}

// retryAfter reads the header, which has seconds or a date. It is negative where there is none that can be read.
func (b *Backend) retryAfter(value string) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := nethttp.ParseTime(value); err == nil {
		return max(date.Sub(b.clock.Now()), 0)
	}
	return -1
}

// shortestWait is how long a service is left alone that asks to come again at once.
const shortestWait = 200 * time.Millisecond

// wait waits for d. It does not begin to where the deadline comes before.
func (b *Backend) wait(ctx context.Context, d time.Duration, deadline time.Time) error {
	if err := ctx.Err(); err != nil {
		return translate(err)
	}
	if b.clock.Now().Add(d).After(deadline) {
		return errTooLate
	}
	select {
	case <-b.clock.After(d):
		return nil
	case <-ctx.Done():
		return translate(ctx.Err())
	}
}

func (b *Backend) deadline() time.Time { return b.clock.Now().Add(b.config.Deadline) }
