package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
)

var (
	descRequests = metrics.Describe(metrics.TypeGauge, "lethe_erasurerequests",
		"Erasure requests that there are, by phase and source.", "namespace", "phase", "source")
	descUnfinished = metrics.Describe(metrics.TypeGauge, "lethe_erasurerequests_unfinished",
		"Requests whose erasure is still to come, Pending or Failed, by stage (the reason of Ready); abandoned ones are not counted.", "namespace", "phase", "stage")
	descStalled = metrics.Describe(metrics.TypeGauge, "lethe_erasurerequests_stalled",
		"Pending requests that cannot proceed without a person.", "namespace")
	descOverdue = metrics.Describe(metrics.TypeGauge, "lethe_erasurerequests_overdue",
		"Unfinished requests whose statutory due date has passed.", "namespace")
	descDueWithin = metrics.Describe(metrics.TypeGauge, "lethe_erasurerequests_due_within",
		"Unfinished requests whose statutory due date comes within a time and has not passed.", "namespace", "within")
	descNextDue = metrics.Describe(metrics.TypeGauge, "lethe_erasurerequest_next_due_timestamp_seconds",
		"The earliest statutory due date of an unfinished request.", "namespace")
	descOldest = metrics.Describe(metrics.TypeGauge, "lethe_erasurerequest_oldest_pending_timestamp_seconds",
		"When the oldest unfinished request was received.", "namespace")
)

// withins are the values of the label within.
var withins = []struct {
	name string
	d    time.Duration
}{{"24h", 24 * time.Hour}, {"72h", 72 * time.Hour}, {"168h", 168 * time.Hour}}

// requests counts ErasureRequests. Of an unfinished one it keeps two times, of any other a part of a number.
type requests struct {
	clock clock.PassiveClock

	mu sync.Mutex
	by map[string]*requestCounts // by namespace
}

type phaseSource struct {
	phase  v1alpha1.Phase
	source v1alpha1.Source
}

type phaseStage struct {
	phase v1alpha1.Phase
	stage string
}

type requestCounts struct {
	all           map[phaseSource]int
	unfinished    map[phaseStage]int
	stalled       int
	due, received moments
}

// moments counts what shares a second.
type moments map[int64]int

func (m moments) add(at int64, n int) {
	if m[at] += n; m[at] == 0 {
		delete(m, at)
	}
}

func newRequests(clk clock.PassiveClock) *requests {
	return &requests{clock: clk, by: map[string]*requestCounts{}}
}

// requestFacts are what counts of a request.
type requestFacts struct {
	phaseSource
	stage               string
	unfinished, stalled bool
	due, received       int64 // a due date of 0 is not known yet
}

func factsOf(er *v1alpha1.ErasureRequest) requestFacts {
	st := &er.Status
	f := requestFacts{phaseSource: phaseSource{phase: st.Phase, source: er.Spec.Source}, stage: reasonOf(st.Conditions), received: er.CreationTimestamp.Unix()}
	if f.phase == "" {
		f.phase = v1alpha1.PhasePending
	}
	switch f.stage {
	case v1alpha1.ReasonAbandoned, v1alpha1.ReasonNamespaceDeleted, v1alpha1.ReasonRequestGone:
	default:
		f.unfinished = !f.phase.Finished()
	}
	f.stalled = f.phase == v1alpha1.PhasePending && isTrue(st.Conditions, v1alpha1.ConditionStalled)
	if st.ReceivedAt != nil {
		f.received = st.ReceivedAt.Unix()
	}
	if st.DueAt != nil {
		f.due = st.DueAt.Unix()
	}
	return f
}

func (c *requestCounts) add(f requestFacts, n int) {
	if c.all[f.phaseSource] += n; c.all[f.phaseSource] == 0 {
		delete(c.all, f.phaseSource)
	}
	if f.stalled {
		c.stalled += n
	}
	if !f.unfinished {
		return
	}
	at := phaseStage{phase: f.phase, stage: f.stage}
	if c.unfinished[at] += n; c.unfinished[at] == 0 {
		delete(c.unfinished, at)
	}
	c.received.add(f.received, n)
	if f.due != 0 {
		c.due.add(f.due, n)
	}
}

// changed follows one request.
func (r *requests) changed(before, after *v1alpha1.ErasureRequest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before != nil {
		r.count(before, -1)
	}
	if after != nil {
		r.count(after, 1)
	}
	if before != nil && after != nil {
		observeRequest(before, after)
	}
}

func (r *requests) count(er *v1alpha1.ErasureRequest, n int) {
	c := r.by[er.Namespace]
	if c == nil {
		c = &requestCounts{all: map[phaseSource]int{}, unfinished: map[phaseStage]int{}, due: moments{}, received: moments{}}
		r.by[er.Namespace] = c
	}
	c.add(factsOf(er), n)
	if len(c.all) == 0 {
		delete(r.by, er.Namespace)
	}
}

// observeRequest measures what has just happened to a request.
func observeRequest(before, after *v1alpha1.ErasureRequest) {
	was, is := &before.Status, &after.Status
	if is.ProcessingStartedAt != nil && was.ProcessingStartedAt == nil && is.ScheduledAt != nil {
		metrics.RequestStartDelay.WithLabelValues().Observe(max(is.ProcessingStartedAt.Sub(is.ScheduledAt.Time).Seconds(), 0))
	}
	if is.FinishedAt == nil || was.Phase == is.Phase || is.Phase == v1alpha1.PhasePending {
		return
	}
	if is.ReceivedAt != nil {
		metrics.RequestDuration.WithLabelValues(string(is.Phase), string(after.Spec.Source)).Observe(is.FinishedAt.Sub(is.ReceivedAt.Time).Seconds())
	}
	if is.DueAt != nil && is.Phase == v1alpha1.PhaseCompleted {
		metrics.RequestMargin.WithLabelValues(string(after.Spec.Source)).Observe(is.DueAt.Sub(is.FinishedAt.Time).Seconds())
	}
}

// Describe implements prometheus.Collector.
func (r *requests) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRequests, descUnfinished, descStalled, descOverdue, descDueWithin, descNextDue, descOldest} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (r *requests) Collect(ch chan<- prometheus.Metric) {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for namespace, c := range r.by {
		c.collect(ch, namespace, now)
	}
}

func (c *requestCounts) collect(ch chan<- prometheus.Metric, namespace string, now time.Time) {
	put := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{namespace}, labels...)...)
	}
	for k, n := range c.all {
		put(descRequests, float64(n), string(k.phase), string(k.source))
	}
	for k, n := range c.unfinished {
		put(descUnfinished, float64(n), string(k.phase), k.stage)
	}
	put(descStalled, float64(c.stalled))
	overdue, within := 0, make([]int, len(withins))
	for at, n := range c.due {
		left := time.Unix(at, 0).Sub(now)
		if left < 0 {
			overdue += n
			continue
		}
		for i, w := range withins {
			if left <= w.d {
				within[i] += n
			}
		}
	}
	put(descOverdue, float64(overdue))
	for i, w := range withins {
		put(descDueWithin, float64(within[i]), w.name)
	}
	if at, ok := c.due.first(); ok {
		put(descNextDue, float64(at))
	}
	if at, ok := c.received.first(); ok {
		put(descOldest, float64(at))
	}
}

func (m moments) first() (at int64, ok bool) {
	for t := range m {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}
