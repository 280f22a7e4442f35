package planner

import (
	"strings"
	"unicode"

	"github.com/lethe-dev/lethe/internal/backend"
)

func isSeparator(r rune) bool { return strings.ContainsRune(backend.WordSeparators, r) }

// redact replaces the words in a text, whatever their case, and leaves everything else as it is.
func redact(text string, words []string, by string) string {
	var out strings.Builder
	for text != "" {
		end := strings.IndexFunc(text, isSeparator)
		switch {
		case end == 0:
			end = 1 // separators are ASCII
			out.WriteString(text[:end])
		case end < 0:
			end = len(text)
			fallthrough
		default:
			out.WriteString(redacted(text[:end], words, by))
		}
		text = text[end:]
	}
	return out.String()
}

func redacted(word string, words []string, by string) string {
	for _, w := range words {
		if w = strings.TrimSpace(w); w != "" && sameWord(word, w) {
			return by
		}
	}
	return word
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
