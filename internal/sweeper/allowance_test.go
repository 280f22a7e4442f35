package sweeper

import (
	"testing"
	"testing/synctest"

	. "github.com/onsi/gomega"
)

// A worker does not end for want of room while another one has reserved it all: it waits for what that one leaves.
func TestAWorkerWaitsForTheRoomOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		room := newAllowance(5)
		g.Expect(room.take(100)).To(Equal(5))
		got := -1
		go func() { got = room.take(2) }()
		synctest.Wait()
		g.Expect(got).To(Equal(-1), "it waits")
		room.settle(5, 4)
		synctest.Wait()
		g.Expect(got).To(Equal(1))
		room.settle(1, 1)
		g.Expect(room.take(1)).To(Equal(0), "nothing is left and nobody has any")
		g.Expect(room.empty()).To(BeTrue())
	})
}
