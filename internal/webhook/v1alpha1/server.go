package v1alpha1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/internal/selfsigned"
)

const (
	// tendInterval is how often certificate and configuration are looked after.
	tendInterval = time.Minute
	// stopTimeout bounds the orderly stop.
	stopTimeout = 5 * time.Second
)

// Server serves the webhooks: in the cluster behind a Service, or on a loopback address for an API server on the same
// machine, since an operator beside a cluster needs neither a Service nor a certificate authority. Any process of the machine can ask it; its answers tell no more
// than the names of requests.
//
// The API server refuses what it cannot ask about. On loopback, after an orderly stop it is told not to ask; after a kill it goes on
// refusing until the operator is back, or somebody deletes the Mutating- and ValidatingWebhookConfiguration lethe-loopback.
type Server struct {
	address      string
	clock        clock.WithTicker
	log          logr.Logger
	reader       client.Reader
	writer       client.Writer
	handler      http.Handler
	certificates selfsigned.Certificates
	url          string
	written      []byte // the bundle that the API server was told last
	installed    atomic.Bool
	// cluster is set where the configurations are part of the installation, and only their bundle is kept right.
	cluster bool
	// mounted certificates are somebody else's to renew and to make known; nil where the operator makes its own.
	mounted *certwatcher.CertWatcher
}

// SetupLoopback adds the webhooks to the manager.
func SetupLoopback(ctx context.Context, mgr ctrl.Manager, address string, o Options) error {
	addr, err := parseLoopback(address)
	if err != nil {
		return err
	}
	d, err := newDoor(ctx, mgr, o)
	if err != nil {
		return err
	}
	l := &Server{
		address:      addr.String(),
		clock:        o.Clock,
		log:          d.log,
		reader:       mgr.GetAPIReader(),
		writer:       mgr.GetClient(),
		handler:      d.mux(mgr.GetScheme()),
		certificates: selfsigned.Certificates{Names: selfsigned.Names{IP: addr.Addr()}},
	}
	if err := mgr.AddReadyzCheck("admission", l.ready); err != nil {
		return err
	}
	return mgr.Add(l)
}

// parseLoopback refuses every address but a loopback one. A name is refused too: it can lead elsewhere tomorrow.
func parseLoopback(address string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(address)
	if err != nil || !addr.Addr().IsLoopback() || addr.Addr().Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("the admission address %q must be a loopback address with a port, for example 127.0.0.1:9443: these webhooks are for an API server on the same machine", address)
	}
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), nil
}

// NeedLeaderElection is true: who serves is who the API server is sent to. It also starts after the caches are filled.
func (l *Server) NeedLeaderElection() bool { return true }

// ready tells whether the API server has been told to ask, and can trust who answers.
func (l *Server) ready(*http.Request) error {
	if !l.installed.Load() {
		return errors.New("the admission webhooks are not installed yet")
	}
	if at := l.expiry(); l.clock.Now().After(at) {
		return fmt.Errorf("the certificate of the admission webhooks expired at %s: the API server refuses what it cannot ask about", at.UTC().Format(time.RFC3339))
	}
	return nil
}

// Start serves until the context ends, then tells the API server not to ask any more.
func (l *Server) Start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
	if err != nil {
		return fmt.Errorf("the admission address: %w", err)
	}
	l.url = "https://" + listener.Addr().String()
	server := l.server()
	defer func() { _ = server.Close() }()
	err = l.tend(ctx)
	if err != nil && !l.cluster {
		_ = listener.Close()
		return fmt.Errorf("the webhook configurations %s: %w", ConfigurationName, err)
	}
	if err != nil {
		l.log.Error(err, "the webhook configurations cannot be told the certificate yet; not ready until they can", "name", ClusterConfigurationName)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(listener, "", "") }()
	l.installed.Store(err == nil)
	l.log.Info("admission webhooks are served", "url", l.url)

	ticker := l.clock.NewTicker(tendInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.stop(ctx, server)
		case err := <-failed:
			return fmt.Errorf("the admission webhooks: %w", err)
		case <-ticker.C():
			err := l.tend(ctx)
			if err != nil && ctx.Err() == nil {
				l.log.Error(err, "the admission webhooks could not be looked after; it is tried again")
			}
			if err == nil {
				l.installed.Store(true)
			}
		}
	}
}

// server makes the HTTPS server.
func (l *Server) server() *http.Server {
	return &http.Server{
		Handler:           l.handler,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: l.certificate},
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       2 * timeoutSeconds * time.Second,
		WriteTimeout:      2 * timeoutSeconds * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(l.log), slog.LevelError),
	}
}

// tend renews the certificate and keeps the configuration as it should be.
func (l *Server) tend(ctx context.Context) error {
	defer l.showExpiry()
	if l.mounted != nil {
		return l.mounted.ReadCertificate()
	}
	if err := l.certificates.Renew(l.clock.Now()); err != nil {
		return err
	}
	if l.cluster {
		return l.inject(ctx)
	}
	return l.install(ctx)
}

// certificate is for tls.Config.GetCertificate.
func (l *Server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if l.mounted != nil {
		return l.mounted.GetCertificate(hello)
	}
	return l.certificates.Get(hello)
}

// expiry is when the certificate that is served expires; zero where there is none.
func (l *Server) expiry() time.Time {
	c, err := l.certificate(nil)
	if err != nil || c == nil || c.Leaf == nil {
		return time.Time{}
	}
	return c.Leaf.NotAfter
}

func (l *Server) showExpiry() {
	if at := l.expiry(); !at.IsZero() {
		metrics.AdmissionCertificateExpiry.WithLabelValues().Set(float64(at.Unix()))
	}
}

// stop is orderly: first the API server stops asking, then the server goes.
func (l *Server) stop(ctx context.Context, server *http.Server) error {
	l.installed.Store(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if !l.cluster { // in a cluster whoever comes next serves; until then the API server refuses
		if err := l.remove(ctx); err != nil {
			l.log.Error(err, "the API server goes on asking, and refuses, until the Mutating- and ValidatingWebhookConfiguration are deleted", "name", ConfigurationName)
		}
	}
	if err := server.Shutdown(ctx); err != nil {
		l.log.Info("the admission webhooks were not stopped cleanly")
	}
	return nil
}
