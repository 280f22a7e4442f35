// Package selfsigned makes and renews the certificates of servers that no authority vouches for: whoever is to trust one is told
// it.
package selfsigned

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
	// Lifetime of a certificate.
	Lifetime = 7 * 24 * time.Hour
	// RenewBefore its end a certificate is renewed.
	RenewBefore = 24 * time.Hour
	// clockSlack is how far a clock may be set back without a new certificate.
	clockSlack = time.Hour
)

// Names are what a certificate is for: an address, or names of a Service.
type Names struct {
	IP  netip.Addr
	DNS []string
}

// Certificates are the server's certificate and the one that follows it. Their keys never leave this process.
type Certificates struct {
	Names Names

	mu            sync.Mutex
	serving, next *tls.Certificate
}

// Renew makes a certificate where there is none, announces the next one when the end is near, and serves it at the call
// after that, when clients have had time to learn of it.
func (c *Certificates) Renew(now time.Time) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.serving == nil:
		c.serving, err = selfSigned(c.Names, now)
	case c.next != nil:
		c.serving, c.next = c.next, nil
	case now.Before(c.serving.Leaf.NotBefore), now.After(c.serving.Leaf.NotAfter.Add(-RenewBefore)):
		c.next, err = selfSigned(c.Names, now)
	}
	return err
}

// Bundle is what clients are to trust.
func (c *Certificates) Bundle() []byte {
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

// Get is for tls.Config.GetCertificate.
func (c *Certificates) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serving, nil
}

// selfSigned makes a certificate. It is no authority: nothing can be signed with it.
func selfSigned(n Names, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("a server's key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("a server's certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "lethe"},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(Lifetime),
		DNSNames:              n.DNS,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if n.IP.IsValid() {
		template.IPAddresses = []net.IP{n.IP.AsSlice()}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("a server's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("a server's certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}
