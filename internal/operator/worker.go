package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/controller"
	keyskubernetes "github.com/lethe-dev/lethe/internal/keys/kubernetes"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// delegate lets runs of rules be executed by Jobs, or says why they cannot be and what to do.
func delegate(sweeps *sweeper.Sweeper, direct client.Client, o Options, vault *Vault) (noJobs string) {
	delegator, ok := vault.State.(state.Delegator)
	switch {
	case !ok:
		return "the ledger is a file, which one process has open: keep it in PostgreSQL (--ledger-url-file; ledger.postgresql of the chart)"
	case o.Pod == "":
		return "the operator does not know its own Pod, which the workers' Pods are made from: set the environment variable POD_NAME from metadata.name"
	}
	args := []string{"--operator-namespace", o.Namespace, "--ledger-url-file", o.LedgerURLFile}
	if o.LedgerLease > 0 {
		args = append(args, "--ledger-lease", o.LedgerLease.String())
	}
	for namespace, path := range o.LocalRoots {
		args = append(args, "--local-root", namespace+"="+path)
	}
	sweeps.Delegator = delegator
	sweeps.Workers = &controller.Jobs{Client: direct, Namespace: o.Namespace, Pod: o.Pod, Args: args}
	if o.LedgerLease > 0 {
		sweeps.Lull = lull(o.LedgerLease)
	}
	return ""
}

// lull is a little longer than the server needs to find out that a connection is gone.
func lull(lease time.Duration) time.Duration { return lease * 5 / 4 }

// WorkerOptions of a process that does one shard of a run.
type WorkerOptions struct {
	Scheme  *runtime.Scheme
	Log     logr.Logger
	Openers stores.Openers
	// OpenVault waits for the turn of the shard.
	OpenVault     func(ctx context.Context, o WorkerVaultOptions) (*WorkerVault, error)
	LocalRoots    map[string]string
	LedgerURLFile string
	LedgerLease   time.Duration
	// Namespace is the operator's.
	Namespace string
	// RunUID, Job and Index say which shard.
	RunUID, Job string
	Index       int
	// Patience is how long to wait for leave to go on.
	Patience time.Duration
}

// WorkerVaultOptions say where the vault is, and for which shard.
type WorkerVaultOptions struct {
	LedgerURLFile     string
	LedgerLease       time.Duration
	RunUID, Job, Turn string
}

// WorkerVault is what a worker has of the vault.
type WorkerVault struct {
	State state.Worker
	Close func()
}

// RunWorker does one shard of a run, until it is over.
func RunWorker(ctx context.Context, restConfig *rest.Config, o WorkerOptions) error {
	direct, err := client.New(named(restConfig), client.Options{Scheme: o.Scheme})
	if err != nil {
		return fmt.Errorf("the Kubernetes API: %w", err)
	}
	vault, err := o.OpenVault(ctx, WorkerVaultOptions{LedgerURLFile: o.LedgerURLFile, LedgerLease: o.LedgerLease, RunUID: o.RunUID, Job: o.Job, Turn: fmt.Sprint(o.Index)})
	if err != nil {
		if ctx.Err() != nil {
			return sweeper.ErrNotNow
		}
		return fmt.Errorf("the state store: %w", err)
	}
	defer vault.Close()
	clk := clock.RealClock{}
	pool := stores.NewPool(direct, direct, o.Openers, o.LocalRoots, clk, o.Log.WithName("stores"))
	defer func() { _ = pool.Close() }()
	keyStore := keyskubernetes.New(direct, direct, o.Namespace)
	worker := &sweeper.Worker{
		Sweeper: &sweeper.Sweeper{Stores: pool, State: vault.State, Keys: keyStore, Clock: clk, Lull: lull(o.LedgerLease)},
		Records: vault.State, RunUID: o.RunUID, Job: o.Job, Index: o.Index, Patience: o.Patience,
		Task: func(ctx context.Context, record *state.Run) (*sweeper.Task, error) {
			return controller.SweepTask(ctx, direct, record)
		},
	}
	err = worker.Work(ctx)
	if errors.Is(err, state.ErrNotFound) {
		return fmt.Errorf("run %s: %w", o.RunUID, err)
	}
	return err
}
