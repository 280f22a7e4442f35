package crash_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/test/pgtest"
)

// The sample data: persons p-01 to p-08 of the tenant acme, and namesakes with the same addresses at another tenant.
const (
	persons      = 8
	canaryName   = "Quillfeather"
	canaryDomain = "canary.example"

	operatorRole     = "lethe_operator"
	operatorPassword = "operator-password"
	templateDatabase = "crash_template"
)

// schema of the application, with a trigger on every table that notes each effect, so that the database itself counts.
const schema = `
CREATE TABLE departments (id text PRIMARY KEY, title text NOT NULL);
CREATE TABLE persons (id text PRIMARY KEY, tenant text NOT NULL, email text, full_name text, phone text, birth_date date,
  status text NOT NULL DEFAULT 'active', portal_access boolean NOT NULL DEFAULT true, referred_by text REFERENCES persons (id));
CREATE TABLE applications (id bigint PRIMARY KEY, person_id text NOT NULL REFERENCES persons (id), department_id text REFERENCES departments (id), cover_letter text);
CREATE TABLE notes (application_id bigint REFERENCES applications (id), position int, body text, PRIMARY KEY (application_id, position));
CREATE TABLE interviews (id bigint PRIMARY KEY, application_id bigint NOT NULL REFERENCES applications (id), recording_dir text UNIQUE);
CREATE TABLE documents (id bigint PRIMARY KEY, person_id text NOT NULL REFERENCES persons (id), kind text NOT NULL, issued_at timestamptz,
  folder text NOT NULL, file_name text NOT NULL, UNIQUE (folder, file_name));
CREATE TABLE messages (id bigint PRIMARY KEY, tenant text NOT NULL, person_id text REFERENCES persons (id), from_email text, to_email text, body text);
CREATE TABLE consents (id bigint PRIMARY KEY, tenant text NOT NULL, email text, token text, ip_address text, given_at timestamptz);
CREATE INDEX ON persons (referred_by);
CREATE INDEX ON applications (person_id);
CREATE INDEX ON interviews (application_id);
CREATE INDEX ON documents (person_id);
CREATE INDEX ON messages (person_id);

CREATE ROLE ` + operatorRole + ` LOGIN PASSWORD '` + operatorPassword + `';
GRANT USAGE ON SCHEMA public TO ` + operatorRole + `;
GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO ` + operatorRole + `;

CREATE SCHEMA witness;
CREATE TABLE witness.effects (relation text, effect text, row_key text);
CREATE FUNCTION witness.note() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO witness.effects SELECT TG_TABLE_NAME, TG_OP, string_agg(to_jsonb(OLD)->>c, '/' ORDER BY n) FROM unnest(TG_ARGV) WITH ORDINALITY AS a(c, n);
  RETURN NULL;
END $$;
`

// tables with their keys.
var tables = map[string][]string{
	"departments": {"id"}, "persons": {"id"}, "applications": {"id"}, "notes": {"application_id", "position"}, "interviews": {"id"},
	"documents": {"id"}, "messages": {"id"}, "consents": {"id"},
}

// makeTemplate makes the database that each case copies.
func makeTemplate(ctx context.Context, server *pgtest.Server) error {
	admin, err := server.Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+templateDatabase+" TEMPLATE template0"); err != nil {
		return err
	}
	db, err := server.Connect(ctx, templateDatabase)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close(ctx) }()
	batch := &pgx.Batch{}
	seed(batch)
	if _, err := db.Exec(ctx, schema); err != nil {
		return err
	}
	for table, key := range tables {
		batch.Queue(fmt.Sprintf("CREATE TRIGGER witness AFTER UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION witness.note(%s)", table, strings.Join(key, ", ")))
	}
	return db.SendBatch(ctx, batch).Close()
}

func personID(n int) string { return fmt.Sprintf("p-%02d", n) }

func email(n int) string { return fmt.Sprintf("quill%02d@%s", n, canaryDomain) }

// seed queues the statements that fill the database.
func seed(b *pgx.Batch) {
	b.Queue("INSERT INTO departments VALUES ('d-1', 'Sales'), ('d-2', 'Research')")
	for n := 1; n <= persons; n++ {
		seedPerson(b, "acme", personID(n), n, int64(n)*1000)
		seedPerson(b, "other", "x-"+personID(n), n, int64(n)*1000+500)
		if n%2 == 0 {
			b.Queue("UPDATE persons SET referred_by = $2 WHERE id = $1", personID(n), personID(n-1))
		}
	}
	// What a law keeps of p-05, and what a court wants of p-07.
	document(b, 5900, personID(5), "invoice")
	document(b, 7900, personID(7), "evidence")
	document(b, 7901, personID(7), "evidence")
}

// seedPerson adds 19 rows that belong to one person, and a consent.
func seedPerson(b *pgx.Batch, tenant, id string, n int, base int64) {
	b.Queue("INSERT INTO persons (id, tenant, email, full_name, phone, birth_date) VALUES ($1, $2, $3, $4, $5, date '1990-04-17')",
		id, tenant, email(n), fmt.Sprintf("Vesper %s %02d", canaryName, n), fmt.Sprintf("+1 555 00%02d", n))
	for a := base; a < base+2; a++ {
		b.Queue("INSERT INTO applications VALUES ($1, $2, 'd-1', $3)", a, id, "I am Vesper "+canaryName)
		b.Queue("INSERT INTO notes VALUES ($1, 1, 'called'), ($1, 2, 'will call again')", a)
	}
	b.Queue("INSERT INTO interviews VALUES ($1, $1, $2)", base, id)
	for d := base; d < base+8; d++ {
		document(b, d, id, "cv")
	}
	b.Queue("INSERT INTO messages VALUES ($1, $2, $3, NULL, NULL, 'a'), ($1 + 1, $2, NULL, $4, 'jobs@acme.example', 'b'), ($1 + 2, $2, NULL, 'jobs@acme.example', $5, 'c')",
		base, tenant, id, strings.ToUpper(email(n)), email(n))
	b.Queue("INSERT INTO consents VALUES ($1, $2, $3, 'token', '192.0.2.7', timestamptz '2024-05-06 07:08:09Z')", base, tenant, email(n))
}

func document(b *pgx.Batch, id int64, person, kind string) {
	b.Queue("INSERT INTO documents VALUES ($1, $2, $3, timestamptz '2025-03-14 00:00:00Z', $2, $4)", id, person, kind, fmt.Sprintf("%d.pdf", id))
}

// writeFiles puts the documents and recordings that the database names into a folder.
func writeFiles(ctx context.Context, db *pgx.Conn, storage string) error {
	rows, err := db.Query(ctx, `SELECT 'documents/' || folder || '/' || file_name FROM documents
		UNION ALL SELECT 'recordings/' || recording_dir || '/' || part || '.wav' FROM interviews, generate_series(1, 2) AS part`)
	if err != nil {
		return err
	}
	paths, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, path := range paths {
		name := filepath.Join(storage, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte("content of "+path), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// rows is the content of a database: by table and key the columns, each as a short digest, since what stands in it must
// not stand in a test's log.
type rows map[string]map[string]string

func dump(ctx context.Context, db *pgx.Conn) (rows, error) {
	all := rows{}
	for table, key := range tables {
		found, err := db.Query(ctx, "SELECT to_jsonb(t) FROM "+table+" AS t")
		if err != nil {
			return nil, err
		}
		records, err := pgx.CollectRows(found, pgx.RowTo[map[string]json.RawMessage])
		if err != nil {
			return nil, err
		}
		for _, record := range records {
			columns := map[string]string{}
			for name, value := range record {
				columns[name] = digest(value)
			}
			id := make([]string, 0, len(key))
			for _, column := range key {
				id = append(id, strings.Trim(string(record[column]), `"`))
			}
			all[table+"/"+strings.Join(id, "/")] = columns
		}
	}
	return all, nil
}

func digest(value []byte) string {
	if string(value) == "null" {
		return "null"
	}
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:6])
}

// random has the columns whose new value comes from the run's key: it differs from run to run.
var random = map[string][]string{"consents": {"email", "token"}, "persons": {"email"}}

// hideRandom replaces what is different in every run by the fact that it is not what it was before.
func (r rows) hideRandom(before rows) {
	for id, columns := range r {
		table, _, _ := strings.Cut(id, "/")
		for _, column := range random[table] {
			if columns[column] != before[id][column] && columns[column] != "null" {
				columns[column] = "replaced"
			}
		}
	}
}

// effects counts what the triggers saw: by effect, table and key.
func effects(ctx context.Context, db *pgx.Conn) (map[string]int, error) {
	found, err := db.Query(ctx, "SELECT effect || ' ' || relation || '/' || row_key FROM witness.effects")
	if err != nil {
		return nil, err
	}
	all, err := pgx.CollectRows(found, pgx.RowTo[string])
	counts := map[string]int{}
	for _, effect := range all {
		counts[effect]++
	}
	return counts, err
}

// listFiles has every file and folder; files with digest and time of change, so that one that was written again shows.
func listFiles(storage string) (map[string]string, error) {
	all := map[string]string{}
	err := filepath.WalkDir(storage, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(storage, path)
		if err != nil || entry.IsDir() {
			all[name] = "folder"
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all[name] = digest(content) + " " + info.ModTime().Format(time.RFC3339Nano)
		return nil
	})
	return all, err
}
