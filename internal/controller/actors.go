package controller

import (
	"context"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/stamp"
)

// actor is who admission saw make a change of the request, or that nobody knows.
func (s *session) actor(annotation, value string) string {
	return stamp.Name(s.Stamps.Read("ErasureRequest", s.er, annotation, value))
}

// approval is what is known of who approved, and of who asked. What admission refuses is looked at here again, for what was
// written while it was away.
func (s *session) approval() policy.Approval {
	a := policy.Approval{Given: s.er.Spec.Approved}
	requester, known := s.Stamps.Read("ErasureRequest", s.er, v1alpha1.AnnotationRequestedBy, "")
	approver, verified := s.Stamps.Read("ErasureRequest", s.er, v1alpha1.AnnotationApprovedBy, "true")
	same, sameKey := requester.Same(approver.Actor)
	a.Verified, a.RequesterKnown, a.ByRequester = a.Given && verified, known && sameKey, same
	return a
}

// recordApproval puts an approval on record once it counts.
func (s *session) recordApproval(ctx context.Context) error {
	if !s.er.Spec.Approved {
		return nil
	}
	return s.journal(ctx, "approved", ledger.Entry{Kind: ledger.KindErasureApproved, Actor: s.actor(v1alpha1.AnnotationApprovedBy, "true"),
		Attributes: map[string]string{"approved": approvalWord(s.approval())}})
}

// canceller is who cancelled: by the spec, or by deleting the object, which admission has put on record.
func (s *session) canceller(ctx context.Context) string {
	if s.er.Spec.Cancelled {
		return s.actor(v1alpha1.AnnotationCancelledBy, "true")
	}
	if !s.er.DeletionTimestamp.IsZero() {
		if record, err := s.Journal.Ledger.Find(ctx, s.er.Namespace, ledger.KeyDeleted(string(s.er.UID))); err == nil && record.Entry.Actor != "" {
			return record.Entry.Actor
		}
	}
	return v1alpha1.ActorUnknown
}

func approvalWord(a policy.Approval) string {
	switch {
	case !a.Given:
		return "not required"
	case a.Verified:
		return "verified"
	}
	return "unverified"
}
