package promises

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/notify"
	"github.com/lethe-dev/lethe/test/harness"
)

// hiringSchema is what the preset's map is for (config/samples/personaldatamap_preset.yaml).
const hiringSchema = `
CREATE TABLE applicants (id text PRIMARY KEY, email text, full_name text, last_seen_at timestamptz, consent_status text NOT NULL DEFAULT 'given', consent_sent_at timestamptz);
CREATE TABLE vacancies (id bigint PRIMARY KEY, title text, description text, recruiter_email text, closed_at timestamptz, archived_at timestamptz, removed_at timestamptz);
CREATE TABLE applications (id bigint PRIMARY KEY, applicant_id text NOT NULL REFERENCES applicants(id), vacancy_id bigint REFERENCES vacancies(id),
  cover_letter text, applied_at timestamptz, closed_at timestamptz, anonymised_at timestamptz);
CREATE TABLE talent_pool (id bigint PRIMARY KEY, applicant_id text NOT NULL REFERENCES applicants(id), registered_at timestamptz);
CREATE TABLE candidates (id bigint PRIMARY KEY, talent_pool_id bigint NOT NULL REFERENCES talent_pool(id), status text NOT NULL, found_at timestamptz);
CREATE TABLE documents (id bigint PRIMARY KEY, applicant_id text NOT NULL REFERENCES applicants(id), kind text NOT NULL, file_name text, issued_at timestamptz, contract_ends_at timestamptz);
CREATE TABLE messages (id bigint PRIMARY KEY, applicant_id text NOT NULL REFERENCES applicants(id), body text);
CREATE TABLE notes (id bigint PRIMARY KEY, item_type text NOT NULL, item_id text NOT NULL, body text);
CREATE INDEX ON applications (applicant_id);
CREATE INDEX ON applications (vacancy_id);
CREATE INDEX ON talent_pool (applicant_id);
CREATE INDEX ON candidates (talent_pool_id);
CREATE INDEX ON documents (applicant_id);
CREATE INDEX ON messages (applicant_id);
CREATE INDEX ON notes (item_type, item_id);
CREATE INDEX ON vacancies (recruiter_email);
`

// hiring is a world with the preset's map on a PostgreSQL database.
type hiring struct {
	*world
	db *pgx.Conn
}

func newHiring(change ...func(*v1alpha1.PersonalDataMap)) *hiring {
	GinkgoHelper()
	h := &hiring{world: emptyWorld()}
	name, err := postgres.CreateDatabase(h)
	Expect(err).NotTo(HaveOccurred())
	h.db, err = postgres.Connect(h, name)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = h.db.Close(h) })
	h.exec(hiringSchema)
	Expect(os.MkdirAll(filepath.Join(h.ats.Root, "storage", "documents"), 0o755)).To(Succeed())
	h.create(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "ats", Namespace: h.ns}, StringData: map[string]string{"username": postgres.User, "password": postgres.Password}},
		&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "ats", Namespace: h.ns}, Spec: v1alpha1.DataStoreSpec{PostgreSQL: &v1alpha1.PostgreSQLStore{
			Host: "127.0.0.1", Port: int32(postgres.Port), Database: name, SSLMode: "disable", CredentialsSecretRef: v1alpha1.LocalReference{Name: "ats"}}}},
		&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "storage", Namespace: h.ns}, Spec: v1alpha1.DataStoreSpec{Filesystem: &v1alpha1.FilesystemStore{Path: "storage"}}})
	m := sample[*v1alpha1.PersonalDataMap]("personaldatamap_preset.yaml", "hiring")
	m.Namespace, m.Spec.DriftPolicy = h.ns, v1alpha1.DriftWarn
	for _, f := range change {
		f(m)
	}
	h.create(m)
	Eventually(h.conditionOf(&v1alpha1.PersonalDataMap{}, "hiring", v1alpha1.ConditionReady)).Should(Equal("True/Ready"), func() string {
		return fmt.Sprint(h.get(&v1alpha1.PersonalDataMap{}, "hiring").(*v1alpha1.PersonalDataMap).Status)
	})
	return h
}

// sample reads an object of config/samples.
func sample[T client.Object](file, name string) T {
	GinkgoHelper()
	objects, err := harness.Samples(file)
	Expect(err).NotTo(HaveOccurred())
	for _, o := range objects {
		if t, ok := o.(T); ok && o.GetName() == name {
			return t
		}
	}
	Fail("no sample " + name)
	panic("unreachable")
}

func (h *hiring) exec(query string, args ...any) {
	GinkgoHelper()
	_, err := h.db.Exec(h, query, args...)
	Expect(err).NotTo(HaveOccurred())
}

// ids of a table, in order.
func (h *hiring) ids(table string) []string {
	GinkgoHelper()
	rows, err := h.db.Query(h, "SELECT id::text FROM "+table+" ORDER BY id")
	Expect(err).NotTo(HaveOccurred())
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	Expect(err).NotTo(HaveOccurred())
	return ids
}

// policy creates the rules of a policy of the preset, or those given.
func (h *hiring) policy(preset string, change func(*v1alpha1.RetentionPolicy)) *v1alpha1.RetentionPolicy {
	GinkgoHelper()
	p := sample[*v1alpha1.RetentionPolicy]("retentionpolicy_preset.yaml", preset)
	p.Namespace, p.Spec.DryRun = h.ns, false
	p.Spec.Limits = &v1alpha1.SweepLimits{MaxSharePercent: 100}
	change(p)
	h.create(p)
	return p
}

// only leaves the rules of these names.
func only(names ...string) func(*v1alpha1.RetentionPolicy) {
	return func(p *v1alpha1.RetentionPolicy) {
		var rules []v1alpha1.RetentionRule
		for _, r := range p.Spec.Rules {
			for _, n := range names {
				if r.Name == n {
					rules = append(rules, r)
				}
			}
		}
		p.Spec.Rules = rules
	}
}

// sweepNow has the operator follow the rules of a policy, and waits until it has.
func (h *hiring) sweepNow(policy string) *v1alpha1.RetentionPolicy {
	GinkgoHelper()
	nonce := h.askForSweep(policy)
	p := &v1alpha1.RetentionPolicy{}
	Eventually(func() string {
		h.get(p, policy)
		return p.Status.AcknowledgedSweep
	}).Should(Equal(nonce), func() string {
		return fmt.Sprint(h.get(&v1alpha1.RetentionPolicy{}, policy).(*v1alpha1.RetentionPolicy).Status)
	})
	return p
}

// askForSweep asks to follow the rules of a policy now.
func (h *hiring) askForSweep(policy string) (nonce string) {
	GinkgoHelper()
	nonce = fmt.Sprint(time.Now().UnixNano())
	h.changePolicy(policy, func(p *v1alpha1.RetentionPolicy) {
		metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.AnnotationSweep, nonce)
	})
	return nonce
}

func (h *hiring) changePolicy(name string, f func(*v1alpha1.RetentionPolicy)) {
	GinkgoHelper()
	p := h.get(&v1alpha1.RetentionPolicy{}, name).(*v1alpha1.RetentionPolicy)
	read := p.DeepCopy()
	f(p)
	Expect(cluster.Client.Patch(h, p, client.MergeFrom(read))).To(Succeed())
}

// runs of a rule that have not ended, and those that have.
func (h *hiring) runs(rule string) []v1alpha1.DeletionRun {
	GinkgoHelper()
	var list v1alpha1.DeletionRunList
	Expect(cluster.Client.List(h, &list, client.InNamespace(h.ns))).To(Succeed())
	var runs []v1alpha1.DeletionRun
	for _, r := range list.Items {
		if r.Spec.Retention != nil && r.Spec.Retention.Rule == rule {
			runs = append(runs, r)
		}
	}
	return runs
}

// only run of a rule.
func (h *hiring) theRun(rule string) *v1alpha1.DeletionRun {
	GinkgoHelper()
	runs := h.runs(rule)
	Expect(runs).To(HaveLen(1))
	return &runs[0]
}

// runState is phase and reason of a run, which is made to look again.
func (h *hiring) runState(name string) func() string {
	return func() string {
		run := &v1alpha1.DeletionRun{}
		if err := cluster.Client.Get(h, client.ObjectKey{Namespace: h.ns, Name: name}, run); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil {
			return ""
		}
		return string(run.Status.Phase) + "/" + c.Reason
	}
}

func (h *hiring) pokeRun(name string) {
	GinkgoHelper()
	h.changeRun(name, func(r *v1alpha1.DeletionRun) {
		metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.AnnotationRecheck, fmt.Sprint(time.Now().UnixNano()))
	})
}

func (h *hiring) changeRun(name string, f func(*v1alpha1.DeletionRun)) {
	GinkgoHelper()
	run := h.get(&v1alpha1.DeletionRun{}, name).(*v1alpha1.DeletionRun)
	read := run.DeepCopy()
	f(run)
	Expect(cluster.Client.Patch(h, run, client.MergeFrom(read))).To(Succeed())
}

func (h *hiring) runMessage(name string) string {
	GinkgoHelper()
	c := meta.FindStatusCondition(h.get(&v1alpha1.DeletionRun{}, name).(*v1alpha1.DeletionRun).Status.Conditions, v1alpha1.ConditionReady)
	Expect(c).NotTo(BeNil())
	return c.Message
}

// ago is a time before the clocks of the test.
func ago(years, months, days int) time.Time { return start.AddDate(-years, -months, -days) }

// candidate adds one who was found a time ago.
func (h *hiring) candidate(id int, status string, found time.Time) {
	GinkgoHelper()
	h.exec(`INSERT INTO applicants (id, full_name) VALUES ('a' || $1::int, 'Canary Person') ON CONFLICT DO NOTHING`, id)
	h.exec(`INSERT INTO talent_pool (id, applicant_id, registered_at) VALUES ($1::int, 'a' || $1::int, $2)`, id, start)
	h.exec(`INSERT INTO candidates (id, talent_pool_id, status, found_at) VALUES ($1::int, $1::int, $2, $3)`, id, status, found)
}

var _ = Describe("Retention: data leaves by itself when its time has come", func() {
	noNotice := func(p *v1alpha1.RetentionPolicy) { p.Spec.Notice = &v1alpha1.NoticePolicy{Period: "P0D"} }

	It("removes candidates after three months, and keeps those marked as Invited or as Applied regardless of the limit", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.candidate(2, "Invited", ago(1, 0, 0))
		h.candidate(3, "Applied", ago(1, 0, 0))
		h.candidate(4, "Found", ago(0, 2, 25))
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("candidates")(p); noNotice(p) })
		p := h.sweepNow("vacancy-stages")
		run := h.theRun("candidates")
		Eventually(h.runState(run.Name)).Should(Equal("Completed/Swept"), func() string { return h.runMessage(run.Name) })
		Expect(h.ids("candidates")).To(Equal([]string{"2", "3", "4"}))
		Expect(h.ids("talent_pool")).To(HaveLen(4), "only the link as a candidate is removed")
		Expect(p.Status.Rules).To(HaveLen(1))
		Expect(p.Status.Rules[0].Due).To(Equal(int64(1)))
		Expect(p.Status.Rules[0].Kept).To(Equal(int64(2)))
		Expect(h.theRun("candidates").Status.Counts).To(Equal([]v1alpha1.CategoryCount{{Category: "profile", Deleted: 1}}))
	})

	It("tells thirty days before an automatic deletion, and deletes at that time what is due then", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 2, 15)) // due in half a month
		h.candidate(2, "Found", ago(0, 1, 0))  // not due within the notice period
		h.policy("vacancy-stages", only("candidates"))
		h.sweepNow("vacancy-stages")
		run := h.theRun("candidates")
		Eventually(h.runState(run.Name)).Should(Equal("Pending/Announced"))
		run = h.theRun("candidates")
		Expect(run.Status.Announced.Due).To(Equal(int64(1)))
		Expect(run.Status.Announced.Total).To(Equal(int64(2)))
		Expect(run.Status.ScheduledAt.Time.UTC()).To(Equal(start.AddDate(0, 0, 30)))
		h.step(29 * 24 * time.Hour)
		h.pokeRun(run.Name)
		Consistently(func() []string { return h.ids("candidates") }).Should(HaveLen(2), "never early")
		h.clock.Step(25 * time.Hour) // one clock alone does not decide
		h.pokeRun(run.Name)
		Consistently(func() []string { return h.ids("candidates") }).Should(HaveLen(2))
		h.witness.Step(25 * time.Hour)
		h.pokeRun(run.Name)
		Eventually(h.runState(run.Name)).Should(Equal("Completed/Swept"), func() string { return h.runMessage(run.Name) })
		Expect(h.ids("candidates")).To(Equal([]string{"2"}))
		reasons := h.ledgerKinds()
		Expect(reasons).To(ContainElements("retention.announced", "run.started", "retention.intent", "retention.outcome", "retention.verified", "run.completed"))
	})

	It("tells those outside the cluster of an announcement once, and again until they hear", func() {
		h := newHiring()
		var away atomic.Bool
		away.Store(true)
		heard := make(chan event.Event, 100)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			e := event.New()
			if json.NewDecoder(r.Body).Decode(&e) == nil {
				heard <- e
			}
		}))
		DeferCleanup(server.Close)
		endpoint, err := notify.Open(server.URL, "")
		Expect(err).NotTo(HaveOccurred())
		h.restartWith(func(o *harness.OperatorOptions) { o.Outside = endpoint })
		h.candidate(1, "Found", ago(0, 2, 15))
		h.policy("vacancy-stages", only("candidates"))
		h.sweepNow("vacancy-stages")
		run := h.theRun("candidates")
		Eventually(h.runState(run.Name)).Should(Equal("Pending/Announced"))
		failed := func() []string {
			var list eventsv1.EventList
			Expect(cluster.Client.List(h, &list, client.InNamespace(h.ns))).To(Succeed())
			var notes []string
			for _, e := range list.Items {
				if e.Reason == v1alpha1.ReasonNotificationFailed && e.Regarding.Name == run.Name {
					notes = append(notes, e.Note)
				}
			}
			return notes
		}
		Eventually(failed).Should(ContainElement(ContainSubstring("did not take the announcement; it is told again each minute")))
		Expect(h.operator.Logs.String()).To(ContainSubstring("503 Service Unavailable"))
		away.Store(false)
		h.pokeRun(run.Name)
		Consistently(heard, "300ms").ShouldNot(Receive(), "not before a minute has passed")
		h.step(time.Minute)
		h.pokeRun(run.Name)
		var e event.Event
		Eventually(heard).Should(Receive(&e))
		Expect(e.Type()).To(Equal(notify.TypeAnnounced))
		Expect(e.Subject()).To(Equal(run.Name))
		Expect(e.Data()).To(MatchJSON(fmt.Sprintf(`{"namespace": %q, "run": %q, "policy": "vacancy-stages", "rule": "candidates", "scheduledAt": %q, "due": 1, "total": 1}`,
			h.ns, run.Name, start.AddDate(0, 0, 30).Format(time.RFC3339))))
		h.pokeRun(run.Name)
		Consistently(heard, "500ms").ShouldNot(Receive(), "it is on record that it was told")
		h.restartWith(func(*harness.OperatorOptions) {})
		h.pokeRun(run.Name)
		Eventually(h.runState(run.Name)).Should(Equal("Pending/Announced"))
		Consistently(heard).ShouldNot(Receive())
	})

	It("can be confirmed, postponed within bounds with a reason, or cancelled", func() {
		h := newHiring()
		for i := range 4 {
			h.candidate(i+1, "Found", ago(0, 3, 1))
		}
		h.policy("vacancy-stages", only("candidates"))
		h.sweepNow("vacancy-stages")
		name := h.theRun("candidates").Name
		Eventually(h.runState(name)).Should(Equal("Pending/Announced"))
		later := metav1.NewTime(start.AddDate(0, 0, 50))
		h.changeRun(name, func(r *v1alpha1.DeletionRun) {
			r.Spec.Postponed = &v1alpha1.RunPostponement{To: later, Reason: "audit until May"}
		})
		Eventually(h.runState(name)).Should(Equal("Pending/Postponed"))
		h.step(31 * 24 * time.Hour)
		h.pokeRun(name)
		Consistently(h.runState(name)).Should(Equal("Pending/Postponed"))
		h.changeRun(name, func(r *v1alpha1.DeletionRun) { r.Spec.Postponed.To = metav1.NewTime(start.AddDate(1, 0, 0)) })
		Eventually(h.runState(name)).Should(Equal("Pending/PostponementTooLong"))
		Expect(h.runMessage(name)).To(ContainSubstring("2026-06-29"))
		h.changeRun(name, func(r *v1alpha1.DeletionRun) { r.Spec.Postponed.To = later })
		Eventually(h.runState(name)).Should(Equal("Pending/Postponed"))
		h.changeRun(name, func(r *v1alpha1.DeletionRun) { r.Spec.Cancelled = true })
		Eventually(h.runState(name)).Should(Equal("Cancelled/Cancelled"))
		Expect(h.ids("candidates")).To(HaveLen(4))
		h.sweepNow("vacancy-stages")
		Expect(h.runs("candidates")).To(HaveLen(2), "what it announced is announced anew")
		second := h.runs("candidates")[1].Name
		if second == name {
			second = h.runs("candidates")[0].Name
		}
		h.changeRun(second, func(r *v1alpha1.DeletionRun) { r.Spec.Confirmed = &v1alpha1.RunConfirmation{Records: 3} })
		Eventually(h.runState(second)).Should(Equal("Pending/ConfirmationNeeded"))
		Expect(h.ids("candidates")).To(HaveLen(4), "fewer are confirmed than are due")
		h.changeRun(second, func(r *v1alpha1.DeletionRun) { r.Spec.Confirmed.Records = 4 })
		Eventually(h.runState(second)).Should(Equal("Completed/Swept"))
		Expect(h.ids("candidates")).To(BeEmpty())
		Expect(h.ledgerKinds()).To(ContainElements("retention.postponed", "retention.confirmed", "run.cancelled"))
	})

	It("deletes never more than was announced plus what the policy allows", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.policy("vacancy-stages", only("candidates"))
		h.sweepNow("vacancy-stages")
		name := h.theRun("candidates").Name
		Eventually(h.runState(name)).Should(Equal("Pending/Announced"))
		for i := range 5 { // came since the notice, with clocks of long ago
			h.candidate(i+2, "Found", ago(1, 0, 0))
		}
		h.step(31 * 24 * time.Hour)
		h.pokeRun(name)
		Eventually(h.runState(name)).Should(Equal("Pending/MoreThanAnnounced"))
		Expect(h.ids("candidates")).To(HaveLen(6))
		h.changeRun(name, func(r *v1alpha1.DeletionRun) { r.Spec.Confirmed = &v1alpha1.RunConfirmation{Records: 6} })
		Eventually(h.runState(name)).Should(Equal("Completed/Swept"))
		Expect(h.ids("candidates")).To(BeEmpty())
	})

	It("stops where a rule would delete more than its share of a table", func() {
		h := newHiring()
		for i := range 10 {
			h.candidate(i+1, "Found", ago(0, 3, 1+i*20))
		}
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) {
			only("candidates")(p)
			noNotice(p)
			p.Spec.Limits = &v1alpha1.SweepLimits{MaxSharePercent: 50}
		})
		h.sweepNow("vacancy-stages")
		name := h.theRun("candidates").Name
		Eventually(h.runState(name)).Should(Equal("Pending/ShareLimit"))
		Expect(h.runMessage(name)).To(ContainSubstring("10 of 10 records"))
		Expect(h.ids("candidates")).To(HaveLen(10))
	})

	It("is stopped by a kill switch of the namespace, by spec.suspend, and goes on after", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.suspendNamespace(true)
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("candidates")(p); noNotice(p) })
		h.sweepNow("vacancy-stages")
		name := h.theRun("candidates").Name
		Eventually(h.runState(name)).Should(Equal("Pending/Suspended"))
		Expect(h.runMessage(name)).To(ContainSubstring(v1alpha1.AnnotationSuspend))
		h.changePolicy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { p.Spec.Suspend = true })
		h.pokeRun(name)
		Eventually(func() string { return h.runMessage(name) }).Should(ContainSubstring("spec.suspend"))
		h.suspendNamespace(false)
		h.step(3 * time.Second)
		h.pokeRun(name)
		Consistently(func() []string { return h.ids("candidates") }, "1s").Should(HaveLen(1))
		Expect(h.runMessage(name)).To(ContainSubstring("spec.suspend"))
		h.changePolicy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { p.Spec.Suspend = false })
		Eventually(h.runState(name)).Should(Equal("Completed/Swept"))
	})

	It("archives vacancies after they were closed, removes them after that, and then their applications; an early archive moves what follows", func() {
		h := newHiring()
		h.exec(`INSERT INTO applicants (id) VALUES ('a1'), ('a2')`)
		h.exec(`INSERT INTO vacancies (id, recruiter_email, closed_at, archived_at) VALUES (1, 'r@example.org', $1, NULL), (2, 'r@example.org', $2, $3), (3, NULL, NULL, NULL)`,
			ago(0, 3, 1), ago(0, 1, 0), ago(0, 0, 20)) // the second was archived early by a recruiter
		h.exec(`INSERT INTO applications (id, applicant_id, vacancy_id, cover_letter, closed_at) VALUES (1, 'a1', 1, 'x', $1), (2, 'a2', 2, 'x', $1)`, start)
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) {
			only("vacancies-archived", "vacancies-removed", "applicants-removed")(p)
			noNotice(p)
		})
		day := 24 * time.Hour
		stages := func() (out [][2]bool) {
			rows, err := h.db.Query(h, `SELECT archived_at IS NOT NULL, removed_at IS NOT NULL FROM vacancies ORDER BY id`)
			Expect(err).NotTo(HaveOccurred())
			for rows.Next() {
				var s [2]bool
				Expect(rows.Scan(&s[0], &s[1])).To(Succeed())
				out = append(out, s)
			}
			return out
		}
		h.sweepAll("vacancy-stages")
		Expect(stages()).To(Equal([][2]bool{{true, false}, {true, false}, {false, false}}), "the third is open")
		h.step(346 * day) // a year after the early archive
		h.sweepAll("vacancy-stages")
		Expect(stages()).To(Equal([][2]bool{{true, false}, {true, true}, {false, false}}))
		h.step(20 * day) // a year after the archive by rule
		h.sweepAll("vacancy-stages")
		Expect(stages()).To(Equal([][2]bool{{true, true}, {true, true}, {false, false}}))
		Expect(h.ids("applications")).To(Equal([]string{"1", "2"}))
		h.step(346 * day)
		h.sweepAll("vacancy-stages")
		Expect(h.ids("applications")).To(Equal([]string{"1"}))
		h.step(20 * day)
		h.sweepAll("vacancy-stages")
		Expect(h.ids("applications")).To(BeEmpty())
		Expect(h.ids("vacancies")).To(HaveLen(3), "empty shells stay for reports")
	})

	It("deletes documents thirty days after the end of the process with their files, and keeps what the law wants kept", func() {
		h := newHiring()
		h.exec(`INSERT INTO applicants (id) VALUES ('a1'), ('a2')`)
		h.exec(`INSERT INTO applications (id, applicant_id, closed_at) VALUES (1, 'a1', $1), (2, 'a1', $2), (3, 'a2', $1), (4, 'a2', NULL)`, ago(1, 0, 0), ago(0, 0, 31))
		h.exec(`INSERT INTO documents (id, applicant_id, kind, file_name, issued_at, contract_ends_at) VALUES
			(1, 'a1', 'resume', 'cv.pdf', $1, NULL), (2, 'a1', 'travel-invoice', 'hotel.pdf', $1, NULL), (3, 'a1', 'contract', 'c.pdf', $1, $2), (4, 'a2', 'resume', 'cv.pdf', $1, NULL)`,
			ago(9, 11, 0), ago(6, 0, 1))
		for _, f := range []string{"1/cv.pdf", "2/hotel.pdf", "3/c.pdf", "4/cv.pdf"} {
			path := filepath.Join(h.ats.Root, "storage", "documents", f)
			Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
			Expect(os.WriteFile(path, []byte("x"), 0o600)).To(Succeed())
		}
		files := func() []string {
			found, err := filepath.Glob(filepath.Join(h.ats.Root, "storage", "documents", "*", "*.pdf"))
			Expect(err).NotTo(HaveOccurred())
			var names []string
			for _, f := range found {
				names = append(names, filepath.Base(filepath.Dir(f)))
			}
			return names
		}
		h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) { only("documents")(p); noNotice(p) })
		h.sweepAll("after-process-end")
		Expect(h.ids("documents")).To(Equal([]string{"2", "4"}), "an invoice of less than ten years, and one whose process is still open; the contract ended six years ago")
		Expect(files()).To(Equal([]string{"2", "4"}))
		h.step(32 * 24 * time.Hour)
		h.sweepAll("after-process-end")
		Expect(h.ids("documents")).To(Equal([]string{"4"}), "the invoice goes by itself when its ten years have passed")
		Expect(files()).To(Equal([]string{"4"}))
	})

	It("moves records with their files to an archive, and purges them there after the archive retention", func() {
		h := newHiring()
		Expect(os.MkdirAll(filepath.Join(h.ats.Root, "archive"), 0o755)).To(Succeed())
		h.create(&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "archive", Namespace: h.ns}, Spec: v1alpha1.DataStoreSpec{Filesystem: &v1alpha1.FilesystemStore{Path: "archive"}}})
		h.exec(`INSERT INTO applicants (id) VALUES ('a1')`)
		h.exec(`INSERT INTO applications (id, applicant_id, closed_at) VALUES (1, 'a1', $1)`, ago(0, 0, 31))
		h.exec(`INSERT INTO documents (id, applicant_id, kind, file_name) VALUES (1, 'a1', 'resume', 'cv.pdf'), (2, 'a1', 'letter', NULL)`)
		file := filepath.Join(h.ats.Root, "storage", "documents", "1", "cv.pdf")
		Expect(os.MkdirAll(filepath.Dir(file), 0o755)).To(Succeed())
		Expect(os.WriteFile(file, []byte("a resume"), 0o600)).To(Succeed())
		h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) {
			only("documents")(p)
			noNotice(p)
			p.Spec.Rules[0].Action, p.Spec.Rules[0].ArchiveTo = v1alpha1.RuleArchive, "archive"
		})
		h.sweepAll("after-process-end")
		Expect(h.ids("documents")).To(BeEmpty())
		Expect(file).NotTo(BeAnExistingFile())
		run := h.theRun("documents")
		Expect(run.Status.Counts).To(Equal([]v1alpha1.CategoryCount{{Category: "documents", Deleted: 2, Files: 1}}))
		root := filepath.Join(h.ats.Root, "archive", run.Name)
		Expect(os.ReadFile(filepath.Join(root, "files", "storage", "documents", "1", "cv.pdf"))).To(Equal([]byte("a resume")))
		records, err := filepath.Glob(filepath.Join(root, "records", "*.ndjson"))
		Expect(err).NotTo(HaveOccurred())
		Expect(records).To(HaveLen(1))
		text, err := os.ReadFile(records[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(strings.Split(strings.TrimSpace(string(text)), "\n")).To(HaveLen(2))
		Expect(string(text)).To(ContainSubstring(`"entity":"hiring/documents","table":"documents","values":{"applicant_id":"a1","contract_ends_at":null,"file_name":"cv.pdf","id":"1"`))
		h.step(29 * 24 * time.Hour)
		h.pokeRun(run.Name)
		Consistently(root).Should(BeADirectory())
		h.step(25 * time.Hour)
		h.pokeRun(run.Name)
		Eventually(func() []string {
			left, err := filepath.Glob(filepath.Join(root, "*", "*"))
			Expect(err).NotTo(HaveOccurred())
			return left
		}).Should(BeEmpty())
		Eventually(func() string { return h.runMessage(run.Name) }).Should(HaveSuffix("purged"))
		Expect(h.ledgerKinds()).To(ContainElement("retention.purged"))
	})

	It("keeps what a legal hold holds: a person by name, and records by a condition", func() {
		h := newHiring()
		for i := range 3 {
			h.candidate(i+1, "Found", ago(0, 3, 1))
		}
		h.create(&v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "person", Namespace: h.ns}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{"a1"}, Reason: "matter 7"}},
			&v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "records", Namespace: h.ns}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 8",
				Records: []v1alpha1.HoldSelector{{Map: "hiring", Entity: "candidates", Conditions: []v1alpha1.Condition{{Column: "id", Operator: v1alpha1.OperatorIn, Values: []string{"2"}}}}}}})
		for _, name := range []string{"person", "records"} {
			Eventually(h.conditionOf(&v1alpha1.LegalHold{}, name, v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		}
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("candidates")(p); noNotice(p) })
		h.sweepAll("vacancy-stages")
		Expect(h.ids("candidates")).To(Equal([]string{"1", "2"}))
		for _, name := range []string{"person", "records"} {
			hold := h.get(&v1alpha1.LegalHold{}, name).(*v1alpha1.LegalHold)
			hold.Spec.Lifted = true
			Expect(cluster.Client.Update(h, hold)).To(Succeed())
			Eventually(h.conditionOf(&v1alpha1.LegalHold{}, name, v1alpha1.ConditionReady)).Should(Equal("True/Lifted"))
		}
		h.step(time.Minute)
		h.sweepAll("vacancy-stages")
		Expect(h.ids("candidates")).To(BeEmpty())
	})

	It("erases the whole person six months after the end of the last process", func() {
		h := newHiring()
		h.exec(`INSERT INTO applicants (id, full_name) VALUES ('a1', 'Canary One'), ('a2', 'Canary Two'), ('a3', 'Canary Three')`)
		h.exec(`INSERT INTO applications (id, applicant_id, closed_at) VALUES (1, 'a1', $1), (2, 'a2', $2), (3, 'a3', NULL)`, ago(0, 6, 1), ago(0, 5, 0))
		h.exec(`INSERT INTO messages (id, applicant_id, body) VALUES (1, 'a1', 'x'), (2, 'a2', 'x')`)
		h.exec(`INSERT INTO notes (id, item_type, item_id, body) VALUES (1, 'applicant', 'a1', 'x'), (2, 'application', '1', 'x'), (3, 'application', '2', 'x')`)
		h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) { only("contact")(p); noNotice(p) })
		h.sweepNow("after-process-end")
		name := h.theRun("contact").Name
		Eventually(h.requests).Should(Equal(map[string]int{"Retention/Completed": 1}))
		h.pokeRun(name)
		Eventually(h.runState(name)).Should(Equal("Completed/Swept"), func() string { return h.runMessage(name) })
		Expect(h.ids("applicants")).To(Equal([]string{"a2", "a3"}))
		Expect(h.ids("messages")).To(Equal([]string{"2"}))
		Expect(h.ids("notes")).To(Equal([]string{"3"}))
	})

	It("erases several people at once by hand, and nobody with an active process unless it is forced", func() {
		h := newHiring()
		h.exec(`INSERT INTO applicants (id) VALUES ('a1'), ('a2'), ('a3')`)
		h.exec(`INSERT INTO applications (id, applicant_id, closed_at) VALUES (1, 'a1', $1), (2, 'a2', NULL)`, start)
		h.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "by-hand", Namespace: h.ns}, Spec: v1alpha1.DeletionRunSpec{Subjects: &v1alpha1.SubjectsReference{
			Items: []v1alpha1.RunSubject{{ID: "a1"}, {ID: "a2"}}, Reason: "spam accounts"}}})
		Eventually(h.requests).Should(Equal(map[string]int{"Admin/Completed": 1, "Admin/Pending": 1}))
		Expect(h.ids("applicants")).To(Equal([]string{"a2", "a3"}))
		h.pokeRun("by-hand")
		Eventually(h.runState("by-hand")).Should(Equal("Pending/Processing"))
		Eventually(func() *v1alpha1.RequestCounts { return h.run("by-hand").Status.Requests }).Should(Equal(&v1alpha1.RequestCounts{Completed: 1, Pending: 1}))
		h.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "forced", Namespace: h.ns}, Spec: v1alpha1.DeletionRunSpec{Subjects: &v1alpha1.SubjectsReference{
			Items: []v1alpha1.RunSubject{{ID: "a3"}}, Reason: "spam accounts", Force: true}}})
		Eventually(h.runState("forced")).Should(Equal("Pending/AdmissionRequired"), "nobody verified that who forces it may")
	})

	It("starts the erasure at once when consent is withdrawn or declined, and after ten days without an answer", func() {
		h := newHiring(func(m *v1alpha1.PersonalDataMap) {
			is := func(value string) []v1alpha1.Condition {
				return []v1alpha1.Condition{{Column: "consent_status", Operator: v1alpha1.OperatorIn, Values: []string{value}}}
			}
			m.Spec.Entities[0].Consent = &v1alpha1.Consent{Subject: "id", SentAt: "consent_sent_at", Pending: is("pending"), Withdrawn: is("withdrawn"), Declined: is("declined"),
				OnExpiry: []v1alpha1.ColumnValue{{Column: "consent_status", Value: ptr.To("expired")}}}
		})
		h.exec(`INSERT INTO applicants (id, consent_status, consent_sent_at) VALUES ('a1', 'withdrawn', $1), ('a2', 'declined', $1), ('a3', 'pending', $2), ('a4', 'pending', $3), ('a5', 'given', $1)`,
			ago(1, 0, 0), ago(0, 0, 10), ago(0, 0, 9))
		h.exec(`INSERT INTO applications (id, applicant_id, closed_at) VALUES (1, 'a3', NULL)`) // an active process: marked, and waits
		h.create(&v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "consent", Namespace: h.ns}, Spec: v1alpha1.RetentionPolicySpec{Consent: &v1alpha1.ConsentPolicy{}}})
		Eventually(h.requests).Should(Equal(map[string]int{"ConsentWithdrawn/Completed": 1, "ConsentDeclined/Completed": 1, "ConsentExpired/Pending": 1}))
		Expect(h.ids("applicants")).To(Equal([]string{"a3", "a4", "a5"}))
		var status string
		Expect(h.db.QueryRow(h, `SELECT consent_status FROM applicants WHERE id = 'a3'`).Scan(&status)).To(Succeed())
		Expect(status).To(Equal("expired"))
		h.exec(`UPDATE applications SET closed_at = $1`, start)
		h.step(24 * time.Hour)
		Eventually(h.requests).Should(HaveKeyWithValue("ConsentExpired/Completed", 1))
		Expect(h.ids("applicants")).To(ContainElement("a3"), "an active process ended: approval is needed")
		Expect(h.ids("applicants")).NotTo(ContainElement("a4"))
	})

	It("erases although a process is active when somebody with the verb forces it, and says who", func() {
		h := newHiring()
		h.exec(`INSERT INTO applicants (id) VALUES ('a1'), ('a2')`)
		h.exec(`INSERT INTO applications (id, applicant_id, closed_at) VALUES (1, 'a1', NULL)`)
		h.admission(true)
		defer h.admission(false)
		_, admin, err := cluster.Persona(h, h.ns, "privacy-officer", "admin")
		Expect(err).NotTo(HaveOccurred())
		_, approver, err := cluster.Persona(h, h.ns, "approver", "approver")
		Expect(err).NotTo(HaveOccurred())
		byHand := func(name string) *v1alpha1.DeletionRun {
			return &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: h.ns}, Spec: v1alpha1.DeletionRunSpec{Subjects: &v1alpha1.SubjectsReference{
				Items: []v1alpha1.RunSubject{{ID: "a1"}}, Reason: "spam accounts", Force: true}}}
		}
		Expect(approver.Create(h, byHand("not-mine"))).NotTo(Succeed())
		Expect(admin.Create(h, byHand("forced"))).To(Succeed())
		Eventually(h.runState("forced")).WithTimeout(20*time.Second).Should(Equal("Completed/Erased"), func() string { return h.runMessage("forced") })
		Expect(h.ids("applicants")).To(Equal([]string{"a2"}))
		Expect(h.operator.Stop()).To(Succeed())
		Expect(h.ledgerEntries("erasure.forced")).To(HaveLen(1))
		started := h.ledgerEntries("run.started")
		Expect(started).NotTo(BeEmpty())
		Expect(started[0].Actor).To(HaveSuffix(":privacy-officer"))
		Expect(started[0].Attributes).To(HaveKeyWithValue("forcedBy", started[0].Actor))
	})

	It("erases everybody else where one person has an id that no request can have", func() {
		h := newHiring(func(m *v1alpha1.PersonalDataMap) {
			is := func(value string) []v1alpha1.Condition {
				return []v1alpha1.Condition{{Column: "consent_status", Operator: v1alpha1.OperatorIn, Values: []string{value}}}
			}
			m.Spec.Entities[0].Consent = &v1alpha1.Consent{Subject: "id", SentAt: "consent_sent_at", Pending: is("pending"), Withdrawn: is("withdrawn"),
				OnExpiry: []v1alpha1.ColumnValue{{Column: "consent_status", Value: ptr.To("expired")}}}
		})
		h.exec(`INSERT INTO applicants (id, consent_status, consent_sent_at) VALUES ('b d', 'withdrawn', $1), ('b e', 'pending', $1), ('z1', 'withdrawn', $1), ('z2', 'pending', $1), ('z3', 'given', $1)`, ago(1, 0, 0))
		h.exec(`INSERT INTO applications (id, applicant_id, closed_at) VALUES (1, 'b d', $1), (2, 'z3', $1)`, ago(1, 0, 0))
		h.create(&v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "consent", Namespace: h.ns}, Spec: v1alpha1.RetentionPolicySpec{Consent: &v1alpha1.ConsentPolicy{}}})
		Eventually(func() []string { return h.ids("applicants") }).Should(Equal([]string{"b d", "b e", "z3"}))
		var status string
		Expect(h.db.QueryRow(h, `SELECT consent_status FROM applicants WHERE id = 'b e'`).Scan(&status)).To(Succeed())
		Expect(status).To(Equal("pending"), "nothing is shown as begun that is not")
		h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) { only("contact")(p); noNotice(p) })
		h.sweepNow("after-process-end")
		Eventually(func() []string { return h.ids("applicants") }).Should(Equal([]string{"b d", "b e"}))
		name := h.theRun("contact").Name
		h.pokeRun(name)
		Eventually(h.runState(name)).Should(Equal("Pending/RecordsLocked"), "never Completed while somebody is left")
	})

	It("is none of its policy's open runs any more when it was abandoned: what it left is announced anew, and the policy can go", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$`)
		h.exec(`CREATE TRIGGER refuse BEFORE DELETE ON candidates FOR EACH ROW EXECUTE FUNCTION refuse()`)
		p := h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("candidates")(p); noNotice(p) })
		h.sweepNow("vacancy-stages")
		name := h.theRun("candidates").Name
		Eventually(h.runState(name)).Should(HavePrefix("Pending/Store"))
		h.step(73 * time.Hour)
		h.pokeRun(name)
		Eventually(h.runState(name)).Should(HavePrefix("Failed/"))
		h.changeRun(name, func(r *v1alpha1.DeletionRun) {
			metav1.SetMetaDataAnnotation(&r.ObjectMeta, v1alpha1.AnnotationAbandon, "1")
		})
		Eventually(h.runState(name)).Should(Equal("Failed/Abandoned"))
		h.exec(`DROP TRIGGER refuse ON candidates`)
		h.sweepNow("vacancy-stages")
		Eventually(func() []string { return h.ids("candidates") }).Should(BeEmpty())
		Expect(cluster.Client.Delete(h, p)).To(Succeed())
		Eventually(func() error { return cluster.Client.Get(h, client.ObjectKeyFromObject(p), p) }).ShouldNot(Succeed())
	})

	It("keeps records without a readable clock or with one in the future, and counts them", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.candidate(2, "Found", start.AddDate(1, 0, 0))
		h.candidate(3, "Found", start)
		h.exec(`UPDATE candidates SET found_at = NULL WHERE id = 3`)
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("candidates")(p); noNotice(p) })
		p := h.sweepAll("vacancy-stages")
		Expect(h.ids("candidates")).To(Equal([]string{"2", "3"}))
		Expect(p.Status.Rules[0].WithoutClock).To(Equal(int64(1)))
		Expect(p.Status.Rules[0].InFuture).To(Equal(int64(1)))
	})

	It("says what is wrong with a schedule, a chain with a gap, an unknown clock and a period out of bounds, and applies the other rules", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) {
			only("vacancies-removed", "candidates", "talent-pool")(p)
			noNotice(p)
			p.Spec.Rules[0].After = "nothing"
			for i := range p.Spec.Rules {
				if p.Spec.Rules[i].Name == "talent-pool" {
					p.Spec.Rules[i].Period = "P5M"
				}
			}
		})
		h.sweepNow("vacancy-stages")
		Eventually(h.conditionOf(&v1alpha1.RetentionPolicy{}, "vacancy-stages", v1alpha1.ConditionReady)).Should(Equal("False/ChainGap"))
		p := h.get(&v1alpha1.RetentionPolicy{}, "vacancy-stages").(*v1alpha1.RetentionPolicy)
		reasons := map[string]string{}
		for _, r := range p.Status.Rules {
			reasons[r.Name] = r.Reason
		}
		Expect(reasons).To(Equal(map[string]string{"vacancies-removed": "ChainGap", "candidates": "", "talent-pool": "PeriodOutOfRange"}))
		Eventually(func() []string { return h.ids("candidates") }).Should(BeEmpty())
		h.changePolicy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { p.Spec.Schedule.Cron = "61 * * * *" })
		Eventually(h.conditionOf(&v1alpha1.RetentionPolicy{}, "vacancy-stages", v1alpha1.ConditionReady)).Should(Equal("False/ScheduleInvalid"))
	})

	It("shows in a dry run what a rule would delete and what keeps the rest, and changes nothing", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.candidate(2, "Invited", ago(0, 3, 1))
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("candidates")(p); p.Spec.DryRun = true })
		p := h.sweepNow("vacancy-stages")
		Expect(p.Status.Rules[0].Due).To(Equal(int64(1)))
		Expect(h.runs("candidates")).To(BeEmpty())
		h.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "preview", Namespace: h.ns}, Spec: v1alpha1.DeletionRunSpec{DryRun: true,
			Retention: &v1alpha1.RetentionReference{Policy: "vacancy-stages", Rule: "candidates"}}})
		Eventually(h.runState("preview")).Should(Equal("Completed/DryRun"), func() string { return h.runMessage("preview") })
		run := h.get(&v1alpha1.DeletionRun{}, "preview").(*v1alpha1.DeletionRun)
		Expect(run.Status.Counts).To(Equal([]v1alpha1.CategoryCount{{Category: "profile", Deleted: 1}}))
		Expect(run.Status.Retained).To(ConsistOf(HaveField("Basis", "unless status")))
		Expect(h.ids("candidates")).To(HaveLen(2))
	})

	It("follows its schedule by itself, once for what passed while nobody was there", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		h.policy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) { only("candidates")(p); noNotice(p) })
		Eventually(h.conditionOf(&v1alpha1.RetentionPolicy{}, "vacancy-stages", v1alpha1.ConditionReady)).Should(Equal("True/Ready"))
		p := h.get(&v1alpha1.RetentionPolicy{}, "vacancy-stages").(*v1alpha1.RetentionPolicy)
		Expect(p.Status.NextSweep.Time.UTC().Hour()).To(BeElementOf(1, 2), "half past three in Berlin")
		created := p.CreationTimestamp.Time
		h.step(created.Sub(start) + 3*24*time.Hour)
		h.changePolicy("vacancy-stages", func(p *v1alpha1.RetentionPolicy) {
			metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.AnnotationRecheck, "1")
		})
		Eventually(func() []string { return h.ids("candidates") }).Should(BeEmpty())
		Expect(h.runs("candidates")).To(HaveLen(1))
	})

	It("cancels its runs when the policy is deleted, and treats nothing of it", func() {
		h := newHiring()
		h.candidate(1, "Found", ago(0, 3, 1))
		p := h.policy("vacancy-stages", only("candidates"))
		h.sweepNow("vacancy-stages")
		name := h.theRun("candidates").Name
		Eventually(h.runState(name)).Should(Equal("Pending/Announced"))
		Expect(cluster.Client.Delete(h, p)).To(Succeed())
		Eventually(h.runState(name)).Should(Equal("Cancelled/RuleGone"))
		Eventually(func() error { return cluster.Client.Get(h, client.ObjectKeyFromObject(p), p) }).ShouldNot(Succeed())
		Expect(h.ids("candidates")).To(HaveLen(1))
	})
})

// requests counts by source and phase.
func (h *hiring) requests() map[string]int {
	var list v1alpha1.ErasureRequestList
	if err := cluster.Client.List(h, &list, client.InNamespace(h.ns)); err != nil {
		return nil
	}
	counts := map[string]int{}
	for _, er := range list.Items {
		counts[string(er.Spec.Source)+"/"+string(er.Status.Phase)]++
	}
	return counts
}

// sweepAll follows the rules of a policy and waits until their runs have ended.
func (h *hiring) sweepAll(policy string) *v1alpha1.RetentionPolicy {
	GinkgoHelper()
	p := h.sweepNow(policy)
	Eventually(func() (open []string) {
		var list v1alpha1.DeletionRunList
		Expect(cluster.Client.List(h, &list, client.InNamespace(h.ns))).To(Succeed())
		for _, r := range list.Items {
			if !r.Status.Phase.Finished() {
				open = append(open, r.Name+" "+h.runState(r.Name)())
			}
		}
		return open
	}).Should(BeEmpty())
	return p
}

func (h *hiring) suspendNamespace(on bool) {
	GinkgoHelper()
	var ns corev1.Namespace
	Expect(cluster.Client.Get(h, client.ObjectKey{Name: h.ns}, &ns)).To(Succeed())
	read := ns.DeepCopy()
	metav1.SetMetaDataAnnotation(&ns.ObjectMeta, v1alpha1.AnnotationSuspend, fmt.Sprint(on))
	Expect(cluster.Client.Patch(h, &ns, client.MergeFrom(read))).To(Succeed())
}

// ledgerKinds stops the operator and lists the kinds of the entries.
func (h *hiring) ledgerKinds() []string {
	GinkgoHelper()
	Expect(h.operator.Stop()).To(Succeed())
	var kinds []string
	for _, e := range h.allEntries() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}
