// Kubectl-lethe is kubectl's plugin for Lethe: kubectl lethe.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/plugin"
)

// Set at link time.
var (
	version = "dev"
	commit  = "unknown"
)

func main() {
	root := plugin.NewCommand(plugin.Options{
		Streams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr},
		Clock:   clock.RealClock{}, Version: fmt.Sprintf("%s (%s)", version, commit),
	})
	// kubectl asks a program of this name for the completion of a plugin: a link to this one will do.
	if strings.HasPrefix(filepath.Base(os.Args[0]), "kubectl_complete-") {
		root.SetArgs(append([]string{cobra.ShellCompRequestCmd}, os.Args[1:]...))
	}
	if err := root.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		var exit *cli.ExitError
		if !errors.As(err, &exit) {
			exit = &cli.ExitError{Code: 1, Err: err}
		}
		if exit.Err != nil {
			fmt.Fprintln(os.Stderr, "error:", exit.Err)
		}
		os.Exit(exit.Code)
	}
}
