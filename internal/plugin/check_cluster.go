package plugin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/config/crd"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/ledger"
)

const (
	areaKinds     = "kinds"
	areaAdmission = "admission"
	areaLedger    = "ledger"
	areaRights    = "your rights"
	// anchorPatience is how long a new log may be without a checkpoint outside: three times the default interval.
	anchorPatience = 30 * time.Minute
	// labelAnchor marks the operator's ConfigMaps with checkpoints.
	labelAnchor = "privacy.lethe.dev/ledger-checkpoints"
	ledgerKey   = "lethe-ledger-key"
)

// wantedKinds are the CustomResourceDefinitions that this version was made with.
func wantedKinds() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	files, err := crd.Bases.ReadDir("bases")
	if err != nil {
		return nil, err
	}
	var wanted []*apiextensionsv1.CustomResourceDefinition
	for _, f := range files {
		text, err := crd.Bases.ReadFile("bases/" + f.Name())
		if err != nil {
			return nil, err
		}
		d := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(text, d); err != nil {
			return nil, err
		}
		wanted = append(wanted, d)
	}
	return wanted, nil
}

// kinds checks that the cluster serves all kinds, as this version knows them. Nothing else can be checked where it does not.
func (k *checker) kinds(ctx context.Context) (known bool, err error) {
	wanted, err := wantedKinds()
	if err != nil {
		return false, err
	}
	discovery, err := k.s.flags.ToDiscoveryClient()
	if err != nil {
		return false, err
	}
	discovery.Invalidate()
	served, err := discovery.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		return false, k.s.helpful(err, k.namespace)
	}
	const remedy = "install the CustomResourceDefinitions of this version (upgrade the release with crds.enabled, or kubectl apply --server-side -k config/crd)"
	var missing, other []string
	readable := true
	for _, w := range wanted {
		if served == nil || !slices.ContainsFunc(served.APIResources, func(r metav1.APIResource) bool { return r.Name == w.Spec.Names.Plural }) {
			missing = append(missing, w.Spec.Names.Plural)
			continue
		}
		there := &apiextensionsv1.CustomResourceDefinition{}
		if err := k.c.Get(ctx, client.ObjectKeyFromObject(w), there); err != nil {
			readable = false
		} else if !sameSchema(w, there) {
			other = append(other, w.Spec.Names.Plural)
		}
	}
	switch {
	case len(missing) > 0:
		k.problem(checkFailed, areaKinds, "", remedy, "the cluster does not serve %s in %s", strings.Join(missing, ", "), v1alpha1.GroupVersion)
	case len(other) > 0:
		k.problem(checkWarning, areaKinds, "", remedy+", or use the plugin of the version that is installed", "the definitions of %s are of another version than this plugin", strings.Join(other, ", "))
	case !readable:
		k.ok(areaKinds, "", "all %d are served in %s; whether they are of this version tells only who may read CustomResourceDefinitions", len(wanted), v1alpha1.GroupVersion)
	default:
		k.ok(areaKinds, "", "all %d are served in %s, as this version knows them", len(wanted), v1alpha1.GroupVersion)
	}
	return len(missing) == 0, nil
}

func sameSchema(a, b *apiextensionsv1.CustomResourceDefinition) bool {
	return slices.EqualFunc(a.Spec.Versions, b.Spec.Versions, func(x, y apiextensionsv1.CustomResourceDefinitionVersion) bool {
		return x.Name == y.Name && equality.Semantic.DeepEqual(x.Schema, y.Schema)
	})
}

// admission tries a request without effect: admission stamps who asked.
func (k *checker) admission(ctx context.Context) {
	name := "lethe-check-" + rand.String(8)
	er := &v1alpha1.ErasureRequest{Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: name}, Source: v1alpha1.SourceAPI, Timing: v1alpha1.TimingAfterGracePeriod}}
	er.Name, er.Namespace = name, k.namespace
	err := k.c.Create(ctx, er, client.DryRunAll)
	switch {
	case err == nil && er.Annotations[v1alpha1.AnnotationRequestedBy] != "":
		k.ok(areaAdmission, "", "answers, and stamps who asks")
	case err == nil:
		k.problem(checkWarning, areaAdmission, "", "start the operator with --admission cluster (chart: admission.enabled)",
			"is off: nobody checks who may approve, cancel or lift, and approvals are recorded as unverified")
	case apierrors.IsInternalError(err) && strings.Contains(err.Error(), "webhook"):
		k.problem(checkFailed, areaAdmission, "", "see whether the operator runs in namespace "+k.s.operatorNamespace+" and whether its certificate is valid", "%s", plain(err))
	case apierrors.IsNotFound(err):
		k.problem(checkFailed, areaAdmission, "", "create it, or name another one with -n", "there is no namespace %s", k.namespace)
	default:
		k.problem(checkUnknown, areaAdmission, "", "", "only who may create erasurerequests can try it: %s", plain(err))
	}
}

// ledger checks the published key and the checkpoints that the operator keeps in ConfigMaps. Handled tells since when the ledger must have
// entries of the namespace.
func (k *checker) ledger(ctx context.Context, handled time.Time) {
	var shown corev1.ConfigMap
	if err := k.c.Get(ctx, client.ObjectKey{Namespace: k.s.operatorNamespace, Name: ledgerKey}, &shown); err != nil {
		outcome, remedy := checkUnknown, "name its namespace with --operator-namespace"
		if apierrors.IsNotFound(err) {
			outcome, remedy = checkFailed, "start the operator, or name its namespace with --operator-namespace"
		}
		k.problem(outcome, areaLedger, "public key", remedy, "%s", plain(err))
		return
	}
	var keys ledger.VerifierKeys
	err := errors.New("there is none")
	for _, text := range shown.Data {
		if found, bad := ledger.ParseVerifierKeys(text); bad == nil {
			keys, err = append(keys, found...), nil
		}
	}
	if err != nil {
		k.problem(checkFailed, areaLedger, "public key", "restart the operator, which shows it anew", "the ConfigMap %s holds no key", ledgerKey)
		return
	}
	k.ok(areaLedger, "public key", "shown in the ConfigMap %s/%s", k.s.operatorNamespace, ledgerKey)
	k.anchors(ctx, keys, handled)
}

func (k *checker) anchors(ctx context.Context, keys ledger.VerifierKeys, handled time.Time) {
	var kept corev1.ConfigMapList
	if err := k.c.List(ctx, &kept, client.InNamespace(k.s.operatorNamespace), client.MatchingLabels{labelAnchor: "current"}); err != nil {
		k.problem(checkUnknown, areaLedger, "checkpoints", "", "%s", plain(err))
		return
	}
	var newest *ledger.SignedCheckpoint
	var at time.Time
	for i := range kept.Items {
		text := kept.Items[i].Data[k.namespace]
		if text == "" {
			continue
		}
		c, _, err := keys.OpenCheckpoint([]byte(text))
		if err != nil {
			k.problem(checkFailed, areaLedger, "checkpoints", "keep it as evidence and verify the ledger (docs/how-to/verify.md)", "the ConfigMap %s has one that the public key does not verify", kept.Items[i].Name)
			return
		}
		if newest == nil || c.Size > newest.Size {
			newest, at = &c, kept.Items[i].CreationTimestamp.Time
		}
	}
	switch {
	case newest != nil:
		k.ok(areaLedger, "checkpoints", "the newest one covers %d entries, of %s, and the public key verifies it", newest.Size, cli.ClockTime(at))
	case handled.IsZero():
		k.ok(areaLedger, "checkpoints", "nothing was recorded yet that would need one")
	case k.s.Clock.Now().Sub(handled) < anchorPatience:
		k.problem(checkWarning, areaLedger, "checkpoints", "look again in half an hour", "none is kept yet")
	default:
		k.problem(checkFailed, areaLedger, "checkpoints", "start the operator with --anchor-interval above 0, and see its log", "none is kept outside the ledger, although requests were handled since %s", cli.ClockTime(handled))
	}
}

// right is something that a person may do.
type right struct{ what, verb, resource, subresource string }

var rights = []right{
	{"read requests", "get", "erasurerequests", ""}, {"ask for an erasure", "create", "erasurerequests", ""}, {"approve", "approve", "erasurerequests", ""},
	{"cancel", "cancel", "erasurerequests", ""}, {"waive the grace period", "expedite", "erasurerequests", ""}, {"retry", "patch", "erasurerequests", ""},
	{"preview", "create", "deletionruns", ""}, {"confirm announced runs", "approve", "deletionruns", ""}, {"place holds", "create", "legalholds", ""},
	{"lift holds", "lift", "legalholds", ""}, {"make exports", "create", "complianceexports", ""}, {"download exports", "get", "complianceexports", "download"},
	{"explain records", "get", v1alpha1.ResourceExplanations, ""}, {"follow the ledger", "get", v1alpha1.ResourceLedgerEntries, ""},
	{"see accesses in it", "get", v1alpha1.ResourceAccessLogs, ""},
}

// rights asks what the caller may do.
func (k *checker) rights(ctx context.Context) error {
	var may, mayNot []string
	ask := func(r right, group string) error {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: k.namespace, Verb: r.verb, Group: group, Resource: r.resource, Subresource: r.subresource}}}
		if err := k.c.Create(ctx, review); err != nil {
			return fmt.Errorf("what you may do: %w", k.s.helpful(err, k.namespace))
		}
		if review.Status.Allowed {
			may = append(may, r.what)
		} else {
			mayNot = append(mayNot, r.what)
		}
		return nil
	}
	for _, r := range rights {
		if err := ask(r, v1alpha1.GroupVersion.Group); err != nil {
			return err
		}
	}
	if err := ask(right{"create identities' Secrets", "create", "secrets", ""}, ""); err != nil {
		return err
	}
	if len(may) > 0 {
		k.ok(areaRights, "you may", "%s", strings.Join(may, ", "))
	}
	if len(mayNot) > 0 {
		k.ok(areaRights, "you may not", "%s", strings.Join(mayNot, ", "))
	}
	return nil
}
