// Package process runs the servers and programs of tests, benchmarks and the demo: real ones, on loopback, that end when the
// process does that started them.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a server may take until it answers.
const patience = 30 * time.Second

// Process is a program that was started. A nil one has ended.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// Start starts a program. When this process ends, it gets the Pdeathsig of cmd, or SIGKILL.
func Start(cmd *exec.Cmd) (*Process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	if cmd.SysProcAttr.Pdeathsig == 0 {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run stays on one thread while the program lives: the kernel sends Pdeathsig when the thread ends that started it.
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

// StartReady starts a program and returns when it has written the words to standard error. Everything it writes there goes to
// log, too, if there is one.
func StartReady(ctx context.Context, cmd *exec.Cmd, words string, log io.Writer) (*Process, error) {
	w := &watch{words: words, log: log, ready: make(chan struct{})}
	cmd.Stderr = w
	p, err := Start(cmd)
	if err != nil {
		return nil, err
	}
	select {
	case <-w.ready:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("%s ended while starting:\n%s", filepath.Base(cmd.Path), w.text.String())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), p.End(cmd.SysProcAttr.Pdeathsig))
	}
}

// watch waits for words.
type watch struct {
	words string
	log   io.Writer
	ready chan struct{}
	once  sync.Once
	text  bytes.Buffer
	seen  bool
}

func (w *watch) Write(b []byte) (int, error) {
	if w.log != nil {
		_, _ = w.log.Write(b)
	}
	if !w.seen {
		w.text.Write(b)
		if w.seen = strings.Contains(w.text.String(), w.words); w.seen {
			w.once.Do(func() { close(w.ready) })
		}
	}
	return len(b), nil
}

// ErrEnded means that the program has ended while somebody waited for an answer of its.
var ErrEnded = errors.New("the program ended while starting")

// UntilAnswers calls f until it has no error.
func (p *Process) UntilAnswers(ctx context.Context, f func(context.Context) error) error {
	return Poll(ctx, func(ctx context.Context) (bool, error) {
		if p.Ended() {
			return true, ErrEnded
		}
		return false, f(ctx)
	})
}

// Poll calls f until it has no error, or says that it is final.
func Poll(ctx context.Context, f func(context.Context) (final bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		final, err := f(ctx)
		if err == nil || final {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// PID of the program.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Ended tells whether the program has ended.
func (p *Process) Ended() bool {
	if p == nil {
		return true
	}
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Err is how the program ended that has ended.
func (p *Process) Err() error { return p.err }

// Signal sends a signal.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// End sends a signal and waits until the program has ended.
func (p *Process) End(sig os.Signal) error {
	if p.Ended() {
		return nil
	}
	err := p.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if err == nil {
		<-p.done
	}
	return err
}

// KilledBy is the signal that ended the program, 0 if it lives or has ended by itself.
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

// FreePort is a port of the loopback that nobody listens on.
func FreePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// Unprivileged gives folders to the first of the users that there is, for a server that does not run as root. Who is not root
// needs no such user.
func Unprivileged(users []string, folders ...string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range users {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		for _, folder := range folders {
			if err := os.Chown(folder, int(uid), int(gid)); err != nil {
				return nil, err
			}
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, fmt.Errorf("the server does not run as root, and there is no user %s to run it as", strings.Join(users, " or "))
}
