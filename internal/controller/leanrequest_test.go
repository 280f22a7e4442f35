package controller

import (
	"context"
	"reflect"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

var received = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// waitingRequest is one in its grace period, as the API server has it, with its record.
func waitingRequest(t *testing.T) (*v1alpha1.ErasureRequest, *state.Request) {
	t.Helper()
	scheduled, due := received.AddDate(0, 0, 60), received.AddDate(0, 1, 0)
	record := &state.Request{UID: "uid-1", Namespace: "ns", Name: "er", Handle: "handle", Phase: string(v1alpha1.PhasePending), Timing: string(v1alpha1.TimingAfterGracePeriod),
		ReceivedAt: received, DueAt: due, ConfirmedAt: &received, ScheduledAt: &scheduled, DeactivationState: deactivationDone, Acknowledged: []byte(`{"recheck":"1"}`)}
	er := &v1alpha1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "er", UID: "uid-1", Generation: 2, ResourceVersion: "7", CreationTimestamp: metav1.NewTime(received),
			Finalizers: []string{v1alpha1.Finalizer}, Labels: map[string]string{"a": "b"}, ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
			Annotations: map[string]string{v1alpha1.AnnotationRecheck: "1", v1alpha1.AnnotationRun: "run/uid", v1alpha1.AnnotationRequestedBy: "{}"}},
		Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: "person-1", IdentitiesSecretRef: &v1alpha1.LocalReference{Name: "secret"}}, Scope: "scope",
			Source: v1alpha1.SourceAPI, Note: "a note", Timing: v1alpha1.TimingAfterGracePeriod},
	}
	s := &session{ErasureRequestReconciler: &ErasureRequestReconciler{Clock: clocktesting.NewFakePassiveClock(received.Add(time.Hour))}, er: er, read: er.DeepCopy(), record: record}
	s.project(t.Context(), reconciling(v1alpha1.ReasonGracePeriod, "deletion begins at some time", time.Hour))
	return er, record
}

func lean(t *testing.T, er *v1alpha1.ErasureRequest) *v1alpha1.ErasureRequest {
	t.Helper()
	obj, err := LeanRequest(er)
	if err != nil {
		t.Fatal(err)
	}
	return obj.(*v1alpha1.ErasureRequest)
}

// What wakes, finds and leads requests from the cache sees the same in what is kept as in the whole.
func TestTheCacheKeepsWhatItsReadersNeed(t *testing.T) {
	now := metav1.NewTime(received.Add(2 * time.Hour))
	ready := func(er *v1alpha1.ErasureRequest, o outcome) { summarize(er, o) }
	variants := map[string]func(er *v1alpha1.ErasureRequest){
		"in its grace period": func(*v1alpha1.ErasureRequest) {},
		"new":                 func(er *v1alpha1.ErasureRequest) { er.Status = v1alpha1.ErasureRequestStatus{} },
		"awaits another": func(er *v1alpha1.ErasureRequest) {
			ready(er, reconciling(v1alpha1.ReasonAwaitingOtherRequest, "waits", 0))
		},
		"awaits approval": func(er *v1alpha1.ErasureRequest) { ready(er, reconciling(v1alpha1.ReasonMapNotReady, "waits", 0)) },
		"processing": func(er *v1alpha1.ErasureRequest) {
			er.Status.ProcessingStartedAt = &now
			ready(er, reconciling(v1alpha1.ReasonProcessing, "runs", 0))
		},
		"completed": func(er *v1alpha1.ErasureRequest) {
			er.Status.Phase, er.Status.FinishedAt = v1alpha1.PhaseCompleted, &now
			ready(er, outcome{status: metav1.ConditionTrue, reason: v1alpha1.ReasonErased})
		},
		"abandoned": func(er *v1alpha1.ErasureRequest) {
			er.Status.Phase, er.Status.FinishedAt = v1alpha1.PhaseFailed, &now
			ready(er, stalled(v1alpha1.ReasonAbandoned, "given up", 0))
		},
		"cancelled":             func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled, er.Generation = true, 3 },
		"told to look again":    func(er *v1alpha1.ErasureRequest) { er.Annotations[v1alpha1.AnnotationRecheck] = "2" },
		"told to retry":         func(er *v1alpha1.ErasureRequest) { er.Annotations[v1alpha1.AnnotationRetry] = "2" },
		"told to give up":       func(er *v1alpha1.ErasureRequest) { er.Annotations[v1alpha1.AnnotationAbandon] = "2" },
		"deleted":               func(er *v1alpha1.ErasureRequest) { er.DeletionTimestamp = &now },
		"with other finalizers": func(er *v1alpha1.ErasureRequest) { er.Finalizers = append(er.Finalizers, "example.org/other") },
	}
	before, _ := waitingRequest(t)
	for name, change := range variants {
		er, _ := waitingRequest(t)
		change(er)
		kept := lean(t, er)
		event, keptEvent := ctrlevent.UpdateEvent{ObjectOld: before, ObjectNew: er}, ctrlevent.UpdateEvent{ObjectOld: lean(t, before), ObjectNew: kept}
		for what, f := range map[string]func(er *v1alpha1.ErasureRequest, e ctrlevent.UpdateEvent) any{
			"waiting":     func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any { return waiting(er) },
			"awaitsOther": func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any { return awaitsOther(er) },
			"woken":       func(_ *v1alpha1.ErasureRequest, e ctrlevent.UpdateEvent) any { return specOrCommandChanged().Update(e) },
			"ended":       func(_ *v1alpha1.ErasureRequest, e ctrlevent.UpdateEvent) any { return requestEnded().Update(e) },
			"run":         func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any { return runOfRequest(t.Context(), er) },
			"of a run": func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any {
				return er.Annotations[v1alpha1.AnnotationRun]
			},
			"subject": func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any { return er.Spec.Subject },
			"scope":   func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any { return er.Spec.Scope },
			"phase":   func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any { return er.Status.Phase },
			"identity": func(er *v1alpha1.ErasureRequest, _ ctrlevent.UpdateEvent) any {
				return []any{er.UID, er.Name, er.Namespace, er.ResourceVersion, er.CreationTimestamp, er.DeletionTimestamp, er.Finalizers}
			},
		} {
			if whole, part := f(er, event), f(kept, keptEvent); !reflect.DeepEqual(whole, part) {
				t.Errorf("%s: %s is %v of the whole and %v of what is kept", name, what, whole, part)
			}
		}
		if !equality.Semantic.DeepEqual(kept, lean(t, kept)) {
			t.Errorf("%s: a second pass changes what is kept", name)
		}
	}
}

func TestTheCacheKeepsNoMore(t *testing.T) {
	er, _ := waitingRequest(t)
	kept := lean(t, er)
	if kept.ManagedFields != nil || kept.Spec.Note != "" || kept.Annotations[v1alpha1.AnnotationRequestedBy] != "" || kept.Status.History != nil || kept.Status.Policy != nil {
		t.Errorf("more is kept than anybody needs: %+v", kept)
	}
	other, _ := waitingRequest(t)
	if &kept.Status.Conditions[0] != &lean(t, other).Status.Conditions[0] {
		t.Error("conditions that are alike are not shared")
	}
	if er.Spec.Note == "" || len(er.Status.Conditions) < 3 {
		t.Error("the object that was given is changed")
	}
}

// A request that waits for its time alone is left alone; whatever else there is makes it be looked at.
func TestWhatOnlyWaits(t *testing.T) {
	for name, c := range map[string]struct {
		change func(er *v1alpha1.ErasureRequest, r *state.Request)
		after  time.Duration
		waits  bool
	}{
		"in its grace period": {waits: true},
		"to the last moment":  {after: 60*24*time.Hour - time.Hour - time.Nanosecond, change: overdue, waits: true},
		"due":                 {after: 60*24*time.Hour - time.Hour, change: overdue},
		"overdue, not shown":  {after: 40 * 24 * time.Hour},
		"a command was given": {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Annotations[v1alpha1.AnnotationRecheck] = "2" }},
		"cancelled":           {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Spec.Cancelled = true }},
		"expedited":           {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Spec.Timing = v1alpha1.TimingImmediate }},
		"the spec changed":    {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Generation++ }},
		"deleted":             {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.DeletionTimestamp = er.Status.DueAt }},
		"no finalizer":        {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Finalizers = nil }},
		"a forged schedule": {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) {
			er.Status.ScheduledAt = &metav1.Time{Time: er.Status.ScheduledAt.AddDate(1, 0, 0)}
		}},
		"a lost status":  {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Status = v1alpha1.ErasureRequestStatus{} }},
		"a forged phase": {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Status.Phase = v1alpha1.PhaseCompleted }},
		"a forged stage": {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) {
			er.Status.Conditions[0].Reason = v1alpha1.ReasonErased
		}},
		"a forged start":  {change: func(er *v1alpha1.ErasureRequest, _ *state.Request) { er.Status.ProcessingStartedAt = er.Status.DueAt }},
		"not confirmed":   {change: func(_ *v1alpha1.ErasureRequest, r *state.Request) { r.ConfirmedAt = nil }},
		"not deactivated": {change: func(_ *v1alpha1.ErasureRequest, r *state.Request) { r.DeactivationState = deactivationIntended }},
		"processing":      {change: func(_ *v1alpha1.ErasureRequest, r *state.Request) { r.ProcessingStartedAt = &received }},
		"finished":        {change: func(_ *v1alpha1.ErasureRequest, r *state.Request) { r.Phase = string(v1alpha1.PhaseCancelled) }},
		"another's schedule": {change: func(_ *v1alpha1.ErasureRequest, r *state.Request) {
			at := r.ScheduledAt.Add(-time.Hour)
			r.ScheduledAt = &at
		}},
	} {
		er, record := waitingRequest(t)
		if c.change != nil {
			c.change(er, record)
		}
		s := &session{ErasureRequestReconciler: &ErasureRequestReconciler{Clock: clocktesting.NewFakePassiveClock(received.Add(time.Hour + c.after))}, er: lean(t, er), record: record}
		if got := s.waits(); got != c.waits {
			t.Errorf("%s: waits is %t", name, got)
		}
	}
}

// overdue shows that the statutory date has passed.
func overdue(er *v1alpha1.ErasureRequest, r *state.Request) {
	s := &session{ErasureRequestReconciler: &ErasureRequestReconciler{Clock: clocktesting.NewFakePassiveClock(r.DueAt.Add(time.Second))}, er: er, read: er.DeepCopy(), record: r}
	s.project(context.Background(), reconciling(v1alpha1.ReasonGracePeriod, "deletion begins at some time", time.Hour))
}

// One whose time comes within the hour goes before the many that are only looked at.
func TestDueGoesFirst(t *testing.T) {
	_, record := waitingRequest(t)
	for left, first := range map[time.Duration]bool{policy.MaxRequeue: true, time.Second: true, policy.MaxRequeue + time.Second: false} {
		s := &session{ErasureRequestReconciler: &ErasureRequestReconciler{Clock: clocktesting.NewFakePassiveClock(record.ScheduledAt.Add(-left))}, record: record}
		got := s.later()
		if *got.Priority > 0 != first || got.RequeueAfter != min(left, policy.MaxRequeue) {
			t.Errorf("%s before its time: after %s with priority %d", left, got.RequeueAfter, *got.Priority)
		}
	}
}
