package sql

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/lethe-dev/lethe/internal/backend"
)

// HasWord tells whether a text has one of the words in the sense of Dialect.ContainsWord, for databases that can call
// it.
func HasWord(text string, words []string, fold bool) bool {
	same := func(part, word string) bool {
		return part == word || fold && foldWord(part, word) == foldWord(word, word)
	}
	return slices.ContainsFunc(words, func(word string) bool { return backend.FindWord(text, word, same) })
}

// WordPattern is a regular expression, of those that all databases read, for texts that have the word in the sense of
// Dialect.ContainsWord. But for the word it has no letters, so that it can be folded as a whole.
func WordPattern(word string) string {
	var separators strings.Builder
	for _, r := range backend.WordSeparators {
		if strings.ContainsRune(`[]\`, r) {
			separators.WriteByte('\\')
		}
		separators.WriteRune(r)
	}
	around := ""
	if backend.TakesPunctuation(word) {
		around = "[" + backend.WordPunctuation + "]*"
	}
	// A space alone would be nothing where the server's regular expressions are extended.
	literal := strings.ReplaceAll(regexp.QuoteMeta(word), " ", "[ ]")
	return fmt.Sprintf("(^|[%s])%s%s%s([%s]|$)", separators.String(), around, literal, around, separators.String())
}

// foldWord is a word in lower case; beside a word of ASCII other letters stay.
func foldWord(w, beside string) string {
	if !AllASCII([]string{beside}) {
		return Lower(w)
	}
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, w)
}

// Lower is a text in lower case. Letters outside ASCII whose lower case is inside stay: the Kelvin sign is no k, for it would
// make an address match another one.
func Lower(s string) string {
	return strings.Map(func(r rune) rune {
		if odd(r) {
			return r
		}
		return unicode.ToLower(r)
	}, s)
}

func odd(r rune) bool { return r > unicode.MaxASCII && unicode.ToLower(r) <= unicode.MaxASCII }

// MemberPath is the path of a member as SQLite and MySQL write it. Names have neither quotes nor backslashes.
func MemberPath(names []string) string {
	return `$."` + strings.Join(names, `"."`) + `"`
}
