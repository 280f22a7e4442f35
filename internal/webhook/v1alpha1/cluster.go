package v1alpha1

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/internal/selfsigned"
)

const (
	// ClusterConfigurationName is that of the configurations in config/webhook.
	ClusterConfigurationName = "lethe-admission"
	// ServiceName is that of the Service in config/webhook.
	ServiceName = "lethe-webhook"
	// serviceNamespace of the manifests; kustomize may change it.
	serviceNamespace = "lethe-system"
)

// The operator may tell two configurations, by their names, which certificate to trust. It cannot make others.
//
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=mutatingwebhookconfigurations;validatingwebhookconfigurations,resourceNames=lethe-admission,verbs=get;update

// ClusterOptions say where the webhooks are served in a cluster.
type ClusterOptions struct {
	// Address to listen on, for example ":9443".
	Address string
	// DNSNames of the Service, for the certificate that the operator makes.
	DNSNames []string
	// CertificateFolder has tls.crt and tls.key where something else makes the certificate, such as cert-manager, and tells
	// the API server to trust it. Empty: the operator does both.
	CertificateFolder string
}

// SetupCluster adds the webhooks to the manager, for a Service of the cluster.
func SetupCluster(ctx context.Context, mgr ctrl.Manager, c ClusterOptions, o Options) error {
	d, err := newDoor(ctx, mgr, o)
	if err != nil {
		return err
	}
	l := &Server{cluster: true, address: c.Address, clock: o.Clock, log: d.log, reader: mgr.GetAPIReader(), writer: mgr.GetClient(),
		handler: d.mux(mgr.GetScheme()), certificates: selfsigned.Certificates{Names: selfsigned.Names{DNS: c.DNSNames}}}
	if c.CertificateFolder != "" {
		l.mounted, err = certwatcher.New(filepath.Join(c.CertificateFolder, "tls.crt"), filepath.Join(c.CertificateFolder, "tls.key"))
		if err != nil {
			return fmt.Errorf("the webhooks' certificate in %s: %w", c.CertificateFolder, err)
		}
	}
	if err := mgr.AddReadyzCheck("admission", l.ready); err != nil {
		return err
	}
	return mgr.Add(l)
}

// inject tells the configurations which certificate to trust. Everything else in them is the installation's.
func (l *Server) inject(ctx context.Context) error {
	bundle := l.certificates.Bundle()
	key := client.ObjectKey{Name: ClusterConfigurationName}
	var mutating admissionregistrationv1.MutatingWebhookConfiguration
	if err := l.reader.Get(ctx, key, &mutating); err != nil {
		return fmt.Errorf("MutatingWebhookConfiguration %s (config/webhook has it): %w", key.Name, err)
	}
	changed := false
	for i := range mutating.Webhooks {
		changed = trust(&mutating.Webhooks[i].ClientConfig, bundle) || changed
	}
	if changed {
		if err := l.writer.Update(ctx, &mutating); err != nil {
			return err
		}
	}
	var validating admissionregistrationv1.ValidatingWebhookConfiguration
	if err := l.reader.Get(ctx, key, &validating); err != nil {
		return fmt.Errorf("ValidatingWebhookConfiguration %s (config/webhook has it): %w", key.Name, err)
	}
	changed = false
	for i := range validating.Webhooks {
		changed = trust(&validating.Webhooks[i].ClientConfig, bundle) || changed
	}
	if !changed {
		return nil
	}
	return l.writer.Update(ctx, &validating)
}

func trust(c *admissionregistrationv1.WebhookClientConfig, bundle []byte) (changed bool) {
	changed = !bytes.Equal(c.CABundle, bundle)
	c.CABundle = bundle
	return changed
}

// Manifests are the configurations of config/webhook, as YAML.
func Manifests() ([]byte, error) {
	mutating, validating := configurations(ClusterConfigurationName, func(path string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{
			Namespace: serviceNamespace, Name: ServiceName, Path: &path, Port: new(int32(443))}}
	})
	delete(mutating.Labels, "app.kubernetes.io/managed-by")
	delete(validating.Labels, "app.kubernetes.io/managed-by")
	mutating.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind("MutatingWebhookConfiguration"))
	validating.SetGroupVersionKind(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
	var out bytes.Buffer
	for _, c := range []any{mutating, validating} {
		text, err := yaml.Marshal(c)
		if err != nil {
			return nil, err
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}
