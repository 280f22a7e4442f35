package plugin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// preview is what a dry run found, for machines.
type preview struct {
	Namespace string                   `json:"namespace"`
	Of        string                   `json:"of"`
	Complete  bool                     `json:"complete"`
	Message   string                   `json:"message,omitempty"`
	Steps     []v1alpha1.RunStep       `json:"steps,omitempty"`
	Counts    []v1alpha1.CategoryCount `json:"counts,omitempty"`
	Retained  []v1alpha1.RetainedData  `json:"retained,omitempty"`
}

func (s *session) newPreviewCommand() *cobra.Command {
	var o output
	var policy, rule string
	var keep bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "preview (REQUEST | --policy POLICY --rule RULE)",
		Short: "Count what a request, or a rule of a policy, would delete now; nothing is changed",
		Long: `Count what a request, or a rule of a RetentionPolicy, would delete now, and what would stay. It makes a DeletionRun that is a dry run, waits
for it, and removes it again. Nothing is changed in any store. It needs the right to create deletionruns.`,
		Example: `  kubectl lethe preview erase-after-grace
  kubectl lethe preview --policy vacancy-stages --rule candidates`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == (policy != "" || rule != "") || (policy == "") != (rule == "") {
				return errors.New("name a request, or a rule with --policy and --rule")
			}
			run := &v1alpha1.DeletionRun{Spec: v1alpha1.DeletionRunSpec{DryRun: true}}
			of := policy + "/" + rule
			if len(args) == 1 {
				of, run.Spec.Request = args[0], &v1alpha1.RequestReference{Name: args[0]}
			} else {
				run.Spec.Retention = &v1alpha1.RetentionReference{Policy: policy, Rule: rule}
			}
			c, namespace, err := s.connect()
			if err != nil {
				return err
			}
			if run.Spec.Request != nil {
				if err := c.Get(cmd.Context(), client.ObjectKey{Namespace: namespace, Name: args[0]}, &v1alpha1.ErasureRequest{}); err != nil {
					return s.helpful(err, namespace)
				}
			}
			run.ObjectMeta = metav1.ObjectMeta{GenerateName: "preview-", Namespace: namespace}
			if err := s.dryRun(cmd.Context(), c, run, timeout, keep); err != nil {
				return err
			}
			p := newPreview(run, of)
			return o.write(s.Streams.Out, p, p.text)
		},
		ValidArgsFunction: s.completeNames(&v1alpha1.ErasureRequestList{}, false, func(o client.Object) bool {
			return !over(o.(*v1alpha1.ErasureRequest))
		}),
	}
	o.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&policy, "policy", "", "RetentionPolicy")
	flags.StringVar(&rule, "rule", "", "rule of it")
	flags.BoolVar(&keep, "keep", false, "leave the DeletionRun there")
	flags.DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait at most")
	_ = cmd.RegisterFlagCompletionFunc("policy", func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
		return s.completeNames(&v1alpha1.RetentionPolicyList{}, false, nil)(cmd, nil, begun)
	})
	return cmd
}

// dryRun makes the run, waits until it has ended, and removes it.
func (s *session) dryRun(ctx context.Context, c client.Client, run *v1alpha1.DeletionRun, timeout time.Duration, keep bool) error {
	if err := c.Create(ctx, run); err != nil {
		return s.helpful(err, run.Namespace)
	}
	if !keep {
		defer func() {
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			if err := c.Delete(last, &v1alpha1.DeletionRun{ObjectMeta: metav1.ObjectMeta{Name: run.Name, Namespace: run.Namespace}}); client.IgnoreNotFound(err) != nil {
				_, _ = fmt.Fprintf(s.Streams.ErrOut, "DeletionRun %s is left there: %s\n", run.Name, plain(err))
			}
		}()
	}
	p := &progress{s: s}
	err := poll(ctx, timeout, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(run), run); err != nil {
			return false, s.helpful(err, run.Namespace)
		}
		if run.Status.Phase != "" && run.Status.Phase != v1alpha1.PhasePending {
			return true, nil
		}
		stage := ready(run.Status.Conditions)
		p.tell("%s: %s", run.Name, strings.TrimPrefix(stage.Reason+": "+stage.Message, ": "))
		return false, nil
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		stage := ready(run.Status.Conditions)
		return fmt.Errorf("the dry run has not ended within %s: %s: %s", timeout, stage.Reason, stage.Message)
	case err != nil:
		return err
	case run.Status.Phase != v1alpha1.PhaseCompleted:
		return fmt.Errorf("the dry run ended as %s: %s", run.Status.Phase, ready(run.Status.Conditions).Message)
	}
	return nil
}

func newPreview(run *v1alpha1.DeletionRun, of string) preview {
	c := ready(run.Status.Conditions)
	return preview{Namespace: run.Namespace, Of: of, Complete: c.Reason != v1alpha1.ReasonDryRunIncomplete, Message: c.Message, Steps: run.Status.Steps,
		Counts: run.Status.Counts, Retained: run.Status.Retained}
}

func (p preview) text(out io.Writer) error {
	_, _ = fmt.Fprintf(out, "Preview of %s/%s; nothing was changed.\n", p.Namespace, p.Of)
	if !p.Complete {
		_, _ = fmt.Fprintf(out, "It is incomplete: %s\n", p.Message)
	}
	if len(p.Counts) == 0 {
		_, err := fmt.Fprintln(out, "Nothing would be deleted or changed.")
		return err
	}
	countsText(out, p.Counts)
	retainedText(out, p.Retained)
	if !p.Complete {
		_, _ = fmt.Fprintln(out)
		stepsText(out, p.Steps)
	}
	return nil
}
