package promises

import (
	"net/http"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/certtest"
	"github.com/lethe-dev/lethe/test/harness"
	"github.com/lethe-dev/lethe/test/mariadbtest"
	"github.com/lethe-dev/lethe/test/pgtest"
	"github.com/lethe-dev/lethe/test/redistest"
)

var _ = Describe("Bad input", func() {
	DescribeTable("is refused by the API with field, problem and remedy", func(obj client.Object, words ...string) {
		w := &world{Context: GinkgoT().Context()}
		var err error
		w.ns, err = cluster.NewNamespace(w, "bad")
		Expect(err).NotTo(HaveOccurred())
		obj.SetNamespace(w.ns)
		obj.SetName("bad")
		err = cluster.Client.Create(w, obj)
		for _, word := range words {
			Expect(err).To(MatchError(ContainSubstring(word)))
		}
	},
		Entry("an e-mail address as subject id", &v1alpha1.ErasureRequest{Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: "somebody@example.org"}}},
			"spec.subject.id", "opaque id", v1alpha1.IdentitiesSecretType),
		Entry("white space in the subject id", &v1alpha1.ErasureRequest{Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: "app 1"}}}, "spec.subject.id", "white space"),
		Entry("an e-mail address in the note", &v1alpha1.ErasureRequest{Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: "a"}, Note: "asked by somebody@example.org"}}, "spec.note"),
		Entry("a grace period of 29 days", policyWith("P29D", "P30D"), "spec.requests.gracePeriod", "between P30D and P180D"),
		Entry("a grace period of 181 days", policyWith("P181D", "P30D"), "spec.requests.gracePeriod", "between P30D and P180D"),
		Entry("an archive retention of years", policyWith("P60D", "P1Y"), "spec.requests.archiveRetention", "between P30D and P180D"),
		Entry("an unknown strategy", mapWith(func(e *v1alpha1.Entity) {
			e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "email", Strategy: "Scramble"}}
		}), "spec.entities[0].fields[0].strategy", "Pseudonym"),
		Entry("a constant without its value", mapWith(func(e *v1alpha1.Entity) {
			e.Action, e.Fields = v1alpha1.ActionAnonymize, []v1alpha1.FieldChange{{Column: "email", Strategy: v1alpha1.StrategyConstant}}
		}), "spec.entities[0].fields[0]", "strategies Constant and Redact"),
		Entry("Keep without a legal basis", mapWith(func(e *v1alpha1.Entity) { e.Action = v1alpha1.ActionKeep }), "legalBasis"),
		Entry("an unknown operator", mapWith(func(e *v1alpha1.Entity) {
			e.Conditions = []v1alpha1.Condition{{Column: "tenant", Operator: "Like", Values: []string{"%"}}}
		}), "spec.entities[0].conditions[0].operator", "supported values"),
		Entry("two kinds of store at once", &v1alpha1.DataStore{Spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "a"}, Filesystem: &v1alpha1.FilesystemStore{Path: "b"}}}, "spec", "exactly one"),
		Entry("a hold on nothing", &v1alpha1.LegalHold{Spec: v1alpha1.LegalHoldSpec{Reason: "r"}}, "names subjects or selects records"),
		Entry("a run by hand that is not a dry run", &v1alpha1.DeletionRun{Spec: v1alpha1.DeletionRunSpec{Request: &v1alpha1.RequestReference{Name: "x"}}}, "dry runs"),
	)

	DescribeTable("keeps a map from being Ready, says where, and lets the request wait until it is mended", func(spoil func(*v1alpha1.PersonalDataMap), reason string, mentions ...string) {
		var words []types.GomegaMatcher
		for _, m := range mentions {
			words = append(words, ContainSubstring(m))
		}
		w := emptyWorld(ada)
		objects := harness.ATSObjects(w.ns)
		m := objects[2].(*v1alpha1.PersonalDataMap)
		good := m.Spec.DeepCopy()
		spoil(m)
		w.create(objects...)
		w.create(harness.Request(w.ns, "waits", ada, harness.Immediate)...)
		Eventually(func() []string { return w.mapProblems(reason) }).Should(ContainElement(And(words...)))
		Eventually(w.conditionOf(&v1alpha1.PersonalDataMap{}, "ats", v1alpha1.ConditionReady)).Should(HavePrefix("False/"))
		Eventually(w.stage("waits")).Should(Equal("Pending/MapNotReady"))
		Expect(w.ats.Rows(ada)).To(HaveKeyWithValue("notes", 2))
		m = w.get(m, "ats").(*v1alpha1.PersonalDataMap)
		read := m.DeepCopy()
		m.Spec = *good
		Expect(cluster.Client.Patch(w, m, client.MergeFrom(read))).To(Succeed())
		Eventually(w.stage("waits")).Should(Equal("Completed/Erased"))
	},
		Entry("a table that does not exist", func(m *v1alpha1.PersonalDataMap) { m.Spec.Entities[2].Table = "remarks" }, v1alpha1.ReasonSchemaMismatch, "notes", "remarks"),
		Entry("a column that does not exist", func(m *v1alpha1.PersonalDataMap) { m.Spec.Entities[4].IdentifiedBy[0].Column = "addressee" }, v1alpha1.ReasonSchemaMismatch, "messages", "addressee"),
		Entry("a parent that does not exist", func(m *v1alpha1.PersonalDataMap) { m.Spec.Entities[2].Parents[0].Entity = "jobs" }, v1alpha1.ReasonMapIncomplete, "notes", "jobs"),
		Entry("a key that is not unique", func(m *v1alpha1.PersonalDataMap) { m.Spec.Entities[2].Key = []string{"application_id"} }, v1alpha1.ReasonSchemaMismatch, "notes", "application_id"),
		Entry("a template that climbs out", func(m *v1alpha1.PersonalDataMap) { m.Spec.Entities[3].Files[0].Path = "../{file_name}" }, v1alpha1.ReasonPathOutsideRoot, "documents"),
		Entry("a store that does not exist", func(m *v1alpha1.PersonalDataMap) { m.Spec.Entities[4].Store = "warehouse" }, v1alpha1.ReasonStoreNotFound, "warehouse"),
		Entry("a template with a column that does not exist", func(m *v1alpha1.PersonalDataMap) { m.Spec.Entities[3].Files[0].Path = "{folder}/{file_name}" }, v1alpha1.ReasonSchemaMismatch, "documents", "folder"),
		Entry("a cycle without a break", func(m *v1alpha1.PersonalDataMap) {
			m.Spec.Entities[0].Parents = append(m.Spec.Entities[0].Parents, v1alpha1.Parent{Entity: "notes", Relation: v1alpha1.RelationDeep,
				Columns: []v1alpha1.ColumnPair{{Column: "referred_by", ParentColumn: "id"}}})
		}, v1alpha1.ReasonCycle, "Shallow"),
		Entry("two parents that disagree", func(m *v1alpha1.PersonalDataMap) {
			other := m.Spec.Entities[2].Parents[0]
			other.Relation = v1alpha1.RelationShallow
			m.Spec.Entities[2].Parents = append(m.Spec.Entities[2].Parents, other)
		}, v1alpha1.ReasonInvalidSpec, "notes", "disagree", "Deep", "Shallow"),
		Entry("an entity left out to which a foreign key leads", func(m *v1alpha1.PersonalDataMap) {
			m.Spec.Entities = append(m.Spec.Entities[:2], m.Spec.Entities[3:]...)
		}, v1alpha1.ReasonForeignKeyUncovered, "notes", "application_id"),
	)

	It("a path in a record that climbs out of the root deletes nothing and keeps the request alive", func() {
		w := newWorld(ada)
		secret := filepath.Join(w.ats.Root, "outside.pdf")
		Expect(os.WriteFile(secret, []byte("x"), 0o600)).To(Succeed())
		w.ats.Exec(`UPDATE documents SET file_name = '../../outside.pdf' WHERE applicant_id = ?`, ada.ID)
		w.create(harness.Request(w.ns, "climbs", ada, harness.Immediate)...)
		Eventually(w.stage("climbs")).Should(Equal("Pending/PathOutsideRoot"))
		Expect(w.message("climbs")).To(ContainSubstring("documents"))
		Expect(secret).To(BeAnExistingFile())
		Expect(w.ats.Rows(ada)).To(HaveKeyWithValue("notes", 2))
		w.ats.Exec(`UPDATE documents SET file_name = 'resume.pdf' WHERE applicant_id = ?`, ada.ID)
		w.poke("climbs")
		Eventually(w.stage("climbs")).Should(Equal("Completed/Erased"))
	})

	It("a local store without a root, and one that climbs out of it, are not opened", func() {
		w := emptyWorld()
		w.create(&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "climbs", Namespace: w.ns}, Spec: v1alpha1.DataStoreSpec{SQLite: &v1alpha1.SQLiteStore{Path: "../ats.db"}}})
		Eventually(w.conditionOf(&v1alpha1.DataStore{}, "climbs", v1alpha1.ConditionReady)).Should(Equal("False/PathOutsideRoot"))
		elsewhere, err := cluster.NewNamespace(w, "elsewhere")
		Expect(err).NotTo(HaveOccurred())
		home := w.ns
		w.ns = elsewhere
		w.create(&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "rootless", Namespace: w.ns}, Spec: v1alpha1.DataStoreSpec{Filesystem: &v1alpha1.FilesystemStore{Path: "documents"}}})
		Eventually(w.conditionOf(&v1alpha1.DataStore{}, "rootless", v1alpha1.ConditionReady)).Should(Equal("False/LocalRootMissing"))
		Expect(cluster.Clean(w, elsewhere)).To(Succeed())
		w.ns = home
	})

	It("a certificate that does not match is named in the condition of each store that has one", func() {
		w := emptyWorld()
		shown, key, err := certtest.SelfSigned("127.0.0.1")
		Expect(err).NotTo(HaveOccurred())
		other, _, err := certtest.SelfSigned("127.0.0.1")
		Expect(err).NotTo(HaveOccurred())
		pg, err := pgtest.Start(w, pgtest.Options{Cert: shown, Key: key})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(pg.Stop)
		maria, err := mariadbtest.Start(w, mariadbtest.Options{Cert: shown, Key: key})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(maria.Stop)
		cache, err := redistest.Start(w, redistest.Options{TLS: true})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(cache.Stop)
		impostor := newTLSServer(http.NotFoundHandler())
		ref := v1alpha1.LocalReference{Name: "account"}
		w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: ref.Name, Namespace: w.ns}, StringData: map[string]string{
			"username": pg.User, "password": pg.Password, "accessKeyID": "u", "secretAccessKey": "hush-hush", "ca.crt": string(other)}})
		for name, spec := range map[string]v1alpha1.DataStoreSpec{
			"service": {HTTP: &v1alpha1.HTTPStore{URL: impostor.URL, Authentication: v1alpha1.HTTPAuthBasic, CredentialsSecretRef: &ref}},
			"bucket":  {S3: &v1alpha1.S3Store{Endpoint: impostor.URL, Bucket: "bucket", CredentialsSecretRef: ref}},
			"keys":    {Redis: &v1alpha1.RedisStore{Addresses: []string{cache.Addr()}, CredentialsSecretRef: &ref}},
			"pg":      {PostgreSQL: &v1alpha1.PostgreSQLStore{Host: "127.0.0.1", Port: int32(pg.Port), Database: "postgres", SSLMode: "verify-full", CredentialsSecretRef: ref}},
			"maria":   {MySQL: &v1alpha1.MySQLStore{Host: "127.0.0.1", Port: int32(maria.Port), Database: "mysql", SSLMode: "verify-full", CredentialsSecretRef: ref}},
		} {
			w.create(&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns}, Spec: spec})
			Eventually(w.conditionOf(&v1alpha1.DataStore{}, name, v1alpha1.ConditionReady), "30s").Should(Equal("False/StoreRefused"), name)
			c := meta.FindStatusCondition(w.get(&v1alpha1.DataStore{}, name).(*v1alpha1.DataStore).Status.Conditions, v1alpha1.ConditionReady)
			Expect(c.Message).To(And(ContainSubstring("certificate"), ContainSubstring("ca.crt")), name)
		}
		Expect(w.operator.Logs.String()).NotTo(Or(ContainSubstring("hush-hush"), ContainSubstring(pg.Password)))
	})

	It("a database whose credentials are missing, or that is not there, is named as such", func() {
		w := emptyWorld()
		w.create(&v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: "pg", Namespace: w.ns}, Spec: v1alpha1.DataStoreSpec{
			PostgreSQL: &v1alpha1.PostgreSQLStore{Host: "127.0.0.1", Port: 1, Database: "d", SSLMode: "disable", CredentialsSecretRef: v1alpha1.LocalReference{Name: "pg"}}}})
		Eventually(w.conditionOf(&v1alpha1.DataStore{}, "pg", v1alpha1.ConditionReady)).Should(Equal("False/CredentialsMissing"))
		w.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "pg", Namespace: w.ns}, StringData: map[string]string{"username": "u", "password": "hush-hush"}})
		pg := w.get(&v1alpha1.DataStore{}, "pg")
		read := pg.DeepCopyObject().(client.Object)
		pg.(*v1alpha1.DataStore).Spec.PostgreSQL.Database = "e"
		Expect(cluster.Client.Patch(w, pg, client.MergeFrom(read))).To(Succeed())
		Eventually(w.conditionOf(&v1alpha1.DataStore{}, "pg", v1alpha1.ConditionReady)).Should(Equal("False/StoreUnreachable"))
		Expect(w.operator.Logs.String()).NotTo(ContainSubstring("hush-hush"))
	})
})

// mapProblems are the messages of a map's problems of one reason; a store that is missing is one of Ready itself.
func (w *world) mapProblems(reason string) []string {
	GinkgoHelper()
	m := w.get(&v1alpha1.PersonalDataMap{}, "ats").(*v1alpha1.PersonalDataMap)
	var messages []string
	for _, p := range m.Status.Problems {
		if p.Reason == reason {
			messages = append(messages, p.Entity+": "+p.Message)
		}
	}
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady); c != nil && c.Reason == reason {
		messages = append(messages, c.Message)
	}
	return messages
}

func policyWith(grace, archive string) *v1alpha1.RetentionPolicy {
	return &v1alpha1.RetentionPolicy{Spec: v1alpha1.RetentionPolicySpec{Requests: &v1alpha1.RequestPolicy{GracePeriod: grace, ArchiveRetention: archive}}}
}

func mapWith(spoil func(*v1alpha1.Entity)) *v1alpha1.PersonalDataMap {
	e := v1alpha1.Entity{Name: "e", Store: "s", Table: "t", Key: []string{"id"}, Category: "contact", Action: v1alpha1.ActionDelete,
		Root: &v1alpha1.Root{Rows: v1alpha1.RowsOne}, IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}}}
	spoil(&e)
	return &v1alpha1.PersonalDataMap{Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{e}}}
}
