package promises

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/verify"
	"github.com/lethe-dev/lethe/test/harness"
	"github.com/lethe-dev/lethe/test/schemas"
	"github.com/lethe-dev/lethe/test/standardtools"
)

// publicKey is what an auditor gets from the operator's namespace.
func (w *world) publicKey() string {
	GinkgoHelper()
	var shown corev1.ConfigMap
	Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.options.Namespace, Name: "lethe-ledger-key"}, &shown)).To(Succeed())
	return shown.Data["key"]
}

func (w *world) verifierKeys() ledger.VerifierKeys {
	GinkgoHelper()
	keys, err := ledger.ParseVerifierKeys(w.publicKey())
	Expect(err).NotTo(HaveOccurred())
	return keys
}

// certificate waits for a request's certificate of a number and returns its file.
func (w *world) certificate(name string, number int64) ([]byte, *certificate.Document) {
	GinkgoHelper()
	Eventually(func() *v1alpha1.CertificateReference { return w.request(name).Status.Certificate }).Should(HaveField("Number", number))
	shown := w.request(name).Status.Certificate
	object := w.get(&v1alpha1.ErasureCertificate{}, shown.Name).(*v1alpha1.ErasureCertificate)
	d, err := certificate.Parse([]byte(object.Spec.Document))
	Expect(err).NotTo(HaveOccurred())
	_, digest, err := d.CheckEntry()
	Expect(err).NotTo(HaveOccurred())
	Expect([]string{shown.Digest, object.Spec.Digest}).To(HaveEach(digest))
	validate, err := schemas.Load(schemas.Certificate)
	Expect(err).NotTo(HaveOccurred())
	Expect(validate([]byte(object.Spec.Document))).To(Succeed())
	Expect(object.Spec.LedgerIndex).To(Equal(shown.LedgerIndex))
	Expect(object.Spec.Result).To(Equal(d.Certificate.Result))
	return []byte(object.Spec.Document), d
}

// exported is the whole ledger of the namespace, read while the operator runs.
func (w *world) exported() *verify.Log {
	GinkgoHelper()
	file := keep.open(w.options)
	defer func() { Expect(file.Close()).To(Succeed()) }()
	note, err := file.Checkpoint(w, w.ns)
	Expect(err).NotTo(HaveOccurred())
	checkpoint, err := ledger.ReadCheckpoint(note)
	Expect(err).NotTo(HaveOccurred())
	validate, err := schemas.Load(schemas.LedgerEntry)
	Expect(err).NotTo(HaveOccurred())
	var lines bytes.Buffer
	for leaf, err := range file.Leaves(w, w.ns, checkpoint.Size) {
		Expect(err).NotTo(HaveOccurred())
		Expect(validate(leaf)).To(Succeed(), string(leaf))
		lines.Write(append(leaf, '\n'))
	}
	return &verify.Log{Records: &lines, Checkpoint: note}
}

var _ = Describe("A certificate of erasure", func() {
	It("says what was erased, is verified offline by Lethe and without it, and is refused with one digit changed", func() {
		w := newWorld(ada, bob)
		w.create(harness.Request(w.ns, "proven", ada, harness.Immediate)...)
		Eventually(w.stage("proven")).Should(Equal("Completed/Erased"))
		file, d := w.certificate("proven", 1)
		st := w.request("proven").Status
		Expect(d.Certificate.Request).To(Equal(certificate.Request{UID: string(w.request("proven").UID), Handle: st.Handle, Source: "Subject", Timing: "Immediate"}))
		Expect(d.Certificate.Result).To(Equal("Erased"))
		Expect(d.Certificate.Categories).To(ContainElements(v1alpha1.CategoryCount{Category: "notes", Deleted: 2}, v1alpha1.CategoryCount{Category: "documents", Deleted: 1, Files: 1}))
		Expect(d.Certificate.Categories).To(HaveLen(len(st.Counts)))
		Expect(d.Certificate.Policy.GracePeriod).To(Equal("P60D"))
		Expect(d.Certificate.Maps).To(HaveLen(1))
		var events []string
		for _, e := range d.Certificate.Timeline {
			events = append(events, e.Event)
		}
		Expect(events).To(Equal([]string{"Received", "Confirmed", "Scheduled", "ProcessingStarted", "Finished"}))
		Expect(d.Certificate.Actors).To(ContainElement(certificate.Actor{Role: "Requester", Known: "Unknown"}))
		for _, canary := range []string{"canary", ada.Email, ada.ID + `"`, ada.Phone} {
			Expect(strings.ToLower(string(file))).NotTo(ContainSubstring(strings.ToLower(canary)))
		}

		keys := w.verifierKeys()
		report, err := verify.Certificate(keys, file, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(report.Problem).To(BeEmpty())
		Expect(report.Verified).To(BeTrue())
		report, err = verify.Certificate(keys, file, w.exported(), nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(report.Problem).To(BeEmpty())
		Expect(standardtools.VerifyCertificate(file, w.publicKey())).To(Succeed())

		changed := bytes.Replace(file, []byte(`"deleted": 2`), []byte(`"deleted": 3`), 1)
		Expect(changed).NotTo(Equal(file))
		report, err = verify.Certificate(keys, changed, nil, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(report.Verified).To(BeFalse())
		Expect(report.Problem).To(ContainSubstring("it was changed"))
		Expect(standardtools.VerifyCertificate(changed, w.publicKey())).NotTo(Succeed())

		name := w.request("proven").Status.Certificate.Name
		Expect(cluster.Client.Delete(w, w.get(&v1alpha1.ErasureCertificate{}, name))).To(Succeed())
		w.poke("proven")
		Eventually(func() error {
			return cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: name}, &v1alpha1.ErasureCertificate{})
		}).Should(Succeed(), "who asks to look again gets a deleted certificate back")
		again, _ := w.certificate("proven", 1)
		Expect(verify.Certificate(keys, again, nil, nil)).To(HaveField("Verified", true))

		if os.Getenv("LETHE_UPDATE") != "" {
			folder := filepath.Join(harness.Root(), "test", "standardtools", "testdata")
			Expect(os.MkdirAll(folder, 0o755)).To(Succeed())
			Expect(os.WriteFile(filepath.Join(folder, "certificate.json"), file, 0o644)).To(Succeed())
			Expect(os.WriteFile(filepath.Join(folder, "lethe.vkey"), []byte(w.publicKey()), 0o644)).To(Succeed())
		}
	})

	It("lists what is retained, and is followed by another one when that is gone", func() {
		p := ada
		p.TaxDocument = start.AddDate(-10, 0, 5).Format("2006-01-02")
		w := newWorld(p)
		w.create(harness.Request(w.ns, "kept", p, harness.Immediate)...)
		Eventually(w.stage("kept")).Should(Equal("Completed/Retained"))
		first, d := w.certificate("kept", 1)
		Expect(d.Certificate.Result).To(Equal("Retained"))
		Expect(d.Certificate.Retained).To(ContainElement(And(HaveField("Category", "documents"), HaveField("Basis", "AO section 147"),
			HaveField("Until", HaveValue(BeTemporally("==", start.AddDate(0, 0, 5).Truncate(24*time.Hour)))))))
		Expect(d.Certificate.Verification.Result).To(Equal("OnlyRetainedLeft"))

		w.step(6 * day)
		Eventually(w.conditionOf(&v1alpha1.ErasureRequest{}, "kept", v1alpha1.ConditionErased), "40s").Should(Equal("True/Erased"))
		second, after := w.certificate("kept", 2)
		Expect(after.Certificate.Result).To(Equal("Erased"))
		Expect(after.Certificate.Retained).To(BeEmpty())
		canonical, err := d.Certificate.Canonical()
		Expect(err).NotTo(HaveOccurred())
		Expect(after.Certificate.Replaces).To(Equal(certificate.Digest(canonical)))
		Expect(after.Certificate.Categories).To(ContainElement(v1alpha1.CategoryCount{Category: "documents", Deleted: 2, Files: 2}))
		Expect(after.Certificate.Timeline[len(after.Certificate.Timeline)-1].Event).To(Equal("RetainedDataErased"))

		keys := w.verifierKeys()
		for number, file := range map[int][]byte{1: first, 2: second} {
			report, err := verify.Certificate(keys, file, w.exported(), [][]byte{first, second})
			Expect(err).NotTo(HaveOccurred())
			Expect(report.Problem).To(BeEmpty())
			text, err := json.Marshal(report.Checks)
			Expect(err).NotTo(HaveOccurred())
			Expect(strings.Contains(string(text), "number 2 was issued since")).To(Equal(number == 1), fmt.Sprint(number))
		}
	})
})
