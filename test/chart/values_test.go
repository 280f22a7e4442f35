package chart

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	psapi "k8s.io/pod-security-admission/api"
	pspolicy "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

const inPostgreSQL = "ledger.postgresql.urlSecret.name=ledger"

// TestBadValuesAreRefused: with what is wrong and what to do, before anything is installed.
func TestBadValuesAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		set  []string
		want string
	}{
		{"an unknown value", []string{"replica=2"}, "additional properties 'replica' not allowed"},
		{"an unknown value inside", []string{"ledger.sise=1Gi"}, "additional properties 'sise' not allowed"},
		{"no image", []string{"image.repository="}, "/image/repository"},
		{"the tag latest", []string{"image.tag=latest"}, "image.tag must not be latest"},
		{"a digest that is none", []string{"image.digest=sha256:12"}, "/image/digest"},
		{"no account", []string{"serviceAccount.create=false"}, "serviceAccount.name must name an existing account"},
		{"a size without unit", []string{"ledger.size=5"}, "/ledger/size"},
		{"two replicas with a file", []string{"replicas=2"}, "set replicas to 1, or keep the ledger in PostgreSQL"},
		{"no replica", []string{"replicas=0"}, "/replicas"},
		{"two ledgers", []string{inPostgreSQL, "ledger.existingClaim=mine"}, "the ledger is in one place"},
		{"a budget for one", []string{"podDisruptionBudget.enabled=true"}, "needs replicas above 1"},
		{"a budget that protects nothing", []string{inPostgreSQL, "replicas=2", "podDisruptionBudget.enabled=true", "podDisruptionBudget.maxUnavailable=2"}, "must be below replicas"},
		{"a monitor of nothing", []string{"metrics.service=false", "metrics.serviceMonitor.enabled=true"}, "needs metrics.service"},
		{"an issuer without name", []string{"admission.certManager.issuerRef.kind=Issuer"}, "needs a name"},
		{"namespaces without cert-manager", []string{"namespaces={a}", "exports.serve=false"}, "needs admission.certManager.enabled"},
		{"namespaces with an endpoint", []string{"namespaces={a}", "admission.enabled=false"}, "exports.serve must be false"},
		{"a namespace twice", []string{"namespaces={a,a}"}, "/namespaces"},
		{"a namespace that is none", []string{"namespaces={A b}"}, "/namespaces"},
		{"a root elsewhere", []string{"namespaces={a}", "admission.enabled=false", "exports.serve=false", "localRoots[0].namespace=b", "localRoots[0].path=/x"}, "localRoots: namespace b is not one of namespaces"},
		{"a flag that is none", []string{"extraArgs={verbose}"}, "/extraArgs"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var args []string
			for _, s := range tc.set {
				args = append(args, "--set", s)
			}
			_, err := render(t, args...)
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "'/", "/"), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// TestEverySetIsAsItWas compares with golden files; go test ./test/chart -run AsItWas -update writes them anew.
func TestEverySetIsAsItWas(t *testing.T) {
	for name, values := range sets(t) {
		t.Run(name, func(t *testing.T) {
			// What is copied is looked at elsewhere.
			shown := mustRender(t, values...).without("CustomResourceDefinition").without("MutatingWebhookConfiguration").without("ValidatingWebhookConfiguration")
			var out strings.Builder
			for _, key := range shown.keys() {
				object := shown[key]
				if object.GetKind() == "Role" || object.GetKind() == "ClusterRole" {
					unstructured.RemoveNestedField(object.Object, "rules")
				}
				for _, field := range []string{"data", "spec"} {
					if object.GetKind() == "ConfigMap" || object.GetKind() == "PrometheusRule" {
						unstructured.RemoveNestedField(object.Object, field)
					}
				}
				text, err := yaml.Marshal(object.Object)
				if err != nil {
					t.Fatal(err)
				}
				out.WriteString("---\n" + string(text))
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(out.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), out.String()); diff != "" {
				t.Errorf("the chart makes something else of these values (-before +now):\n%s", diff)
			}
		})
	}
}

// TestPodsAreRestricted judges every Pod by the strictest level of the Pod Security Standards, with the code of the API server.
func TestPodsAreRestricted(t *testing.T) {
	judge, err := pspolicy.NewEvaluator(pspolicy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	level := psapi.LevelVersion{Level: psapi.LevelRestricted, Version: psapi.LatestVersion()}
	for name, values := range sets(t) {
		for pod, template := range mustRender(t, values...).pods(t) {
			for _, r := range judge.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
				if !r.Allowed {
					t.Errorf("%s: %s: %s: %s", name, pod, r.ForbiddenReason, r.ForbiddenDetail)
				}
			}
			for _, c := range template.Spec.Containers {
				if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
					t.Errorf("%s: %s: the root of container %s can be written", name, pod, c.Name)
				}
			}
		}
	}
	broken := mustRender(t).deployment(t).Spec.Template
	broken.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
	if slices.IndexFunc(judge.EvaluatePod(level, &broken.ObjectMeta, &broken.Spec), func(r pspolicy.CheckResult) bool { return !r.Allowed }) < 0 {
		t.Error("the judge lets everything pass")
	}
}

func TestTheLedgerInPostgreSQLHasReplicas(t *testing.T) {
	o := mustRender(t, "--values", filepath.Join(chartFolder, "ci", "replicas-values.yaml"))
	d := o.deployment(t)
	if *d.Spec.Replicas != 3 || d.Spec.Strategy.Type != "RollingUpdate" || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
		t.Errorf("got %d replicas and %v", *d.Spec.Replicas, d.Spec.Strategy)
	}
	if !slices.Contains(o.args(t), "--ledger-url-file=/etc/lethe/ledger/url") || o["PersistentVolumeClaim lethe-ledger"] != nil {
		t.Error("the ledger is not in PostgreSQL")
	}
	spread := d.Spec.Template.Spec.TopologySpreadConstraints
	if len(spread) != 1 || spread[0].TopologyKey != corev1.LabelHostname || !cmp.Equal(spread[0].LabelSelector.MatchLabels, d.Spec.Selector.MatchLabels) {
		t.Errorf("replicas are not spread over nodes: %v", spread)
	}
	for _, name := range []string{"lethe-webhook", "lethe-exports", "lethe-metrics"} {
		if s := as[corev1.Service](t, o, "Service "+name); s.Spec.Selector["privacy.lethe.dev/role"] != "active" {
			t.Errorf("Service %s leads to replicas that do not have the ledger", name)
		}
	}
	budget := as[policyv1.PodDisruptionBudget](t, o, "PodDisruptionBudget lethe")
	if !cmp.Equal(budget.Spec.Selector, d.Spec.Selector) {
		t.Error("the budget is for other Pods")
	}
}

func TestTheLedgerInAFileHasOneWriter(t *testing.T) {
	o := mustRender(t)
	d := o.deployment(t)
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != "Recreate" {
		t.Errorf("got %d replicas and %v", *d.Spec.Replicas, d.Spec.Strategy)
	}
	if as[corev1.Service](t, o, "Service lethe-webhook").Spec.Selector["privacy.lethe.dev/role"] != "" {
		t.Error("the one replica does not label itself, and the Service looks for that")
	}
	claim := as[corev1.PersistentVolumeClaim](t, o, "PersistentVolumeClaim lethe-ledger")
	if claim.Annotations["helm.sh/resource-policy"] != "keep" {
		t.Error("the ledger goes with the release")
	}
	if as[corev1.PersistentVolumeClaim](t, mustRender(t, "--set", "ledger.retain=false"), "PersistentVolumeClaim lethe-ledger").Annotations["helm.sh/resource-policy"] == "keep" {
		t.Error("ledger.retain=false retains it")
	}
}

func TestTheNetworkPolicySelectsTheOperator(t *testing.T) {
	ports := func(set ...string) (open, guarded []string, p *networkingv1.NetworkPolicy) {
		p = as[networkingv1.NetworkPolicy](t, mustRender(t, append([]string{"--set", "networkPolicy.enabled=true"}, set...)...), "NetworkPolicy lethe")
		for _, rule := range p.Spec.Ingress {
			for _, port := range rule.Ports {
				if len(rule.From) == 0 {
					open = append(open, port.Port.StrVal)
				} else {
					guarded = append(guarded, port.Port.StrVal)
				}
			}
		}
		return open, guarded, p
	}
	open, guarded, p := ports()
	if !slices.Equal(open, []string{"health", "webhook"}) || !slices.Equal(guarded, []string{"metrics", "serve"}) {
		t.Errorf("open to all %v, to some %v", open, guarded)
	}
	if !cmp.Equal(p.Spec.PodSelector, *mustRender(t).deployment(t).Spec.Selector) {
		t.Error("the policy is for other Pods")
	}
	if slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		t.Error("egress is closed though nothing says where the stores are")
	}
	_, guarded, _ = ports("--set-json", "networkPolicy.metricsFrom=[]", "--set", "exports.serve=false")
	if len(guarded) != 0 {
		t.Errorf("open though nobody may come: %v", guarded)
	}
	_, _, p = ports("--set-json", `networkPolicy.egress=[{"ports":[{"port":5432}]}]`)
	if len(p.Spec.Egress) != 2 || !slices.Contains(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress) {
		t.Errorf("egress: %v", p.Spec.Egress)
	}
}

// TestMonitoringCarriesWhatConfigHas: the alerts and the dashboard are those of config.
func TestMonitoringCarriesWhatConfigHas(t *testing.T) {
	o := mustRender(t, "--values", filepath.Join(chartFolder, "ci", "replicas-values.yaml"))
	var rules map[string]any
	if err := yaml.Unmarshal(read(t, "config/prometheus/rules.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rules, o["PrometheusRule lethe"].Object["spec"]); diff != "" {
		t.Errorf("the alerts (-config +chart):\n%s", diff)
	}
	board := as[corev1.ConfigMap](t, o, "ConfigMap lethe-dashboard")
	if strings.TrimSpace(board.Data["lethe.json"]) != strings.TrimSpace(string(read(t, "config/grafana/lethe.json"))) {
		t.Error("the dashboard is another one")
	}
	if board.Labels["grafana_dashboard"] != "1" {
		t.Error("the sidecar does not find the dashboard")
	}
	for _, kind := range []string{"ServiceMonitor", "PrometheusRule"} {
		if mustRender(t)[kind+" lethe"] != nil {
			t.Errorf("%s is made though nothing may be there that knows it", kind)
		}
	}
	monitor := o["ServiceMonitor lethe"]
	want, _, _ := unstructured.NestedStringMap(monitor.Object, "spec", "selector", "matchLabels")
	for key, value := range want {
		if o["Service lethe-metrics"].GetLabels()[key] != value {
			t.Errorf("the ServiceMonitor does not find the Service by %s", key)
		}
	}
	if slices.IndexFunc(as[corev1.Service](t, o, "Service lethe-metrics").Spec.Ports, func(p corev1.ServicePort) bool { return p.Name == "metrics" }) < 0 {
		t.Error("there is no port metrics")
	}
}
