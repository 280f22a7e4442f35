package planner

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
)

// redact replaces the words in a text, whatever their case, and leaves everything else as it is, the punctuation around them
// too. Of several that begin at the same place the longest goes.
func redact(text string, words []string, by string) string {
	var wanted []string
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" {
			wanted = append(wanted, w)
		}
	}
	slices.SortStableFunc(wanted, func(a, b string) int { return len(b) - len(a) })
	var out strings.Builder
	for at := 0; at < len(text); {
		end, found := at, false
		for _, w := range wanted {
			if end, found = backend.WordAt(text, at, w, sameWord); found {
				break
			}
		}
		if found {
			out.WriteString(by)
		} else {
			_, size := utf8.DecodeRuneInString(text[at:])
			end = at + size
			out.WriteString(text[at:end])
		}
		at = end
	}
	return out.String()
}

// sameWord compares a word of a text with an identity without regard to case, as stores do: no letter outside ASCII is taken
// for one inside, such as the Kelvin sign for a k, which would make an address match another one.
func sameWord(word, identity string) bool {
	odd := func(r rune) bool { return r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII }
	if strings.ContainsFunc(word, odd) || strings.ContainsFunc(identity, odd) {
		return word == identity
	}
	return strings.ToLower(word) == strings.ToLower(identity) //nolint:staticcheck // EqualFold takes more letters for the same
}
