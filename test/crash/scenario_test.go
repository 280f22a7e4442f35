package crash_test

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/keys"
)

// scenario is a life that an operator leads people's requests through. It is told as if nobody killed the operator.
type scenario struct {
	name string
	// script does what people do and waits for what the operator does. It ends when nothing is left to be done.
	script func(w *world)
	// deleted, updated and files are counted by hand: rows that are gone, rows of which something is different, and files
	// and folders that are gone, in the end.
	deleted, updated, files int
	// effects are the rows whose effects are not one deletion of what is gone and one update of what is different.
	effects map[string]int
	// also has points that other scenarios have too, but that matter here.
	also []kill
	// postgres has the vault in PostgreSQL. Such a scenario is killed at every point that no such scenario before it comes by.
	postgres bool
}

// residueRun is the generation of a script in which a residue is deleted.
const residueRun = 1

func scenarios() []scenario {
	return []scenario{
		{name: "immediate", script: immediate, deleted: 19, updated: 2, files: 11,
			also: []kill{{Point: "step/intent-recorded", Nth: 3}, {Point: "step/effect-done", Nth: 2}, {Point: "step/effect-done", Nth: 3},
				// The last effect: the consent record, when everything else is gone.
				{Point: "step/effect-done", Nth: 6},
				{Point: "step/batch-saved", Nth: 2}, {Point: "step/outcome-recorded", Nth: 3}}},
		{name: "cancelled", script: cancelled, effects: map[string]int{"UPDATE persons/p-01": 2}},
		{name: "withdrawn", script: withdrawn, effects: map[string]int{"UPDATE persons/p-01": 2},
			also: []kill{{Point: "request/reactivated-in-store", Nth: 1}, {Point: "request/end-recorded", Nth: 1}, {Point: "request/ended", Nth: 1},
				{Point: "request/identities-destroyed", Nth: 1}}},
		{name: "retained", script: retained, deleted: 18, updated: 2, files: 11,
			also: []kill{{Point: "run/residue-sealed", Nth: 1}, {Point: "run/finished", Nth: 1},
				{Point: "run/key-destroyed", Nth: 1}, {Point: "request/end-recorded", Nth: 1}}},
		{name: "held", script: held, deleted: 21, updated: 2, files: 13, effects: map[string]int{"UPDATE persons/p-07": 1},
			also: []kill{{Generation: residueRun, Point: "step/intent-recorded", Nth: 1}, {Generation: residueRun, Point: "step/effect-done", Nth: 1},
				{Generation: residueRun, Point: "step/effect-done", Nth: 2}, {Generation: residueRun, Point: "step/outcome-recorded", Nth: 1},
				{Generation: residueRun, Point: "run/verified", Nth: 1},
				{Generation: residueRun, Point: "run/finished", Nth: 1}, {Generation: residueRun, Point: "run/key-destroyed", Nth: 1}}},
		{name: "duplicate", script: duplicate, deleted: 19, updated: 1, files: 11, effects: map[string]int{"UPDATE persons/p-02": 1},
			also: []kill{{Point: "request/received", Nth: 2}, {Point: "request/end-recorded", Nth: 1}, {Point: "request/ended", Nth: 1},
				{Point: "request/processing-saved", Nth: 1}, {Point: "run/finished", Nth: 1}}},
		{name: "exported", script: exported, deleted: 19, updated: 2, files: 11,
			also: []kill{{Point: "export/started", Nth: 2}, {Point: "export/written", Nth: 2}, {Point: "export/recorded", Nth: 2}, {Point: "export/purged", Nth: 2}}},
		{name: "orphaned", script: orphaned, effects: map[string]int{"UPDATE persons/p-01": 4}},
		{name: "swept", script: swept, deleted: 8, files: 8,
			also: []kill{{Point: "sweep/intent-recorded", Nth: 2}, {Point: "sweep/effect-done", Nth: 2}, {Point: "sweep/files-removed", Nth: 2}}},
		{name: "archived", script: archived, deleted: 8, files: 8, also: []kill{{Point: "sweep/intent-recorded", Nth: 3}, {Point: "sweep/effect-done", Nth: 3}}},
		{name: "erased by a rule", script: erasedByRule, deleted: 19, updated: 2, files: 11},
		{name: "immediate with the vault in PostgreSQL", script: immediate, deleted: 19, updated: 2, files: 11, postgres: true},
		{name: "swept with the vault in PostgreSQL", script: swept, deleted: 8, files: 8, postgres: true},
	}
}

// immediate: one person is erased, with more files than one batch holds.
func immediate(w *world) {
	w.mapReady()
	w.create(request(w.namespace, "erase", 3, v1alpha1.TimingImmediate)...)
	w.stage("erase", v1alpha1.ReasonErased)
	w.atRest()
}

// cancelled: one person is deactivated and thinks again within the grace period.
func cancelled(w *world) {
	w.mapReady()
	w.create(request(w.namespace, "erase", 1, v1alpha1.TimingAfterGracePeriod)...)
	w.stage("erase", v1alpha1.ReasonGracePeriod)
	w.must(change(w, "erase", &v1alpha1.ErasureRequest{}, func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true }))
	w.stage("erase", v1alpha1.ReasonCancelled)
	w.atRest()
}

// withdrawn: one person's request is deleted within the grace period, which cancels it.
func withdrawn(w *world) {
	w.mapReady()
	w.create(request(w.namespace, "erase", 1, v1alpha1.TimingAfterGracePeriod)...)
	w.stage("erase", v1alpha1.ReasonGracePeriod)
	er := w.request("erase")
	w.must(w.cluster.Client.Delete(w.ctx, er))
	w.await("the request is gone", func() bool {
		return apierrors.IsNotFound(w.cluster.Client.Get(w.ctx, client.ObjectKeyFromObject(er), er))
	})
	w.atRest()
}

// retained: a law keeps one document until 2035.
func retained(w *world) {
	w.mapReady()
	w.create(request(w.namespace, "erase", 5, v1alpha1.TimingImmediate)...)
	w.stage("erase", v1alpha1.ReasonRetained)
	w.atRest()
}

// held: one court forbids everything at first, another keeps two documents longer; when it lifts its hold, they go too.
func held(w *world) {
	w.mapReady()
	w.create(hold(w.namespace, "evidence"), hold(w.namespace, "everything", personID(7)))
	w.holdStage("evidence", v1alpha1.ReasonInForce)
	w.holdStage("everything", v1alpha1.ReasonInForce)
	w.create(request(w.namespace, "erase", 7, v1alpha1.TimingImmediate)...)
	w.stage("erase", v1alpha1.ReasonLegalHold)
	w.lift("everything")
	w.stage("erase", v1alpha1.ReasonRetained)
	w.lift("evidence")
	// The operator looks for due residues when it starts, and then at long intervals. The API server, its second clock, tells
	// whole seconds: nothing is due in the second in which it was made.
	w.await("the second is over", func() bool { return !time.Now().Before(w.request("erase").Status.FinishedAt.Time) })
	w.restart()
	w.await("the residue is erased", func() bool {
		return meta.IsStatusConditionTrue(w.request("erase").Status.Conditions, v1alpha1.ConditionErased)
	})
	w.atRest()
}

// duplicate: a second request for one person ends as a duplicate of the first, which is then expedited.
func duplicate(w *world) {
	w.mapReady()
	w.create(request(w.namespace, "first", 2, v1alpha1.TimingAfterGracePeriod)...)
	w.stage("first", v1alpha1.ReasonGracePeriod)
	w.create(request(w.namespace, "second", 2, v1alpha1.TimingImmediate)...)
	w.stage("second", v1alpha1.ReasonDuplicate)
	w.must(change(w, "first", &v1alpha1.ErasureRequest{}, func(er *v1alpha1.ErasureRequest) { er.Spec.Timing = v1alpha1.TimingImmediate }))
	w.stage("first", v1alpha1.ReasonErased)
	w.atRest()
}

// exported: what happened is exported, into the operator's folder and into a store; one of each is deleted again.
func exported(w *world) {
	complete := func(name string, destination *v1alpha1.ExportDestination) {
		w.create(&v1alpha1.ComplianceExport{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: w.namespace},
			Spec: v1alpha1.ComplianceExportSpec{Log: v1alpha1.LogDeletions, Format: v1alpha1.FormatJSON, Destination: destination}})
		w.await("export "+name+" is complete", func() bool {
			x := &v1alpha1.ComplianceExport{}
			w.get(name, x)
			return hasReason(x.Status.Conditions, v1alpha1.ReasonExported)
		})
	}
	gone := func(name string) {
		x := &v1alpha1.ComplianceExport{}
		w.get(name, x)
		w.must(w.cluster.Client.Delete(w.ctx, x))
		w.await("export "+name+" is gone", func() bool {
			return apierrors.IsNotFound(w.cluster.Client.Get(w.ctx, client.ObjectKeyFromObject(x), x))
		})
	}
	w.mapReady()
	w.create(request(w.namespace, "erase", 3, v1alpha1.TimingImmediate)...)
	w.stage("erase", v1alpha1.ReasonErased)
	complete("kept", nil)
	complete("stored", &v1alpha1.ExportDestination{DataStoreRef: v1alpha1.LocalReference{Name: "storage"}})
	complete("dropped", nil)
	gone("stored")
	gone("dropped")
	w.atRest()
}

// swept: documents of one person go by a rule, in several pages.
func swept(w *world) { w.followRule(documentsRule()) }

// archived: they are moved to a folder, and purged there at once.
func archived(w *world) {
	rule := documentsRule()
	rule.Action, rule.ArchiveTo, rule.ArchiveRetention = v1alpha1.RuleArchive, "storage", "P0D"
	w.followRule(rule)
	w.await("the archive is purged", func() bool {
		for _, o := range w.list(w.ctx, &v1alpha1.DeletionRunList{}, w.namespace) {
			ready := meta.FindStatusCondition(o.(*v1alpha1.DeletionRun).Status.Conditions, v1alpha1.ConditionReady)
			if ready != nil && strings.HasSuffix(ready.Message, "purged") {
				return true
			}
		}
		return false
	})
	w.atRest()
}

// erasedByRule: one person goes as a whole.
func erasedByRule(w *world) {
	w.followRule(v1alpha1.RetentionRule{Name: "people", Entity: "people/persons", Clock: "birth", Period: "P18Y", Action: v1alpha1.RuleEraseSubject, Conditions: in("id", personID(3))})
}

func documentsRule() v1alpha1.RetentionRule {
	return v1alpha1.RetentionRule{Name: "documents", Entity: "people/documents", Clock: "issued", Period: "P1Y", Action: v1alpha1.RuleDelete, Conditions: in("folder", personID(3))}
}

// followRule follows a rule at once, and waits until its run has ended.
func (w *world) followRule(rule v1alpha1.RetentionRule) {
	w.t.Helper()
	w.mapReady()
	policy := &v1alpha1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "retention", Namespace: w.namespace, Annotations: map[string]string{v1alpha1.AnnotationSweep: "now"}},
		Spec: v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{rule}, Schedule: &v1alpha1.SweepSchedule{Cron: "0 0 1 1 *"},
			Notice: &v1alpha1.NoticePolicy{Period: "P0D", TolerancePercent: ptr.To[int32](50)}, Limits: &v1alpha1.SweepLimits{MaxSharePercent: 100}, Throttle: &v1alpha1.SweepThrottle{BatchSize: fileBatch}}}
	w.create(policy)
	w.await("the rule is followed", func() bool {
		w.get(policy.Name, policy)
		return policy.Status.AcknowledgedSweep == "now"
	})
	w.await("its run has ended", func() bool {
		runs := w.list(w.ctx, &v1alpha1.DeletionRunList{}, w.namespace)
		for _, o := range runs {
			if o.(*v1alpha1.DeletionRun).Spec.Retention != nil && hasReason(o.(*v1alpha1.DeletionRun).Status.Conditions, v1alpha1.ReasonSwept) {
				return true
			}
		}
		return false
	})
	w.atRest()
}

// orphaned: one person's request is removed by force while no operator runs; the next one ends it first, and is cancelled.
func orphaned(w *world) {
	w.mapReady()
	w.create(request(w.namespace, "removed", 1, v1alpha1.TimingAfterGracePeriod)...)
	w.stage("removed", v1alpha1.ReasonGracePeriod)
	w.stop()
	w.must(change(w, "removed", &v1alpha1.ErasureRequest{}, func(er *v1alpha1.ErasureRequest) { er.Finalizers = nil }))
	w.must(w.cluster.Client.Delete(w.ctx, w.request("removed")))
	w.generation++
	w.start()
	w.create(request(w.namespace, "next", 1, v1alpha1.TimingAfterGracePeriod)...)
	w.stage("next", v1alpha1.ReasonGracePeriod)
	w.must(change(w, "next", &v1alpha1.ErasureRequest{}, func(er *v1alpha1.ErasureRequest) { er.Spec.Cancelled = true }))
	w.stage("next", v1alpha1.ReasonCancelled)
	w.atRest()
}

func (w *world) request(name string) *v1alpha1.ErasureRequest {
	w.t.Helper()
	er := &v1alpha1.ErasureRequest{}
	w.get(name, er)
	return er
}

func (w *world) mapReady() {
	w.t.Helper()
	w.await("the map is Ready", func() bool {
		m := &v1alpha1.PersonalDataMap{}
		w.get("people", m)
		return meta.IsStatusConditionTrue(m.Status.Conditions, v1alpha1.ConditionReady)
	})
}

// stage waits until a request has a stage: the reason of Ready.
func (w *world) stage(name, reason string) {
	w.t.Helper()
	w.await("request "+name+" is "+reason, func() bool { return hasReason(w.request(name).Status.Conditions, reason) })
}

func (w *world) holdStage(name, reason string) {
	w.t.Helper()
	w.await("hold "+name+" is "+reason, func() bool {
		h := &v1alpha1.LegalHold{}
		w.get(name, h)
		return hasReason(h.Status.Conditions, reason)
	})
}

func (w *world) lift(name string) {
	w.t.Helper()
	w.must(change(w, name, &v1alpha1.LegalHold{}, func(h *v1alpha1.LegalHold) { h.Spec.Lifted = true }))
	w.holdStage(name, v1alpha1.ReasonLifted)
}

func hasReason(conditions []metav1.Condition, reason string) bool {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	return ready != nil && ready.Reason == reason
}

// atRest waits until the operator has nothing left to do: runs are finished, and what was secret for them is destroyed.
func (w *world) atRest() {
	w.t.Helper()
	w.await("all runs are finished", func() bool {
		for _, o := range w.list(w.ctx, &v1alpha1.DeletionRunList{}, w.namespace) {
			run := o.(*v1alpha1.DeletionRun)
			if !run.Status.Phase.Finished() || !meta.IsStatusConditionTrue(run.Status.Conditions, v1alpha1.ConditionReady) {
				return false
			}
		}
		return true
	})
	w.await("the identities and the keys of runs are destroyed", func() bool {
		left := w.keys()
		return len(w.identities()) == 0 && left[string(keys.Run)] == 0 && left[string(keys.Deactivation)] == 0
	})
	w.awaitKills()
}

// identities are the names of the Secrets that hold identities.
func (w *world) identities() []string {
	w.t.Helper()
	var names []string
	for _, o := range w.list(w.ctx, &corev1.SecretList{}, w.namespace) {
		if o.(*corev1.Secret).Type == v1alpha1.IdentitiesSecretType {
			names = append(names, o.GetName())
		}
	}
	return names
}

// keys counts the operator's keys by their purpose.
func (w *world) keys() map[string]int {
	w.t.Helper()
	counts := map[string]int{}
	for _, o := range w.list(w.ctx, &corev1.SecretList{}, w.operator) {
		counts[o.GetLabels()["privacy.lethe.dev/key-purpose"]]++
	}
	return counts
}
