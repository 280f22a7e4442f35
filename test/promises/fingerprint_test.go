package promises

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
	"github.com/lethe-dev/lethe/internal/fingerprint"
	"github.com/lethe-dev/lethe/internal/keys"
	keyskubernetes "github.com/lethe-dev/lethe/internal/keys/kubernetes"
	"github.com/lethe-dev/lethe/test/harness"
)

var _ = Describe("Fingerprint for duplicate detection", func() {
	It("recognises who applies again for the same vacancy, and nobody else", func() {
		w := emptyWorld(ada, bob)
		w.ats.Exec(`ALTER TABLE applications ADD COLUMN vacancy INTEGER`)
		w.ats.Exec(`ALTER TABLE applications ADD COLUMN fingerprint TEXT`)
		w.ats.Exec(`CREATE TABLE applications_new (id INTEGER PRIMARY KEY, applicant_id TEXT REFERENCES applicants(id), stage TEXT NOT NULL, cover_letter TEXT, vacancy INTEGER, fingerprint TEXT)`)
		w.ats.Exec(`INSERT INTO applications_new SELECT id, applicant_id, stage, cover_letter, 17, NULL FROM applications`)
		w.ats.Exec(`PRAGMA foreign_keys = off`)
		w.ats.Exec(`DROP TABLE applications`)
		w.ats.Exec(`ALTER TABLE applications_new RENAME TO applications`)
		w.ats.Exec(`PRAGMA foreign_keys = on`)
		objects := harness.ATSObjects(w.ns)
		m := objects[len(objects)-1].(*v1alpha1.PersonalDataMap)
		for i := range m.Spec.Entities {
			if e := &m.Spec.Entities[i]; e.Name == "applications" {
				e.Action = v1alpha1.ActionAnonymize
				e.Fields = []v1alpha1.FieldChange{{Column: "applicant_id", Strategy: v1alpha1.StrategyNull}, {Column: "cover_letter", Strategy: v1alpha1.StrategyNull},
					{Column: "fingerprint", Strategy: v1alpha1.StrategyFingerprint, Fingerprint: &v1alpha1.Fingerprint{
						Parent: "applicants", Columns: []string{"email", "full_name"}, Per: []string{"vacancy"}}}}
			}
		}
		w.create(objects...)
		w.mapReady()
		w.create(harness.Request(w.ns, "print", ada, harness.Immediate)...)
		Eventually(w.stage("print")).Should(Equal("Completed/Erased"), func() string { return w.message("print") })

		store, err := sqlite.Open(w, sqlite.Config{Root: w.ats.Root, Path: "ats.db"})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(store.Close)
		key, err := keyskubernetes.New(cluster.Client, cluster.Client, w.options.Namespace).Get(w, keys.ID{Purpose: keys.Pseudonym, Namespace: w.ns})
		Expect(err).NotTo(HaveOccurred())
		ask := func(vacancy, email, name string) int {
			GinkgoHelper()
			n, err := fingerprint.Ask(w, store, key, fingerprint.Question{Map: m, Entity: "applications", Column: "fingerprint",
				Per: map[string]string{"vacancy": vacancy}, Values: map[string]string{"email": email, "full_name": name}})
			Expect(err).NotTo(HaveOccurred())
			return n
		}
		Expect(ask("17", " ADA@example.org", ada.Name)).To(Equal(1))
		Expect(ask("18", ada.Email, ada.Name)).To(BeZero(), "another vacancy")
		Expect(ask("17", bob.Email, bob.Name)).To(BeZero(), "somebody who was not erased")
		_, err = fingerprint.Ask(w, store, key, fingerprint.Question{Map: m, Entity: "applications", Column: "fingerprint",
			Per: map[string]string{"vacancy": "17"}, Values: map[string]string{"email": "canary@example.org"}})
		Expect(err).To(MatchError(And(ContainSubstring("full_name is missing"), Not(ContainSubstring("canary")))))
		Expect(w.ats.Rows(ada)).To(BeEmpty())
	})
})
