package v1alpha1

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
)

// deletionRunValidator leaves runs that delete to the operator, but for those that people make by hand.
type deletionRunValidator struct {
	permissive[*v1alpha1.DeletionRun]
	policies client.Reader
	// operator is the user as which the operator itself speaks to the API server. Who shares it, for example by the same
	// kubeconfig, passes here; the controller then finds that the state store knows nothing of such a run.
	operator string
}

// ValidateCreate lets everybody preview, those who may erase at once do so by hand, and only the operator make other runs.
func (v *deletionRunValidator) ValidateCreate(ctx context.Context, run *v1alpha1.DeletionRun) (admission.Warnings, error) {
	if run.Spec.DryRun || run.Spec.Subjects != nil {
		return nil, nil
	}
	req, err := admission.RequestFromContext(ctx)
	if err != nil || v.operator == "" || req.UserInfo.Username != v.operator {
		return nil, errors.New("spec.dryRun must be true: runs that delete are made by the operator alone; create an ErasureRequest to erase a subject, or a run with spec.subjects to erase several at once")
	}
	return nil, nil
}

// ValidateUpdate refuses decisions on a run that has begun, and a postponement beyond what the policy allows.
func (v *deletionRunValidator) ValidateUpdate(ctx context.Context, old, run *v1alpha1.DeletionRun) (admission.Warnings, error) {
	if len(runDecisions(old, run)) == 0 {
		return nil, nil
	}
	if err := refusal(policy.JudgeDecision(run)); err != nil {
		return nil, err
	}
	if run.Spec.Postponed == nil || run.Spec.Retention == nil || run.Spec.Retention.Until == nil {
		return nil, nil
	}
	var p v1alpha1.RetentionPolicy
	if err := v.policies.Get(ctx, client.ObjectKey{Namespace: run.Namespace, Name: run.Spec.Retention.Policy}, &p); err != nil {
		return nil, errors.New("the RetentionPolicy of the run cannot be read at the moment, so nobody knows how far it may be postponed; try again")
	}
	return nil, refusal(policy.JudgePostponement(p.Spec.Notice, run.Spec.Retention.Until.Time, run.Spec.Postponed))
}
