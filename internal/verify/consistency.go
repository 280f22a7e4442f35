package verify

import (
	"fmt"

	"github.com/lethe-dev/lethe/internal/ledger"
)

const checkContinues = "The newer checkpoint continues the older one"

// Consistency checks that the newer checkpoint continues the older one, which was kept: by a proof, or by the whole ledger
// at the time of the newer one.
func Consistency(keys ledger.VerifierKeys, older []byte, proof *ledger.ConsistencyProof, log *Log) (*Report, error) {
	r := &Report{Kind: "Consistency"}
	if log != nil {
		if err := verifyLog(r, keys, *log, [][]byte{older}, func(ledger.Record) {}); err != nil || r.Problem != "" {
			return r, err
		}
	} else if !byProof(r, keys, older, proof) {
		return r, nil
	}
	r.Verified = true
	r.Meaning = []string{"Everything that the older checkpoint covers is in the ledger of the newer one, unchanged and at its place. Entries were only added.",
		"It says nothing of what the entries are: verify the whole ledger or a certificate for that."}
	return r, nil
}

func byProof(r *Report, keys ledger.VerifierKeys, older []byte, proof *ledger.ConsistencyProof) bool {
	newer, _, err := keys.OpenCheckpoint(proof.Checkpoint)
	if !r.try("The newer checkpoint is signed with the ledger's key", err, fmt.Sprintf("%d entries of %s", newer.Size, newer.OriginLine)) {
		return false
	}
	old, err := OpenKept(keys, older)
	if !r.try("The older checkpoint is signed with the ledger's key", err, fmt.Sprintf("%d entries", old.Size)) {
		return false
	}
	if err = ledger.VerifyConsistency(old, newer.Checkpoint, proof.Hashes); err == nil && old.Size != proof.OldSize {
		err = fmt.Errorf("%w: it was made for a checkpoint of %d entries", ledger.ErrBadProof, proof.OldSize)
	}
	r.fact("Ledger", newer.OriginLine)
	r.fact("Older", fmt.Sprintf("%d entries", old.Size))
	r.fact("Newer", fmt.Sprintf("%d entries", newer.Size))
	return r.try(checkContinues, err, "")
}
