package accesslog_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/accesslog"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/treelog"
	"github.com/lethe-dev/lethe/internal/stamp"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
	"github.com/lethe-dev/lethe/test/harness"
)

const (
	operatorUser = "system:serviceaccount:lethe-system:lethe"
	auditPolicy  = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    resources: [{group: privacy.lethe.dev}]
  - level: None
`
	webhookConfig = `apiVersion: v1
kind: Config
clusters: [{name: lethe, cluster: {server: %s}}]
contexts: [{name: lethe, context: {cluster: lethe, user: ""}}]
current-context: lethe
`
)

// newHandler is one over a real ledger.
func newHandler(t *testing.T) (*accesslog.Handler, ledger.Log) {
	t.Helper()
	signer, err := ledger.NewSigner("lethe.dev/test", []byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	vault, err := vaultsqlite.Open(t.Context(), filepath.Join(t.TempDir(), "ledger.db"), treelog.Options{LogName: signer.Name(), Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vault.Close() })
	j := &journal.Journal{Ledger: vault.Ledger, State: vault.State, Clock: clock.RealClock{}}
	return &accesslog.Handler{Operator: "lethe-system", Log: logr.Discard(),
		Self:   func(user string) bool { return user == operatorUser },
		Exists: func(_ context.Context, namespace string) (bool, error) { return namespace == "default", nil },
		Record: func(ctx context.Context, namespace string, entries []ledger.Entry) error {
			return j.Record(ctx, namespace, entries)
		},
		Actor: func(_ context.Context, _, user string, groups []string) (stamp.Actor, error) {
			return stamp.NewActor(nil, user, groups, false), nil
		}}, vault.Ledger
}

func TestAccessThroughARealAPIServerIsRecorded(t *testing.T) {
	g := NewWithT(t)
	h, log := newHandler(t)
	server := httptest.NewServer(h)
	defer server.Close()
	folder := t.TempDir()
	g.Expect(os.WriteFile(filepath.Join(folder, "policy.yaml"), []byte(auditPolicy), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(filepath.Join(folder, "webhook.yaml"), fmt.Appendf(nil, webhookConfig, server.URL), 0o600)).To(Succeed())
	environment := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(harness.Root(), "config", "crd", "bases")},
		ErrorIfCRDPathMissing: true, ControlPlaneStartTimeout: 2 * time.Minute}
	environment.ControlPlane.GetAPIServer().Configure().
		Set("audit-policy-file", filepath.Join(folder, "policy.yaml")).
		Set("audit-webhook-config-file", filepath.Join(folder, "webhook.yaml")).
		Set("audit-webhook-batch-max-wait", "100ms")
	config, err := environment.Start()
	g.Expect(err).NotTo(HaveOccurred())
	defer func() { g.Expect(environment.Stop()).To(Succeed()) }()

	as := func(user string, groups ...string) client.Client {
		own := rest.CopyConfig(config)
		own.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
		scheme := runtime.NewScheme()
		g.Expect(v1alpha1.AddToScheme(scheme)).To(Succeed())
		c, err := client.New(own, client.Options{Scheme: scheme})
		g.Expect(err).NotTo(HaveOccurred())
		return c
	}
	ctx := t.Context()
	g.Expect(as("alice@example.org", "system:masters").List(ctx, &v1alpha1.ErasureRequestList{}, client.InNamespace("default"))).To(Succeed())
	named := client.ObjectKey{Namespace: "default", Name: "jane-doe"}
	g.Expect(as("stranger").Get(ctx, named, &v1alpha1.LegalHold{})).NotTo(Succeed())
	g.Expect(as("alice@example.org", "system:masters").List(ctx, &v1alpha1.DeletionRunList{})).To(Succeed())

	told := func(namespace string) func() []string {
		return func() []string {
			records, err := log.Entries(ctx, namespace, 0, ledger.MaxPage)
			g.Expect(err).NotTo(HaveOccurred())
			var lines []string
			for _, r := range records {
				a := r.Entry.Attributes
				g.Expect(string(r.Leaf)).NotTo(ContainSubstring(named.Name))
				g.Expect(a["impersonatedBy"]).NotTo(BeEmpty())
				lines = append(lines, strings.Join([]string{r.Entry.Kind, r.Entry.Reason, r.Entry.Actor, a["permission"], a["resource"], a["code"], a["scope"]}, " "))
			}
			slices.Sort(lines)
			return lines
		}
	}
	g.Eventually(told("default")).WithTimeout(20 * time.Second).Should(Equal([]string{
		"access.observed Denied stranger get legalholds 403 ", "access.observed Granted alice@example.org list erasurerequests 200 "}))
	g.Eventually(told("lethe-system")).WithTimeout(20 * time.Second).Should(Equal([]string{
		"access.observed Granted alice@example.org list deletionruns 200 cluster"}))
}

// events is a batch with one event of an object.
func events(id, more string) string {
	return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"auditID":"` + id + `","stage":"ResponseComplete","verb":"get","user":{"username":"alice"},` +
		`"objectRef":{"resource":"erasurerequests","namespace":"default","name":"x","apiGroup":"privacy.lethe.dev"},"stageTimestamp":"2026-11-25T12:00:00.000000Z","requestReceivedTimestamp":"2026-11-25T12:00:00.000000Z"` + more + `}]}`
}

func TestEventsAreTakenOnceAndBadOnesRefused(t *testing.T) {
	h, log := newHandler(t)
	send := func(method, body string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/audit", strings.NewReader(body)))
		return w.Code
	}
	for _, c := range []struct {
		what, method, body string
		status             int
	}{
		{"an event", http.MethodPost, events("a", ""), 200},
		{"the same again", http.MethodPost, events("a", ""), 200},
		{"one that no ledger takes, before one that it does", http.MethodPost, events("b", `,"responseStatus":{"code":200},"impersonatedUser":{"username":"`+strings.Repeat("x", 2000)+`"}`), 200},
		{"one of somebody else's objects", http.MethodPost, strings.Replace(events("c", ""), "privacy.lethe.dev", "apps", 1), 200},
		{"one that has only begun", http.MethodPost, strings.Replace(events("d", ""), "ResponseComplete", "ResponseStarted", 1), 200},
		{"one of the operator's own", http.MethodPost, strings.Replace(events("g", ""), "alice", operatorUser, 1), 200},
		{"another kind", http.MethodPost, `{"kind":"Pod","apiVersion":"v1"}`, 400},
		{"half a batch", http.MethodPost, events("e", "")[:100], 400},
		{"no batch", http.MethodGet, "", 405},
	} {
		if got := send(c.method, c.body); got != c.status {
			t.Errorf("%s: %d, want %d", c.what, got, c.status)
		}
	}
	records, err := log.Entries(t.Context(), "default", 0, ledger.MaxPage)
	if err != nil || len(records) != 1 {
		t.Errorf("the ledger has %d entries: %v", len(records), err)
	}
	h.Record = func(context.Context, string, []ledger.Entry) error { return errors.New("full") }
	if got := send(http.MethodPost, events("f", "")); got != 503 {
		t.Errorf("a ledger that takes nothing: %d", got)
	}
}

// The client says what the audit ID is: neither one that was used before nor one that fits nowhere hides what else it does.
func TestTheClientsAuditIDHidesNothing(t *testing.T) {
	h, log := newHandler(t)
	long := strings.Repeat("x", 2000)
	for _, batch := range []string{events("a", ""), strings.Replace(events("a", ""), "erasurerequests", "legalholds", 1),
		strings.ReplaceAll(events("a", ""), "12:00:00", "12:00:01"), strings.Replace(events("a", ""), "alice", "bob", 1), events(long, ""),
		events("jane@example.org", "")} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/audit", strings.NewReader(batch)))
		if w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
	records, err := log.Entries(t.Context(), "default", 0, ledger.MaxPage)
	if err != nil || len(records) != 6 {
		t.Errorf("the ledger has %d entries: %v", len(records), err)
	}
}

// Whoever asks for objects in a namespace that is none is on record, and begins no ledger of that name.
func TestAccessToNoNamespaceBeginsNoLedger(t *testing.T) {
	h, log := newHandler(t)
	for i, name := range []string{"no-such", "..", "default"} {
		w := httptest.NewRecorder()
		body := strings.Replace(events(fmt.Sprint(i), ""), `"namespace":"default"`, `"namespace":"`+name+`"`, 1)
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/audit", strings.NewReader(body)))
		if w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
	origins, err := log.Origins(t.Context())
	if err != nil || !slices.Equal(slices.Sorted(slices.Values(origins)), []string{"default", "lethe-system"}) {
		t.Errorf("ledgers of %v: %v", origins, err)
	}
	records, err := log.Entries(t.Context(), "lethe-system", 0, ledger.MaxPage)
	if err != nil || len(records) != 2 || records[0].Entry.Attributes["scope"] != "nowhere" {
		t.Errorf("%d entries: %v", len(records), err)
	}
}
