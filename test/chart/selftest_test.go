package chart

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

// kubeconfig writes a file for what a configuration may do.
func kubeconfig(t *testing.T, config *rest.Config) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{"c": {Server: config.Host, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {Token: config.BearerToken}},
		Contexts:  map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}}, CurrentContext: "x",
	}, file)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestSelftestTellsWhetherAdmissionWorks: with the account, the role and the arguments that `helm test` has.
func TestSelftestTellsWhetherAdmissionWorks(t *testing.T) {
	cluster, err := harness.StartCluster()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Stop() })
	lethe, err := harness.BuildLethe(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := installed{cluster, t}
	o := mustRender(t)
	pod := as[corev1.Pod](t, o, "Pod lethe-selftest")
	c.must(c.Client.Create(t.Context(), as[corev1.ServiceAccount](t, o, "ServiceAccount lethe-selftest")))
	c.must(c.Client.Create(t.Context(), as[rbacv1.Role](t, o, "Role lethe-selftest")))
	c.must(c.Client.Create(t.Context(), as[rbacv1.RoleBinding](t, o, "RoleBinding lethe-selftest")))
	file := kubeconfig(t, c.account(releaseNamespace, pod.Spec.ServiceAccountName))
	selftest := func(timeout string) (string, error) {
		var args []string
		for _, a := range pod.Spec.Containers[0].Args {
			if !strings.HasPrefix(a, "--url=") { // nothing resolves names of Services here
				args = append(args, a)
			}
		}
		args = append(args, "--kubeconfig", file, "--timeout", timeout)
		out, err := exec.CommandContext(t.Context(), lethe, args...).CombinedOutput()
		return string(out), err
	}
	if out, err := selftest("3s"); err == nil || !strings.Contains(out, "the API server does not ask the webhooks") {
		t.Errorf("nobody refuses, and it says: %v %s", err, out)
	}
	op := harness.StartOperator(t, cluster.Config, harness.OperatorOptions{Folder: t.TempDir(), Admission: true})
	if out, err := selftest("3m"); err != nil || !strings.Contains(out, "ok: a request is taken") {
		t.Errorf("%v: %s\n%s", err, out, op.Logs)
	}
	var requests v1alpha1.ErasureRequestList
	c.must(c.Client.List(t.Context(), &requests))
	if len(requests.Items) > 0 {
		t.Error("a request was stored")
	}
	if err := op.Stop(); err != nil {
		t.Error(err)
	}
}
