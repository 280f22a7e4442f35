package observe

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
)

var (
	descStoreUp = metrics.Describe(metrics.TypeGauge, "lethe_datastore_up",
		"1 if the data store answered when it was last asked.", "namespace", "name")
	descMapReady = metrics.Describe(metrics.TypeGauge, "lethe_personaldatamap_ready",
		"1 if the map is Ready: no request waits for it.", "namespace", "name")
	descPolicyReady = metrics.Describe(metrics.TypeGauge, "lethe_retentionpolicy_ready",
		"1 if the policy is Ready: it can be applied.", "namespace", "name")
	descPolicySuspended = metrics.Describe(metrics.TypeGauge, "lethe_retentionpolicy_suspended",
		"1 while spec.suspend stops the rules of the policy.", "namespace", "name")
	descHolds = metrics.Describe(metrics.TypeGauge, "lethe_legalholds",
		"Legal holds, by whether they are in force: InForce, Lifted, or Pending while they are neither yet.", "namespace", "state")
)

// table keeps a value for each object of a kind that people install, of which there are few.
type table[V any] struct {
	mu   sync.Mutex
	rows map[types.NamespacedName]V
}

func newTable[V any]() table[V] { return table[V]{rows: map[types.NamespacedName]V{}} }

func (t *table[V]) set(obj client.Object, value V) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows[client.ObjectKeyFromObject(obj)] = value
}

func (t *table[V]) remove(obj client.Object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rows, client.ObjectKeyFromObject(obj))
}

func (t *table[V]) all() map[types.NamespacedName]V {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.rows)
}

func named(ch chan<- prometheus.Metric, d *prometheus.Desc, value float64, of types.NamespacedName) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, of.Namespace, of.Name)
}

// stores tells which data stores answer. The value is why one does not, empty where it does.
type stores struct{ table[string] }

func newStores() *stores { return &stores{newTable[string]()} }

func (s *stores) changed(before, after *v1alpha1.DataStore) {
	if after == nil {
		s.remove(before)
		return
	}
	reachable := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReachable)
	switch {
	case reachable == nil:
		s.remove(after) // nobody has asked it yet
	case isTrue(after.Status.Conditions, v1alpha1.ConditionReachable):
		s.set(after, "")
	default:
		s.set(after, word(reachable.Reason))
	}
}

// Describe implements prometheus.Collector.
func (s *stores) Describe(ch chan<- *prometheus.Desc) { ch <- descStoreUp }

// Collect implements prometheus.Collector.
func (s *stores) Collect(ch chan<- prometheus.Metric) {
	for of, problem := range s.all() {
		named(ch, descStoreUp, truth(problem == ""), of)
	}
}

// StoresHandler tells which data stores answer: 200 if all do, else 503. It is no part of readiness: an operator whose stores are
// away still takes requests and holds.
func (o *Observer) StoresHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		all := o.stores.all()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if slices.ContainsFunc(slices.Collect(maps.Values(all)), func(problem string) bool { return problem != "" }) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		byName := func(a, b types.NamespacedName) int {
			return slices.Compare([]string{a.Namespace, a.Name}, []string{b.Namespace, b.Name})
		}
		for _, of := range slices.SortedFunc(maps.Keys(all), byName) {
			if problem := all[of]; problem != "" {
				fmt.Fprintf(w, "[-]%s %s\n", of, problem)
			} else {
				fmt.Fprintf(w, "[+]%s ok\n", of)
			}
		}
	})
}

// maps tells which maps are Ready.
type readyMaps struct{ table[bool] }

func newMaps() *readyMaps { return &readyMaps{newTable[bool]()} }

func (m *readyMaps) changed(before, after *v1alpha1.PersonalDataMap) {
	if after == nil {
		m.remove(before)
		return
	}
	m.set(after, isTrue(after.Status.Conditions, v1alpha1.ConditionReady))
}

// Describe implements prometheus.Collector.
func (m *readyMaps) Describe(ch chan<- *prometheus.Desc) { ch <- descMapReady }

// Collect implements prometheus.Collector.
func (m *readyMaps) Collect(ch chan<- prometheus.Metric) {
	for of, ready := range m.all() {
		named(ch, descMapReady, truth(ready), of)
	}
}

// policies tells which policies can be applied.
type policies struct{ table[policyState] }

type policyState struct{ ready, suspended bool }

func newPolicies() *policies { return &policies{newTable[policyState]()} }

func (p *policies) changed(before, after *v1alpha1.RetentionPolicy) {
	if after == nil {
		p.remove(before)
		return
	}
	p.set(after, policyState{ready: isTrue(after.Status.Conditions, v1alpha1.ConditionReady), suspended: after.Spec.Suspend})
}

// Describe implements prometheus.Collector.
func (p *policies) Describe(ch chan<- *prometheus.Desc) {
	ch <- descPolicyReady
	ch <- descPolicySuspended
}

// Collect implements prometheus.Collector.
func (p *policies) Collect(ch chan<- prometheus.Metric) {
	for of, s := range p.all() {
		named(ch, descPolicyReady, truth(s.ready), of)
		named(ch, descPolicySuspended, truth(s.suspended), of)
	}
}

// holds counts LegalHolds. It shows no names: that of a hold may be a person's.
type holds struct {
	mu sync.Mutex
	by map[holdState]int
}

type holdState struct{ namespace, state string }

func newHolds() *holds { return &holds{by: map[holdState]int{}} }

func stateOf(h *v1alpha1.LegalHold) holdState {
	s := holdState{namespace: h.Namespace, state: "Pending"}
	if reason := reasonOf(h.Status.Conditions); isTrue(h.Status.Conditions, v1alpha1.ConditionReady) &&
		(reason == v1alpha1.ReasonInForce || reason == v1alpha1.ReasonLifted) {
		s.state = reason
	}
	return s
}

func (h *holds) changed(before, after *v1alpha1.LegalHold) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before != nil {
		k := stateOf(before)
		if h.by[k]--; h.by[k] == 0 {
			delete(h.by, k)
		}
	}
	if after != nil {
		h.by[stateOf(after)]++
	}
}

// Describe implements prometheus.Collector.
func (h *holds) Describe(ch chan<- *prometheus.Desc) { ch <- descHolds }

// Collect implements prometheus.Collector.
func (h *holds) Collect(ch chan<- prometheus.Metric) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, n := range h.by {
		ch <- prometheus.MustNewConstMetric(descHolds, prometheus.GaugeValue, float64(n), k.namespace, k.state)
	}
}
