package v1alpha1

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/selfsigned"
	"github.com/lethe-dev/lethe/internal/stamp"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
)

const patience = 20 * time.Second

var testSealer = stamp.NewSealer([]byte("a key of these tests, 32 bytes it"))

// warningLog keeps the API server's warnings.
type warningLog struct {
	sync.Mutex
	texts []string
}

func (w *warningLog) HandleWarningHeader(_ int, _ string, text string) {
	w.Lock()
	defer w.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warningLog) all() []string {
	w.Lock()
	defer w.Unlock()
	return append([]string{}, w.texts...)
}

// door is a real API server with the webhooks before it.
type testDoor struct {
	operator, alice client.Client
	warnings        *warningLog
	stop            func() error
	env             *envtest.Environment
	keys            *keysmemory.Store
	config          *rest.Config
	log             ledger.Log
}

func startAPIServer(t *testing.T) (*envtest.Environment, *rest.Config) {
	t.Helper()
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: run KUBEBUILDER_ASSETS=$(hack/envtest-assets.sh) go test, or make test")
	}
	env := &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join("..", "..", "..", "config", "crd", "bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: time.Minute, ControlPlaneStopTimeout: time.Minute,
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Errorf("the API server was not stopped: %v", err)
		}
	})
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	return env, config
}

// openVault is a real ledger in a file.
func openVault(t *testing.T) *vaultsqlite.Vault {
	t.Helper()
	signer, err := ledger.NewSigner("lethe.dev/test", make([]byte, keys.Size))
	if err != nil {
		t.Fatal(err)
	}
	vault, err := vaultsqlite.Open(context.Background(), filepath.Join(t.TempDir(), "ledger.db"), ledgersqlite.Options{LogName: "lethe.dev/test", Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vault.Close() })
	return vault
}

func openDoor(t *testing.T) *testDoor {
	t.Helper()
	g := NewWithT(t)
	env, config := startAPIServer(t)
	vault := openVault(t)
	s := runtime.NewScheme()
	g.Expect(clientgoscheme.AddToScheme(s)).To(Succeed())
	g.Expect(v1alpha1.AddToScheme(s)).To(Succeed())

	mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: s, Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"}})
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	store := keysmemory.New()
	g.Expect(SetupLoopback(ctx, mgr, "127.0.0.1:0", Options{Clock: clock.RealClock{}, Keys: store, Sealer: testSealer,
		Journal: &journal.Journal{Ledger: vault.Ledger, State: vault.State, Clock: clock.RealClock{}}})).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	d := &testDoor{warnings: &warningLog{}, env: env, config: config, keys: store, log: vault.Ledger, stop: sync.OnceValue(func() error { cancel(); return <-ended })}
	t.Cleanup(func() { _ = d.stop() })

	d.operator, err = client.New(config, client.Options{Scheme: s})
	g.Expect(err).NotTo(HaveOccurred())
	other := rest.CopyConfig(config)
	other.Impersonate = rest.ImpersonationConfig{UserName: "alice", Groups: []string{"system:masters"}}
	other.WarningHandler = d.warnings
	d.alice, err = client.New(other, client.Options{Scheme: s})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(d.operator.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})).To(Succeed())
	// The API server learns of a configuration a moment after it is stored.
	g.Eventually(func() error {
		return d.alice.Create(ctx, realRun("probe"), client.DryRunAll)
	}, patience, 50*time.Millisecond).Should(MatchError(ContainSubstring("denied the request")))
	return d
}

func realRun(name string) *v1alpha1.DeletionRun {
	return &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "a", UID: "u"}}}
}

func TestTheAPIServerAsksTheDoor(t *testing.T) {
	d := openDoor(t)
	t.Run("second request for a subject", d.secondRequest)
	t.Run("runs that delete", d.runs)
	t.Run("policies", d.policies)
	t.Run("holds", d.holds)
	t.Run("personas", d.personas)
	t.Run("forged stamps", d.forged)
	t.Run("four eyes", d.fourEyes)
	t.Run("pseudonyms", d.pseudonyms)
	t.Run("dry run", d.dryRun)
	t.Run("governance", d.governance)
	t.Run("orderly stop", d.orderlyStop)
	t.Run("killed", d.killed)
	t.Run("in a cluster", d.inCluster)
}

func (d *testDoor) secondRequest(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	first := request("first", "A-17")
	g.Expect(d.alice.Create(ctx, first)).To(Succeed())
	g.Eventually(func() error { return d.alice.Create(ctx, request("second", "a-17"), client.DryRunAll) }, patience, 50*time.Millisecond).
		Should(MatchError(ContainSubstring("ErasureRequest first covers this subject already")), "the cache follows within a moment")
	err := d.alice.Create(ctx, request("second", "A-17"))
	g.Expect(err).To(MatchError(HavePrefix(`admission webhook "erasurerequests.privacy.lethe.dev" denied the request: ErasureRequest first covers`)))
	g.Expect(err.Error()).NotTo(ContainSubstring("A-17"))
	g.Expect(apierrors.IsAlreadyExists(d.alice.Create(ctx, request("first", "A-17")))).To(BeTrue())

	first.Status.Phase = v1alpha1.PhaseCancelled
	g.Expect(d.operator.Status().Update(ctx, first)).To(Succeed())
	g.Eventually(func() error { return d.alice.Create(ctx, request("second", "A-17")) }, patience, 50*time.Millisecond).Should(Succeed())
}

func (d *testDoor) runs(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	g.Expect(d.alice.Create(ctx, realRun("real"))).To(MatchError(ContainSubstring("spec.dryRun must be true")))
	preview := realRun("preview")
	preview.Spec.DryRun = true
	g.Expect(d.alice.Create(ctx, preview)).To(Succeed())
	g.Expect(d.operator.Create(ctx, realRun("real"))).To(Succeed())
}

func (d *testDoor) policies(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	g.Expect(d.alice.Create(ctx, policyOf("one", &v1alpha1.RequestPolicy{}))).To(Succeed())
	g.Eventually(func() []string {
		g.Expect(d.alice.Create(ctx, policyOf("two", &v1alpha1.RequestPolicy{}), client.DryRunAll)).To(Succeed())
		return d.warnings.all()
	}, patience, 50*time.Millisecond).Should(ContainElement(ContainSubstring("RetentionPolicies one, two all have spec.requests")))
}

func (d *testDoor) holds(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	hold := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "hold"}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 7",
		Records: []v1alpha1.HoldSelector{{Map: "ats", Entity: "applicants",
			Conditions: []v1alpha1.Condition{{Column: "email", Operator: v1alpha1.OperatorIn, Values: []string{canary}}}}}}}
	err := d.alice.Create(ctx, hold)
	g.Expect(err).To(MatchError(ContainSubstring("spec.records[0].conditions[0].values[0] must not hold an e-mail address")))
	g.Expect(err.Error()).NotTo(ContainSubstring(canary))
}

// orderlyStop: the API server is told not to ask any more.
func (d *testDoor) orderlyStop(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	g.Expect(d.stop()).To(Succeed())
	err := d.operator.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &admissionregistrationv1.ValidatingWebhookConfiguration{})
	g.Expect(apierrors.IsNotFound(err)).To(BeTrue())
	g.Eventually(func() error { return d.alice.Create(ctx, request("after", "A-18")) }, patience, 50*time.Millisecond).Should(Succeed())
}

// killed: what a killed process leaves refuses new specs and lets everything else pass.
func (d *testDoor) killed(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	certificates := selfsigned.Certificates{Names: selfsigned.Names{IP: netip.MustParseAddr("127.0.0.1")}}
	g.Expect(certificates.Renew(time.Now())).To(Succeed())
	mutating, validating := configurations(ConfigurationName, loopbackAt("https://127.0.0.1:1", certificates.Bundle()))
	g.Expect(d.operator.Create(ctx, mutating)).To(Succeed())
	g.Expect(d.operator.Create(ctx, validating)).To(Succeed())
	g.Eventually(func() error { return d.alice.Create(ctx, request("blocked", "A-19"), client.DryRunAll) }, patience, 50*time.Millisecond).
		Should(MatchError(ContainSubstring("failed calling webhook")))
	var er v1alpha1.ErasureRequest
	g.Expect(d.operator.Get(ctx, client.ObjectKey{Namespace: ns, Name: "after"}, &er)).To(Succeed())
	er.Finalizers = []string{v1alpha1.Finalizer}
	g.Expect(d.operator.Update(ctx, &er)).To(Succeed(), "finalizers are none of the door's business")
	er.Annotations = map[string]string{"example.com/note": "x"}
	g.Expect(d.operator.Update(ctx, &er)).To(Succeed(), "nor are annotations that nobody answers for")
	stamped := er.DeepCopy()
	stamped.Annotations[v1alpha1.AnnotationApprovedBy] = "forged"
	g.Expect(d.operator.Update(ctx, stamped)).To(MatchError(ContainSubstring("failed calling webhook")))
	er.Spec.Approved = true
	g.Expect(d.operator.Update(ctx, &er)).To(MatchError(ContainSubstring("failed calling webhook")))
	g.Eventually(func() error { return d.operator.Delete(ctx, &er, client.DryRunAll) }, patience, 50*time.Millisecond).Should(MatchError(ContainSubstring("failed calling webhook")))
	g.Expect(d.operator.Delete(ctx, &er)).To(MatchError(ContainSubstring("failed calling webhook")))
	g.Expect(d.operator.Create(ctx, hold("while-away"))).To(Succeed(), "a hold is taken even now")
	var taken v1alpha1.LegalHold
	g.Expect(d.operator.Get(ctx, client.ObjectKey{Namespace: ns, Name: "while-away"}, &taken)).To(Succeed())
	taken.Spec.Lifted = true
	g.Expect(d.operator.Update(ctx, &taken)).To(MatchError(ContainSubstring("failed calling webhook")), "and lifting it waits")
}

// inCluster: the operator fills in the certificate of configurations that are part of the installation.
func (d *testDoor) inCluster(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	left := metav1.ObjectMeta{Name: ConfigurationName}
	g.Expect(d.operator.Delete(ctx, &admissionregistrationv1.MutatingWebhookConfiguration{ObjectMeta: left})).To(Succeed())
	g.Expect(d.operator.Delete(ctx, &admissionregistrationv1.ValidatingWebhookConfiguration{ObjectMeta: left})).To(Succeed())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	address := listener.Addr().String()
	g.Expect(listener.Close()).To(Succeed())
	_, port, err := net.SplitHostPort(address)
	g.Expect(err).NotTo(HaveOccurred())
	// There is no network of Services here: localhost stands for the Service's name.
	mutating, validating := configurations(ClusterConfigurationName, loopbackAt("https://localhost:"+port, nil))
	g.Expect(d.operator.Create(ctx, mutating)).To(Succeed())
	g.Expect(d.operator.Create(ctx, validating)).To(Succeed())

	mgr, err := ctrl.NewManager(d.config, ctrl.Options{Scheme: d.operator.Scheme(), Logger: logr.Discard(), Metrics: metricsserver.Options{BindAddress: "0"}})
	g.Expect(err).NotTo(HaveOccurred())
	running, cancel := context.WithCancel(ctx)
	g.Expect(SetupCluster(running, mgr, ClusterOptions{Address: address, DNSNames: []string{"localhost"}},
		Options{Clock: clock.RealClock{}, Keys: d.keys, Sealer: testSealer})).To(Succeed())
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(running) }()
	defer func() { cancel(); g.Expect(<-ended).To(Succeed()) }()
	g.Eventually(func() string {
		er := request("clustered", "C-1")
		if err := d.alice.Create(ctx, er, client.DryRunAll); err != nil {
			return err.Error()
		}
		st, _ := testSealer.Read("ErasureRequest", er, v1alpha1.AnnotationRequestedBy, "")
		return st.User
	}, patience, 50*time.Millisecond).Should(Equal("alice"))
	g.Expect(d.alice.Create(ctx, realRun("clustered"))).To(MatchError(ContainSubstring("spec.dryRun must be true")))
}

func TestTheInstallationHasTheWebhooksOfThisCode(t *testing.T) {
	g := NewWithT(t)
	want, err := Manifests()
	g.Expect(err).NotTo(HaveOccurred())
	got, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "webhook", "manifests.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(got)).To(Equal(string(want)), "run make generate")
	g.Expect(string(got)).To(And(ContainSubstring("name: "+ServiceName), ContainSubstring("NoneOnDryRun"), Not(ContainSubstring("caBundle: "))))
}
