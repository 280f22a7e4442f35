package controller

import (
	"context"
	"strconv"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/stamp"
)

// governanceAgain is how soon a change that the ledger did not take is tried again.
const governanceAgain = time.Minute

// Governance records what controllers apply: each generation of an object that governs, with who made it as far as
// admission saw it. It never keeps a controller from its work.
type Governance struct {
	Journal *journal.Journal
	Stamps  *stamp.Sealer
	// recorded is the generation by UID that this process knows to be in the ledger, which knows them all by their keys.
	recorded sync.Map
}

// Record puts the generation that a reconcile looks at on record, before the status says that it was seen. Where the ledger
// does not take it, it says how soon to try again.
func (g *Governance) Record(ctx context.Context, kind string, obj client.Object) (again time.Duration) {
	if known, ok := g.recorded.Load(obj.GetUID()); ok && known == obj.GetGeneration() {
		return 0
	}
	if err := g.record(ctx, kind, obj); err != nil {
		return governanceAgain
	}
	g.recorded.Store(obj.GetUID(), obj.GetGeneration())
	return 0
}

// sooner looks again after a time at the latest, unless that is zero.
func sooner(again time.Duration, res ctrl.Result, err error) (ctrl.Result, error) {
	if err == nil && again > 0 && (res.RequeueAfter == 0 || res.RequeueAfter > again) {
		res.RequeueAfter = again
	}
	return res, err
}

func (g *Governance) record(ctx context.Context, kind string, obj client.Object) error {
	digest, err := stamp.Digest(obj)
	if err != nil {
		return err
	}
	st, genuine := g.Stamps.Read(kind, obj, v1alpha1.AnnotationChangedBy, digest)
	generation := strconv.FormatInt(obj.GetGeneration(), 10)
	e := ledger.Entry{Key: "governance/" + string(obj.GetUID()) + "/" + generation, Kind: ledger.KindGovernanceChanged, Actor: stamp.Name(st, genuine),
		Attributes: map[string]string{"kind": kind, "uid": string(obj.GetUID()), "generation": generation, "fields": v1alpha1.ActorUnknown}}
	if genuine {
		e.Attributes["fields"] = ledger.FieldList(st.Fields)
		if len(st.Groups) > 0 {
			e.Attributes[ledger.AttributeGroups] = ledger.GroupList(st.Groups)
		}
	}
	if kind != "LegalHold" { // the name of a hold may be that of a person
		e.Attributes["name"] = obj.GetName()
	}
	return g.Journal.Append(ctx, obj.GetNamespace(), e)
}
