package controller

import (
	"context"
	"encoding/json"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
)

// States of the deactivation of a subject.
const (
	deactivationIntended = "Intended"
	deactivationDone     = "Done"
	deactivationUndone   = "Undone"
)

// verdictOutcome shows a verdict that does not proceed.
func verdictOutcome(v policy.Verdict) outcome { return reconciling(v.Reason, v.Message, v.After) }

// receive takes the request in: a record with a random handle and the statutory due date.
func (s *session) receive(ctx context.Context) (o outcome, done bool, err error) {
	if v := policy.CheckSpec(s.er.Spec); v.Action != policy.Proceed {
		return stalled(v.Reason, v.Message, 0), true, nil
	}
	if s.er.Status.Handle != "" {
		return stalled(v1alpha1.ReasonStateUnknown, "an operator has handled this request before, and this one's state store does not know it: give it the right store back, or delete the request and create another one", 0), true, nil
	}
	now := s.now()
	due, err := policy.DueDate(now)
	if err != nil {
		return o, true, err
	}
	pseudonym, err := s.Pseudonyms.Subject(ctx, s.er.Namespace, s.er.Spec.Subject.ID)
	if err != nil {
		return o, true, err
	}
	record := &state.Request{UID: string(s.er.UID), Namespace: s.er.Namespace, Name: s.er.Name, Handle: ledger.NewHandle(now), SubjectPseudonym: pseudonym,
		Phase: string(v1alpha1.PhasePending), ReceivedAt: now, DueAt: due,
		Source: string(s.er.Spec.Source), Scope: s.er.Spec.Scope, Timing: string(s.er.Spec.Timing)}
	if ref := s.er.Spec.Subject.IdentitiesSecretRef; ref != nil {
		record.IdentitiesSecret = ref.Name
	}
	earlier, err := s.State.FinishedByName(ctx, s.er.Namespace, s.er.Name, record.UID)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return o, true, err
	}
	if earlier != nil {
		record.Stage = v1alpha1.ReasonAlreadyProcessed
	}
	if err := s.State.Update(ctx, func(tx state.Tx) error { return tx.PutRequest(record) }); err != nil {
		return o, true, err
	}
	s.record = record
	crashReceived.Hit()
	return outcome{}, false, nil
}

// check looks whether the request may go ahead, and confirms it. It is done as long as something is in the way.
func (s *session) check(ctx context.Context) (o outcome, done bool, err error) {
	if err := s.journal(ctx, "received", ledger.Entry{Kind: ledger.KindErasureReceived, Reason: string(s.er.Spec.Source),
		Actor: s.actor(v1alpha1.AnnotationRequestedBy, ""), Attributes: map[string]string{ledger.AttributeDueAt: formatTime(s.record.DueAt),
			ledger.AttributeTiming: s.record.Timing, ledger.AttributeUID: s.record.UID}}); err != nil {
		return o, true, err
	}
	crashReceivedRecorded.Hit()
	if s.record.Stage == v1alpha1.ReasonDuplicate || s.record.Stage == v1alpha1.ReasonAlreadyProcessed {
		o, err = s.refuseAsDuplicate(ctx)
		return o, true, err
	}
	v, err := s.claim(ctx, []string{s.record.SubjectPseudonym})
	if err != nil || v.Action != policy.Proceed {
		return s.refuseOrWait(ctx, v, err)
	}
	snapshot, v, err := s.policySnapshot(ctx)
	if err != nil || v.Action != policy.Proceed {
		return verdictOutcome(v), true, err
	}
	subject, v, err := s.lookUp(ctx)
	if err != nil || v.Action != policy.Proceed {
		return s.refuseOrWait(ctx, v, err)
	}
	if v := policy.JudgeApproval(s.approval(), snapshot.ApprovalRequired, s.record.ApprovalNeeded, snapshot.FourEyes); v.Action != policy.Proceed {
		return verdictOutcome(v), true, nil
	}
	return outcome{}, false, s.confirm(ctx, snapshot, subject)
}

// refuseOrWait ends the request if the verdict is that another one covers it, and shows any other verdict.
func (s *session) refuseOrWait(ctx context.Context, v policy.Verdict, err error) (outcome, bool, error) {
	if err == nil && v.Reason == v1alpha1.ReasonDuplicate {
		o, err := s.refuseAsDuplicate(ctx)
		return o, true, err
	}
	return verdictOutcome(v), true, err
}

func (s *session) policySnapshot(ctx context.Context) (v1alpha1.PolicySnapshot, policy.Verdict, error) {
	var policies v1alpha1.RetentionPolicyList
	if err := s.List(ctx, &policies, client.InNamespace(s.er.Namespace)); err != nil {
		return v1alpha1.PolicySnapshot{}, policy.Verdict{}, err
	}
	snapshot, v := policy.SelectPolicy(policies.Items, s.Admission)
	return snapshot, v, nil
}

// found is what the stores say of the subject.
type found struct {
	graph         *planner.Graph
	maps          []planner.MapSource
	facts         *planner.Facts
	identitiesMAC string
}

// lookUp finds the subject in the stores and judges what it finds.
func (s *session) lookUp(ctx context.Context) (*found, policy.Verdict, error) {
	maps, v, err := readyMaps(ctx, s.Client, s.er)
	if err != nil || v.Action != policy.Proceed {
		return nil, v, err
	}
	identities, mac, err := s.Identities.Of(ctx, s.er, s.record)
	if err != nil {
		return nil, v, err
	}
	graph, problems := planner.Compile(maps, s.er.Spec.Scope)
	if graph == nil || len(problems) > 0 {
		return nil, v, fault.Terminalf(v1alpha1.ReasonMapNotReady, "the maps of this namespace do not fit together for this scope: %s", problemMessage(problems))
	}
	all, err := s.State.Holds(ctx, s.er.Namespace)
	if err != nil {
		return nil, v, err
	}
	holds, err := executor.HoldsFor(all, s.record.SubjectPseudonym)
	if err != nil {
		return nil, v, err
	}
	if missing := graph.MissingIdentities(planner.Subject{Identities: identities}); len(missing) > 0 {
		return nil, policy.IdentitiesIncomplete(missing), nil
	}
	facts, err := executor.Resolve(ctx, s.Stores, executor.Query{Namespace: s.er.Namespace, Graph: graph, Subject: planner.Subject{Identities: identities}, Holds: holds})
	if err != nil {
		return nil, v, err
	}
	if len(facts.Problems) > 0 {
		return nil, v, fault.Terminalf(facts.Problems[0].Reason, "%s", facts.Problems[0].Message)
	}
	if holds, err = s.holdsOf(ctx, graph, facts, all); err != nil {
		return nil, v, err
	}
	assessment := graph.Assess(facts, holds, s.now())
	if err := s.force(ctx, &assessment); err != nil {
		return nil, v, err
	}
	v = policy.JudgeSubject(assessment)
	if err := s.noteActive(ctx, v); err != nil {
		return nil, v, err
	}
	if v.Action == policy.Proceed {
		s.orphanEnded = false
		v, err = s.claimRoots(ctx, assessment.Roots)
		if err == nil && v.Action == policy.Proceed && s.orphanEnded {
			return s.lookUp(ctx) // the stores were read before the subject was reactivated
		}
	}
	return &found{graph: graph, maps: maps, facts: facts, identitiesMAC: mac}, v, err
}

// holdsOf are the holds that concern the person who was found, by whatever id they name it.
func (s *session) holdsOf(ctx context.Context, graph *planner.Graph, facts *planner.Facts, all []state.Hold) ([]planner.Hold, error) {
	key, err := s.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: s.er.Namespace})
	if err != nil {
		return nil, err
	}
	open, err := executor.OpenStores(ctx, s.Stores, s.er.Namespace, graph)
	if err != nil {
		return nil, err
	}
	return executor.HoldsFor(all, executor.SubjectPseudonyms(key, s.record.SubjectPseudonym, graph, facts, open.Codec())...)
}

func problemMessage(problems []planner.Problem) string {
	if len(problems) == 0 {
		return "no entity is left"
	}
	return problems[0].Message
}

// force leaves an active process out of account where somebody with the verb force said so, and puts it on record.
func (s *session) force(ctx context.Context, a *planner.Assessment) error {
	st, genuine := s.Stamps.Read("ErasureRequest", s.er, v1alpha1.AnnotationForcedBy, "true")
	if !s.er.Spec.Force || !genuine || len(a.Active) == 0 {
		return nil
	}
	if !s.record.Forced {
		if err := s.journal(ctx, "forced", ledger.Entry{Kind: ledger.KindErasureForced, Actor: stamp.Name(st, genuine), Reason: v1alpha1.ReasonProcessActive}); err != nil {
			return err
		}
		s.record.Forced = true
		if err := s.save(ctx); err != nil {
			return err
		}
	}
	a.Active = nil
	return nil
}

// noteActive remembers that a process was active: when it has ended, an approval is needed.
func (s *session) noteActive(ctx context.Context, v policy.Verdict) error {
	if v.Reason != v1alpha1.ReasonProcessActive || s.record.ApprovalNeeded {
		return nil
	}
	if err := s.journal(ctx, "process-active", ledger.Entry{Kind: ledger.KindErasureWaiting, Reason: v.Reason}); err != nil {
		return err
	}
	s.record.ApprovalNeeded = true
	return s.save(ctx)
}

// readyMaps pins the maps that apply to a request.
func readyMaps(ctx context.Context, c client.Reader, er *v1alpha1.ErasureRequest) ([]planner.MapSource, policy.Verdict, error) {
	var maps v1alpha1.PersonalDataMapList
	if err := c.List(ctx, &maps, client.InNamespace(er.Namespace)); err != nil {
		return nil, policy.Verdict{}, err
	}
	sources, v := policy.SelectMaps(maps.Items, er.Spec.Scope)
	return sources, v, nil
}

// confirm sets the schedule. From here on the policy's snapshot applies, whatever happens to the policy.
func (s *session) confirm(ctx context.Context, snapshot v1alpha1.PolicySnapshot, subject *found) error {
	now := s.now()
	scheduled, err := policy.Schedule(now, snapshot.GracePeriod, s.er.Spec.Timing)
	if err != nil {
		return err
	}
	if s.record.Policy, err = json.Marshal(snapshot); err != nil {
		return err
	}
	if s.record.Maps, err = json.Marshal(mapReferences(subject.maps)); err != nil {
		return err
	}
	if s.er.Spec.Timing != v1alpha1.TimingImmediate {
		if err := s.sealDeactivation(ctx, subject); err != nil {
			return err
		}
	}
	if err := s.recordApproval(ctx); err != nil {
		return err
	}
	err = s.journal(ctx, "confirmed", ledger.Entry{Kind: ledger.KindErasureConfirmed, Reason: string(s.er.Spec.Timing),
		Attributes: map[string]string{ledger.AttributeScheduledAt: formatTime(scheduled), "approved": approvalWord(s.approval()), "gracePeriod": snapshot.GracePeriod}})
	if err != nil {
		return err
	}
	crashConfirmRecorded.Hit()
	s.record.ConfirmedAt, s.record.ScheduledAt, s.record.IdentitiesMAC = &now, &scheduled, subject.identitiesMAC
	s.record.Timing = string(s.er.Spec.Timing)
	if s.er.Spec.Approved {
		s.record.ApprovedAt = &now
	}
	if err := s.save(ctx); err != nil {
		return err
	}
	crashConfirmed.Hit()
	return nil
}

func mapReferences(maps []planner.MapSource) []v1alpha1.MapReference {
	refs := make([]v1alpha1.MapReference, 0, len(maps))
	for _, m := range maps {
		refs = append(refs, v1alpha1.MapReference{Name: m.Name, UID: m.UID, Generation: m.Generation})
	}
	return refs
}

// sealDeactivation keeps, encrypted, what deactivating writes and what was there before.
func (s *session) sealDeactivation(ctx context.Context, subject *found) error {
	open, err := executor.OpenStores(ctx, s.Stores, s.er.Namespace, subject.graph)
	if err != nil {
		return err
	}
	ops := subject.graph.Deactivation(subject.facts, open.Codec())
	if len(ops) == 0 {
		return nil
	}
	key, err := s.Keys.Ensure(ctx, s.deactivationKey())
	if err != nil {
		return err
	}
	plain, err := json.Marshal(ops)
	if err != nil {
		return err
	}
	if s.record.Deactivation, err = keys.Seal(key, plain, []byte(s.record.UID)); err != nil {
		return err
	}
	s.record.DeactivationState = deactivationIntended
	return nil
}

func (s *session) deactivationKey() keys.ID {
	return keys.ID{Purpose: keys.Deactivation, Namespace: s.er.Namespace, Name: s.record.UID}
}

// applyDeactivation deactivates the subject in its stores, or reactivates it. Both are compare-and-set: a row that
// somebody else changed since is left alone, and doing it again changes nothing.
func (s *session) applyDeactivation(ctx context.Context, invert bool) error {
	key, err := s.Keys.Get(ctx, s.deactivationKey())
	if err != nil {
		return err
	}
	plain, err := keys.Open(key, s.record.Deactivation, []byte(s.record.UID))
	if err != nil {
		return fault.Terminalf(v1alpha1.ReasonSealedMaterialMissing, "what was deactivated cannot be opened: its key or its record was changed or lost")
	}
	var ops map[string][]backend.Operation
	if err := json.Unmarshal(plain, &ops); err != nil {
		return err
	}
	if invert {
		ops = planner.Reactivation(ops)
	}
	for name, list := range ops {
		store, err := s.Stores.Get(ctx, s.er.Namespace, name)
		if err != nil {
			return err
		}
		if err := deactivate(ctx, store, s.record.UID, list, invert); err != nil {
			return fault.FromStore(name, err)
		}
	}
	return nil
}

// deactivate sets columns of records, or takes remote ones out of use; active puts these back.
func deactivate(ctx context.Context, store *stores.Store, id string, ops []backend.Operation, active bool) error {
	if store.Kind == planner.TableStore {
		_, err := store.Execute(ctx, backend.Batch{ID: id + "/deactivation", Operations: ops, AcceptNonTransactional: backend.TablesOf(ops)})
		return err
	}
	deactivator, ok := store.Backend.(backend.Deactivator)
	if !ok {
		return &backend.RefusedError{Problem: "the store cannot take records out of use", Remedy: "set deactivate: Never in the data map"}
	}
	return deactivator.SetActive(ctx, id, ops, active)
}
