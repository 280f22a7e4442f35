package plugin

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// timeline is a request's story for machines.
type timeline struct {
	Namespace string                   `json:"namespace"`
	Name      string                   `json:"name"`
	Subject   string                   `json:"subject"`
	Phase     v1alpha1.Phase           `json:"phase"`
	Stage     string                   `json:"stage"`
	Message   string                   `json:"message,omitempty"`
	Next      string                   `json:"next,omitempty"`
	Handle    string                   `json:"handle,omitempty"`
	Events    []event                  `json:"events"`
	Run       *runProgress             `json:"run,omitempty"`
	Counts    []v1alpha1.CategoryCount `json:"counts,omitempty"`
	Retained  []v1alpha1.RetainedData  `json:"retained,omitempty"`
}

// event is something that happened or will.
type event struct {
	Time metav1.Time `json:"time"`
	What string      `json:"what"`
	By   string      `json:"by,omitempty"`
	// Ahead is true for what has not happened.
	Ahead bool `json:"ahead,omitempty"`

	rank int
}

// runProgress is how far the run of a request is.
type runProgress struct {
	Name     string             `json:"name"`
	Progress string             `json:"progress,omitempty"`
	Attempts int32              `json:"attempts,omitempty"`
	Steps    []v1alpha1.RunStep `json:"steps,omitempty"`
}

func (s *session) newStatusCommand() *cobra.Command {
	var o output
	var all bool
	cmd := &cobra.Command{
		Use:   "status [REQUEST]",
		Short: "Show the timeline of an erasure request, or all that have not ended",
		Long: `Show what happened to an erasure request and what is still ahead: who asked and decided, each stage with its time, when deletion
begins, what went, what stays on which basis and until when. Without a name it lists the requests that have not ended, the one
that is due first at the top.`,
		Example: `  kubectl lethe status erase-after-grace
  kubectl lethe status -n recruiting
  kubectl lethe status erase-after-grace -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, namespace, err := s.connect()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return s.showTimeline(cmd, c, namespace, args[0], o)
			}
			return s.listRequests(cmd, c, namespace, all, o)
		},
		ValidArgsFunction: s.completeNames(&v1alpha1.ErasureRequestList{}, false, nil),
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "list those that have ended too")
	return cmd
}

func (s *session) showTimeline(cmd *cobra.Command, c client.Client, namespace, name string, o output) error {
	var er v1alpha1.ErasureRequest
	if err := c.Get(cmd.Context(), client.ObjectKey{Namespace: namespace, Name: name}, &er); err != nil {
		return s.helpful(err, namespace)
	}
	var run *v1alpha1.DeletionRun
	if er.Status.Run != "" {
		run = &v1alpha1.DeletionRun{}
		if c.Get(cmd.Context(), client.ObjectKey{Namespace: namespace, Name: er.Status.Run}, run) != nil {
			run = nil // it was removed, or may not be read: the request tells without it
		}
	}
	t := newTimeline(&er, run, s.Clock.Now())
	return o.write(s.Streams.Out, t, func(out io.Writer) error { return t.text(out, s.Clock.Now()) })
}

// newTimeline puts together what a request and its run tell.
func newTimeline(er *v1alpha1.ErasureRequest, run *v1alpha1.DeletionRun, now time.Time) timeline {
	c := ready(er.Status.Conditions)
	t := timeline{Namespace: er.Namespace, Name: er.Name, Subject: er.Spec.Subject.ID, Phase: er.Status.Phase, Stage: c.Reason, Message: c.Message,
		Next: nextStep(er), Handle: er.Status.Handle, Counts: er.Status.Counts, Retained: er.Status.Retained}
	add := func(when *metav1.Time, rank int, what, by string) {
		if when != nil && !when.IsZero() {
			t.Events = append(t.Events, event{Time: metav1.NewTime(when.UTC()), What: what, By: by, rank: rank})
		}
	}
	add(&er.CreationTimestamp, 0, "asked for, source "+string(er.Spec.Source), actor(er, v1alpha1.AnnotationRequestedBy))
	add(er.Status.ReceivedAt, 1, "received", "")
	for annotation, what := range map[string]string{v1alpha1.AnnotationApprovedBy: "approved", v1alpha1.AnnotationCancelledBy: "cancelled",
		v1alpha1.AnnotationExpeditedBy: "the grace period was waived", v1alpha1.AnnotationForcedBy: "forced although a process is active"} {
		if st, ok := stampOf(er, annotation); ok {
			add(&metav1.Time{Time: st.Time}, 2, what, st.User)
		}
	}
	for _, h := range er.Status.History {
		add(&h.Time, 4, "stage "+h.Stage, "")
	}
	add(er.Status.ConfirmedAt, 3, "confirmed: checks and approval have passed", "")
	add(er.Status.ProcessingStartedAt, 3, "processing began: nothing cancels it any more", "")
	if cert := er.Status.Certificate; cert != nil {
		add(&cert.IssuedAt, 6, fmt.Sprintf("certificate %s, number %d, entry %d of the ledger", cert.Name, cert.Number, cert.LedgerIndex), "")
	}
	add(er.Status.FinishedAt, 5, "ended as "+string(er.Status.Phase), "")
	if !over(er) {
		if er.Status.ProcessingStartedAt == nil {
			add(er.Status.ScheduledAt, 7, "deletion begins", "")
		}
		add(er.Status.DueAt, 8, "due by law", "")
	}
	for _, r := range er.Status.Retained {
		add(r.Until, 9, fmt.Sprintf("%s of %s kept until then: %s", counted(r.Count, "record"), r.Entity, r.Basis), "")
	}
	add(er.Status.PurgeAt, 10, "this object is purged", "")
	slices.SortStableFunc(t.Events, func(a, b event) int { return cmp.Or(a.Time.Compare(b.Time.Time), cmp.Compare(a.rank, b.rank)) })
	for i := range t.Events {
		t.Events[i].Ahead = t.Events[i].rank >= 7 && t.Events[i].Time.After(now)
	}
	if run != nil {
		t.Run = &runProgress{Name: run.Name, Progress: run.Status.Progress, Attempts: run.Status.Attempts, Steps: run.Status.Steps}
	}
	return t
}

// stampFields are what people see of a stamp of admission.
type stampFields struct {
	User string    `json:"user"`
	Time time.Time `json:"time"`
}

func stampOf(obj client.Object, annotation string) (st stampFields, ok bool) {
	text := obj.GetAnnotations()[annotation]
	return st, text != "" && json.Unmarshal([]byte(text), &st) == nil
}

func actor(obj client.Object, annotation string) string {
	if st, ok := stampOf(obj, annotation); ok {
		return st.User
	}
	return v1alpha1.ActorUnknown
}

// nextStep says what has to happen, and who can do it.
func nextStep(er *v1alpha1.ErasureRequest) string {
	if over(er) {
		return ""
	}
	if er.Status.Phase == v1alpha1.PhaseFailed {
		return fmt.Sprintf("mend what the message names, then kubectl lethe retry %s -n %s", er.Name, er.Namespace)
	}
	switch ready(er.Status.Conditions).Reason {
	case v1alpha1.ReasonAwaitingApproval:
		return fmt.Sprintf("somebody who may approve: kubectl lethe approve %s -n %s", er.Name, er.Namespace)
	case v1alpha1.ReasonGracePeriod:
		return fmt.Sprintf("nothing to do; until then kubectl lethe cancel %s -n %s ends it", er.Name, er.Namespace)
	case v1alpha1.ReasonLegalHold:
		return fmt.Sprintf("it waits until the hold is lifted: kubectl lethe holds --subject %s -n %s", er.Spec.Subject.ID, er.Namespace)
	case v1alpha1.ReasonMapNotReady, v1alpha1.ReasonNoMap, v1alpha1.ReasonPolicyNotReady, v1alpha1.ReasonAmbiguousPolicy, v1alpha1.ReasonStoreUnreachable,
		v1alpha1.ReasonLedgerUnavailable:
		return fmt.Sprintf("kubectl lethe check -n %s tells what is wrong with the set-up", er.Namespace)
	}
	return ""
}

func (t timeline) text(out io.Writer, now time.Time) error {
	head := newTable(out)
	head.row("Request", t.Namespace+"/"+t.Name)
	head.row("Subject", t.Subject)
	head.row("Phase", cmp.Or(string(t.Phase), "not looked at yet"))
	head.row("Stage", strings.TrimPrefix(strings.TrimSuffix(t.Stage+": "+t.Message, ": "), ": "))
	if t.Handle != "" {
		head.row("Handle", t.Handle)
	}
	if t.Next != "" {
		head.row("Next", t.Next)
	}
	_ = head.Flush()
	_, _ = fmt.Fprintln(out)
	events := newTable(out, "TIME", "WHEN", "WHAT", "BY")
	for _, e := range t.Events {
		what := e.What
		if e.Ahead {
			what = "(ahead) " + what
		}
		events.row(instant(&e.Time), distance(now, &e.Time), what, e.By)
	}
	if err := events.Flush(); err != nil {
		return err
	}
	t.Run.text(out)
	countsText(out, t.Counts)
	retainedText(out, t.Retained)
	return nil
}

func retainedText(out io.Writer, retained []v1alpha1.RetainedData) {
	if len(retained) == 0 {
		return
	}
	_, _ = fmt.Fprintln(out)
	t := newTable(out, "RETAINED", "RECORDS", "BASIS", "UNTIL")
	for _, r := range retained {
		t.row(r.Entity, fmt.Sprint(r.Count), r.Basis, cmp.Or(instant(r.Until), "a hold is lifted"))
	}
	_ = t.Flush()
}

func (r *runProgress) text(out io.Writer) {
	if r == nil {
		return
	}
	_, _ = fmt.Fprintf(out, "\nRun %s: %s of records and files, attempts: %d\n", r.Name, cmp.Or(r.Progress, "0"), r.Attempts)
	stepsText(out, r.Steps)
}

func stepsText(out io.Writer, steps []v1alpha1.RunStep) {
	if len(steps) == 0 {
		return
	}
	t := newTable(out, "STEP", "STATE", "DONE", "PLANNED", "REASON")
	for _, step := range steps {
		t.row(step.Name, string(step.State), fmt.Sprint(step.Done), fmt.Sprint(step.Planned), step.Reason)
	}
	_ = t.Flush()
}

// countsText shows what was treated how, without the ways of which there is nothing.
func countsText(out io.Writer, counts []v1alpha1.CategoryCount) {
	if len(counts) == 0 {
		return
	}
	ways := []struct {
		name string
		of   func(v1alpha1.CategoryCount) int64
	}{
		{"DELETED", func(c v1alpha1.CategoryCount) int64 { return c.Deleted }}, {"ANONYMIZED", func(c v1alpha1.CategoryCount) int64 { return c.Anonymized }},
		{"MARKED", func(c v1alpha1.CategoryCount) int64 { return c.Marked }}, {"UNLINKED", func(c v1alpha1.CategoryCount) int64 { return c.Unlinked }},
		{"FILES", func(c v1alpha1.CategoryCount) int64 { return c.Files }}, {"RETAINED", func(c v1alpha1.CategoryCount) int64 { return c.Retained }},
		{"KEPT", func(c v1alpha1.CategoryCount) int64 { return c.Kept }}, {"SHARED", func(c v1alpha1.CategoryCount) int64 { return c.Shared }},
	}
	head := []string{"CATEGORY"}
	shown := ways[:0]
	for _, w := range ways {
		if slices.ContainsFunc(counts, func(c v1alpha1.CategoryCount) bool { return w.of(c) > 0 }) {
			shown, head = append(shown, w), append(head, w.name)
		}
	}
	_, _ = fmt.Fprintln(out)
	t := newTable(out, head...)
	for _, c := range counts {
		cells := []string{c.Category}
		for _, w := range shown {
			cells = append(cells, fmt.Sprint(w.of(c)))
		}
		t.row(cells...)
	}
	_ = t.Flush()
}

// requestLine is a request in a list for machines.
type requestLine struct {
	Name      string          `json:"name"`
	Phase     v1alpha1.Phase  `json:"phase"`
	Stage     string          `json:"stage"`
	Source    v1alpha1.Source `json:"source"`
	Scheduled *metav1.Time    `json:"scheduledAt,omitempty"`
	Due       *metav1.Time    `json:"dueAt,omitempty"`
	// Risk is the reason of the condition OverdueRisk, where it is True.
	Risk string `json:"risk,omitempty"`
}

func (s *session) listRequests(cmd *cobra.Command, c client.Client, namespace string, all bool, o output) error {
	var list v1alpha1.ErasureRequestList
	if err := c.List(cmd.Context(), &list, client.InNamespace(namespace)); err != nil {
		return s.helpful(err, namespace)
	}
	lines := requestLines(list.Items, all)
	return o.write(s.Streams.Out, lines, func(out io.Writer) error {
		if len(lines) == 0 {
			_, err := fmt.Fprintf(out, "No erasure request of namespace %s is under way.\n", namespace)
			return err
		}
		t := newTable(out, "NAME", "PHASE", "STAGE", "SOURCE", "SCHEDULED", "DUE", "WHEN", "RISK")
		for _, l := range lines {
			t.row(l.Name, string(l.Phase), l.Stage, string(l.Source), instant(l.Scheduled), instant(l.Due), distance(s.Clock.Now(), l.Due), l.Risk)
		}
		return t.Flush()
	})
}

func requestLines(items []v1alpha1.ErasureRequest, all bool) []requestLine {
	lines := []requestLine{}
	for i := range items {
		er := &items[i]
		if over(er) && !all {
			continue
		}
		l := requestLine{Name: er.Name, Phase: er.Status.Phase, Stage: ready(er.Status.Conditions).Reason, Source: er.Spec.Source,
			Scheduled: er.Status.ScheduledAt, Due: er.Status.DueAt}
		if risk := meta.FindStatusCondition(er.Status.Conditions, v1alpha1.ConditionOverdueRisk); risk != nil && risk.Status == metav1.ConditionTrue {
			l.Risk = risk.Reason
		}
		lines = append(lines, l)
	}
	slices.SortStableFunc(lines, func(a, b requestLine) int {
		switch {
		case a.Due == nil || b.Due == nil:
			return cmp.Compare(a.Name, b.Name)
		default:
			return cmp.Or(a.Due.Compare(b.Due.Time), cmp.Compare(a.Name, b.Name))
		}
	})
	return lines
}
