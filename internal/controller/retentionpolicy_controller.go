package controller

import (
	"context"
	"sort"
	"strings"

	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
)

// RetentionPolicyReconciler tells whether policies can be applied.
type RetentionPolicyReconciler struct {
	client.Client
	Recorder events.EventRecorder
	// Admission is true where admission verifies who approves.
	Admission bool
	// Governance records what is applied.
	Governance *Governance
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=retentionpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=retentionpolicies/status,verbs=get;update;patch

// Reconcile checks one policy.
func (r *RetentionPolicyReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var p v1alpha1.RetentionPolicy
	if err := r.Get(ctx, req.NamespacedName, &p); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !p.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	read := p.DeepCopy()
	o, err := r.check(ctx, &p)
	if err != nil {
		return ctrl.Result{}, err
	}
	p.Status.ObservedGeneration = p.Generation
	again := r.Governance.Record(ctx, "RetentionPolicy", &p)
	res, err := publish(ctx, r.Client, r.Recorder, &p, read, o, nil)
	return sooner(again, res, err)
}

func (r *RetentionPolicyReconciler) check(ctx context.Context, p *v1alpha1.RetentionPolicy) (outcome, error) {
	if v := policy.CheckPolicy(p.Spec, r.Admission); v.Action != policy.Proceed {
		return stalled(v.Reason, v.Message, 0), nil
	}
	if p.Spec.Requests == nil {
		return ready(v1alpha1.ReasonReady, "the policy has nothing to apply: spec.requests is not set"), nil
	}
	var all v1alpha1.RetentionPolicyList
	if err := r.List(ctx, &all, client.InNamespace(p.Namespace)); err != nil {
		return outcome{}, err
	}
	var others []string
	for _, other := range all.Items {
		if other.Name != p.Name && other.Spec.Requests != nil && other.DeletionTimestamp.IsZero() {
			others = append(others, other.Name)
		}
	}
	if len(others) > 0 {
		sort.Strings(others)
		return stalled(v1alpha1.ReasonAmbiguousPolicy, "RetentionPolicy "+strings.Join(others, ", ")+
			" of this namespace has spec.requests too; leave it in one of them: until then requests wait", 0), nil
	}
	return ready(v1alpha1.ReasonReady, "the policy applies to new requests of the namespace"), nil
}

// SetupWithManager registers the controller. Policies of a namespace depend on each other.
func (r *RetentionPolicyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.RetentionPolicy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.RetentionPolicy{}, ofNamespace(r, &v1alpha1.RetentionPolicyList{}), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}
