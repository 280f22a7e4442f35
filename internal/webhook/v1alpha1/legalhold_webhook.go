package v1alpha1

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// legalHoldValidator refuses holds with identities in them.
type legalHoldValidator struct {
	permissive[*v1alpha1.LegalHold]
}

// ValidateCreate refuses e-mail addresses.
func (legalHoldValidator) ValidateCreate(_ context.Context, h *v1alpha1.LegalHold) (admission.Warnings, error) {
	return nil, checkHold(h.Spec)
}

// ValidateUpdate refuses e-mail addresses that were not there before.
func (legalHoldValidator) ValidateUpdate(_ context.Context, old, h *v1alpha1.LegalHold) (admission.Warnings, error) {
	return judgeChange(checkHold(old.Spec), checkHold(h.Spec))
}

var emailLike = regexp.MustCompile(`[^@\s]+@[^@\s]+`)

// checkHold refuses e-mail addresses: Kubernetes objects are kept in etcd, Git and audit logs.
func checkHold(spec v1alpha1.LegalHoldSpec) error {
	const rule = "must not hold an e-mail address: Kubernetes objects are kept in etcd, Git and audit logs; "
	for i, id := range spec.Subjects {
		if strings.Contains(id, "@") {
			return fmt.Errorf("spec.subjects[%d] %suse the application's opaque id", i, rule)
		}
	}
	for i, record := range spec.Records {
		for j, condition := range record.Conditions {
			for k, value := range condition.Values {
				if emailLike.MatchString(value) {
					return fmt.Errorf("spec.records[%d].conditions[%d].values[%d] %sselect by an opaque id, or name the subject in spec.subjects", i, j, k, rule)
				}
			}
		}
	}
	if emailLike.MatchString(spec.Reason) {
		return fmt.Errorf("spec.reason %sname a matter or a department", rule)
	}
	return nil
}
