package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	_ "modernc.org/sqlite" // makes a database

	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/mapcheck"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// execute runs a command and returns what it prints, with its exit status.
func execute(t interface{ Helper() }, cmd *cobra.Command, args ...string) (out string, code int) {
	t.Helper()
	var buffer bytes.Buffer
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&buffer)
	cmd.SetErr(&buffer)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(context.Background())
	var exit *cli.ExitError
	switch {
	case errors.As(err, &exit):
		if exit.Err != nil {
			fmt.Fprintln(&buffer, exit.Err)
		}
		return buffer.String(), exit.Code
	case err != nil:
		return buffer.String() + err.Error(), 1
	}
	return buffer.String(), 0
}

const people = `CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, "group" TEXT);
CREATE TABLE letters (id INTEGER PRIMARY KEY, person_id INTEGER NOT NULL REFERENCES people(id), body TEXT);
CREATE TABLE newsletter (id INTEGER PRIMARY KEY, email TEXT);
CREATE INDEX people_email ON people (lower(email));
CREATE INDEX letters_person ON letters (person_id);`

func sqliteFile(t *testing.T, statements string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "people.db")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec(statements); err != nil {
		t.Fatal(err)
	}
	return file
}

func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	file := filepath.Join(folder, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestGeneratedMapIsValid(t *testing.T) {
	file := sqliteFile(t, people)
	text, code := execute(t, newGenerateMapCommand(), "--kind", "sqlite", "--sqlite-file", file, "--root", "people", "--namespace", "hr")
	if code != 0 {
		t.Fatalf("%d %s", code, text)
	}
	manifest := write(t, t.TempDir(), "map.yaml", text)
	report, code := execute(t, newValidateCommand(), "--kind", "sqlite", "--sqlite-file", file, "--map", manifest)
	if code != 0 || !strings.Contains(report, "people: fit for erasures") || !strings.Contains(report, "people/newsletter.email") {
		t.Errorf("%d\n%s", code, report)
	}
	report, code = execute(t, newValidateCommand(), "--kind", "sqlite", "--sqlite-file", file, "--map", manifest, "--strict", "-o", "json")
	var r mapcheck.Report
	if err := json.Unmarshal([]byte(report), &r); err != nil || code != 1 || r.OK || len(r.Problems) != 1 || r.Coverage.Unknown != 1 {
		t.Errorf("%d %v\n%s", code, err, report)
	}
}

func TestExitStatus(t *testing.T) {
	file := sqliteFile(t, people)
	folder := t.TempDir()
	text, _ := execute(t, newGenerateMapCommand(), "--kind", "sqlite", "--sqlite-file", file, "--root", "people")
	good := write(t, folder, "good.yaml", text)
	for name, c := range map[string]struct {
		text string
		args []string
		code int
		want string
	}{
		"column that does not exist":  {strings.Replace(text, "column: email", "column: e_mail", 1), nil, 1, "column e_mail of people/people"},
		"field that the kind has not": {strings.Replace(text, "category: contact", "category: contact\n      colour: red", 1), nil, 1, "colour"},
		"word that the API knows not": {strings.Replace(text, "rows: One", "rows: Three", 1), nil, 1, "rows"},
		"name that is too long":       {strings.Replace(text, "category: contact", "category: "+strings.Repeat("x", 65), 1), nil, 1, "category"},
		"fields of a deleted entity":  {strings.Replace(text, "action: Delete", "action: Keep", 1), nil, 1, "needs a legalBasis"},
		"store of files, not given":   {strings.Replace(text, "category: contact", "category: contact\n      files: [{store: disk, path: \"{id}.pdf\"}]", 1), nil, 0, "store disk was not given"},
		"another store":               {strings.ReplaceAll(text, "store: people", "store: elsewhere"), nil, 2, "elsewhere"},
		"no database":                 {text, []string{"--kind", "sqlite", "--sqlite-file", filepath.Join(folder, "no.db"), "--store", "people"}, 2, "the database file does not exist"},
		"no server":                   {text, []string{"--kind", "postgresql", "--host", "127.0.0.1", "--port", "1", "--database", "people", "--user", "u", "--sslmode", "disable"}, 2, "StoreUnreachable"},
		"unknown kind":                {text, []string{"--kind", "oracle"}, 2, "postgresql, mysql or sqlite"},
		"unknown flag":                {text, []string{"--no-such-flag"}, 2, "no-such-flag"},
		"not YAML":                    {"a: b: c", nil, 2, "no YAML"},
		"no map":                      {"kind: Pod\napiVersion: v1\n", nil, 2, "no PersonalDataMap"},
		"map of another version":      {strings.Replace(text, "v1alpha1", "v9", 1), nil, 1, "v9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(passwordEnv, "secret-of-the-store")
			args := c.args
			if args == nil {
				args = []string{"--kind", "sqlite", "--sqlite-file", file}
			}
			out, code := execute(t, newValidateCommand(), append(args, "--map", write(t, t.TempDir(), "map.yaml", c.text))...)
			if code != c.code || !strings.Contains(out, c.want) || strings.Contains(out, "secret-of-the-store") {
				t.Errorf("%d, want %d with %q:\n%s", code, c.code, c.want, out)
			}
		})
	}
	if out, code := execute(t, newValidateCommand(), "--map", good); code != 2 {
		t.Errorf("without a store: %d\n%s", code, out)
	}
	if out, code := execute(t, newGenerateMapCommand(), "--kind", "sqlite", "--sqlite-file", file); code != 2 || !strings.Contains(out, "could be the root: people, newsletter") {
		t.Errorf("without a root: %d\n%s", code, out)
	}
}

// As in a pipeline: DataStores by manifest, passwords by files, PostgreSQL and a folder.
func TestManifestsWithCredentials(t *testing.T) {
	ctx := context.Background()
	server, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	database, err := server.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, `CREATE TABLE person (id int PRIMARY KEY, email text); CREATE INDEX ON person (lower(email));
		CREATE TABLE letter (id int PRIMARY KEY, person_id int NOT NULL REFERENCES person, file_name text);
		CREATE TABLE setting (name text PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	write(t, folder, "secrets/db/username", server.User+"\n")
	write(t, folder, "secrets/db/password", server.Password+"\n")
	write(t, folder, "local/files/keep", "")
	manifest := write(t, folder, "stores.yaml", fmt.Sprintf(`apiVersion: privacy.lethe.dev/v1alpha1
kind: DataStore
metadata: {name: crm}
spec:
  postgresql: {host: 127.0.0.1, port: %d, database: %s, sslMode: disable, credentialsSecretRef: {name: db}}
---
apiVersion: privacy.lethe.dev/v1alpha1
kind: DataStore
metadata: {name: files}
spec:
  filesystem: {path: files}
`, server.Port, database))
	flags := []string{"--store-file", manifest, "--credentials-dir", filepath.Join(folder, "secrets"), "--local-root", filepath.Join(folder, "local")}
	text, code := execute(t, newGenerateMapCommand(), append(flags, "--store", "crm", "--root", "person")...)
	if code != 0 {
		t.Fatalf("%d %s", code, text)
	}
	text = strings.Replace(text, "table: letter\n", "table: letter\n      files: [{store: files, path: \"{person_id}/{file_name}\"}]\n", 1)
	out, code := execute(t, newValidateCommand(), append(flags, "--map", write(t, folder, "map.yaml", text))...)
	if code != 0 || !strings.Contains(out, "IndexMissing crm/letter.person_id") || !strings.Contains(out, "CREATE INDEX letter_person_id_lookup ON letter (person_id)") {
		t.Errorf("%d\n%s", code, out)
	}
	if strings.Contains(out, "lower(email)") {
		t.Errorf("the index on lower(email) does not count:\n%s", out)
	}
	write(t, folder, "secrets/db/password", "wrong-password")
	if out, code = execute(t, newValidateCommand(), append(flags, "--map", filepath.Join(folder, "map.yaml"))...); code != 2 || strings.Contains(out, "wrong-password") {
		t.Errorf("%d\n%s", code, out)
	}
}

// What the API server refuses is refused here: rules between fields, lists with duplicates, names.
func TestRulesOfTheAPIAreRun(t *testing.T) {
	file := sqliteFile(t, people)
	text, _ := execute(t, newGenerateMapCommand(), "--kind", "sqlite", "--sqlite-file", file, "--root", "people")
	letters := func(more string) string {
		return strings.Replace(text, "table: letters\n", "table: letters\n      "+more+"\n", 1)
	}
	for name, c := range map[string]struct{ text, want string }{
		"a value without need": {strings.Replace(letters("fields: [{column: body, strategy: Random, value: x}]"), "action: Delete", "action: Anonymize", 2),
			"value belongs to the strategies Constant and Redact"},
		"a member of a key that has none": {letters("keys: [{store: cache, key: \"a:{id}\", member: \"{id}\"}]"), "member belongs to the kinds HashField"},
		"a pinned entity that stays": {strings.Replace(letters("pinned: {fields: [{column: body, strategy: \"Null\"}]}"), "action: Delete", "action: Keep\n      legalBasis: law", 2),
			"pinned belongs to the action Delete"},
		"two entities of one name": {strings.Replace(text, "name: letters", "name: people", 1), "Duplicate value"},
		"a name in upper case":     {strings.Replace(text, "  name: people", "  name: People", 1), "metadata.name"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.text == text {
				t.Fatal("the generated map is not as the test takes it to be")
			}
			out, code := execute(t, newValidateCommand(), "--kind", "sqlite", "--sqlite-file", file, "--map", write(t, t.TempDir(), "map.yaml", c.text))
			if code != 1 || !strings.Contains(out, c.want) {
				t.Errorf("%d, want 1 with %q:\n%s", code, c.want, out)
			}
		})
	}
	stores := write(t, t.TempDir(), "stores.yaml", "apiVersion: privacy.lethe.dev/v1alpha1\nkind: DataStore\nmetadata: {name: two}\nspec:\n  sqlite: {path: a.db}\n  filesystem: {path: b}\n")
	out, code := execute(t, newValidateCommand(), "--store-file", stores, "--map", write(t, t.TempDir(), "map.yaml", text))
	if code != 2 || !strings.Contains(out, "exactly one") {
		t.Errorf("a DataStore of two kinds: %d\n%s", code, out)
	}
}
