package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

var (
	// ErrBadKey means that a text is no verifier key.
	ErrBadKey = errors.New("not a verifier key")
	// ErrOtherLog means that a key is of another log.
	ErrOtherLog = errors.New("the key is of another ledger")
)

// VerifierKeys are public keys of logs, as "<name>+<hash>+<key>" (C2SP signed-note). One that bears the name of a log stands
// for all its origins: it is the same key under a longer name.
type VerifierKeys []VerifierKey

// VerifierKey is one of them.
type VerifierKey struct {
	Name   string
	public ed25519.PublicKey
	// former tells that a key that is trusted has followed it.
	former bool
}

// ParseVerifierKeys reads keys, one on a line; empty lines and those that begin with # are passed over.
func ParseVerifierKeys(text string) (VerifierKeys, error) {
	var keys VerifierKeys
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verifier, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("%w: a key is <name>+<hash>+<base64> on one line", ErrBadKey)
		}
		raw, err := base64.StdEncoding.DecodeString(strings.SplitN(line, "+", 3)[2]) // which may hold plus signs too
		if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != algEd25519 {
			return nil, fmt.Errorf("%w: it is not an Ed25519 key", ErrBadKey)
		}
		keys = append(keys, VerifierKey{Name: verifier.Name(), public: raw[1:]})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrBadKey)
	}
	return keys, nil
}

// Text of the key under the name of an origin, for tools that know no other names.
func (k VerifierKey) Text(originLine string) (string, error) {
	text, err := note.NewEd25519VerifierKey(originLine, k.public)
	if err != nil {
		return "", fmt.Errorf("%w: %s cannot be the name of a key", ErrBadKey, originLine)
	}
	return text, nil
}

// covers tells whether the key is that of the origin or of its log.
func (k VerifierKey) covers(originLine string) bool {
	rest, ok := strings.CutPrefix(originLine, k.Name)
	return ok && (rest == "" || rest[0] == '/' && CheckOrigin(rest[1:]) == nil)
}

// For returns the verifiers of an origin, or ErrOtherLog if no key is of its log.
func (keys VerifierKeys) For(originLine string) ([]note.Verifier, error) {
	var verifiers []note.Verifier
	var names []string
	for _, k := range keys {
		names = append(names, k.Name)
		if !k.covers(originLine) {
			continue
		}
		text, err := k.Text(originLine)
		if err != nil {
			return nil, err
		}
		verifier, err := note.NewVerifier(text)
		if err != nil {
			return nil, ErrBadKey
		}
		verifiers = append(verifiers, verifier)
	}
	if len(verifiers) == 0 {
		return nil, fmt.Errorf("%w: it is of %s, and what is to be verified of %s", ErrOtherLog, strings.Join(names, ", "), originLine)
	}
	return verifiers, nil
}

// OpenCheckpoint checks a signed note, which names its origin itself, and returns the key that it is signed with. It accepts
// only one form of each signature.
func (keys VerifierKeys) OpenCheckpoint(text []byte) (SignedCheckpoint, note.Verifier, error) {
	unchecked, err := ReadCheckpoint(text)
	if err != nil {
		return SignedCheckpoint{}, nil, err
	}
	verifiers, err := keys.For(unchecked.OriginLine)
	if err != nil {
		return SignedCheckpoint{}, nil, err
	}
	if !canonicalSignatures(text) {
		return SignedCheckpoint{}, nil, fmt.Errorf("%w: a signature is not in canonical form", ErrBadCheckpoint)
	}
	for _, verifier := range verifiers {
		var checkpoint SignedCheckpoint
		if checkpoint, err = OpenCheckpoint(text, unchecked.OriginLine, verifier); err == nil {
			return checkpoint, verifier, nil
		}
	}
	return SignedCheckpoint{}, nil, fmt.Errorf("%w: it is not signed with the key of %s, or was changed since", ErrBadCheckpoint, unchecked.OriginLine)
}

// canonicalSignatures tells whether each signature has the only base64 form of its bytes: decoders let others pass.
func canonicalSignatures(text []byte) bool {
	_, signatures, _ := bytes.Cut(text, []byte("\n\n"))
	for line := range bytes.Lines(signatures) {
		at := bytes.LastIndexByte(line, ' ')
		if _, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSuffix(string(line[at+1:]), "\n")); err != nil {
			return false
		}
	}
	return true
}
