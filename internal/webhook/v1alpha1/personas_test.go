package v1alpha1

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/stamp"
)

func hold(name string) *v1alpha1.LegalHold {
	return &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 7", Subjects: []string{"A-1"}}}
}

// users are real users of the API server with the roles of config/rbac, by persona; a stranger has none.
func (d *testDoor) users(t *testing.T) map[string]client.Client {
	t.Helper()
	g, ctx := NewWithT(t), context.Background()
	out := map[string]client.Client{}
	for _, persona := range []string{"viewer", "editor", "approver", "admin", "stranger"} {
		group := "hr-" + persona
		user, err := d.env.AddUser(envtest.User{Name: persona + "@example.org", Groups: []string{group}}, nil)
		g.Expect(err).NotTo(HaveOccurred())
		out[persona], err = client.New(user.Config(), client.Options{Scheme: d.operator.Scheme()})
		g.Expect(err).NotTo(HaveOccurred())
		if persona == "stranger" {
			continue
		}
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "rbac", "persona_"+persona+".yaml"))
		g.Expect(err).NotTo(HaveOccurred())
		var role rbacv1.ClusterRole
		g.Expect(yaml.UnmarshalStrict(text, &role)).To(Succeed())
		g.Expect(client.IgnoreAlreadyExists(d.operator.Create(ctx, &role))).To(Succeed())
		g.Expect(client.IgnoreAlreadyExists(d.operator.Create(ctx, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: group},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: group}},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name}}))).To(Succeed())
	}
	// The authorizer learns of the last binding a moment after it is stored.
	g.Eventually(func() error { return out["admin"].List(ctx, &v1alpha1.ErasureRequestList{}, client.InNamespace(ns)) }, patience, 20*time.Millisecond).Should(Succeed())
	return out
}

// decide is one way to decide on an object.
type decide func(ctx context.Context, c client.Client, obj client.Object, opts ...client.PatchOption) error

func patching(change func(client.Object)) decide {
	return func(ctx context.Context, c client.Client, obj client.Object, opts ...client.PatchOption) error {
		read := obj.DeepCopyObject().(client.Object)
		change(obj)
		return c.Patch(ctx, obj, client.MergeFrom(read), opts...)
	}
}

var (
	approve  = patching(func(o client.Object) { o.(*v1alpha1.ErasureRequest).Spec.Approved = true })
	cancel   = patching(func(o client.Object) { o.(*v1alpha1.ErasureRequest).Spec.Cancelled = true })
	expedite = patching(func(o client.Object) { o.(*v1alpha1.ErasureRequest).Spec.Timing = v1alpha1.TimingImmediate })
	abandon  = patching(func(o client.Object) { o.SetAnnotations(map[string]string{v1alpha1.AnnotationAbandon: "1"}) })
	lift     = patching(func(o client.Object) { o.(*v1alpha1.LegalHold).Spec.Lifted = true })
	remove   = decide(func(ctx context.Context, c client.Client, obj client.Object, _ ...client.PatchOption) error {
		return c.Delete(ctx, obj)
	})
)

// personas: who may decide, on real RBAC. What is refused by the role alone never reaches the door.
func (d *testDoor) personas(t *testing.T) {
	ctx, users := context.Background(), d.users(t)
	const may, door, role = "may", "door", "role"
	for _, tc := range []struct {
		what       string
		decide     decide
		annotation string
		value      string
		verb       string
		want       map[string]string
	}{
		{"approve", approve, v1alpha1.AnnotationApprovedBy, "true", "approve", map[string]string{"stranger": role, "viewer": role, "editor": door, "approver": may, "admin": may}},
		{"cancel", cancel, v1alpha1.AnnotationCancelledBy, "true", "cancel", map[string]string{"stranger": role, "viewer": role, "editor": door, "approver": may, "admin": may}},
		{"delete", remove, "", "", "cancel", map[string]string{"stranger": role, "viewer": role, "editor": door, "approver": role, "admin": may}},
		{"expedite", expedite, v1alpha1.AnnotationExpeditedBy, "Immediate", "expedite", map[string]string{"stranger": role, "viewer": role, "editor": door, "approver": door, "admin": may}},
		{"abandon", abandon, "", "", "approve", map[string]string{"stranger": role, "viewer": role, "editor": door, "approver": may, "admin": may}},
		{"lift", lift, v1alpha1.AnnotationLiftedBy, "true", "lift", map[string]string{"stranger": role, "viewer": role, "editor": door, "approver": role, "admin": may}},
	} {
		for persona, want := range tc.want {
			t.Run(persona+" "+tc.what, func(t *testing.T) {
				g := NewWithT(t)
				name := persona + "-" + tc.what
				var obj client.Object = request(name, "P-"+name)
				if tc.what == "lift" {
					obj = hold(name)
				}
				g.Expect(users["editor"].Create(ctx, obj)).To(Succeed())
				err := tc.decide(ctx, users[persona], obj)
				switch want {
				case may:
					g.Expect(err).NotTo(HaveOccurred())
				case role:
					g.Expect(apierrors.IsForbidden(err)).To(BeTrue())
					g.Expect(err.Error()).NotTo(ContainSubstring("admission webhook"))
				case door:
					g.Expect(err).To(MatchError(ContainSubstring(fmt.Sprintf("needs the verb %q on", tc.verb))))
				}
				if want == may && tc.annotation != "" {
					kind := strings.TrimPrefix(fmt.Sprintf("%T", obj), "*v1alpha1.")
					st, genuine := testSealer.Read(kind, obj, tc.annotation, tc.value)
					g.Expect(genuine).To(BeTrue(), obj.GetAnnotations()[tc.annotation])
					g.Expect(st.User).To(Equal(persona + "@example.org"))
					g.Expect(st.Groups).To(Equal([]string{"hr-" + persona}))
				}
				if want != role {
					reasons := d.entries(t, func(e ledger.Entry) bool {
						return e.Kind == ledger.KindAccessDecided && e.Attributes["uid"] == string(obj.GetUID()) && e.Actor == persona+"@example.org"
					})
					g.Expect(reasons).To(HaveLen(1))
					g.Expect(reasons[0].Reason).To(Equal(map[string]string{may: ledger.ReasonGranted, door: ledger.ReasonDenied}[want]))
					g.Expect(reasons[0].Attributes).To(HaveKeyWithValue("permission", tc.verb))
				}
				if want == may && tc.what == "delete" {
					record, err := d.log.Find(ctx, ns, ledger.KeyDeleted(string(obj.GetUID())))
					g.Expect(err).NotTo(HaveOccurred())
					g.Expect(record.Entry.Actor).To(Equal("admin@example.org"))
				}
			})
		}
	}
	t.Run("an editor creates nothing that is decided already", func(t *testing.T) {
		g := NewWithT(t)
		approved := request("born-approved", "P-born", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })
		g.Expect(users["editor"].Create(ctx, approved)).To(MatchError(ContainSubstring(`spec.approved needs the verb "approve"`)))
		hasty := request("born-hasty", "P-hasty", func(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingImmediate })
		g.Expect(users["editor"].Create(ctx, hasty)).To(MatchError(ContainSubstring(`needs the verb "expedite"`)))
	})
}

// entries of the namespace's ledger that meet a condition.
func (d *testDoor) entries(t *testing.T, meets func(ledger.Entry) bool) []ledger.Entry {
	t.Helper()
	records, err := d.log.Entries(context.Background(), ns, 0, ledger.MaxPage)
	if err != nil {
		t.Fatal(err)
	}
	var out []ledger.Entry
	for _, r := range records {
		if meets(r.Entry) {
			out = append(out, r.Entry)
		}
	}
	return out
}

// forged: what a client writes into the stamps is replaced or taken back, on creation and later.
func (d *testDoor) forged(t *testing.T) {
	g, ctx, editor := NewWithT(t), context.Background(), d.users(t)["editor"]
	er := request("forged", "F-1")
	er.Annotations = map[string]string{v1alpha1.AnnotationRequestedBy: "somebody else", v1alpha1.AnnotationApprovedBy: "the boss", "example.com/mine": "stays"}
	g.Expect(editor.Create(ctx, er)).To(Succeed())
	g.Expect(er.Annotations).NotTo(HaveKey(v1alpha1.AnnotationApprovedBy))
	g.Expect(er.Annotations).To(HaveKeyWithValue("example.com/mine", "stays"))
	st, genuine := testSealer.Read("ErasureRequest", er, v1alpha1.AnnotationRequestedBy, "")
	g.Expect(genuine).To(BeTrue())
	g.Expect(st.User).To(Equal("editor@example.org"))

	genuineText := er.Annotations[v1alpha1.AnnotationRequestedBy]
	er.Annotations[v1alpha1.AnnotationRequestedBy] = strings.Replace(genuineText, "editor@", "admin@", 1)
	er.Annotations[v1alpha1.AnnotationApprovedBy] = genuineText
	g.Expect(editor.Update(ctx, er)).To(Succeed())
	g.Expect(er.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRequestedBy, genuineText))
	g.Expect(er.Annotations).NotTo(HaveKey(v1alpha1.AnnotationApprovedBy))

	delete(er.Annotations, v1alpha1.AnnotationRequestedBy)
	g.Expect(editor.Update(ctx, er)).To(Succeed())
	g.Expect(er.Annotations).To(HaveKeyWithValue(v1alpha1.AnnotationRequestedBy, genuineText), "nor can it be removed")

	generated := request("", "F-2")
	generated.GenerateName = "generated-"
	g.Expect(editor.Create(ctx, generated)).To(Succeed())
	_, genuine = testSealer.Read("ErasureRequest", generated, v1alpha1.AnnotationRequestedBy, "")
	g.Expect(genuine).To(BeTrue(), "a generated name is not known yet when the object is stamped")
}

func (d *testDoor) fourEyes(t *testing.T) {
	g, ctx, users := NewWithT(t), context.Background(), d.users(t)
	four := policyOf("eyes", &v1alpha1.RequestPolicy{Approval: v1alpha1.ApprovalPolicy{FourEyes: true}})
	g.Expect(users["admin"].Create(ctx, four)).To(Succeed())
	defer func() { g.Expect(users["admin"].Delete(ctx, four)).To(Succeed()) }()
	own := request("own", "E-1")
	g.Expect(users["admin"].Create(ctx, own)).To(Succeed())
	g.Eventually(func() error { return approve(ctx, users["admin"], own.DeepCopy(), client.DryRunAll) }, patience, 50*time.Millisecond).
		Should(MatchError(ContainSubstring("who asked cannot approve")), "the cache follows within a moment")
	g.Expect(approve(ctx, users["admin"], own.DeepCopy())).To(MatchError(ContainSubstring("who asked cannot approve")))
	g.Expect(approve(ctx, users["approver"], own)).To(Succeed())
	born := request("born-with-approval", "E-2", func(er *v1alpha1.ErasureRequest) { er.Spec.Approved = true })
	g.Expect(users["admin"].Create(ctx, born)).To(MatchError(ContainSubstring("who asked cannot approve")))
}

func (d *testDoor) pseudonyms(t *testing.T) {
	g, ctx, users := NewWithT(t), context.Background(), d.users(t)
	p := policyOf("eyes", &v1alpha1.RequestPolicy{Actors: v1alpha1.ActorsPseudonymous})
	g.Expect(users["admin"].Create(ctx, p)).To(Succeed())
	g.Expect(p.Annotations[v1alpha1.AnnotationChangedBy]).NotTo(ContainSubstring("example.org"), "the policy counts for itself")
	defer func() { g.Expect(users["admin"].Delete(ctx, p)).To(Succeed()) }()
	key, err := d.keys.Get(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: ns})
	g.Expect(err).NotTo(HaveOccurred())
	want := stamp.NewActor(key, "editor@example.org", []string{"hr-editor"}, true)
	g.Eventually(func() string {
		er := request("", "N-1")
		er.GenerateName = "pseudonym-"
		g.Expect(users["editor"].Create(ctx, er, client.DryRunAll)).To(Succeed())
		st, _ := testSealer.Read("ErasureRequest", er, v1alpha1.AnnotationRequestedBy, "")
		return st.User
	}, patience, 50*time.Millisecond).Should(Equal(want.User))
}

// dryRun leaves no trace: neither an entry nor a key.
func (d *testDoor) dryRun(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	g.Expect(d.operator.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "untouched"}})).To(Succeed())
	er := request("dry", "D-1")
	er.Namespace, er.Spec.Approved = "untouched", true
	g.Expect(d.alice.Create(ctx, er, client.DryRunAll)).To(Succeed())
	p := policyOf("dry", &v1alpha1.RequestPolicy{})
	p.Namespace = "untouched"
	g.Expect(d.alice.Create(ctx, p, client.DryRunAll)).To(Succeed())
	_, err := d.keys.Get(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: "untouched"})
	g.Expect(err).To(MatchError(keys.ErrNotFound))
	records, err := d.log.Entries(ctx, "untouched", 0, 10)
	if err == nil {
		g.Expect(records).To(BeEmpty())
	} else {
		g.Expect(err).To(MatchError(ledger.ErrNotFound))
	}
}

// governance: who tries to change what governs is on record, refused or not, with fields and never with values.
func (d *testDoor) governance(t *testing.T) {
	g, ctx, users := NewWithT(t), context.Background(), d.users(t)
	p := policyOf("governed", &v1alpha1.RequestPolicy{GracePeriod: "P90D"})
	g.Expect(users["editor"].Create(ctx, p)).To(Succeed())
	read := p.DeepCopy()
	p.Spec.Requests.GracePeriod = "P45D"
	g.Expect(users["editor"].Patch(ctx, p, client.MergeFrom(read))).To(Succeed())
	h := hold("refused")
	h.Spec.Reason = "asked by x@y"
	h.Spec.Subjects = []string{"A-2"}
	g.Expect(users["editor"].Create(ctx, h)).NotTo(Succeed()) // by the CRD, before the door
	g.Expect(users["editor"].Delete(ctx, p)).To(Succeed())
	var got []string
	for _, e := range d.entries(t, func(e ledger.Entry) bool {
		return e.Kind == ledger.KindGovernanceAttempted && e.Attributes["name"] == "governed"
	}) {
		g.Expect(e.Actor).To(Equal("editor@example.org"))
		got = append(got, e.Reason+" "+e.Attributes["operation"]+" "+e.Attributes["fields"])
	}
	g.Expect(got).To(Equal([]string{"Admitted CREATE spec", "Admitted UPDATE spec.requests.gracePeriod", "Admitted DELETE "}))
	st, genuine := testSealer.Read("RetentionPolicy", p, v1alpha1.AnnotationChangedBy, digest(t, p))
	g.Expect(genuine).To(BeTrue())
	g.Expect(st.Fields).To(Equal([]string{"spec.requests.gracePeriod"}))
}

func digest(t *testing.T, obj any) string {
	t.Helper()
	d, err := stamp.Digest(obj)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
