package operator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/keys"
	keyskubernetes "github.com/lethe-dev/lethe/internal/keys/kubernetes"
)

const (
	// stateBinding is the ConfigMap in the operator's namespace that names the one state store of this cluster.
	stateBinding    = "lethe-state-store"
	stateBindingKey = "id"
	// publishedKey is the ConfigMap in the operator's namespace with the key that the ledger's checkpoints are verified with.
	publishedKey    = "lethe-ledger-key"
	publishedKeyKey = "key"
	// publishedFormer has the keys before it, and publishedChain the statements of each two that one follows the other.
	publishedFormer, publishedChain = "former", "chain"
)

// waitForVault opens the vault, and waits, alive but not ready, while another process has it.
func waitForVault(ctx context.Context, c client.Client, o Options) (*Vault, keys.Store, VaultOptions, error) {
	keyStore := keyskubernetes.New(c, c, o.Namespace)
	opts, err := vaultOptions(ctx, c, keyStore, o)
	if err == nil {
		err = publishKey(ctx, c, o.Namespace, opts)
	}
	if err != nil {
		return nil, nil, opts, err
	}
	waiting := waiting{log: o.Log, address: o.ProbeAddress, takesTurns: o.takesTurns()}
	defer waiting.end()
	for {
		vault, err := o.OpenVault(ctx, opts)
		if err == nil {
			return vault, keyStore, opts, nil
		}
		if !errors.Is(err, ErrLocked) && !errors.Is(err, ErrUnavailable) {
			return nil, nil, opts, fmt.Errorf("the ledger and state store: %w", err)
		}
		if err := waiting.because(ctx, err); err != nil {
			return nil, nil, opts, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, opts, ctx.Err()
		case <-clock.RealClock{}.After(lockRetry): // an injected clock tells what time it is, not how fast it passes
		}
	}
}

// while returns a context that ends, at the latest, when this process may no longer write.
func (v *Vault) while(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := context.WithCancel(ctx)
	go func() {
		select {
		case <-v.Lost: // for ever, where a vault cannot be lost
			stop()
		case <-ctx.Done():
		}
	}()
	return ctx, stop
}

// lost is why this process may no longer write, nil while it may.
func (v *Vault) lost() error {
	if v.Err == nil {
		return nil
	}
	return v.Err()
}

// vaultOptions names the ledger after the cluster, or after the operator's namespace where it may see no other, and makes its
// key, once.
func vaultOptions(ctx context.Context, c client.Client, keyStore keys.Store, o Options) (VaultOptions, error) {
	namesake := metav1.NamespaceSystem
	if len(o.Namespaces) > 0 {
		namesake = o.Namespace
	}
	var namespace corev1.Namespace
	if err := c.Get(ctx, client.ObjectKey{Name: namesake}, &namespace); err != nil {
		return VaultOptions{}, fmt.Errorf("the identity of the installation, which is that of namespace %s: %w", namesake, err)
	}
	logName := "lethe.dev/" + string(namespace.UID)
	signer, rotations, err := signers(ctx, keyStore, o.Namespace, logName, max(o.LedgerKeyGeneration, 1))
	if err != nil {
		return VaultOptions{}, err
	}
	return VaultOptions{LedgerPath: o.LedgerPath, LedgerURLFile: o.LedgerURLFile, LedgerIndexPath: o.LedgerIndexPath, LedgerLease: o.LedgerLease, LogName: logName, Signer: signer,
		Rotations: rotations}, nil
}

// waiting is what a process says while it does not have the vault: alive, why, and ready only if it may take over one day.
type waiting struct {
	log        logr.Logger
	address    string
	takesTurns bool
	probes     *http.Server
	reason     atomic.Pointer[string]
	standby    atomic.Bool
}

// because notes why, and tells it when it changes.
func (w *waiting) because(ctx context.Context, err error) error {
	reason := "another process has the ledger"
	if errors.Is(err, ErrUnavailable) {
		reason = "the ledger's database cannot be reached"
	}
	standby := w.takesTurns && errors.Is(err, ErrLocked)
	w.standby.Store(standby)
	if before := w.reason.Swap(&reason); before == nil || *before != reason {
		state := "; this one waits and is not ready"
		if standby {
			state = "; this one waits to take over"
		}
		w.log.Info(reason+state, "cause", err.Error())
	}
	if w.probes != nil || w.address == "" || w.address == "0" {
		return nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", w.address)
	if err != nil {
		return fmt.Errorf("the health probes' address: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusOK) })
	mux.HandleFunc("/readyz", func(rw http.ResponseWriter, _ *http.Request) {
		if w.standby.Load() {
			_, _ = rw.Write([]byte("standby: " + *w.reason.Load()))
			return
		}
		http.Error(rw, *w.reason.Load(), http.StatusServiceUnavailable)
	})
	w.probes = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = w.probes.Serve(listener) }()
	return nil
}

func (w *waiting) end() {
	if w.probes != nil {
		_ = w.probes.Close()
	}
}

// bindState makes sure that this cluster is served with the one state store that knows its schedules: an operator with
// an empty or another one would begin anew what is under way.
func bindState(ctx context.Context, c client.Client, namespace, id string, adopt bool) error {
	binding := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: stateBinding, Namespace: namespace}, Data: map[string]string{stateBindingKey: id}}
	err := c.Create(ctx, binding)
	if err == nil {
		return nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("the ConfigMap %s in namespace %s: %w", stateBinding, namespace, err)
	}
	if err := c.Get(ctx, client.ObjectKeyFromObject(binding), binding); err != nil {
		return fmt.Errorf("the ConfigMap %s in namespace %s: %w", stateBinding, namespace, err)
	}
	if binding.Data[stateBindingKey] == id {
		return nil
	}
	if !adopt {
		return fmt.Errorf("this cluster is served with another state store (%s, this one is %s): give the operator its volume back, or, if it is lost for good, start once with --adopt-state",
			binding.Data[stateBindingKey], id)
	}
	binding.Data = map[string]string{stateBindingKey: id}
	return c.Update(ctx, binding)
}

// publishKey shows the public keys of the ledger to those who verify: they keep them, with checkpoints, where this cluster's
// administrators cannot reach. What is shown of a key that was rotated is not lost: the new one must follow it.
func publishKey(ctx context.Context, c client.Client, namespace string, opts VaultOptions) error {
	data := map[string]string{publishedKeyKey: opts.Signer.VerifierKey() + "\n"}
	for _, r := range opts.Rotations {
		data[publishedFormer] += r.From.String() + "\n"
		data[publishedChain] += string(r.Note) + "\n"
	}
	return publish(ctx, c, namespace, publishedKey, data, func(before map[string]string) error {
		key := before[publishedKeyKey]
		if len(opts.Rotations) > 0 && key != "" && !strings.Contains(data[publishedKeyKey]+data[publishedFormer], key) {
			return fmt.Errorf("it shows a key that none of the Secrets of the ledger's generations 1 to %d has: restore the right Secrets before the key is rotated",
				len(opts.Rotations)+1)
		}
		return nil
	})
}

// publish shows something in a ConfigMap of the operator's namespace, if what was shown before may be replaced.
func publish(ctx context.Context, c client.Client, namespace, name string, data map[string]string, replaces func(before map[string]string) error) error {
	shown := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, Data: data}
	err := c.Create(ctx, shown)
	if apierrors.IsAlreadyExists(err) {
		before := &corev1.ConfigMap{}
		if err = c.Get(ctx, client.ObjectKeyFromObject(shown), before); err == nil && !maps.Equal(before.Data, data) {
			if err = replaces(before.Data); err == nil {
				before.Data = data
				err = c.Update(ctx, before)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("the ConfigMap %s in namespace %s: %w", name, namespace, err)
	}
	return nil
}
