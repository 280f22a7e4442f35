// Package http is the backend for services that hold personal data and are asked to erase it over HTTP. What they
// implement is in docs/reference/http-contract.md. A service is not believed: after it says that records are gone, it is
// asked which of them are there.
package http

import (
	"context"
	"fmt"
	nethttp "net/http"
	"strings"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Backend is a service.
type Backend struct {
	config        Config
	base          string // URL up to and with /v1
	authorization string
	client        *nethttp.Client
	clock         clock.Clock
}

// Open makes a backend. It does not connect: the first call does.
func Open(_ context.Context, c Config) (backend.Backend, error) {
	c = c.withDefaults()
	authorization, err := c.authorization()
	if err != nil {
		return nil, err
	}
	base, err := c.base()
	if err != nil {
		return nil, err
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return &Backend{config: c, base: base.String(), authorization: authorization, client: client, clock: clock.RealClock{}}, nil
}

// Close releases the idle connections; those in use end with their calls.
func (b *Backend) Close() error {
	b.client.CloseIdleConnections()
	return nil
}

// Text is the value itself.
func (*Backend) Text(v backend.Value) string {
	if v == nil {
		return ""
	}
	return *v
}

// FromText is the text itself.
func (*Backend) FromText(text string) backend.Value { return &text }

// Describe asks the service for its name and version, and makes sure that it knows the contract.
func (b *Backend) Describe(ctx context.Context) (backend.Description, error) {
	rep, err := b.call(ctx, request{method: nethttp.MethodGet, path: "/", want: []int{nethttp.StatusOK}}, b.deadline())
	if err != nil {
		return backend.Description{}, err
	}
	var d struct{ Contract, Service, Version string }
	if err := rep.read(&d); err != nil {
		return backend.Description{}, err
	}
	if d.Contract != "v1" {
		return backend.Description{}, refused("the service does not implement version v1 of the contract", "correct the URL in the DataStore, or the service")
	}
	printable := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, d.Service+" "+d.Version)
	return backend.Description{Version: strings.TrimSpace(fmt.Sprintf("%.128s", printable))}, nil
}

// SetActive takes records out of use, or puts them back.
func (b *Backend) SetActive(ctx context.Context, id string, ops []backend.Operation, active bool) error {
	list, err := chunks(ops, b.config.BatchSize)
	if err != nil {
		return err
	}
	var first error
	for _, c := range list {
		_, err := b.call(ctx, request{method: nethttp.MethodPost, path: "/deactivate", want: []int{nethttp.StatusNoContent}, body: map[string]any{
			"resource": c.resource, "ids": c.ids, "active": active, "requestId": id,
		}}, b.deadline())
		if err != nil && first == nil {
			first = of(err, ops[c.op].Entity)
		}
		if err != nil && hopeless(err) {
			break
		}
	}
	return first
}
