package controller

import (
	"context"
	"errors"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/period"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

// consentPage is how many records are looked at in one transaction.
const consentPage = 100

// ConsentWatch makes erasure requests for people who withdrew or declined their consent, or did not answer in time, as the
// columns that the maps name tell.
type ConsentWatch struct {
	client.Client
	Stores   executor.Stores
	Requests *Requests
	Clock    clock.PassiveClock
	Witness  Witness
	Log      logr.Logger
	// Interval between two looks. Default 30 s.
	Interval time.Duration
}

// NeedLeaderElection tells that one operator at a time does this.
func (w *ConsentWatch) NeedLeaderElection() bool { return true }

// Start looks at consents until the context ends.
func (w *ConsentWatch) Start(ctx context.Context) error {
	every(ctx, w.Interval, w.look, func(err error) {
		reason, _ := fault.Public(err)
		w.Log.Info("not all consents were looked at; the next look will", "reason", reason)
	})
	return nil
}

// look looks at every namespace whose policy has consent. What is wrong in one keeps none of the others.
func (w *ConsentWatch) look(ctx context.Context) error {
	var policies v1alpha1.RetentionPolicyList
	if err := w.List(ctx, &policies); err != nil {
		return err
	}
	of := map[string][]v1alpha1.RetentionPolicy{}
	for _, p := range policies.Items {
		if p.Spec.Consent != nil && p.DeletionTimestamp.IsZero() {
			of[p.Namespace] = append(of[p.Namespace], p)
		}
	}
	var errs []error
	for namespace, list := range of {
		if len(list) == 1 && !list[0].Spec.Suspend && !list[0].Spec.DryRun { // two are ambiguous, and say so
			errs = append(errs, w.lookAt(ctx, namespace, list[0].Spec.Consent))
		}
	}
	return errors.Join(errs...)
}

func (w *ConsentWatch) lookAt(ctx context.Context, namespace string, p *v1alpha1.ConsentPolicy) error {
	var maps v1alpha1.PersonalDataMapList
	if err := w.List(ctx, &maps, client.InNamespace(namespace)); err != nil {
		return err
	}
	sources, v := policy.SelectMaps(maps.Items, "")
	if v.Action != policy.Proceed {
		return &fault.Waiting{Reason: v.Reason, Message: v.Message}
	}
	now, err := w.now(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range sources {
		for i := range m.Spec.Entities {
			if e := &m.Spec.Entities[i]; e.Consent != nil {
				errs = append(errs, w.entity(ctx, consentOf{namespace: namespace, mapName: m.Name, entity: e, now: now}, p))
			}
		}
	}
	return errors.Join(errs...)
}

// now is the earlier of the two clocks: no consent expires early.
func (w *ConsentWatch) now(ctx context.Context) (time.Time, error) {
	witness, err := w.Witness.Now(ctx)
	if err != nil {
		return witness, err
	}
	now := w.Clock.Now().UTC()
	if v := policy.Reached(now, now, witness); v.Reason == v1alpha1.ReasonClockDisagreement {
		return now, &fault.Waiting{Reason: v.Reason, Message: v.Message}
	}
	if witness.Before(now) {
		return witness.UTC(), nil
	}
	return now, nil
}

// consentOf is the consent of one entity.
type consentOf struct {
	namespace, mapName string
	entity             *v1alpha1.Entity
	now                time.Time
}

// entity looks for what its records tell.
func (w *ConsentWatch) entity(ctx context.Context, c consentOf, p *v1alpha1.ConsentPolicy) error {
	store, err := w.Stores.Get(ctx, c.namespace, c.entity.Store)
	if err != nil {
		return err
	}
	able, ok := store.Backend.(backend.Sweeper)
	if !ok {
		return fault.Terminalf(v1alpha1.ReasonSweepUnsupported, "store %s has no tables with transactions", c.entity.Store)
	}
	consent := c.entity.Consent
	var errs []error
	for _, told := range []struct {
		source     v1alpha1.Source
		conditions []v1alpha1.Condition
	}{{v1alpha1.SourceConsentWithdrawn, consent.Withdrawn}, {v1alpha1.SourceConsentDeclined, consent.Declined}} {
		if len(told.conditions) > 0 {
			errs = append(errs, w.pages(ctx, c, told.source, able, store, c.sweep(told.conditions)))
		}
	}
	if consent.SentAt != "" && len(consent.Pending) > 0 {
		response, err := period.Parse(responseTime(p))
		if err != nil {
			return err
		}
		sweep := c.sweep(consent.Pending)
		sweep.Clock, sweep.Cutoff = backend.SweepClock{Column: consent.SentAt}, response.Cutoff(c.now)
		if len(consent.OnExpiry) > 0 {
			sweep.Steps = []backend.SweepStep{c.onExpiry()}
		}
		errs = append(errs, w.pages(ctx, c, v1alpha1.SourceConsentExpired, able, store, sweep))
	}
	return errors.Join(errs...)
}

func responseTime(p *v1alpha1.ConsentPolicy) string {
	if p.ResponseTime == "" {
		return v1alpha1.DefaultConsentResponse
	}
	return p.ResponseTime
}

// sweep finds the records that meet conditions.
func (c *consentOf) sweep(conditions []v1alpha1.Condition) *backend.Sweep {
	e := c.entity
	scope := append(planner.Conditions(e.Conditions), planner.Conditions(conditions)...)
	scope = append(scope, backend.Condition{Column: e.Consent.Subject, Operator: backend.Exists})
	return &backend.Sweep{Table: backend.Table{Schema: e.Schema, Name: e.Table}, KeyColumns: e.Key, Scope: scope, Cutoff: c.now, Now: c.now,
		Subject: &backend.SweepClock{Column: e.Consent.Subject}}
}

// onExpiry sets what a record shows from then on.
func (c *consentOf) onExpiry() backend.SweepStep {
	step := backend.SweepStep{Entity: c.mapName + "/" + c.entity.Name, Table: backend.Table{Schema: c.entity.Schema, Name: c.entity.Table}, KeyColumns: c.entity.Key,
		Scope: planner.Conditions(c.entity.Conditions), Action: backend.Update}
	for _, v := range c.entity.Consent.OnExpiry {
		step.Columns = append(step.Columns, backend.SweepColumn{Column: v.Column, Value: v.Value})
	}
	return step
}

// pages makes a request for each person of the records found. Where an expiry is shown in the record, that lasts only once the
// request is made.
func (w *ConsentWatch) pages(ctx context.Context, c consentOf, source v1alpha1.Source, able backend.Sweeper, store backend.Backend, sweep *backend.Sweep) error {
	o := origin{namespace: c.namespace, prefix: "consent", key: "consent/" + string(source) + "/" + c.mapName + "/" + c.entity.Name, source: source}
	refused := false
	opaque := func(_ context.Context, subjects []backend.Value) ([]bool, error) {
		skip := make([]bool, len(subjects))
		for i, v := range subjects {
			skip[i] = v != nil && !policy.OpaqueID(store.Text(v)) // one such record keeps nobody else, and stays as it is
			refused = refused || skip[i]
		}
		return skip, nil
	}
	var after backend.Key
	for {
		var failed error
		last, err := sweeper.See(ctx, able, store, sweep, backend.SweepBatch{After: after, Limit: consentPage, Held: opaque}, func(ctx context.Context, ids []string) error {
			for _, id := range ids {
				if failed = w.request(ctx, c, o, id); failed != nil {
					return failed
				}
			}
			return nil
		})
		switch {
		case failed != nil:
			return failed
		case err != nil:
			return fault.FromStore(c.entity.Store, err)
		case last == nil && refused:
			return errRefusedID
		case last == nil:
			return nil
		}
		after = last
	}
}

// request makes the request for one person, if there is one.
func (w *ConsentWatch) request(ctx context.Context, c consentOf, o origin, id string) error {
	known, err := w.known(ctx, c, id)
	if err == nil && known {
		_, _, err = w.Requests.make(ctx, o, id)
	}
	return err
}

// known tells whether there is a root record of the person: an anonymised consent stays, and its person is gone.
func (w *ConsentWatch) known(ctx context.Context, c consentOf, id string) (bool, error) {
	probe := &v1alpha1.ErasureRequest{}
	probe.Namespace, probe.Spec.Subject.ID = c.namespace, id
	return w.Requests.Identities.Known(ctx, probe)
}
