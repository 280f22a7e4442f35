// Plugindocs prints docs/reference/kubectl-lethe.md from the plugin's own help.
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/internal/plugin"
)

func main() {
	root := plugin.NewCommand(plugin.Options{Streams: genericiooptions.NewTestIOStreamsDiscard(), Clock: clock.RealClock{}})
	root.InitDefaultCompletionCmd()
	out := os.Stdout
	fmt.Fprint(out, "# kubectl lethe\n\nMade by `make generate` from the plugin's own help. [How to use it](../how-to/kubectl-plugin.md) is the guide.\n\n")
	fmt.Fprint(out, "| command | |\n|---|---|\n")
	each(root, func(c *cobra.Command) {
		fmt.Fprintf(out, "| [`%s`](#%s) | %s |\n", path(c), strings.ReplaceAll(path(c), " ", "-"), c.Short)
	})
	fmt.Fprintf(out, "\n## Flags of all commands\n\n%s", flags(root.PersistentFlags()))
	each(root, func(c *cobra.Command) { page(out, c) })
}

// each visits the commands that do something.
func each(c *cobra.Command, visit func(*cobra.Command)) {
	for _, child := range c.Commands() {
		if child.Name() == "help" || child.Name() == "completion" {
			continue
		}
		if child.Runnable() {
			visit(child)
		}
		each(child, visit)
	}
}

// path is how somebody calls a command.
func path(c *cobra.Command) string {
	return strings.Replace(c.CommandPath(), "kubectl-lethe", "kubectl lethe", 1)
}

func page(out io.Writer, c *cobra.Command) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n```\n%s\n```\n", path(c), escape(c.Long), strings.Replace(c.UseLine(), "kubectl-lethe", "kubectl lethe", 1))
	if c.Example != "" {
		fmt.Fprintf(out, "\n```sh\n%s\n```\n", unindent(c.Example))
	}
	if table := flags(c.NonInheritedFlags()); table != "" {
		fmt.Fprintf(out, "\n%s", table)
	}
}

func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}

func escape(text string) string {
	return strings.NewReplacer("<", `\<`, "|", `\|`, "*", `\*`).Replace(text)
}

// flags is a table of flags, or nothing.
func flags(set *pflag.FlagSet) string {
	var b strings.Builder
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if b.Len() == 0 {
			b.WriteString("| flag | default | |\n|---|---|---|\n")
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		value := f.DefValue
		if value == "" || value == "[]" || f.Name == "cache-dir" { // which depends on the machine
			value = ""
		} else {
			value = "`" + value + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, value, escape(strings.ReplaceAll(f.Usage, "\n", " ")))
	})
	return b.String()
}
