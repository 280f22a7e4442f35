package statepostgresql

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/ledger"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	"github.com/lethe-dev/lethe/internal/pgdb"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/state/statetest"
	"github.com/lethe-dev/lethe/test/pgtest"
)

var (
	ctx     = context.Background()
	start   = time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
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

func TestContract(t *testing.T) {
	statetest.Run(t, statetest.Engine{New: func(t testing.TB) statetest.Place { return newPlace(t) }, Locked: pgdb.ErrLocked})
}

// place is a schema with a state store and a ledger.
type place struct {
	schema, url string
	latest      opened
}

func newPlace(t testing.TB) *place {
	t.Helper()
	p := &place{schema: fmt.Sprint("state", schemas.Add(1))}
	p.url = fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d&sslmode=disable&search_path=%s", server.User, server.Host, server.Port, p.schema)
	t.Cleanup(func() { p.exec(t, "DROP SCHEMA IF EXISTS "+p.schema+" CASCADE") })
	return p
}

func (p *place) connect(t testing.TB, f func(conn *pgx.Conn) error) {
	t.Helper()
	conn, err := server.Connect(ctx, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "SET search_path = "+p.schema); err != nil {
		t.Fatal(err)
	}
	if err := f(conn); err != nil {
		t.Fatal(err)
	}
}

func (p *place) exec(t testing.TB, statement string) {
	t.Helper()
	p.connect(t, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
}

func (p *place) open(signer *ledger.Signer) (opened, error) {
	db, err := pgdb.Open(ctx, pgdb.Options{URL: func() (string, error) { return p.url, nil }, Pause: -1,
		Migrations: []pgdb.Migrations{ledgerpostgresql.Migrations(), Migrations()}})
	if err != nil {
		return opened{}, err
	}
	log, err := ledgerpostgresql.New(db, ledgerpostgresql.Options{LogName: statetest.LogName, Signer: signer})
	if err != nil {
		return opened{}, err
	}
	p.latest = opened{New(db, log)}
	return p.latest, nil
}

func (p *place) Open(signer *ledger.Signer) (statetest.Store, error) { return p.open(signer) }

func (p *place) Unlock(t testing.TB) {
	t.Helper()
	if err := p.latest.db.Alone(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SELECT pg_advisory_unlock_all()")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (p *place) CutLedger(t testing.TB) {
	t.Helper()
	p.exec(t, "DROP TRIGGER bundles_stay ON bundles; DELETE FROM bundles WHERE id % 1099511627776 > 0")
}

// opened is a state store with a schema of its own.
type opened struct{ *Store }

func (o opened) Ledger() ledger.Log { return o.ledger }
func (o opened) Close() error       { return o.db.Close() }

func newStore(t testing.TB) (*place, opened) {
	t.Helper()
	p := newPlace(t)
	s, err := p.open(statetest.Signer())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return p, s
}

// The due ones are found by their index, without looking at those that are held.
func TestDueResiduesAreFoundByIndex(t *testing.T) {
	g := NewWithT(t)
	p, _ := newStore(t)
	p.connect(t, func(conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, "SET enable_seqscan = off"); err != nil {
			return err
		}
		rows, err := conn.Query(ctx, "EXPLAIN "+selectDue, pgx.QueryExecModeSimpleProtocol, 1, 1)
		if err != nil {
			return err
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		g.Expect(strings.Join(plan, "\n")).To(ContainSubstring("Index Scan using residues_due"))
		g.Expect(strings.Join(plan, "\n")).NotTo(ContainSubstring("Sort"))
		return err
	})
}

// Promise 7: what is destroyed leaves the tables' files. What PostgreSQL keeps elsewhere is said in the documentation.
func TestDestroyedMaterialLeavesTheTables(t *testing.T) {
	g := NewWithT(t)
	p, s := newStore(t)
	secret := bytes.Repeat([]byte("CANARY-PLAN-"), 2000) // several pages
	r, run := statetest.Request("1"), &state.Run{UID: "run", Namespace: "hr", Name: "r", Sealed: secret}
	residue := &state.Residue{ID: "res", Namespace: "hr", RequestUID: "1", SubjectPseudonym: r.SubjectPseudonym, Sealed: []byte("CANARY-RES"),
		CreatedAt: start, State: state.ResidueWaiting}
	statetest.Put(g, s, r, run, residue)
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		_, err := tx.Claim("hr", []string{r.SubjectPseudonym}, state.Owner{UID: "1"})
		return err
	})).To(Succeed())
	r.Deactivation, run.Sealed, residue.Sealed, residue.State = nil, nil, nil, state.ResidueDone
	statetest.Put(g, s, run, residue, r)
	g.Expect(s.Update(ctx, func(tx state.Tx) error { return errors.Join(tx.ReleaseClaims("1"), tx.DestroySubjectLink("1")) })).To(Succeed())

	dead := func() (n int) {
		p.connect(t, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `SELECT sum(n_dead_tup) FROM pg_stat_all_tables
				WHERE relid IN ('sealed'::regclass, 'claims'::regclass, 'requests'::regclass, 'residues'::regclass)
				OR relid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'sealed'::regclass)`).Scan(&n)
		})
		return n
	}
	g.Eventually(dead, "10s").Should(BeNumerically(">", 10), "the server counts a little later")
	g.Expect(s.db.Scrub(ctx)).To(Succeed())
	g.Eventually(dead, "10s").Should(BeZero())
}

func BenchmarkUpdateRequest(b *testing.B) {
	_, s := newStore(b)
	r := statetest.Request("1")
	b.ResetTimer()
	for range b.N {
		if err := s.Update(ctx, func(tx state.Tx) error { return tx.PutRequest(r) }); err != nil {
			b.Fatal(err)
		}
	}
}
