package crash_test

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/test/harness"
)

// The operator dies just after the one write that makes an erasure irreversible. What people do before the next one is
// there comes too late: the API refuses to cancel, and a deleted object stays until its erasure has ended.
func TestKilledAtThePointOfNoReturnNothingCancels(t *testing.T) {
	onCluster(t, "deleted meanwhile", func(t *testing.T, c *harness.Cluster) {
		w := newWorld(t, c, false, kill{Point: "request/begun-in-status", Nth: 1})
		w.mapReady()
		w.create(request(w.namespace, "erase", 3, v1alpha1.TimingImmediate)...)
		<-w.process.Done()

		er := w.request("erase")
		err := change(w, "erase", er, func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })
		if err == nil || !strings.Contains(err.Error(), "processing has begun") {
			t.Errorf("cancelling was not refused: %v", err)
		}
		w.must(w.cluster.Client.Delete(w.ctx, er))
		w.revive()
		w.await("the object is gone", func() bool {
			return apierrors.IsNotFound(w.cluster.Client.Get(w.ctx, client.ObjectKeyFromObject(er), er))
		})
		w.atRest()

		e := w.end()
		deleted := 0
		for id := range w.before {
			if _, there := e.Rows[id]; !there {
				deleted++
			}
		}
		// The object that led from its handle to its name is gone, so the ledger counts without a name.
		w.equal("rows deleted, files deleted, completions, cancellations", []int{19, 11, 1, 0}, []int{deleted, len(w.filesBefore) - len(e.Files),
			e.Ledger[ledger.KindErasureCompleted], e.Ledger[ledger.KindErasureCancelled+" "+v1alpha1.ReasonCancelled]})
	})
}
