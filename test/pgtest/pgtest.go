// Package pgtest runs a real PostgreSQL server in a temporary folder, for tests, benchmarks and the demo.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/test/internal/process"
)

// BinEnv names the folder with initdb and postgres; else they are looked up in PATH and in /usr/lib/postgresql.
const BinEnv = "LETHE_POSTGRES_BIN"

// Options of a server.
type Options struct {
	// Fsync makes commits durable, and slow. Off by default.
	Fsync bool
	// Log takes the server's log. Default: none.
	Log io.Writer
	// Settings are further server parameters.
	Settings map[string]string
	// Cert and Key in PEM make the server offer TLS.
	Cert, Key []byte
}

// Server is a running PostgreSQL. Its superuser needs no password on the unix socket; over TCP everybody needs one.
type Server struct {
	// Host is the folder of the unix socket. The server listens on 127.0.0.1 too.
	Host string
	Port int
	// User is the superuser.
	User, Password string

	dir, bin string
	options  Options
	process  *process.Process
	number   atomic.Int64
}

// Start makes a database cluster and starts its server. The server also ends when this process does.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lethe-pg-")
	if err != nil {
		return nil, err
	}
	s := &Server{Host: dir, User: "postgres", Password: "superuser-password", dir: dir, bin: bin, options: o}
	if err := errors.Join(os.WriteFile(s.file("cert"), o.Cert, 0o644), os.WriteFile(s.file("key"), o.Key, 0o600), s.init(ctx)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func binaries() (string, error) {
	candidates := []string{os.Getenv(BinEnv)}
	if candidates[0] == "" {
		if p, err := exec.LookPath("initdb"); err == nil {
			candidates = append(candidates, filepath.Dir(p))
		}
		installed, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
		slices.SortFunc(installed, func(a, b string) int { return version(b) - version(a) })
		candidates = append(candidates, installed...)
	}
	for _, c := range candidates {
		if c == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(c, "postgres")); err == nil {
			return c, nil
		}
	}
	return "", fmt.Errorf("no PostgreSQL server found: install it (Debian, Ubuntu: apt-get install postgresql; "+
		"Fedora: dnf install postgresql-server), or set %s to the folder with initdb and postgres", BinEnv)
}

func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
	return n
}

func (s *Server) init(ctx context.Context) error {
	attr, err := s.unprivileged()
	if err != nil {
		return err
	}
	passwords := s.file("password")
	if err := os.WriteFile(passwords, []byte(s.Password), 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "-D", s.data(), "-U", s.User, "-E", "UTF8",
		"--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile="+passwords, "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, attr
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) data() string { return s.file("data") }

// unprivileged gives the folder to a user whom PostgreSQL accepts.
func (s *Server) unprivileged() (*syscall.SysProcAttr, error) {
	credential, err := process.Unprivileged([]string{"postgres", "nobody"}, s.dir, s.file("key"))
	// SIGQUIT is PostgreSQL's immediate shutdown.
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Credential: credential}, err
}

// Restart starts the server again after Kill or Shutdown, on the port that it had.
func (s *Server) Restart(ctx context.Context) error {
	var err error
	if s.Port == 0 {
		if s.Port, err = process.FreePort(); err != nil {
			return err
		}
	}
	attr, err := s.unprivileged()
	if err != nil {
		return err
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.Port), "-k", s.dir, "-c", "listen_addresses=127.0.0.1",
		"-c", "logging_collector=off", "-c", "log_destination=stderr"}
	if !s.options.Fsync {
		args = append(args, "-F")
	}
	if len(s.options.Cert) > 0 {
		args = append(args, "-c", "ssl=on", "-c", "ssl_cert_file="+s.file("cert"), "-c", "ssl_key_file="+s.file("key"))
	}
	for k, v := range s.options.Settings {
		args = append(args, "-c", k+"="+v)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, attr
	s.process, err = process.StartReady(ctx, cmd, "database system is ready to accept connections", s.options.Log)
	return err
}

// Kill stops the server at once, as a crash would, and keeps its data.
func (s *Server) Kill() error { return s.process.End(syscall.SIGQUIT) }

// Shutdown stops the server in an orderly way, ends its sessions, and keeps its data.
func (s *Server) Shutdown() error { return s.process.End(syscall.SIGINT) }

// Stop stops the server and removes its folder.
func (s *Server) Stop() error {
	return errors.Join(s.Kill(), os.RemoveAll(s.dir))
}

// URL of a database for the superuser, over the unix socket.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable", s.Host, s.Port, s.User, database)
}

// Connect opens a session of the superuser.
func (s *Server) Connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, s.URL(database))
}

// CreateDatabase makes an empty database and returns its name.
func (s *Server) CreateDatabase(ctx context.Context) (string, error) {
	conn, err := s.Connect(ctx, "postgres")
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	name := fmt.Sprintf("db%d", s.number.Add(1))
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE template0")
	return name, err
}
