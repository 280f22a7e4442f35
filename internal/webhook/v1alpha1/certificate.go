package v1alpha1

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// certificateLifetime of a certificate.
	certificateLifetime = 7 * 24 * time.Hour
	// renewBefore its end a certificate is renewed.
	renewBefore = 24 * time.Hour
	// clockSlack is how far a clock may be set back without a new certificate.
	clockSlack = time.Hour
)

// names are what a certificate is for: an address, or names of a Service.
type names struct {
	ip  netip.Addr
	dns []string
}

// certificates are the server's certificate and the one that follows it. Their keys never leave this process.
type certificates struct {
	mu            sync.Mutex
	names         names
	serving, next *tls.Certificate
}

// renew makes a certificate where there is none, announces the next one when the end is near, and serves it at the call
// after that, when the API server has had time to learn of it.
func (c *certificates) renew(now time.Time) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.serving == nil:
		c.serving, err = selfSigned(c.names, now)
	case c.next != nil:
		c.serving, c.next = c.next, nil
	case now.Before(c.serving.Leaf.NotBefore), now.After(c.serving.Leaf.NotAfter.Add(-renewBefore)):
		c.next, err = selfSigned(c.names, now)
	}
	return err
}

// bundle is what the API server is to trust.
func (c *certificates) bundle() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []byte
	for _, certificate := range []*tls.Certificate{c.serving, c.next} {
		if certificate != nil {
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]})...)
		}
	}
	return out
}

// get is for tls.Config.GetCertificate.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serving, nil
}

// selfSigned makes a certificate. It is no authority: nothing can be signed with it.
func selfSigned(n names, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("the webhooks' key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("the webhooks' certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "lethe-admission"},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(certificateLifetime),
		DNSNames:              n.dns,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if n.ip.IsValid() {
		template.IPAddresses = []net.IP{n.ip.AsSlice()}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("the webhooks' certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("the webhooks' certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
