package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/keys"
	keyskubernetes "github.com/lethe-dev/lethe/internal/keys/kubernetes"
	"github.com/lethe-dev/lethe/internal/ledger"
)

const (
	// stateBinding is the ConfigMap in the operator's namespace that names the one state store of this cluster.
	stateBinding    = "lethe-state-store"
	stateBindingKey = "id"
	// publishedKey is the ConfigMap in the operator's namespace with the key that the ledger's checkpoints are verified with.
	publishedKey    = "lethe-ledger-key"
	publishedKeyKey = "key"
)

// waitForVault opens the vault, and waits, alive but not ready, while another process has it.
func waitForVault(ctx context.Context, c client.Client, o Options) (*Vault, keys.Store, *ledger.Signer, error) {
	keyStore := keyskubernetes.New(c, c, o.Namespace)
	opts, err := vaultOptions(ctx, c, keyStore, o)
	if err == nil {
		err = publishKey(ctx, c, o.Namespace, opts.Signer.VerifierKey())
	}
	if err != nil {
		return nil, nil, nil, err
	}
	var probes *http.Server
	defer func() {
		if probes != nil {
			_ = probes.Close()
		}
	}()
	for {
		vault, err := o.OpenVault(ctx, opts)
		if err == nil {
			return vault, keyStore, opts.Signer, nil
		}
		if !errors.Is(err, ErrLocked) {
			return nil, nil, nil, fmt.Errorf("the ledger and state store: %w", err)
		}
		if probes == nil {
			o.Log.Info("another process has the ledger; this one waits and is not ready", "ledger", o.LedgerPath)
			if probes, err = serveUnready(ctx, o.ProbeAddress); err != nil {
				return nil, nil, nil, err
			}
		}
		select {
		case <-ctx.Done():
			return nil, nil, nil, ctx.Err()
		case <-clock.RealClock{}.After(lockRetry): // an injected clock tells what time it is, not how fast it passes
		}
	}
}

// vaultOptions names the ledger after the cluster and makes its key, once.
func vaultOptions(ctx context.Context, c client.Client, keyStore keys.Store, o Options) (VaultOptions, error) {
	var system corev1.Namespace
	if err := c.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return VaultOptions{}, fmt.Errorf("the cluster's identity: %w", err)
	}
	logName := "lethe.dev/" + string(system.UID)
	seed, err := keyStore.Ensure(ctx, keys.ID{Purpose: keys.Ledger, Namespace: o.Namespace, Name: "signing"})
	if err != nil {
		return VaultOptions{}, fmt.Errorf("the ledger's key in namespace %s: %w", o.Namespace, err)
	}
	signer, err := ledger.NewSigner(logName, seed)
	if err != nil {
		return VaultOptions{}, err
	}
	return VaultOptions{LedgerPath: o.LedgerPath, LogName: logName, Signer: signer}, nil
}

// serveUnready answers the probes truthfully while there is no manager yet.
func serveUnready(ctx context.Context, address string) (*http.Server, error) {
	if address == "" || address == "0" {
		return nil, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the health probes' address: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "another process has the ledger", http.StatusServiceUnavailable)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	return server, nil
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

// publishKey shows the public key of the ledger to those who verify: they keep it, with checkpoints, where this cluster's
// administrators cannot reach.
func publishKey(ctx context.Context, c client.Client, namespace, key string) error {
	shown := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: publishedKey, Namespace: namespace}, Data: map[string]string{publishedKeyKey: key + "\n"}}
	err := c.Create(ctx, shown)
	if apierrors.IsAlreadyExists(err) {
		before := &corev1.ConfigMap{}
		if err = c.Get(ctx, client.ObjectKeyFromObject(shown), before); err == nil && before.Data[publishedKeyKey] != shown.Data[publishedKeyKey] {
			before.Data = shown.Data
			err = c.Update(ctx, before)
		}
	}
	if err != nil {
		return fmt.Errorf("the ConfigMap %s in namespace %s: %w", publishedKey, namespace, err)
	}
	return nil
}
