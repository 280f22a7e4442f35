// Package mysql is the backend for MySQL 8.0 and later and MariaDB 10.6 and later.
//
// Their protocol answers one statement after the other: each costs a round trip. So an operation is one statement for
// up to a thousand records, the check of what is left is one for all operations, a call that has one query needs no
// transaction, and statements stay prepared on their connection. Values travel as text that both servers read and write
// without loss, apart from the statements.
package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Backend is a MySQL or MariaDB database.
type Backend struct {
	config Config
	db     *sql.DB

	mu    sync.Mutex
	facts facts // replaced, never changed
}

var (
	_ backend.Backend       = (*Backend)(nil)
	_ backend.Transactional = (*Backend)(nil)
	_ backend.Inspector     = (*Backend)(nil)
)

// Open makes a backend. It connects when it is first used.
func Open(_ context.Context, c Config) (backend.Backend, error) {
	c = c.withDefaults()
	connector, err := newConnector(c)
	if err != nil {
		return nil, translate(err, "")
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(c.MaxConnections)
	db.SetMaxIdleConns(c.MaxConnections)
	return &Backend{config: c, db: db}, nil
}

// Transactional marks the capability. Tables of some engines are an exception: see backend.TableInfo.NonTransactional.
func (*Backend) Transactional() {}

// Close ends the idle connections; those in use end with their calls.
func (b *Backend) Close() error { return b.db.Close() }

// Resolve reads all queries in one snapshot.
func (b *Backend) Resolve(ctx context.Context, req backend.ResolveRequest) (*backend.Resolution, error) {
	res := &backend.Resolution{Rows: make(map[string][]backend.Row, len(req.Queries))}
	tables := make([]backend.Table, len(req.Queries))
	for i, q := range req.Queries {
		tables[i] = q.Table
		if len(q.Paths) > 0 {
			return nil, refused(q.Entity, "a database has no paths", "name a file store in the data map")
		}
	}
	if len(req.Queries) == 0 {
		return res, nil
	}
	err := b.run(ctx, tables, nil, func(s *session, c *core.Compiler) error {
		clear(res.Rows)
		statements, err := c.Resolve(req)
		if err != nil {
			return err
		}
		left := req.MaxRows
		return s.snapshot(ctx, len(statements), func() error {
			for _, st := range statements {
				q := &req.Queries[st.Op]
				found, err := s.read(ctx, st, q, c.Tables[q.Table])
				if err != nil {
					return of(q.Entity, nil, err)
				}
				if left -= int64(len(found)); req.MaxRows > 0 && left < 0 {
					return &backend.TooManyRowsError{MaxRows: req.MaxRows}
				}
				res.Rows[q.Entity] = found
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// read runs the statement of a query, which has a limit.
func (s *session) read(ctx context.Context, st core.Statement, q *backend.Query, columns core.Facts) ([]backend.Row, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.silence())
	defer cancel()
	text, args := positional(st)
	rows, err := s.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	values := len(q.KeyColumns) + len(q.Columns) + len(q.Clocks)
	raw, flags := make([]sql.RawBytes, values), make([]bool, len(q.Flags)+len(q.Shared))
	into := make([]any, 0, values+len(flags))
	for i := range raw {
		into = append(into, &raw[i])
	}
	for i := range flags {
		into = append(into, &flags[i])
	}
	var found []backend.Row
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row, err := decode(raw, q, columns)
		if err != nil {
			return nil, err
		}
		row.Flags, row.Shared = core.SplitFlags(slices.Clone(flags), q)
		found = append(found, row)
	}
	return found, rows.Err()
}

// decode makes a row of its values, in the order of the statement's columns.
func decode(raw []sql.RawBytes, q *backend.Query, columns core.Facts) (backend.Row, error) {
	var row backend.Row
	names := slices.Concat(q.KeyColumns, q.Columns, q.Clocks)
	values := make([]backend.Value, len(raw))
	for i, name := range names {
		if values[i] = toValue(raw[i], columns[name]); values[i] != nil && !utf8.ValidString(*values[i]) {
			return row, refused(q.Entity, fmt.Sprintf("a value of column %q is not valid in its character set", name), "repair the value")
		}
	}
	for i, name := range q.KeyColumns {
		if values[i] == nil {
			return row, refused(q.Entity, fmt.Sprintf("a record has no value in key column %q", name),
				"name columns as the key that are never NULL")
		}
		row.Key = append(row.Key, *values[i])
	}
	values = values[len(q.KeyColumns):]
	row.Values = values[:len(q.Columns):len(q.Columns)]
	row.Clocks = make([]backend.Clock, len(q.Clocks))
	for i, v := range values[len(q.Columns):] {
		if v == nil {
			continue
		}
		switch columns[q.Clocks[i]].Category {
		case integer, unsigned, decimal, single, double:
			row.Clocks[i] = core.UnixClock(*v)
		default:
			row.Clocks[i] = core.ParseClock(*v)
		}
	}
	return row, nil
}

// Verify counts what Execute would still have to do.
func (b *Backend) Verify(ctx context.Context, ops []backend.Operation) ([]int64, error) {
	var left []int64
	err := b.run(ctx, tablesOf(ops), nil, func(s *session, c *core.Compiler) error {
		checks, err := c.Check(ops)
		if err != nil {
			return err
		}
		return s.snapshot(ctx, len(checks), func() (err error) {
			left, err = s.count(ctx, checks, ops)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return left, nil
}

// count runs checks.
func (s *session) count(ctx context.Context, checks []core.Statement, ops []backend.Operation) ([]int64, error) {
	left := make([]int64, len(ops))
	for _, st := range checks {
		counts, into := make([]int64, len(st.Ops)), make([]any, len(st.Ops))
		for i := range counts {
			into[i] = &counts[i]
		}
		if err := s.countRow(ctx, st, into...); err != nil {
			return nil, err
		}
		for i, op := range st.Ops {
			left[op] += counts[i]
		}
	}
	return left, nil
}

func (s *session) countRow(ctx context.Context, st core.Statement, into ...any) error {
	ctx, cancel := context.WithTimeout(ctx, s.limit())
	defer cancel()
	text, args := positional(st)
	return s.QueryRowContext(ctx, text, args...).Scan(into...)
}

func tablesOf(ops []backend.Operation) []backend.Table {
	tables := make([]backend.Table, 0, len(ops))
	for i := range ops {
		tables = append(tables, ops[i].Tables()...)
	}
	return tables
}

// maxDeadlocks bounds how often a transaction is begun again that the server rolled back to resolve a deadlock.
const maxDeadlocks = 3

// run calls f with a session and a compiler that knows the tables; deleting are those that it deletes from. It calls
// again where a connection had been lost before its use, where the table's facts were out of date, each once, and after
// deadlocks; nothing was committed then.
func (b *Backend) run(ctx context.Context, tables, deleting []backend.Table, f func(*session, *core.Compiler) error) error {
	refreshed, reconnected, deadlocks := false, false, 0
	for {
		cached, err := b.once(ctx, tables, deleting, f)
		switch {
		case err == nil:
			return nil
		case lost(err) && !reconnected:
			reconnected = true
		case deadlock(err) && deadlocks < maxDeadlocks:
			deadlocks++
		case cached && !refreshed && mismatched(err):
			refreshed = true
			b.forget()
		default:
			return translateOf(err)
		}
	}
}

func (b *Backend) once(ctx context.Context, tables, deleting []backend.Table, f func(*session, *core.Compiler) error) (cached bool, err error) {
	s, err := b.session(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		_ = s.Close()
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			b.kill(ctx, s.server)
		}
	}()
	known, cached, err := b.tableFacts(ctx, s, tables, deleting)
	if err != nil {
		return cached, err
	}
	return cached, f(s, &core.Compiler{
		Dialect: dialect{b.config.Database, s.flavor}, Tables: known.tables, References: known.references(), Schema: b.config.Database,
		BatchSize: b.config.BatchSize,
	})
}
