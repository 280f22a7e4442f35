package docs

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/mariadbtest"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// storeName is what the cookbook calls its database.
const storeName = "app"

// session runs the statements that the cookbook shows.
type session interface {
	exec(ctx context.Context, statement string) error
	// query returns texts, NULL for null.
	query(ctx context.Context, text string) ([][]string, error)
	close() error
}

// database is a new one of one engine.
type database struct {
	session
	engine string
	spec   v1alpha1.DataStoreSpec
	// user and password of the store's Secret; empty where it needs none.
	user, password string
}

// running has what ends the servers that tests share.
var running struct {
	sync.Mutex
	stop []func() error
}

func started(stop func() error) {
	running.Lock()
	defer running.Unlock()
	running.stop = append(running.stop, stop)
}

var (
	postgres = sync.OnceValues(func() (*pgtest.Server, error) {
		s, err := pgtest.Start(context.Background(), pgtest.Options{})
		if err == nil {
			started(s.Stop)
		}
		return s, err
	})
	mariadb = sync.OnceValues(func() (*mariadbtest.Server, error) {
		s, err := mariadbtest.Start(context.Background(), mariadbtest.Options{})
		if err == nil {
			started(s.Stop)
		}
		return s, err
	})
)

// newDatabase makes an empty database; root is the folder of the namespace's local stores.
func newDatabase(t *testing.T, engine, root string) *database {
	t.Helper()
	maker := map[string]func(*testing.T, string) (*database, error){"sqlite": newSQLite, "postgresql": newPostgreSQL, "mariadb": newMariaDB}[engine]
	if maker == nil {
		t.Fatalf("there is no engine %q", engine)
	}
	d, err := maker(t, root)
	if err != nil {
		t.Fatal(err)
	}
	d.engine = engine
	t.Cleanup(func() { _ = d.close() })
	return d
}

func newSQLite(_ *testing.T, root string) (*database, error) {
	file := filepath.Join(root, "app.db")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)")
	return &database{session: driver{db}, spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "app.db"}}}, err
}

func newPostgreSQL(t *testing.T, _ string) (*database, error) {
	server, err := postgres()
	if err != nil {
		return nil, err
	}
	name, err := server.CreateDatabase(t.Context())
	if err != nil {
		return nil, err
	}
	conn, err := server.Connect(t.Context(), name)
	return &database{session: connection{conn}, user: server.User, password: server.Password, spec: v1alpha1.DataStoreSpec{PostgreSQL: &v1alpha1.PostgreSQLStore{
		Host: "127.0.0.1", Port: int32(server.Port), Database: name, SSLMode: "disable", CredentialsSecretRef: v1alpha1.LocalReference{Name: storeName},
	}}}, err
}

func newMariaDB(t *testing.T, _ string) (*database, error) {
	server, err := mariadb()
	if err != nil {
		return nil, err
	}
	name, err := server.CreateDatabase(t.Context())
	if err != nil {
		return nil, err
	}
	db, err := server.Connect(name, nil)
	return &database{session: driver{db}, user: server.User, password: server.Password, spec: v1alpha1.DataStoreSpec{MySQL: &v1alpha1.MySQLStore{
		Host: server.Host, Port: int32(server.Port), Database: name, SSLMode: "disable", CredentialsSecretRef: v1alpha1.LocalReference{Name: storeName},
	}}}, err
}

// objects are the DataStore and its Secret.
func (d *database) objects(namespace string) []client.Object {
	meta := metav1.ObjectMeta{Name: storeName, Namespace: namespace}
	store := &v1alpha1.DataStore{ObjectMeta: meta, Spec: d.spec}
	if d.user == "" {
		return []client.Object{store}
	}
	secret := &corev1.Secret{ObjectMeta: meta, Type: corev1.SecretTypeBasicAuth, StringData: map[string]string{"username": d.user, "password": d.password}}
	return []client.Object{secret, store}
}

func (d *database) credentials() map[string][]byte {
	return map[string][]byte{"username": []byte(d.user), "password": []byte(d.password)}
}

// run runs the statements of a block. MariaDB takes one at a time.
func (d *database) run(t *testing.T, b block) {
	t.Helper()
	statements := []string{b.text}
	if d.engine == "mariadb" {
		statements = strings.Split(strings.TrimSpace(b.text), ";\n")
	}
	for _, s := range statements {
		if err := d.exec(t.Context(), strings.TrimSuffix(s, ";")); err != nil {
			t.Fatalf("%s: %v", b.where(), err)
		}
	}
}

// read is the result of a query: columns separated by bars, rows by commas.
func (d *database) read(t *testing.T, text string) string {
	t.Helper()
	rows, err := d.query(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if len(rows) == 0 {
		return "nothing"
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		lines[i] = strings.Join(r, " | ")
	}
	return strings.Join(lines, ", ")
}

// connection is a session of PostgreSQL.
type connection struct{ *pgx.Conn }

func (c connection) exec(ctx context.Context, statement string) error {
	_, err := c.PgConn().Exec(ctx, statement).ReadAll()
	return err
}

func (c connection) query(ctx context.Context, text string) ([][]string, error) {
	results, err := c.PgConn().Exec(ctx, text).ReadAll()
	if err != nil {
		return nil, err
	}
	var all [][]string
	for _, r := range results {
		for _, row := range r.Rows {
			texts := make([]string, len(row))
			for i, v := range row {
				if texts[i] = string(v); v == nil {
					texts[i] = "NULL"
				}
			}
			all = append(all, texts)
		}
	}
	return all, nil
}

func (c connection) close() error { return c.Close(context.Background()) }

// driver is a session through database/sql.
type driver struct{ *sql.DB }

func (d driver) exec(ctx context.Context, statement string) error {
	_, err := d.ExecContext(ctx, statement)
	return err
}

func (d driver) query(ctx context.Context, text string) ([][]string, error) {
	rows, err := d.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all [][]string
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		texts := make([]string, len(values))
		for i, v := range values {
			if texts[i] = v.String; !v.Valid {
				texts[i] = "NULL"
			}
		}
		all = append(all, texts)
	}
	return all, rows.Err()
}

func (d driver) close() error { return d.Close() }

// stopServers ends the servers that were started.
func stopServers() error {
	var errs []error
	for _, stop := range running.stop {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}
