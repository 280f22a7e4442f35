package http

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	nethttp "net/http"
	"regexp"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// errTooLate means that something would be waited for beyond the deadline.
var errTooLate = errors.New("beyond the deadline")

// Waits between two questions about an accepted operation, unless the service names one.
const (
	firstPoll = 500 * time.Millisecond
	lastPoll  = 30 * time.Second
)

// Execute asks the service to erase. It goes on after an error where that is of use, and reports the first. Whether the
// records are gone is for Verify to say.
func (b *Backend) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	list, err := chunks(batch.Operations, b.config.BatchSize)
	if err != nil {
		return nil, err
	}
	if batch.ID == "" {
		return nil, refused("the batch has no id, without which a service cannot tell a repetition", "")
	}
	if err := ctx.Err(); err != nil {
		return nil, translate(err)
	}
	if err := batch.AwaitEffect(ctx); err != nil {
		return nil, err
	}
	res := &backend.Result{Affected: make([]int64, len(batch.Operations))}
	var first error
	for _, c := range list {
		n, err := b.erase(ctx, batch.ID, c)
		res.Affected[c.op] += n
		if err != nil && first == nil {
			first = of(err, batch.Operations[c.op].Entity)
		}
		if err != nil && hopeless(err) {
			break
		}
	}
	if first != nil {
		return nil, first
	}
	return res, nil
}

// hopeless tells whether the next request would end as this one did: the service cannot be reached or is overloaded. An
// operation that takes long says nothing about the others.
func hopeless(err error) bool {
	var u *backend.UnavailableError
	return errors.As(err, &u) && !errors.Is(err, errTooLate)
}

// idempotencyKey is the same for the same records of the same batch, and no other. It does not tell the ids.
func idempotencyKey(batch string, c chunk) string {
	h := sha256.New()
	add := func(s string) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	add(batch)
	add(c.resource)
	for _, id := range c.ids {
		add(id)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// progress is what the service says of an erasure.
type progress struct {
	State     string
	Operation string
	Erased    *int64
}

// erased checks the number that the service gives.
func (p *progress) erased(c chunk) (int64, error) {
	if p.Erased == nil || *p.Erased < 0 || *p.Erased > int64(len(c.ids)) {
		return 0, untrue("does not say how many records were erased, or more than there can be")
	}
	return *p.Erased, nil
}

// operationID is what an operation may be called: it becomes part of a URL.
var operationID = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,127}$`)

func (b *Backend) erase(ctx context.Context, batch string, c chunk) (int64, error) {
	deadline := b.deadline()
	rep, err := b.call(ctx, request{method: nethttp.MethodPost, path: "/erase", key: idempotencyKey(batch, c),
		want: []int{nethttp.StatusOK, nethttp.StatusAccepted},
		body: map[string]any{"resource": c.resource, "ids": c.ids, "requestId": batch}}, deadline)
	if err != nil {
		return 0, err
	}
	var p progress
	if err := rep.read(&p); err != nil {
		return 0, err
	}
	switch {
	case rep.status == nethttp.StatusOK && p.State == "Completed":
		return p.erased(c)
	case rep.status != nethttp.StatusAccepted || p.State != "Accepted":
		return 0, untrue("has a state that the contract has not")
	case !operationID.MatchString(p.Operation):
		return 0, untrue("names an operation in a way that the contract has not")
	}
	return b.await(ctx, p.Operation, c, rep.after, deadline)
}

// await asks for an accepted operation until it has ended. After the deadline the service may go on: the same request,
// with the same key, asks for it again.
func (b *Backend) await(ctx context.Context, operation string, c chunk, after time.Duration, deadline time.Time) (int64, error) {
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		if after < 0 {
			after = pause
		}
		err := b.wait(ctx, max(after, shortestWait), deadline)
		if errors.Is(err, errTooLate) {
			return 0, unavailable("the service has accepted the erasure and not ended it by the deadline", err)
		} else if err != nil {
			return 0, err
		}
		rep, err := b.call(ctx, request{method: nethttp.MethodGet, path: "/operations/" + operation, want: []int{nethttp.StatusOK}}, deadline)
		var status *statusError
		if errors.As(err, &status) && status.status == nethttp.StatusNotFound {
			return 0, unavailable("the service does not know the operation any more that it accepted", errTooLate)
		} else if err != nil {
			return 0, err
		}
		var p progress
		if err := rep.read(&p); err != nil {
			return 0, err
		}
		switch p.State {
		case "Completed":
			return p.erased(c)
		case "Pending":
			after = rep.after
		case "Failed":
			return 0, refused("the service has failed to erase", "see the service's log for the reason, which may hold data and is not repeated here")
		default:
			return 0, untrue("has a state that the contract has not")
		}
	}
}
