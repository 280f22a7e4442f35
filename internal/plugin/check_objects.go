package plugin

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// state tells of an object whether it is Ready; false where it is not.
func (k *checker) state(area, name string, conditions []metav1.Condition, message string) bool {
	c := ready(conditions)
	if c.Status == metav1.ConditionTrue {
		return true
	}
	k.problem(checkFailed, area, name, "", "%s: %s", cmp.Or(c.Reason, "unknown"), cmp.Or(c.Message, message))
	return false
}

func (k *checker) stores(ctx context.Context) {
	const area = "stores"
	var list v1alpha1.DataStoreList
	if !k.list(ctx, area, &list) {
		return
	}
	if len(list.Items) == 0 {
		k.problem(checkWarning, area, "", "create one for each place that has personal data", "the namespace has no DataStore")
	}
	for i := range list.Items {
		d := &list.Items[i]
		if !k.state(area, d.Name, d.Status.Conditions, "") {
			continue
		}
		if p := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionPrivileges); p != nil && p.Reason == v1alpha1.ReasonPrivilegesExcessive {
			k.problem(checkWarning, area, d.Name, "take from the credentials what is not needed", "reachable, with more privileges than needed: %s", p.Message)
			continue
		}
		k.ok(area, d.Name, "reachable, %s", cmp.Or(d.Status.ServerVersion, "without a version"))
	}
}

func (k *checker) maps(ctx context.Context) {
	const area = "maps"
	var list v1alpha1.PersonalDataMapList
	if !k.list(ctx, area, &list) {
		return
	}
	if len(list.Items) == 0 {
		k.problem(checkWarning, area, "", "write one (docs/how-to/write-a-data-map.md)", "the namespace has no PersonalDataMap, so every request waits")
	}
	for i := range list.Items {
		m := &list.Items[i]
		ready := k.state(area, m.Name, m.Status.Conditions, "")
		if meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionDrifted) {
			k.problem(checkWarning, area, m.Name, "map what is new, or list it as ignored", "the schemas are not those that it was written for: %d differences, the first: %s", len(m.Status.Drift), first(m.Status.Drift))
		} else if c := m.Status.Coverage; ready && c != nil && c.Unknown > 0 {
			k.problem(checkWarning, area, m.Name, "map them, or list them as ignored", "ready; %d tables of its stores are neither mapped nor ignored", c.Unknown)
		} else if ready {
			k.ok(area, m.Name, "ready, %d entities, no drift", m.Status.Entities)
		}
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return "none is listed"
	}
	return list[0]
}

func (k *checker) policies(ctx context.Context) {
	const area = "policies"
	var list v1alpha1.RetentionPolicyList
	if !k.list(ctx, area, &list) {
		return
	}
	if len(list.Items) == 0 {
		k.ok(area, "", "none: requests are handled with the defaults, and nothing goes by its age")
	}
	for i := range list.Items {
		p := &list.Items[i]
		sound := k.state(area, p.Name, p.Status.Conditions, "")
		for _, r := range p.Status.Rules {
			if r.Reason != "" && r.Message != "" {
				k.problem(checkWarning, area, p.Name+"/"+r.Name, "", "%s: %s", r.Reason, r.Message)
			}
		}
		switch {
		case !sound:
		case p.Spec.Suspend:
			k.problem(checkWarning, area, p.Name, "set spec.suspend to false to go on", "suspended: nothing goes by its rules")
		default:
			k.ok(area, p.Name, "ready, %d rules", len(p.Spec.Rules))
		}
	}
}

func (k *checker) holds(ctx context.Context) {
	const area = "holds"
	var list v1alpha1.LegalHoldList
	if !k.list(ctx, area, &list) {
		return
	}
	inForce := 0
	for _, l := range holdLines(list.Items, "", false) {
		if l.State == holdInForce {
			inForce++
			continue
		}
		k.problem(checkFailed, area, l.Name, "see whether the operator runs", "not in force yet, so it holds nothing: %s", l.Message)
	}
	k.ok(area, "", "%d in force", inForce)
}

// requests checks those that have not ended, and tells since when requests were handled.
func (k *checker) requests(ctx context.Context) (handled time.Time) {
	const area = "requests"
	var list v1alpha1.ErasureRequestList
	if !k.list(ctx, area, &list) {
		return time.Time{}
	}
	pending := 0
	for i := range list.Items {
		er := &list.Items[i]
		if at := er.Status.ReceivedAt; at != nil && (handled.IsZero() || at.Time.Before(handled)) {
			handled = at.Time
		}
		if over(er) {
			continue
		}
		pending++
		c := ready(er.Status.Conditions)
		risk := meta.FindStatusCondition(er.Status.Conditions, v1alpha1.ConditionOverdueRisk)
		switch {
		case er.Status.Phase == v1alpha1.PhaseFailed:
			k.problem(checkFailed, area, er.Name, nextStep(er), "failed: %s: %s", c.Reason, c.Message)
		case er.Status.Phase == "":
			k.problem(checkWarning, area, er.Name, "see whether the operator runs", "the operator has not looked at it yet")
		case meta.IsStatusConditionTrue(er.Status.Conditions, v1alpha1.ConditionStalled):
			k.problem(checkFailed, area, er.Name, nextStep(er), "waits for a person: %s: %s", c.Reason, c.Message)
		case risk != nil && risk.Status == metav1.ConditionTrue:
			k.problem(checkWarning, area, er.Name, "", "%s: %s", risk.Reason, risk.Message)
		}
	}
	k.ok(area, "", "%s", fmt.Sprintf("%d of %d have not ended", pending, len(list.Items)))
	return handled
}
