package observe

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
)

var (
	descRuns = metrics.Describe(metrics.TypeGauge, "lethe_deletionruns",
		"Deletion runs that there are, dry runs not counted, by kind and phase.", "namespace", "kind", "phase")
	descQueueSteps = metrics.Describe(metrics.TypeGauge, "lethe_deletion_queue_steps",
		"Steps of unfinished runs that are planned and not done.", "namespace")
	descQueueRecords = metrics.Describe(metrics.TypeGauge, "lethe_deletion_queue_records",
		"Records and files of unfinished runs that are planned and not done, and records that are due of runs of rules.", "namespace")
	descLag = metrics.Describe(metrics.TypeGauge, "lethe_sweep_lag_seconds",
		"How long ago the longest waiting run of a retention rule should have begun that has not ended; 0 where none waits.", "namespace")
	descSweepRate = metrics.Describe(metrics.TypeGauge, "lethe_sweep_records_per_second",
		"Records per second of the runs of retention rules that are going on, since their beginning.", "namespace")
)

// runKinds are the values of the label kind.
const (
	kindRequest  = "request"
	kindResidue  = "residue"
	kindRule     = "rule"
	kindSubjects = "subjects"
)

// runs counts DeletionRuns. Of an unfinished one it keeps a few numbers.
type runs struct {
	clock clock.PassiveClock

	mu   sync.Mutex
	by   map[string]map[kindPhase]int
	open map[string]map[types.UID]openRun
}

type kindPhase struct {
	kind  string
	phase v1alpha1.Phase
}

type openRun struct {
	steps, records, rate int64
	// scheduled is when the run of a rule was to begin; zero for others.
	scheduled time.Time
}

func newRuns(clk clock.PassiveClock) *runs {
	return &runs{clock: clk, by: map[string]map[kindPhase]int{}, open: map[string]map[types.UID]openRun{}}
}

func kindOf(run *v1alpha1.DeletionRun) string {
	switch {
	case run.Spec.Residue != nil:
		return kindResidue
	case run.Spec.Retention != nil:
		return kindRule
	case run.Spec.Subjects != nil:
		return kindSubjects
	}
	return kindRequest
}

func phaseOf(run *v1alpha1.DeletionRun) v1alpha1.Phase {
	if run.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return run.Status.Phase
}

// changed follows one run.
func (r *runs) changed(before, after *v1alpha1.DeletionRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if before != nil && !before.Spec.DryRun {
		r.count(before, -1)
		delete(r.open[before.Namespace], before.UID)
	}
	if after != nil && !after.Spec.DryRun {
		r.count(after, 1)
		if phaseOf(after) == v1alpha1.PhasePending {
			r.keep(after)
		}
	}
	if before != nil && after != nil && !after.Spec.DryRun {
		observeRun(before, after)
	}
	for _, run := range []*v1alpha1.DeletionRun{before, after} {
		if run != nil && len(r.open[run.Namespace]) == 0 {
			delete(r.open, run.Namespace)
		}
	}
}

func (r *runs) count(run *v1alpha1.DeletionRun, n int) {
	c := r.by[run.Namespace]
	if c == nil {
		c = map[kindPhase]int{}
		r.by[run.Namespace] = c
	}
	k := kindPhase{kind: kindOf(run), phase: phaseOf(run)}
	if c[k] += n; c[k] == 0 {
		delete(c, k)
	}
	if len(c) == 0 {
		delete(r.by, run.Namespace)
	}
}

func (r *runs) keep(run *v1alpha1.DeletionRun) {
	o := openRun{rate: run.Status.RecordsPerSecond}
	for _, s := range run.Status.Steps {
		if s.State == v1alpha1.StepPending || s.State == v1alpha1.StepRunning {
			o.steps, o.records = o.steps+1, o.records+max(s.Planned-s.Done, 0)
		}
	}
	if st := &run.Status; run.Spec.Retention != nil && st.ScheduledAt != nil {
		o.scheduled = st.ScheduledAt.Time
		if st.Announced != nil {
			o.records += max(st.Announced.Due-treatedOf(st), 0)
		}
	}
	if r.open[run.Namespace] == nil {
		r.open[run.Namespace] = map[types.UID]openRun{}
	}
	r.open[run.Namespace][run.UID] = o
}

// treatedOf is what a run of a rule has treated of the records that were due: what progress begins with.
func treatedOf(st *v1alpha1.DeletionRunStatus) (n int64) {
	for _, c := range st.Progress {
		if c < '0' || c > '9' || n > 1<<53 {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n
}

// observeRun measures a run that has just ended.
func observeRun(before, after *v1alpha1.DeletionRun) {
	st := &after.Status
	if phaseOf(before) != v1alpha1.PhasePending || phaseOf(after) == v1alpha1.PhasePending || st.StartedAt == nil || st.FinishedAt == nil {
		return
	}
	metrics.RunDuration.WithLabelValues(kindOf(after), string(st.Phase)).Observe(st.FinishedAt.Sub(st.StartedAt.Time).Seconds())
}

// Describe implements prometheus.Collector.
func (r *runs) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descRuns, descQueueSteps, descQueueRecords, descLag, descSweepRate} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (r *runs) Collect(ch chan<- prometheus.Metric) {
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for namespace, counts := range r.by {
		put := func(d *prometheus.Desc, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{namespace}, labels...)...)
		}
		for k, n := range counts {
			put(descRuns, float64(n), k.kind, string(k.phase))
		}
		var all openRun
		lag := time.Duration(0)
		for _, o := range r.open[namespace] {
			all.steps, all.records, all.rate = all.steps+o.steps, all.records+o.records, all.rate+o.rate
			if !o.scheduled.IsZero() {
				lag = max(lag, now.Sub(o.scheduled))
			}
		}
		put(descQueueSteps, float64(all.steps))
		put(descQueueRecords, float64(all.records))
		put(descLag, lag.Seconds())
		put(descSweepRate, float64(all.rate))
	}
}
