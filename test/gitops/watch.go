package gitops

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/operator"
)

// Kinds are all kinds of the group.
func Kinds() []string {
	return []string{"DataStore", "PersonalDataMap", "RetentionPolicy", "LegalHold", "ErasureRequest", "DeletionRun", "ComplianceExport", "ErasureCertificate"}
}

// made are the kinds of which the operator makes objects, and so writes their spec once.
var made = []string{"ErasureRequest", "DeletionRun", "ErasureCertificate"}

// Watcher looks at every version of every object that the API server has had, and finds those that a GitOps tool would misread.
type Watcher struct {
	checks HealthChecks

	mu       sync.Mutex
	stopped  bool
	judged   int
	faults   []string
	first    map[types.UID]*unstructured.Unstructured
	watchers []watch.Interface
	reading  sync.WaitGroup
}

// Watch begins to look, at all namespaces.
func Watch(ctx context.Context, c client.WithWatch) (*Watcher, error) {
	checks, err := ReadHealthChecks()
	if err != nil {
		return nil, err
	}
	w := &Watcher{checks: checks, first: map[types.UID]*unstructured.Unstructured{}}
	for _, kind := range Kinds() {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind + "List"))
		watcher, err := c.Watch(ctx, list)
		if err != nil {
			w.Stop()
			return nil, err
		}
		w.watchers = append(w.watchers, watcher)
		w.reading.Go(func() {
			for e := range watcher.ResultChan() {
				w.take(ctx, e)
			}
		})
	}
	return w, nil
}

// Stop ends it, and returns how many versions it has judged and what is wrong with them.
func (w *Watcher) Stop() (judged int, faults []string) {
	w.mu.Lock()
	w.stopped = true
	w.mu.Unlock()
	for _, watcher := range w.watchers {
		watcher.Stop()
	}
	w.reading.Wait()
	slices.Sort(w.faults)
	return w.judged, slices.Compact(w.faults)
}

func (w *Watcher) take(ctx context.Context, e watch.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	obj, ok := e.Object.(*unstructured.Unstructured)
	if !ok || e.Type == watch.Error {
		if w.stopped {
			return
		}
		w.faults = append(w.faults, fmt.Sprintf("the watch ended: %v", e.Object))
		return
	}
	if e.Type != watch.Added && e.Type != watch.Modified {
		return
	}
	w.judged++
	faults := w.wrongSpec(obj)
	if !forged(obj) {
		faults = append(faults, w.wrongStatus(ctx, obj)...)
	}
	for _, fault := range faults {
		w.faults = append(w.faults, fmt.Sprintf("%s %s/%s: %s", obj.GetKind(), obj.GetNamespace(), obj.GetName(), fault))
	}
}

// forged tells whether somebody else than the operator has written into the status, as some tests do.
func forged(obj *unstructured.Unstructured) bool {
	return slices.ContainsFunc(obj.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Subresource == "status" && m.Manager != operator.FieldManager
	})
}

// shape is what the kinds have in common.
type shape struct {
	Status struct {
		ObservedGeneration int64              `json:"observedGeneration"`
		Phase              string             `json:"phase"`
		Conditions         []metav1.Condition `json:"conditions"`
	} `json:"status"`
}

// wrongStatus is what kstatus, Argo CD and the phase do not agree on.
func (w *Watcher) wrongStatus(ctx context.Context, obj *unstructured.Unstructured) (faults []string) {
	s, err := Judge(ctx, w.checks, obj)
	if err != nil {
		return []string{err.Error()}
	}
	var o shape
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &o); err != nil {
		return []string{err.Error()}
	}
	if !s.Agree() {
		faults = append(faults, fmt.Sprintf("kstatus says %s, Argo CD %s: %s", s.Flux, s.Argo, s.Message))
	}
	if obj.GetKind() == "ErasureCertificate" || obj.GetDeletionTimestamp() != nil {
		return faults
	}
	faults = append(faults, o.wrongConditions()...)
	if o.Status.ObservedGeneration != obj.GetGeneration() {
		if s.Flux != status.InProgressStatus {
			faults = append(faults, fmt.Sprintf("generation %d is %s, and the operator has seen %d", obj.GetGeneration(), s.Flux, o.Status.ObservedGeneration))
		}
		return faults
	}
	allowed := map[string][]status.Status{
		"Completed": {status.CurrentStatus}, "Cancelled": {status.CurrentStatus}, "Failed": {status.FailedStatus},
		"Pending": {status.InProgressStatus, status.FailedStatus}, "Processing": {status.InProgressStatus, status.FailedStatus},
	}[o.Status.Phase]
	// An operator that was given another state store does not know a run of before, and does not take its phase back.
	unknown := obj.GetKind() == "DeletionRun" && s.Flux == status.FailedStatus && strings.HasPrefix(s.Message, v1alpha1.ReasonInvalidSpec+":")
	if allowed != nil && !unknown && !slices.Contains(allowed, s.Flux) {
		faults = append(faults, fmt.Sprintf("the phase %s is %s", o.Status.Phase, s.Flux))
	}
	return faults
}

// wrongConditions is what is wrong with the conditions among themselves: Ready stands alone while it is True, and beside exactly
// one of Reconciling and Stalled, for the same reason, while it is not.
func (o *shape) wrongConditions() (faults []string) {
	conditions := map[string]metav1.Condition{}
	for _, c := range o.Status.Conditions {
		conditions[c.Type] = c
		if c.ObservedGeneration > o.Status.ObservedGeneration {
			faults = append(faults, fmt.Sprintf("%s speaks of generation %d, the status of %d", c.Type, c.ObservedGeneration, o.Status.ObservedGeneration))
		}
	}
	ready, has := conditions[v1alpha1.ConditionReady]
	if !has {
		if o.Status.ObservedGeneration > 0 {
			faults = append(faults, "a status without Ready")
		}
		return faults
	}
	if ready.ObservedGeneration != o.Status.ObservedGeneration {
		faults = append(faults, fmt.Sprintf("Ready speaks of generation %d, the status of %d", ready.ObservedGeneration, o.Status.ObservedGeneration))
	}
	beside := 0
	for _, kind := range []string{v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled} {
		c, has := conditions[kind]
		if !has {
			continue
		}
		beside++
		if c.Status != metav1.ConditionTrue || c.Reason != ready.Reason || c.ObservedGeneration != ready.ObservedGeneration {
			faults = append(faults, fmt.Sprintf("%s is %s for %s, and Ready %s for %s", kind, c.Status, c.Reason, ready.Status, ready.Reason))
		}
	}
	if want := map[metav1.ConditionStatus]int{metav1.ConditionFalse: 1}[ready.Status]; beside != want {
		faults = append(faults, fmt.Sprintf("Ready is %s, with %d of Reconciling and Stalled beside it", ready.Status, beside))
	}
	return faults
}

// wrongSpec is what the operator has changed of what people want.
func (w *Watcher) wrongSpec(obj *unstructured.Unstructured) []string {
	before, known := w.first[obj.GetUID()]
	if !known {
		w.first[obj.GetUID()] = obj
		if managesSpec(obj, operator.FieldManager) && !slices.Contains(made, obj.GetKind()) {
			return []string{"the operator has written into the spec"}
		}
		return nil
	}
	if !managesSpec(obj, operator.FieldManager) {
		return nil
	}
	if !managesSpec(before, operator.FieldManager) {
		return []string{"the operator has written into the spec of somebody else's object"}
	}
	others := slices.ContainsFunc(obj.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool {
		return m.Manager != operator.FieldManager && entryHasSpec(m)
	})
	if !others && !equality.Semantic.DeepEqual(obj.Object["spec"], before.Object["spec"]) {
		return []string{"the operator has changed the spec of an object that it made"}
	}
	return nil
}

func managesSpec(obj *unstructured.Unstructured, manager string) bool {
	return slices.ContainsFunc(obj.GetManagedFields(), func(m metav1.ManagedFieldsEntry) bool { return m.Manager == manager && entryHasSpec(m) })
}

func entryHasSpec(m metav1.ManagedFieldsEntry) bool {
	if m.FieldsV1 == nil {
		return false
	}
	var fields map[string]json.RawMessage
	return json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) == nil && fields["f:spec"] != nil
}
