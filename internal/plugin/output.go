package plugin

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/cli"
)

// output is the flag -o of a command.
type output string

func (o *output) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP((*string)(o), "output", "o", "", "json or yaml; default: a table")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	run := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		if *o != "" && *o != "json" && *o != "yaml" {
			return fmt.Errorf("--output %s: it is json or yaml, or not given for a table", string(*o))
		}
		if run != nil {
			return run(cmd, args)
		}
		return nil
	}
}

// write writes an object for machines, or the table for people.
func (o output) write(out io.Writer, object any, table func(io.Writer) error) error {
	switch o {
	case "json":
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(object)
	case "yaml":
		text, err := yaml.Marshal(object)
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	return table(out)
}

// table writes columns that are as wide as they have to be. Nothing in a cell can command the terminal.
type table struct{ *tabwriter.Writer }

func newTable(out io.Writer, head ...string) table {
	t := table{tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)}
	if len(head) > 0 {
		t.row(head...)
	}
	return t
}

func (t table) row(cells ...string) {
	for i := range cells {
		cells[i] = cli.Printable(cells[i])
	}
	_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
}

// instant is a time as tables have it.
func instant(t *metav1.Time) string {
	if t == nil {
		return ""
	}
	return cli.ClockTime(t.Time)
}

// distance says how far away a time is, in words such as "in 29d" and "3h ago".
func distance(now time.Time, t *metav1.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	if d := t.Sub(now); d > 0 {
		return "in " + duration.HumanDuration(d)
	}
	return duration.HumanDuration(now.Sub(t.Time)) + " ago"
}

func ready(conditions []metav1.Condition) metav1.Condition {
	if c := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady); c != nil {
		return *c
	}
	return metav1.Condition{Status: metav1.ConditionUnknown, Message: "the operator has not looked at it yet"}
}

// counted is a number with its word.
func counted[N int | int64](n N, word string) string {
	if n != 1 {
		word += "s"
	}
	return fmt.Sprintf("%d %s", n, word)
}
