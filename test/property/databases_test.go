package property

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend/filesystem"
	"github.com/lethe-dev/lethe/internal/backend/sql/postgresql"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
)

// snapshot is everything in the stores: values by row number and column, the paths of files (folders end in a slash), and what
// there is of things.
type snapshot struct {
	rows   map[int]map[string]string
	files  map[string]bool
	things map[thing]string
}

// place is one copy of a world in real stores. It implements executor.Stores.
type place struct {
	open   map[string]*stores.Store
	dumps  []func(context.Context, snapshot) error
	undo   []func(context.Context) error
	folder string
	ring   *keyring
}

func (p *place) Get(_ context.Context, _, name string) (*stores.Store, error) {
	if s := p.open[name]; s != nil {
		return s, nil
	}
	return nil, errors.New("no such store")
}

// build makes the stores of a world, under a name of its own.
func (w *world) build(ctx context.Context, name string) (_ *place, err error) {
	p := &place{open: map[string]*stores.Store{}, ring: &keyring{held: map[keys.ID]bool{}}}
	if p.folder, err = os.MkdirTemp(shared.folder, "w"); err != nil {
		return nil, err
	}
	p.undo = append(p.undo, func(context.Context) error { return os.RemoveAll(p.folder) })
	for _, store := range slices.Sorted(maps.Keys(w.engines)) {
		s := &stores.Store{Name: store, Kind: planner.TableStore, Limits: v1alpha1.StoreLimits{BatchSize: int32(w.batch)}}
		make := w.sqlite
		switch w.engines[store] {
		case "postgresql":
			make, s.DefaultSchema = w.postgresql, name+"_"+store
		case "mariadb":
			make, s.DefaultSchema = w.mariadb, name+"_"+store
		}
		if err := make(ctx, p, s); err != nil {
			return p, fmt.Errorf("store %s: %w", store, err)
		}
		p.open[store] = s
	}
	for store, make := range map[string]func(context.Context, *place) error{objects: w.bucket, redisKeys: w.redis} {
		if w.beside[store] {
			if err := make(ctx, p); err != nil {
				return p, fmt.Errorf("store %s: %w", store, err)
			}
		}
	}
	root := filepath.Join(p.folder, "files")
	for f := range w.files {
		if err := placeFile(root, f); err != nil {
			return p, err
		}
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return p, err
	}
	b, err := filesystem.Open(filesystem.Config{Root: p.folder, Path: "files"})
	p.open["files"] = &stores.Store{Backend: b, Name: "files", Kind: planner.PathStore, Limits: v1alpha1.StoreLimits{BatchSize: int32(w.batch)}}
	p.dumps = append(p.dumps, func(_ context.Context, s snapshot) error { return listFiles(root, s) })
	return p, err
}

func (p *place) close(ctx context.Context) error {
	var errs []error
	for _, s := range p.open {
		errs = append(errs, s.Close())
	}
	for _, undo := range slices.Backward(p.undo) {
		errs = append(errs, undo(ctx))
	}
	return errors.Join(errs...)
}

func (p *place) snapshot(ctx context.Context) (snapshot, error) {
	s := snapshot{rows: map[int]map[string]string{}, files: map[string]bool{}, things: map[thing]string{}}
	for _, dump := range p.dumps {
		if err := dump(ctx, s); err != nil {
			return s, err
		}
	}
	return s, nil
}

func placeFile(root, name string) error {
	path := filepath.Join(root, filepath.FromSlash(name))
	if strings.HasSuffix(name, "/") {
		return os.MkdirAll(path, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, []byte("content"), 0o600)
}

func listFiles(root string, s snapshot) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if d.IsDir() {
			name += "/"
		}
		s.files[filepath.ToSlash(name)] = true
		return err
	})
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func quoteAll(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = quote(n)
	}
	return strings.Join(out, ", ")
}

func (w *world) of(store string) []*table {
	return slices.DeleteFunc(slices.Clone(w.tables), func(t *table) bool { return t.store != store })
}

// definition of a table without its foreign keys.
func (tb *table) definition(types map[string]string) []string {
	var parts []string
	for _, c := range tb.columns {
		part := quote(c.name) + " " + types[c.kind]
		if c.notNull {
			part += " NOT NULL"
		}
		parts = append(parts, part)
	}
	parts = append(parts, "PRIMARY KEY ("+quoteAll(tb.key)+")")
	uniques := [][]string{tb.unique, tb.fileUnique}
	for _, h := range tb.handles {
		uniques = append(uniques, []string{h.column})
	}
	for _, columns := range uniques {
		if columns != nil {
			parts = append(parts, "UNIQUE ("+quoteAll(columns)+")")
		}
	}
	return parts
}

func (w *world) foreignKeys(tb *table) []string {
	var list []string
	for _, f := range tb.refs {
		if f.fk {
			list = append(list, fmt.Sprintf("FOREIGN KEY (%s) REFERENCES %s (%s) ON DELETE %s", quoteAll(f.columns), quote(w.tables[f.to].name),
				quoteAll(f.parents), f.onDelete))
		}
	}
	return list
}

var sqliteTypes = map[string]string{"int": "INTEGER", "small": "SMALLINT", "text": "TEXT", "varchar": "VARCHAR(300)", "uuid": "TEXT", "date": "DATE",
	"stamp": "TEXT", "blob": "BLOB", "email": "TEXT", "list": "TEXT", "json": "TEXT", "jsontext": "TEXT"}

func (w *world) sqlite(ctx context.Context, p *place, s *stores.Store) error {
	file := s.Name + ".db"
	db, err := sql.Open("sqlite", "file:"+filepath.Join(p.folder, file)+"?_pragma=synchronous(off)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	p.undo = append(p.undo, func(context.Context) error { return db.Close() })
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	for _, tb := range w.of(s.Name) {
		parts := append(tb.definition(sqliteTypes), w.foreignKeys(tb)...)
		if _, err := tx.ExecContext(ctx, "CREATE TABLE "+quote(tb.name)+" ("+strings.Join(parts, ", ")+")"); err != nil {
			return err
		}
		for _, r := range tb.rows {
			args := make([]any, len(tb.columns))
			for i, c := range tb.columns {
				if args[i], err = sqliteValue(c, r.v[c.name]); err != nil {
					return err
				}
			}
			insert := "INSERT INTO " + quote(tb.name) + " VALUES (?" + strings.Repeat(", ?", len(args)-1) + ")"
			if _, err := tx.ExecContext(ctx, insert, args...); err != nil {
				return err
			}
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	p.dumps = append(p.dumps, func(ctx context.Context, out snapshot) error { return w.dumpSQLite(ctx, db, s.Name, out) })
	s.Backend, err = sqlite.Open(ctx, sqlite.Config{Root: p.folder, Path: file, BatchSize: w.batch})
	return err
}

func sqliteValue(c column, v *string) (any, error) {
	switch {
	case v == nil:
		return nil, nil
	case c.kind == "int" || c.kind == "small":
		return strconv.ParseInt(*v, 10, 64)
	case c.kind == "blob":
		return hex.DecodeString(*v)
	}
	return *v, nil
}

func (w *world) dumpSQLite(ctx context.Context, db *sql.DB, store string, out snapshot) error {
	for _, tb := range w.of(store) {
		if err := tb.dumpSQLite(ctx, db, out); err != nil {
			return err
		}
	}
	return nil
}

func (tb *table) dumpSQLite(ctx context.Context, db *sql.DB, out snapshot) error {
	cols := make([]string, len(tb.columns))
	for i, c := range tb.columns { // an expression, which the driver does not interpret by its declared type
		cols[i] = "+" + quote(c.name)
	}
	rows, err := db.QueryContext(ctx, "SELECT "+strings.Join(cols, ", ")+" FROM "+quote(tb.name))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	raw, into := make([]any, len(cols)), make([]any, len(cols))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		values := map[string]string{}
		for i, c := range tb.columns {
			switch v := raw[i].(type) {
			case nil:
				values[c.name] = null
			case string:
				values[c.name] = "s:" + v
			case []byte:
				values[c.name] = "b:" + hex.EncodeToString(v)
			default:
				values[c.name] = fmt.Sprintf("n:%v", v)
			}
		}
		out.rows[int(raw[0].(int64))] = values
	}
	return rows.Err()
}

var postgresqlTypes = map[string]string{"int": "bigint", "small": "smallint", "text": "text", "varchar": "varchar(300)", "uuid": "uuid", "date": "date",
	"stamp": "timestamptz", "blob": "bytea", "email": "text", "list": "text", "json": "jsonb", "jsontext": "json"}

func (w *world) postgresql(ctx context.Context, p *place, s *stores.Store) error {
	schema := quote(s.DefaultSchema)
	batch := &pgx.Batch{}
	batch.Queue("CREATE SCHEMA " + schema)
	batch.Queue("SET search_path = " + schema)
	tables := w.of(s.Name)
	for _, tb := range tables {
		batch.Queue("CREATE TABLE " + quote(tb.name) + " (" + strings.Join(tb.definition(postgresqlTypes), ", ") + ")")
	}
	if err := shared.conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	p.undo = append(p.undo, func(ctx context.Context) error {
		_, err := shared.conn.Exec(ctx, "DROP SCHEMA "+schema+" CASCADE")
		return err
	})
	batch = &pgx.Batch{}
	for _, tb := range tables {
		for _, r := range tb.rows {
			values, args := make([]string, len(tb.columns)), make([]any, len(tb.columns))
			for i, c := range tb.columns {
				values[i] = fmt.Sprintf("$%d::text::%s", i+1, postgresqlTypes[c.kind])
				if v := r.v[c.name]; v != nil && c.kind == "blob" {
					args[i] = `\x` + *v
				} else if v != nil {
					args[i] = *v
				}
			}
			batch.Queue("INSERT INTO "+quote(tb.name)+" VALUES ("+strings.Join(values, ", ")+")", args...)
		}
	}
	for _, tb := range tables {
		for _, fk := range w.foreignKeys(tb) {
			batch.Queue("ALTER TABLE " + quote(tb.name) + " ADD " + fk)
		}
	}
	if err := shared.conn.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	p.dumps = append(p.dumps, func(ctx context.Context, out snapshot) error { return w.dumpPostgreSQL(ctx, schema, tables, out) })
	var err error
	s.Backend, err = postgresql.Open(ctx, postgresql.Config{Host: shared.server.Host, Port: shared.server.Port, Database: shared.database,
		Schema: s.DefaultSchema, User: shared.server.User, BatchSize: w.batch})
	return err
}

func (w *world) dumpPostgreSQL(ctx context.Context, schema string, tables []*table, out snapshot) error {
	for _, tb := range tables {
		cols := make([]string, len(tb.columns))
		for i, c := range tb.columns {
			cols[i] = quote(c.name) + "::text"
		}
		rows, err := shared.conn.Query(ctx, "SELECT "+strings.Join(cols, ", ")+" FROM "+schema+"."+quote(tb.name))
		if err != nil {
			return err
		}
		for rows.Next() {
			values := map[string]string{}
			for i, raw := range rows.RawValues() {
				values[tb.columns[i].name] = null
				if raw != nil {
					values[tb.columns[i].name] = "s:" + string(raw)
				}
			}
			rid, err := strconv.Atoi(strings.TrimPrefix(values["rid"], "s:"))
			if err != nil {
				return err
			}
			out.rows[rid] = values
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	return nil
}
