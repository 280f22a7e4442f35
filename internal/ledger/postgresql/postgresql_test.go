package ledgerpostgresql

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sys/unix"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/ledgertest"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/test/pgtest"
)

var (
	ctx     = context.Background()
	server  *pgtest.Server
	schemas atomic.Int64
	engine  = ledgertest.Engine{
		New:    func(t testing.TB) ledgertest.Place { return newPlace(t) },
		OpenAt: openAt,
		Locked: pgdb.ErrLocked,
		Zeros:  `decode(repeat('00', length(nodes)), 'hex')`,
		Former: former,
	}
)

func TestMain(m *testing.M) {
	ledgertest.Child(engine)
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

func TestContract(t *testing.T) { ledgertest.Run(t, engine) }

// place is a schema with nothing but a ledger.
type place struct {
	url    string
	conn   *pgx.Conn
	latest *pgdb.DB
}

func newPlace(t testing.TB) *place {
	t.Helper()
	schema := fmt.Sprint("ledger", schemas.Add(1))
	p := &place{url: fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d&sslmode=disable&search_path=%s", server.User, server.Host, server.Port, schema)}
	var err error
	if p.conn, err = server.Connect(ctx, "postgres"); err == nil {
		_, err = p.conn.Exec(ctx, "SET search_path = "+schema)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := p.conn.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE"); err != nil {
			t.Error(err)
		}
		_ = p.conn.Close(ctx)
	})
	return p
}

// former has the schema of the first release.
func former(t testing.TB, rows []ledgertest.FormerRow) ledgertest.Place {
	t.Helper()
	p, files := newPlace(t), fstest.MapFS{}
	text, err := migrations.ReadFile("migrations/00001_ledger.sql")
	if err != nil {
		t.Fatal(err)
	}
	files["00001_ledger.sql"] = &fstest.MapFile{Data: text}
	db, err := pgdb.Open(ctx, pgdb.Options{URL: func() (string, error) { return p.url, nil }, Pause: -1, Migrations: []pgdb.Migrations{{Part: "ledger", Files: files}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Exec("INSERT INTO origins VALUES (1, 'hr')"); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if _, err := p.conn.Exec(ctx, "INSERT INTO entries VALUES ($1, $2, $3, $4, $5)", r.ID, r.KeyHash, r.Leaf, r.Nodes, r.Checkpoint); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// open does not wait for predecessors: what holds here holds without the pause, which is for effects outside of the database.
func open(url string, signer note.Signer, rotations ...ledger.Rotation) (opened, error) {
	db, err := pgdb.Open(ctx, pgdb.Options{URL: func() (string, error) { return url, nil }, Pause: -1, Migrations: []pgdb.Migrations{Migrations()}})
	if err != nil {
		return opened{}, err
	}
	l, err := New(db, Options{LogName: ledgertest.LogName, Signer: signer, Rotations: rotations})
	return opened{l, db}, err
}

// openAt waits until the server has noticed that a killed process is gone.
func openAt(url string, signer note.Signer, rotations ...ledger.Rotation) (ledgertest.Log, error) {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		l, err := open(url, signer, rotations...)
		if !errors.Is(err, pgdb.ErrLocked) || time.Now().After(deadline) {
			return l, err
		}
	}
}

func (p *place) Open(signer note.Signer, rotations ...ledger.Rotation) (ledgertest.Log, error) {
	l, err := open(p.url, signer, rotations...)
	if err == nil {
		p.latest = l.db
	}
	return l, err
}

func (p *place) Address() string { return p.url }

// Unlock does what a proxy does that gives the connection's session to somebody else.
func (p *place) Unlock(t testing.TB) {
	t.Helper()
	err := p.latest.Alone(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) Exec(statement string) error {
	_, err := p.conn.Exec(ctx, statement)
	return err
}

func (p *place) Tamper(t testing.TB, statement string) {
	t.Helper()
	p.unprotect(t)
	if err := p.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

func (p *place) unprotect(t testing.TB) {
	t.Helper()
	for _, table := range []string{"bundles", "keys"} {
		if err := p.Exec("DROP TRIGGER IF EXISTS " + table + "_stay ON " + table); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *place) Retouch(t testing.TB, index int64, checkpoint []byte) {
	t.Helper()
	p.set(t, "bundles", "checkpoint", index, checkpoint)
}

func (p *place) Retell(t testing.TB, index int64, texts []byte) {
	t.Helper()
	p.set(t, "bundles", "leaves", index, texts)
}

func (p *place) Rehash(t testing.TB, index int64, hash []byte) {
	t.Helper()
	p.set(t, "keys", "hash", index, hash)
}

func (p *place) set(t testing.TB, table, column string, index int64, value []byte) {
	t.Helper()
	p.unprotect(t)
	if _, err := p.conn.Exec(ctx, "UPDATE "+table+" SET "+column+" = $1 WHERE id = $2", value, int64(1)<<40+index); err != nil {
		t.Fatal(err)
	}
}

func (p *place) Texts(t testing.TB) [][]byte {
	t.Helper()
	rows, err := p.conn.Query(ctx, "SELECT leaves FROM bundles ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	return texts
}

// opened is a ledger with a schema of its own.
type opened struct {
	*Log
	db *pgdb.DB
}

func (o opened) Epoch() int64 { return o.db.Epoch() }
func (o opened) Close() error { return o.db.Close() }

func (o opened) Hold(testing.TB) (release func()) {
	begun, end, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = o.db.Write(ctx, func(context.Context, *pgdb.Tx) error { close(begun); <-end; return nil })
	}()
	<-begun
	return func() { close(end); <-ended }
}

func TestEntriesAreReadablePerSQL(t *testing.T) {
	p := newPlace(t)
	l, err := p.Open(ledgertest.Signer(1))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(ctx, "hr", ledgertest.Entry("a"), ledgertest.Entry("b")); err != nil {
		t.Fatal(err)
	}
	var keys []string
	if err := p.conn.QueryRow(ctx, `SELECT array_agg(leaf::jsonb ->> 'key')
		FROM bundles, unnest(string_to_array(convert_from(leaves, 'UTF8'), E'\n')) AS leaf`).Scan(&keys); err != nil || !slices.Equal(keys, []string{"a", "b"}) {
		t.Fatal(keys, err)
	}
}

// limitFiles bounds the files of the processes that are started from here on, until it is called with another bound.
func limitFiles(t *testing.T, size uint64) {
	t.Helper()
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit)
	if err == nil {
		limit.Cur = min(size, limit.Max)
		err = unix.Setrlimit(unix.RLIMIT_FSIZE, &limit)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The file of the table cannot grow any more: the limit is on the server, so that it is the server's own error.
func TestFullDiskLosesNothingAcknowledged(t *testing.T) {
	limitFiles(t, 16<<20) // the size of a file of the write-ahead log, which must go on
	small, err := pgtest.Start(ctx, pgtest.Options{})
	limitFiles(t, unix.RLIM_INFINITY)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = small.Stop() }()
	url := fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d&sslmode=disable", small.User, small.Host, small.Port)
	l, err := open(url, ledgertest.Signer(1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	n := 0
	page := func() []ledger.Entry {
		entries := make([]ledger.Entry, ledger.MaxPage)
		for i := range entries {
			entries[i] = ledgertest.Entry(fmt.Sprint(n + i))
			noise := make([]byte, 400)
			_, _ = rand.Read(noise)
			entries[i].Attributes = map[string]string{"digest": hex.EncodeToString(noise)} // the server compresses what repeats itself
		}
		return entries
	}
	var last ledger.Receipt
	for ; ; n += ledger.MaxPage {
		r, err := l.Append(ctx, "hr", page()...)
		if err != nil {
			if !strings.Contains(err.Error(), "append to the ledger") {
				t.Fatal(err)
			}
			break
		}
		if last = r; n > 100_000 {
			t.Fatal("the file grew on")
		}
	}
	if n == 0 {
		t.Fatal("nothing was acknowledged before")
	}
	for range 3 { // and nothing forks
		if _, err := l.Append(ctx, "hr", page()...); err == nil {
			t.Fatal("the file grew on")
		}
	}
	c, err := l.Checkpoint(ctx, "hr")
	if err != nil || c.Size != uint64(n) || c.Size != last.Checkpoint.Size {
		t.Fatalf("%d of %d acknowledged entries are there: %v", c.Size, n, err)
	}
	_ = l.Close()
	if err := errors.Join(small.Kill(), small.Restart(ctx)); err != nil { // with room, and by way of its recovery
		t.Fatal(err)
	}
	if l, err = open(url, ledgertest.Signer(1)); err != nil {
		t.Fatal(err)
	}
	r, err := l.Append(ctx, "hr", page()...)
	if err != nil || r.Indexes[0] != uint64(n) {
		t.Fatalf("%v %v", r.Indexes, err)
	}
	ledgertest.Verify(t, l, "hr", []ledger.Checkpoint{last.Checkpoint.Checkpoint, r.Checkpoint.Checkpoint})
}
