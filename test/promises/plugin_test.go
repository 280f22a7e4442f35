package promises

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/explain"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/plugin"
	"github.com/lethe-dev/lethe/test/harness"
)

// user of the plugin: a token and nothing else.
type user struct {
	w          *world
	name       string
	kubeconfig string
	token      string
}

// user makes a ServiceAccount with a persona's real role, and a kubeconfig with its token. It may read what the operator shows.
func (w *world) user(name, persona string) *user {
	GinkgoHelper()
	config, _, err := cluster.Persona(w, w.ns, name, persona)
	Expect(err).NotTo(HaveOccurred())
	file := clientcmdapi.Config{CurrentContext: "test",
		Clusters:  map[string]*clientcmdapi.Cluster{"test": {Server: config.Host, CertificateAuthority: config.CAFile, CertificateAuthorityData: config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {Token: config.BearerToken}},
		Contexts:  map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test", Namespace: w.ns}}}
	u := &user{w: w, name: name, token: config.BearerToken, kubeconfig: filepath.Join(GinkgoT().TempDir(), "kubeconfig")}
	Expect(clientcmd.WriteToFile(file, u.kubeconfig)).To(Succeed())
	u.may(w.options.Namespace, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list"}})
	return u
}

// may gives the user a right besides the role's.
func (u *user) may(namespace string, rules ...rbacv1.PolicyRule) {
	GinkgoHelper()
	m := metav1.ObjectMeta{GenerateName: u.name + "-", Namespace: namespace}
	role := &rbacv1.Role{ObjectMeta: m, Rules: rules}
	u.w.create(role)
	u.w.create(&rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Name: role.Name, Namespace: namespace}, Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: u.name, Namespace: u.w.ns}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}})
}

// told is what a command of the plugin prints, and how it ends.
type toldBy struct {
	Out, Err string
	Problem  error
}

// runs a command, kubectl lethe ARGS, as the user.
func (u *user) runs(args ...string) toldBy { return u.types("", args...) }

// types runs a command with a standard input.
func (u *user) types(stdin string, args ...string) toldBy {
	GinkgoHelper()
	ctx, cancel := context.WithTimeout(u.w, time.Minute)
	defer cancel()
	return u.follows(ctx, stdin, &bytes.Buffer{}, args...)
}

func (u *user) follows(ctx context.Context, stdin string, out interface {
	io.Writer
	fmt.Stringer
}, args ...string) toldBy {
	var errs bytes.Buffer
	cmd := plugin.NewCommand(plugin.Options{Clock: u.w.clock, Version: "test", Streams: genericiooptions.IOStreams{In: strings.NewReader(stdin), Out: out, ErrOut: &errs}})
	cmd.SetArgs(append([]string{"--kubeconfig", u.kubeconfig, "--operator-namespace", u.w.options.Namespace, "--cache-dir", GinkgoT().TempDir()}, args...))
	err := cmd.ExecuteContext(ctx)
	return toldBy{out.String(), errs.String(), err}
}

func (t toldBy) ok() string {
	GinkgoHelper()
	Expect(t.Problem).NotTo(HaveOccurred(), t.Out+t.Err)
	return t.Out
}

func (t toldBy) refused(with ...string) {
	GinkgoHelper()
	Expect(t.Problem).To(HaveOccurred(), t.Out)
	for _, text := range with {
		Expect(t.Problem).To(MatchError(ContainSubstring(text)))
	}
}

var mayMakeSecrets = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create", "delete"}}

var _ = Describe("kubectl lethe", func() {
	It("asks, approves, follows, cancels and retries with the rights of its user", func() {
		w := newWorld(ada, bob, carol)
		w.admission(true)
		w.create(retentionPolicy(w.ns, v1alpha1.ApprovalPolicy{Required: true}))
		Eventually(w.conditionOf(&v1alpha1.RetentionPolicy{}, "requests", v1alpha1.ConditionReady)).Should(Equal("True/Ready"))
		viewer, editor, approver, admin := w.user("viewer", "viewer"), w.user("editor", "editor"), w.user("approver", "approver"), w.user("admin", "admin")

		// Who may not create Secrets leaves nothing behind.
		editor.types("email="+ada.Email, "request", "--subject", ada.ID, "--identities", "-").refused("secrets is forbidden", "kubectl lethe check")
		editor.may(w.ns, mayMakeSecrets)
		Eventually(func() error {
			return editor.types("email="+ada.Email, "request", "one", "--subject", ada.ID, "--identities", "-", "--dry-run=server").Problem
		}).Should(Succeed())
		var left v1alpha1.ErasureRequestList
		Expect(cluster.Client.List(w, &left, client.InNamespace(w.ns))).To(Succeed())
		Expect(left.Items).To(BeEmpty())

		// What is wrong is said before anything is made.
		for _, c := range []struct {
			stdin, want string
			args        []string
		}{
			{"", "an opaque id", []string{"--subject", ada.Email}},
			{"", "the identity email is missing", []string{"--subject", ada.ID, "--identities", "-"}},
			{"email=x\nphone=y", "no map of the namespace finds people by the identity phone", []string{"--subject", ada.ID, "--identities", "-"}},
			{"", "give these with --identities FILE", []string{"--subject", ada.ID}},
			{"", "cannot be read: no such file", []string{"--subject", ada.ID, "--identities", "/nowhere"}},
			{"{\"email\": 7}", "a text or a list of texts", []string{"--subject", ada.ID, "--identities", "-"}},
			{"", "--source Myself", []string{"--subject", ada.ID, "--source", "Myself"}},
			{"", "exclude each other", []string{"--subject", ada.ID, "--from-records", "--identities", "-"}},
			{"email=x", "must not hold an e-mail address", []string{"--subject", ada.ID, "--identities", "-", "--note", "for ada@example.org"}},
		} {
			editor.types(c.stdin, append([]string{"request"}, c.args...)...).refused(c.want)
		}

		out := editor.types("# of the ticket\nemail = "+ada.Email+"\n", "request", "one", "--subject", ada.ID, "--identities", "-", "--source", "Subject", "--wait").ok()
		Expect(out).To(ContainSubstring("secret/one created with the identities email (1)"))
		Expect(out).NotTo(ContainSubstring(ada.Email))
		Expect(w.stage("one")()).To(Equal("Pending/AwaitingApproval"), "--wait ends where a person is needed")
		var secret corev1.Secret
		Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: "one"}, &secret)).To(Succeed())
		Expect([]any{string(secret.Data["email"]), string(secret.Type), secret.Annotations[v1alpha1.AnnotationRequest]}).To(Equal([]any{ada.Email, v1alpha1.IdentitiesSecretType, "one"}))
		editor.types("email="+ada.Email, "request", "again", "--subject", ada.ID, "--identities", "-").refused("one")
		Expect(w.secretExists("again")).To(BeFalse(), "a refused request leaves no identities behind")

		viewer.types("email=x", "request", "--subject", bob.ID, "--identities", "-").refused("forbidden")
		editor.runs("approve", "one").refused(`"approve" on erasurerequests`)
		viewer.runs("approve", "one").refused("forbidden")
		approver.runs("approve", "nothing").refused("not found in namespace " + w.ns)
		Expect(approver.runs("approve", "one", "--dry-run=server").ok()).To(Equal("one approved (dry run)\n"))
		Expect(w.request("one").Spec.Approved).To(BeFalse())
		told := approver.runs("approve", "one", "--wait")
		Expect(told.ok()).To(Equal("one approved\n"))
		Expect(told.Err).To(ContainSubstring("one: Pending GracePeriod"))
		approver.runs("approve", "one").refused("one: it is approved already")

		var line []map[string]any
		Expect(json.Unmarshal([]byte(viewer.runs("status", "-o", "json").ok()), &line)).To(Succeed())
		Expect(line).To(HaveExactElements(And(HaveKeyWithValue("name", "one"), HaveKeyWithValue("stage", "GracePeriod"), HaveKeyWithValue("risk", "ScheduledAfterDueDate"))))
		status := viewer.runs("status", "one").ok()
		for _, text := range []string{"asked for, source Subject", "system:serviceaccount:" + w.ns + ":editor", "approved", ":approver", "(ahead) deletion begins", "kubectl lethe cancel one"} {
			Expect(status).To(ContainSubstring(text))
		}
		Expect(viewer.runs("status", "one", "-o", "yaml").ok()).To(ContainSubstring("stage: GracePeriod\n"))
		viewer.runs("status", "-o", "xml").refused("--output xml: it is json or yaml")
		completed := viewer.runs("__complete", "approve", "").ok()
		Expect(completed).NotTo(ContainSubstring("one"), "what cannot be approved is not offered")
		Expect(viewer.runs("__complete", "cancel", "").ok()).To(HavePrefix("one\n"))

		// A preview counts and leaves nothing.
		editor.runs("preview", "one").refused("deletionruns", "forbidden")
		Expect(admin.runs("preview", "one").ok()).To(MatchRegexp(`(?s)nothing was changed.*CATEGORY +DELETED.*contact +1`))
		var runs v1alpha1.DeletionRunList
		Expect(cluster.Client.List(w, &runs, client.InNamespace(w.ns))).To(Succeed())
		Expect(runs.Items).To(BeEmpty())

		// Whoever may impersonate has the rights of whom he impersonates, and no more.
		root := &user{w: w, name: "root", kubeconfig: cluster.Kubeconfig}
		root.runs("cancel", "one", "-n", w.ns, "--as", "system:serviceaccount:"+w.ns+":viewer").refused("forbidden")
		root.runs("status", "one").refused("not found in namespace default; name another namespace with -n")

		editor.runs("cancel", "one").refused(`"cancel" on erasurerequests`)
		Expect(approver.runs("cancel", "one", "--wait").ok()).To(Equal("one cancelled\n"))
		Expect(w.stage("one")()).To(Equal("Cancelled/Cancelled"))
		approver.runs("cancel", "one").refused("it is cancelled already")
		approver.runs("retry", "one").refused("only what has failed can be tried again, and it is Cancelled")
		Expect(viewer.runs("status").ok()).To(Equal("No erasure request of namespace " + w.ns + " is under way.\n"))

		// One that is erased, with identities from its records.
		admin.runs("request", "two", "--subject", bob.ID, "--from-records", "--immediate").ok()
		told = admin.runs("approve", "two", "--wait")
		told.ok()
		Expect(w.stage("two")()).To(Equal("Completed/Erased"))
		status = viewer.runs("status", "two").ok()
		Expect(status).To(MatchRegexp(`(?s)ended as Completed.*certificate .*, number 1`))
		Expect(status).To(MatchRegexp(`contact +1`))
		approver.runs("cancel", "two").refused("it has ended already: Completed")
	})

	It("tries a failed request again", func() {
		w := newWorld(ada)
		admin := w.user("admin", "admin")
		w.ats.Exec(`CREATE TRIGGER refuse BEFORE DELETE ON notes BEGIN SELECT RAISE(ABORT, 'no'); END`)
		w.create(harness.Request(w.ns, "one", ada, harness.Immediate)...)
		Eventually(w.stage("one")).Should(Equal("Pending/Retrying"))
		w.step(2 * time.Minute)
		Eventually(w.stage("one"), "30s").Should(Equal("Failed/StoreRefused"))
		Expect(admin.runs("status", "one").ok()).To(MatchRegexp(`Next +mend what the message names, then kubectl lethe retry one`))
		told := admin.runs("check")
		told.refused()
		Expect(told.Out).To(MatchRegexp(`(?m)^FAILED +requests +one +failed: StoreRefused`))
		admin.runs("cancel", "one").refused("it has failed", "kubectl lethe retry")
		w.ats.Exec(`DROP TRIGGER refuse`)
		time.AfterFunc(3*time.Second, w.blockStore()) // so that it takes longer than one look
		Expect(admin.runs("retry", "one", "--wait").ok()).To(Equal("one is tried again\n"))
		Expect(w.stage("one")()).To(Equal("Completed/Erased"))
	})

	It("lists holds and what retention rules do next", func() {
		h := newHiring()
		viewer := h.user("viewer", "viewer")
		Eventually(func() error { return viewer.runs("holds").Problem }).Should(Succeed())
		Expect(viewer.runs("holds").ok()).To(Equal("No legal hold keeps anything here.\n"))
		h.create(hold(h.ns, "matter-9"))
		Eventually(h.conditionOf(&v1alpha1.LegalHold{}, "matter-9", v1alpha1.ConditionReady)).Should(Equal("True/InForce"))
		Expect(viewer.runs("holds").ok()).To(MatchRegexp(`matter-9 +InForce +2026-03-01T12:00:00Z +1 subject +- +- +matter 9`))
		Expect(viewer.runs("holds", "--subject", "nobody").ok()).To(ContainSubstring("No legal hold"))
		Expect(viewer.runs("holds", "--subject", "p-nobody", "-o", "json").ok()).To(ContainSubstring(`"state": "InForce"`))
		viewer.runs("holds", "-A").refused("forbidden")
		Expect(viewer.runs("policy", "upcoming").ok()).To(ContainSubstring("No RetentionPolicy has rules"))

		for i := range 4 {
			h.candidate(i+1, "Found", ago(0, 3, 1))
		}
		h.policy("vacancy-stages", only("candidates"))
		h.sweepNow("vacancy-stages")
		run := h.theRun("candidates").Name
		Eventually(h.runState(run)).Should(Equal("Pending/Announced"))
		out := viewer.runs("policy", "upcoming").ok()
		Expect(out).To(MatchRegexp(run + ` +vacancy-stages +candidates +Announced +2026-03-31T12:00:00Z +in 30d +4 +4 +100.0 %`))
		Expect(out).To(MatchRegexp(`vacancy-stages +candidates +Delete +hiring/candidates +4 +`))
		Expect(viewer.runs("policy", "upcoming", "-o", "json").ok()).To(ContainSubstring(`"due": 4`))
		Expect(h.user("admin", "admin").runs("preview", "--policy", "vacancy-stages", "--rule", "candidates").ok()).To(MatchRegexp(`profile +4`))
		viewer.runs("approve", "run/"+run).refused("forbidden")
		approver := h.user("approver", "approver")
		Eventually(func() error { return approver.runs("cancel", "run/"+run, "--dry-run=server").Problem }).Should(Succeed())
		Expect(approver.runs("approve", "run/"+run).ok()).To(Equal("run/" + run + " approved\n"))
		Eventually(h.runState(run)).Should(Equal("Completed/Swept"))
		Expect(h.ids("candidates")).To(BeEmpty())
		approver.runs("cancel", "run/"+run).refused("it has ended already: Completed")
	})

	It("says what is wrong with a set-up, and what its user may do", func() {
		w := emptyWorld(ada)
		w.create(harness.ATSObjects(w.ns)...)
		w.mapReady()
		w.restartWith(func(o *harness.OperatorOptions) { o.AnchorInterval = 50 * time.Millisecond })
		viewer, admin := w.user("viewer", "viewer"), w.user("admin", "admin")
		Eventually(func() error { return viewer.runs("holds").Problem }).Should(Succeed())
		type finding struct{ Area, What, Outcome, Message, Remedy string }
		check := func(u *user) (found map[string]finding, problem error) {
			told := u.runs("check", "-o", "json")
			var list []finding
			Expect(json.Unmarshal([]byte(told.Out), &list)).To(Succeed(), told.Out, told.Err)
			found = map[string]finding{}
			for _, f := range list {
				found[strings.TrimSuffix(f.Area+"/"+f.What, "/")] = f
			}
			return found, told.Problem
		}
		var found map[string]finding
		var problem error
		Eventually(func() error { // the operator has just begun anew
			found, problem = check(viewer)
			return problem
		}).Should(Succeed(), func() string { return fmt.Sprint(found) })
		Expect(found["kinds"].Message).To(ContainSubstring("all 8 are served"))
		Expect(found["admission"]).To(And(HaveField("Outcome", "unknown"), HaveField("Message", ContainSubstring("forbidden"))))
		Expect(found["stores/ats"].Outcome).To(Equal("ok"))
		Expect(found["maps/ats"].Outcome).To(Equal("ok"))
		Expect(found["your rights/you may not"].Message).To(ContainSubstring("approve"))
		found, problem = check(admin)
		Expect(problem).NotTo(HaveOccurred())
		Expect(found["admission"]).To(And(HaveField("Outcome", "warning"), HaveField("Remedy", ContainSubstring("--admission cluster"))))
		Expect(found["your rights/you may"].Message).To(ContainSubstring("explain records, follow the ledger"))

		// The ledger is anchored, by checkpoints that the key verifies.
		w.create(harness.Request(w.ns, "one", ada, harness.Immediate)...)
		Eventually(w.stage("one")).Should(Equal("Completed/Erased"))
		Eventually(func() string { found, _ := check(viewer); return found["ledger/checkpoints"].Message }).Should(MatchRegexp("covers [0-9]+ entries"))

		// What is broken is said.
		w.ats.Exec(`CREATE TABLE interviews (id INTEGER PRIMARY KEY, applicant_id TEXT REFERENCES applicants(id), feedback TEXT)`)
		read := w.get(&v1alpha1.PersonalDataMap{}, "ats").(*v1alpha1.PersonalDataMap)
		changed := read.DeepCopy()
		changed.Spec.Entities[0].Category = "contacts"
		Expect(cluster.Client.Patch(w, changed, client.MergeFrom(read))).To(Succeed())
		Eventually(func() string { found, _ := check(viewer); return found["maps/ats"].Outcome }).Should(Equal("failed"))
		told := viewer.runs("check")
		var exit *cli.ExitError
		Expect(errors.As(told.Problem, &exit)).To(BeTrue())
		Expect(exit.Code).To(Equal(1))
		Expect(told.Out).To(MatchRegexp(`(?m)^FAILED +maps +ats +ForeignKeyUncovered`))
	})

	It("explains, follows the ledger and exports through the operator's endpoint, each on record", func() {
		w := newWorld(ada, carol)
		w.exporting(func(o *harness.OperatorOptions) { o.Serve = true })
		w.create(harness.Request(w.ns, "gone", ada, harness.Immediate)...)
		Eventually(w.stage("gone")).Should(Equal("Completed/Erased"))
		viewer, editor, admin := w.user("viewer", "viewer"), w.user("editor", "editor"), w.user("admin", "admin")
		Eventually(func() error { return admin.runs("holds").Problem }).Should(Succeed())
		at := []string{"--endpoint", w.operator.Endpoint(GinkgoTB())}
		at[1] = strings.Replace(at[1], "127.0.0.1", "localhost", 1)
		with := func(args ...string) []string { return append(args, at...) }

		var report explain.Report
		Expect(json.Unmarshal([]byte(admin.runs(with("explain", "--subject", carol.ID, "-o", "json")...).ok()), &report)).To(Succeed())
		Expect(report.Records).NotTo(BeEmpty())
		Expect(admin.runs(with("explain", "--subject", carol.ID)...).ok()).To(ContainSubstring("ats/applicants"))
		editor.runs(with("explain", "--subject", carol.ID)...).refused(`the verb "get" on explanations.privacy.lethe.dev`)
		admin.runs(with("explain", "--subject", "app-nobody")...).refused("no record of a root entity has this id")
		admin.runs(with("explain", "--entity", "ats/nothing", "--key", "1")...).refused("name one as map/entity")
		admin.runs(with("explain", "--subject", carol.ID, "--as", "carla")...).refused("--as cannot be used here")
		admin.runs("explain", "--subject", carol.ID, "--endpoint", strings.Replace(at[1], "https", "http", 1)).refused("a token is not sent over plain text")
		admin.runs("explain", "--subject", carol.ID, "--endpoint-ca", filepath.Join(harness.Root(), "LICENSE"), "--endpoint", at[1]).refused("no certificate in PEM")
		admin.runs("explain", "--subject", carol.ID).refused("services", "forbidden", "--endpoint")

		// The ledger, from the first entry; accesses only for who may see them.
		viewer.runs(with("logs")...).refused("ledgerentries")
		log := editor.runs(with("logs")...)
		Expect(log.ok()).To(ContainSubstring(ledger.KindErasureReceived))
		Expect(log.Out).NotTo(ContainSubstring(ledger.KindAccessDecided))
		Expect(log.Err).To(ContainSubstring("get on accesslogs"))
		Expect(admin.runs(with("logs")...).ok()).To(MatchRegexp(`access\.decided +- +Denied +system:serviceaccount:` + w.ns + `:editor`))
		Expect(strings.Count(admin.runs(with("logs", "--kind", "erasure.completed", "-o", "json")...).ok(), "\n")).To(Equal(1))
		Expect(strings.Count(admin.runs(with("logs", "--tail", "3")...).ok(), "\n")).To(Equal(4))
		editor.runs(with("logs", "--kind", "nothing")...).refused("there is no such kind")
		ctx, cancel := context.WithTimeout(w, 30*time.Second)
		defer cancel()
		following, done := &harness.Buffer{}, make(chan toldBy, 1)
		go func() {
			defer GinkgoRecover()
			done <- editor.follows(ctx, "", following, with("logs", "-f", "--tail", "0")...)
		}()
		Eventually(following.String).Should(ContainSubstring("INDEX"))
		w.create(hold(w.ns, "matter-9"))
		Eventually(following.String).WithTimeout(20 * time.Second).Should(ContainSubstring(ledger.KindHoldPlaced))
		Expect(following.String()).NotTo(ContainSubstring(ledger.KindErasureReceived), "that was before")
		cancel()
		Expect((<-done).Problem).NotTo(HaveOccurred(), "whoever has seen enough ends it")

		// An export, down to its proof.
		folder := GinkgoT().TempDir()
		file := filepath.Join(folder, "d.json")
		viewer.runs(with("export", "--log", "Deletions")...).refused("complianceexports", "forbidden")
		out := editor.runs(with("export", "--log", "Deletions", "--format", "JSON", "--file", file)...).ok()
		Expect(out).To(ContainSubstring("1 records of the log Deletions"))
		editor.runs(with("export", "--log", "Deletions", "--file", file)...).refused("is there already")
		editor.runs(with("export", "--log", "Deletions", "--from", "2026-02-01", "--to", "2026-01-01")...).refused("empty or reversed")
		var shown corev1.ConfigMap
		Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.options.Namespace, Name: "lethe-ledger-key"}, &shown)).To(Succeed())
		key := filepath.Join(folder, "key")
		Expect(os.WriteFile(key, []byte(shown.Data["key"]), 0o600)).To(Succeed())
		Expect(viewer.runs("verify", "export", file, "--key", key).ok()).To(ContainSubstring("VERIFIED"))
		viewer.runs("verify", "export", "--key", key).refused("use it as: kubectl lethe verify export FILE")
		Expect(os.WriteFile(file, []byte("{}"), 0o600)).To(Succeed())
		viewer.runs("verify", "export", file, "--key", key).refused()

		Expect(w.operator.Stop()).To(Succeed())
		granted := map[string]int{}
		for _, e := range w.ledgerEntries(ledger.KindAccessDecided) {
			granted[e.Attributes["resource"]+" "+e.Reason+" "+e.Actor[strings.LastIndex(e.Actor, ":")+1:]]++
		}
		Expect(granted).To(Equal(map[string]int{"explanations Granted admin": 4, "explanations Denied editor": 1, "ledgerentries Denied viewer": 1, "ledgerentries Granted editor": 2,
			"ledgerentries Granted admin": 3, "complianceexports/download Granted editor": 1}))
	})
})
