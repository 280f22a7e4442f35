// Package serve is the operator's own endpoint: it hands out exports and the ledger, and explains single records, to who may have
// that, and puts every decision on record before the first byte goes out.
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/selfsigned"
)

const (
	tendInterval = time.Minute
	// stopTimeout bounds the orderly stop; downloads under way are ended then.
	stopTimeout = 5 * time.Second
	// writeTimeout is how long a client may take for the next piece of a file.
	writeTimeout = 30 * time.Second
	maxHeader    = 32 << 10
	// requestsPerSecond and requestsAtOnce bound all requests together: each asks the API server. downloadsTogether bounds those
	// under way, perUser those of one user.
	requestsPerSecond = 50
	requestsAtOnce    = 100
	downloadsTogether = 32
	perUserPerSecond  = 5
	perUserAtOnce     = 20
	perUserDownloads  = 8
	usersKept         = 1000
)

// Options of the endpoint.
type Options struct {
	// Address to listen on, for example ":8443".
	Address string
	// CertificateFolder has tls.crt and tls.key. Empty: the operator makes its own certificate and Publish shows it.
	CertificateFolder string
	// Names of the certificate that the operator makes.
	Names selfsigned.Names
	// Publish shows clients what to trust.
	Publish func(ctx context.Context, bundle []byte) error

	// Namespace of the operator: its log has what was done in all namespaces at once.
	Namespace string

	// Client asks the API server who somebody is and what they may.
	Client client.Client
	// Reader reads exports and policies.
	Reader  client.Reader
	Journal *journal.Journal
	Keys    keys.Store
	// Storage is nil where the operator keeps no files.
	Storage *export.Storage
	// Stores are read where single records are explained.
	Stores executor.Stores
	Clock  clock.WithTicker
	Log    logr.Logger
}

// Server is the endpoint.
type Server struct {
	Options
	certificates selfsigned.Certificates
	mounted      *certwatcher.CertWatcher
	published    string
	// self is the operator's own user.
	self  string
	all   *rate.Limiter
	users *limiters
	// downloads and follows are bound apart: logs that are followed all day leave room.
	downloads, follows *rooms
	// stopping is closed when the server stops, so that who follows a log does not keep it from that.
	stopping chan struct{}
	// Listening, if set, is told the address that is listened on.
	Listening func(net.Addr)
}

// New makes the endpoint.
func New(o Options) (*Server, error) {
	s := &Server{Options: o, all: rate.NewLimiter(requestsPerSecond, requestsAtOnce), users: newLimiters(), downloads: newRooms(perUserDownloads, downloadsTogether),
		follows: newRooms(perUserDownloads, downloadsTogether), stopping: make(chan struct{})}
	host, _, err := net.SplitHostPort(o.Address)
	if err != nil {
		return nil, fmt.Errorf("the address %q of the endpoint must be host:port or :port", o.Address)
	}
	if o.CertificateFolder != "" {
		s.mounted, err = certwatcher.New(filepath.Join(o.CertificateFolder, "tls.crt"), filepath.Join(o.CertificateFolder, "tls.key"))
		if err != nil {
			return nil, fmt.Errorf("the endpoint's certificate in %s: %w", o.CertificateFolder, err)
		}
		return s, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && !ip.IsUnspecified() {
		o.Names.IP = ip
	}
	s.certificates.Names = o.Names
	return s, nil
}

// NeedLeaderElection is true: the leader has the ledger and the files.
func (*Server) NeedLeaderElection() bool { return true }

// Start serves until the context ends.
func (s *Server) Start(ctx context.Context) error {
	if err := s.tend(ctx); err != nil {
		return fmt.Errorf("the endpoint's certificate: %w", err)
	}
	if err := s.askSelf(ctx); err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.Address)
	if err != nil {
		return fmt.Errorf("the endpoint's address: %w", err)
	}
	server := &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: s.certificate},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(s.Log), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	s.Log.Info("exports are served", "address", listener.Addr().String())
	if s.Listening != nil {
		s.Listening(listener.Addr())
	}
	ticker := s.Clock.NewTicker(tendInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			close(s.stopping)
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			return errors.Join(ignore(server.Shutdown(last)), server.Close())
		case err := <-failed:
			return fmt.Errorf("the endpoint: %w", err)
		case <-ticker.C():
			if err := s.tend(ctx); err != nil && ctx.Err() == nil {
				s.Log.Error(err, "the endpoint's certificate could not be looked after; it is tried again")
			}
		}
	}
}

// ignore leaves out that downloads were still under way.
func ignore(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// tend renews the certificate and shows what to trust.
func (s *Server) tend(ctx context.Context) error {
	if s.mounted != nil {
		return s.mounted.ReadCertificate()
	}
	if err := s.certificates.Renew(s.Clock.Now()); err != nil {
		return err
	}
	bundle := s.certificates.Bundle()
	if s.Publish == nil || string(bundle) == s.published {
		return nil
	}
	if err := s.Publish(ctx, bundle); err != nil {
		return err
	}
	s.published = string(bundle)
	return nil
}

func (s *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.mounted != nil {
		return s.mounted.GetCertificate(hello)
	}
	return s.certificates.Get(hello)
}
