package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const validFor = 365 * 24 * time.Hour

// keyFiles are the paths of everything that the two ends of a connection trust.
type keyFiles struct {
	caCert, servingCert, servingKey, adminCert, adminKey, serviceAccountKey string
}

// ensureKeys makes keys and certificates anew at each start. Only the service accounts' key is kept, so that tokens stay
// valid when a state folder is used again.
func ensureKeys(dir string) (keyFiles, error) {
	files := keyFiles{
		caCert:            filepath.Join(dir, "ca.crt"),
		servingCert:       filepath.Join(dir, "serving.crt"),
		servingKey:        filepath.Join(dir, "serving.key"),
		adminCert:         filepath.Join(dir, "admin.crt"),
		adminKey:          filepath.Join(dir, "admin.key"),
		serviceAccountKey: filepath.Join(dir, "service-account.key"),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return files, err
	}
	ca, err := newAuthority(files.caCert)
	if err != nil {
		return files, err
	}
	serving := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP(loopback)},
		DNSNames:    []string{"localhost", "kubernetes.default.svc"},
	}
	if err := ca.issue(serving, files.servingCert, files.servingKey); err != nil {
		return files, err
	}
	admin := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "admin", Organization: []string{"system:masters"}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if err := ca.issue(admin, files.adminCert, files.adminKey); err != nil {
		return files, err
	}
	if _, err := os.Stat(files.serviceAccountKey); err == nil {
		return files, nil
	}
	_, err = newKey(files.serviceAccountKey)
	return files, err
}

// authority signs this run's certificates; its own key never leaves memory.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newAuthority(certFile string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "controlplane"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	ca := &authority{cert: cert, key: key}
	return ca, ca.sign(cert, key.Public(), certFile)
}

func (a *authority) issue(cert *x509.Certificate, certFile, keyFile string) error {
	key, err := newKey(keyFile)
	if err != nil {
		return err
	}
	cert.KeyUsage = x509.KeyUsageDigitalSignature
	return a.sign(cert, key.Public(), certFile)
}

func (a *authority) sign(cert *x509.Certificate, public crypto.PublicKey, file string) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	now := time.Now()
	cert.SerialNumber = serial
	cert.NotBefore, cert.NotAfter = now.Add(-time.Hour), now.Add(validFor)
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, public, a.key)
	if err != nil {
		return fmt.Errorf("certificate %s: %w", cert.Subject.CommonName, err)
	}
	return writePEM(file, "CERTIFICATE", der)
}

func newKey(file string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalECPrivateKey(key) // kube-apiserver reads no PKCS 8 for service accounts
	if err != nil {
		return nil, err
	}
	return key, writePEM(file, "EC PRIVATE KEY", der)
}

func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}
