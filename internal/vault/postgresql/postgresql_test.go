package vaultpostgresql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/mod/sumdb/note"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/ledgertest"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/test/pgtest"
)

var (
	ctx    = context.Background()
	server *pgtest.Server
)

// lease is short, but longer than a busy machine pauses a process.
const lease = 3 * time.Second

func TestMain(m *testing.M) {
	ledgertest.Child(ledgertest.Engine{OpenAt: func(url string, signer note.Signer, rotations ...ledger.Rotation) (ledgertest.Log, error) {
		return openAt(url, signer, rotations...)
	}})
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

// through appends to the ledger together with a change of the state store.
type through struct {
	*ledgerpostgresql.Log
	*Vault
}

// openAt waits, as a second replica does, until nobody else has the vault.
func openAt(url string, signer note.Signer, rotations ...ledger.Rotation) (*through, error) {
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		v, err := Open(ctx, Options{URL: func() (string, error) { return url, nil }, Lease: lease,
			Ledger: ledgerpostgresql.Options{LogName: ledgertest.LogName, Signer: signer, Rotations: rotations}})
		if err == nil {
			return &through{v.Ledger, v}, nil
		}
		if !errors.Is(err, ErrLocked) || time.Now().After(deadline) {
			return nil, err
		}
	}
}

func (t *through) Append(ctx context.Context, origin string, entries ...ledger.Entry) (r ledger.Receipt, _ error) {
	var receipt *ledger.Receipt
	err := t.State.Update(ctx, func(tx state.Tx) (err error) {
		if err := tx.PutRequest(&state.Request{UID: entries[0].Key, Namespace: origin, Name: entries[0].Key, Deactivation: []byte("sealed")}); err != nil {
			return err
		}
		receipt, err = tx.Append(origin, entries...)
		return err
	})
	if err != nil {
		return r, err
	}
	return *receipt, nil
}

func (t *through) Epoch() int64               { return t.State.Epoch() }
func (t *through) Hold(testing.TB) (_ func()) { return func() {} }

// cut ends the sessions that have a lock, as an administrator would.
func cut() error {
	conn, err := server.Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lethe'
		AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)`)
	return errors.Join(err, conn.Close(ctx))
}

// Two processes want to write. Whichever has the vault is killed, or its connection is cut: the other one goes on. What either
// was told that it is durable is there, state and entries alike, at its place in one log that continues every checkpoint.
func TestTwoProcessesNeverForkTheTreeAndLoseNothing(t *testing.T) {
	g := NewWithT(t)
	url := fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d&sslmode=disable&search_path=two", server.User, server.Host, server.Port)
	var acknowledged ledgertest.Acknowledged
	var stop atomic.Bool
	var processes sync.WaitGroup
	var kills, cuts, ends atomic.Int64
	for range 2 {
		processes.Go(func() {
			for !stop.Load() {
				child := ledgertest.StartChild(t, url)
				after := time.AfterFunc(time.Hour, func() {})
				first := true
				for {
					more, reason := child.Next(&acknowledged)
					if !more {
						if reason != "" {
							ends.Add(1)
						}
						break
					}
					if !first {
						continue
					}
					first = false
					// This one has the vault. A little later, in the middle of something:
					after = time.AfterFunc(time.Duration(200+rand.IntN(400))*time.Millisecond, func() {
						if rand.IntN(2) == 0 {
							kills.Add(1)
							_ = child.Process.Signal(syscall.SIGKILL)
							return
						}
						cuts.Add(1)
						if err := cut(); err != nil {
							t.Error(err)
						}
					})
				}
				after.Stop()
			}
		})
	}
	g.Eventually(func() int64 { return min(kills.Load(), cuts.Load()) }, "3m", "100ms").Should(BeNumerically(">=", 3))
	stop.Store(true)
	processes.Wait()
	v, err := openAt(url, ledgertest.Signer(1))
	g.Expect(err).NotTo(HaveOccurred())
	defer v.Close()
	g.Expect(len(acknowledged.Indexes)).To(BeNumerically(">", 20))
	acknowledged.AllThere(t, v)
	for key := range acknowledged.Indexes {
		_, err := v.State.Request(ctx, key)
		g.Expect(err).NotTo(HaveOccurred())
	}
	t.Logf("%d acknowledged changes in %d lives: %d kills, %d cuts, %d ends by error", len(acknowledged.Indexes), v.Epoch()-1, kills.Load(), cuts.Load(), ends.Load())
}
