package mysql

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Config of a connection. Zero limits have the defaults of the DataStore API.
type Config struct {
	// Host is a name, an address or the path of a unix socket.
	Host string
	// Port is 3306 by default.
	Port int
	// Database of the tables that name no schema.
	Database string
	User     string
	// Password is never printed: Config formats itself without it.
	Password string
	// TLSMode is disable, require, verify-ca or verify-full, which is the default; with the meaning that libpq gives them.
	TLSMode string
	// CACert in PEM replaces the system's certificates.
	CACert []byte
	// BatchSize is the greatest number of records in one statement; more than 1000 are never used.
	BatchSize int
	// StatementTimeout bounds each statement, LockTimeout each wait for a lock. The server counts locks in whole seconds.
	StatementTimeout time.Duration
	LockTimeout      time.Duration
	MaxConnections   int
}

// Format prints the configuration without its password, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "mysql %s@%s:%d/%s", c.User, c.Host, c.Port, c.Database)
}

const connectTimeout = 10 * time.Second

func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = 3306
	}
	if c.TLSMode == "" {
		c.TLSMode = "verify-full"
	}
	if c.BatchSize <= 0 || c.BatchSize > maxListed {
		c.BatchSize = maxListed
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = time.Minute
	}
	if c.LockTimeout <= 0 {
		c.LockTimeout = 10 * time.Second
	}
	if c.MaxConnections <= 0 {
		c.MaxConnections = 4
	}
	return c
}

// silence is how long a server may answer nothing: longer than any statement may take.
func (c Config) silence() time.Duration { return c.StatementTimeout + connectTimeout }

func (c Config) driverConfig() (*mysql.Config, error) {
	if c.Port < 1 || c.Port > 65535 {
		return nil, &backend.RefusedError{Problem: fmt.Sprintf("port %d is out of range", c.Port), Remedy: "use 1 to 65535"}
	}
	if err := core.CheckNames(c.Database); err != nil {
		return nil, &backend.RefusedError{Problem: "the name of the database is missing", Remedy: "correct the DataStore"}
	}
	dc := mysql.NewConfig()
	dc.User, dc.Passwd, dc.DBName = c.User, c.Password, c.Database
	dc.Net, dc.Addr = "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port))
	if strings.HasPrefix(c.Host, "/") {
		dc.Net, dc.Addr = "unix", c.Host
	}
	dc.Timeout, dc.ReadTimeout, dc.WriteTimeout = connectTimeout, c.silence(), c.silence()
	dc.MaxAllowedPacket = 0 // ask the server: what is too long for it must be refused and not look like a lost connection
	dc.ConnectionAttributes = "program_name:lethe"
	dc.Logger = &mysql.NopLogger{}
	var err error
	dc.TLS, err = core.TLSConfig(c.TLSMode, c.Host, c.CACert)
	return dc, err
}
