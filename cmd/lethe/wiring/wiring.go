// Package wiring puts the adapters in: the one place that knows which stores, ledgers and state stores there are.
package wiring

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/operator"
	"github.com/lethe-dev/lethe/internal/state"
	statesqlite "github.com/lethe-dev/lethe/internal/state/sqlite"
)

// NewScheme knows Kubernetes' types and Lethe's.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// OpenVault opens the state store and the ledger, both embedded.
func OpenVault(ctx context.Context, opts operator.VaultOptions) (*operator.Vault, error) {
	store, err := statesqlite.Open(ctx, opts.StatePath)
	if err != nil {
		return nil, locked(err)
	}
	log, err := ledgersqlite.Open(ctx, opts.LedgerPath, ledgersqlite.Options{LogName: opts.LogName, Signer: opts.Signer})
	if err != nil {
		return nil, locked(errors.Join(err, store.Close()))
	}
	return &operator.Vault{State: store, Ledger: log}, nil
}

func locked(err error) error {
	if errors.Is(err, ledger.ErrLocked) || errors.Is(err, state.ErrLocked) {
		return errors.Join(operator.ErrLocked, err)
	}
	return err
}
