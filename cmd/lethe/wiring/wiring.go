// Package wiring puts the adapters in: the one place that knows which stores, ledgers and state stores there are.
package wiring

import (
	"context"
	"errors"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/filesystem"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/operator"
	"github.com/lethe-dev/lethe/internal/state"
	statesqlite "github.com/lethe-dev/lethe/internal/state/sqlite"
	"github.com/lethe-dev/lethe/internal/stores"
)

// NewScheme knows Kubernetes' types and Lethe's.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// Openers are the store kinds that this operator knows.
func Openers() stores.Openers {
	return stores.Openers{PostgreSQL: openPostgreSQL, SQLite: openSQLite, Filesystem: openFilesystem}
}

func openPostgreSQL(ctx context.Context, req stores.Request) (backend.Backend, error) {
	p, l := req.Spec.PostgreSQL, req.Spec.Limits
	if strings.HasPrefix(p.Host, "/") {
		return nil, &backend.RefusedError{Problem: "spec.postgresql.host is the folder of a socket, which would let a namespace reach databases beside the operator, as the operator's user",
			Remedy: "give the name or address of a server"}
	}
	return postgresql.Open(ctx, postgresql.Config{
		Host: p.Host, Port: int(p.Port), Database: p.Database, Schema: p.Schema, SSLMode: string(p.SSLMode),
		User: string(req.Credentials["username"]), Password: string(req.Credentials["password"]), CACert: req.Credentials["ca.crt"],
		BatchSize: int(l.BatchSize), StatementTimeout: seconds(l.StatementTimeoutSeconds), LockTimeout: seconds(l.LockTimeoutSeconds),
		MaxConnections: int(l.MaxConnections),
	})
}

func openSQLite(ctx context.Context, req stores.Request) (backend.Backend, error) {
	l := req.Spec.Limits
	return sqlite.Open(ctx, sqlite.Config{Root: req.LocalRoot, Path: req.Spec.SQLite.Path,
		BatchSize: int(l.BatchSize), StatementTimeout: seconds(l.StatementTimeoutSeconds), LockTimeout: seconds(l.LockTimeoutSeconds)})
}

func openFilesystem(_ context.Context, req stores.Request) (backend.Backend, error) {
	return filesystem.Open(filesystem.Config{Root: req.LocalRoot, Path: req.Spec.Filesystem.Path, BatchSize: int(req.Spec.Limits.BatchSize)})
}

func seconds(n int32) time.Duration { return time.Duration(n) * time.Second }

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
