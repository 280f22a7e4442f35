// Package postgresql is the backend for PostgreSQL 13 and later.
//
// Statements are pipelined: a look is one round trip, an Execute two (all statements with the check of what is left, then
// the commit). Values travel as text, which PostgreSQL reads and writes without loss for every type.
package postgresql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Backend is a PostgreSQL database.
type Backend struct {
	config  Config
	dialect dialect
	pool    *pool

	mu    sync.Mutex
	facts facts // replaced, never changed
}

var (
	_ backend.Backend       = (*Backend)(nil)
	_ backend.Transactional = (*Backend)(nil)
	_ backend.Looker        = (*Backend)(nil)
	_ backend.Inspector     = (*Backend)(nil)
)

// Open makes a backend. It connects when it is first used.
func Open(_ context.Context, c Config) (backend.Backend, error) {
	c = c.withDefaults()
	cc, err := c.connConfig()
	if err != nil {
		return nil, err
	}
	if err := core.CheckNames(c.Schema); err != nil {
		return nil, err
	}
	return &Backend{config: c, dialect: dialect{schema: c.Schema}, pool: newPool(cc, c.MaxConnections)}, nil
}

// Transactional marks the capability.
func (*Backend) Transactional() {}

// Close ends the idle connections; those in use end with their calls.
func (b *Backend) Close() error {
	b.pool.closed.Store(true)
	b.pool.drain(context.Background())
	return nil
}

// Text is the value as PostgreSQL writes it.
func (*Backend) Text(v backend.Value) string {
	if v == nil {
		return ""
	}
	return *v
}

// FromText is the text itself: PostgreSQL reads every type from text.
func (*Backend) FromText(text string) backend.Value { return &text }

const (
	// beginRead needs no statement: the session's defaults make one snapshot of what is sent together.
	beginRead = ""
	// goOn stays in the transaction that is open.
	goOn       = ""
	beginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	// beginGuarded: a foreign key's action fails where it meets rows that a guard, in the same snapshot, did not see.
	beginGuarded = "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE"
)

// Resolve reads all queries in one snapshot.
func (b *Backend) Resolve(ctx context.Context, req backend.ResolveRequest) (*backend.Resolution, error) {
	_, found, err := b.Look(ctx, nil, req)
	return found, err
}

// Verify counts what Execute would still have to do.
func (b *Backend) Verify(ctx context.Context, ops []backend.Operation) ([]int64, error) {
	left, _, err := b.Look(ctx, ops, backend.ResolveRequest{})
	return left, err
}

// Look verifies and resolves in one snapshot.
func (b *Backend) Look(ctx context.Context, ops []backend.Operation, req backend.ResolveRequest) ([]int64, *backend.Resolution, error) {
	left := make([]int64, len(ops))
	found := &backend.Resolution{Rows: make(map[string][]backend.Row, len(req.Queries))}
	tables := backend.TablesOf(ops)
	for _, q := range req.Queries {
		tables = append(tables, q.Table)
		if len(q.Paths) > 0 {
			return nil, nil, refused(q.Entity, "a database has no paths", "name a file store in the data map")
		}
	}
	if len(tables) == 0 {
		return left, found, nil
	}
	err := b.run(ctx, tables, func(conn *pgx.Conn, c *core.Compiler) error {
		clear(left)
		clear(found.Rows)
		statements, err := c.Check(ops)
		if err != nil {
			return err
		}
		queries, err := c.Resolve(req)
		if err != nil || len(statements)+len(queries) == 0 {
			return err
		}
		r := reader{conn: conn, tables: c.Tables, req: &req, found: found, room: req.MaxRows}
		return b.pipeline(ctx, conn, beginRead, append(statements, queries...), r.entity, func(s core.Statement, rows pgx.Rows) error {
			if s.Ops != nil {
				return addCounts(rows, s, left)
			}
			return r.read(ctx, s, rows)
		})
	})
	if err != nil {
		return nil, nil, err
	}
	return left, found, nil
}

// reader takes the rows that resolving finds.
type reader struct {
	conn   *pgx.Conn
	tables core.Tables
	req    *backend.ResolveRequest
	found  *backend.Resolution
	room   int64 // for so many rows more
}

func (r *reader) entity(i int) string { return r.req.Queries[i].Entity }

func (r *reader) read(ctx context.Context, s core.Statement, rows pgx.Rows) error {
	defer rows.Close()
	q := &r.req.Queries[s.Op]
	for rows.Next() {
		if r.room--; r.req.MaxRows > 0 && r.room < 0 {
			_ = r.conn.Close(ctx) // rather than read what nobody wants
			return &backend.TooManyRowsError{MaxRows: r.req.MaxRows}
		}
		row, err := decode(rows.RawValues(), q, r.tables[q.Table])
		if err != nil {
			return err
		}
		r.found.Rows[q.Entity] = append(r.found.Rows[q.Entity], row)
	}
	return rows.Err()
}

// Execute treats all operations in one transaction, and commits only if nothing is left to do.
func (b *Backend) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	ops := batch.Operations
	res := &backend.Result{Affected: make([]int64, len(ops))}
	err := b.run(ctx, backend.TablesOf(ops), func(conn *pgx.Conn, c *core.Compiler) error {
		clear(res.Affected)
		c.Ignored = batch.Ignored
		done, err := b.change(ctx, conn, c, ops, res.Affected)
		if done || err != nil {
			return err
		}
		if err := batch.AwaitEffect(ctx); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, b.config.silence())
		defer cancel()
		return commit(ctx, conn)
	})
	if err != nil {
		return nil, err
	}
	return res, nil
}

// change does the operations' statements in a transaction that stays open, and makes sure that nothing is left to do. It
// returns done where there was nothing to do in the first place. A deletion that removed as many rows as it has keys needs no
// check.
func (b *Backend) change(ctx context.Context, conn *pgx.Conn, c *core.Compiler, ops []backend.Operation, affected []int64) (done bool, err error) {
	changes, err := c.Execute(ops)
	if err != nil || len(changes) == 0 {
		return true, err
	}
	updated, err := checks(c, ops, func(i int) bool { return ops[i].Action != backend.Delete })
	if err != nil {
		return false, err
	}
	entity := func(i int) string { return ops[i].Entity }
	left := make([]int64, len(ops))
	read := func(s core.Statement, rows pgx.Rows) error {
		switch {
		case s.Ops != nil:
			return addCounts(rows, s, left)
		case s.Guard != nil:
			return judge(rows, &s, ops)
		}
		rows.Close()
		affected[s.Op] += rows.CommandTag().RowsAffected()
		return rows.Err()
	}
	if err := b.pipeline(ctx, conn, begin(changes), append(changes, updated...), entity, read); err != nil {
		return false, err
	}
	missed, err := checks(c, ops, func(i int) bool { return ops[i].Action == backend.Delete && affected[i] < int64(len(ops[i].Keys)) })
	if err == nil && len(missed) > 0 {
		err = b.pipeline(ctx, conn, goOn, missed, entity, read)
	}
	if err != nil {
		return false, err
	}
	return false, stale(ops, left)
}

// checks are those of some of the operations.
func checks(c *core.Compiler, ops []backend.Operation, of func(i int) bool) ([]core.Statement, error) {
	var some []backend.Operation
	var index []int
	for i := range ops {
		if of(i) {
			some, index = append(some, ops[i]), append(index, i)
		}
	}
	statements, err := c.Check(some)
	for _, s := range statements {
		for i := range s.Ops {
			s.Ops[i] = index[s.Ops[i]]
		}
	}
	return statements, err
}

// begin starts a transaction for the statements.
func begin(statements []core.Statement) string {
	if slices.ContainsFunc(statements, func(s core.Statement) bool { return s.Guard != nil }) {
		return beginGuarded
	}
	return beginWrite
}

func judge(rows pgx.Rows, s *core.Statement, ops []backend.Operation) error {
	count, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	return s.Judge(ops, count)
}

func stale(ops []backend.Operation, left []int64) error {
	for i, n := range left {
		if n == 0 {
			continue
		}
		return &backend.StaleError{Entity: ops[i].Entity, Problem: fmt.Sprintf(
			"%d planned records are not as planned after the change: a condition keeps them, or another session or a trigger interferes", n)}
	}
	return nil
}

func commit(ctx context.Context, conn *pgx.Conn) error {
	results, err := conn.PgConn().Exec(ctx, "COMMIT").ReadAll()
	if err == nil && len(results) == 1 && results[0].CommandTag.String() == "COMMIT" {
		return nil
	}
	if err == nil { // the server answers a failed transaction's COMMIT with ROLLBACK
		return &backend.UnavailableError{Problem: "the server did not commit the transaction"}
	}
	err = translate(err, "")
	var u *backend.UnavailableError
	if errors.As(err, &u) {
		return &backend.UnavailableError{Problem: "the connection was lost while the transaction was committed: " +
			"it may or may not have taken effect", Err: u.Err}
	}
	return err
}

func addCounts(rows pgx.Rows, s core.Statement, left []int64) error {
	counts := make([]int64, len(s.Ops))
	into := make([]any, len(s.Ops))
	for i := range counts {
		into[i] = &counts[i]
	}
	if _, err := pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (struct{}, error) {
		return struct{}{}, row.Scan(into...)
	}); err != nil {
		return err
	}
	for i, op := range s.Ops {
		left[op] += counts[i]
	}
	return nil
}

// pipeline sends begin and the statements in one round trip and leaves the transaction open, unless it only reads; release
// ends it.
//
// The server bounds each statement, but one that hangs answers nothing at all: silence for longer than that ends the
// connection, so that nobody waits for ever.
func (b *Backend) pipeline(
	ctx context.Context, conn *pgx.Conn, begin string, statements []core.Statement,
	entity func(op int) string, read func(core.Statement, pgx.Rows) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := clock.RealClock{}.AfterFunc(b.config.silence(), cancel)
	defer silence.Stop()
	batch := &pgx.Batch{}
	if begin != "" {
		batch.Queue(begin)
	}
	for _, s := range statements {
		batch.Queue(s.Text, s.Args...)
	}
	br := conn.SendBatch(ctx, batch)
	var err error
	if begin != "" {
		_, err = br.Exec()
	}
	for i := 0; err == nil && i < len(statements); i++ {
		var rows pgx.Rows
		if rows, err = br.Query(); err == nil {
			err = read(statements[i], rows)
		}
		silence.Reset(b.config.silence())
		if err != nil && !lost(err) && !known(err) {
			name := ""
			if statements[i].Ops == nil {
				name = entity(statements[i].Op)
			}
			err = &entityError{name, statements[i].Guard, err}
		}
	}
	if closeErr := br.Close(); err == nil {
		err = closeErr
	}
	return err
}

// entityError remembers whose statement failed until the error is translated.
type entityError struct {
	entity string
	guard  *core.Reference // that the statement is for, if any
	err    error
}

func (e *entityError) Error() string { return "entity " + e.entity }
func (e *entityError) Unwrap() error { return e.err }

// run calls f with a connection and a compiler that knows the tables. It calls again, once for each reason, where a
// connection had been lost before its use or the table's facts were out of date; nothing was committed then.
func (b *Backend) run(ctx context.Context, tables []backend.Table, f func(*pgx.Conn, *core.Compiler) error) error {
	refreshed, reconnected := false, false
	for {
		used, cached, err := b.once(ctx, tables, f)
		switch {
		case err == nil:
			return nil
		case used && !reconnected && lost(err):
			reconnected = true
			b.pool.drain(ctx)
		case cached && !refreshed && mismatched(err):
			refreshed = true
			b.forget()
		default:
			return translateOf(err)
		}
	}
}

func (b *Backend) once(
	ctx context.Context, tables []backend.Table, f func(*pgx.Conn, *core.Compiler) error,
) (used, cached bool, err error) {
	conn, used, err := b.pool.acquire(ctx)
	if err != nil {
		return false, false, err
	}
	defer b.pool.release(ctx, conn)
	answer, cancel := context.WithTimeout(ctx, b.config.silence())
	defer cancel()
	facts, cached, err := b.tableFacts(answer, conn, tables)
	if err != nil {
		return used, cached, err
	}
	return used, cached, f(conn, &core.Compiler{Dialect: b.dialect, Tables: facts.tables, References: facts.references,
		Schema: b.config.Schema, BatchSize: b.config.BatchSize})
}

// decode makes a row of its values, in the order of the resolving statement's columns.
func decode(raw [][]byte, q *backend.Query, facts core.Facts) (backend.Row, error) {
	texts := make([]backend.Value, len(q.KeyColumns)+len(q.Columns)+len(q.Clocks))
	for i := range texts {
		if raw[i] == nil {
			continue
		}
		if !utf8.Valid(raw[i]) { // a plan is JSON and would not bring such a value back as it was
			return backend.Row{}, refused(q.Entity, "a value is not valid UTF-8", "convert the database to the encoding UTF8")
		}
		s := string(raw[i])
		texts[i] = &s
	}
	row := backend.Row{Key: make(backend.Key, len(q.KeyColumns))}
	for i := range row.Key {
		if texts[i] == nil {
			return backend.Row{}, refused(q.Entity, fmt.Sprintf("a record has no value in key column %q", q.KeyColumns[i]),
				"name columns as the key that are never NULL")
		}
		row.Key[i] = *texts[i]
	}
	texts = texts[len(q.KeyColumns):]
	row.Values = texts[:len(q.Columns):len(q.Columns)]
	texts = texts[len(q.Columns):]
	row.Clocks = make([]backend.Clock, len(q.Clocks))
	for i, text := range texts {
		switch {
		case text == nil:
		case facts[q.Clocks[i]].Category == categoryNumeric:
			row.Clocks[i] = core.UnixClock(*text)
		default:
			row.Clocks[i] = core.ParseClock(*text)
		}
	}
	var flags []bool
	for _, flag := range raw[len(q.KeyColumns)+len(q.Columns)+len(q.Clocks):] {
		flags = append(flags, len(flag) == 1 && (flag[0] == 1 || flag[0] == 't')) // binary or text
	}
	row.Flags, row.Shared = core.SplitFlags(flags, q)
	return row, nil
}
