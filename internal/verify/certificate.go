package verify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// Names of checks.
const (
	checkForm      = "The file is a complete certificate, with nothing in it that is not checked"
	checkDigest    = "The ledger's entry holds the digest of exactly this certificate"
	checkOrigin    = "Certificate and checkpoint are of the same ledger"
	checkInclusion = "The checkpoint covers the entry"
	checkInLedger  = "The whole ledger has the entry at its place, and records the same erasure"
	checkNewest    = "No later certificate replaces it"
)

// Certificate checks a certificate's file. With the whole ledger it also checks what the ledger says besides.
func Certificate(keys ledger.VerifierKeys, text []byte, log *Log, earlier [][]byte) (*Report, error) {
	r := &Report{Kind: "Certificate"}
	if log != nil {
		keys = keys.Extend(log.Rotations...)
	}
	d, checkpoint, index := certificateAlone(r, keys, text)
	if r.Problem != "" {
		return r, nil
	}
	if log == nil {
		if err := withoutLedger(r, keys, checkpoint, earlier); err != nil || r.Problem != "" {
			return r, err
		}
		r.skip(checkNewest, "only the whole ledger tells (--ledger)")
	} else if err := withLedger(r, keys, d, index, log, append([][]byte{checkpoint.Note}, earlier...)); err != nil || r.Problem != "" {
		return r, err
	}
	r.Verified = true
	r.Meaning = append([]string{fmt.Sprintf("The ledger recorded exactly this certificate as its entry %d, at the latest when it had %d entries.", index, checkpoint.Size)},
		limits(len(earlier) > 0)...)
	return r, nil
}

// certificateAlone checks what the file itself can show.
func certificateAlone(r *Report, keys ledger.VerifierKeys, text []byte) (d *certificate.Document, checkpoint ledger.SignedCheckpoint, index uint64) {
	d, err := certificate.Parse(text)
	var hashes [][]byte
	var note []byte
	if err == nil {
		index, hashes, note, err = d.ReadProof()
	}
	if !r.try(checkForm, err, "") {
		return
	}
	describe(r, &d.Certificate)
	_, digest, err := d.CheckEntry()
	if !r.try(checkDigest, err, digest) {
		return
	}
	checkpoint, _, err = keys.OpenCheckpoint(note)
	if !r.try(checkSigned, err, fmt.Sprintf("%d entries of %s", checkpoint.Size, checkpoint.OriginLine)) {
		return
	}
	err = nil
	if d.Certificate.Ledger != checkpoint.OriginLine || !strings.HasSuffix(d.Certificate.Ledger, "/"+d.Certificate.Namespace) {
		err = errors.New("the certificate names another ledger than its proof")
	}
	if !r.try(checkOrigin, err, "") {
		return
	}
	r.try(checkInclusion, ledger.VerifyInclusion(checkpoint.Checkpoint, index, []byte(d.Entry), hashes), fmt.Sprintf("entry %d", index))
	return
}

// withoutLedger compares the certificate's checkpoint with kept ones, as far as that is possible without the entries.
func withoutLedger(r *Report, keys ledger.VerifierKeys, checkpoint ledger.SignedCheckpoint, earlier [][]byte) error {
	if len(earlier) == 0 {
		r.skip(checkEarlier, "none was given (--earlier)")
		return nil
	}
	known, ok := openEarlier(r, keys, earlier, checkpoint.OriginLine)
	if !ok {
		return nil
	}
	for _, c := range known {
		if c.Size != checkpoint.Size {
			return fmt.Errorf("%w: the kept checkpoint covers %d entries and the certificate's %d; give the whole ledger too (--ledger), or check the two checkpoints with a consistency proof",
				ErrUnusable, c.Size, checkpoint.Size)
		}
		if !bytes.Equal(c.Root, checkpoint.Root) {
			r.try(checkEarlier, fmt.Errorf("%w: there are two ledgers of %d entries", ledger.ErrForked, c.Size), "")
			return nil
		}
	}
	r.try(checkEarlier, nil, sizes(known))
	return nil
}

// withLedger verifies the whole ledger and compares what it records of the request.
func withLedger(r *Report, keys ledger.VerifierKeys, d *certificate.Document, index uint64, log *Log, known [][]byte) error {
	body := &d.Certificate
	var at []byte
	newest := body.Number
	planned := body.Number > 1 // later certificates are of other runs
	err := verifyLog(r, keys, *log, known, func(record ledger.Record) {
		if record.Index == index {
			at = record.Leaf
		}
		entry, err := ledger.DecodeLeaf(record.Leaf)
		if err != nil || entry.Handle != body.Request.Handle {
			return
		}
		switch entry.Kind {
		case ledger.KindErasureCompleted:
			planned = planned || entry.Attributes["planDigest"] == body.Verification.PlanDigest
		case ledger.KindCertificateIssued:
			var n int64
			if _, err := fmt.Sscan(entry.Attributes[certificate.AttributeNumber], &n); err == nil {
				newest = max(newest, n)
			}
		}
	})
	if err != nil || r.Problem != "" {
		return err
	}
	switch {
	case string(at) != d.Entry:
		err = errors.New("the ledger has another entry at this place")
	case !planned:
		err = errors.New("the ledger records no completed erasure by this plan")
	}
	if r.try(checkInLedger, err, "") {
		detail := ""
		if newest > body.Number {
			detail = fmt.Sprintf("number %d was issued since; this one says what was true when it was issued", newest)
			r.Checks = append(r.Checks, Check{checkNewest, NotChecked, detail})
			return nil
		}
		r.try(checkNewest, nil, detail)
	}
	return nil
}

// describe says what the certificate says.
func describe(r *Report, b *certificate.Body) {
	r.fact("Certificate", fmt.Sprintf("number %d, issued %s", b.Number, b.IssuedAt.Format("2006-01-02T15:04:05Z")))
	r.fact("Workspace", b.Namespace)
	r.fact("Request", fmt.Sprintf("%s (handle %s)", b.Request.UID, b.Request.Handle))
	r.fact("Asked by", b.Request.Source)
	for _, e := range b.Timeline {
		r.fact(e.Event, e.At.Format("2006-01-02T15:04:05Z"))
	}
	for _, c := range b.Categories {
		r.fact("Data", c.Category+": "+Counts(c))
	}
	for _, k := range b.Retained {
		until := "no end is known"
		if k.Until != nil {
			until = "until " + k.Until.Format("2006-01-02")
		}
		r.fact("Retained", fmt.Sprintf("%d of %s (%s): %s, %s", k.Count, k.Entity, k.Category, k.Basis, until))
	}
	r.fact("Result", map[string]string{certificate.ResultErased: "everything was erased; a re-query found nothing left",
		certificate.ResultRetained: "everything was erased but what is retained; a re-query found nothing else left"}[b.Result])
}
