package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	webhookv1alpha1 "github.com/lethe-dev/lethe/internal/webhook/v1alpha1"
)

// oldestKubernetes is the first version with match conditions of webhooks, without which every write of a status would
// wait for the operator.
var oldestKubernetes = version.MajorMinor(1, 30)

// begin refuses what cannot work, and then shows that this process does not have the vault yet.
func begin(ctx context.Context, restConfig *rest.Config, c client.Client, o Options) error {
	if err := o.checkNamespaces(); err != nil {
		return err
	}
	if err := preflight(ctx, restConfig, c, o); err != nil {
		return err
	}
	return showRole(ctx, c, o, roleStandby)
}

// preflight refuses a cluster that this operator cannot serve, before it touches anything.
func preflight(ctx context.Context, restConfig *rest.Config, c client.Client, o Options) error {
	api, err := discovery.NewDiscoveryClientForConfig(restConfig)
	if err != nil {
		return fmt.Errorf("the Kubernetes API: %w", err)
	}
	info, err := api.ServerVersion()
	if err != nil {
		return fmt.Errorf("the version of the Kubernetes API: %w", err)
	}
	if err := checkVersion(info.GitVersion); err != nil {
		return err
	}
	served, err := api.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("the API group %s: %w", v1alpha1.GroupVersion, err)
	}
	if err := checkKinds(o, served); err != nil {
		return err
	}
	return checkAlone(ctx, c, o)
}

// checkVersion takes what it cannot read for new enough.
func checkVersion(text string) error {
	found, err := version.ParseGeneric(text)
	if err != nil || found.AtLeast(oldestKubernetes) {
		return nil
	}
	return fmt.Errorf("this cluster has Kubernetes %s, and Lethe needs %s or newer: upgrade the cluster", text, oldestKubernetes)
}

// checkKinds tells which kinds of Lethe the API server does not know.
func checkKinds(o Options, served *metav1.APIResourceList) error {
	known := map[string]bool{}
	if served != nil {
		for _, r := range served.APIResources {
			known[r.Kind] = true
		}
	}
	types := o.Scheme.KnownTypes(v1alpha1.GroupVersion)
	var missing []string
	for kind := range types {
		if _, stored := types[kind+"List"]; stored && !known[kind] {
			missing = append(missing, kind)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("this cluster has no CustomResourceDefinitions of %s for %s: install those of this version (crds.enabled of the chart, or kubectl apply --server-side -k config/crd)",
		v1alpha1.GroupVersion, strings.Join(missing, ", "))
}

// checkAlone refuses to serve a cluster whose webhooks ask another installation: two operators with two ledgers do not know
// each other's holds.
func checkAlone(ctx context.Context, c client.Client, o Options) error {
	if o.Admission != AdmissionCluster || len(o.Namespaces) > 0 {
		return nil
	}
	var found admissionregistrationv1.ValidatingWebhookConfiguration
	err := c.Get(ctx, client.ObjectKey{Name: webhookv1alpha1.ClusterConfigurationName}, &found)
	if apierrors.IsNotFound(err) {
		return nil // not ready until it is there
	}
	if err != nil {
		return fmt.Errorf("ValidatingWebhookConfiguration %s: %w", webhookv1alpha1.ClusterConfigurationName, err)
	}
	for _, w := range found.Webhooks {
		if s := w.ClientConfig.Service; s != nil && s.Namespace != o.Namespace {
			return fmt.Errorf("ValidatingWebhookConfiguration %s leads to an installation of Lethe in namespace %s, and this one is in %s: a cluster has one for all namespaces; uninstall one of them, or keep one to --namespaces that the other does not serve",
				found.Name, s.Namespace, o.Namespace)
		}
	}
	return nil
}

// Of several replicas the one that has the vault shows it by a label of its Pod, by which Services find it: the others are
// ready to take over, and answer nobody.
const (
	labelRole   = "privacy.lethe.dev/role"
	roleActive  = "active"
	roleStandby = "standby"
)

// takesTurns tells whether another process can take over.
func (o Options) takesTurns() bool { return o.LedgerURLFile != "" }

// showRole labels the operator's own Pod.
func showRole(ctx context.Context, c client.Client, o Options, role string) error {
	if !o.takesTurns() || o.Pod == "" {
		return nil
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: o.Pod, Namespace: o.Namespace}}
	patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%q}}}`, labelRole, role)
	err := c.Patch(ctx, pod, client.RawPatch(types.MergePatchType, []byte(patch)))
	if apierrors.IsNotFound(err) {
		return nil // beside a cluster, or gone already
	}
	if err != nil {
		return fmt.Errorf("the label %s of the operator's own Pod %s, by which Services find it: %w", labelRole, o.Pod, err)
	}
	return nil
}

// checkNamespaces refuses what needs rights over the whole cluster where the operator is kept to some namespaces.
func (o Options) checkNamespaces() error {
	if len(o.Namespaces) == 0 {
		return nil
	}
	switch {
	case o.Admission == AdmissionLoopback:
		return errors.New("--admission loopback is for all namespaces, and --namespaces names some: use --admission cluster, or off")
	case o.Admission == AdmissionCluster && o.AdmissionCertificates == "":
		return errors.New("--admission cluster with --namespaces needs --admission-cert-dir: to tell the API server a certificate of its own is a right over the cluster")
	case o.ServeAddress != "":
		return errors.New("--serve-address cannot be used with --namespaces: to check tokens is a right over the cluster")
	}
	for namespace := range o.LocalRoots {
		if !slices.Contains(o.Namespaces, namespace) {
			return fmt.Errorf("--local-root %s=...: --namespaces does not name this namespace", namespace)
		}
	}
	return nil
}
