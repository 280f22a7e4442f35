package promises

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

var _ = Describe("Promise 1: never says Completed while data is there that should not be", func() {
	It("finds what an application writes while it erases, and does not complete as long as that goes on", func() {
		w := newWorld(ada, bob)
		// Whoever deletes a message gets it back: an application that restores what is missing.
		w.ats.Exec(`CREATE TRIGGER restore AFTER DELETE ON messages BEGIN INSERT INTO messages (recipient, body) VALUES (old.recipient, old.body); END`)
		w.create(harness.Request(w.ns, "haunted", ada, harness.Immediate)...)
		Eventually(w.stage("haunted")).Should(Equal("Pending/Retrying"))
		Consistently(w.stage("haunted")).ShouldNot(HavePrefix("Completed"))
		Expect(w.ats.Rows(ada)).To(HaveKey("messages"))
		w.ats.Exec(`DROP TRIGGER restore`)
		w.annotate("haunted", v1alpha1.AnnotationRetry, "now")
		Eventually(w.stage("haunted"), "30s").Should(Equal("Completed/Erased"))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
		Expect(w.ats.Rows(bob)).NotTo(BeEmpty())
	})

	It("does not complete for a subject that nobody finds", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "nobody", harness.Person{ID: "app-404", Email: "nobody@example.org"}, harness.Immediate)...)
		Eventually(w.stage("nobody")).Should(Equal("Pending/SubjectNotFound"))
		Consistently(w.stage("nobody")).Should(Equal("Pending/SubjectNotFound"))
		w.ats.Add(harness.Person{ID: "app-404", Email: "nobody@example.org"})
		w.poke("nobody")
		Eventually(w.stage("nobody")).Should(Equal("Completed/Erased"))
	})

	It("does not complete without a map, or with one that is not Ready", func() {
		w := emptyWorld(ada)
		w.create(harness.Request(w.ns, "unmapped", ada, harness.Immediate)...)
		Eventually(w.stage("unmapped")).Should(Equal("Pending/NoMap"))
		w.ats.Exec(`CREATE TABLE payroll (id INTEGER PRIMARY KEY, applicant_id TEXT NOT NULL REFERENCES applicants(id))`)
		w.create(harness.ATSObjects(w.ns)...)
		Eventually(w.conditionOf(&v1alpha1.PersonalDataMap{}, "ats", v1alpha1.ConditionReady)).Should(Equal("False/ForeignKeyUncovered"))
		Eventually(w.stage("unmapped")).Should(Equal("Pending/MapNotReady"))
		Eventually(func() string { return w.message("unmapped") }).Should(ContainSubstring("payroll"))
		Expect(w.ats.Rows(ada)).To(HaveKeyWithValue("notes", 2))
	})
})

var _ = Describe("Promise 2: never deletes outside the subject", func() {
	It("leaves every row and file of others byte for byte, with ids and addresses that look alike", func() {
		alike := []harness.Person{
			{ID: "app-10", Email: "ada@example.org.uk", Name: "Other"}, {ID: "app_1", Email: "a_a@example.org", Name: "Other"},
			{ID: "app-%", Email: "%@example.org", Name: "Other"}, {ID: "app-1'--", Email: "ada'@example.org", Name: "O'Ther"},
			{ID: "APP-1", Email: "аda@example.org", Name: "Cyrillic"}, {ID: `app-1\`, Email: `ada\@example.org`, Name: "Back"},
		}
		w := newWorld(append([]harness.Person{ada}, alike...)...)
		w.ats.Exec(`UPDATE applicants SET referred_by = ? WHERE id = ?`, "app-10", "app_1")
		others := w.ats.Digest(alike...)
		w.create(harness.Request(w.ns, "precise", ada, harness.Immediate)...)
		Eventually(w.stage("precise")).Should(Equal("Completed/Erased"))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
		Expect(w.ats.Digest(alike...)).To(Equal(others))
	})

	It("cuts only the link of those who refer to the subject", func() {
		w := newWorld(ada, bob)
		w.ats.Exec(`UPDATE applicants SET referred_by = ? WHERE id = ?`, ada.ID, bob.ID)
		w.create(harness.Request(w.ns, "referrer", ada, harness.Immediate)...)
		Eventually(w.stage("referrer")).Should(Equal("Completed/Erased"))
		Expect(w.ats.Text(bob.ID, "referred_by")).To(BeEmpty())
		Expect(w.ats.Text(bob.ID, "full_name")).To(Equal(bob.Name))
	})
})

var _ = onEachVault("Promise 3: never early", func() {
	It("waits for both clocks, whatever one of them does", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "clocks", ada)...)
		Eventually(w.stage("clocks")).Should(Equal("Pending/GracePeriod"))
		still := func() {
			GinkgoHelper()
			w.poke("clocks")
			Consistently(func() map[string]int { return w.ats.Rows(ada) }, "150ms").Should(HaveKeyWithValue("notes", 2))
		}
		By("the process clock alone jumps past the schedule")
		w.clock.Step(61 * day)
		still()
		Eventually(w.stage("clocks")).Should(Equal("Pending/ClockDisagreement"))
		By("it jumps back, the witness jumps ahead")
		w.clock.Set(start)
		w.witness.Step(61 * day)
		still()
		By("both are one second before the schedule")
		w.clock.Set(start.Add(60*day - time.Second))
		w.witness.Set(start.Add(60*day - time.Second))
		still()
		By("one is past it, the other not yet")
		w.clock.Step(2 * time.Second)
		still()
		By("the process clock falls back years")
		w.clock.Set(start.Add(-3 * 365 * day))
		w.witness.Set(start.Add(61 * day))
		still()
		By("both have passed it")
		w.clock.Set(start.Add(60 * day))
		w.witness.Set(start.Add(60 * day))
		w.poke("clocks")
		Eventually(w.stage("clocks")).Should(Equal("Completed/Erased"))
		Expect(w.request("clocks").Status.ProcessingStartedAt.Time).To(BeTemporally(">=", start.Add(60*day)))
	})

	It("takes no schedule from a forged status, nor an order from a forged run", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "forged", ada)...)
		Eventually(w.stage("forged")).Should(Equal("Pending/GracePeriod"))
		er := w.request("forged")
		read := er.DeepCopy()
		past := metav1.NewTime(start.Add(-day))
		er.Status.ScheduledAt, er.Status.ConfirmedAt, er.Status.ProcessingStartedAt = &past, &past, &past
		Expect(cluster.Client.Status().Patch(w, er, client.MergeFrom(read))).To(Succeed())
		w.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "forged-run", Namespace: w.ns},
			Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "forged", UID: string(er.UID)}}})
		w.create(&v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "forged-residue", Namespace: w.ns},
			Spec: v1alpha1.DeletionRunSpec{Residue: &v1alpha1.ResidueReference{ID: "made-up"}}})
		w.poke("forged")
		Eventually(func() time.Time { return w.request("forged").Status.ScheduledAt.Time }).Should(BeTemporally("==", start.Add(60*day)))
		Eventually(w.conditionOf(&v1alpha1.DeletionRun{}, "forged-run", v1alpha1.ConditionStalled)).Should(Equal("True/InvalidSpec"))
		Eventually(w.conditionOf(&v1alpha1.DeletionRun{}, "forged-residue", v1alpha1.ConditionReady)).Should(HavePrefix("False/"))
		Consistently(func() map[string]int { return w.ats.Rows(ada) }).Should(HaveKeyWithValue("notes", 2))
		Expect(w.request("forged").Status.ProcessingStartedAt).To(BeNil())
	})

	It("keeps the schedule over a restart, and over a lost status", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "restart", ada)...)
		Eventually(w.stage("restart")).Should(Equal("Pending/GracePeriod"))
		Expect(w.operator.Stop()).To(Succeed())
		er := w.request("restart")
		read := er.DeepCopy()
		er.Status = v1alpha1.ErasureRequestStatus{}
		Expect(cluster.Client.Status().Patch(w, er, client.MergeFrom(read))).To(Succeed())
		w.step(10 * day)
		w.startOperator()
		Eventually(w.stage("restart")).Should(Equal("Pending/GracePeriod"))
		Expect(w.request("restart").Status.ScheduledAt.Time).To(BeTemporally("==", start.Add(60*day)))
		Expect(w.request("restart").Status.ReceivedAt.Time).To(BeTemporally("==", start))
	})
})

var _ = onEachVault("Promise 4: a hold that was Ready before a step's transaction wins", func() {
	hold := func(w *world, name string, change func(*v1alpha1.LegalHold)) *v1alpha1.LegalHold {
		h := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 7"}}
		change(h)
		w.create(h)
		return h
	}
	lift := func(w *world, name string) {
		GinkgoHelper()
		h := w.get(&v1alpha1.LegalHold{}, name).(*v1alpha1.LegalHold)
		read := h.DeepCopy()
		h.Spec.Lifted = true
		Expect(cluster.Client.Patch(w, h, client.MergeFrom(read))).To(Succeed())
	}

	It("keeps a held subject whole until the hold is lifted, even when the hold is deleted", func() {
		w := newWorld(ada)
		h := hold(w, "subject", func(h *v1alpha1.LegalHold) { h.Spec.Subjects = []string{ada.ID} })
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "subject", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		before := w.ats.Digest(ada)
		w.create(harness.Request(w.ns, "held", ada, harness.Immediate)...)
		Eventually(w.stage("held")).Should(Equal("Pending/LegalHold"))
		Expect(cluster.Client.Delete(w, h)).To(Succeed())
		w.poke("held")
		Consistently(w.stage("held")).Should(Equal("Pending/LegalHold"))
		Expect(w.ats.Digest(ada)).To(Equal(before))
		lift(w, "subject")
		w.poke("held")
		Eventually(w.stage("held")).Should(Equal("Completed/Erased"))
	})

	It("keeps the held records, erases the rest, and follows up when the hold is lifted", func() {
		w := newWorld(ada, bob)
		hold(w, "records", func(h *v1alpha1.LegalHold) {
			h.Spec.Records = []v1alpha1.HoldSelector{{Map: "ats", Entity: "documents", Conditions: []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorIn, Values: []string{"resume"}}}}}
		})
		Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "records", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		w.create(harness.Request(w.ns, "partial", ada, harness.Immediate)...)
		Eventually(w.stage("partial")).Should(Equal("Completed/Retained"))
		Expect(w.ats.Rows(harness.Person{ID: ada.ID})).To(Equal(map[string]int{"applicants": 1, "documents": 1, "files": 1}))
		w.step(365 * day)
		Consistently(func() map[string]int { return w.ats.Rows(harness.Person{ID: ada.ID}) }).Should(HaveKeyWithValue("documents", 1))
		lift(w, "records")
		Eventually(func() map[string]int { return w.ats.Rows(harness.Person{ID: ada.ID}) }).Should(BeEmpty())
		Expect(w.ats.Rows(bob)).To(HaveKeyWithValue("documents", 1))
	})

	It("wins or loses cleanly when it is placed while runs start", func() {
		var people []harness.Person
		for i := range 8 {
			people = append(people, harness.Person{ID: fmt.Sprintf("race-%d", i), Email: fmt.Sprintf("race-%d@example.org", i), Name: "Racer"})
		}
		w := newWorld(people...)
		var wg sync.WaitGroup
		for i, p := range people {
			wg.Go(func() {
				defer GinkgoRecover()
				w.create(harness.Request(w.ns, p.ID, p, harness.Immediate)...)
				time.Sleep(time.Duration(i*15) * time.Millisecond)
				hold(w, "hold-"+p.ID, func(h *v1alpha1.LegalHold) { h.Spec.Subjects = []string{p.ID} })
				Eventually(w.conditionOf(&v1alpha1.LegalHold{}, "hold-"+p.ID, v1alpha1.ConditionReady)).WithPolling(time.Millisecond).Should(Equal("True/InForce"))
				rows := w.ats.Rows(harness.Person{ID: p.ID})
				delete(rows, "files") // files follow the records; what the hold found of them it keeps
				Eventually(w.stage(p.ID)).Should(Or(Equal("Pending/LegalHold"), HavePrefix("Completed/")))
				Consistently(func() map[string]int {
					now := w.ats.Rows(harness.Person{ID: p.ID})
					delete(now, "files")
					return now
				}).Should(Equal(rows), "what was there when the hold was Ready stays")
			})
		}
		wg.Wait()
	})
})

var _ = onEachVault("Promise 6: cancel wins or loses cleanly at the boundary of the grace period", func() {
	It("never ends half", func() {
		var people []harness.Person
		for i := range 10 {
			people = append(people, harness.Person{ID: fmt.Sprintf("edge-%d", i), Email: fmt.Sprintf("edge-%d@example.org", i), Name: "Edge"})
		}
		w := newWorld(people...)
		whole := map[string]string{}
		for _, p := range people {
			whole[p.ID] = w.ats.Digest(p)
			w.create(harness.Request(w.ns, p.ID, p)...)
		}
		for _, p := range people {
			Eventually(w.stage(p.ID)).Should(Equal("Pending/GracePeriod"))
		}
		w.step(60 * day)
		var wg sync.WaitGroup
		for i, p := range people {
			wg.Go(func() {
				defer GinkgoRecover()
				w.poke(p.ID)
				time.Sleep(time.Duration(i*3) * time.Millisecond)
				err := w.change(p.ID, func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })
				if err != nil {
					Expect(err).To(MatchError(ContainSubstring("processing has begun: nothing cancels this request any more")))
					Eventually(w.stage(p.ID)).Should(Equal("Completed/Erased"))
					Expect(w.ats.Rows(p)).To(BeEmpty())
					return
				}
				Eventually(w.stage(p.ID)).Should(Equal("Cancelled/Cancelled"))
				Expect(w.ats.Digest(p)).To(Equal(whole[p.ID]))
			})
		}
		wg.Wait()
	})

	It("keeps a deleted object until the end once processing has begun", func() {
		w := newWorld(ada)
		release := w.blockStore()
		w.create(harness.Request(w.ns, "terminating", ada, harness.Immediate)...)
		Eventually(w.stage("terminating")).Should(Equal("Pending/Processing"))
		Expect(cluster.Client.Delete(w, w.request("terminating"))).To(Succeed())
		Consistently(w.stage("terminating")).Should(HavePrefix("Pending/"))
		release()
		Eventually(w.stage("terminating"), "30s").Should(Equal("NotFound"))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
	})
})

// blockStore keeps the database's write lock, so that a run stops at its first effect.
func (w *world) blockStore() (release func()) {
	GinkgoHelper()
	tx, err := w.ats.DB.Begin()
	Expect(err).NotTo(HaveOccurred())
	var once sync.Once
	release = func() { once.Do(func() { Expect(tx.Rollback()).To(Succeed()) }) }
	DeferCleanup(release)
	return release
}

var _ = Describe("Promise 7: no personal data outside the identities' Secret", func() {
	It("leaves no canary in any object, event, log, ledger entry or file", func() {
		canary := harness.Person{ID: "app-canary", Email: "canary-7f3a@example.org", Name: "Kanarienvogel", Phone: "+49 555 7373", TaxDocument: "2022-05-05"}
		second := harness.Person{ID: "app-second", Email: "canary-8b2c@example.org", Name: "Kanarienvogel", Phone: "+49 555 7373"}
		third := harness.Person{ID: "app-third", Email: "canary-9d1e@example.org", Name: "Kanarienvogel", Phone: "+49 555 7373", Stage: "interview"}
		w := newWorld(canary, second, third)
		w.create(harness.Request(w.ns, "c1", canary, harness.Immediate)...)
		w.create(harness.Request(w.ns, "c2", second)...)
		w.create(harness.Request(w.ns, "c3", third)...)
		Eventually(w.stage("c1")).Should(Equal("Completed/Retained"))
		Eventually(w.stage("c2")).Should(Equal("Pending/GracePeriod"))
		Eventually(w.stage("c3")).Should(Equal("Pending/ProcessActive"))
		// A store that refuses with the data in its error text.
		w.ats.Exec(`UPDATE applications SET stage = 'rejected' WHERE applicant_id = 'app-third'`)
		w.ats.Exec(`CREATE TRIGGER chatty BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'cannot delete note of Kanarienvogel canary-9d1e@example.org'); END`)
		Expect(w.change("c3", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved, er.Spec.Timing = true, v1alpha1.TimingImmediate })).To(Succeed())
		Eventually(w.stage("c3")).Should(Equal("Pending/Retrying"))
		Expect(w.change("c2", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(w.stage("c2")).Should(Equal("Cancelled/Cancelled"))

		Expect(w.everything("c3")).NotTo(ContainAny("Kanarienvogel", "canary-7f3a", "canary-8b2c", "canary-9d1e", "555 7373"))
		w.ats.Exec(`DROP TRIGGER chatty`)
		w.annotate("c3", v1alpha1.AnnotationRetry, "1")
		Eventually(w.stage("c3"), "30s").Should(Equal("Completed/Erased"))
		entries, err := io.ReadAll(w.exported().Records) // in the file they may be packed
		Expect(err).NotTo(HaveOccurred())
		Expect(string(entries)).NotTo(ContainAny("Kanarienvogel", "canary-7f3a", "canary-8b2c", "canary-9d1e", "555 7373"))
		Expect(w.operator.Stop()).To(Succeed())
		Expect(w.everything("")).NotTo(ContainAny("Kanarienvogel", "canary-7f3a", "canary-8b2c", "canary-9d1e", "555 7373"))
		Expect(w.files()).NotTo(ContainAny("Kanarienvogel", "canary-7f3a", "canary-8b2c", "canary-9d1e", "555 7373"))
	})
})

var _ = Describe("Promise 9: a store that fails for good ends in Failed, with an alert before the due date", func() {
	It("fails with the reason, goes on after retry, and gives up on abandon", func() {
		w := newWorld(ada, bob)
		for _, table := range []string{"notes", "messages"} {
			w.ats.Exec(`CREATE TRIGGER refuse_` + table + ` BEFORE DELETE ON ` + table + ` BEGIN SELECT RAISE(ABORT, 'no'); END`)
		}
		w.create(harness.Request(w.ns, "retry", ada, harness.Immediate)...)
		w.create(harness.Request(w.ns, "abandon", bob, harness.Immediate)...)
		for _, name := range []string{"retry", "abandon"} {
			Eventually(w.stage(name)).Should(Equal("Pending/Retrying"))
			Eventually(w.warnings(name)).Should(ContainElement("Retrying"), "an alert before the due date")
		}
		w.step(2 * time.Minute)
		for _, name := range []string{"retry", "abandon"} {
			Eventually(w.stage(name), "30s").Should(Equal("Failed/StoreRefused"))
			Expect(w.conditionOf(&v1alpha1.ErasureRequest{}, name, v1alpha1.ConditionStalled)()).To(Equal("True/StoreRefused"))
			Expect(w.message(name)).To(ContainSubstring(v1alpha1.AnnotationRetry))
		}
		Expect(w.request("retry").Status.DueAt.Time).To(BeTemporally(">", w.clock.Now()))
		w.ats.Exec(`DROP TRIGGER refuse_notes`)
		w.ats.Exec(`DROP TRIGGER refuse_messages`)
		w.annotate("retry", v1alpha1.AnnotationRetry, "once")
		Eventually(w.stage("retry")).Should(Equal("Completed/Erased"))
		Expect(w.request("retry").Status.Acknowledged.Retry).To(Equal("once"))

		w.annotate("abandon", v1alpha1.AnnotationAbandon, "enough")
		Eventually(w.stage("abandon")).Should(Equal("Failed/Abandoned"))
		Eventually(func() bool { return w.secretExists("abandon") }).Should(BeFalse())
		Eventually(w.keySecrets).ShouldNot(ContainElement(HavePrefix("lethe-key-run")))
		Expect(w.ats.Rows(bob)).To(HaveKeyWithValue("notes", 2))
		w.create(harness.Request(w.ns, "again", bob, harness.Immediate)...)
		Eventually(w.stage("again")).Should(Equal("Completed/Erased"), "an abandoned request does not stand in the way of another")
	})

	It("waits in public while a store is away, and goes on when it is back", func() {
		w := newWorld(ada)
		away := w.ats.Root + "/away"
		Expect(os.Rename(filepath.Join(w.ats.Root, "documents"), away)).To(Succeed())
		w.create(harness.Request(w.ns, "away", ada, harness.Immediate)...)
		Eventually(w.stage("away")).Should(Or(Equal("Pending/StoreUnreachable"), Equal("Pending/MapNotReady")), "the map may have been looked at again meanwhile")
		Expect(w.ats.Rows(ada)).To(HaveKeyWithValue("notes", 2), "nothing is deleted before everything is resolved")
		w.step(32 * day)
		w.poke("away")
		Eventually(w.warnings("away")).Should(ContainElement("Overdue"))
		Expect(os.Rename(away, filepath.Join(w.ats.Root, "documents"))).To(Succeed())
		w.poke("away")
		Eventually(w.stage("away"), "60s").Should(Equal("Completed/Erased"))
	})
})

// warnings are the reasons of the warnings about a request.
func (w *world) warnings(name string) func() []string {
	return func() []string {
		var list eventsv1.EventList
		if err := cluster.Client.List(w, &list, client.InNamespace(w.ns)); err != nil {
			return nil
		}
		var reasons []string
		for _, e := range list.Items {
			if e.Regarding.Name == name && e.Regarding.Kind == "ErasureRequest" && e.Type == "Warning" {
				reasons = append(reasons, e.Reason)
			}
		}
		return reasons
	}
}

// files are the bytes of everything that the operator keeps.
func (w *world) files() string {
	GinkgoHelper()
	var all strings.Builder
	Expect(filepath.WalkDir(w.folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		all.Write(data)
		return err
	})).To(Succeed())
	Expect(all.Len()).To(BeNumerically(">", 10_000))
	return all.String()
}
