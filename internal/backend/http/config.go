package http

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	nethttp "net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// The ways to authenticate.
const (
	AuthNone              = "None"
	AuthBearer            = "Bearer"
	AuthBasic             = "Basic"
	AuthClientCertificate = "ClientCertificate"
)

// Config of a service. Nothing is taken from the environment.
type Config struct {
	// URL is what the contract's paths are put behind: https://host[:port][/path]. http is for the loopback only, unless
	// AllowPlainText is set.
	URL            string
	AllowPlainText bool
	// Auth is None, Bearer, Basic or ClientCertificate. Empty is None.
	Auth string
	// Token of Bearer. It is never printed: Config formats itself without credentials.
	Token string
	// Username and Password of Basic.
	Username, Password string
	// CACert in PEM replaces the system's certificates; ClientCert and ClientKey in PEM are for ClientCertificate.
	CACert, ClientCert, ClientKey []byte
	// Timeout of one request. Default 30 s.
	Timeout time.Duration
	// Deadline is how long an operation that the service accepted, or a request that it asks to make later, is waited for.
	// Default 5 min.
	Deadline time.Duration
	// BatchSize is the greatest number of ids in one request. Default 100.
	BatchSize int
}

// Format prints the configuration without its credentials, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	host := "an address that cannot be read"
	if u, err := url.Parse(c.URL); err == nil {
		host = u.Host
	}
	_, _ = fmt.Fprintf(f, "http %s, auth %s", host, c.Auth)
}

// maxConnections to the service at one time.
const maxConnections = 8

func (c Config) withDefaults() Config {
	if c.Auth == "" {
		c.Auth = AuthNone
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Deadline <= 0 {
		c.Deadline = 5 * time.Minute
	}
	if c.BatchSize <= 0 {
		c.BatchSize = 100
	}
	return c
}

// base checks the address.
func (c Config) base() (*url.URL, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return nil, refused("the service's URL cannot be read", "correct the DataStore")
	}
	switch {
	case u.User != nil:
		return nil, refused("the service's URL holds credentials", "put them into the Secret")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, refused("the service's URL has a query or fragment", "correct the DataStore")
	case u.Scheme == "https":
	case u.Scheme != "http":
		return nil, refused("the service's URL is not https", "correct the DataStore")
	case !loopback(u.Hostname()) && !c.AllowPlainText:
		return nil, refused("the service's URL is http, so that ids and credentials could be read on the way",
			"use https, or allow plain text in the DataStore")
	case c.Auth == AuthClientCertificate:
		return nil, refused("the service's URL is http, which knows no client certificates", "use https")
	}
	return u.JoinPath("v1"), nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// authorization is the value of the header, if the way to authenticate has one.
func (c Config) authorization() (string, error) {
	switch c.Auth {
	case AuthNone, AuthClientCertificate:
		return "", nil
	case AuthBearer:
		if c.Token == "" || strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", refused("the token is empty, or has characters that a header cannot hold", "correct the Secret")
		}
		return "Bearer " + c.Token, nil
	case AuthBasic:
		if c.Username == "" || strings.Contains(c.Username, ":") {
			return "", refused("the user is empty or has a colon", "correct the Secret")
		}
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Username+":"+c.Password)), nil
	default:
		return "", refused("the way to authenticate is not known", "use None, Bearer, Basic or ClientCertificate")
	}
}

func (c Config) tls() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CACert) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(c.CACert) {
			return nil, refused("ca.crt holds no certificate in PEM", "correct the Secret")
		}
	}
	if c.Auth == AuthClientCertificate {
		pair, err := tls.X509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, refused("tls.crt and tls.key are no certificate and its key in PEM", "correct the Secret")
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

// client goes to the service directly, follows no redirect and takes nothing compressed, so that what it reads is bounded.
func (c Config) client() (*nethttp.Client, error) {
	t, err := c.tls()
	if err != nil {
		return nil, err
	}
	return &nethttp.Client{
		Transport: &nethttp.Transport{
			Proxy:                  nil,
			DialContext:            (&net.Dialer{Timeout: c.Timeout}).DialContext,
			TLSClientConfig:        t,
			TLSHandshakeTimeout:    c.Timeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true,
			MaxConnsPerHost:        maxConnections,
			MaxIdleConnsPerHost:    maxConnections,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse },
	}, nil
}

var (
	_ backend.Backend     = (*Backend)(nil)
	_ backend.Deactivator = (*Backend)(nil)
)
