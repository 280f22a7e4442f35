package stamp

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var (
	key    = []byte("0123456789abcdef0123456789abcdef")
	at     = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	sealer = NewSealer(key)
)

const annotation = v1alpha1.AnnotationApprovedBy

func object(uid string) *v1alpha1.ErasureRequest {
	return &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "hr", Name: "a", UID: types.UID(uid), CreationTimestamp: metav1.NewTime(at)}}
}

func sealed(t *testing.T, er *v1alpha1.ErasureRequest, value string) *v1alpha1.ErasureRequest {
	t.Helper()
	st := Stamp{Actor: NewActor(key, "alice", []string{"hr", "system:authenticated"}, false), Time: at, Fields: []string{"spec.a"}}
	text, err := sealer.Seal("ErasureRequest", er, annotation, value, st)
	if err != nil {
		t.Fatal(err)
	}
	er = er.DeepCopy()
	er.Annotations = map[string]string{annotation: text}
	return er
}

func TestStampIsGenuineForItsObjectAndChangeAlone(t *testing.T) {
	g := NewWithT(t)
	er := sealed(t, object("u1"), "true")
	st, ok := sealer.Read("ErasureRequest", er, annotation, "true")
	g.Expect(ok).To(BeTrue())
	g.Expect(st.User).To(Equal("alice"))
	g.Expect(st.Groups).To(Equal([]string{"hr"}))

	fails := func(why string, read func() bool) {
		t.Helper()
		g.Expect(read()).To(BeFalse(), why)
	}
	reads := func(kind string, er *v1alpha1.ErasureRequest, annotation, value string) func() bool {
		return func() bool { _, ok := sealer.Read(kind, er, annotation, value); return ok }
	}
	fails("another kind", reads("LegalHold", er, annotation, "true"))
	fails("another value", reads("ErasureRequest", er, annotation, "false"))
	moved := er.DeepCopy()
	moved.Annotations[v1alpha1.AnnotationCancelledBy] = moved.Annotations[annotation]
	fails("another annotation", reads("ErasureRequest", moved, v1alpha1.AnnotationCancelledBy, "true"))
	other := object("u2")
	other.Annotations = er.Annotations
	fails("another object of the name", reads("ErasureRequest", other, annotation, "true"))
	fails("another key", func() bool {
		_, ok := NewSealer([]byte("another")).Read("ErasureRequest", er, annotation, "true")
		return ok
	})
	fails("no sealer", func() bool { _, ok := (*Sealer)(nil).Read("ErasureRequest", er, annotation, "true"); return ok })
	for _, part := range [][2]string{{"alice", "mallory"}, {"2026", "2027"}, {`"hr"`, `"hr","boss"`}, {"spec.a", "spec.b"}, {`"seal":"`, `"seal":"x`}} {
		forged := er.DeepCopy()
		forged.Annotations[annotation] = strings.Replace(er.Annotations[annotation], part[0], part[1], 1)
		g.Expect(forged.Annotations).NotTo(Equal(er.Annotations))
		fails("forged "+part[0], reads("ErasureRequest", forged, annotation, "true"))
	}
	for _, text := range []string{"", "alice", "{}", `{"seal":"!"}`, strings.Repeat("x", maxSize+1)} {
		forged := er.DeepCopy()
		forged.Annotations[annotation] = text
		fails("not a stamp", reads("ErasureRequest", forged, annotation, "true"))
	}
}

func TestStampOfACreationCountsAtThatTimeAlone(t *testing.T) {
	g := NewWithT(t)
	unborn := object("")
	unborn.CreationTimestamp = metav1.Time{}
	text := sealed(t, unborn, "").Annotations
	born := func(after time.Duration, change ...func(*v1alpha1.ErasureRequest)) bool {
		er := object("u1")
		er.CreationTimestamp, er.Annotations = metav1.NewTime(at.Add(after)), text
		for _, f := range change {
			f(er)
		}
		_, ok := sealer.Read("ErasureRequest", er, annotation, "")
		return ok
	}
	g.Expect(born(2 * time.Second)).To(BeTrue())
	g.Expect(born(-time.Minute)).To(BeTrue())
	g.Expect(born(61*time.Second)).To(BeFalse(), "somebody has put it into a later object")
	g.Expect(born(0, func(er *v1alpha1.ErasureRequest) { er.Name = "b" })).To(BeFalse())
	g.Expect(born(0, func(er *v1alpha1.ErasureRequest) { er.Namespace = "other" })).To(BeFalse())

	unborn.Name, unborn.GenerateName = "", "erase-"
	text = sealed(t, unborn, "").Annotations
	named := func(prefix string) func(*v1alpha1.ErasureRequest) {
		return func(er *v1alpha1.ErasureRequest) { er.Name, er.GenerateName = "erase-x7", prefix }
	}
	g.Expect(born(0, named("erase-"))).To(BeTrue())
	g.Expect(born(0, named("other-"))).To(BeFalse())
}

func TestPseudonymsCompareWithNames(t *testing.T) {
	g := NewWithT(t)
	named, hidden := NewActor(key, "alice@example.org", []string{"hr"}, false), NewActor(key, "alice@example.org", []string{"hr"}, true)
	text, err := json.Marshal(hidden)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).NotTo(Or(ContainSubstring("alice"), ContainSubstring(`"hr"`)))
	same, sameKey := named.Same(hidden)
	g.Expect(same && sameKey).To(BeTrue(), "a change of the policy does not make one person two")
	same, sameKey = named.Same(NewActor(key, "Alice@example.org", nil, false))
	g.Expect(sameKey).To(BeTrue())
	g.Expect(same).To(BeFalse())
	_, sameKey = named.Same(NewActor([]byte("after the key was destroyed"), "alice@example.org", nil, true))
	g.Expect(sameKey).To(BeFalse())
	_, sameKey = named.Same(Actor{})
	g.Expect(sameKey).To(BeFalse())
}
