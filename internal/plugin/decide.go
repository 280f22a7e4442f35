package plugin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// waiting are the flags of commands that may wait.
type waiting struct {
	wait    bool
	timeout time.Duration
}

func (w *waiting) register(cmd *cobra.Command, until string) {
	cmd.Flags().BoolVar(&w.wait, "wait", false, "wait "+until)
	cmd.Flags().DurationVar(&w.timeout, "timeout", 10*time.Minute, "how long to wait at most")
}

// runPrefix before a name says that it is a DeletionRun's.
const runPrefix = "run/"

// decision is something that people decide on requests, and on runs of retention rules.
type decision struct {
	dryRun  string
	waiting waiting
	// request and run change the object, or say why it cannot be decided any more.
	request func(*v1alpha1.ErasureRequest) error
	run     func(*v1alpha1.DeletionRun) error
	done    string
}

func (s *session) newDecision(d *decision, cmd *cobra.Command) *cobra.Command {
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("name one erasure request or several; kubectl lethe status lists those that have not ended")
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := checkDryRun(d.dryRun, "server"); err != nil {
			return err
		}
		c, namespace, err := s.connect()
		if err != nil {
			return err
		}
		var errs []error
		for _, name := range args {
			if err := s.decide(cmd.Context(), c, namespace, name, d); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
			}
		}
		return errors.Join(errs...)
	}
	cmd.ValidArgsFunction = s.completeNames(&v1alpha1.ErasureRequestList{}, true, func(o client.Object) bool {
		er := o.(*v1alpha1.ErasureRequest)
		return d.request(er.DeepCopy()) == nil
	})
	registerDryRun(cmd, &d.dryRun, "server")
	return cmd
}

func registerDryRun(cmd *cobra.Command, value *string, modes ...string) {
	cmd.Flags().StringVar(value, "dry-run", "none", strings.Join(modes, " or ")+": try it and change nothing; server asks the API server and the operator's admission too")
	cmd.Flags().Lookup("dry-run").NoOptDefVal = "server"
	_ = cmd.RegisterFlagCompletionFunc("dry-run", cobra.FixedCompletions(append([]string{"none"}, modes...), cobra.ShellCompDirectiveNoFileComp))
}

func checkDryRun(value string, modes ...string) error {
	for _, m := range append([]string{"none"}, modes...) {
		if m == value {
			return nil
		}
	}
	return fmt.Errorf("--dry-run=%s: it is none or %s", value, strings.Join(modes, " or "))
}

// decide patches one object. Whether it is still in time is for the API server and admission to say.
func (s *session) decide(ctx context.Context, c client.Client, namespace, name string, d *decision) error {
	key := client.ObjectKey{Namespace: namespace, Name: strings.TrimPrefix(name, runPrefix)}
	var read, now client.Object
	var err error
	if strings.HasPrefix(name, runPrefix) {
		run := &v1alpha1.DeletionRun{}
		if err = c.Get(ctx, key, run); err != nil {
			return s.helpful(err, namespace)
		}
		read = run.DeepCopy()
		err, now = d.run(run), run
	} else {
		er := &v1alpha1.ErasureRequest{}
		if err = c.Get(ctx, key, er); err != nil {
			return s.helpful(err, namespace)
		}
		read = er.DeepCopy()
		err, now = d.request(er), er
	}
	if err != nil {
		return err
	}
	options, suffix := []client.PatchOption{}, ""
	if d.dryRun == "server" {
		options, suffix = append(options, client.DryRunAll), " (dry run)"
	}
	if err := c.Patch(ctx, now, client.MergeFrom(read), options...); err != nil {
		return s.helpful(err, namespace)
	}
	_, _ = fmt.Fprintf(s.Streams.Out, "%s %s%s\n", name, d.done, suffix)
	if er, ok := now.(*v1alpha1.ErasureRequest); ok && d.waiting.wait && suffix == "" {
		return s.follow(ctx, c, er, d.waiting.timeout)
	}
	return nil
}

// over tells whether a request has ended for good: what was given up is Failed for ever.
func over(er *v1alpha1.ErasureRequest) bool {
	reason := ready(er.Status.Conditions).Reason
	return er.Status.Phase.Finished() || er.Status.Phase == v1alpha1.PhaseFailed && (reason == v1alpha1.ReasonAbandoned || reason == v1alpha1.ReasonNamespaceDeleted)
}

func undecided(er *v1alpha1.ErasureRequest) error {
	switch {
	case over(er):
		return fmt.Errorf("it has ended already: %s", er.Status.Phase)
	case er.Status.Phase == v1alpha1.PhaseFailed:
		return fmt.Errorf("it has failed; mend what its message names and use kubectl lethe retry, or give it up with the annotation %s", v1alpha1.AnnotationAbandon)
	case er.Status.ProcessingStartedAt != nil:
		return errors.New("processing has begun: nothing cancels or changes it any more; kubectl lethe status shows how far it is")
	}
	return nil
}

func announcedRun(run *v1alpha1.DeletionRun) error {
	switch {
	case run.Spec.Retention == nil || run.Spec.DryRun:
		return errors.New("it is no run of a retention rule; only those are announced and decided on")
	case run.Status.Phase != v1alpha1.PhasePending && run.Status.Phase != "":
		return fmt.Errorf("it has ended already: %s", run.Status.Phase)
	case run.Status.StartedAt != nil:
		return errors.New("it has begun: it can be decided on no more")
	}
	return nil
}

func (s *session) newApproveCommand() *cobra.Command {
	var records int64
	d := &decision{done: "approved", request: func(er *v1alpha1.ErasureRequest) error {
		if er.Spec.Approved {
			return errors.New("it is approved already")
		}
		er.Spec.Approved = true
		return undecided(er)
	}}
	d.run = func(run *v1alpha1.DeletionRun) error {
		if run.Status.Announced == nil && records < 0 {
			return errors.New("it was not announced yet, so nobody knows how many records it concerns; give --records")
		}
		n := records
		if n < 0 {
			n = run.Status.Announced.Due
		}
		run.Spec.Confirmed = &v1alpha1.RunConfirmation{Records: n}
		return announcedRun(run)
	}
	cmd := s.newDecision(d, &cobra.Command{
		Use:   "approve REQUEST|run/RUN...",
		Short: "Approve erasure requests, or confirm announced runs of retention rules",
		Long: `Approve erasure requests: needed where the policy demands it, and after an active process has ended. It cannot be taken back,
only cancelled. It needs the verb approve on erasurerequests.

With run/ before the name it confirms the announced run of a retention rule, which then begins at once, for at most as many records as
were announced or as --records says. That needs the verb approve on deletionruns.`,
		Example: `  kubectl lethe approve erase-after-grace
  kubectl lethe approve run/vacancy-stages-candidates-20261226t030000 --records 1200`,
	})
	cmd.Flags().Int64Var(&records, "records", -1, "of a run: how many records it may treat at most; default: as many as were announced")
	d.waiting.register(cmd, "until the request has ended, or waits for a person or a time")
	return cmd
}

func (s *session) newCancelCommand() *cobra.Command {
	d := &decision{done: "cancelled", request: func(er *v1alpha1.ErasureRequest) error {
		if er.Spec.Cancelled {
			return errors.New("it is cancelled already")
		}
		er.Spec.Cancelled = true
		return undecided(er)
	}, run: func(run *v1alpha1.DeletionRun) error {
		run.Spec.Cancelled = true
		return announcedRun(run)
	}}
	cmd := s.newDecision(d, &cobra.Command{
		Use:   "cancel REQUEST|run/RUN...",
		Short: "Cancel erasure requests before processing begins, or announced runs of retention rules",
		Long: `Cancel erasure requests while they are Pending. Nothing is deleted, and the subject is active again. Once processing has begun nothing
cancels a request any more. It needs the verb cancel on erasurerequests.

With run/ before the name it cancels the announced run of a retention rule; what is due is announced anew by the next sweep.`,
		Example: `  kubectl lethe cancel erase-after-grace --wait`,
	})
	d.waiting.register(cmd, "until the request has ended")
	return cmd
}

func (s *session) newRetryCommand() *cobra.Command {
	annotate := func(o metav1.Object) {
		annotations := o.GetAnnotations()
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[v1alpha1.AnnotationRetry] = fmt.Sprint(s.Clock.Now().UnixNano())
		o.SetAnnotations(annotations)
	}
	d := &decision{done: "is tried again", request: func(er *v1alpha1.ErasureRequest) error {
		switch {
		case er.Status.Phase != v1alpha1.PhaseFailed:
			return fmt.Errorf("only what has failed can be tried again, and it is %s; what waits is looked at again by itself", er.Status.Phase)
		case over(er):
			return fmt.Errorf("it was given up (%s); create another request", ready(er.Status.Conditions).Reason)
		}
		annotate(er)
		return nil
	}, run: func(run *v1alpha1.DeletionRun) error {
		if run.Status.Phase != v1alpha1.PhaseFailed {
			return fmt.Errorf("only what has failed can be tried again, and it is %s", run.Status.Phase)
		}
		if run.Spec.Request != nil {
			return fmt.Errorf("it executes the request %s: retry that one", run.Spec.Request.Name)
		}
		annotate(run)
		return nil
	}}
	cmd := s.newDecision(d, &cobra.Command{
		Use:   "retry REQUEST|run/RUN...",
		Short: "Try failed erasure requests again; they go on where they stopped",
		Long: `Try failed erasure requests again, after what made them fail was mended. They go on where they stopped. With run/ before the
name it tries the failed run of a residue or of a retention rule again.`,
		Example: `  kubectl lethe retry erase-now --wait`,
	})
	d.waiting.register(cmd, "until the request has ended, or waits for a person or a time")
	return cmd
}

// follow waits until a request has ended, or waits for a person or a time, and tells the stages on the way.
func (s *session) follow(ctx context.Context, c client.Client, er *v1alpha1.ErasureRequest, timeout time.Duration) error {
	p := &progress{s: s}
	nonce, generation := er.Annotations[v1alpha1.AnnotationRetry], er.Generation
	var end error
	err := poll(ctx, timeout, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(er), er); err != nil {
			return false, s.helpful(err, er.Namespace)
		}
		if er.Status.ObservedGeneration < generation || nonce != er.Status.Acknowledged.Retry && nonce != "" {
			return false, nil
		}
		stage := ready(er.Status.Conditions)
		p.tell("%s: %s %s: %s", er.Name, er.Status.Phase, stage.Reason, stage.Message)
		switch {
		case er.Status.Phase.Finished():
			if cancelled := er.Status.Phase == v1alpha1.PhaseCancelled; cancelled != er.Spec.Cancelled {
				end = fmt.Errorf("%s has ended as %s: %s", er.Name, er.Status.Phase, stage.Message)
			}
			return true, nil
		case er.Status.Phase == v1alpha1.PhaseFailed:
			end = fmt.Errorf("%s has failed: %s", er.Name, stage.Message)
			return true, nil
		}
		return !er.Spec.Cancelled && waitsForSomebody(er, stage.Reason), nil
	})
	switch {
	case end != nil:
		return end
	case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s has not come to an end within %s; it goes on without this command, and kubectl lethe status %s shows how far it is", er.Name, timeout, er.Name)
	}
	return err
}

// waitsForSomebody tells whether a request will not go on before a person acts or the grace period ends.
func waitsForSomebody(er *v1alpha1.ErasureRequest, stage string) bool {
	if stage == v1alpha1.ReasonAwaitingApproval || stage == v1alpha1.ReasonGracePeriod && er.Spec.Timing != v1alpha1.TimingImmediate {
		return true
	}
	for _, c := range er.Status.Conditions {
		if c.Type == v1alpha1.ConditionStalled && c.Status == metav1.ConditionTrue {
			return true
		}
	}
	return false
}
