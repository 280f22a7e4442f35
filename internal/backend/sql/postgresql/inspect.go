package postgresql

import (
	"context"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/backend"
)

const describeQuery = `
SELECT current_setting('server_version'), pg_is_in_recovery(), r.rolsuper, r.rolcreaterole, r.rolcreatedb,
       r.rolreplication,
       EXISTS (SELECT FROM pg_catalog.pg_database d WHERE d.datname = current_database()
               AND pg_has_role(r.oid, d.datdba, 'MEMBER')),
       EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND pg_has_role(r.oid, c.relowner, 'MEMBER')),
       EXISTS (SELECT FROM pg_catalog.pg_roles s WHERE s.rolname = ANY('{pg_execute_server_program,` +
	`pg_read_server_files,pg_write_server_files,pg_write_all_data}') AND pg_has_role(r.oid, s.oid, 'MEMBER'))
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`

// Describe also fails where the server only reads.
func (b *Backend) Describe(ctx context.Context) (backend.Description, error) {
	conn, _, err := b.pool.acquire(ctx)
	if err != nil {
		return backend.Description{}, translate(err, "")
	}
	defer b.pool.release(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, b.config.silence())
	defer cancel()
	var version string
	var standby, super, roles, databases, replication, owner, tables, program bool
	err = conn.QueryRow(ctx, describeQuery, b.config.Schema).
		Scan(&version, &standby, &super, &roles, &databases, &replication, &owner, &tables, &program)
	if err != nil {
		return backend.Description{}, translate(err, "")
	}
	if standby {
		return backend.Description{}, &backend.UnavailableError{Problem: "the server is a standby: nothing can be erased there"}
	}
	d := backend.Description{Version: "PostgreSQL " + version}
	if len(d.Version) > maxVersion {
		d.Version = d.Version[:maxVersion]
	}
	if super { // has everything else too
		d.Excessive = []string{"superuser"}
		return d, nil
	}
	for _, p := range []struct {
		has  bool
		name string
	}{
		{roles, "createrole"}, {databases, "createdb"}, {replication, "replication"}, {owner, "owner of the database"},
		{tables, "owner of tables"}, {program, "member of a predefined role for files, programs or all data"},
	} {
		if p.has {
			d.Excessive = append(d.Excessive, p.name)
		}
	}
	return d, nil
}

const maxVersion = 128

// target is the named tables and those that refer to them.
const target = `
WITH named AS (
	SELECT c.oid FROM unnest($1::text[], $2::text[]) AS n(schema, name)
	JOIN pg_catalog.pg_namespace s ON s.nspname = n.schema
	JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid AND c.relname = n.name
	     AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
), target AS (
	SELECT oid FROM named
	UNION SELECT conrelid FROM pg_catalog.pg_constraint
	WHERE contype = 'f' AND conparentid = 0 AND confrelid IN (SELECT oid FROM named)
)`

const tablesQuery = target + `
SELECT c.oid, s.nspname, c.relname,
       CASE WHEN c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhparent = c.oid) THEN 'i'
            ELSE c.relkind::text END,
       has_schema_privilege(s.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       has_schema_privilege(s.oid, 'USAGE') AND has_table_privilege(c.oid, 'UPDATE'),
       has_schema_privilege(s.oid, 'USAGE') AND has_table_privilege(c.oid, 'DELETE'),
       row_security_active(c.oid),
       ARRAY(SELECT tgname::text FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal
             AND tgenabled <> 'D' AND tgtype & 24 <> 0
             UNION ALL SELECT rulename::text FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid AND ev_type IN ('2', '4')
             ORDER BY 1),
       CASE WHEN c.relkind = 'p' THEN (SELECT coalesce(sum(greatest(l.reltuples, 0)), 0) FROM pg_partition_tree(c.oid) t
                                       JOIN pg_catalog.pg_class l ON l.oid = t.relid WHERE t.isleaf)
            ELSE greatest(c.reltuples, -1) END::bigint
FROM target JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
ORDER BY 2, 3`

const columnsQuery = target + `
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), b.name, NOT a.attnotnull,
       a.attgenerated <> '' OR a.attidentity = 'a',
       has_column_privilege(a.attrelid, a.attnum, 'UPDATE'), has_column_privilege(a.attrelid, a.attnum, 'SELECT')
FROM target JOIN pg_catalog.pg_attribute a ON a.attrelid = target.oid AND a.attnum > 0 AND NOT a.attisdropped` + baseType + `
ORDER BY a.attrelid, a.attnum`

// indexesQuery: of an index on expressions the leading columns before the first expression count.
const indexesQuery = target + `
SELECT i.indrelid, i.indisunique AND i.indexprs IS NULL,
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(num, pos)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
             WHERE k.pos <= i.indnkeyatts AND k.num <> 0 AND NOT EXISTS (
                   SELECT FROM unnest(i.indkey) WITH ORDINALITY AS e(num, pos) WHERE e.num = 0 AND e.pos < k.pos)
             ORDER BY k.pos)
FROM target JOIN pg_catalog.pg_index i ON i.indrelid = target.oid
WHERE i.indisvalid AND i.indpred IS NULL
ORDER BY i.indrelid, i.indisprimary DESC, i.indisunique DESC, i.indexrelid`

// elementsQuery: the array columns of indexes that find elements, which serve whatever their place in the index.
const elementsQuery = target + `
SELECT i.indrelid, a.attname::text
FROM target JOIN pg_catalog.pg_index i ON i.indrelid = target.oid
JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'gin'
CROSS JOIN LATERAL unnest(i.indkey, i.indclass) AS k(num, class) JOIN pg_catalog.pg_opclass o ON o.oid = k.class AND o.opcname = 'array_ops'
JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
WHERE i.indisvalid AND i.indpred IS NULL
ORDER BY i.indrelid, a.attnum`

// foldedQuery: the first expression of each index, with the columns before it.
const foldedQuery = target + `
SELECT i.indrelid, pg_get_indexdef(i.indexrelid, e.pos::int, true),
       ARRAY(SELECT a.attname::text FROM unnest(i.indkey) WITH ORDINALITY AS k(num, pos)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num
             WHERE k.pos < e.pos ORDER BY k.pos)
FROM target JOIN pg_catalog.pg_index i ON i.indrelid = target.oid
CROSS JOIN LATERAL (SELECT min(k.pos) AS pos FROM unnest(i.indkey) WITH ORDINALITY AS k(num, pos) WHERE k.num = 0) e
WHERE i.indisvalid AND i.indpred IS NULL AND e.pos <= i.indnkeyatts
ORDER BY i.indrelid, i.indexrelid`

const foreignKeysQuery = target + `
SELECT k.conrelid, k.conname, fs.nspname, f.relname, k.confdeltype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS x(num, pos)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.num ORDER BY x.pos),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS x(num, pos)
             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = x.num ORDER BY x.pos)
FROM target JOIN pg_catalog.pg_constraint k ON k.conrelid = target.oid AND k.contype = 'f' AND k.conparentid = 0
JOIN pg_catalog.pg_class f ON f.oid = k.confrelid JOIN pg_catalog.pg_namespace fs ON fs.oid = f.relnamespace
ORDER BY k.conrelid, k.conname`

// allQuery: partitions are part of their table.
const allQuery = `
SELECT s.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
WHERE s.nspname = ANY($1::text[]) AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
ORDER BY 1, 2`

// Inspect asks the catalogue in one round trip. A table of the default schema has an empty Schema in the answer, unless
// it was named with one.
func (b *Backend) Inspect(ctx context.Context, tables []backend.Table) (*backend.Schema, error) {
	_, schemas, names, err := b.split(tables)
	if err != nil {
		return nil, err
	}
	conn, _, err := b.pool.acquire(ctx)
	if err != nil {
		return nil, translate(err, "")
	}
	defer b.pool.release(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, 2*b.config.silence())
	defer cancel()
	asked := schemas
	if len(asked) == 0 {
		asked = []string{b.config.Schema}
	}
	i := inspection{name: b.naming(tables), byOID: map[uint32]*backend.TableInfo{}, schema: &backend.Schema{Fold: foldExpressions}}
	batch := &pgx.Batch{}
	batch.Queue(tablesQuery, schemas, names).Query(i.tables)
	batch.Queue(columnsQuery, schemas, names).Query(i.columns)
	batch.Queue(indexesQuery, schemas, names).Query(i.indexes)
	batch.Queue(foldedQuery, schemas, names).Query(i.folded)
	batch.Queue(elementsQuery, schemas, names).Query(i.elements)
	batch.Queue(foreignKeysQuery, schemas, names).Query(i.foreignKeys)
	batch.Queue(allQuery, asked).Query(i.all)
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return nil, translate(err, "")
	}
	b.forget() // what is known of the schema shall not be older than what its callers go by
	for _, oid := range i.order {
		i.schema.Tables = append(i.schema.Tables, *i.byOID[oid])
	}
	return i.schema, nil
}

// naming gives tables the names that the caller knows them by.
func (b *Backend) naming(tables []backend.Table) func(schema, name string) backend.Table {
	given := map[backend.Table]bool{}
	for _, t := range tables {
		given[t] = true
	}
	return func(schema, name string) backend.Table {
		full := backend.Table{Schema: schema, Name: name}
		if schema == b.config.Schema && !given[full] {
			return backend.Table{Name: name}
		}
		return full
	}
}

// inspection gathers the answers.
type inspection struct {
	name   func(schema, name string) backend.Table
	byOID  map[uint32]*backend.TableInfo
	order  []uint32
	schema *backend.Schema
}

var kinds = map[string]backend.TableKind{
	"r": backend.KindTable, "p": backend.KindPartitioned, "v": backend.KindView, "m": backend.KindView,
	"i": backend.KindInherited,
}

func (i *inspection) tables(rows pgx.Rows) error {
	var oid uint32
	var schema, name, kind string
	var p backend.Privileges
	var rowSecurity bool
	var triggers []string
	var estimate int64
	_, err := pgx.ForEachRow(rows,
		[]any{&oid, &schema, &name, &kind, &p.Select, &p.Update, &p.Delete, &rowSecurity, &triggers, &estimate},
		func() error {
			t := &backend.TableInfo{
				Table: i.name(schema, name), Kind: kinds[kind], Privileges: p, RowSecurity: rowSecurity, Triggers: triggers,
				Rows: estimate,
			}
			if t.Kind == "" {
				t.Kind = backend.KindOther
			}
			triggers = nil
			i.byOID[oid] = t
			i.order = append(i.order, oid)
			return nil
		})
	return err
}

func (i *inspection) columns(rows pgx.Rows) error {
	var oid uint32
	var c backend.ColumnInfo
	_, err := pgx.ForEachRow(rows,
		[]any{&oid, &c.Name, &c.Type, &c.Base, &c.Nullable, &c.Generated, &c.UpdatePrivilege, &c.SelectPrivilege},
		func() error {
			if t := i.byOID[oid]; t != nil {
				t.Columns = append(t.Columns, c)
			}
			return nil
		})
	return err
}

func (i *inspection) indexes(rows pgx.Rows) error {
	var oid uint32
	var unique bool
	var columns []string
	_, err := pgx.ForEachRow(rows, []any{&oid, &unique, &columns}, func() error {
		t, names := i.byOID[oid], columns
		columns = nil
		if t == nil || len(names) == 0 {
			return nil
		}
		t.Indexed = append(t.Indexed, names)
		if unique {
			t.Unique = append(t.Unique, names)
		}
		return nil
	})
	return err
}

func (i *inspection) elements(rows pgx.Rows) error {
	var oid uint32
	var column string
	_, err := pgx.ForEachRow(rows, []any{&oid, &column}, func() error {
		if t := i.byOID[oid]; t != nil {
			t.ElementIndexed = append(t.ElementIndexed, column)
		}
		return nil
	})
	return err
}

// white is what TrimLowerCase takes off.
const white = " \t\n\v\f\r"

// foldExpressions are what the dialect compares with; casts that the server adds do not matter.
var foldExpressions = map[backend.Normalization]string{
	backend.LowerCase:     "lower(%s)",
	backend.TrimLowerCase: `lower(btrim(%s, E' \t\n\x0B\f\r'))`,
}

// foldedExpression recognises those as the server prints them.
var foldedExpression = regexp.MustCompile(`^lower\((btrim\()?\(?("(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)\)?(?:::text)?(?:, '` + white + `'::text\))?\)$`)

func foldedColumn(expression string) (column string, n backend.Normalization, ok bool) {
	m := foldedExpression.FindStringSubmatch(expression)
	if m == nil || (m[1] != "") != strings.Contains(expression, "'"+white+"'") {
		return "", "", false
	}
	if column = m[2]; column[0] == '"' {
		column = strings.ReplaceAll(column[1:len(column)-1], `""`, `"`)
	}
	if m[1] != "" {
		return column, backend.TrimLowerCase, true
	}
	return column, backend.LowerCase, true
}

func (i *inspection) folded(rows pgx.Rows) error {
	var oid uint32
	var expression string
	var after []string
	_, err := pgx.ForEachRow(rows, []any{&oid, &expression, &after}, func() error {
		if column, n, ok := foldedColumn(expression); ok && i.byOID[oid] != nil {
			i.byOID[oid].Folded = append(i.byOID[oid].Folded, backend.FoldedIndex{Column: column, Normalize: n, After: after})
		}
		after = nil
		return nil
	})
	return err
}

var referentialActions = map[string]backend.ReferentialAction{
	"a": backend.NoAction, "r": backend.Restrict, "c": backend.Cascade, "n": backend.SetNull, "d": backend.SetDefault,
}

func (i *inspection) foreignKeys(rows pgx.Rows) error {
	var oid uint32
	var name, schema, table, action string
	var columns, refColumns []string
	_, err := pgx.ForEachRow(rows, []any{&oid, &name, &schema, &table, &action, &columns, &refColumns}, func() error {
		if t := i.byOID[oid]; t != nil {
			t.ForeignKeys = append(t.ForeignKeys, backend.ForeignKey{
				Name: name, Columns: columns, References: i.name(schema, table), RefColumns: refColumns,
				OnDelete: referentialActions[action],
			})
		}
		columns, refColumns = nil, nil
		return nil
	})
	return err
}

func (i *inspection) all(rows pgx.Rows) error {
	var schema, name string
	_, err := pgx.ForEachRow(rows, []any{&schema, &name}, func() error {
		i.schema.All = append(i.schema.All, i.name(schema, name))
		return nil
	})
	return err
}
