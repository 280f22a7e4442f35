package promises

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/anchor"
	"github.com/lethe-dev/lethe/internal/controller"
	"github.com/lethe-dev/lethe/internal/keys"
	keyskubernetes "github.com/lethe-dev/lethe/internal/keys/kubernetes"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
	"github.com/lethe-dev/lethe/internal/verify"
	"github.com/lethe-dev/lethe/test/harness"
)

// restartWith starts the operator anew with other options.
func (w *world) restartWith(change func(*harness.OperatorOptions)) {
	GinkgoHelper()
	Expect(w.operator.Stop()).To(Succeed())
	change(&w.options)
	w.startOperator()
}

var _ = onEachVault("The vault", func() {
	It("starts no effect with a ledger that was cut short, and still takes holds", func() {
		w := newWorld(ada, bob)
		w.create(harness.Request(w.ns, "before", ada, harness.Immediate)...)
		Eventually(w.stage("before")).Should(Equal("Completed/Erased"))
		w.create(harness.Request(w.ns, "pending", bob)...)
		Eventually(w.stage("pending")).Should(Equal("Pending/GracePeriod"))
		Expect(w.operator.Stop()).To(Succeed())
		keep.cutLedger(w.options)
		w.startOperator()
		w.step(61 * day)
		w.poke("pending")
		Eventually(w.stage("pending")).Should(Equal("Pending/LedgerUnavailable"))
		Consistently(func() map[string]int { return w.ats.Rows(bob) }).Should(HaveKeyWithValue("notes", 2))
		w.create(&v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "anyway", Namespace: w.ns}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{bob.ID}, Reason: "matter 9"}})
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "anyway", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
	})

	It("goes on with no older copy of itself once its checkpoints are kept outside", func() {
		w := newWorld(ada, bob)
		w.restartWith(func(o *harness.OperatorOptions) { o.AnchorInterval = 100 * time.Millisecond })
		w.create(harness.Request(w.ns, "first", ada, harness.Immediate)...)
		Eventually(w.stage("first")).Should(Equal("Completed/Erased"))
		Expect(w.operator.Stop()).To(Succeed())
		restore := keep.copied(w.options)
		w.startOperator()
		w.create(harness.Request(w.ns, "second", bob, harness.Immediate)...)
		Eventually(w.stage("second")).Should(Equal("Completed/Erased"))
		Expect(w.operator.Stop()).To(Succeed())
		restore()
		w.ats.Add(carol)
		w.startOperator()
		w.create(harness.Request(w.ns, "third", carol, harness.Immediate)...)
		Eventually(w.stage("third")).Should(Equal("Pending/LedgerUnavailable"))
		Consistently(func() map[string]int { return w.ats.Rows(carol) }).Should(HaveKeyWithValue("notes", 2))

		w.restartWith(func(o *harness.OperatorOptions) { o.AdoptState = true })
		w.poke("third")
		Eventually(w.stage("third")).Should(Equal("Completed/Erased"), "a person has decided to go on")
	})

	It("keeps its checkpoints outside the cluster too, where they verify, and goes on while that place is away", func() {
		var mu sync.Mutex
		kept, away := map[string]string{}, true
		server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			text, err := io.ReadAll(r.Body)
			mu.Lock()
			defer mu.Unlock()
			if away || err != nil {
				rw.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			kept[strings.TrimPrefix(r.URL.Path, "/kept/")] = string(text)
		}))
		DeferCleanup(server.Close)
		place, err := anchor.Open(server.URL+"/kept", anchor.Options{Now: time.Now})
		Expect(err).NotTo(HaveOccurred())
		w := newWorld(ada)
		w.restartWith(func(o *harness.OperatorOptions) {
			o.AnchorInterval, o.AnchorPlaces = 100*time.Millisecond, []controller.Place{place}
		})
		w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
		Eventually(w.stage("now")).Should(Equal("Completed/Erased"))
		Eventually(w.operator.Logs.String).Should(ContainSubstring("could not be kept outside"))
		mu.Lock()
		away = false
		mu.Unlock()
		log := w.exported()
		origin, _, _ := bytes.Cut(log.Checkpoint, []byte("\n"))
		signed, err := ledger.ReadCheckpoint(log.Checkpoint)
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() string {
			mu.Lock()
			defer mu.Unlock()
			return kept[fmt.Sprintf("%s/%020d.checkpoint", origin, signed.Size)]
		}).Should(Equal(string(log.Checkpoint)), "the same text that verifies in the cluster")
	})

	It("unlinks a namespace's subjects when its pseudonym key is destroyed: the log still verifies, and a hold still holds", func() {
		w := newWorld(ada, bob, carol)
		w.create(&v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "held", Namespace: w.ns}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{bob.ID}, Reason: "matter 9"}})
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "held", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		w.create(harness.Request(w.ns, "erased", ada, harness.Immediate)...)
		Eventually(w.stage("erased")).Should(Equal("Completed/Erased"))
		w.create(harness.Request(w.ns, "before", carol)...)
		Eventually(w.stage("before")).Should(Equal("Pending/GracePeriod"))
		Expect(w.operator.Stop()).To(Succeed())
		pseudonymKey := keys.ID{Purpose: keys.Pseudonym, Namespace: w.ns}
		Expect(keyskubernetes.New(cluster.Client, cluster.Client, w.options.Namespace).Destroy(w, pseudonymKey)).To(Succeed())
		w.startOperator()

		w.create(harness.Request(w.ns, "held", bob, harness.Immediate)...)
		Eventually(w.stage("held")).Should(Equal("Pending/LegalHold"), "the hold names him under the new key too")
		w.step(61 * day)
		w.poke("before")
		Eventually(w.stage("before")).Should(Equal("Pending/IdentitiesRefused"), "nobody can tell whether they are those of the request")
		Consistently(func() map[string]int { return w.ats.Rows(carol) }).Should(HaveKeyWithValue("notes", 2))
		Expect(w.change("before", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("before")).Should(HavePrefix("Cancelled/"))
		w.create(harness.Request(w.ns, "after", carol, harness.Immediate)...)
		Eventually(w.stage("after")).Should(Equal("Completed/Erased"))
		report, err := verify.Ledger(w.verifierKeys(), *w.exported(), nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(report.Verified).To(BeTrue(), "%+v", report)
	})

	It("goes on under another key of the ledger, and both keys verify all of it", func() {
		w := newWorld(ada, bob)
		w.restartWith(func(o *harness.OperatorOptions) { o.AnchorInterval = 100 * time.Millisecond })
		w.create(harness.Request(w.ns, "first", ada, harness.Immediate)...)
		Eventually(w.stage("first")).Should(Equal("Completed/Erased"))
		kept := w.verifierKeys()
		file, _ := w.certificate("first", 1)

		w.restartWith(func(o *harness.OperatorOptions) { o.LedgerKeyGeneration = 2 })
		w.create(harness.Request(w.ns, "second", bob, harness.Immediate)...)
		Eventually(w.stage("second")).Should(Equal("Completed/Erased"))
		later, _ := w.certificate("second", 1)
		var shown corev1.ConfigMap
		Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.options.Namespace, Name: "lethe-ledger-key"}, &shown)).To(Succeed())
		chain, err := ledger.ParseRotations([]byte(shown.Data["chain"]))
		Expect(err).NotTo(HaveOccurred())
		Expect(chain).To(HaveLen(1))
		Expect(shown.Data["former"]).To(Equal(kept[0].String() + "\n"))
		Expect(shown.Data["key"]).To(Equal(chain[0].To.String() + "\n"))
		for _, text := range [][]byte{file, later} {
			for _, keys := range []ledger.VerifierKeys{kept, w.verifierKeys()} {
				Expect(verify.Certificate(keys.Extend(chain...), text, nil, nil)).To(HaveField("Verified", true))
			}
		}
		Expect(verify.Certificate(kept, later, nil, nil)).To(HaveField("Verified", false), "nothing leads from the old key to the new one without the chain")

		// Restarted, it records nothing more, and trusts the checkpoints of both keys that are kept outside.
		w.ats.Add(carol)
		w.restartWith(func(*harness.OperatorOptions) {})
		w.create(harness.Request(w.ns, "third", carol, harness.Immediate)...)
		Eventually(w.stage("third")).Should(Equal("Completed/Erased"))
		Expect(w.operator.Stop()).To(Succeed())
		rotated := 0
		for _, reason := range w.ledgerReasons() {
			if strings.HasPrefix(reason, "key.rotated/") {
				rotated++
			}
		}
		Expect(rotated).To(Equal(1))

		lowered := w.options
		lowered.LedgerKeyGeneration, lowered.MayFail = 1, true
		Expect(harness.StartOperator(GinkgoTB(), w.config, lowered).Wait()).To(MatchError(ContainSubstring("never lowered")))
	})

	It("tells in the ledger alone what became of each request, and nobody's id", func() {
		w := newWorld(ada, bob, carol)
		w.create(harness.Request(w.ns, "done", ada, harness.Immediate)...)
		w.create(harness.Request(w.ns, "waits", bob)...)
		w.create(harness.Request(w.ns, "gone", carol)...)
		Eventually(w.stage("done")).Should(Equal("Completed/Erased"))
		Eventually(w.stage("waits")).Should(Equal("Pending/GracePeriod"))
		Eventually(w.stage("gone")).Should(Equal("Pending/GracePeriod"))
		Expect(w.change("gone", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("gone")).Should(Equal("Cancelled/Cancelled"))
		Expect(w.operator.Stop()).To(Succeed())

		told := map[string]*projection.Request{}
		for i, e := range w.allEntries() {
			text, err := ledger.EncodeLeaf(e)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(text)).NotTo(ContainAny(ada.ID, bob.ID, carol.ID, ada.Email, bob.Email, carol.Email))
			if r, ok := projection.Begin(ledger.Record{Index: uint64(i), Entry: e}); ok {
				told[r.Handle] = &r
			} else if r := told[e.Handle]; r != nil {
				r.Turn(e)
			}
		}
		Expect(told).To(HaveLen(3))
		for _, name := range []string{"done", "waits", "gone"} {
			er := w.request(name)
			r := told[er.Status.Handle]
			Expect(r).NotTo(BeNil())
			Expect(r.Status).To(Equal(string(er.Status.Phase)))
			Expect(r.Source).To(Equal(string(er.Spec.Source)))
			Expect(r.DueAt).To(BeTemporally("==", er.Status.DueAt.Time))
			Expect(r.ScheduledAt).To(BeTemporally("==", er.Status.ScheduledAt.Time))
		}
		Expect(told[w.request("done").Status.Handle].Reason).To(Equal("Erased"))
		Expect(told[w.request("gone").Status.Handle].Reason).To(Equal("Cancelled"))
	})

	It("has one operator at a time: a second one waits and does nothing until the first has ended", func() {
		w := newWorld(ada)
		second := harness.StartOperator(GinkgoTB(), w.config, w.options)
		Eventually(second.Logs.String).Should(ContainSubstring("this one waits"))
		w.create(harness.Request(w.ns, "one", ada, harness.Immediate)...)
		Eventually(w.stage("one")).Should(Equal("Completed/Erased"))
		Expect(strings.Contains(second.Logs.String(), "Starting workers")).To(BeFalse())
		Expect(w.operator.Stop()).To(Succeed())
		w.ats.Add(bob)
		w.create(harness.Request(w.ns, "two", bob, harness.Immediate)...)
		Eventually(w.stage("two"), "30s").Should(Equal("Completed/Erased"), "the second one takes over")
	})

	It("refuses a cluster that another state store knows", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "known", ada)...)
		Eventually(w.stage("known")).Should(Equal("Pending/GracePeriod"))
		stranger := w.options
		keep.empty(&stranger)
		stranger.MayFail = true
		Expect(harness.StartOperator(GinkgoTB(), w.config, stranger).Wait()).To(MatchError(And(ContainSubstring("another state store"), ContainSubstring("--adopt-state"))))
		Expect(w.stage("known")()).To(Equal("Pending/GracePeriod"))
	})

	It("takes one of two requests for a subject that are created at once", func() {
		w := newWorld(ada)
		names := []string{"at-once-a", "at-once-b", "at-once-c", "at-once-d"}
		var wg sync.WaitGroup
		for _, name := range names {
			wg.Go(func() {
				defer GinkgoRecover()
				w.create(harness.Request(w.ns, name, ada)...)
			})
		}
		wg.Wait()
		stages := func() map[string]int {
			count := map[string]int{}
			for _, name := range names {
				count[w.stage(name)()]++
			}
			return count
		}
		Eventually(stages).Should(Equal(map[string]int{"Pending/GracePeriod": 1, "Cancelled/Duplicate": 3}))
		Consistently(stages).Should(Equal(map[string]int{"Pending/GracePeriod": 1, "Cancelled/Duplicate": 3}))
	})

	It("records that a namespace went away before a failed run could finish, and lets the objects go", func() {
		w := newWorld(ada)
		w.ats.Exec(`CREATE TRIGGER refuse BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'no'); END`)
		w.create(harness.Request(w.ns, "stuck", ada, harness.Immediate)...)
		Eventually(w.stage("stuck")).Should(Equal("Pending/Retrying"))
		w.step(2 * time.Minute)
		Eventually(w.stage("stuck"), "30s").Should(Equal("Failed/StoreRefused"))
		run := w.request("stuck").Status.Run
		Expect(cluster.Client.Delete(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.ns}})).To(Succeed())
		Expect(cluster.Client.Delete(w, w.get(&v1alpha1.DeletionRun{}, run))).To(Succeed())
		Expect(cluster.Client.Delete(w, w.request("stuck"))).To(Succeed())
		Eventually(w.stage("stuck")).Should(Equal("NotFound"))
		Eventually(func() error {
			return cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: run}, &v1alpha1.DeletionRun{})
		}).ShouldNot(Succeed())
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.ledgerReasons()).To(ContainElement("erasure.abandoned/NamespaceDeleted"))
	})
})

var _ = Describe("The vault in PostgreSQL", func() {
	keptIn(inPostgreSQL{})

	It("ends an operator whose connection is cut, and another one goes on", func() {
		w := newWorld(ada, bob)
		w.restartWith(func(o *harness.OperatorOptions) { o.MayFail = true })
		w.create(harness.Request(w.ns, "pending", ada)...)
		Eventually(w.stage("pending")).Should(Equal("Pending/GracePeriod"))
		second := harness.StartOperator(GinkgoTB(), w.config, w.options)
		Eventually(second.Logs.String).Should(ContainSubstring("this one waits"))
		inPostgreSQL{}.cutSession(w.options)
		Expect(w.operator.Wait()).To(MatchError(ContainSubstring("was lost")))
		w.create(harness.Request(w.ns, "later", bob, harness.Immediate)...)
		Eventually(w.stage("later"), "30s").Should(Equal("Completed/Erased"), "the second one takes over")
		w.step(61 * day)
		w.poke("pending")
		Eventually(w.stage("pending")).Should(Equal("Completed/Erased"))
	})

	It("shows by a label of its Pod which replica has it, also after another took over", func() {
		w := newWorld(ada)
		role := func(pod string) func() string {
			return func() string {
				var p corev1.Pod
				if err := cluster.Client.Get(w, client.ObjectKey{Namespace: w.options.Namespace, Name: pod}, &p); err != nil {
					return err.Error()
				}
				return p.Labels["privacy.lethe.dev/role"]
			}
		}
		for _, name := range []string{"one", "two"} {
			w.create(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.options.Namespace, Name: name},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "manager", Image: "lethe:1"}}}})
		}
		w.restartWith(func(o *harness.OperatorOptions) { o.Pod = "one" })
		Eventually(role("one")).Should(Equal("active"))
		second := w.options
		second.Pod = "two"
		harness.StartOperator(GinkgoTB(), w.config, second)
		Eventually(role("two")).Should(Equal("standby"))
		Consistently(role("one")).Should(Equal("active"))
		Expect(w.operator.Stop()).To(Succeed())
		Eventually(role("two"), "30s").Should(Equal("active"))
		w.startOperator() // as Kubernetes does with a container that has ended
		Eventually(role("one")).Should(Equal("standby"))
	})

	It("waits for a database that is away, and does not end", func() {
		w := newWorld(ada)
		Expect(w.operator.Stop()).To(Succeed())
		there, err := os.ReadFile(w.options.LedgerURLFile)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(w.options.LedgerURLFile, []byte("postgres://u:canary@127.0.0.1:1/db?sslmode=disable"), 0o600)).To(Succeed())
		w.startOperator()
		Eventually(w.operator.Logs.String).Should(ContainSubstring("the ledger's database cannot be reached; this one waits and is not ready"))
		Expect(w.operator.Logs.String()).NotTo(ContainSubstring("canary"))
		Expect(os.WriteFile(w.options.LedgerURLFile, there, 0o600)).To(Succeed())
		w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
		Eventually(w.stage("now"), "30s").Should(Equal("Completed/Erased"))
	})
})
