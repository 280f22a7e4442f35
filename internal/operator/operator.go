// Package operator puts the parts together: vault, stores, controllers and probes in one manager.
package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/controller"
	"github.com/lethe-dev/lethe/internal/executor"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/metrics"
	"github.com/lethe-dev/lethe/internal/observe"
	"github.com/lethe-dev/lethe/internal/projection"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/internal/sweeper"
	webhookv1alpha1 "github.com/lethe-dev/lethe/internal/webhook/v1alpha1"
)

// Values of Options.Admission.
const (
	AdmissionOff      = "off"
	AdmissionLoopback = "loopback"
	AdmissionCluster  = "cluster"
)

// lockRetry is how often a process that does not have the vault tries to get it.
const lockRetry = 2 * time.Second

var (
	// ErrLocked means that another process has the vault open.
	ErrLocked = errors.New("ledger and state store are in use by another process")
	// ErrUnavailable means that the vault's database cannot be reached at the moment.
	ErrUnavailable = errors.New("the database of ledger and state store cannot be reached")
)

// Options of an operator.
type Options struct {
	Scheme     *runtime.Scheme
	Log        logr.Logger
	Openers    stores.Openers
	OpenVault  func(context.Context, VaultOptions) (*Vault, error)
	LocalRoots map[string]string

	// LedgerPath is the file of an embedded vault. With LedgerURLFile, a file that holds a postgres:// URL, the vault is there.
	LedgerPath, LedgerURLFile string
	// LedgerIndexPath is the file of the index that answers questions about the ledger. Default: beside LedgerPath, or a
	// temporary one.
	LedgerIndexPath string
	// LedgerKeyGeneration says which key of the ledger signs: raising it rotates the key. Default 1.
	LedgerKeyGeneration int
	// LedgerLease is how long this process may go on without word from the server of the vault.
	LedgerLease time.Duration

	// Namespace of the operator's own objects. Namespaces are those that it serves; none means all.
	Namespace  string
	Namespaces []string
	// Version of the program, for those who look at its metrics.
	Version string
	// Pod is the operator's own, which the Pods of Jobs are made from; empty outside of a cluster.
	Pod                          string
	MetricsAddress, ProbeAddress string
	LeaderElection               bool
	Admission, AdmissionAddress  string
	AdmissionCertificates        string
	AdoptState                   bool
	// AnchorInterval is how often checkpoints of the ledger are kept outside of it; 0 for never.
	AnchorInterval time.Duration
	// AnchorPlaces keep them outside the cluster too.
	AnchorPlaces []controller.Place
	// Outside is told what is announced. Optional.
	Outside controller.Outside

	// ExportPath is the folder of exports that the operator keeps; empty is the folder exports beside an embedded vault, and
	// none beside one in PostgreSQL. ExportMaxBytes bounds what is in it; 0 does not.
	ExportPath     string
	ExportMaxBytes int64
	// ServeAddress of the endpoint that hands out exports; empty for none. ServeCertificates is a folder with tls.crt and
	// tls.key; by default the operator makes a certificate and shows it in a ConfigMap.
	ServeAddress, ServeCertificates string
	// ServeListening, if set, is told the address that is listened on.
	ServeListening func(net.Addr)

	// Clock of the process. Default: the real one.
	Clock clock.PassiveClock
	// Witness is the second clock. Default: the API server's.
	Witness controller.Witness
	// ResidueInterval is how often due residues are looked for. Default 30 s.
	ResidueInterval time.Duration
	// SkipNameValidation lets several operators run in one process, for tests.
	SkipNameValidation bool
}

// VaultOptions say where the vault is.
type VaultOptions struct {
	LedgerPath, LedgerURLFile, LedgerIndexPath, LogName string
	LedgerLease                                         time.Duration
	Signer                                              *ledger.Signer
	// Rotations lead from the keys before to the signer's.
	Rotations []ledger.Rotation
}

// Vault is the ledger with the state store beside it.
type Vault struct {
	State  state.Store
	Ledger ledger.Log
	// Index answers questions about the ledger. What is wrong with it concerns those who ask.
	Index projection.Reader
	// Close releases all of them.
	Close func() error
	// Lost, if set, is closed when this process may no longer write; Err tells why.
	Lost <-chan struct{}
	Err  func() error
}

// Run runs the operator until the context ends.
func Run(ctx context.Context, restConfig *rest.Config, o Options) error {
	restConfig = named(restConfig)
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	direct, err := client.New(restConfig, client.Options{Scheme: o.Scheme})
	if err != nil {
		return fmt.Errorf("the Kubernetes API: %w", err)
	}
	if err := begin(ctx, restConfig, direct, o); err != nil {
		if ctx.Err() != nil {
			return nil // it was asked to end
		}
		return err
	}
	if o.Witness == nil {
		o.Witness = controller.APIServerClock{Client: direct}
	}
	vault, keyStore, opened, err := waitForVault(ctx, direct, o)
	if err != nil {
		if ctx.Err() != nil {
			return nil // it was asked to end while it waited
		}
		return err
	}
	defer func() {
		if err := vault.Close(); err != nil {
			o.Log.Info("the vault was not closed cleanly")
		}
	}()
	// Whoever lost the vault stops at once. The process ends, is started anew and waits for the vault like any other.
	ctx, stop := vault.while(ctx)
	defer stop()
	err = serve(ctx, restConfig, direct, o, vault, keyStore, opened)
	if lost := vault.lost(); lost != nil {
		return fmt.Errorf("the ledger and state store: %w", lost)
	}
	return err
}

// FieldManager is what the operator is called in the managedFields of what it writes, whatever its program is called.
const FieldManager = "lethe"

func named(restConfig *rest.Config) *rest.Config {
	c := rest.CopyConfig(restConfig)
	c.UserAgent = FieldManager
	return c
}

// serve runs controllers and webhooks.
func serve(ctx context.Context, restConfig *rest.Config, direct client.Client, o Options, vault *Vault, keyStore keys.Store, opened VaultOptions) error {
	if err := bindState(ctx, direct, o.Namespace, vault.State.ID(), o.AdoptState); err != nil {
		return err
	}
	sealer, err := newSealer(ctx, keyStore, o.Namespace)
	if err != nil {
		return err
	}
	observer := observe.New(o.Clock)
	mgr, err := newManager(restConfig, o, observer)
	if err != nil {
		return err
	}
	forget, err := watch(ctx, mgr, o, vault, observer)
	if err != nil {
		return err
	}
	defer forget()
	anchors, err := setupAnchors(ctx, mgr, direct, o, vault, opened)
	if err != nil {
		return err
	}
	pool := stores.NewPool(mgr.GetClient(), mgr.GetAPIReader(), o.Openers, o.LocalRoots, o.Clock, o.Log.WithName("stores"))
	defer func() { _ = pool.Close() }()
	storage, err := openStorage(o)
	if err != nil {
		return err
	}
	if storage != nil {
		defer func() { _ = storage.Close() }()
	}
	entries := &journal.Journal{Ledger: vault.Ledger, State: vault.State, Clock: o.Clock, Problem: anchors.Problem}
	rotateLogs(ctx, o.Log.WithName("ledger"), entries, opened.Rotations)
	sweeps := &sweeper.Sweeper{Stores: pool, State: vault.State, Journal: entries, Keys: keyStore, Clock: o.Clock}
	if err := register(ctx, mgr, direct, o, vault, keyStore, pool, sealer, sweeps, entries); err != nil {
		return err
	}
	if err := setupExports(mgr, o, vault, exportParts{direct: direct, keys: keyStore, storage: storage, pool: pool, sealer: sealer, entries: entries, ledgerName: opened.Signer.Name()}); err != nil {
		return err
	}
	counts := &controller.RuleCounts{Client: mgr.GetClient(), Sweeper: sweeps, Clock: o.Clock}
	if err := setupAdmission(ctx, mgr, o, webhookv1alpha1.Options{Keys: keyStore, Sealer: sealer, Journal: entries, RuleCounts: counts.Of}); err != nil {
		return err
	}
	// Once the caches are filled, as the webhooks.
	if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return showRole(ctx, direct, o, roleActive) })); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

// setupAnchors holds the ledger against what was kept of it outside, and has that kept up.
func setupAnchors(ctx context.Context, mgr ctrl.Manager, direct client.Client, o Options, vault *Vault, opened VaultOptions) (*controller.Anchors, error) {
	anchors := &controller.Anchors{Client: direct, Reader: direct, Namespace: o.Namespace, Ledger: vault.Ledger, Signer: opened.Signer, Rotations: opened.Rotations,
		Clock: clock.RealClock{}, Log: o.Log.WithName("anchors"), Interval: o.AnchorInterval, Places: o.AnchorPlaces}
	if o.AdoptState {
		if err := anchors.Supersede(ctx); err != nil {
			return nil, err
		}
	}
	if err := anchors.Load(ctx); err != nil {
		return nil, err
	}
	if o.AnchorInterval > 0 {
		if err := mgr.Add(anchors); err != nil {
			return nil, err
		}
	}
	return anchors, nil
}

// watch has metrics made of what there is, until forget is called.
func watch(ctx context.Context, mgr ctrl.Manager, o Options, vault *Vault, observer *observe.Observer) (forget func(), err error) {
	if err := metrics.Register(ctrlmetrics.Registry); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if o.Version != "" {
		metrics.BuildInfo.WithLabelValues(o.Version).Set(1)
	}
	if err := observer.Follow(ctx, mgr.GetCache()); err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return observer.Register(ctrlmetrics.Registry, vault.Ledger)
}

func newManager(restConfig *rest.Config, o Options, observer *observe.Observer) (ctrl.Manager, error) {
	var namespaces map[string]cache.Config // none means all
	for _, namespace := range o.Namespaces {
		if namespaces == nil {
			namespaces = map[string]cache.Config{}
		}
		namespaces[namespace] = cache.Config{}
	}
	mgr, err := ctrl.NewManager(restConfig, ctrl.Options{
		Scheme:                        o.Scheme,
		Logger:                        o.Log,
		Metrics:                       metricsserver.Options{BindAddress: o.MetricsAddress, ExtraHandlers: map[string]http.Handler{"/storez": observer.StoresHandler()}},
		HealthProbeBindAddress:        o.ProbeAddress,
		LeaderElection:                o.LeaderElection,
		LeaderElectionID:              "lethe.privacy.lethe.dev",
		LeaderElectionNamespace:       o.Namespace,
		LeaderElectionReleaseOnCancel: true,
		// Secrets are read one by one and never cached.
		Client: client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}, &corev1.Namespace{}, &corev1.ConfigMap{}}}},
		Cache: cache.Options{DefaultTransform: cache.TransformStripManagedFields(), DefaultNamespaces: namespaces,
			ByObject: map[client.Object]cache.ByObject{&v1alpha1.ErasureRequest{}: {Transform: controller.LeanRequest}}},
		Controller: config.Controller{SkipNameValidation: &o.SkipNameValidation},
	})
	if err != nil {
		return nil, fmt.Errorf("manager: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, nil
}

// register adds the controllers.
func register(ctx context.Context, mgr ctrl.Manager, direct client.Client, o Options, vault *Vault, keyStore keys.Store, pool *stores.Pool, sealer *stamp.Sealer,
	sweeps *sweeper.Sweeper, entries *journal.Journal,
) error {
	admission := verifiesApprovers(o.Admission)
	c, recorder := mgr.GetClient(), mgr.GetEventRecorder("lethe")
	pseudonyms := &controller.Pseudonyms{Keys: keyStore}
	governance := &controller.Governance{Journal: entries, Stamps: sealer}
	exec := &executor.Executor{Stores: pool, State: vault.State, Journal: entries, Keys: keyStore, Clock: o.Clock}
	identities := &controller.Identities{Client: c, Secrets: mgr.GetAPIReader(), Stores: pool, Pseudonyms: pseudonyms}
	requests := &controller.Requests{Client: c, Keys: keyStore, Journal: entries, Identities: identities}
	noJobs := delegate(sweeps, direct, o, vault)
	kill := &controller.KillSwitch{Live: mgr.GetAPIReader(), Namespace: o.Namespace, Clock: o.Clock}
	written := newWritable(vault.State)
	err := errors.Join(
		mgr.AddReadyzCheck("ledger", func(req *http.Request) error { return vault.ready(req.Context(), written) }),
		mgr.AddReadyzCheck("cache", func(req *http.Request) error {
			ctx, cancel := context.WithTimeout(req.Context(), time.Second)
			defer cancel()
			if !mgr.GetCache().WaitForCacheSync(ctx) {
				return errors.New("the caches are not filled yet")
			}
			return nil
		}),
		(&controller.DataStoreReconciler{Client: c, Pool: pool, State: vault.State, Recorder: recorder, Governance: governance}).SetupWithManager(mgr),
		(&controller.PersonalDataMapReconciler{Client: c, Pool: pool, State: vault.State, Recorder: recorder, Governance: governance}).SetupWithManager(mgr),
		(&controller.RetentionPolicyReconciler{Client: c, State: vault.State, Sweeper: sweeps, Clock: o.Clock, Witness: o.Witness, Recorder: recorder,
			Admission: admission, Governance: governance, NoJobs: noJobs, Kill: kill}).SetupWithManager(mgr),
		(&controller.LegalHoldReconciler{Client: c, State: vault.State, Journal: entries, Pseudonyms: pseudonyms, Clock: o.Clock, Recorder: recorder, Stamps: sealer,
			Governance: governance}).SetupWithManager(mgr),
		(&controller.ErasureRequestReconciler{Client: c, Secrets: mgr.GetAPIReader(), State: vault.State, Journal: entries, Keys: keyStore,
			Pseudonyms: pseudonyms, Identities: identities, Stores: pool, Clock: o.Clock, Witness: o.Witness, Recorder: recorder, Admission: admission, Stamps: sealer}).SetupWithManager(ctx, mgr),
		(&controller.DeletionRunReconciler{Client: c, Secrets: mgr.GetAPIReader(), State: vault.State, Executor: exec, Pseudonyms: pseudonyms, Identities: identities,
			Clock: o.Clock, Recorder: recorder, Sweeper: sweeps, Witness: o.Witness, Kill: kill, Outside: o.Outside, Requests: requests, Stamps: sealer}).SetupWithManager(ctx, mgr),
		mgr.Add(kill),
		mgr.Add(&controller.ConsentWatch{Client: c, Stores: pool, Requests: requests, Clock: o.Clock, Witness: o.Witness, Log: o.Log.WithName("consent"), Interval: o.ResidueInterval}),
		mgr.Add(&controller.ResidueWatch{Client: c, State: vault.State, Clock: o.Clock, Witness: o.Witness, Log: o.Log.WithName("residue"), Interval: o.ResidueInterval}),
	)
	if err != nil {
		return fmt.Errorf("controllers: %w", err)
	}
	return nil
}
