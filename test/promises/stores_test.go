package promises

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
	"github.com/lethe-dev/lethe/test/redistest"
	"github.com/lethe-dev/lethe/test/s3test"
)

// service is a customer service that implements the HTTP contract, well or badly.
type service struct {
	*httptest.Server
	mu       sync.Mutex
	contacts map[string]bool // id to whether it is in use
	keys     map[string]bool // idempotency keys seen
	lies     bool            // says that it has erased, and has not
	away     bool
}

func newService(contacts ...string) *service {
	s := &service{contacts: map[string]bool{}, keys: map[string]bool{}}
	for _, id := range contacts {
		s.contacts[id] = true
	}
	s.Server = httptest.NewServer(s)
	DeferCleanup(s.Close)
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var body struct {
		Resource string   `json:"resource"`
		IDs      []string `json:"ids"`
		Active   bool     `json:"active"`
	}
	user, password, _ := r.BasicAuth()
	switch {
	case user != "lethe" || password != "service-password":
		w.WriteHeader(http.StatusUnauthorized)
		return
	case s.away && r.URL.Path == "/v1/erase":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&body) != nil:
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer := map[string]any{"contract": "v1", "service": "crm", "version": "7", "resources": []string{"contact"}}
	switch r.URL.Path {
	case "/v1/verify":
		present := []string{}
		for _, id := range body.IDs {
			if _, ok := s.contacts[id]; ok {
				present = append(present, id)
			}
		}
		answer = map[string]any{"present": present}
	case "/v1/erase":
		s.keys[r.Header.Get("Idempotency-Key")] = true
		for _, id := range body.IDs {
			if !s.lies {
				delete(s.contacts, id)
			}
		}
		answer = map[string]any{"state": "Completed", "erased": len(body.IDs)}
	case "/v1/deactivate":
		for _, id := range body.IDs {
			if _, ok := s.contacts[id]; ok {
				s.contacts[id] = body.Active
			}
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// newTLSServer has a certificate that nobody knows, and says nothing of clients who do not take it.
func newTLSServer(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	DeferCleanup(s.Close)
	return s
}

// state tells of each contact whether it is in use.
func (s *service) state() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]bool{}
	for id, active := range s.contacts {
		out[id] = active
	}
	return out
}

func (s *service) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// chain is a world in which rows lead to keys in Redis, objects in S3 and contacts of a service.
type chain struct {
	*world
	redis   *redis.Client
	objects *minio.Core
	bucket  string
	reader  s3test.Credentials // Lethe's user of the bucket
	crm     *service
}

// newChain makes a chain for two people; locks makes a bucket with versions and object lock.
func newChain(locks bool, change ...func(*v1alpha1.PersonalDataMap)) *chain {
	GinkgoHelper()
	w := newWorld(ada, bob)
	c := &chain{world: w, crm: newService("crm-1", "crm-10")}
	cache, err := redistest.Start(w, redistest.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(cache.Stop)
	c.redis = cache.Client()
	DeferCleanup(c.redis.Close)
	media, err := s3test.Start(w, s3test.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(media.Stop)
	c.objects, err = media.Client(media.Root)
	Expect(err).NotTo(HaveOccurred())
	c.bucket, err = media.CreateBucket(w, locks)
	Expect(err).NotTo(HaveOccurred())
	c.reader, err = media.CreateUser(w)
	Expect(err).NotTo(HaveOccurred())
	c.allow("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload")
	w.ats.Exec(`CREATE TABLE accounts (id INTEGER PRIMARY KEY, applicant_id TEXT NOT NULL REFERENCES applicants(id), crm_id TEXT NOT NULL)`)
	w.ats.Exec(`CREATE UNIQUE INDEX accounts_crm ON accounts(crm_id)`)
	w.ats.Exec(`CREATE INDEX accounts_applicant ON accounts(applicant_id)`)
	w.ats.Exec(`INSERT INTO accounts (applicant_id, crm_id) VALUES (?, 'crm-1'), (?, 'crm-10')`, ada.ID, bob.ID)
	for _, p := range []harness.Person{ada, bob} {
		c.put("people/"+p.ID+"/photo.jpg", "people/"+p.ID+"/video/interview.mp4")
		Expect(c.redis.MSet(w, "session:"+p.ID+":a", "1", "session:"+p.ID+":b", "1", "session:"+p.ID+"x:a", "1").Err()).To(Succeed())
		Expect(c.redis.HSet(w, "online", p.ID, "now").Err()).To(Succeed())
	}
	account := func(name string, values map[string]string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.ns}, StringData: values}
	}
	w.create(account("cache", map[string]string{"password": cache.Password}),
		account("media", map[string]string{"accessKeyID": c.reader.AccessKeyID, "secretAccessKey": c.reader.SecretAccessKey}),
		account("crm", map[string]string{"username": "lethe", "password": "service-password"}),
		c.store("cache", v1alpha1.DataStoreSpec{Redis: &v1alpha1.RedisStore{Addresses: []string{cache.Addr()}, TLSMode: v1alpha1.TLSDisable,
			CredentialsSecretRef: &v1alpha1.LocalReference{Name: "cache"}}}),
		c.store("media", v1alpha1.DataStoreSpec{S3: &v1alpha1.S3Store{Endpoint: media.URL(), Bucket: c.bucket, Prefix: "people",
			CredentialsSecretRef: v1alpha1.LocalReference{Name: "media"}}}),
		c.store("crm", v1alpha1.DataStoreSpec{HTTP: &v1alpha1.HTTPStore{URL: c.crm.URL, Authentication: v1alpha1.HTTPAuthBasic,
			CredentialsSecretRef: &v1alpha1.LocalReference{Name: "crm"}}}))
	m := &v1alpha1.PersonalDataMap{ObjectMeta: metav1.ObjectMeta{Name: "accounts", Namespace: w.ns}, Spec: v1alpha1.PersonalDataMapSpec{
		Entities: []v1alpha1.Entity{{Name: "accounts", Store: "ats", Table: "accounts", Key: []string{"id"}, Category: "account", Action: v1alpha1.ActionDelete,
			Parents: []v1alpha1.Parent{{Entity: "ats/applicants", Relation: v1alpha1.RelationDeep, Columns: []v1alpha1.ColumnPair{{Column: "applicant_id", ParentColumn: "id"}}}},
			Files:   []v1alpha1.FileReference{{Store: "media", Path: "{applicant_id}", Kind: v1alpha1.FileKindDirectory, Category: "recordings"}},
			Keys: []v1alpha1.KeyReference{{Store: "cache", Key: "session:{applicant_id}:*"},
				{Store: "cache", Key: "online", Kind: v1alpha1.KeyKindHashField, Member: "{applicant_id}"}},
			Resources: []v1alpha1.ResourceReference{{Store: "crm", Resource: "contact", ID: "{crm_id}", Deactivate: v1alpha1.DeactivateDuringGrace}},
		}}}}
	for _, f := range change {
		f(m)
	}
	w.create(m)
	for _, name := range []string{"cache", "media", "crm"} {
		Eventually(w.conditionOf(&v1alpha1.DataStore{}, name, v1alpha1.ConditionReady)).Should(Equal("True/Ready"))
	}
	for _, name := range []string{"accounts", "ats"} {
		Eventually(w.conditionOf(&v1alpha1.PersonalDataMap{}, name, v1alpha1.ConditionReady), "30s").Should(Equal("True/Ready"))
	}
	return c
}

func (c *chain) store(name string, spec v1alpha1.DataStoreSpec) *v1alpha1.DataStore {
	return &v1alpha1.DataStore{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: c.ns}, Spec: spec}
}

func (c *chain) put(keys ...string) {
	GinkgoHelper()
	for _, k := range keys {
		_, err := c.objects.Client.PutObject(c, c.bucket, k, bytes.NewReader([]byte(k)), int64(len(k)), minio.PutObjectOptions{})
		Expect(err).NotTo(HaveOccurred())
	}
}

// left are the keys, the objects with all their versions, and the contacts.
func (c *chain) left() []string {
	GinkgoHelper()
	var all []string
	keys, err := c.redis.Keys(c, "*").Result()
	Expect(err).NotTo(HaveOccurred())
	for _, k := range keys {
		all = append(all, "key "+k)
	}
	fields, err := c.redis.HKeys(c, "online").Result()
	Expect(err).NotTo(HaveOccurred())
	for _, f := range fields {
		all = append(all, "online "+f)
	}
	for o := range c.objects.Client.ListObjects(context.Background(), c.bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		Expect(o.Err).NotTo(HaveOccurred())
		all = append(all, "object "+o.Key)
	}
	for id := range c.crm.state() {
		all = append(all, "contact "+id)
	}
	slices.Sort(all)
	return all
}

// belonging are those of one person's things that are left when nothing was touched.
func belonging(p harness.Person, contact string) []string {
	return []string{"contact " + contact, "key session:" + p.ID + "x:a", "key session:" + p.ID + ":a", "key session:" + p.ID + ":b",
		"object people/" + p.ID + "/photo.jpg", "object people/" + p.ID + "/video/interview.mp4", "online " + p.ID}
}

var _ = Describe("Stores that a row leads to", func() {
	// What is left when Ada is gone: Bob's, what they share, and the key that only looks like hers.
	withoutAda := func() []string {
		return sorted(append(belonging(bob, "crm-10"), "key online", "key session:"+ada.ID+"x:a")...)
	}

	It("are erased with it: keys, fields, every version of every object, and remote records", func() {
		c := newChain(true)
		c.put("people/" + ada.ID + "/photo.jpg") // a second version
		c.create(harness.Request(c.ns, "chain", ada)...)
		Eventually(c.stage("chain")).Should(Equal("Pending/GracePeriod"), func() string { return c.message("chain") })
		before := c.left()
		c.dryRun("preview", "chain")
		Eventually(c.conditionOf(&v1alpha1.DeletionRun{}, "preview", v1alpha1.ConditionReady), "30s").Should(Equal("True/DryRun"))
		Expect(c.left()).To(Equal(before))
		c.step(61 * 24 * time.Hour)
		c.poke("chain")
		Eventually(c.stage("chain"), "30s").Should(Equal("Completed/Erased"), func() string { return c.message("chain") })
		Expect(c.left()).To(Equal(withoutAda()))
		Expect(c.finishedRun(c.request("chain").Status.Run).Status.Counts).To(Equal(c.run("preview").Status.Counts), "the run counts what the dry run before it did")
		counts := map[string]v1alpha1.CategoryCount{}
		for _, n := range c.request("chain").Status.Counts {
			counts[n.Category] = n
		}
		Expect(counts["account"].Deleted).To(BeEquivalentTo(1+2+1+1), "a row, two keys, a field and a contact")
		Expect(counts["recordings"].Files).To(BeEquivalentTo(3), "three versions")
		Expect(c.everything("chain")).NotTo(ContainAny("crm-1", "interview.mp4", "service-password"))
	})

	It("take remote records out of use during the grace period, and back when it is cancelled", func() {
		c := newChain(false)
		c.create(harness.Request(c.ns, "grace", ada)...)
		Eventually(c.stage("grace")).Should(Equal("Pending/GracePeriod"), func() string { return c.message("grace") })
		Eventually(c.crm.state).Should(Equal(map[string]bool{"crm-1": false, "crm-10": true}))
		Expect(c.change("grace", func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true })).To(Succeed())
		Eventually(c.stage("grace")).Should(Equal("Cancelled/Cancelled"))
		Expect(c.crm.state()).To(Equal(map[string]bool{"crm-1": true, "crm-10": true}))
	})

	It("are not believed: a service that says done and has the data still keeps the request alive", func() {
		c := newChain(false)
		c.crm.set(func() { c.crm.lies = true })
		c.create(harness.Request(c.ns, "lies", ada, harness.Immediate)...)
		Eventually(c.stage("lies"), "30s").Should(Equal("Pending/Retrying"), func() string { return c.message("lies") })
		Consistently(c.stage("lies")).ShouldNot(HavePrefix("Completed"))
		Expect(c.crm.state()).To(HaveKey("crm-1"))
		c.crm.set(func() { c.crm.lies = false })
		c.annotate("lies", v1alpha1.AnnotationRetry, "1")
		Eventually(c.stage("lies"), "30s").Should(Equal("Completed/Erased"), func() string { return c.message("lies") })
		Expect(c.left()).To(Equal(withoutAda()))
	})

	It("are not asked when they show a certificate that does not match: the request lives, and goes on when it does", func() {
		c := newChain(false)
		secure := newTLSServer(c.crm)
		ds := c.get(&v1alpha1.DataStore{}, "crm").(*v1alpha1.DataStore)
		ds.Spec.HTTP.URL = secure.URL
		Expect(cluster.Client.Update(c, ds)).To(Succeed())
		Eventually(c.conditionOf(&v1alpha1.DataStore{}, "crm", v1alpha1.ConditionReady)).Should(Equal("False/StoreRefused"))
		before := c.left()
		c.create(harness.Request(c.ns, "mistrusts", ada, harness.Immediate)...)
		Eventually(c.stage("mistrusts")).Should(Equal("Pending/MapNotReady"), func() string { return c.message("mistrusts") })
		Expect(c.message("mistrusts")).To(ContainSubstring("certificate"))
		Expect(c.left()).To(Equal(before))
		Expect(c.ats.Rows(ada)).To(HaveKeyWithValue("notes", 2))
		account := c.get(&corev1.Secret{}, "crm").(*corev1.Secret)
		account.StringData = map[string]string{"ca.crt": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))}
		Expect(cluster.Client.Update(c, account)).To(Succeed())
		ds = c.get(ds, "crm").(*v1alpha1.DataStore) // the operator would look by itself; its timer runs on real time
		ds.Spec.Limits.BatchSize = 50
		Expect(cluster.Client.Update(c, ds)).To(Succeed())
		Eventually(c.stage("mistrusts"), "30s").Should(Equal("Completed/Erased"), func() string { return c.message("mistrusts") })
		Expect(c.left()).To(Equal(withoutAda()))
	})

	It("are asked in vain for a bucket whose versions may not be deleted: the request lives, and goes on with the right", func() {
		c := newChain(true)
		c.allow("s3:DeleteObject", "s3:AbortMultipartUpload")
		c.create(harness.Request(c.ns, "forbidden", ada, harness.Immediate)...)
		Eventually(c.stage("forbidden"), "30s").Should(Equal("Pending/Retrying"), func() string { return c.message("forbidden") })
		Expect(c.message("forbidden")).To(ContainSubstring("s3:DeleteObjectVersion"))
		Expect(c.left()).To(ContainElements(sorted(append(belonging(bob, "crm-10"), "object people/"+ada.ID+"/photo.jpg")...)))
		c.allow("s3:DeleteObject", "s3:AbortMultipartUpload", "s3:DeleteObjectVersion")
		c.annotate("forbidden", v1alpha1.AnnotationRetry, "1")
		Eventually(c.stage("forbidden"), "30s").Should(Equal("Completed/Erased"), func() string { return c.message("forbidden") })
		Expect(c.left()).To(Equal(withoutAda()))
	})

	DescribeTable("wait for one that goes away, or go on without it, as the map says", func(policy v1alpha1.UnavailablePolicy) {
		c := newChain(false)
		for _, name := range []string{"ats", "accounts"} {
			m := c.get(&v1alpha1.PersonalDataMap{}, name).(*v1alpha1.PersonalDataMap)
			read := m.DeepCopy()
			m.Spec.WhenStoreUnavailable = policy
			Expect(cluster.Client.Patch(c, m, client.MergeFrom(read))).To(Succeed())
			Eventually(c.conditionOf(&v1alpha1.PersonalDataMap{}, name, v1alpha1.ConditionReady), "30s").Should(Equal("True/Ready"))
		}
		// The cache answers and takes no writes, as a master without its replicas.
		Expect(c.redis.ConfigSet(c, "min-replicas-to-write", "1").Err()).To(Succeed())
		c.create(harness.Request(c.ns, "away", ada, harness.Immediate)...)
		Eventually(c.stage("away"), "30s").Should(Equal("Pending/Retrying"), func() string { return c.message("away") })
		Expect(c.left()).NotTo(ContainElement(ContainSubstring("people/"+ada.ID+"/")), "files go before keys")
		if policy == v1alpha1.UnavailableWait {
			Expect(c.crm.state()).To(HaveKey("crm-1"))
		} else {
			Eventually(c.crm.state).ShouldNot(HaveKey("crm-1"))
		}
		Expect(c.redis.ConfigSet(c, "min-replicas-to-write", "0").Err()).To(Succeed())
		c.annotate("away", v1alpha1.AnnotationRetry, "1")
		Eventually(c.stage("away"), "30s").Should(Equal("Completed/Erased"), func() string { return c.message("away") })
		Expect(c.left()).To(Equal(withoutAda()))
	},
		Entry("whenStoreUnavailable: Wait", v1alpha1.UnavailableWait),
		Entry("whenStoreUnavailable: Proceed", v1alpha1.UnavailableProceed))

	It("are left alone while a name that a person chose makes them another person's too", func() {
		c := newChain(false)
		c.ats.Exec(`ALTER TABLE accounts ADD COLUMN nick TEXT`)
		c.ats.Exec(`CREATE UNIQUE INDEX accounts_nick ON accounts(nick)`)
		c.ats.Exec(`UPDATE accounts SET nick = CASE applicant_id WHEN ? THEN 'ann' ELSE 'ann:marie' END`, ada.ID)
		m := c.get(&v1alpha1.PersonalDataMap{}, "accounts").(*v1alpha1.PersonalDataMap)
		read := m.DeepCopy()
		e := &m.Spec.Entities[0]
		e.Keys = append(e.Keys, v1alpha1.KeyReference{Store: "cache", Key: "nick:{nick}:*"})
		e.Files = append(e.Files, v1alpha1.FileReference{Store: "media", Path: "avatars/{nick}:", Kind: v1alpha1.FileKindPrefix})
		Expect(cluster.Client.Patch(c, m, client.MergeFrom(read))).To(Succeed())
		Eventually(func() any {
			m := c.get(&v1alpha1.PersonalDataMap{}, "accounts").(*v1alpha1.PersonalDataMap)
			return m.Status.ObservedGeneration == m.Generation
		}).Should(BeTrue())
		Eventually(c.conditionOf(&v1alpha1.PersonalDataMap{}, "accounts", v1alpha1.ConditionReady), "30s").Should(Equal("True/Ready"))
		Expect(c.redis.MSet(c, "nick:ann:1", "hers", "nick:ann:marie:1", "his").Err()).To(Succeed())
		c.put("people/avatars/ann:1.png", "people/avatars/ann:marie:1.png")
		before := c.left()
		c.create(harness.Request(c.ns, "alike", ada, harness.Immediate)...)
		Eventually(c.stage("alike"), "30s").Should(Equal("Pending/NameAmbiguous"), func() string { return c.message("alike") })
		Expect(c.message("alike")).To(And(ContainSubstring("accounts"), ContainSubstring("{nick}"), Not(ContainSubstring("marie"))))
		Expect(c.left()).To(Equal(before))
		Expect(c.ats.Rows(ada)).To(HaveKeyWithValue("notes", 2))
		// Bob gets another name, and his things with it.
		c.ats.Exec(`UPDATE accounts SET nick = 'bob' WHERE nick = 'ann:marie'`)
		Expect(c.redis.Rename(c, "nick:ann:marie:1", "nick:bob:1").Err()).To(Succeed())
		Expect(c.objects.RemoveObject(c, c.bucket, "people/avatars/ann:marie:1.png", minio.RemoveObjectOptions{})).To(Succeed())
		c.put("people/avatars/bob:1.png")
		c.poke("alike")
		Eventually(c.stage("alike"), "30s").Should(Equal("Completed/Erased"), func() string { return c.message("alike") })
		Expect(c.left()).To(Equal(sorted(append(withoutAda(), "key nick:bob:1", "object people/avatars/bob:1.png")...)))
	})

	It("keep what an object lock keeps, say until when, and give it up then", func() {
		c := newChain(true)
		until := time.Now().Add(15 * time.Second).UTC().Truncate(time.Second)
		mode := minio.Governance
		Expect(c.objects.Client.PutObjectRetention(c, c.bucket, "people/"+ada.ID+"/photo.jpg", minio.PutObjectRetentionOptions{Mode: &mode, RetainUntilDate: &until})).To(Succeed())
		now := time.Now().Truncate(time.Second)
		c.clock.Set(now)
		c.witness.Set(now)
		c.create(harness.Request(c.ns, "locked", ada, harness.Immediate)...)
		Eventually(c.stage("locked"), "30s").Should(Equal("Completed/Retained"), func() string { return c.message("locked") })
		retained := c.request("locked").Status.Retained
		Expect(retained).To(HaveLen(1))
		Expect(retained[0].Basis).To(ContainSubstring("object lock"))
		Expect(retained[0].Until.Time).To(BeTemporally("~", until, time.Second))
		Expect(c.left()).To(ContainElement("object people/" + ada.ID + "/photo.jpg"))
		Expect(c.left()).NotTo(ContainElement("object people/" + ada.ID + "/video/interview.mp4"))
		Eventually(time.Now, "30s").Should(BeTemporally(">", until.Add(time.Second)))
		c.step(time.Minute)
		Eventually(func() []string { return c.left() }, "30s").Should(Equal(withoutAda()))
	})
})

// allow Lethe's user to read the bucket, and to do what is named with its objects.
func (c *chain) allow(rights ...string) {
	GinkgoHelper()
	statement := func(resource string, rights ...string) map[string]any {
		return map[string]any{"Effect": "Allow", "Principal": map[string]any{"AWS": []string{c.reader.AccessKeyID}}, "Action": rights, "Resource": []string{resource}}
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": []map[string]any{
		statement("arn:aws:s3:::"+c.bucket, "s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads", "s3:GetBucketObjectLockConfiguration"),
		statement("arn:aws:s3:::"+c.bucket+"/*", append(rights, "s3:GetObjectRetention", "s3:GetObjectLegalHold")...)}})
	Expect(err).NotTo(HaveOccurred())
	Expect(c.objects.SetBucketPolicy(c, c.bucket, string(policy))).To(Succeed())
}

func sorted(list ...string) []string {
	slices.Sort(list)
	return list
}
