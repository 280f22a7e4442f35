package executor

import (
	"context"
	"encoding/json"
	"slices"
	"sort"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/pseudonym"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// Query says whose data to look for.
type Query struct {
	Namespace string
	Graph     *planner.Graph
	Subject   planner.Subject
	Holds     []planner.Hold
	// Prior are facts found earlier: what was reachable then stays reachable, even when its parents are gone.
	Prior *planner.Facts
	// SkipIdentities looks only for what Prior leads to.
	SkipIdentities bool
	// Deletes has the keys that the plan deletes, which others may have by now.
	Deletes planner.Deletes
	// Check, if set, is verified on the way.
	Check *Check
}

// Check are operations to verify, and what is left of each, by store.
type Check struct {
	Ops   map[string][]backend.Operation
	Left  map[string][]int64
	steps map[string][]int // of the plan that the operations belong to
}

// look resolves in a store and, if it can do both from one look, verifies what has not been verified.
func (c *Check) look(ctx context.Context, name string, store *stores.Store, req backend.ResolveRequest) (*backend.Resolution, error) {
	looker, ok := store.Backend.(backend.Looker)
	if !ok || c == nil || c.Left[name] != nil || len(c.Ops[name]) == 0 {
		return store.Resolve(ctx, req)
	}
	left, found, err := looker.Look(ctx, c.Ops[name], req)
	if err == nil {
		c.Left[name] = left
	}
	return found, err
}

// verify asks the stores for what look has not answered.
func (c *Check) verify(ctx context.Context, namespace string, from Stores) error {
	for _, name := range sortedKeys(c.Ops) {
		if c.Left[name] != nil {
			continue
		}
		store, err := from.Get(ctx, namespace, name)
		if err != nil {
			return err
		}
		if c.Left[name], err = store.Verify(ctx, c.Ops[name]); err != nil {
			return fault.FromStore(name, err)
		}
	}
	return nil
}

// Resolve finds all records and files of a subject. It changes nothing.
func Resolve(ctx context.Context, from Stores, q Query) (_ *planner.Facts, err error) {
	ctx, span := tracing.Start(ctx, "resolve", tracing.Namespace, q.Namespace)
	defer func() { span.End(err) }()
	if q.Prior != nil { // a second look mostly finds nothing new
		found, err := resolve(ctx, from, q, true)
		if err != nil || q.Graph.Covers(q.Prior, found) {
			return found, err
		}
	}
	return resolve(ctx, from, q, false)
}

func resolve(ctx context.Context, from Stores, q Query, knownParents bool) (*planner.Facts, error) {
	open, err := OpenStores(ctx, from, q.Namespace, q.Graph)
	if err != nil {
		return nil, err
	}
	options := planner.ResolveOptions{SkipIdentities: q.SkipIdentities, KnownParents: knownParents, Deletes: q.Deletes, Text: open.Codec().Text, Elements: open.Codec().Elements, MaxRows: map[string]int64{}}
	for name, s := range open {
		options.MaxRows[name] = s.Limits.MaxRowsPerRun
	}
	resolver := q.Graph.NewResolver(q.Subject, q.Holds, q.Prior, options)
	for {
		wave := resolver.Next()
		if len(wave) == 0 {
			facts := resolver.Facts()
			return facts, open.lock(ctx, facts)
		}
		for _, name := range sortedKeys(wave) {
			found, err := q.Check.look(ctx, name, open[name], wave[name])
			if err != nil {
				return nil, fault.FromStore(name, err)
			}
			resolver.Put(name, found)
		}
	}
}

// Open are the stores that a graph uses, by name.
type Open map[string]*stores.Store

// lock asks the stores that keep files of their own accord which of those found they keep.
func (o Open) lock(ctx context.Context, facts *planner.Facts) error {
	for _, name := range sortedKeys(o) {
		retainer, ok := o[name].Backend.(backend.Retainer)
		if !ok {
			continue
		}
		ops := facts.FileOperations(name)
		if len(ops) == 0 {
			continue
		}
		retained, err := retainer.Retained(ctx, ops)
		if err != nil {
			return fault.FromStore(name, err)
		}
		facts.Lock(name, retained)
	}
	return nil
}

// OpenStores opens all stores that the graph uses.
func OpenStores(ctx context.Context, from Stores, namespace string, graph *planner.Graph) (Open, error) {
	open := Open{}
	for _, name := range graph.Stores() {
		s, err := from.Get(ctx, namespace, name)
		if err != nil {
			return nil, err
		}
		open[name] = s
	}
	return open, nil
}

// identities of the stores, by name.
func (o Open) identities() map[string]string {
	all := map[string]string{}
	for name, s := range o {
		all[name] = s.Identity
	}
	return all
}

// Codec turns the stores' values to text and back.
func (o Open) Codec() planner.Codec {
	return planner.Codec{
		Text:     func(store string, v backend.Value) string { return o[store].Text(v) },
		FromText: func(store, text string) backend.Value { return o[store].FromText(text) },
		Elements: func(store string, v backend.Value) ([]string, bool) {
			if arrays, ok := o[store].Backend.(backend.Arrays); ok {
				return arrays.Elements(v)
			}
			return nil, false
		},
	}
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// pinned opens only the stores that a plan was made for.
type pinned struct {
	Stores
	identities map[string]string
}

// Get refuses a store that is another database or folder by now.
func (p pinned) Get(ctx context.Context, namespace, name string) (*stores.Store, error) {
	s, err := p.Stores.Get(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	if want, ok := p.identities[name]; ok && want != s.Identity {
		return nil, fault.Waitingf(v1alpha1.ReasonStoreChanged, time.Minute,
			"DataStore %s is another database or folder than the one that the plan was made for; let it name that one again", name)
	}
	return s, nil
}

// SubjectPseudonyms are the pseudonyms under which a hold may name the subject: of the id that the request names, and of
// the ids of the records that were found.
func SubjectPseudonyms(namespaceKey []byte, own string, graph *planner.Graph, facts *planner.Facts, codec planner.Codec) []string {
	all := []string{own}
	for _, id := range graph.SubjectIDs(facts, codec) {
		all = append(all, pseudonym.Subject(namespaceKey, id))
	}
	return all
}

// HoldsFor picks the holds that concern a subject: those that name it by one of its pseudonyms, and those that select
// records. The first pseudonym is the subject's own. A hold that names subjects under another key than that one's cannot be
// compared with it: then nobody is to be erased.
func HoldsFor(all []state.Hold, subject ...string) ([]planner.Hold, error) {
	var holds []planner.Hold
	for _, h := range all {
		if !oneKey(h.SubjectPseudonyms, subject) {
			return nil, &fault.Waiting{Reason: v1alpha1.ReasonLegalHold, After: time.Minute,
				Message: "a legal hold names its subjects under another pseudonym key than this request, so that nobody can tell whether it concerns this subject: restart the operator if the key was lost or destroyed, and if that does not help, cancel this request and create it again"}
		}
		hold := planner.Hold{UID: h.UID, Name: h.Name, WholeSubject: slices.ContainsFunc(h.SubjectPseudonyms, func(p string) bool { return slices.Contains(subject, p) })}
		if len(h.Records) > 0 {
			if err := json.Unmarshal(h.Records, &hold.Records); err != nil {
				return nil, err
			}
		}
		if hold.WholeSubject || len(hold.Records) > 0 {
			holds = append(holds, hold)
		}
	}
	sort.Slice(holds, func(i, j int) bool { return holds[i].UID < holds[j].UID })
	return holds, nil
}

// oneKey tells whether pseudonyms of a hold are under the key of the subject's own. A subject whose link was destroyed has none.
func oneKey(hold, subject []string) bool {
	if len(hold) == 0 || len(subject) == 0 || subject[0] == "" {
		return true
	}
	_, want, err := pseudonym.Parse(subject[0])
	if err != nil {
		return slices.Contains(hold, subject[0])
	}
	return !slices.ContainsFunc(hold, func(p string) bool {
		_, keyID, err := pseudonym.Parse(p)
		return err != nil || keyID != want
	})
}

func sameHolds(a, b []planner.Hold) bool {
	return slices.EqualFunc(a, b, func(x, y planner.Hold) bool { return x.UID == y.UID && x.WholeSubject == y.WholeSubject })
}
