package gitops

import (
	"fmt"
	"os"
	"testing"

	"github.com/lethe-dev/lethe/test/harness"
)

var shared *harness.Cluster

// startCluster starts the one Kubernetes API of all tests.
func startCluster(t *testing.T) *harness.Cluster {
	t.Helper()
	if shared == nil {
		cluster, err := harness.StartCluster()
		if err != nil {
			t.Fatal(err)
		}
		shared = cluster
	}
	return shared
}

// operatorNamespace is one of its own for each operator, which a state store belongs to.
func operatorNamespace(t *testing.T, cluster *harness.Cluster) string {
	t.Helper()
	name, err := cluster.NewNamespace(t.Context(), "operator")
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}
