// Package pseudonym turns identities into keyed pseudonyms: the same person has the same one as long as the key lives,
// and nobody can link it to the person once the key is destroyed.
package pseudonym

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// Version of the normalisation that new pseudonyms are made with; it is part of their text.
const Version = 1

const (
	keyIDBytes = 5  // 8 characters
	macBytes   = 20 // 32 characters: 160 bits, so that the whole text fits a label (63 characters)
)

// ErrMalformed means that a text is not a pseudonym.
var ErrMalformed = errors.New("not a pseudonym")

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Normalize brings what is meant to be the same identity to the same text: compatibility form NFKC, without space around
// it, in lower case. It is for claims and pseudonyms only; stores are searched with the text as given.
func Normalize(value string) string {
	// Lower case can leave the normal form, hence twice.
	return norm.NFKC.String(strings.ToLower(strings.TrimSpace(norm.NFKC.String(value))))
}

// Pseudonym is the keyed pseudonym of an identity of the given kind, such as "id" or "email":
// "p<version>.<key id>.<MAC>", at most 63 characters of a-z, 0-9 and dots.
func Pseudonym(key []byte, kind string, value Secret) string {
	sum := MAC(key, "lethe/pseudonym/"+strconv.Itoa(Version), kind, Normalize(value.Reveal()))
	return "p" + strconv.Itoa(Version) + "." + KeyID(key) + "." + encoding.EncodeToString(sum[:macBytes])
}

// Exact is the keyed pseudonym of an opaque id or key, which has no other notations: every character counts.
func Exact(key []byte, kind string, value Secret) string {
	sum := MAC(key, "lethe/pseudonym/exact/"+strconv.Itoa(Version), kind, value.Reveal())
	return "p" + strconv.Itoa(Version) + "." + KeyID(key) + "." + encoding.EncodeToString(sum[:macBytes])
}

// Subject is the pseudonym of a subject's opaque id.
func Subject(key []byte, id string) string { return Exact(key, "subject", NewSecret(id)) }

// Tombstone is the keyed name of an erased root record: it finds the record again and tells nobody whose it was.
func Tombstone(key []byte, store, entity string, recordKey []string) string {
	sum := MAC(key, append([]string{"lethe/tombstone/1", store, entity}, recordKey...)...)
	return "t1." + KeyID(key) + "." + encoding.EncodeToString(sum[:macBytes])
}

// KeyID is a short public name of a key.
func KeyID(key []byte) string {
	return encoding.EncodeToString(MAC(key, "lethe/key-id/1")[:keyIDBytes])
}

// Parse takes a pseudonym apart.
func Parse(text string) (version int, keyID string, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || !strings.HasPrefix(parts[0], "p") {
		return 0, "", ErrMalformed
	}
	version, err = strconv.Atoi(parts[0][1:])
	if err != nil || version < 1 {
		return 0, "", ErrMalformed
	}
	id, err1 := encoding.DecodeString(parts[1])
	mac, err2 := encoding.DecodeString(parts[2])
	// Decoding forgives some surplus, so the way back has to agree.
	if err1 != nil || err2 != nil || len(id) != keyIDBytes || len(mac) != macBytes ||
		encoding.EncodeToString(id) != parts[1] || encoding.EncodeToString(mac) != parts[2] {
		return 0, "", ErrMalformed
	}
	return version, parts[1], nil
}

// MAC is HMAC-SHA-256 over parts, each with its length, so that no two lists of parts read the same.
func MAC(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	var length [8]byte
	for _, part := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}
