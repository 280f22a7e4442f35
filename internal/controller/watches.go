package controller

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// readyChanged passes events of objects whose Ready, with its reason, or generation changed.
type readyChanged struct{ predicate.Funcs }

// Update tells whether the object became Ready, ceased to be, is so for another reason, or has another spec. The reason
// counts because a hold that was lifted is Ready too, and what waits for it must look again after it was lifted, not only
// when somebody asked for it.
func (readyChanged) Update(e event.UpdateEvent) bool {
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || readiness(e.ObjectOld) != readiness(e.ObjectNew)
}

// readiness is status and reason of Ready, and the generation that it speaks of: who waits until a changed object has been
// checked must look again when it has, even if it is as ready as before.
func readiness(obj client.Object) string {
	o, ok := obj.(object)
	if !ok {
		return ""
	}
	ready := meta.FindStatusCondition(*o.GetConditions(), v1alpha1.ConditionReady)
	if ready == nil {
		return ""
	}
	return fmt.Sprintf("%s %s %d", ready.Status, ready.Reason, ready.ObservedGeneration)
}

// ofNamespace makes an event wake all objects of a kind in its namespace that the options select.
func ofNamespace(r client.Reader, kind client.ObjectList, selected ...client.ListOption) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, changed client.Object) []reconcile.Request {
		list := kind.DeepCopyObject().(client.ObjectList)
		if err := r.List(ctx, list, append([]client.ListOption{client.InNamespace(changed.GetNamespace())}, selected...)...); err != nil {
			return nil
		}
		var requests []reconcile.Request
		_ = meta.EachListItem(list, func(o runtime.Object) error {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o.(client.Object))})
			return nil
		})
		return requests
	})
}
