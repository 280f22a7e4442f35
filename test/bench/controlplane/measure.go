package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// heap is what is alive in this process, in MiB.
func heap() float64 {
	runtime.GC()
	runtime.GC() // what the first one finalised
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// idle is the heap of an operator without requests.
func (w *world) idle(ctx context.Context) (float64, error) {
	if _, err := w.startOperator(ctx); err != nil {
		return 0, err
	}
	for _, namespace := range []string{waitingNamespace, dueNamespace} {
		err := until("the map is Ready", func() (bool, error) {
			var m v1alpha1.PersonalDataMap
			err := w.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "app"}, &m)
			for _, c := range m.Status.Conditions {
				if c.Type == v1alpha1.ConditionReady && c.Status == metav1.ConditionTrue {
					return true, nil
				}
			}
			return false, err
		})
		if err != nil {
			return 0, err
		}
	}
	h := heap()
	figure("idle_heap_mib", h)
	return h, nil
}

// intake gives the operator the requests that will become due, and one that waits as the pattern for all others.
func (w *world) intake(ctx context.Context) error {
	w.calls.Take()
	due := w.burst + w.spread
	begin := time.Now()
	err := w.each(due+1, func(i int) error {
		if i == due {
			return w.client.Create(ctx, request(waitingNamespace, "pattern", "person-0"))
		}
		return w.client.Create(ctx, request(dueNamespace, fmt.Sprintf("due-%05d", i), fmt.Sprintf("person-%d", i)))
	})
	if err != nil {
		return err
	}
	err = until("all requests are in their grace period", func() (bool, error) {
		n := 0
		for _, namespace := range []string{waitingNamespace, dueNamespace} {
			var list v1alpha1.ErasureRequestList
			if err := w.client.List(ctx, &list, client.InNamespace(namespace)); err != nil {
				return false, err
			}
			for i := range list.Items {
				if stage(&list.Items[i]) == v1alpha1.ReasonGracePeriod {
					n++
				}
			}
		}
		return n == due+1, nil
	})
	if err != nil {
		return err
	}
	figure("intake_per_second", float64(due+1)/time.Since(begin).Seconds())
	for _, c := range w.calls.Take() {
		if c.StatusWrite() && c.Namespace == dueNamespace {
			w.statusAtIntake += 1 / float64(due)
		}
	}
	figure("status_writes_until_waiting", w.statusAtIntake)
	return w.stop()
}

func stage(er *v1alpha1.ErasureRequest) string {
	for _, c := range er.Status.Conditions {
		if c.Type == v1alpha1.ConditionReady {
			return c.Reason
		}
	}
	return ""
}

// each runs f for 0 to n-1, 32 at a time.
func (w *world) each(n int, f func(i int) error) error {
	const together = 32
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make([]error, together)
	for worker := range together {
		wg.Go(func() {
			for errs[worker] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[worker] = f(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// plainList is how long it takes to list all requests.
func (w *world) plainList(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	var list v1alpha1.ErasureRequestList
	if err := w.client.List(ctx, &list); err != nil {
		return 0, err
	}
	took := time.Since(begin)
	figure("plain_list_seconds", took.Seconds())
	figure("requests", float64(len(list.Items)))
	return took, nil
}

// start measures the start of an operator with all requests there.
func (w *world) start(ctx context.Context, idle float64, plain time.Duration) error {
	w.calls.Take()
	before, err := reconciles()
	if err != nil {
		return err
	}
	began := time.Now()
	took, err := w.startOperator(ctx)
	if err != nil {
		return err
	}
	figure("ready_seconds", took.Seconds())
	atMost("ready_by_plain_list", took.Seconds()/plain.Seconds(), targetReady)
	all := float64(w.requests + w.burst + w.spread)
	err = until("all requests have been looked at", func() (bool, error) {
		n, err := reconciles()
		if err != nil || n-before < all {
			return false, err
		}
		left, err := queued()
		return left == 0, err
	})
	if err != nil {
		return err
	}
	looked := time.Since(began) - took
	figure("looked_at_seconds", looked.Seconds())
	figure("looked_at_per_second", all/looked.Seconds())
	above := heap() - idle
	atMost("heap_above_idle_mib", above, targetHeapMiB)
	figure("heap_per_10000_mib", above/all*10_000)
	reads, writes := 0, 0
	for _, c := range w.calls.Take() {
		switch {
		case c.Namespace != waitingNamespace:
		case c.Write():
			writes++
		case c.Name != "" && c.Resource == "erasurerequests":
			reads++
		}
	}
	figure("start_reads", float64(reads))
	atMost("start_writes", float64(writes), 0)
	return nil
}

// end measures how late requests begin, and how fast a burst ends.
func (w *world) end(ctx context.Context, dues map[string]time.Time, patches float64) error {
	at := dues[burstName(w, 0)]
	note("the first request is due in %s, the burst in %s", time.Until(dues[spreadName(0)]).Round(time.Second), time.Until(at).Round(time.Second))
	began, ended, err := w.watch(ctx, dues)
	if err != nil {
		return err
	}
	late := make([]float64, 0, w.spread)
	for i := range w.spread {
		late = append(late, began[spreadName(i)].Sub(dues[spreadName(i)]).Seconds())
	}
	slices.Sort(late)
	if len(late) > 0 {
		figure("late_median_seconds", late[len(late)/2])
		atMost("late_max_seconds", late[len(late)-1], targetLate)
	}
	var last, lastBegan time.Time
	for i := range w.burst {
		last, lastBegan = later(last, ended[burstName(w, i)]), later(lastBegan, began[burstName(w, i)])
	}
	took := last.Sub(at).Seconds()
	rate := float64(w.burst) / took
	figure("burst_seconds", took)
	figure("burst_begun_seconds", lastBegan.Sub(at).Seconds())
	figure("burst_per_second", rate)
	time.Sleep(2 * time.Second) // events come a little later
	w.judgeCalls(rate, patches)
	if n, err := w.left(ctx); err != nil || n > 0 {
		return errors.Join(err, fmt.Errorf("%d records of people who should be gone are left", n))
	}
	return w.stop()
}

// judgeCalls holds the calls of all that became due against the targets.
func (w *world) judgeCalls(rate, patches float64) {
	writes, status, unchanged := 0.0, 0.0, 0.0
	kinds := map[string]int{}
	for _, c := range w.calls.Take() {
		kinds[c.Method+" "+c.Resource]++
		if !c.Write() {
			continue
		}
		writes++
		if c.StatusWrite() {
			status++
		}
		if c.Unchanged {
			unchanged++
		}
	}
	n := float64(w.burst + w.spread)
	note("calls from due to end: %v", kinds)
	figure("writes_from_due_to_end", writes/n)
	figure("status_writes_from_due_to_end", status/n)
	atMost("status_writes", w.statusAtIntake+status/n, targetStatusWrites)
	atMost("writes_without_change", unchanged, 0)
	figure("status_patches_per_second", patches)
	atLeast("burst_by_writes", rate/(patches/(writes/n)), targetBurst)
	figure("burst_by_status_writes", rate/(patches/(status/n)))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func spreadName(i int) string { return fmt.Sprintf("due-%05d", i) }

func burstName(w *world, i int) string { return spreadName(w.spread + i) }

// watch waits until all requests that become due have ended, and tells when each was seen to begin and to end.
func (w *world) watch(ctx context.Context, dues map[string]time.Time) (began, ended map[string]time.Time, err error) {
	began, ended = map[string]time.Time{}, map[string]time.Time{}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(ended) < len(dues) {
		var list v1alpha1.ErasureRequestList
		if err := w.client.List(ctx, &list, client.InNamespace(dueNamespace)); err != nil {
			return nil, nil, err
		}
		look := func(er *v1alpha1.ErasureRequest) {
			if _, seen := began[er.Name]; !seen && er.Status.ProcessingStartedAt != nil {
				began[er.Name] = time.Now()
			}
			if _, seen := ended[er.Name]; !seen && er.Status.Phase == v1alpha1.PhaseCompleted {
				ended[er.Name] = time.Now()
			}
		}
		for i := range list.Items {
			look(&list.Items[i])
		}
		events, err := w.client.Watch(ctx, &v1alpha1.ErasureRequestList{}, &client.ListOptions{Namespace: dueNamespace,
			Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
		if err != nil {
			return nil, nil, err
		}
		for len(ended) < len(dues) {
			e, open := <-events.ResultChan()
			if !open {
				break
			}
			if er, ok := e.Object.(*v1alpha1.ErasureRequest); ok {
				look(er)
			}
		}
		events.Stop()
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("%d of %d requests have ended: %w", len(ended), len(dues), ctx.Err())
		}
	}
	return began, ended, nil
}
