package sql

import (
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// HasWord tells whether a text has one of the words in the sense of Dialect.ContainsWord, for databases that can call
// it.
func HasWord(text string, words []string, fold bool) bool {
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(backend.WordSeparators, r) }) {
		for _, want := range words {
			if w == want || fold && foldWord(w, want) == foldWord(want, want) {
				return true
			}
		}
	}
	return false
}

// foldWord is a word in lower case; beside a word of ASCII other letters stay, for some of them have lower-case forms
// inside ASCII.
func foldWord(w, beside string) string {
	if !AllASCII([]string{beside}) {
		return strings.ToLower(w)
	}
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, w)
}

// MemberPath is the path of a member as SQLite and MySQL write it. Names have neither quotes nor backslashes.
func MemberPath(names []string) string {
	return `$."` + strings.Join(names, `"."`) + `"`
}
