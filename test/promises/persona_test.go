package promises

import (
	"fmt"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/test/harness"
)

// attempt is something that a person may try, and who of the personas may do it.
type attempt struct {
	what string
	may  []string
	do   func(w *world, c client.Client, n int) error
}

var personas = []string{"stranger", "viewer", "editor", "approver", "admin"}

// fresh makes a request that waits for approval, or a hold, for one attempt.
func (w *world) fresh(what string, n int) string {
	GinkgoHelper()
	name := fmt.Sprint(what, "-", n)
	p := harness.Person{ID: "p-" + name, Email: name + "@example.org"}
	w.ats.Add(p)
	w.create(harness.Request(w.ns, name, p)...)
	Eventually(w.stage(name)).Should(Equal("Pending/AwaitingApproval"))
	return name
}

func (w *world) patchRequest(c client.Client, name string, f func(*v1alpha1.ErasureRequest)) error {
	read := w.request(name)
	now := read.DeepCopy()
	f(now)
	return c.Patch(w, now, client.MergeFrom(read))
}

var attempts = []attempt{
	{"read requests", []string{"viewer", "editor", "approver", "admin"}, func(w *world, c client.Client, _ int) error {
		return c.List(w, &v1alpha1.ErasureRequestList{}, client.InNamespace(w.ns))
	}},
	{"read certificates", []string{"viewer", "editor", "approver", "admin"}, func(w *world, c client.Client, _ int) error {
		return c.List(w, &v1alpha1.ErasureCertificateList{}, client.InNamespace(w.ns))
	}},
	{"read requests elsewhere", nil, func(w *world, c client.Client, _ int) error {
		return c.List(w, &v1alpha1.ErasureRequestList{}, client.InNamespace("default"))
	}},
	{"ask", []string{"editor", "admin"}, func(w *world, c client.Client, n int) error {
		p := harness.Person{ID: fmt.Sprint("p-asked-", n), Email: "asked@example.org"}
		return c.Create(w, harness.Request(w.ns, fmt.Sprint("asked-", n), p)[1])
	}},
	{"approve", []string{"approver", "admin"}, func(w *world, c client.Client, n int) error {
		return w.patchRequest(c, w.fresh("approve", n), func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })
	}},
	{"cancel", []string{"approver", "admin"}, func(w *world, c client.Client, n int) error {
		return w.patchRequest(c, w.fresh("cancel", n), func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })
	}},
	{"cancel by deleting", []string{"admin"}, func(w *world, c client.Client, n int) error {
		return c.Delete(w, w.request(w.fresh("delete", n)))
	}},
	{"expedite", []string{"admin"}, func(w *world, c client.Client, n int) error {
		return w.patchRequest(c, w.fresh("expedite", n), func(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingImmediate })
	}},
	{"place a hold", []string{"editor", "admin"}, func(w *world, c client.Client, n int) error {
		return c.Create(w, hold(w.ns, fmt.Sprint("placed-", n)))
	}},
	{"lift a hold", []string{"admin"}, func(w *world, c client.Client, n int) error {
		read := hold(w.ns, fmt.Sprint("lifted-", n))
		w.create(read)
		now := w.get(&v1alpha1.LegalHold{}, read.Name).(*v1alpha1.LegalHold).DeepCopy()
		before := now.DeepCopy()
		now.Spec.Lifted = true
		return c.Patch(w, now, client.MergeFrom(before))
	}},
	{"change the policy", []string{"editor", "admin"}, func(w *world, c client.Client, n int) error {
		read := w.get(&v1alpha1.RetentionPolicy{}, "requests").(*v1alpha1.RetentionPolicy)
		now := read.DeepCopy()
		now.Spec.Requests.GracePeriod = fmt.Sprintf("P%dD", 61+n)
		return c.Patch(w, now, client.MergeFrom(read))
	}},
	{"preview a run", []string{"admin"}, func(w *world, c client.Client, n int) error {
		er := w.request(w.fresh("preview", n))
		return c.Create(w, &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("preview-", n), Namespace: w.ns},
			Spec: v1alpha1.DeletionRunSpec{DryRun: true, Request: &v1alpha1.RequestReference{Name: er.Name, UID: string(er.UID)}}})
	}},
	{"delete by a run of one's own", nil, func(w *world, c client.Client, n int) error {
		return c.Create(w, &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("own-", n), Namespace: w.ns},
			Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "a", UID: "u"}}})
	}},
	{"write a status", nil, func(w *world, c client.Client, n int) error {
		er := w.request(w.fresh("status", n))
		er.Status.Phase = v1alpha1.PhaseCompleted
		return c.Status().Update(w, er)
	}},
	{"forge a certificate", nil, func(w *world, c client.Client, n int) error {
		return c.Create(w, &v1alpha1.ErasureCertificate{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("forged-", n), Namespace: w.ns},
			Spec: v1alpha1.ErasureCertificateSpec{Number: 1, Result: "Erased", IssuedAt: metav1.NewTime(start), Digest: "sha256:00", Document: "{}"}})
	}},
}

func hold(ns, name string) *v1alpha1.LegalHold {
	return &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns},
		Spec: v1alpha1.LegalHoldSpec{Subjects: []string{"p-nobody"}, Reason: "matter 9"}}
}

var _ = Describe("who may do what", func() {
	It("lets each persona do what its role says, and nothing else", func() {
		w := newWorld()
		w.admission(true)
		w.create(retentionPolicy(w.ns, v1alpha1.ApprovalPolicy{Required: true}))
		Eventually(w.conditionOf(&v1alpha1.RetentionPolicy{}, "requests", v1alpha1.ConditionReady)).Should(Equal("True/Ready"))
		clients := map[string]client.Client{}
		for _, p := range personas {
			role := p
			if p == "stranger" {
				role = ""
			}
			_, c, err := cluster.Persona(w, w.ns, p, role)
			Expect(err).NotTo(HaveOccurred())
			clients[p] = c
		}
		// The API server's authorizer learns of new roles from a watch.
		Eventually(func() error {
			return clients["admin"].List(w, &v1alpha1.LegalHoldList{}, client.InNamespace(w.ns))
		}).WithTimeout(30 * time.Second).Should(Succeed())
		for _, a := range attempts {
			for n, p := range personas {
				err := a.do(w, clients[p], n)
				if slices.Contains(a.may, p) {
					Expect(err).NotTo(HaveOccurred(), "%s: %s", p, a.what)
					continue
				}
				Expect(apierrors.IsForbidden(err)).To(BeTrue(), "%s: %s: %v", p, a.what, err)
			}
		}
		Expect(w.operator.Stop()).To(Succeed())
		var denied, granted []string
		for _, e := range w.ledgerEntries(ledger.KindAccessDecided) {
			line := e.Attributes["permission"] + " by " + e.Actor[len("system:serviceaccount:"+w.ns+":"):]
			if e.Reason == ledger.ReasonGranted {
				granted = append(granted, line)
			} else {
				denied = append(denied, line)
			}
		}
		Expect(granted).To(ContainElements("approve by approver", "approve by admin", "cancel by approver", "cancel by admin", "expedite by admin", "lift by admin"))
		// The editor's role lets it write the objects; the verbs are what it lacks.
		// The API server asks again where an object has changed in between.
		slices.Sort(denied)
		Expect(slices.Compact(denied)).To(ConsistOf("approve by editor", "cancel by editor", "expedite by editor", "expedite by approver", "lift by editor"))
	})
})
