package ledger

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
)

// algEd25519 is the signed-note type of Ed25519 keys.
const algEd25519 = 1

// Signer signs checkpoints with Ed25519. It implements note.Signer under the log's name; Named gives the signer of one
// origin, because a checkpoint's key should bear the name of its origin (C2SP tlog-checkpoint).
type Signer struct {
	note.Signer
	seed []byte
}

// NewSigner makes the signer of a log from a 32-byte seed. The log's name is such as "lethe.dev/<cluster id>".
func NewSigner(logName string, seed []byte) (*Signer, error) {
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("the ledger's key needs a seed of %d bytes", ed25519.SeedSize)
	}
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	text := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", logName, keyHash(logName, public),
		base64.StdEncoding.EncodeToString(append([]byte{algEd25519}, seed...)))
	inner, err := note.NewSigner(text)
	if err != nil {
		return nil, errors.New("the ledger's name is not usable as the name of a key: no spaces, no +") // err holds the seed
	}
	return &Signer{Signer: inner, seed: seed}, nil
}

// Named is the same key under another name.
func (s *Signer) Named(name string) (*Signer, error) { return NewSigner(name, s.seed) }

// VerifierKey is the public key as text, "<name>+<hash>+<key>", for note.NewVerifier.
func (s *Signer) VerifierKey() string {
	public := ed25519.NewKeyFromSeed(s.seed).Public().(ed25519.PublicKey)
	text, err := note.NewEd25519VerifierKey(s.Name(), public)
	if err != nil {
		panic("ledger: a valid key has no text") // its length is checked in NewSigner
	}
	return text
}

// VerifierKeyFor is the public key's text for one origin's checkpoints.
func (s *Signer) VerifierKeyFor(origin string) (string, error) {
	named, err := s.Named(OriginLine(s.Name(), origin))
	if err != nil {
		return "", err
	}
	return named.VerifierKey(), nil
}

// Verifier is the public half.
func (s *Signer) Verifier() (note.Verifier, error) { return note.NewVerifier(s.VerifierKey()) }

// keyHash is the key's short id in notes: SHA-256 of name, newline, type and key, its first four bytes.
func keyHash(name string, public ed25519.PublicKey) uint32 {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{'\n', algEd25519})
	h.Write(public)
	return binary.BigEndian.Uint32(h.Sum(nil))
}
