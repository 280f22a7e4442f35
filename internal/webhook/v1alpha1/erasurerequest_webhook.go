package v1alpha1

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/pseudonym"
)

// indexUnfinishedSubject has the requests that are not finished, by a short hash of their normalised subject id: an entry for
// each subject would take more memory than the requests. It lives in the cache's memory alone.
const indexUnfinishedSubject = "unfinishedSubject"

// subjectHashes is how many of these hashes there are.
const subjectHashes = 4096

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
	subject := pseudonym.Normalize(er.Spec.Subject.ID)
	var unfinished v1alpha1.ErasureRequestList
	err := v.requests.List(ctx, &unfinished, client.InNamespace(er.Namespace), client.MatchingFields{indexUnfinishedSubject: subjectHash(subject)})
	if err != nil {
		return nil, errors.New("the namespace's requests cannot be read at the moment, so nobody knows whether one of them covers this subject; try again")
	}
	others := slices.DeleteFunc(unfinished.Items, func(er v1alpha1.ErasureRequest) bool { return pseudonym.Normalize(er.Spec.Subject.ID) != subject })
	if first := oldest(others); first != nil && first.Name != er.Name { // of its own name the API server speaks itself
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
	return []string{subjectHash(pseudonym.Normalize(er.Spec.Subject.ID))}
}

func subjectHash(subject string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(subject)) // a hash never fails
	return strconv.Itoa(int(h.Sum32() % subjectHashes))
}
