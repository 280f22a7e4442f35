package postgresql

import (
	"context"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// factsQuery: a domain counts as its base type when values are compared, and -1 is no length or precision (a plain
// "character" would be one of length 1).
const factsQuery = `
SELECT n.schema, n.name, a.attname, format_type(b.oid, -1), format_type(a.atttypid, a.atttypmod),
       b.typcategory::text, a.attnotnull
FROM unnest($1::text[], $2::text[], $3::text[]) AS n(schema, actual, name)
JOIN pg_catalog.pg_namespace s ON s.nspname = n.actual
JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = n.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END`

// tableFacts returns the facts of the tables and whether they come from the cache alone.
func (b *Backend) tableFacts(ctx context.Context, conn *pgx.Conn, tables []backend.Table) (core.Tables, bool, error) {
	b.mu.Lock()
	facts := b.facts
	b.mu.Unlock()
	var missing []backend.Table
	for _, t := range tables {
		if _, ok := facts[t]; !ok {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return facts, true, nil
	}
	loaded, err := b.loadFacts(ctx, conn, missing)
	if err != nil {
		return nil, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	merged := maps.Clone(b.facts)
	if merged == nil {
		merged = core.Tables{}
	}
	maps.Copy(merged, loaded)
	b.facts = merged
	return merged, false, nil
}

func (b *Backend) loadFacts(ctx context.Context, conn *pgx.Conn, tables []backend.Table) (core.Tables, error) {
	schemas, actual, names, err := b.split(tables)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, factsQuery, schemas, actual, names)
	if err != nil {
		return nil, err
	}
	loaded := core.Tables{}
	var t backend.Table
	var c core.Column
	_, err = pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &c.Name, &c.Type, &c.Stored, &c.Category, &c.NotNull},
		func() error {
			if loaded[t] == nil {
				loaded[t] = core.Facts{}
			}
			column := c
			loaded[t][c.Name] = &column
			return nil
		})
	return loaded, err
}

// split lists the tables' schemas as given and as they are, and their names.
func (b *Backend) split(tables []backend.Table) (given, actual, names []string, err error) {
	for _, t := range tables {
		schema := t.Schema
		if schema == "" {
			schema = b.config.Schema
		}
		if err := core.CheckNames(schema, t.Name); err != nil {
			return nil, nil, nil, err
		}
		given, actual, names = append(given, t.Schema), append(actual, schema), append(names, t.Name)
	}
	return given, actual, names, nil
}

func (b *Backend) forget() {
	b.mu.Lock()
	b.facts = nil
	b.mu.Unlock()
}
