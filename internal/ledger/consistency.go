package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxProofLines is the limit of the format.
const maxProofLines = 63

// ErrBadProof means that a text is no consistency proof.
var ErrBadProof = errors.New("not a consistency proof")

// ConsistencyProof proves that a checkpoint continues an older one. Its text is the body of C2SP tlog-witness's
// add-checkpoint: "old <size>", the hashes, an empty line, the newer checkpoint.
type ConsistencyProof struct {
	OldSize    uint64
	Hashes     [][]byte
	Checkpoint []byte
}

// Marshal writes the text.
func (p ConsistencyProof) Marshal() []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "old %d\n", p.OldSize)
	for _, h := range p.Hashes {
		fmt.Fprintln(&out, base64.StdEncoding.EncodeToString(h))
	}
	out.WriteByte('\n')
	out.Write(p.Checkpoint)
	return out.Bytes()
}

// ParseConsistencyProof reads the text; of one meaning it accepts one text.
func ParseConsistencyProof(text []byte) (ConsistencyProof, error) {
	head, checkpoint, ok := bytes.Cut(text, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	size, isOld := strings.CutPrefix(lines[0], "old ")
	if !ok || !isOld || len(lines) > 1+maxProofLines {
		return ConsistencyProof{}, fmt.Errorf("%w: it is \"old <size>\", hashes, an empty line and a checkpoint", ErrBadProof)
	}
	p := ConsistencyProof{Checkpoint: checkpoint}
	var err error
	if p.OldSize, err = strconv.ParseUint(size, 10, 64); err != nil {
		return ConsistencyProof{}, fmt.Errorf("%w: its old size is not a number", ErrBadProof)
	}
	for _, line := range lines[1:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(hash) != sha256.Size {
			return ConsistencyProof{}, fmt.Errorf("%w: a line is not the base64 of a SHA-256 hash", ErrBadProof)
		}
		p.Hashes = append(p.Hashes, hash)
	}
	if !bytes.Equal(p.Marshal(), text) {
		return ConsistencyProof{}, fmt.Errorf("%w: it is not in canonical form", ErrBadProof)
	}
	return p, nil
}
