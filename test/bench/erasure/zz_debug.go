package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/state"
)

var spans = map[string][]time.Duration{}
var order []string

func span(name string, b time.Time) {
	n := 0
	for _, o := range cur {
		if o == name {
			n++
		}
	}
	cur = append(cur, name)
	name = fmt.Sprintf("%s#%d", name, n)
	if spans[name] == nil {
		order = append(order, name)
	}
	spans[name] = append(spans[name], time.Since(b))
}

var cur []string

func dumpSpans() {
	for _, o := range order {
		l := spans[o]
		slices.Sort(l)
		fmt.Fprintf(os.Stderr, "%-20s n=%d median %v\n", o, len(l), l[len(l)/2])
	}
}

type dState struct{ state.Store }

func (d dState) Update(ctx context.Context, fn func(state.Tx) error) error {
	defer span("update", time.Now())
	return d.Store.Update(ctx, fn)
}
func (d dState) Run(ctx context.Context, uid string) (*state.Run, error) {
	defer span("run", time.Now())
	return d.Store.Run(ctx, uid)
}
func (d dState) Holds(ctx context.Context, uid string) ([]state.Hold, error) {
	defer span("holds", time.Now())
	return d.Store.Holds(ctx, uid)
}
func (d dState) Checkpoint(ctx context.Context, uid string) (*state.Checkpoint, error) {
	defer span("checkpoint", time.Now())
	return d.Store.Checkpoint(ctx, uid)
}

type dLedger struct{ ledger.Log }

func (d dLedger) Append(ctx context.Context, o string, e ...ledger.Entry) (ledger.Receipt, error) {
	defer span("append", time.Now())
	return d.Log.Append(ctx, o, e...)
}
func (d dLedger) Check(ctx context.Context, o string, n uint64, r []byte) error {
	defer span("check", time.Now())
	return d.Log.Check(ctx, o, n, r)
}

type dBackend struct{ backend.Backend }

func (d dBackend) Transactional() {}
func (d dBackend) Resolve(ctx context.Context, r backend.ResolveRequest) (*backend.Resolution, error) {
	defer span("resolve", time.Now())
	return d.Backend.Resolve(ctx, r)
}
func (d dBackend) Execute(ctx context.Context, r backend.Batch) (*backend.Result, error) {
	defer span("execute", time.Now())
	return d.Backend.Execute(ctx, r)
}
func (d dBackend) Verify(ctx context.Context, r []backend.Operation) ([]int64, error) {
	defer span("verify", time.Now())
	return d.Backend.Verify(ctx, r)
}
