package realworld

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// row is a record as text, by column; NULL is not there.
type row map[string]string

// snapshot is everything: rows by table and key, and files with their content by path.
type snapshot struct {
	tables map[string]map[string]row
	files  map[string]string
}

// dump reads everything in the database and in the folder.
func (e *engine) dump(t *testing.T, d *database, folder string) *snapshot {
	t.Helper()
	s := &snapshot{tables: map[string]map[string]row{}, files: map[string]string{}}
	columns, keys := e.layout(t, d)
	for table := range columns {
		s.tables[table] = e.dumpTable(t, d, table, columns[table], keys[table])
	}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(folder, path)
		s.files[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// layout lists the columns of every table, and those of its key.
func (e *engine) layout(t *testing.T, d *database) (columns, keys map[string][]string) {
	t.Helper()
	columns, keys = map[string][]string{}, map[string][]string{}
	rows, err := d.read(e.columns)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		table, column := *r[0], *r[1]
		columns[table] = append(columns[table], column)
		if *r[2] != "0" {
			keys[table] = append(keys[table], column)
		}
	}
	return columns, keys
}

func (e *engine) dumpTable(t *testing.T, d *database, table string, columns, keys []string) map[string]row {
	t.Helper()
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = fmt.Sprintf(e.text, c)
	}
	rows, err := d.read(fmt.Sprintf(`SELECT %s FROM %s`, strings.Join(list, ", "), table))
	if err != nil {
		t.Fatalf("dump %s: %v", table, err)
	}
	found := map[string]row{}
	for _, values := range rows {
		r := row{}
		for i, c := range columns {
			if values[i] != nil {
				r[c] = *values[i]
			}
		}
		found[key(r, keys)] = r
	}
	if len(found) != len(rows) {
		t.Fatalf("dump %s: %d rows with %d keys", table, len(rows), len(found))
	}
	return found
}

func key(r row, columns []string) string {
	values := make([]string, len(columns))
	for i, c := range columns {
		values[i] = r[c]
	}
	return strings.Join(values, "\x1f")
}

// clone for an oracle to work on.
func (s *snapshot) clone() *snapshot {
	c := &snapshot{tables: map[string]map[string]row{}, files: map[string]string{}}
	for table, rows := range s.tables {
		c.tables[table] = map[string]row{}
		for k, r := range rows {
			copied := row{}
			for column, v := range r {
				copied[column] = v
			}
			c.tables[table][k] = copied
		}
	}
	for name, content := range s.files {
		c.files[name] = content
	}
	return c
}
