package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/anchor"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/metrics"
)

const (
	// labelAnchor marks the ConfigMaps that hold checkpoints.
	labelAnchor = "privacy.lethe.dev/ledger-checkpoints"
	anchorName  = "lethe-checkpoints-"
	// anchorCurrent and anchorSuperseded are the label's values.
	anchorCurrent, anchorSuperseded = "current", "superseded"
	// anchorConfigMap is what the ConfigMaps are called as a place.
	anchorConfigMap = "configmap"
	// keptAnchors is how many of these ConfigMaps stay.
	keptAnchors = 100
	// anchoredTogether bounds the namespaces in one ConfigMap, which has room for a MiB.
	anchoredTogether = 1000
)

// errAnchor means that the ledger is not the one that its anchored checkpoints tell of.
var errAnchor = errors.New("the ledger does not continue a checkpoint that is kept in a ConfigMap of the operator's namespace")

// Place keeps checkpoints outside the cluster.
type Place interface {
	// Keep stores a signed checkpoint of the log that is named by an origin line, at the log's size, and never replaces one.
	Keep(ctx context.Context, origin string, size uint64, checkpoint []byte) error
	Name() string
}

// Anchors keep the newest checkpoints of the ledger outside the vault, in immutable ConfigMaps of the operator's namespace: one
// for each interval in which something was recorded, named after its time. A vault that was cut short, replaced or set back to
// an older copy does not continue them. Whoever copies them elsewhere can tell so without the operator.
type Anchors struct {
	Client client.Client
	// Reader asks the API server itself.
	Reader    client.Reader
	Namespace string
	Ledger    ledger.Log
	Signer    *ledger.Signer
	// Rotations lead from the keys before to the signer's.
	Rotations []ledger.Rotation
	Clock     clock.WithTicker
	Log       logr.Logger
	Interval  time.Duration
	// Places keep them outside the cluster too.
	Places []Place

	mu       sync.Mutex
	anchored map[string]ledger.Checkpoint // by namespace
	problems map[string]error
	// outside is the size of each namespace's log that each of the places is known to have. One goroutine uses it.
	outside []map[string]uint64
}

// NeedLeaderElection makes the leader alone anchor.
func (*Anchors) NeedLeaderElection() bool { return true }

// Problem is what keeps the namespace's log from being trusted, or nil.
func (a *Anchors) Problem(namespace string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.problems[namespace]
}

// Load reads what is anchored and holds the ledger against it. A problem that it finds is no error: holds are still taken.
func (a *Anchors) Load(ctx context.Context) error {
	list, err := a.list(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.anchored, a.problems = map[string]ledger.Checkpoint{}, map[string]error{}
	for i := range list {
		for namespace, text := range list[i].Data {
			c, err := a.open(namespace, text)
			switch {
			case err != nil:
				a.problem(namespace, fmt.Errorf("ConfigMap %s holds a checkpoint that was not signed with the ledger's key: %w", list[i].Name, err))
			case c.Size > a.anchored[namespace].Size:
				a.anchored[namespace] = c.Checkpoint
			}
		}
	}
	for namespace, c := range a.anchored {
		if err := a.Ledger.Check(ctx, namespace, c.Size, c.Root); err != nil {
			a.problem(namespace, errors.Join(errAnchor, err))
		}
	}
	return nil
}

// Supersede sets aside what is anchored, as evidence, for a ledger that begins anew or was set back on purpose.
func (a *Anchors) Supersede(ctx context.Context) error {
	list, err := a.list(ctx)
	if err != nil {
		return err
	}
	for i := range list {
		before := list[i].DeepCopy()
		list[i].Labels[labelAnchor] = anchorSuperseded
		if err := a.Client.Patch(ctx, &list[i], client.MergeFrom(before)); err != nil {
			return err
		}
	}
	return nil
}

// problem notes the first one of a namespace; call it with the lock.
func (a *Anchors) problem(namespace string, err error) {
	if a.problems[namespace] == nil {
		a.problems[namespace] = err
		a.Log.Error(err, "nothing is deleted in this namespace until that is mended", "namespace", namespace)
	}
}

func (a *Anchors) open(namespace, text string) (ledger.SignedCheckpoint, error) {
	keys := ledger.VerifierKeys{a.Signer.VerifierKeyValue()}.Extend(a.Rotations...)
	c, _, err := keys.OpenCheckpoint([]byte(text))
	if err == nil && c.OriginLine != ledger.OriginLine(a.Signer.Name(), namespace) {
		err = ledger.ErrOtherLog
	}
	return c, err
}

func (a *Anchors) list(ctx context.Context) ([]corev1.ConfigMap, error) {
	var list corev1.ConfigMapList
	if err := a.Reader.List(ctx, &list, client.InNamespace(a.Namespace), client.MatchingLabels{labelAnchor: anchorCurrent}); err != nil {
		return nil, fmt.Errorf("the ConfigMaps with checkpoints in namespace %s: %w", a.Namespace, err)
	}
	slices.SortFunc(list.Items, func(x, y corev1.ConfigMap) int { return x.CreationTimestamp.Compare(y.CreationTimestamp.Time) })
	return list.Items, nil
}

// Start anchors once in each interval until the context ends, and then once more.
func (a *Anchors) Start(ctx context.Context) error {
	ticker := a.Clock.NewTicker(a.Interval)
	defer ticker.Stop()
	a.announce()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			a.anchor(last)
			return nil
		case <-ticker.C():
			a.anchor(ctx)
		}
	}
}

func (a *Anchors) anchor(ctx context.Context) {
	newest, err := a.newest(ctx)
	if err == nil {
		err = a.Anchor(ctx, newest)
	}
	a.anchoredAt(anchorConfigMap, err)
	for i := range a.Places {
		a.anchoredAt(a.placeName(i), a.outsideAt(ctx, i, newest))
	}
}

// announce shows all places before anything is kept there, so that one where that never succeeds is seen too.
func (a *Anchors) announce() {
	names := []string{anchorConfigMap}
	for i := range a.Places {
		names = append(names, a.placeName(i))
	}
	for _, name := range names {
		metrics.LedgerAnchored.WithLabelValues(name).Set(0)
		metrics.LedgerAnchorErrors.WithLabelValues(name).Add(0)
	}
}

// placeName tells places apart that have one host or bucket.
func (a *Anchors) placeName(place int) string {
	name := a.Places[place].Name()
	if slices.ContainsFunc(a.Places[:place], func(p Place) bool { return p.Name() == name }) {
		return fmt.Sprintf("%s (%d)", name, place+1)
	}
	return name
}

// anchoredAt shows how keeping checkpoints somewhere went.
func (a *Anchors) anchoredAt(place string, err error) {
	if err != nil {
		metrics.LedgerAnchorErrors.WithLabelValues(place).Inc()
		a.Log.Error(err, "the ledger's newest checkpoints could not be kept outside; that is tried again", "place", place)
		return
	}
	metrics.LedgerAnchored.WithLabelValues(place).Set(float64(a.Clock.Now().Unix()))
}

// newest are the checkpoints of all logs.
func (a *Anchors) newest(ctx context.Context) (map[string]ledger.SignedCheckpoint, error) {
	origins, err := a.Ledger.Origins(ctx)
	if err != nil {
		return nil, err
	}
	newest := make(map[string]ledger.SignedCheckpoint, len(origins))
	for _, namespace := range origins {
		if newest[namespace], err = a.Ledger.Checkpoint(ctx, namespace); err != nil {
			return nil, err
		}
	}
	return newest, nil
}

// outsideAt keeps at a place what it is not known to have. The first that fails ends it, for the place may be away; but not one that is
// there already: it would keep those of other namespaces from ever getting there.
func (a *Anchors) outsideAt(ctx context.Context, place int, newest map[string]ledger.SignedCheckpoint) error {
	for len(a.outside) <= place {
		a.outside = append(a.outside, map[string]uint64{})
	}
	known := a.outside[place]
	var problems []error
	for _, namespace := range slices.Sorted(maps.Keys(newest)) {
		c := newest[namespace]
		if a.Problem(namespace) != nil || c.Size == known[namespace] {
			continue
		}
		err := a.Places[place].Keep(ctx, ledger.OriginLine(a.Signer.Name(), namespace), c.Size, c.Note)
		if err == nil {
			known[namespace] = c.Size
			continue
		}
		problems = append(problems, fmt.Errorf("the checkpoint of namespace %s: %w", namespace, err))
		if !errors.Is(err, anchor.ErrOther) && !errors.Is(err, anchor.ErrUnread) {
			break
		}
	}
	return errors.Join(problems...)
}

// Anchor keeps the checkpoints of those logs that have grown.
func (a *Anchors) Anchor(ctx context.Context, newest map[string]ledger.SignedCheckpoint) error {
	grown := map[string]ledger.SignedCheckpoint{}
	for namespace, c := range newest {
		if a.continues(ctx, namespace, c) {
			grown[namespace] = c
		}
	}
	for names := range slices.Chunk(slices.Sorted(maps.Keys(grown)), anchoredTogether) {
		if err := a.keep(ctx, names, grown); err != nil {
			return err
		}
	}
	if len(grown) == 0 {
		return nil
	}
	return a.prune(ctx)
}

// continues tells whether a log has grown since it was anchored, and notes if it was changed instead.
func (a *Anchors) continues(ctx context.Context, namespace string, c ledger.SignedCheckpoint) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.anchored[namespace]
	if a.problems[namespace] != nil || c.Size == before.Size {
		return false
	}
	if err := a.Ledger.Check(ctx, namespace, before.Size, before.Root); err != nil {
		a.problem(namespace, errors.Join(errAnchor, err))
		return false
	}
	return true
}

func (a *Anchors) keep(ctx context.Context, namespaces []string, grown map[string]ledger.SignedCheckpoint) error {
	anchor := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: a.Namespace, Labels: map[string]string{labelAnchor: anchorCurrent},
		GenerateName: anchorName + a.Clock.Now().UTC().Format("20060102-150405-")}, Immutable: ptr.To(true), Data: map[string]string{}}
	for _, namespace := range namespaces {
		anchor.Data[namespace] = string(grown[namespace].Note)
	}
	if err := a.Client.Create(ctx, anchor); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, namespace := range namespaces {
		a.anchored[namespace] = grown[namespace].Checkpoint
	}
	return nil
}

// prune removes the oldest ConfigMaps, but none that has a namespace's newest checkpoint.
func (a *Anchors) prune(ctx context.Context) error {
	list, err := a.list(ctx)
	if err != nil {
		return err
	}
	newest := map[string]bool{}
	for i, kept := range slices.Backward(list) {
		needed := len(list)-i <= keptAnchors
		for namespace := range kept.Data {
			needed = needed || !newest[namespace]
			newest[namespace] = true
		}
		if needed {
			continue
		}
		if err := client.IgnoreNotFound(a.Client.Delete(ctx, &list[i])); err != nil {
			return err
		}
	}
	return nil
}
