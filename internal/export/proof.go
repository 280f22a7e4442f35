package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/transparency-dev/formats/proof"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// ProofFormat names the form and version of a proof's file.
const ProofFormat = "lethe.dev/compliance-export-proof/v1"

// maxProof bounds the file of a proof.
const maxProof = 1 << 20

// Attributes of the ledger's entries on exports.
const (
	AttributeExport           = "export"
	AttributeLog              = "log"
	AttributeFormat           = "format"
	AttributeDestination      = "destination"
	AttributeFrom             = "from"
	AttributeTo               = "to"
	AttributeFilters          = "filters"
	AttributeArchiveRetention = "archiveRetention"
	AttributeRecords          = "records"
	AttributeSize             = "size"
	AttributeSHA256           = "sha256"
	AttributeCheckpointSize   = "checkpointSize"
	AttributeCheckpointRoot   = "checkpointRoot"
)

// ErrProof means that a text is no proof of an export.
var ErrProof = errors.New("not a valid proof of a compliance export")

// Proof is the file that proves an export: the ledger's entry that holds the digest of the exported file, and the C2SP tlog-proof
// that the ledger has the entry.
type Proof struct {
	Format string `json:"format"`
	Ledger string `json:"ledger"`
	Entry  string `json:"entry"`
	Proof  string `json:"proof"`
}

// Key of one of the entries on an export: started, completed, failed, purged.
func Key(uid, what string) string { return "export/" + uid + "/" + what }

// Assemble makes the text of a proof.
func Assemble(originLine string, record ledger.Record, hashes [][]byte, checkpoint []byte) ([]byte, error) {
	p := proof.TLogProof{Index: record.Index, Checkpoint: checkpoint}
	for _, h := range hashes {
		if len(h) != sha256.Size {
			return nil, errors.New("an inclusion proof has a hash of another length")
		}
		p.Hashes = append(p.Hashes, [sha256.Size]byte(h))
	}
	return encodeProof(Proof{Format: ProofFormat, Ledger: originLine, Entry: string(record.Leaf), Proof: string(p.Marshal())})
}

func encodeProof(p Proof) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(p); err != nil {
		return nil, errors.New("the proof has no JSON form")
	}
	return out.Bytes(), nil
}

// ParseProof reads the text in its one form; white space at its end may be missing.
func ParseProof(text []byte) (*Proof, error) {
	if len(text) > maxProof {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrProof, maxProof)
	}
	var p Proof
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return nil, fmt.Errorf("%w: it is not JSON of that form, or ends in the middle", ErrProof)
	}
	if p.Format != ProofFormat {
		return nil, fmt.Errorf("%w: its format is not %s", ErrProof, ProofFormat)
	}
	again, err := encodeProof(p)
	if err != nil || !bytes.Equal(bytes.TrimSpace(again), bytes.TrimSpace(text)) {
		return nil, fmt.Errorf("%w: it is not in the form in which it is handed out", ErrProof)
	}
	return &p, nil
}

// Read gives the parts: the entry, its place, and the proof.
func (p *Proof) Read() (entry ledger.Entry, index uint64, hashes [][]byte, checkpoint []byte, err error) {
	if entry, err = ledger.DecodeLeaf([]byte(p.Entry)); err != nil {
		return entry, 0, nil, nil, fmt.Errorf("%w: its entry is not one of a ledger", ErrProof)
	}
	if entry.Kind != ledger.KindExportCompleted {
		return entry, 0, nil, nil, fmt.Errorf("%w: its entry is of the kind %s, not %s", ErrProof, entry.Kind, ledger.KindExportCompleted)
	}
	var t proof.TLogProof
	if err := t.Unmarshal([]byte(p.Proof)); err != nil {
		return entry, 0, nil, nil, fmt.Errorf("%w: its proof is not a tlog-proof", ErrProof)
	}
	if t.ExtraData != nil || !bytes.Equal(t.Marshal(), []byte(p.Proof)) {
		return entry, 0, nil, nil, fmt.Errorf("%w: its proof is not in canonical form", ErrProof)
	}
	for _, h := range t.Hashes {
		hashes = append(hashes, h[:])
	}
	return entry, t.Index, hashes, t.Checkpoint, nil
}
