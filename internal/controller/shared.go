// Package controller reconciles the kinds of the API group privacy.lethe.dev, one file for each kind.
package controller

import (
	"context"
	"errors"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/fault"
)

// Labels on the runs that the operator makes.
const (
	LabelRequest = "privacy.lethe.dev/request"
	LabelResidue = "privacy.lethe.dev/residue"
)

// Witness is a second clock, which the operator's process cannot set.
type Witness interface {
	Now(ctx context.Context) (time.Time, error)
}

// APIServerClock is the clock of the Kubernetes API server.
type APIServerClock struct{ Client client.Client }

// Now asks the API server who is asking; the answer, which is stored nowhere, has the server's time.
func (c APIServerClock) Now(ctx context.Context) (time.Time, error) {
	review := &authenticationv1.SelfSubjectReview{}
	if err := c.Client.Create(ctx, review); err != nil {
		return time.Time{}, err
	}
	if review.CreationTimestamp.IsZero() {
		return time.Time{}, errors.New("the API server does not tell its time")
	}
	return review.CreationTimestamp.Time, nil
}

// object is what all kinds of the group have.
type object interface {
	client.Object
	GetConditions() *[]metav1.Condition
	SetObservedGeneration(generation int64)
}

// outcome is what a reconcile found: the state of Ready, and when to look again.
type outcome struct {
	status  metav1.ConditionStatus
	reason  string
	message string
	stalled bool
	requeue time.Duration
}

func ready(reason, message string) outcome {
	return outcome{status: metav1.ConditionTrue, reason: reason, message: message}
}

func reconciling(reason, message string, after time.Duration) outcome {
	return outcome{status: metav1.ConditionFalse, reason: reason, message: message, requeue: after}
}

func stalled(reason, message string, after time.Duration) outcome {
	return outcome{status: metav1.ConditionFalse, reason: reason, message: message, stalled: true, requeue: after}
}

// fromError translates an error into an outcome; transient errors are returned for back-off as well.
func fromError(err error) (outcome, error) {
	reason, message := fault.Public(err)
	var terminal *fault.Terminal
	var waiting *fault.Waiting
	switch {
	case errors.As(err, &terminal):
		return stalled(reason, message, 5*time.Minute), nil
	case errors.As(err, &waiting):
		return reconciling(reason, message, waiting.After), nil
	}
	return reconciling(reason, message, 0), err
}

// summarize sets Ready, Reconciling, Stalled and the generation that they speak of as kstatus expects them. What stays as it was keeps
// its place and its time, so that a status that says nothing new is not written.
func summarize(obj object, o outcome) {
	obj.SetObservedGeneration(obj.GetGeneration())
	conditions := obj.GetConditions()
	set := func(kind string, status metav1.ConditionStatus, reason, message string) {
		meta.SetStatusCondition(conditions, metav1.Condition{Type: kind, Status: status, Reason: reason, Message: truncate(message, 1024),
			ObservedGeneration: obj.GetGeneration()})
	}
	set(v1alpha1.ConditionReady, o.status, o.reason, o.message)
	for kind, holds := range map[string]bool{v1alpha1.ConditionStalled: o.stalled, v1alpha1.ConditionReconciling: !o.stalled} {
		if holds && o.status != metav1.ConditionTrue {
			set(kind, metav1.ConditionTrue, o.reason, o.message)
		} else {
			meta.RemoveStatusCondition(conditions, kind)
		}
	}
}

func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-3] + "..."
}

// patchStatus writes the status if it differs from the one read, under the precondition that nobody wrote in between.
func patchStatus(ctx context.Context, c client.Client, obj, read client.Object) error {
	if equality.Semantic.DeepEqual(obj, read) {
		return nil
	}
	err := c.Status().Patch(ctx, obj, mergeFrom(read))
	obj.SetManagedFields(read.GetManagedFields()) // the answer has them, and the next patch must not send them back
	return err
}

// setFinalizer adds or removes Lethe's finalizer.
func setFinalizer(ctx context.Context, c client.Client, obj client.Object, want bool) error {
	read := obj.DeepCopyObject().(client.Object)
	changed := false
	if want {
		changed = controllerutil.AddFinalizer(obj, v1alpha1.Finalizer)
	} else {
		changed = controllerutil.RemoveFinalizer(obj, v1alpha1.Finalizer)
	}
	if !changed {
		return nil
	}
	err := c.Patch(ctx, obj, client.MergeFromWithOptions(read, client.MergeFromWithOptimisticLock{}))
	if !want {
		return client.IgnoreNotFound(err)
	}
	return err
}

// transition emits an event when the reason of Ready changed, or when the object stalled with it.
func transition(ctx context.Context, recorder events.EventRecorder, obj, read object, warn bool) {
	now, before := meta.FindStatusCondition(*obj.GetConditions(), v1alpha1.ConditionReady), meta.FindStatusCondition(*read.GetConditions(), v1alpha1.ConditionReady)
	stuck := func(o object) bool { return meta.IsStatusConditionTrue(*o.GetConditions(), v1alpha1.ConditionStalled) }
	if now == nil || (before != nil && before.Reason == now.Reason && before.Status == now.Status && stuck(obj) == stuck(read)) {
		return
	}
	logTransition(ctx, obj, read)
	kind := corev1.EventTypeNormal
	if warn {
		kind = corev1.EventTypeWarning
	}
	recorder.Eventf(obj, nil, kind, now.Reason, "Reconcile", "%s", eventMessage(now))
}

func eventMessage(c *metav1.Condition) string {
	if c.Message == "" {
		return c.Reason
	}
	return c.Message
}

// publish shows the outcome in conditions and, if it is a transition, in an event, with one status write.
func publish(ctx context.Context, c client.Client, recorder events.EventRecorder, obj, read object, o outcome, err error) (ctrl.Result, error) {
	if err != nil && o.status == "" {
		o, err = fromError(err)
	}
	summarize(obj, o)
	if perr := patchStatus(ctx, c, obj, read); perr != nil {
		return result(o, perr)
	}
	transition(ctx, recorder, obj, read, o.status != metav1.ConditionTrue)
	return result(o, err)
}

// result makes what controller-runtime wants of an outcome. A conflict means that the cache is behind: look again.
func result(o outcome, err error) (ctrl.Result, error) {
	if apierrors.IsConflict(err) {
		return ctrl.Result{RequeueAfter: 20 * time.Millisecond}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: o.requeue}, nil
}

// namespaceTerminating tells whether the namespace is going away.
func namespaceTerminating(ctx context.Context, r client.Reader, name string) (bool, error) {
	var ns corev1.Namespace
	if err := r.Get(ctx, types.NamespacedName{Name: name}, &ns); err != nil {
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	return !ns.DeletionTimestamp.IsZero(), nil
}

// mergeFrom patches what differs from read, under the precondition that nobody wrote in between.
func mergeFrom(read client.Object) client.Patch {
	return client.MergeFromWithOptions(read, client.MergeFromWithOptimisticLock{})
}
