// Package mariadbtest runs a real MariaDB server in a temporary folder, for tests and benchmarks.
package mariadbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/go-sql-driver/mysql"

	"github.com/lethe-dev/lethe/test/internal/process"
)

// BinEnv names the folder with mariadbd; else it is looked up in PATH and in the usual folders.
const BinEnv = "LETHE_MARIADB_BIN"

// Options of a server.
type Options struct {
	// Sync makes commits durable, and slow. Off by default.
	Sync bool
	// Log takes the server's log. Default: none.
	Log io.Writer
	// Settings are further server variables.
	Settings map[string]string
	// Cert and Key in PEM are what the server shows with TLS.
	Cert, Key []byte
}

// Server is a running MariaDB. Its superuser has a password on the unix socket and over TCP.
type Server struct {
	// Socket is the unix socket's path. The server listens on 127.0.0.1 too.
	Socket string
	Host   string
	Port   int
	// User is the superuser.
	User, Password string

	dir, bin string
	options  Options
	process  *process.Process
	number   atomic.Int64
}

// Start makes a data folder and starts its server. The server also ends when this process does.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := program()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lethe-maria-")
	if err != nil {
		return nil, err
	}
	s := &Server{Socket: filepath.Join(dir, "socket"), Host: "127.0.0.1", User: "root", Password: "superuser-password", dir: dir,
		bin: bin, options: o}
	if err := errors.Join(os.WriteFile(s.file("cert"), o.Cert, 0o644), os.WriteFile(s.file("key"), o.Key, 0o600), s.init(ctx)); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

func program() (string, error) {
	var candidates []string
	if dir := os.Getenv(BinEnv); dir != "" {
		candidates = append(candidates, filepath.Join(dir, "mariadbd"))
	}
	if p, err := exec.LookPath("mariadbd"); err == nil {
		candidates = append(candidates, p)
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/libexec"} {
		candidates = append(candidates, filepath.Join(dir, "mariadbd"))
	}
	for _, c := range candidates {
		if _, err := os.Stat(c); err == nil {
			return c, nil
		}
	}
	return "", fmt.Errorf("no MariaDB server found: install it (Debian, Ubuntu: apt-get install mariadb-server-core; "+
		"Fedora: dnf install mariadb-server), or set %s to the folder with mariadbd", BinEnv)
}

// systemTables are the files, from the server's package, that make the schema mysql.
var systemTables = []string{"mysql_system_tables.sql", "mysql_system_tables_data.sql"}

// init makes the schema mysql as mariadb-install-db does, which the server's package of some systems lacks.
func (s *Server) init(ctx context.Context) error {
	attr, err := s.unprivileged()
	if err != nil {
		return err
	}
	var script bytes.Buffer
	script.WriteString("CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n")
	for _, name := range systemTables {
		text, err := s.share(name)
		if err != nil {
			return err
		}
		script.Write(text)
	}
	fmt.Fprintf(&script, "\nFLUSH PRIVILEGES;\nDELETE FROM mysql.global_priv WHERE user NOT IN ('root', 'mariadb.sys') OR host <> 'localhost';\n"+
		"FLUSH PRIVILEGES;\nALTER USER root@localhost IDENTIFIED BY '%s';\nRENAME USER root@localhost TO root@'%%';\n", s.Password)
	args := append(s.arguments(), "--bootstrap", "--skip-networking")
	cmd := exec.CommandContext(ctx, s.bin, args...)
	cmd.Dir, cmd.SysProcAttr, cmd.Stdin = s.dir, attr, &script
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mariadbd --bootstrap: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) share(name string) ([]byte, error) {
	root := filepath.Dir(filepath.Dir(s.bin))
	for _, dir := range []string{filepath.Join(root, "share", "mysql"), filepath.Join(root, "share", "mariadb"),
		"/usr/share/mysql", "/usr/share/mariadb"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return text, nil
		}
	}
	return nil, fmt.Errorf("the MariaDB server's package has no file %s", name)
}

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) data() string { return s.file("data") }

func (s *Server) arguments() []string {
	return []string{"--no-defaults", "--datadir=" + s.data(), "--pid-file=" + s.file("pid"), "--tmpdir=" + s.dir,
		"--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--character-set-server=utf8mb4",
		"--collation-server=utf8mb4_general_ci"}
}

// unprivileged gives the folders to a user whom MariaDB accepts.
func (s *Server) unprivileged() (*syscall.SysProcAttr, error) {
	if err := os.MkdirAll(s.data(), 0o755); err != nil {
		return nil, err
	}
	credential, err := process.Unprivileged([]string{"mysql", "nobody"}, s.dir, s.data(), s.file("key"))
	return &syscall.SysProcAttr{Credential: credential}, err
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
	args := append(s.arguments(), "--port="+strconv.Itoa(s.Port), "--bind-address=127.0.0.1", "--socket="+s.Socket, "--skip-name-resolve")
	if !s.options.Sync {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync")
	}
	if len(s.options.Cert) > 0 {
		args = append(args, "--ssl-cert="+s.file("cert"), "--ssl-key="+s.file("key"))
	}
	for k, v := range s.options.Settings {
		args = append(args, "--"+k+"="+v)
	}
	cmd := exec.Command(s.bin, args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, attr
	s.process, err = process.StartReady(ctx, cmd, "ready for connections", s.options.Log)
	return err
}

// Kill stops the server at once, as a crash would, and keeps its data.
func (s *Server) Kill() error { return s.process.End(syscall.SIGKILL) }

// Shutdown stops the server in an orderly way, ends its sessions, and keeps its data.
func (s *Server) Shutdown() error { return s.process.End(syscall.SIGTERM) }

// Stop stops the server and removes its folder.
func (s *Server) Stop() error {
	return errors.Join(s.Kill(), os.RemoveAll(s.dir))
}

// Connect opens sessions of the superuser, with the session variables given. An empty database is none.
func (s *Server) Connect(database string, variables map[string]string) (*sql.DB, error) {
	c := mysql.NewConfig()
	c.Net, c.Addr, c.User, c.Passwd, c.DBName, c.Params = "unix", s.Socket, s.User, s.Password, database, variables
	c.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// CreateDatabase makes an empty database and returns its name.
func (s *Server) CreateDatabase(ctx context.Context) (string, error) {
	db, err := s.Connect("", nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	name := fmt.Sprintf("db%d", s.number.Add(1))
	_, err = db.ExecContext(ctx, "CREATE DATABASE "+name)
	return name, err
}
