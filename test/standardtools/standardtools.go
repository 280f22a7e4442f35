// Package standardtools verifies a certificate of erasure with tools that are not Lethe's: the standard library,
// golang.org/x/mod/sumdb/note and transparency-dev/merkle. It imports nothing of Lethe, and shows that nobody needs to.
package standardtools

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// VerifyCertificate checks a certificate's file with the key that the ConfigMap lethe-ledger-key shows.
func VerifyCertificate(file []byte, logKey string) error {
	var document struct {
		Certificate  json.RawMessage
		Entry, Proof string
	}
	if err := json.Unmarshal(file, &document); err != nil {
		return err
	}

	// 1. The entry holds the digest of the certificate in canonical form (RFC 8785).
	canonical, err := canonical(document.Certificate)
	if err != nil {
		return err
	}
	var entry struct {
		Kind       string
		Attributes map[string]string
	}
	if err := json.Unmarshal([]byte(document.Entry), &entry); err != nil {
		return err
	}
	digest := sha256.Sum256(canonical)
	if entry.Kind != "certificate.issued" || entry.Attributes["digest"] != "sha256:"+hex.EncodeToString(digest[:]) {
		return errors.New("the entry does not hold the digest of the certificate")
	}

	// 2. The tlog-proof: header, index, hashes, an empty line, the checkpoint.
	head, checkpoint, ok := strings.Cut(document.Proof, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return errors.New("not a tlog-proof")
	}
	index, err := strconv.ParseUint(strings.TrimPrefix(lines[1], "index "), 10, 64)
	if err != nil {
		return err
	}
	var hashes [][]byte
	for _, line := range lines[2:] {
		hash, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			return err
		}
		hashes = append(hashes, hash)
	}

	// 3. The checkpoint is signed.
	size, root, err := openCheckpoint(checkpoint, logKey)
	if err != nil {
		return err
	}

	// 4. The entry is in the tree.
	return proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, rfc6962.DefaultHasher.HashLeaf([]byte(document.Entry)), hashes, root)
}

// openCheckpoint takes the ledger's key under the name of the checkpoint's origin, which begins with the key's own name.
func openCheckpoint(checkpoint, logKey string) (size uint64, root []byte, err error) {
	origin, _, _ := strings.Cut(checkpoint, "\n")
	parts := strings.SplitN(strings.TrimSpace(logKey), "+", 3)
	if len(parts) != 3 || !strings.HasPrefix(origin, parts[0]+"/") {
		return 0, nil, errors.New("the key is of another ledger")
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return 0, nil, errors.New("not an Ed25519 key")
	}
	key, err := note.NewEd25519VerifierKey(origin, raw[1:])
	if err != nil {
		return 0, nil, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return 0, nil, err
	}
	signed, err := note.Open([]byte(checkpoint), note.VerifierList(verifier))
	if err != nil {
		return 0, nil, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 {
		return 0, nil, errors.New("not a checkpoint")
	}
	if size, err = strconv.ParseUint(lines[1], 10, 64); err != nil {
		return 0, nil, err
	}
	root, err = base64.StdEncoding.DecodeString(lines[2])
	return size, root, err
}

// canonical sorts names and drops white space: all that RFC 8785 asks of a text of objects, lists, words and whole numbers.
func canonical(text []byte) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}
