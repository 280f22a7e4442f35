package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-sql-driver/mysql"
)

// connector makes connections whose session is set up and that keep their prepared statements: a statement costs one
// round trip then, and its values travel apart from its text.
type connector struct {
	driver.Connector
	config Config
}

func newConnector(c Config) (*connector, error) {
	dc, err := c.driverConfig()
	if err != nil {
		return nil, err
	}
	inner, err := mysql.NewConnector(dc)
	if err != nil {
		return nil, errors.New("the connection's configuration is not valid")
	}
	return &connector{Connector: inner, config: c}, nil
}

// native is what a connection of the driver can do.
type native interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.NamedValueChecker
	driver.SessionResetter
	driver.Validator
}

// statement is what a prepared statement of the driver can do.
type statement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// connection is one of the driver's with what the server says of itself.
type connection struct {
	native
	server
	prepared map[string]statement
}

// server is what a connection knows of where it leads.
type server struct {
	*flavor
	version string
	// host and id name the session.
	host string
	id   uint64
	// anyCase is true where names of tables are the same in upper and lower case.
	anyCase bool
}

// maxPrepared bounds the statements that a connection keeps; the server has a bound for all connections together.
const maxPrepared = 100

// Connect makes a connection and sets up its session.
func (c *connector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := &connection{native: inner.(native), prepared: map[string]statement{}}
	if err := conn.setUp(ctx, c.config); err != nil {
		_ = inner.Close()
		return nil, err
	}
	return conn, nil
}

func (c *connection) setUp(ctx context.Context, config Config) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	row, err := c.oneRow(ctx, "SELECT VERSION(), CAST(CONNECTION_ID() AS CHAR), @@hostname, CAST(@@lower_case_table_names AS CHAR)")
	if err != nil {
		return err
	}
	if c.flavor, c.version, err = flavorOf(row[0]); err != nil {
		return err
	}
	if c.id, err = strconv.ParseUint(row[1], 10, 64); err != nil {
		return errors.New("the server has no number for the connection")
	}
	c.host, c.anyCase = row[2], row[3] != "0"
	for _, s := range c.settings(config) {
		if _, err := c.native.ExecContext(ctx, s, nil); err != nil {
			return err
		}
	}
	return nil
}

// oneRow reads the one row of a query as text, before database/sql knows the connection.
func (c *connection) oneRow(ctx context.Context, query string) ([]string, error) {
	rows, err := c.native.QueryContext(ctx, query, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	raw := make([]driver.Value, len(rows.Columns()))
	if err := rows.Next(raw); err != nil {
		return nil, err
	}
	texts := make([]string, len(raw))
	for i, v := range raw {
		texts[i] = fmt.Sprintf("%s", v)
	}
	if err := rows.Next(raw); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return texts, nil
}

func (c *connection) prepare(ctx context.Context, query string) (statement, error) {
	if s, ok := c.prepared[query]; ok {
		return s, nil
	}
	if len(c.prepared) >= maxPrepared {
		for text, s := range c.prepared {
			_ = s.Close()
			delete(c.prepared, text)
		}
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	c.prepared[query] = s.(statement)
	return c.prepared[query], nil
}

// used drops a statement that failed: the server keeps parts of long values that were sent for it, and would put the
// next ones behind them.
func (c *connection) used(query string, err error) error {
	if s, ok := c.prepared[query]; ok && err != nil {
		_ = s.Close()
		delete(c.prepared, query)
	}
	return err
}

// ExecContext runs a statement, prepared where it has arguments.
func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 {
		return c.native.ExecContext(ctx, query, nil)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	r, err := s.ExecContext(ctx, args)
	return r, c.used(query, err)
}

// QueryContext runs a query, prepared where it has arguments.
func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if len(args) == 0 {
		return c.native.QueryContext(ctx, query, nil)
	}
	s, err := c.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	r, err := s.QueryContext(ctx, args)
	return r, c.used(query, err)
}

// session is a connection in use by one call.
type session struct {
	*sql.Conn
	server
	config Config
}

func (b *Backend) session(ctx context.Context) (*session, error) {
	conn, err := b.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{Conn: conn, config: b.config}
	if err := conn.Raw(func(c any) error { s.server = c.(*connection).server; return nil }); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return s, nil
}

// discard keeps the connection from being used again.
func (s *session) discard() { _ = s.Raw(func(any) error { return driver.ErrBadConn }) }

// kill ends a session whose connection was given up while the server may still be working for it, so that it does not
// keep its locks. That it cannot be reached, or runs a trigger in another user's name, is no failure: it ends by itself
// when it next answers.
func (b *Backend) kill(ctx context.Context, lost server) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connectTimeout)
	defer cancel()
	s, err := b.session(ctx)
	if err != nil {
		return
	}
	defer func() { _ = s.Close() }()
	var mine bool
	err = s.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = ? AND USER = SUBSTRING_INDEX(USER(), '@', 1)",
		strconv.FormatUint(lost.id, 10)).Scan(&mine)
	if err == nil && mine && s.host == lost.host {
		_, _ = s.ExecContext(ctx, fmt.Sprintf("KILL %d", lost.id))
	}
}

// query runs a query of ours about the server and reads all its rows.
func query[T any](ctx context.Context, s *session, text string, read func(scan func(...any) error) (T, error), args ...any) ([]T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.silence())
	defer cancel()
	rows, err := s.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		one, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
