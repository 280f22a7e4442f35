package docs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/test/harness"
)

// The cookbook's examples are made of blocks with attributes:
//
//	sql example=NAME [on=ENGINE,...]      tables and rows
//	yaml example=NAME on=ENGINE,... [from=NAME,...] [alone] [refused=REASON] [warns=REASON,...]
//	                                      the map, on the tables of the examples from, beside the base map unless alone; it is
//	                                      Ready, with warnings of exactly these reasons, or refused for the reason
//	sql after=NAME                        queries, and behind -- what they return when Ada was erased
const cookbook = "docs/how-to/cookbook/*.md"

const baseExample = "base"

type example struct {
	name   string
	tables []block
	maps   block
	after  []block
}

// examples of the cookbook by name.
func examples(t *testing.T) map[string]*example {
	t.Helper()
	all := map[string]*example{}
	at := func(name string) *example {
		if all[name] == nil {
			all[name] = &example{name: name}
		}
		return all[name]
	}
	for _, b := range blocks(t, markdown(t, cookbook)) {
		name, after := b.attributes["example"], b.attributes["after"]
		switch {
		case b.language == "sql" && name != "":
			at(name).tables = append(at(name).tables, b)
		case b.language == "sql" && after != "":
			at(after).after = append(at(after).after, b)
		case b.language == "yaml" && name != "":
			if at(name).maps.text != "" {
				t.Errorf("%s: the example %s has two maps", b.where(), name)
			}
			at(name).maps = b
		case strings.Contains(b.text, "kind: PersonalDataMap"):
			t.Errorf("%s: a map that nothing tries; give the block an example", b.where())
		}
	}
	for _, e := range all {
		if e.maps.text == "" || len(e.maps.list("on")) == 0 {
			t.Errorf("the example %s has no map, or none that says on which engine", e.name)
		}
	}
	if all[baseExample] == nil {
		t.Fatal("there is no base")
	}
	return all
}

// mapsOf reads the maps of a block, with the API's defaults: they are created and read back.
func mapsOf(t *testing.T, c client.Client, namespace string, b block) []planner.MapSource {
	t.Helper()
	var sources []planner.MapSource
	for _, text := range strings.Split(b.text, "\n---\n") {
		m := &v1alpha1.PersonalDataMap{}
		if err := yaml.UnmarshalStrict([]byte(text), m); err != nil {
			t.Fatalf("%s: %v", b.where(), err)
		}
		m.Namespace = namespace
		if err := c.Create(t.Context(), m); err != nil {
			t.Fatalf("%s: %v", b.where(), err)
		}
		sources = append(sources, planner.MapSource{Name: m.Name, UID: string(m.UID), Generation: m.Generation, Spec: m.Spec})
	}
	return sources
}

// kitchen is one example on one engine.
type kitchen struct {
	*testing.T
	cluster   *harness.Cluster
	namespace string
	db        *database
	sources   []planner.MapSource
}

// TestCookbook tries each example on each of its engines: the maps hold against the live schema as the operator holds them, and
// erasing Ada leaves what the cookbook says. An example whose records name files, keys or remote records is only checked:
// erasures across real stores are in test/promises.
func TestCookbook(t *testing.T) {
	cluster := startCluster(t)
	all := examples(t)
	roots := map[string]string{}
	folder := t.TempDir()
	type run struct{ name, engine, namespace string }
	var runs []run
	for name, e := range all {
		for _, engine := range e.maps.list("on") {
			namespace, err := cluster.NewNamespace(t.Context(), "cookbook")
			if err != nil {
				t.Fatal(err)
			}
			roots[namespace] = filepath.Join(folder, namespace)
			runs = append(runs, run{name, engine, namespace})
		}
	}
	sort.Slice(runs, func(i, j int) bool { return runs[i].name+runs[i].engine < runs[j].name+runs[j].engine })
	harness.StartOperator(t, cluster.Config, harness.OperatorOptions{Folder: t.TempDir(), LocalRoots: roots})
	for _, r := range runs {
		t.Run(r.name+"/"+r.engine, func(t *testing.T) {
			t.Parallel()
			k := &kitchen{T: t, cluster: cluster, namespace: r.namespace, db: newDatabase(t, r.engine, roots[r.namespace])}
			t.Cleanup(func() {
				if err := cluster.Clean(context.Background(), r.namespace); err != nil {
					t.Error(err)
				}
			})
			k.cook(all, all[r.name], roots[r.namespace])
		})
	}
}

func (k *kitchen) cook(all map[string]*example, e *example, root string) {
	_, alone := e.maps.attributes["alone"]
	var courses []*example
	if !alone && e.name != baseExample {
		courses = append(courses, all[baseExample])
	}
	courses = append(courses, e)
	for _, c := range courses {
		tables := c.tables
		for _, from := range c.maps.list("from") {
			tables = append(tables, all[from].tables...)
		}
		for _, b := range tables {
			if on := b.list("on"); on == nil || slices.Contains(on, k.db.engine) {
				k.db.run(k.T, b)
			}
		}
		k.sources = append(k.sources, mapsOf(k.T, k.cluster.Client, k.namespace, c.maps)...)
	}
	paths := k.check(e.maps, root)
	if len(e.after) > 0 && paths == 0 {
		k.erase(e)
	}
}

// check holds the maps against the live schema, and returns how many other stores they name.
func (k *kitchen) check(b block, root string) int {
	k.Helper()
	graph, problems := planner.Compile(k.sources, "")
	if graph == nil {
		k.Fatalf("%s: %v", b.where(), problems)
	}
	open := map[string]stores.Opener{"sqlite": wiring.Openers().SQLite, "postgresql": wiring.Openers().PostgreSQL, "mariadb": wiring.Openers().MySQL}[k.db.engine]
	live, err := open(k.Context(), stores.Request{Spec: k.db.spec, Credentials: k.db.credentials(), LocalRoot: root})
	if err != nil {
		k.Fatal(err)
	}
	defer func() { _ = live.Close() }()
	store := &stores.Store{Backend: live, Name: storeName, Kind: planner.TableStore}
	facts := map[string]planner.StoreFacts{}
	for _, name := range graph.Stores() {
		facts[name] = planner.StoreFacts{Kind: kindOf(k.sources, name)}
	}
	if facts[storeName], err = store.Facts(k.Context(), graph); err != nil {
		k.Fatal(err)
	}
	problems = append(problems, graph.Check(facts)...)
	if want := b.attributes["refused"]; want != "" {
		if len(problems) == 0 || slices.ContainsFunc(problems, func(p planner.Problem) bool { return p.Reason != want }) {
			k.Errorf("%s: want the map refused for %s, got %v", b.where(), want, problems)
		}
	} else if len(problems) > 0 {
		k.Fatalf("%s: %v", b.where(), problems)
	}
	var reasons, want []string
	for _, w := range graph.Warnings(facts) {
		reasons = append(reasons, w.Reason)
	}
	slices.Sort(reasons)
	if want = b.list("warns"); !slices.Equal(slices.Compact(reasons), want) {
		k.Errorf("%s: warnings %v, want %v", b.where(), graph.Warnings(facts), want)
	}
	return len(facts) - 1
}

// kindOf a store that records name something in.
func kindOf(sources []planner.MapSource, store string) planner.StoreKind {
	for _, s := range sources {
		for _, e := range s.Spec.Entities {
			for _, f := range e.Files {
				if f.Store == store && f.Kind == v1alpha1.FileKindPrefix {
					return planner.ObjectStore
				}
			}
			if slices.ContainsFunc(e.Keys, func(r v1alpha1.KeyReference) bool { return r.Store == store }) {
				return planner.KeyStore
			}
			if slices.ContainsFunc(e.Resources, func(r v1alpha1.ResourceReference) bool { return r.Store == store }) {
				return planner.ServiceStore
			}
		}
	}
	return planner.PathStore
}

const patience = 30 * time.Second

// erase lets the operator erase Ada, and compares what is left with what the cookbook says.
func (k *kitchen) erase(e *example) {
	k.Helper()
	for _, o := range k.db.objects(k.namespace) {
		k.create(o)
	}
	for _, s := range k.sources {
		k.await(&v1alpha1.PersonalDataMap{}, s.Name, v1alpha1.ConditionReady)
	}
	name := "ada"
	k.create(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: k.namespace, Annotations: map[string]string{v1alpha1.AnnotationRequest: name}},
		Type:       v1alpha1.IdentitiesSecretType, StringData: map[string]string{"email": "Ada@Example.com"},
	})
	k.create(&v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: k.namespace}, Spec: v1alpha1.ErasureRequestSpec{
		Source: v1alpha1.SourceSubject, Timing: v1alpha1.TimingImmediate, Subject: v1alpha1.Subject{ID: "1", IdentitiesSecretRef: &v1alpha1.LocalReference{Name: name}}}})
	k.await(&v1alpha1.ErasureRequest{}, name, v1alpha1.ConditionErased)
	for _, b := range e.after {
		if on := b.list("on"); on != nil && !slices.Contains(on, k.db.engine) {
			continue
		}
		for i, line := range strings.Split(strings.TrimSpace(b.text), "\n") {
			query, want, ok := strings.Cut(line, "; -- ")
			if !ok {
				k.Fatalf("%s: line %d says not what is left", b.where(), i+1)
			}
			if got := k.db.read(k.T, query); got != want {
				k.Errorf("%s: %s returns %s, the cookbook says %s", b.where(), query, got, want)
			}
		}
	}
}

func (k *kitchen) create(o client.Object) {
	k.Helper()
	if err := k.cluster.Client.Create(k.Context(), o); err != nil {
		k.Fatal(err)
	}
}

// await waits until a condition is True.
func (k *kitchen) await(obj client.Object, name, condition string) {
	k.Helper()
	var state string
	err := wait.PollUntilContextTimeout(k.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		if err := k.cluster.Client.Get(ctx, client.ObjectKey{Namespace: k.namespace, Name: name}, obj); err != nil {
			return false, err
		}
		state = ""
		for _, c := range conditionsOf(obj) {
			state += fmt.Sprintf("%s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
		}
		return meta.IsStatusConditionTrue(conditionsOf(obj), condition), nil
	})
	if err != nil {
		k.Fatalf("%T %s is not %s: %v\n%s", obj, name, condition, err, state)
	}
}

func conditionsOf(obj client.Object) []metav1.Condition {
	switch o := obj.(type) {
	case *v1alpha1.PersonalDataMap:
		return o.Status.Conditions
	case *v1alpha1.ErasureRequest:
		return o.Status.Conditions
	}
	return nil
}

// TestMain ends the servers, which outlive the tests that share them.
func TestMain(m *testing.M) {
	code := m.Run()
	if err := errStop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
