package main

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/test/mariadbtest"
)

func TestGenerateAndValidateWithMariaDB(t *testing.T) {
	ctx := context.Background()
	server, err := mariadbtest.Start(ctx, mariadbtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	database, err := server.CreateDatabase(ctx)
	if err != nil {
		t.Fatal(err)
	}
	db, err := server.Connect(database, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range []string{
		"CREATE TABLE people (id int PRIMARY KEY, email varchar(100), KEY (email))",
		"CREATE TABLE letters (id int PRIMARY KEY, person_id int NOT NULL, body text, FOREIGN KEY (person_id) REFERENCES people (id))",
		"CREATE TABLE newsletter (id int PRIMARY KEY, email varchar(100))",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv(passwordEnv, server.Password)
	flags := []string{"--kind", "mysql", "--host", "127.0.0.1", "--port", fmt.Sprint(server.Port), "--database", database, "--user", server.User,
		"--sslmode", "disable", "--store", "crm"}
	text, code := execute(t, newGenerateMapCommand(), append(flags, "--root", "people")...)
	if code != 0 || !strings.Contains(text, "relation: Deep") {
		t.Fatalf("%d\n%s", code, text)
	}
	report, code := execute(t, newValidateCommand(), append(flags, "--map", write(t, t.TempDir(), "map.yaml", text))...)
	if code != 0 || !strings.Contains(report, "crm/"+database+".newsletter.email") && !strings.Contains(report, "crm/newsletter.email") {
		t.Errorf("%d\n%s", code, report)
	}
}
