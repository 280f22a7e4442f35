package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/test/internal/process"
)

// BuildLethe builds the operator's binary with the given build tags into a folder and returns its path.
func BuildLethe(ctx context.Context, folder string, tags ...string) (string, error) {
	binary := filepath.Join(folder, "lethe")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", strings.Join(tags, ","), "-o", binary, "./cmd/lethe")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build lethe: %w\n%s", err, out)
	}
	return binary, nil
}

// ManagerOptions say how an operator of a process of its own runs.
type ManagerOptions struct {
	// Kubeconfig of the cluster.
	Kubeconfig string
	// Namespace of the operator's own Secrets. Default OperatorNamespace.
	Namespace string
	// Folder of ledger and state store.
	Folder string
	// LedgerURLFile leads to a PostgreSQL database that they are in instead.
	LedgerURLFile string
	LedgerLease   time.Duration
	// LocalRoots by namespace.
	LocalRoots map[string]string
}

// Args are the arguments of the binary.
func (o ManagerOptions) Args() []string {
	namespace := o.Namespace
	if namespace == "" {
		namespace = OperatorNamespace
	}
	ledger := []string{"--ledger-path", filepath.Join(o.Folder, "ledger.db")}
	if o.LedgerURLFile != "" {
		ledger = []string{"--ledger-url-file", o.LedgerURLFile, "--ledger-lease", o.LedgerLease.String()}
	}
	args := []string{"manager", "--kubeconfig", o.Kubeconfig, "--operator-namespace", namespace,
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0", "--leader-elect=false", "--admission", "off"}
	args = append(args, ledger...)
	for namespace, path := range o.LocalRoots {
		args = append(args, "--local-root", namespace+"="+path)
	}
	return args
}

// Process is a program that runs beside the test.
type Process struct {
	// Logs have what it writes to standard output and standard error.
	Logs *Buffer

	*process.Process
}

// StartProcess starts a program; env is added to this process's environment. It ends with the test, or with the test's
// process, at the latest.
func StartProcess(t testing.TB, path string, args, env []string) *Process {
	t.Helper()
	p := &Process{Logs: &Buffer{}}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = p.Logs, p.Logs
	cmd.Env = append(os.Environ(), env...)
	var err error
	if p.Process, err = process.Start(cmd); err != nil {
		t.Fatalf("start %s: %v", filepath.Base(path), err)
	}
	t.Cleanup(p.Kill)
	return p
}

// Kill ends the process at once, as kill -9 does, and waits for it.
func (p *Process) Kill() { _ = p.End(syscall.SIGKILL) }

// Stop asks the process to end and waits for it; one that does not end in time is killed, which is an error.
func (p *Process) Stop(patience time.Duration) error {
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-p.Done():
		return p.Err()
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("the process did not end within %s", patience)
	}
}
