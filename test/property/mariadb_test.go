package property

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend/sql/mysql"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/test/mariadbtest"
)

func startMariaDB(ctx context.Context, undo *[]func() error) (err error) {
	if shared.mariadb, err = mariadbtest.Start(ctx, mariadbtest.Options{}); err != nil {
		return err
	}
	*undo = append(*undo, shared.mariadb.Stop)
	db, err := shared.mariadb.Connect("", map[string]string{"sql_mode": "'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'",
		"foreign_key_checks": "0"}) // what refers may come before that to which it refers
	if err != nil {
		return err
	}
	*undo = append(*undo, db.Close)
	shared.session, err = db.Conn(ctx)
	return err
}

// Keys tell apart what the server's own collations take for the same; what people write is compared by one of those. Blanks at
// the end of a key are left out: of two keys that differ in them the server finds one by (id = a AND x = b OR id = c AND x = d).
const exactText = "VARCHAR(300) COLLATE utf8mb4_nopad_bin"

var mariadbTypes = map[string]string{"int": "BIGINT", "small": "SMALLINT", "text": exactText, "varchar": exactText, "uuid": "UUID", "date": "DATE",
	"stamp": "DATETIME", "blob": "BLOB", "email": "VARCHAR(200)", "list": "TEXT", "json": "JSON", "jsontext": "LONGTEXT"}

func (w *world) mariadb(ctx context.Context, p *place, s *stores.Store) error {
	schema, tables := quote(s.DefaultSchema), w.of(s.Name)
	run := func(statement string, args ...any) error {
		if _, err := shared.session.ExecContext(ctx, statement, args...); err != nil {
			return fmt.Errorf("%.100s: %w", statement, err)
		}
		return nil
	}
	if err := errors.Join(run("CREATE DATABASE "+schema+" CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"), run("USE "+schema)); err != nil {
		return err
	}
	p.undo = append(p.undo, func(context.Context) error { return run("DROP DATABASE " + schema) })
	for _, tb := range tables {
		parts := append(tb.definition(mariadbTypes), w.foreignKeys(tb)...)
		if err := run("CREATE TABLE " + quote(tb.name) + " (" + strings.Join(parts, ", ") + ")"); err != nil {
			return err
		}
	}
	if err := run("BEGIN"); err != nil {
		return err
	}
	for _, tb := range tables {
		for _, r := range tb.rows {
			args, err := mariadbRow(tb, r)
			if err != nil {
				return err
			}
			if err := run("INSERT INTO "+quote(tb.name)+" VALUES (?"+strings.Repeat(", ?", len(args)-1)+")", args...); err != nil {
				return err
			}
		}
	}
	if err := run("COMMIT"); err != nil {
		return err
	}
	p.dumps = append(p.dumps, func(ctx context.Context, out snapshot) error { return w.dumpMariaDB(ctx, schema, tables, out) })
	server := shared.mariadb
	var err error
	s.Backend, err = mysql.Open(ctx, mysql.Config{Host: server.Host, Port: server.Port, Database: s.DefaultSchema, User: server.User, Password: server.Password,
		TLSMode: "disable", BatchSize: w.batch})
	return err
}

func mariadbRow(tb *table, r *row) (args []any, err error) {
	for _, c := range tb.columns {
		v := r.v[c.name]
		switch {
		case v == nil:
			args = append(args, nil)
		case c.kind == "blob":
			b, err := hex.DecodeString(*v)
			if err != nil {
				return nil, err
			}
			args = append(args, b)
		default:
			args = append(args, *v)
		}
	}
	return args, nil
}

func (w *world) dumpMariaDB(ctx context.Context, schema string, tables []*table, out snapshot) error {
	for _, tb := range tables {
		if err := tb.dumpMariaDB(ctx, schema, out); err != nil {
			return err
		}
	}
	return nil
}

func (tb *table) dumpMariaDB(ctx context.Context, schema string, out snapshot) error {
	cols := make([]string, len(tb.columns))
	for i, c := range tb.columns {
		if cols[i] = quote(c.name); c.kind == "blob" {
			cols[i] = "CONCAT('\\x', LOWER(HEX(" + cols[i] + ")))"
		}
	}
	rows, err := shared.session.QueryContext(ctx, "SELECT "+strings.Join(cols, ", ")+" FROM "+schema+"."+quote(tb.name))
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	raw, into := make([]sql.NullString, len(cols)), make([]any, len(cols))
	for i := range raw {
		into[i] = &raw[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		values := map[string]string{}
		for i, c := range tb.columns {
			values[c.name] = null
			if raw[i].Valid {
				values[c.name] = "s:" + raw[i].String
			}
		}
		rid, err := strconv.Atoi(raw[0].String)
		if err != nil {
			return err
		}
		out.rows[rid] = values
	}
	return rows.Err()
}
