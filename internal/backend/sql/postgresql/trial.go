package postgresql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/lethe-dev/lethe/internal/backend"
)

var _ backend.ValueTester = (*Backend)(nil)

// constraintsQuery: the type of one column, the constraints on it alone, and the columns that it alone refers to.
const constraintsQuery = `
SELECT format_type(a.atttypid, a.atttypmod),
       ARRAY(SELECT k.conname::text FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum] ORDER BY k.oid),
       ARRAY(SELECT pg_get_expr(k.conbin, k.conrelid) FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum] ORDER BY k.oid),
       ARRAY(SELECT k.conname::text FROM pg_catalog.pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum] AND k.conparentid = 0 ORDER BY k.oid),
       ARRAY(SELECT format('EXISTS (SELECT FROM %I.%I AS r WHERE r.%I = x.%I)', rs.nspname, rc.relname, ra.attname, a.attname)
             FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class rc ON rc.oid = k.confrelid JOIN pg_catalog.pg_namespace rs ON rs.oid = rc.relnamespace
             JOIN pg_catalog.pg_attribute ra ON ra.attrelid = rc.oid AND ra.attnum = k.confkey[1]
             WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum] AND k.conparentid = 0 ORDER BY k.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped
WHERE n.nspname = $1 AND c.relname = $2`

// TestValues casts each value to its column's type and evaluates the constraints on a row that has nothing else.
func (b *Backend) TestValues(ctx context.Context, trials []backend.Trial) ([]string, error) {
	conn, _, err := b.pool.acquire(ctx)
	if err != nil {
		return nil, translate(err, "")
	}
	defer b.pool.release(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, b.config.silence())
	defer cancel()
	problems := make([]string, len(trials))
	for i, t := range trials {
		if problems[i], err = b.testValue(ctx, conn, t); err != nil {
			return nil, translate(err, "")
		}
	}
	return problems, nil
}

func (b *Backend) testValue(ctx context.Context, conn *pgx.Conn, t backend.Trial) (string, error) {
	schema := t.Table.Schema
	if schema == "" {
		schema = b.config.Schema
	}
	var columnType string
	var names, checks, keys, lookups []string
	err := conn.QueryRow(ctx, constraintsQuery, schema, t.Table.Name, t.Column).Scan(&columnType, &names, &checks, &keys, &lookups)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil // a missing column is reported elsewhere
	}
	if err != nil {
		return "", err
	}
	row := fmt.Sprintf("FROM (SELECT CAST($1::text AS %s) AS %s) AS x", columnType, b.dialect.Quote(t.Column))
	tests := []string{"x." + b.dialect.Quote(t.Column) + " IS NOT NULL"} // so that the cast is not left out
	for _, c := range checks {
		tests = append(tests, "("+c+") IS NOT FALSE")
	}
	tests = append(tests, lookups...)
	held := make([]bool, len(tests))
	into := make([]any, len(tests))
	for i := range held {
		into[i] = &held[i]
	}
	// Read only, for a constraint may call any function.
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT "+strings.Join(tests, ", ")+" "+row, t.Text).Scan(into...)
	})
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && (strings.HasPrefix(refused.Code, "22") || strings.HasPrefix(refused.Code, "23")):
		return "the value is not one of the type " + columnType, nil
	case errors.As(err, &refused):
		return "", nil // it cannot be told: no right to read a table, a function that wants more than the value
	case err != nil:
		return "", err
	}
	for i, ok := range held[1:] {
		switch {
		case ok:
		case i < len(names):
			return "check constraint " + names[i] + " refuses the value", nil
		default:
			return "the value is not in the table that constraint " + keys[i-len(names)] + " refers to", nil
		}
	}
	return "", nil
}
