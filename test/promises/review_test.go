package promises

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

var _ = Describe("What a request and its surroundings may not bring about", func() {
	It("Promise 1: a request that leaves out an identity does not complete without it", func() {
		w := newWorld(ada)
		objects := harness.Request(w.ns, "no-mail", ada, harness.Immediate, func(er *v1alpha1.ErasureRequest) { er.Spec.Subject.IdentitiesSecretRef = nil })
		w.create(objects[1])
		Eventually(w.stage("no-mail")).Should(Equal("Pending/IdentitiesMissing"))
		Expect(w.message("no-mail")).To(ContainSubstring("email (for ats/applicants)"))
		Expect(w.ats.Rows(ada)).To(HaveKeyWithValue("messages", 1))

		Expect(cluster.Client.Delete(w, objects[1])).To(Succeed())
		Eventually(w.stage("no-mail")).Should(Equal("NotFound"))
		none := harness.Person{ID: "app-77", Name: "Nomail"}
		w.ats.Add(none)
		w.create(harness.Request(w.ns, "has-none", none, harness.Immediate)...)
		Eventually(w.stage("has-none")).Should(Equal("Completed/Erased"), "an empty value says that the person has none")
	})

	It("Promise 4: a hold wins over a request that names the subject by another id", func() {
		w := newWorld(ada)
		w.create(&v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "held", Namespace: w.ns}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{ada.ID}, Reason: "matter 3"}})
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "held", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		w.create(harness.Request(w.ns, "ticket", harness.Person{ID: "ticket-7", Email: ada.Email}, harness.Immediate)...)
		Eventually(w.stage("ticket")).Should(Equal("Pending/LegalHold"))
		Consistently(func() map[string]int { return w.ats.Rows(ada) }).Should(HaveKeyWithValue("notes", 2))
	})

	It("Promise 2: what was retained is not deleted from another database", func() {
		taxed := ada
		taxed.TaxDocument = "2016-03-10"
		w := newWorld(taxed)
		w.create(harness.Request(w.ns, "moved", taxed, harness.Immediate)...)
		Eventually(w.stage("moved")).Should(Equal("Completed/Retained"))
		store := w.get(&v1alpha1.DataStore{}, "ats").(*v1alpha1.DataStore)
		w.ats.Exec(`VACUUM INTO ?`, w.ats.Root+"/other.db")
		read := store.DeepCopy()
		store.Spec.SQLite.Path = "other.db"
		Expect(cluster.Client.Patch(w, store, client.MergeFrom(read))).To(Succeed())
		w.step(9 * day)
		var runs v1alpha1.DeletionRunList
		Eventually(func() []string {
			Expect(cluster.Client.List(w, &runs, client.InNamespace(w.ns))).To(Succeed())
			var reasons []string
			for _, r := range runs.Items {
				for _, c := range r.Status.Conditions {
					reasons = append(reasons, c.Reason)
				}
			}
			return reasons
		}).Should(ContainElement("StoreChanged"))
		Expect(w.ats.Rows(harness.Person{ID: taxed.ID})).To(HaveKeyWithValue("documents", 1))
		read = store.DeepCopy()
		store.Spec.SQLite.Path = "ats.db"
		Expect(cluster.Client.Patch(w, store, client.MergeFrom(read))).To(Succeed())
		Eventually(w.conditionOf(&v1alpha1.ErasureRequest{}, "moved", v1alpha1.ConditionErased), "90s").Should(Equal("True/Erased"))
	})

	It("Promise 2: a newcomer who gets a deleted record's key stays, while the run goes on and after it was resumed", func() {
		w := newWorld(bob, ada) // the newest rows are ada's, so SQLite gives their row ids to the next ones
		// The messages come back as long as the trigger is there, so the run plans again and again after its first effect.
		w.ats.Exec(`CREATE TRIGGER restore AFTER DELETE ON messages BEGIN INSERT INTO messages (recipient, body) VALUES (old.recipient, old.body); END`)
		w.create(harness.Request(w.ns, "reused", ada, harness.Immediate)...)
		Eventually(w.stage("reused")).Should(Equal("Pending/Retrying"))
		Expect(w.ats.Rows(harness.Person{ID: ada.ID})).NotTo(HaveKey("applications"))
		newcomer := harness.Person{ID: "app-30", Email: "newcomer@example.org", Name: "Newcomer"}
		w.ats.Add(newcomer)
		before := w.ats.Digest(newcomer, bob)
		Expect(w.operator.Stop()).To(Succeed())
		w.startOperator()
		w.ats.Exec(`DROP TRIGGER restore`)
		w.annotate("reused", v1alpha1.AnnotationRetry, "1")
		Eventually(w.stage("reused"), "30s").Should(Equal("Completed/Erased"))
		Expect(w.ats.Digest(newcomer, bob)).To(Equal(before))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
	})

	It("Promise 3: a state store that does not know a handled request does not begin it anew", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "handled", ada, harness.Immediate)...)
		Eventually(w.stage("handled")).Should(Equal("Completed/Erased"))
		Expect(w.operator.Stop()).To(Succeed())
		w.ats.Add(ada) // the person came back
		w.options.Folder, w.options.AdoptState = GinkgoT().TempDir(), true
		// The new vault has no key for what the old one signed; it begins with its own.
		Expect(cluster.Client.DeleteAllOf(w, &corev1.Secret{}, client.InNamespace(w.options.Namespace))).To(Succeed())
		w.startOperator()
		Eventually(w.stage("handled")).Should(HaveSuffix("/StateUnknown"))
		Consistently(func() map[string]int { return w.ats.Rows(ada) }).Should(HaveKeyWithValue("notes", 2))
		Expect(cluster.Client.Delete(w, w.request("handled"))).To(Succeed())
		Eventually(w.stage("handled")).Should(Equal("NotFound"))
	})

	It("two ids that differ in case are two subjects", func() {
		upper := harness.Person{ID: "APP-1", Email: "upper@example.org", Name: "Upper"}
		w := newWorld(ada, upper)
		w.create(harness.Request(w.ns, "lower", ada)...)
		Eventually(w.stage("lower")).Should(Equal("Pending/GracePeriod"))
		w.create(harness.Request(w.ns, "upper", upper)...)
		Eventually(w.stage("upper")).Should(Equal("Pending/GracePeriod"))
	})
})
