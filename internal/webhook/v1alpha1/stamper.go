package v1alpha1

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"gomodules.xyz/jsonpatch/v2"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/stamp"
)

// stamper writes into an object who made a change, over whatever the client put there.
type stamper struct {
	*door
	kind kind
}

// Handle stamps one write.
func (s *stamper) Handle(ctx context.Context, req admission.Request) admission.Response {
	old, obj, err := s.decode(s.kind, req)
	if err != nil || obj == nil {
		return s.kind.counted(req, ruling{Response: admission.Errored(http.StatusBadRequest, errNotReadable), reason: reasonUnreadable})
	}
	want, err := s.stamps(ctx, req, old, obj)
	if err != nil {
		// A hold is taken whatever is wrong here; nobody will be able to tell who placed it.
		if s.kind.resource == "legalholds" && req.Operation == admissionv1.Create {
			s.log.Info("a hold is taken without a stamp of who placed it", "namespace", req.Namespace)
			return admission.Allowed("")
		}
		return s.kind.counted(req, ruling{Response: admission.Errored(http.StatusInternalServerError, errors.New("who makes this change cannot be recorded at the moment; try again")),
			reason: reasonUnstamped})
	}
	if maps.Equal(want, obj.GetAnnotations()) {
		return admission.Allowed("")
	}
	return admission.Patched("", jsonpatch.NewOperation("add", "/metadata/annotations", want))
}

// stamps are the annotations that the object is to have: those of earlier changes as they were, and those of this one.
func (s *stamper) stamps(ctx context.Context, req admission.Request, old, obj client.Object) (map[string]string, error) {
	want := map[string]string{}
	maps.Copy(want, obj.GetAnnotations())
	for _, a := range v1alpha1.StampAnnotations() {
		delete(want, a)
		if old == nil {
			continue
		}
		if text, has := old.GetAnnotations()[a]; has {
			want[a] = text
		}
	}
	changes, err := s.kind.changes(old, obj)
	if err != nil || len(changes) == 0 {
		return want, err
	}
	actor, err := s.actor(ctx, req, obj)
	if errors.Is(err, keys.ErrNotFound) && req.DryRun != nil && *req.DryRun {
		return want, nil // the namespace's key is made by the first real write
	}
	if err != nil {
		return nil, err
	}
	if obj.GetNamespace() == "" {
		obj.SetNamespace(req.Namespace)
	}
	for _, c := range changes {
		if c.annotation == "" {
			continue
		}
		text, err := s.Sealer.Seal(s.kind.name, obj, c.annotation, c.value, stamp.Stamp{Actor: actor, Time: s.Clock.Now(), Fields: c.fields})
		if err != nil {
			return nil, err
		}
		want[c.annotation] = text
	}
	return want, nil
}
