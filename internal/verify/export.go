package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// Names of checks.
const (
	checkExportProof  = "The proof is complete, with nothing in it that is not checked"
	checkExportDigest = "The ledger's entry holds the digest of exactly this file"
	checkExportOrigin = "Proof and checkpoint are of the same ledger"
	checkExportState  = "The ledger was in the state that the export shows before it recorded the export"
	checkExportPlace  = "The whole ledger has the entry at its place"
)

// Export checks an exported file against its proof. With the whole ledger it also checks the state that the file shows.
func Export(keys ledger.VerifierKeys, file io.Reader, proof []byte, log *Log, earlier [][]byte) (*Report, error) {
	r := &Report{Kind: "Export"}
	digest := sha256.New()
	size, err := io.Copy(digest, file)
	if err != nil {
		return nil, fmt.Errorf("%w: the file cannot be read to its end", ErrUnusable)
	}
	if log != nil {
		keys = keys.Extend(log.Rotations...)
	}
	p, entry, checkpoint, index := exportAlone(r, keys, proof, hex.EncodeToString(digest.Sum(nil)), size)
	if r.Problem != "" {
		return r, nil
	}
	if log == nil {
		if err := withoutLedger(r, keys, checkpoint, earlier); err != nil || r.Problem != "" {
			return r, err
		}
		r.skip(checkExportState, "only the whole ledger tells (--ledger)")
	} else if err := exportInLedger(r, keys, p, entry, index, log, append([][]byte{checkpoint.Note}, earlier...)); err != nil || r.Problem != "" {
		return r, err
	}
	r.Verified = true
	r.Meaning = append([]string{fmt.Sprintf("The ledger recorded exactly this file as its entry %d, at the latest when it had %d entries.", index, checkpoint.Size),
		"That the file shows what the ledger had, whoever has both can check: each record names its entry or its request."}, limits(len(earlier) > 0)...)
	return r, nil
}

func exportAlone(r *Report, keys ledger.VerifierKeys, text []byte, digest string, size int64) (p *export.Proof, entry ledger.Entry, checkpoint ledger.SignedCheckpoint, index uint64) {
	p, err := export.ParseProof(text)
	var hashes [][]byte
	var note []byte
	if err == nil {
		entry, index, hashes, note, err = p.Read()
	}
	if !r.try(checkExportProof, err, "") {
		return
	}
	if recorded := entry.Attributes[export.AttributeSHA256]; recorded != digest {
		err = fmt.Errorf("the file was changed, cut, or is another one: its SHA-256 is %s, the ledger has %s", digest, recorded)
	} else if entry.Attributes[export.AttributeSize] != fmt.Sprint(size) {
		err = errors.New("the file has another size than the ledger has on record")
	}
	if !r.try(checkExportDigest, err, "sha256 "+digest) {
		return
	}
	a := entry.Attributes
	r.fact("Export", a[export.AttributeExport])
	r.fact("Log", a[export.AttributeLog]+" as "+a[export.AttributeFormat])
	r.fact("Records", a[export.AttributeRecords])
	r.fact("Size", a[export.AttributeSize]+" bytes")
	r.fact("Requested by", entry.Actor)
	r.fact("Completed", entry.Time.Format("2006-01-02T15:04:05Z"))
	r.fact("State of", a[export.AttributeCheckpointSize]+" entries, root "+a[export.AttributeCheckpointRoot])
	checkpoint, _, err = keys.OpenCheckpoint(note)
	if !r.try(checkSigned, err, fmt.Sprintf("%d entries of %s", checkpoint.Size, checkpoint.OriginLine)) {
		return
	}
	if err = nil; p.Ledger != checkpoint.OriginLine {
		err = errors.New("the proof names another ledger than its checkpoint")
	}
	if !r.try(checkExportOrigin, err, "") {
		return
	}
	r.try(checkInclusion, ledger.VerifyInclusion(checkpoint.Checkpoint, index, []byte(p.Entry), hashes), fmt.Sprintf("entry %d", index))
	return
}

// exportInLedger verifies the whole ledger, and that it was in the state that the file shows.
func exportInLedger(r *Report, keys ledger.VerifierKeys, p *export.Proof, entry ledger.Entry, index uint64, log *Log, known [][]byte) error {
	var at []byte
	var tree ledger.Tree
	shown := fmt.Sprint(tree.Size()) == entry.Attributes[export.AttributeCheckpointSize] && hex.EncodeToString(tree.Root()) == entry.Attributes[export.AttributeCheckpointRoot]
	err := verifyLog(r, keys, *log, known, func(record ledger.Record) {
		if record.Index == index {
			at = bytes.Clone(record.Leaf)
		}
		tree, _ = tree.With(ledger.LeafHash(record.Leaf))
		if !shown && fmt.Sprint(tree.Size()) == entry.Attributes[export.AttributeCheckpointSize] {
			shown = hex.EncodeToString(tree.Root()) == entry.Attributes[export.AttributeCheckpointRoot] && tree.Size() <= index
		}
	})
	if err != nil || r.Problem != "" {
		return err
	}
	if string(at) != p.Entry {
		err = errors.New("the ledger has another entry at this place")
	}
	if !r.try(checkExportPlace, err, "") {
		return nil
	}
	if err = nil; !shown {
		err = errors.New("the ledger never was in the state that the export names")
	}
	r.try(checkExportState, err, entry.Attributes[export.AttributeCheckpointSize]+" entries")
	return nil
}
