package controller

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/crash"
	"github.com/lethe-dev/lethe/internal/fault"
	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/stamp"
	"github.com/lethe-dev/lethe/internal/sweeper"
)

const (
	// LabelRun is on the requests that a run makes: its name, cut to what a label holds.
	LabelRun = "privacy.lethe.dev/run"
	// indexRun finds requests by the UID of the run that made them.
	indexRun = "run"
	// maxUnfinishedRequests of one run at a time: the others are made as these finish.
	maxUnfinishedRequests = 100
	// maxUnseen is how long a request that was made may be missing in the cache before its maker gives up for now.
	maxUnseen = 5 * time.Second
)

var crashRequestMade = crash.Define("run/request-made")

// Requests makes erasure requests for people whom a run, a rule or a consent names.
type Requests struct {
	client.Client
	Keys       keys.Store
	Journal    *journal.Journal
	Identities *Identities
}

// origin is what a request is made for.
type origin struct {
	namespace string
	// prefix of the request's name; key tells origins apart that make a request for the same person.
	prefix, key string
	source      v1alpha1.Source
	note        string
	force       bool
	// run is the DeletionRun, if there is one.
	run *v1alpha1.DeletionRun
}

// errRefusedID means that the API takes no request for a person by this id.
var errRefusedID = &fault.Terminal{Reason: v1alpha1.ReasonSubjectIDRefused,
	Message: "the API refuses a request for one of the people: an id must be opaque, without white space or an at sign, at most 253 characters; correct the records, or erase this person by hand"}

// make makes the request for one person, unless there is one of this origin, finished or not. Its name tells nothing of the person.
func (r *Requests) make(ctx context.Context, o origin, id string) (name string, made bool, err error) {
	key, err := r.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: o.namespace})
	if err != nil {
		return "", false, err
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "request-name\x00%s\x00%s", o.key, id) // a hash never fails
	er := &v1alpha1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: o.namespace, Name: o.prefix + "-" + hex.EncodeToString(mac.Sum(nil)[:10])},
		Spec: v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: id, IdentitiesFromRecords: true}, Source: o.source, Timing: v1alpha1.TimingImmediate,
			Note: o.note, Force: o.force},
	}
	if o.run != nil {
		er.Labels = map[string]string{LabelRun: labelValue(o.run.Name)}
		er.Annotations = map[string]string{v1alpha1.AnnotationRun: runID(o.run)}
	}
	if r.Get(ctx, client.ObjectKeyFromObject(er), &v1alpha1.ErasureRequest{}) == nil {
		return er.Name, false, nil
	}
	if err := r.Create(ctx, er); err != nil {
		switch {
		case apierrors.IsAlreadyExists(err):
			return er.Name, false, nil
		case apierrors.IsInvalid(err):
			return "", false, errRefusedID // without the API's text, which has the id
		case apierrors.IsForbidden(err):
			return "", false, &fault.Transient{Reason: v1alpha1.ReasonPrivilegesMissing, Err: err,
				Message: "the operator may not make ErasureRequests here: its role needs the verbs create, expedite and force on erasurerequests"}
		}
		return "", false, err
	}
	crashRequestMade.Hit()
	return er.Name, true, nil
}

// counts are the requests of a run, by phase.
func (r *Requests) counts(ctx context.Context, run *v1alpha1.DeletionRun) (*v1alpha1.RequestCounts, error) {
	var list v1alpha1.ErasureRequestList
	if err := r.List(ctx, &list, client.InNamespace(run.Namespace), client.MatchingFields{indexRun: runID(run)}); err != nil {
		return nil, err
	}
	counts := &v1alpha1.RequestCounts{}
	for i := range list.Items {
		er := &list.Items[i]
		switch er.Status.Phase {
		case v1alpha1.PhaseCompleted:
			counts.Completed++
		case v1alpha1.PhaseCancelled:
			counts.Cancelled++
		case v1alpha1.PhaseFailed:
			counts.Failed++
		default:
			counts.Pending++
		}
	}
	return counts, nil
}

// eraseSubjects carries on a run by hand for several people: each gets a request of its own.
func (r *DeletionRunReconciler) eraseSubjects(ctx context.Context, run *v1alpha1.DeletionRun) (outcome, error) {
	if run.Status.Phase.Finished() || run.Status.Phase == v1alpha1.PhaseFailed {
		ready := meta.FindStatusCondition(run.Status.Conditions, v1alpha1.ConditionReady)
		return outcome{status: ready.Status, reason: ready.Reason, message: ready.Message, stalled: run.Status.Phase == v1alpha1.PhaseFailed}, nil
	}
	if run.Status.StartedAt == nil {
		if !run.DeletionTimestamp.IsZero() {
			run.Status.Phase = v1alpha1.PhaseCancelled
			return ready(v1alpha1.ReasonCancelled, "the run was deleted before it began"), nil
		}
		if err := r.beginSubjects(ctx, run); err != nil {
			return outcome{}, err
		}
	}
	o := origin{namespace: run.Namespace, prefix: requestPrefix(run.Name), key: "run/" + string(run.UID), source: v1alpha1.SourceAdmin, note: run.Spec.Subjects.Reason,
		force: run.Spec.Subjects.Force, run: run}
	for _, s := range run.Spec.Subjects.Items {
		if _, _, err := r.Requests.make(ctx, o, s.ID); err != nil {
			return outcome{}, err
		}
	}
	counts, err := r.Requests.counts(ctx, run)
	if err != nil {
		return outcome{}, err
	}
	run.Status.Requests = counts
	run.Status.Progress = fmt.Sprintf("%d/%d", counts.Completed+counts.Cancelled, len(run.Spec.Subjects.Items))
	return r.judgeSubjects(run, counts)
}

// judgeSubjects tells how a run for several people stands.
func (r *DeletionRunReconciler) judgeSubjects(run *v1alpha1.DeletionRun, c *v1alpha1.RequestCounts) (outcome, error) {
	if int(c.Completed+c.Cancelled+c.Failed+c.Pending) < len(run.Spec.Subjects.Items) || c.Pending > 0 {
		return reconciling(v1alpha1.ReasonProcessing, fmt.Sprintf("of %d people %d are erased; see the ErasureRequests with the label %s=%s",
			len(run.Spec.Subjects.Items), c.Completed, LabelRun, labelValue(run.Name)), time.Minute), nil
	}
	now := metav1.NewTime(r.Clock.Now().UTC().Truncate(time.Second))
	run.Status.FinishedAt = &now
	if c.Failed > 0 {
		run.Status.Phase = v1alpha1.PhaseFailed
		return stalled(v1alpha1.ReasonVerificationFailed, fmt.Sprintf("%d of the ErasureRequests failed; each says why and is retried by itself", c.Failed), 0), nil
	}
	run.Status.Phase = v1alpha1.PhaseCompleted
	return ready(v1alpha1.ReasonErased, fmt.Sprintf("%d people are erased, %d requests were cancelled", c.Completed, c.Cancelled)), nil
}

// beginSubjects puts on record who erases people by hand. Force counts where admission saw that somebody has the verb.
func (r *DeletionRunReconciler) beginSubjects(ctx context.Context, run *v1alpha1.DeletionRun) error {
	forced, genuine := r.Stamps.Read("DeletionRun", run, v1alpha1.AnnotationForcedBy, "true")
	if run.Spec.Subjects.Force && !genuine {
		return fault.Terminalf(v1alpha1.ReasonAdmissionRequired,
			"spec.subjects.force needs admission, which verifies that who sets it has the verb force: run the operator with --admission cluster or loopback, or create a run without force")
	}
	actor := stamp.Name(r.Stamps.Read("DeletionRun", run, v1alpha1.AnnotationExpeditedBy, string(v1alpha1.TimingImmediate)))
	e := ledger.Entry{Key: "run/" + string(run.UID) + "/started", Kind: ledger.KindRunStarted, Run: string(run.UID), Actor: actor,
		Attributes: map[string]string{"subjects": fmt.Sprint(len(run.Spec.Subjects.Items)), "forced": fmt.Sprint(run.Spec.Subjects.Force)}}
	if run.Spec.Subjects.Force {
		e.Attributes["forcedBy"] = stamp.Name(forced, genuine)
	}
	if err := r.Requests.Journal.Append(ctx, run.Namespace, e); err != nil {
		return err
	}
	now := metav1.NewTime(r.Clock.Now().UTC().Truncate(time.Second))
	read := run.DeepCopy()
	run.Status.Phase, run.Status.StartedAt = v1alpha1.PhasePending, &now
	summarize(run, reconciling(v1alpha1.ReasonProcessing, "making the requests", 0))
	return patchStatus(ctx, r.Client, run, read)
}

// requestPrefix of the requests of a run; a request's name has at most 253 characters.
func requestPrefix(runName string) string {
	const most = 200
	return runName[:min(len(runName), most)]
}

// runID names a run in the annotation of the requests that it makes.
func runID(run *v1alpha1.DeletionRun) string { return run.Name + "/" + string(run.UID) }

// byRun is the index of requests by the run that made them.
func byRun(obj client.Object) []string {
	if id := obj.GetAnnotations()[v1alpha1.AnnotationRun]; id != "" {
		return []string{id}
	}
	return nil
}

// runOfRequest wakes the run that made a request.
func runOfRequest(_ context.Context, obj client.Object) []reconcile.Request {
	name, _, made := strings.Cut(obj.GetAnnotations()[v1alpha1.AnnotationRun], "/")
	if !made {
		return nil
	}
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: obj.GetNamespace(), Name: name}}}
}

// ruleEraser makes the requests of a rule's run.
type ruleEraser struct {
	requests *Requests
	origin
}

// Erase implements sweeper.Eraser.
func (e *ruleEraser) Erase(ctx context.Context, ids []string) (asked sweeper.Erasures, err error) {
	if len(ids) == 0 {
		return asked, nil
	}
	_, n, err := e.Requests(ctx)
	if err != nil {
		return asked, err
	}
	for _, id := range ids {
		if n >= maxUnfinishedRequests {
			return asked, fault.Waitingf(v1alpha1.ReasonProcessing, 10*time.Second, "%d erasure requests that the run made are not finished; further ones follow as they end", n)
		}
		name, made, err := e.requests.make(ctx, e.origin, id)
		switch {
		case errors.Is(err, errRefusedID): // one such record keeps nobody else
			asked.Refused++
			continue
		case err != nil:
			return asked, err
		case made:
			asked.Made, n = asked.Made+1, n+1
		}
		asked.Names = append(asked.Names, name)
	}
	return asked, nil
}

// Await implements sweeper.Eraser. What the cache shows is counted.
func (e *ruleEraser) Await(ctx context.Context, names []string) error {
	err := wait.PollUntilContextTimeout(ctx, 2*time.Millisecond, maxUnseen, true, func(ctx context.Context) (bool, error) {
		for len(names) > 0 {
			if err := e.requests.Get(ctx, client.ObjectKey{Namespace: e.namespace, Name: names[0]}, &v1alpha1.ErasureRequest{}); err != nil {
				return false, client.IgnoreNotFound(err)
			}
			names = names[1:]
		}
		return true, nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return fault.Waitingf(v1alpha1.ReasonProcessing, 10*time.Second, "an ErasureRequest that was made is not seen yet")
	}
	return err
}

// Requests implements sweeper.Eraser.
func (e *ruleEraser) Requests(ctx context.Context) (made, unfinished int, err error) {
	c, err := e.requests.counts(ctx, e.run)
	if err != nil {
		return 0, 0, err
	}
	return int(c.Completed + c.Cancelled + c.Pending + c.Failed), int(c.Pending + c.Failed), nil
}
