package v1alpha1

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/export"
)

// complianceExportValidator refuses exports that cannot be made.
type complianceExportValidator struct {
	permissive[*v1alpha1.ComplianceExport]
}

// ValidateCreate refuses what the log does not have.
func (complianceExportValidator) ValidateCreate(_ context.Context, x *v1alpha1.ComplianceExport) (admission.Warnings, error) {
	_, err := export.NewQuery(&x.Spec)
	return nil, err
}
