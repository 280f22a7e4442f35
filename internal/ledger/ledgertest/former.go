package ledgertest

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega" //nolint:staticcheck // the matchers read as sentences, as in all tests

	"github.com/lethe-dev/lethe/internal/ledger"
)

// FormerRow is an entry as it was kept when each was a row of the table entries.
type FormerRow struct {
	ID                               int64
	KeyHash, Leaf, Nodes, Checkpoint []byte
}

// formerRows are what was appended in two groups, the first of them larger.
func formerRows(g Gomega, keys ...string) (rows []FormerRow, tree ledger.Tree) {
	for i, key := range keys {
		leaf, err := ledger.EncodeLeaf(Entry(key))
		g.Expect(err).NotTo(HaveOccurred())
		var nodes [][]byte
		tree, nodes = tree.With(ledger.LeafHash(leaf))
		text := append([]byte{0, 0, 0, 0, 0, 0, 0, 1}, key...)
		first, _, _ := strings.Cut(string(text), "/")
		begin, whole := sha256.Sum256([]byte(first)), sha256.Sum256(text)
		row := FormerRow{ID: 1<<40 + int64(i), KeyHash: append(begin[:4:4], whole[:12]...), Leaf: leaf, Nodes: slices.Concat(nodes...)}
		if i == len(keys)-1 || i == len(keys)*2/3 {
			c, err := ledger.Checkpoint{OriginLine: ledger.OriginLine(LogName, "hr"), Size: tree.Size(), Root: tree.Root()}.Sign(named(g, 1))
			g.Expect(err).NotTo(HaveOccurred())
			row.Checkpoint = c.Note
		}
		rows = append(rows, row)
	}
	return rows, tree
}

func testFormerRows(t *testing.T, e Engine) {
	g := NewWithT(t)
	var keys []string
	for i := range 100 {
		keys = append(keys, fmt.Sprintf("h%d/%d", i/7, i))
	}
	rows, tree := formerRows(g, keys...)
	place := e.Former(t, rows)
	l := open(t, place)
	known := []ledger.Checkpoint{{OriginLine: ledger.OriginLine(LogName, "hr"), Size: tree.Size(), Root: tree.Root()}}
	Verify(t, l, "hr", known)
	for i, key := range keys {
		found, err := l.Find(ctx, "hr", key)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found.Index).To(Equal(uint64(i)))
		_, err = l.InclusionProof(ctx, "hr", uint64(i), tree.Size())
		g.Expect(err).NotTo(HaveOccurred())
	}
	r, err := l.Append(ctx, "hr", Entry("h0/1"), Entry("h0/new"), Entry("h14/99"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(r.Indexes).To(Equal([]uint64{1, 100, 99}))
	Verify(t, l, "hr", append(known, r.Checkpoint.Checkpoint))
}
