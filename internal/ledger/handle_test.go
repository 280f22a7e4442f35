package ledger_test

import (
	"encoding/binary"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/ledger"
)

func TestHandlesAreUUIDsThatBeginWithTheTime(t *testing.T) {
	g := NewWithT(t)
	seen := map[string]bool{}
	for i := range 100 {
		received := start.Add(time.Duration(i) * time.Hour)
		handle := ledger.NewHandle(received)
		g.Expect(handle).To(MatchRegexp(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`))
		g.Expect(seen[handle[14:]]).To(BeFalse(), "the rest is random")
		seen[handle[14:]] = true
		at, ok := ledger.HandleTime(handle)
		g.Expect(ok).To(BeTrue())
		g.Expect(binary.BigEndian.Uint64(append([]byte{0, 0}, at[:]...))).To(Equal(uint64(received.UnixMilli())))
	}
	for _, former := range []string{"", "0b8e6a525b0e7b399f0e6d6b8d3f2a11", "access", "0b8e6a52-5b0e-4b39-9f0e-6d6b8d3f2a11", "0b8e6a5x-5b0e-7b39-9f0e-6d6b8d3f2a11", "0b8e6a52-5bxe-7b39-9f0e-6d6b8d3f2a11"} {
		_, ok := ledger.HandleTime(former)
		g.Expect(ok).To(BeFalse(), former)
	}
}
