package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
)

const loopback = "127.0.0.1"

type apiServer struct {
	url       string
	client    *rest.Config
	signalled <-chan struct{} // closed by SIGINT, SIGTERM or RequestShutdown
	done      chan struct{}   // closed when the server has ended; err is set before
	err       error
}

// startAPIServer must be called once per process: the command installs the signal handler itself.
func startAPIServer(keys keyFiles, port int) *apiServer {
	s := &apiServer{done: make(chan struct{})}
	command := apiserver.NewAPIServerCommand()
	s.signalled = command.Context().Done()
	if port == 0 {
		if port, s.err = freePort(); s.err != nil {
			close(s.done)
			return s
		}
	}
	s.url = "https://" + net.JoinHostPort(loopback, strconv.Itoa(port))
	s.client = keys.restConfig(s.url)
	command.SetArgs(apiServerArgs(keys, port))
	go s.execute(command)
	return s
}

func (s *apiServer) execute(command *cobra.Command) {
	defer close(s.done)
	s.err = command.Execute()
}

// stop ends the server, if it still runs, and waits for it.
func (s *apiServer) stop() error {
	select {
	case <-s.done:
		return nil // serve has reported s.err
	case <-s.signalled: // asking twice would end the process at once
	default:
		genericapiserver.RequestShutdown()
	}
	<-s.done
	return s.err
}

// waitReady returns when the server answers ready and has made the default namespace, which it does in the background.
func (s *apiServer) waitReady(limit time.Duration) error {
	client, err := kubernetes.NewForConfig(s.client)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-s.done:
		case <-s.signalled:
		case <-ctx.Done():
		}
	}()
	err = within(ctx, limit, func(ctx context.Context) error { return answersReady(ctx, client) })
	select {
	case <-s.done:
		return fmt.Errorf("kube-apiserver ended: %w", cmp.Or(s.err, context.Canceled))
	default:
	}
	if err != nil {
		return fmt.Errorf("kube-apiserver is not ready: %w", err)
	}
	return nil
}

func answersReady(ctx context.Context, client kubernetes.Interface) error {
	if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		return err
	}
	_, err := client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
	return err
}

func apiServerArgs(keys keyFiles, port int) []string {
	return []string{
		"--etcd-servers=" + etcdClientURL,
		"--bind-address=" + loopback,
		"--advertise-address=" + loopback,
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + keys.servingCert,
		"--tls-private-key-file=" + keys.servingKey,
		"--client-ca-file=" + keys.caCert,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + keys.serviceAccountKey,
		"--service-account-signing-key-file=" + keys.serviceAccountKey,
		"--service-cluster-ip-range=10.0.0.0/24",
		"--authorization-mode=RBAC",
		// No controller-manager runs to make the default service accounts that this plugin waits for.
		"--disable-admission-plugins=ServiceAccount",
		// Nobody reaches this server as the service "kubernetes".
		"--endpoint-reconciler-type=none",
	}
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}
