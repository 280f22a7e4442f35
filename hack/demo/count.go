package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
)

const (
	theirApplications  = `application_id IN (SELECT id FROM applications WHERE applicant_id = :id)`
	theirMessages      = `tenant_id = :tenant AND (applicant_id = :id OR :email IN (lower(from_email), lower(to_email)))`
	theirConversations = `conversation_id IN (SELECT id FROM ai_conversations WHERE applicant_id = :id)`
)

// theirs tells which rows of a table are the person's, written down apart from Lethe's data map. The other tables hold
// nothing of applicants.
var theirs = map[string]string{
	"applicants":             `id = :id`,
	"applications":           `applicant_id = :id`,
	"notes":                  `item_type = 'applicant' AND item_id = :id OR item_type = 'application' AND item_id IN (SELECT id FROM applications WHERE applicant_id = :id)`,
	"evaluations":            theirApplications,
	"interviews":             theirApplications,
	"clarification_requests": theirApplications,
	"appointment_bookings":   theirApplications,
	"messages":               theirMessages,
	"message_attachments":    `message_id IN (SELECT id FROM messages WHERE ` + theirMessages + `)`,
	"documents":              `applicant_id = :id`,
	"ai_conversations":       `applicant_id = :id`,
	"ai_messages":            theirConversations,
	"talent_pool":            `applicant_id = :id`,
	"candidate_matches":      `talent_pool_id IN (SELECT id FROM talent_pool WHERE applicant_id = :id)`,
	"consents":               `tenant_id = :tenant AND lower(email) = :email`,
}

// theirFiles lists the paths that the person's rows name.
var theirFiles = `SELECT 'documents/' || storage_dir || '/' || file_name FROM documents WHERE applicant_id = :id
	UNION SELECT 'mail/' || storage_dir || '/' || file_name FROM message_attachments
		WHERE message_id IN (SELECT id FROM messages WHERE ` + theirMessages + `)
	UNION SELECT 'recordings/' || recording_dir FROM interviews WHERE ` + theirApplications

// person is whose data is counted.
type person struct {
	ID, Tenant, Email, Name, Phone string
}

// bind adds the named values that the statement uses; SQLite refuses values without a place.
func (p person) bind(statement string) []any {
	var args []any
	for name, value := range map[string]string{"id": p.ID, "tenant": p.Tenant, "email": strings.ToLower(p.Email)} {
		if strings.Contains(statement, ":"+name) {
			args = append(args, sql.Named(name, value))
		}
	}
	return args
}

// part is one table, or the files.
type part struct {
	Name string
	// Theirs has a digest of each row or file of the person.
	Theirs map[string]string
	// Others counts what is everybody else's, Digest is over all of it.
	Others int
	Digest string
	// Telling are rows of the person in which an identity still stands.
	Telling []string
}

// snapshot is the state of the whole system, seen from one person.
type snapshot struct {
	Person person
	Tables []part
	Files  part
	// Links are rows of others that refer to the person.
	Links int
}

// takeSnapshot counts from scratch.
func takeSnapshot(ctx context.Context, s *system, id string) (*snapshot, error) {
	p := person{ID: id}
	row := s.db.QueryRowContext(ctx, `SELECT tenant_id, email, full_name, phone FROM applicants WHERE id = ?`, id)
	err := row.Scan(&p.Tenant, &p.Email, &p.Name, &p.Phone)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("there is no applicant %s", id)
	}
	if err != nil {
		return nil, fmt.Errorf("applicant %s: %w", id, err)
	}
	return s.look(ctx, &snapshot{Person: p})
}

// look counts again what the earlier snapshot has, and what is found by the identities now.
func (s *system) look(ctx context.Context, earlier *snapshot) (*snapshot, error) {
	now := &snapshot{Person: earlier.Person}
	tables, err := s.column(ctx, `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	for _, table := range tables {
		counted, err := s.lookAtTable(ctx, now, table, earlier.table(table).Theirs)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", table, err)
		}
		now.Tables = append(now.Tables, counted)
	}
	paths, err := s.column(ctx, theirFiles, now.Person.bind(theirFiles)...)
	if err != nil {
		return nil, err
	}
	now.Files, err = s.lookAtFiles(paths, earlier.Files.Theirs)
	return now, err
}

// table returns the part with the name, an empty one if there is none.
func (n *snapshot) table(name string) part {
	for _, t := range n.Tables {
		if t.Name == name {
			return t
		}
	}
	return part{Name: name}
}

// lookAtTable reads every row of a table and tells the person's from the others'.
func (s *system) lookAtTable(ctx context.Context, now *snapshot, table string, known map[string]string) (part, error) {
	keys, err := s.column(ctx, `SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk`, table)
	if err != nil {
		return part{}, err
	}
	isTheirs, owned := theirs[table]
	if !owned {
		isTheirs = "0"
	}
	for i := range keys {
		keys[i] = quote(keys[i])
	}
	key := strings.Join(keys, ` || ' ' || `)
	query := "SELECT (" + isTheirs + "), " + key + ", * FROM " + quote(table) + " ORDER BY " + strings.Join(keys, ", ")
	rows, err := s.db.QueryContext(ctx, query, now.Person.bind(isTheirs)...)
	if err != nil {
		return part{}, err
	}
	defer rows.Close()
	counted := part{Name: table, Theirs: map[string]string{}}
	others := sha256.New()
	for rows.Next() {
		if err := now.lookAtRow(rows, &counted, others, known); err != nil {
			return part{}, err
		}
	}
	counted.Digest = sum(others)
	return counted, rows.Err()
}

// lookAtRow adds one row to its side.
func (n *snapshot) lookAtRow(rows *sql.Rows, counted *part, others hash.Hash, known map[string]string) error {
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	values := make([]any, len(columns))
	targets := make([]any, len(columns))
	for i := range values {
		targets[i] = &values[i]
	}
	if err := rows.Scan(targets...); err != nil {
		return err
	}
	var found bool
	if matches, ok := values[0].(int64); ok {
		found = matches == 1
	}
	key := fmt.Sprint(values[1])
	_, before := known[key]
	if found || before {
		own := sha256.New()
		writeRow(own, values[2:])
		counted.Theirs[key] = sum(own)
		if n.Person.standsIn(values[2:]) {
			counted.Telling = append(counted.Telling, key)
		}
		return nil
	}
	for i, column := range columns {
		// A link to the person may go; nothing else of the row may change.
		if i > 1 && column == "referred_by" && values[i] == any(n.Person.ID) {
			values[i] = nil
			n.Links++
		}
	}
	counted.Others++
	writeRow(others, values[2:])
	return nil
}

// standsIn tells whether the e-mail address, the name or the telephone number of the person is in one of the values.
func (p person) standsIn(values []any) bool {
	for _, value := range values {
		text := strings.ToLower(fmt.Sprint(value))
		for _, identity := range []string{p.Email, p.Name, p.Phone} {
			if strings.Contains(text, strings.ToLower(identity)) {
				return true
			}
		}
	}
	return false
}

// lookAtFiles reads every file and tells the person's from the others'.
func (s *system) lookAtFiles(paths []string, known map[string]string) (part, error) {
	counted := part{Name: "files on disk", Theirs: map[string]string{}}
	others := sha256.New()
	err := filepath.WalkDir(s.storage, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(s.storage, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(relative)
		_, before := known[name]
		if before || slices.Contains(paths, name) || slices.Contains(paths, path.Dir(name)) {
			digest := sha256.Sum256(content)
			counted.Theirs[name] = hex.EncodeToString(digest[:])
			return nil
		}
		counted.Others++
		writeRow(others, []any{name, content})
		return nil
	})
	counted.Digest = sum(others)
	return counted, err
}

// column reads the one column of a query.
func (s *system) column(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var values []string
	for rows.Next() {
		var value sql.NullString
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value.String)
	}
	return values, rows.Err()
}

// writeRow writes values with their types and lengths, so that no two rows look the same.
func writeRow(digest hash.Hash, values []any) {
	for _, value := range values {
		text := fmt.Sprint(value)
		fmt.Fprintf(digest, "%T %d %s\n", value, len(text), text)
	}
}

func sum(digest hash.Hash) string { return hex.EncodeToString(digest.Sum(nil)) }

// others sums up everybody else: rows, files, and one digest over it all.
func (n *snapshot) others() (rows, files int, digest string) {
	all := sha256.New()
	for _, counted := range append(slices.Clone(n.Tables), n.Files) {
		rows += counted.Others
		writeRow(all, []any{counted.Name, counted.Others, counted.Digest})
	}
	return rows - n.Files.Others, n.Files.Others, sum(all)
}

// print shows what the person has.
func (n *snapshot) print(out io.Writer) {
	table := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	fmt.Fprintf(table, "TABLE\t%s\tEVERYBODY ELSE\n", n.Person.ID)
	for _, counted := range n.Tables {
		if _, owned := theirs[counted.Name]; owned {
			fmt.Fprintf(table, "%s\t%d\t%d\n", counted.Name, len(counted.Theirs), counted.Others)
		}
	}
	fmt.Fprintf(table, "%s\t%d\t%d\n", n.Files.Name, len(n.Files.Theirs), n.Files.Others)
	_ = table.Flush()
	rows, files, digest := n.others()
	fmt.Fprintf(out, "everybody else: %d rows, %d files, sha256 %.16s\n", rows, files, digest)
}

func (n *snapshot) write(file string) error {
	content, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o600)
}

func readSnapshot(file string) (*snapshot, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	n := &snapshot{}
	return n, json.Unmarshal(content, n)
}
