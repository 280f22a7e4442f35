package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"unicode"
	"unicode/utf8"
)

// ErrPersonalData means that an entry seems to hold an e-mail address.
var ErrPersonalData = errors.New("a ledger entry must not hold an e-mail address")

// holdsAddress tells whether a text has an "@" with something before it and a domain of at least two labels after it.
// It is a net under the callers, who have to hand in no personal data in the first place.
func holdsAddress(text []byte) bool {
	for {
		at := bytes.IndexByte(text, '@')
		if at < 0 {
			return false
		}
		if at > 0 && isLocal(text[:at]) && startsWithDomain(text[at+1:]) {
			return true
		}
		text = text[at+1:]
	}
}

func isLocal(before []byte) bool {
	r, _ := utf8.DecodeLastRune(before)
	return unicode.IsLetter(r) || unicode.IsDigit(r) || bytes.ContainsRune([]byte("!#$%&'*+-/=?^_`{|}~.\""), r)
}

// startsWithDomain looks for "label.label".
func startsWithDomain(text []byte) bool {
	labels, length := 1, 0
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case r == '-' || unicode.IsLetter(r) || unicode.IsDigit(r):
			length++
			if labels == 2 {
				return true
			}
		case r == '.' && length > 0:
			labels, length = labels+1, 0
		default:
			return false
		}
	}
	return false
}

// addressError names the field with an address and nothing of its content; none if only JSON's own signs looked like one,
// or if it is in a name of the actor: who acts for the controller is on record by its policy.
func addressError(entry *Entry) error {
	subject := *entry
	subject.Actor = ""
	subject.Attributes = maps.Clone(entry.Attributes)
	for _, a := range actorAttributes {
		delete(subject.Attributes, a)
	}
	return eachText(&subject, func(field, text string) error {
		if holdsAddress([]byte(text)) {
			return fmt.Errorf("%w: remove it from %s", ErrPersonalData, field)
		}
		return nil
	})
}
