package v1alpha1

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/retention"
)

// verifiesApprovers tells whether admission verifies who approves: where this is asked, it does.
const verifiesApprovers = true

// retentionPolicyValidator refuses policies that cannot be applied.
type retentionPolicyValidator struct {
	permissive[*v1alpha1.RetentionPolicy]
	policies client.Reader
	// counts tells how many records fall due by each rule; nil where nobody can.
	counts func(ctx context.Context, p *v1alpha1.RetentionPolicy) (map[string]int64, []retention.Problem, error)
}

// countPatience is how long a writer waits to be told how much falls due.
const countPatience = 5 * time.Second

// ValidateCreate refuses a policy that cannot be applied, and warns of a second one for requests.
func (v *retentionPolicyValidator) ValidateCreate(ctx context.Context, p *v1alpha1.RetentionPolicy) (admission.Warnings, error) {
	if err := errors.Join(refusal(policy.CheckPolicy(p.Spec, verifiesApprovers)), badSchedule(p)); err != nil {
		return nil, err
	}
	warnings, err := v.ambiguity(ctx, p)
	return append(warnings, v.widening(ctx, &v1alpha1.RetentionPolicy{ObjectMeta: p.ObjectMeta}, p)...), err
}

// ValidateUpdate does the same for a change.
func (v *retentionPolicyValidator) ValidateUpdate(ctx context.Context, old, p *v1alpha1.RetentionPolicy) (admission.Warnings, error) {
	warnings, err := judgeChange(errors.Join(refusal(policy.CheckPolicy(old.Spec, verifiesApprovers)), badSchedule(old)),
		errors.Join(refusal(policy.CheckPolicy(p.Spec, verifiesApprovers)), badSchedule(p)))
	if err != nil {
		return nil, err
	}
	warnings = append(warnings, v.widening(ctx, old, p)...)
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

// badSchedule is what is wrong with the schedule of the rules.
func badSchedule(p *v1alpha1.RetentionPolicy) error {
	if p.Spec.Schedule == nil {
		return nil
	}
	_, err := retention.ParseSchedule(*p.Spec.Schedule)
	return err
}

// widening warns where more falls due by a change than before, how much, and what is wrong with rules as the maps are now.
func (v *retentionPolicyValidator) widening(ctx context.Context, old, p *v1alpha1.RetentionPolicy) admission.Warnings {
	wider := retention.WideningChange(old.Spec, p.Spec)
	if v.counts == nil || reflect.DeepEqual(old.Spec.Rules, p.Spec.Rules) {
		return wider
	}
	ctx, cancel := context.WithTimeout(ctx, countPatience)
	defer cancel()
	now, problems, err := v.counts(ctx, p)
	var warnings admission.Warnings
	for _, problem := range problems {
		warnings = append(warnings, problem.Message)
	}
	if len(wider) == 0 {
		return warnings
	}
	before, _, beforeErr := v.counts(ctx, old)
	if err != nil || beforeErr != nil {
		return append(append(warnings, wider...), "how many records fall due by that could not be counted; look with a DeletionRun with dryRun before the next sweep")
	}
	for _, w := range wider {
		rule, _, _ := strings.Cut(strings.TrimPrefix(w, "rule "), " ")
		rule = strings.TrimSuffix(rule, ":")
		if n, counted := now[rule]; counted {
			w += fmt.Sprintf("; %d records fall due by it within the notice period, where %d did", n, before[rule])
		}
		warnings = append(warnings, w)
	}
	return warnings
}
