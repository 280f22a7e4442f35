package promises

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

var _ = Describe("Coverage", func() {
	It("counts tables and columns, and names what is likely personal without looking into it", func() {
		w := emptyWorld()
		w.ats.Exec(`CREATE TABLE references_given (id INTEGER PRIMARY KEY, applicant_id TEXT REFERENCES applicants(id) ON DELETE SET NULL, score INTEGER)`)
		w.ats.Exec(`CREATE TABLE newsletter (id INTEGER PRIMARY KEY, eMailAddress TEXT, file_name TEXT, telefonNummer TEXT)`)
		w.ats.Exec(`CREATE TABLE settings (id INTEGER PRIMARY KEY, value TEXT, contact_email TEXT)`)
		w.ats.Exec(`ALTER TABLE consents ADD COLUMN ip_address TEXT`)
		w.ats.Exec(`ALTER TABLE consents ADD COLUMN version INTEGER`)
		objects := harness.ATSObjects(w.ns)
		m := objects[2].(*v1alpha1.PersonalDataMap)
		m.Spec.Ignored = []v1alpha1.IgnoredTable{
			{Store: "ats", Table: "settings", Reason: "of the system"},
			{Store: "ats", Table: "consents", Columns: []string{"version"}, Reason: "of the text, not of the person"},
			{Store: "ats", Table: "references_given", Columns: []string{"score"}, Reason: "wrong: nobody maps the table"},
		}
		w.create(objects...)
		Eventually(func() []v1alpha1.MapProblem { return w.theMap().Status.Problems }).Should(ContainElement(HaveField("Message", ContainSubstring("columns of table references_given, which no entity maps"))))
		w.changeMap(func(m *v1alpha1.PersonalDataMap) { m.Spec.Ignored = m.Spec.Ignored[:2] })
		Eventually(func() int64 { return w.theMap().Status.ObservedGeneration }).Should(BeEquivalentTo(w.theMap().Generation))
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/ForeignKeyUncovered"))
		coverage := w.theMap().Status.Coverage
		Expect(coverage.Mapped).To(BeEquivalentTo(6))
		Expect(coverage.Ignored).To(BeEquivalentTo(1))
		Expect(coverage.Unknown).To(BeEquivalentTo(2))
		// consents is anonymised: key and address are named, the version is ignored, the others nobody has looked at.
		Expect(coverage.Columns.Ignored).To(BeEquivalentTo(1))
		Expect(coverage.Columns.Unknown).To(BeEquivalentTo(3))
		Expect(coverage.Likely).To(Equal([]string{"ats/consents.ip_address", "ats/newsletter.eMailAddress", "ats/newsletter.telefonNummer",
			"ats/references_given.applicant_id"}))
		Expect(coverage.LikelyCount).To(BeEquivalentTo(4))
		Expect(w.gauge("lethe_personaldatamap_unknown_columns")()).To(BeEquivalentTo(3))
	})
})
