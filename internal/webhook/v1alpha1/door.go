package v1alpha1

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/stamp"
)

// Options of the webhooks.
type Options struct {
	// Clock that stamps and certificates are compared with by the API server's: the real one wherever that one is real.
	Clock clock.WithTicker
	// Keys has the pseudonym keys of the namespaces.
	Keys keys.Store
	// Sealer seals who made a change.
	Sealer *stamp.Sealer
	// RuleCounts tells how many records fall due by each rule of a policy within its notice period, and what is wrong with rules.
	// Optional.
	RuleCounts func(ctx context.Context, p *v1alpha1.RetentionPolicy) (map[string]int64, []retention.Problem, error)
	// Journal takes the record of attempts; nil keeps none.
	Journal *journal.Journal
}

// door is what all handlers share.
type door struct {
	Options
	log logr.Logger
	// cached lags behind by a moment.
	cached client.Reader
	// api speaks to the API server.
	api     client.Client
	live    client.Reader
	decoder admission.Decoder
	// operator is the user as which the operator itself speaks to the API server.
	operator string
}

func newDoor(ctx context.Context, mgr ctrl.Manager, o Options) (*door, error) {
	self := &authenticationv1.SelfSubjectReview{}
	if err := mgr.GetClient().Create(ctx, self); err != nil {
		return nil, fmt.Errorf("as whom the operator speaks to the API server: %w", err)
	}
	if err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.ErasureRequest{}, indexUnfinishedSubject, unfinishedSubject); err != nil {
		return nil, fmt.Errorf("index of subjects: %w", err)
	}
	return &door{Options: o, log: mgr.GetLogger().WithName("admission"), cached: mgr.GetClient(), api: mgr.GetClient(), live: mgr.GetAPIReader(),
		decoder: admission.NewDecoder(mgr.GetScheme()), operator: self.Status.UserInfo.Username}, nil
}

// handlers by path: for each kind one that stamps and one that judges.
func (d *door) handlers(scheme *runtime.Scheme) map[string]http.Handler {
	rules := map[string]admission.Handler{
		"erasurerequests":   admission.WithValidator(scheme, &erasureRequestValidator{requests: d.cached, operator: d.operator}).Handler,
		"retentionpolicies": admission.WithValidator(scheme, &retentionPolicyValidator{policies: d.cached, counts: d.RuleCounts}).Handler,
		"legalholds":        admission.WithValidator(scheme, legalHoldValidator{}).Handler,
		"complianceexports": admission.WithValidator(scheme, complianceExportValidator{}).Handler,
		"deletionruns":      admission.WithValidator(scheme, &deletionRunValidator{policies: d.cached, operator: d.operator}).Handler,
	}
	out := map[string]http.Handler{}
	for _, k := range kinds {
		out[mutatePath(k.resource)] = &admission.Webhook{Handler: &stamper{door: d, kind: k}}
		out[pathOf(k.resource)] = &admission.Webhook{Handler: &guard{door: d, kind: k, rules: rules[k.resource]}}
	}
	return out
}

// mux serves the handlers.
func (d *door) mux(scheme *runtime.Scheme) *http.ServeMux {
	mux := http.NewServeMux()
	for path, handler := range d.handlers(scheme) {
		mux.Handle(path, handler)
	}
	return mux
}

// decode reads the object before and after a write; what is not there is nil.
func (d *door) decode(k kind, req admission.Request) (old, obj client.Object, err error) {
	if len(req.OldObject.Raw) > 0 {
		old = k.new()
		if err := d.decoder.DecodeRaw(req.OldObject, old); err != nil {
			return nil, nil, errNotReadable
		}
	}
	if len(req.Object.Raw) > 0 && req.Operation != admissionv1.Delete {
		obj = k.new()
		if err := d.decoder.DecodeRaw(req.Object, obj); err != nil {
			return nil, nil, errNotReadable
		}
	}
	return old, obj, nil
}

var errNotReadable = errors.New("the object cannot be read")

// actor is who asks, in the form that the namespace's policy allows.
func (d *door) actor(ctx context.Context, req admission.Request, obj client.Object) (stamp.Actor, error) {
	dry := req.DryRun != nil && *req.DryRun
	get := d.Keys.Ensure
	if dry {
		get = d.Keys.Get
	}
	key, err := get(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: req.Namespace})
	if err != nil {
		return stamp.Actor{}, err
	}
	pseudonymous, err := d.pseudonymous(ctx, req.Namespace, obj)
	if err != nil {
		return stamp.Actor{}, err
	}
	return stamp.NewActor(key, req.UserInfo.Username, req.UserInfo.Groups, pseudonymous), nil
}

// pseudonymous tells whether a policy of the namespace, or one that is just being written, wants pseudonyms.
func (d *door) pseudonymous(ctx context.Context, namespace string, obj client.Object) (bool, error) {
	var policies v1alpha1.RetentionPolicyList
	if err := d.cached.List(ctx, &policies, client.InNamespace(namespace)); err != nil {
		return false, err
	}
	if p, ok := obj.(*v1alpha1.RetentionPolicy); ok && p != nil {
		policies.Items = append(policies.Items, *p)
	}
	for _, p := range policies.Items {
		if p.Spec.Requests != nil && p.Spec.Requests.Actors == v1alpha1.ActorsPseudonymous {
			return true, nil
		}
	}
	return false, nil
}

// record appends to the ledger what somebody tried. It never keeps anybody from anything: what was applied is recorded by
// the controllers.
func (d *door) record(ctx context.Context, req admission.Request, entries ...ledger.Entry) {
	if d.Journal == nil || len(entries) == 0 || (req.DryRun != nil && *req.DryRun) {
		return
	}
	if err := d.Journal.Record(ctx, req.Namespace, entries); err != nil {
		d.log.Info("an attempt is not in the ledger", "resource", req.Resource.Resource, "namespace", req.Namespace)
	}
}
