// Package v1alpha1 holds the types of the API group privacy.lethe.dev: where personal data lives, how long it may stay,
// and the requests to erase it.
//
// No object of this group may hold personal data: subjects are named by opaque ids of the application.
//
// +kubebuilder:object:generate=true
// +groupName=privacy.lethe.dev
package v1alpha1
