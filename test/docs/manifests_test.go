package docs

import (
	"errors"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/test/harness"
)

var theCluster struct {
	sync.Once
	*harness.Cluster
	err error
}

// startCluster starts the one Kubernetes API of all tests.
func startCluster(t *testing.T) *harness.Cluster {
	t.Helper()
	theCluster.Do(func() { theCluster.Cluster, theCluster.err = harness.StartCluster() })
	if theCluster.err != nil {
		t.Fatal(theCluster.err)
	}
	return theCluster.Cluster
}

// errStop ends what the tests share.
func errStop() error {
	err := stopServers()
	if theCluster.Cluster != nil {
		err = errors.Join(err, theCluster.Stop())
	}
	return err
}

// TestManifestsAreAccepted gives every whole manifest of the documentation to the API server, CEL rules and unknown fields
// included. Blocks without apiVersion are parts of one.
func TestManifestsAreAccepted(t *testing.T) {
	cluster := startCluster(t)
	strict := client.WithFieldValidation(cluster.Client, metav1.FieldValidationStrict)
	tried := 0
	for _, b := range blocks(t, markdown(t, "README.md", "docs/*.md", "docs/*/*.md", cookbook)) {
		if b.language != "yaml" || !strings.Contains(b.text, "apiVersion: ") {
			continue
		}
		namespace, err := cluster.NewNamespace(t.Context(), "manifests")
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range strings.Split(b.text, "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(text), &object.Object); err != nil {
				t.Errorf("%s: %v", b.where(), err)
				continue
			}
			tried++
			if object.GetAPIVersion() == auditv1.SchemeGroupVersion.String() { // a file of the API server, no object
				if err := yaml.UnmarshalStrict([]byte(text), &auditv1.Policy{}); err != nil {
					t.Errorf("%s: %v", b.where(), err)
				}
				continue
			}
			object.SetNamespace(namespace)
			if err := strict.Create(t.Context(), object, client.DryRunAll); err != nil {
				t.Errorf("%s: %s %s: %v", b.where(), object.GetKind(), object.GetName(), err)
			}
		}
	}
	if tried == 0 {
		t.Error("no manifest was found")
	}
}
