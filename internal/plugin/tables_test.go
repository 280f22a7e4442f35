package plugin

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	testclock "k8s.io/utils/clock/testing"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the tables of this run into testdata")

var today = time.Date(2026, 11, 21, 23, 22, 0, 0, time.UTC)

func days(n float64) *metav1.Time {
	return &metav1.Time{Time: today.Add(time.Duration(n * 24 * float64(time.Hour)))}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// golden compares what people see with the file of that name.
func golden(t *testing.T, name string, text func(io.Writer) error) {
	t.Helper()
	var got bytes.Buffer
	if err := text(&got); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (go test ./internal/plugin -update writes it anew):\n%s", path, diff)
	}
}

func sampleRequest() *v1alpha1.ErasureRequest {
	er := &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Name: "erase-after-grace", Namespace: "recruiting", CreationTimestamp: *days(-2.01), Annotations: map[string]string{
		v1alpha1.AnnotationRequestedBy: `{"user":"carla","id":"x","time":"2026-11-19T23:07:36Z","seal":"x"}`,
		v1alpha1.AnnotationApprovedBy:  `{"user":"dana\u001b[31m","id":"x","time":"2026-11-20T11:22:00Z","seal":"x"}`}}}
	er.Spec = v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{ID: "app-000202"}, Source: v1alpha1.SourceSubject, Timing: v1alpha1.TimingAfterGracePeriod, Approved: true}
	er.Status = v1alpha1.ErasureRequestStatus{Phase: v1alpha1.PhasePending, Handle: "019ac3f2-b1d2", ReceivedAt: days(-2), DueAt: days(28), ConfirmedAt: days(-1.5), ScheduledAt: days(58),
		Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonGracePeriod, "deletion begins at 2027-01-18T23:22:00Z"),
			condition(v1alpha1.ConditionOverdueRisk, metav1.ConditionTrue, v1alpha1.ReasonScheduledAfterDueDate, "late")},
		History: []v1alpha1.StageTransition{{Stage: v1alpha1.ReasonAwaitingApproval, Time: *days(-2)}, {Stage: v1alpha1.ReasonGracePeriod, Time: *days(-1.5)}}}
	return er
}

func retainedRequest() (*v1alpha1.ErasureRequest, *v1alpha1.DeletionRun) {
	er := sampleRequest()
	er.Name, er.Annotations = "erase-now", nil
	er.Status.Phase, er.Status.Run = v1alpha1.PhaseCompleted, "erase-now-1f2e3d4c"
	er.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonRetained, "1 record stays on a legal basis")}
	er.Status.ProcessingStartedAt, er.Status.FinishedAt, er.Status.PurgeAt = days(-1), days(-1), days(29)
	er.Status.History = append(er.Status.History, v1alpha1.StageTransition{Stage: v1alpha1.ReasonProcessing, Time: *days(-1)})
	er.Status.Certificate = &v1alpha1.CertificateReference{Name: "certificate-019ac3f2-1", Number: 1, LedgerIndex: 29, IssuedAt: *days(-1)}
	er.Status.Counts = []v1alpha1.CategoryCount{{Category: "contact", Deleted: 1}, {Category: "documents", Deleted: 2, Files: 2, Retained: 1}}
	er.Status.Retained = []v1alpha1.RetainedData{{Category: "documents", Entity: "ats/documents", Count: 1, Basis: "AO section 147", Until: days(3000)},
		{Category: "notes", Entity: "ats/notes", Count: 2, Basis: "LegalHold matter-9"}}
	run := &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: er.Status.Run}, Status: v1alpha1.DeletionRunStatus{Progress: "5/5", Attempts: 2, Steps: []v1alpha1.RunStep{
		{Name: "records/ats", State: v1alpha1.StepDone, Planned: 3, Done: 3}, {Name: "notify", State: v1alpha1.StepSkipped, Reason: v1alpha1.ReasonNotConfigured}}}}
	return er, run
}

func TestTimelineTellsWhatWasAndWhatIsAhead(t *testing.T) {
	golden(t, "status-grace", func(out io.Writer) error { return newTimeline(sampleRequest(), nil, today).text(out, today) })
	er, run := retainedRequest()
	golden(t, "status-retained", func(out io.Writer) error { return newTimeline(er, run, today).text(out, today) })
	fresh := sampleRequest()
	fresh.Status = v1alpha1.ErasureRequestStatus{}
	golden(t, "status-fresh", func(out io.Writer) error { return newTimeline(fresh, nil, today).text(out, today) })
}

func TestRequestsThatAreDueFirstAreAtTheTop(t *testing.T) {
	late, over := sampleRequest(), sampleRequest()
	late.Name, late.Status.DueAt = "late", days(-1)
	over.Status.Phase = v1alpha1.PhaseCancelled
	lines := requestLines([]v1alpha1.ErasureRequest{*sampleRequest(), *over, *late}, false)
	if len(lines) != 2 || lines[0].Name != "late" || lines[1].Risk != v1alpha1.ReasonScheduledAfterDueDate {
		t.Errorf("%+v", lines)
	}
	if n := len(requestLines([]v1alpha1.ErasureRequest{*over}, true)); n != 1 {
		t.Errorf("%d with --all", n)
	}
	given := sampleRequest()
	given.Status.Phase, given.Status.Conditions[0].Reason = v1alpha1.PhaseFailed, v1alpha1.ReasonAbandoned
	if len(requestLines([]v1alpha1.ErasureRequest{*given}, false)) != 0 || nextStep(given) != "" {
		t.Error("what was given up is still shown as under way")
	}
}

func TestHoldsSayWhatTheyCoverAndWhetherTheyHold(t *testing.T) {
	holds := []v1alpha1.LegalHold{
		{ObjectMeta: metav1.ObjectMeta{Name: "matter-9", Namespace: "recruiting"}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{"a", "b"}, Reason: "matter 9", PlacedBy: "legal", ExpectedUntil: days(90)},
			Status: v1alpha1.LegalHoldStatus{InForceSince: days(-3)}},
		{ObjectMeta: metav1.ObjectMeta{Name: "matter-7", Namespace: "recruiting", DeletionTimestamp: days(-1)}, Spec: v1alpha1.LegalHoldSpec{Reason: "matter 7", Records: []v1alpha1.HoldSelector{
			{Map: "ats", Entity: "documents", Conditions: []v1alpha1.Condition{{Column: "kind", Operator: v1alpha1.OperatorExists}}}}}, Status: v1alpha1.LegalHoldStatus{InForceSince: days(-9)}},
		{ObjectMeta: metav1.ObjectMeta{Name: "new", Namespace: "recruiting"}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{"c"}, Reason: "matter 10"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: "recruiting"}, Spec: v1alpha1.LegalHoldSpec{Subjects: []string{"c"}, Reason: "matter 1"},
			Status: v1alpha1.LegalHoldStatus{InForceSince: days(-99), LiftedAt: days(-50)}},
	}
	golden(t, "holds", func(out io.Writer) error { return holdsText(out, holdLines(holds, "", false), false) })
	golden(t, "holds-all", func(out io.Writer) error { return holdsText(out, holdLines(holds, "", true), true) })
	if lines := holdLines(holds, "c", false); len(lines) != 1 || lines[0].State != holdNotInForce {
		t.Errorf("%+v", lines)
	}
}

func TestUpcomingTellsRunsAndRules(t *testing.T) {
	s := &session{Options: Options{Clock: testclock.NewFakePassiveClock(today)}}
	runs := []v1alpha1.DeletionRun{
		{ObjectMeta: metav1.ObjectMeta{Name: "later", Namespace: "recruiting"}, Spec: v1alpha1.DeletionRunSpec{Retention: &v1alpha1.RetentionReference{Policy: "stages", Rule: "notes"}},
			Status: v1alpha1.DeletionRunStatus{Phase: v1alpha1.PhasePending, ScheduledAt: days(40)}},
		{ObjectMeta: metav1.ObjectMeta{Name: "sooner", Namespace: "recruiting"}, Spec: v1alpha1.DeletionRunSpec{Retention: &v1alpha1.RetentionReference{Policy: "stages", Rule: "candidates"}},
			Status: v1alpha1.DeletionRunStatus{Phase: v1alpha1.PhasePending, ScheduledAt: days(30), Announced: &v1alpha1.Announcement{Due: 1200, Total: 48000},
				Conditions: []metav1.Condition{condition(v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonAnnounced, "")}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "preview", Namespace: "recruiting"}, Spec: v1alpha1.DeletionRunSpec{DryRun: true, Retention: &v1alpha1.RetentionReference{}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "done", Namespace: "recruiting"}, Spec: v1alpha1.DeletionRunSpec{Retention: &v1alpha1.RetentionReference{}}, Status: v1alpha1.DeletionRunStatus{Phase: v1alpha1.PhaseCompleted}},
	}
	policies := []v1alpha1.RetentionPolicy{
		{ObjectMeta: metav1.ObjectMeta{Name: "stages", Namespace: "recruiting"}, Spec: v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{{Name: "candidates", Entity: "ats/candidates", Action: "Delete"},
			{Name: "notes", Category: "notes", Action: "Anonymize"}}}, Status: v1alpha1.RetentionPolicyStatus{NextSweep: days(0.5), Rules: []v1alpha1.RuleStatus{{Name: "candidates", Due: 3, Upcoming: 1200, Kept: 7},
			{Name: "notes", Reason: v1alpha1.ReasonClockUnknown, Message: "x"}}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "trial", Namespace: "recruiting"}, Spec: v1alpha1.RetentionPolicySpec{DryRun: true, Rules: []v1alpha1.RetentionRule{{Name: "all", Entity: "ats/applicants", Action: "Delete"}}}},
	}
	golden(t, "upcoming", func(out io.Writer) error { return newUpcoming(runs, policies).text(s, out, false) })
	golden(t, "upcoming-none", func(out io.Writer) error { return newUpcoming(nil, nil).text(s, out, true) })
}

func TestChecksSayWhatToDo(t *testing.T) {
	k := &checker{s: &session{Options: Options{Clock: testclock.NewFakePassiveClock(today)}}}
	k.ok("kinds", "", "all 8 are served")
	k.problem(checkFailed, "maps", "ats", "map them", "2 tables are new.")
	k.problem(checkUnknown, "ledger", "checkpoints", "", "configmaps is forbidden")
	golden(t, "check", func(out io.Writer) error { return findingsText(out, k.findings) })
}

// Every command has an example or arguments that say how it is used, and help that does not end in the middle.
func TestEveryCommandHasHelp(t *testing.T) {
	root := NewCommand(Options{Clock: clock.RealClock{}, Streams: genericiooptions.NewTestIOStreamsDiscard()})
	for _, c := range root.Commands() {
		if c.Short == "" || c.GroupID == "" || c.Long == "" && !c.HasSubCommands() || c.Example == "" && !c.HasSubCommands() {
			t.Errorf("%s: no help, group or example", c.Name())
		}
	}
}
