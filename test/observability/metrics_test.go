package observability

import (
	"database/sql"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	_ "modernc.org/sqlite" // holds a lock of the vault

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/test/harness"
)

// TestMetricsTellWhatHappened: a real operator's, after real erasures, a sweep, refusals and a store that goes away.
func TestMetricsTellWhatHappened(t *testing.T) {
	w := newWorld(t, func(o *harness.OperatorOptions) { o.Admission = true })
	before := w.value("lethe_erasurerequest_duration_seconds", "phase=Completed", "source=Subject")()
	w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
	w.create(harness.Request(w.ns, "later", bob)...)
	w.g.Eventually(w.stage("now")).Should(Equal("Completed/Erased"))
	w.g.Eventually(w.stage("later")).Should(Equal("Pending/GracePeriod"))

	w.g.Eventually(w.value("lethe_erasurerequests", "phase=Completed", "source=Subject")).Should(Equal(1.0))
	w.g.Eventually(w.value("lethe_erasurerequests_unfinished", "phase=Pending", "stage=GracePeriod")).Should(Equal(1.0))
	w.g.Expect(w.value("lethe_erasurerequests_overdue")()).To(Equal(0.0))
	w.g.Expect(w.value("lethe_erasurerequest_next_due_timestamp_seconds")()).To(BeNumerically(">", time.Now().AddDate(0, 0, 27).Unix()))
	w.g.Expect(w.value("lethe_erasurerequest_duration_seconds", "phase=Completed", "source=Subject")()).To(Equal(max(before, 0) + 1))
	w.g.Eventually(w.value("lethe_deletionruns", "kind=request", "phase=Completed")).Should(Equal(1.0))
	records := []string{"store=ats", "what=records", "cause=request"}
	w.g.Expect(w.value("lethe_treated_total", append(records, "action=delete")...)()).To(Equal(6.0), "applicant, application, two notes, document, message")
	w.g.Expect(w.value("lethe_treated_total", append(records, "action=anonymize")...)()).To(Equal(1.0), "consent")
	w.g.Expect(w.value("lethe_treated_total", "store=documents", "what=files", "action=delete", "cause=request")()).To(Equal(1.0))
	w.g.Expect(w.value("lethe_ledger_sound")()).To(Equal(1.0))
	w.g.Expect(w.value("lethe_ledger_entries")()).To(BeNumerically(">", 8))
	w.g.Expect(w.value("lethe_ledger_checkpoint_timestamp_seconds")()).To(BeNumerically("~", time.Now().Unix(), 60))
	w.g.Eventually(w.value("lethe_ledger_anchored_timestamp_seconds", "place=configmap")).Should(BeNumerically("~", time.Now().Unix(), 60))
	w.g.Expect(w.value("lethe_personaldatamap_ready", "name=ats")()).To(Equal(1.0))

	w.ats.Exec(`UPDATE documents SET issued_at = '2001-02-03'`)
	w.sweep()
	w.g.Eventually(w.value("lethe_treated_total", "store=ats", "what=records", "action=delete", "cause=rule")).Should(Equal(2.0))
	w.g.Eventually(w.value("lethe_treated_total", "store=documents", "what=files", "action=delete", "cause=rule")).Should(Equal(2.0))

	err := w.client.Create(w, harness.Request(w.ns, "twice", bob)[1])
	w.g.Expect(err).To(MatchError(ContainSubstring("covers this subject")))
	w.g.Expect(w.value("lethe_admission_decisions_total", "kind=ErasureRequest", "verb=create", "decision=denied", "reason=Refused")()).To(BeNumerically(">=", 1))
	w.g.Expect(w.value("lethe_admission_decisions_total", "kind=ErasureRequest", "verb=create", "decision=allowed", "reason=Allowed")()).To(BeNumerically(">=", 2))
	w.g.Expect(w.value("lethe_admission_certificate_expiry_timestamp_seconds")()).To(BeNumerically(">", time.Now().Unix()))

	w.create(&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "gone", Namespace: w.ns}, Spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "gone.db"}}})
	w.g.Eventually(w.value("lethe_datastore_up", "name=gone")).Should(Equal(0.0))
	w.g.Expect(w.value("lethe_datastore_up", "name=ats")()).To(Equal(1.0))
	code, text := get(w.options.Metrics, "/storez")
	w.g.Expect(code).To(Equal(http.StatusServiceUnavailable))
	w.g.Expect(text).To(ContainSubstring("[-]" + w.ns + "/gone "))
	w.g.Expect(text).To(ContainSubstring("[+]" + w.ns + "/ats ok"))
	code, text = get(w.options.Probes, "/readyz?verbose")
	w.g.Expect(code).To(Equal(http.StatusOK), "a store that is away leaves the operator in service: "+text)

	w.asDefined()
	w.nobody()
}

// asDefined: what is served is what the reference lists, with its type, labels and help.
func (w *world) asDefined() {
	w.t.Helper()
	types := map[string]dto.MetricType{metrics.TypeGauge: dto.MetricType_GAUGE, metrics.TypeCounter: dto.MetricType_COUNTER, metrics.TypeHistogram: dto.MetricType_HISTOGRAM}
	served := w.scrape()
	missing := 0
	for _, d := range metrics.Definitions() {
		f := served[d.Name]
		if f == nil {
			missing++
			w.t.Logf("%s has no value here", d.Name)
			continue
		}
		delete(served, d.Name)
		w.g.Expect(f.GetType()).To(Equal(types[d.Type]), d.Name)
		w.g.Expect(f.GetHelp()).To(Equal(d.Help))
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName())
			}
			w.g.Expect(labels).To(ConsistOf(anys(d.Labels)...), d.Name)
		}
	}
	w.g.Expect(missing).To(BeNumerically("<=", 3), "most of what is defined is served in this test")
	for name := range served {
		w.g.Expect(name).NotTo(HavePrefix("lethe_"), "it is not in the reference")
	}
	w.g.Expect(served).To(HaveKey("workqueue_depth"))
	w.g.Expect(served).To(HaveKey("controller_runtime_reconcile_total"))
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// nobody: neither metrics nor logs name a person, and metrics no request.
func (w *world) nobody() {
	w.t.Helper()
	_, text := get(w.options.Metrics, "/metrics")
	for _, p := range []harness.Person{ada, bob, carol} {
		for _, secret := range []string{p.Email, p.Name, p.Phone, p.ID, strings.Fields(p.Name)[0]} {
			w.g.Expect(text).NotTo(ContainSubstring(secret))
			w.g.Expect(w.operator.Logs.String()).NotTo(ContainSubstring(secret))
		}
	}
	for _, request := range []string{`"now"`, `"later"`, `"twice"`} {
		w.g.Expect(text).NotTo(ContainSubstring(request))
	}
}

// TestReadinessTellsTheTruth: not ready while the vault takes no write, and ready again when it does.
func TestReadinessTellsTheTruth(t *testing.T) {
	w := newWorld(t)
	ready := func() string {
		code, text := get(w.options.Probes, "/readyz?verbose")
		return fmt.Sprint(code, " ", text)
	}
	w.g.Eventually(ready).Should(HavePrefix("200"))
	w.g.Expect(w.value("lethe_ledger_writable")()).To(Equal(1.0))

	// Somebody else holds the write lock, as a volume that is full or hangs would keep every write from becoming durable.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(w.options.Folder, "ledger.db")+"?_txlock=immediate")
	w.g.Expect(err).NotTo(HaveOccurred())
	defer func() { _ = db.Close() }()
	tx, err := db.BeginTx(w, nil)
	w.g.Expect(err).NotTo(HaveOccurred())
	w.g.Eventually(ready).WithTimeout(60 * time.Second).Should(And(HavePrefix("500"), ContainSubstring("[-]ledger failed"), ContainSubstring("[+]cache ok")))
	w.g.Eventually(w.value("lethe_ledger_writable")).Should(Equal(0.0))
	code, _ := get(w.options.Probes, "/healthz")
	w.g.Expect(code).To(Equal(http.StatusOK), "it lives")

	w.g.Expect(tx.Rollback()).To(Succeed())
	w.g.Eventually(ready).WithTimeout(60 * time.Second).Should(HavePrefix("200"))
	w.g.Eventually(w.value("lethe_ledger_writable")).Should(Equal(1.0))
}
