package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/controller"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/operator"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// completionIndex is the variable in which an indexed Job tells a Pod which one it is.
const completionIndex = "JOB_COMPLETION_INDEX"

// newSweepWorkerCommand is what the Pods of a run's Job execute. The operator makes the Job: nobody types this.
func newSweepWorkerCommand() *cobra.Command {
	f := &managerFlags{}
	o := operator.WorkerOptions{}
	cmd := &cobra.Command{
		Use:    "sweep-worker",
		Short:  "Do one shard of the run of a retention rule, as a Pod of its Job",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return f.work(cmd.Context(), o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; default: the cluster that this process runs in, or KUBECONFIG")
	flags.StringVar(&o.RunUID, "run", "", "UID of the run in the state store")
	flags.StringVar(&o.Job, "job", "", "name of the Job")
	flags.IntVar(&o.Index, "index", -1, "number of the shard; default: "+completionIndex)
	flags.StringVar(&o.LedgerURLFile, "ledger-url-file", "", "file with the postgres:// URL of ledger and state store")
	flags.DurationVar(&o.LedgerLease, "ledger-lease", 10*time.Second, "how long the database takes to find out that a connection is gone")
	flags.StringVar(&o.Namespace, "operator-namespace", defaultNamespace(), "namespace of the operator's own Secrets")
	flags.StringArrayVar(&f.localRoots, "local-root", nil, "NAMESPACE=PATH, as that of the operator")
	flags.DurationVar(&o.Patience, "patience", 10*time.Minute, "how long to wait where the operator does not let the worker go on")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
	for _, name := range []string{"run", "job", "ledger-url-file"} {
		_ = cmd.MarkFlagRequired(name) // it is there
	}
	return cmd
}

func (f *managerFlags) work(ctx context.Context, o operator.WorkerOptions) error {
	o.Log = f.logger()
	ctrl.SetLogger(o.Log)
	klog.SetLogger(o.Log.WithName("client"))
	config, err := f.restConfig()
	if err != nil {
		return err
	}
	if o.Index < 0 {
		if o.Index, err = strconv.Atoi(os.Getenv(completionIndex)); err != nil || o.Index < 0 {
			return fmt.Errorf("%s must be the number of the shard: this command is for the Pods of an indexed Job, or give --index", completionIndex)
		}
	}
	if o.LocalRoots, err = parseLocalRoots(f.localRoots); err != nil {
		return err
	}
	o.Scheme, o.Openers, o.OpenVault = wiring.NewScheme(), wiring.Openers(), wiring.OpenWorkerVault
	return workerError(operator.RunWorker(ctx, config, o))
}

// workerError gives the end of a worker the code by which its Job knows what to do next. Its text is public: it is in the Pod's log.
func workerError(err error) error {
	var terminal *fault.Terminal
	var transient *fault.Transient
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sweeper.ErrNotNow):
		return &cli.ExitError{Code: controller.ExitNotNow, Err: sweeper.ErrNotNow}
	case errors.As(err, &terminal):
		return &cli.ExitError{Code: controller.ExitTerminal, Err: terminal}
	case errors.As(err, &transient):
		return transient
	}
	return err
}
