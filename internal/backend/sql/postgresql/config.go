package postgresql

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Config of a connection. Zero limits have the defaults of the DataStore API.
type Config struct {
	// Host is a name, an address or the folder of a unix socket.
	Host     string
	Port     int
	Database string
	// Schema of the tables that name none. Default public.
	Schema string
	// SSLMode as libpq defines it: disable, require, verify-ca or verify-full, which is the default.
	SSLMode string
	User    string
	// Password is never printed: Config formats itself without it.
	Password string
	// CACert in PEM replaces the system's certificates.
	CACert []byte
	// BatchSize is the greatest number of records in one statement.
	BatchSize        int
	StatementTimeout time.Duration
	LockTimeout      time.Duration
	MaxConnections   int
}

// Format prints the configuration without its password, whatever the verb.
func (c Config) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "postgresql %s@%s:%d/%s", c.User, c.Host, c.Port, c.Database)
}

const connectTimeout = 10 * time.Second

func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = 5432
	}
	if c.Schema == "" {
		c.Schema = "public"
	}
	if c.SSLMode == "" {
		c.SSLMode = "verify-full"
	}
	if c.BatchSize <= 0 {
		c.BatchSize = 1000
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

// connConfig has everything explicit: no environment variable, password file or service file may redirect a connection.
func (c Config) connConfig() (*pgx.ConnConfig, error) {
	cc, err := pgx.ParseConfig("host=localhost sslmode=disable passfile=/dev/null")
	if err != nil {
		return nil, &backend.RefusedError{Problem: "the process's PG* environment variables cannot be read", Remedy: "unset them"}
	}
	if c.Port < 1 || c.Port > 65535 {
		return nil, &backend.RefusedError{Problem: fmt.Sprintf("port %d is out of range", c.Port), Remedy: "use 1 to 65535"}
	}
	cc.Host, cc.Port, cc.Database, cc.User, cc.Password = c.Host, uint16(c.Port), c.Database, c.User, c.Password
	cc.Fallbacks, cc.ConnectTimeout = nil, connectTimeout
	cc.ValidateConnect, cc.AfterConnect = nil, nil
	if cc.TLSConfig, err = core.TLSConfig(c.SSLMode, c.Host, c.CACert); err != nil {
		return nil, err
	}
	cc.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	cc.RuntimeParams = c.session()
	return cc, nil
}

// silence is how long a server may answer nothing: longer than any statement may take.
func (c Config) silence() time.Duration { return c.StatementTimeout + connectTimeout }

// session parameters are set when the connection is made, so that no transaction has to.
func (c Config) session() map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(max(d.Milliseconds(), 1), 10) }
	return map[string]string{
		"application_name":                    "lethe",
		"timezone":                            "UTC",
		"datestyle":                           "ISO",
		"intervalstyle":                       "postgres",
		"bytea_output":                        "hex",
		"extra_float_digits":                  "1",
		"statement_timeout":                   ms(c.StatementTimeout),
		"lock_timeout":                        ms(c.LockTimeout),
		"idle_in_transaction_session_timeout": ms(c.StatementTimeout + connectTimeout),
		// Values are bound as arrays, of whose content a plan of their own would learn nothing.
		"plan_cache_mode": "force_generic_plan",
		"jit":             "off",
		// Policies that hide rows make a statement fail instead of silently leaving the rows behind.
		"row_security": "off",
		// What is sent together is one transaction by itself: reads need no statement to begin or end it.
		"default_transaction_isolation": "repeatable read",
		"default_transaction_read_only": "on",
	}
}

// pool of connections, made when they are needed and kept until Close. (pgxpool would add a module for what is a page.)
type pool struct {
	config *pgx.ConnConfig
	slots  chan struct{}  // one for each connection in use
	idle   chan *pgx.Conn // ready for use
	closed atomic.Bool
}

func newPool(config *pgx.ConnConfig, size int) *pool {
	return &pool{config: config, slots: make(chan struct{}, size), idle: make(chan *pgx.Conn, size)}
}

// acquire returns a connection and whether it was used before: then the server may have ended it meanwhile.
func (p *pool) acquire(ctx context.Context) (conn *pgx.Conn, used bool, err error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	for {
		select {
		case conn := <-p.idle:
			if conn.IsClosed() {
				continue
			}
			return conn, true, nil
		default:
		}
		if conn, err = pgx.ConnectConfig(ctx, p.config.Copy()); err != nil {
			<-p.slots
		}
		return conn, false, err
	}
}

// release takes a connection back and makes sure that no transaction stays open on it.
func (p *pool) release(ctx context.Context, conn *pgx.Conn) {
	defer func() { <-p.slots }()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	if !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
		if _, err := conn.PgConn().Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			_ = conn.Close(ctx)
		}
	}
	if conn.IsClosed() {
		return
	}
	if p.closed.Load() {
		_ = conn.Close(ctx)
		return
	}
	select {
	case p.idle <- conn:
	default:
		_ = conn.Close(ctx)
	}
}

// drain closes the idle connections.
func (p *pool) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	for {
		select {
		case conn := <-p.idle:
			_ = conn.Close(ctx)
		default:
			return
		}
	}
}
