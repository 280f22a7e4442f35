package sqlite

import (
	"context"
	"database/sql"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Describe reads the file's header too.
func (b *Backend) Describe(ctx context.Context) (backend.Description, error) {
	var version string
	var schema int64
	conn, err := b.connect(ctx)
	if err != nil {
		return backend.Description{}, translate(err, "")
	}
	defer func() { _ = conn.Close() }()
	if err := conn.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&version); err != nil {
		return backend.Description{}, translate(err, "")
	}
	if err := conn.QueryRowContext(ctx, "PRAGMA main.schema_version").Scan(&schema); err != nil {
		return backend.Description{}, translate(err, "")
	}
	return backend.Description{Version: "SQLite " + version}, nil
}

// columnsQuery: hidden is 2 or 3 for generated columns; a rowid is never NULL although it is not declared so.
const columnsQuery = `
SELECT x.name, x.type, x."notnull" OR (x.pk > 0 AND (l.wr OR l.strict)) OR (x.pk > 0 AND upper(x.type) = 'INTEGER' AND
       (SELECT count(*) FROM pragma_table_xinfo(l.name, 'main') WHERE pk > 0) = 1), x.hidden IN (2, 3), x.pk
FROM pragma_table_list AS l, pragma_table_xinfo(l.name, 'main') AS x
WHERE l.schema = 'main' AND l.name = ?1 AND x.hidden <> 1 ORDER BY x.cid`

type column struct {
	name, declared     string
	notNull, generated bool
	primaryKey         int
}

func readColumns(ctx context.Context, conn *sql.Conn, table string) ([]column, error) {
	return list(ctx, conn, columnsQuery, func(scan func(...any) error) (c column, err error) {
		return c, scan(&c.name, &c.declared, &c.notNull, &c.generated, &c.primaryKey)
	}, table)
}

// list reads all rows of a query about the schema.
func list[T any](
	ctx context.Context, conn *sql.Conn, query string, read func(scan func(...any) error) (T, error), args ...any,
) ([]T, error) {
	rows, err := conn.QueryContext(ctx, query, args...)
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

func inMain(t backend.Table) bool { return t.Schema == "" || t.Schema == "main" }

func loadFacts(ctx context.Context, conn *sql.Conn, tables []backend.Table) (core.Tables, error) {
	facts := core.Tables{}
	for _, t := range tables {
		if _, ok := facts[t]; ok || !inMain(t) {
			continue
		}
		if err := core.CheckNames(t.Name); err != nil {
			return nil, err
		}
		columns, err := readColumns(ctx, conn, t.Name)
		if err != nil {
			return nil, err
		}
		if len(columns) == 0 {
			continue
		}
		facts[t] = core.Facts{}
		for _, c := range columns {
			facts[t][c.name] = &core.Column{
				Name: c.name, Type: c.declared, Stored: c.declared, Category: affinity(c.declared), NotNull: c.notNull, Generated: c.generated,
			}
		}
	}
	return facts, nil
}

// Inspect describes tables of the schema main; its name is left empty in the answer, unless it was given.
func (b *Backend) Inspect(ctx context.Context, tables []backend.Table) (*backend.Schema, error) {
	conn, err := b.connect(ctx)
	if err != nil {
		return nil, translate(err, "")
	}
	defer func() { _ = conn.Close() }()
	i := inspection{conn: conn, writable: b.writable(), asked: tables}
	schema, err := i.run(ctx)
	if err != nil {
		return nil, translate(err, "")
	}
	return schema, nil
}

// writable: SQLite writes the file and makes a journal beside it.
func (b *Backend) writable() bool {
	return unix.Access(b.path, unix.W_OK) == nil && unix.Access(b.path[:strings.LastIndexByte(b.path, '/')+1], unix.W_OK) == nil
}

type inspection struct {
	conn     *sql.Conn
	writable bool
	asked    []backend.Table
	kinds    map[string]string // of all tables by name
}

func (i *inspection) run(ctx context.Context) (*backend.Schema, error) {
	type table struct{ name, kind string }
	all, err := list(ctx, i.conn, `SELECT name, type FROM pragma_table_list WHERE schema = 'main' ORDER BY name`,
		func(scan func(...any) error) (t table, err error) { return t, scan(&t.name, &t.kind) })
	if err != nil {
		return nil, err
	}
	schema := &backend.Schema{Fold: foldExpressions}
	i.kinds = map[string]string{}
	for _, t := range all {
		i.kinds[t.name] = t.kind
		if (t.kind == "table" || t.kind == "virtual") && !strings.HasPrefix(t.name, "sqlite_") {
			schema.All = append(schema.All, i.name(t.name))
		}
	}
	for _, t := range all {
		keys, err := i.foreignKeys(ctx, t.name)
		if err != nil {
			return nil, err
		}
		wanted := i.isAsked(t.name)
		for _, k := range keys {
			wanted = wanted || i.isAsked(k.References.Name)
		}
		if !wanted {
			continue
		}
		info, err := i.table(ctx, t.name)
		if err != nil {
			return nil, err
		}
		info.ForeignKeys = keys
		schema.Tables = append(schema.Tables, *info)
	}
	return schema, nil
}

func (i *inspection) isAsked(name string) bool {
	return slices.ContainsFunc(i.asked, func(t backend.Table) bool { return t.Name == name && inMain(t) })
}

// name is the table as the caller knows it.
func (i *inspection) name(table string) backend.Table {
	t := backend.Table{Schema: "main", Name: table}
	if slices.Contains(i.asked, t) {
		return t
	}
	return backend.Table{Name: table}
}

func (i *inspection) table(ctx context.Context, name string) (*backend.TableInfo, error) {
	info := &backend.TableInfo{
		Table: i.name(name), Kind: backend.KindOther,
		Privileges: backend.Privileges{Select: true, Update: i.writable, Delete: i.writable},
	}
	switch i.kinds[name] {
	case "table":
		info.Kind = backend.KindTable
	case "view":
		info.Kind = backend.KindView
	}
	columns, err := readColumns(ctx, i.conn, name)
	if err != nil {
		return nil, err
	}
	var rowid []string
	for _, c := range columns {
		info.Columns = append(info.Columns, backend.ColumnInfo{
			Name: c.name, Type: c.declared, Nullable: !c.notNull, Generated: c.generated, UpdatePrivilege: i.writable,
			SelectPrivilege: true,
		})
		if c.primaryKey > 0 {
			rowid = append(rowid, c.name)
		}
	}
	if err := i.indexes(ctx, info, rowid); err != nil {
		return nil, err
	}
	if info.Rows, err = i.rows(ctx, name); err != nil {
		return nil, err
	}
	info.Triggers, err = i.triggers(ctx, name)
	return info, err
}

func (i *inspection) indexes(ctx context.Context, info *backend.TableInfo, primaryKey []string) error {
	type index struct {
		name, origin string
		unique       bool
	}
	all, err := list(ctx, i.conn, `SELECT name, origin, "unique" FROM pragma_index_list(?1, 'main') WHERE NOT partial
		ORDER BY origin <> 'pk', "unique" DESC, seq`,
		func(scan func(...any) error) (x index, err error) { return x, scan(&x.name, &x.origin, &x.unique) }, info.Table.Name)
	if err != nil {
		return err
	}
	if len(primaryKey) > 0 && !slices.ContainsFunc(all, func(x index) bool { return x.origin == "pk" }) {
		info.Unique, info.Indexed = [][]string{primaryKey}, [][]string{primaryKey} // the rowid, which has no index
	}
	for _, x := range all {
		names, err := list(ctx, i.conn, `SELECT name FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno`,
			func(scan func(...any) error) (n sql.NullString, err error) { return n, scan(&n) }, x.name)
		if err != nil {
			return err
		}
		var columns []string
		for _, n := range names {
			if !n.Valid { // an expression
				break
			}
			columns = append(columns, n.String)
		}
		if len(columns) < len(names) {
			if err := i.folded(ctx, info, x.name, columns); err != nil {
				return err
			}
		}
		if len(columns) == 0 {
			continue
		}
		info.Indexed = append(info.Indexed, columns)
		if x.unique && len(columns) == len(names) {
			info.Unique = append(info.Unique, columns)
		}
	}
	return nil
}

func (i *inspection) foreignKeys(ctx context.Context, table string) ([]backend.ForeignKey, error) {
	type part struct {
		id               int
		table, from, del string
		to               sql.NullString
	}
	parts, err := list(ctx, i.conn,
		`SELECT id, "table", "from", "to", on_delete FROM pragma_foreign_key_list(?1, 'main') ORDER BY id, seq`,
		func(scan func(...any) error) (p part, err error) {
			return p, scan(&p.id, &p.table, &p.from, &p.to, &p.del)
		}, table)
	if err != nil {
		return nil, err
	}
	var keys []backend.ForeignKey
	last := -1
	for _, p := range parts {
		if p.id != last {
			last = p.id
			keys = append(keys, backend.ForeignKey{
				References: i.name(i.actual(p.table)), OnDelete: backend.ReferentialAction(p.del),
			})
		}
		k := &keys[len(keys)-1]
		k.Columns = append(k.Columns, p.from)
		if p.to.Valid {
			k.RefColumns = append(k.RefColumns, p.to.String)
		}
	}
	for n := range keys {
		if keys[n].RefColumns != nil {
			continue
		}
		keys[n].RefColumns, err = list(ctx, i.conn, `SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE pk > 0 ORDER BY pk`,
			func(scan func(...any) error) (s string, err error) { return s, scan(&s) }, keys[n].References.Name)
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// actual is a table's name as it was created; a foreign key may write it in other case.
func (i *inspection) actual(name string) string {
	for n := range i.kinds {
		if strings.EqualFold(n, name) {
			return n
		}
	}
	return name
}

// insertTrigger recognises triggers that only fire on INSERT; all others are listed.
var insertTrigger = regexp.MustCompile(`(?is)^\s*CREATE\s+(?:TEMP\w*\s+)?TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?` +
	"(?:\"[^\"]*\"|\\[[^\\]]*\\]|`[^`]*`|[^\\s\"\\[`]+)" + `\s+(?:BEFORE\s+|AFTER\s+|INSTEAD\s+OF\s+)?INSERT\s`)

func (i *inspection) triggers(ctx context.Context, table string) ([]string, error) {
	type trigger struct{ name, sql string }
	all, err := list(ctx, i.conn,
		`SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1 COLLATE NOCASE ORDER BY name`,
		func(scan func(...any) error) (t trigger, err error) { return t, scan(&t.name, &t.sql) }, table)
	var names []string
	for _, t := range all {
		if !insertTrigger.MatchString(t.sql) {
			names = append(names, t.name)
		}
	}
	return names, err
}

// foldExpressions are what the dialect compares with.
var foldExpressions = map[backend.Normalization]string{
	backend.LowerCase:     "lower(%s)",
	backend.TrimLowerCase: "lower(trim(%s, char(9, 10, 11, 12, 13, 32)))",
}

// foldedPart recognises those in the text of an index, which is as somebody wrote it.
var foldedPart = regexp.MustCompile("(?i)^lower\\s*\\(\\s*(trim\\s*\\(\\s*)?(\"[^\"]+\"|\\[[^\\]]+\\]|`[^`]+`|[a-z_][a-z0-9_$]*)\\s*" +
	`(,\s*char\s*\(\s*9,\s*10,\s*11,\s*12,\s*13,\s*32\s*\)\s*\))?\s*\)(?:\s+(?:ASC|DESC))?$`)

// folded notes an index whose first expression, after plain columns, is a normalised column.
func (i *inspection) folded(ctx context.Context, info *backend.TableInfo, index string, after []string) error {
	texts, err := list(ctx, i.conn, `SELECT sql FROM main.sqlite_schema WHERE type = 'index' AND name = ?1`,
		func(scan func(...any) error) (s sql.NullString, err error) { return s, scan(&s) }, index)
	if err != nil || len(texts) != 1 {
		return err
	}
	parts := indexParts(texts[0].String)
	if len(parts) <= len(after) {
		return nil
	}
	m := foldedPart.FindStringSubmatch(parts[len(after)])
	if m == nil || (m[1] == "") != (m[3] == "") {
		return nil
	}
	f := backend.FoldedIndex{Column: strings.Trim(m[2], "\"[]`"), Normalize: backend.LowerCase, After: after}
	if m[1] != "" {
		f.Normalize = backend.TrimLowerCase
	}
	for _, c := range info.Columns { // names of columns are the same in any case
		if strings.EqualFold(c.Name, f.Column) {
			f.Column = c.Name
			info.Folded = append(info.Folded, f)
		}
	}
	return nil
}

// indexParts splits what stands in the parentheses of CREATE INDEX at its own commas.
func indexParts(text string) []string {
	from := strings.IndexByte(text, '(')
	if from < 0 {
		return nil
	}
	var parts []string
	depth, begin := 0, from+1
	for at := from; at < len(text); at++ {
		switch text[at] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return append(parts, strings.TrimSpace(text[begin:at]))
			}
		case ',':
			if depth == 1 {
				parts = append(parts, strings.TrimSpace(text[begin:at]))
				begin = at + 1
			}
		}
	}
	return nil
}

// rows is what the last ANALYZE counted; -1 without one.
func (i *inspection) rows(ctx context.Context, table string) (int64, error) {
	known, err := list(ctx, i.conn, `SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_stat1'`,
		func(scan func(...any) error) (n int64, err error) { return n, scan(&n) })
	if err != nil || len(known) == 0 {
		return -1, err
	}
	// A partial index counts its own rows.
	counts, err := list(ctx, i.conn, `SELECT coalesce(max(CAST(stat AS INTEGER)), -1) FROM main.sqlite_stat1 WHERE tbl = ?1 COLLATE NOCASE`,
		func(scan func(...any) error) (n int64, err error) { return n, scan(&n) }, table)
	if err != nil || len(counts) == 0 {
		return -1, err
	}
	return counts[0], nil
}
