// Package wiring puts the adapters in: the one place that knows which stores, ledgers and state stores there are.
package wiring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/operator"
	"github.com/lethe-dev/lethe/internal/projection"
	projectionsqlite "github.com/lethe-dev/lethe/internal/projection/sqlite"
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
	options := treelog.Options{LogName: opts.LogName, Signer: opts.Signer, Rotations: opts.Rotations}
	if opts.LedgerURLFile != "" {
		vault, err := vaultpostgresql.Open(ctx, vaultpostgresql.Options{URL: URLFile(opts.LedgerURLFile), Lease: opts.LedgerLease, Ledger: options})
		if err != nil {
			return nil, waitable(err, vaultpostgresql.ErrLocked, vaultpostgresql.ErrUnavailable)
		}
		index, closeAll := openIndex(vault.Ledger, opts, vault.Close)
		return &operator.Vault{State: vault.State, Ledger: vault.Ledger, Index: index, Close: closeAll, Lost: vault.Lost(), Err: vault.Err}, nil
	}
	vault, err := vaultsqlite.Open(ctx, opts.LedgerPath, options)
	if err != nil {
		return nil, waitable(err, vaultsqlite.ErrLocked, nil)
	}
	index, closeAll := openIndex(vault.Ledger, opts, vault.Close)
	return &operator.Vault{State: vault.State, Ledger: vault.Ledger, Index: index, Close: closeAll}, nil
}

// OpenWorkerVault opens what a worker of a Job has of a vault in PostgreSQL.
func OpenWorkerVault(ctx context.Context, o operator.WorkerVaultOptions) (*operator.WorkerVault, error) {
	vault, err := vaultpostgresql.OpenWorker(ctx, vaultpostgresql.Options{URL: URLFile(o.LedgerURLFile), Lease: o.LedgerLease}, o.RunUID, o.Job, o.Turn)
	if err != nil {
		return nil, err
	}
	return &operator.WorkerVault{State: vault, Close: vault.Close}, nil
}

// openIndex puts the index beside an embedded ledger, or into the folder for temporary files, unless it has a place of its own.
func openIndex(log ledger.Log, opts operator.VaultOptions, closeVault func() error) (projection.Reader, func() error) {
	o := projectionsqlite.Options{Path: opts.LedgerIndexPath}
	switch {
	case o.Path != "":
	case opts.LedgerURLFile != "":
		o = projectionsqlite.Options{Path: filepath.Join(os.TempDir(), fmt.Sprintf("lethe-ledger-%d.index", os.Getpid())), Temporary: true}
	default:
		o.Path = opts.LedgerPath + ".index"
	}
	index := projectionsqlite.New(log, o)
	return index, func() error { return errors.Join(index.Close(), closeVault()) }
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
