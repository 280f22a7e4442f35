package promises

import (
	"fmt"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

var _ = Describe("Calls of the API server", func() {
	It("writes the status at most seven times in the life of a request, and never without a change", func() {
		w := newWorld(ada)
		calls := w.watchCalls()
		w.create(harness.Request(w.ns, "life", ada)...)
		Eventually(w.stage("life")).Should(Equal("Pending/GracePeriod"))
		w.step(60 * day)
		w.poke("life")
		Eventually(w.stage("life")).Should(Equal("Completed/Erased"))
		w.poke("life")
		Eventually(func() string { return w.request("life").Status.Acknowledged.Recheck }).Should(Equal(w.request("life").Annotations[v1alpha1.AnnotationRecheck]))
		var written []string
		for _, c := range calls() {
			Expect(c.Unchanged).To(BeFalse(), "%v changes nothing", c)
			if c.Resource == "erasurerequests/status" || c.Resource == "deletionruns/status" {
				written = append(written, c.Resource)
			}
		}
		Expect(written).To(ContainElements("erasurerequests/status", "deletionruns/status")) // they are counted at all
		// Two of them are for the commands.
		Expect(len(written)).To(BeNumerically("<=", 7), "%v", written)
	})

	It("asks and writes nothing for requests in their grace period when the operator starts", func() {
		people := make([]harness.Person, 5)
		for i := range people {
			people[i] = harness.Person{ID: fmt.Sprintf("waits-%d", i), Email: fmt.Sprintf("waits-%d@example.org", i), Name: "Somebody"}
		}
		w := newWorld(append(people, ada)...)
		for _, p := range people {
			w.create(harness.Request(w.ns, p.ID, p)...)
		}
		for _, p := range people {
			Eventually(w.stage(p.ID)).Should(Equal("Pending/GracePeriod"))
		}
		Expect(w.operator.Stop()).To(Succeed())
		w.step(time.Hour) // what it would show of now would differ
		calls := w.watchCalls()
		// A whole life later the queue is empty.
		w.create(harness.Request(w.ns, "after", ada, harness.Immediate)...)
		Eventually(w.stage("after")).Should(Equal("Completed/Erased"))
		for _, c := range calls() {
			if c.Method == http.MethodGet && c.Name == "" {
				continue // the list that fills the cache
			}
			for _, p := range people {
				Expect(c.Name).NotTo(Equal(p.ID), "%v", c)
			}
		}
	})
})

// watchCalls starts the operator anew and returns what tells its calls in the world's namespace.
func (w *world) watchCalls() func() []harness.Call {
	GinkgoHelper()
	Expect(w.operator.Stop()).To(Succeed())
	calls := &harness.Calls{}
	w.config = calls.Watch(w.config)
	w.startOperator()
	w.mapReady()
	return func() (here []harness.Call) {
		for _, c := range calls.Take() {
			if c.Namespace == w.ns {
				here = append(here, c)
			}
		}
		return here
	}
}
