package v1alpha1

import (
	"bytes"
	"context"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// ConfigurationName is that of the Mutating- and the ValidatingWebhookConfiguration that send the API server to the
// loopback address.
const ConfigurationName = "lethe-loopback"

// timeoutSeconds after which the API server gives up, and refuses.
const timeoutSeconds = 5

// pathOf is where a resource is validated, mutatePath where it is stamped.
func pathOf(resource string) string     { return "/validate/" + resource }
func mutatePath(resource string) string { return "/mutate/" + resource }

// hook is one entry of a configuration: what the API server asks about, and whether it refuses what it cannot ask about.
type hook struct {
	name, resource string
	operations     []admissionregistrationv1.OperationType
	failure        admissionregistrationv1.FailurePolicyType
}

// hooks are the entries: for stamping without deletions, which leave nothing to stamp. They fail closed, but for a new
// hold, which must be possible whatever is away, and for the deletion of what needs no verb, which only puts it on record.
func hooks(mutating bool) []hook {
	const create, update, remove = admissionregistrationv1.Create, admissionregistrationv1.Update, admissionregistrationv1.Delete
	const fail, ignore = admissionregistrationv1.Fail, admissionregistrationv1.Ignore
	var out []hook
	add := func(k kind, suffix string, failure admissionregistrationv1.FailurePolicyType, operations ...admissionregistrationv1.OperationType) {
		out = append(out, hook{k.resource + suffix + "." + v1alpha1.GroupVersion.Group, k.resource, operations, failure})
	}
	for _, k := range kinds {
		switch {
		case k.resource == "legalholds":
			add(k, "-create", ignore, create)
			add(k, "", fail, update)
		case k.resource == "erasurerequests" && !mutating:
			add(k, "", fail, create, update, remove)
		default:
			add(k, "", fail, create, update)
		}
		if k.governs && !mutating {
			add(k, "-delete", ignore, remove)
		}
	}
	return out
}

// spoken lists the annotations that mean something to the door, as CEL.
func spoken() string {
	names := append(v1alpha1.StampAnnotations(), v1alpha1.AnnotationAbandon)
	return "['" + strings.Join(names, "', '") + "']"
}

// matchConditions: only creations, deletions, changes of the spec and of what people answer for are asked about, so that
// status, finalizers and other annotations never wait for this process.
func matchConditions() []admissionregistrationv1.MatchCondition {
	return []admissionregistrationv1.MatchCondition{{
		Name: "somebody-answers-for-it",
		Expression: "oldObject == null || object == null || object.spec != oldObject.spec || " +
			spoken() + ".exists(a, object.metadata.?annotations[?a] != oldObject.metadata.?annotations[?a])",
	}}
}

func (h hook) rules() []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: h.operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups:   []string{v1alpha1.GroupVersion.Group},
			APIVersions: []string{v1alpha1.GroupVersion.Version},
			Resources:   []string{h.resource},
			Scope:       new(admissionregistrationv1.NamespacedScope),
		},
	}}
}

// mutatingWebhooks and validatingWebhooks write out every default, so that what is stored can be compared with them.
func mutatingWebhooks(at func(path string) admissionregistrationv1.WebhookClientConfig) []admissionregistrationv1.MutatingWebhook {
	var out []admissionregistrationv1.MutatingWebhook
	for _, h := range hooks(true) {
		out = append(out, admissionregistrationv1.MutatingWebhook{
			Name: h.name, ClientConfig: at(mutatePath(h.resource)), Rules: h.rules(), FailurePolicy: new(h.failure),
			MatchPolicy:       new(admissionregistrationv1.Equivalent),
			NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
			SideEffects:    new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds: new(int32(timeoutSeconds)), AdmissionReviewVersions: []string{"v1"},
			// Another webhook may change the spec after this one has sealed it.
			ReinvocationPolicy: new(admissionregistrationv1.IfNeededReinvocationPolicy),
			MatchConditions:    matchConditions(),
		})
	}
	return out
}

func validatingWebhooks(at func(path string) admissionregistrationv1.WebhookClientConfig) []admissionregistrationv1.ValidatingWebhook {
	var out []admissionregistrationv1.ValidatingWebhook
	for _, h := range hooks(false) {
		out = append(out, admissionregistrationv1.ValidatingWebhook{
			Name: h.name, ClientConfig: at(pathOf(h.resource)), Rules: h.rules(), FailurePolicy: new(h.failure),
			MatchPolicy:       new(admissionregistrationv1.Equivalent),
			NamespaceSelector: &metav1.LabelSelector{}, ObjectSelector: &metav1.LabelSelector{},
			SideEffects:    new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds: new(int32(timeoutSeconds)), AdmissionReviewVersions: []string{"v1"},
			MatchConditions: matchConditions(),
		})
	}
	return out
}

// configurations are what the API server is told.
func configurations(name string, at func(path string) admissionregistrationv1.WebhookClientConfig) (*admissionregistrationv1.MutatingWebhookConfiguration, *admissionregistrationv1.ValidatingWebhookConfiguration) {
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "lethe"}}
	return &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: mutatingWebhooks(at)},
		&admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: *meta.DeepCopy(), Webhooks: validatingWebhooks(at)}
}

// loopbackAt sends the API server to an address of its own machine.
func loopbackAt(baseURL string, bundle []byte) func(path string) admissionregistrationv1.WebhookClientConfig {
	return func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{URL: new(baseURL + path), CABundle: bundle}
	}
}

// install creates the configurations, or brings those that differ to what they should be: those of a process which was
// killed, or that somebody changed. Stamping comes first: nothing is to be judged without it.
func (l *Server) install(ctx context.Context) error {
	bundle := l.certificates.Bundle()
	mutating, validating := configurations(ConfigurationName, loopbackAt(l.url, bundle))
	var foundMutating admissionregistrationv1.MutatingWebhookConfiguration
	err := l.mend(ctx, mutating, &foundMutating, func() bool {
		same := equality.Semantic.DeepEqual(foundMutating.Webhooks, mutating.Webhooks)
		foundMutating.Webhooks = mutating.Webhooks
		return same
	})
	if err != nil {
		return err
	}
	var found admissionregistrationv1.ValidatingWebhookConfiguration
	err = l.mend(ctx, validating, &found, func() bool {
		same := equality.Semantic.DeepEqual(found.Webhooks, validating.Webhooks)
		found.Webhooks = validating.Webhooks
		return same
	})
	if err == nil {
		l.written = bundle
	}
	return err
}

// mend creates an object, or updates the one found unless bring says that it was right already.
func (l *Server) mend(ctx context.Context, want, found client.Object, bring func() bool) error {
	err := l.reader.Get(ctx, client.ObjectKeyFromObject(want), found)
	switch {
	case apierrors.IsNotFound(err):
		return l.writer.Create(ctx, want)
	case err != nil || bring():
		return err
	}
	return l.writer.Update(ctx, found)
}

// remove deletes the configurations, unless another process has made them its own since: what judges first, since what it
// would judge is not stamped any more then.
func (l *Server) remove(ctx context.Context) error {
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	err := l.removeOne(ctx, &validating, func() []byte {
		if len(validating.Webhooks) == 0 {
			return nil
		}
		return validating.Webhooks[0].ClientConfig.CABundle
	})
	if err != nil {
		return err
	}
	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	return l.removeOne(ctx, &mutating, func() []byte {
		if len(mutating.Webhooks) == 0 {
			return nil
		}
		return mutating.Webhooks[0].ClientConfig.CABundle
	})
}

func (l *Server) removeOne(ctx context.Context, found client.Object, bundle func() []byte) error {
	if err := l.reader.Get(ctx, client.ObjectKey{Name: ConfigurationName}, found); err != nil {
		return client.IgnoreNotFound(err)
	}
	if !bytes.Equal(bundle(), l.written) {
		return nil
	}
	return client.IgnoreNotFound(l.writer.Delete(ctx, found, client.Preconditions{UID: new(found.GetUID()), ResourceVersion: new(found.GetResourceVersion())}))
}
