package controller

import (
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// readyChanged passes events of objects whose Ready or generation changed.
type readyChanged struct{ predicate.Funcs }

// Update tells whether the object became Ready, ceased to be, or has another spec.
func (readyChanged) Update(e event.UpdateEvent) bool {
	return e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration() || isReady(e.ObjectOld) != isReady(e.ObjectNew)
}
