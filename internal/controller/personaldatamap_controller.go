package controller

import (
	"context"
	"fmt"
	"sort"
	"time"

	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
)

const (
	// mapCheckInterval is how often a map is held against the live schemas.
	mapCheckInterval = 10 * time.Minute
	// maxListedProblems in the status of a map.
	maxListedProblems = 20
)

// PersonalDataMapReconciler holds maps against the live schemas of their stores.
type PersonalDataMapReconciler struct {
	client.Client
	Pool     *stores.Pool
	Recorder events.EventRecorder
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=personaldatamaps,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=personaldatamaps/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=personaldatamaps/finalizers,verbs=update

// Reconcile checks one map.
func (r *PersonalDataMapReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var m v1alpha1.PersonalDataMap
	if err := r.Get(ctx, req.NamespacedName, &m); err != nil {
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
	m.Status.ObservedGeneration, m.Status.Entities = m.Generation, int32(len(m.Spec.Entities))
	return publish(ctx, r.Client, r.Recorder, &m, read, o, err)
}

// check compiles all maps of the namespace together, since an entity may have its parent in another map, and reports
// what concerns this one.
func (r *PersonalDataMapReconciler) check(ctx context.Context, m *v1alpha1.PersonalDataMap) (outcome, error) {
	sources, err := r.sources(ctx, m)
	if err != nil {
		return outcome{}, err
	}
	graph, problems := planner.Compile(sources, "")
	m.Status.Coverage, m.Status.SchemaDigest, m.Status.Problems, m.Status.ProblemCount = nil, "", nil, 0
	if graph != nil {
		facts, err := r.inspect(ctx, graph, m)
		if err != nil {
			return fromError(err)
		}
		problems = append(problems, graph.Check(facts)...)
		coverage := graph.Coverage(facts)
		m.Status.Coverage, m.Status.SchemaDigest = &coverage, planner.SchemaDigest(facts)
	}
	return r.report(m, concerning(problems, m.Name)), nil
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
			if f, err = inspectStore(ctx, store, graph); err == nil {
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

func inspectStore(ctx context.Context, store *stores.Store, graph *planner.Graph) (planner.StoreFacts, error) {
	f := planner.StoreFacts{Kind: store.Kind, DefaultSchema: store.DefaultSchema}
	inspector, ok := store.Backend.(backend.Inspector)
	if !ok {
		_, err := store.Describe(ctx)
		return f, fault.FromStore(store.Name, err)
	}
	tables := append(graph.Tables(store.Name), graph.IgnoredTables(store.Name)...)
	schema, err := inspector.Inspect(ctx, tables)
	if err != nil {
		return f, fault.FromStore(store.Name, err)
	}
	f.Schema = schema
	return f, nil
}

// report writes the problems into the status.
func (r *PersonalDataMapReconciler) report(m *v1alpha1.PersonalDataMap, problems []planner.Problem) outcome {
	// What does not exist comes first: much else follows from it.
	sort.SliceStable(problems, func(i, j int) bool {
		return problems[i].Reason == v1alpha1.ReasonSchemaMismatch && problems[j].Reason != v1alpha1.ReasonSchemaMismatch
	})
	m.Status.ProblemCount = int32(len(problems))
	for i, p := range problems {
		if i == maxListedProblems {
			break
		}
		m.Status.Problems = append(m.Status.Problems, v1alpha1.MapProblem{Reason: p.Reason, Entity: p.Entity, Column: p.Column, Message: truncate(p.Message, 1024)})
	}
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

// release lets a map go when no unfinished request is being processed with it.
func (r *PersonalDataMapReconciler) release(ctx context.Context, m *v1alpha1.PersonalDataMap) (ctrl.Result, error) {
	var runs v1alpha1.DeletionRunList
	if err := r.List(ctx, &runs, client.InNamespace(m.Namespace), client.MatchingFields{indexUnfinishedRun: "true"}); err != nil {
		return ctrl.Result{}, err
	}
	if len(runs.Items) == 0 {
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
		For(&v1alpha1.PersonalDataMap{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.DataStore{}, all, builder.WithPredicates(readyChanged{})).
		Watches(&v1alpha1.PersonalDataMap{}, all, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}
