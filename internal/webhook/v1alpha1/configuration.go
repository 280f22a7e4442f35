package v1alpha1

import (
	"bytes"
	"context"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// ConfigurationName is the ValidatingWebhookConfiguration that sends the API server to the loopback address.
const ConfigurationName = "lethe-loopback"

// timeoutSeconds after which the API server gives up, and refuses.
const timeoutSeconds = 5

// pathOf is where a resource is validated.
func pathOf(resource string) string { return "/validate/" + resource }

// configuration is what the API server is told. It fails closed: without an answer nothing is stored. Only creations and
// changes of the spec are asked for, so that status, finalizers and annotations never wait for this process.
func configuration(baseURL string, bundle []byte) *admissionregistrationv1.ValidatingWebhookConfiguration {
	const create, update = admissionregistrationv1.Create, admissionregistrationv1.Update
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: ConfigurationName, Labels: map[string]string{"app.kubernetes.io/managed-by": "lethe"}},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{
			validatingWebhook("erasurerequests", baseURL, bundle, create, update),
			validatingWebhook("retentionpolicies", baseURL, bundle, create, update),
			validatingWebhook("legalholds", baseURL, bundle, create, update),
			validatingWebhook("deletionruns", baseURL, bundle, create),
		},
	}
}

// validatingWebhook writes out every default, so that what is stored can be compared with it.
func validatingWebhook(resource, baseURL string, bundle []byte, operations ...admissionregistrationv1.OperationType) admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		Name:         resource + "." + v1alpha1.GroupVersion.Group,
		ClientConfig: admissionregistrationv1.WebhookClientConfig{URL: new(baseURL + pathOf(resource)), CABundle: bundle},
		Rules: []admissionregistrationv1.RuleWithOperations{{
			Operations: operations,
			Rule: admissionregistrationv1.Rule{
				APIGroups:   []string{v1alpha1.GroupVersion.Group},
				APIVersions: []string{v1alpha1.GroupVersion.Version},
				Resources:   []string{resource},
				Scope:       new(admissionregistrationv1.NamespacedScope),
			},
		}},
		FailurePolicy:           new(admissionregistrationv1.Fail),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       &metav1.LabelSelector{},
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          new(int32(timeoutSeconds)),
		AdmissionReviewVersions: []string{"v1"},
		MatchConditions: []admissionregistrationv1.MatchCondition{{
			Name: "spec-is-new", Expression: "oldObject == null || object.spec != oldObject.spec",
		}},
	}
}

// install creates the configuration, or brings one that differs to what it should be: that of a process which was killed,
// or one that somebody changed.
func (l *Loopback) install(ctx context.Context) error {
	bundle := l.certificates.bundle()
	want := configuration(l.url, bundle)
	var found admissionregistrationv1.ValidatingWebhookConfiguration
	err := l.reader.Get(ctx, client.ObjectKeyFromObject(want), &found)
	switch {
	case apierrors.IsNotFound(err):
		err = l.writer.Create(ctx, want)
	case err == nil && !equality.Semantic.DeepEqual(found.Webhooks, want.Webhooks):
		found.Webhooks = want.Webhooks
		err = l.writer.Update(ctx, &found)
	}
	if err == nil {
		l.written = bundle
	}
	return err
}

// remove deletes the configuration, unless another process has made it its own since.
func (l *Loopback) remove(ctx context.Context) error {
	var found admissionregistrationv1.ValidatingWebhookConfiguration
	if err := l.reader.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &found); err != nil {
		return client.IgnoreNotFound(err)
	}
	if len(found.Webhooks) == 0 || !bytes.Equal(found.Webhooks[0].ClientConfig.CABundle, l.written) {
		return nil
	}
	return client.IgnoreNotFound(l.writer.Delete(ctx, &found, client.Preconditions{UID: &found.UID, ResourceVersion: &found.ResourceVersion}))
}
