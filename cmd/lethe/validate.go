package main

import (
	"encoding/json"
	"errors"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/mapcheck"
)

func newValidateCommand() *cobra.Command {
	var f storeFlags
	var maps []string
	var output string
	var strict bool
	cmd := &cobra.Command{
		Use:   "validate --map FILE --kind postgresql --host HOST --database NAME --user USER",
		Short: "Check PersonalDataMaps against live stores, without a cluster; it reads no rows and changes nothing",
		Long: `Check PersonalDataMaps against the API's schema and against live stores, without a cluster. It reads no rows and changes
nothing. The exit status is 0 if the maps are fit for erasures, 1 if there are problems, and 2 if they could not be checked:
wrong flags, or a store that does not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return &cli.ExitError{Code: 2, Err: errors.New("--output must be text or json")}
			}
			report, err := validate(cmd, &f, maps)
			if err != nil {
				return &cli.ExitError{Code: 2, Err: err}
			}
			if strict {
				report.Strict()
			}
			return printReport(cmd, report, output)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &cli.ExitError{Code: 2, Err: err} })
	f.register(cmd.Flags())
	flags := cmd.Flags()
	flags.StringArrayVar(&maps, "map", nil, "manifest with PersonalDataMaps; may be repeated: all maps of a namespace belong together")
	flags.StringVarP(&output, "output", "o", "text", "text or json")
	flags.BoolVar(&strict, "strict", false, "warnings, and tables and columns that are neither mapped nor ignored, are problems too")
	return cmd
}

func validate(cmd *cobra.Command, f *storeFlags, files []string) (*mapcheck.Report, error) {
	if len(files) == 0 {
		return nil, errors.New("name a manifest with --map")
	}
	documents, err := readDocuments(files)
	if err != nil {
		return nil, err
	}
	report := &mapcheck.Report{Problems: []mapcheck.Finding{}, Warnings: []mapcheck.Finding{}}
	sources := mapcheck.Maps(documents, report)
	if len(report.Maps) == 0 {
		return nil, errors.New("--map: there is no PersonalDataMap in it")
	}
	o, err := f.open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = o.pool.Close() }()
	mapcheck.Check(cmd.Context(), sources, o.get, report)
	return report, nil
}

func printReport(cmd *cobra.Command, report *mapcheck.Report, output string) error {
	if output == "json" {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		if err := e.Encode(report); err != nil {
			return err
		}
	} else if err := report.Text(cmd.OutOrStdout()); err != nil {
		return err
	}
	switch {
	case len(report.Errors) > 0:
		return &cli.ExitError{Code: 2}
	case len(report.Problems) > 0:
		return &cli.ExitError{Code: 1}
	}
	return nil
}
