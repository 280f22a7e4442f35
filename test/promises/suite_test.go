// Package promises tests what Lethe promises, each promise by its name, on a real Kubernetes API and real stores.
package promises

import (
	"context"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/gitops"
	"github.com/lethe-dev/lethe/test/harness"
	"github.com/lethe-dev/lethe/test/pgtest"
)

var cluster *harness.Cluster

func TestPromises(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(10 * time.Second)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	SetDefaultConsistentlyDuration(400 * time.Millisecond)
	RunSpecs(t, "Promises")
}

var _ = BeforeSuite(func() {
	var err error
	cluster, err = harness.StartCluster()
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(cluster.Stop()).To(Succeed()) })
	watcher, err := gitops.Watch(context.Background(), cluster.Client)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		judged, faults := watcher.Stop()
		Expect(faults).To(BeEmpty(), "what GitOps tools would misread, or what the operator changed in a spec")
		Expect(judged).To(BeNumerically(">", 0))
	})
	postgres, err = pgtest.Start(context.Background(), pgtest.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { Expect(postgres.Stop()).To(Succeed()) })
})

// world is one namespace with a sample system and an operator of its own.
type world struct {
	context.Context
	ns       string
	ats      *harness.ATS
	clock    *harness.Clock
	witness  *harness.Clock
	folder   string
	operator *harness.Operator
	options  harness.OperatorOptions
	// config is what the operator may do: exactly the generated roles.
	config *rest.Config
}

// start is when the clocks of a test begin.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newWorld makes a world with a running operator and a map that is Ready.
func newWorld(people ...harness.Person) *world {
	GinkgoHelper()
	w := emptyWorld(people...)
	w.create(harness.ATSObjects(w.ns)...)
	w.mapReady()
	return w
}

// emptyWorld has no stores and no map yet.
func emptyWorld(people ...harness.Person) *world {
	GinkgoHelper()
	t := GinkgoTB()
	w := &world{Context: context.Background(), ats: harness.NewATS(t), clock: harness.NewClock(start), witness: harness.NewClock(start)}
	var err error
	w.ns, err = cluster.NewNamespace(w, "promise")
	Expect(err).NotTo(HaveOccurred())
	operatorNamespace, err := cluster.NewNamespace(w, "operator")
	Expect(err).NotTo(HaveOccurred())
	operatorConfig, err := cluster.OperatorConfig(w, operatorNamespace)
	Expect(err).NotTo(HaveOccurred())
	for _, p := range people {
		w.ats.Add(p)
	}
	w.config = operatorConfig
	w.options = harness.OperatorOptions{LocalRoots: map[string]string{w.ns: w.ats.Root}, Clock: w.clock,
		Witness: harness.Witness{Clock: w.witness}, Namespace: operatorNamespace}
	keep.empty(&w.options)
	w.folder = w.options.Folder
	DeferCleanup(func() { Expect(cluster.Clean(w, w.ns)).To(Succeed()) })
	w.startOperator()
	return w
}

func (w *world) startOperator() {
	w.operator = harness.StartOperator(GinkgoTB(), w.config, w.options)
}

func (w *world) mapReady() {
	GinkgoHelper()
	Eventually(w.conditionOf(&v1alpha1.PersonalDataMap{}, "ats", v1alpha1.ConditionReady)).Should(Equal("True/Ready"), w.mapProblem)
}

func (w *world) mapProblem() string {
	ready := meta.FindStatusCondition(w.get(&v1alpha1.PersonalDataMap{}, "ats").(*v1alpha1.PersonalDataMap).Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return "the map was not looked at"
	}
	return ready.Message
}

func (w *world) create(objects ...client.Object) {
	GinkgoHelper()
	for _, o := range objects {
		Expect(cluster.Client.Create(w, o)).To(Succeed())
	}
}

// step moves both clocks.
func (w *world) step(d time.Duration) {
	w.clock.Step(d)
	w.witness.Step(d)
}

func (w *world) get(obj client.Object, name string) client.Object {
	GinkgoHelper()
	Expect(cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: name}, obj)).To(Succeed())
	return obj
}

func (w *world) request(name string) *v1alpha1.ErasureRequest {
	GinkgoHelper()
	return w.get(&v1alpha1.ErasureRequest{}, name).(*v1alpha1.ErasureRequest)
}

// stage is phase and reason of Ready of a request, for example "Pending/GracePeriod".
func (w *world) stage(name string) func() string {
	return func() string {
		var er v1alpha1.ErasureRequest
		if err := cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: name}, &er); err != nil {
			return string(apierrors.ReasonForError(err))
		}
		c := meta.FindStatusCondition(er.Status.Conditions, v1alpha1.ConditionReady)
		if c == nil {
			return ""
		}
		return string(er.Status.Phase) + "/" + c.Reason
	}
}

// conditionOf is status and reason of a condition, for example "True/Ready".
func (w *world) conditionOf(obj interface {
	client.Object
	GetConditions() *[]metav1.Condition
}, name, kind string,
) func() string {
	return func() string {
		if err := cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: name}, obj); err != nil {
			return err.Error()
		}
		c := meta.FindStatusCondition(*obj.GetConditions(), kind)
		if c == nil {
			return ""
		}
		return fmt.Sprintf("%s/%s", c.Status, c.Reason)
	}
}

func (w *world) message(name string) string {
	GinkgoHelper()
	c := meta.FindStatusCondition(w.request(name).Status.Conditions, v1alpha1.ConditionReady)
	Expect(c).NotTo(BeNil())
	return c.Message
}

// change patches a request until it is accepted.
func (w *world) change(name string, f func(*v1alpha1.ErasureRequest)) error {
	er := w.request(name)
	read := er.DeepCopy()
	f(er)
	return cluster.Client.Patch(w, er, client.MergeFrom(read))
}

func (w *world) annotate(name, annotation, nonce string) {
	GinkgoHelper()
	Expect(w.change(name, func(er *v1alpha1.ErasureRequest) {
		if er.Annotations == nil {
			er.Annotations = map[string]string{}
		}
		er.Annotations[annotation] = nonce
	})).To(Succeed())
}

// poke makes the operator look at a request now; its own timers run on real time.
func (w *world) poke(name string) {
	GinkgoHelper()
	w.annotate(name, v1alpha1.AnnotationRecheck, fmt.Sprint(time.Now().UnixNano()))
}

// secretExists tells whether a Secret of the namespace is there.
func (w *world) secretExists(name string) bool {
	var s corev1.Secret
	return cluster.Client.Get(w, client.ObjectKey{Namespace: w.ns, Name: name}, &s) == nil
}

// keySecrets lists what the operator keeps of a purpose, by the label of its Secrets.
func (w *world) keySecrets() []string {
	GinkgoHelper()
	var list corev1.SecretList
	Expect(cluster.Client.List(w, &list, client.InNamespace(w.options.Namespace))).To(Succeed())
	var names []string
	for _, s := range list.Items {
		names = append(names, s.Name)
	}
	return names
}

var (
	ada = harness.Person{ID: "app-1", Email: "ada@example.org", Name: "Ada Canary", Phone: "+49 555 0101"}
	bob = harness.Person{ID: "app-10", Email: "bob@example.org", Name: "Bob Other", Phone: "+49 555 0102"}

	carol = harness.Person{ID: "app-2", Email: "carol@example.org", Name: "Carol Third", Phone: "+49 555 0103"}
)

// ledgerReasons are kind and reason of the entries of the namespace; the operator must have been stopped.
func (w *world) ledgerReasons() []string {
	GinkgoHelper()
	var reasons []string
	for _, e := range w.allEntries() {
		reasons = append(reasons, e.Kind+"/"+e.Reason)
	}
	return reasons
}
