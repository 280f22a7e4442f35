package v1alpha1

import (
	"context"
	"errors"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// deletionRunValidator leaves runs that delete to the operator.
type deletionRunValidator struct {
	permissive[*v1alpha1.DeletionRun]
	// operator is the user as which the operator itself speaks to the API server. Who shares it, for example by the same
	// kubeconfig, passes here; the controller then finds that the state store knows nothing of such a run.
	operator string
}

// ValidateCreate lets everybody preview, and only the operator delete.
func (v *deletionRunValidator) ValidateCreate(ctx context.Context, run *v1alpha1.DeletionRun) (admission.Warnings, error) {
	if run.Spec.DryRun {
		return nil, nil
	}
	req, err := admission.RequestFromContext(ctx)
	if err != nil || v.operator == "" || req.UserInfo.Username != v.operator {
		return nil, errors.New("spec.dryRun must be true: runs that delete are made by the operator alone; create an ErasureRequest to erase a subject")
	}
	return nil, nil
}
