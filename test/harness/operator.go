package harness

import (
	"cmp"
	"context"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/controller"
	"github.com/lethe-dev/lethe/internal/operator"
)

// Operator is an operator that runs in this process.
type Operator struct {
	cancel context.CancelFunc
	done   chan error
	once   sync.Once
	err    error
	Logs   *Buffer

	endpoint chan net.Addr
}

// Endpoint waits for the address of the endpoint that hands out exports.
func (o *Operator) Endpoint(t testing.TB) string {
	t.Helper()
	select {
	case a := <-o.endpoint:
		o.endpoint <- a
		return "https://" + a.String()
	case <-time.After(30 * time.Second):
		t.Fatal("the endpoint does not listen")
		return ""
	}
}

// OperatorOptions say how an operator runs; zero values are the real thing.
type OperatorOptions struct {
	// Folder of ledger and state store.
	Folder string
	// LedgerURLFile leads to a PostgreSQL database that they are in instead.
	LedgerURLFile string
	LedgerLease   time.Duration
	LocalRoots    map[string]string
	Clock         clock.PassiveClock
	Witness       controller.Witness
	// Namespace of the operator's own Secrets. Default OperatorNamespace.
	Namespace string
	// Namespaces that it serves; none means all.
	Namespaces []string
	// Pod is the operator's own, which Jobs are made from.
	Pod string
	// MayFail is set by tests in which the operator is expected to end with an error.
	MayFail bool
	// AnchorInterval is how often checkpoints are kept outside the ledger; 0 for never.
	AnchorInterval time.Duration
	// AnchorPlaces keep them outside the cluster.
	AnchorPlaces []controller.Place
	// Outside is told what is announced.
	Outside controller.Outside
	// AdoptState takes over a cluster that another state store was used with.
	AdoptState bool
	// LedgerKeyGeneration says which key of the ledger signs.
	LedgerKeyGeneration int
	// ExportMaxBytes bounds the exports that the operator keeps; 0 does not.
	ExportMaxBytes int64
	// ExportPath is where they are. Default: beside the ledger.
	ExportPath string
	// Serve makes the endpoint that hands out exports listen on a loopback address, which Operator.Endpoint tells.
	Serve bool
	// Metrics and Probes are addresses to serve them at; empty for none.
	Metrics, Probes string
	// Admission serves the webhooks on a loopback address. The configuration of the client must be allowed to install them.
	Admission bool
	// AdmissionInCluster serves them behind the Service of the installation instead.
	AdmissionInCluster bool
}

// StartOperator runs the operator in this process until the test ends or it is stopped.
func StartOperator(t testing.TB, config *rest.Config, o OperatorOptions) *Operator {
	t.Helper()
	if o.Namespace == "" {
		o.Namespace = OperatorNamespace
	}
	logs := &Buffer{}
	log := zap.New(zap.WriteTo(logs), zap.UseDevMode(false))
	setLogger.Do(func() { ctrl.SetLogger(logr.Discard()) })
	ctx, cancel := context.WithCancel(context.Background())
	op := &Operator{cancel: cancel, done: make(chan error, 1), Logs: logs}
	options := operator.Options{
		Scheme: wiring.NewScheme(), Log: log, Openers: wiring.Openers(), OpenVault: wiring.OpenVault, LocalRoots: o.LocalRoots,
		LedgerPath: filepath.Join(o.Folder, "ledger.db"), LedgerURLFile: o.LedgerURLFile, LedgerLease: o.LedgerLease, Namespace: o.Namespace, Namespaces: o.Namespaces, Pod: o.Pod,
		MetricsAddress: cmp.Or(o.Metrics, "0"), ProbeAddress: cmp.Or(o.Probes, "0"), Admission: operator.AdmissionOff, Clock: o.Clock, Witness: o.Witness,
		ResidueInterval: 200 * time.Millisecond, SkipNameValidation: true, AdoptState: o.AdoptState, AnchorInterval: o.AnchorInterval, AnchorPlaces: o.AnchorPlaces, LedgerKeyGeneration: o.LedgerKeyGeneration,
		Version: "test", ExportPath: o.ExportPath, ExportMaxBytes: o.ExportMaxBytes, Outside: o.Outside,
	}
	if o.Admission {
		options.Admission, options.AdmissionAddress = operator.AdmissionLoopback, "127.0.0.1:0"
	}
	if o.AdmissionInCluster {
		options.Admission, options.AdmissionAddress = operator.AdmissionCluster, "127.0.0.1:0"
	}
	if o.Serve {
		op.endpoint = make(chan net.Addr, 1)
		options.ServeAddress, options.ServeListening = "127.0.0.1:0", func(a net.Addr) { op.endpoint <- a }
	}
	go func() { op.done <- operator.Run(ctx, rest.CopyConfig(config), options) }()
	t.Cleanup(func() {
		if err := op.Stop(); err != nil && !o.MayFail && !t.Failed() {
			t.Errorf("the operator ended with an error: %v", err)
		}
		if t.Failed() {
			t.Logf("operator log:\n%s", logs.Problems())
		}
	})
	return op
}

var setLogger sync.Once

// Stop ends the operator and waits for it.
func (o *Operator) Stop() error {
	o.cancel()
	return o.Wait()
}

// Wait waits until the operator has ended by itself.
func (o *Operator) Wait() error {
	o.once.Do(func() { o.err = <-o.done })
	return o.err
}

// Buffer is a text that several goroutines may write.
type Buffer struct {
	mu   sync.Mutex
	text []byte
}

// Write appends.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

// Problems are the lines that are not information.
func (b *Buffer) Problems() string {
	var lines []string
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(line, `"level":"info"`) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

// String is all that was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
