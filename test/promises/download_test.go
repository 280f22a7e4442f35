package promises

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/test/harness"
)

// token of a service account that a persona's real role is bound to; without a persona it has no rights.
func (w *world) token(account, persona string) string {
	GinkgoHelper()
	config, _, err := cluster.Persona(w, w.ns, account, persona)
	Expect(err).NotTo(HaveOccurred())
	return config.BearerToken
}

// asToken is a client of the API server with a token.
func (w *world) asToken(token string) client.Client {
	GinkgoHelper()
	config := *cluster.Config
	config.CertData, config.KeyData, config.CertFile, config.KeyFile, config.BearerToken = nil, nil, "", "", token
	c, err := client.New(&config, client.Options{Scheme: cluster.Client.Scheme()})
	Expect(err).NotTo(HaveOccurred())
	return c
}

// answer of the endpoint.
type answer struct {
	*http.Response
	Text string
}

// ask the endpoint.
func (w *world) ask(method, path, token string, headers ...string) answer {
	GinkgoHelper()
	return w.send(method, path, token, "", headers...)
}

// send a body to the endpoint, with what the ConfigMap says to trust and nothing else.
func (w *world) send(method, path, token, body string, headers ...string) answer {
	GinkgoHelper()
	endpoint := w.operator.Endpoint(GinkgoTB()) // the certificate is shown before it listens
	var shown corev1.ConfigMap
	Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.options.Namespace, Name: "lethe-serving-certificate"}, &shown)).To(Succeed())
	pool := x509.NewCertPool()
	Expect(pool.AppendCertsFromPEM([]byte(shown.Data["ca.crt"]))).To(BeTrue())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(w, method, endpoint+path, strings.NewReader(body))
	Expect(err).NotTo(HaveOccurred())
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	Expect(err).NotTo(HaveOccurred())
	return answer{resp, string(text)}
}

var _ = Describe("Downloading an export", func() {
	It("is for who may, and on record before the first byte", func() {
		w := newWorld(ada)
		w.exporting(func(o *harness.OperatorOptions) { o.Serve = true })
		w.admission(true)
		tokens := map[string]string{"stranger": w.token("stranger", "")}
		for _, persona := range []string{"viewer", "editor", "approver", "admin"} {
			tokens[persona] = w.token(persona, persona)
		}
		w.create(harness.Request(w.ns, "gone", ada, harness.Immediate)...)
		Eventually(w.stage("gone")).Should(Equal("Completed/Erased"))

		// Who may export, and who may export the access log.
		spec := v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Format: v1alpha1.FormatJSON}
		access := v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAccess}
		may := map[string]bool{"editor": true, "admin": true}
		for _, who := range []string{"stranger", "viewer", "approver", "editor", "admin"} {
			token := tokens[who]
			err := w.asToken(token).Create(w, complianceExport(w.ns, "by-"+who, spec))
			Expect(err == nil).To(Equal(may[who]), "%s: %v", who, err)
			err = w.asToken(token).Create(w, complianceExport(w.ns, "access-by-"+who, access))
			Expect(err == nil).To(Equal(who == "admin"), "%s: %v", who, err)
			if who == "editor" {
				Expect(err).To(MatchError(ContainSubstring(`needs the verb "get" on accesslogs.privacy.lethe.dev`)))
			}
		}
		Eventually(w.exportState("by-editor")).Should(Equal("Completed/Exported"))
		Eventually(w.exportState("access-by-admin")).Should(Equal("Completed/Exported"))
		account := func(who string) string { return "system:serviceaccount:" + w.ns + ":" + who }
		Expect(w.export("by-editor").Status.RequestedBy).To(Equal(account("editor")))
		Expect(w.exportFiles()["access-by-admin.csv"]).To(ContainSubstring(",get,Denied,accesslogs," + account("editor") + ","))

		// Who may download.
		path := w.export("by-editor").Status.Location
		file := w.exportFiles()["by-editor.json"]
		for who, want := range map[string]int{"": 401, "stranger": 403, "viewer": 403, "approver": 403, "editor": 200, "admin": 200} {
			got := w.ask(http.MethodGet, path, tokens[who])
			Expect(got.StatusCode).To(Equal(want), "%s: %s", who, got.Text)
			Expect(got.Text == file).To(Equal(want == 200))
		}
		Expect(w.ask(http.MethodGet, path, "no.such.token").StatusCode).To(Equal(401))
		for who, want := range map[string]int{"editor": 403, "admin": 200} {
			Expect(w.ask(http.MethodGet, w.export("access-by-admin").Status.Location, tokens[who]).StatusCode).To(Equal(want), who)
		}

		// What is handed out.
		whole := w.ask(http.MethodGet, path, tokens["admin"])
		sum := sha256.Sum256([]byte(whole.Text))
		Expect(whole.Header.Get("Repr-Digest")).To(Equal("sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"))
		Expect(whole.Header.Get("Content-Disposition")).To(Equal(`attachment; filename="` + w.ns + `-by-editor.json"`))
		Expect(whole.Header.Get("Content-Type")).To(Equal("application/json"))
		Expect(whole.Header.Get("Cache-Control")).To(Equal("no-store"))
		head := w.ask(http.MethodHead, path, tokens["admin"])
		Expect([]any{head.StatusCode, head.ContentLength, head.Text}).To(Equal([]any{200, int64(len(file)), ""}))
		part := w.ask(http.MethodGet, path, tokens["admin"], "Range", "bytes=5-14")
		Expect([]any{part.StatusCode, part.Text}).To(Equal([]any{206, file[5:15]}))
		Expect(w.ask(http.MethodGet, path+"/proof", tokens["admin"]).Text).To(Equal(w.export("by-editor").Status.Proof))
		Expect(w.ask(http.MethodPost, path, tokens["admin"]).StatusCode).To(Equal(405))

		// What is not there.
		Expect(w.ask(http.MethodGet, "/exports/"+w.ns+"/nothing", tokens["admin"])).To(And(HaveField("StatusCode", 404), HaveField("Text", ContainSubstring("there is no ComplianceExport nothing"))))
		Expect(w.ask(http.MethodGet, "/exports/"+w.ns+"/nothing", tokens["stranger"]).StatusCode).To(Equal(403), "who may not, does not learn what is there")
		Expect(w.ask(http.MethodGet, "/exports/elsewhere/nothing", tokens["admin"]).StatusCode).To(Equal(403))
		Expect(w.ask(http.MethodGet, "/exports/..%2F..%2Fetc/passwd", tokens["admin"]).StatusCode).To(Equal(404))
		w.create(complianceExport(w.ns, "by-test", access))
		Eventually(w.exportState("by-test")).Should(Equal("Completed/Exported")) // the test's own user may
		w.step(31 * day)
		Expect(w.ask(http.MethodGet, path, tokens["editor"]).StatusCode).To(Equal(410), "not a moment longer than it may stay")
		w.pokeExport("by-editor")
		Eventually(w.exportState("by-editor")).Should(Equal("Completed/Purged"))
		Expect(w.ask(http.MethodGet, path, tokens["editor"])).To(And(HaveField("StatusCode", 410), HaveField("Text", ContainSubstring("purged"))))

		Expect(w.operator.Stop()).To(Succeed())
		granted, denied := map[string]int{}, map[string]int{}
		for _, e := range w.ledgerEntries(ledger.KindAccessDecided) {
			if !strings.HasPrefix(e.Attributes["endpoint"], "/exports/") {
				continue
			}
			Expect(e.Attributes["uid"]).NotTo(BeEmpty())
			if e.Reason == ledger.ReasonGranted {
				granted[e.Actor]++
			} else {
				denied[e.Actor]++
			}
		}
		Expect(denied).To(Equal(map[string]int{account("stranger"): 1, account("viewer"): 1, account("approver"): 1, account("editor"): 1}))
		Expect(granted).To(Equal(map[string]int{account("editor"): 1, account("admin"): 6}))
		Expect(w.ledgerEntries(ledger.KindExportDownloaded)).To(HaveLen(5), "a look at the head alone is no download")
		vault := keep.open(w.options)
		_, err := vault.Checkpoint(w, "elsewhere")
		Expect(err).To(HaveOccurred(), "nobody begins a ledger by asking")
		Expect(vault.Close()).To(Succeed())
	})

	It("hands out nothing while the ledger cannot put it on record", func() {
		w := newWorld(ada)
		w.exporting(func(o *harness.OperatorOptions) { o.Serve = true })
		admin := w.token("admin", "admin")
		w.create(complianceExport(w.ns, "audit", v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogAudit}))
		Eventually(w.exportState("audit")).Should(Equal("Completed/Exported"))
		Expect(w.ask(http.MethodGet, "/exports/"+w.ns+"/audit", admin).StatusCode).To(Equal(200))
		Expect(w.operator.Stop()).To(Succeed())
		keep.cutLedger(w.options)
		w.startOperator()
		got := w.ask(http.MethodGet, "/exports/"+w.ns+"/audit", admin)
		Expect(got.StatusCode).NotTo(Equal(200))
		Expect(got.Text).NotTo(ContainSubstring("time,entry"))
	})
})

var _ = Describe("The API server's audit events", func() {
	It("are taken from who may send them, and are in the log of accesses", func() {
		w := newWorld()
		w.exporting(func(o *harness.OperatorOptions) { o.Serve = true })
		sender, stranger := w.token("api-server", ""), w.token("stranger", "")
		name := "lethe-audit-" + w.ns
		w.create(&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{NonResourceURLs: []string{"/audit"}, Verbs: []string{"post"}}}},
			&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "api-server", Namespace: w.ns}},
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})
		events := `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[{"auditID":"a1","stage":"ResponseComplete","verb":"list","user":{"username":"carla"},` +
			`"objectRef":{"resource":"erasurerequests","namespace":"` + w.ns + `","apiGroup":"privacy.lethe.dev"},"responseStatus":{"code":200},` +
			`"stageTimestamp":"2026-11-25T12:00:00.000000Z","requestReceivedTimestamp":"2026-11-25T12:00:00.000000Z"}]}`
		Eventually(func() int { return w.send(http.MethodPost, "/audit", sender, events).StatusCode }).Should(Equal(200), "once the authorizer knows the role")
		Expect(w.send(http.MethodPost, "/audit", sender, events).StatusCode).To(Equal(200), "sent again")
		Expect(w.send(http.MethodPost, "/audit", stranger, events).StatusCode).To(Equal(403))
		Expect(w.send(http.MethodPost, "/audit", "", events).StatusCode).To(Equal(401))
		Expect(w.send(http.MethodPost, "/audit", sender, "{").StatusCode).To(Equal(400))
		Expect(w.send(http.MethodPost, "/audit", sender, strings.Replace(events, w.ns, "no-such-"+w.ns, 1)).StatusCode).To(Equal(200))
		Expect(w.operator.Stop()).To(Succeed())
		seen := w.ledgerEntries(ledger.KindAccessObserved)
		Expect(seen).To(HaveLen(1))
		Expect(seen[0].Actor).To(Equal("carla"))
		Expect(seen[0].Reason).To(Equal(ledger.ReasonGranted))
		vault := keep.open(w.options)
		_, err := vault.Checkpoint(w, "no-such-"+w.ns)
		Expect(err).To(HaveOccurred(), "nobody begins a ledger by asking")
		Expect(vault.Close()).To(Succeed())
	})
})
