package operator

import (
	"context"
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	webhookv1alpha1 "github.com/lethe-dev/lethe/internal/webhook/v1alpha1"
)

// Loopback admission is for an operator beside a cluster, which runs with the rights of its kubeconfig's user. That user
// needs what stands here; hack/generate.sh leaves it out of the role of an operator in the cluster on purpose, because the
// right to create configurations has no bound (a creation has no name yet) and leads to every object of the cluster.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingwebhookconfigurations,resourceNames=lethe-loopback,verbs=get;update;delete

// setupAdmission adds the admission webhooks to the manager if they are wanted. They do not verify who approves, so the
// controllers' Admission stays false: approvals are recorded as unverified, and a four-eyes policy cannot be applied.
func setupAdmission(ctx context.Context, mgr ctrl.Manager, o Options) error {
	switch o.Admission {
	case AdmissionOff, "":
		return nil
	case AdmissionLoopback:
		// Whatever the operator's clock is told to say, the API server checks certificates by the time of day.
		if err := webhookv1alpha1.SetupLoopback(ctx, mgr, o.AdmissionAddress, clock.RealClock{}); err != nil {
			return fmt.Errorf("admission: %w", err)
		}
		return nil
	}
	return fmt.Errorf("admission must be %s or %s", AdmissionOff, AdmissionLoopback)
}
