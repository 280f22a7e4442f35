package v1alpha1

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/pseudonym"
)

// indexUnfinishedSubject has the requests that are not finished, by their normalised subject id. It lives in the cache's
// memory alone.
const indexUnfinishedSubject = "unfinishedSubject"

// erasureRequestValidator refuses requests with identities in them, and a second one for a subject.
type erasureRequestValidator struct {
	permissive[*v1alpha1.ErasureRequest]
	// requests is a cache with the index indexUnfinishedSubject. It may lag behind: two requests that are created at once
	// may both pass, then the controller's claim decides.
	requests client.Reader
	// operator is the user as which the operator itself speaks to the API server. Requests that it makes for a run end as
	// duplicates where another one covers the subject.
	operator string
}

// ValidateCreate refuses a bad spec and a second request for the same subject.
func (v *erasureRequestValidator) ValidateCreate(ctx context.Context, er *v1alpha1.ErasureRequest) (admission.Warnings, error) {
	if err := refusal(policy.CheckSpec(er.Spec)); err != nil {
		return nil, err
	}
	if req, err := admission.RequestFromContext(ctx); err == nil && v.operator != "" && req.UserInfo.Username == v.operator {
		return nil, nil
	}
	var unfinished v1alpha1.ErasureRequestList
	err := v.requests.List(ctx, &unfinished, client.InNamespace(er.Namespace),
		client.MatchingFields{indexUnfinishedSubject: pseudonym.Normalize(er.Spec.Subject.ID)})
	if err != nil {
		return nil, errors.New("the namespace's requests cannot be read at the moment, so nobody knows whether one of them covers this subject; try again")
	}
	if first := oldest(unfinished.Items); first != nil && first.Name != er.Name { // of its own name the API server speaks itself
		return nil, fmt.Errorf("ErasureRequest %s covers this subject already and is not finished; let it finish, or cancel it before you create another one", first.Name)
	}
	return nil, nil
}

// ValidateUpdate refuses a bad spec that was good before.
func (v *erasureRequestValidator) ValidateUpdate(_ context.Context, old, er *v1alpha1.ErasureRequest) (admission.Warnings, error) {
	return judgeChange(refusal(policy.CheckSpec(old.Spec)), refusal(policy.CheckSpec(er.Spec)))
}

// oldest is the request that came first.
func oldest(requests []v1alpha1.ErasureRequest) *v1alpha1.ErasureRequest {
	var first *v1alpha1.ErasureRequest
	for i := range requests {
		r := &requests[i]
		if first == nil || r.CreationTimestamp.Before(&first.CreationTimestamp) ||
			(r.CreationTimestamp.Equal(&first.CreationTimestamp) && r.Name < first.Name) {
			first = r
		}
	}
	return first
}

// unfinishedSubject is the key of a request in indexUnfinishedSubject: as the controller's claims compare subjects, and for
// as long as they hold.
func unfinishedSubject(obj client.Object) []string {
	er, ok := obj.(*v1alpha1.ErasureRequest)
	if !ok || er.Status.Phase.Finished() {
		return nil
	}
	if er.Status.Phase == v1alpha1.PhaseFailed {
		ready := meta.FindStatusCondition(er.Status.Conditions, v1alpha1.ConditionReady)
		if ready != nil && (ready.Reason == v1alpha1.ReasonAbandoned || ready.Reason == v1alpha1.ReasonNamespaceDeleted) {
			return nil
		}
	}
	return []string{pseudonym.Normalize(er.Spec.Subject.ID)}
}
