package gitops

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

const patience = time.Minute

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// states drives objects of one namespace through their states.
type states struct {
	*testing.T
	// whole is the test of which T may be a part.
	whole    *testing.T
	cluster  *harness.Cluster
	ns       string
	ats      *harness.ATS
	clock    *harness.Clock
	checks   HealthChecks
	options  harness.OperatorOptions
	operator *harness.Operator
}

func newStates(t *testing.T, cluster *harness.Cluster) *states {
	t.Helper()
	checks, err := ReadHealthChecks()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := cluster.NewNamespace(t.Context(), "states")
	if err != nil {
		t.Fatal(err)
	}
	s := &states{T: t, whole: t, cluster: cluster, ns: ns, ats: harness.NewATS(t), clock: harness.NewClock(start), checks: checks}
	s.options = harness.OperatorOptions{Folder: t.TempDir(), LocalRoots: map[string]string{ns: s.ats.Root}, Clock: s.clock, Witness: harness.Witness{Clock: s.clock},
		Namespace: operatorNamespace(t, cluster), ExportPath: filepath.Join(t.TempDir(), "exports")}
	t.Cleanup(func() {
		if err := cluster.Clean(context.Background(), ns); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *states) start() { s.operator = harness.StartOperator(s.whole, s.cluster.Config, s.options) }

func (s *states) stop() {
	s.Helper()
	if err := s.operator.Stop(); err != nil {
		s.Fatal(err)
	}
}

func (s *states) create(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		o.SetNamespace(s.ns)
		if err := s.cluster.Client.Create(s.Context(), o); err != nil {
			s.Fatal(err)
		}
	}
}

func (s *states) patch(obj client.Object, name, patch string) {
	s.Helper()
	obj.SetNamespace(s.ns)
	obj.SetName(name)
	if err := s.cluster.Client.Patch(s.Context(), obj, client.RawPatch("application/merge-patch+json", []byte(patch))); err != nil {
		s.Fatal(err)
	}
}

func (s *states) delete(obj client.Object, name string) {
	s.Helper()
	obj.SetNamespace(s.ns)
	obj.SetName(name)
	if err := s.cluster.Client.Delete(s.Context(), obj); err != nil {
		s.Fatal(err)
	}
}

// look is how an object is now, and the reason of its Ready.
func (s *states) look(kind, name string) (State, string, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	if err := s.cluster.Client.Get(s.Context(), client.ObjectKey{Namespace: s.ns, Name: name}, u); err != nil {
		return State{}, "", err
	}
	state, err := Judge(s.Context(), s.checks, u)
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	reason := ""
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == v1alpha1.ConditionReady {
			reason, _ = c["reason"].(string)
		}
	}
	return state, reason, err
}

// want waits until an object is as it should be; reason is that of Ready, and may be empty for any.
func (s *states) want(kind, name string, flux status.Status, argo, reason string) {
	s.Helper()
	var state State
	var got string
	err := wait.PollUntilContextTimeout(s.Context(), 20*time.Millisecond, patience, true, func(context.Context) (done bool, err error) {
		state, got, err = s.look(kind, name)
		return err == nil && state.Flux == flux && state.Argo == argo && (reason == "" || reason == got), err
	})
	if err != nil {
		s.Fatalf("%s %s is %s to kstatus and %s to Argo CD for %q (%s), want %s, %s, %q: %v", kind, name, state.Flux, state.Argo, got, state.Message, flux, argo, reason, err)
	}
}

func policyWith(name string, requests v1alpha1.RequestPolicy) *v1alpha1.RetentionPolicy {
	return &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.RetentionPolicySpec{Requests: &requests}}
}

func holdOn(name, subject string) *v1alpha1.LegalHold {
	return &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{subject}, Reason: "matter 7"}}
}

func exportOf(name string) *v1alpha1.ComplianceExport {
	return &v1alpha1.ComplianceExport{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Format: v1alpha1.FormatCSV,
		Period: v1alpha1.ExportPeriod{From: ptr.To(metav1.NewTime(start.AddDate(0, -1, 0))), To: ptr.To(metav1.NewTime(start))}}}
}

var (
	ada   = harness.Person{ID: "app-1", Email: "ada@example.org", Name: "Ada Canary", Phone: "+49 555 0101"}
	bob   = harness.Person{ID: "app-2", Email: "bob@example.org", Name: "Bob Other", Phone: "+49 555 0102", Stage: "interview"}
	carol = harness.Person{ID: "app-3", Email: "carol@example.org", Name: "Carol Third", Phone: "+49 555 0103"}
	dave  = harness.Person{ID: "app-4", Email: "dave@example.org", Name: "Dave Fourth", Phone: "+49 555 0104"}
)

// TestEveryKindTellsKstatusAndArgoCDTheTruth drives real objects of every kind through what GitOps tools tell apart. That every
// version of every object in all other suites agrees too is what the Watcher in test/promises finds.
func TestEveryKindTellsKstatusAndArgoCDTheTruth(t *testing.T) {
	cluster := startCluster(t)
	watcher, err := Watch(t.Context(), cluster.Client)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		judged, faults := watcher.Stop()
		for _, fault := range faults {
			t.Error(fault)
		}
		if judged < 50 {
			t.Errorf("only %d versions of objects were seen", judged)
		}
	}()
	s := newStates(t, cluster)
	for _, p := range []harness.Person{ada, bob, carol, dave} {
		s.ats.Add(p)
	}
	s.create(harness.ATSObjects(s.ns)...)
	s.create(policyWith("requests", v1alpha1.RequestPolicy{GracePeriod: "P30D"}), holdOn("matter-7", dave.ID), exportOf("log"))
	s.create(harness.Request(s.ns, "ada", ada)...)
	s.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "preview"}, Spec: v1alpha1.DeletionRunSpec{DryRun: true, Request: &v1alpha1.RequestReference{Name: "ada"}}})
	for kind, name := range map[string]string{"DataStore": "ats", "PersonalDataMap": "ats", "RetentionPolicy": "requests", "LegalHold": "matter-7",
		"ComplianceExport": "log", "ErasureRequest": "ada", "DeletionRun": "preview"} {
		s.want(kind, name, status.InProgressStatus, Progressing, "") // nobody has looked at it yet
	}
	s.start()
	t.Run("what is kept in Git", s.configuration)
	t.Run("requests and what comes of them", s.requests)
	t.Run("what is deleted", s.deletions)
}

func (s *states) configuration(t *testing.T) {
	s.T = t
	s.want("DataStore", "ats", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)
	s.want("PersonalDataMap", "ats", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)
	s.want("RetentionPolicy", "requests", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)
	s.want("LegalHold", "matter-7", status.CurrentStatus, Healthy, v1alpha1.ReasonInForce)

	// A person has to mend it: failed. It waits for something else: in progress.
	outside := &v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "outside"}, Spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "link/x.db"}}}
	if err := os.Symlink("/", filepath.Join(s.ats.Root, "link")); err != nil {
		t.Fatal(err)
	}
	locked := &v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "locked"}, Spec: v1alpha1.DataStoreSpec{PostgreSQL: &v1alpha1.PostgreSQLStore{
		Host: "127.0.0.1", Port: 1, Database: "x", CredentialsSecretRef: v1alpha1.LocalReference{Name: "missing"}}}}
	s.create(outside, locked)
	s.want("DataStore", "outside", status.FailedStatus, Degraded, v1alpha1.ReasonPathOutsideRoot)
	s.want("DataStore", "locked", status.InProgressStatus, Progressing, v1alpha1.ReasonCredentialsMissing)

	second := policyWith("second", v1alpha1.RequestPolicy{GracePeriod: "P60D"})
	s.create(second)
	s.want("RetentionPolicy", "second", status.FailedStatus, Degraded, v1alpha1.ReasonAmbiguousPolicy)
	s.delete(&v1alpha1.RetentionPolicy{}, "second")
	s.want("RetentionPolicy", "requests", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)

	s.patch(&v1alpha1.PersonalDataMap{}, "ats", `{"spec":{"driftPolicy":"Block"}}`)
	s.want("PersonalDataMap", "ats", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)
	s.ats.Exec(`ALTER TABLE notes ADD COLUMN author TEXT`)
	s.patch(&v1alpha1.PersonalDataMap{}, "ats", `{"metadata":{"annotations":{"privacy.lethe.dev/recheck":"1"}}}`)
	s.want("PersonalDataMap", "ats", status.FailedStatus, Degraded, v1alpha1.ReasonSchemaDrift)
	s.patch(&v1alpha1.PersonalDataMap{}, "ats", `{"spec":{"driftPolicy":"Warn"}}`)
	s.want("PersonalDataMap", "ats", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)

	// A change that nobody has looked at is in progress, however Ready what was before it.
	s.stop()
	s.patch(&v1alpha1.RetentionPolicy{}, "requests", `{"spec":{"requests":{"archiveRetention":"P45D"}}}`)
	s.patch(&v1alpha1.DataStore{}, "ats", `{"spec":{"limits":{"batchSize":10}}}`)
	s.want("RetentionPolicy", "requests", status.InProgressStatus, Progressing, v1alpha1.ReasonReady)
	s.want("DataStore", "ats", status.InProgressStatus, Progressing, v1alpha1.ReasonReady)
	s.start()
	s.want("RetentionPolicy", "requests", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)
	s.want("DataStore", "ats", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)

	// A policy with rules that arrives before its map waits for it.
	ns, err := s.cluster.NewNamespace(t.Context(), "states")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cluster.Clean(context.Background(), ns) })
	early := &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "early"}, Spec: v1alpha1.RetentionPolicySpec{Schedule: &v1alpha1.SweepSchedule{Cron: "@daily"},
		Rules: []v1alpha1.RetentionRule{{Name: "old", Entity: "ats/consents", Clock: "given", Period: "P1Y", Action: v1alpha1.RuleDelete}}}}
	here := s.ns
	s.ns = ns
	s.create(early)
	s.want("RetentionPolicy", "early", status.InProgressStatus, Progressing, v1alpha1.ReasonNoMap)
	s.ns = here
}

func (s *states) requests(t *testing.T) {
	s.T = t
	s.want("ErasureRequest", "ada", status.InProgressStatus, Suspended, v1alpha1.ReasonGracePeriod)
	s.want("DeletionRun", "preview", status.CurrentStatus, Healthy, v1alpha1.ReasonDryRun)
	s.want("ComplianceExport", "log", status.CurrentStatus, Healthy, v1alpha1.ReasonExported)

	nobody := harness.Person{ID: "app-99", Email: "nobody@example.org"}
	s.create(harness.Request(s.ns, "nobody", nobody)...)
	s.want("ErasureRequest", "nobody", status.InProgressStatus, Progressing, v1alpha1.ReasonSubjectNotFound)
	s.create(harness.Request(s.ns, "bob", bob)...)
	s.want("ErasureRequest", "bob", status.InProgressStatus, Suspended, v1alpha1.ReasonProcessActive)
	s.create(harness.Request(s.ns, "dave", dave, harness.Immediate)...)
	s.want("ErasureRequest", "dave", status.InProgressStatus, Suspended, v1alpha1.ReasonLegalHold)

	s.create(harness.Request(s.ns, "carol", carol, harness.Immediate)...)
	s.want("ErasureRequest", "carol", status.CurrentStatus, Healthy, v1alpha1.ReasonErased)
	for kind, list := range map[string]client.ObjectList{"DeletionRun": &v1alpha1.DeletionRunList{}, "ErasureCertificate": &v1alpha1.ErasureCertificateList{}} {
		if err := s.cluster.Client.List(t.Context(), list, client.InNamespace(s.ns), client.MatchingLabels{"privacy.lethe.dev/request": "carol"}); err != nil {
			t.Fatal(err)
		}
		name := ""
		switch l := list.(type) {
		case *v1alpha1.DeletionRunList:
			name = l.Items[0].Name
		case *v1alpha1.ErasureCertificateList:
			name = l.Items[0].Name
		}
		s.want(kind, name, status.CurrentStatus, Healthy, "")
	}
	s.patch(&v1alpha1.ErasureRequest{}, "ada", `{"spec":{"cancelled":true}}`)
	s.want("ErasureRequest", "ada", status.CurrentStatus, Healthy, v1alpha1.ReasonCancelled)

	// Made by hand, a run that deletes is refused; without admission the operator says so.
	s.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "by-hand"}, Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "bob", UID: "none"}}})
	s.want("DeletionRun", "by-hand", status.FailedStatus, Degraded, v1alpha1.ReasonInvalidSpec)

	// What cannot be done ends Failed.
	nowhere := exportOf("nowhere")
	nowhere.Spec.Destination = &v1alpha1.ExportDestination{DataStoreRef: v1alpha1.LocalReference{Name: "ats"}}
	s.create(nowhere)
	s.want("ComplianceExport", "nowhere", status.FailedStatus, Degraded, v1alpha1.ReasonInvalidSpec)
}

func (s *states) deletions(t *testing.T) {
	s.T = t
	// A run that is done stays done when its request goes first.
	var runs v1alpha1.DeletionRunList
	if err := s.cluster.Client.List(t.Context(), &runs, client.InNamespace(s.ns), client.MatchingLabels{"privacy.lethe.dev/request": "carol"}); err != nil {
		t.Fatal(err)
	}
	s.delete(&v1alpha1.ErasureRequest{}, "carol")
	s.gone(&v1alpha1.ErasureRequest{}, "carol")
	s.stop()
	s.start()
	s.want("DataStore", "ats", status.CurrentStatus, Healthy, v1alpha1.ReasonReady)
	time.Sleep(500 * time.Millisecond) // the operator looks at everything when it starts
	s.want("DeletionRun", runs.Items[0].Name, status.CurrentStatus, Healthy, v1alpha1.ReasonErased)

	s.delete(&v1alpha1.DataStore{}, "ats")
	s.want("DataStore", "ats", status.TerminatingStatus, Progressing, v1alpha1.ReasonInUse)

	// A pruned hold stays in force; lifted, it goes.
	s.delete(&v1alpha1.LegalHold{}, "matter-7")
	s.want("LegalHold", "matter-7", status.TerminatingStatus, Progressing, v1alpha1.ReasonInForce)
	s.want("ErasureRequest", "dave", status.InProgressStatus, Suspended, v1alpha1.ReasonLegalHold)
	s.create(holdOn("matter-8", dave.ID))
	s.want("LegalHold", "matter-8", status.CurrentStatus, Healthy, v1alpha1.ReasonInForce)
	s.patch(&v1alpha1.LegalHold{}, "matter-8", `{"spec":{"lifted":true}}`)
	s.want("LegalHold", "matter-8", status.CurrentStatus, Healthy, v1alpha1.ReasonLifted)
	s.patch(&v1alpha1.LegalHold{}, "matter-7", `{"spec":{"lifted":true}}`)
	s.gone(&v1alpha1.LegalHold{}, "matter-7")
}

func (s *states) gone(obj client.Object, name string) {
	s.Helper()
	err := wait.PollUntilContextTimeout(s.Context(), 20*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		err := s.cluster.Client.Get(ctx, client.ObjectKey{Namespace: s.ns, Name: name}, obj)
		return client.IgnoreNotFound(err) == nil && err != nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		s.Errorf("%s does not go: %v", name, err)
	}
}

// TestHealthChecksCoverEveryKind: a kind that has a status has a health check, and the file is one that Kubernetes takes.
func TestHealthChecksCoverEveryKind(t *testing.T) {
	checks, err := ReadHealthChecks()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range Kinds() {
		if _, has := checks[kind]; has == (kind == "ErasureCertificate") {
			t.Errorf("%s: is there a health check? %t", kind, has)
		}
	}
	for kind, script := range checks {
		u := &unstructured.Unstructured{Object: map[string]any{"kind": kind, "metadata": map[string]any{}}}
		if health, _, err := checks.Health(t.Context(), u); err != nil || health != Progressing {
			t.Errorf("%s without a status is %s: %v\n%s", kind, health, err, script)
		}
	}
}
