package controller

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// A status that says nothing new must be the same to the last field, or it would be written with each look.
func TestSummarizeAgainChangesNothing(t *testing.T) {
	for name, o := range map[string]outcome{
		"reconciling": reconciling(v1alpha1.ReasonGracePeriod, "waits", time.Hour),
		"stalled":     stalled(v1alpha1.ReasonInvalidSpec, "wrong", 0),
		"ready":       ready(v1alpha1.ReasonErased, "gone"),
	} {
		er := &v1alpha1.ErasureRequest{}
		summarize(er, o)
		// As it stands when others have come after it, some time ago.
		er.Status.Conditions = append(er.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionErased, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonReconciling})
		for i := range er.Status.Conditions {
			er.Status.Conditions[i].LastTransitionTime = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		}
		before := er.DeepCopy()
		summarize(er, o)
		if !equality.Semantic.DeepEqual(before, er) {
			t.Errorf("%s: the same outcome changed the conditions from %v to %v", name, before.Status.Conditions, er.Status.Conditions)
		}
	}
}

// As kstatus expects them: never both, and none of them where the object is ready.
func TestSummarizeTakesAwayWhatNoLongerHolds(t *testing.T) {
	er := &v1alpha1.ErasureRequest{}
	for _, step := range []struct {
		o                    outcome
		reconciling, stalled bool
	}{
		{reconciling(v1alpha1.ReasonProcessing, "", 0), true, false},
		{stalled(v1alpha1.ReasonAbandoned, "", 0), false, true},
		{reconciling(v1alpha1.ReasonRetrying, "", 0), true, false},
		{ready(v1alpha1.ReasonErased, ""), false, false},
	} {
		summarize(er, step.o)
		for kind, want := range map[string]bool{v1alpha1.ConditionReconciling: step.reconciling, v1alpha1.ConditionStalled: step.stalled} {
			if got := meta.IsStatusConditionTrue(er.Status.Conditions, kind); got != want {
				t.Errorf("after %s: %s is %t", step.o.reason, kind, got)
			}
		}
	}
}
