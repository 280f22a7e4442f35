package promises

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	dto "github.com/prometheus/client_model/go"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

// recheckMap makes the operator hold the map against the live schemas now; its own timer runs on real time.
func (w *world) recheckMap() {
	GinkgoHelper()
	w.changeMap(func(m *v1alpha1.PersonalDataMap) {
		m.Annotations = map[string]string{v1alpha1.AnnotationRecheck: fmt.Sprint(time.Now().UnixNano())}
	})
}

func (w *world) theMap() *v1alpha1.PersonalDataMap {
	GinkgoHelper()
	return w.get(&v1alpha1.PersonalDataMap{}, "ats").(*v1alpha1.PersonalDataMap)
}

func (w *world) changeMap(f func(*v1alpha1.PersonalDataMap)) {
	GinkgoHelper()
	m := w.theMap()
	read := m.DeepCopy()
	f(m)
	Expect(cluster.Client.Patch(w, m, client.MergeFrom(read))).To(Succeed())
}

func (w *world) mapCondition(kind string) func() string {
	return w.conditionOf(&v1alpha1.PersonalDataMap{}, "ats", kind)
}

func (w *world) drift() []string { return w.theMap().Status.Drift }

// gauge of the map; -1 where there is none.
func (w *world) gauge(name string) func() float64 {
	return func() float64 {
		families, err := metrics.Registry.Gather()
		Expect(err).NotTo(HaveOccurred())
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name && label(m, "namespace") == w.ns && label(m, "name") == "ats" {
					return m.GetGauge().GetValue()
				}
			}
		}
		return -1
	}
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func (w *world) eventReasons() []string {
	var list eventsv1.EventList
	if err := cluster.Client.List(w, &list, client.InNamespace(w.ns)); err != nil {
		return []string{err.Error()}
	}
	var reasons []string
	for _, e := range list.Items {
		if e.Regarding.Kind == "PersonalDataMap" {
			reasons = append(reasons, e.Type+"/"+e.Reason)
		}
	}
	return reasons
}

var _ = Describe("A schema that changes after the map was written", func() {
	It("blocks: a new column makes requests wait until somebody has changed the map", func() {
		w := newWorld(ada)
		Expect(w.mapCondition(v1alpha1.ConditionDrifted)()).To(Equal("False/SchemaUnchanged"))
		w.ats.Exec(`ALTER TABLE applicants ADD COLUMN passport_number TEXT`)
		w.recheckMap()
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/SchemaDrift"))
		Expect(w.mapProblem()).To(ContainSubstring("applicants.passport_number is a new column"))
		Expect(w.drift()).To(Equal([]string{"ats/applicants.passport_number is a new column (TEXT)"}))
		Expect(w.mapCondition(v1alpha1.ConditionDrifted)()).To(Equal("True/SchemaDrift"))
		Eventually(w.gauge("lethe_personaldatamap_drift")).Should(BeEquivalentTo(1))
		Eventually(w.eventReasons).Should(ContainElement("Warning/SchemaDrift"))

		w.create(harness.Request(w.ns, "drifted", ada, harness.Immediate)...)
		Eventually(w.stage("drifted")).Should(Equal("Pending/MapNotReady"))
		Consistently(w.stage("drifted")).Should(Equal("Pending/MapNotReady"))
		w.changeMap(func(m *v1alpha1.PersonalDataMap) {
			m.Spec.Ignored = append(m.Spec.Ignored, v1alpha1.IgnoredTable{Store: "ats", Table: "applicants", Columns: []string{"passport_number"}, Reason: "goes with the row"})
		})
		w.mapReady()
		Eventually(w.stage("drifted")).Should(Equal("Completed/Erased"))
		Expect(w.drift()).To(BeEmpty())
		Eventually(w.gauge("lethe_personaldatamap_drift")).Should(BeEquivalentTo(0))
	})

	It("blocks: tables, types, columns and foreign keys count, whether new, changed or gone", func() {
		w := newWorld()
		w.ats.Exec(`CREATE TABLE salaries (id INTEGER PRIMARY KEY, amount INTEGER)`)
		w.ats.Exec(`ALTER TABLE documents ADD COLUMN vacancy INTEGER REFERENCES salaries(id)`)
		w.ats.Exec(`ALTER TABLE applications DROP COLUMN cover_letter`)
		w.recheckMap()
		Eventually(w.drift).Should(Equal([]string{
			"ats/applications.cover_letter is gone",
			"ats/documents has a new foreign key (vacancy) to salaries (id)",
			"ats/documents.vacancy is a new column (INTEGER)",
			"ats/salaries is a new table that no map maps or ignores",
		}))
	})

	It("warns only, where the map says so, and still refuses what an erasure could not work with", func() {
		w := emptyWorld(ada)
		objects := harness.ATSObjects(w.ns)
		objects[2].(*v1alpha1.PersonalDataMap).Spec.DriftPolicy = v1alpha1.DriftWarn
		w.create(objects...)
		w.mapReady()
		w.ats.Exec(`ALTER TABLE applicants ADD COLUMN iban TEXT`)
		w.recheckMap()
		Eventually(w.mapCondition(v1alpha1.ConditionDrifted)).Should(Equal("True/SchemaDrift"))
		Expect(w.mapCondition(v1alpha1.ConditionReady)()).To(Equal("True/Ready"))
		Expect(w.drift()).To(HaveLen(1))
		Eventually(w.eventReasons).Should(ContainElement("Warning/SchemaDrift"))
		w.ats.Exec(`CREATE TABLE references_of (id INTEGER PRIMARY KEY, applicant_id TEXT REFERENCES applicants(id))`)
		w.recheckMap()
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/ForeignKeyUncovered"))
	})

	It("is remembered over a restart and a lost status", func() {
		w := newWorld()
		Expect(w.operator.Stop()).To(Succeed())
		w.ats.Exec(`ALTER TABLE applicants ADD COLUMN iban TEXT`)
		m := w.theMap()
		m.Status = v1alpha1.PersonalDataMapStatus{}
		Expect(cluster.Client.Status().Update(w, m)).To(Succeed())
		w.startOperator()
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/SchemaDrift"))
	})

	It("is no drift where the map names it already", func() {
		w := newWorld()
		w.changeMap(func(m *v1alpha1.PersonalDataMap) {
			m.Spec.Ignored = append(m.Spec.Ignored, v1alpha1.IgnoredTable{Store: "ats", Table: "skills", Reason: "comes with the next release"})
		})
		w.mapReady()
		w.ats.Exec(`CREATE TABLE skills (id INTEGER PRIMARY KEY)`)
		w.recheckMap()
		Consistently(w.drift).Should(BeEmpty())
		w.mapReady()
		Expect(cluster.Client.Delete(w, w.theMap())).To(Succeed())
		Eventually(w.gauge("lethe_personaldatamap_drift")).Should(BeEquivalentTo(-1), "the gauge goes with the map")
	})
})

var _ = Describe("A look-up without an index", func() {
	It("keeps a map of a very large table from being Ready, and is a warning for a small one", func() {
		w := newWorld()
		Expect(warnings(w.theMap())).To(ContainElement("IndexMissing consents email"))
		Expect(meta.FindStatusCondition(w.theMap().Status.Conditions, v1alpha1.ConditionReady).Reason).To(Equal("Ready"))
		w.ats.Exec(`ANALYZE`)
		w.ats.Exec(`INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('consents', NULL, '20000000')`)
		w.recheckMap()
		Eventually(w.mapCondition(v1alpha1.ConditionReady)).Should(Equal("False/IndexMissing"))
		Expect(w.mapProblem()).To(ContainSubstring("CREATE INDEX consents_email_lookup ON consents (lower(email))"))
		w.ats.Exec(`CREATE INDEX consents_email ON consents (lower(email))`)
		w.recheckMap()
		w.mapReady()
	})
})

func warnings(m *v1alpha1.PersonalDataMap) []string {
	var list []string
	for _, p := range m.Status.Warnings {
		list = append(list, p.Reason+" "+p.Entity+" "+p.Column)
	}
	return list
}
