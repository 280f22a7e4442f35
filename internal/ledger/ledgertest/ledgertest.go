// Package ledgertest is the contract of ledger.Log as a test suite. Every store passes it on its real database.
package ledgertest

import (
	"bytes"
	"context"
	"iter"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// LogName is the name of the ledgers under test.
const LogName = "lethe.dev/test"

var (
	ctx   = context.Background()
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// Log is an open ledger.
type Log interface {
	ledger.Log
	// Epoch is how many times the ledger was opened, this time included.
	Epoch() int64
	// Hold keeps everybody from writing until the returned function is called.
	Hold(t testing.TB) (release func())
	// Close may be called twice.
	Close() error
}

// Place is where one ledger is, and how somebody with access to the database gets at it. Each test has a place of its own.
type Place interface {
	// Open opens the ledger, and makes it the first time.
	Open(signer note.Signer, rotations ...ledger.Rotation) (Log, error)
	// Unlock makes the lock of the one that is open ineffective, as a file system or a proxy might.
	Unlock(t testing.TB)
	// Texts is the column leaves of the bundles of the only origin in their order, by plain SQL.
	Texts(t testing.TB) [][]byte
	// Exec runs a statement, with what protects the tables in place.
	Exec(statement string) error
	// Tamper is Exec with that protection removed.
	Tamper(t testing.TB, statement string)
	// Retouch is Tamper for the checkpoint of the first origin's bundle that begins at an index.
	Retouch(t testing.TB, index int64, checkpoint []byte)
	// Retell is Retouch for the column leaves.
	Retell(t testing.TB, index int64, texts []byte)
	// Rehash is Tamper for the hash of the key of the first origin's entry at an index.
	Rehash(t testing.TB, index int64, hash []byte)
	// Address leads another process to the ledger, by Engine.OpenAt.
	Address() string
}

// Engine is a kind of store.
type Engine struct {
	// New makes an empty place that goes with the test.
	New func(t testing.TB) Place
	// OpenAt opens the ledger at the address of a place, as soon as nobody else has it open.
	OpenAt func(address string, signer note.Signer, rotations ...ledger.Rotation) (Log, error)
	// Locked is the error of opening what is open.
	Locked error
	// Zeros is an expression for as many zero bytes as the column nodes has.
	Zeros string
	// Former makes a place as a release left it that had one row for each entry, of the first origin, "hr".
	Former func(t testing.TB, rows []FormerRow) Place
}

// Run runs the suite.
func Run(t *testing.T, e Engine) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, e Engine)
	}{
		{"appends, reads and proves", testAppendReadProve},
		{"others' tools verify", testOthersToolsVerify},
		{"the tree depends on the entries only", testTreeDependsOnEntriesOnly},
		{"large appends are whole, and their keys known", testLargeAppends},
		{"concurrent appends are all there", testConcurrentAppends},
		{"a second one is locked out", testLockedOut},
		{"who was overtaken cannot append", testOvertaken},
		{"tampering with the store is found", testTampering},
		{"entries cannot be changed by mistake", testEntriesStay},
		{"another key is refused", testAnotherKey},
		{"tampering within a bundle is found, and where", testTamperedBundle},
		{"keys that a former release hashed are known", testFormerHashes},
		{"what a former release has left is carried over", testFormerRows},
		{"a clock that goes backwards changes no order", testClockBackwards},
		{"a cancelled context appends nothing", testCancelled},
		{"a killed process loses nothing acknowledged", testKilled},
		{"another key goes on with what both have signed", testRotation},
		{"a process that is killed in a rotation loses nothing", testRotationKilled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, e) })
	}
}

// leaves reads the texts of the bundles with nothing of ours.
func leaves(t testing.TB, p Place) (all [][]byte) {
	t.Helper()
	for _, column := range p.Texts(t) {
		all = append(all, bytes.Split(plain(t, column), []byte("\n"))...)
	}
	return all
}

// plain is the text of a column leaves, which has it as it is or in a Zstandard frame.
func plain(t testing.TB, column []byte) []byte {
	t.Helper()
	if bytes.HasPrefix(column, []byte("{")) {
		return column
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	text, err := decoder.DecodeAll(column, nil)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Signer of the ledgers under test, from a seed.
func Signer(seed byte) *ledger.Signer {
	s, err := ledger.NewSigner(LogName, bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		panic(err) // the name is fine
	}
	return s
}

// Entry is a typical one, of 300 bytes.
func Entry(key string) ledger.Entry {
	return ledger.Entry{Key: key, Time: start, Kind: ledger.KindErasureOutcome, Handle: "k3v9x2m4q7", Run: "0b8e6a52-5b0e-4b39-9f0e-6d6b8d3f2a11",
		Step: "3", Reason: "Deleted", Counts: []ledger.Count{{Store: "ats", Entity: "notes", Category: "notes", Action: "Delete", Count: 12}}}
}

func open(t testing.TB, p Place) Log {
	t.Helper()
	l, err := p.Open(Signer(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// Verify checks an origin from its records, with the public key and earlier checkpoints.
func Verify(t rapid.TB, l ledger.Log, origin string, known []ledger.Checkpoint) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(verify(g, l, origin, known)).To(Succeed())
}

func verify(g Gomega, l ledger.Log, origin string, known []ledger.Checkpoint) error {
	last, err := l.Checkpoint(ctx, origin)
	g.Expect(err).NotTo(HaveOccurred())
	key, err := Signer(1).VerifierKeyFor(origin)
	g.Expect(err).NotTo(HaveOccurred())
	verifier, err := note.NewVerifier(key)
	g.Expect(err).NotTo(HaveOccurred())
	return ledger.VerifyRecords(ledger.Evidence{OriginLine: last.OriginLine, Verifier: verifier, Current: last.Note, Earlier: known}, recordsOf(l, origin))
}

// recordsOf are all entries of an origin.
func recordsOf(l ledger.Log, origin string) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for from := uint64(0); ; {
			page, err := l.Entries(ctx, origin, from, 0)
			if err != nil {
				yield(ledger.Record{}, err)
				return
			}
			for _, r := range page {
				if !yield(r, nil) {
					return
				}
			}
			if from += uint64(len(page)); len(page) == 0 {
				return
			}
		}
	}
}
