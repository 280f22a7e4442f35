package redis

import "strings"

// glob is a pattern in the notation of Redis: bytes, `*`, `?`, `[a-z^]` and `\`. What Redis would read in a way that
// nobody means, or differently on different machines, is refused.
type glob struct {
	pattern string
	parts   []part
	// prefix is what every key that matches begins with.
	prefix string
	// exact is true where nothing but prefix matches.
	exact bool
}

type part struct {
	star bool
	any  bool
	not  bool
	// bytes that match: one for a literal, any number for a class.
	literal byte
	class   *[256]bool
}

// maxStars bounds the work of a pattern; Redis itself gives up at a thousand.
const maxStars = 100

// parse reads a pattern.
func parse(pattern string) (*glob, error) {
	g := &glob{pattern: pattern, exact: true}
	literals, stars := 0, 0
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			g.exact = false
			if n := len(g.parts); n == 0 || !g.parts[n-1].star {
				g.parts = append(g.parts, part{star: true})
				stars++
			}
		case '?':
			g.exact = false
			g.parts = append(g.parts, part{any: true})
		case '[':
			g.exact = false
			p, next, err := parseClass(pattern, i+1)
			if err != nil {
				return nil, err
			}
			g.parts = append(g.parts, p)
			i = next
		case '\\':
			if i++; i == len(pattern) {
				return nil, refused("a key's pattern ends with a lone backslash", "escape it with another one in the data map")
			}
			fallthrough
		default:
			literals++
			if g.exact {
				g.prefix += pattern[i : i+1]
			}
			g.parts = append(g.parts, part{literal: pattern[i]})
		}
	}
	switch {
	case len(pattern) == 0:
		return nil, refused("a key is empty", "correct the path's template or the values in its columns")
	case literals == 0:
		return nil, refused("a key's pattern has nothing but wildcards, so that everybody's keys match", "correct the path's template")
	case stars > maxStars:
		return nil, refused("a key's pattern has too many wildcards", "correct the path's template")
	}
	return g, nil
}

// parseClass reads what follows a bracket, as Redis does it, and returns the index of the closing one.
func parseClass(s string, i int) (part, int, error) {
	p := part{class: &[256]bool{}}
	if i < len(s) && s[i] == '^' {
		p.not = true
		i++
	}
	for i < len(s) {
		low, high := s[i], s[i]
		switch {
		case s[i] == '\\' && i+1 < len(s):
			low, high = s[i+1], s[i+1]
			i += 2
		case s[i] == ']':
			return p, i, nil
		case i+2 < len(s) && s[i+1] == '-':
			low, high = min(s[i], s[i+2]), max(s[i], s[i+2])
			i += 3
		default:
			i++
		}
		if high > 127 {
			// Redis compares bytes: a character of several would match others that share one of them.
			return p, 0, refused("a class in a key's pattern has a character that is not ASCII",
				"list ASCII characters only, or use * in the data map")
		}
		for c := low; c <= high; c++ {
			p.class[c] = true
		}
	}
	return p, 0, refused("a key's pattern has a class that is not closed", `close it, or write \[ for the character in the data map`)
}

func (p part) matches(c byte) bool {
	switch {
	case p.any:
		return true
	case p.class != nil:
		return p.class[c] != p.not
	default:
		return p.literal == c
	}
}

// match tells whether Redis would find the key by the pattern. After a mismatch the last star takes one byte more.
func (g *glob) match(key string) bool {
	if !strings.HasPrefix(key, g.prefix) {
		return false
	}
	star, taken := -1, 0
	for i, k := 0, 0; i < len(g.parts) || k < len(key); {
		switch {
		case i < len(g.parts) && g.parts[i].star:
			star, taken = i, k
			i++
		case i < len(g.parts) && k < len(key) && g.parts[i].matches(key[k]):
			i++
			k++
		case star >= 0 && taken < len(key):
			taken++
			i, k = star+1, taken
		default:
			return false
		}
	}
	return true
}
