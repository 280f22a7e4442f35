package backend

import (
	"strings"
	"unicode/utf8"
)

const (
	// WordSeparators end a word in the sense of IdentityMatch.Contains.
	WordSeparators = " \t\n\v\f\r,;<>()[]{}\"|\\"
	// WordPunctuation may stand before and behind a word, between it and the separators, as at the end of a sentence.
	WordPunctuation = ".:!?'"
)

// TakesPunctuation tells whether punctuation may stand around the word: one that begins or ends with some itself is found as it is
// alone.
func TakesPunctuation(word string) bool { return word == strings.Trim(word, WordPunctuation) }

// FindWord tells whether a text has the word, which may be several with separators between them, between separators or its
// ends. same compares a part of the text, of as many characters as the word has, with the word.
func FindWord(text, word string, same func(part, word string) bool) bool {
	for at := range text {
		if _, ok := WordAt(text, at, word, same); ok {
			return true
		}
	}
	return false
}

// WordAt tells whether the word, in the sense of FindWord, begins at a place of the text, and where it ends.
func WordAt(text string, at int, word string, same func(part, word string) bool) (end int, ok bool) {
	skip := ""
	if TakesPunctuation(word) {
		skip = WordPunctuation
	}
	if before := strings.TrimRight(text[:at], skip); word == "" || !separated(before, len(before)-1) {
		return 0, false
	}
	end = at
	for range utf8.RuneCountInString(word) {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
	}
	behind := strings.TrimLeft(text[end:], skip)
	return end, separated(behind, 0) && same(text[at:end], word)
}

// separated tells whether a text, if it has a character at the place, has a separator there.
func separated(text string, at int) bool {
	return text == "" || strings.IndexByte(WordSeparators, text[at]) >= 0
}
