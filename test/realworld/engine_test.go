package realworld

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/mariadbtest"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// engine is a database server with all in which it differs from the others.
type engine struct {
	name string
	// words of schema.sql in braces.
	words []string
	// start a server with an empty database and the role lethe, which may read, change and delete rows and nothing else.
	start func(t *testing.T) *database
	// columns of the tables of the schema, in their order, with 1 where it is part of the primary key, else 0.
	columns string
	// text of a column, byte by byte.
	text string
	// placeholder of the n-th argument, from 1.
	placeholder func(n int) string
}

// database is an empty database with its DataStore.
type database struct {
	store v1alpha1.DataStoreSpec
	// run a statement for its effect, read one for its rows as text; nil is NULL.
	run  func(query string, args ...any) error
	read func(query string) ([][]*string, error)
}

// password of the role lethe.
const password = "role-password"

var engines = []engine{
	{
		name:  "postgresql",
		words: []string{"{json}", "jsonb", "{time}", "timestamp", "{bytes}", "bytea", "{uuid}", "uuid", "{token}", "VARCHAR(64)"},
		start: startPostgreSQL,
		columns: `SELECT c.table_name, c.column_name, (CASE WHEN k.column_name IS NULL THEN '0' ELSE '1' END) FROM information_schema.columns c
			LEFT JOIN information_schema.table_constraints p ON p.table_schema = c.table_schema AND p.table_name = c.table_name AND p.constraint_type = 'PRIMARY KEY'
			LEFT JOIN information_schema.key_column_usage k ON k.table_schema = p.table_schema AND k.constraint_name = p.constraint_name AND k.column_name = c.column_name
			WHERE c.table_schema = 'public' ORDER BY c.table_name, c.ordinal_position`,
		text:        `"%s"::text`,
		placeholder: func(n int) string { return fmt.Sprintf("$%d", n) },
	},
	{
		name:  "mariadb",
		words: []string{"{json}", "JSON", "{time}", "DATETIME", "{bytes}", "BLOB", "{uuid}", "UUID", "{token}", "VARCHAR(64) COLLATE utf8mb4_bin"},
		start: startMariaDB,
		columns: `SELECT c.table_name, c.column_name, (CASE WHEN k.column_name IS NULL THEN '0' ELSE '1' END) FROM information_schema.columns c
			LEFT JOIN information_schema.key_column_usage k ON k.table_schema = c.table_schema AND k.table_name = c.table_name
				AND k.constraint_name = 'PRIMARY' AND k.column_name = c.column_name
			WHERE c.table_schema = database() ORDER BY c.table_name, c.ordinal_position`,
		text:        `"%s"`, // without arguments the server answers in text
		placeholder: func(int) string { return "?" },
	},
}

func startPostgreSQL(t *testing.T) *database {
	ctx := context.Background()
	server, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	name, err := server.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Connect(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(ctx) })
	run := func(query string, args ...any) error {
		_, err := conn.Exec(ctx, query, args...)
		return err
	}
	read := func(query string) ([][]*string, error) {
		rows, err := conn.Query(ctx, query, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, func(r pgx.CollectableRow) ([]*string, error) { return texts(len(r.FieldDescriptions()), r.Scan) })
	}
	d := &database{run: run, read: read, store: v1alpha1.DataStoreSpec{PostgreSQL: &v1alpha1.PostgreSQLStore{Host: "127.0.0.1", Port: int32(server.Port), Database: name,
		SSLMode: "disable", CredentialsSecretRef: v1alpha1.LocalReference{Name: "ats-credentials"}}}}
	d.exec(t, "CREATE ROLE lethe LOGIN PASSWORD '"+password+"'")
	d.exec(t, "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, UPDATE, DELETE ON TABLES TO lethe")
	return d
}

func startMariaDB(t *testing.T) *database {
	ctx := context.Background()
	server, err := mariadbtest.Start(ctx, mariadbtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	name, err := server.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	db, err := server.Connect(name, map[string]string{"sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1) // all in one session
	run := func(query string, args ...any) error {
		_, err := db.ExecContext(ctx, query, args...)
		return err
	}
	read := func(query string) (all [][]*string, err error) {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, rows.Close(), rows.Err()) }()
		columns, err := rows.Columns()
		for err == nil && rows.Next() {
			var r []*string
			r, err = texts(len(columns), rows.Scan)
			all = append(all, r)
		}
		return all, err
	}
	d := &database{run: run, read: read, store: v1alpha1.DataStoreSpec{MySQL: &v1alpha1.MySQLStore{Host: server.Host, Port: int32(server.Port), Database: name,
		SSLMode: "disable", CredentialsSecretRef: v1alpha1.LocalReference{Name: "ats-credentials"}}}}
	d.exec(t, "ALTER DATABASE "+name+" CHARACTER SET utf8mb4")
	d.exec(t, "CREATE USER lethe@'%' IDENTIFIED BY '"+password+"'")
	d.exec(t, "GRANT SELECT, UPDATE, DELETE ON "+name+".* TO lethe@'%'")
	d.exec(t, "GRANT REFERENCES ON *.* TO lethe@'%'") // shows the definitions of foreign keys
	return d
}

// texts scans the columns of a row.
func texts(n int, scan func(...any) error) ([]*string, error) {
	row, into := make([]*string, n), make([]any, n)
	for i := range row {
		into[i] = &row[i]
	}
	return row, scan(into...)
}

func (d *database) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	if err := d.run(query, args...); err != nil {
		t.Fatalf("%.200s: %v", query, err)
	}
}

// createTables of schema.sql.
func (e *engine) createTables(t *testing.T, d *database) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "schema.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for statement := range strings.SplitSeq(strings.NewReplacer(e.words...).Replace(string(text)), ";\n") {
		if strings.TrimSpace(statement) != "" {
			d.exec(t, statement)
		}
	}
}

// insert all rows in one transaction, many with each statement.
func (e *engine) insert(t *testing.T, d *database, w *world) {
	t.Helper()
	d.exec(t, "BEGIN")
	for _, table := range w.order {
		rows := w.rows[table]
		for from := 0; from < len(rows); from += 200 {
			part := rows[from:min(from+200, len(rows))]
			var tuples []string
			var args []any
			for _, row := range part {
				marks := make([]string, len(row))
				for i, v := range row {
					args = append(args, v)
					marks[i] = e.placeholder(len(args))
				}
				tuples = append(tuples, "("+strings.Join(marks, ", ")+")")
			}
			d.exec(t, "INSERT INTO "+table+" VALUES "+strings.Join(tuples, ", "), args...)
		}
	}
	for _, late := range w.late {
		d.exec(t, late)
	}
	d.exec(t, "COMMIT")
}
