package ledgertest

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests

	"github.com/lethe-dev/lethe/internal/ledger"
)

func testLockedOut(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	l := open(t, place)
	_, err := place.Open(Signer(1))
	g.Expect(err).To(MatchError(e.Locked))
	_, err = l.Append(ctx, "hr", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())
	g.Expect(l.Close()).To(Succeed())
	open(t, place)
}

func testOvertaken(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	old := open(t, place)
	_, err := old.Append(ctx, "hr", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	place.Unlock(t)
	successor := open(t, place)
	for _, entries := range [][]ledger.Entry{{Entry("b")}, {Entry("c"), Entry("d")}, {Entry("a")}} {
		_, err = old.Append(ctx, "hr", entries...)
		g.Expect(err).To(MatchError(ledger.ErrStaleEpoch))
	}
	_, err = old.Append(ctx, "new", Entry("b"))
	g.Expect(err).To(MatchError(ledger.ErrStaleEpoch))
	r, err := successor.Append(ctx, "hr", Entry("b"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1}))
	Verify(t, successor, "hr", nil)
}

func testTampering(t *testing.T, e Engine) {
	const index = "id % 1099511627776"
	for name, c := range map[string]struct {
		statement string
		want      error
	}{
		"tail cut off":    {"DELETE FROM bundles WHERE " + index + " > 6", ledger.ErrTruncated},
		"all gone":        {"DELETE FROM bundles", ledger.ErrTruncated},
		"node changed":    {"UPDATE bundles SET nodes = " + e.Zeros + " WHERE " + index + " = 7", ledger.ErrCorrupt},
		"node shortened":  {"UPDATE bundles SET nodes = substr(nodes, 1, 32) WHERE " + index + " = 7", ledger.ErrCorrupt},
		"checkpoint gone": {"UPDATE bundles SET checkpoint = NULL WHERE " + index + " = 9", ledger.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			place := e.New(t)
			l := open(t, place)
			var last ledger.SignedCheckpoint
			for i := range 10 {
				r, err := l.Append(ctx, "hr", Entry(fmt.Sprint(i)))
				g.Expect(err).NotTo(HaveOccurred())
				last = r.Checkpoint
			}
			g.Expect(l.Close()).To(Succeed())
			place.Tamper(t, c.statement)
			l = open(t, place)
			g.Expect(l.Check(ctx, "hr", last.Size, last.Root)).To(MatchError(c.want))
		})
	}
	t.Run("tail cut off while it is open", func(t *testing.T) {
		g := NewWithT(t)
		place := e.New(t)
		l := open(t, place)
		for i := range 10 {
			_, err := l.Append(ctx, "hr", Entry(fmt.Sprint(i)))
			g.Expect(err).NotTo(HaveOccurred())
		}
		place.Tamper(t, "DELETE FROM bundles WHERE "+index+" > 6")
		for _, entries := range [][]ledger.Entry{{Entry("x")}, {Entry("y"), Entry("y")}} {
			_, err := l.Append(ctx, "hr", entries...)
			g.Expect(err).To(Or(MatchError(ledger.ErrCorrupt), MatchError(ledger.ErrTruncated)))
		}
		g.Expect(leaves(t, place)).To(HaveLen(7))
	})
}

func statement(sql string) func(t testing.TB, p Place) {
	return func(t testing.TB, p Place) { p.Tamper(t, sql) }
}

// replace puts one text in the place of another in the bundle that begins with the entry of index 10.
func replace(before, after string) func(t testing.TB, p Place) {
	return func(t testing.TB, p Place) {
		text := plain(t, p.Texts(t)[1])
		p.Retell(t, 10, bytes.Replace(text, []byte(before), []byte(after), 1))
	}
}

// flipped changes a bit in the middle of that bundle's frame.
func flipped(t testing.TB, p Place) {
	column := p.Texts(t)[1]
	column[len(column)/2] ^= 1
	p.Retell(t, 10, column)
}

// Three appends of 10, 100 and 10 entries. What is done to one entry in the middle of a bundle is found, at its place.
func testTamperedBundle(t *testing.T, e Engine) {
	for name, c := range map[string]struct {
		tamper   func(t testing.TB, p Place)
		from, to uint64 // which entries the verifier names
	}{
		"another text in canonical form": {replace(`"key":"k50"`, `"key":"k5x"`), 10, 110},
		"another form of the same text":  {replace(`"key":"k50"`, `"key": "k50"`), 50, 51},
		"a text in two":                  {replace(`"key":"k50",`, "\n"), 10, 74},
		"a byte of a frame":              {flipped, 10, 74},
		"a frame that is cut off":        {func(t testing.TB, p Place) { p.Retell(t, 10, p.Texts(t)[1][:100]) }, 10, 74},
		"fewer texts than entries":       {statement("UPDATE bundles SET entries = entries + 1 WHERE id % 1099511627776 = 10"), 10, 75},
		"a bundle gone":                  {statement("DELETE FROM bundles WHERE id % 1099511627776 = 10"), 10, 11},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			place := e.New(t)
			l := open(t, place)
			var known []ledger.Checkpoint
			for n := 0; n < 120; {
				var entries []ledger.Entry
				for range []int{10, 100, 10}[len(known)] {
					entries = append(entries, Entry(fmt.Sprint("k", n)))
					n++
				}
				r, err := l.Append(ctx, "hr", entries...)
				g.Expect(err).NotTo(HaveOccurred())
				known = append(known, r.Checkpoint.Checkpoint)
			}
			c.tamper(t, place)
			err := verify(g, l, "hr", known)
			var tampered *ledger.TamperedError
			g.Expect(errors.As(err, &tampered)).To(BeTrue(), "%v", err)
			g.Expect([]uint64{tampered.From, tampered.To}).To(Equal([]uint64{c.from, c.to}), "%v", err)
		})
	}
	t.Run("keys that lead to other entries", func(t *testing.T) {
		g := NewWithT(t)
		place := e.New(t)
		l := open(t, place)
		_, err := l.Append(ctx, "hr", Entry("a"), Entry("b"))
		g.Expect(err).NotTo(HaveOccurred())
		place.Tamper(t, "UPDATE keys SET id = id + 1")
		for _, key := range []string{"a", "b"} {
			_, err = l.Find(ctx, "hr", key)
			g.Expect(err).To(MatchError(ledger.ErrCorrupt))
		}
	})
}

func testEntriesStay(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	l := open(t, place)
	_, err := l.Append(ctx, "hr", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(place.Exec("UPDATE bundles SET checkpoint = NULL")).NotTo(Succeed())
	g.Expect(place.Exec("DELETE FROM bundles")).NotTo(Succeed())
	g.Expect(place.Exec("UPDATE keys SET id = id + 1")).NotTo(Succeed())
	g.Expect(place.Exec("DELETE FROM keys")).NotTo(Succeed())
	g.Expect(leaves(t, place)).To(HaveLen(1))
}

func testAnotherKey(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	l := open(t, place)
	_, err := l.Append(ctx, "hr", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(l.Close()).To(Succeed())
	other, err := place.Open(Signer(9))
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = other.Close() }()
	_, err = other.Append(ctx, "hr", Entry("b"))
	g.Expect(err).To(MatchError(ledger.ErrWrongKey))
}
