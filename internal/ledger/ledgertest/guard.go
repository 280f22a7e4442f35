package ledgertest

import (
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
		"tail cut off":    {"DELETE FROM entries WHERE " + index + " > 6", ledger.ErrTruncated},
		"all gone":        {"DELETE FROM entries", ledger.ErrTruncated},
		"node changed":    {"UPDATE entries SET nodes = " + e.Zeros + " WHERE " + index + " = 7", ledger.ErrCorrupt},
		"node shortened":  {"UPDATE entries SET nodes = substr(nodes, 1, 32) WHERE " + index + " = 7", ledger.ErrCorrupt},
		"checkpoint gone": {"UPDATE entries SET checkpoint = NULL WHERE " + index + " = 9", ledger.ErrCorrupt},
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
		place.Tamper(t, "DELETE FROM entries WHERE "+index+" > 6")
		for _, entries := range [][]ledger.Entry{{Entry("x")}, {Entry("y"), Entry("y")}} {
			_, err := l.Append(ctx, "hr", entries...)
			g.Expect(err).To(Or(MatchError(ledger.ErrCorrupt), MatchError(ledger.ErrTruncated)))
		}
		g.Expect(place.Leaves(t)).To(HaveLen(7))
	})
}

func testEntriesStay(t *testing.T, e Engine) {
	g := NewWithT(t)
	place := e.New(t)
	l := open(t, place)
	_, err := l.Append(ctx, "hr", Entry("a"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(place.Exec("UPDATE entries SET checkpoint = NULL")).NotTo(Succeed())
	g.Expect(place.Exec("DELETE FROM entries")).NotTo(Succeed())
	g.Expect(place.Leaves(t)).To(HaveLen(1))
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
