package sweeper

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
)

// away are stores that cannot be opened.
type away struct{ err error }

func (a away) Get(context.Context, string, string) (*stores.Store, error) { return nil, a.err }

// A store of files that is away must not be forgotten by who asks once more: the page's files are still there.
func TestARemovalThatFailedStaysFailed(t *testing.T) {
	g := NewWithT(t)
	gone := errors.New("away")
	s := &shard{run: &run{Sweeper: &Sweeper{Stores: away{gone}}}, record: &state.Run{Shard: &state.Shard{}}}
	g.Expect(s.removed()).To(Succeed(), "nothing is to be removed")
	s.remove([]file{{Store: "storage", Path: backend.Path{Path: "a"}}})
	g.Expect(s.removed()).To(MatchError(gone))
	g.Expect(s.removed()).To(MatchError(gone), "asked again")
}
