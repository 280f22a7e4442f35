package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

const referencesQuery = `
SELECT l.name, f.id, f."table", f."from", f."to", f.on_delete = 'CASCADE'
FROM pragma_table_list AS l, pragma_foreign_key_list(l.name, 'main') AS f
WHERE l.schema = 'main' AND l.type = 'table' AND f.on_delete IN ('CASCADE', 'SET NULL', 'SET DEFAULT')
ORDER BY l.name, f.id, f.seq`

// foreignKey is one by which SQLite itself deletes or changes rows.
type foreignKey struct {
	id        int
	table, to string
	columns   []string
	parents   []string // empty for the primary key
	deletes   bool
}

// loadReferences reads the foreign keys to the tables by which SQLite itself deletes or changes rows.
func loadReferences(ctx context.Context, conn *sql.Conn, tables core.Tables) (core.References, error) {
	keys, err := foreignKeys(ctx, conn)
	if err != nil {
		return nil, err
	}
	references := core.References{}
	for _, k := range keys {
		for t := range tables {
			if !strings.EqualFold(t.Name, k.to) {
				continue
			}
			on, err := k.join(ctx, conn, t.Name)
			if err != nil {
				return nil, err
			}
			references[t] = append(references[t], core.Reference{
				Table: backend.Table{Schema: "main", Name: k.table}, Deletes: k.deletes, On: on,
				Name: fmt.Sprintf("its foreign key (%s)", strings.Join(k.columns, ", ")),
				From: dialect{}.Table("", dialect{}.Quote(k.table)),
			})
		}
	}
	return references, nil
}

func foreignKeys(ctx context.Context, conn *sql.Conn) ([]foreignKey, error) {
	type part struct {
		foreignKey
		column string
		parent sql.NullString
	}
	parts, err := list(ctx, conn, referencesQuery, func(scan func(...any) error) (p part, err error) {
		return p, scan(&p.table, &p.id, &p.to, &p.column, &p.parent, &p.deletes)
	})
	if err != nil {
		return nil, err
	}
	var keys []foreignKey
	for _, p := range parts {
		if n := len(keys); n == 0 || keys[n-1].table != p.table || keys[n-1].id != p.id {
			keys = append(keys, p.foreignKey)
		}
		k := &keys[len(keys)-1]
		k.columns = append(k.columns, p.column)
		if p.parent.Valid {
			k.parents = append(k.parents, p.parent.String)
		}
	}
	return keys, nil
}

// join compares as SQLite does for the key: with the collation and the affinity of the column that is referred to.
func (k *foreignKey) join(ctx context.Context, conn *sql.Conn, to string) (string, error) {
	from, err := readColumns(ctx, conn, k.table)
	if err != nil {
		return "", err
	}
	parents, err := readColumns(ctx, conn, to)
	if err != nil {
		return "", err
	}
	names := k.parents
	if len(names) == 0 {
		names = primaryKey(parents)
	}
	if len(names) != len(k.columns) {
		return "", &backend.RefusedError{Problem: fmt.Sprintf("a foreign key of table %q does not fit table %q", k.table, to),
			Remedy: "correct the schema"}
	}
	terms := make([]string, len(names))
	for i, name := range names {
		child := "r." + dialect{}.Quote(k.columns[i])
		if affinityOf(parents, name) == text && affinityOf(from, k.columns[i]) == none {
			child = "CAST(" + child + " AS TEXT)"
		}
		terms[i] = "t." + dialect{}.Quote(name) + " = " + child
	}
	return strings.Join(terms, " AND "), nil
}

// primaryKey names the columns in the key's order.
func primaryKey(columns []column) []string {
	names := make([]string, len(columns))
	count := 0
	for _, c := range columns {
		if c.primaryKey > 0 {
			names[c.primaryKey-1] = c.name
			count++
		}
	}
	return names[:count]
}

func affinityOf(columns []column, name string) string {
	for _, c := range columns {
		if strings.EqualFold(c.name, name) {
			return affinity(c.declared)
		}
	}
	return none
}
