package gitops

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/ssa"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/operator"
	"github.com/lethe-dev/lethe/test/harness"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// workspace is the namespace of the examples.
const workspace = "recruiting"

// build is what kustomize makes of a folder of the repository.
func build(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	result, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(harness.Root(), folder))
	if err != nil {
		t.Fatalf("%s: %v", folder, err)
	}
	var objects []*unstructured.Unstructured
	for _, r := range result.Resources() {
		m, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		u := &unstructured.Unstructured{}
		text, err := (&unstructured.Unstructured{Object: m}).MarshalJSON()
		if err == nil {
			err = u.UnmarshalJSON(text) // numbers as the API has them
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, u)
	}
	if len(objects) == 0 {
		t.Fatalf("%s is empty", folder)
	}
	return objects
}

// flux is the engine of Flux's kustomize-controller: server-side apply, drift detection, prune and wait.
type flux struct {
	*testing.T
	client client.WithWatch
	engine *ssa.ResourceManager
}

func newFlux(t *testing.T, c client.WithWatch) *flux {
	return &flux{T: t, client: c, engine: ssa.NewResourceManager(c, polling.NewStatusPoller(c, c.RESTMapper(), polling.Options{}),
		ssa.Owner{Field: "kustomize-controller", Group: "kustomize.toolkit.fluxcd.io"})}
}

// apply returns what was done to each object, as "Kind/name action".
func (f *flux) apply(objects []*unstructured.Unstructured) []string {
	f.Helper()
	var copies []*unstructured.Unstructured
	for _, o := range objects {
		copies = append(copies, o.DeepCopy())
	}
	set, err := f.engine.ApplyAllStaged(f.Context(), copies, ssa.DefaultApplyOptions())
	if err != nil {
		f.Fatal(err)
	}
	var actions []string
	for _, e := range set.Entries {
		actions = append(actions, e.Subject+" "+string(e.Action))
	}
	return actions
}

func (f *flux) wait(objects []*unstructured.Unstructured) {
	f.Helper()
	if err := f.engine.Wait(objects, ssa.WaitOptions{Interval: 100 * time.Millisecond, Timeout: patience, FailFast: true}); err != nil {
		f.Fatal(err)
	}
}

// unchanged fails if applying what is in Git once more would change anything.
func (f *flux) unchanged(objects []*unstructured.Unstructured) {
	f.Helper()
	for _, action := range f.apply(objects) {
		if !strings.HasSuffix(action, string(ssa.UnchangedAction)) {
			f.Errorf("what is in Git was applied and looked at, and applying it again says: %s", action)
		}
	}
}

const atsTables = `
CREATE TABLE applicants (id text PRIMARY KEY, name text);
CREATE TABLE applications (id bigint PRIMARY KEY, applicant_id text NOT NULL REFERENCES applicants (id), closed_at timestamptz);
CREATE INDEX ON applications (applicant_id);
CREATE INDEX ON applications (closed_at);
INSERT INTO applicants VALUES ('app-000606', 'Ada'), ('app-000607', 'Bob');
INSERT INTO applications VALUES (1, 'app-000606', '2020-01-01'), (2, 'app-000607', NULL);`

// pointAt leads the DataStore of the examples to the test's database, and makes the Secret that a secret manager would.
func pointAt(t *testing.T, c client.Client, objects []*unstructured.Unstructured) {
	t.Helper()
	server, err := pgtest.Start(context.Background(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	database, err := server.CreateDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := server.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), atsTables); err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.GetKind() != "DataStore" {
			continue
		}
		spec, _, _ := unstructured.NestedMap(o.Object, "spec", "postgresql")
		maps.Copy(spec, map[string]any{"host": "127.0.0.1", "port": int64(server.Port), "database": database, "sslMode": "disable"})
		if err := unstructured.SetNestedMap(o.Object, spec, "spec", "postgresql"); err != nil {
			t.Fatal(err)
		}
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "ats-credentials", Namespace: workspace}, Type: corev1.SecretTypeBasicAuth,
		StringData: map[string]string{"username": server.User, "password": server.Password}}
	if err := c.Create(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
}

// TestAnExampleRepositoryIsAppliedByFlux applies the example repository as Flux does, with admission on, and shows what the how-to
// says of it: it becomes Ready, does not drift, a change by hand is taken back, a conflict is one, and a pruned hold holds.
func TestAnExampleRepositoryIsAppliedByFlux(t *testing.T) {
	cluster := startCluster(t)
	c := as(t, cluster, "flux")
	watcher, err := Watch(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	harness.StartOperator(t, cluster.Config, harness.OperatorOptions{Folder: t.TempDir(), Namespace: operatorNamespace(t, cluster), Admission: true, ExportPath: t.TempDir()})
	if err := c.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: workspace}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Clean(context.Background(), workspace); err != nil {
			t.Error(err)
		}
	})
	f := newFlux(t, c)
	production, holds := build(t, "examples/gitops/recruiting/production"), build(t, "examples/gitops/recruiting/production/holds")
	pointAt(t, c, production)
	awaitAdmission(t, c)

	f.apply(production)
	f.wait(production)
	f.apply(holds)
	f.wait(holds)
	f.unchanged(slices.Concat(production, holds))
	f.takesBack(production)
	f.conflicts(production)
	f.prunes(holds)

	judged, faults := watcher.Stop()
	for _, fault := range faults {
		t.Error(fault)
	}
	if judged < 10 {
		t.Errorf("only %d versions of objects were seen", judged)
	}
}

// as is a client of a user who may do everything, and is not the operator.
func as(t *testing.T, cluster *harness.Cluster, user string) client.WithWatch {
	t.Helper()
	config := rest.CopyConfig(cluster.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:masters"}}
	c, err := client.NewWithWatch(config, client.Options{Scheme: cluster.Client.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// awaitAdmission waits until the webhooks answer: they alone refuse a run that deletes.
func awaitAdmission(t *testing.T, c client.Client) {
	t.Helper()
	probe := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "probe", Namespace: workspace}, Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "a", UID: "u"}}}
	for deadline := time.Now().Add(patience); c.Create(t.Context(), probe.DeepCopy(), client.DryRunAll) == nil; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("admission does not answer")
		}
	}
}

// takesBack: somebody changes a policy by hand, and the next reconciliation takes it back.
func (f *flux) takesBack(objects []*unstructured.Unstructured) {
	f.Helper()
	p := &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "recruiting", Namespace: workspace}}
	if err := f.client.Patch(f.Context(), p, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"limits":{"maxSharePercent":100}}}`)), client.FieldOwner("kubectl-edit")); err != nil {
		f.Fatal(err)
	}
	if actions := f.apply(objects); !slices.ContainsFunc(actions, func(a string) bool {
		return strings.HasPrefix(a, "RetentionPolicy/") && strings.HasSuffix(a, string(ssa.ConfiguredAction))
	}) {
		f.Errorf("Flux does not see the change by hand: %v", actions)
	}
	f.wait(objects)
	f.unchanged(objects)
}

// conflicts: who applies another value for a field that Flux has is refused, and told whose it is. A field that Git leaves out is free.
func (f *flux) conflicts(objects []*unstructured.Unstructured) {
	f.Helper()
	apply := func(spec map[string]any) error {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("RetentionPolicy"))
		u.SetNamespace(workspace)
		u.SetName("recruiting")
		return f.client.Apply(f.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("kubectl"))
	}
	err := apply(map[string]any{"limits": map[string]any{"maxSharePercent": int64(100)}})
	if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "kustomize-controller": .spec.limits.maxSharePercent`) {
		f.Errorf("want a conflict that names Flux and the field, got %v", err)
	}
	if err := apply(map[string]any{"suspend": true}); err != nil {
		f.Errorf("a field that is not in Git cannot be set: %v", err)
	}
	f.unchanged(objects)
	p := &v1alpha1.RetentionPolicy{}
	if err := f.client.Get(f.Context(), client.ObjectKey{Namespace: workspace, Name: "recruiting"}, p); err != nil || !p.Spec.Suspend {
		f.Errorf("the suspension by hand is gone: %v", err)
	}
	for _, m := range p.ManagedFields {
		if m.Manager == operator.FieldManager && m.Subresource == "" && entryHasSpec(m) {
			f.Error("the operator manages fields of the spec")
		}
	}
}

// prunes: holds are left alone, and one that is pruned all the same stays in force.
func (f *flux) prunes(holds []*unstructured.Unstructured) {
	f.Helper()
	c := f.client
	protected := ssa.DeleteOptions{PropagationPolicy: metav1.DeletePropagationBackground, Exclusions: map[string]string{"kustomize.toolkit.fluxcd.io/prune": "disabled"}}
	set, err := f.engine.DeleteAll(f.Context(), holds, protected)
	if err != nil || len(set.Entries) != 1 || set.Entries[0].Action != ssa.SkippedAction {
		f.Errorf("want the hold skipped, got %v %v", set, err)
	}
	if _, err := f.engine.DeleteAll(f.Context(), holds, ssa.DefaultDeleteOptions()); err != nil {
		f.Fatal(err)
	}
	h := &v1alpha1.LegalHold{}
	if err := c.Get(f.Context(), client.ObjectKeyFromObject(holds[0]), h); err != nil || h.DeletionTimestamp == nil {
		f.Fatalf("the pruned hold is not there, marked for deletion: %v", err)
	}
	request := harness.Request(workspace, "held", harness.Person{ID: h.Spec.Subjects[0], Email: "ada@example.org"}, harness.Immediate)
	for _, o := range request {
		if err := c.Create(f.Context(), o); err != nil {
			f.Fatal(err)
		}
	}
	s := &states{T: f.T, cluster: &harness.Cluster{Client: c}, ns: workspace}
	if s.checks, err = ReadHealthChecks(); err != nil {
		f.Fatal(err)
	}
	s.want("ErasureRequest", "held", status.InProgressStatus, Suspended, v1alpha1.ReasonLegalHold)
	f.apply(holds) // what comes back into Git cannot take the deletion back, and does no harm
	s.want("LegalHold", h.Name, status.TerminatingStatus, Progressing, v1alpha1.ReasonInForce)
}

// TestEveryEnvironmentOfTheExampleRepositoryIsAccepted applies each folder, and the samples, as a server-side dry run.
func TestEveryEnvironmentOfTheExampleRepositoryIsAccepted(t *testing.T) {
	cluster := startCluster(t)
	for _, folder := range []string{"examples/gitops/recruiting/staging", "examples/gitops/recruiting/production", "examples/gitops/recruiting/production/holds", "config/samples"} {
		for _, o := range build(t, folder) {
			if ns := o.GetNamespace(); ns != "" {
				err := cluster.Client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
				if err != nil && !apierrors.IsAlreadyExists(err) {
					t.Fatal(err)
				}
			}
			err := cluster.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.DryRunAll, client.FieldOwner("test"))
			if err != nil {
				t.Errorf("%s: %s %s: %v", folder, o.GetKind(), o.GetName(), err)
			}
		}
	}
}
