package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// facts are what the catalogue says of tables.
type facts struct {
	tables core.Tables
	// engines names the engines that cannot roll back, by table.
	engines map[backend.Table]string
	// deletions are what must be known to delete; loaded for the tables that have an entry.
	deletions map[backend.Table]deletion
}

// deletion is what happens when rows of a table go.
type deletion struct {
	references []core.Reference
	// itself are the keys by which the table refers to itself and that keep rows from being deleted.
	itself []foreignKey
}

func (f facts) references() core.References {
	references := core.References{}
	for t, d := range f.deletions {
		references[t] = d.references
	}
	return references
}

// tableFacts returns the facts of the tables and whether some of them come from the cache. deleting are those to delete
// from.
func (b *Backend) tableFacts(ctx context.Context, s *session, tables, deleting []backend.Table) (facts, bool, error) {
	b.mu.Lock()
	f := b.facts
	b.mu.Unlock()
	unknown := slices.DeleteFunc(slices.Clone(tables), func(t backend.Table) bool { _, ok := f.tables[t]; return ok })
	undeleted := slices.DeleteFunc(slices.Clone(deleting), func(t backend.Table) bool { _, ok := f.deletions[t]; return ok })
	if len(unknown) == 0 && len(undeleted) == 0 {
		return f, true, nil
	}
	f = facts{cloned(f.tables), cloned(f.engines), cloned(f.deletions)}
	if err := b.loadFacts(ctx, s, f, unknown); err != nil {
		return facts{}, false, err
	}
	if err := b.loadDeletions(ctx, s, f, undeleted); err != nil {
		return facts{}, false, err
	}
	b.mu.Lock()
	b.facts = f
	b.mu.Unlock()
	return f, len(unknown) < len(tables) || len(undeleted) < len(deleting), nil
}

func cloned[M ~map[K]V, K comparable, V any](m M) M {
	c := M{}
	maps.Copy(c, m)
	return c
}

func (b *Backend) forget() {
	b.mu.Lock()
	b.facts = facts{}
	b.mu.Unlock()
}

// full is a table with its schema.
func (b *Backend) full(t backend.Table) backend.Table {
	if t.Schema == "" {
		t.Schema = b.config.Database
	}
	return t
}

// each makes one query of the same query for each of several tables: only with constants the catalogue finds a table
// without a look at all. The query's first column is the table's index.
func each(query string, n int) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fmt.Sprintf(query, i)
	}
	return strings.Join(parts, " UNION ALL ")
}

// names are the arguments of each: schema and name of every table.
func names(tables []backend.Table) []any {
	var args []any
	for _, t := range tables {
		args = append(args, t.Schema, t.Name)
	}
	return args
}

// resolveNames gives the tables their schemas, and the case that the server keeps them in.
func (b *Backend) resolveNames(s *session, tables []backend.Table) ([]backend.Table, error) {
	actual := make([]backend.Table, len(tables))
	for i, t := range tables {
		t = b.full(t)
		if err := core.CheckNames(t.Schema, t.Name); err != nil {
			return nil, err
		}
		if s.anyCase {
			t = backend.Table{Schema: strings.ToLower(t.Schema), Name: strings.ToLower(t.Name)}
		}
		actual[i] = t
	}
	return actual, nil
}

// is tells whether the catalogue's name is that of the table: it compares names in any case.
func (s *session) is(schema, name string, t backend.Table) bool {
	if s.anyCase {
		return strings.EqualFold(schema, t.Schema) && strings.EqualFold(name, t.Name)
	}
	return schema == t.Schema && name == t.Name
}

const factsQuery = `SELECT %d, c.TABLE_SCHEMA, c.TABLE_NAME, c.COLUMN_NAME, c.DATA_TYPE, c.COLUMN_TYPE, c.IS_NULLABLE = 'NO', COALESCE(c.GENERATION_EXPRESSION, '') <> '', c.COLUMN_KEY = 'PRI', COALESCE(c.COLLATION_NAME, '')
FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = ? AND c.TABLE_NAME = ?`

// enginesQuery: of a view nobody knows whether what it shows can be rolled back.
const enginesQuery = `SELECT %d, t.TABLE_SCHEMA, t.TABLE_NAME, COALESCE(t.ENGINE, t.TABLE_TYPE)
FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?`

const transactionalQuery = `SELECT ENGINE FROM information_schema.ENGINES WHERE TRANSACTIONS = 'YES'`

func (b *Backend) loadFacts(ctx context.Context, s *session, f facts, tables []backend.Table) error {
	if len(tables) == 0 {
		return nil
	}
	actual, err := b.resolveNames(s, tables)
	if err != nil {
		return err
	}
	type found struct {
		i            int
		schema, name string
		column       core.Column
		dataType     string
	}
	columns, err := query(ctx, s, each(factsQuery, len(tables)), func(scan func(...any) error) (r found, err error) {
		err = scan(&r.i, &r.schema, &r.name, &r.column.Name, &r.dataType, &r.column.Stored, &r.column.NotNull, &r.column.Generated, &r.column.Primary, &r.column.Collation)
		return r, err
	}, names(actual)...)
	if err != nil {
		return err
	}
	for _, r := range columns {
		if !s.is(r.schema, r.name, actual[r.i]) {
			continue
		}
		c := r.column
		c.Type, c.Category = r.dataType, category(r.dataType, c.Stored)
		if f.tables[tables[r.i]] == nil {
			f.tables[tables[r.i]] = core.Facts{}
		}
		f.tables[tables[r.i]][c.Name] = &c
	}
	return b.loadEngines(ctx, s, f, tables, actual)
}

func (b *Backend) loadEngines(ctx context.Context, s *session, f facts, tables, actual []backend.Table) error {
	transactional, err := s.transactionalEngines(ctx)
	if err != nil {
		return err
	}
	type found struct {
		i                    int
		schema, name, engine string
	}
	engines, err := query(ctx, s, each(enginesQuery, len(tables)), func(scan func(...any) error) (r found, err error) {
		return r, scan(&r.i, &r.schema, &r.name, &r.engine)
	}, names(actual)...)
	if err != nil {
		return err
	}
	for _, t := range tables {
		delete(f.engines, t)
	}
	for _, r := range engines {
		if s.is(r.schema, r.name, actual[r.i]) && !transactional[strings.ToLower(r.engine)] {
			f.engines[tables[r.i]] = r.engine
		}
	}
	return nil
}

func (s *session) transactionalEngines(ctx context.Context) (map[string]bool, error) {
	engines, err := query(ctx, s, transactionalQuery, func(scan func(...any) error) (e string, err error) { return e, scan(&e) })
	all := map[string]bool{}
	for _, e := range engines {
		all[strings.ToLower(e)] = true
	}
	return all, err
}

// foreignKey is one of the catalogue.
type foreignKey struct {
	table, to           backend.Table
	name, onDelete      string
	columns, refColumns []string
}

const (
	incomingQuery = `SELECT %d, r.CONSTRAINT_SCHEMA, r.TABLE_NAME, r.CONSTRAINT_NAME, r.DELETE_RULE, r.UNIQUE_CONSTRAINT_SCHEMA, r.REFERENCED_TABLE_NAME
FROM information_schema.REFERENTIAL_CONSTRAINTS r WHERE r.UNIQUE_CONSTRAINT_SCHEMA = ? AND r.REFERENCED_TABLE_NAME = ?`
	outgoingQuery = `SELECT %d, r.CONSTRAINT_SCHEMA, r.TABLE_NAME, r.CONSTRAINT_NAME, r.DELETE_RULE, r.UNIQUE_CONSTRAINT_SCHEMA, r.REFERENCED_TABLE_NAME
FROM information_schema.REFERENTIAL_CONSTRAINTS r WHERE r.CONSTRAINT_SCHEMA = ? AND r.TABLE_NAME = ?`
	keyColumnsQuery = `SELECT %d, k.TABLE_SCHEMA, k.TABLE_NAME, k.CONSTRAINT_NAME, k.ORDINAL_POSITION, k.COLUMN_NAME, k.REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE k WHERE k.TABLE_SCHEMA = ? AND k.TABLE_NAME = ? AND k.REFERENCED_TABLE_NAME IS NOT NULL`
)

// foreignKeys of the tables to others (outgoing) or of others to the tables (incoming), by the table's index and name.
func foreignKeys(ctx context.Context, s *session, catalogue string, tables []backend.Table) ([]foreignKey, error) {
	if len(tables) == 0 {
		return nil, nil
	}
	type found struct {
		i int
		foreignKey
	}
	all, err := query(ctx, s, each(catalogue, len(tables)), func(scan func(...any) error) (r found, err error) {
		return r, scan(&r.i, &r.table.Schema, &r.table.Name, &r.name, &r.onDelete, &r.to.Schema, &r.to.Name)
	}, names(tables)...)
	if err != nil {
		return nil, err
	}
	var keys []foreignKey
	var owners []backend.Table
	for _, r := range all {
		subject := r.table
		if catalogue == incomingQuery {
			subject = r.to
		}
		if s.is(subject.Schema, subject.Name, tables[r.i]) {
			keys = append(keys, r.foreignKey)
			if !slices.Contains(owners, r.table) {
				owners = append(owners, r.table)
			}
		}
	}
	slices.SortFunc(keys, func(a, b foreignKey) int {
		return cmp.Or(cmp.Compare(a.table.Schema, b.table.Schema), cmp.Compare(a.table.Name, b.table.Name), cmp.Compare(a.name, b.name))
	})
	return keys, keyColumns(ctx, s, keys, owners)
}

// keyColumns fills in the columns of foreign keys.
func keyColumns(ctx context.Context, s *session, keys []foreignKey, owners []backend.Table) error {
	if len(owners) == 0 {
		return nil
	}
	type part struct {
		i, position     int
		table           backend.Table
		name, column    string
		referenceColumn sql.NullString
	}
	parts, err := query(ctx, s, each(keyColumnsQuery, len(owners)), func(scan func(...any) error) (p part, err error) {
		return p, scan(&p.i, &p.table.Schema, &p.table.Name, &p.name, &p.position, &p.column, &p.referenceColumn)
	}, names(owners)...)
	if err != nil {
		return err
	}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(a.position, b.position) })
	for i := range keys {
		k := &keys[i]
		for _, p := range parts {
			if p.table == k.table && p.name == k.name {
				k.columns, k.refColumns = append(k.columns, p.column), append(k.refColumns, p.referenceColumn.String)
			}
		}
		if len(k.columns) == 0 {
			return &backend.RefusedError{
				Problem: fmt.Sprintf("the columns of foreign key %q of table %s are not visible", k.name, core.TableName(k.table)),
				Remedy:  "GRANT REFERENCES ON *.* to the user, which shows definitions and no data",
			}
		}
	}
	return nil
}

func keysHidden() error {
	return &backend.RefusedError{
		Problem: "the user does not see the foreign keys of all tables, by which the server itself deletes or changes rows",
		Remedy:  "GRANT REFERENCES ON *.* to the user, which shows definitions and no data",
	}
}

func (b *Backend) loadDeletions(ctx context.Context, s *session, f facts, tables []backend.Table) error {
	if len(tables) == 0 {
		return nil
	}
	grants, err := s.grants(ctx)
	if err != nil {
		return err
	}
	if !grants.seesAll() {
		return keysHidden()
	}
	actual, err := b.resolveNames(s, tables)
	if err != nil {
		return err
	}
	keys, err := foreignKeys(ctx, s, incomingQuery, actual)
	if err != nil {
		return err
	}
	for i, t := range tables {
		var d deletion
		for _, k := range keys {
			if !s.is(k.to.Schema, k.to.Name, actual[i]) {
				continue
			}
			switch k.onDelete {
			case "CASCADE", "SET NULL", "SET DEFAULT":
				d.references = append(d.references, k.reference())
			default:
				if k.table == k.to {
					d.itself = append(d.itself, k)
				}
			}
		}
		f.deletions[t] = d
	}
	return nil
}

// reference compares as the server does for the key: columns of a key have the same type and collation.
func (k *foreignKey) reference() core.Reference {
	on := make([]string, len(k.columns))
	for i := range on {
		on[i] = "t." + dialect{}.Quote(k.refColumns[i]) + " = r." + dialect{}.Quote(k.columns[i])
	}
	return core.Reference{
		Table: k.table, Deletes: k.onDelete == "CASCADE", Name: fmt.Sprintf("constraint %q (%s)", k.name, strings.Join(k.columns, ", ")),
		From: dialect{}.Table(dialect{}.Quote(k.table.Schema), dialect{}.Quote(k.table.Name)), On: strings.Join(on, " AND "),
	}
}
