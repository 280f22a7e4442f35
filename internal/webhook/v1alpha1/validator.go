// Package v1alpha1 is the door of the API: it refuses, before it is stored, what the controllers would refuse after, asks
// whether the user has the verb that a change needs, and seals who made it into annotations. It asks the same functions of
// internal/policy as the controllers. A dry run leaves no trace. Messages name fields and objects, never an identity.
package v1alpha1

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/internal/policy"
)

// permissive lets changes and deletions pass; a validator embeds it and says what it looks at.
type permissive[T runtime.Object] struct{}

// ValidateUpdate lets every change pass.
func (permissive[T]) ValidateUpdate(context.Context, T, T) (admission.Warnings, error) {
	return nil, nil
}

// ValidateDelete lets every deletion pass: finalizers say what a deletion means.
func (permissive[T]) ValidateDelete(context.Context, T) (admission.Warnings, error) { return nil, nil }

// refusal is the error of a verdict that does not proceed.
func refusal(v policy.Verdict) error {
	if v.Action == policy.Proceed {
		return nil
	}
	return errors.New(v.Message)
}

// judgeChange refuses the fault that a change brings. One that was stored before is only warned of: it must not keep
// anybody from cancelling the request or lifting the hold that has it.
func judgeChange(before, after error) (admission.Warnings, error) {
	if before == nil || after == nil {
		return nil, after
	}
	return admission.Warnings{after.Error()}, nil
}
