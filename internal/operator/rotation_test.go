package operator

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/keys"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
)

func TestAGenerationFollowsTheOneBefore(t *testing.T) {
	g := NewWithT(t)
	ctx := context.Background()
	store := keysmemory.New()
	first, rotations, err := signers(ctx, store, "lethe-system", "lethe.dev/x", 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(rotations).To(BeEmpty())
	third, rotations, err := signers(ctx, store, "lethe-system", "lethe.dev/x", 3)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(rotations).To(HaveLen(2))
	g.Expect(rotations[0].From.String()).To(Equal(first.VerifierKey()))
	g.Expect(rotations[0].To).To(Equal(rotations[1].From))
	g.Expect(rotations[1].To.String()).To(Equal(third.VerifierKey()))

	// Whoever starts again has the same.
	again, same, err := signers(ctx, store, "lethe-system", "lethe.dev/x", 3)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again.VerifierKey()).To(Equal(third.VerifierKey()))
	g.Expect(same).To(Equal(rotations))

	for _, lower := range []int{1, 2} {
		_, _, err = signers(ctx, store, "lethe-system", "lethe.dev/x", lower)
		g.Expect(err).To(MatchError(ContainSubstring("never lowered")))
	}
	// A former key that was lost is not made anew, which would not fit.
	g.Expect(store.Destroy(ctx, signingKey("lethe-system", 2))).To(Succeed())
	_, _, err = signers(ctx, store, "lethe-system", "lethe.dev/x", 3)
	g.Expect(err).To(MatchError(keys.ErrNotFound))
	g.Expect(err).To(MatchError(ContainSubstring("generation 2")))
}

// Killed between two keys, a rotation by two goes on.
func TestAHalfMadeRotationGoesOn(t *testing.T) {
	g := NewWithT(t)
	ctx := context.Background()
	store := keysmemory.New()
	for _, generation := range []int{1, 2} { // and then it was killed on its way to 3
		_, err := store.Ensure(ctx, signingKey("lethe-system", generation))
		g.Expect(err).NotTo(HaveOccurred())
	}
	_, rotations, err := signers(ctx, store, "lethe-system", "lethe.dev/x", 3)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(rotations).To(HaveLen(2))
}
