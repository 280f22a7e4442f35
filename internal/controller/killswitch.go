package controller

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
)

// killSwitchAge is how long what a namespace says is trusted.
const killSwitchAge = 2 * time.Second

// KillSwitch is the annotation privacy.lethe.dev/suspend on namespaces.
type KillSwitch struct {
	// Live reads namespaces from the API server.
	Live client.Reader
	// Namespace is the operator's own, which stops all others.
	Namespace string
	Clock     clock.PassiveClock

	mu   sync.Mutex
	seen map[string]seenSwitch
}

type seenSwitch struct {
	at time.Time
	on bool
}

// Suspended names the namespace whose annotation stops runs of rules in the namespace; empty where none does.
func (k *KillSwitch) Suspended(ctx context.Context, namespace string) (string, error) {
	for _, name := range []string{namespace, k.Namespace} {
		on, err := k.on(ctx, name)
		if err != nil || on {
			return name, err
		}
	}
	return "", nil
}

func (k *KillSwitch) on(ctx context.Context, name string) (bool, error) {
	k.mu.Lock()
	seen, ok := k.seen[name]
	k.mu.Unlock()
	if age := k.Clock.Now().Sub(seen.at); ok && age >= 0 && age < killSwitchAge {
		return seen.on, nil
	}
	var ns corev1.Namespace
	if err := k.Live.Get(ctx, types.NamespacedName{Name: name}, &ns); err != nil {
		return false, err
	}
	seen = seenSwitch{at: k.Clock.Now(), on: ns.Annotations[v1alpha1.AnnotationSuspend] == "true"}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.seen == nil {
		k.seen = map[string]seenSwitch{}
	}
	k.seen[name] = seen
	k.show(name, seen.on)
	return seen.on, nil
}

// show keeps a gauge for the operator's namespace and for those where the switch is on; call it with the lock.
func (k *KillSwitch) show(name string, on bool) {
	switch {
	case on:
		metrics.KillSwitch.WithLabelValues(name).Set(1)
	case name == k.Namespace:
		metrics.KillSwitch.WithLabelValues(name).Set(0)
	default:
		metrics.KillSwitch.DeleteLabelValues(name)
	}
}

// NeedLeaderElection tells that one operator at a time does this.
func (k *KillSwitch) NeedLeaderElection() bool { return true }

// Start looks once a minute whether switches that are on still are, and at that of the operator's namespace: a run that waits, or
// that is not there, does not ask.
func (k *KillSwitch) Start(ctx context.Context) error {
	every(ctx, time.Minute, k.look, func(err error) {
		log.FromContext(ctx).WithName("kill-switch").Info("the kill switches were not looked at; the next look will", "reason", apierrors.ReasonForError(err))
	})
	return nil
}

func (k *KillSwitch) look(ctx context.Context) error {
	names := []string{k.Namespace}
	k.mu.Lock()
	for name, seen := range k.seen {
		if seen.on && name != k.Namespace {
			names = append(names, name)
		}
	}
	k.mu.Unlock()
	var errs []error
	for _, name := range names {
		_, err := k.on(ctx, name)
		if apierrors.IsNotFound(err) {
			err = nil
			k.forget(name)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// forget lets go of a namespace that is gone.
func (k *KillSwitch) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.seen, name)
	k.show(name, false)
}
