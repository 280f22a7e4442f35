// Package mariadbtest runs a real MariaDB server in a temporary folder, for tests and benchmarks.
package mariadbtest

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
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
	"sync/atomic"
	"syscall"

	"github.com/go-sql-driver/mysql"
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
	process  *os.Process
	ended    chan struct{}
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
	if err := s.init(ctx); err != nil {
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

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) arguments() []string {
	return []string{"--no-defaults", "--datadir=" + s.data(), "--pid-file=" + filepath.Join(s.dir, "pid"), "--tmpdir=" + s.dir,
		"--innodb-log-file-size=16M", "--innodb-buffer-pool-size=64M", "--character-set-server=utf8mb4",
		"--collation-server=utf8mb4_general_ci"}
}

// unprivileged gives the folder to a user whom MariaDB accepts: it does not run as root.
func (s *Server) unprivileged() (*syscall.SysProcAttr, error) {
	if err := os.MkdirAll(s.data(), 0o755); err != nil {
		return nil, err
	}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		return attr, nil
	}
	for _, name := range []string{"mysql", "nobody"} {
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
		for _, dir := range []string{s.dir, s.data()} {
			if err := os.Chown(dir, int(uid), int(gid)); err != nil {
				return nil, err
			}
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		return attr, nil
	}
	return nil, errors.New("MariaDB does not run as root, and there is no user mysql or nobody to run it as")
}

// Restart starts the server again after Kill or Shutdown, on the port that it had.
func (s *Server) Restart(ctx context.Context) error {
	if s.Port == 0 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		s.Port = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
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
	for k, v := range s.options.Settings {
		args = append(args, "--"+k+"="+v)
	}
	cmd := exec.Command(s.bin, args...)
	cmd.Dir, cmd.SysProcAttr = s.dir, attr
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	started, ready := make(chan error, 1), make(chan error, 1)
	s.ended = make(chan struct{})
	go run(cmd, started, s.ended)
	if err := <-started; err != nil {
		return err
	}
	s.process = cmd.Process
	go s.follow(log, ready)
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(err, s.Kill())
	}
	return nil
}

// run stays on one thread while the server lives: the kernel sends Pdeathsig when the thread ends that started it.
func run(cmd *exec.Cmd, started chan<- error, ended chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err == nil {
		_, _ = cmd.Process.Wait() // not cmd.Wait: it would close the log while it is read
	}
	close(ended)
}

func (s *Server) follow(log io.ReadCloser, ready chan<- error) {
	defer func() { _ = log.Close() }()
	var last []string
	up := false
	for lines := bufio.NewScanner(log); lines.Scan(); {
		line := lines.Text()
		if s.options.Log != nil {
			_, _ = fmt.Fprintln(s.options.Log, line)
		}
		if !up && strings.Contains(line, "ready for connections") {
			up = true
			ready <- nil
		}
		if !up {
			last = append(last, line)
		}
	}
	if !up {
		ready <- fmt.Errorf("mariadbd ended while starting:\n%s", strings.Join(last, "\n"))
	}
}

// Kill stops the server at once, as a crash would, and keeps its data.
func (s *Server) Kill() error { return s.signal(syscall.SIGKILL) }

// Shutdown stops the server in an orderly way, ends its sessions, and keeps its data.
func (s *Server) Shutdown() error { return s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig os.Signal) error {
	if s.process == nil {
		return nil
	}
	err := s.process.Signal(sig)
	<-s.ended
	s.process = nil
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

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
