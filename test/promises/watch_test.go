package promises

import (
	"encoding/json"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// watchWrites counts the writes that changed the status of the one object of its kind, as the API server tells them.
func (w *world) watchWrites(list client.ObjectList) func() int {
	GinkgoHelper()
	watcher, err := cluster.Client.Watch(w, list, client.InNamespace(w.ns))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(watcher.Stop)
	var mu sync.Mutex
	writes, last := 0, ""
	go func() {
		for e := range watcher.ResultChan() {
			if e.Type != watch.Added && e.Type != watch.Modified {
				continue
			}
			data, _ := json.Marshal(e.Object)
			var shape struct {
				Status json.RawMessage `json:"status"`
			}
			_ = json.Unmarshal(data, &shape)
			mu.Lock()
			if status := string(shape.Status); status != last && status != "{}" && status != "" {
				writes, last = writes+1, status
			}
			mu.Unlock()
		}
	}()
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return writes
	}
}
