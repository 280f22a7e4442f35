// Package cli is what the programs lethe and kubectl-lethe share.
package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// ExitError ends the program with a status; without Err nothing more is printed.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Code)
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Files wants between least and most names of files.
func Files(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if n := len(args); n < least || n > most {
			return &ExitError{Code: 2, Err: fmt.Errorf("%d files were named; use it as: %s %s", n, Program(cmd), strings.TrimPrefix(cmd.UseLine(), Program(cmd)+" "))}
		}
		return nil
	}
}

// Program is how a command's program is called.
func Program(cmd *cobra.Command) string {
	if root := cmd.Root(); root.DisplayName() != "" && root != cmd {
		return root.DisplayName()
	}
	return "lethe"
}

// Usage makes wrong flags end with status 2.
func Usage(cmd *cobra.Command) *cobra.Command {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &ExitError{Code: 2, Err: err} })
	return cmd
}

// Cause leaves out the path, which the message names already.
func Cause(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
