package observability

import (
	"testing"

	. "github.com/onsi/gomega"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

// TestLogLinesSayWhatTheyAreAbout: each line of a reconcile has kind, namespace, name and reconcileID, and those of a request and its run
// the handle that the ledger knows.
func TestLogLinesSayWhatTheyAreAbout(t *testing.T) {
	w := newWorld(t)
	w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
	w.g.Eventually(w.stage("now")).Should(Equal("Completed/Erased"))
	var er v1alpha1.ErasureRequest
	w.g.Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: "now"}, &er)).To(Succeed())

	w.g.Eventually(w.operator.Logs.String).Should(And(ContainSubstring(`"controllerKind":"DeletionRun"`), MatchRegexp(`"controllerKind":"ErasureRequest".*"stage":"Erased"`)),
		"they speak once the status is written")
	of := map[string]int{}
	var stages []any
	for _, line := range w.logLines() {
		if line["reconcileID"] == nil {
			continue
		}
		kind, _ := line["controllerKind"].(string)
		of[kind]++
		w.g.Expect(line).To(And(HaveKeyWithValue("namespace", w.ns), HaveKey("name"), HaveKeyWithValue(kind, And(HaveKeyWithValue("namespace", w.ns), HaveKeyWithValue("name", line["name"])))))
		if kind == "ErasureRequest" || kind == "DeletionRun" {
			w.g.Expect(line).To(HaveKeyWithValue("handle", er.Status.Handle))
		}
		if kind == "ErasureRequest" && line["msg"] == "the stage changed" {
			stages = append(stages, line["stage"])
		}
	}
	w.g.Expect(of).To(And(HaveKey("ErasureRequest"), HaveKey("DeletionRun"), HaveKey("DataStore"), HaveKey("PersonalDataMap")))
	w.g.Expect(stages).To(ContainElement(v1alpha1.ReasonErased))
	w.nobody()
}
