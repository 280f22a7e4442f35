package observability

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

var (
	ada   = harness.Person{ID: "app-1", Email: "ada@example.org", Name: "Ada Canary", Phone: "+49 555 0101"}
	bob   = harness.Person{ID: "app-2", Email: "bob@example.org", Name: "Bob Canary", Phone: "+49 555 0102"}
	carol = harness.Person{ID: "app-3", Email: "carol@example.org", Name: "Carol Canary", Phone: "+49 555 0103"}
)

// world is a namespace with the sample system and an operator that is watched.
type world struct {
	context.Context
	t        *testing.T
	g        *WithT
	ns       string
	ats      *harness.ATS
	operator *harness.Operator
	options  harness.OperatorOptions
	// client is somebody's who is not the operator.
	client client.Client
}

func newWorld(t *testing.T, change ...func(*harness.OperatorOptions)) *world {
	t.Helper()
	w := &world{Context: context.Background(), t: t, g: NewWithT(t), ats: harness.NewATS(t)}
	w.g.SetDefaultEventuallyTimeout(30 * time.Second)
	w.g.SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	w.ats.Exec(`CREATE UNIQUE INDEX documents_file ON documents(applicant_id, file_name)`) // rules ask for it before they remove files
	var err error
	w.ns, err = cluster.NewNamespace(w, "watched")
	w.g.Expect(err).NotTo(HaveOccurred())
	own, err := cluster.NewNamespace(w, "operator")
	w.g.Expect(err).NotTo(HaveOccurred())
	for _, p := range []harness.Person{ada, bob, carol} {
		w.ats.Add(p)
	}
	w.options = harness.OperatorOptions{Folder: t.TempDir(), LocalRoots: map[string]string{w.ns: w.ats.Root}, Namespace: own,
		Metrics: address(t), Probes: address(t), AnchorInterval: 200 * time.Millisecond}
	for _, f := range change {
		f(&w.options)
	}
	t.Cleanup(func() { w.g.Expect(cluster.Clean(w, w.ns)).To(Succeed()) })
	w.operator = harness.StartOperator(t, cluster.Config, w.options)
	if w.options.Admission {
		w.admission()
	}
	objects := harness.ATSObjects(w.ns)
	for _, o := range objects {
		if m, ok := o.(*v1alpha1.PersonalDataMap); ok {
			for i := range m.Spec.Entities {
				if e := &m.Spec.Entities[i]; e.Name == "documents" {
					e.Clocks = []v1alpha1.Clock{{Name: "issued", Column: "issued_at"}}
				}
			}
		}
	}
	w.create(objects...)
	w.g.Eventually(func() bool {
		var m v1alpha1.PersonalDataMap
		return cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: "ats"}, &m) == nil && meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady)
	}).Should(BeTrue())
	return w
}

// admission waits until the API server asks the webhooks: a run that deletes is refused by them alone.
func (w *world) admission() {
	w.t.Helper()
	probe := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: w.ns}, Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "a", UID: "u"}}}
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: "somebody", Groups: []string{"system:masters"}} // the operator itself may
	somebody, err := client.New(config, client.Options{Scheme: cluster.Client.Scheme()})
	w.g.Expect(err).NotTo(HaveOccurred())
	w.client = somebody
	w.g.Eventually(func() error { return somebody.Create(w, probe.DeepCopy(), client.DryRunAll) }).ShouldNot(Succeed())
}

// address is a free one.
func address(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		w.g.Expect(cluster.Client.Create(w, o)).To(Succeed())
	}
}

func (w *world) stage(name string) func() string {
	return func() string {
		var er v1alpha1.ErasureRequest
		if err := cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: name}, &er); err != nil {
			return err.Error()
		}
		ready := meta.FindStatusCondition(er.Status.Conditions, v1alpha1.ConditionReady)
		if ready == nil {
			return ""
		}
		return string(er.Status.Phase) + "/" + ready.Reason
	}
}

// sweep deletes documents that are old, by a rule.
func (w *world) sweep() {
	w.t.Helper()
	w.create(&v1alpha1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "documents", Namespace: w.ns, Annotations: map[string]string{v1alpha1.AnnotationSweep: "1"}},
		Spec: v1alpha1.RetentionPolicySpec{Schedule: &v1alpha1.SweepSchedule{Cron: "0 3 1 1 *", TimeZone: "UTC"}, Limits: &v1alpha1.SweepLimits{MaxSharePercent: 100},
			Rules: []v1alpha1.RetentionRule{{Name: "old", Entity: "ats/documents", Clock: "issued", Period: "P1Y", Action: v1alpha1.RuleDelete}}}})
	var runs v1alpha1.DeletionRunList
	ofRule := func() *v1alpha1.DeletionRun {
		w.g.Expect(cluster.Client.List(w, &runs, client.InNamespace(w.ns))).To(Succeed())
		for i := range runs.Items {
			if runs.Items[i].Spec.Retention != nil {
				return &runs.Items[i]
			}
		}
		return nil
	}
	w.g.Eventually(ofRule).ShouldNot(BeNil(), func() string {
		var p v1alpha1.RetentionPolicy
		_ = cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: "documents"}, &p)
		return fmt.Sprint(p.Status)
	})
	w.g.Eventually(func() error {
		run := ofRule()
		run.Spec.Confirmed = &v1alpha1.RunConfirmation{Records: 10}
		return cluster.Client.Update(w, run)
	}).Should(Succeed())
	w.g.Eventually(func() v1alpha1.Phase { return ofRule().Status.Phase }).Should(Equal(v1alpha1.PhaseCompleted), func() string {
		return fmt.Sprint(ofRule().Status)
	})
}

// get reads a page of the operator.
func get(address, path string) (int, string) {
	r, err := http.Get("http://" + address + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = r.Body.Close() }()
	text, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(text)
}

// scrape reads the metrics.
func (w *world) scrape() map[string]*dto.MetricFamily {
	w.t.Helper()
	code, text := get(w.options.Metrics, "/metrics")
	w.g.Expect(code).To(Equal(http.StatusOK), text)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	w.g.Expect(err).NotTo(HaveOccurred())
	return families
}

// value of a metric of this namespace with labels given as name=value; -1 where there is none.
func (w *world) value(name string, labels ...string) func() float64 {
	return func() float64 {
		f := w.scrape()[name]
	next:
		for _, m := range f.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			if ns, ok := has["namespace"]; ok && ns != w.ns {
				continue
			}
			for _, want := range labels {
				if k, v, _ := strings.Cut(want, "="); has[k] != v {
					continue next
				}
			}
			switch {
			case m.GetHistogram() != nil:
				return float64(m.GetHistogram().GetSampleCount())
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
		return -1
	}
}

// logLines are the lines of the operator's log.
func (w *world) logLines() []map[string]any {
	w.t.Helper()
	var lines []map[string]any
	for line := range strings.Lines(w.operator.Logs.String()) {
		var m map[string]any
		w.g.Expect(json.Unmarshal([]byte(line), &m)).To(Succeed(), line)
		lines = append(lines, m)
	}
	return lines
}

// hold on nobody's records.
func hold(namespace string) *v1alpha1.LegalHold {
	return &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "hold", Namespace: namespace}, Spec: v1alpha1.LegalHoldSpec{
		Reason: "a dispute", Subjects: []string{"app-99"}}}
}
