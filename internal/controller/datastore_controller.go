package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
)

// storeProbeInterval is how often a store is asked whether it still answers.
const storeProbeInterval = 5 * time.Minute

// DataStoreReconciler tells whether stores answer and whether their credentials suffice.
type DataStoreReconciler struct {
	client.Client
	Pool     *stores.Pool
	State    state.Store
	Recorder events.EventRecorder
	// Governance records what is applied.
	Governance *Governance
}

// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=datastores,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=datastores/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=privacy.lethe.dev,resources=datastores/finalizers,verbs=update
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile looks at one store.
func (r *DataStoreReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var ds v1alpha1.DataStore
	if err := r.Get(ctx, req.NamespacedName, &ds); err != nil {
		r.Pool.Forget(req.NamespacedName)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !ds.DeletionTimestamp.IsZero() {
		return r.release(ctx, &ds)
	}
	if err := setFinalizer(ctx, r.Client, &ds, true); err != nil {
		return result(outcome{}, err)
	}
	read := ds.DeepCopy()
	o, err := r.probe(ctx, &ds)
	again := r.Governance.Record(ctx, "DataStore", &ds)
	res, err := publish(ctx, r.Client, r.Recorder, &ds, read, o, err)
	return sooner(again, res, err)
}

// probe asks the store what it is.
func (r *DataStoreReconciler) probe(ctx context.Context, ds *v1alpha1.DataStore) (outcome, error) {
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(&ds.Status.Conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: truncate(message, 1024), ObservedGeneration: ds.Generation})
	}
	store, err := r.Pool.GetFor(ctx, ds)
	var description backend.Description
	if err == nil {
		description, err = store.Describe(ctx)
		err = fault.FromStore(ds.Name, err)
	}
	if err != nil {
		reason, message := fault.Public(err)
		set(v1alpha1.ConditionReachable, metav1.ConditionFalse, reason, message)
		return fromError(err)
	}
	_, transactional := store.Backend.(backend.Transactional)
	ds.Status.ServerVersion, ds.Status.Transactional = truncate(description.Version, 128), &transactional
	set(v1alpha1.ConditionReachable, metav1.ConditionTrue, v1alpha1.ReasonReady, "the store answers")
	if len(description.Excessive) > 0 {
		set(v1alpha1.ConditionPrivileges, metav1.ConditionTrue, v1alpha1.ReasonPrivilegesExcessive,
			"the credentials can do more than an erasure needs: "+strings.Join(description.Excessive, ", "))
	} else {
		set(v1alpha1.ConditionPrivileges, metav1.ConditionTrue, v1alpha1.ReasonPrivilegesSufficient, "tables are checked with each PersonalDataMap")
	}
	o := ready(v1alpha1.ReasonReady, "the store answers")
	o.requeue = storeProbeInterval
	return o, nil
}

// release lets a store go that nothing needs any more.
func (r *DataStoreReconciler) release(ctx context.Context, ds *v1alpha1.DataStore) (ctrl.Result, error) {
	user, err := r.user(ctx, ds)
	if err != nil {
		return ctrl.Result{}, err
	}
	if user == "" {
		r.Pool.Forget(client.ObjectKeyFromObject(ds))
		return ctrl.Result{}, setFinalizer(ctx, r.Client, ds, false)
	}
	read := ds.DeepCopy()
	o := reconciling(v1alpha1.ReasonInUse, "the store is still used by "+user, time.Minute)
	summarize(ds, o)
	return result(o, patchStatus(ctx, r.Client, ds, read))
}

// user names something that still needs the store.
func (r *DataStoreReconciler) user(ctx context.Context, ds *v1alpha1.DataStore) (string, error) {
	var maps v1alpha1.PersonalDataMapList
	if err := r.List(ctx, &maps, client.InNamespace(ds.Namespace)); err != nil {
		return "", err
	}
	for i := range maps.Items {
		if usesStore(&maps.Items[i], ds.Name) {
			return "PersonalDataMap " + maps.Items[i].Name, nil
		}
	}
	waiting, err := r.State.OpenResidues(ctx, ds.Namespace)
	if err != nil {
		return "", err
	}
	if waiting > 0 {
		return fmt.Sprintf("%d residues of this namespace that are not due yet", waiting), nil
	}
	return "", nil
}

func usesStore(m *v1alpha1.PersonalDataMap, store string) bool {
	for _, e := range m.Spec.Entities {
		if e.Store == store {
			return true
		}
		for _, s := range referencedStores(&e) {
			if s == store {
				return true
			}
		}
	}
	return false
}

// referencedStores are those of what the entity's records name in other stores.
func referencedStores(e *v1alpha1.Entity) []string {
	var all []string
	for _, f := range e.Files {
		all = append(all, f.Store)
	}
	for _, k := range e.Keys {
		all = append(all, k.Store)
	}
	for _, r := range e.Resources {
		all = append(all, r.Store)
	}
	return all
}

// SetupWithManager registers the controller.
func (r *DataStoreReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1alpha1.DataStore{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Complete(r)
}
