package promises

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/test/harness"
)

// as is a client of somebody who may do everything, under a name.
func (w *world) as(user string) client.Client {
	GinkgoHelper()
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	c, err := client.New(config, client.Options{Scheme: cluster.Client.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// admission restarts the operator with or without admission, and waits until the API server knows of it.
func (w *world) admission(on bool) {
	GinkgoHelper()
	Expect(w.operator.Stop()).To(Succeed())
	w.options.Admission, w.config = on, cluster.Config // who installs webhooks needs more than the operator's roles
	w.startOperator()
	// A run that deletes is refused by the door alone.
	probe := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.ns},
		Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "a", UID: "u"}}}
	somebody := w.as("somebody")
	Eventually(func() bool { return somebody.Create(w, probe.DeepCopy(), client.DryRunAll) != nil }).WithTimeout(30 * time.Second).Should(Equal(on))
}

// policyReady waits until the operator knows the policy on requests.
func (w *world) policyReady() {
	GinkgoHelper()
	Eventually(w.conditionOf(&v1alpha1.RetentionPolicy{}, "requests", v1alpha1.ConditionReady)).Should(HavePrefix("True/"))
}

// ledgerEntries of one kind; the operator must have been stopped.
func (w *world) ledgerEntries(kind string) []ledger.Entry {
	GinkgoHelper()
	var out []ledger.Entry
	for _, e := range w.allEntries() {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func (w *world) actors(kind string) []string {
	GinkgoHelper()
	var out []string
	for _, e := range w.ledgerEntries(kind) {
		out = append(out, e.Actor)
	}
	return out
}

var _ = Describe("who did what", func() {
	It("records who asked, approved, expedited, cancelled, placed and lifted", func() {
		w := newWorld(ada, bob)
		w.admission(true)
		Expect(w.as("officer@example.org").Create(w, retentionPolicy(w.ns, v1alpha1.ApprovalPolicy{Required: true}))).To(Succeed())
		w.policyReady()
		for _, o := range harness.Request(w.ns, "asked", ada) {
			Expect(w.as("alice").Create(w, o)).To(Succeed())
		}
		Eventually(w.stage("asked")).Should(Equal("Pending/AwaitingApproval"))
		w.changeAs("dora", "asked", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })
		Eventually(w.stage("asked")).Should(Equal("Pending/GracePeriod"))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "asked", v1alpha1.ConditionApproved)()).To(Equal("True/Approved"))
		w.changeAs("erik", "asked", func(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingImmediate })
		Eventually(w.stage("asked")).Should(Equal("Completed/Erased"))
		_, d := w.certificate("asked", 1)
		Expect(d.Certificate.Actors).To(ContainElements(certificate.Actor{Role: certificate.RoleRequester, Known: certificate.ActorKnown, Name: "alice"},
			certificate.Actor{Role: certificate.RoleApprover, Known: certificate.ActorKnown, Name: "dora"}))
		w.exported() // every entry is of the published schema

		for _, name := range []string{"cancelled", "deleted"} {
			for _, o := range harness.Request(w.ns, name, bob) {
				Expect(w.as("alice").Create(w, o)).To(Succeed())
			}
			Eventually(w.stage(name)).Should(Equal("Pending/AwaitingApproval"))
			if name == "deleted" {
				Expect(w.as("carl").Delete(w, w.request(name))).To(Succeed())
				Eventually(w.stage(name)).Should(Equal("NotFound"))
				continue
			}
			w.changeAs("bea", name, func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })
			Eventually(w.stage(name)).Should(Equal("Cancelled/Cancelled"))
		}
		hold := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "matter", Namespace: w.ns}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 7", Subjects: []string{bob.ID}}}
		Expect(w.as("paula").Create(w, hold)).To(Succeed())
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "matter", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		read := w.get(&v1alpha1.LegalHold{}, "matter").(*v1alpha1.LegalHold)
		lifted := read.DeepCopy()
		lifted.Spec.Lifted = true
		Expect(w.as("lotte").Patch(w, lifted, client.MergeFrom(read))).To(Succeed())
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "matter", v1alpha1.ConditionReady)).Should(Equal("True/Lifted"))

		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.actors(ledger.KindErasureReceived)).To(Equal([]string{"alice", "alice", "alice"}))
		Expect(w.actors(ledger.KindErasureApproved)).To(Equal([]string{"dora"}))
		Expect(w.ledgerEntries(ledger.KindErasureApproved)[0].Attributes).To(HaveKeyWithValue("approved", "verified"))
		Expect(w.actors(ledger.KindErasureExpedited)).To(Equal([]string{"erik"}))
		Expect(w.actors(ledger.KindErasureCancelled)).To(Equal([]string{"bea", "carl"}))
		Expect(w.actors(ledger.KindHoldPlaced)).To(Equal([]string{"paula"}))
		Expect(w.actors(ledger.KindHoldLifted)).To(Equal([]string{"lotte"}))
	})

	It("takes an approval that admission did not see for unverified, whatever the annotations say", func() {
		w := newWorld(ada, bob)
		w.admission(true)
		w.create(retentionPolicy(w.ns, v1alpha1.ApprovalPolicy{Required: true}))
		w.policyReady()
		for _, o := range harness.Request(w.ns, "seen", bob) {
			Expect(w.as("alice").Create(w, o)).To(Succeed())
		}
		Eventually(w.stage("seen")).Should(Equal("Pending/AwaitingApproval"))
		w.changeAs("dora", "seen", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })
		Eventually(w.stage("seen")).Should(Equal("Pending/GracePeriod"))
		genuine := w.request("seen").Annotations
		w.admission(false)
		forged := harness.Request(w.ns, "forged", ada)
		for _, o := range forged {
			if er, ok := o.(*v1alpha1.ErasureRequest); ok {
				er.Annotations, er.Spec.Approved = genuine, true
			}
		}
		w.create(forged...)
		Eventually(w.stage("forged")).Should(Equal("Pending/GracePeriod"))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "forged", v1alpha1.ConditionApproved)()).To(Equal("True/ApprovedUnverified"))
		Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, "seen", v1alpha1.ConditionApproved)()).To(Equal("True/Approved"), "what was seen stays seen")
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.actors(ledger.KindErasureReceived)).To(Equal([]string{"alice", v1alpha1.ActorUnknown}))
		Expect(w.actors(ledger.KindErasureApproved)).To(Equal([]string{"dora", v1alpha1.ActorUnknown}))
		Expect(w.ledgerEntries(ledger.KindErasureApproved)[1].Attributes).To(HaveKeyWithValue("approved", "unverified"))
	})

	It("erases only what four eyes have seen", func() {
		w := newWorld(ada, bob)
		// Asked and approved while nobody looked: it waits for ever.
		early := harness.Request(w.ns, "unseen", ada, harness.Immediate)
		for _, o := range early {
			if er, ok := o.(*v1alpha1.ErasureRequest); ok {
				er.Spec.Approved = true
			}
		}
		w.create(retentionPolicy(w.ns, v1alpha1.ApprovalPolicy{FourEyes: true}))
		Eventually(w.conditionOf(&v1alpha1.RetentionPolicy{}, "requests", v1alpha1.ConditionReady)).Should(Equal("False/AdmissionRequired"))
		w.create(early...)
		Eventually(w.stage("unseen")).Should(Equal("Pending/PolicyNotReady"))
		w.admission(true)
		Eventually(w.conditionOf(&v1alpha1.RetentionPolicy{}, "requests", v1alpha1.ConditionReady)).Should(Equal("True/Ready"))
		Eventually(w.stage("unseen")).Should(Equal("Pending/AwaitingApproval"))

		for _, o := range harness.Request(w.ns, "seen", bob, harness.Immediate) {
			Expect(w.as("alice").Create(w, o)).To(Succeed())
		}
		Eventually(w.stage("seen")).Should(Equal("Pending/AwaitingApproval"))
		own := w.request("seen")
		own.Spec.Approved = true
		Expect(w.as("alice").Update(w, own)).To(MatchError(ContainSubstring("who asked cannot approve")))
		w.changeAs("dora", "seen", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })
		Eventually(w.stage("seen")).Should(Equal("Completed/Erased"))
		Consistently(w.stage("unseen")).Should(Equal("Pending/AwaitingApproval"))
		Expect(w.ats.Rows(ada)).NotTo(BeEmpty())
	})

	It("records every change of what governs, with who made it and what changed, never with values", func() {
		w := newWorld(ada)
		w.admission(true)
		p := retentionPolicy(w.ns, v1alpha1.ApprovalPolicy{})
		Expect(w.as("alice").Create(w, p)).To(Succeed())
		seen := func(generation int64) {
			GinkgoHelper()
			Eventually(func() int64 {
				return w.get(&v1alpha1.RetentionPolicy{}, "requests").(*v1alpha1.RetentionPolicy).Status.ObservedGeneration
			}).Should(Equal(generation))
		}
		seen(1)
		set := func(c client.Client, grace string) {
			GinkgoHelper()
			read := w.get(&v1alpha1.RetentionPolicy{}, "requests").(*v1alpha1.RetentionPolicy)
			now := read.DeepCopy()
			now.Spec.Requests.GracePeriod = grace
			Expect(c.Patch(w, now, client.MergeFrom(read))).To(Succeed())
			seen(now.Generation)
		}
		set(w.as("dora"), "P90D")
		w.admission(false)
		set(w.as("mallory"), "P30D")
		Expect(w.operator.Stop()).To(Succeed())
		var got []string
		for _, e := range w.ledgerEntries(ledger.KindGovernanceChanged) {
			if e.Attributes["name"] == "requests" {
				got = append(got, e.Attributes["generation"]+" "+e.Actor+" "+e.Attributes["fields"])
			}
			Expect(e.Attributes).NotTo(ContainElement(ContainSubstring("P90D")))
		}
		Expect(got).To(Equal([]string{"1 alice spec", "2 dora spec.requests.gracePeriod", "3 unknown unknown"}))
	})
})

func retentionPolicy(ns string, approval v1alpha1.ApprovalPolicy) *v1alpha1.RetentionPolicy {
	return &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "requests", Namespace: ns},
		Spec: v1alpha1.RetentionPolicySpec{Requests: &v1alpha1.RequestPolicy{Approval: approval}}}
}

// changeAs changes a request as somebody.
func (w *world) changeAs(user, name string, f func(*v1alpha1.ErasureRequest)) {
	GinkgoHelper()
	read := w.request(name)
	now := read.DeepCopy()
	f(now)
	Expect(w.as(user).Patch(w, now, client.MergeFrom(read))).To(Succeed())
}
