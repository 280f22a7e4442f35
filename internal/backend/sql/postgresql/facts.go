package postgresql

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// baseType is the type behind the domains of the attribute a, and behind those of an array's elements, as b(name, category). A
// value that is cast to a domain is cut to the length of its type, and -1 is no length or precision (a plain "character" would
// be one of length 1).
const baseType = `
CROSS JOIN LATERAL (
	WITH RECURSIVE up AS (
		SELECT a.atttypid AS oid, false AS element
		UNION ALL SELECT CASE y.typtype WHEN 'd' THEN y.typbasetype ELSE y.typelem END, up.element OR y.typtype <> 'd'
		FROM up JOIN pg_catalog.pg_type y ON y.oid = up.oid
		WHERE y.typtype = 'd' OR NOT up.element AND y.typcategory = 'A' AND y.typelem <> 0
	)
	SELECT format_type(y.oid, -1) || CASE WHEN up.element THEN '[]' ELSE '' END, CASE WHEN up.element THEN 'A' ELSE y.typcategory::text END
	FROM up JOIN pg_catalog.pg_type y ON y.oid = up.oid
	WHERE y.typtype <> 'd' AND (up.element OR y.typcategory <> 'A' OR y.typelem = 0)
) AS b(name, category)`

// factsQuery: a collation is one to compare with where the column's own takes texts for the same that differ.
const factsQuery = `
SELECT n.schema, n.name, a.attname, b.name, format_type(a.atttypid, a.atttypmod),
       b.category, a.attnotnull, a.attgenerated <> '' OR a.attidentity = 'a',
       CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation AND NOT l.collisdeterministic) THEN 'pg_catalog."default"' ELSE '' END
FROM unnest($1::text[], $2::text[], $3::text[]) AS n(schema, actual, name)
JOIN pg_catalog.pg_namespace s ON s.nspname = n.actual
JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = n.name AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped` + baseType

// referencesQuery: the foreign keys to a table or its partitions by which the server itself deletes or changes rows. What
// they have of their own for each partition says nothing new. Columns are compared as the server does for the key.
const referencesQuery = `
WITH RECURSIVE part AS (
	SELECT n.schema, n.name, c.oid FROM unnest($1::text[], $2::text[], $3::text[]) AS n(schema, actual, name)
	JOIN pg_catalog.pg_namespace s ON s.nspname = n.actual
	JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = n.name AND c.relkind IN ('r', 'p')
	UNION SELECT p.schema, p.name, i.inhrelid FROM part p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid
)
SELECT p.schema, p.name, s.nspname, x.relname, format('constraint "%s"', k.conname), k.confdeltype = 'c',
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(n, pos)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.pos),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(n, pos)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.pos),
       format('%s%I.%I', CASE x.relkind WHEN 'r' THEN 'ONLY ' END, s.nspname, x.relname),
       (SELECT string_agg(format('t.%I OPERATOR(%I.%s) r.%I', pa.attname, os.nspname, o.oprname, ra.attname) ||
               CASE WHEN pa.attcollation <> ra.attcollation THEN format(' COLLATE %I.%I', cs.nspname, l.collname) ELSE '' END,
               ' AND ' ORDER BY u.pos)
        FROM unnest(k.conkey, k.confkey, k.conpfeqop) WITH ORDINALITY AS u(child, parent, operator, pos)
        JOIN pg_catalog.pg_attribute ra ON ra.attrelid = k.conrelid AND ra.attnum = u.child
        JOIN pg_catalog.pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = u.parent
        JOIN pg_catalog.pg_operator o ON o.oid = u.operator JOIN pg_catalog.pg_namespace os ON os.oid = o.oprnamespace
        LEFT JOIN pg_catalog.pg_collation l ON l.oid = pa.attcollation
        LEFT JOIN pg_catalog.pg_namespace cs ON cs.oid = l.collnamespace),
       CASE WHEN ` + cascades + ` THEN k.oid END,
       quote_literal(format('%I.%I', s.nspname, x.relname)), quote_literal(format('%I.%I', ys.nspname, y.relname))
FROM part p JOIN pg_catalog.pg_constraint k ON k.confrelid = p.oid AND k.contype = 'f' AND k.confdeltype IN ('c', 'n', 'd')
JOIN pg_catalog.pg_class y ON y.oid = p.oid JOIN pg_catalog.pg_namespace ys ON ys.oid = y.relnamespace
JOIN pg_catalog.pg_class x ON x.oid = k.conrelid JOIN pg_catalog.pg_namespace s ON s.oid = x.relnamespace
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint up JOIN part q ON q.oid = up.confrelid
      WHERE up.oid = k.conparentid AND (q.schema, q.name) = (p.schema, p.name))
ORDER BY 1, 2, 3, 4, 5`

// cascades tests whether the server deletes the rows of k with what they refer to, all of them, and counts them, for a foreign key k
// between the tables x and y. It does not where a trigger or rule keeps a row or changes it, where another foreign key of x has its own
// way first, or where the key has no trigger that works. Deletions of partitions and heirs are counted elsewhere.
const cascades = `k.confdeltype = 'c' AND x.relkind = 'r' AND y.relkind = 'r'
	AND NOT (x.relhassubclass OR y.relhassubclass OR x.relispartition OR y.relispartition OR x.relhasrules OR y.relhasrules)
	AND EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgconstraint = k.oid AND g.tgrelid = y.oid AND g.tgenabled IN ('O', 'A')
		AND g.tgfoid = 'pg_catalog."RI_FKey_cascade_del"'::regproc)
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid IN (x.oid, y.oid) AND NOT g.tgisinternal AND g.tgtype & 8 <> 0)
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conrelid = x.oid AND o.contype = 'f' AND o.confdeltype <> 'c')
	AND current_setting('track_counts')::bool AND current_setting('session_replication_role') <> 'replica'`

// counter is the Counter for a foreign key and the literals of two tables, which have these names still.
const counter = `SELECT (SELECT pg_catalog.pg_stat_get_xact_tuples_deleted(x.oid) FROM pg_catalog.pg_constraint k
	JOIN pg_catalog.pg_class x ON x.oid = k.conrelid JOIN pg_catalog.pg_class y ON y.oid = k.confrelid
	WHERE k.oid = %d AND x.oid = to_regclass(%s) AND y.oid = to_regclass(%s) AND ` + cascades + `)`

// facts are what the catalogue says of tables.
type facts struct {
	tables     core.Tables
	references core.References
}

// tableFacts returns the facts of the tables and whether some of them come from the cache.
func (b *Backend) tableFacts(ctx context.Context, conn *pgx.Conn, tables []backend.Table) (facts, bool, error) {
	b.mu.Lock()
	cached := b.facts
	b.mu.Unlock()
	var missing []backend.Table
	for _, t := range tables {
		if _, ok := cached.tables[t]; !ok {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return cached, true, nil
	}
	loaded, err := b.loadFacts(ctx, conn, missing)
	if err != nil {
		return facts{}, false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.Copy(loaded.references, without(b.facts.references, loaded.tables))
	maps.Copy(loaded.tables, without(b.facts.tables, loaded.tables))
	b.facts = loaded
	return loaded, len(missing) < len(tables), nil
}

// without are the entries of tables that are not in the other map.
func without[A, B any](m map[backend.Table]A, other map[backend.Table]B) map[backend.Table]A {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(t backend.Table, _ A) bool { _, ok := other[t]; return ok })
	return m
}

// loadFacts asks in one round trip.
func (b *Backend) loadFacts(ctx context.Context, conn *pgx.Conn, tables []backend.Table) (facts, error) {
	loaded := facts{core.Tables{}, core.References{}}
	schemas, actual, names, err := b.split(tables)
	if err != nil {
		return loaded, err
	}
	batch := &pgx.Batch{}
	batch.Queue(factsQuery, schemas, actual, names).Query(loaded.readColumns)
	batch.Queue(referencesQuery, schemas, actual, names).Query(loaded.readReferences)
	return loaded, conn.SendBatch(ctx, batch).Close()
}

func (f facts) readColumns(rows pgx.Rows) error {
	var t backend.Table
	var c core.Column
	_, err := pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &c.Name, &c.Type, &c.Stored, &c.Category, &c.NotNull, &c.Generated, &c.Collation},
		func() error {
			if f.tables[t] == nil {
				f.tables[t] = core.Facts{}
			}
			column := c
			f.tables[t][c.Name] = &column
			return nil
		})
	return err
}

func (f facts) readReferences(rows pgx.Rows) error {
	var t backend.Table
	var r core.Reference
	var cascade *uint32
	var from, to string
	_, err := pgx.ForEachRow(rows, []any{&t.Schema, &t.Name, &r.Table.Schema, &r.Table.Name, &r.Name, &r.Deletes, &r.Columns, &r.RefColumns, &r.From, &r.On, &cascade, &from, &to},
		func() error {
			if r.Counter = ""; cascade != nil {
				r.Counter = fmt.Sprintf(counter, *cascade, from, to)
			}
			f.references[t] = append(f.references[t], r)
			return nil
		})
	return err
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
	b.facts = facts{}
	b.mu.Unlock()
}
