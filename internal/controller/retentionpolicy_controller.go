package controller

import (
	"context"
	"errors"
	"sort"
	"strings"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// RetentionPolicyReconciler tells whether policies can be applied, and follows the schedules of their rules.
type RetentionPolicyReconciler struct {
	client.Client
	State    state.Store
	Sweeper  *sweeper.Sweeper
	Clock    clock.PassiveClock
	Witness  Witness
	Recorder events.EventRecorder
	// Admission is true where admission verifies who approves.
	Admission bool
	// Governance records what is applied.
	Governance *Governance
	// NoJobs says why runs cannot be executed as Jobs, and what to do; empty where they can.
	NoJobs string
	// Kill shows whether runs are stopped; optional.
	Kill *KillSwitch
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=retentionpolicies,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=retentionpolicies/status,verbs=get;update;patch

// Reconcile checks one policy.
func (r *RetentionPolicyReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var p v1alpha1.RetentionPolicy
	if err := r.Get(ctx, req.NamespacedName, &p); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !p.DeletionTimestamp.IsZero() {
		again, err := r.leave(ctx, &p)
		return ctrl.Result{RequeueAfter: again}, err
	}
	if len(p.Spec.Rules) > 0 {
		if err := setFinalizer(ctx, r.Client, &p, true); err != nil {
			return result(outcome{}, err)
		}
	}
	read := p.DeepCopy()
	o, err := r.check(ctx, &p)
	if errors.Is(err, state.ErrConflict) { // a run ended meanwhile
		return ctrl.Result{RequeueAfter: 20 * time.Millisecond}, nil
	}
	if err != nil {
		return result(outcome{}, err)
	}
	if r.Kill != nil && len(p.Spec.Rules) > 0 {
		_, _ = r.Kill.Suspended(ctx, p.Namespace) // to show it, before a run is stopped by it
	}
	again := r.Governance.Record(ctx, "RetentionPolicy", &p)
	res, err := publish(ctx, r.Client, r.Recorder, &p, read, o, nil)
	return sooner(again, res, err)
}

func (r *RetentionPolicyReconciler) check(ctx context.Context, p *v1alpha1.RetentionPolicy) (outcome, error) {
	if v := policy.CheckPolicy(p.Spec, r.Admission); v.Action != policy.Proceed {
		return stalled(v.Reason, v.Message, 0), nil
	}
	if o, err := r.ambiguity(ctx, p); err != nil || o.stalled {
		return o, err
	}
	if e := p.Spec.Execution; e != nil && e.Mode == v1alpha1.ExecuteAsJob && r.NoJobs != "" {
		return stalled(v1alpha1.ReasonJobsUnavailable, "spec.execution.mode is Job, and "+r.NoJobs+", or set spec.execution.mode to Operator", 0), nil
	}
	switch {
	case len(p.Spec.Rules) > 0 && p.Spec.Schedule != nil:
		return r.follow(ctx, p)
	case p.Spec.Requests == nil && p.Spec.Consent == nil:
		return ready(v1alpha1.ReasonReady, "the policy has nothing to apply: spec.requests, spec.consent and spec.rules are not set"), nil
	}
	return ready(v1alpha1.ReasonReady, "the policy applies to new requests of the namespace"), nil
}

// ambiguity tells whether another policy of the namespace has what only one may have.
func (r *RetentionPolicyReconciler) ambiguity(ctx context.Context, p *v1alpha1.RetentionPolicy) (outcome, error) {
	if p.Spec.Requests == nil && p.Spec.Consent == nil {
		return outcome{}, nil
	}
	var all v1alpha1.RetentionPolicyList
	if err := r.List(ctx, &all, client.InNamespace(p.Namespace)); err != nil {
		return outcome{}, err
	}
	others := func(has func(v1alpha1.RetentionPolicySpec) bool) string {
		var names []string
		for _, other := range all.Items {
			if has(p.Spec) && other.Name != p.Name && has(other.Spec) && other.DeletionTimestamp.IsZero() {
				names = append(names, other.Name)
			}
		}
		sort.Strings(names)
		return strings.Join(names, ", ")
	}
	if names := others(func(s v1alpha1.RetentionPolicySpec) bool { return s.Requests != nil }); names != "" {
		return stalled(v1alpha1.ReasonAmbiguousPolicy, "RetentionPolicy "+names+
			" of this namespace has spec.requests too; leave it in one of them: until then requests wait", 0), nil
	}
	if names := others(func(s v1alpha1.RetentionPolicySpec) bool { return s.Consent != nil }); names != "" {
		return stalled(v1alpha1.ReasonAmbiguousPolicy, "RetentionPolicy "+names+
			" of this namespace has spec.consent too; leave it in one of them: until then no consent makes a request", 0), nil
	}
	return outcome{}, nil
}

// SetupWithManager registers the controller. Policies of a namespace depend on each other.
func (r *RetentionPolicyReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.RetentionPolicy{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.PersonalDataMap{}, ofNamespace(r, &v1alpha1.RetentionPolicyList{}), builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.RetentionPolicy{}, ofNamespace(r, &v1alpha1.RetentionPolicyList{}), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}
