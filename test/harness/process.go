package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
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

	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// StartProcess starts a program; env is added to this process's environment. It ends with the test, or with the test's
// process, at the latest.
func StartProcess(t testing.TB, path string, args, env []string) *Process {
	t.Helper()
	p := &Process{Logs: &Buffer{}, cmd: exec.Command(path, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.Logs, p.Logs
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", filepath.Base(path), err)
	}
	t.Cleanup(p.Kill)
	return p
}

// run stays on one thread while the process lives: the kernel sends Pdeathsig when the thread ends that started it.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		p.err = p.cmd.Wait()
	}
	close(p.done)
}

// PID of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Kill ends the process at once, as kill -9 does, and waits for it.
func (p *Process) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.done
}

// Stop asks the process to end and waits for it; one that does not end in time is killed, which is an error.
func (p *Process) Stop(patience time.Duration) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		p.Kill()
		return fmt.Errorf("the process did not end within %s", patience)
	}
}

// KilledBy is the signal that ended the process, 0 if it lives or has ended by itself.
func (p *Process) KilledBy() syscall.Signal {
	if !p.Ended() {
		return 0
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return 0
	}
	return status.Signal()
}
