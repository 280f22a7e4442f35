package harness

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver of the sample system
)

// atsSchema is a small applicant-tracking system.
const atsSchema = `
CREATE TABLE applicants (id TEXT PRIMARY KEY NOT NULL, tenant TEXT NOT NULL, email TEXT, full_name TEXT, birth_date TEXT, status TEXT NOT NULL DEFAULT 'active',
  referred_by TEXT REFERENCES applicants(id));
CREATE TABLE applications (id INTEGER PRIMARY KEY, applicant_id TEXT NOT NULL REFERENCES applicants(id), stage TEXT NOT NULL, cover_letter TEXT);
CREATE TABLE notes (id INTEGER PRIMARY KEY, application_id INTEGER NOT NULL REFERENCES applications(id), body TEXT);
CREATE TABLE documents (id INTEGER PRIMARY KEY, applicant_id TEXT NOT NULL REFERENCES applicants(id), kind TEXT NOT NULL, issued_at TEXT, file_name TEXT);
CREATE TABLE messages (id INTEGER PRIMARY KEY, recipient TEXT NOT NULL, body TEXT);
CREATE TABLE consents (id INTEGER PRIMARY KEY, email TEXT, status TEXT NOT NULL, given_at TEXT NOT NULL);
CREATE INDEX applications_applicant ON applications(applicant_id);
CREATE INDEX notes_application ON notes(application_id);
CREATE INDEX documents_applicant ON documents(applicant_id);
CREATE INDEX messages_recipient ON messages(recipient);
CREATE INDEX applicants_referred ON applicants(referred_by);
`

// Person of the sample system.
type Person struct {
	ID, Email, Name, Phone string
	// Stage of the application; screening, interview and offer are active.
	Stage string
	// TaxDocument adds an invoice with this date; empty adds none.
	TaxDocument string
}

// ATS is a small applicant-tracking system: a SQLite database and a folder of documents.
type ATS struct {
	// Root is the folder to assign to the namespace: ats.db and documents/ are in it.
	Root string
	DB   *sql.DB
	t    testing.TB
}

// NewATS makes an empty system in a folder of its own.
func NewATS(t testing.TB) *ATS {
	t.Helper()
	root := t.TempDir()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(root, "ats.db")+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	a := &ATS{Root: root, DB: db, t: t}
	a.Exec(atsSchema)
	if err := os.Mkdir(filepath.Join(root, "documents"), 0o755); err != nil {
		t.Fatal(err)
	}
	return a
}

// Exec runs a statement; its text must hold no personal data, since it is printed when it fails.
func (a *ATS) Exec(query string, args ...any) {
	a.t.Helper()
	if _, err := a.DB.Exec(query, args...); err != nil {
		a.t.Fatalf("%s: %v", query, err)
	}
}

// Add adds a person with an application, notes, documents with files, messages and a consent.
func (a *ATS) Add(p Person) {
	a.t.Helper()
	if p.Stage == "" {
		p.Stage = "rejected"
	}
	a.Exec(`INSERT INTO applicants (id, tenant, email, full_name, birth_date) VALUES (?, 'acme', ?, ?, '1990-05-17')`, p.ID, p.Email, p.Name)
	a.Exec(`INSERT INTO applications (applicant_id, stage, cover_letter) VALUES (?, ?, ?)`, p.ID, p.Stage, "I am "+p.Name)
	for range 2 {
		a.Exec(`INSERT INTO notes (application_id, body) SELECT id, ? FROM applications WHERE applicant_id = ?`, p.Name+" "+p.Phone, p.ID)
	}
	a.document(p, "resume", "2025-01-01")
	if p.TaxDocument != "" {
		a.document(p, "invoice", p.TaxDocument)
	}
	a.Exec(`INSERT INTO messages (recipient, body) VALUES (?, ?)`, p.Email, "Dear "+p.Name)
	a.Exec(`INSERT INTO consents (email, status, given_at) VALUES (?, 'given', '2025-01-01T00:00:00Z')`, p.Email)
}

func (a *ATS) document(p Person, kind, issued string) {
	file := kind + ".pdf"
	a.Exec(`INSERT INTO documents (applicant_id, kind, issued_at, file_name) VALUES (?, ?, ?, ?)`, p.ID, kind, issued, file)
	path := a.Path(p.ID, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		a.t.Fatal("make a folder of documents")
	}
	if err := os.WriteFile(path, []byte(kind+" of "+p.Name), 0o600); err != nil {
		a.t.Fatal("write a document")
	}
}

// Path of a document.
func (a *ATS) Path(id, file string) string { return filepath.Join(a.Root, "documents", id, file) }

var atsTables = map[string]string{
	"applicants": "id", "documents": "applicant_id", "applications": "applicant_id",
	"notes":    "(SELECT applicant_id FROM applications WHERE id = application_id)",
	"messages": "recipient", "consents": "email",
}

// Rows counts the rows of a person by table; tables without any are left out. Files are counted as files.
func (a *ATS) Rows(p Person) map[string]int {
	a.t.Helper()
	rows := map[string]int{}
	for table, column := range atsTables {
		var n int
		if err := a.DB.QueryRow(`SELECT count(*) FROM `+table+` WHERE `+column+` IN (?, ?)`, p.ID, p.Email).Scan(&n); err != nil {
			a.t.Fatalf("count %s: %v", table, err)
		}
		if n > 0 {
			rows[table] = n
		}
	}
	if n := len(a.files(p.ID)); n > 0 {
		rows["files"] = n
	}
	return rows
}

func (a *ATS) files(id string) []string {
	var found []string
	_ = filepath.WalkDir(filepath.Join(a.Root, "documents", id), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// Text reads one column of one applicant.
func (a *ATS) Text(id, column string) string {
	a.t.Helper()
	var v sql.NullString
	if err := a.DB.QueryRow(`SELECT `+column+` FROM applicants WHERE id = ?`, id).Scan(&v); err != nil {
		a.t.Fatalf("read applicants.%s: %v", column, err)
	}
	return v.String
}

// Digest is a hash over everything of the given people, by their own rows and files, byte for byte.
func (a *ATS) Digest(people ...Person) string {
	a.t.Helper()
	var lines []string
	for _, p := range people {
		for table, column := range atsTables {
			lines = append(lines, a.dump(`SELECT * FROM `+table+` WHERE `+column+` IN (?, ?) ORDER BY 1`, p.ID, p.Email)...)
		}
		for _, f := range a.files(p.ID) {
			content, err := os.ReadFile(f)
			if err != nil {
				a.t.Fatal("read a document")
			}
			lines = append(lines, f+string(content))
		}
	}
	sort.Strings(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return hex.EncodeToString(sum[:])
}

func (a *ATS) dump(query string, args ...any) []string {
	a.t.Helper()
	rows, err := a.DB.Query(query, args...)
	if err != nil {
		a.t.Fatalf("dump: %v", err)
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		a.t.Fatal(err)
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			a.t.Fatal(err)
		}
		line := query
		for _, v := range values {
			line += fmt.Sprintf("|%T:%v", *v.(*any), *v.(*any))
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		a.t.Fatal(err)
	}
	return lines
}
