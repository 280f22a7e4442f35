// Package statetest is the contract of state.Store as a test suite. Every store passes it on its real database, with the
// ledger beside it.
package statetest

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/state"
)

// LogName is the name of the ledgers beside the stores under test.
const LogName = "lethe.dev/test"

var (
	ctx   = context.Background()
	start = time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)
)

// Store is an open state store.
type Store interface {
	state.Store
	// Ledger beside it.
	Ledger() ledger.Log
	Close() error
}

// Place is where one state store is. Each test has a place of its own.
type Place interface {
	// Open opens the store, and makes it the first time.
	Open(signer *ledger.Signer) (Store, error)
	// Unlock makes the lock of the one that is open ineffective, as a file system or a proxy might.
	Unlock(t testing.TB)
	// CutLedger removes all entries but the first of each origin.
	CutLedger(t testing.TB)
}

// Engine is a kind of store.
type Engine struct {
	// New makes an empty place that goes with the test.
	New func(t testing.TB) Place
	// Locked is the error of opening what is open.
	Locked error
}

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, e Engine)
	}{
		{"records come back as they were", testRecords},
		{"stale writes conflict and leave the record as it was", testConflict},
		{"a panic inside an update undoes it", testPanic},
		{"one of many claims wins", testClaims},
		{"finished requests are found by name", testFinishedByName},
		{"destroyed material and links do not come back", testDestroyed},
		{"due residues are found", testDueResidues},
		{"a lifted hold stays lifted", testLifted},
		{"no hold comes into force while others act", testGate},
		{"the later of two tombstones stays", testTombstones},
		{"baselines of schemas", testBaselines},
		{"schedules are swapped, not overwritten", testSchedules},
		{"certificates are counted and never replaced", testCertificates},
		{"changes and their entries last together", testTogether},
		{"nothing is appended to a ledger that was cut short", testCutShort},
		{"writes at the same time stand or fall alone", testAtTheSameTime},
		{"a second one is locked out, and who was overtaken cannot write", testOvertaken},
		{"a cancelled context writes nothing", testCancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, e) })
	}
}

// Signer of the ledgers beside the stores under test.
func Signer() *ledger.Signer {
	s, err := ledger.NewSigner(LogName, make([]byte, 32))
	if err != nil {
		panic(err) // the name is fine
	}
	return s
}

func open(t testing.TB, p Place) Store {
	t.Helper()
	s, err := p.Open(Signer())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// At is a number of hours after the start.
func At(hours int) *time.Time {
	t := start.Add(time.Duration(hours) * time.Hour)
	return &t
}

// Put writes records.
func Put(g Gomega, s state.Store, records ...any) {
	g.Expect(s.Update(ctx, func(tx state.Tx) error {
		for _, r := range records {
			var err error
			switch r := r.(type) {
			case *state.Request:
				err = tx.PutRequest(r)
			case *state.Run:
				err = tx.PutRun(r)
			case *state.Residue:
				err = tx.PutResidue(r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})).To(Succeed())
}

// Request is a typical one.
func Request(uid string) *state.Request {
	return &state.Request{UID: uid, Namespace: "hr", Name: "er-" + uid, Handle: "h-" + uid, SubjectPseudonym: "p1.k.subject-" + uid,
		Phase: "Pending", Stage: "Grace", ReceivedAt: start, DueAt: *At(30), ConfirmedAt: At(1), ScheduledAt: At(2), ApprovedAt: At(3),
		Policy: json.RawMessage(`{"grace":"P60D"}`), Maps: json.RawMessage(`[1]`), ApprovalNeeded: true, Deactivation: []byte("sealed-deactivation-" + uid),
		DeactivationState: "Done", RunUID: "run", History: json.RawMessage(`[]`)}
}
