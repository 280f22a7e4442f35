package ledgertest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/ledger"
)

func testAppendReadProve(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	l := open(t, place)
	_, err := l.Checkpoint(ctx, "hr")
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	g.Expect(l.Origins(ctx)).To(BeEmpty())
	g.Expect(l.Entries(ctx, "hr", 0, 0)).To(BeEmpty())
	g.Expect(l.Check(ctx, "hr", 0, nil)).To(Succeed())
	g.Expect(l.Check(ctx, "hr", 1, make([]byte, 32))).To(MatchError(ledger.ErrTruncated))

	r, err := l.Append(ctx, "hr", Entry("a"), Entry("b"), Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{0, 1, 0}))
	g.Expect(r.Appended).To(Equal(2))
	g.Expect(r.Checkpoint.OriginLine).To(Equal("lethe.dev/test/hr"))
	first := r.Checkpoint

	changed := Entry("b")
	changed.Reason = "Other"
	r, err = l.Append(ctx, "hr", changed)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1}))
	g.Expect(r.Appended).To(BeZero())
	g.Expect(r.Checkpoint).To(Equal(first))

	r, err = l.Append(ctx, "hr", Entry("b"), Entry("c"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1, 2}))
	r, err = l.Append(ctx, "it", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{0}), "origins are apart")
	r, err = l.Append(ctx, "hr")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Appended).To(BeZero())
	_, err = l.Append(ctx, "Not a namespace", Entry("a"))
	g.Expect(err).To(HaveOccurred())

	for i := range 2 { // as it is, and opened anew
		readAndProve(g, l, first)
		if i == 0 {
			g.Expect(l.Close()).To(Succeed())
			l = open(t, place)
			g.Expect(l.Epoch()).To(Equal(int64(2)))
		}
	}
}

// readAndProve reads what testAppendReadProve has appended; first was the checkpoint of the first two entries.
func readAndProve(g Gomega, l Log, first ledger.SignedCheckpoint) {
	records, err := l.Entries(ctx, "hr", 0, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(records).To(HaveLen(3))
	g.Expect(records[1].Entry).To(Equal(Entry("b")))
	page, err := l.Entries(ctx, "hr", 1, 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page).To(Equal(records[1:2]))
	g.Expect(l.Origins(ctx)).To(Equal([]string{"hr", "it"}))
	found, err := l.Find(ctx, "hr", "c")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(found).To(Equal(records[2]))
	_, err = l.Find(ctx, "it", "c")
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	g.Expect(l.Check(ctx, "hr", 2, first.Root)).To(Succeed())
	g.Expect(l.Check(ctx, "hr", 2, make([]byte, 32))).To(MatchError(ledger.ErrForked))
	g.Expect(l.Check(ctx, "hr", 4, first.Root)).To(MatchError(ledger.ErrTruncated))
}

// Nothing of ours: golang.org/x/mod/sumdb/note opens the checkpoint, transparency-dev/merkle checks the proofs, and the
// leaves come out of the database by plain SQL and klauspost/compress.
func testOthersToolsVerify(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	l := open(t, place)
	var last ledger.SignedCheckpoint
	var n uint64
	for _, group := range []int{1, 1, 2, 3, 1, 64, 65, 1, 1, 130, 5, 1} { // bundles that fit the tree's subtrees, and do not
		entries := make([]ledger.Entry, group)
		for i := range entries {
			entries[i] = Entry(fmt.Sprint(n))
			n++
		}
		r, err := l.Append(ctx, "hr", entries...)
		g.Expect(err).NotTo(HaveOccurred())
		last = r.Checkpoint
	}
	verifierKey, err := Signer(1).VerifierKeyFor("hr")
	g.Expect(err).NotTo(HaveOccurred())

	verifier, err := note.NewVerifier(verifierKey)
	g.Expect(err).NotTo(HaveOccurred())
	opened, err := note.Open(last.Note, note.VerifierList(verifier))
	g.Expect(err).NotTo(HaveOccurred())
	var origin, root64 string
	var size uint64
	_, err = fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &origin, &size, &root64)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(origin).To(Equal(verifier.Name()))
	g.Expect(size).To(Equal(n))

	stored := leaves(t, place)
	g.Expect(stored).To(HaveLen(int(n)))
	ranges := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	tree := ranges.NewEmptyRange(0)
	for i := range n {
		hash := rfc6962.DefaultHasher.HashLeaf(stored[i])
		hashes, err := l.InclusionProof(ctx, "hr", i, size)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(proof.VerifyInclusion(rfc6962.DefaultHasher, i, size, hash, hashes, last.Root)).To(Succeed())
		g.Expect(tree.Append(hash, nil)).To(Succeed())
		root, err := tree.GetRootHash(nil)
		g.Expect(err).NotTo(HaveOccurred())
		hashes, err = l.ConsistencyProof(ctx, "hr", i+1, size)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(proof.VerifyConsistency(rfc6962.DefaultHasher, i+1, size, hashes, root, last.Root)).To(Succeed())
	}
	_, err = l.InclusionProof(ctx, "hr", n, n)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
	_, err = l.InclusionProof(ctx, "hr", 1, n+1)
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}

// The way entries come in, alone or in groups, with repetitions, changes nothing about the tree.
func testTreeDependsOnEntriesOnly(t *testing.T, e Engine) {
	place, cases := e.New(t), 0
	rapid.Check(t, func(rt *rapid.T) {
		g := NewWithT(rt)
		cases++
		origin := fmt.Sprint("hr", cases)
		l, err := place.Open(Signer(1))
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { _ = l.Close() }()
		var tree ledger.Tree
		var known []ledger.Checkpoint
		index := map[string]uint64{}
		for range rapid.IntRange(1, 8).Draw(rt, "appends") {
			keys := rapid.SliceOfN(rapid.StringMatching("[a-f][a-d]"), 1, 6).Draw(rt, "keys")
			var entries []ledger.Entry
			var want []uint64
			for _, key := range keys {
				entries = append(entries, Entry(key))
				if _, ok := index[key]; !ok {
					index[key] = tree.Size()
					leaf, _ := ledger.EncodeLeaf(Entry(key))
					tree, _ = tree.With(ledger.LeafHash(leaf))
				}
				want = append(want, index[key])
			}
			r, err := l.Append(ctx, origin, entries...)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(r.Indexes).To(Equal(want))
			g.Expect(r.Checkpoint.Root).To(Equal(tree.Root()))
			known = append(known, r.Checkpoint.Checkpoint)
			if rapid.IntRange(0, 3).Draw(rt, "reopen") == 0 {
				g.Expect(l.Close()).To(Succeed())
				l, err = place.Open(Signer(1))
				g.Expect(err).NotTo(HaveOccurred())
			}
		}
		Verify(rt, l, origin, known)
	})
}

// More entries than one statement takes.
func testLargeAppends(t *testing.T, e Engine) {
	g := NewWithT(t)
	l := open(t, e.New(t))
	var known []ledger.Checkpoint
	total := 0
	for _, n := range []int{1, 63, 64, 65, 200, 1000} {
		entries := make([]ledger.Entry, 0, n+1)
		for i := range n {
			entries = append(entries, Entry(fmt.Sprint(total+i)))
		}
		r, err := l.Append(ctx, "hr", append(entries, Entry("0"))...) // the last one is there already
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(r.Appended).To(Equal(n))
		g.Expect(r.Indexes).To(HaveLen(n + 1))
		g.Expect(r.Indexes[0]).To(Equal(uint64(total)))
		g.Expect(r.Indexes[n]).To(BeZero())
		total += n
		g.Expect(r.Checkpoint.Size).To(Equal(uint64(total)))
		known = append(known, r.Checkpoint.Checkpoint)
		r, err = l.Append(ctx, "hr", entries...)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(r.Appended).To(BeZero(), "all keys are known")
		for i := range n {
			found, err := l.Find(ctx, "hr", entries[i].Key)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(found.Index).To(Equal(uint64(total - n + i)))
		}
		middle, err := l.Entries(ctx, "hr", uint64(total-n/2-1), 1)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(middle).To(HaveLen(1))
		g.Expect(middle[0].Entry).To(Equal(entries[n-n/2-1]))
	}
	Verify(t, l, "hr", known)
}

func testConcurrentAppends(t *testing.T, e Engine) {
	g := NewWithT(t)
	l := open(t, e.New(t))
	var group sync.WaitGroup
	var mu sync.Mutex
	seen := map[uint64]bool{}
	for w := range 8 {
		group.Go(func() {
			for i := range 40 {
				r, err := l.Append(ctx, "hr", Entry(fmt.Sprint(w, i)))
				mu.Lock()
				if err == nil {
					seen[r.Indexes[0]] = true
				}
				mu.Unlock()
				_, _ = l.InclusionProof(ctx, "hr", 0, r.Checkpoint.Size)
			}
		})
	}
	group.Wait()
	g.Expect(seen).To(HaveLen(320))
	Verify(t, l, "hr", nil)
}

// A ledger that began when keys were hashed in another way goes on, and knows all of them.
func testFormerHashes(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	l := open(t, place)
	_, err := l.Append(ctx, "hr", Entry("h/1"), Entry("h/2"), Entry("x"))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = l.Append(ctx, "it", Entry("h/1"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())
	for i, key := range []string{"h/1", "h/2", "x"} {
		sum := sha256.Sum256(append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, key...))
		place.Rehash(t, int64(i), sum[:16])
	}
	l = open(t, place)
	r, err := l.Append(ctx, "hr", Entry("h/2"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1}))
	r, err = l.Append(ctx, "hr", Entry("x"), Entry("h/3"), Entry("h/1"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{2, 3, 0}))
	r, err = l.Append(ctx, "hr", Entry("h/3"), Entry("h/4"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{3, 4}))
	for i, key := range []string{"h/1", "h/2", "x", "h/3", "h/4"} {
		found, err := l.Find(ctx, "hr", key)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found.Index).To(Equal(uint64(i)))
	}
	r, err = l.Append(ctx, "it", Entry("h/1"), Entry("h/2"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{0, 1}))
	Verify(t, l, "hr", nil)
}

// Entries stand in the order in which they came, whatever their times say, also after the ledger was opened anew with a clock
// that was set back.
func testClockBackwards(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	var known []ledger.Checkpoint
	for i, at := range []time.Time{start, start.AddDate(-30, 0, 0), start.Add(time.Hour), time.Unix(0, 0), start} {
		l := open(t, place)
		for j := range 3 {
			entry := Entry(fmt.Sprint(i, "-", j))
			entry.Time = at.Add(-time.Duration(j) * time.Minute)
			r, err := l.Append(ctx, "hr", entry)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(r.Indexes).To(Equal([]uint64{uint64(3*i + j)}))
			known = append(known, r.Checkpoint.Checkpoint)
		}
		Verify(t, l, "hr", known)
		g.Expect(l.Close()).To(Succeed())
	}
}

func testCancelled(t *testing.T, e Engine) {
	g := NewWithT(t)
	l := open(t, e.New(t))
	_, err := l.Append(ctx, "hr", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	release := l.Hold(t)
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = l.Append(short, "hr", Entry("b"))
	g.Expect(errors.Is(err, context.DeadlineExceeded)).To(BeTrue())
	release()
	_, err = l.Find(ctx, "hr", "b")
	g.Expect(err).To(MatchError(ledger.ErrNotFound))
}
