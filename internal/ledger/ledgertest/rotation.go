package ledgertest

import (
	"cmp"
	"slices"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests

	"github.com/lethe-dev/lethe/internal/ledger"
)

// rotations lead to the key of a generation.
func rotations(generation byte) (list []ledger.Rotation) {
	for g := byte(1); g < generation; g++ {
		r, err := ledger.Rotate(Signer(g), Signer(g+1))
		if err != nil {
			panic(err)
		}
		list = append(list, r)
	}
	return list
}

// verifyChain checks a log from its records, trusting the key of one generation alone.
func verifyChain(g Gomega, l ledger.Log, trusted, last byte, known []ledger.Checkpoint) {
	c, err := l.Checkpoint(ctx, "hr")
	g.Expect(err).NotTo(HaveOccurred())
	keys := ledger.VerifierKeys{Signer(trusted).VerifierKeyValue()}.Extend(rotations(last)...)
	_, verifier, err := keys.OpenCheckpoint(c.Note)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(ledger.VerifyRecords(ledger.Evidence{OriginLine: c.OriginLine, Verifier: verifier, Current: c.Note, Earlier: known}, recordsOf(l, "hr"))).To(Succeed())
}

// keyEntries are the entries of rotations, in order.
func keyEntries(g Gomega, l ledger.Log) (entries []ledger.Record) {
	for r, err := range recordsOf(l, "hr") {
		g.Expect(err).NotTo(HaveOccurred())
		if r.Entry.Kind == ledger.KindKeyRotated {
			entries = append(entries, r)
		}
	}
	return entries
}

// A log goes on under another key with an entry that both keys have signed, before anything else that the new one signs.
func testRotation(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	openAs := func(generation byte) Log {
		l, err := place.Open(Signer(generation), rotations(generation)...)
		g.Expect(err).NotTo(HaveOccurred())
		return l
	}
	var known []ledger.Checkpoint
	add := func(l ledger.Log, keys ...string) []uint64 {
		var entries []ledger.Entry
		for _, key := range keys {
			entries = append(entries, Entry(key))
		}
		r, err := l.Append(ctx, "hr", entries...)
		g.Expect(err).NotTo(HaveOccurred())
		known = append(known, r.Checkpoint.Checkpoint)
		return r.Indexes
	}
	l := openAs(1)
	g.Expect(add(l, "a")).To(Equal([]uint64{0}))
	g.Expect(l.Close()).To(Succeed())

	l = openAs(2)
	g.Expect(add(l, "b", "a", "c")).To(Equal([]uint64{2, 0, 3}), "the entry of the rotation is the second")
	g.Expect(add(l, "d")).To(Equal([]uint64{4}))
	_, err := l.Append(ctx, "it", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())

	// Who still has the old key cannot go on with it, with or without what the new one signed.
	old, err := place.Open(Signer(1))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = old.Append(ctx, "hr", Entry("x"))
	g.Expect(err).To(MatchError(ledger.ErrWrongKey))
	g.Expect(old.Close()).To(Succeed())
	forged, err := known[len(known)-1].Sign(named(g, 1))
	g.Expect(err).NotTo(HaveOccurred())

	// Two rotations at once, of which the log knows none.
	l = openAs(4)
	g.Expect(add(l, "d")).To(Equal([]uint64{4}), "nothing new but the entries of two rotations")
	g.Expect(add(l, "e")).To(Equal([]uint64{7}))
	entries := keyEntries(g, l)
	g.Expect(entries).To(HaveLen(3))
	for i, index := range []uint64{1, 5, 6} {
		r, ok := ledger.RotationOf(entries[i].Entry)
		g.Expect(ok).To(BeTrue())
		g.Expect(r).To(Equal(rotations(4)[i]))
		g.Expect(entries[i].Index).To(Equal(index))
	}
	slices.SortStableFunc(known, func(a, b ledger.Checkpoint) int { return cmp.Compare(a.Size, b.Size) })
	for trusted := byte(1); trusted <= 4; trusted++ {
		verifyChain(g, l, trusted, 4, known)
	}
	page, err := l.Entries(ctx, "it", 0, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page).To(HaveLen(1))
	g.Expect(l.Close()).To(Succeed())

	// A checkpoint that the old key signed since is one of a wrong key.
	place.Tamper(t, "DELETE FROM bundles WHERE id BETWEEN 1099511627781 AND 2199023255551") // of the first origin, after index 4
	place.Retouch(t, 4, forged.Note)
	l = openAs(2)
	_, err = l.Append(ctx, "hr", Entry("y"))
	g.Expect(err).To(MatchError(ledger.ErrWrongKey))
	g.Expect(l.Close()).To(Succeed())
}

func named(g Gomega, generation byte) *ledger.Signer {
	s, err := Signer(generation).Named(ledger.OriginLine(LogName, "hr"))
	g.Expect(err).NotTo(HaveOccurred())
	return s
}

// Killed while the key is rotated, again and again: nothing acknowledged is lost, and the log has each rotation once, before
// what the new key signs.
func testRotationKilled(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	var acknowledged Acknowledged
	const last = byte(12)
	for generation := byte(1); generation < last; generation++ {
		child := startChild(t, place.Address(), generation)
		killed := false
		kill := func() { _ = child.Process.Signal(syscall.SIGKILL) }
		if generation%3 == 0 { // before it may have acknowledged anything
			time.AfterFunc(time.Duration(generation)*7*time.Millisecond, kill)
		}
		for {
			more, reason := child.Next(&acknowledged)
			if !more {
				g.Expect(reason).To(BeEmpty())
				break
			}
			if !killed {
				killed = true
				time.AfterFunc(time.Duration(generation)*time.Millisecond, kill)
			}
		}
	}
	l, err := e.OpenAt(place.Address(), Signer(last), rotations(last)...)
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = l.Close() }()
	_, err = l.Append(ctx, "hr", Entry("end"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(acknowledged.Indexes)).To(BeNumerically(">", 6))
	acknowledged.there(g, l)
	entries := keyEntries(g, l)
	g.Expect(entries).To(HaveLen(int(last) - 1))
	for i := range entries {
		r, ok := ledger.RotationOf(entries[i].Entry)
		g.Expect(ok).To(BeTrue())
		g.Expect(r).To(Equal(rotations(last)[i]))
	}
	verifyChain(g, l, 1, last, acknowledged.Known)
	verifyChain(g, l, last, last, acknowledged.Known)
}
