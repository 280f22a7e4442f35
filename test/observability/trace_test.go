package observability

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lethe-dev/lethe/internal/tracing"
	"github.com/lethe-dev/lethe/test/harness"
)

// otlp is a collector that keeps the spans that come.
type otlp struct {
	mu    sync.Mutex
	raw   strings.Builder
	spans []*tracepb.Span
}

func (o *otlp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		http.Error(w, "not a trace", http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.raw.Write(body)
	for _, rs := range req.GetResourceSpans() {
		for _, ss := range rs.GetScopeSpans() {
			o.spans = append(o.spans, ss.GetSpans()...)
		}
	}
}

func attributesOf(s *tracepb.Span) map[string]string {
	out := map[string]string{}
	for _, a := range s.GetAttributes() {
		out[a.GetKey()] = a.GetValue().GetStringValue()
	}
	return out
}

// TestARunIsTraced: the spans of a real run reach a collector, from plan to verification, and name nobody.
func TestARunIsTraced(t *testing.T) {
	o := &otlp{}
	server := httptest.NewServer(o)
	defer server.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	w := newWorld(t)
	stop, err := tracing.Export(w, logr.Discard(), "test")
	w.g.Expect(err).NotTo(HaveOccurred())
	w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
	w.g.Eventually(w.stage("now")).Should(Equal("Completed/Erased"))
	w.g.Expect(w.operator.Stop()).To(Succeed())
	w.g.Expect(stop(w)).To(Succeed()) // sends what is left

	o.mu.Lock()
	defer o.mu.Unlock()
	byID := map[string]*tracepb.Span{}
	for _, s := range o.spans {
		byID[string(s.GetSpanId())] = s
	}
	// below names the spans above one, the nearest first.
	below := func(s *tracepb.Span) (names []string) {
		for p := byID[string(s.GetParentSpanId())]; p != nil; p = byID[string(p.GetParentSpanId())] {
			names = append(names, p.GetName())
		}
		return names
	}
	steps := map[string]bool{}
	found := map[string]int{}
	for _, s := range o.spans {
		at := attributesOf(s)
		if at[tracing.Namespace] != w.ns {
			continue
		}
		found[s.GetName()]++
		switch s.GetName() {
		case "run":
			w.g.Expect(at[tracing.Handle]).NotTo(BeEmpty())
			w.g.Expect(at[tracing.Run]).NotTo(BeEmpty())
		case "step":
			steps[at[tracing.Step]+"@"+at[tracing.Store]] = true
			w.g.Expect(below(s)).To(Equal([]string{"run"}))
		case "plan", "verify":
			w.g.Expect(below(s)).To(Equal([]string{"run"}))
		}
	}
	w.g.Expect(steps).To(Equal(map[string]bool{"records/ats@ats": true, "files/documents@documents": true, "final/ats@ats": true}))
	for _, name := range []string{"run", "plan", "resolve", "verify", "ledger append"} {
		w.g.Expect(found[name]).To(BeNumerically(">=", 1), name)
	}
	for _, secret := range []string{ada.Email, ada.Name, ada.Phone, ada.ID, strings.Fields(ada.Name)[0], "cover"} {
		w.g.Expect(o.raw.String()).NotTo(ContainSubstring(secret))
	}
}

// TestTracingIsFreeWhenOff: it makes nothing, and nothing to collect.
func TestTracingIsFreeWhenOff(t *testing.T) {
	ctx := t.Context()
	allocations := testing.AllocsPerRun(1000, func() {
		_, span := tracing.Start(ctx, "run", tracing.Namespace, "recruiting", tracing.Run, "1")
		span.Count(tracing.Records, 3)
		span.End(nil)
	})
	if allocations != 0 {
		t.Errorf("%v allocations for each span", allocations)
	}
}
