package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite"
)

const (
	databaseName = "ats.db"
	storageName  = "storage"
)

// system is the sample applicant-tracking system: a database and the files that it names.
type system struct {
	db      *sql.DB
	storage string
}

// openSystem opens an existing system.
func openSystem(data string, readOnly bool) (*system, error) {
	if data == "" {
		return nil, errors.New("--data is missing")
	}
	file := filepath.Join(data, databaseName)
	if _, err := os.Stat(file); err != nil {
		return nil, err
	}
	db, err := openDatabase(file, readOnly)
	if err != nil {
		return nil, err
	}
	return &system{db: db, storage: filepath.Join(data, storageName)}, nil
}

// openDatabase opens a SQLite file on one connection, so that its pragmas hold for every statement.
func openDatabase(file string, readOnly bool) (*sql.DB, error) {
	options := url.Values{"_pragma": {"busy_timeout(10000)", "foreign_keys(1)"}}
	if readOnly {
		options.Add("_pragma", "query_only(1)")
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: file, RawQuery: options.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

func (s *system) close() { _ = s.db.Close() }

// printRow prints columns of the row with the id, one a line.
func (s *system) printRow(ctx context.Context, out io.Writer, table, id string, columns []string) error {
	quoted := make([]string, len(columns))
	values := make([]sql.NullString, len(columns))
	targets := make([]any, len(columns))
	for i, column := range columns {
		quoted[i] = quote(column)
		targets[i] = &values[i]
	}
	query := "SELECT " + strings.Join(quoted, ", ") + " FROM " + quote(table) + " WHERE id = ?"
	if err := s.db.QueryRowContext(ctx, query, id).Scan(targets...); err != nil {
		return fmt.Errorf("%s %s: %w", table, id, err)
	}
	for i, column := range columns {
		value := "NULL"
		if values[i].Valid {
			value = values[i].String
		}
		if _, err := fmt.Fprintf(out, "%s=%s\n", column, value); err != nil {
			return err
		}
	}
	return nil
}

// closeApplications ends the person's running processes.
func (s *system) closeApplications(ctx context.Context, id string) (int64, error) {
	result, err := s.db.ExecContext(ctx,
		`UPDATE applications SET stage = 'rejected', closed_at = ? WHERE applicant_id = ? AND closed_at IS NULL`,
		stamp(today), id)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// quote makes an SQL identifier of a name.
func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
