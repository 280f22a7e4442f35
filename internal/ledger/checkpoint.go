package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"

	fmtlog "github.com/transparency-dev/formats/log"
	"golang.org/x/mod/sumdb/note"
)

// ErrBadCheckpoint means that a checkpoint is malformed, of another log, or not signed with the key.
var ErrBadCheckpoint = errors.New("not a valid checkpoint of this ledger")

// Checkpoint is the state of a log: what its signature stands for.
type Checkpoint struct {
	OriginLine string
	Size       uint64
	Root       []byte
}

// SignedCheckpoint is a checkpoint with its signed note, the C2SP tlog-checkpoint.
type SignedCheckpoint struct {
	Checkpoint
	Note []byte
}

// Sign makes the signed note.
func (c Checkpoint) Sign(signer note.Signer) (SignedCheckpoint, error) {
	text := fmtlog.Checkpoint{Origin: c.OriginLine, Size: c.Size, Hash: c.Root}.Marshal()
	signed, err := note.Sign(&note.Note{Text: string(text)}, signer)
	if err != nil {
		return SignedCheckpoint{}, errors.New("sign checkpoint: the key refused")
	}
	return SignedCheckpoint{Checkpoint: c, Note: signed}, nil
}

// OpenCheckpoint checks a signed note against the log's public key and its full origin.
func OpenCheckpoint(text []byte, originLine string, verifier note.Verifier) (SignedCheckpoint, error) {
	c, extra, _, err := fmtlog.ParseCheckpoint(text, originLine, verifier)
	if err != nil {
		return SignedCheckpoint{}, fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
	}
	if len(extra) != 0 || len(c.Hash) != sha256.Size {
		return SignedCheckpoint{}, fmt.Errorf("%w: it holds more or less than origin, size and root", ErrBadCheckpoint)
	}
	return SignedCheckpoint{Checkpoint{c.Origin, c.Size, c.Hash}, text}, nil
}

// ReadCheckpoint reads a note without looking at its signatures.
func ReadCheckpoint(text []byte) (SignedCheckpoint, error) {
	var c fmtlog.Checkpoint
	if _, err := c.Unmarshal(text); err != nil || len(c.Hash) != sha256.Size {
		return SignedCheckpoint{}, ErrBadCheckpoint
	}
	return SignedCheckpoint{Checkpoint{c.Origin, c.Size, c.Hash}, text}, nil
}
