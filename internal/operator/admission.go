package operator

import (
	"context"
	"fmt"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/stamp"
	webhookv1alpha1 "github.com/lethe-dev/lethe/internal/webhook/v1alpha1"
)

// Loopback admission is for an operator beside a cluster, which runs with the rights of its kubeconfig's user. That user
// needs what stands here; hack/generate.sh leaves it out of the role of an operator in the cluster on purpose, because the
// right to create configurations has no bound (a creation has no name yet) and leads to every object of the cluster.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,verbs=create
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,resourceNames=lethe-loopback,verbs=get;update;delete

// verifiesApprovers tells whether admission looks at who approves, so that controllers may rely on its stamps.
func verifiesApprovers(admission string) bool { return admission != AdmissionOff && admission != "" }

// newSealer makes the sealer of stamps. Its key is kept even while admission is off: what was sealed before stays genuine.
func newSealer(ctx context.Context, keyStore keys.Store, namespace string) (*stamp.Sealer, error) {
	key, err := keyStore.Ensure(ctx, keys.ID{Purpose: keys.Admission, Namespace: namespace, Name: "stamps"})
	if err != nil {
		return nil, fmt.Errorf("the key of admission's stamps in namespace %s: %w", namespace, err)
	}
	return stamp.NewSealer(key), nil
}

// setupAdmission adds the admission webhooks to the manager if they are wanted.
func setupAdmission(ctx context.Context, mgr ctrl.Manager, o Options, options webhookv1alpha1.Options) error {
	// Whatever the operator's clock is told to say, the API server checks certificates by the time of day, and creates
	// objects by it.
	options.Clock = clock.RealClock{}
	switch o.Admission {
	case AdmissionOff, "":
		return nil
	case AdmissionLoopback:
		if err := webhookv1alpha1.SetupLoopback(ctx, mgr, o.AdmissionAddress, options); err != nil {
			return fmt.Errorf("admission: %w", err)
		}
		return nil
	case AdmissionCluster:
		err := webhookv1alpha1.SetupCluster(ctx, mgr, webhookv1alpha1.ClusterOptions{Address: o.AdmissionAddress, CertificateFolder: o.AdmissionCertificates,
			DNSNames: []string{webhookv1alpha1.ServiceName + "." + o.Namespace + ".svc"}}, options)
		if err != nil {
			return fmt.Errorf("admission: %w", err)
		}
		return nil
	}
	return fmt.Errorf("admission must be %s, %s or %s", AdmissionOff, AdmissionLoopback, AdmissionCluster)
}
