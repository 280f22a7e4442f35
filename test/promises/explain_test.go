package promises

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/explain"
	"github.com/lethe-dev/lethe/internal/stores"
	"github.com/lethe-dev/lethe/test/harness"
)

// explainer explains as somebody who may read in the namespace, by the clock of the test.
func (w *world) explainer() *explain.Explainer {
	GinkgoHelper()
	pool := stores.NewPool(cluster.Client, cluster.Client, wiring.Openers(), map[string]string{w.ns: w.ats.Root}, w.clock, logr.Discard())
	DeferCleanup(func() { _ = pool.Close() })
	return &explain.Explainer{Client: cluster.Client, Stores: pool, Now: w.clock.Now()}
}

// told is what a report says of each record: when it goes, why, and by which rule.
func told(r *explain.Report) map[string]string {
	out := map[string]string{}
	for _, rec := range r.Records {
		line := "stays"
		if rec.At != nil {
			line = rec.Action + " " + rec.At.Format(time.RFC3339)
		}
		out[rec.Entity+" "+strings.Join(rec.Key, ",")] = line + " " + rec.Kind + " " + rec.Rule
	}
	return out
}

var _ = Describe("Explain: one can ask why a record is still there", func() {
	noNotice := func(p *v1alpha1.RetentionPolicy) { p.Spec.Notice = &v1alpha1.NoticePolicy{Period: "P0D"} }

	// people of the preset: a1 has ended, a2 has an open application, a3 is held.
	people := func(h *hiring) {
		h.exec(`INSERT INTO applicants (id, email, full_name) VALUES ('a1', 'ada@example.org', 'Canary One'), ('a2', NULL, 'Canary Two'), ('a3', NULL, 'Canary Three')`)
		h.exec(`INSERT INTO vacancies (id, closed_at, recruiter_email) VALUES (1, $1, 'ada@example.org')`, ago(0, 1, 0))
		h.exec(`INSERT INTO applications (id, applicant_id, vacancy_id, closed_at) VALUES (1, 'a1', 1, $1), (2, 'a2', 1, NULL), (3, 'a3', 1, $1)`, ago(0, 0, 20))
		h.exec(`INSERT INTO documents (id, applicant_id, kind, file_name, issued_at) VALUES (1, 'a1', 'resume', 'cv.pdf', $1), (2, 'a1', 'travel-invoice', 'i.pdf', $1), (3, 'a2', 'resume', 'cv.pdf', $1), (4, 'a3', 'resume', 'cv.pdf', $1)`, ago(2, 0, 0))
		h.exec(`INSERT INTO messages (id, applicant_id, body) VALUES (1, 'a1', 'x'), (2, 'a2', 'x'), (3, 'a3', 'x')`)
		h.exec(`INSERT INTO notes (id, item_type, item_id, body) VALUES (1, 'applicant', 'a1', 'x'), (2, 'application', '1', 'x')`)
		h.exec(`INSERT INTO talent_pool (id, applicant_id, registered_at) VALUES (1, 'a1', $1)`, ago(0, 1, 0))
		h.exec(`INSERT INTO candidates (id, talent_pool_id, status, found_at) VALUES (1, 1, 'Invited', $1), (2, 1, 'Found', $1)`, ago(0, 1, 0))
	}

	It("tells for each record of a person when it goes and what decides it", func() {
		h := newHiring()
		people(h)
		h.create(&v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "matter-7", Namespace: h.ns}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{"a3"}, Reason: "matter 7"}},
			&v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "matter-8", Namespace: h.ns}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 8",
				Records: []v1alpha1.HoldSelector{{Map: "hiring", Entity: "candidates", Conditions: []v1alpha1.Condition{{Column: "id", Operator: v1alpha1.OperatorIn, Values: []string{"2"}}}}}}})
		for _, name := range []string{"matter-7", "matter-8"} {
			Eventually(h.conditionOf(&v1alpha1.LegalHold{}, name, v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		}
		h.policy("after-process-end", noNotice)
		h.policy("vacancy-stages", noNotice)
		x := h.explainer()
		report, err := x.Subject(h, h.ns, "a1")
		Expect(err).NotTo(HaveOccurred())
		Expect(told(report)).To(Equal(map[string]string{
			"hiring/applicants a1":       "stays LegalHold contact", // held records refer to it, and an invoice
			"hiring/applications 1":      "Delete 2026-08-09T12:00:00Z Rule contact",
			"hiring/documents 1":         "Delete 2026-03-11T12:00:00Z Rule documents",
			"hiring/documents 2":         "Delete 2034-03-01T12:00:00Z StatutoryHold documents",
			"hiring/messages 1":          "Delete 2026-08-09T12:00:00Z Rule communication",
			"hiring/applicant-notes 1":   "Delete 2026-08-09T12:00:00Z Rule notes",
			"hiring/application-notes 2": "Delete 2026-08-09T12:00:00Z Rule notes",
			"hiring/talent-pool 1":       "stays LegalHold talent-pool",
			"hiring/candidates 1":        "Delete 2026-08-09T12:00:00Z Rule contact",
			"hiring/candidates 2":        "stays LegalHold candidates",
			"hiring/vacancies 1":         "Anonymize 2026-08-09T12:00:00Z Rule contact",
		}), func() string {
			var b bytes.Buffer
			_ = report.Text(&b)
			return b.String()
		})
		Expect(report.Warnings).To(BeEmpty())
		held, err := x.Subject(h, h.ns, "a3")
		Expect(err).NotTo(HaveOccurred())
		Expect(held.Holds).To(Equal([]string{"matter-7"}))
		for _, rec := range held.Records {
			Expect([]any{rec.Kind, rec.GoesAt}).To(HaveExactElements("LegalHold", BeNil()), rec.Entity)
		}
		active, err := x.Subject(h, h.ns, "a2")
		Expect(err).NotTo(HaveOccurred())
		Expect(told(active)).To(Equal(map[string]string{
			"hiring/applicants a2":  "stays ActiveProcess contact",
			"hiring/applications 2": "stays ActiveProcess applicants-removed",
			"hiring/documents 3":    "stays ActiveProcess contact",
			"hiring/messages 2":     "stays ActiveProcess contact",
		}))
		row, err := x.Row(h, h.ns, "hiring/documents", []string{"2"})
		Expect(err).NotTo(HaveOccurred())
		Expect(row.Records).To(HaveLen(1))
		Expect(row.Records[0].Basis).To(Equal("AO section 147: tax-relevant documents, 10 years"))
		Expect(row.Records[0].Message).To(ContainSubstring("2034-03-01T12:00:00Z"))
		// Those of a row are those of the person, whichever way is taken.
		for _, rec := range report.Records {
			one, err := x.Row(h, h.ns, rec.Entity, rec.Key)
			Expect(err).NotTo(HaveOccurred())
			if rec.Entity != "hiring/vacancies" { // a vacancy belongs to nobody: an identity alone leads to it
				Expect(one.Records).To(HaveExactElements(rec))
			}
		}
	})

	It("says that a record goes at the very second at which a sweep takes it", func() {
		h := newHiring()
		people(h)
		h.exec(`UPDATE applications SET closed_at = $1`, start.Add(-20*24*time.Hour-1500*time.Millisecond))
		h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) { only("documents", "notes")(p); noNotice(p) })
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("talent-pool")(p); noNotice(p) })
		report, err := h.explainer().Subject(h, h.ns, "a1")
		Expect(err).NotTo(HaveOccurred())
		goes := map[string]time.Time{}
		for _, rec := range report.Records {
			if rec.GoesAt != nil {
				goes[rec.Entity+" "+rec.Key[0]] = *rec.GoesAt
			}
		}
		Expect(goes).To(HaveLen(7), fmt.Sprint(goes))
		Expect(goes["hiring/candidates 1"]).To(Equal(goes["hiring/talent-pool 1"]), "it goes with what it belongs to")
		there := func(entity string) bool {
			table, id, _ := strings.Cut(strings.TrimPrefix(entity, "hiring/"), " ")
			table = map[string]string{"applicant-notes": "notes", "application-notes": "notes", "talent-pool": "talent_pool"}[table] + map[string]string{"documents": "documents", "candidates": "candidates"}[table]
			for _, other := range h.ids(table) {
				if other == id {
					return true
				}
			}
			return false
		}
		for _, entity := range []string{"hiring/documents 1", "hiring/application-notes 2", "hiring/candidates 2"} {
			for i, want := range []bool{true, false} {
				h.step(goes[entity].Add(time.Duration(i-1) * time.Second).Sub(h.clock.Now()))
				h.sweepAll("after-process-end")
				h.sweepAll("vacancy-stages")
				Expect(there(entity)).To(Equal(want), entity)
			}
		}
	})

	It("tells what stops a policy, what is wrong with a rule, and what is not there", func() {
		h := newHiring()
		people(h)
		h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) { only("documents")(p); p.Spec.DryRun = true })
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) {
			only("candidates", "talent-pool")(p)
			p.Spec.Rules[1].Clock = "nothing"
		})
		x := h.explainer()
		report, err := x.Subject(h, h.ns, "a1")
		Expect(err).NotTo(HaveOccurred())
		Expect(told(report)).To(HaveKeyWithValue("hiring/documents 1", "stays Stopped documents"))
		Expect(told(report)).To(HaveKeyWithValue("hiring/messages 1", "stays NoRule "))
		Expect(told(report)).To(HaveKeyWithValue("hiring/candidates 1", "stays Condition candidates"))
		Expect(told(report)).To(HaveKeyWithValue("hiring/candidates 2", "Delete 2026-05-01T12:00:00Z Rule candidates"))
		Expect(report.Warnings).To(HaveExactElements(And(ContainSubstring("talent-pool"), ContainSubstring("has no clock nothing"))))
		for name, test := range map[string]struct {
			do   func() (*explain.Report, error)
			want string
		}{
			"nobody":    {func() (*explain.Report, error) { return x.Subject(h, h.ns, "nobody") }, "no record of a root entity has this id (hiring/applicants)"},
			"no entity": {func() (*explain.Report, error) { return x.Row(h, h.ns, "hiring/letters", []string{"1"}) }, "name one as map/entity: hiring/applicant-notes"},
			"no record": {func() (*explain.Report, error) { return x.Row(h, h.ns, "hiring/documents", []string{"99"}) }, "no such record of hiring/documents"},
			"no number": {func() (*explain.Report, error) { return x.Row(h, h.ns, "hiring/documents", []string{"x"}) }, "no such record of hiring/documents"},
			"short key": {func() (*explain.Report, error) { return x.Row(h, h.ns, "hiring/documents", []string{"1", "2"}) }, "the columns [id], and 2 values"},
			"no map":    {func() (*explain.Report, error) { return x.Subject(h, "default", "a1") }, "no PersonalDataMap"},
		} {
			_, err := test.do()
			Expect(err).To(MatchError(ContainSubstring(test.want)), name)
		}
		h.suspendNamespace(true)
		report, err = x.Subject(h, h.ns, "a1")
		Expect(err).NotTo(HaveOccurred())
		Expect(told(report)).To(HaveKeyWithValue("hiring/candidates 2", "stays Stopped candidates"))
	})

	It("explains records of SQLite", func() {
		w := newWorld(harness.Person{ID: "app-1", Email: "ada@example.org", Name: "Ada Canary", TaxDocument: "2020-01-01"})
		Eventually(func() error {
			m := w.get(&v1alpha1.PersonalDataMap{}, "ats").(*v1alpha1.PersonalDataMap)
			for i := range m.Spec.Entities {
				if e := &m.Spec.Entities[i]; e.Name == "documents" {
					e.Clocks = []v1alpha1.Clock{{Name: "issued", Column: "issued_at"}}
				}
			}
			return cluster.Client.Update(w, m)
		}).Should(Succeed())
		w.mapReady()
		w.create(&v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "age", Namespace: w.ns}, Spec: v1alpha1.RetentionPolicySpec{
			Schedule: &v1alpha1.SweepSchedule{Cron: "@daily"}, Rules: []v1alpha1.RetentionRule{{Name: "documents", Category: "documents", Clock: "issued", Period: "P1Y", Action: v1alpha1.RuleDelete}}}})
		var report *explain.Report
		Eventually(func() (err error) {
			report, err = w.explainer().Subject(w, w.ns, "app-1")
			return err
		}).Should(Succeed(), "the map is looked at anew")
		Expect(told(report)).To(Equal(map[string]string{
			"ats/applicants app-1": "stays NoRule ", "ats/applications 1": "stays NoRule ", "ats/notes 1": "stays NoRule ", "ats/notes 2": "stays NoRule ",
			"ats/documents 1": "Delete 2026-01-01T00:00:00Z Rule documents", "ats/documents 2": "Delete 2030-01-01T00:00:00Z StatutoryHold documents",
			"ats/messages 1": "stays NoRule ", "ats/consents 1": "stays NoRule ",
		}))
		row, err := w.explainer().Row(w, w.ns, "ats/documents", []string{"2"})
		Expect(err).NotTo(HaveOccurred())
		Expect(told(row)).To(HaveLen(1))
	})

	It("is a command for who may read the maps, policies, holds, stores and their Secrets, and changes nothing", func() {
		h := newHiring()
		people(h)
		h.policy("after-process-end", noNotice)
		Expect(h.operator.Stop()).To(Succeed()) // nobody else changes anything
		lethe, err := harness.BuildLethe(h, GinkgoT().TempDir())
		Expect(err).NotTo(HaveOccurred())
		kubeconfig := h.reader("explains", true)
		digest := func() string {
			var b strings.Builder
			for _, table := range []string{"applicants", "vacancies", "applications", "documents", "messages", "notes", "talent_pool", "candidates"} {
				rows, err := h.db.Query(h, "SELECT t::text FROM "+table+" t ORDER BY 1")
				Expect(err).NotTo(HaveOccurred())
				for rows.Next() {
					var text string
					Expect(rows.Scan(&text)).To(Succeed())
					b.WriteString(text + "\n")
				}
			}
			return b.String()
		}
		before := digest()
		run := func(args ...string) (string, string, error) {
			var out, errs bytes.Buffer
			cmd := exec.CommandContext(h, lethe, append([]string{"explain"}, args...)...)
			cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			return out.String(), errs.String(), err
		}
		out, errs, err := run("-n", h.ns, "--subject", "a1")
		Expect(err).NotTo(HaveOccurred(), errs)
		GinkgoWriter.Println(out)
		Expect(out).To(MatchRegexp(`(?m)^ENTITY +KEY +CATEGORY +WHEN +WHAT +POLICY +WHY$`))
		Expect(out).To(MatchRegexp(`(?m)^hiring/documents +2 +documents +2034-03-01T12:00:00Z +Delete +after-process-end +it is kept by the statutory hold hiring/documents/tax \(AO section 147: tax-relevant documents, 10 years\) until 2034-03-01T12:00:00Z$`))
		Expect(out).NotTo(ContainSubstring("ada@example.org"), "keys alone")
		out, errs, err = run("--context", "test", "--entity", "hiring/documents", "--key", "2", "-o", "json") // the namespace is the context's
		Expect(err).NotTo(HaveOccurred(), errs)
		GinkgoWriter.Println(out)
		var report explain.Report
		Expect(json.Unmarshal([]byte(out), &report)).To(Succeed())
		Expect(report.Format).To(Equal("lethe.dev/explanation/v1"))
		Expect(told(&report)).To(Equal(map[string]string{"hiring/documents 2": "Delete 2034-03-01T12:00:00Z StatutoryHold documents"}))
		for want, args := range map[string][]string{
			"give either --subject, or --entity with --key": {"-n", h.ns},
			"--entity and --key belong together":            {"--entity", "hiring/documents"},
			"--output must be table or json":                {"--subject", "a1", "-o", "xml"},
			"name a kubeconfig with --kubeconfig":           {"--subject", "a1", "--kubeconfig", "/nowhere"},
			"context":                                       {"--subject", "a1", "--context", "nowhere"},
		} {
			_, errs, err := run(args...)
			Expect(err).To(HaveOccurred())
			Expect(errs).To(ContainSubstring(want))
		}
		kubeconfig = h.reader("no-secrets", false)
		_, errs, err = run("--subject", "a1")
		Expect(err).To(HaveOccurred())
		Expect(errs).To(And(ContainSubstring(`cannot get resource "secrets"`), ContainSubstring(`"ats"`)))
		Expect(digest()).To(Equal(before))
	})
})

// reader is the kubeconfig of a viewer of the namespace, who may read the Secret of the store or not.
func (h *hiring) reader(name string, secrets bool) string {
	GinkgoHelper()
	config, _, err := cluster.Persona(h, h.ns, name, "viewer")
	Expect(err).NotTo(HaveOccurred())
	if secrets {
		meta := metav1.ObjectMeta{Name: name + "-stores", Namespace: h.ns}
		h.create(&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{"ats"}, Verbs: []string{"get"}}}},
			&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: name, Namespace: h.ns}},
				RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name}})
		Expect(cluster.AwaitRight(h, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: h.ns}},
			authorizationv1.ResourceAttributes{Namespace: h.ns, Resource: "secrets", Name: "ats", Verb: "get"})).To(Succeed())
	}
	file := clientcmdapi.Config{CurrentContext: "test",
		Clusters:  map[string]*clientcmdapi.Cluster{"test": {Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {Token: config.BearerToken}},
		Contexts:  map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test", Namespace: h.ns}}}
	path := filepath.Join(GinkgoT().TempDir(), "kubeconfig")
	Expect(clientcmd.WriteToFile(file, path)).To(Succeed())
	return path
}
