package property

import (
	"context"
	"errors"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/state"
)

// interruption lets one call to a store or to the ledger fail, before its effect or after it, as the loss of a connection
// does.
type interruption struct {
	// in so many calls from now; below zero never.
	in    int
	after bool
}

var errInterrupted = errors.New("interrupted by the test")

func isInterrupted(err error) bool { return errors.Is(err, errInterrupted) }

// due counts a call.
func (i *interruption) due() bool {
	i.in--
	return i.in == -1
}

func (i *interruption) around(call func() error) error {
	lost := &backend.UnavailableError{Problem: "interrupted", Err: errInterrupted}
	if !i.due() {
		return call()
	}
	if i.after {
		if err := call(); err != nil {
			return err
		}
	}
	return lost
}

// interrupt makes the stores of a place fail once.
func (p *place) interrupt(i *interruption) {
	for name, s := range p.open {
		shaky := *s
		shaky.Backend = shakyStore{s.Backend, i}
		if _, ok := s.Backend.(backend.Transactional); ok {
			shaky.Backend = shakyTransactional{shakyStore{s.Backend, i}}
		}
		p.open[name] = &shaky
	}
}

type shakyStore struct {
	backend.Backend
	*interruption
}

func (s shakyStore) Execute(ctx context.Context, b backend.Batch) (result *backend.Result, err error) {
	err = s.around(func() error {
		result, err = s.Backend.Execute(ctx, b)
		return err
	})
	return result, err
}

func (s shakyStore) Verify(ctx context.Context, ops []backend.Operation) (left []int64, err error) {
	err = s.around(func() error {
		left, err = s.Backend.Verify(ctx, ops)
		return err
	})
	return left, err
}

type shakyTransactional struct{ shakyStore }

func (shakyTransactional) Transactional() {}

type shakyVault struct {
	state.Store
	*interruption
}

func (v shakyVault) Update(ctx context.Context, fn func(state.Tx) error) error {
	return v.around(func() error { return v.Store.Update(ctx, fn) })
}
