package promises

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/controller"
	"github.com/lethe-dev/lethe/test/harness"
)

// letheBinary is built once, so that workers can be killed at their worst places.
var letheBinary = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "lethe-worker-")
	if err != nil {
		return "", err
	}
	return harness.BuildLethe(context.Background(), folder, "crashpoints")
})

// node starts the workers of Jobs as processes, as a Kubernetes node does with Pods: there is none in this cluster.
type node struct {
	h          *hiring
	binary     string
	kubeconfig string
	// env of the nth process of a shard, counted from 0.
	env func(index, nth int) []string

	mu      sync.Mutex
	running map[string]*harness.Process
	starts  map[int]int
	deaths  []string
	jobs    []string // names of those there ever were
	stop    chan struct{}
	group   sync.WaitGroup
}

func startNode(h *hiring, env func(index, nth int) []string) *node {
	GinkgoHelper()
	binary, err := letheBinary()
	Expect(err).NotTo(HaveOccurred())
	n := &node{h: h, binary: binary, kubeconfig: filepath.Join(GinkgoTB().TempDir(), "kubeconfig"), env: env,
		running: map[string]*harness.Process{}, starts: map[int]int{}, stop: make(chan struct{})}
	// The workers may do exactly what the operator may.
	c := clientcmdapi.NewConfig()
	c.Clusters["c"] = &clientcmdapi.Cluster{Server: h.config.Host, CertificateAuthorityData: h.config.CAData, CertificateAuthority: h.config.CAFile}
	c.AuthInfos["u"] = &clientcmdapi.AuthInfo{ClientCertificateData: h.config.CertData, ClientKeyData: h.config.KeyData, Impersonate: h.config.Impersonate.UserName,
		ImpersonateGroups: h.config.Impersonate.Groups}
	c.Contexts["x"], c.CurrentContext = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}, "x"
	Expect(clientcmd.WriteToFile(*c, n.kubeconfig)).To(Succeed())
	n.group.Go(n.loop)
	DeferCleanup(func() {
		close(n.stop)
		n.group.Wait()
	})
	return n
}

// loop follows the Jobs.
func (n *node) loop() {
	var workers sync.WaitGroup
	defer workers.Wait()
	known := map[string]chan struct{}{}
	for {
		var jobs batchv1.JobList
		there := map[string]bool{}
		if cluster.Client.List(n.h, &jobs, client.InNamespace(n.h.options.Namespace)) == nil {
			for _, job := range jobs.Items {
				there[string(job.UID)] = true
				if known[string(job.UID)] == nil {
					gone := make(chan struct{})
					known[string(job.UID)] = gone
					n.mu.Lock()
					n.jobs = append(n.jobs, job.Name)
					n.mu.Unlock()
					for i := range int(*job.Spec.Completions) {
						workers.Go(func() { n.worker(&job, i, gone) })
					}
				}
			}
			for uid, gone := range known {
				if gone != nil && !there[uid] {
					close(gone)
					known[uid] = nil
				}
			}
		}
		select {
		case <-n.stop:
			for _, gone := range known {
				if gone != nil {
					close(gone)
				}
			}
			return
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// worker keeps one index of a Job going until it succeeds, or the Job is gone.
func (n *node) worker(job *batchv1.Job, index int, gone chan struct{}) {
	container := job.Spec.Template.Spec.Containers[0]
	for {
		n.mu.Lock()
		nth := n.starts[index]
		n.starts[index]++
		n.mu.Unlock()
		env := []string{"JOB_COMPLETION_INDEX=" + strconv.Itoa(index)}
		if n.env != nil {
			env = append(env, n.env(index, nth)...)
		}
		p := harness.StartProcess(GinkgoTB(), n.binary, append(container.Args, "--kubeconfig", n.kubeconfig), env)
		n.mu.Lock()
		n.running[fmt.Sprint(job.Name, "/", index)] = p
		n.mu.Unlock()
		select {
		case <-gone:
			_ = p.Stop(20 * time.Second)
			return
		case <-p.Done():
		}
		if p.Err() == nil {
			return
		}
		code := -1
		var exit *exec.ExitError
		if errors.As(p.Err(), &exit) {
			code = exit.ExitCode()
		}
		n.mu.Lock()
		n.deaths = append(n.deaths, fmt.Sprintf("%d: exit %d: %s", index, code, p.Logs.String()))
		n.mu.Unlock()
		if code == controller.ExitTerminal {
			return
		}
		select {
		case <-gone:
			return
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (n *node) died() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.deaths...)
}

const (
	dueDocuments, allDocuments = 600, 660
)

// withDocuments is a world with documents whose time has come, each with a file, and some that stay.
func withDocuments(change func(*v1alpha1.RetentionPolicy)) *hiring {
	GinkgoHelper()
	h := newHiring()
	h.options.Clock, h.options.Witness = nil, nil // workers live by the real clock, and so does their operator
	h.startAsPod()
	h.exec(`INSERT INTO applicants (id) SELECT 'a' || i FROM generate_series(1, $1::int) i`, allDocuments)
	h.exec(`INSERT INTO applications (id, applicant_id, closed_at) SELECT i, 'a' || i, CASE WHEN i <= $2::int THEN now() - interval '40 days' ELSE now() - interval '20 days' END
		FROM generate_series(1, $1::int) i`, allDocuments, dueDocuments)
	h.exec(`INSERT INTO documents (id, applicant_id, kind, file_name, issued_at) SELECT i, 'a' || i, 'resume', 'cv.pdf', now() - interval '1 year' FROM generate_series(1, $1::int) i`, allDocuments)
	for i := range allDocuments {
		folder := filepath.Join(h.ats.Root, "storage", "documents", strconv.Itoa(i+1))
		Expect(os.MkdirAll(folder, 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(folder, "cv.pdf"), []byte("x"), 0o600)).To(Succeed())
	}
	h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) {
		only("documents")(p)
		p.Spec.Notice = &v1alpha1.NoticePolicy{Period: "P0D"}
		p.Spec.Execution = &v1alpha1.SweepExecution{Mode: v1alpha1.ExecuteAsJob, Parallelism: 3}
		p.Spec.Throttle = &v1alpha1.SweepThrottle{BatchSize: 20, DutyPercent: 20}
		if change != nil {
			change(p)
		}
	})
	return h
}

// startAsPod starts the operator anew, as if it ran in a Pod.
func (w *world) startAsPod() {
	GinkgoHelper()
	Expect(w.operator.Stop()).To(Succeed())
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: w.options.Namespace, Name: "lethe-0"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "sidecar", Image: "mesh:1"}, {Name: "manager", Image: "lethe:1", Args: []string{"manager"}}}}}
	Expect(client.IgnoreAlreadyExists(cluster.Client.Create(w, pod))).To(Succeed())
	w.options.Pod = "lethe-0"
	w.startOperator()
}

// sweepOnceAs has a process be the operator that begins a sweep, until it dies at a point.
func (h *hiring) sweepOnceAs(n *node, point string) {
	GinkgoHelper()
	Eventually(h.conditionOf(&v1alpha1.RetentionPolicy{}, "after-process-end", v1alpha1.ConditionReady)).Should(HavePrefix("True/"))
	Expect(h.operator.Stop()).To(Succeed())
	mark := filepath.Join(GinkgoTB().TempDir(), "mark")
	options := harness.ManagerOptions{Kubeconfig: n.kubeconfig, Namespace: h.options.Namespace, LedgerURLFile: h.options.LedgerURLFile,
		LedgerLease: h.options.LedgerLease, LocalRoots: h.options.LocalRoots}
	p := harness.StartProcess(GinkgoTB(), n.binary, options.Args(), []string{"POD_NAME=" + h.options.Pod, "LETHE_CRASH_AT=" + point, "LETHE_CRASH_MARK=" + mark})
	h.askForSweep("after-process-end")
	Eventually(p.Done(), time.Minute).Should(BeClosed(), p.Logs.String)
	Expect(mark).To(BeARegularFile(), "it died for another reason")
}

func (h *hiring) documentFiles() []string {
	GinkgoHelper()
	found, err := filepath.Glob(filepath.Join(h.ats.Root, "storage", "documents", "*", "*.pdf"))
	Expect(err).NotTo(HaveOccurred())
	return found
}

func (h *hiring) jobs() []batchv1.Job {
	GinkgoHelper()
	var list batchv1.JobList
	Expect(cluster.Client.List(h, &list, client.InNamespace(h.options.Namespace))).To(Succeed())
	return list.Items
}

func (h *hiring) documentsLeft() int { return len(h.ids("documents")) }

// rightAtTheEnd waits for the end of the run and looks at everything.
func (h *hiring) rightAtTheEnd(n *node) {
	GinkgoHelper()
	name := h.theRun("documents").Name
	Eventually(h.runState(name), 4*time.Minute).Should(Equal("Completed/Swept"), func() string {
		return h.runMessage(name) + "\n" + strings.Join(n.died(), "\n")
	})
	Expect(h.documentsLeft()).To(Equal(allDocuments - dueDocuments))
	var early int
	Expect(h.db.QueryRow(h, `SELECT count(*) FROM documents WHERE id <= $1`, dueDocuments).Scan(&early)).To(Succeed())
	Expect(early).To(BeZero(), "only those stay whose time has not come")
	Expect(h.documentFiles()).To(HaveLen(allDocuments-dueDocuments), "no orphan file, and no file of others")
	counts := h.theRun("documents").Status.Counts
	Expect(counts).To(HaveLen(1))
	Expect(counts[0].Deleted).To(Equal(int64(dueDocuments)))
	// Of a page whose files were gone when its worker died, nobody knows which of them were there.
	Expect(counts[0].Files).To(And(BeNumerically("<=", dueDocuments), BeNumerically(">=", dueDocuments-20*len(n.died()))))
	Expect(h.operator.Stop()).To(Succeed())
	intents, outcomes := map[string]int64{}, map[string]int64{}
	ends := 0
	for _, e := range h.allEntries() {
		var records int64
		for _, c := range e.Counts {
			if c.Action == "Delete" {
				records += c.Count
			}
		}
		key := e.Attributes["shard"] + "/" + e.Attributes["pass"] + "/" + e.Attributes["batch"]
		switch e.Kind {
		case "retention.intent":
			intents[key] += records
		case "retention.outcome":
			outcomes[key] += records
		case "run.completed":
			ends++
			Expect(records).To(Equal(int64(dueDocuments)))
		}
	}
	Expect(ends).To(Equal(1))
	Expect(len(intents)).To(BeNumerically(">=", dueDocuments/20))
	for key := range outcomes {
		Expect(intents).To(HaveKey(key), "nothing was done that was not on record before")
	}
	var waiting int
	vault, err := postgres.Connect(h, inPostgreSQL{}.database(h.options))
	Expect(err).NotTo(HaveOccurred())
	defer func() { _ = vault.Close(h) }()
	Expect(vault.QueryRow(h, `SELECT (SELECT count(*) FROM lethe.outbox) + (SELECT count(*) FROM lethe.sweep_leases)`).Scan(&waiting)).To(Succeed())
	Expect(waiting).To(BeZero())
}

var _ = Describe("Retention: runs as Jobs, kept in PostgreSQL", func() {
	keptIn(inPostgreSQL{})

	BeforeEach(func() { // processes of their own take their time on a busy machine
		SetDefaultEventuallyTimeout(time.Minute)
		DeferCleanup(func() { SetDefaultEventuallyTimeout(10 * time.Second) })
	})

	for _, point := range []string{"", "sweep/intent-recorded#2", "sweep/effect-done#2", "sweep/files-removed#2"} {
		text := "ends right with parallel workers"
		if point != "" {
			text += ", one of which is killed at " + point
		}
		It(text, func() {
			h := withDocuments(nil)
			n := startNode(h, func(index, nth int) []string {
				if index == 1 && nth == 0 && point != "" {
					return []string{"LETHE_CRASH_AT=" + point}
				}
				return nil
			})
			h.sweepNow("after-process-end")
			Eventually(h.jobs, time.Minute).Should(HaveLen(1), func() string { return fmt.Sprint(h.theRun("documents").Status) })
			job := h.jobs()[0]
			Expect(*job.Spec.CompletionMode).To(Equal(batchv1.IndexedCompletion))
			Expect(*job.Spec.Completions).To(Equal(int32(3)))
			Expect(job.Spec.Template.Spec.Containers).To(HaveLen(1))
			Expect(job.Spec.Template.Spec.Containers[0].Image).To(Equal("lethe:1"))
			h.rightAtTheEnd(n)
			if point != "" {
				Expect(n.died()).NotTo(BeEmpty())
			} else {
				Expect(n.died()).To(BeEmpty())
			}
		})
	}

	It("goes on with the next operator, and with a new Job where somebody deleted it", func() {
		h := withDocuments(nil)
		n := startNode(h, nil)
		h.sweepNow("after-process-end")
		Eventually(h.documentsLeft, time.Minute).Should(BeNumerically("<", allDocuments))
		Expect(h.operator.Stop()).To(Succeed())
		h.startAsPod()
		for _, job := range h.jobs() {
			Expect(client.IgnoreNotFound(cluster.Client.Delete(h, &job, client.PropagationPolicy(metav1.DeletePropagationBackground)))).To(Succeed())
		}
		h.rightAtTheEnd(n)
	})

	for _, point := range []string{"sweep/job-recorded", "sweep/job-created"} {
		It("makes one Job although the operator dies at "+point, func() {
			h := withDocuments(nil)
			n := startNode(h, nil)
			h.sweepOnceAs(n, point)
			h.startOperator()
			h.rightAtTheEnd(n)
			Expect(n.jobs).To(HaveLen(1))
		})
	}

	It("stops all workers when the namespace is suspended, and goes on after", func() {
		h := withDocuments(func(p *v1alpha1.RetentionPolicy) { // slow enough that it is not over before it is stopped
			p.Spec.Throttle.BatchSize, p.Spec.Throttle.DutyPercent = 5, 4
		})
		n := startNode(h, nil)
		h.sweepNow("after-process-end")
		name := h.theRun("documents").Name
		Eventually(h.documentsLeft, time.Minute).Should(BeNumerically("<", allDocuments))
		h.suspendNamespace(true)
		Eventually(h.runState(name), time.Minute).Should(Equal("Pending/Suspended"))
		Expect(h.jobs()).To(BeEmpty())
		left := h.documentsLeft()
		Expect(left).To(BeNumerically(">", allDocuments-dueDocuments), "it was stopped in the middle")
		Consistently(h.documentsLeft, 2*time.Second).Should(Equal(left))
		h.suspendNamespace(false)
		h.pokeRun(name)
		h.rightAtTheEnd(n)
	})
})

var _ = Describe("Retention: runs as Jobs without a vault for it", func() {
	It("says so at the policy", func() {
		h := newHiring()
		h.policy("after-process-end", func(p *v1alpha1.RetentionPolicy) {
			p.Spec.Execution = &v1alpha1.SweepExecution{Mode: v1alpha1.ExecuteAsJob, Parallelism: 2}
		})
		Eventually(h.conditionOf(&v1alpha1.RetentionPolicy{}, "after-process-end", v1alpha1.ConditionReady)).Should(Equal("False/JobsUnavailable"))
	})
})
