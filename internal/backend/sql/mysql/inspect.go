package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

const maxVersion = 128

// Describe also fails where the server only reads.
func (b *Backend) Describe(ctx context.Context) (backend.Description, error) {
	s, err := b.session(ctx)
	if err != nil {
		return backend.Description{}, translate(err, "")
	}
	defer func() { _ = s.Close() }()
	readOnly, err := query(ctx, s, "SELECT CAST(@@global.read_only AS CHAR) IN ('0', 'OFF')", func(scan func(...any) error) (writable bool, err error) {
		return writable, scan(&writable)
	})
	if err != nil {
		return backend.Description{}, translate(err, "")
	}
	if !readOnly[0] {
		return backend.Description{}, &backend.UnavailableError{Problem: "the server is read-only: nothing can be erased there"}
	}
	grants, err := s.grants(ctx)
	if err != nil {
		return backend.Description{}, translate(err, "")
	}
	if !grants.seesAll() {
		return backend.Description{}, keysHidden()
	}
	d := backend.Description{Version: s.name + " " + s.version, Excessive: grants.excessive()}
	if len(d.Version) > maxVersion {
		d.Version = d.Version[:maxVersion]
	}
	return d, nil
}

// grant is one line of SHOW GRANTS.
type grant struct {
	privileges []string
	global     bool
	object     string
	revoked    bool
	passOn     bool
}

type grants []grant

var grantLine = regexp.MustCompile("(?s)^(GRANT|REVOKE) (.+?) ON (?:(?:TABLE|FUNCTION|PROCEDURE|PACKAGE|PACKAGE BODY) )?(\\*\\.\\*|`(?:[^`]|``)*`\\.(?:\\*|`(?:[^`]|``)*`)|`(?:[^`]|``)*`@`(?:[^`]|``)*`) (?:TO|FROM) (.*)$")

var columnList = regexp.MustCompile(`\s*\([^)]*\)`)

// grants of the user and of its active roles.
func (s *session) grants(ctx context.Context) (grants, error) {
	read := func(scan func(...any) error) (line string, err error) { return line, scan(&line) }
	show := "SHOW GRANTS"
	if s.roles != "" {
		active, err := query(ctx, s, s.roles, read)
		if err != nil {
			return nil, err
		}
		if active[0] != "NONE" { // the server quotes the names
			show = "SHOW GRANTS FOR CURRENT_USER() USING " + active[0]
		}
	}
	lines, err := query(ctx, s, show, read)
	if err != nil {
		return nil, err
	}
	var all grants
	for _, line := range lines {
		m := grantLine.FindStringSubmatch(line)
		if m == nil { // a role's membership
			continue
		}
		g := grant{global: m[3] == "*.*", object: m[3], revoked: m[1] == "REVOKE", passOn: strings.Contains(m[4], "WITH GRANT OPTION")}
		for _, p := range strings.Split(columnList.ReplaceAllString(m[2], ""), ",") {
			g.privileges = append(g.privileges, strings.ToUpper(strings.TrimSpace(p)))
		}
		all = append(all, g)
	}
	return all, nil
}

// seesAll tells whether the catalogue shows all tables of the server.
func (g grants) seesAll() bool {
	sees := false
	for _, one := range g {
		if one.revoked {
			return false
		}
		sees = sees || one.global && slices.ContainsFunc(one.privileges, func(p string) bool {
			return slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "REFERENCES", "ALL", "ALL PRIVILEGES"}, p)
		})
	}
	return sees
}

// needed are privileges that Lethe has a use for, and those that do no harm.
var needed = []string{"USAGE", "SELECT", "UPDATE", "DELETE", "REFERENCES", "SHOW VIEW", "SHOW DATABASES", "TRIGGER", "LOCK TABLES", "EXECUTE"}

func (g grants) excessive() []string {
	var found []string
	add := func(p string) {
		if !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	for _, one := range g {
		for _, p := range one.privileges {
			switch {
			case one.revoked || p == "PROXY":
			case p == "ALL" || p == "ALL PRIVILEGES":
				add("ALL PRIVILEGES")
			case !slices.Contains(needed, p):
				add(p)
			case one.global && (p == "SELECT" || p == "UPDATE" || p == "DELETE"):
				add(p + " on all databases")
			}
		}
		if one.passOn && !one.revoked {
			add("GRANT OPTION")
		}
	}
	return found
}

const (
	tablesQuery = `SELECT %d, t.TABLE_SCHEMA, t.TABLE_NAME, t.TABLE_TYPE, COALESCE(t.ENGINE, ''), COALESCE(t.CREATE_OPTIONS, ''), COALESCE(t.TABLE_ROWS, -1)
FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?`
	columnsQuery = `SELECT %d, c.TABLE_SCHEMA, c.TABLE_NAME, c.ORDINAL_POSITION, c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.IS_NULLABLE = 'YES',
c.EXTRA, c.PRIVILEGES, COALESCE(c.COLLATION_NAME, '') FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ?`
	indexesQuery = `SELECT %%d, i.TABLE_SCHEMA, i.TABLE_NAME, i.INDEX_NAME, i.NON_UNIQUE = 0, i.SEQ_IN_INDEX, i.COLUMN_NAME, i.INDEX_TYPE, i.%s
FROM information_schema.STATISTICS i WHERE i.TABLE_SCHEMA = ? AND i.TABLE_NAME = ?`
	triggersQuery = `SELECT %d, g.EVENT_OBJECT_SCHEMA, g.EVENT_OBJECT_TABLE, g.TRIGGER_NAME FROM information_schema.TRIGGERS g
WHERE g.EVENT_OBJECT_SCHEMA = ? AND g.EVENT_OBJECT_TABLE = ? AND g.EVENT_MANIPULATION <> 'INSERT'`
	allQuery = `SELECT %d, t.TABLE_SCHEMA, t.TABLE_NAME FROM information_schema.TABLES t
WHERE t.TABLE_SCHEMA = ? AND ? = '' AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')`
)

// Inspect asks the catalogue. A table of the default schema has an empty Schema in the answer, unless it was named with
// one. Triggers are listed of tables on which the user has the TRIGGER privilege.
func (b *Backend) Inspect(ctx context.Context, tables []backend.Table) (*backend.Schema, error) {
	s, err := b.session(ctx)
	if err != nil {
		return nil, translate(err, "")
	}
	defer func() { _ = s.Close() }()
	i := inspection{session: s, name: b.naming(tables), schema: &backend.Schema{Fold: map[backend.Normalization]string{backend.LowerCase: "%s"}}}
	asked, err := b.resolveNames(s, tables)
	if err == nil {
		err = i.run(ctx, asked, b.config.Database)
	}
	if err != nil {
		return nil, translate(err, "")
	}
	b.forget() // what is known of the schema shall not be older than what its callers go by
	return i.schema, nil
}

// naming gives tables the names that the caller knows them by.
func (b *Backend) naming(tables []backend.Table) func(backend.Table) backend.Table {
	return func(full backend.Table) backend.Table {
		for _, t := range tables {
			if b.full(t) == full && t.Schema != "" {
				return full
			}
		}
		if full.Schema == b.config.Database {
			full.Schema = ""
		}
		return full
	}
}

// inspection gathers the answers.
type inspection struct {
	*session
	name   func(backend.Table) backend.Table
	schema *backend.Schema
	// targets are the tables described, full in the order of infos.
	targets []backend.Table
	infos   []backend.TableInfo
	// collated are the columns whose plain index finds text in any case.
	collated map[backend.Table][]string
}

func (i *inspection) run(ctx context.Context, asked []backend.Table, schema string) error {
	incoming, err := foreignKeys(ctx, i.session, incomingQuery, asked)
	if err != nil {
		return err
	}
	targets := slices.Clone(asked)
	for _, k := range incoming {
		targets = append(targets, k.table)
	}
	slices.SortFunc(targets, func(a, b backend.Table) int { return strings.Compare(a.Schema+"\x00"+a.Name, b.Schema+"\x00"+b.Name) })
	targets = slices.Compact(targets)
	for _, step := range []func(context.Context, []backend.Table) error{i.tables, i.columns, i.indexes, i.foreignKeys, i.triggers, i.deletable} {
		if len(targets) == 0 {
			break
		}
		if err := step(ctx, targets); err != nil {
			return err
		}
		targets = i.targets
	}
	i.schema.Tables = i.infos
	schemas := []backend.Table{{Schema: schema}}
	if len(asked) > 0 {
		schemas = nil
	}
	for _, t := range asked {
		if !slices.Contains(schemas, backend.Table{Schema: t.Schema}) {
			schemas = append(schemas, backend.Table{Schema: t.Schema})
		}
	}
	return i.all(ctx, schemas)
}

func (i *inspection) tables(ctx context.Context, asked []backend.Table) error {
	transactional, err := i.transactionalEngines(ctx)
	if err != nil {
		return err
	}
	type found struct {
		i                     int
		table                 backend.Table
		kind, engine, options string
		rows                  int64
	}
	all, err := query(ctx, i.session, each(tablesQuery, len(asked)), func(scan func(...any) error) (r found, err error) {
		return r, scan(&r.i, &r.table.Schema, &r.table.Name, &r.kind, &r.engine, &r.options, &r.rows)
	}, names(asked)...)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b found) int { return a.i - b.i })
	for _, r := range all {
		if !i.is(r.table.Schema, r.table.Name, asked[r.i]) {
			continue
		}
		info := backend.TableInfo{Table: i.name(r.table), Kind: kindOf(r.kind, r.options), Rows: r.rows}
		if r.engine != "" && !transactional[strings.ToLower(r.engine)] {
			info.NonTransactional = r.engine
		}
		i.targets, i.infos = append(i.targets, r.table), append(i.infos, info)
	}
	return nil
}

// kindOf a table. One with system versioning keeps what is deleted from it.
func kindOf(kind, options string) backend.TableKind {
	switch {
	case kind == "VIEW" || kind == "SYSTEM VIEW":
		return backend.KindView
	case kind != "BASE TABLE":
		return backend.KindOther
	case strings.Contains(strings.ToLower(options), "partitioned"):
		return backend.KindPartitioned
	}
	return backend.KindTable
}

func (i *inspection) columns(ctx context.Context, targets []backend.Table) error {
	type found struct {
		i, position                            int
		schema, table                          string
		dataType, extra, privileges, collation string
		column                                 backend.ColumnInfo
	}
	all, err := query(ctx, i.session, each(columnsQuery, len(targets)), func(scan func(...any) error) (r found, err error) {
		return r, scan(&r.i, &r.schema, &r.table, &r.position, &r.column.Name, &r.dataType, &r.column.Type, &r.column.Nullable, &r.extra,
			&r.privileges, &r.collation)
	}, names(targets)...)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b found) int { return a.position - b.position })
	i.collated = map[backend.Table][]string{}
	for _, r := range all {
		if !i.is(r.schema, r.table, targets[r.i]) {
			continue
		}
		c, info := r.column, &i.infos[r.i]
		c.Type = plainType(c.Type)
		c.Generated = strings.Contains(r.extra, "VIRTUAL GENERATED") || strings.Contains(r.extra, "STORED GENERATED") || strings.Contains(r.extra, "PERSISTENT")
		rights := strings.Split(strings.ToLower(r.privileges), ",")
		c.SelectPrivilege, c.UpdatePrivilege = slices.Contains(rights, "select"), slices.Contains(rights, "update")
		if len(info.Columns) == 0 {
			info.Privileges.Select, info.Privileges.Update = true, true
		}
		info.Privileges.Select = info.Privileges.Select && c.SelectPrivilege
		info.Privileges.Update = info.Privileges.Update && c.UpdatePrivilege
		info.Columns = append(info.Columns, c)
		if foldsItself(&core.Column{Category: category(r.dataType, c.Type), Collation: r.collation}) {
			i.collated[targets[r.i]] = append(i.collated[targets[r.i]], c.Name)
		}
	}
	return nil
}

// displayWidth of integers says nothing of them, but of TINYINT(1), which is a boolean by custom.
var displayWidth = regexp.MustCompile(`^((?:small|medium|big)?int|tinyint)\((\d+)\)`)

func plainType(t string) string {
	if strings.HasPrefix(t, "tinyint(1)") {
		return t
	}
	return displayWidth.ReplaceAllString(t, "$1")
}

func (i *inspection) indexes(ctx context.Context, targets []backend.Table) error {
	type part struct {
		i, position         int
		schema, table, name string
		kind                string
		unique, visible     bool
		column              sql.NullString
	}
	all, err := query(ctx, i.session, each(fmt.Sprintf(indexesQuery, i.visible), len(targets)), func(scan func(...any) error) (p part, err error) {
		return p, scan(&p.i, &p.schema, &p.table, &p.name, &p.unique, &p.position, &p.column, &p.kind, &p.visible)
	}, names(targets)...)
	if err != nil {
		return err
	}
	rank := func(p part) int {
		switch {
		case p.name == "PRIMARY":
			return 0
		case p.unique:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b part) int {
		return cmp.Or(a.i-b.i, rank(a)-rank(b), strings.Compare(a.name, b.name), a.position-b.position)
	})
	for n := 0; n < len(all); {
		first := all[n]
		var columns []string
		whole := true
		for ; n < len(all) && all[n].name == first.name && all[n].i == first.i; n++ {
			if whole = whole && all[n].column.Valid; whole { // up to the first expression
				columns = append(columns, all[n].column.String)
			}
		}
		if len(columns) > 0 && i.is(first.schema, first.table, targets[first.i]) {
			i.index(first.i, columns, first.unique && whole, first.visible && (first.kind == "BTREE" || first.kind == "HASH"))
		}
	}
	return nil
}

func (i *inspection) index(n int, columns []string, unique, serves bool) {
	info := &i.infos[n]
	if unique {
		info.Unique = append(info.Unique, columns)
	}
	if !serves {
		return
	}
	info.Indexed = append(info.Indexed, columns)
	for k, c := range columns {
		if slices.Contains(i.collated[i.targets[n]], c) {
			info.Folded = append(info.Folded, backend.FoldedIndex{Column: c, Normalize: backend.LowerCase, After: columns[:k:k]})
		}
	}
}

func (i *inspection) foreignKeys(ctx context.Context, targets []backend.Table) error {
	keys, err := foreignKeys(ctx, i.session, outgoingQuery, targets)
	if err != nil {
		return err
	}
	for _, k := range keys {
		for n, t := range targets {
			if i.is(k.table.Schema, k.table.Name, t) {
				i.infos[n].ForeignKeys = append(i.infos[n].ForeignKeys, backend.ForeignKey{
					Name: k.name, Columns: k.columns, References: i.name(k.to), RefColumns: k.refColumns, OnDelete: backend.ReferentialAction(k.onDelete),
				})
			}
		}
	}
	return nil
}

func (i *inspection) triggers(ctx context.Context, targets []backend.Table) error {
	type found struct {
		i                   int
		schema, table, name string
	}
	all, err := query(ctx, i.session, each(triggersQuery, len(targets)), func(scan func(...any) error) (r found, err error) {
		return r, scan(&r.i, &r.schema, &r.table, &r.name)
	}, names(targets)...)
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.name, b.name) })
	for _, r := range all {
		if i.is(r.schema, r.table, targets[r.i]) {
			i.infos[r.i].Triggers = append(i.infos[r.i].Triggers, r.name)
		}
	}
	return err
}

// deletable asks the server for the plan of a deletion, which needs the right to delete: it knows best which of the
// user's and its roles' grants hold for a table.
func (i *inspection) deletable(ctx context.Context, targets []backend.Table) error {
	for n, t := range targets {
		if i.infos[n].Kind == backend.KindView {
			continue
		}
		q := dialect{}.Quote
		_, err := i.ExecContext(ctx, "EXPLAIN DELETE FROM "+q(t.Schema)+"."+q(t.Name)+" WHERE 1 = 0")
		if err != nil && number(err) == 0 {
			return err
		}
		i.infos[n].Privileges.Delete = err == nil
	}
	return nil
}

func (i *inspection) all(ctx context.Context, schemas []backend.Table) error {
	all, err := query(ctx, i.session, each(allQuery, len(schemas)), func(scan func(...any) error) (t backend.Table, err error) {
		var n int
		return t, scan(&n, &t.Schema, &t.Name)
	}, names(schemas)...)
	slices.SortFunc(all, func(a, b backend.Table) int { return strings.Compare(a.Schema+"\x00"+a.Name, b.Schema+"\x00"+b.Name) })
	for _, t := range all {
		i.schema.All = append(i.schema.All, i.name(t))
	}
	return err
}
