// Package wiring puts the adapters in: the one place that knows which stores, ledgers and state stores there are.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/operator"
	vaultpostgresql "github.com/lethe-dev/lethe/internal/vault/postgresql"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
)

// NewScheme knows Kubernetes' types and Lethe's.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// OpenVault opens ledger and state store, embedded or in PostgreSQL.
func OpenVault(ctx context.Context, opts operator.VaultOptions) (*operator.Vault, error) {
	options := treelog.Options{LogName: opts.LogName, Signer: opts.Signer}
	if opts.LedgerURLFile != "" {
		vault, err := vaultpostgresql.Open(ctx, vaultpostgresql.Options{URL: URLFile(opts.LedgerURLFile), Lease: opts.LedgerLease, Ledger: options})
		if err != nil {
			return nil, waitable(err, vaultpostgresql.ErrLocked, vaultpostgresql.ErrUnavailable)
		}
		return &operator.Vault{State: vault.State, Ledger: vault.Ledger, Close: vault.Close, Lost: vault.Lost(), Err: vault.Err}, nil
	}
	vault, err := vaultsqlite.Open(ctx, opts.LedgerPath, options)
	if err != nil {
		return nil, waitable(err, vaultsqlite.ErrLocked, nil)
	}
	return &operator.Vault{State: vault.State, Ledger: vault.Ledger, Close: vault.Close}, nil
}

// waitable gives what may pass by itself the names that the operator waits for.
func waitable(err, locked, unavailable error) error {
	switch {
	case errors.Is(err, locked):
		return errors.Join(operator.ErrLocked, err)
	case unavailable != nil && errors.Is(err, unavailable):
		return errors.Join(operator.ErrUnavailable, err)
	}
	return err
}

// maxURL bounds what is read of a file that holds a URL.
const maxURL = 16 << 10

// URLFile reads a URL from a file, such as a mounted Secret, each time that it is asked.
func URLFile(path string) func() (string, error) {
	return func() (string, error) {
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("--ledger-url-file: %w", err)
		}
		defer func() { _ = file.Close() }()
		text, err := io.ReadAll(io.LimitReader(file, maxURL))
		if err != nil {
			return "", fmt.Errorf("--ledger-url-file: %w", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
}
