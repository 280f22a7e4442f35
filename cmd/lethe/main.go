// Lethe erases personal data when it must go, keeps it when the law says so, and proves both.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	_ "time/tzdata" // schedules have time zones, and the image has no files of them

	"github.com/spf13/cobra"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/crash"
)

// Set at link time.
var (
	version = "dev"
	commit  = "unknown"
)

// buildStamp is what a build says of itself.
func buildStamp() string { return fmt.Sprintf("%s (%s)", version, commit) }

func newVersionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print version and commit", Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.OutOrStdout(), "lethe %s %s %s/%s\n", buildStamp(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	}}
}

func main() {
	root := &cobra.Command{
		Use:           "lethe",
		Short:         "Erases personal data when it must go, keeps it when the law says so, and proves both",
		Version:       buildStamp(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newManagerCommand(), newGenerateMapCommand(), newValidateCommand(), newFingerprintCommand(),
		newCertificateCommand(), cli.NewVerifyCommand("lethe"), newLedgerCommand(), newExplainCommand(), newSweepWorkerCommand(),
		newSelftestCommand(), newVersionCommand())
	if crash.Enabled {
		root.AddCommand(&cobra.Command{Use: "crash-points", Hidden: true, Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
			for _, p := range crash.Points() {
				cmd.Println(p)
			}
		}})
		root.SetOut(os.Stdout)
	}
	if err := root.ExecuteContext(ctrl.SetupSignalHandler()); err != nil {
		var exit *cli.ExitError
		if !errors.As(err, &exit) {
			exit = &cli.ExitError{Code: 1, Err: err}
		}
		if exit.Err != nil {
			fmt.Fprintln(os.Stderr, "lethe:", exit.Err)
		}
		os.Exit(exit.Code)
	}
}
