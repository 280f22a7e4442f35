package promises

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
		Eventually(func() int64 {
			return w.get(&v1alpha1.DataStore{}, "ats").(*v1alpha1.DataStore).Status.ObservedGeneration
		}).Should(Equal(store.Generation))
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
		w := emptyWorld(bob, ada) // the newest rows are ada's, so SQLite gives their row ids to the next ones
		for i := range 200 {
			file := fmt.Sprintf("more-%d.pdf", i)
			Expect(os.WriteFile(w.ats.Path(ada.ID, file), nil, 0o600)).To(Succeed())
			w.ats.Exec(`INSERT INTO documents (applicant_id, kind, file_name) VALUES (?, 'other', ?)`, ada.ID, file)
		}
		objects := harness.ATSObjects(w.ns)
		objects[1].(*v1alpha1.DataStore).Spec.Limits.BatchSize = 1
		w.create(objects...)
		w.mapReady()
		documents := filepath.Join(w.ats.Root, "documents")
		w.create(harness.Request(w.ns, "reused", ada, harness.Immediate)...)
		Eventually(func() map[string]int { return w.ats.Rows(harness.Person{ID: ada.ID}) }).WithPolling(time.Millisecond).ShouldNot(HaveKey("applications"))
		Expect(os.Rename(documents, documents+"-away")).To(Succeed())
		Eventually(w.stage("reused")).Should(Equal("Pending/Retrying"), "the files' step waits for its store")
		Expect(w.operator.Stop()).To(Succeed())
		Expect(os.Rename(documents+"-away", documents)).To(Succeed())
		newcomer := harness.Person{ID: "app-30", Email: "newcomer@example.org", Name: "Newcomer"}
		w.ats.Add(newcomer)
		before := w.ats.Digest(newcomer, bob)
		w.step(time.Minute)
		w.startOperator()
		Eventually(w.stage("reused"), "30s").Should(Equal("Completed/Erased"))
		Expect(w.ats.Digest(newcomer, bob)).To(Equal(before))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
	})

	It("Promise 2: a newcomer who gets a retained record's key stays when that is due", func() {
		held := ada
		w := newWorld(held)
		h := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "notes", Namespace: w.ns}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 4",
			Records: []v1alpha1.HoldSelector{{Map: "ats", Entity: "notes"}}}}
		w.create(h)
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "notes", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		w.create(harness.Request(w.ns, "retained", held, harness.Immediate)...)
		Eventually(w.stage("retained")).Should(Equal("Completed/Retained"))
		// The application cleans up by itself, and somebody new gets the row ids.
		for _, table := range []string{"notes", "applications", "applicants"} {
			w.ats.Exec(`DELETE FROM ` + table)
		}
		w.ats.Add(bob)
		before := w.ats.Digest(bob)
		h = w.get(h, "notes").(*v1alpha1.LegalHold)
		read := h.DeepCopy()
		h.Spec.Lifted = true
		Expect(cluster.Client.Patch(w, h, client.MergeFrom(read))).To(Succeed())
		Eventually(w.conditionOf(&v1alpha1.ErasureRequest{}, "retained", v1alpha1.ConditionErased)).Should(Equal("True/Erased"))
		Expect(w.ats.Digest(bob)).To(Equal(before))
	})

	It("Promise 2: what became shared while it was retained stays with its file, and is not counted as deleted", func() {
		w := newWorld(ada, bob)
		w.ats.Exec(`CREATE TABLE papers (id INTEGER PRIMARY KEY, title TEXT)`)
		w.ats.Exec(`CREATE TABLE attachments (id INTEGER PRIMARY KEY, applicant_id TEXT NOT NULL REFERENCES applicants(id), paper_id INTEGER NOT NULL REFERENCES papers(id))`)
		w.ats.Exec(`CREATE INDEX attachments_applicant ON attachments(applicant_id)`)
		w.ats.Exec(`CREATE INDEX attachments_paper ON attachments(paper_id)`)
		w.ats.Exec(`INSERT INTO papers VALUES (1, 'hers'), (2, 'soon theirs')`)
		w.ats.Exec(`INSERT INTO attachments VALUES (1, ?, 1), (2, ?, 2)`, ada.ID, ada.ID)
		files := []string{w.ats.Path("papers", "1"), w.ats.Path("papers", "2")}
		Expect(os.MkdirAll(filepath.Dir(files[0]), 0o700)).To(Succeed())
		for _, f := range files {
			Expect(os.WriteFile(f, nil, 0o600)).To(Succeed())
		}
		columns := func(column, parent string) []v1alpha1.ColumnPair {
			return []v1alpha1.ColumnPair{{Column: column, ParentColumn: parent}}
		}
		w.create(&v1alpha1.PersonalDataMap{ObjectMeta: metav1.ObjectMeta{Name: "papers", Namespace: w.ns}, Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{
			{Name: "attachments", Store: "ats", Table: "attachments", Key: []string{"id"}, Category: "links", Action: v1alpha1.ActionDelete,
				Parents: []v1alpha1.Parent{{Entity: "ats/applicants", Relation: v1alpha1.RelationDeep, Columns: columns("applicant_id", "id")}}},
			{Name: "papers", Store: "ats", Table: "papers", Key: []string{"id"}, Category: "papers", Action: v1alpha1.ActionDelete,
				Files:   []v1alpha1.FileReference{{Store: "documents", Path: "papers/{id}"}},
				Parents: []v1alpha1.Parent{{Entity: "attachments", Relation: v1alpha1.RelationRefCount, Columns: columns("id", "paper_id")}}},
		}}})
		Eventually(w.conditionOf(&v1alpha1.PersonalDataMap{}, "papers", v1alpha1.ConditionReady)).Should(Equal("True/Ready"))
		h := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "links", Namespace: w.ns}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 5",
			Records: []v1alpha1.HoldSelector{{Map: "papers", Entity: "attachments"}}}}
		w.create(h)
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "links", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		w.create(harness.Request(w.ns, "shared", ada, harness.Immediate)...)
		Eventually(w.stage("shared")).Should(Equal("Completed/Retained"), func() string { return w.message("shared") })
		w.ats.Exec(`INSERT INTO attachments VALUES (3, ?, 2)`, bob.ID)
		h = w.get(h, "links").(*v1alpha1.LegalHold)
		read := h.DeepCopy()
		h.Spec.Lifted = true
		Expect(cluster.Client.Patch(w, h, client.MergeFrom(read))).To(Succeed())
		var runs v1alpha1.DeletionRunList
		Eventually(w.conditionOf(&v1alpha1.ErasureRequest{}, "shared", v1alpha1.ConditionErased), "30s").Should(Equal("True/Erased"), func() string {
			Expect(cluster.Client.List(w, &runs, client.InNamespace(w.ns))).To(Succeed())
			return fmt.Sprint(runs.Items)
		})
		Expect(w.ats.Rows(ada)).To(BeEmpty())
		Expect(files[0]).NotTo(BeAnExistingFile())
		Expect(files[1]).To(BeAnExistingFile())
		Expect(cluster.Client.List(w, &runs, client.InNamespace(w.ns))).To(Succeed())
		var counts []v1alpha1.CategoryCount
		for _, r := range runs.Items {
			if r.Spec.Residue != nil {
				counts = append(counts, w.finishedRun(r.Name).Status.Counts...)
			}
		}
		Expect(counts).To(ConsistOf(v1alpha1.CategoryCount{Category: "links", Deleted: 2}, v1alpha1.CategoryCount{Category: "papers", Deleted: 1, Files: 1, Shared: 1},
			v1alpha1.CategoryCount{Category: "contact", Deleted: 1}))
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

	It("Promise 1: a request for everything waits for a narrower one of the same subject, and goes on when that has ended", func() {
		w := emptyWorld(ada)
		m := harness.ATSMap(w.ns)
		m.Spec.Scopes = []v1alpha1.Scope{{Name: "messages", Entities: []string{"messages"}}, {Name: "consents", Entities: []string{"consents"}}}
		objects := harness.ATSObjects(w.ns)
		objects[len(objects)-1] = m
		w.create(objects...)
		w.mapReady()
		scoped := func(scope string) func(*v1alpha1.ErasureRequest) {
			return func(er *v1alpha1.ErasureRequest) { er.Spec.Scope = scope }
		}
		w.create(harness.Request(w.ns, "part", ada, scoped("messages"))...)
		Eventually(w.stage("part")).Should(Equal("Pending/GracePeriod"))
		w.create(harness.Request(w.ns, "same-part", ada, scoped("messages"))...)
		Eventually(w.stage("same-part")).Should(Equal("Cancelled/Duplicate"))
		w.create(harness.Request(w.ns, "other-part", ada, scoped("consents"))...)
		Eventually(w.stage("other-part")).Should(Equal("Pending/AwaitingOtherRequest"))
		Expect(w.change("other-part", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("other-part")).Should(Equal("Cancelled/Cancelled"))

		w.create(harness.Request(w.ns, "all", ada, harness.Immediate)...)
		Eventually(w.stage("all")).Should(Equal("Pending/AwaitingOtherRequest"))
		Expect(w.message("all")).To(ContainSubstring("ErasureRequest part "))
		Expect(w.request("all").Status.DuplicateOf).To(BeEmpty())
		Expect(w.change("part", func(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingImmediate })).To(Succeed())
		Eventually(w.stage("part")).Should(Equal("Completed/Erased"))
		Eventually(w.stage("all")).Should(Equal("Completed/Erased"), "the end of the other request wakes it")
		Expect(w.ats.Rows(ada)).To(BeEmpty())
	})

	It("Promise 1: a part of what an unfinished request for everything erases is a duplicate", func() {
		w := emptyWorld(ada)
		m := harness.ATSMap(w.ns)
		m.Spec.Scopes = []v1alpha1.Scope{{Name: "messages", Entities: []string{"messages"}}}
		objects := harness.ATSObjects(w.ns)
		objects[len(objects)-1] = m
		w.create(objects...)
		w.mapReady()
		w.create(harness.Request(w.ns, "all", ada)...)
		Eventually(w.stage("all")).Should(Equal("Pending/GracePeriod"))
		w.create(harness.Request(w.ns, "part", ada, func(er *v1alpha1.ErasureRequest) { er.Spec.Scope = "messages" })...)
		Eventually(w.stage("part")).Should(Equal("Cancelled/Duplicate"))
		Expect(w.request("part").Status.DuplicateOf).To(Equal("all"))
	})

	It("Promise 1: a request that was removed by force in its grace period does not keep the next one from erasing", func() {
		w := newWorld(ada, bob)
		before := w.ats.Digest(ada)
		w.create(harness.Request(w.ns, "removed", ada)...)
		Eventually(w.stage("removed")).Should(Equal("Pending/GracePeriod"))
		Expect(w.ats.Text(ada.ID, "status")).To(Equal("deactivated"))
		Expect(w.keySecrets()).To(ContainElement(HavePrefix("lethe-key-deactivation")))
		w.removeByForce("removed")

		// The store refuses the reactivation: until it is possible the next request waits, and says why.
		w.ats.Exec(`CREATE TRIGGER refuse BEFORE UPDATE ON applicants BEGIN SELECT RAISE(ABORT, 'no'); END`)
		alias := harness.Person{ID: "crm-77", Email: ada.Email}
		w.create(harness.Request(w.ns, "next", alias, func(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingAfterGracePeriod })...)
		Eventually(w.stage("next")).Should(Equal("Pending/Reactivating"))
		Expect(w.message("next")).To(ContainSubstring("ErasureRequest removed was removed by force"))
		w.ats.Exec(`DROP TRIGGER refuse`)
		w.poke("next")
		Eventually(w.stage("next")).Should(Equal("Pending/GracePeriod"))
		Expect(w.ats.Text(ada.ID, "status")).To(Equal("deactivated"), "in the name of the next request")
		Expect(w.change("next", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("next")).Should(Equal("Cancelled/Cancelled"))
		Expect(w.ats.Digest(ada)).To(Equal(before), "the removed request's deactivation was undone before the next one deactivated")
		Eventually(w.keySecrets).ShouldNot(ContainElement(HavePrefix("lethe-key-deactivation")))

		w.create(harness.Request(w.ns, "at-last", ada, harness.Immediate)...)
		Eventually(w.stage("at-last")).Should(Equal("Completed/Erased"))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.ledgerReasons()).To(ContainElements("erasure.reactivated/", "erasure.cancelled/RequestGone"))
	})

	It("Promise 1: a request that was removed by force, and created again by its name, erases", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "again", ada)...)
		Eventually(w.stage("again")).Should(Equal("Pending/GracePeriod"))
		w.removeByForce("again")
		w.create(harness.Request(w.ns, "again", ada, harness.Immediate)[1])
		Eventually(w.stage("again")).Should(Equal("Completed/Erased"))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
	})

	It("Promise 1: a request that was removed by force while it was processed does not keep the next one from erasing", func() {
		w := newWorld(ada, bob)
		others := w.ats.Digest(bob)
		w.ats.Exec(`CREATE TRIGGER refuse BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'no'); END`)
		w.create(harness.Request(w.ns, "removed", ada, harness.Immediate)...)
		Eventually(w.stage("removed")).Should(Equal("Pending/Retrying"))
		Expect(w.keySecrets()).To(ContainElement(HavePrefix("lethe-key-run")))
		w.removeByForce("removed")
		w.ats.Exec(`DROP TRIGGER refuse`)
		w.create(harness.Request(w.ns, "next", ada, harness.Immediate)...)
		Eventually(w.stage("next"), "30s").Should(Equal("Completed/Erased"))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
		Expect(w.ats.Digest(bob)).To(Equal(others))
		Eventually(w.keySecrets).ShouldNot(ContainElement(HavePrefix("lethe-key-run")))
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.ledgerReasons()).To(ContainElement("erasure.abandoned/RequestGone"))
	})

	It("Promise 1: the run of a request that was removed by force may finish its effect, and no more", func() {
		w := newWorld(ada, bob)
		others := w.ats.Digest(bob)
		release := w.blockStore()
		w.create(harness.Request(w.ns, "removed", ada, harness.Immediate)...)
		Eventually(w.stage("removed")).Should(Equal("Pending/Processing"))
		var key any
		Eventually(w.keySecrets).Should(ContainElement(HavePrefix("lethe-key-run"), &key))
		w.removeByForce("removed")
		w.create(harness.Request(w.ns, "next", ada, harness.Immediate)...)
		Eventually(w.keySecrets).ShouldNot(ContainElement(BeElementOf(key)), "the plan of the removed request is destroyed while its run is still at work")
		release()
		// The effect that was under way may have deleted the record by which the next request finds the subject.
		Eventually(w.stage("next"), "30s").Should(BeElementOf("Completed/Erased", "Pending/SubjectNotFound"))
		Expect(w.ats.Digest(bob)).To(Equal(others))
		Expect(w.keySecrets()).NotTo(ContainElement(BeElementOf(key)))
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.ledgerReasons()).To(ContainElement("erasure.abandoned/RequestGone"))
	})
})

// removeByForce takes the finalizer from a request and deletes it, so that nothing leads it to its end.
func (w *world) removeByForce(name string) {
	GinkgoHelper()
	Eventually(func() error {
		if err := w.change(name, func(er *v1alpha1.ErasureRequest) { er.Finalizers = nil }); err != nil {
			return err
		}
		return cluster.Client.Delete(w, w.request(name))
	}).Should(Succeed())
	// The operator may have put the finalizer back in between.
	Eventually(func() string {
		_ = cluster.Client.Patch(w, &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns}},
			client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
		return w.stage(name)()
	}).Should(Equal("NotFound"))
}
