package controller

import (
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// maxShared bounds how many different sets of conditions are kept to be shared. There are a dozen, unless somebody invents some.
const maxShared = 256

var (
	sharedConditions = lru.New(maxShared)
	sharedFinalizers = []string{v1alpha1.Finalizer}
)

// LeanRequest is a transform for the cache: what it keeps of a request is what its readers need to find it, to wake what waits
// for it, to tell whether it only waits itself, and to know whose it is. There may be very many that wait. Whoever writes to one,
// or does something in its name, reads it live. What all have alike is shared, so nobody may change what the cache holds.
func LeanRequest(obj any) (any, error) {
	er, ok := obj.(*v1alpha1.ErasureRequest)
	if !ok {
		return obj, nil // a deletion that was missed
	}
	spec, status := &er.Spec, &er.Status
	lean := &v1alpha1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Name: er.Name, Namespace: shared(er.Namespace), UID: er.UID, ResourceVersion: er.ResourceVersion, Generation: er.Generation,
			CreationTimestamp: er.CreationTimestamp, DeletionTimestamp: er.DeletionTimestamp, Finalizers: er.Finalizers},
		Spec: v1alpha1.ErasureRequestSpec{Subject: spec.Subject, Scope: shared(spec.Scope), Source: shared(spec.Source), Timing: shared(spec.Timing),
			Force: spec.Force, Approved: spec.Approved, Cancelled: spec.Cancelled},
		Status: v1alpha1.ErasureRequestStatus{ObservedGeneration: status.ObservedGeneration, Phase: shared(status.Phase), Conditions: leanConditions(status.Conditions),
			Handle: status.Handle, ReceivedAt: status.ReceivedAt,
			DueAt: status.DueAt, ScheduledAt: status.ScheduledAt, ProcessingStartedAt: status.ProcessingStartedAt, FinishedAt: status.FinishedAt},
	}
	if len(er.Finalizers) == 1 && er.Finalizers[0] == v1alpha1.Finalizer {
		lean.Finalizers = sharedFinalizers
	}
	for _, a := range []string{v1alpha1.AnnotationRetry, v1alpha1.AnnotationAbandon, v1alpha1.AnnotationRecheck, v1alpha1.AnnotationRun} {
		if value, has := er.Annotations[a]; has {
			metav1.SetMetaDataAnnotation(&lean.ObjectMeta, a, value)
		}
	}
	return lean, nil
}

func shared[T ~string](s T) T { return unique.Make(s).Value() }

// leanCondition is what is kept of a condition.
type leanCondition struct {
	status     metav1.ConditionStatus
	reason     string
	generation int64
}

// leanConditions keeps what Ready and OverdueRisk say, without messages and times.
func leanConditions(conditions []metav1.Condition) []metav1.Condition {
	var key [2]leanCondition
	var list []metav1.Condition
	for i, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionOverdueRisk} {
		if c := meta.FindStatusCondition(conditions, kind); c != nil {
			key[i] = leanCondition{c.Status, c.Reason, c.ObservedGeneration}
			list = append(list, metav1.Condition{Type: kind, Status: shared(c.Status), Reason: shared(c.Reason), ObservedGeneration: c.ObservedGeneration})
		}
	}
	if known, ok := sharedConditions.Get(key); ok {
		return known.([]metav1.Condition)
	}
	sharedConditions.Add(key, list)
	return list
}

// sameTime tells whether a status shows a time.
func sameTime(shown *metav1.Time, at *time.Time) bool {
	want := seconds(at)
	return shown.Equal(want)
}
