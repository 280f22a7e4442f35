package pgdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/test/pgtest"
	"github.com/lethe-dev/lethe/test/redistest"
)

var (
	ctx     = context.Background()
	server  *pgtest.Server
	schemas atomic.Int64
)

func TestMain(m *testing.M) {
	var err error
	if server, err = pgtest.Start(ctx, pgtest.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

const one, two = "CREATE TABLE a (x int PRIMARY KEY);", "CREATE TABLE b (x int);"

func migrations(versions ...string) []Migrations {
	files := fstest.MapFS{}
	for i, sql := range versions {
		files[[]string{"00001_a.sql", "00002_b.sql"}[i]] = &fstest.MapFile{Data: []byte("-- +goose Up\n" + sql)}
	}
	return []Migrations{{Part: "test", Files: files}}
}

// short for a lease, but longer than a busy machine pauses a process.
const short = 3 * time.Second

// options for a schema of its own.
func options(t *testing.T) Options {
	t.Helper()
	schema := fmt.Sprint("s", schemas.Add(1))
	t.Cleanup(func() { sql(t, "DROP SCHEMA IF EXISTS "+schema+" CASCADE") })
	return Options{URL: fixed(address(fmt.Sprintf("127.0.0.1:%d", server.Port), "postgres", schema)), Migrations: migrations(one), Lease: short}
}

func address(host, database, schema string) string {
	return fmt.Sprintf("postgres://postgres:%s@%s/%s?sslmode=disable&search_path=%s", server.Password, host, database, schema)
}

func fixed(url string) func() (string, error) { return func() (string, error) { return url, nil } }

// sql runs a statement of the superuser.
func sql(t *testing.T, statement string, args ...any) {
	t.Helper()
	conn, err := server.Connect(ctx, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement, args...); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, o Options) *DB {
	t.Helper()
	db, err := Open(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func insert(db *DB, x int) error {
	return db.Write(ctx, func(_ context.Context, tx *Tx) error {
		tx.Exec("INSERT INTO a VALUES ($1)", nil, x)
		return nil
	})
}

func count(g Gomega, db *DB) (n int) {
	g.Expect(db.Query(ctx, func(rows pgx.Rows) (err error) {
		n, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int])
		return err
	}, "SELECT count(*) FROM a")).To(Succeed())
	return n
}

// sever ends the writing session of a schema, as an administrator would.
func sever(t *testing.T, db *DB) {
	t.Helper()
	for _, pid := range pids(t, db) {
		sql(t, "SELECT pg_terminate_backend($1)", pid)
	}
}

// pids are the sessions that hold the lock of the schema.
func pids(t *testing.T, db *DB) (list []int32) {
	t.Helper()
	conn, err := server.Connect(ctx, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	key := uint64(db.key("writer"))
	rows, err := conn.Query(ctx, `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = $1::bigint::oid AND objid = $2::bigint::oid AND granted`,
		int64(key>>32), int64(key&0xffffffff))
	if err == nil {
		list, err = pgx.CollectRows(rows, pgx.RowTo[int32])
	}
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestMigratesForwardAndRefusesWhatIsNewer(t *testing.T) {
	g := NewWithT(t)
	o := options(t)
	db := open(t, o)
	id := db.ID()
	g.Expect(db.Close()).To(Succeed())
	g.Expect(db.Close()).To(Succeed())
	db.ScrubSoon("a") // late, and harmless
	o.Migrations = migrations(one, two)
	db = open(t, o)
	g.Expect(db.ID()).To(Equal(id))
	g.Expect(db.Epoch()).To(Equal(int64(2)))
	g.Expect(db.Query(ctx, func(rows pgx.Rows) error { rows.Close(); return rows.Err() }, "INSERT INTO b VALUES (1)")).NotTo(Succeed(), "readers cannot write")
	g.Expect(db.Close()).To(Succeed())
	o.Migrations = migrations(one)
	_, err := Open(ctx, o)
	g.Expect(err).To(MatchError(ErrNewer))
	o.Migrations = migrations(one, two)
	open(t, o) // the refused one has given the lock free
}

func TestSettingsThatTheGuaranteesRestOn(t *testing.T) {
	g := NewWithT(t)
	name, err := server.CreateDatabase(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	for setting, bad := range map[string]string{"synchronous_commit": "off", "default_transaction_isolation": "serializable", "statement_timeout": "77",
		"lock_timeout": "77", "idle_in_transaction_session_timeout": "77", "idle_session_timeout": "77", "default_transaction_read_only": "on", "search_path": "public"} {
		sql(t, fmt.Sprintf("ALTER DATABASE %s SET %s = '%s'", name, setting, bad))
	}
	o := options(t)
	o.URL = fixed(address(fmt.Sprintf("127.0.0.1:%d", server.Port), name, "other"))
	db := open(t, o)
	for setting, want := range map[string]string{"synchronous_commit": "on", "transaction_isolation": "read committed", "statement_timeout": "0",
		"lock_timeout": "0", "idle_in_transaction_session_timeout": "0", "idle_session_timeout": "0", "transaction_read_only": "off", "search_path": "other"} {
		var got string
		g.Expect(db.Alone(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			return conn.QueryRow(ctx, "SELECT current_setting($1)", setting).Scan(&got)
		})).To(Succeed())
		g.Expect(got).To(Equal(want), setting)
	}
}

func TestForeignSchemasAndDatabasesAreLeftAlone(t *testing.T) {
	g := NewWithT(t)
	o := options(t)
	sql(t, "CREATE SCHEMA foreign_one; CREATE TABLE foreign_one.customers (x int)")
	o.URL = fixed(address(fmt.Sprintf("127.0.0.1:%d", server.Port), "postgres", "foreign_one"))
	_, err := Open(ctx, o)
	g.Expect(err).To(MatchError(ErrWrongSchema))
	sql(t, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	o.URL = fixed(address(fmt.Sprintf("127.0.0.1:%d", server.Port), "latin", "lethe"))
	_, err = Open(ctx, o)
	g.Expect(err).To(MatchError(ErrUnsuitable))
	for url, unavailable := range map[string]bool{
		address("127.0.0.1:1", "postgres", "lethe"):                                                    true,
		address(fmt.Sprintf("127.0.0.1:%d", server.Port), "nowhere", "lethe"):                          false,
		fmt.Sprintf("postgres://postgres:wrong-pw@127.0.0.1:%d/postgres?sslmode=disable", server.Port): false,
	} {
		o.URL = fixed(url)
		_, err = Open(ctx, o)
		g.Expect(err).To(HaveOccurred())
		g.Expect(errors.Is(err, ErrUnavailable)).To(Equal(unavailable), err.Error())
		g.Expect(err.Error()).NotTo(ContainSubstring("wrong-pw"))
	}
}

func TestURLs(t *testing.T) {
	g := NewWithT(t)
	for url, problem := range map[string]string{
		"":                                                       "begins with postgres://",
		"postgres://u:p%ss-canary@h/db":                          "percent-encode",
		"postgres://u:sec:ret-canary@h:port/db":                  "percent-encode",
		"mysql://u:canary@h/db":                                  "begins with postgres://",
		"postgres://u:canary@h":                                  "no database",
		"postgres://u:canary@h/db?sslmode=maybe":                 "sslmode",
		"postgres://u:canary@h/db?search_path=Lethe":             "search_path",
		"postgres://u:canary@h/db?search_path=a,b":               "search_path",
		"postgres://u:canary@h/db?sslrootcert=/does/not/exist":   "unable to read CA file",
		"host=h user=u password=canary dbname=db":                "begins with postgres://",
		"postgres://u:canary@h/db?connect_timeout=canary-not-it": "",
	} {
		_, err := parseURL(url)
		g.Expect(err).To(HaveOccurred(), url)
		g.Expect(err).To(MatchError(ContainSubstring(problem)), url)
		if problem != "" {
			g.Expect(err.Error()).NotTo(ContainSubstring("canary"), url)
		}
	}
	with, err := parseURL("postgres://u:p@a,b/db")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(with.schema).To(Equal("lethe"))
	g.Expect(with.config.TLSConfig).NotTo(BeNil(), "TLS by default")
	g.Expect(with.config.TLSConfig.InsecureSkipVerify).To(BeFalse())
	g.Expect(with.config.ValidateConnect).NotTo(BeNil(), "the primary of several")
	g.Expect(with.key("writer")).NotTo(Equal(with.key("guard", "x")))
	other := with
	other.schema = "second"
	g.Expect(other.key("writer")).NotTo(Equal(with.key("writer")))
}

// What stands in an error must not be a value.
func TestErrorsShowNoValues(t *testing.T) {
	g := NewWithT(t)
	db := open(t, options(t))
	err := db.Write(ctx, func(ctx context.Context, tx *Tx) error {
		return tx.Query(ctx, func(rows pgx.Rows) error { rows.Close(); return rows.Err() }, "SELECT $1::text::int", "canary")
	})
	g.Expect(err).To(MatchError(ContainSubstring("22P02")))
	g.Expect(err.Error()).NotTo(ContainSubstring("canary"))
	g.Expect(insert(db, 1)).To(Succeed(), "the connection is fine")
}

func TestAQueuedStatementFailsItsOwnWriteOnly(t *testing.T) {
	g := NewWithT(t)
	db := open(t, options(t))
	no := errors.New("no")
	g.Expect(db.Write(ctx, func(_ context.Context, tx *Tx) error {
		tx.Exec("INSERT INTO a VALUES (1)", func(tag pgconn.CommandTag) error {
			g.Expect(tag.RowsAffected()).To(Equal(int64(1)))
			return no
		})
		return nil
	})).To(MatchError(no))
	g.Expect(count(g, db)).To(BeZero())
	begun, end := make(chan struct{}), make(chan struct{})
	go func() {
		_ = db.Write(ctx, func(context.Context, *Tx) error { close(begun); <-end; return nil })
	}()
	<-begun
	results := make(chan error, 40)
	for i := range 40 {
		go func() { results <- insert(db, i/2) }() // each second one is a duplicate
	}
	time.Sleep(50 * time.Millisecond) // for most of them to wait together
	close(end)
	failed := 0
	for range 40 {
		if err := <-results; err != nil {
			g.Expect(err).To(MatchError(ContainSubstring("23505")))
			failed++
		}
	}
	g.Expect(failed).To(Equal(20))
	g.Expect(count(g, db)).To(Equal(20))
}

// Losing the connection is losing the lock: this process stops at once, and who comes next waits until it must have noticed.
func TestWhoLosesTheConnectionStops(t *testing.T) {
	g := NewWithT(t)
	o := options(t)
	old := open(t, o)
	g.Expect(insert(old, 1)).To(Succeed())
	acting := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		acting <- old.Guard(ctx, "g", func(rows pgx.Rows) error { rows.Close(); return rows.Err() }, "SELECT 1", nil, func(ctx context.Context) error {
			close(begun)
			<-ctx.Done()
			return context.Cause(ctx)
		})
	}()
	<-begun
	_, err := Open(ctx, o)
	g.Expect(err).To(MatchError(ErrLocked))

	sever(t, old)
	g.Eventually(old.Lost(), short).Should(BeClosed())
	g.Expect(old.Err()).To(MatchError(ErrLost))
	g.Eventually(acting).Should(Receive(MatchError(ErrLost)), "what was under way ends")
	g.Expect(insert(old, 2)).To(MatchError(ErrLost))
	g.Expect(old.Query(ctx, nil, "SELECT 1")).To(MatchError(ErrLost))
	g.Expect(old.Exclude(ctx, "g", nil)).To(MatchError(ErrLost))

	begin := time.Now()
	successor := open(t, o)
	g.Expect(time.Since(begin)).To(BeNumerically(">", short), "the predecessor has not said that it ended")
	g.Expect(insert(successor, 2)).To(Succeed())
	g.Expect(successor.Epoch()).To(Equal(old.Epoch() + 1))
	g.Expect(old.Close()).NotTo(Succeed())
	g.Expect(successor.Close()).To(Succeed())
	begin = time.Now()
	open(t, o)
	g.Expect(time.Since(begin)).To(BeNumerically("<", short), "this one has said so")
}

// A network that swallows everything: whoever does not hear from the server counts as lost before another one begins.
func TestWhoHearsNothingStopsBeforeAnotherBegins(t *testing.T) {
	g := NewWithT(t)
	proxy, err := redistest.NewProxy(fmt.Sprintf("127.0.0.1:%d", server.Port))
	g.Expect(err).NotTo(HaveOccurred())
	defer proxy.Close()
	o := options(t)
	direct := o.URL
	url, _ := direct()
	o.URL = fixed(strings.Replace(url, fmt.Sprintf("127.0.0.1:%d", server.Port), proxy.Addr(), 1))
	old := open(t, o)
	holder := pids(t, old)
	g.Expect(holder).To(HaveLen(1))
	proxy.Mute(true)
	muted := time.Now()
	stuck := make(chan error, 1)
	go func() { stuck <- insert(old, 1) }() // may have happened, which nobody knows
	sever(t, old)
	o.URL = direct
	var successor *DB
	g.Eventually(func() error {
		successor, err = Open(ctx, o)
		return err
	}, 4*short).Should(Succeed())
	defer successor.Close()
	g.Expect(old.Err()).To(MatchError(ErrLost), "it has noticed before the successor began")
	g.Expect(stuck).To(Receive(MatchError(ErrLost)))
	g.Expect(time.Since(muted)).To(BeNumerically(">", short))
}

// Behind a proxy that shares connections the lock holds nobody up, but the epoch does.
func TestWhoWasOvertakenFindsOut(t *testing.T) {
	g := NewWithT(t)
	o := options(t)
	o.Pause = -1
	old := open(t, o)
	g.Expect(old.Alone(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
		return err
	})).To(Succeed())
	acting, acts := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- old.Guard(ctx, "g", func(rows pgx.Rows) error { rows.Close(); return rows.Err() }, "SELECT 1", nil, func(context.Context) error {
			close(acting)
			<-acts
			return nil
		})
	}()
	g.Eventually(acting, short).Should(BeClosed())
	successor := open(t, o)
	placed := make(chan error, 1)
	go func() { placed <- successor.Exclude(ctx, "g", func(context.Context) error { return nil }) }()
	g.Consistently(placed, "100ms").ShouldNot(Receive(), "it still acts")
	g.Eventually(old.Lost(), short).Should(BeClosed(), "without writing")
	g.Expect(insert(old, 1)).To(MatchError(ErrStaleEpoch))
	g.Consistently(placed, "100ms").ShouldNot(Receive(), "it still acts")
	close(acts)
	g.Eventually(ended).Should(Receive())
	g.Eventually(placed).Should(Receive(BeNil()))
}

func TestATransactionOfTheOvertakenHoldsTheNextEpochBack(t *testing.T) {
	g := NewWithT(t)
	o := options(t)
	o.Pause = -1
	old := open(t, o)
	g.Expect(old.Alone(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
		return err
	})).To(Succeed())
	opened := make(chan *DB, 1)
	g.Expect(old.Write(ctx, func(ctx context.Context, tx *Tx) error {
		tx.Exec("INSERT INTO a VALUES (1)", nil)
		if err := tx.flush(ctx); err != nil {
			return err
		}
		go func() {
			db, err := Open(ctx, o)
			if err != nil {
				t.Error(err)
			}
			opened <- db
		}()
		g.Consistently(opened, "300ms").ShouldNot(Receive())
		return nil
	})).To(Succeed(), "it was the first")
	var successor *DB
	g.Eventually(opened, "10s").Should(Receive(&successor))
	defer successor.Close()
	g.Expect(count(g, successor)).To(Equal(1))
	g.Expect(insert(old, 2)).To(MatchError(ErrStaleEpoch))
}

func TestWhoClosesWhileSomebodyActsHasNotEnded(t *testing.T) {
	g := NewWithT(t)
	o := options(t)
	db := open(t, o)
	done := make(chan struct{})
	begun := make(chan struct{})
	go func() {
		defer close(done)
		_ = db.Guard(ctx, "g", func(rows pgx.Rows) error { rows.Close(); return rows.Err() }, "SELECT 1", nil, func(ctx context.Context) error {
			close(begun)
			<-ctx.Done()
			return nil
		})
	}()
	<-begun
	g.Expect(db.Close()).To(Succeed())
	<-done
	begin := time.Now()
	open(t, o)
	g.Expect(time.Since(begin)).To(BeNumerically(">", short))
}

func TestAChangedPasswordIsFound(t *testing.T) {
	g := NewWithT(t)
	o := options(t)
	url, _ := o.URL()
	sql(t, "CREATE ROLE keeper LOGIN PASSWORD 'first'; GRANT CREATE ON DATABASE postgres TO keeper")
	defer sql(t, "DROP OWNED BY keeper CASCADE; DROP ROLE keeper")
	password := "first"
	o.URL = func() (string, error) {
		return strings.Replace(url, "postgres:"+server.Password, "keeper:"+password, 1), nil
	}
	db := open(t, o)
	g.Expect(count(g, db)).To(BeZero())
	sql(t, "ALTER ROLE keeper PASSWORD 'second'")
	password = "second"
	db.reader.Reset()
	g.Expect(count(g, db)).To(BeZero())
	g.Expect(insert(db, 1)).To(Succeed())
	g.Expect(db.Close()).To(Succeed())
}

// A server that ends while somebody writes: what was acknowledged is there, the rest is an error.
func TestServerCrashLosesNothingAcknowledged(t *testing.T) {
	g := NewWithT(t)
	own, err := pgtest.Start(ctx, pgtest.Options{Fsync: true})
	g.Expect(err).NotTo(HaveOccurred())
	defer own.Stop()
	o := Options{URL: fixed(fmt.Sprintf("postgres://postgres@/postgres?host=%s&port=%d&sslmode=disable", own.Host, own.Port)), Migrations: migrations(one), Lease: short}
	for round := range 3 {
		db := open(t, o)
		before := count(g, db)
		acknowledged := 0
		killed := make(chan error)
		time.AfterFunc(200*time.Millisecond, func() { killed <- own.Kill() })
		for insert(db, 1000000*(round+1)+acknowledged) == nil {
			acknowledged++
		}
		g.Expect(<-killed).To(Succeed())
		g.Expect(db.Err()).To(MatchError(ErrLost))
		g.Expect(acknowledged).To(BeNumerically(">", 0))
		g.Expect(own.Restart(ctx)).To(Succeed())
		o.Pause = -1
		db = open(t, o)
		g.Expect(count(g, db) - before).To(Or(Equal(acknowledged), Equal(acknowledged+1)))
		g.Expect(db.Close()).To(Succeed())
	}
}
