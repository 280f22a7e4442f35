package ledger_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// generation is the key of a generation, under the name of the log.
func generation(t rapid.TB, seed byte) *ledger.Signer {
	t.Helper()
	s, err := ledger.NewSigner(logName, bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rotate(t rapid.TB, from, to *ledger.Signer) ledger.Rotation {
	t.Helper()
	r, err := ledger.Rotate(from, to)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func trusted(t rapid.TB, s *ledger.Signer) ledger.VerifierKeys {
	t.Helper()
	keys, err := ledger.ParseVerifierKeys(s.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestAnyKeyOfAChainLeadsToTheOthers(t *testing.T) {
	g := NewWithT(t)
	var keys []*ledger.Signer
	for i := range byte(4) {
		keys = append(keys, generation(t, i+1))
	}
	chain := []ledger.Rotation{rotate(t, keys[1], keys[2]), rotate(t, keys[0], keys[1]), rotate(t, keys[2], keys[3])}
	var file []byte
	for _, r := range chain {
		file = append(append(file, r.Note...), '\n')
	}
	read, err := ledger.ParseRotations(file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(read).To(Equal(chain))
	g.Expect(rotate(t, keys[0], keys[1]).Note).To(Equal(chain[1].Note), "the same keys make the same text")

	for i := range keys {
		named, err := keys[i].Named(originLine)
		g.Expect(err).NotTo(HaveOccurred())
		c, err := ledger.Checkpoint{OriginLine: originLine, Size: 3, Root: make([]byte, 32)}.Sign(named)
		g.Expect(err).NotTo(HaveOccurred())
		for j := range keys {
			_, _, err := trusted(t, keys[j]).Extend(read...).OpenCheckpoint(c.Note)
			g.Expect(err).NotTo(HaveOccurred(), "signed with %d, trusted is %d", i, j)
			_, _, err = trusted(t, keys[j]).OpenCheckpoint(c.Note)
			g.Expect(err == nil).To(Equal(i == j))
		}
		_, _, err = trusted(t, keys[0]).Extend(read[0], read[2]).OpenCheckpoint(c.Note)
		g.Expect(err == nil).To(Equal(i == 0), "a link is missing")
		_, _, err = trusted(t, generation(t, 9)).Extend(read...).OpenCheckpoint(c.Note)
		g.Expect(err).To(HaveOccurred(), "a stranger's key leads nowhere")
	}
	// A key of one namespace alone does not become one of all.
	named, err := keys[0].Named(originLine)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(trusted(t, named).Extend(read...)).To(HaveLen(1))
}

func TestForgedRotationsAreRefused(t *testing.T) {
	g := NewWithT(t)
	from, to := generation(t, 1), generation(t, 2)
	good := rotate(t, from, to)
	// Others' tools read it too.
	verifier, err := note.NewVerifier(from.VerifierKey())
	g.Expect(err).NotTo(HaveOccurred())
	opened, err := note.Open(good.Note, note.VerifierList(verifier))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(opened.Text).To(ContainSubstring(to.VerifierKey()))

	text := opened.Text
	sign := func(text string, signers ...note.Signer) []byte {
		signed, err := note.Sign(&note.Note{Text: text}, signers...)
		g.Expect(err).NotTo(HaveOccurred())
		return signed
	}
	other, err := ledger.NewSigner("lethe.dev/other", bytes.Repeat([]byte{3}, 32))
	g.Expect(err).NotTo(HaveOccurred())
	for name, forged := range map[string][]byte{
		"by the old key alone": sign(text, from),
		"by the new key alone": sign(text, to),
		"by a third key too":   sign(text, from, to, generation(t, 3)),
		"of two ledgers":       sign(strings.Replace(text, to.VerifierKey(), other.VerifierKey(), 1), from, other),
		"of one key":           sign(strings.Replace(text, to.VerifierKey(), from.VerifierKey(), 1), from),
		"with more text":       sign(text+"and more\n", from, to),
		"with another title":   sign(strings.Replace(text, "Lethe", "Leth", 1), from, to),
		"empty":                nil,
	} {
		_, err := ledger.ParseRotation(forged)
		g.Expect(err).To(MatchError(ledger.ErrBadRotation), name)
	}
	rapid.Check(t, func(t *rapid.T) {
		forged := bytes.Clone(good.Note)
		forged[rapid.IntRange(0, len(forged)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		if _, err := ledger.ParseRotation(forged); err == nil {
			t.Fatalf("accepted:\n%s", forged)
		}
	})
}

func TestAnEntryHoldsItsRotation(t *testing.T) {
	g := NewWithT(t)
	r := rotate(t, generation(t, 1), generation(t, 2))
	leaf, err := ledger.EncodeLeaf(r.Entry(start))
	g.Expect(err).NotTo(HaveOccurred())
	other, err := ledger.EncodeLeaf(entry(1))
	g.Expect(err).NotTo(HaveOccurred())
	found := ledger.RotationsIn(bytes.NewReader(bytes.Join([][]byte{other, leaf, other, nil}, []byte("\n"))))
	g.Expect(found).To(Equal([]ledger.Rotation{r}))
	e := r.Entry(start.Add(time.Hour))
	e.Attributes["statement"] = "nonsense"
	_, ok := ledger.RotationOf(e)
	g.Expect(ok).To(BeFalse())
}
