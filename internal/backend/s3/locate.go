package s3

import (
	"context"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// entries gathers what lists find, each entry once.
type entries struct {
	mu    sync.Mutex
	found map[entry]struct{}
	full  func(n int) error // called with each new count; optional
}

func (s *entries) add(e entry) error {
	if !legible(e.key) {
		return illegible
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.found[e]; known {
		return nil
	}
	s.found[e] = struct{}{}
	if s.full != nil {
		return s.full(len(s.found))
	}
	return nil
}

// under finds all entries below the prefixes.
func under(ctx context.Context, listers []lister, prefixes []string, into *entries) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, list := range listers {
		for _, prefix := range prefixes {
			group.Go(func() error {
				return list(ctx, prefix, maxPage, func(page []entry) (bool, error) {
					for _, e := range page {
						if err := into.add(e); err != nil {
							return false, err
						}
					}
					return true, nil
				})
			})
		}
	}
	return group.Wait()
}

// at finds all entries of exactly these keys, which are sorted and unique.
//
// Keys that lie close together are found in the pages of one list. Where a page shows too few of them, the keys are
// split into groups with longer common prefixes, in the end into single keys: a few keys in a great bucket cost a few
// requests, many keys that are gone cost hardly any.
func at(ctx context.Context, listers []lister, keys []string, into *entries) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, list := range listers {
		group.Go(func() error {
			if len(keys) == 0 {
				return nil
			}
			for todo := [][]string{keys}; len(todo) > 0; {
				rest := make([][][]string, len(todo))
				level, ctx := errgroup.WithContext(ctx)
				level.SetLimit(parallel)
				for i, keys := range todo {
					level.Go(func() (err error) {
						rest[i], err = scan(ctx, list, keys, into)
						return err
					})
				}
				if err := level.Wait(); err != nil {
					return err
				}
				todo = slices.Concat(rest...)
			}
			return nil
		})
	}
	return group.Wait()
}

// worth is the part of a page, one in so many entries, that must be of use to go on with a list.
const worth = 100

// scan lists below the keys' common prefix. What it gives up is returned in groups to be scanned on their own.
func scan(ctx context.Context, list lister, keys []string, into *entries) ([][]string, error) {
	prefix := commonPrefix(keys)
	size := min(maxPage, max(worth, 2*len(keys)))
	open := keys // those of which not all entries were seen
	gaveUp := false
	hidden := map[string]bool{}
	for _, key := range keys {
		if listed, ok := masked(key); ok {
			hidden[listed] = true
		}
	}
	err := list(ctx, prefix, size, func(page []entry) (bool, error) {
		useful, last := 0, ""
		for _, e := range page {
			if hidden[e.key] {
				return false, illegible
			}
			if legible(e.key) {
				last = max(last, e.key)
			}
			if _, wanted := slices.BinarySearch(open, e.key); wanted {
				useful++
				if err := into.add(e); err != nil {
					return false, err
				}
			}
		}
		done, _ := slices.BinarySearch(open, last) // the last key may go on in the next page
		open = open[done:]
		gaveUp = len(keys) > 1 && (useful+done)*worth < size
		return len(open) > 0 && !gaveUp, nil
	})
	if err != nil || !gaveUp || len(open) == 0 {
		return nil, err
	}
	return split(open, len(prefix)), nil
}

// commonPrefix of sorted keys, in whole characters.
func commonPrefix(keys []string) string {
	first, last := keys[0], keys[len(keys)-1]
	n := 0
	for n < len(first) && n < len(last) && first[n] == last[n] {
		n++
	}
	for n > 0 && n < len(first) && !utf8.RuneStart(first[n]) {
		n--
	}
	return first[:n]
}

// split groups sorted keys that have n bytes in common by the character after these.
func split(keys []string, n int) (groups [][]string) {
	for len(keys) > 0 {
		_, width := utf8.DecodeRuneInString(keys[0][n:])
		next := keys[0][:n+width]
		end := 1
		for width > 0 && end < len(keys) && strings.HasPrefix(keys[end], next) {
			end++
		}
		groups, keys = append(groups, keys[:end]), keys[end:]
	}
	return groups
}
