package v1alpha1

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
)

// verifiesApprovers tells whether admission verifies who approves: where this is asked, it does.
const verifiesApprovers = true

// retentionPolicyValidator refuses policies that cannot be applied.
type retentionPolicyValidator struct {
	permissive[*v1alpha1.RetentionPolicy]
	policies client.Reader
}

// ValidateCreate refuses a policy that cannot be applied, and warns of a second one for requests.
func (v *retentionPolicyValidator) ValidateCreate(ctx context.Context, p *v1alpha1.RetentionPolicy) (admission.Warnings, error) {
	if err := refusal(policy.CheckPolicy(p.Spec, verifiesApprovers)); err != nil {
		return nil, err
	}
	return v.ambiguity(ctx, p)
}

// ValidateUpdate does the same for a change.
func (v *retentionPolicyValidator) ValidateUpdate(ctx context.Context, old, p *v1alpha1.RetentionPolicy) (admission.Warnings, error) {
	warnings, err := judgeChange(refusal(policy.CheckPolicy(old.Spec, verifiesApprovers)), refusal(policy.CheckPolicy(p.Spec, verifiesApprovers)))
	if err != nil {
		return nil, err
	}
	more, err := v.ambiguity(ctx, p)
	return append(append(warnings, policy.UnwiseChange(old.Spec, p.Spec)...), more...), err
}

// ambiguity warns where requests will wait because this policy is not the only one for them.
func (v *retentionPolicyValidator) ambiguity(ctx context.Context, p *v1alpha1.RetentionPolicy) (admission.Warnings, error) {
	if p.Spec.Requests == nil {
		return nil, nil
	}
	var all v1alpha1.RetentionPolicyList
	if err := v.policies.List(ctx, &all, client.InNamespace(p.Namespace)); err != nil {
		return nil, errors.New("the namespace's policies cannot be read at the moment; try again")
	}
	together := []v1alpha1.RetentionPolicy{*p}
	for _, other := range all.Items {
		if other.Name != p.Name {
			together = append(together, other)
		}
	}
	if _, verdict := policy.SelectPolicy(together, verifiesApprovers); verdict.Reason == v1alpha1.ReasonAmbiguousPolicy {
		return admission.Warnings{verdict.Message + ": until then requests wait"}, nil
	}
	return nil, nil
}
