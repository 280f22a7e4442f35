package redis

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Config of a connection. Nothing is taken from the environment.
type Config struct {
	// Addresses are host:port: of the server, of some nodes of the cluster, or of the Sentinels.
	Addresses []string
	// Cluster says that the addresses are nodes of a Redis Cluster.
	Cluster bool
	// MasterName, if set, is what the Sentinels at Addresses call the master.
	MasterName string
	// Database number; a cluster has 0 only.
	Database int
	// Username of the ACL; empty is the default user.
	Username string
	// Password is never printed: Config formats itself without it.
	Password string
	// SentinelUsername and SentinelPassword are for the Sentinels themselves, where they ask for them.
	SentinelUsername, SentinelPassword string
	// TLS encrypts the connections, the Sentinels' too, and checks the servers' certificates.
	TLS bool
	// CACert in PEM replaces the system's certificates; ClientCert and ClientKey in PEM are shown to the server.
	CACert, ClientCert, ClientKey []byte
	// BatchSize is the greatest number of commands in one round trip. Default 1000.
	BatchSize int
	// Timeout of one round trip and of making a connection. Default 10 s.
	Timeout time.Duration
	// MaxConnections to each server, and calls at one time. Default 4.
	MaxConnections int
}

// Format prints the configuration without its credentials, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "redis %s@%v/%d", c.Username, c.Addresses, c.Database)
}

func (c Config) withDefaults() Config {
	if c.BatchSize <= 0 {
		c.BatchSize = 1000
	}
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.MaxConnections <= 0 {
		c.MaxConnections = 4
	}
	return c
}

func (c Config) check() error {
	switch {
	case len(c.Addresses) == 0:
		return refused("no address is given", "name the server in the DataStore")
	case c.Cluster && c.MasterName != "":
		return refused("a cluster has no Sentinels", "set either the cluster or the master's name in the DataStore")
	case len(c.Addresses) > 1 && !c.Cluster && c.MasterName == "":
		return refused("several addresses are given, and neither a cluster nor a master's name",
			"name one server, or say in the DataStore what the addresses are")
	case c.Database < 0:
		return refused("the number of the database is negative", "correct the DataStore")
	case c.Cluster && c.Database != 0:
		return refused("a cluster has no database but 0", "correct the DataStore")
	case c.Password == "" && c.Username != "":
		return refused("a user is given, but no password", "complete the Secret")
	}
	for _, a := range c.Addresses {
		host, port, err := net.SplitHostPort(a)
		n, convErr := strconv.Atoi(port)
		if err != nil || convErr != nil || host == "" || n < 1 || n > 65535 {
			return refused("an address is not host:port", "correct the DataStore")
		}
	}
	return nil
}

func (c Config) tls() (*tls.Config, error) {
	if !c.TLS {
		if len(c.CACert)+len(c.ClientCert)+len(c.ClientKey) > 0 {
			return nil, refused("certificates are given, but TLS is off", "turn TLS on in the DataStore")
		}
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(c.CACert) > 0 {
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(c.CACert) {
			return nil, refused("ca.crt holds no certificate in PEM", "correct the Secret")
		}
	}
	if len(c.ClientCert)+len(c.ClientKey) > 0 {
		pair, err := tls.X509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return nil, refused("tls.crt and tls.key are no certificate and its key in PEM", "correct the Secret")
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}

func (c Config) options() (*redis.UniversalOptions, error) {
	t, err := c.tls()
	if err != nil {
		return nil, err
	}
	return &redis.UniversalOptions{
		Addrs: c.Addresses, MasterName: c.MasterName, DB: c.Database, IsClusterMode: c.Cluster, TLSConfig: t,
		Username: c.Username, Password: c.Password, SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword,
		// Names are set by commands that would be one more right to grant.
		DisableIdentity: true,
		// The second protocol has no pushed messages, of which nothing here has need.
		Protocol:                 2,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		// A command that is sent again after its answer was lost would report that it removed nothing: the caller tries again.
		MaxRetries:            -1,
		DialerRetries:         1,
		DialTimeout:           c.Timeout,
		ReadTimeout:           c.Timeout,
		WriteTimeout:          c.Timeout,
		PoolTimeout:           c.Timeout,
		PoolSize:              c.MaxConnections,
		PipelinePoolSize:      -1, // no second pool beside it
		ContextTimeoutEnabled: true,
	}, nil
}

func (c Config) client() (redis.UniversalClient, error) {
	o, err := c.options()
	if err != nil {
		return nil, err
	}
	if !c.Cluster {
		return redis.NewUniversalClient(o), nil
	}
	cluster := o.Cluster()
	// Every command here has one key, and goes to the node that has its slot.
	cluster.DisableRoutingPolicies = true
	return redis.NewClusterClient(cluster), nil
}

var _ backend.Backend = (*Backend)(nil)
