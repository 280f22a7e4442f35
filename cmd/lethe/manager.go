package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/anchor"
	"github.com/lethe-dev/lethe/internal/notify"
	"github.com/lethe-dev/lethe/internal/operator"
	"github.com/lethe-dev/lethe/internal/tracing"
)

// managerFlags are the flags of the command manager.
type managerFlags struct {
	kubeconfig string
	localRoots []string
	verbose    bool
	tracing    bool
	// anchorTo and anchorTokenFile say where checkpoints are kept outside the cluster.
	anchorTo        []string
	anchorTokenFile string
	// eventsTo and eventsTokenFile say who is told outside the cluster what is announced.
	eventsTo, eventsTokenFile string
	operator.Options
}

// defaultLedgerPath is where the ledger is in the container.
const defaultLedgerPath = "/var/lib/lethe/ledger.db"

// maxGeneration keeps a typing error from making thousands of keys.
const maxGeneration = 1000

// minLease is the shortest lease of the vault.
const minLease = 2 * time.Second

func newManagerCommand() *cobra.Command {
	f := &managerFlags{}
	cmd := &cobra.Command{
		Use:   "manager",
		Short: "Run the operator, in a cluster or beside one",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig file; default: the cluster that this process runs in, or KUBECONFIG")
	flags.StringVar(&f.LedgerPath, "ledger-path", defaultLedgerPath, "file of the ledger and the state store")
	flags.StringVar(&f.LedgerURLFile, "ledger-url-file", "", "file, such as a mounted Secret, with a postgres:// URL: ledger and state store are in that database, and another replica can take over")
	flags.StringVar(&f.LedgerIndexPath, "ledger-index-path", "", "file of the index that answers questions about the ledger, which is built anew when it is lost; default: beside --ledger-path, or in the folder for temporary files with --ledger-url-file")
	flags.IntVar(&f.LedgerKeyGeneration, "ledger-key-generation", 1, "generation of the key that signs the ledger's checkpoints; raise it by one to rotate the key, never lower it")
	flags.DurationVar(&f.LedgerLease, "ledger-lease", 10*time.Second, "with --ledger-url-file: how long this process goes on without word from the database; another one waits a little longer before it takes over")
	flags.StringVar(&f.Namespace, "operator-namespace", defaultNamespace(), "namespace of the operator's own Secrets and its Lease")
	flags.StringSliceVar(&f.Namespaces, "namespaces", nil, "namespaces to serve, separated by commas, for an operator with rights in these alone; default: all")
	flags.StringArrayVar(&f.localRoots, "local-root", nil, "NAMESPACE=PATH: folder in which DataStores of kind sqlite and filesystem of that namespace may be; may be repeated, none by default")
	flags.StringVar(&f.MetricsAddress, "metrics-bind-address", ":8080", "address of the metrics endpoint; 0 turns it off")
	flags.StringVar(&f.ProbeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.BoolVar(&f.LeaderElection, "leader-elect", false, "elect a leader by a Lease; the ledger has one process at a time anyway")
	flags.StringVar(&f.Admission, "admission", operator.AdmissionOff, "admission webhooks: off, cluster (behind the Service of config/webhook), or loopback (served on 127.0.0.1 for an API server on this machine)")
	flags.StringVar(&f.AdmissionAddress, "admission-bind-address", "", "address of the webhooks; default 127.0.0.1:9443 on loopback, :9443 in a cluster")
	flags.StringVar(&f.AdmissionCertificates, "admission-cert-dir", "", "folder with tls.crt and tls.key for --admission cluster, for example of cert-manager; default: the operator makes a certificate and tells the API server")
	flags.DurationVar(&f.AnchorInterval, "anchor-interval", 10*time.Minute, "how often new checkpoints of the ledger are kept in a ConfigMap of the operator's namespace; 0 turns it off")
	flags.StringArrayVar(&f.anchorTo, "anchor-to", nil, "https://host/path or s3://bucket/prefix?endpoint=https://host&retention=P10Y: keep these checkpoints there too; may be repeated")
	flags.StringVar(&f.eventsTo, "events-to", "", "https://host/path: POST a CloudEvent there for each announced run of a retention rule")
	flags.StringVar(&f.eventsTokenFile, "events-token-file", "", "file with the bearer token for --events-to")
	flags.StringVar(&f.anchorTokenFile, "anchor-token-file", "", "file with the bearer token for --anchor-to https://")
	flags.StringVar(&f.ExportPath, "export-path", "", "folder in which the operator keeps exports; default: exports beside the ledger's file, and none with --ledger-url-file")
	flags.Int64Var(&f.ExportMaxBytes, "export-max-bytes", 10<<30, "how many bytes all exports in that folder may have; 0 for no bound")
	flags.StringVar(&f.ServeAddress, "serve-address", "", "address of the HTTPS endpoint that hands out exports and the ledger and explains records, for example :8443; default: none")
	flags.StringVar(&f.ServeCertificates, "serve-cert-dir", "", "folder with tls.crt and tls.key for --serve-address; default: the operator makes a certificate and shows it in the ConfigMap lethe-serving-certificate")
	flags.BoolVar(&f.AdoptState, "adopt-state", false, "take over a cluster that another state store was used with; only after that store was lost for good")
	flags.BoolVar(&f.tracing, "tracing", false, "send OpenTelemetry traces of runs by OTLP over HTTP to where OTEL_EXPORTER_OTLP_ENDPOINT says")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "log more")
	cmd.MarkFlagsMutuallyExclusive("ledger-path", "ledger-url-file")
	return cmd
}

func defaultNamespace() string {
	if ns := os.Getenv("POD_NAMESPACE"); ns != "" {
		return ns
	}
	return "lethe-system"
}

func (f *managerFlags) run(ctx context.Context) error {
	log := f.logger()
	ctrl.SetLogger(log)
	klog.SetLogger(log.WithName("client"))
	config, err := f.restConfig()
	if err != nil {
		return err
	}
	if f.LocalRoots, err = parseLocalRoots(f.localRoots); err != nil {
		return err
	}
	if err := f.checkAdmission(); err != nil {
		return err
	}
	if err := errors.Join(f.openPlaces(), f.openOutside()); err != nil {
		return err
	}
	if f.LedgerKeyGeneration < 1 || f.LedgerKeyGeneration > maxGeneration {
		return fmt.Errorf("--ledger-key-generation must be 1 to %d", maxGeneration)
	}
	if f.LedgerLease < minLease {
		return fmt.Errorf("--ledger-lease must be at least %s: a busy machine pauses a process for longer", minLease)
	}
	if f.tracing {
		stop, err := tracing.Export(ctx, log.WithName("tracing"), version)
		if err != nil {
			return err
		}
		defer func() {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = stop(last)
		}()
	}
	f.Pod, f.Version = os.Getenv("POD_NAME"), version
	f.Scheme, f.Log, f.Openers, f.OpenVault = wiring.NewScheme(), log, wiring.Openers(), wiring.OpenVault
	return operator.Run(ctx, config, f.Options)
}

// openPlaces makes the places of --anchor-to.
func (f *managerFlags) openPlaces() error {
	if len(f.anchorTo) > 0 && f.AnchorInterval <= 0 {
		return errors.New("--anchor-to needs an --anchor-interval")
	}
	for _, text := range f.anchorTo {
		place, err := anchor.Open(text, anchor.Options{TokenFile: f.anchorTokenFile, Now: clock.RealClock{}.Now})
		if err != nil {
			return fmt.Errorf("--anchor-to: %w", err)
		}
		f.AnchorPlaces = append(f.AnchorPlaces, place)
	}
	return nil
}

// openOutside makes the endpoint of --events-to.
func (f *managerFlags) openOutside() error {
	if f.eventsTo == "" {
		if f.eventsTokenFile != "" {
			return errors.New("--events-token-file needs --events-to")
		}
		return nil
	}
	endpoint, err := notify.Open(f.eventsTo, f.eventsTokenFile)
	if err != nil {
		return fmt.Errorf("--events-to: %w", err)
	}
	f.Outside = endpoint
	return nil
}

// checkAdmission refuses what does not go together, and fills in the address.
func (f *managerFlags) checkAdmission() error {
	address := ""
	switch f.Admission {
	case operator.AdmissionOff:
	case operator.AdmissionLoopback:
		address = "127.0.0.1:9443"
	case operator.AdmissionCluster:
		address = ":9443"
	default:
		return fmt.Errorf("--admission must be %s, %s or %s", operator.AdmissionOff, operator.AdmissionLoopback, operator.AdmissionCluster)
	}
	if f.AdmissionCertificates != "" && f.Admission != operator.AdmissionCluster {
		return fmt.Errorf("--admission-cert-dir is for --admission %s", operator.AdmissionCluster)
	}
	if f.AdmissionAddress == "" {
		f.AdmissionAddress = address
	}
	return nil
}

func (f *managerFlags) logger() logr.Logger {
	level := zapcore.InfoLevel
	if f.verbose {
		level = zapcore.DebugLevel
	}
	return zap.New(zap.Level(level), zap.JSONEncoder())
}

func (f *managerFlags) restConfig() (*rest.Config, error) {
	if f.kubeconfig == "" {
		return ctrl.GetConfig()
	}
	return clientcmd.BuildConfigFromFlags("", f.kubeconfig)
}

// parseLocalRoots reads NAMESPACE=PATH; the path must be an existing folder.
func parseLocalRoots(values []string) (map[string]string, error) {
	roots := map[string]string{}
	for _, v := range values {
		namespace, path, ok := strings.Cut(v, "=")
		if !ok || namespace == "" || path == "" {
			return nil, fmt.Errorf("--local-root %s: must be NAMESPACE=PATH", v)
		}
		if _, twice := roots[namespace]; twice {
			return nil, fmt.Errorf("--local-root: namespace %s is given twice", namespace)
		}
		real, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("--local-root %s: %w", v, err)
		}
		if info, err := os.Stat(real); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("--local-root %s: there is no such folder", v)
		}
		roots[namespace] = real
	}
	return roots, nil
}
