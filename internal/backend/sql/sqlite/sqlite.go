// Package sqlite is the backend for SQLite database files, which their application may have open at the same time.
//
// Deleted content is overwritten (secure_delete). In WAL mode the write-ahead log holds older pages until the
// application's next full checkpoint; after each batch a passive one is tried. Backups are not reached.
package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
	"modernc.org/sqlite" // the driver

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Config of a database file. Zero limits have the defaults of the DataStore API.
type Config struct {
	// Root is the folder that the file may not be outside of.
	Root string
	// Path of the file, relative to Root.
	Path string
	// BatchSize is the greatest number of records in one statement; more than 500 are never used.
	BatchSize        int
	StatementTimeout time.Duration
	LockTimeout      time.Duration
}

// maxBatch keeps the number of bound values in bounds: SQLite takes 32766.
const maxBatch = 500

// Backend is a SQLite database.
type Backend struct {
	config Config
	path   string
	db     *sql.DB
	// file that the connection has open; guarded by the connection, of which there is one.
	file os.FileInfo
}

var (
	_ backend.Backend       = (*Backend)(nil)
	_ backend.Transactional = (*Backend)(nil)
	_ backend.Inspector     = (*Backend)(nil)
)

// register adds our functions to the driver, which serves the whole process.
var register = sync.OnceValue(func() error {
	scalar := func(name string, f func(string) driver.Value) error {
		return sqlite.RegisterDeterministicScalarFunction(name, 1,
			func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
				if s, ok := args[0].(string); ok {
					return f(s), nil
				}
				return args[0], nil
			})
	}
	return errors.Join(scalar(lowerFunction, func(s string) driver.Value { return core.Lower(s) }),
		scalar(valueFunction, func(s string) driver.Value { return fromValue(&s) }),
		sqlite.RegisterDeterministicScalarFunction(wordFunction, 3, hasWord),
		sqlite.RegisterDeterministicScalarFunction(clockFunction, 1, clockMicros),
		sqlite.RegisterDeterministicScalarFunction(truncateFunction, 2, truncate))
})

// Open opens an existing file; it never makes one.
func Open(ctx context.Context, c Config) (backend.Backend, error) {
	if c.BatchSize <= 0 || c.BatchSize > maxBatch {
		c.BatchSize = maxBatch
	}
	if c.StatementTimeout <= 0 {
		c.StatementTimeout = time.Minute
	}
	if c.LockTimeout <= 0 {
		c.LockTimeout = 10 * time.Second
	}
	if err := register(); err != nil {
		return nil, err
	}
	path, err := locate(c.Root, c.Path)
	if err != nil {
		return nil, err
	}
	pragmas := url.Values{"mode": {"rw"}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", max(c.LockTimeout.Milliseconds(), 1)), "foreign_keys(1)", "secure_delete(1)",
	}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+pragmas.Encode())
	if err != nil {
		return nil, &backend.UnavailableError{Problem: "the database file cannot be opened", Err: err}
	}
	db.SetMaxOpenConns(1)
	b := &Backend{config: c, path: path, db: db}
	if b.file, err = os.Stat(path); err != nil {
		_ = db.Close()
		return nil, &backend.UnavailableError{Problem: "the database file cannot be reached", Err: err}
	}
	if _, err := b.Describe(ctx); err != nil {
		_ = db.Close()
		return nil, err
	}
	return b, nil
}

// locate resolves the path and makes sure that it stays in the root. A symbolic link that is put in its way between this
// check and the opening is not noticed: whoever can do that owns the root already.
func locate(root, path string) (string, error) {
	outside := &backend.RefusedError{
		Problem: "the path of the database leaves the namespace's root", Remedy: "correct the DataStore",
		Err: backend.ErrPathOutsideRoot,
	}
	forbidden := &backend.RefusedError{Problem: "no permission to reach the database file", Remedy: "grant the operator's user access to it"}
	if !filepath.IsLocal(path) || strings.ContainsRune(path, 0) {
		return "", outside
	}
	r, err := os.OpenRoot(root)
	if errors.Is(err, os.ErrPermission) {
		return "", forbidden
	} else if err != nil {
		return "", &backend.UnavailableError{Problem: "the namespace's root folder is not available", Err: err}
	}
	defer func() { _ = r.Close() }()
	inside, err := r.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", &backend.UnavailableError{Problem: "the database file does not exist", Err: err}
	case errors.Is(err, os.ErrPermission):
		return "", forbidden
	case err != nil:
		return "", outside // os.Root reports what leaves it with an error of its own
	case !inside.Mode().IsRegular():
		return "", &backend.RefusedError{Problem: "the database is not a regular file", Remedy: "correct the DataStore"}
	}
	resolved, err := filepath.EvalSymlinks(filepath.Join(root, path))
	if err != nil {
		return "", &backend.UnavailableError{Problem: "the database file cannot be reached", Err: err}
	}
	if resolved, err = filepath.Abs(resolved); err != nil {
		return "", &backend.UnavailableError{Problem: "the database file cannot be reached", Err: err}
	}
	if found, err := os.Stat(resolved); err != nil || !os.SameFile(inside, found) {
		return "", outside
	}
	// Not by opening it: when that file is closed, the locks are gone that this process has on the database.
	if err := unix.Access(resolved, unix.R_OK); errors.Is(err, unix.EACCES) {
		return "", forbidden
	}
	return resolved, nil
}

// Transactional marks the capability.
func (*Backend) Transactional() {}

// Close closes the file.
func (b *Backend) Close() error { return b.db.Close() }

// Resolve reads all queries in one snapshot.
func (b *Backend) Resolve(ctx context.Context, req backend.ResolveRequest) (*backend.Resolution, error) {
	res := &backend.Resolution{Rows: make(map[string][]backend.Row, len(req.Queries))}
	tables := make([]backend.Table, len(req.Queries))
	for i := range req.Queries {
		if err := checkQuery(&req.Queries[i]); err != nil {
			return nil, err
		}
		tables[i] = req.Queries[i].Table
	}
	left := req.MaxRows
	err := b.transaction(ctx, "BEGIN", tables, func(conn *sql.Conn, c *core.Compiler) error {
		statements, err := c.Resolve(req)
		if err != nil {
			return err
		}
		for _, s := range statements {
			q := &req.Queries[s.Op]
			found, err := b.read(ctx, conn, s, q)
			if err != nil {
				return translate(err, q.Entity)
			}
			if left -= int64(len(found)); req.MaxRows > 0 && left < 0 {
				return &backend.TooManyRowsError{MaxRows: req.MaxRows}
			}
			res.Rows[q.Entity] = found
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

func checkQuery(q *backend.Query) error {
	if len(q.Paths) > 0 {
		return &backend.RefusedError{Entity: q.Entity, Problem: "a database has no paths",
			Remedy: "name a file store in the data map"}
	}
	valid := true
	for _, m := range q.AnyOf {
		if m.Identity != nil {
			for _, v := range m.Identity.Values {
				valid = valid && utf8.ValidString(v)
			}
		}
		if m.Values != nil {
			for _, row := range m.Values.Rows {
				for _, v := range row {
					valid = valid && utf8.ValidString(v)
				}
			}
		}
	}
	if !valid {
		return &backend.RefusedError{Entity: q.Entity, Problem: "a value to look for is not valid UTF-8"}
	}
	return nil
}

func (b *Backend) read(ctx context.Context, conn *sql.Conn, s core.Statement, q *backend.Query) ([]backend.Row, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.StatementTimeout)
	defer cancel()
	rows, err := conn.QueryContext(ctx, s.Text, s.Args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	raw := make([]any, len(q.KeyColumns)+len(q.Columns)+len(q.Clocks)+len(q.Flags)+len(q.Shared))
	into := make([]any, len(raw))
	for i := range raw {
		into[i] = &raw[i]
	}
	var found []backend.Row
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row, err := decode(raw, q)
		if err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

func decode(raw []any, q *backend.Query) (backend.Row, error) {
	var row backend.Row
	for i, name := range q.KeyColumns {
		v := toValue(raw[i])
		if v == nil {
			return row, &backend.RefusedError{Entity: q.Entity, Problem: fmt.Sprintf("a record has no value in key column %q", name),
				Remedy: "name columns as the key that are never NULL"}
		}
		row.Key = append(row.Key, *v)
	}
	raw = raw[len(q.KeyColumns):]
	row.Values = make([]backend.Value, len(q.Columns))
	for i := range row.Values {
		row.Values[i] = toValue(raw[i])
	}
	raw = raw[len(q.Columns):]
	row.Clocks = make([]backend.Clock, len(q.Clocks))
	for i := range row.Clocks {
		row.Clocks[i] = clockOf(raw[i])
	}
	raw = raw[len(q.Clocks):]
	flags := make([]bool, len(raw))
	for i := range flags {
		flags[i] = raw[i] == int64(1)
	}
	row.Flags, row.Shared = core.SplitFlags(flags, q)
	return row, nil
}

// Execute treats all operations in one transaction, and commits only if nothing is left to do.
func (b *Backend) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	ops := batch.Operations
	res := &backend.Result{Affected: make([]int64, len(ops))}
	err := b.transaction(ctx, "BEGIN IMMEDIATE", backend.TablesOf(ops), func(conn *sql.Conn, c *core.Compiler) error {
		if err := b.change(ctx, conn, c, batch, res); err != nil {
			return err
		}
		left, err := b.count(ctx, conn, c, ops)
		if err != nil {
			return err
		}
		for i, n := range left {
			if n > 0 {
				return &backend.StaleError{Entity: ops[i].Entity, Problem: fmt.Sprintf(
					"%d planned records are not as planned after the change: a condition keeps them, or a trigger interferes", n)}
			}
		}
		return batch.AwaitEffect(ctx)
	})
	if err != nil {
		return nil, err
	}
	b.checkpoint(ctx)
	return res, nil
}

// change runs the statements of a batch.
func (b *Backend) change(
	ctx context.Context, conn *sql.Conn, c *core.Compiler, batch backend.Batch, res *backend.Result,
) (err error) {
	ops := batch.Operations
	c.Ignored = batch.Ignored
	if c.References, err = loadReferences(ctx, conn, c.Tables); err != nil {
		return err
	}
	statements, err := c.Execute(ops)
	if err != nil {
		return err
	}
	for _, s := range statements {
		var n int64
		if s.Guard != nil {
			if err = b.countRow(ctx, conn, s, []any{&n}); err == nil {
				err = s.Judge(ops, n)
			}
		} else if n, err = b.exec(ctx, conn, s); err == nil {
			res.Affected[s.Op] += n
		}
		if err != nil {
			return translate(err, ops[s.Op].Entity)
		}
	}
	return nil
}

func (b *Backend) exec(ctx context.Context, conn *sql.Conn, s core.Statement) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, b.config.StatementTimeout)
	defer cancel()
	r, err := conn.ExecContext(ctx, s.Text, s.Args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// checkpoint moves what was erased from the write-ahead log into the file as far as readers allow. That it could not is
// no failure: the next checkpoint does it.
func (b *Backend) checkpoint(ctx context.Context) {
	var mode string
	if b.db.QueryRowContext(ctx, "PRAGMA main.journal_mode").Scan(&mode) == nil && strings.EqualFold(mode, "wal") {
		_, _ = b.db.ExecContext(ctx, "PRAGMA main.wal_checkpoint(PASSIVE)")
	}
}

// Verify counts what Execute would still have to do.
func (b *Backend) Verify(ctx context.Context, ops []backend.Operation) ([]int64, error) {
	var left []int64
	err := b.transaction(ctx, "BEGIN", backend.TablesOf(ops), func(conn *sql.Conn, c *core.Compiler) (err error) {
		left, err = b.count(ctx, conn, c, ops)
		return err
	})
	if err != nil {
		return nil, err
	}
	return left, nil
}

func (b *Backend) count(ctx context.Context, conn *sql.Conn, c *core.Compiler, ops []backend.Operation) ([]int64, error) {
	checks, err := c.Check(ops)
	if err != nil {
		return nil, err
	}
	left := make([]int64, len(ops))
	for _, s := range checks {
		counts := make([]int64, len(s.Ops))
		into := make([]any, len(s.Ops))
		for i := range counts {
			into[i] = &counts[i]
		}
		if err := b.countRow(ctx, conn, s, into); err != nil {
			return nil, translate(err, "")
		}
		for i, op := range s.Ops {
			left[op] += counts[i]
		}
	}
	return left, nil
}

func (b *Backend) countRow(ctx context.Context, conn *sql.Conn, s core.Statement, into []any) error {
	ctx, cancel := context.WithTimeout(ctx, b.config.StatementTimeout)
	defer cancel()
	return conn.QueryRowContext(ctx, s.Text, s.Args...).Scan(into...)
}

// connect returns the connection to the file that has the path now. Where the file was replaced, as a restore by rename
// does, the old connection would go on with a file that nobody else sees.
func (b *Backend) connect(ctx context.Context) (*sql.Conn, error) {
	conn, err := b.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	now, err := os.Stat(b.path)
	if err != nil {
		_ = conn.Close()
		return nil, &backend.UnavailableError{Problem: "the database file is not there", Err: err}
	}
	if !os.SameFile(b.file, now) {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		_ = conn.Close()
		if conn, err = b.db.Conn(ctx); err != nil {
			return nil, err
		}
	}
	b.file = now
	return conn, nil
}

// transaction runs f between begin and COMMIT; any error rolls back.
func (b *Backend) transaction(
	ctx context.Context, begin string, tables []backend.Table, f func(*sql.Conn, *core.Compiler) error,
) error {
	conn, err := b.connect(ctx)
	if err != nil {
		return translate(err, "")
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return translate(err, "")
	}
	facts, err := loadFacts(ctx, conn, tables)
	if err == nil {
		err = f(conn, &core.Compiler{Dialect: dialect{}, Tables: facts, Schema: "main", BatchSize: b.config.BatchSize})
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT") // fails without effect, for example for a deferred foreign key
	}
	if err == nil {
		return nil
	}
	if _, rollback := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK"); rollback != nil {
		// The transaction ended by itself, or the connection must not be used again.
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	return translate(err, "")
}

// hasWord is lethe_word(text, words as a JSON array, fold).
func hasWord(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	text, ok := args[0].(string)
	list, isText := args[1].(string)
	fold, isInt := args[2].(int64)
	var words []string
	if !isText || !isInt || json.Unmarshal([]byte(list), &words) != nil {
		return nil, errors.New("wrong arguments")
	}
	if ok && core.HasWord(text, words, fold != 0) {
		return int64(1), nil
	}
	return int64(0), nil
}
