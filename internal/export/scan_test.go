package export

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

// Scan answers what exports ask of a projection by reading the whole log each time.
type Scan struct{ Log ledger.Log }

// Entries are those that match.
func (s Scan) Entries(ctx context.Context, origin string, f projection.EntryFilter, from uint64, limit int) ([]ledger.Record, error) {
	var out []ledger.Record
	err := s.each(ctx, origin, from, func(r ledger.Record) bool {
		if matchesEntry(f, r.Entry) {
			out = append(out, r)
		}
		return len(out) < limit
	})
	return out, err
}

func matchesEntry(f projection.EntryFilter, e ledger.Entry) bool {
	ofKind := len(f.Kinds) == 0 || slices.ContainsFunc(f.Kinds, func(k string) bool {
		return k == e.Kind || strings.HasSuffix(k, ".") && strings.HasPrefix(e.Kind, k)
	})
	return ofKind && within(f.Period, e.Time) && among(f.Reasons, e.Reason) && among(f.Actors, e.Actor) && among(f.Handles, projection.HandleOf(e))
}

// Requests are those that match in what never changes; what they are now, it does not tell.
func (s Scan) Requests(ctx context.Context, origin string, f projection.RequestFilter, from uint64, limit int) ([]projection.Request, error) {
	if len(f.Statuses)+len(f.Reasons)+len(f.Categories) > 0 {
		return nil, errors.New("a scan knows only what never changes of a request")
	}
	var out []projection.Request
	err := s.each(ctx, origin, from, func(r ledger.Record) bool {
		if begun, ok := projection.Begin(r); ok && f.Matches(begun) {
			out = append(out, begun)
		}
		return len(out) < limit
	})
	return out, err
}

// Statistics are not needed for exports, which count at their checkpoint.
func (Scan) Statistics(context.Context, string, projection.Period, time.Time) (projection.Statistics, error) {
	return projection.Statistics{}, errors.New("a scan counts nothing")
}

func (s Scan) each(ctx context.Context, origin string, from uint64, fn func(ledger.Record) bool) error {
	for {
		page, err := s.Log.Entries(ctx, origin, from, ledger.MaxPage)
		if errors.Is(err, ledger.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, r := range page {
			if !fn(r) {
				return nil
			}
		}
		if len(page) == 0 {
			return nil
		}
		from = page[len(page)-1].Index + 1
	}
}
