package scratch_break

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

const day = 24 * time.Hour

var carol = harness.Person{ID: "app-30", Email: "carol@example.org", Name: "Carol Newcomer", Phone: "+49 1"}

var _ = Describe("break", func() {
	It("T1 rowid reuse: a newcomer who gets the freed rowid", func() {
		w := newWorld(bob, ada)
		for i := 0; i < 4000; i++ {
			f := fmt.Sprintf("f%d.pdf", i)
			Expect(os.WriteFile(w.ats.Path(ada.ID, f), []byte("x"), 0o600)).To(Succeed())
		}
		w.ats.Exec(`WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i+1 FROM n WHERE i<3999) INSERT INTO documents (applicant_id, kind, issued_at, file_name) SELECT ?, 'resume', '2025-01-01', 'f'||i||'.pdf' FROM n`, ada.ID)
		done := make(chan struct{})
		var digest string
		go func() {
			defer GinkgoRecover()
			defer close(done)
			for {
				var n int
				_ = w.ats.DB.QueryRow(`SELECT count(*) FROM applications WHERE applicant_id = ?`, ada.ID).Scan(&n)
				if n == 0 {
					w.ats.Add(carol)
					digest = w.ats.Digest(carol)
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		}()
		w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
		Eventually(w.stage("now"), "60s").Should(HavePrefix("Completed"))
		<-done
		GinkgoWriter.Println("carol rows", w.ats.Rows(carol), "run counts", w.request("now").Status.Counts)
		Expect(w.ats.Digest(carol)).To(Equal(digest), "carol's rows stay")
	})

	It("T2 DataStore repointed before the residue is due", func() {
		taxed := ada
		taxed.TaxDocument = "2016-03-10"
		w := newWorld(taxed)
		// another system in the same root
		other := harness.NewATS(GinkgoTB())
		zoe := harness.Person{ID: "app-9", Email: "zoe@example.org", Name: "Zoe", TaxDocument: "2025-01-01"}
		other.Add(zoe)
		_, err := other.DB.Exec(`VACUUM INTO ?`, filepath.Join(w.ats.Root, "other.db"))
		Expect(err).NotTo(HaveOccurred())
		w.create(harness.Request(w.ns, "soon", taxed, harness.Immediate)...)
		Eventually(w.stage("soon")).Should(Equal("Completed/Retained"))
		ds := w.get(&v1alpha1.DataStore{}, "ats").(*v1alpha1.DataStore)
		ds.Spec.SQLite.Path = "other.db"
		Expect(cluster.Client.Update(w, ds)).To(Succeed())
		odb, err := sql.Open("sqlite", "file:"+filepath.Join(w.ats.Root, "other.db"))
		Expect(err).NotTo(HaveOccurred())
		defer odb.Close()
		count := func() int {
			var n int
			_ = odb.QueryRow(`SELECT count(*) FROM documents`).Scan(&n)
			return n
		}
		Expect(count()).To(Equal(2))
		time.Sleep(time.Second)
		w.step(9 * day)
		time.Sleep(3 * time.Second)
		GinkgoWriter.Println("other docs", count(), "erased", w.conditionOf(&v1alpha1.ErasureRequest{}, "soon", v1alpha1.ConditionErased)(), "ada left", w.ats.Rows(harness.Person{ID: ada.ID}))
		Expect(count()).To(Equal(2), "another database's rows")
	})

	It("T3 forged residue id = UID of a request, other namespace", func() {
		w := newWorld(ada)
		w.create(harness.Request(w.ns, "victim", ada)...)
		Eventually(w.stage("victim")).Should(Equal("Pending/GracePeriod"))
		evil, err := cluster.NewNamespace(w, "evil")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(cluster.Clean(w, evil)).To(Succeed()) })
		run := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: "forged", Namespace: evil},
			Spec: v1alpha1.DeletionRunSpec{Residue: &v1alpha1.ResidueReference{ID: string(w.request("victim").UID)}}}
		Expect(cluster.Client.Create(w, run)).To(Succeed())
		time.Sleep(2 * time.Second)
		w.step(2 * time.Minute)
		Eventually(func() string {
			_ = cluster.Client.Get(w, client.ObjectKeyFromObject(run), run)
			if len(run.Status.Conditions) == 0 {
				return ""
			}
			return string(run.Status.Phase) + "/" + run.Status.Conditions[0].Reason
		}, "20s").Should(HavePrefix("Failed"))
		w.step(60 * day)
		w.poke("victim")
		Eventually(w.stage("victim")).ShouldNot(Equal("Pending/GracePeriod"))
		time.Sleep(2 * time.Second)
		GinkgoWriter.Println("victim", w.stage("victim")(), w.message("victim"))
		Expect(w.stage("victim")()).To(Equal("Completed/Erased"))
	})

	It("T4 the SQLite file is replaced (restore by rename)", func() {
		w := newWorld(ada)
		copyTo := filepath.Join(w.ats.Root, "new.db")
		_, err := w.ats.DB.Exec(`VACUUM INTO ?`, copyTo)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.ats.DB.Close()).To(Succeed())
		live := filepath.Join(w.ats.Root, "ats.db")
		_ = os.Remove(live + "-wal")
		_ = os.Remove(live + "-shm")
		Expect(os.Rename(copyTo, live)).To(Succeed())
		db, err := sql.Open("sqlite", "file:"+live+"?_pragma=busy_timeout(10000)")
		Expect(err).NotTo(HaveOccurred())
		defer db.Close()
		w.create(harness.Request(w.ns, "now", ada, harness.Immediate)...)
		Eventually(w.stage("now")).Should(HavePrefix("Completed"))
		var n int
		Expect(db.QueryRow(`SELECT count(*) FROM applicants WHERE id = ?`, ada.ID).Scan(&n)).To(Succeed())
		Expect(n).To(Equal(0), "Completed, and the live file still has the person")
	})

	It("T5 a request without the e-mail completes with mail rows left", func() {
		w := newWorld(ada)
		w.create(&v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Name: "idonly", Namespace: w.ns},
			Spec: v1alpha1.ErasureRequestSpec{Source: v1alpha1.SourceSubject, Timing: v1alpha1.TimingImmediate, Subject: v1alpha1.Subject{ID: ada.ID}}})
		time.Sleep(4 * time.Second)
		GinkgoWriter.Println(w.stage("idonly")(), w.message("idonly"), w.ats.Rows(ada))
		if w.stage("idonly")() == "Completed/Erased" {
			Expect(w.ats.Rows(ada)).To(BeEmpty())
		}
	})

	It("T6 a residue of a terminating namespace blocks all others", func() {
		taxed := ada
		taxed.TaxDocument = "2016-03-05"
		taxed2 := bob
		taxed2.TaxDocument = "2016-03-10"
		w := emptyWorld(taxed2)
		ns2, err := cluster.NewNamespace(w, "gone")
		Expect(err).NotTo(HaveOccurred())
		ats2 := harness.NewATS(GinkgoTB())
		ats2.Add(taxed)
		time.Sleep(3 * time.Second)
		Expect(w.operator.Stop()).To(Succeed())
		w.options.LocalRoots[ns2] = ats2.Root
		w.startOperator()
		w.create(harness.ATSObjects(w.ns)...)
		w.create(harness.ATSObjects(ns2)...)
		w.mapReady()
		one := w.ns
		w.create(harness.Request(one, "b", taxed2, harness.Immediate)...)
		Eventually(w.stage("b")).Should(Equal("Completed/Retained"))
		w.ns = ns2
		w.mapReady()
		w.create(harness.Request(ns2, "a", taxed, harness.Immediate)...)
		Eventually(w.stage("a")).Should(Equal("Completed/Retained"))
		w.ns = one
		Expect(cluster.Client.Delete(w, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns2}})).To(Succeed())
		Expect(cluster.Clean(w, ns2)).To(Succeed())
		time.Sleep(time.Second)
		w.step(20 * day)
		Eventually(w.conditionOf(&v1alpha1.ErasureRequest{}, "b", v1alpha1.ConditionErased), "8s").Should(Equal("True/Erased"))
	})

	It("T7 identities swapped during grace after an approval", func() {
		w := newWorld(ada, bob)
		others := w.ats.Digest(bob)
		alias := harness.Person{ID: "crm-77", Email: ada.Email}
		w.create(harness.Request(w.ns, "swap", alias)...)
		Eventually(w.stage("swap")).Should(Equal("Pending/GracePeriod"))
		var s corev1.Secret
		Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: "swap"}, &s)).To(Succeed())
		s.Data["email"] = []byte(bob.Email)
		Expect(cluster.Client.Update(w, &s)).To(Succeed())
		w.step(60 * day)
		w.poke("swap")
		time.Sleep(4 * time.Second)
		GinkgoWriter.Println(w.stage("swap")(), w.ats.Rows(ada), w.ats.Rows(bob), w.ats.Text(ada.ID, "status"))
		Expect(w.ats.Digest(bob)).To(Equal(others), "bob never had a grace period")
	})
})
