// Package render makes the PDF of a certificate of erasure from its file. The PDF carries the file, so that whoever gets it
// can verify it.
package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/pdf"
)

// PDF writes the PDF of a certificate's file. It refuses a file whose parts do not belong together; whether the checkpoint
// is signed by the right key is for `lethe verify` to tell.
func PDF(file []byte, to io.Writer) error {
	d, err := certificate.Parse(file)
	if err != nil {
		return err
	}
	entry, digest, err := d.CheckEntry()
	if err != nil {
		return err
	}
	index, hashes, note, err := d.ReadProof()
	if err != nil {
		return err
	}
	checkpoint, err := ledger.ReadCheckpoint(note)
	if err == nil {
		err = ledger.VerifyInclusion(checkpoint.Checkpoint, index, []byte(d.Entry), hashes)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", certificate.ErrInvalid, err)
	}
	p := &page{body: &d.Certificate, digest: digest, entry: entry, index: index, checkpoint: checkpoint}
	return p.write(file, to)
}

type page struct {
	*pdf.Document
	body       *certificate.Body
	digest     string
	entry      ledger.Entry
	index      uint64
	checkpoint ledger.SignedCheckpoint
}

func (p *page) write(file []byte, to io.Writer) error {
	b := p.body
	var err error
	p.Document, err = pdf.New(pdf.Head{
		Title: "Certificate of Erasure", Subject: "Erasure request " + b.Request.Handle,
		Running: fmt.Sprintf("Certificate of Erasure no. %d, request %s", b.Number, b.Request.Handle),
		Foot:    []string{p.digest, fmt.Sprintf("entry %d of %d in %s", p.index, p.checkpoint.Size, b.Ledger)},
		Created: b.IssuedAt,
	})
	if err != nil {
		return err
	}
	p.Attach(pdf.Attachment{Name: "certificate.json", Description: "The certificate with its proof, for lethe verify", Content: file})
	p.Title("Certificate of Erasure", fmt.Sprintf("Number %d for request %s, issued on %s", b.Number, b.Request.Handle, at(b.IssuedAt)))
	p.result()
	p.request()
	p.timeline()
	p.categories()
	p.retained()
	p.verification()
	p.rules()
	p.actors()
	p.proof()
	return p.Write(to)
}

func (p *page) result() {
	b := p.body
	var deleted, anonymized, files int64
	for _, c := range b.Categories {
		deleted, anonymized, files = deleted+c.Deleted, anonymized+c.Anonymized, files+c.Files
	}
	done := fmt.Sprintf("%s deleted, %s anonymized, %s removed.", many(deleted, "record"), many(anonymized, "record"), many(files, "file"))
	if b.Result == certificate.ResultErased {
		p.Result("Erased", "The personal data of the person whom this request concerns was erased: "+done+
			" All data stores were asked again afterwards; nothing was left that should be gone.")
		return
	}
	var kept int64
	for _, r := range b.Retained {
		kept += r.Count
	}
	p.Result("Erased, with data retained by law", "The personal data of the person whom this request concerns was erased, but for "+many(kept, "record")+
		" that must be kept (listed below with the legal basis): "+done+" All data stores were asked again afterwards; nothing else was left.")
}

func many(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

var sources = map[string]string{"Subject": "the person concerned", "Admin": "an administrator", "API": "an application", "ConsentWithdrawn": "consent was withdrawn",
	"ConsentDeclined": "consent was declined", "ConsentExpired": "consent expired", "Retention": "a retention period ended"}

func (p *page) request() {
	b := p.body
	scope := b.Request.Scope
	if scope == "" {
		scope = "all personal data of the person"
	}
	timing := map[string]string{"Immediate": "at once, without a grace period", "AfterGracePeriod": "after the grace period"}[b.Request.Timing]
	due := at(b.DueAt)
	if len(b.Timeline) > 0 && finished(b).After(b.DueAt) {
		due += " (finished later)"
	} else {
		due += " (kept)"
	}
	replaces := ""
	if b.Replaces != "" {
		replaces = fmt.Sprintf("certificate number %d, %s", b.Number-1, b.Replaces)
	}
	p.Section("Request")
	p.Facts(pdf.Fact{Name: "Workspace", Value: b.Namespace}, pdf.Fact{Name: "Request", Value: b.Request.UID},
		pdf.Fact{Name: "Handle in the ledger", Value: b.Request.Handle}, pdf.Fact{Name: "Reason", Value: reason(b.Request.Source)},
		pdf.Fact{Name: "Scope", Value: scope}, pdf.Fact{Name: "Timing", Value: timing},
		pdf.Fact{Name: "Statutory due date", Value: due}, pdf.Fact{Name: "Replaces", Value: replaces})
}

func reason(source string) string {
	if said := sources[source]; said != "" {
		return source + ": " + said
	}
	return source
}

func finished(b *certificate.Body) time.Time {
	for _, e := range b.Timeline {
		if e.Event == certificate.EventFinished {
			return e.At
		}
	}
	return b.IssuedAt
}

var events = map[string]string{certificate.EventReceived: "Request received", certificate.EventConfirmed: "Confirmed: checks and approval passed",
	certificate.EventScheduled: "Earliest time of deletion", certificate.EventProcessing: "Deletion began; nothing cancels it from here on",
	certificate.EventFinished: "Deletion finished and verified", certificate.EventRetainedErased: "Retained data deleted when its basis had ended, and verified"}

func (p *page) timeline() {
	var rows [][]string
	for _, e := range p.body.Timeline {
		rows = append(rows, []string{at(e.At), said(events, e.Event)})
	}
	p.Section("Timeline")
	p.Table([]pdf.Column{{Name: "Time", Share: 3}, {Name: "Event", Share: 8}}, rows)
}

func said(words map[string]string, word string) string {
	if text := words[word]; text != "" {
		return text
	}
	return word
}

func (p *page) categories() {
	columns := []pdf.Column{{Name: "Category", Share: 4}, {Name: "Deleted", Share: 2, Number: true}, {Name: "Anonymized", Share: 2.2, Number: true},
		{Name: "Marked", Share: 2, Number: true}, {Name: "Unlinked", Share: 2, Number: true}, {Name: "Files", Share: 2, Number: true},
		{Name: "Retained", Share: 2, Number: true}, {Name: "Kept", Share: 2, Number: true}}
	var rows [][]string
	for _, c := range p.body.Categories {
		rows = append(rows, []string{c.Category, count(c.Deleted), count(c.Anonymized), count(c.Marked), count(c.Unlinked), count(c.Files), count(c.Retained), count(c.Kept + c.Shared)})
	}
	p.Section("What was done, by category of data")
	if len(rows) == 0 {
		p.Paragraph("There was nothing left to delete.")
		return
	}
	p.Table(columns, rows)
	p.Paragraph("Records are counted. Unlinked records belong to others and lost only their link to the person. Kept are records that the data map " +
		"keeps on a legal basis, and records that others share.")
}

func count(n int64) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprint(n)
}

func (p *page) retained() {
	p.Section("What is retained, and why")
	if len(p.body.Retained) == 0 {
		p.Paragraph("Nothing is retained.")
		return
	}
	var rows [][]string
	for _, r := range p.body.Retained {
		until := "no end is known"
		if r.Until != nil {
			until = day(*r.Until)
		}
		rows = append(rows, []string{r.Category, r.Entity, fmt.Sprint(r.Count), r.Basis, until})
	}
	p.Table([]pdf.Column{{Name: "Category", Share: 2.4}, {Name: "Data", Share: 3.4}, {Name: "Records", Share: 1.5, Number: true},
		{Name: "Legal basis", Share: 5}, {Name: "Until", Share: 2.4}}, rows)
	p.Paragraph("What is retained is deleted when its basis ends. Another certificate then replaces this one.")
}

func (p *page) verification() {
	v := p.body.Verification
	result := map[string]string{certificate.VerifiedNothingLeft: "nothing was left", certificate.VerifiedOnlyRetained: "only what is retained was left"}[v.Result]
	p.Section("How it was verified")
	p.Facts(pdf.Fact{Name: "Method", Value: "every data store was asked again for each record and file of the plan, and for the person"},
		pdf.Fact{Name: "Result", Value: result}, pdf.Fact{Name: "Time", Value: at(v.At)},
		pdf.Fact{Name: "Plan", Value: fmt.Sprintf("%s of %s, %s", v.PlanDigest, many(v.Steps, "step"), many(v.PlanRevisions, "revision"))})
}

func (p *page) rules() {
	b := p.body
	policy := "the defaults"
	if b.Policy.Name != "" {
		policy = fmt.Sprintf("%s (generation %d)", b.Policy.Name, b.Policy.Generation)
	}
	approval := "not required by the policy"
	if b.Policy.ApprovalRequired {
		approval = "required by the policy"
	}
	var maps []string
	for _, m := range b.Maps {
		maps = append(maps, fmt.Sprintf("%s (%s, generation %d)", m.Name, m.UID, m.Generation))
	}
	p.Section("Rules that applied")
	p.Facts(pdf.Fact{Name: "Retention policy", Value: policy}, pdf.Fact{Name: "Grace period", Value: b.Policy.GracePeriod},
		pdf.Fact{Name: "Archive retention", Value: b.Policy.ArchiveRetention}, pdf.Fact{Name: "Approval", Value: approval},
		pdf.Fact{Name: "Data maps", Value: strings.Join(maps, ", ")})
}

func (p *page) actors() {
	var facts []pdf.Fact
	for _, a := range p.body.Actors {
		known := map[string]string{certificate.ActorUnknown: "not known: nobody verified who it was", certificate.ActorNotRequired: "not required",
			certificate.ActorKnown: a.Name}[a.Known]
		if a.Known != certificate.ActorKnown && a.Name != "" {
			known = a.Name + " (" + known + ")"
		}
		facts = append(facts, pdf.Fact{Name: a.Role, Value: known})
	}
	p.Section("Who took part")
	p.Facts(facts...)
}

func (p *page) proof() {
	p.Section("Proof")
	p.Paragraph(fmt.Sprintf("Entry %d of the ledger holds the digest of this certificate. The ledger can only be added to, and the checkpoint below stands for "+
		"all its entries at that time: a certificate that was changed, or that the ledger does not have, is found. What is proven is what was recorded; "+
		"the record is worth as much as the re-query that it reports.", p.index))
	p.Facts(pdf.Fact{Name: "Digest", Value: p.digest}, pdf.Fact{Name: "Ledger", Value: p.body.Ledger},
		pdf.Fact{Name: "Entry", Value: fmt.Sprintf("%d, recorded at %s", p.index, at(p.entry.Time))},
		pdf.Fact{Name: "Checkpoint", Value: fmt.Sprintf("of %d entries", p.checkpoint.Size)})
	p.Verbatim(string(p.checkpoint.Note))
	p.Paragraph("This document carries the file certificate.json. With it and the ledger's public key anybody can verify the certificate offline: " +
		"lethe verify certificate.json --key lethe.vkey. The digest is SHA-256 of the certificate in the form of RFC 8785; proof and checkpoint have the " +
		"formats c2sp.org/tlog-proof and c2sp.org/tlog-checkpoint, which other tools verify too.")
}

func at(t time.Time) string  { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
func day(t time.Time) string { return t.UTC().Format("2006-01-02") }
