package verify

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// Log is a whole ledger: an exported file with its checkpoint.
type Log struct {
	Records    io.Reader
	Checkpoint []byte
	// Rotations are the statements on its keys that were found in it before.
	Rotations []ledger.Rotation
}

// Names of checks.
const (
	checkSigned  = "The checkpoint is signed with the ledger's key"
	checkRecords = "All entries are there, unchanged and in their order, as the checkpoint says"
	checkRetired = "No key signed for entries after the one that replaced it"
	checkEarlier = "The ledger continues the checkpoints that were kept elsewhere"
)

// ErrUnusable means that the input cannot be used for the check that was asked for. It says nothing of what it proves.
var ErrUnusable = errors.New("this cannot be checked")

// Ledger checks a whole ledger against its checkpoint and those that were kept elsewhere. Only an unusable input is an error.
func Ledger(keys ledger.VerifierKeys, log Log, earlier [][]byte) (*Report, error) {
	r := &Report{Kind: "Ledger"}
	found := tally{kinds: map[string]int{}}
	err := verifyLog(r, keys, log, earlier, found.add)
	if err != nil || r.Problem != "" {
		return r, err
	}
	r.Verified = true
	r.fact("Entries", fmt.Sprint(found.entries))
	if found.entries > 0 {
		r.fact("First", found.first)
		r.fact("Last", found.last)
	}
	for _, kind := range found.sorted() {
		r.fact(kind, fmt.Sprint(found.kinds[kind]))
	}
	r.Meaning = append([]string{"Every entry of the file is in the ledger that the checkpoint stands for, and no entry before it is missing."}, limits(len(earlier) > 0)...)
	return r, nil
}

func limits(kept bool) []string {
	anew := "Without an earlier checkpoint that was kept elsewhere, it does not show that nobody with the ledger's private key wrote it anew."
	if kept {
		anew = "What the checkpoints that were kept elsewhere cover was not changed since they were kept."
	}
	return []string{anew, "It proves what was recorded. The record is worth as much as the operator that wrote it."}
}

type tally struct {
	entries     int
	first, last string
	kinds       map[string]int
}

func (t *tally) add(record ledger.Record) {
	entry, err := ledger.DecodeLeaf(record.Leaf)
	if err != nil {
		return // the verification finds it
	}
	t.last = entry.Time.Format("2006-01-02T15:04:05Z")
	if t.entries == 0 {
		t.first = t.last
	}
	t.entries++
	t.kinds[entry.Kind]++
}

func (t *tally) sorted() []string {
	var kinds []string
	for kind := range t.kinds {
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	return kinds
}

// verifyLog adds the checks of a whole ledger to a report and shows each record as it passes.
func verifyLog(r *Report, keys ledger.VerifierKeys, log Log, earlier [][]byte, see func(ledger.Record)) error {
	keys = keys.Extend(log.Rotations...)
	current, verifier, err := keys.OpenCheckpoint(log.Checkpoint)
	if !r.try(checkSigned, err, fmt.Sprintf("%d entries of %s", current.Size, current.OriginLine)) {
		return nil
	}
	r.fact("Ledger", current.OriginLine)
	known, ok := openEarlier(r, keys, earlier, current.OriginLine)
	if !ok {
		return nil
	}
	var retired []retirement
	err = ledger.VerifyRecords(ledger.Evidence{OriginLine: current.OriginLine, Verifier: verifier, Current: log.Checkpoint, Earlier: known},
		func(yield func(ledger.Record, error) bool) {
			for record, err := range ledger.ReadLines(log.Records) {
				if err == nil {
					retired = appendRetirement(retired, record)
					see(record)
				}
				if !yield(record, err) {
					return
				}
			}
		})
	var tampered *ledger.TamperedError
	if err != nil && !errors.As(err, &tampered) {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	if !r.try(checkRecords, err, "") {
		return nil
	}
	if len(retired) > 0 {
		if err := checkRetirements(keys, retired, append([][]byte{log.Checkpoint}, earlier...)); !r.try(checkRetired, err, replaced(retired)) {
			return nil
		}
	}
	if len(earlier) == 0 {
		r.skip(checkEarlier, "none was given (--earlier)")
	} else {
		r.try(checkEarlier, nil, sizes(known))
	}
	return nil
}

// retirement is an entry that replaces a key.
type retirement struct {
	index uint64
	key   ledger.VerifierKey
}

func appendRetirement(list []retirement, record ledger.Record) []retirement {
	if !bytes.Contains(record.Leaf, []byte(ledger.KindKeyRotated)) {
		return list
	}
	if entry, err := ledger.DecodeLeaf(record.Leaf); err == nil {
		if rotation, ok := ledger.RotationOf(entry); ok {
			return append(list, retirement{record.Index, rotation.From})
		}
	}
	return list
}

// checkRetirements refuses a checkpoint that a key signed although the entries that it covers say that it was replaced: whoever
// still had it did that.
func checkRetirements(keys ledger.VerifierKeys, retired []retirement, checkpoints [][]byte) error {
	for _, text := range checkpoints {
		text, err := checkpointIn(text)
		if err != nil {
			return err
		}
		c, err := ledger.ReadCheckpoint(text)
		if err != nil {
			return err
		}
		key, err := keys.WhichOpens(text)
		if err != nil {
			return err
		}
		for _, r := range retired {
			if r.key.Same(key) && c.Size > r.index {
				return &ledger.TamperedError{From: r.index, To: c.Size, Err: ledger.ErrBadCheckpoint,
					Problem: "the checkpoint is signed with a key that was replaced before"}
			}
		}
	}
	return nil
}

func replaced(retired []retirement) string {
	var list []string
	for _, r := range retired {
		list = append(list, fmt.Sprint(r.index))
	}
	return "replaced by entry " + strings.Join(list, ", ")
}

// openEarlier checks checkpoints that were kept elsewhere and puts them in order.
func openEarlier(r *Report, keys ledger.VerifierKeys, earlier [][]byte, originLine string) ([]ledger.Checkpoint, bool) {
	var known []ledger.Checkpoint
	for _, text := range earlier {
		c, err := OpenKept(keys, text)
		if err == nil && c.OriginLine != originLine {
			err = fmt.Errorf("%w: it is of %s", ledger.ErrBadCheckpoint, c.OriginLine)
		}
		if err != nil {
			return nil, r.try(checkEarlier, fmt.Errorf("a checkpoint given as earlier: %w", err), "")
		}
		known = append(known, c)
	}
	slices.SortStableFunc(known, func(a, b ledger.Checkpoint) int { return int(int64(a.Size) - int64(b.Size)) })
	return known, true
}

// OpenKept reads a checkpoint that was kept: by itself, in a certificate, in the proof of an export, or in a consistency proof.
func OpenKept(keys ledger.VerifierKeys, text []byte) (ledger.Checkpoint, error) {
	text, err := checkpointIn(text)
	if err != nil {
		return ledger.Checkpoint{}, err
	}
	c, _, err := keys.OpenCheckpoint(text)
	return c.Checkpoint, err
}

// checkpointIn is the checkpoint of what was kept.
func checkpointIn(text []byte) ([]byte, error) {
	switch trimmed := strings.TrimSpace(string(text)); {
	case strings.HasPrefix(trimmed, "{"):
		if p, err := export.ParseProof(text); err == nil {
			_, _, _, note, err := p.Read()
			return note, err
		}
		d, err := certificate.Parse(text)
		if err != nil {
			return nil, err
		}
		_, _, text, err = d.ReadProof()
		return text, err
	case strings.HasPrefix(trimmed, "old "):
		p, err := ledger.ParseConsistencyProof(text)
		return p.Checkpoint, err
	}
	return text, nil
}

func sizes(known []ledger.Checkpoint) string {
	var list []string
	for _, c := range known {
		list = append(list, fmt.Sprint(c.Size))
	}
	return "of " + strings.Join(list, ", ") + " entries"
}
