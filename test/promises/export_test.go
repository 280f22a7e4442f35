package promises

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/verify"
	"github.com/lethe-dev/lethe/test/harness"
)

func complianceExport(ns, name string, spec v1alpha1.ComplianceExportSpec) *v1alpha1.ComplianceExport {
	return &v1alpha1.ComplianceExport{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Spec: spec}
}

func (w *world) export(name string) *v1alpha1.ComplianceExport {
	GinkgoHelper()
	return w.get(&v1alpha1.ComplianceExport{}, name).(*v1alpha1.ComplianceExport)
}

// exportState is phase and reason of Ready, for example "Completed/Exported".
func (w *world) exportState(name string) func() string {
	return func() string {
		var x v1alpha1.ComplianceExport
		if err := cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: name}, &x); err != nil {
			return "NotFound"
		}
		_, reason, _ := strings.Cut(w.conditionOf(&v1alpha1.ComplianceExport{}, name, v1alpha1.ConditionReady)(), "/")
		return string(x.Status.Phase) + "/" + reason
	}
}

func (w *world) exportMessage(name string) string {
	GinkgoHelper()
	for _, c := range w.export(name).Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Message
		}
	}
	return ""
}

// exportFiles are the files that the operator keeps of this namespace, by name.
func (w *world) exportFiles() map[string]string {
	GinkgoHelper()
	files := map[string]string{}
	found, err := filepath.Glob(filepath.Join(w.options.ExportPath, w.ns, "*", "*"))
	Expect(err).NotTo(HaveOccurred())
	for _, path := range found {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was purged since
		}
		Expect(err).NotTo(HaveOccurred())
		files[filepath.Base(path)] = string(text)
	}
	return files
}

// exporting gives the operator a folder for exports.
func (w *world) exporting(change ...func(*harness.OperatorOptions)) {
	GinkgoHelper()
	w.restartWith(func(o *harness.OperatorOptions) {
		o.ExportPath = GinkgoT().TempDir()
		for _, f := range change {
			f(o)
		}
	})
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

var _ = onEachVault("An export", func() {
	It("shows one state of the ledger, is the same file again after a loss, and is purged when its time has come", func() {
		w := newWorld(ada, bob)
		w.exporting()
		w.create(harness.Request(w.ns, "gone", ada, harness.Immediate)...)
		Eventually(w.stage("gone")).Should(Equal("Completed/Erased"))
		w.create(harness.Request(w.ns, "waiting", bob)...)
		Eventually(w.stage("waiting")).Should(Equal("Pending/GracePeriod"))

		w.create(complianceExport(w.ns, "deletions", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Format: v1alpha1.FormatCSV}),
			complianceExport(w.ns, "processed", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Format: v1alpha1.FormatJSON,
				Filters: v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusProcessed}}}))
		Eventually(w.exportState("deletions")).Should(Equal("Completed/Exported"))
		Eventually(w.exportState("processed")).Should(Equal("Completed/Exported"))
		st := w.export("deletions").Status
		file := w.exportFiles()["deletions.csv"]
		Expect(st.Records).To(BeEquivalentTo(2))
		Expect(st.Size).To(BeEquivalentTo(len(file)))
		Expect(st.SHA256).To(Equal(digestOf(file)))
		Expect(st.Progress).To(BeEquivalentTo(100))
		Expect(st.RequestedBy).To(Equal(v1alpha1.ActorUnknown))
		Expect(st.ExpiresAt.UTC()).To(Equal(st.CompletedAt.AddDate(0, 0, 30).UTC()), "the default archive retention")
		Expect(st.Location).To(Equal("/exports/" + w.ns + "/deletions"))
		Expect(file).To(ContainSubstring(w.request("gone").Status.Handle + ",Completed,Subject,"))
		Expect(file).To(ContainSubstring(w.request("waiting").Status.Handle + ",Pending,Subject,"))
		Expect(w.export("processed").Status.Records).To(BeEquivalentTo(1))
		for name, text := range w.exportFiles() {
			for _, canary := range []string{"canary", ada.Email, ada.ID, bob.ID, ada.Phone} {
				Expect(strings.ToLower(text)).NotTo(ContainSubstring(strings.ToLower(canary)), name)
			}
		}

		// Anybody with the public key verifies it offline, and one changed digit is found.
		keys := w.verifierKeys()
		for _, log := range []*verify.Log{nil, w.exported()} {
			report, err := verify.Export(keys, strings.NewReader(file), []byte(st.Proof), log, nil)
			Expect(err).NotTo(HaveOccurred())
			Expect(report.Problem).To(BeEmpty())
			Expect(report.Verified).To(BeTrue())
		}
		for what, changed := range map[string][2]string{"digit": {strings.Replace(file, "2026-", "2027-", 1), st.Proof}, "cut": {file[:len(file)-1], st.Proof},
			"entry": {file, strings.Replace(st.Proof, `records\":\"2`, `records\":\"3`, 1)}, "other": {file, w.export("processed").Status.Proof},
			"cut proof": {file, st.Proof[:len(st.Proof)/2]}, "added": {file, strings.Replace(st.Proof, "{", `{"more": 1,`, 1)}} {
			Expect(changed[0]+changed[1]).NotTo(Equal(file+st.Proof), what)
			report, err := verify.Export(keys, strings.NewReader(changed[0]), []byte(changed[1]), nil, nil)
			Expect(err).NotTo(HaveOccurred())
			Expect(report.Verified).To(BeFalse(), what)
			Expect(report.Problem).NotTo(BeEmpty(), what)
		}

		// What comes later is not in it, and a file that is lost comes back as it was.
		w.ats.Add(carol)
		w.create(harness.Request(w.ns, "later", carol, harness.Immediate)...)
		Eventually(w.stage("later")).Should(Equal("Completed/Erased"))
		Expect(w.operator.Stop()).To(Succeed())
		Expect(os.RemoveAll(filepath.Join(w.options.ExportPath, w.ns))).To(Succeed())
		w.startOperator()
		Eventually(func() string { return w.exportFiles()["deletions.csv"] }).Should(Equal(file))
		Expect(w.exportState("deletions")()).To(Equal("Completed/Exported"))

		w.step(29 * day)
		w.pokeExport("deletions")
		Consistently(w.exportState("deletions")).Should(Equal("Completed/Exported"))
		w.step(2 * day)
		w.pokeExport("deletions")
		Eventually(w.exportState("deletions")).Should(Equal("Completed/Purged"))
		Expect(w.exportFiles()).NotTo(HaveKey("deletions.csv"))
		Expect(w.export("deletions").Status.Location).To(BeEmpty())

		w.pokeExport("processed")
		Eventually(w.exportState("processed")).Should(Equal("Completed/Purged"))
		w.create(complianceExport(w.ns, "short", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogExports}))
		Eventually(w.exportState("short")).Should(Equal("Completed/Exported"))
		Expect(w.exportFiles()["short.csv"]).To(ContainSubstring(",Deletions,CSV,Purged,Expired,"))
		Expect(cluster.Client.Delete(w, w.export("short"))).To(Succeed())
		Eventually(w.exportState("short")).Should(Equal("NotFound"))
		Expect(w.exportFiles()).To(BeEmpty(), "the file goes with its object")
		w.create(complianceExport(w.ns, "forced", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAudit}))
		Eventually(w.exportState("forced")).Should(Equal("Completed/Exported"))
		Expect(w.operator.Stop()).To(Succeed())
		forced := w.export("forced")
		forced.Finalizers = nil
		Expect(cluster.Client.Update(w, forced)).To(Succeed())
		Expect(cluster.Client.Delete(w, forced)).To(Succeed())
		w.startOperator()
		Eventually(w.exportFiles).Should(BeEmpty(), "what nobody asked the operator for goes at its next start")
		w.exported() // every entry is of the published schema
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.ledgerReasons()).To(ContainElements(ledger.KindExportStarted+"/", ledger.KindExportCompleted+"/", ledger.KindExportPurged+"/Expired", ledger.KindExportPurged+"/Deleted"))
	})
})

var _ = Describe("A bad export", func() {
	It("is refused, or fails for good with its reason, and leaves nothing behind", func() {
		w := newWorld(ada)
		w.exporting(func(o *harness.OperatorOptions) { o.ExportMaxBytes = 100 })
		from, to := metav1.NewTime(start), metav1.NewTime(start.Add(-time.Hour))
		for want, spec := range map[string]v1alpha1.ComplianceExportSpec{
			"period is reversed":                   {Log: v1alpha1.LogDeletions, Period: v1alpha1.ExportPeriod{From: &from, To: &to}},
			"filters.sources is for the log":       {Log: v1alpha1.LogAccess, Filters: v1alpha1.ExportFilters{Sources: []v1alpha1.Source{v1alpha1.SourceAdmin}}},
			"filters.statuses: Deletions has":      {Log: v1alpha1.LogDeletions, Filters: v1alpha1.ExportFilters{Statuses: []v1alpha1.ExportStatusWord{v1alpha1.StatusGranted}}},
			"supported values":                     {Log: "Everything"},
			"archiveRetention must be between":     {Log: v1alpha1.LogAudit, ArchiveRetention: "P7D"},
			"spec.destination.path":                {Log: v1alpha1.LogAudit, Destination: &v1alpha1.ExportDestination{DataStoreRef: v1alpha1.LocalReference{Name: "documents"}, Path: "../elsewhere"}},
			"filters.kinds":                        {Log: v1alpha1.LogAudit, Filters: v1alpha1.ExportFilters{Kinds: []string{"erasure.received"}}},
			"filters.actors is for all logs but C": {Log: v1alpha1.LogCertificates, Filters: v1alpha1.ExportFilters{Actors: []string{"a"}}},
		} {
			Expect(cluster.Client.Create(w, complianceExport(w.ns, "bad", spec))).To(MatchError(ContainSubstring(want)), want)
		}
		w.create(complianceExport(w.ns, "big", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAudit}))
		Eventually(w.exportState("big")).Should(Equal("Failed/QuotaExceeded"))
		Expect(w.exportMessage("big")).To(ContainSubstring("--export-max-bytes"))
		w.create(complianceExport(w.ns, "access", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAccess}))
		Eventually(w.exportState("access")).Should(Equal("Failed/RequesterUnknown"))
		Expect(w.exportFiles()).To(BeEmpty())
		changed := w.export("big")
		changed.Spec.Format = v1alpha1.FormatJSON
		Expect(cluster.Client.Update(w, changed)).To(MatchError(ContainSubstring("an export is never changed")))

		w.restartWith(func(o *harness.OperatorOptions) { o.ExportMaxBytes = 0 })
		Consistently(w.exportState("big")).Should(Equal("Failed/QuotaExceeded"), "what failed stays so")
		Expect(w.exportMessage("big")).To(ContainSubstring("--export-max-bytes"))
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.ledgerReasons()).To(ContainElements(ledger.KindExportFailed+"/QuotaExceeded", ledger.KindExportFailed+"/RequesterUnknown"))
	})
})

// pokeExport makes the operator look at an export now; its own timers run on real time.
func (w *world) pokeExport(name string) {
	GinkgoHelper()
	x := w.export(name)
	read := x.DeepCopy()
	x.Annotations = map[string]string{v1alpha1.AnnotationRecheck: time.Now().String()}
	Expect(cluster.Client.Patch(w, x, client.MergeFrom(read))).To(Succeed())
}

var _ = Describe("An export to a data store", func() {
	It("is written once, over nothing of others, and removed when its time has come", func() {
		w := newWorld(ada)
		w.exporting()
		folder := filepath.Join(w.ats.Root, "documents")
		to := func(path string) *v1alpha1.ExportDestination {
			return &v1alpha1.ExportDestination{DataStoreRef: v1alpha1.LocalReference{Name: "documents"}, Path: path}
		}
		w.create(harness.Request(w.ns, "gone", ada, harness.Immediate)...)
		Eventually(w.stage("gone")).Should(Equal("Completed/Erased"))
		w.create(complianceExport(w.ns, "quarter", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Format: v1alpha1.FormatPDF, Destination: to("compliance/2026")}))
		Eventually(w.exportState("quarter")).Should(Equal("Completed/Exported"))
		st := w.export("quarter").Status
		Expect(st.Location).To(HavePrefix("compliance/2026/" + w.ns + "-quarter-"))
		text, err := os.ReadFile(filepath.Join(folder, st.Location))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(text)).To(HavePrefix("%PDF-"))
		Expect(digestOf(string(text))).To(Equal(st.SHA256))
		Expect(w.exportFiles()).To(BeEmpty())

		// Somebody else's file in its place stays, whatever becomes of the export.
		Expect(os.WriteFile(filepath.Join(folder, st.Location), []byte("changed"), 0o600)).To(Succeed())
		Expect(cluster.Client.Delete(w, w.export("quarter"))).To(Succeed())
		Eventually(w.exportState("quarter")).Should(Equal("NotFound"))
		Expect(os.ReadFile(filepath.Join(folder, st.Location))).To(BeEquivalentTo("changed"))

		w.create(complianceExport(w.ns, "again", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Destination: to("")}))
		Eventually(w.exportState("again")).Should(Equal("Completed/Exported"))
		path := filepath.Join(folder, w.export("again").Status.Location)
		Expect(path).To(BeAnExistingFile())
		w.step(31 * day)
		w.pokeExport("again")
		Eventually(w.exportState("again")).Should(Equal("Completed/Purged"))
		Expect(path).NotTo(BeAnExistingFile())

		w.create(complianceExport(w.ns, "table", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAudit, Destination: &v1alpha1.ExportDestination{DataStoreRef: v1alpha1.LocalReference{Name: "ats"}}}),
			complianceExport(w.ns, "nowhere", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAudit, Destination: &v1alpha1.ExportDestination{DataStoreRef: v1alpha1.LocalReference{Name: "no-such-store"}}}),
			complianceExport(w.ns, "blocked", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAudit, Destination: to("compliance/2026/" + filepath.Base(st.Location))}))
		Eventually(w.exportState("table")).Should(Equal("Failed/InvalidSpec"))
		Eventually(w.exportState("nowhere")).Should(Equal("Processing/StoreNotFound"))
		Eventually(w.exportState("blocked")).Should(Or(Equal("Failed/StoreRefused"), Equal("Processing/StoreUnreachable")))
		Expect(cluster.Client.Delete(w, w.export("nowhere"))).To(Succeed())
		Eventually(w.exportState("nowhere")).Should(Equal("NotFound"))
	})
})

var _ = Describe("The log of deletions", func() {
	It("has the runs of retention rules beside the requests, with what they announced and did, and who confirmed and postponed them", func() {
		h := newHiring()
		h.exporting()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.candidate(2, "Found", ago(0, 3, 1))
		h.policy("vacancy-stages", only("candidates"))
		h.sweepNow("vacancy-stages")
		name := h.theRun("candidates").Name
		Eventually(h.runState(name)).Should(Equal("Pending/Announced"))
		later := start.AddDate(0, 0, 50)
		h.changeRun(name, func(r *v1alpha1.DeletionRun) {
			r.Spec.Postponed = &v1alpha1.RunPostponement{To: metav1.NewTime(later), Reason: "audit until May"}
		})
		Eventually(h.runState(name)).Should(Equal("Pending/Postponed"))
		deletions := func(export string) map[string]string {
			h.create(complianceExport(h.ns, export, v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Filters: v1alpha1.ExportFilters{Sources: []v1alpha1.Source{v1alpha1.SourceRetention}}}))
			Eventually(h.exportState(export)).Should(Equal("Completed/Exported"))
			lines, err := csv.NewReader(strings.NewReader(h.exportFiles()[export+".csv"])).ReadAll()
			Expect(err).NotTo(HaveOccurred())
			Expect(lines).To(HaveLen(2))
			row := map[string]string{}
			for i, column := range lines[0] {
				row[column] = lines[1][i]
			}
			return row
		}
		row := deletions("before")
		for column, want := range map[string]string{"status": "Pending", "reason": "Postponed", "source": "Retention", "policy": "vacancy-stages", "rule": "candidates", "received": start.Format(time.RFC3339),
			"scheduledDeletion": later.Format(time.RFC3339), "announced": "2", "deleted": "0", "begun": "", "finished": "", "confirmedBy": ""} {
			Expect(row).To(HaveKeyWithValue(column, want))
		}
		Expect(row["postponedBy"]).NotTo(BeEmpty())
		h.changeRun(name, func(r *v1alpha1.DeletionRun) { r.Spec.Confirmed = &v1alpha1.RunConfirmation{Records: 2} })
		Eventually(h.runState(name)).Should(Equal("Completed/Swept"), func() string { return h.runMessage(name) })
		Expect(h.ids("candidates")).To(BeEmpty())
		row = deletions("after")
		for column, want := range map[string]string{"status": "Completed", "reason": "Swept", "announced": "2", "deleted": "2", "begun": start.Format(time.RFC3339), "finished": start.Format(time.RFC3339)} {
			Expect(row).To(HaveKeyWithValue(column, want))
		}
		Expect(row["confirmedBy"]).NotTo(BeEmpty())
	})
})
