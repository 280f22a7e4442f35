package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// ErrBadRotation means that a text does not show that one key follows another.
var ErrBadRotation = errors.New("not a statement that one key of the ledger follows another")

// rotationTitle is the first line of such a statement. No checkpoint can begin so: its second line would be a number.
const rotationTitle = "Lethe ledger key rotation"

// Attributes of the entry that a rotation leaves.
const (
	attributeKey       = "key"       // the new key
	attributeStatement = "statement" // of both keys
)

// Rotation shows that the key To follows the key From: a signed note that names both, signed by both. Whoever trusts one of them
// learns the other by it: the old one says who comes after it, the new one who was before it.
type Rotation struct {
	From, To VerifierKey
	Note     []byte
}

// Rotate makes the statement that one key of a log follows another. The same keys make the same text.
func Rotate(from, to *Signer) (Rotation, error) {
	text := rotationTitle + "\n" + from.VerifierKey() + "\n" + to.VerifierKey() + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, from, to)
	if err != nil {
		return Rotation{}, errors.New("sign the rotation of the ledger's key: a key refused")
	}
	return ParseRotation(signed)
}

// ParseRotation reads a statement and checks both signatures. Whether one of the keys is to be trusted is another question.
func ParseRotation(text []byte) (Rotation, error) {
	lines := strings.SplitN(string(text), "\n", 4)
	if len(lines) < 4 || lines[0] != rotationTitle || !strings.HasPrefix(lines[3], "\n") {
		return Rotation{}, fmt.Errorf("%w: it is not of that form", ErrBadRotation)
	}
	var both VerifierKeys
	var verifiers []note.Verifier
	for _, line := range lines[1:3] {
		keys, err := ParseVerifierKeys(line)
		if err != nil {
			return Rotation{}, fmt.Errorf("%w: %w", ErrBadRotation, err)
		}
		verifier, err := note.NewVerifier(line)
		if err != nil {
			return Rotation{}, fmt.Errorf("%w: %w", ErrBadRotation, ErrBadKey)
		}
		both, verifiers = append(both, keys...), append(verifiers, verifier)
	}
	if len(both) != 2 || both[0].Name != both[1].Name || both[0].public.Equal(both[1].public) {
		return Rotation{}, fmt.Errorf("%w: it does not name two keys of one ledger", ErrBadRotation)
	}
	opened, err := note.Open(text, note.VerifierList(verifiers...))
	if err != nil || len(opened.Sigs) != 2 || len(opened.UnverifiedSigs) != 0 || !canonicalSignatures(text) {
		return Rotation{}, fmt.Errorf("%w: it is not signed by both keys", ErrBadRotation)
	}
	return Rotation{From: both[0], To: both[1], Note: text}, nil
}

// ParseRotations reads statements that follow one another in a file.
func ParseRotations(text []byte) ([]Rotation, error) {
	var list []Rotation
	rest := strings.TrimLeft(string(text), "\n")
	for rest != "" {
		one := rest
		if next := strings.Index(rest[1:], "\n"+rotationTitle+"\n"); next >= 0 {
			one = rest[:next+2]
		}
		rest = strings.TrimLeft(rest[len(one):], "\n")
		r, err := ParseRotation([]byte(strings.TrimRight(one, "\n") + "\n"))
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// Entry is what a log has of the rotation, between what was signed with the old key and with the new one.
func (r Rotation) Entry(at time.Time) Entry {
	return Entry{Key: r.EntryKey(), Time: at, Kind: KindKeyRotated, Attributes: map[string]string{attributeKey: r.To.String(), attributeStatement: string(r.Note)}}
}

// EntryKey is the key of that entry.
func (r Rotation) EntryKey() string {
	sum := sha256.Sum256(r.To.public)
	return "key/rotated/" + hex.EncodeToString(sum[:16])
}

// RotationOf reads the statement of an entry, if it has a good one.
func RotationOf(e Entry) (Rotation, bool) {
	if e.Kind != KindKeyRotated {
		return Rotation{}, false
	}
	r, err := ParseRotation([]byte(e.Attributes[attributeStatement]))
	return r, err == nil
}

// RotationsIn are the statements that an exported ledger holds, as far as it can be read. Verification says what else is wrong
// with it.
func RotationsIn(records io.Reader) []Rotation {
	var list []Rotation
	for record, err := range ReadLines(records) {
		if err != nil {
			break
		}
		if !strings.Contains(string(record.Leaf), `"kind":"`+KindKeyRotated+`"`) {
			continue
		}
		if entry, err := DecodeLeaf(record.Leaf); err == nil {
			if r, ok := RotationOf(entry); ok {
				list = append(list, r)
			}
		}
	}
	return list
}

// String is the key under its name.
func (k VerifierKey) String() string {
	text, err := k.Text(k.Name)
	if err != nil {
		panic("ledger: the name of a key is none") // it was read from one
	}
	return text
}

// Same tells whether both are the same key, under whatever name.
func (k VerifierKey) Same(other VerifierKey) bool { return k.public.Equal(other.public) }

// Extend adds the keys that follow from those that are trusted, before and after them. A key that stands for one origin
// alone does not lead to others. Nor does one that a trusted key has followed: whoever got hold of it since could name any. If one
// that is trusted names two, neither is believed.
func (keys VerifierKeys) Extend(rotations ...Rotation) VerifierKeys {
	known := slices.Clone(keys)
	for {
		before := len(known)
		for _, r := range rotations {
			if known.find(r.To) < 0 {
				continue
			}
			at := known.find(r.From)
			if at < 0 {
				at, known = len(known), append(known, r.From)
			}
			known[at].former = true
		}
		if len(known) == before {
			known = known.next(rotations)
		}
		if len(known) == before {
			return known
		}
	}
}

// find is the place of the same key under the same name, or -1.
func (keys VerifierKeys) find(k VerifierKey) int {
	return slices.IndexFunc(keys, func(other VerifierKey) bool { return other.Name == k.Name && other.Same(k) })
}

// next adds the key that follows one of those that none has followed.
func (keys VerifierKeys) next(rotations []Rotation) VerifierKeys {
	for _, k := range keys {
		var named VerifierKeys
		for _, r := range rotations {
			if (VerifierKeys{k}).find(r.From) == 0 && named.find(r.To) < 0 {
				named = append(named, r.To)
			}
		}
		if !k.former && len(named) == 1 {
			return append(keys, named[0])
		}
	}
	return keys
}

// WhichOpens is the first of the keys that a checkpoint is signed with.
func (keys VerifierKeys) WhichOpens(text []byte) (VerifierKey, error) {
	err := ErrBadKey
	for _, k := range keys {
		if _, _, err = (VerifierKeys{k}).OpenCheckpoint(text); err == nil {
			return k, nil
		}
	}
	return VerifierKey{}, err
}

// VerifierKeyValue is the public key.
func (s *Signer) VerifierKeyValue() VerifierKey {
	keys, err := ParseVerifierKeys(s.VerifierKey())
	if err != nil {
		panic("ledger: a valid key has no text")
	}
	return keys[0]
}
