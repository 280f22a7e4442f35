package observability

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/internal/metrics"
	_ "github.com/lethe-dev/lethe/internal/observe" // defines metrics
	"github.com/lethe-dev/lethe/test/harness"
)

// rule of rules.yaml.
type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

func read(t *testing.T, parts ...string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{harness.Root()}, parts...)...))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func rules(t *testing.T) []rule {
	t.Helper()
	var file struct{ Groups []group }
	if err := yaml.UnmarshalStrict(read(t, "config", "prometheus", "rules.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) < 10 {
		t.Fatalf("only %d rules", len(all))
	}
	return all
}

// program of Prometheus, from the folder that hack/test.sh names.
func program(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("LETHE_PROMETHEUS_BIN")
	if folder == "" {
		t.Fatal("LETHE_PROMETHEUS_BIN is not set: run make test, or set it to what hack/deps.sh prometheus prints")
	}
	return filepath.Join(folder, name)
}

// TestAlertsFireWhenTheyShould: promtool reads the rules, and rules_test.yaml has for each alert when it fires and when not.
func TestAlertsFireWhenTheyShould(t *testing.T) {
	folder := filepath.Join(harness.Root(), "config", "prometheus")
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.Command(program(t, "promtool"), args...)
		cmd.Dir = folder
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	tests := string(read(t, "config", "prometheus", "rules_test.yaml"))
	for _, r := range rules(t) {
		if !regexp.MustCompile(`alertname: `+r.Alert+`\n\s+exp_alerts:\n`).MatchString(tests) || !regexp.MustCompile(`alertname: `+r.Alert+`\n\s+exp_alerts: \[\]\n`).MatchString(tests) {
			t.Errorf("rules_test.yaml does not have both when %s fires and when it does not", r.Alert)
		}
	}
}

// TestEveryAlertHasARunbook: under the address that the alert gives, with what it means, where to look and what to do.
func TestEveryAlertHasARunbook(t *testing.T) {
	known := map[string]bool{"README.md": true}
	index := string(read(t, "docs", "runbooks", "README.md"))
	for _, r := range rules(t) {
		file := r.Alert + ".md"
		known[file] = true
		if want := "https://github.com/lethe-dev/lethe/blob/main/docs/runbooks/" + file; r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url is not %s", r.Alert, want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.For == "" || (r.Labels["severity"] != "warning" && r.Labels["severity"] != "critical") {
			t.Errorf("%s: summary, description, for and severity warning or critical are needed", r.Alert)
		}
		text := string(read(t, "docs", "runbooks", file))
		for _, part := range []string{"# " + r.Alert + "\n", "\n## What it means\n", "\n## Look\n", "\n## Do\n", "\n```sh\n"} {
			if !strings.Contains(text, part) {
				t.Errorf("docs/runbooks/%s has no %q", file, part)
			}
		}
		if !strings.Contains(index, "("+file+")") {
			t.Errorf("docs/runbooks/README.md does not list %s", r.Alert)
		}
	}
	files, err := os.ReadDir(filepath.Join(harness.Root(), "docs", "runbooks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("docs/runbooks/%s is of no alert", f.Name())
		}
	}
}

var (
	metricName = regexp.MustCompile(`\blethe_[a-z_]+\b`)
	suffix     = regexp.MustCompile(`_(bucket|sum|count)$`)
)

// unknown are the metrics of Lethe in a query that it does not have.
func unknown(expr string) []string {
	var out []string
	have := map[string]string{}
	for _, d := range metrics.Definitions() {
		have[d.Name] = d.Type
	}
	for _, name := range metricName.FindAllString(expr, -1) {
		if have[name] == "" && have[suffix.ReplaceAllString(name, "")] != metrics.TypeHistogram {
			out = append(out, name)
		}
	}
	return out
}

// panel of the dashboard.
type panel struct {
	ID      int    `json:"id"`
	Type    string `json:"type"`
	Title   string `json:"title"`
	Targets []struct {
		Expr string `json:"expr"`
	} `json:"targets"`
}

func panels(t *testing.T) []panel {
	t.Helper()
	var board struct {
		Panels []panel `json:"panels"`
	}
	if err := json.Unmarshal(read(t, "config", "grafana", "lethe.json"), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) < 20 {
		t.Fatalf("only %d panels", len(board.Panels))
	}
	return board.Panels
}

// TestRulesAndDashboardAskForMetricsThatExist: a metric that is renamed is renamed everywhere.
func TestRulesAndDashboardAskForMetricsThatExist(t *testing.T) {
	for _, r := range rules(t) {
		if names := unknown(r.Expr); len(names) > 0 || !metricName.MatchString(r.Expr) {
			t.Errorf("%s asks for %v", r.Alert, names)
		}
	}
	ids := map[int]bool{}
	for _, p := range panels(t) {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			if names := unknown(q.Expr); len(names) > 0 {
				t.Errorf("panel %q asks for %v", p.Title, names)
			}
		}
	}
	NewWithT(t).Expect(unknown(`rate(lethe_nothing_total[5m]) + lethe_treated_total_bucket`)).To(HaveLen(2))
}

// TestTheChartHasTheSameAlertsAndDashboard: both are copies.
func TestTheChartHasTheSameAlertsAndDashboard(t *testing.T) {
	g := NewWithT(t)
	g.Expect(string(read(t, "charts", "lethe", "files", "prometheus", "rules.yaml"))).To(Equal(string(read(t, "config", "prometheus", "rules.yaml"))))
	g.Expect(string(read(t, "charts", "lethe", "files", "grafana", "lethe.json"))).To(Equal(string(read(t, "config", "grafana", "lethe.json"))))
	var plain, wrapped map[string]any
	g.Expect(yaml.Unmarshal(read(t, "config", "prometheus", "rules.yaml"), &plain)).To(Succeed())
	g.Expect(yaml.Unmarshal(read(t, "config", "prometheus", "prometheusrule.yaml"), &wrapped)).To(Succeed())
	g.Expect(wrapped["spec"]).To(Equal(any(plain)))
}
