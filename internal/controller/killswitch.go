package controller

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
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
	return seen.on, nil
}
