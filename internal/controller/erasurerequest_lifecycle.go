package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// snapshot of the policy that applies since the confirmation.
func (s *session) snapshot() (p v1alpha1.PolicySnapshot) {
	decode(s.record.Policy, &p)
	return p
}

// grace deactivates the subject, waits for the schedule, and begins.
func (s *session) grace(ctx context.Context) (outcome, error) {
	if err := s.expedite(ctx); err != nil {
		return outcome{}, err
	}
	if s.record.DeactivationState == deactivationIntended {
		if err := s.deactivate(ctx); err != nil {
			return outcome{}, err
		}
	}
	waiting := reconciling(v1alpha1.ReasonGracePeriod, "deletion begins at "+formatTime(*s.record.ScheduledAt), s.hint(*s.record.ScheduledAt))
	if s.now().Before(*s.record.ScheduledAt) {
		return waiting, nil
	}
	witness, err := s.Witness.Now(ctx)
	if err != nil {
		return waiting, err
	}
	if v := policy.Reached(*s.record.ScheduledAt, s.now(), witness); v.Action != policy.Proceed {
		return verdictOutcome(v), nil
	}
	// What was true at the confirmation may not be any more: a process may have begun, a hold may have been placed.
	if s.er.Spec.Timing != v1alpha1.TimingImmediate || s.record.ConfirmedAt.Add(time.Minute).Before(s.now()) {
		_, v, err := s.lookUp(ctx)
		if err != nil || v.Action != policy.Proceed {
			return verdictOutcome(v), err
		}
		if v := policy.JudgeApproval(s.approval(), false, s.record.ApprovalNeeded, s.snapshot().FourEyes); v.Action != policy.Proceed {
			return verdictOutcome(v), nil
		}
	}
	return s.begin(ctx)
}

// expedite takes a change of spec.timing to Immediate into the schedule.
func (s *session) expedite(ctx context.Context) error {
	now := policy.CeilSecond(s.now())
	if s.er.Spec.Timing != v1alpha1.TimingImmediate || !s.record.ScheduledAt.After(now) {
		return nil
	}
	if err := s.journal(ctx, "expedited", ledger.Entry{Kind: ledger.KindErasureExpedited,
		Actor: s.actor(v1alpha1.AnnotationExpeditedBy, string(v1alpha1.TimingImmediate)), Attributes: map[string]string{ledger.AttributeScheduledAt: formatTime(now)}}); err != nil {
		return err
	}
	s.record.ScheduledAt, s.record.Timing = &now, string(s.er.Spec.Timing)
	return s.save(ctx)
}

func (s *session) deactivate(ctx context.Context) error {
	if err := s.applyDeactivation(ctx, false); err != nil {
		return err
	}
	crashDeactivated.Hit()
	if err := s.journal(ctx, "deactivated", ledger.Entry{Kind: ledger.KindErasureDeactivated}); err != nil {
		return err
	}
	s.record.DeactivationState = deactivationDone
	if err := s.save(ctx); err != nil {
		return err
	}
	crashDeactivationSet.Hit()
	return nil
}

// begin is the point of no return: one status write under the precondition that nobody changed the request since it was
// read. Who cancels before it wins; who cancels after it is told by the API that it is too late.
func (s *session) begin(ctx context.Context) (outcome, error) {
	now := s.now()
	s.record.ProcessingStartedAt, s.record.RunName = &now, runName(s.er.Name, s.record.UID)
	o := reconciling(v1alpha1.ReasonProcessing, "data is being deleted; nothing cancels this request any more", 0)
	s.project(ctx, o)
	if err := patchStatus(ctx, s.Client, s.er, s.read); err != nil {
		s.record.ProcessingStartedAt, s.record.RunName = nil, ""
		return outcome{}, err
	}
	transition(s.named(ctx), s.Recorder, s.er, s.read, false)
	s.read = s.er.DeepCopy()
	crashBegun.Hit()
	if err := s.journal(ctx, "processing", ledger.Entry{Kind: ledger.KindErasureProcessing,
		Attributes: map[string]string{"notice": v1alpha1.ReasonNotConfigured}}); err != nil {
		return outcome{}, err
	}
	if err := s.save(ctx); err != nil {
		return outcome{}, err
	}
	crashProcessing.Hit()
	return s.process(ctx)
}

// runName is deterministic, so that a run is adopted after a crash and never made twice.
func runName(name, uid string) string {
	sum := sha256.Sum256([]byte(uid))
	return strings.TrimRight(name[:min(len(name), 200)], ".-") + "-" + hex.EncodeToString(sum[:4])
}

// process makes the run and takes over its result.
func (s *session) process(ctx context.Context) (outcome, error) {
	if _, err := s.ensureRun(ctx); err != nil {
		return s.namespaceGoing(ctx, err)
	}
	record, err := s.State.Run(ctx, s.record.UID)
	if errors.Is(err, state.ErrNotFound) {
		return reconciling(v1alpha1.ReasonProcessing, "data is being deleted; nothing cancels this request any more", 0), nil
	}
	if err != nil {
		return outcome{}, err
	}
	s.recorded = executor.Ended(record)
	switch v1alpha1.Phase(record.Phase) {
	case v1alpha1.PhaseCompleted:
		s.record.Outcome = record.Outcome
		return s.end(ctx, v1alpha1.PhaseCompleted, record.Reason)
	case v1alpha1.PhaseFailed:
		return s.failed(ctx, record)
	}
	if s.record.Phase == string(v1alpha1.PhaseFailed) { // it was retried
		s.record.Phase, s.record.Stage, s.record.FinishedAt = string(v1alpha1.PhasePending), "", nil
		if err := s.save(ctx); err != nil {
			return outcome{}, err
		}
	}
	reason := v1alpha1.ReasonProcessing
	message := "data is being deleted; nothing cancels this request any more"
	switch {
	case record.FailingSince != nil:
		reason, message = v1alpha1.ReasonRetrying, record.Reason+": "+record.Message
	case record.Reason != "":
		reason, message = record.Reason, record.Message
	}
	return reconciling(reason, message, policy.MaxRequeue), nil
}

// ensureRun makes the request's run, or finds it.
func (s *session) ensureRun(ctx context.Context) (*v1alpha1.DeletionRun, error) {
	run := &v1alpha1.DeletionRun{}
	err := s.Get(ctx, client.ObjectKey{Namespace: s.er.Namespace, Name: s.record.RunName}, run)
	if err == nil || !apierrors.IsNotFound(err) {
		return run, err
	}
	run = &v1alpha1.DeletionRun{
		ObjectMeta: metav1.ObjectMeta{Name: s.record.RunName, Namespace: s.er.Namespace, Labels: map[string]string{LabelRequest: labelValue(s.er.Name)},
			Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: s.er.Name, UID: string(s.er.UID)}},
	}
	if err := controllerutil.SetControllerReference(s.er, run, s.Scheme()); err != nil {
		return nil, err
	}
	err = s.Create(ctx, run)
	if apierrors.IsAlreadyExists(err) {
		return run, s.Secrets.Get(ctx, client.ObjectKeyFromObject(run), run)
	}
	if err != nil {
		return nil, err
	}
	crashRunCreated.Hit()
	return run, nil
}

// labelValue shortens a name to what a label may hold.
func labelValue(name string) string {
	if len(name) <= 63 {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return name[:54] + "-" + hex.EncodeToString(sum[:4])
}

// failed takes over that the run failed: for good when it was abandoned, else until it is retried.
func (s *session) failed(ctx context.Context, record *state.Run) (outcome, error) {
	if executor.Ended(record) {
		return s.end(ctx, v1alpha1.PhaseFailed, record.Reason)
	}
	if s.record.Phase != string(v1alpha1.PhaseFailed) {
		now := s.now()
		s.record.Phase, s.record.Stage, s.record.FinishedAt = string(v1alpha1.PhaseFailed), record.Reason, &now
		if err := s.save(ctx); err != nil {
			return outcome{}, err
		}
	}
	if s.retryAwaited {
		return stalled(record.Reason, record.Message+"; it is about to be tried again", time.Second), nil
	}
	return stalled(record.Reason, record.Message+"; mend it and set the annotation "+v1alpha1.AnnotationRetry+" to a new value, or "+v1alpha1.AnnotationAbandon+" to give up", policy.MaxRequeue), nil
}

// namespaceGoing ends a request whose run cannot even be made because the namespace goes away.
func (s *session) namespaceGoing(ctx context.Context, cause error) (outcome, error) {
	going, err := namespaceTerminating(ctx, s.Secrets, s.er.Namespace)
	if err != nil || !going {
		return outcome{}, errors.Join(cause, err)
	}
	if !apierrors.HasStatusCause(cause, corev1.NamespaceTerminatingCause) && !apierrors.IsNotFound(cause) {
		return outcome{}, cause
	}
	return s.end(ctx, v1alpha1.PhaseFailed, v1alpha1.ReasonNamespaceDeleted)
}

// cancel reactivates the subject and ends the request.
func (s *session) cancel(ctx context.Context) (outcome, error) {
	obstacle, err := s.reactivate(ctx)
	if err != nil {
		return outcome{}, err
	}
	if obstacle != nil {
		reason, message := fault.Public(obstacle)
		if going, _ := namespaceTerminating(ctx, s.Secrets, s.er.Namespace); going {
			return s.end(ctx, v1alpha1.PhaseFailed, v1alpha1.ReasonNamespaceDeleted)
		}
		return reconciling(v1alpha1.ReasonReactivating, "the request is cancelled; the subject cannot be reactivated yet ("+reason+": "+message+")", time.Minute), nil
	}
	return s.end(ctx, v1alpha1.PhaseCancelled, v1alpha1.ReasonCancelled)
}

// refuseAsDuplicate ends a request that another one covers.
func (s *session) refuseAsDuplicate(ctx context.Context) (outcome, error) {
	return s.end(ctx, v1alpha1.PhaseCancelled, s.record.Stage)
}

// end records the end, gives up the claims and cleans up.
func (s *session) end(ctx context.Context, phase v1alpha1.Phase, reason string) (outcome, error) {
	if err := s.conclude(ctx, phase, reason); err != nil {
		return outcome{}, err
	}
	if err := s.save(ctx, func(tx state.Tx) error { return tx.ReleaseClaims(s.record.UID) }); err != nil {
		return outcome{}, err
	}
	crashEnded.Hit()
	return s.afterEnd(ctx)
}

// conclude records the end in the ledger and writes it into the record, which the caller saves.
func (s *session) conclude(ctx context.Context, phase v1alpha1.Phase, reason string) error {
	now := s.now()
	if !s.recorded {
		e := ledger.Entry{Kind: endKind(phase, reason), Reason: reason}
		if reason == v1alpha1.ReasonCancelled {
			e.Actor = s.canceller(ctx)
		}
		if err := s.journal(ctx, "ended", e); err != nil {
			return err
		}
	}
	crashEndRecorded.Hit()
	var snapshot v1alpha1.PolicySnapshot
	if len(s.record.Policy) > 0 {
		if err := json.Unmarshal(s.record.Policy, &snapshot); err != nil {
			return err
		}
	}
	if snapshot.ArchiveRetention == "" {
		snapshot.ArchiveRetention = v1alpha1.DefaultArchiveRetention
	}
	purge, err := policy.PurgeTime(now, snapshot.ArchiveRetention)
	if err != nil {
		return err
	}
	s.record.Phase, s.record.Stage, s.record.FinishedAt, s.record.PurgeAt = string(phase), reason, &now, &purge
	s.record.Deactivation = nil
	return nil
}

// endKind is the ledger's word for the end of a request that its run has not recorded.
func endKind(phase v1alpha1.Phase, reason string) string {
	switch {
	case reason == v1alpha1.ReasonDuplicate:
		return ledger.KindErasureDuplicate
	case phase == v1alpha1.PhaseCancelled:
		return ledger.KindErasureCancelled
	}
	return ledger.KindErasureAbandoned
}

// afterEnd destroys what is left of the subject, watches over what was retained, and purges the object in the end.
func (s *session) afterEnd(ctx context.Context) (outcome, error) {
	if err := s.Keys.Destroy(ctx, s.deactivationKey()); err != nil {
		return outcome{}, err
	}
	if err := s.destroyIdentities(ctx); err != nil {
		return outcome{}, err
	}
	crashCleaned.Hit()
	if err := s.publish(ctx); err != nil {
		return outcome{}, err
	}
	o := endOutcome(s.record)
	if s.record.PurgeAt != nil && !s.now().Before(*s.record.PurgeAt) && s.er.DeletionTimestamp.IsZero() {
		return o, s.purge(ctx)
	}
	if !s.er.DeletionTimestamp.IsZero() {
		o.requeue = 0
	} else if s.record.PurgeAt != nil {
		o.requeue = s.hint(*s.record.PurgeAt)
	}
	return o, nil
}

func endOutcome(record *state.Request) outcome {
	switch v1alpha1.Phase(record.Phase) {
	case v1alpha1.PhaseCompleted:
		if record.Stage == v1alpha1.ReasonRetained {
			return ready(v1alpha1.ReasonRetained, "everything is gone but for what status.retained lists with its legal basis")
		}
		return ready(v1alpha1.ReasonErased, "a re-query found nothing of the subject that should be gone")
	case v1alpha1.PhaseCancelled:
		switch record.Stage {
		case v1alpha1.ReasonDuplicate:
			return ready(record.Stage, duplicateMessage(record.DuplicateOf))
		case v1alpha1.ReasonAlreadyProcessed:
			return ready(record.Stage, "a request of this name was processed before; give a new request a new name")
		}
		return ready(v1alpha1.ReasonCancelled, "the request was cancelled before processing began; nothing was deleted")
	}
	return stalled(record.Stage, "the request ended without finishing; data that was not deleted before is still in the stores", 0)
}

// destroyIdentities deletes the identities' Secret, if it is this request's.
func (s *session) destroyIdentities(ctx context.Context) error {
	if s.er.Spec.Subject.IdentitiesSecretRef == nil {
		return nil
	}
	secret, err := identitiesSecret(ctx, s.Secrets, s.er)
	var waiting *fault.Waiting
	if errors.As(err, &waiting) {
		return nil // gone, or never this request's
	}
	if err != nil {
		return err
	}
	err = s.Delete(ctx, secret, client.Preconditions{UID: &secret.UID})
	return client.IgnoreNotFound(err)
}

// purge deletes the finished object and its run: the ledger keeps the record.
func (s *session) purge(ctx context.Context) error {
	run := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: s.record.RunName, Namespace: s.er.Namespace}}
	if s.record.RunName != "" {
		if err := client.IgnoreNotFound(s.Delete(ctx, run)); err != nil {
			return err
		}
	}
	return client.IgnoreNotFound(s.Delete(ctx, s.er, client.Preconditions{UID: &s.er.UID}))
}

// residuesDone tells whether everything that was retained has been deleted since.
func (s *session) residuesDone(ctx context.Context) bool {
	residues, err := s.State.Residues(ctx, s.er.Namespace, s.record.UID)
	if err != nil {
		return false
	}
	for _, r := range residues {
		if r.State != state.ResidueDone {
			return false
		}
	}
	return true
}
