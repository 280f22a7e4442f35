package chart

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/test/harness"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(harness.Root(), path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func kustomize(t *testing.T, folder string) objects {
	t.Helper()
	text, err := run(tool(t, "kustomize"), "build", filepath.Join(harness.Root(), folder))
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

// TestChartAndKustomizeAgree on everything but names and labels: CRDs, roles, webhooks, the Pod and its Services.
func TestChartAndKustomizeAgree(t *testing.T) {
	t.Run("ledger in a file", func(t *testing.T) { agree(t, kustomize(t, "config/webhook"), mustRender(t), 2) })
	t.Run("ledger in PostgreSQL", func(t *testing.T) {
		agree(t, kustomize(t, "config/postgresql"), mustRender(t, "--set", "ledger.postgresql.urlSecret.name=lethe-ledger-url", "--set", "replicas=2"), 3)
	})
}

func agree(t *testing.T, tree, chart objects, roles int) {
	t.Helper()
	compared := map[string]int{}
	for key, want := range tree {
		kind := want.GetKind()
		got := chart[key]
		switch kind {
		case "CustomResourceDefinition":
			annotations := got.GetAnnotations()
			if annotations["helm.sh/resource-policy"] != "keep" {
				t.Errorf("%s is deleted with the release, and all objects with it", key)
			}
			delete(annotations, "helm.sh/resource-policy")
			got.SetAnnotations(annotations)
			same(t, key, []string{"spec"}, want.Object, got.Object)
			if diff := cmp.Diff(want.GetAnnotations(), got.GetAnnotations()); diff != "" {
				t.Errorf("annotations of %s (-kustomize +chart):\n%s", key, diff)
			}
		case "ClusterRole", "Role":
			same(t, key, []string{"rules"}, want.Object, got.Object)
			for label, value := range want.GetLabels() {
				if strings.HasPrefix(label, "rbac.") && got.GetLabels()[label] != value {
					t.Errorf("%s is not aggregated: %s", key, label)
				}
			}
		case "ClusterRoleBinding", "RoleBinding":
			same(t, key, []string{"roleRef"}, want.Object, got.Object)
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			same(t, key, []string{"webhooks"}, want.Object, got.Object)
		case "Service":
			same(t, key, []string{"spec", "ports"}, want.Object, got.Object)
			same(t, key, []string{"spec", "selector", "privacy.lethe.dev/role"}, want.Object, got.Object)
		case "PersistentVolumeClaim":
			same(t, key, []string{"spec"}, want.Object, got.Object)
		case "Deployment", "ServiceAccount", "Namespace":
			continue // below; named otherwise; Helm's own matter
		default:
			t.Errorf("%s of the kustomize tree is not compared with the chart", key)
		}
		compared[kind]++
	}
	for key, object := range chart {
		if object.GetKind() == "Role" && tree[key] == nil && object.GetAnnotations()["helm.sh/hook"] == "" {
			t.Errorf("%s is of the chart alone", key)
		}
	}
	if compared["CustomResourceDefinition"] != 8 || compared["ClusterRole"] != 5 || compared["Role"] != roles || compared["Service"] != 2 {
		t.Errorf("compared: %v", compared)
	}
	samePod(t, tree, chart)
}

// same compares a part of two objects.
func same(t *testing.T, key string, path []string, want, got map[string]any) {
	t.Helper()
	if got == nil {
		t.Errorf("the chart has no %s", key)
		return
	}
	var a, b any = want, got
	for _, p := range path {
		a, b = a.(map[string]any)[p], b.(map[string]any)[p]
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("%s of %s (-kustomize +chart):\n%s", strings.Join(path, "."), key, diff)
	}
}

func samePod(t *testing.T, tree, chart objects) {
	t.Helper()
	want, got := tree.deployment(t), chart.deployment(t)
	if !cmp.Equal(want.Spec.Strategy, got.Spec.Strategy) || *want.Spec.Replicas != *got.Spec.Replicas {
		t.Errorf("strategies or replicas differ: %v %v", want.Spec.Strategy, got.Spec.Strategy)
	}
	if diff := cmp.Diff(flags(tree.args(t)), flags(chart.args(t))); diff != "" {
		t.Errorf("flags (-kustomize +chart):\n%s", diff)
	}
	bare := func(spec corev1.PodSpec) corev1.PodSpec {
		spec.ServiceAccountName = ""
		for i := range spec.TopologySpreadConstraints {
			delete(spec.TopologySpreadConstraints[i].LabelSelector.MatchLabels, "app.kubernetes.io/instance") // Helm's own matter
		}
		c := &spec.Containers[0]
		c.Args, c.Image, c.ImagePullPolicy = nil, "", ""
		slices.SortFunc(c.Ports, func(a, b corev1.ContainerPort) int { return strings.Compare(a.Name, b.Name) })
		return spec
	}
	if diff := cmp.Diff(bare(want.Spec.Template.Spec), bare(got.Spec.Template.Spec)); diff != "" {
		t.Errorf("the Pod (-kustomize +chart):\n%s", diff)
	}
	if want.Spec.Template.Spec.Containers[0].Image != got.Spec.Template.Spec.Containers[0].Image {
		t.Error("the images differ")
	}
}

// flags by name: the last one counts.
func flags(args []string) map[string]string {
	out := map[string]string{}
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		out[name] = value
	}
	return out
}

// TestNamespacesNeedNoClusterRole: with namespaces, the chart grants in these and in the release's, and nothing over the cluster.
func TestNamespacesNeedNoClusterRole(t *testing.T) {
	o := mustRender(t, "--values", filepath.Join(chartFolder, "ci", "namespaced-values.yaml"))
	for _, kind := range []string{"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"} {
		for key := range o {
			if strings.HasPrefix(key, kind+" ") {
				t.Errorf("there is %s", key)
			}
		}
	}
	places := map[string]bool{}
	for key, object := range o {
		if object.GetKind() == "RoleBinding" {
			places[object.GetNamespace()] = true
			if role := strings.Replace(key, "RoleBinding", "Role", 1); o[role] == nil {
				t.Errorf("%s leads nowhere", key)
			}
		}
	}
	if got := slices.Sorted(maps.Keys(places)); !slices.Equal(got, []string{"hiring", releaseNamespace, "payroll"}) {
		t.Errorf("rights in %v", got)
	}
	for _, rule := range o.rules(t, "Role") {
		for _, r := range rule.Resources {
			if slices.Contains([]string{"tokenreviews", "subjectaccessreviews", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"}, r) {
				t.Errorf("a Role grants %s, which it cannot", r)
			}
		}
	}
	if !slices.Contains(o.args(t), "--namespaces=hiring,payroll") {
		t.Errorf("the operator serves all: %v", o.args(t))
	}
	hooks := o["ValidatingWebhookConfiguration lethe-admission"].Object["webhooks"].([]any)
	for _, hook := range hooks {
		selector, err := yaml.Marshal(hook.(map[string]any)["namespaceSelector"])
		if err != nil || !strings.Contains(string(selector), "kubernetes.io/metadata.name") || !strings.Contains(string(selector), "- payroll") {
			t.Errorf("webhooks are asked about other namespaces: %s", selector)
		}
	}
}

// TestSecretsAreNeverListed in any namespace, by nobody that the chart makes.
func TestSecretsAreNeverListed(t *testing.T) {
	for name, values := range sets(t) {
		o := mustRender(t, values...)
		for _, rule := range slices.Concat(o.rules(t, "ClusterRole"), o.rules(t, "Role")) {
			if slices.Contains(rule.Resources, "*") || slices.Contains(rule.Verbs, "*") || slices.Contains(rule.APIGroups, "*") {
				t.Errorf("%s: a rule without bound: %v", name, rule)
			}
			if slices.Contains(rule.Resources, "secrets") && (slices.Contains(rule.Verbs, "list") || slices.Contains(rule.Verbs, "watch")) {
				t.Errorf("%s: Secrets are listed: %v", name, rule)
			}
		}
	}
}
