package promises

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

func (w *world) dryRun(name, request string) {
	w.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns},
		Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: request}, DryRun: true}})
}

func (w *world) run(name string) *v1alpha1.DeletionRun {
	GinkgoHelper()
	return w.get(&v1alpha1.DeletionRun{}, name).(*v1alpha1.DeletionRun)
}

// finishedRun waits for what a run says in the end: its request, which reads the record as well, may say it first.
func (w *world) finishedRun(name string) *v1alpha1.DeletionRun {
	GinkgoHelper()
	Eventually(func() v1alpha1.Phase { return w.run(name).Status.Phase }).Should(Equal(v1alpha1.PhaseCompleted))
	return w.run(name)
}

var _ = Describe("A dry run with a map that is not Ready", func() {
	It("counts everything where all can be counted, and changes nothing", func() {
		w := newWorld(ada, bob)
		w.ats.Exec(`ALTER TABLE applicants ADD COLUMN iban TEXT`)
		w.recheckMap()
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/SchemaDrift"))
		w.create(harness.Request(w.ns, "blocked", ada, harness.Immediate)...)
		Eventually(w.stage("blocked")).Should(Equal("Pending/MapNotReady"))
		before := w.ats.Digest(ada, bob)
		w.dryRun("dry", "blocked")
		Eventually(w.conditionOf(&v1alpha1.DeletionRun{}, "dry", v1alpha1.ConditionReady)).Should(Equal("True/DryRun"))
		Expect(w.run("dry").Status.Counts).To(ContainElements(v1alpha1.CategoryCount{Category: "notes", Deleted: 2},
			v1alpha1.CategoryCount{Category: "documents", Deleted: 1, Files: 1}))
		Expect(w.ats.Digest(ada, bob)).To(Equal(before))
		Expect(w.stage("blocked")()).To(Equal("Pending/MapNotReady"))
	})

	It("counts what can be counted, and names what cannot", func() {
		w := newWorld(ada, bob)
		w.ats.Exec(`ALTER TABLE messages RENAME TO mails`)
		w.ats.Exec(`ALTER TABLE applications RENAME COLUMN applicant_id TO person_id`)
		w.recheckMap()
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/SchemaMismatch"))
		w.create(harness.Request(w.ns, "broken", ada, harness.Immediate)...)
		Eventually(w.stage("broken")).Should(Equal("Pending/MapNotReady"))
		w.dryRun("dry", "broken")
		Eventually(w.conditionOf(&v1alpha1.DeletionRun{}, "dry", v1alpha1.ConditionReady)).Should(Equal("True/DryRunIncomplete"))
		status := w.run("dry").Status
		Expect(status.Counts).To(ConsistOf(v1alpha1.CategoryCount{Category: "contact", Deleted: 1}, v1alpha1.CategoryCount{Category: "documents", Deleted: 1, Files: 1},
			v1alpha1.CategoryCount{Category: "consent", Anonymized: 1}))
		var skipped []string
		for _, s := range status.Steps {
			if s.Reason != v1alpha1.ReasonDryRun {
				skipped = append(skipped, s.Name+" "+s.Reason)
			}
		}
		Expect(skipped).To(ConsistOf("entity/ats/applications SchemaMismatch", "entity/ats/messages SchemaMismatch", "entity/ats/notes EntityUnreachable"))
		Expect(status.Phase).To(Equal(v1alpha1.PhaseCompleted))
	})

	It("counts the records where the files cannot be reached", func() {
		w := emptyWorld(ada)
		objects := harness.ATSObjects(w.ns)
		w.create(objects[0], objects[2])
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/StoreNotFound"))
		w.create(harness.Request(w.ns, "no-files", ada, harness.Immediate)...)
		w.dryRun("dry", "no-files")
		Eventually(w.conditionOf(&v1alpha1.DeletionRun{}, "dry", v1alpha1.ConditionReady)).Should(Equal("True/DryRunIncomplete"))
		Expect(w.run("dry").Status.Counts).To(ContainElement(v1alpha1.CategoryCount{Category: "documents", Deleted: 1}))
		Expect(w.ats.Rows(ada)).To(HaveKeyWithValue("documents", 1))
	})
})
