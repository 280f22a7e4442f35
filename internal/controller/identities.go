package controller

import (
	"context"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/state"
)

// Identities reads the identities of subjects. The values leave this process only towards the stores.
type Identities struct {
	// Client reads maps; Secrets reads Secrets one by one, uncached.
	Client, Secrets client.Reader
	Stores          executor.Stores
	Pseudonyms      *Pseudonyms
}

// Of reads the subject's identities and their keyed digest. What was confirmed, and perhaps approved, is what is erased:
// identities that changed since are refused.
func (r *Identities) Of(ctx context.Context, er *v1alpha1.ErasureRequest, record *state.Request) (map[string][]string, string, error) {
	read := r.fromSecret
	if er.Spec.Subject.IdentitiesFromRecords {
		read = r.fromRecords
	}
	identities, err := read(ctx, er)
	if err != nil {
		return nil, "", err
	}
	identities[v1alpha1.IdentityID] = []string{er.Spec.Subject.ID} // the request's own, nothing widens it
	mac, err := r.Pseudonyms.Identities(ctx, er.Namespace, identities)
	if err != nil {
		return nil, "", err
	}
	if record != nil && record.IdentitiesMAC != "" && record.IdentitiesMAC != mac {
		return nil, "", fault.Waitingf(v1alpha1.ReasonIdentitiesRefused, time.Minute,
			"the identities were changed after the request was confirmed; restore them, or cancel this request and create another one")
	}
	return identities, mac, nil
}

func (r *Identities) fromSecret(ctx context.Context, er *v1alpha1.ErasureRequest) (map[string][]string, error) {
	identities := map[string][]string{}
	if er.Spec.Subject.IdentitiesSecretRef == nil {
		return identities, nil
	}
	secret, err := identitiesSecret(ctx, r.Secrets, er)
	if err != nil {
		return nil, err
	}
	for name, value := range secret.Data {
		identities[name] = nil // said, even when the person has none
		for line := range strings.Lines(string(value)) {
			if line = strings.TrimSpace(line); line != "" {
				identities[name] = append(identities[name], line)
			}
		}
	}
	return identities, nil
}

// fromRecords takes the identities from the root records that the id leads to.
func (r *Identities) fromRecords(ctx context.Context, er *v1alpha1.ErasureRequest) (map[string][]string, error) {
	identities, _, err := r.lookUp(ctx, er)
	return identities, err
}

// Known tells whether there is a root record that the request's id leads to.
func (r *Identities) Known(ctx context.Context, er *v1alpha1.ErasureRequest) (bool, error) {
	_, known, err := r.lookUp(ctx, er)
	return known, err
}

func (r *Identities) lookUp(ctx context.Context, er *v1alpha1.ErasureRequest) (identities map[string][]string, known bool, err error) {
	maps, v, err := readyMaps(ctx, r.Client, er)
	if err == nil && v.Action != policy.Proceed {
		err = &fault.Waiting{Reason: v.Reason, Message: v.Message, After: v.After}
	}
	if err != nil {
		return nil, false, err
	}
	return executor.IdentitiesFromRecords(ctx, r.Stores, er.Namespace, maps, er.Spec.Subject.ID)
}

// identitiesSecret reads the Secret and refuses one that is not meant for this request.
func identitiesSecret(ctx context.Context, secrets client.Reader, er *v1alpha1.ErasureRequest) (*corev1.Secret, error) {
	name := er.Spec.Subject.IdentitiesSecretRef.Name
	var secret corev1.Secret
	err := secrets.Get(ctx, types.NamespacedName{Namespace: er.Namespace, Name: name}, &secret)
	v := policy.Verdict{Action: policy.Proceed}
	switch {
	case apierrors.IsNotFound(err):
		v = policy.IdentitiesMissing(name)
	case err != nil:
		return nil, err
	default:
		v = policy.CheckIdentities(name, string(secret.Type), secret.Annotations[v1alpha1.AnnotationRequest], er.Name)
	}
	if v.Action != policy.Proceed {
		return nil, &fault.Waiting{Reason: v.Reason, Message: v.Message, After: v.After}
	}
	return &secret, nil
}
