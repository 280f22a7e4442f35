package sweeper

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/state"
)

// asker makes one request for each page, and then comes to what it is told.
type asker struct {
	Eraser
	erase, await error
	held         *bool
	t            *testing.T
}

func (a *asker) Erase(context.Context, []string) (Erasures, error) {
	return Erasures{Names: []string{"one"}, Made: 1}, a.erase
}

func (a *asker) Await(_ context.Context, names []string) error {
	if *a.held {
		a.t.Error("no hold can be placed while the run waits")
	}
	NewWithT(a.t).Expect(names).To(Equal([]string{"one"}))
	return a.await
}

// holdsOnly is a state store without holds, which knows whether somebody relies on that.
type holdsOnly struct {
	state.Store
	held bool
}

func (h *holdsOnly) WithHolds(ctx context.Context, _ string, fn func(context.Context, []state.Hold) error) error {
	h.held = true
	defer func() { h.held = false }()
	return fn(ctx, nil)
}

func (h *holdsOnly) Schedule(context.Context, string) (*state.Schedule, error) {
	return nil, state.ErrNotFound
}

// A page of people is done once all its requests are seen. Those that were made count whatever becomes of the page.
func TestAPageOfPeopleIsDoneOnceItsRequestsAreSeen(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	s, _, _ := doubtedShard(t)
	st, no := &holdsOnly{}, errors.New("not now")
	a := &asker{held: &st.held, t: t}
	s.State, s.task.Eraser = st, a
	for done, c := range []struct{ erase, await error }{{erase: no}, {await: no}} {
		a.erase, a.await, s.room = c.erase, c.await, newAllowance(2)
		_, err := s.subjects(ctx)
		g.Expect(err).To(MatchError(no))
		g.Expect(s.at.After).To(BeNil())
		g.Expect(s.record.Shard.Done).To(BeEquivalentTo(done + 1))
	}
	a.await, s.room = nil, newAllowance(2)
	_, err := s.subjects(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.at.After).NotTo(BeNil())
	g.Expect(s.record.Shard.Done).To(BeEquivalentTo(3))
}
