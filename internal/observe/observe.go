// Package observe shows what there is: it follows the informers' events and keeps counters, so that a scrape asks no API server
// and lists nothing, however many objects there are.
package observe

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// Observer counts objects.
type Observer struct {
	requests *requests
	runs     *runs
	stores   *stores
	maps     *readyMaps
	policies *policies
	holds    *holds
	ledger   *ledgers
}

// New makes an observer that compares due dates with a clock.
func New(clk clock.PassiveClock) *Observer {
	return &Observer{requests: newRequests(clk), runs: newRuns(clk), stores: newStores(), maps: newMaps(), policies: newPolicies(), holds: newHolds()}
}

// collectors are those that have something to show.
func (o *Observer) collectors() []prometheus.Collector {
	list := []prometheus.Collector{o.requests, o.runs, o.stores, o.maps, o.policies, o.holds}
	if o.ledger != nil {
		list = append(list, o.ledger)
	}
	return list
}

// Register shows what is observed and what the ledger holds until forget is called. A second operator in one process, which only
// tests have, shows nothing of this.
func (o *Observer) Register(r prometheus.Registerer, log ledger.Log) (forget func(), err error) {
	o.ledger = newLedgers(log)
	var mine []prometheus.Collector
	for _, c := range o.collectors() {
		err := r.Register(c)
		if errors.As(err, new(prometheus.AlreadyRegisteredError)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
		mine = append(mine, c)
	}
	return func() {
		for _, c := range mine {
			r.Unregister(c)
		}
	}, nil
}

// Follow has the informers of a cache tell of every object.
func (o *Observer) Follow(ctx context.Context, c cache.Cache) error {
	return errors.Join(
		follow(ctx, c, &v1alpha1.ErasureRequest{}, o.requests.changed),
		follow(ctx, c, &v1alpha1.DeletionRun{}, o.runs.changed),
		follow(ctx, c, &v1alpha1.DataStore{}, o.stores.changed),
		follow(ctx, c, &v1alpha1.PersonalDataMap{}, o.maps.changed),
		follow(ctx, c, &v1alpha1.RetentionPolicy{}, o.policies.changed),
		follow(ctx, c, &v1alpha1.LegalHold{}, o.holds.changed),
	)
}

// follow calls changed with each object before and after a change; nil is an object that is not there. An informer tells of an
// object's changes in their order, and with the object as it told of it last, so that counters need not remember objects.
func follow[T any, P interface {
	*T
	client.Object
}](ctx context.Context, c cache.Cache, kind P, changed func(before, after P)) error {
	informer, err := c.GetInformer(ctx, kind, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if after, ok := obj.(P); ok {
				changed(nil, after)
			}
		},
		UpdateFunc: func(old, obj any) {
			before, was := old.(P)
			after, is := obj.(P)
			if was && is {
				changed(before, after)
			}
		},
		DeleteFunc: func(obj any) {
			if gone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = gone.Obj
			}
			if before, ok := obj.(P); ok {
				changed(before, nil)
			}
		},
	})
	return err
}

// isTrue tells whether a condition is True.
func isTrue(conditions []metav1.Condition, kind string) bool {
	return meta.IsStatusConditionTrue(conditions, kind)
}

// reasonOf is the reason of Ready if it is one of the API's words: whoever may write a status may write anything.
func reasonOf(conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "New"
	}
	return word(ready.Reason)
}

// word lets the API's words pass.
func word(reason string) string {
	if v1alpha1.KnownReason(reason) {
		return reason
	}
	return "Other"
}

// truth is a gauge's value.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
