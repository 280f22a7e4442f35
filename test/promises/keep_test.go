package promises

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/test/harness"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// postgres has the vaults that are not embedded.
var postgres *pgtest.Server

// keeper is a kind of vault.
type keeper interface {
	// empty makes the options lead to an empty vault.
	empty(o *harness.OperatorOptions)
	// cutLedger removes all entries but the first, as somebody with access to the store could.
	cutLedger(o harness.OperatorOptions)
	// copied copies the vault of an operator that is stopped, and returns how to put the copy in its place.
	copied(o harness.OperatorOptions) (restore func())
	// open opens the ledger for reading.
	open(o harness.OperatorOptions) ledgerReader
}

type ledgerReader interface {
	Checkpoint(ctx context.Context, namespace string) ([]byte, error)
	Leaves(ctx context.Context, namespace string, size uint64) iter.Seq2[[]byte, error]
	Close() error
}

// keep is the vault of the worlds that are made now.
var keep keeper = embedded{}

// onEachVault declares a container for each kind of vault.
func onEachVault(text string, body func()) bool {
	Describe(text, body)
	Describe(text+", kept in PostgreSQL", func() {
		keptIn(inPostgreSQL{})
		body()
	})
	return true
}

// keptIn makes the worlds of a container have another kind of vault.
func keptIn(k keeper) {
	BeforeEach(func() {
		before := keep
		keep = k
		DeferCleanup(func() { keep = before })
	})
}

// embedded is the SQLite file.
type embedded struct{}

func (embedded) empty(o *harness.OperatorOptions) { o.Folder = GinkgoTB().TempDir() }

func (embedded) file(o harness.OperatorOptions) string { return filepath.Join(o.Folder, "ledger.db") }

func (e embedded) cutLedger(o harness.OperatorOptions) {
	GinkgoHelper()
	db, err := sql.Open("sqlite", e.file(o))
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(db.Close()).To(Succeed()) }()
	_, err = db.Exec("DROP TRIGGER bundles_are_kept; DELETE FROM bundles WHERE id > (SELECT min(id) FROM bundles)")
	Expect(err).NotTo(HaveOccurred())
}

func (e embedded) copied(o harness.OperatorOptions) (restore func()) {
	GinkgoHelper()
	old, err := os.ReadFile(e.file(o))
	Expect(err).NotTo(HaveOccurred())
	return func() { Expect(os.WriteFile(e.file(o), old, 0o600)).To(Succeed()) }
}

func (e embedded) open(o harness.OperatorOptions) ledgerReader {
	GinkgoHelper()
	file, err := ledgersqlite.OpenFile(context.Background(), e.file(o))
	Expect(err).NotTo(HaveOccurred())
	return file
}

// inPostgreSQL is a database of its own for each world.
type inPostgreSQL struct{}

func (p inPostgreSQL) empty(o *harness.OperatorOptions) {
	GinkgoHelper()
	o.LedgerURLFile = filepath.Join(GinkgoTB().TempDir(), "url")
	o.LedgerLease = 5 * time.Second
	database, err := postgres.CreateDatabase(context.Background())
	Expect(err).NotTo(HaveOccurred())
	p.lead(*o, database)
}

// lead writes the URL of a database, which goes with the test.
func (p inPostgreSQL) lead(o harness.OperatorOptions, database string) {
	GinkgoHelper()
	text := fmt.Sprintf("postgres://%s@/%s?host=%s&port=%d&sslmode=disable\n", postgres.User, database, postgres.Host, postgres.Port)
	Expect(os.WriteFile(o.LedgerURLFile, []byte(text), 0o600)).To(Succeed())
	DeferCleanup(func() { p.exec("postgres", "DROP DATABASE "+database+" WITH (FORCE)") })
}

func (inPostgreSQL) exec(database, statement string) {
	GinkgoHelper()
	ctx := context.Background()
	conn, err := postgres.Connect(ctx, database)
	Expect(err).NotTo(HaveOccurred())
	defer func() { Expect(conn.Close(ctx)).To(Succeed()) }()
	_, err = conn.Exec(ctx, statement)
	Expect(err).NotTo(HaveOccurred())
}

// database of the options.
func (inPostgreSQL) database(o harness.OperatorOptions) string {
	GinkgoHelper()
	text, err := os.ReadFile(o.LedgerURLFile)
	Expect(err).NotTo(HaveOccurred())
	u, err := url.Parse(strings.TrimSpace(string(text)))
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimPrefix(u.Path, "/")
}

func (p inPostgreSQL) cutLedger(o harness.OperatorOptions) {
	GinkgoHelper()
	p.exec(p.database(o), "DROP TRIGGER bundles_stay ON lethe.bundles; DELETE FROM lethe.bundles WHERE id > (SELECT min(id) FROM lethe.bundles)")
}

func (p inPostgreSQL) copied(o harness.OperatorOptions) (restore func()) {
	GinkgoHelper()
	copied, err := postgres.CreateDatabase(context.Background())
	Expect(err).NotTo(HaveOccurred())
	p.exec("postgres", "DROP DATABASE "+copied)
	p.exec("postgres", "CREATE DATABASE "+copied+" TEMPLATE "+p.database(o))
	return func() { p.lead(o, copied) }
}

func (inPostgreSQL) open(o harness.OperatorOptions) ledgerReader {
	GinkgoHelper()
	reader, err := ledgerpostgresql.OpenReader(context.Background(), wiring.URLFile(o.LedgerURLFile))
	Expect(err).NotTo(HaveOccurred())
	return reader
}

// cutSession ends the session that holds the vault, as an administrator could.
func (p inPostgreSQL) cutSession(o harness.OperatorOptions) {
	GinkgoHelper()
	p.exec(p.database(o), `SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database d ON d.oid = database
		WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND d.datname = current_database()`)
}

// allEntries of the namespace.
func (w *world) allEntries() []ledger.Entry {
	GinkgoHelper()
	reader := keep.open(w.options)
	defer func() { Expect(reader.Close()).To(Succeed()) }()
	var entries []ledger.Entry
	for leaf, err := range reader.Leaves(w, w.ns, ledger.MaxPage) {
		Expect(err).NotTo(HaveOccurred())
		e, err := ledger.DecodeLeaf(leaf)
		Expect(err).NotTo(HaveOccurred())
		entries = append(entries, e)
	}
	return entries
}
