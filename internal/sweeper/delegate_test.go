package sweeper

import (
	"testing"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"
)

// What a run may still treat is divided without a rest and never exceeded; who is hungry gets at least as much as who is not.
func TestShareIsAllThatIsLeftAndNoMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		left := rapid.Int64Range(0, 1<<40).Draw(t, "left")
		hungry := rapid.SliceOfN(rapid.Bool(), 1, 32).Draw(t, "hungry")
		rooms := share(left, hungry)
		var sum int64
		for i, n := range rooms {
			sum += n
			if n < 0 || left >= int64(len(hungry)) && n == 0 {
				t.Fatalf("worker %d gets %d of %d", i, n, left)
			}
			for k := range rooms {
				if hungry[i] && !hungry[k] && rooms[i] < rooms[k] {
					t.Fatalf("a hungry worker gets %d, another one %d", rooms[i], rooms[k])
				}
			}
		}
		if sum != left {
			t.Fatalf("%d of %d are divided", sum, left)
		}
	})
}

func TestShare(t *testing.T) {
	g := NewWithT(t)
	g.Expect(share(10, []bool{false, false, false})).To(Equal([]int64{4, 3, 3}))
	g.Expect(share(9000, []bool{false, true, false})).To(Equal([]int64{1000, 7000, 1000}))
	g.Expect(share(0, []bool{true})).To(Equal([]int64{0}))
	g.Expect(share(5, nil)).To(BeEmpty())
}

func TestJobNameIsANameAndTellsRunsApart(t *testing.T) {
	g := NewWithT(t)
	g.Expect(JobName("6a1c.rule.1", 2)).To(MatchRegexp(`^lethe-sweep-[0-9a-f]{12}-2$`))
	g.Expect(JobName("6a1c.rule.1", 1)).NotTo(Equal(JobName("6a1c.rule.2", 1)))
}
