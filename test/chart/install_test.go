package chart

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

const patience = 60 * time.Second

var ada = harness.Person{ID: "A-1", Email: "ada@example.org", Name: "Ada Example", Phone: "+49 30 1"}

// installed is a real API server with releases of the chart. Nothing runs Pods there: the operator runs in this process, with
// a token of its account.
type installed struct {
	*harness.Cluster
	t *testing.T
}

func (c installed) helm(args ...string) error {
	c.t.Helper()
	_, err := run(tool(c.t, "helm"), append(args, "--kubeconfig", c.Kubeconfig)...)
	return err
}

func (c installed) install(namespace, release string, args ...string) error {
	c.t.Helper()
	return c.helm(append([]string{"upgrade", "--install", release, chartFolder, "--namespace", namespace, "--create-namespace", "--wait=hookOnly"}, args...)...)
}

func (c installed) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// account is a client with nothing but the token of an account.
func (c installed) account(namespace, name string) *rest.Config {
	c.t.Helper()
	token := &authenticationv1.TokenRequest{}
	c.must(c.Client.SubResource("token").Create(c.t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, token))
	config := rest.AnonymousClientConfig(c.Config)
	config.BearerToken = token.Status.Token
	config.QPS, config.Burst = 1000, 2000
	return config
}

func (c installed) eventually(what string, done func(context.Context) error) {
	c.t.Helper()
	end := time.Now().Add(patience)
	for {
		err := done(c.t.Context())
		if err == nil {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// erases has a request through to Completed in a namespace whose data is ready.
func (c installed) erases(namespace string, ats *harness.ATS, p harness.Person) {
	c.t.Helper()
	ats.Add(p)
	for _, o := range append(harness.ATSObjects(namespace), harness.Request(namespace, "erase", p, harness.Immediate)...) {
		c.must(c.Client.Create(c.t.Context(), o))
	}
	c.eventually("the request", func(ctx context.Context) error {
		er := &v1alpha1.ErasureRequest{}
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "erase"}, er); err != nil {
			return err
		}
		if er.Status.Phase != v1alpha1.PhaseCompleted {
			return fmt.Errorf("%s: %v", er.Status.Phase, er.Status.Conditions)
		}
		return nil
	})
	for table, rows := range ats.Rows(p) {
		if rows > 0 && table != "consents" {
			c.t.Errorf("%d rows of %s are left", rows, table)
		}
	}
	if !meta.IsStatusConditionTrue(c.request(namespace).Status.Conditions, v1alpha1.ConditionErased) {
		c.t.Error("not Erased")
	}
}

func (c installed) request(namespace string) *v1alpha1.ErasureRequest {
	c.t.Helper()
	er := &v1alpha1.ErasureRequest{}
	c.must(c.Client.Get(c.t.Context(), client.ObjectKey{Namespace: namespace, Name: "erase"}, er))
	return er
}

// TestInstall installs the chart as an administrator does, and has the operator erase with exactly the rights that it grants.
func TestInstall(t *testing.T) {
	cluster, err := harness.StartEmptyCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Errorf("the API server was not stopped: %v", err)
		}
	})
	if err := apiextensionsv1.AddToScheme(cluster.Client.Scheme()); err != nil {
		t.Fatal(err)
	}
	c := func(t *testing.T) installed { return installed{cluster, t} }
	t.Run("without CRDs the operator says what is missing", func(t *testing.T) { c(t).withoutCRDs() })
	t.Run("for all namespaces, the operator erases with the rights of the chart", func(t *testing.T) { c(t).forAll() })
	t.Run("personas may do what the reference says and nothing else", func(t *testing.T) { c(t).personas() })
	t.Run("a second release is refused", func(t *testing.T) { c(t).secondRelease() })
	t.Run("for some namespaces, the operator erases there and sees nothing else", func(t *testing.T) { c(t).forSome() })
	t.Run("an upgrade brings new CRDs", func(t *testing.T) { c(t).upgrade() })
	t.Run("uninstalling leaves CRDs, objects and the ledger", func(t *testing.T) { c(t).uninstall() })
	t.Run("CRDs of other means are taken over", func(t *testing.T) { c(t).takeOver() })
}

func (c installed) operator(namespace string, config *rest.Config, o harness.OperatorOptions) *harness.Operator {
	o.Namespace, o.Folder = namespace, c.t.TempDir()
	return harness.StartOperator(c.t, config, o)
}

func (c installed) withoutCRDs() {
	op := c.operator(harness.OperatorNamespace, c.Config, harness.OperatorOptions{MayFail: true})
	if err := op.Wait(); err == nil || !strings.Contains(err.Error(), "no CustomResourceDefinitions of privacy.lethe.dev/v1alpha1 for ComplianceExport, DataStore") {
		c.t.Errorf("got %v", err)
	}
	var secrets corev1.SecretList
	c.must(c.Client.List(c.t.Context(), &secrets, client.InNamespace(harness.OperatorNamespace)))
	if len(secrets.Items) > 0 {
		c.t.Error("it made keys all the same")
	}
}

// admissionOff: no Pod answers here, so that the API server could not ask.
const admissionOff = "admission.enabled=false"

func (c installed) forAll() {
	c.must(c.install(harness.OperatorNamespace, "lethe", "--set", admissionOff))
	ns, err := c.NewNamespace(c.t.Context(), "all")
	c.must(err)
	ats := harness.NewATS(c.t)
	c.operator(harness.OperatorNamespace, c.account(harness.OperatorNamespace, "lethe"), harness.OperatorOptions{LocalRoots: map[string]string{ns: ats.Root}})
	c.erases(ns, ats, ada)
}

func (c installed) secondRelease() {
	err := c.install("elsewhere", "second", "--set", admissionOff)
	if err == nil || !strings.Contains(err.Error(), "this cluster has Lethe already: CustomResourceDefinition erasurerequests.privacy.lethe.dev belongs to release lethe in namespace lethe-system") {
		c.t.Errorf("got %v", err)
	}
	if err := c.install("elsewhere", "second", "--set", "crds.enabled=false", "--set", admissionOff); err == nil {
		c.t.Error("it serves all namespaces too")
	}
	var found rbacv1.ClusterRoleList
	c.must(c.Client.List(c.t.Context(), &found, client.MatchingLabels{"app.kubernetes.io/instance": "second"}))
	if len(found.Items) > 0 {
		c.t.Error("a part of it was installed")
	}
	// Nor does one start that was installed by other means.
	c.must(c.install(harness.OperatorNamespace, "lethe", "--set", "admission.enabled=true")) // with admission, whose webhooks lead to its namespace
	op := c.operator("elsewhere", c.Config, harness.OperatorOptions{MayFail: true, AdmissionInCluster: true})
	if err := op.Wait(); err == nil || !strings.Contains(err.Error(), "leads to an installation of Lethe in namespace lethe-system, and this one is in elsewhere") {
		c.t.Errorf("got %v", err)
	}
	c.must(c.install(harness.OperatorNamespace, "lethe", "--set", admissionOff))
}

func (c installed) forSome() {
	ctx := c.t.Context()
	ns, err := c.NewNamespace(ctx, "some")
	c.must(err)
	other, err := c.NewNamespace(ctx, "other")
	c.must(err)
	c.must(c.install("kept", "kept", "--set", "crds.enabled=false", "--set", admissionOff, "--set", "exports.serve=false", "--set", "namespaces={"+ns+"}"))
	config := c.account("kept", "kept-lethe")
	own, err := client.New(config, client.Options{Scheme: c.Client.Scheme()})
	c.must(err)
	for _, list := range []client.ObjectList{&v1alpha1.ErasureRequestList{}, &corev1.SecretList{}} {
		if err := own.List(ctx, list, client.InNamespace(other)); !apierrors.IsForbidden(err) {
			c.t.Errorf("%T of another namespace: %v", list, err)
		}
	}
	// What admission asks with: the rights of a user there, and nowhere else.
	review := func(namespace string) error {
		return own.Create(ctx, &authorizationv1.LocalSubjectAccessReview{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: authorizationv1.SubjectAccessReviewSpec{
			User: "somebody", ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: namespace, Verb: "approve", Group: v1alpha1.GroupVersion.Group, Resource: "erasurerequests"}}})
	}
	c.must(review(ns))
	if err := review(other); !apierrors.IsForbidden(err) {
		c.t.Errorf("rights of users of another namespace: %v", err)
	}
	ats := harness.NewATS(c.t)
	for _, o := range harness.Request(other, "erase", ada, harness.Immediate) {
		c.must(c.Client.Create(ctx, o))
	}
	c.operator("kept", config, harness.OperatorOptions{Namespaces: []string{ns}, LocalRoots: map[string]string{ns: ats.Root}})
	c.erases(ns, ats, ada)
	if er := c.request(other); er.Status.Phase != "" || len(er.Finalizers) > 0 {
		c.t.Errorf("a request of another namespace was touched: %v", er.Status)
	}
}

func (c installed) upgrade() {
	ctx := c.t.Context()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	key := client.ObjectKey{Name: "legalholds.privacy.lethe.dev"}
	c.must(c.Client.Get(ctx, key, crd))
	want := crd.DeepCopy()
	older := c.t.TempDir()
	c.must(os.CopyFS(older, os.DirFS(chartFolder)))
	file := filepath.Join(older, "files", "crds", "privacy.lethe.dev_legalholds.yaml")
	text, err := os.ReadFile(file)
	c.must(err)
	changed := strings.Replace(string(text), "    - lhold\n", "    - lholdold\n", 1)
	if changed == string(text) {
		c.t.Fatal("the CRD has no short name lhold")
	}
	c.must(os.WriteFile(file, []byte(changed), 0o600))
	c.must(c.helm("upgrade", "lethe", older, "--namespace", harness.OperatorNamespace, "--set", admissionOff, "--wait=hookOnly"))
	c.must(c.Client.Get(ctx, key, crd))
	if crd.Spec.Names.ShortNames[0] != "lholdold" {
		c.t.Fatalf("the older CRD is not there: %v", crd.Spec.Names)
	}
	c.must(c.install(harness.OperatorNamespace, "lethe", "--set", admissionOff))
	c.must(c.Client.Get(ctx, key, crd))
	if crd.Spec.Names.ShortNames[0] != "lhold" || crd.UID != want.UID {
		c.t.Errorf("the CRD was not upgraded: %v", crd.Spec.Names)
	}
}

func (c installed) uninstall() {
	ctx := c.t.Context()
	count := func() (n int) {
		var list v1alpha1.ErasureRequestList
		c.must(c.Client.List(ctx, &list))
		return len(list.Items)
	}
	before := count()
	c.must(c.helm("uninstall", "lethe", "--namespace", harness.OperatorNamespace))
	var crds apiextensionsv1.CustomResourceDefinitionList
	c.must(c.Client.List(ctx, &crds))
	if len(crds.Items) != 8 || before == 0 || count() != before {
		c.t.Errorf("%d CRDs and %d of %d requests are left", len(crds.Items), count(), before)
	}
	c.must(c.Client.Get(ctx, client.ObjectKey{Namespace: harness.OperatorNamespace, Name: "lethe-ledger"}, &corev1.PersistentVolumeClaim{}))
	var roles rbacv1.ClusterRoleList
	c.must(c.Client.List(ctx, &roles, client.MatchingLabels{"app.kubernetes.io/instance": "lethe"}))
	if len(roles.Items) > 0 {
		c.t.Error("roles are left")
	}
	c.must(c.install(harness.OperatorNamespace, "lethe", "--set", admissionOff)) // and it can come back
	c.must(c.helm("uninstall", "lethe", "--namespace", harness.OperatorNamespace))
}

func (c installed) takeOver() {
	ctx := c.t.Context()
	var crds apiextensionsv1.CustomResourceDefinitionList
	c.must(c.Client.List(ctx, &crds))
	for i := range crds.Items {
		crd := &crds.Items[i]
		crd.Labels, crd.Annotations = nil, nil // as kubectl apply leaves them
		c.must(c.Client.Update(ctx, crd))
	}
	err := c.install(harness.OperatorNamespace, "lethe", "--set", admissionOff)
	if err == nil || !strings.Contains(err.Error(), "invalid ownership metadata") {
		c.t.Errorf("got %v", err)
	}
	c.must(c.install(harness.OperatorNamespace, "lethe", "--set", admissionOff, "--take-ownership"))
}

// personas asks the API server's authorizer for every cell of the reference's table, and for what nobody may do.
func (c installed) personas() {
	ctx := c.t.Context()
	ns, err := c.NewNamespace(ctx, "personas")
	c.must(err)
	for _, persona := range personaNames {
		c.must(c.Client.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: persona},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: persona}},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "lethe-" + persona}}))
	}
	may := func(user, verb, group, resource, subresource string) bool {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: ns, Verb: verb, Group: group, Resource: resource, Subresource: subresource}}}
		c.must(c.Client.Create(ctx, review))
		return review.Status.Allowed
	}
	c.eventually("the last binding", func(context.Context) error {
		if !may("admin", "lift", v1alpha1.GroupVersion.Group, "legalholds", "") {
			return fmt.Errorf("the authorizer does not know it")
		}
		return nil
	})
	table := rows(c.t)
	if len(table) < 10 {
		c.t.Errorf("only %d rows were found in the reference", len(table))
	}
	for _, r := range table {
		for _, persona := range personaNames {
			got := len(r.all) > 0
			for _, q := range r.all {
				got = got && may(persona, q.verb, v1alpha1.GroupVersion.Group, q.resource, q.subresource)
			}
			if got != r.may[persona] {
				c.t.Errorf("%s, %s: %t, and the reference says %t", persona, r.what, got, r.may[persona])
			}
		}
	}
	for _, persona := range personaNames {
		for _, no := range [][4]string{{"get", "", "secrets", ""}, {"list", "", "secrets", ""}, {"create", "", "secrets", ""}, {"create", "", "pods", ""}, {"get", "", "configmaps", ""},
			{"update", "privacy.lethe.dev", "erasurerequests", "status"}, {"patch", "privacy.lethe.dev", "deletionruns", "status"}, {"update", "privacy.lethe.dev", "legalholds", "finalizers"},
			{"create", "privacy.lethe.dev", "erasurecertificates", ""}, {"update", "privacy.lethe.dev", "erasurecertificates", ""}, {"delete", "privacy.lethe.dev", "erasurecertificates", ""},
			{"*", "privacy.lethe.dev", "*", ""}, {"bind", "rbac.authorization.k8s.io", "clusterroles", ""}, {"escalate", "rbac.authorization.k8s.io", "roles", ""}} {
			if may(persona, no[0], no[1], no[2], no[3]) {
				c.t.Errorf("%s may %v", persona, no)
			}
		}
	}
}
