package controller

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

const (
	maxHistory  = 20
	maxRetained = 50
)

// specOrCommandChanged passes events that mean something for a request: its own status writes do not.
func specOrCommandChanged() predicate.Predicate {
	commands := predicate.Funcs{UpdateFunc: func(e ctrlevent.UpdateEvent) bool {
		old, now := e.ObjectOld.GetAnnotations(), e.ObjectNew.GetAnnotations()
		for _, a := range []string{v1alpha1.AnnotationRetry, v1alpha1.AnnotationAbandon, v1alpha1.AnnotationRecheck} {
			if old[a] != now[a] {
				return true
			}
		}
		return e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
	}}
	return predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, commands)
}

// commands takes the annotations that repeat a command.
func (s *session) commands(ctx context.Context) (o outcome, done bool, err error) {
	var known v1alpha1.AcknowledgedCommands
	if len(s.record.Acknowledged) > 0 {
		if err := json.Unmarshal(s.record.Acknowledged, &known); err != nil {
			return o, true, err
		}
	}
	asked := s.asked()
	s.again = asked.Recheck != known.Recheck
	if asked == known || asked == (v1alpha1.AcknowledgedCommands{}) {
		return o, false, nil
	}
	if s.record.RunName != "" && (asked.Retry != known.Retry || asked.Abandon != known.Abandon) {
		if err := s.passOn(ctx, asked); err != nil {
			return o, true, err
		}
		if s.retryAwaited, err = s.awaitsRetry(ctx, asked, known); err != nil || s.retryAwaited {
			return o, err != nil, err
		}
	}
	if s.record.Acknowledged, err = json.Marshal(asked); err != nil {
		return o, true, err
	}
	return o, false, s.save(ctx)
}

// asked are the commands that stand on the request.
func (s *session) asked() v1alpha1.AcknowledgedCommands {
	return v1alpha1.AcknowledgedCommands{
		Retry:   truncate(s.er.Annotations[v1alpha1.AnnotationRetry], 128),
		Abandon: truncate(s.er.Annotations[v1alpha1.AnnotationAbandon], 128),
		Recheck: truncate(s.er.Annotations[v1alpha1.AnnotationRecheck], 128),
	}
}

// passOn repeats a command on the run, whose controller carries it out.
func (s *session) passOn(ctx context.Context, asked v1alpha1.AcknowledgedCommands) error {
	run, err := s.ensureRun(ctx)
	if err != nil {
		return err
	}
	read := run.DeepCopy()
	if run.Annotations == nil {
		run.Annotations = map[string]string{}
	}
	if asked.Retry != "" {
		run.Annotations[v1alpha1.AnnotationRetry] = asked.Retry
	}
	if asked.Abandon != "" {
		run.Annotations[v1alpha1.AnnotationAbandon] = asked.Abandon
	}
	if maps.Equal(read.Annotations, run.Annotations) {
		return nil // it was passed on before, and is waited for
	}
	return s.Patch(ctx, run, mergeFrom(read))
}

// awaitsRetry tells whether the request's failed run has a retry before it. Until the run has followed it the retry is not
// acknowledged: who waits for that would take the failure of before for that of the retry.
func (s *session) awaitsRetry(ctx context.Context, asked, known v1alpha1.AcknowledgedCommands) (bool, error) {
	if asked.Retry == known.Retry || asked.Abandon != known.Abandon {
		return false, nil
	}
	run, err := s.State.Run(ctx, s.record.UID)
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return v1alpha1.Phase(run.Phase) == v1alpha1.PhaseFailed && !executor.Ended(run) && run.AcknowledgedRetry != asked.Retry, nil
}

// project writes the record and the outcome into the status.
func (s *session) project(ctx context.Context, o outcome) {
	st := &s.er.Status
	st.Phase = v1alpha1.PhasePending
	if s.record != nil {
		s.projectRecord()
	}
	before := meta.FindStatusCondition(s.read.Status.Conditions, v1alpha1.ConditionReady)
	if before == nil || before.Reason != o.reason {
		st.History = append(st.History, v1alpha1.StageTransition{Stage: o.reason, Time: metav1.NewTime(policy.CeilSecond(s.now()))})
		st.History = st.History[max(0, len(st.History)-maxHistory):]
	}
	summarize(s.er, o)
	if s.record != nil {
		s.projectConditions(ctx, o)
	}
}

func (s *session) projectRecord() {
	st, r := &s.er.Status, s.record
	st.Phase, st.Handle, st.DuplicateOf, st.Run = v1alpha1.Phase(r.Phase), r.Handle, r.DuplicateOf, r.RunName
	st.ReceivedAt, st.DueAt = seconds(&r.ReceivedAt), seconds(&r.DueAt)
	st.ConfirmedAt, st.ScheduledAt, st.ProcessingStartedAt = seconds(r.ConfirmedAt), seconds(r.ScheduledAt), seconds(r.ProcessingStartedAt)
	st.FinishedAt, st.PurgeAt = seconds(r.FinishedAt), seconds(r.PurgeAt)
	st.Policy, st.Maps, st.Acknowledged = nil, nil, v1alpha1.AcknowledgedCommands{}
	decode(r.Policy, &st.Policy)
	decode(r.Maps, &st.Maps)
	decode(r.Acknowledged, &st.Acknowledged)
	var result executor.Outcome
	decode(r.Outcome, &result)
	st.Counts = result.Counts
	st.Retained = result.Retained[:min(len(result.Retained), maxRetained)]
}

// decode reads what this package wrote; a record that cannot be read shows as empty.
func decode(raw json.RawMessage, into any) {
	if len(raw) > 0 {
		_ = json.Unmarshal(raw, into)
	}
}

// seconds rounds a time up to what status can show.
func seconds(t *time.Time) *metav1.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: policy.CeilSecond(*t)}
}

func (s *session) projectConditions(ctx context.Context, o outcome) {
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&s.er.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: truncate(message, 1024), ObservedGeneration: s.er.Generation})
	}
	s.projectErased(ctx, set)
	switch {
	case s.er.Spec.Approved && s.approval().Verified:
		set(v1alpha1.ConditionApproved, metav1.ConditionTrue, v1alpha1.ReasonApproved, "the approver was verified at admission")
	case s.er.Spec.Approved:
		set(v1alpha1.ConditionApproved, metav1.ConditionTrue, v1alpha1.ReasonApprovedUnverified, "admission did not see who approved")
	case s.record.ConfirmedAt != nil:
		set(v1alpha1.ConditionApproved, metav1.ConditionTrue, v1alpha1.ReasonApprovalNotRequired, "the policy demands no approval")
	}
	switch s.record.DeactivationState {
	case deactivationDone:
		set(v1alpha1.ConditionDeactivated, metav1.ConditionTrue, v1alpha1.ReasonDeactivated, "the subject is deactivated in the stores")
	case deactivationUndone:
		set(v1alpha1.ConditionDeactivated, metav1.ConditionFalse, v1alpha1.ReasonReactivated, "the subject has its earlier values again")
	}
	if s.record.ProcessingStartedAt != nil {
		set(v1alpha1.ConditionNotified, metav1.ConditionFalse, v1alpha1.ReasonNotConfigured, "no notifier is configured: tell the subject by other means")
	}
	if s.finished() {
		meta.RemoveStatusCondition(&s.er.Status.Conditions, v1alpha1.ConditionOverdueRisk)
		return
	}
	failing := o.stalled || o.reason == v1alpha1.ReasonRetrying
	if reason, message, risk := policy.Risk(s.now(), s.record.DueAt, s.record.ScheduledAt, failing); risk {
		set(v1alpha1.ConditionOverdueRisk, metav1.ConditionTrue, reason, message)
	} else {
		set(v1alpha1.ConditionOverdueRisk, metav1.ConditionFalse, reason, message)
	}
}

func (s *session) projectErased(ctx context.Context, set func(kind string, status metav1.ConditionStatus, reason, message string)) {
	switch {
	case s.record.Phase != string(v1alpha1.PhaseCompleted):
		set(v1alpha1.ConditionErased, metav1.ConditionFalse, v1alpha1.ReasonReconciling, "the data of the subject has not been erased")
	case s.record.Stage == v1alpha1.ReasonRetained && !s.residuesDone(ctx):
		set(v1alpha1.ConditionErased, metav1.ConditionFalse, v1alpha1.ReasonRetained, "part of the data is kept on a legal basis until its date (status.retained)")
	default:
		set(v1alpha1.ConditionErased, metav1.ConditionTrue, v1alpha1.ReasonErased, "a re-query found nothing of the subject that should be gone")
	}
}
