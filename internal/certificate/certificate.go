// Package certificate has the certificate of erasure: its content, its canonical form, and the file in which it goes to
// whoever has to be shown what was erased. A certificate never names a subject.
//
// The ledger commits to a certificate by an entry that holds the digest of its canonical JSON (RFC 8785); the file holds
// certificate, entry and the proof that the ledger has the entry (C2SP tlog-proof).
package certificate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/transparency-dev/formats/proof"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// Format names the file's form and version.
const Format = "lethe.dev/certificate-of-erasure/v1"

// maxSize of a file that is read.
const maxSize = 4 << 20

// Results.
const (
	// ResultErased: a re-query found nothing of the subject that should be gone.
	ResultErased = v1alpha1.ReasonErased
	// ResultRetained: nothing but what is listed as retained, with its basis.
	ResultRetained = v1alpha1.ReasonRetained
)

// Attributes of the ledger's entry.
const (
	AttributeDigest = "digest"
	AttributeNumber = "number"
)

// ErrInvalid means that a text is no certificate.
var ErrInvalid = errors.New("not a valid certificate of erasure")

// Document is the file.
type Document struct {
	Format      string `json:"format"`
	Certificate Body   `json:"certificate"`
	// Entry is the ledger's entry as it was hashed.
	Entry string `json:"entry"`
	// Proof is a C2SP tlog-proof of the entry.
	Proof string `json:"proof"`
}

// Body is what is certified. Times are whole seconds in UTC.
type Body struct {
	// Number counts the certificates of a request from 1; each replaces the one before.
	Number int64 `json:"number"`
	// Replaces is the digest of the certificate before.
	Replaces string    `json:"replaces,omitempty"`
	IssuedAt time.Time `json:"issuedAt"`
	// Ledger is the full name of the ledger's origin.
	Ledger    string  `json:"ledger"`
	Namespace string  `json:"namespace"`
	Request   Request `json:"request"`
	Result    string  `json:"result"`
	// Timeline in the order of time.
	Timeline []Event `json:"timeline"`
	// DueAt is the statutory due date.
	DueAt time.Time `json:"dueAt"`
	// Policy and Maps are those that applied.
	Policy v1alpha1.PolicySnapshot `json:"policy"`
	Maps   []v1alpha1.MapReference `json:"maps,omitempty"`
	// Categories are the counts of everything that was done, and of what stays.
	Categories []v1alpha1.CategoryCount `json:"categories,omitempty"`
	// Retained is what a law or a hold keeps.
	Retained     []Retained   `json:"retained,omitempty"`
	Verification Verification `json:"verification"`
	Actors       []Actor      `json:"actors"`
}

// Request is what was asked for. Handle is its random id in the ledger.
type Request struct {
	UID    string `json:"uid"`
	Handle string `json:"handle"`
	Source string `json:"source,omitempty"`
	// Scope is empty where everything was to be erased.
	Scope  string `json:"scope,omitempty"`
	Timing string `json:"timing,omitempty"`
}

// Event of the timeline.
type Event struct {
	Event string    `json:"event"`
	At    time.Time `json:"at"`
}

// Events of the timeline.
const (
	EventReceived       = "Received"
	EventConfirmed      = "Confirmed"
	EventScheduled      = "Scheduled"
	EventProcessing     = "ProcessingStarted"
	EventFinished       = "Finished"
	EventRetainedErased = "RetainedDataErased"
)

// Retained is data that a law or a hold keeps.
type Retained struct {
	Category string `json:"category"`
	Entity   string `json:"entity"`
	Count    int64  `json:"count"`
	Basis    string `json:"basis"`
	// Until is absent while a hold without an end keeps it.
	Until *time.Time `json:"until,omitempty"`
}

// Verification is how it was made sure that nothing is left.
type Verification struct {
	// Method is always Requery: every store was asked again for everything that the plan named and for the subject.
	Method string    `json:"method"`
	Result string    `json:"result"`
	At     time.Time `json:"at"`
	// PlanDigest is in the ledger's entries on the plan; it tells nothing of the plan's content.
	PlanDigest string `json:"planDigest"`
	// PlanRevisions is how often the plan was made anew because the data or holds had changed.
	PlanRevisions int64 `json:"planRevisions"`
	Steps         int64 `json:"steps"`
}

// Method and results of a verification.
const (
	MethodRequery        = "Requery"
	VerifiedNothingLeft  = "NothingLeft"
	VerifiedOnlyRetained = "OnlyRetainedLeft"
)

// Actor is who did something, as far as it is known.
type Actor struct {
	Role  string `json:"role"`
	Known string `json:"known"`
	Name  string `json:"name,omitempty"`
}

// Roles of actors, and how far they are known.
const (
	RoleRequester = "Requester"
	RoleApprover  = "Approver"
	RoleExecutor  = "Executor"

	ActorKnown       = "Known"
	ActorUnknown     = "Unknown"     // nobody verified who did it
	ActorNotRequired = "NotRequired" // nobody had to
)

// EntryKey is the idempotency key of the entry on a request's certificate.
func EntryKey(handle string, number int64) string {
	return handle + "/certificate/" + strconv.FormatInt(number, 10)
}

// Canonical is the certificate's canonical JSON, which the digest is of.
func (b *Body) Canonical() ([]byte, error) {
	text, err := json.Marshal(b)
	if err != nil {
		return nil, errors.New("the certificate has no JSON form")
	}
	return Canonicalize(text)
}

// Digest of a canonical text, as the ledger's entry holds it.
func Digest(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ReadBody reads a canonical text that this package has made.
func ReadBody(canonical []byte) (*Body, error) {
	var b Body
	if err := strict(canonical, &b); err != nil {
		return nil, err
	}
	return &b, nil
}

// Entry of the ledger that commits to a certificate.
func Entry(b *Body, canonical []byte, run string) ledger.Entry {
	return ledger.Entry{Key: EntryKey(b.Request.Handle, b.Number), Kind: ledger.KindCertificateIssued, Handle: b.Request.Handle, Run: run, Reason: b.Result,
		Attributes: map[string]string{AttributeDigest: Digest(canonical), AttributeNumber: strconv.FormatInt(b.Number, 10)}}
}

// Assemble makes the file's text.
func Assemble(canonical []byte, record ledger.Record, hashes [][]byte, checkpoint []byte) ([]byte, error) {
	body, err := ReadBody(canonical)
	if err != nil {
		return nil, err
	}
	p := proof.TLogProof{Index: record.Index, Checkpoint: checkpoint}
	for _, h := range hashes {
		if len(h) != sha256.Size {
			return nil, errors.New("an inclusion proof has a hash of another length")
		}
		p.Hashes = append(p.Hashes, [sha256.Size]byte(h))
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(Document{Format: Format, Certificate: *body, Entry: string(record.Leaf), Proof: string(p.Marshal())}); err != nil {
		return nil, errors.New("the certificate has no JSON form")
	}
	return out.Bytes(), nil
}

// Parse reads a file. Whatever it accepts has one meaning: there is nothing in it that is not checked, and no name twice.
func Parse(text []byte) (*Document, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrInvalid, maxSize)
	}
	var form struct {
		Format string `json:"format"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, fmt.Errorf("%w: it is not JSON, or ends in the middle", ErrInvalid)
	}
	if form.Format != Format {
		return nil, fmt.Errorf("%w: its format is not %s", ErrInvalid, Format)
	}
	var d Document
	if err := strict(text, &d); err != nil {
		return nil, err
	}
	return &d, nil
}

// strict decodes a text that must say exactly what the target says when it is encoded again.
func strict(text []byte, into any) error {
	found, err := Canonicalize(text)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("%w: it has a field that does not belong there, or one of another type", ErrInvalid)
	}
	again, err := json.Marshal(into)
	if err == nil {
		again, err = Canonicalize(again)
	}
	if err != nil || !bytes.Equal(found, again) {
		return fmt.Errorf("%w: it has a field that does not belong there, lacks one, or writes one in another form", ErrInvalid)
	}
	return nil
}

// ReadProof reads the C2SP tlog-proof in its one form.
func (d *Document) ReadProof() (index uint64, hashes [][]byte, checkpoint []byte, err error) {
	var p proof.TLogProof
	if err := p.Unmarshal([]byte(d.Proof)); err != nil {
		return 0, nil, nil, fmt.Errorf("%w: its proof is not a tlog-proof", ErrInvalid)
	}
	if p.ExtraData != nil || !bytes.Equal(p.Marshal(), []byte(d.Proof)) {
		return 0, nil, nil, fmt.Errorf("%w: its proof is not in canonical form", ErrInvalid)
	}
	for _, h := range p.Hashes {
		hashes = append(hashes, h[:])
	}
	return p.Index, hashes, p.Checkpoint, nil
}

// CheckEntry checks that the entry commits to exactly this certificate, and returns it with the digest.
func (d *Document) CheckEntry() (ledger.Entry, string, error) {
	entry, err := ledger.DecodeLeaf([]byte(d.Entry))
	if err != nil {
		return entry, "", fmt.Errorf("%w: its entry is not one of a ledger", ErrInvalid)
	}
	canonical, err := d.Certificate.Canonical()
	if err != nil {
		return entry, "", err
	}
	digest := Digest(canonical)
	want := Entry(&d.Certificate, canonical, entry.Run)
	switch {
	case entry.Kind != ledger.KindCertificateIssued:
		return entry, digest, fmt.Errorf("%w: its entry is of the kind %s, not %s", ErrInvalid, entry.Kind, ledger.KindCertificateIssued)
	case entry.Attributes[AttributeDigest] != digest:
		return entry, digest, fmt.Errorf("%w: it was changed: its digest is %s, the ledger has %s", ErrInvalid, digest, entry.Attributes[AttributeDigest])
	case entry.Key != want.Key || entry.Handle != want.Handle || entry.Reason != want.Reason || entry.Attributes[AttributeNumber] != want.Attributes[AttributeNumber]:
		return entry, digest, fmt.Errorf("%w: its entry speaks of another request or certificate", ErrInvalid)
	}
	return entry, digest, nil
}
