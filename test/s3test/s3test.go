// Package s3test runs a real S3 server, versitygw over a temporary folder, for tests, benchmarks and the demo.
package s3test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/lethe-dev/lethe/test/internal/process"
)

// BinEnv names the program; else it is looked up in PATH.
const BinEnv = "LETHE_VERSITYGW"

// Region of all buckets.
const Region = "us-east-1"

// Options of a server.
type Options struct {
	// Log takes the server's output. Default: none.
	Log io.Writer
	// NoVersions makes a server that knows no versions.
	NoVersions bool
}

// Credentials of a user.
type Credentials struct{ AccessKeyID, SecretAccessKey string }

// Server is a running S3 server. Buckets are addressed in the path.
type Server struct {
	// Host is host:port on the loopback interface, without TLS.
	Host string
	// Root may do everything.
	Root Credentials

	dir, bin string
	options  Options
	process  *process.Process
	number   atomic.Int64
}

// Start makes an empty store and starts its server. The server also ends when this process does.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin := os.Getenv(BinEnv)
	if bin == "" {
		var err error
		if bin, err = exec.LookPath("versitygw"); err != nil {
			return nil, fmt.Errorf("no S3 server found: install versitygw, or set %s to the program", BinEnv)
		}
	}
	dir, err := os.MkdirTemp("", "lethe-s3-")
	if err != nil {
		return nil, err
	}
	s := &Server{Root: Credentials{"root-user", "root-secret"}, dir: dir, bin: bin, options: o}
	for _, name := range []string{"data", "versions", "users"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if err := s.Restart(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return s, nil
}

// URL of the server.
func (s *Server) URL() string { return "http://" + s.Host }

// Restart starts the server again after Kill, on the port that it had.
func (s *Server) Restart(ctx context.Context) error {
	if s.Host == "" {
		port, err := process.FreePort()
		if err != nil {
			return err
		}
		s.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	}
	args := []string{"--port", s.Host, "--access", s.Root.AccessKeyID, "--secret", s.Root.SecretAccessKey, "--region", Region,
		"--iam-dir", filepath.Join(s.dir, "users"), "--iam-cache-disable", "--health", "/health", "posix"}
	if !s.options.NoVersions {
		args = append(args, "--versioning-dir", filepath.Join(s.dir, "versions"))
	}
	cmd := exec.Command(s.bin, append(args, filepath.Join(s.dir, "data"))...)
	cmd.Dir, cmd.Env = s.dir, []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	var start bytes.Buffer
	cmd.Stdout, cmd.Stderr = &start, &start
	if s.options.Log != nil {
		cmd.Stdout, cmd.Stderr = s.options.Log, s.options.Log
	}
	var err error
	if s.process, err = process.Start(cmd); err != nil {
		return err
	}
	if err := s.process.UntilAnswers(ctx, s.healthy); err != nil {
		return errors.Join(err, s.Kill(), errors.New(start.String()))
	}
	return nil
}

func (s *Server) healthy(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/health", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("versitygw answers with status %d", resp.StatusCode)
	}
	return nil
}

// Kill stops the server at once, as a crash would, and keeps its data.
func (s *Server) Kill() error { return s.process.End(syscall.SIGKILL) }

// Stop stops the server and removes its folder.
func (s *Server) Stop() error {
	return errors.Join(s.Kill(), os.RemoveAll(s.dir))
}

// Client of a user.
func (s *Server) Client(c Credentials) (*minio.Core, error) {
	return minio.NewCore(s.Host, &minio.Options{
		Creds: credentials.NewStaticV4(c.AccessKeyID, c.SecretAccessKey, ""), Region: Region, BucketLookup: minio.BucketLookupPath,
	})
}

// CreateBucket makes an empty bucket and returns its name. With locks it has versions and object lock.
func (s *Server) CreateBucket(ctx context.Context, locks bool) (string, error) {
	client, err := s.Client(s.Root)
	if err != nil {
		return "", err
	}
	name := "bucket-" + strconv.FormatInt(s.number.Add(1), 10)
	return name, client.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: Region, ObjectLocking: locks})
}

// CreateUser makes a user without any rights; a bucket's policy may grant some.
func (s *Server) CreateUser(ctx context.Context) (Credentials, error) {
	c := Credentials{fmt.Sprintf("user-%d", s.number.Add(1)), "user-secret"}
	cmd := exec.CommandContext(ctx, s.bin, "admin", "--access", s.Root.AccessKeyID, "--secret", s.Root.SecretAccessKey, "--region", Region,
		"--endpoint-url", s.URL(), "create-user", "--access", c.AccessKeyID, "--secret", c.SecretAccessKey, "--role", "user")
	cmd.Dir, cmd.Env = s.dir, []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	if out, err := cmd.CombinedOutput(); err != nil {
		return Credentials{}, fmt.Errorf("create-user: %w\n%s", err, out)
	}
	return c, nil
}
