package v1alpha1

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"sort"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/stamp"
)

// kind is one kind of the API as the door knows it.
type kind struct {
	resource, name string
	// governs is true where a change of the spec changes what Lethe does, and is on record with who made it.
	governs bool
	new     func() client.Object
}

var kinds = []kind{
	{"erasurerequests", "ErasureRequest", false, func() client.Object { return &v1alpha1.ErasureRequest{} }},
	{"retentionpolicies", "RetentionPolicy", true, func() client.Object { return &v1alpha1.RetentionPolicy{} }},
	{"legalholds", "LegalHold", true, func() client.Object { return &v1alpha1.LegalHold{} }},
	{"deletionruns", "DeletionRun", false, func() client.Object { return &v1alpha1.DeletionRun{} }},
	{"personaldatamaps", "PersonalDataMap", true, func() client.Object { return &v1alpha1.PersonalDataMap{} }},
	{"datastores", "DataStore", true, func() client.Object { return &v1alpha1.DataStore{} }},
	{"complianceexports", "ComplianceExport", false, func() client.Object { return &v1alpha1.ComplianceExport{} }},
}

// change is something that a write does and that somebody answers for.
type change struct {
	// annotation in which the actor is stamped; empty where nothing can be stamped.
	annotation string
	// value that the change sets, which the stamp is bound to.
	value string
	// verb that the actor needs on the object, besides the right to write it; empty where that is enough.
	verb string
	// resource that the verb is asked for on, where it is not the object itself.
	resource string
	// what the change does, in the words of the API.
	what string
	// fields that it touches, where that is on record.
	fields []string
}

// changes of a write: old is nil for a creation, obj for a deletion.
func (k kind) changes(old, obj client.Object) ([]change, error) {
	if obj == nil {
		return deletion(old), nil
	}
	var out []change
	created := isNil(old)
	if created {
		out = append(out, change{annotation: v1alpha1.AnnotationRequestedBy, what: "creation"})
	}
	switch o := obj.(type) {
	case *v1alpha1.ComplianceExport:
		if created && o.Spec.Log == v1alpha1.LogAccess { // its stamp says that the verb was asked for
			out = []change{{annotation: v1alpha1.AnnotationRequestedBy, value: v1alpha1.ResourceAccessLogs, verb: "get", resource: v1alpha1.ResourceAccessLogs,
				what: "an export of the access log"}}
		}
	case *v1alpha1.ErasureRequest:
		before, ok := old.(*v1alpha1.ErasureRequest)
		if !ok || before == nil {
			before = &v1alpha1.ErasureRequest{}
		}
		out = append(out, decisions(before, o)...)
	case *v1alpha1.DeletionRun:
		before, ok := old.(*v1alpha1.DeletionRun)
		if !ok || before == nil {
			before = &v1alpha1.DeletionRun{}
			out = append(out, byHand(o)...)
		}
		out = append(out, runDecisions(before, o)...)
	case *v1alpha1.LegalHold:
		before, ok := old.(*v1alpha1.LegalHold)
		if o.Spec.Lifted && (!ok || before == nil || !before.Spec.Lifted) {
			out = append(out, change{annotation: v1alpha1.AnnotationLiftedBy, value: "true", verb: "lift", what: "spec.lifted"})
		}
	}
	if !k.governs {
		return out, nil
	}
	digest, err := stamp.Digest(obj)
	if err != nil {
		return nil, err
	}
	fields := []string{"spec"}
	if !created {
		if fields, err = changedFields(old, obj); err != nil {
			return nil, err
		}
	}
	if len(fields) > 0 {
		out = append(out, change{annotation: v1alpha1.AnnotationChangedBy, value: digest, what: "spec", fields: fields})
	}
	return out, nil
}

// decisions on a request that have a verb of their own.
func decisions(before, now *v1alpha1.ErasureRequest) []change {
	var out []change
	if now.Spec.Approved && !before.Spec.Approved {
		out = append(out, change{annotation: v1alpha1.AnnotationApprovedBy, value: "true", verb: "approve", what: "spec.approved"})
	}
	if now.Spec.Cancelled && !before.Spec.Cancelled {
		out = append(out, change{annotation: v1alpha1.AnnotationCancelledBy, value: "true", verb: "cancel", what: "spec.cancelled"})
	}
	if now.Spec.Timing == v1alpha1.TimingImmediate && before.Spec.Timing != v1alpha1.TimingImmediate {
		out = append(out, change{annotation: v1alpha1.AnnotationExpeditedBy, value: string(v1alpha1.TimingImmediate), verb: "expedite", what: "spec.timing Immediate"})
	}
	if now.Spec.Force && !before.Spec.Force {
		out = append(out, change{annotation: v1alpha1.AnnotationForcedBy, value: "true", verb: "force", what: "spec.force"})
	}
	if nonce := now.Annotations[v1alpha1.AnnotationAbandon]; nonce != "" && nonce != before.Annotations[v1alpha1.AnnotationAbandon] {
		out = append(out, change{verb: "approve", what: "the annotation " + v1alpha1.AnnotationAbandon})
	}
	return out
}

// byHand is what somebody answers for who erases several people at once.
func byHand(run *v1alpha1.DeletionRun) []change {
	if run.Spec.Subjects == nil {
		return nil
	}
	out := []change{{annotation: v1alpha1.AnnotationExpeditedBy, value: string(v1alpha1.TimingImmediate), verb: "expedite", what: "an erasure at once"}}
	if run.Spec.Subjects.Force {
		out = append(out, change{annotation: v1alpha1.AnnotationForcedBy, value: "true", verb: "force", what: "spec.subjects.force"})
	}
	return out
}

// runDecisions are decisions on an announced run, which have verbs of their own.
func runDecisions(before, now *v1alpha1.DeletionRun) []change {
	var out []change
	if c := now.Spec.Confirmed; c != nil && (before.Spec.Confirmed == nil || *before.Spec.Confirmed != *c) {
		out = append(out, change{annotation: v1alpha1.AnnotationApprovedBy, value: v1alpha1.ConfirmationValue(c), verb: "approve", what: "spec.confirmed"})
	}
	if p := now.Spec.Postponed; p != nil && (before.Spec.Postponed == nil || !p.To.Equal(&before.Spec.Postponed.To)) {
		out = append(out, change{annotation: v1alpha1.AnnotationPostponedBy, value: v1alpha1.PostponementValue(p), verb: "postpone", what: "spec.postponed"})
	} else if p == nil && before.Spec.Postponed != nil {
		out = append(out, change{verb: "postpone", what: "the end of spec.postponed"})
	}
	if now.Spec.Cancelled && !before.Spec.Cancelled {
		out = append(out, change{annotation: v1alpha1.AnnotationCancelledBy, value: "true", verb: "cancel", what: "spec.cancelled"})
	}
	return out
}

// deletion of a request that is not finished cancels it, and so does that of an announced run.
func deletion(old client.Object) []change {
	if run, ok := old.(*v1alpha1.DeletionRun); ok && run.Spec.Retention != nil && !run.Spec.DryRun && run.Status.StartedAt == nil && !run.Status.Phase.Finished() {
		return []change{{verb: "cancel", what: "deletion of an announced run"}}
	}
	er, ok := old.(*v1alpha1.ErasureRequest)
	if !ok || (er.Status.Phase != "" && er.Status.Phase != v1alpha1.PhasePending) || er.Spec.Cancelled {
		return nil
	}
	return []change{{verb: "cancel", what: "deletion of a request that is Pending"}}
}

// isNil tells whether there is no object; an interface with a nil pointer in it is none either.
func isNil(obj client.Object) bool { return obj == nil || reflect.ValueOf(obj).IsNil() }

// changedFields are the paths of the spec that differ, never their values.
func changedFields(old, obj client.Object) ([]string, error) {
	before, err := specOf(old)
	if err != nil {
		return nil, err
	}
	after, err := specOf(obj)
	if err != nil {
		return nil, err
	}
	var paths []string
	compare("spec", before, after, &paths)
	sort.Strings(paths)
	return slices.Compact(paths), nil
}

func specOf(obj client.Object) (any, error) {
	text, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	var parts struct {
		Spec any `json:"spec"`
	}
	err = json.Unmarshal(text, &parts)
	return parts.Spec, err
}

func compare(path string, a, b any, paths *[]string) {
	switch before := a.(type) {
	case map[string]any:
		after, ok := b.(map[string]any)
		if !ok {
			break
		}
		for name := range before {
			compare(path+"."+name, before[name], after[name], paths)
		}
		for name := range after {
			if _, has := before[name]; !has {
				*paths = append(*paths, path+"."+name)
			}
		}
		return
	case []any:
		after, ok := b.([]any)
		if !ok || len(after) != len(before) {
			break
		}
		for i := range before {
			compare(fmt.Sprintf("%s[%d]", path, i), before[i], after[i], paths)
		}
		return
	}
	if !reflect.DeepEqual(a, b) {
		*paths = append(*paths, path)
	}
}
