package explain

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/policy"
	"github.com/lethe-dev/lethe/internal/retention"
)

// world is what a namespace says.
type world struct {
	namespace string
	now       time.Time
	stores    executor.Stores
	sources   []planner.MapSource
	graph     *planner.Graph
	// nodes by name, and in order.
	nodes    map[string]*planner.Node
	order    []*planner.Node
	targets  []*target
	holds    []legalHold
	warnings []string
}

// target is a rule for one entity, of a policy.
type target struct {
	*retention.Target
	policy string
	// stopped names what keeps the policy from doing anything; empty where nothing does.
	stopped string
}

func (t *target) erases() bool { return t.Rule.Action == v1alpha1.RuleEraseSubject }

// takes tells whether what belongs to the records goes with them.
func (t *target) takes() bool {
	return t.Rule.Action == v1alpha1.RuleDelete || t.Rule.Action == v1alpha1.RuleArchive
}

// legalHold is a hold in force.
type legalHold struct {
	planner.Hold
	subjects []string
}

func (h *legalHold) names(ids ...string) bool {
	return slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(h.subjects, id) })
}

func (x *Explainer) world(ctx context.Context, namespace string) (*world, error) {
	w := &world{namespace: namespace, now: x.Now.UTC(), stores: x.Stores, nodes: map[string]*planner.Node{}}
	var pdmaps v1alpha1.PersonalDataMapList
	var policies v1alpha1.RetentionPolicyList
	var holds v1alpha1.LegalHoldList
	for kind, list := range map[string]client.ObjectList{"personaldatamaps": &pdmaps, "retentionpolicies": &policies, "legalholds": &holds} {
		if err := x.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
			if meta.IsNoMatchError(err) {
				return nil, fmt.Errorf("the cluster does not know Lethe's kinds; install its CRDs, or name another cluster with --context: %w", err)
			}
			return nil, fmt.Errorf("list %s in namespace %s: %w", kind, namespace, err)
		}
	}
	sources, v := policy.SelectMaps(pdmaps.Items, "")
	if v.Action != policy.Proceed {
		return nil, &fault.Waiting{Reason: v.Reason, Message: v.Message + "; until then no rule is applied in namespace " + namespace}
	}
	var problems []planner.Problem
	// What records name in path stores goes with them, so that nobody has to reach these stores.
	w.sources = withoutReferences(sources)
	if w.graph, problems = planner.Compile(w.sources, ""); w.graph == nil || len(problems) > 0 {
		return nil, fault.Terminalf(v1alpha1.ReasonMapNotReady, "the maps of namespace %s do not fit together: %s", namespace, firstMessage(problems))
	}
	w.order = w.graph.Nodes()
	for _, n := range w.order {
		w.nodes[n.Name] = n
	}
	w.addHolds(holds.Items)
	stopped := w.killSwitch(ctx, x.Client)
	for i := range policies.Items {
		w.addPolicy(&policies.Items[i], sources, stopped)
	}
	return w, nil
}

func firstMessage(problems []planner.Problem) string {
	if len(problems) == 0 {
		return "no entity is left"
	}
	return problems[0].Message
}

func withoutReferences(sources []planner.MapSource) []planner.MapSource {
	sources = slices.Clone(sources)
	for i := range sources {
		sources[i].Spec = *sources[i].Spec.DeepCopy()
		for k := range sources[i].Spec.Entities {
			e := &sources[i].Spec.Entities[k]
			e.Files, e.Keys, e.Resources = nil, nil, nil
		}
	}
	return sources
}

// addHolds takes in those in force: an object says so once the operator has placed it, and until it is lifted.
func (w *world) addHolds(list []v1alpha1.LegalHold) {
	for i := range list {
		h := &list[i]
		if h.Status.InForceSince == nil || h.Status.LiftedAt != nil {
			if h.Status.LiftedAt == nil && !h.Spec.Lifted {
				w.warn("LegalHold %s is not in force yet, so it is left out; see its condition Ready", h.Name)
			}
			continue
		}
		hold := legalHold{Hold: planner.Hold{UID: string(h.UID), Name: h.Name}, subjects: h.Spec.Subjects}
		for _, s := range h.Spec.Records {
			hold.Records = append(hold.Records, planner.HoldRecord{Map: s.Map, Entity: s.Entity, Conditions: s.Conditions})
		}
		w.holds = append(w.holds, hold)
	}
}

// killSwitch names what stops all rules of the namespace. The operator's own namespace is not known here.
func (w *world) killSwitch(ctx context.Context, c client.Reader) string {
	var ns corev1.Namespace
	if err := c.Get(ctx, types.NamespacedName{Name: w.namespace}, &ns); err != nil {
		w.warn("namespace %s cannot be read, so nobody can tell whether its annotation %s stops its rules", w.namespace, v1alpha1.AnnotationSuspend)
		return ""
	}
	if ns.Annotations[v1alpha1.AnnotationSuspend] == "true" {
		return "the annotation " + v1alpha1.AnnotationSuspend + " of namespace " + w.namespace
	}
	return ""
}

func (w *world) addPolicy(p *v1alpha1.RetentionPolicy, sources []planner.MapSource, stopped string) {
	switch {
	case stopped != "":
	case !p.DeletionTimestamp.IsZero():
		stopped = "its deletion"
	case p.Spec.Suspend:
		stopped = "spec.suspend"
	case p.Spec.DryRun:
		stopped = "spec.dryRun"
	}
	rules, problems := retention.Compile(p.Spec, sources)
	for _, problem := range problems {
		w.warn("RetentionPolicy %s: %s; the rule is not applied", p.Name, problem.Message)
	}
	bad := func(rule string) bool {
		return slices.ContainsFunc(problems, func(x retention.Problem) bool { return x.Rule == rule || x.Rule == "" })
	}
	for _, t := range rules.Targets {
		if !bad(t.Rule.Name) { // a run waits until the rule has no problem at all
			w.targets = append(w.targets, &target{Target: t, policy: p.Name, stopped: stopped})
		}
	}
}

func (w *world) warn(format string, args ...any) {
	if message := fmt.Sprintf(format, args...); !slices.Contains(w.warnings, message) {
		w.warnings = append(w.warnings, message)
	}
}

func (w *world) report() *Report {
	return &Report{Format: Format, Namespace: w.namespace, Time: w.now, Records: []Record{}, Warnings: []string{}}
}

func (w *world) entityNames() string {
	return strings.Join(slices.Sorted(maps.Keys(w.nodes)), ", ")
}

// sweepHolds are the holds as a sweep needs them.
func (w *world) sweepHolds() []retention.Hold {
	var holds []retention.Hold
	for _, h := range w.holds {
		holds = append(holds, retention.Hold{Name: h.Name, Subjects: len(h.subjects) > 0, Records: h.Records})
	}
	return holds
}

// page bounds what one statement asks for.
const page = 500

// find asks for records of an entity.
func (w *world) find(ctx context.Context, n *planner.Node, q backend.Query) ([]backend.Row, error) {
	store, err := w.stores.Get(ctx, w.namespace, n.Spec.Store)
	if err != nil {
		return nil, err
	}
	q.Entity, q.Table, q.KeyColumns = n.Name, n.Table, n.Spec.Key
	found, err := store.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{q}, MaxRows: store.Limits.MaxRowsPerRun})
	if err != nil {
		return nil, fault.FromStore(n.Spec.Store, err)
	}
	return found.Rows[q.Entity], nil
}

// decisions of the wanted targets on records of an entity, by key.
func (w *world) decisions(ctx context.Context, n *planner.Node, keys []backend.Key, wanted func(*target) bool) (map[string][]Decision, error) {
	out := map[string][]Decision{}
	for _, t := range w.targets {
		if t.Map+"/"+t.Entity != n.Name || !wanted(t) {
			continue
		}
		err := w.look(ctx, t, keys, func(key backend.Key, d Decision, _ string) { out[idOf(key)] = append(out[idOf(key)], d) })
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// look decides on records by one target, and tells whose they are.
func (w *world) look(ctx context.Context, t *target, keys []backend.Key, see func(key backend.Key, d Decision, person string)) error {
	sweep, err := t.Explained(w.now, w.sweepHolds())
	var waiting *fault.Waiting
	if errors.As(err, &waiting) { // a hold that nobody can compare: nothing goes
		for _, key := range keys {
			see(key, t.noticed(retention.Decision{Rule: t.Rule.Name, Deciding: "legal hold", Message: waiting.Message}, KindLegalHold), "")
		}
		return nil
	}
	if err != nil {
		return err
	}
	store, err := w.stores.Get(ctx, w.namespace, t.Store)
	if err != nil {
		return err
	}
	able, ok := store.Backend.(backend.Sweeper)
	if !ok {
		w.warn("RetentionPolicy %s, rule %s: store %s has no tables with transactions, which rules need", t.policy, t.Rule.Name, t.Store)
		return nil
	}
	for part := range slices.Chunk(keys, page) {
		found, err := able.ExplainSweep(ctx, sweep, part)
		if err != nil {
			return fault.FromStore(t.Store, err)
		}
		for _, x := range found {
			person := ""
			if x.Subject != nil {
				person = store.Text(x.Subject)
			}
			see(x.Key, w.judge(t, x, sweep, person), person)
		}
	}
	return nil
}

// judge decides on one record, with the holds that name persons.
func (w *world) judge(t *target, x backend.SweepExplanation, s *backend.Sweep, person string) Decision {
	d := retention.Decide(t.Target, x, s, w.now)
	if !x.Found {
		return t.noticed(d, KindNotConcerned)
	}
	for _, h := range w.holds {
		if len(h.subjects) == 0 {
			continue
		}
		if x.Subject == nil && t.UnknownHeld() || x.Subject != nil && h.names(person) {
			return t.noticed(d.HeldBy(h.Name), KindLegalHold)
		}
	}
	return t.noticed(d, "")
}
