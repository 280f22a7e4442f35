package observability

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/test/harness"
)

// prometheus is a real one that scrapes an operator and follows the alerts.
type prometheus struct {
	w       *world
	address string
}

func (w *world) prometheus() *prometheus {
	w.t.Helper()
	folder := w.t.TempDir()
	config := fmt.Sprintf("global: {scrape_interval: 500ms, evaluation_interval: 500ms}\nrule_files: [%q]\nscrape_configs: [{job_name: lethe, honor_labels: true, static_configs: [{targets: [%q]}]}]\n",
		filepath.Join(harness.Root(), "config", "prometheus", "rules.yaml"), w.options.Metrics)
	w.g.Expect(os.WriteFile(filepath.Join(folder, "prometheus.yaml"), []byte(config), 0o600)).To(Succeed())
	p := &prometheus{w: w, address: address(w.t)}
	logs := &harness.Buffer{}
	cmd := exec.Command(program(w.t, "prometheus"), "--config.file="+filepath.Join(folder, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(folder, "data"),
		"--web.listen-address="+p.address)
	cmd.Stdout, cmd.Stderr = logs, logs
	w.g.Expect(cmd.Start()).To(Succeed())
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if w.t.Failed() {
			w.t.Logf("prometheus:\n%s", logs)
		}
	})
	w.g.Eventually(p.values).WithArguments(`lethe_build_info or lethe_ledger_sound`).ShouldNot(BeEmpty(), logs.String)
	return p
}

// values that a query has now, those that are no number left out.
func (p *prometheus) values(query string) []string {
	code, text := get(p.address, "/api/v1/query?query="+url.QueryEscape(query))
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Status != "success" {
		p.w.t.Logf("%s: %d %s", query, code, text)
		return nil
	}
	var out []string
	for _, r := range answer.Data.Result {
		if v := fmt.Sprint(r.Value[1]); v != "NaN" {
			out = append(out, fmt.Sprint(r.Metric, " ", v))
		}
	}
	return out
}

// TestTheDashboardHasData: a real Prometheus answers the query of every panel, after a working day of a real operator.
func TestTheDashboardHasData(t *testing.T) {
	w := newWorld(t, func(o *harness.OperatorOptions) { o.Admission = true })
	p := w.prometheus()
	refused := func(name string) {
		w.g.Expect(w.client.Create(w, harness.Request(w.ns, name, bob)[1])).NotTo(Succeed())
	}
	w.create(harness.Request(w.ns, "later", bob)...)
	w.g.Eventually(w.stage("later")).Should(Equal("Pending/GracePeriod"))
	w.create(harness.Request(w.ns, "first", ada, harness.Immediate)...)
	w.g.Eventually(w.stage("first")).Should(Equal("Completed/Erased"))
	refused("twice")
	w.g.Eventually(p.values).WithArguments(`lethe_treated_total{what="files"} > 0 and on () lethe_admission_decisions_total{reason="Refused"} > 0`).ShouldNot(BeEmpty())
	w.create(harness.Request(w.ns, "second", carol, harness.Immediate)...)
	w.g.Eventually(w.stage("second")).Should(Equal("Completed/Erased"))
	refused("again")
	w.ats.Exec(`UPDATE documents SET issued_at = '2001-02-03'`)
	w.sweep()
	w.create(hold(w.ns))

	get(w.options.Probes, "/readyz") // as a kubelet does, which writes
	for _, panel := range panels(t) {
		for _, q := range panel.Targets {
			query := strings.NewReplacer("$namespace", ".*", "$__rate_interval", "1m").Replace(q.Expr)
			w.g.Eventually(p.values).WithArguments(query).WithTimeout(20*time.Second).ShouldNot(BeEmpty(), "panel %q: %s", panel.Title, query)
			t.Logf("%-40s %v", panel.Title, p.values(query))
		}
	}
	w.g.Expect(p.values(`ALERTS{alertstate="firing"}`)).To(BeEmpty(), "in this installation everything is in order")
}
