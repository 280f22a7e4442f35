package observe

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shown are the values of a collector, by name and labels.
func shown(c prometheus.Collector) map[string]float64 {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		panic(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			out[f.GetName()+labelsOf(m)] = m.GetGauge().GetValue()
		}
	}
	return out
}

func labelsOf(m *dto.Metric) string {
	var parts []string
	for _, l := range m.GetLabel() {
		parts = append(parts, l.GetName()+"="+l.GetValue())
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func newRequest(namespace string, phase v1alpha1.Phase, reason string, stalled bool, received, due time.Duration) *v1alpha1.ErasureRequest {
	er := &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace}, Spec: v1alpha1.ErasureRequestSpec{Source: v1alpha1.SourceSubject}}
	at := func(d time.Duration) *metav1.Time { t := metav1.NewTime(now.Add(d)); return &t }
	er.Status = v1alpha1.ErasureRequestStatus{Phase: phase, ReceivedAt: at(received), DueAt: at(due)}
	if reason != "" {
		er.Status.Conditions = append(er.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: reason})
	}
	if stalled {
		er.Status.Conditions = append(er.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: reason})
	}
	return er
}

func TestRequestsAreCounted(t *testing.T) {
	g := NewWithT(t)
	const day = 24 * time.Hour
	clk := clocktesting.NewFakePassiveClock(now)
	r := newRequests(clk)
	waits := newRequest("recruiting", v1alpha1.PhasePending, v1alpha1.ReasonGracePeriod, false, -10*day, 20*day)
	r.changed(nil, waits)
	r.changed(nil, newRequest("recruiting", v1alpha1.PhasePending, v1alpha1.ReasonSubjectNotFound, true, -28*day, 2*day))
	r.changed(nil, newRequest("recruiting", v1alpha1.PhasePending, v1alpha1.ReasonGracePeriod, false, -40*day, -10*day))
	r.changed(nil, newRequest("recruiting", v1alpha1.PhaseFailed, v1alpha1.ReasonStoreRefused, true, -25*day, 5*day))
	r.changed(nil, newRequest("recruiting", v1alpha1.PhaseFailed, v1alpha1.ReasonAbandoned, true, -90*day, -60*day))
	r.changed(nil, newRequest("recruiting", v1alpha1.PhaseCompleted, v1alpha1.ReasonErased, false, -90*day, -60*day))
	r.changed(nil, newRequest("other", "", "", false, 0, 30*day))
	want := map[string]float64{
		"lethe_erasurerequests{namespace=recruiting,phase=Pending,source=Subject}":                   3,
		"lethe_erasurerequests{namespace=recruiting,phase=Failed,source=Subject}":                    2,
		"lethe_erasurerequests{namespace=recruiting,phase=Completed,source=Subject}":                 1,
		"lethe_erasurerequests{namespace=other,phase=Pending,source=Subject}":                        1,
		"lethe_erasurerequests_unfinished{namespace=recruiting,phase=Pending,stage=GracePeriod}":     2,
		"lethe_erasurerequests_unfinished{namespace=recruiting,phase=Pending,stage=SubjectNotFound}": 1,
		"lethe_erasurerequests_unfinished{namespace=recruiting,phase=Failed,stage=StoreRefused}":     1,
		"lethe_erasurerequests_unfinished{namespace=other,phase=Pending,stage=New}":                  1,
		"lethe_erasurerequests_stalled{namespace=recruiting}":                                        1,
		"lethe_erasurerequests_stalled{namespace=other}":                                             0,
		"lethe_erasurerequests_overdue{namespace=recruiting}":                                        1,
		"lethe_erasurerequests_overdue{namespace=other}":                                             0,
		"lethe_erasurerequests_due_within{namespace=recruiting,within=24h}":                          0,
		"lethe_erasurerequests_due_within{namespace=recruiting,within=72h}":                          1,
		"lethe_erasurerequests_due_within{namespace=recruiting,within=168h}":                         2,
		"lethe_erasurerequests_due_within{namespace=other,within=24h}":                               0,
		"lethe_erasurerequests_due_within{namespace=other,within=72h}":                               0,
		"lethe_erasurerequests_due_within{namespace=other,within=168h}":                              0,
		"lethe_erasurerequest_next_due_timestamp_seconds{namespace=recruiting}":                      float64(now.Add(-10 * day).Unix()),
		"lethe_erasurerequest_next_due_timestamp_seconds{namespace=other}":                           float64(now.Add(30 * day).Unix()),
		"lethe_erasurerequest_oldest_pending_timestamp_seconds{namespace=recruiting}":                float64(now.Add(-40 * day).Unix()),
		"lethe_erasurerequest_oldest_pending_timestamp_seconds{namespace=other}":                     float64(now.Unix()),
	}
	g.Expect(shown(r)).To(Equal(want))

	// Time alone makes one overdue.
	clk.SetTime(now.Add(21 * day))
	g.Expect(shown(r)).To(HaveKeyWithValue("lethe_erasurerequests_overdue{namespace=recruiting}", 4.0))

	// What has ended is not overdue any more, and a namespace without requests is not shown.
	done := waits.DeepCopy()
	done.Status.Phase = v1alpha1.PhaseCompleted
	r.changed(waits, done)
	g.Expect(shown(r)).To(HaveKeyWithValue("lethe_erasurerequests_overdue{namespace=recruiting}", 3.0))
	r.changed(newRequest("other", "", "", false, 0, 30*day), nil)
	for key := range shown(r) {
		g.Expect(key).NotTo(ContainSubstring("namespace=other"))
	}
}

// TestCountersEqualACount: after any changes the counters are those of a count of what is there, and nothing is kept of what is gone.
func TestCountersEqualACount(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRequests(clocktesting.NewFakePassiveClock(now))
		there := map[int]*v1alpha1.ErasureRequest{}
		one := rapid.Custom(func(t *rapid.T) *v1alpha1.ErasureRequest {
			er := newRequest(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace"),
				rapid.SampledFrom([]v1alpha1.Phase{"", v1alpha1.PhasePending, v1alpha1.PhaseCompleted, v1alpha1.PhaseFailed, v1alpha1.PhaseCancelled}).Draw(t, "phase"),
				rapid.SampledFrom([]string{"", v1alpha1.ReasonGracePeriod, v1alpha1.ReasonAbandoned, "Nonsense"}).Draw(t, "reason"), rapid.Bool().Draw(t, "stalled"),
				time.Duration(rapid.IntRange(-5, 0).Draw(t, "received"))*time.Hour, time.Duration(rapid.IntRange(-5, 5).Draw(t, "due"))*time.Hour)
			if rapid.Bool().Draw(t, "no due date") {
				er.Status.DueAt, er.Status.ReceivedAt = nil, nil
			}
			return er
		})
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			i := rapid.IntRange(0, 5).Draw(t, "which")
			before := there[i]
			var after *v1alpha1.ErasureRequest
			if before == nil || rapid.Bool().Draw(t, "stays") {
				after = one.Draw(t, "request")
				if before != nil {
					after.Namespace = before.Namespace
				}
			}
			r.changed(before, after)
			if there[i] = after; after == nil {
				delete(there, i)
			}
		}
		fresh := newRequests(r.clock)
		for _, er := range there {
			fresh.changed(nil, er)
		}
		if have, want := shown(r), shown(fresh); fmt.Sprint(have) != fmt.Sprint(want) {
			t.Fatalf("counters are %v, a count gives %v", have, want)
		}
		for _, er := range there {
			r.changed(er, nil)
		}
		if len(r.by) != 0 {
			t.Fatalf("of nothing it keeps %v", r.by)
		}
	})
}

func TestRunsAreCounted(t *testing.T) {
	g := NewWithT(t)
	clk := clocktesting.NewFakePassiveClock(now)
	r := newRuns(clk)
	at := func(d time.Duration) *metav1.Time { t := metav1.NewTime(now.Add(d)); return &t }
	erasure := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Namespace: "recruiting", UID: "1"}, Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{}},
		Status: v1alpha1.DeletionRunStatus{Phase: v1alpha1.PhasePending, StartedAt: at(0), Steps: []v1alpha1.RunStep{
			{Name: "notify", State: v1alpha1.StepSkipped}, {Name: "records/ats", State: v1alpha1.StepDone, Planned: 7, Done: 7},
			{Name: "files/documents", State: v1alpha1.StepRunning, Planned: 5, Done: 2}, {Name: "final/ats", State: v1alpha1.StepPending, Planned: 1}}}}
	sweep := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Namespace: "recruiting", UID: "2"}, Spec: v1alpha1.DeletionRunSpec{Retention: &v1alpha1.RetentionReference{}},
		Status: v1alpha1.DeletionRunStatus{ScheduledAt: at(-time.Hour), Announced: &v1alpha1.Announcement{Due: 1000}, Progress: "400/1000", RecordsPerSecond: 50}}
	later := sweep.DeepCopy()
	later.UID, later.Status = "3", v1alpha1.DeletionRunStatus{ScheduledAt: at(time.Hour), Announced: &v1alpha1.Announcement{Due: 10}}
	preview := erasure.DeepCopy()
	preview.UID, preview.Spec.DryRun = "4", true
	for _, run := range []*v1alpha1.DeletionRun{erasure, sweep, later, preview} {
		r.changed(nil, run)
	}
	want := map[string]float64{
		"lethe_deletionruns{kind=request,namespace=recruiting,phase=Pending}": 1, "lethe_deletionruns{kind=rule,namespace=recruiting,phase=Pending}": 2,
		"lethe_deletion_queue_steps{namespace=recruiting}": 2, "lethe_deletion_queue_records{namespace=recruiting}": 3 + 1 + 600 + 10,
		"lethe_sweep_lag_seconds{namespace=recruiting}": 3600, "lethe_sweep_records_per_second{namespace=recruiting}": 50,
	}
	g.Expect(shown(r)).To(Equal(want))

	over := sweep.DeepCopy()
	over.Status.Phase = v1alpha1.PhaseCompleted
	r.changed(sweep, over)
	g.Expect(shown(r)).To(HaveKeyWithValue("lethe_sweep_lag_seconds{namespace=recruiting}", 0.0))
	g.Expect(shown(r)).To(HaveKeyWithValue("lethe_deletion_queue_records{namespace=recruiting}", 14.0))
	for _, run := range []*v1alpha1.DeletionRun{erasure, over, later, preview} {
		r.changed(run, nil)
	}
	g.Expect(shown(r)).To(BeEmpty())
	g.Expect(r.open).To(BeEmpty())
}

func TestStoresThatAreAwayAreToldApart(t *testing.T) {
	g := NewWithT(t)
	o := New(clocktesting.NewFakePassiveClock(now))
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		o.StoresHandler().ServeHTTP(w, httptest.NewRequest("GET", "/storez", nil))
		return w.Code, w.Body.String()
	}
	store := func(name string, status metav1.ConditionStatus, reason string) *v1alpha1.DataStore {
		return &v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Namespace: "recruiting", Name: name, UID: types.UID(name)}, Status: v1alpha1.DataStoreStatus{
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionReachable, Status: status, Reason: reason}}}}
	}
	o.stores.changed(nil, store("ats", metav1.ConditionTrue, v1alpha1.ReasonReady))
	o.stores.changed(nil, &v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Namespace: "recruiting", Name: "new"}})
	code, text := ask()
	g.Expect(code).To(Equal(200))
	g.Expect(text).To(Equal("[+]recruiting/ats ok\n"))

	away := store("documents", metav1.ConditionFalse, v1alpha1.ReasonStoreUnreachable)
	o.stores.changed(nil, away)
	code, text = ask()
	g.Expect(code).To(Equal(503))
	g.Expect(text).To(Equal("[+]recruiting/ats ok\n[-]recruiting/documents StoreUnreachable\n"))
	g.Expect(shown(o.stores)).To(Equal(map[string]float64{"lethe_datastore_up{name=ats,namespace=recruiting}": 1, "lethe_datastore_up{name=documents,namespace=recruiting}": 0}))

	o.stores.changed(away, nil)
	code, _ = ask()
	g.Expect(code).To(Equal(200))
}

// BenchmarkScrape of 100,000 requests in their grace period, each with times of its own.
func BenchmarkScrape(b *testing.B) {
	r := newRequests(clocktesting.NewFakePassiveClock(now))
	for i := range 100_000 {
		r.changed(nil, newRequest("recruiting", v1alpha1.PhasePending, v1alpha1.ReasonGracePeriod, false, -time.Duration(i)*time.Second, time.Duration(i)*20*time.Second))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(r)
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
