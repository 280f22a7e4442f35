package v1alpha1

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

const (
	ns     = "hr"
	canary = "canary.person@example.com"
)

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func newReader(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(newScheme(t)).WithObjects(objects...).
		WithIndex(&v1alpha1.ErasureRequest{}, indexUnfinishedSubject, unfinishedSubject).Build()
}

func request(name, subject string, change ...func(*v1alpha1.ErasureRequest)) *v1alpha1.ErasureRequest {
	er := &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: subject}, Source: v1alpha1.SourceAPI}}
	for _, f := range change {
		f(er)
	}
	return er
}

func inPhase(phase v1alpha1.Phase, readyReason string) func(*v1alpha1.ErasureRequest) {
	return func(er *v1alpha1.ErasureRequest) {
		er.Status.Phase = phase
		er.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: readyReason}}
	}
}

func TestErasureRequestIsRefusedWhereReconcileWouldRefuseIt(t *testing.T) {
	created := func(second int64) func(*v1alpha1.ErasureRequest) {
		return func(er *v1alpha1.ErasureRequest) { er.CreationTimestamp = metav1.Unix(second, 0) }
	}
	elsewhere := func(er *v1alpha1.ErasureRequest) { er.Namespace = "other" }
	note := func(text string) func(*v1alpha1.ErasureRequest) {
		return func(er *v1alpha1.ErasureRequest) { er.Spec.Note = text }
	}
	for _, tc := range []struct {
		name   string
		stored []client.Object
		create *v1alpha1.ErasureRequest
		want   string // part of the refusal; empty: taken
	}{
		{"opaque id", nil, request("a", "A-17"), ""},
		{"e-mail as id", nil, request("a", canary), "spec.subject.id must be an opaque id"},
		{"e-mail in the note", nil, request("a", "A-17", note("asked by "+canary)), "spec.note must not hold an e-mail address"},
		{"second for the subject", []client.Object{request("first", "A-17")}, request("second", "A-17"), "ErasureRequest first covers this subject already"},
		{"second, written differently", []client.Object{request("first", "A-17")}, request("second", "a-17"), "ErasureRequest first covers"},
		{"third names the oldest", []client.Object{request("b-second", "A-17", created(2)), request("z-first", "A-17", created(1))}, request("third", "A-17"), "ErasureRequest z-first covers"},
		{"another subject", []client.Object{request("first", "A-17")}, request("second", "A-18"), ""},
		{"another namespace", []client.Object{request("first", "A-17", elsewhere)}, request("second", "A-17"), ""},
		{"the same name is for the API server", []client.Object{request("first", "A-17")}, request("first", "A-17"), ""},
		{"after completion", []client.Object{request("first", "A-17", inPhase(v1alpha1.PhaseCompleted, v1alpha1.ReasonErased))}, request("second", "A-17"), ""},
		{"after cancellation", []client.Object{request("first", "A-17", inPhase(v1alpha1.PhaseCancelled, v1alpha1.ReasonCancelled))}, request("second", "A-17"), ""},
		{"after it was abandoned", []client.Object{request("first", "A-17", inPhase(v1alpha1.PhaseFailed, v1alpha1.ReasonAbandoned))}, request("second", "A-17"), ""},
		{"failed but alive", []client.Object{request("first", "A-17", inPhase(v1alpha1.PhaseFailed, v1alpha1.ReasonStoreRefused))}, request("second", "A-17"), "ErasureRequest first covers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := &erasureRequestValidator{requests: newReader(t, tc.stored...)}
			_, err := v.ValidateCreate(context.Background(), tc.create)
			expectRefusal(t, err, tc.want)
		})
	}
}

func TestErasureRequestIsRefusedWhileNobodyKnowsOfDuplicates(t *testing.T) {
	broken := interceptor.NewClient(fake.NewClientBuilder().WithScheme(newScheme(t)).Build(), interceptor.Funcs{
		List: func(context.Context, client.WithWatch, client.ObjectList, ...client.ListOption) error {
			return errors.New("broken for A-17")
		}})
	_, err := (&erasureRequestValidator{requests: broken}).ValidateCreate(context.Background(), request("a", "A-17"))
	expectRefusal(t, err, "try again")
	NewWithT(t).Expect(err.Error()).NotTo(ContainSubstring("A-17"))
}

func TestChangeIsRefusedOnlyForTheFaultThatItBrings(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	v := &erasureRequestValidator{requests: newReader(t)}
	good, bad := request("a", "A-17"), request("a", "A-17")
	bad.Spec.Note = canary
	_, err := v.ValidateUpdate(ctx, good, bad)
	expectRefusal(t, err, "spec.note must not hold")
	cancelled := bad.DeepCopy()
	cancelled.Spec.Cancelled = true
	warnings, err := v.ValidateUpdate(ctx, bad, cancelled)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(warnings).To(ConsistOf(ContainSubstring("spec.note")))

	h := &v1alpha1.LegalHold{Spec: v1alpha1.LegalHoldSpec{Subjects: []string{canary}, Reason: "matter 7"}}
	lifted := h.DeepCopy()
	lifted.Spec.Lifted = true
	warnings, err = legalHoldValidator{}.ValidateUpdate(ctx, h, lifted)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(warnings).To(HaveLen(1))
	g.Expect(warnings[0]).NotTo(ContainSubstring(canary))
}

func policyOf(name string, r *v1alpha1.RequestPolicy) *v1alpha1.RetentionPolicy {
	return &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: v1alpha1.RetentionPolicySpec{Requests: r}}
}

func TestRetentionPolicyIsRefusedOrWarnedOf(t *testing.T) {
	fine := &v1alpha1.RequestPolicy{GracePeriod: "P60D", ArchiveRetention: "P30D"}
	for _, tc := range []struct {
		name    string
		stored  []client.Object
		create  *v1alpha1.RetentionPolicy
		want    string
		warning string
	}{
		{"alone", nil, policyOf("a", fine), "", ""},
		{"nothing for requests", []client.Object{policyOf("a", fine)}, policyOf("b", nil), "", ""},
		{"grace period out of range", nil, policyOf("a", &v1alpha1.RequestPolicy{GracePeriod: "P7D", ArchiveRetention: "P30D"}), "spec.requests.gracePeriod", ""},
		{"four eyes", nil, policyOf("a", &v1alpha1.RequestPolicy{GracePeriod: "P60D", ArchiveRetention: "P30D",
			Approval: v1alpha1.ApprovalPolicy{FourEyes: true}}), "", ""},
		{"a second one", []client.Object{policyOf("a", fine)}, policyOf("b", fine), "", "RetentionPolicies a, b all have spec.requests"},
		{"the same again", []client.Object{policyOf("a", fine)}, policyOf("a", fine), "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := &retentionPolicyValidator{policies: newReader(t, tc.stored...)}
			old := policyOf(tc.create.Name, fine)
			if tc.create.Spec.Requests == nil {
				old.Spec.Requests = nil
			}
			for _, validate := range []func() (admission.Warnings, error){
				func() (admission.Warnings, error) { return v.ValidateCreate(context.Background(), tc.create) },
				func() (admission.Warnings, error) {
					return v.ValidateUpdate(context.Background(), old, tc.create)
				},
			} {
				warnings, err := validate()
				expectRefusal(t, err, tc.want)
				if tc.warning == "" {
					NewWithT(t).Expect(warnings).To(BeEmpty())
				} else {
					NewWithT(t).Expect(warnings).To(ConsistOf(ContainSubstring(tc.warning)))
				}
			}
		})
	}
}

func TestUnwiseChangeOfAPolicyIsWarnedOf(t *testing.T) {
	v := &retentionPolicyValidator{policies: newReader(t)}
	warnings, err := v.ValidateUpdate(context.Background(), policyOf("a", &v1alpha1.RequestPolicy{GracePeriod: "P60D", ArchiveRetention: "P30D"}),
		policyOf("a", &v1alpha1.RequestPolicy{GracePeriod: "P30D", ArchiveRetention: "P30D"}))
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(warnings).To(ConsistOf(ContainSubstring("gracePeriod is shortened from P60D to P30D")))
}

func TestLegalHoldWithAnIdentityIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		spec v1alpha1.LegalHoldSpec
		want string
	}{
		{"opaque", v1alpha1.LegalHoldSpec{Subjects: []string{"A-17"}, Reason: "matter 7 @ court"}, ""},
		{"subject", v1alpha1.LegalHoldSpec{Subjects: []string{"A-17", canary}, Reason: "matter 7"}, "spec.subjects[1] must not hold"},
		{"reason", v1alpha1.LegalHoldSpec{Subjects: []string{"A-17"}, Reason: "asked by " + canary}, "spec.reason must not hold"},
		{"record", v1alpha1.LegalHoldSpec{Reason: "matter 7", Records: []v1alpha1.HoldSelector{{Map: "ats", Entity: "applicants",
			Conditions: []v1alpha1.Condition{{Column: "email", Operator: v1alpha1.OperatorIn, Values: []string{canary}}}}}}, "spec.records[0].conditions[0].values[0] must not hold"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := legalHoldValidator{}.ValidateCreate(context.Background(), &v1alpha1.LegalHold{Spec: tc.spec})
			expectRefusal(t, err, tc.want)
		})
	}
}

func TestOnlyTheOperatorMakesRunsThatDelete(t *testing.T) {
	const operator = "system:serviceaccount:lethe-system:lethe-manager"
	for _, tc := range []struct {
		name           string
		operator, user string
		dryRun         bool
		want           string
	}{
		{"somebody previews", operator, "alice", true, ""},
		{"somebody deletes", operator, "alice", false, "spec.dryRun must be true"},
		{"the operator deletes", operator, operator, false, ""},
		{"nobody is not the operator", "", "", false, "spec.dryRun must be true"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := admission.NewContextWithRequest(context.Background(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
				UserInfo: authenticationv1.UserInfo{Username: tc.user}}})
			run := &v1alpha1.DeletionRun{Spec: v1alpha1.DeletionRunSpec{DryRun: tc.dryRun, Request: &v1alpha1.RequestReference{Name: "a", UID: "u"}}}
			_, err := (&deletionRunValidator{operator: tc.operator}).ValidateCreate(ctx, run)
			expectRefusal(t, err, tc.want)
		})
	}
}

// expectRefusal checks a refusal's message, and that it repeats no identity.
func expectRefusal(t *testing.T, err error, want string) {
	t.Helper()
	g := NewWithT(t)
	if want == "" {
		g.Expect(err).NotTo(HaveOccurred())
		return
	}
	g.Expect(err).To(MatchError(ContainSubstring(want)))
	g.Expect(err.Error()).NotTo(ContainSubstring(canary))
}
