package pgdb

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
)

const (
	// DefaultSchema is where the tables are if the URL's search_path names no other schema.
	DefaultSchema = "lethe"
	// oldest major version of the server.
	oldest = 13

	connectTimeout = 10 * time.Second
	// cancelTimeout is how long the server may take to end a statement whose context has ended.
	cancelTimeout = 5 * time.Second
)

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// target is where a URL leads.
type target struct {
	config *pgx.ConnConfig
	schema string
}

// parseURL reads a postgres:// URL. Its errors show nothing of it: a password may be anywhere in a text that is not well formed.
func parseURL(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return target{}, errors.New("it is not a URL: percent-encode special characters in the user's name and password")
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return target{}, errors.New("it is not a URL that begins with postgres://")
	}
	query := u.Query()
	t := target{schema: DefaultSchema}
	if query.Has("search_path") {
		t.schema = query.Get("search_path")
		query.Del("search_path")
	}
	if !schemaName.MatchString(t.schema) {
		return target{}, errors.New("search_path must be the name of one schema: lower-case letters, digits and _, at most 63")
	}
	if !query.Has("sslmode") {
		query.Set("sslmode", "verify-full")
	}
	if !query.Has("target_session_attrs") {
		query.Set("target_session_attrs", "primary") // of several hosts the one that is not a standby
	}
	u.RawQuery = query.Encode()
	if t.config, err = pgx.ParseConfig(u.String()); err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			return target{}, inner
		}
		return target{}, errors.New("its parameters are not those of a connection to PostgreSQL")
	}
	if t.config.Database == "" {
		return target{}, errors.New("it names no database")
	}
	t.config.ConnectTimeout = connectTimeout
	t.config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	// A statement whose context ends is ended by the server: one that waits for a lock would go on waiting, and others behind it.
	t.config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelTimeout}
	}
	return t, nil
}

// key is a number for an advisory lock of the schema.
func (t target) key(purpose ...string) int64 {
	hash := sha256.New()
	for _, part := range append([]string{"lethe", t.schema}, purpose...) {
		_, _ = fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return int64(binary.BigEndian.Uint64(hash.Sum(nil)))
}

// session are the settings that the guarantees rest on, whatever the server, the database or the role have as defaults.
func (t target) session(lease time.Duration, readOnly bool) map[string]string {
	seconds := func(d time.Duration) string { return strconv.Itoa(max(1, int(d/time.Second))) }
	return map[string]string{
		"application_name":              "lethe",
		"search_path":                   t.schema,
		"client_encoding":               "UTF8",
		"synchronous_commit":            "on",
		"default_transaction_isolation": "read committed",
		"default_transaction_read_only": map[bool]string{true: "on", false: "off"}[readOnly],
		// Only the operator decides how long something takes.
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
		// The server finds out soon that a machine has gone, and gives its locks free.
		"tcp_keepalives_idle": seconds(lease / 2), "tcp_keepalives_interval": seconds(lease / 4), "tcp_keepalives_count": "2",
		"tcp_user_timeout": strconv.FormatInt(lease.Milliseconds(), 10),
		"jit":              "off",
		// Plans are kept, and one that was made when a table was small would go through all of it when it is large.
		"enable_seqscan": "off",
		// To plan an append anew each time takes longer than the append.
		"plan_cache_mode": "force_generic_plan",
	}
}

// with returns the configuration of one kind of connection.
func (t target) with(lease time.Duration, readOnly bool) *pgx.ConnConfig {
	config := t.config.Copy()
	maps.Copy(config.RuntimeParams, t.session(lease, readOnly))
	return config
}

// check looks whether a server is suitable, and sets what only newer ones have.
func check(ctx context.Context, conn *pgx.Conn) error {
	version := conn.PgConn().ParameterStatus("server_version") // such as 15.4 (Debian 15.4-1) or 18beta1
	n := 0
	if _, err := fmt.Sscanf(version, "%d", &n); err != nil || n < oldest {
		return fmt.Errorf("%w: PostgreSQL %d or newer is needed, this one is %s", ErrUnsuitable, oldest, version)
	}
	if encoding := conn.PgConn().ParameterStatus("server_encoding"); encoding != "UTF8" {
		return fmt.Errorf("%w: its encoding is %s, not UTF8", ErrUnsuitable, encoding)
	}
	newer := ""
	if n >= 14 {
		newer = "SET idle_session_timeout = 0;"
	}
	if n >= 17 {
		newer += "SET transaction_timeout = 0;"
	}
	if newer == "" {
		return nil
	}
	_, err := conn.Exec(ctx, newer, pgx.QueryExecModeSimpleProtocol)
	return err
}
