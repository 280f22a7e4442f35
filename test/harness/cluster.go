// Package harness starts real parts for tests: a Kubernetes API (etcd and kube-apiserver), the operator in this process
// or as a process of its own, and stores with data.
package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	k8sruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
)

// OperatorNamespace is where the operator keeps its Secrets.
const OperatorNamespace = "lethe-system"

// Cluster is a real Kubernetes API with Lethe's CRDs.
type Cluster struct {
	Config *rest.Config
	Client client.WithWatch
	// Kubeconfig is a file for processes.
	Kubeconfig string

	environment *envtest.Environment
	folder      string
	namespaces  atomic.Int64
}

// Root is the folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// StartCluster starts etcd and kube-apiserver with Lethe's CRDs. The caller must Stop it.
func StartCluster() (*Cluster, error) {
	return startCluster(filepath.Join(Root(), "config", "crd", "bases"))
}

// StartEmptyCluster starts them without CRDs.
func StartEmptyCluster() (*Cluster, error) { return startCluster() }

func startCluster(crds ...string) (_ *Cluster, err error) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		return nil, errors.New("KUBEBUILDER_ASSETS is not set: run the tests with make test, or set it to what hack/envtest-assets.sh prints")
	}
	folder, err := os.MkdirTemp("", "lethe-cluster-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{folder: folder, environment: &envtest.Environment{
		CRDDirectoryPaths:     crds,
		ErrorIfCRDPathMissing: true,
		// A machine that has other work to do starts slowly; a start that failed is noticed at once.
		ControlPlaneStartTimeout: 2 * time.Minute,
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	if c.Config, err = c.environment.Start(); err != nil {
		return c, fmt.Errorf("start the Kubernetes API: %w", err)
	}
	c.Config.QPS, c.Config.Burst = 1000, 2000
	user, err := c.environment.AddUser(envtest.User{Name: "lethe-test", Groups: []string{"system:masters"}}, c.Config)
	if err != nil {
		return c, err
	}
	kubeconfig, err := user.KubeConfig()
	if err != nil {
		return c, err
	}
	c.Kubeconfig = filepath.Join(folder, "kubeconfig")
	if err = os.WriteFile(c.Kubeconfig, kubeconfig, 0o600); err != nil {
		return c, err
	}
	if c.Client, err = client.NewWithWatch(c.Config, client.Options{Scheme: wiring.NewScheme()}); err != nil {
		return c, err
	}
	return c, c.ensureNamespace(context.Background(), OperatorNamespace)
}

// Stop ends the Kubernetes API and removes its files.
func (c *Cluster) Stop() error {
	return errors.Join(c.environment.Stop(), os.RemoveAll(c.folder))
}

// NewNamespace makes a namespace with a name of its own.
func (c *Cluster) NewNamespace(ctx context.Context, prefix string) (string, error) {
	name := fmt.Sprintf("%s-%d", prefix, c.namespaces.Add(1))
	return name, c.ensureNamespace(ctx, name)
}

func (c *Cluster) ensureNamespace(ctx context.Context, name string) error {
	err := c.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// Clean removes Lethe's objects of a namespace, finalizers and all, so that no later operator finds them.
func (c *Cluster) Clean(ctx context.Context, namespace string) error {
	var errs []error
	for _, list := range []client.ObjectList{&v1alpha1.ErasureRequestList{}, &v1alpha1.DeletionRunList{}, &v1alpha1.LegalHoldList{},
		&v1alpha1.PersonalDataMapList{}, &v1alpha1.DataStoreList{}, &v1alpha1.RetentionPolicyList{},
		&v1alpha1.ComplianceExportList{}} {
		if err := c.Client.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return err
		}
		errs = append(errs, meta.EachListItem(list, func(o k8sruntime.Object) error {
			obj := o.(client.Object)
			if err := c.Client.Delete(ctx, obj); client.IgnoreNotFound(err) != nil {
				return err
			}
			patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
			return client.IgnoreNotFound(c.Client.Patch(ctx, obj, patch))
		}))
	}
	return errors.Join(errs...)
}
