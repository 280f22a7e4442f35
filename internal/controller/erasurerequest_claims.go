package controller

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

const (
	// maxClaims bounds how often one reconcile tries to claim, since every conflict may be with another request.
	maxClaims = 8
	// otherRequestAgain is when to look again for a request that another one keeps waiting; its end wakes it earlier.
	otherRequestAgain = time.Minute
)

// claimRoots claims the records that are the subject: two ids that lead to one person are one subject.
func (s *session) claimRoots(ctx context.Context, roots []planner.RootRef) (policy.Verdict, error) {
	claims := make([]string, 0, len(roots))
	for _, root := range roots {
		p, err := s.Pseudonyms.Root(ctx, s.er.Namespace, root.Store, root.Entity, root.Key)
		if err != nil {
			return policy.Verdict{}, err
		}
		claims = append(claims, p)
	}
	return s.claim(ctx, claims)
}

// claim takes claims on the subject, all or none; what the request has already is fine. Where another request has one of
// them, that one is ended first if its object is gone, it makes this one a duplicate if it covers it, and else this one
// waits for its end. A confirmed request always waits: the subject may be deactivated in its name.
func (s *session) claim(ctx context.Context, claims []string) (policy.Verdict, error) {
	var covering, owner *state.Owner
	for range maxClaims {
		var err error
		owner, err = s.take(ctx, claims, covering)
		if err != nil || owner == nil {
			return policy.Verdict{Action: policy.Proceed}, err
		}
		if covering != nil && covering.UID == owner.UID { // the record says so now; the next look ends the request
			return policy.Verdict{Action: policy.Wait, Reason: v1alpha1.ReasonDuplicate, Message: duplicateMessage(owner.Name), After: 1}, nil
		}
		other, err := s.holder(ctx, owner)
		if err != nil {
			return policy.Verdict{}, err
		}
		if other == nil {
			if v, err := s.endOrphan(ctx, owner); err != nil || v.Action != policy.Proceed {
				return v, err
			}
			continue
		}
		if s.record.ConfirmedAt != nil || !covers(other, s.er) {
			break
		}
		covering = owner // claim again, because it may have ended since
	}
	return policy.Verdict{Action: policy.Wait, Reason: v1alpha1.ReasonAwaitingOtherRequest, After: otherRequestAgain,
		Message: "ErasureRequest " + owner.Name + " concerns the same subject; this request goes on when that one has ended"}, nil
}

// take claims in one transaction. If the request that was found to cover this one still has a claim, this one becomes its
// duplicate in the same transaction.
func (s *session) take(ctx context.Context, claims []string, covering *state.Owner) (owner *state.Owner, err error) {
	err = s.State.Update(ctx, func(tx state.Tx) (err error) {
		owner, err = tx.Claim(s.er.Namespace, claims, state.Owner{UID: s.record.UID, Name: s.record.Name})
		if err != nil || owner == nil || covering == nil || covering.UID != owner.UID {
			return err
		}
		s.record.Stage, s.record.DuplicateOf = v1alpha1.ReasonDuplicate, owner.Name
		return tx.PutRequest(s.record)
	})
	return owner, err
}

// covers tells whether one request erases all that another one of the same subject would.
func covers(one, other *v1alpha1.ErasureRequest) bool {
	return one.Spec.Scope == "" || one.Spec.Scope == other.Spec.Scope
}

func duplicateMessage(name string) string {
	return "ErasureRequest " + name + " covers this subject already"
}

// holder reads the request that has a claim, past the cache; nil if there is none of that UID any more.
func (s *session) holder(ctx context.Context, owner *state.Owner) (*v1alpha1.ErasureRequest, error) {
	var er v1alpha1.ErasureRequest
	err := s.Secrets.Get(ctx, client.ObjectKey{Namespace: s.er.Namespace, Name: owner.Name}, &er)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	case string(er.UID) != owner.UID:
		return nil, nil
	}
	return &er, nil
}

// endOrphan ends a request whose object was removed by force, so that nothing leads it to its end any more. The claims go
// last: as long as they are there, who meets them does again what a crash left undone.
func (s *session) endOrphan(ctx context.Context, owner *state.Owner) (policy.Verdict, error) {
	record, err := s.State.Request(ctx, owner.UID)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return policy.Verdict{}, err
	}
	if record != nil {
		s.orphanEnded = true
		orphan := &session{ErasureRequestReconciler: s.ErasureRequestReconciler, record: record,
			er: &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: record.Namespace, Name: record.Name, UID: types.UID(record.UID)}}}
		// The Secret goes too, unless this request, which may have the same name, uses it now.
		if mine := s.er.Spec.Subject.IdentitiesSecretRef; record.IdentitiesSecret != "" && (mine == nil || mine.Name != record.IdentitiesSecret) {
			orphan.er.Spec.Subject.IdentitiesSecretRef = &v1alpha1.LocalReference{Name: record.IdentitiesSecret}
		}
		if v, err := orphan.endAsGone(ctx); err != nil || v.Action != policy.Proceed {
			return v, err
		}
	}
	if err := s.State.Update(ctx, func(tx state.Tx) error { return tx.ReleaseClaims(owner.UID) }); err != nil {
		return policy.Verdict{}, err
	}
	crashOrphanReleased.Hit()
	return policy.Verdict{Action: policy.Proceed}, nil
}

// endAsGone ends this request, whose object is gone, and destroys its keys. Doing it again changes nothing.
func (s *session) endAsGone(ctx context.Context) (policy.Verdict, error) {
	if !s.finished() {
		end := s.endProcessedOrphan
		if s.record.ProcessingStartedAt == nil {
			obstacle, err := s.reactivate(ctx)
			if err != nil {
				return policy.Verdict{}, err
			}
			if obstacle != nil {
				reason, message := fault.Public(obstacle)
				return policy.Verdict{Action: policy.Wait, Reason: v1alpha1.ReasonReactivating, After: otherRequestAgain,
					Message: "ErasureRequest " + s.er.Name + " was removed by force; its subject cannot be reactivated yet (" + reason + ": " + message + ")"}, nil
			}
			end = func(ctx context.Context) error {
				return s.conclude(ctx, v1alpha1.PhaseCancelled, v1alpha1.ReasonRequestGone)
			}
		}
		if err := end(ctx); err != nil {
			return policy.Verdict{}, err
		}
		if err := s.save(ctx); err != nil {
			return policy.Verdict{}, err
		}
		crashOrphanEnded.Hit()
	}
	for _, id := range []keys.ID{s.deactivationKey(), {Purpose: keys.Run, Namespace: s.er.Namespace, Name: s.record.UID}} {
		if err := s.Keys.Destroy(ctx, id); err != nil {
			return policy.Verdict{}, err
		}
	}
	return policy.Verdict{Action: policy.Proceed}, s.destroyIdentities(ctx)
}

// endProcessedOrphan concludes a request whose processing had begun: its run first, so that whatever still executes it
// may write no more, unless that has ended by itself.
func (s *session) endProcessedOrphan(ctx context.Context) error {
	run, err := s.State.Run(ctx, s.record.UID)
	if errors.Is(err, state.ErrNotFound) { // one that is just being planned must not come into being
		run, err = &state.Run{UID: s.record.UID, Namespace: s.record.Namespace, Name: s.record.RunName, RequestUID: s.record.UID, Handle: s.record.Handle}, nil
	}
	if err != nil {
		return err
	}
	if executor.Ended(run) {
		s.recorded, s.record.Outcome = true, run.Outcome
		return s.conclude(ctx, v1alpha1.Phase(run.Phase), run.Reason)
	}
	if run.Reason != v1alpha1.ReasonRequestGone {
		now := s.now()
		run.Phase, run.Reason, run.FinishedAt = string(v1alpha1.PhaseFailed), v1alpha1.ReasonRequestGone, &now
		run.Message = "the request was removed by force; data that was not deleted before is still in the stores"
		run.Sealed = nil
		if err := s.State.Update(ctx, func(tx state.Tx) error { return tx.PutRun(run) }); err != nil {
			return err
		}
	}
	return s.conclude(ctx, v1alpha1.PhaseFailed, v1alpha1.ReasonRequestGone)
}

// reactivate gives the subject its earlier values back, if they were or may have been changed. An obstacle is why the
// stores do not have them.
func (s *session) reactivate(ctx context.Context) (obstacle, err error) {
	if s.record.DeactivationState != deactivationIntended && s.record.DeactivationState != deactivationDone {
		return nil, nil
	}
	if err := s.applyDeactivation(ctx, true); err != nil {
		return err, nil
	}
	crashReactivated.Hit()
	if err := s.journal(ctx, "reactivated", ledger.Entry{Kind: ledger.KindErasureReactivated}); err != nil {
		return nil, err
	}
	s.record.DeactivationState = deactivationUndone
	return nil, nil
}

// awaitsOther tells whether a request waits for the end of another one.
func awaitsOther(er *v1alpha1.ErasureRequest) bool {
	ready := meta.FindStatusCondition(er.Status.Conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == v1alpha1.ReasonAwaitingOtherRequest
}

// requestEnded passes the events by which a request gives up its claims, or by which it is seen that its object is gone.
func requestEnded() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(ctrlevent.CreateEvent) bool { return false },
		GenericFunc: func(ctrlevent.GenericEvent) bool { return false },
		UpdateFunc: func(e ctrlevent.UpdateEvent) bool {
			er, ok := e.ObjectNew.(*v1alpha1.ErasureRequest)
			return ok && er.Status.FinishedAt != nil && readiness(e.ObjectOld) != readiness(e.ObjectNew)
		},
	}
}
