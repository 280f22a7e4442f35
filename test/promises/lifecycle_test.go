package promises

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

const day = 24 * time.Hour

var _ = onEachVault("Life of an erasure request", func() {
	It("erases one subject at once, and says so truthfully", func() {
		w := newWorld(ada, bob)
		others := w.ats.Digest(bob)
		w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
		Eventually(w.stage("now")).Should(Equal("Completed/Erased"))

		Expect(w.ats.Rows(ada)).To(BeEmpty())
		Expect(w.ats.Digest(bob)).To(Equal(others))
		er := w.request("now")
		Expect(er.Status.Counts).To(ConsistOf(
			v1alpha1.CategoryCount{Category: "contact", Deleted: 1}, v1alpha1.CategoryCount{Category: "profile", Deleted: 1},
			v1alpha1.CategoryCount{Category: "notes", Deleted: 2}, v1alpha1.CategoryCount{Category: "documents", Deleted: 1, Files: 1},
			v1alpha1.CategoryCount{Category: "communication", Deleted: 1}, v1alpha1.CategoryCount{Category: "consent", Anonymized: 1}))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "now", v1alpha1.ConditionErased)()).To(Equal("True/Erased"))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "now", v1alpha1.ConditionNotified)()).To(Equal("False/NotConfigured"))
		Eventually(func() bool { return w.secretExists("now") }).Should(BeFalse(), "identities are destroyed")
		Eventually(w.keySecrets).ShouldNot(ContainElement(HavePrefix("lethe-key-run")), "the run's key is destroyed")
		Expect(w.finishedRun(er.Status.Run).Status.PlanDigest).To(HaveLen(64))
	})

	It("waits for the grace period, deactivates, and reactivates when it is cancelled", func() {
		w := newWorld(ada, bob)
		before := w.ats.Digest(ada, bob)
		w.create(harness.Request(w.ns, "grace", ada)...)
		Eventually(w.stage("grace")).Should(Equal("Pending/GracePeriod"))
		er := w.request("grace")
		Expect(er.Status.ScheduledAt.Time).To(BeTemporally("==", start.Add(60*day)))
		Expect(er.Status.Policy).To(HaveValue(Equal(v1alpha1.PolicySnapshot{GracePeriod: "P60D", ArchiveRetention: "P30D"})))
		Expect(w.ats.Text(ada.ID, "status")).To(Equal("deactivated"))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "grace", v1alpha1.ConditionOverdueRisk)()).To(Equal("True/ScheduledAfterDueDate"))

		Expect(w.change("grace", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("grace")).Should(Equal("Cancelled/Cancelled"))
		Expect(w.ats.Digest(ada, bob)).To(Equal(before), "everything is as before")
		Eventually(func() bool { return w.secretExists("grace") }).Should(BeFalse())
	})

	It("reactivates when the object is deleted while it is pending", func() {
		w := newWorld(ada)
		before := w.ats.Digest(ada)
		w.create(harness.Request(w.ns, "deleted", ada)...)
		Eventually(w.stage("deleted")).Should(Equal("Pending/GracePeriod"))
		Expect(cluster.Client.Delete(w, w.request("deleted"))).To(Succeed())
		Eventually(w.stage("deleted")).Should(Equal("NotFound"))
		Expect(w.ats.Digest(ada)).To(Equal(before))
	})

	It("leaves alone what the application changed since the deactivation", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "changed", ada)...)
		Eventually(w.stage("changed")).Should(Equal("Pending/GracePeriod"))
		w.ats.Exec(`UPDATE applicants SET status = 'blocked' WHERE id = ?`, ada.ID)
		Expect(w.change("changed", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("changed")).Should(Equal("Cancelled/Cancelled"))
		Expect(w.ats.Text(ada.ID, "status")).To(Equal("blocked"))
	})

	It("waits for an active process, then for an approval", func() {
		interviewed := ada
		interviewed.Stage = "interview"
		w := newWorld(interviewed)
		w.create(harness.Request(w.ns, "active", interviewed, harness.Immediate)...)
		Eventually(w.stage("active")).Should(Equal("Pending/ProcessActive"))
		Expect(w.message("active")).To(ContainSubstring("ats/applications"))
		w.ats.Exec(`UPDATE applications SET stage = 'rejected' WHERE applicant_id = ?`, ada.ID)
		w.poke("active")
		Eventually(w.stage("active")).Should(Equal("Pending/AwaitingApproval"))
		Expect(w.ats.Rows(ada)).NotTo(BeEmpty())
		Expect(w.change("active", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })).To(Succeed())
		Eventually(w.stage("active")).Should(Equal("Completed/Erased"))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "active", v1alpha1.ConditionApproved)()).To(Equal("True/ApprovedUnverified"))
	})

	It("keeps what a statute keeps, anonymises what that needs, and deletes both when the date has come", func() {
		taxed := ada
		taxed.TaxDocument = "2020-06-30"
		w := newWorld(taxed, bob)
		others := w.ats.Digest(bob)
		w.create(harness.Request(w.ns, "tax", taxed, harness.Immediate)...)
		Eventually(w.stage("tax")).Should(Equal("Completed/Retained"))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "tax", v1alpha1.ConditionErased)()).To(Equal("False/Retained"))
		Expect(w.request("tax").Status.Retained).To(ContainElement(v1alpha1.RetainedData{Category: "documents", Entity: "ats/documents", Count: 1,
			Basis: "AO section 147", Until: &metav1.Time{Time: time.Date(2030, 6, 30, 0, 0, 0, 0, time.UTC).Local()}}))
		Expect(w.ats.Rows(harness.Person{ID: taxed.ID})).To(Equal(map[string]int{"applicants": 1, "documents": 1, "files": 1}))
		Expect(w.ats.Text(taxed.ID, "full_name")).To(Equal("removed"))

		w.step(time.Date(2030, 6, 29, 23, 59, 58, 0, time.UTC).Sub(w.clock.Now()))
		Consistently(func() map[string]int { return w.ats.Rows(harness.Person{ID: taxed.ID}) }).Should(HaveKeyWithValue("documents", 1))
		w.step(3 * time.Second)
		Eventually(func() map[string]int { return w.ats.Rows(harness.Person{ID: taxed.ID}) }).Should(BeEmpty())
		Expect(w.ats.Digest(bob)).To(Equal(others))
	})

	It("tells that all is erased once the follow-up run has deleted what was retained", func() {
		taxed := ada
		taxed.TaxDocument = "2016-03-10"
		w := newWorld(taxed)
		w.create(harness.Request(w.ns, "soon", taxed, harness.Immediate)...)
		Eventually(w.stage("soon")).Should(Equal("Completed/Retained"))
		w.step(9 * day)
		Eventually(w.conditionOf(&v1alpha1.ErasureRequest{}, "soon", v1alpha1.ConditionErased)).Should(Equal("True/Erased"))
		Expect(w.ats.Rows(harness.Person{ID: taxed.ID})).To(BeEmpty())
		Eventually(w.keySecrets).ShouldNot(ContainElement(HavePrefix("lethe-key-residue")))
	})

	It("purges the finished object after the archive retention and refuses its name afterwards", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "archived", ada, harness.Immediate)...)
		Eventually(w.stage("archived")).Should(Equal("Completed/Erased"))
		run := w.request("archived").Status.Run
		w.step(30*day - time.Minute)
		w.poke("archived")
		Consistently(w.stage("archived")).Should(Equal("Completed/Erased"))
		w.step(2 * time.Minute)
		w.poke("archived")
		Eventually(w.stage("archived")).Should(Equal("NotFound"))
		Eventually(func() error {
			return cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: run}, &v1alpha1.DeletionRun{})
		}).ShouldNot(Succeed())
		w.create(harness.Request(w.ns, "archived", ada)...)
		Eventually(w.stage("archived")).Should(Equal("Cancelled/AlreadyProcessed"))
	})

	It("takes a second request for the same subject as a duplicate, also by another id", func() {
		w := newWorld(ada, bob)
		w.create(harness.Request(w.ns, "first", ada)...)
		Eventually(w.stage("first")).Should(Equal("Pending/GracePeriod"))
		w.create(harness.Request(w.ns, "second", ada)...)
		Eventually(w.stage("second")).Should(Equal("Cancelled/Duplicate"))
		Expect(w.request("second").Status.DuplicateOf).To(Equal("first"))
		alias := harness.Person{ID: "crm-77", Email: ada.Email}
		w.create(harness.Request(w.ns, "third", alias)...)
		Eventually(w.stage("third")).Should(Equal("Cancelled/Duplicate"))
		Expect(w.change("first", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("first")).Should(Equal("Cancelled/Cancelled"))
		w.create(harness.Request(w.ns, "fourth", ada)...)
		Eventually(w.stage("fourth")).Should(Equal("Pending/GracePeriod"), "only unfinished requests count")
	})

	It("asks for approval where the policy demands it, and keeps the snapshot of the policy", func() {
		w := newWorld(ada)
		p := &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "requests", Namespace: w.ns}, Spec: v1alpha1.RetentionPolicySpec{
			Requests: &v1alpha1.RequestPolicy{GracePeriod: "P30D", ArchiveRetention: "P90D", Approval: v1alpha1.ApprovalPolicy{Required: true}}}}
		w.create(p)
		Eventually(w.conditionOf(&v1alpha1.RetentionPolicy{}, "requests", v1alpha1.ConditionReady)).Should(Equal("True/Ready"))
		w.create(harness.Request(w.ns, "approve", ada)...)
		Eventually(w.stage("approve")).Should(Equal("Pending/AwaitingApproval"))
		Expect(w.change("approve", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })).To(Succeed())
		Eventually(w.stage("approve")).Should(Equal("Pending/GracePeriod"))
		p = w.get(p, p.Name).(*v1alpha1.RetentionPolicy)
		read := p.DeepCopy()
		p.Spec.Requests.GracePeriod = "P180D"
		Expect(cluster.Client.Patch(w, p, client.MergeFrom(read))).To(Succeed())
		w.poke("approve")
		Consistently(func() time.Time { return w.request("approve").Status.ScheduledAt.Time }).Should(BeTemporally("==", start.Add(30*day)))
		w.step(30 * day)
		w.poke("approve")
		Eventually(w.stage("approve")).Should(Equal("Completed/Erased"))
		Expect(w.request("approve").Status.PurgeAt.Time).To(BeTemporally("~", start.Add(120*day), time.Minute))
	})

	It("waits with two policies for requests, and with a four-eyes policy that nobody can verify", func() {
		w := newWorld(ada)
		four := &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "four-eyes", Namespace: w.ns}, Spec: v1alpha1.RetentionPolicySpec{
			Requests: &v1alpha1.RequestPolicy{Approval: v1alpha1.ApprovalPolicy{FourEyes: true}}}}
		w.create(four)
		Eventually(w.conditionOf(&v1alpha1.RetentionPolicy{}, "four-eyes", v1alpha1.ConditionReady)).Should(Equal("False/AdmissionRequired"))
		w.create(harness.Request(w.ns, "wait", ada, harness.Immediate)...)
		Eventually(w.stage("wait")).Should(Equal("Pending/PolicyNotReady"))
		w.create(&v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "second", Namespace: w.ns}, Spec: v1alpha1.RetentionPolicySpec{Requests: &v1alpha1.RequestPolicy{}}})
		w.poke("wait")
		Eventually(w.stage("wait")).Should(Equal("Pending/AmbiguousPolicy"))
		Expect(cluster.Client.Delete(w, four)).To(Succeed())
		Eventually(w.stage("wait")).Should(Equal("Completed/Erased"), "the deletion of the policy wakes the request")
	})

	It("previews a request without changing anything", func() {
		w := newWorld(ada)
		before := w.ats.Digest(ada)
		w.create(harness.Request(w.ns, "preview", ada)...)
		Eventually(w.stage("preview")).Should(Equal("Pending/GracePeriod"))
		deactivated := w.ats.Digest(ada)
		Expect(deactivated).NotTo(Equal(before))
		w.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "dry", Namespace: w.ns},
			Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "preview"}, DryRun: true}})
		Eventually(w.conditionOf(&v1alpha1.DeletionRun{}, "dry", v1alpha1.ConditionReady)).Should(Equal("True/DryRun"))
		Expect(w.get(&v1alpha1.DeletionRun{}, "dry").(*v1alpha1.DeletionRun).Status.Counts).To(ContainElement(v1alpha1.CategoryCount{Category: "notes", Deleted: 2}))
		Expect(w.ats.Digest(ada)).To(Equal(deactivated))
	})

	It("writes the status at most four times on the request and three times on its run", func() {
		w := newWorld(ada)
		requests := w.watchWrites(&v1alpha1.ErasureRequestList{})
		runs := w.watchWrites(&v1alpha1.DeletionRunList{})
		w.create(harness.Request(w.ns, "writes", ada, harness.Immediate)...)
		Eventually(w.stage("writes")).Should(Equal("Completed/Erased"))
		Consistently(w.stage("writes")).Should(Equal("Completed/Erased"))
		Expect(requests()).To(BeNumerically("<=", 4))
		Expect(runs()).To(BeNumerically("<=", 3))
	})
})

var _ = Describe("Secrets with identities", func() {
	It("cannot be changed after the request was confirmed", func() {
		w := newWorld(ada, bob)
		w.create(harness.Request(w.ns, "swapped", ada)...)
		Eventually(w.stage("swapped")).Should(Equal("Pending/GracePeriod"))
		secret := w.get(&corev1.Secret{}, "swapped").(*corev1.Secret)
		secret.Data["email"] = []byte(bob.Email)
		Expect(cluster.Client.Update(w, secret)).To(Succeed())
		w.step(60 * day)
		w.poke("swapped")
		Eventually(w.stage("swapped")).Should(Equal("Pending/IdentitiesRefused"))
		Expect(w.ats.Rows(bob)).To(HaveKeyWithValue("notes", 2))
		secret.Data["email"] = []byte(ada.Email)
		Expect(cluster.Client.Update(w, secret)).To(Succeed())
		w.poke("swapped")
		Eventually(w.stage("swapped")).Should(Equal("Completed/Erased"))
		Expect(w.ats.Rows(bob)).To(HaveKeyWithValue("notes", 2))
	})

	DescribeTable("are refused and stay unused", func(change func(*corev1.Secret), want string) {
		w := newWorld(ada, bob)
		objects := harness.Request(w.ns, "strict", harness.Person{ID: "unknown", Email: ada.Email}, harness.Immediate)
		change(objects[0].(*corev1.Secret))
		w.create(objects...)
		Eventually(w.stage("strict")).Should(Equal(want))
		Consistently(func() map[string]int { return w.ats.Rows(ada) }).ShouldNot(BeEmpty())
		Expect(w.message("strict")).NotTo(ContainSubstring(ada.Email))
		Expect(w.secretExists("strict")).To(Equal(want != "Pending/IdentitiesMissing"))
	},
		Entry("of another type", func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }, "Pending/IdentitiesRefused"),
		Entry("of another request", func(s *corev1.Secret) { s.Annotations[v1alpha1.AnnotationRequest] = "other" }, "Pending/IdentitiesRefused"),
		Entry("that name no request", func(s *corev1.Secret) { s.Annotations = nil }, "Pending/IdentitiesRefused"),
		Entry("that are not there", func(s *corev1.Secret) { s.Name = "elsewhere" }, "Pending/IdentitiesMissing"),
	)
})
