package v1alpha1

import (
	"context"
	"crypto/x509"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lethe-dev/lethe/internal/selfsigned"
)

func TestOnlyLoopbackAddressesAreServed(t *testing.T) {
	for address, want := range map[string]string{
		"127.0.0.1:9443": "127.0.0.1:9443", "127.8.9.10:1": "127.8.9.10:1", "[::1]:9443": "[::1]:9443", "[::ffff:127.0.0.1]:9443": "127.0.0.1:9443",
		"0.0.0.0:9443": "", "[::]:9443": "", "10.1.2.3:9443": "", ":9443": "", "localhost:9443": "", "127.0.0.1": "", "[::1%lo]:9443": "", "": "",
	} {
		got, err := parseLoopback(address)
		if want == "" {
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring("must be a loopback address with a port")), address)
			continue
		}
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(got.String()).To(Equal(want))
	}
}

func TestCertificateIsAnnouncedBeforeItIsServed(t *testing.T) {
	g := NewWithT(t)
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	c := selfsigned.Certificates{Names: selfsigned.Names{IP: netip.MustParseAddr("127.0.0.1")}}
	serial := func() string { served, _ := c.Get(nil); return served.Leaf.SerialNumber.String() }
	trusted := func(at time.Time) bool {
		pool := x509.NewCertPool()
		g.Expect(pool.AppendCertsFromPEM(c.Bundle())).To(BeTrue())
		served, _ := c.Get(nil)
		_, err := served.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: "127.0.0.1", CurrentTime: at})
		return err == nil
	}
	g.Expect(c.Renew(now)).To(Succeed())
	first, bundle := serial(), c.Bundle()
	g.Expect(trusted(now)).To(BeTrue())

	now = now.Add(selfsigned.Lifetime - selfsigned.RenewBefore - time.Minute)
	g.Expect(c.Renew(now)).To(Succeed())
	g.Expect(c.Bundle()).To(Equal(bundle), "it is not renewed while it is good")

	now = now.Add(2 * time.Minute)
	g.Expect(c.Renew(now)).To(Succeed())
	g.Expect(serial()).To(Equal(first))
	g.Expect(len(c.Bundle())).To(BeNumerically(">", len(bundle)+len(bundle)/2), "both are trusted")
	g.Expect(trusted(now)).To(BeTrue())

	g.Expect(c.Renew(now.Add(time.Minute))).To(Succeed())
	g.Expect(serial()).NotTo(Equal(first))
	g.Expect(trusted(now)).To(BeTrue())

	g.Expect(c.Renew(now.AddDate(-1, 0, 0))).To(Succeed())
	g.Expect(c.Renew(now.AddDate(-1, 0, 0))).To(Succeed())
	g.Expect(trusted(now.AddDate(-1, 0, 0))).To(BeTrue(), "a clock that was set back gets a new one too")
}

func TestConfigurationIsMendedAndRemovedByItsOwnerAlone(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	s := runtime.NewScheme()
	g.Expect(admissionregistrationv1.AddToScheme(s)).To(Succeed())
	c := fake.NewClientBuilder().WithScheme(s).Build()
	newLoopback := func() *Server {
		return &Server{reader: c, writer: c, url: "https://127.0.0.1:9443", certificates: selfsigned.Certificates{Names: selfsigned.Names{IP: netip.MustParseAddr("127.0.0.1")}},
			clock: clocktesting.NewFakeClock(time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC))}
	}
	stored := func() *admissionregistrationv1.ValidatingWebhookConfiguration {
		var v admissionregistrationv1.ValidatingWebhookConfiguration
		g.Expect(c.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &v)).To(Succeed())
		return &v
	}
	killed, l := newLoopback(), newLoopback()
	g.Expect(killed.tend(ctx)).To(Succeed())
	g.Expect(l.tend(ctx)).To(Succeed())
	g.Expect(stored().Webhooks[0].ClientConfig.CABundle).To(Equal(l.certificates.Bundle()), "what a killed process left is taken over")
	for _, w := range stored().Webhooks {
		if w.Name == "legalholds-create.privacy.lethe.dev" || strings.HasSuffix(w.Name, "-delete.privacy.lethe.dev") {
			g.Expect(*w.FailurePolicy).To(Equal(admissionregistrationv1.Ignore), w.Name)
			continue
		}
		g.Expect(*w.FailurePolicy).To(Equal(admissionregistrationv1.Fail), w.Name)
		g.Expect(*w.SideEffects).To(Equal(admissionregistrationv1.SideEffectClassNoneOnDryRun))
	}

	weakened := stored()
	weakened.Webhooks[0].FailurePolicy = new(admissionregistrationv1.Ignore)
	g.Expect(c.Update(ctx, weakened)).To(Succeed())
	g.Expect(l.tend(ctx)).To(Succeed())
	g.Expect(*stored().Webhooks[0].FailurePolicy).To(Equal(admissionregistrationv1.Fail))
	version := stored().ResourceVersion
	g.Expect(l.tend(ctx)).To(Succeed())
	g.Expect(stored().ResourceVersion).To(Equal(version), "nothing is written without a change")

	g.Expect(killed.remove(ctx)).To(Succeed())
	stored() // it is the other's
	g.Expect(l.remove(ctx)).To(Succeed())
	g.Expect(c.Get(ctx, client.ObjectKey{Name: ConfigurationName}, &admissionregistrationv1.ValidatingWebhookConfiguration{})).NotTo(Succeed())
	g.Expect(l.remove(ctx)).To(Succeed(), "somebody else may have removed it")
}
