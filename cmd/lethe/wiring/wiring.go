// Package wiring puts the adapters in: the one place that knows which stores, ledgers and state stores there are.
package wiring

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/operator"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
)

// NewScheme knows Kubernetes' types and Lethe's.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// OpenVault opens ledger and state store, embedded.
func OpenVault(ctx context.Context, opts operator.VaultOptions) (*operator.Vault, error) {
	vault, err := vaultsqlite.Open(ctx, opts.LedgerPath, ledgersqlite.Options{LogName: opts.LogName, Signer: opts.Signer})
	if errors.Is(err, vaultsqlite.ErrLocked) {
		return nil, errors.Join(operator.ErrLocked, err)
	}
	if err != nil {
		return nil, err
	}
	return &operator.Vault{State: vault.State, Ledger: vault.Ledger, Close: vault.Close}, nil
}
