// Package observability tests what watches Lethe: metrics and their reference, alerts, dashboard, probes, logs and traces.
package observability

import (
	"fmt"
	"os"
	"testing"

	"github.com/lethe-dev/lethe/test/harness"
)

// cluster is the Kubernetes API of all tests.
var cluster *harness.Cluster

func TestMain(m *testing.M) {
	var err error
	if cluster, err = harness.StartCluster(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := cluster.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
