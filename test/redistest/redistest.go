// Package redistest runs real Redis servers and clusters in temporary folders, for tests and benchmarks.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/lethe-dev/lethe/test/internal/process"
)

// ServerEnv names the program redis-server; else it is looked up in PATH.
const ServerEnv = "LETHE_REDIS_SERVER"

// Options of a server.
type Options struct {
	// Settings are further parameters of the server's configuration.
	Settings map[string]string
	// TLS makes the server speak TLS alone, with a certificate of its own for 127.0.0.1.
	TLS bool
	// ClientCert makes it ask for the client's certificate too.
	ClientCert bool

	cluster bool
	// sentinel has the configuration of a Sentinel, which the server then is.
	sentinel string
}

// Server is a running Redis on the loopback. Its data outlive Kill, Shutdown and Restart.
type Server struct {
	Port int
	// Password of the default user, who may do everything.
	Password string
	// CACert in PEM, with TLS; ClientCert and ClientKey are what a client may show.
	CACert, ClientCert, ClientKey []byte

	busPort int
	dir     string
	options Options
	process *process.Process
	log     bytes.Buffer
}

// Start starts a server. It also ends when this process does.
func Start(ctx context.Context, o Options) (*Server, error) {
	dir, err := os.MkdirTemp("", "lethe-redis-")
	if err != nil {
		return nil, err
	}
	s := &Server{Password: "default-password", dir: dir, options: o}
	if o.TLS {
		err = s.makeCertificates()
	}
	if err == nil {
		err = s.Restart(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Addr is the server's host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

// Client connects as the default user.
func (s *Server) Client() *redis.Client {
	o := &redis.Options{Addr: s.Addr(), Password: s.Password, Protocol: 2, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}}
	if s.options.sentinel != "" {
		o.Password = ""
	}
	if s.options.TLS {
		o.TLSConfig = s.clientTLS()
	}
	return redis.NewClient(o)
}

// Restart starts the server again after Kill or Shutdown, on the port that it had, and waits until it answers.
func (s *Server) Restart(ctx context.Context) (err error) {
	program := os.Getenv(ServerEnv)
	if program == "" {
		if program, err = exec.LookPath("redis-server"); err != nil {
			return fmt.Errorf("no Redis server found: install it (Debian, Ubuntu: apt-get install redis-server), or set %s to the program", ServerEnv)
		}
	}
	for _, port := range []*int{&s.Port, &s.busPort} {
		if *port == 0 {
			if *port, err = process.FreePort(); err != nil {
				return err
			}
		}
	}
	args := s.arguments()
	if s.options.sentinel != "" {
		// The Sentinel writes what it learns into its configuration.
		file := filepath.Join(s.dir, "sentinel.conf")
		if err := os.WriteFile(file, []byte(s.options.sentinel), 0o600); err != nil {
			return err
		}
		args = []string{file, "--sentinel", "--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1", "--dir", s.dir}
	}
	cmd := exec.Command(program, args...)
	cmd.Dir = s.dir
	s.log.Reset()
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	if s.process, err = process.Start(cmd); err != nil {
		return err
	}
	client := s.Client()
	defer func() { _ = client.Close() }()
	err = s.process.UntilAnswers(ctx, func(ctx context.Context) error { return client.Ping(ctx).Err() })
	if errors.Is(err, process.ErrEnded) {
		return fmt.Errorf("redis-server: %w:\n%s", err, s.log.String())
	}
	return err
}

func (s *Server) arguments() []string {
	settings := map[string]string{
		"port": strconv.Itoa(s.Port), "bind": "127.0.0.1", "dir": s.dir, "requirepass": s.Password, "save": "",
		"appendonly": "yes", "appendfsync": "no", "masterauth": s.Password, "repl-diskless-sync-delay": "0",
	}
	if s.options.cluster {
		maps.Copy(settings, map[string]string{"cluster-enabled": "yes", "cluster-port": strconv.Itoa(s.busPort),
			"cluster-node-timeout": "5000", "cluster-config-file": "nodes.conf"})
	}
	if s.options.TLS {
		maps.Copy(settings, map[string]string{"port": "0", "tls-port": strconv.Itoa(s.Port), "tls-cert-file": s.file("server.crt"),
			"tls-key-file": s.file("server.key"), "tls-ca-cert-file": s.file("ca.crt"), "tls-auth-clients": "no"})
		if s.options.ClientCert {
			settings["tls-auth-clients"] = "yes"
		}
	}
	maps.Copy(settings, s.options.Settings)
	var args []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "--"+name, settings[name])
	}
	return args
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// Pause makes the server take connections and answer nothing, until Resume.
func (s *Server) Pause() error { return s.process.Signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (s *Server) Resume() error { return s.process.Signal(syscall.SIGCONT) }

// Kill stops the server at once, as a crash would, and keeps its data.
func (s *Server) Kill() error { return s.process.End(syscall.SIGKILL) }

// Shutdown stops the server in an orderly way and keeps its data.
func (s *Server) Shutdown() error { return s.process.End(syscall.SIGTERM) }

// Stop stops the server and removes its folder.
func (s *Server) Stop() error { return errors.Join(s.Kill(), os.RemoveAll(s.dir)) }

// StartSentinel starts a Sentinel that knows the server by the name.
func StartSentinel(ctx context.Context, master *Server, name string) (*Server, error) {
	return Start(ctx, Options{sentinel: strings.Join([]string{
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 1", name, master.Port),
		fmt.Sprintf("sentinel auth-pass %s %s", name, master.Password),
		fmt.Sprintf("sentinel down-after-milliseconds %s 1000", name),
		fmt.Sprintf("sentinel failover-timeout %s 3000", name),
	}, "\n") + "\n"})
}
