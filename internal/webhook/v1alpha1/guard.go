package v1alpha1

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	admissionv1 "k8s.io/api/admission/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/stamp"
)

// +kubebuilder:rbac:groups=authorization.k8s.io,resources=localsubjectaccessreviews,verbs=create

// guard judges a write: whether the user has the verbs that its changes need, whether four eyes saw it, and then whether
// the object is right. What it decided is on record.
type guard struct {
	*door
	kind  kind
	rules admission.Handler
}

// Handle judges one write.
func (g *guard) Handle(ctx context.Context, req admission.Request) admission.Response {
	old, obj, err := g.decode(g.kind, req)
	if err != nil {
		return g.kind.counted(req, ruling{Response: admission.Errored(http.StatusBadRequest, err), reason: reasonUnreadable})
	}
	changes, err := g.kind.changes(old, obj)
	if err != nil {
		return g.kind.counted(req, ruling{Response: admission.Errored(http.StatusInternalServerError, errNotReadable), reason: reasonUnreadable})
	}
	judged := obj
	if judged == nil {
		judged = old
	}
	ruled, entries := g.judge(ctx, req, judged, changes)
	if ruled.Allowed && g.rules != nil {
		ruled = ruling{Response: g.rules.Handle(ctx, req), reason: reasonRefused}
	}
	if g.kind.governs {
		entries = append(entries, g.attempt(req, judged, changes, ruled.Response)...)
	}
	g.sign(ctx, req, judged, entries)
	return g.kind.counted(req, ruled)
}

// judge asks for the verbs, and for four eyes.
func (g *guard) judge(ctx context.Context, req admission.Request, obj client.Object, changes []change) (ruling, []ledger.Entry) {
	var entries []ledger.Entry
	for _, c := range changes {
		if c.verb == "" {
			continue
		}
		resource, name := g.kind.resource, obj.GetName()
		if c.resource != "" {
			resource, name = c.resource, ""
		}
		allowed, err := g.may(ctx, req, resource, name, c.verb)
		if err != nil {
			return ruling{Response: admission.Errored(http.StatusInternalServerError, errors.New("whether you may do this cannot be checked at the moment; try again")),
				verb: c.verb, reason: reasonUnavailable}, entries
		}
		entries = append(entries, g.decision(req, obj, c, allowed))
		if !allowed {
			return ruling{Response: admission.Denied(fmt.Sprintf("%s needs the verb %q on %s.%s %s in namespace %s; ask somebody whose role grants it",
				c.what, c.verb, resource, v1alpha1.GroupVersion.Group, name, req.Namespace)), verb: c.verb, reason: reasonVerbMissing}, entries
		}
		if c.annotation == v1alpha1.AnnotationApprovedBy {
			if response := g.fourEyes(ctx, req, obj); !response.Allowed {
				return ruling{Response: response, verb: c.verb, reason: reasonFourEyes}, entries
			}
		}
	}
	return ruling{Response: admission.Allowed("")}, entries
}

// may asks the API server's authorizers. When the whole namespace goes away, its requests may go with it.
func (g *guard) may(ctx context.Context, req admission.Request, resource, name, verb string) (bool, error) {
	if req.Operation == admissionv1.Delete {
		var ns corev1.Namespace
		if err := g.live.Get(ctx, client.ObjectKey{Name: req.Namespace}, &ns); err != nil {
			return false, err
		}
		if !ns.DeletionTimestamp.IsZero() {
			return true, nil
		}
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for k, v := range req.UserInfo.Extra {
		extra[k] = authorizationv1.ExtraValue(v)
	}
	// A review of one namespace, which a Role of that namespace may allow the operator.
	review := &authorizationv1.LocalSubjectAccessReview{ObjectMeta: metav1.ObjectMeta{Namespace: req.Namespace}, Spec: authorizationv1.SubjectAccessReviewSpec{
		User: req.UserInfo.Username, UID: req.UserInfo.UID, Groups: req.UserInfo.Groups, Extra: extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: req.Namespace, Verb: verb, Group: v1alpha1.GroupVersion.Group,
			Version: v1alpha1.GroupVersion.Version, Resource: resource, Name: name},
	}}
	if err := g.api.Create(ctx, review); err != nil {
		return false, err
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}

// fourEyes refuses an approval by who asked, where a policy demands that they differ.
func (g *guard) fourEyes(ctx context.Context, req admission.Request, obj client.Object) admission.Response {
	var policies v1alpha1.RetentionPolicyList
	if err := g.cached.List(ctx, &policies, client.InNamespace(req.Namespace)); err != nil {
		return admission.Errored(http.StatusInternalServerError, errors.New("the namespace's policies cannot be read at the moment; try again"))
	}
	demanded := false
	for _, p := range policies.Items {
		demanded = demanded || (p.Spec.Requests != nil && p.Spec.Requests.Approval.FourEyes)
	}
	if er, ok := obj.(*v1alpha1.ErasureRequest); ok && er.Status.Policy != nil {
		demanded = demanded || er.Status.Policy.FourEyes
	}
	if !demanded {
		return admission.Allowed("")
	}
	approval := policy.Approval{Given: true}
	requester, known := g.Sealer.Read(g.kind.name, obj, v1alpha1.AnnotationRequestedBy, "")
	approver, verified := g.Sealer.Read(g.kind.name, obj, v1alpha1.AnnotationApprovedBy, "true")
	same, sameKey := requester.Same(approver.Actor)
	approval.Verified, approval.RequesterKnown, approval.ByRequester = verified, known && sameKey, same
	if req.Operation == admissionv1.Create {
		approval.ByRequester = true // whoever creates it asks
	}
	if v := policy.JudgeFourEyes(approval); v.Action != policy.Proceed {
		return admission.Denied(v.Message)
	}
	return admission.Allowed("")
}

// decision is the record of a permission that was used or refused. A deletion leaves no stamp in the object, so its key is
// one that the controller finds.
func (g *guard) decision(req admission.Request, obj client.Object, c change, allowed bool) ledger.Entry {
	e := ledger.Entry{Key: "access/" + string(req.UID) + "/" + c.verb + "/" + c.what, Kind: ledger.KindAccessDecided, Reason: ledger.ReasonDenied,
		Attributes: map[string]string{"permission": c.verb, "resource": cmp.Or(c.resource, g.kind.resource), "uid": string(obj.GetUID()), "operation": string(req.Operation)}}
	if allowed {
		e.Reason = ledger.ReasonGranted
	}
	if allowed && req.Operation == admissionv1.Delete {
		e.Key = ledger.KeyDeleted(string(obj.GetUID()))
	}
	return e
}

// attempt is the record of a write on an object that governs.
func (g *guard) attempt(req admission.Request, obj client.Object, changes []change, response admission.Response) []ledger.Entry {
	var fields []string
	for _, c := range changes {
		fields = append(fields, c.fields...)
	}
	if len(fields) == 0 && req.Operation != admissionv1.Delete {
		return nil
	}
	e := ledger.Entry{Key: "governance/attempt/" + string(req.UID), Kind: ledger.KindGovernanceAttempted, Reason: ledger.ReasonAdmitted,
		Attributes: map[string]string{"kind": g.kind.name, "uid": string(obj.GetUID()), "operation": string(req.Operation),
			"generation": strconv.FormatInt(obj.GetGeneration(), 10), "fields": ledger.FieldList(fields)}}
	if g.kind.name != "LegalHold" { // the name of a hold may be that of a person
		e.Attributes["name"] = obj.GetName()
	}
	if !response.Allowed {
		e.Reason = ledger.ReasonRefused
	}
	return []ledger.Entry{e}
}

// sign puts the actor into entries and records them.
func (g *guard) sign(ctx context.Context, req admission.Request, obj client.Object, entries []ledger.Entry) {
	if len(entries) == 0 || (req.DryRun != nil && *req.DryRun) {
		return
	}
	actor, err := g.actor(ctx, req, obj)
	if err != nil {
		actor = stamp.Actor{User: v1alpha1.ActorUnknown}
	}
	for i := range entries {
		entries[i].Actor = actor.User
		if len(actor.Groups) > 0 {
			entries[i].Attributes[ledger.AttributeGroups] = ledger.GroupList(actor.Groups)
		}
	}
	g.record(ctx, req, entries...)
}
