package sql

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// TLSConfig is how a connection to the host is encrypted: not at all with disable or over a unix socket, else as libpq
// defines require, verify-ca and verify-full. ca in PEM replaces the system's certificates.
func TLSConfig(mode, host string, ca []byte) (*tls.Config, error) {
	if mode == "disable" || strings.HasPrefix(host, "/") {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if len(ca) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(ca) {
			return nil, &backend.RefusedError{Problem: "ca.crt holds no certificate in PEM", Remedy: "correct the Secret"}
		}
	}
	switch mode {
	case "verify-full":
	case "require", "verify-ca":
		t.InsecureSkipVerify = true // the standard check includes the host name; the one below does not
		if mode == "verify-ca" || t.RootCAs != nil {
			t.VerifyConnection = verifyChain(t.RootCAs)
		}
	default:
		return nil, &backend.RefusedError{
			Problem: fmt.Sprintf("unknown sslMode %q", mode),
			Remedy:  "use disable, require, verify-ca or verify-full",
		}
	}
	return t, nil
}

func verifyChain(roots *x509.CertPool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 {
			return errors.New("the server shows no certificate")
		}
		o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
		for _, cert := range s.PeerCertificates[1:] {
			o.Intermediates.AddCert(cert)
		}
		if _, err := s.PeerCertificates[0].Verify(o); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		return nil
	}
}
