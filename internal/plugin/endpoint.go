package plugin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/cli"
)

const (
	// servingCertificate is the operator's ConfigMap with what clients of its endpoint are to trust.
	servingCertificate = "lethe-serving-certificate"
	// servingService is the endpoint's Service, and the name that its certificate is for.
	servingService = "lethe-exports"
	maxAnswer      = 64 << 10 // of a refusal
)

// endpointFlags say how the operator's endpoint is reached.
type endpointFlags struct {
	address, caFile, tokenFile, serviceAccount string
}

func (f *endpointFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.address, "endpoint", "", "address of the operator's endpoint, for example https://localhost:8443; default: a port-forward to its Pod")
	flags.StringVar(&f.caFile, "endpoint-ca", "", "file with the certificates to trust for it; default: what the ConfigMap "+servingCertificate+" shows")
	flags.StringVar(&f.tokenFile, "endpoint-token-file", "", "file with a token of the cluster; default: the one of your credentials")
	flags.StringVar(&f.serviceAccount, "service-account", "", "ask as this ServiceAccount of the namespace, with a token for ten minutes; needs create on serviceaccounts/token")
	_ = cmd.MarkFlagFilename("endpoint-ca")
	_ = cmd.MarkFlagFilename("endpoint-token-file")
}

// endpoint is a connection to the operator's endpoint.
type endpoint struct {
	base   string
	token  string
	client *http.Client
	close  func()
}

// endpoint opens a connection. The token only ever goes over TLS to a server that the operator's certificate vouches for.
func (s *session) endpoint(ctx context.Context, c client.Client, namespace string, f *endpointFlags) (_ *endpoint, err error) {
	e := &endpoint{close: func() {}}
	if e.token, err = s.token(ctx, c, namespace, f); err != nil {
		return nil, err
	}
	roots, err := s.roots(ctx, c, f.caFile)
	if err != nil {
		return nil, err
	}
	server := servingService + "." + s.operatorNamespace + ".svc"
	if f.address != "" {
		address, err := url.Parse(f.address)
		if err != nil || address.Scheme != "https" || address.Host == "" {
			return nil, fmt.Errorf("--endpoint %s: it is https:// with host and port; a token is not sent over plain text", f.address)
		}
		e.base, server = "https://"+address.Host, address.Hostname()
	} else {
		port, stop, err := s.forward(ctx, c)
		if err != nil {
			return nil, err
		}
		e.base, e.close = "https://"+net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), stop
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: server, MinVersion: tls.VersionTLS13}, ForceAttemptHTTP2: true}
	e.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return e, nil
}

// do asks the endpoint. Whatever is not 200 is an error with the endpoint's words.
func (e *endpoint) do(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	target := e.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+e.token)
	resp, err := e.client.Do(req)
	if err != nil {
		var unknown x509.UnknownAuthorityError
		var name x509.HostnameError
		if errors.As(err, &unknown) || errors.As(err, &name) {
			return nil, fmt.Errorf("the endpoint's certificate is not the operator's: %w; name what to trust with --endpoint-ca, or the operator's namespace with --operator-namespace", err)
		}
		return nil, fmt.Errorf("the operator's endpoint does not answer: %w; it listens where the operator runs with --serve-address (chart: exports.serve)", err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	message := strings.TrimSpace(string(text))
	if resp.StatusCode == http.StatusNotFound && strings.HasPrefix(message, "404 page not found") {
		message = "the operator does not know this question: it is older than this plugin"
	}
	return nil, fmt.Errorf("the operator answers %d: %s", resp.StatusCode, message)
}

// token is whom the endpoint is to ask the API server about. An impersonation is known to the API server alone, so that it cannot be used here.
func (s *session) token(ctx context.Context, c client.Client, namespace string, f *endpointFlags) (string, error) {
	switch {
	case f.serviceAccount != "" && f.tokenFile != "":
		return "", errors.New("--service-account and --endpoint-token-file exclude each other")
	case f.tokenFile != "":
		text, err := os.ReadFile(f.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--endpoint-token-file %s cannot be read: %w", f.tokenFile, cli.Cause(err))
		}
		return strings.TrimSpace(string(text)), nil
	case f.serviceAccount != "":
		seconds := int64(600)
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: f.serviceAccount, Namespace: namespace}}
		if err := c.SubResource("token").Create(ctx, account, request); err != nil {
			return "", fmt.Errorf("a token of ServiceAccount %s: %w", f.serviceAccount, s.helpful(err, namespace))
		}
		return request.Status.Token, nil
	case s.config.Impersonate.UserName != "":
		return "", errors.New("--as cannot be used here: the operator is told by a token who asks, and yours is your own. Give one of that user with --endpoint-token-file, or of a ServiceAccount with --service-account")
	}
	token, err := bearer(s.config)
	if err == nil && token == "" {
		err = errors.New("your credentials have no token, only the API server can tell who you are by them; give a token with --endpoint-token-file, or use --service-account NAME")
	}
	return token, err
}

// bearer is the token that the credentials of a kubeconfig lead to: itself, a file, or what a plugin for credentials gives out.
func bearer(config *rest.Config) (string, error) {
	var seen string
	wrapped, err := rest.HTTPWrappersForConfig(config, seeing(func(r *http.Request) {
		if scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(scheme, "Bearer") {
			seen = token
		}
	}))
	if err != nil {
		return "", fmt.Errorf("your credentials: %w", err)
	}
	req, err := http.NewRequest(http.MethodGet, "https://nowhere.invalid/", nil)
	if err != nil {
		return "", err
	}
	resp, err := wrapped.RoundTrip(req)
	if err != nil {
		return "", fmt.Errorf("your credentials: %w", err)
	}
	return seen, resp.Body.Close()
}

// seeing is a transport that sends nothing: it sees what would be sent.
type seeing func(*http.Request)

// RoundTrip answers by itself.
func (f seeing) RoundTrip(r *http.Request) (*http.Response, error) {
	f(r)
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}

// roots are the certificates to trust.
func (s *session) roots(ctx context.Context, c client.Client, file string) (*x509.CertPool, error) {
	var text []byte
	from := file
	if file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("--endpoint-ca %s cannot be read: %w", file, cli.Cause(err))
		}
	} else {
		from = "the ConfigMap " + servingCertificate + " of namespace " + s.operatorNamespace
		var shown corev1.ConfigMap
		if err := c.Get(ctx, client.ObjectKey{Namespace: s.operatorNamespace, Name: servingCertificate}, &shown); err != nil {
			return nil, fmt.Errorf("what to trust for the operator's endpoint: %w. The operator shows it where it runs with --serve-address; name its namespace with --operator-namespace, or a file with --endpoint-ca",
				s.helpful(err, s.operatorNamespace))
		}
		text = []byte(shown.Data["ca.crt"])
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", from)
	}
	return pool, nil
}

// forward makes a port-forward to the operator's Pod. The API server's service proxy would not do: it takes the token out of a request, and
// does not verify the certificate of whom it sends it to.
func (s *session) forward(ctx context.Context, c client.Client) (port int, stop func(), err error) {
	pod, target, err := s.operatorPod(ctx, c)
	if err != nil {
		return 0, nil, err
	}
	address, err := url.Parse(s.config.Host)
	if err != nil || address.Host == "" {
		address = &url.URL{Scheme: "https", Host: s.config.Host}
	}
	address = address.JoinPath("api/v1/namespaces", pod.Namespace, "pods", pod.Name, "portforward")
	transport, upgrader, err := spdy.RoundTripperFor(s.config)
	if err != nil {
		return 0, nil, err
	}
	streaming, err := portforward.NewSPDYOverWebsocketDialer(address, s.config)
	if err != nil {
		return 0, nil, err
	}
	dialer := portforward.NewFallbackDialer(streaming, spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, address), func(error) bool { return true })
	ctx, cancel := context.WithCancel(ctx)
	ready, failed := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", target)}, ready, io.Discard, io.Discard)
	if err != nil {
		cancel()
		return 0, nil, err
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		cancel()
		return 0, nil, fmt.Errorf("the port-forward to Pod %s: %w; it needs create on pods/portforward in namespace %s. Where the endpoint has an address, name it with --endpoint", pod.Name, s.helpful(err, pod.Namespace), pod.Namespace)
	}
	ports, err := forwarder.GetPorts()
	if err != nil || len(ports) == 0 {
		cancel()
		return 0, nil, errors.Join(errors.New("the port-forward has no port"), err)
	}
	return int(ports[0].Local), cancel, nil
}

// operatorPod finds a Pod behind the endpoint's Service, and its port.
func (s *session) operatorPod(ctx context.Context, c client.Client) (*corev1.Pod, int32, error) {
	const otherwise = "name its namespace with --operator-namespace, or the endpoint's address with --endpoint"
	var service corev1.Service
	if err := c.Get(ctx, client.ObjectKey{Namespace: s.operatorNamespace, Name: servingService}, &service); err != nil {
		return nil, 0, fmt.Errorf("the operator's endpoint: %w; %s", s.helpful(err, s.operatorNamespace), otherwise)
	}
	var pods corev1.PodList
	if err := c.List(ctx, &pods, client.InNamespace(s.operatorNamespace), client.MatchingLabels(service.Spec.Selector)); err != nil {
		return nil, 0, s.helpful(err, s.operatorNamespace)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if !serving(pod) {
			continue
		}
		for _, container := range pod.Spec.Containers {
			for _, p := range container.Ports {
				if p.Name == service.Spec.Ports[0].TargetPort.StrVal {
					return pod, p.ContainerPort, nil
				}
			}
		}
	}
	return nil, 0, fmt.Errorf("no Pod of the operator is ready in namespace %s; see kubectl -n %s get pods, or %s", s.operatorNamespace, s.operatorNamespace, otherwise)
}

func serving(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
