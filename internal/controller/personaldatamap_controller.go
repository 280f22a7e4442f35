package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
)

const (
	// mapCheckInterval is how often a map is held against the live schemas.
	mapCheckInterval = 5 * time.Minute
	// maxListedProblems in the status of a map; as many warnings and drifts.
	maxListedProblems = 20
)

// PersonalDataMapReconciler holds maps against the live schemas of their stores.
type PersonalDataMapReconciler struct {
	client.Client
	Pool     *stores.Pool
	State    state.Store
	Recorder events.EventRecorder
	// Governance records what is applied.
	Governance *Governance
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=personaldatamaps,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=personaldatamaps/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=personaldatamaps/finalizers,verbs=update

// Reconcile checks one map.
func (r *PersonalDataMapReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var m v1alpha1.PersonalDataMap
	if err := r.Get(ctx, req.NamespacedName, &m); err != nil {
		forgetMap(req.Namespace, req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !m.DeletionTimestamp.IsZero() {
		return r.release(ctx, &m)
	}
	if err := setFinalizer(ctx, r.Client, &m, true); err != nil {
		return result(outcome{}, err)
	}
	read := m.DeepCopy()
	o, err := r.check(ctx, &m)
	m.Status.Entities = int32(len(m.Spec.Entities))
	again := r.Governance.Record(ctx, "PersonalDataMap", &m)
	res, err := publish(ctx, r.Client, r.Recorder, &m, read, o, err)
	r.driftEvent(&m, read)
	return sooner(again, res, err)
}

// check compiles all maps of the namespace together, since an entity may have its parent in another map, and reports
// what concerns this one.
func (r *PersonalDataMapReconciler) check(ctx context.Context, m *v1alpha1.PersonalDataMap) (outcome, error) {
	sources, err := r.sources(ctx, m)
	if err != nil {
		return outcome{}, err
	}
	graph, problems := planner.Compile(sources, "")
	if graph == nil {
		m.Status.Coverage, m.Status.SchemaDigest, m.Status.Warnings = nil, "", nil
		return r.report(m, concerning(problems, m.Name)), nil
	}
	facts, err := r.inspect(ctx, graph, m)
	if err != nil {
		return fromError(err) // what was found before stays in the status
	}
	problems = append(problems, graph.Check(facts)...)
	coverage := graph.Coverage(facts, m.Name)
	m.Status.Coverage, m.Status.SchemaDigest = &coverage, planner.SchemaDigest(graph.Relevant(facts))
	m.Status.Warnings = listed(concerning(graph.Warnings(facts), m.Name))
	metrics.MapUnknownColumns.WithLabelValues(m.Namespace, m.Name).Set(float64(coverage.Columns.Unknown))
	drift, err := r.drift(ctx, m, graph, facts)
	if err != nil {
		return outcome{}, err
	}
	return r.report(m, append(concerning(problems, m.Name), drift...)), nil
}

// drift holds the live schemas against those that the map was written for, which the state store remembers: a status that
// is lost does not make a changed schema look as if somebody had seen it. Another generation of the map takes the schemas
// as they are now.
func (r *PersonalDataMapReconciler) drift(ctx context.Context, m *v1alpha1.PersonalDataMap, graph *planner.Graph, facts map[string]planner.StoreFacts) ([]planner.Problem, error) {
	known, err := r.State.SchemaBaseline(ctx, string(m.UID))
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, err
	}
	var drift []string
	var next planner.Baseline
	if known == nil || known.Generation != m.Generation {
		next = graph.Baseline(facts, m.Name)
	} else {
		before, err := planner.DecodeBaseline(known.Tables)
		if err != nil {
			return nil, err
		}
		drift, next = graph.Drift(before, facts, m.Name)
	}
	if err := r.remember(ctx, m, known, next); err != nil {
		return nil, err
	}
	m.Status.Drift = drift[:min(len(drift), maxListedProblems)]
	metrics.MapDrift.WithLabelValues(m.Namespace, m.Name).Set(float64(len(drift)))
	return r.drifted(m, drift), nil
}

// remember writes the baseline if it is another one.
func (r *PersonalDataMapReconciler) remember(ctx context.Context, m *v1alpha1.PersonalDataMap, known *state.SchemaBaseline, next planner.Baseline) error {
	tables, err := next.Encode()
	if err != nil || known != nil && known.Generation == m.Generation && bytes.Equal(known.Tables, tables) {
		return err
	}
	return r.State.Update(ctx, func(tx state.Tx) error {
		return tx.PutSchemaBaseline(state.SchemaBaseline{MapUID: string(m.UID), Namespace: m.Namespace, Generation: m.Generation, Tables: tables})
	})
}

// drifted sets the condition, and makes a problem of the drift where the map's policy says so.
func (r *PersonalDataMapReconciler) drifted(m *v1alpha1.PersonalDataMap, drift []string) []planner.Problem {
	c := metav1.Condition{Type: v1alpha1.ConditionDrifted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSchemaUnchanged,
		Message: "the schemas are those that the map was written for", ObservedGeneration: m.Generation}
	if len(drift) == 0 {
		meta.SetStatusCondition(&m.Status.Conditions, c)
		return nil
	}
	c.Status, c.Reason = metav1.ConditionTrue, v1alpha1.ReasonSchemaDrift
	c.Message = truncate(fmt.Sprintf("%s; map or ignore it, any change of the map's spec takes the schemas as they are now", first(drift, "changes")), 1024)
	meta.SetStatusCondition(&m.Status.Conditions, c)
	if m.Spec.DriftPolicy == v1alpha1.DriftWarn {
		return nil
	}
	return []planner.Problem{{Reason: v1alpha1.ReasonSchemaDrift, Map: m.Name, Message: c.Message}}
}

// first is the first of a list with the number of the others.
func first(list []string, of string) string {
	if len(list) == 1 {
		return list[0]
	}
	return fmt.Sprintf("%s (and %d more %s)", list[0], len(list)-1, of)
}

// driftEvent tells of a drift that begins, and of its end. Where drift blocks, the event of Ready tells it.
func (r *PersonalDataMapReconciler) driftEvent(m, read *v1alpha1.PersonalDataMap) {
	now, ready := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionDrifted), meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady)
	if now == nil || ready == nil || ready.Reason == v1alpha1.ReasonSchemaDrift || m.ResourceVersion == read.ResourceVersion || meta.IsStatusConditionTrue(read.Status.Conditions, v1alpha1.ConditionDrifted) == (now.Status == metav1.ConditionTrue) {
		return
	}
	kind := corev1.EventTypeNormal
	if now.Status == metav1.ConditionTrue {
		kind = corev1.EventTypeWarning
	}
	r.Recorder.Eventf(m, nil, kind, now.Reason, "Reconcile", "%s", truncate(eventMessage(now), 1000))
}

// forgetMap removes the gauges of a map that is gone.
func forgetMap(namespace, name string) {
	metrics.MapDrift.DeleteLabelValues(namespace, name)
	metrics.MapUnknownColumns.DeleteLabelValues(namespace, name)
}

func (r *PersonalDataMapReconciler) sources(ctx context.Context, m *v1alpha1.PersonalDataMap) ([]planner.MapSource, error) {
	var maps v1alpha1.PersonalDataMapList
	if err := r.List(ctx, &maps, client.InNamespace(m.Namespace)); err != nil {
		return nil, err
	}
	sources := []planner.MapSource{{Name: m.Name, UID: string(m.UID), Generation: m.Generation, Spec: m.Spec}}
	for _, other := range maps.Items {
		if other.Name != m.Name && other.DeletionTimestamp.IsZero() {
			sources = append(sources, planner.MapSource{Name: other.Name, UID: string(other.UID), Generation: other.Generation, Spec: other.Spec})
		}
	}
	return sources, nil
}

// concerning keeps the problems of one map, and those that name no map.
func concerning(problems []planner.Problem, name string) []planner.Problem {
	var mine []planner.Problem
	for _, p := range problems {
		if p.Map == name || p.Map == "" {
			mine = append(mine, p)
		}
	}
	return mine
}

// inspect reads the live schemas of all stores that the graph uses. A store that only other maps use may be away.
func (r *PersonalDataMapReconciler) inspect(ctx context.Context, graph *planner.Graph, m *v1alpha1.PersonalDataMap) (map[string]planner.StoreFacts, error) {
	facts := map[string]planner.StoreFacts{}
	for _, name := range graph.Stores() {
		store, err := r.Pool.Get(ctx, m.Namespace, name)
		if err == nil {
			var f planner.StoreFacts
			if f, err = store.Facts(ctx, graph); err == nil {
				facts[name] = f
				continue
			}
		}
		if usesStore(m, name) {
			return nil, err
		}
	}
	return facts, nil
}

// report writes the problems into the status.
func (r *PersonalDataMapReconciler) report(m *v1alpha1.PersonalDataMap, problems []planner.Problem) outcome {
	// What does not exist comes first: much else follows from it.
	sort.SliceStable(problems, func(i, j int) bool {
		return problems[i].Reason == v1alpha1.ReasonSchemaMismatch && problems[j].Reason != v1alpha1.ReasonSchemaMismatch
	})
	m.Status.Problems, m.Status.ProblemCount = listed(problems), int32(len(problems))
	if len(problems) == 0 {
		o := ready(v1alpha1.ReasonReady, "every entity is there, reachable and can be treated as the map says")
		o.requeue = mapCheckInterval
		return o
	}
	message := problems[0].Message
	if len(problems) > 1 {
		message = fmt.Sprintf("%s (and %d more problems in status.problems)", message, len(problems)-1)
	}
	return stalled(problems[0].Reason, message, time.Minute)
}

// listed is what the status lists of problems or warnings.
func listed(problems []planner.Problem) []v1alpha1.MapProblem {
	var list []v1alpha1.MapProblem
	for _, p := range problems[:min(len(problems), maxListedProblems)] {
		list = append(list, v1alpha1.MapProblem{Reason: p.Reason, Entity: p.Entity, Column: p.Column, Message: truncate(p.Message, 1024)})
	}
	return list
}

// release lets a map go when no unfinished request is being processed with it.
func (r *PersonalDataMapReconciler) release(ctx context.Context, m *v1alpha1.PersonalDataMap) (ctrl.Result, error) {
	var runs v1alpha1.DeletionRunList
	if err := r.List(ctx, &runs, client.InNamespace(m.Namespace), client.MatchingFields{indexUnfinishedRun: "true"}); err != nil {
		return ctrl.Result{}, err
	}
	if len(runs.Items) == 0 {
		forget := func(tx state.Tx) error { return tx.DeleteSchemaBaseline(string(m.UID)) }
		if err := r.State.Update(ctx, forget); err != nil {
			return ctrl.Result{}, err
		}
		forgetMap(m.Namespace, m.Name)
		return ctrl.Result{}, setFinalizer(ctx, r.Client, m, false)
	}
	read := m.DeepCopy()
	o := reconciling(v1alpha1.ReasonInUse, "the map is still used by DeletionRun "+runs.Items[0].Name, 10*time.Second)
	summarize(m, o)
	return result(o, patchStatus(ctx, r.Client, m, read))
}

// SetupWithManager registers the controller. A store that becomes reachable, and any change of another map of the
// namespace, makes a map be looked at again.
func (r *PersonalDataMapReconciler) SetupWithManager(mgr ctrl.Manager) error {
	all := ofNamespace(r, &v1alpha1.PersonalDataMapList{})
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.PersonalDataMap{}, builder.WithPredicates(specOrCommandChanged())).
		Watches(&v1alpha1.DataStore{}, all, builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.PersonalDataMap{}, all, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}
