package operator

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
)

func TestAnOldKubernetesIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"v1.29.14": "needs 1.30 or newer", "v1.29.3-gke.100": "needs 1.30 or newer", "v1.30.0": "", "v1.36.1+k3s1": "", "v2.0.0": "", "unknown": "",
	} {
		err := checkVersion(text)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestSomeNamespacesNeedNoRightOverTheCluster(t *testing.T) {
	some := []string{"hiring"}
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"all":                        {Options{Admission: AdmissionLoopback, ServeAddress: ":1"}, ""},
		"some":                       {Options{Namespaces: some, LocalRoots: map[string]string{"hiring": "/x"}}, ""},
		"loopback":                   {Options{Namespaces: some, Admission: AdmissionLoopback}, "--admission loopback"},
		"a certificate of its own":   {Options{Namespaces: some, Admission: AdmissionCluster}, "--admission-cert-dir"},
		"somebody else's":            {Options{Namespaces: some, Admission: AdmissionCluster, AdmissionCertificates: "/x"}, ""},
		"an endpoint":                {Options{Namespaces: some, ServeAddress: ":1"}, "--serve-address"},
		"a root of another":          {Options{Namespaces: some, LocalRoots: map[string]string{"payroll": "/x"}}, "--local-root payroll"},
		"a root of all's":            {Options{LocalRoots: map[string]string{"payroll": "/x"}}, ""},
		"off is no right of anybody": {Options{Namespaces: some, Admission: AdmissionOff}, ""},
	} {
		err := tc.o.checkNamespaces()
		if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}

// Whoever can take over is ready; whoever waits for a file that one process has open, or for a database that is away, is not.
func TestReadyIsWhoCanTakeOver(t *testing.T) {
	for _, tc := range []struct {
		takesTurns bool
		err        error
		want       int
		text       string
	}{
		{true, ErrLocked, http.StatusOK, "standby: another process has the ledger"},
		{true, ErrUnavailable, http.StatusServiceUnavailable, "the ledger's database cannot be reached"},
		{false, ErrLocked, http.StatusServiceUnavailable, "another process has the ledger"},
	} {
		t.Run(fmt.Sprint(tc.takesTurns, tc.err), func(t *testing.T) {
			g := NewWithT(t)
			free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
			g.Expect(err).NotTo(HaveOccurred())
			address := free.Addr().String()
			g.Expect(free.Close()).To(Succeed())
			w := &waiting{log: logr.Discard(), address: address, takesTurns: tc.takesTurns}
			defer w.end()
			g.Expect(w.because(t.Context(), tc.err)).To(Succeed())
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/readyz", nil)
			g.Expect(err).NotTo(HaveOccurred())
			response, err := http.DefaultClient.Do(request)
			g.Expect(err).NotTo(HaveOccurred())
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(response.StatusCode).To(Equal(tc.want))
			g.Expect(strings.TrimSpace(string(body))).To(Equal(tc.text))
		})
	}
}
