package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/internal/certificate/render"
	"github.com/lethe-dev/lethe/internal/cli"
)

func newCertificateCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "certificate", Short: "Work with certificates of erasure", Args: cobra.NoArgs}
	cmd.AddCommand(newCertificateRenderCommand())
	return cmd
}

func newCertificateRenderCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "render CERTIFICATE --output FILE.pdf",
		Short: "Make the PDF of a certificate of erasure, which carries the certificate's file",
		Long: `Make the PDF of a certificate of erasure, offline. The same certificate makes the same PDF, and the PDF carries the file, so
that whoever gets it can verify it. A certificate that does not fit its proof is refused with status 1; lethe verify also
checks the ledger's signature.`,
		Args: cli.Files(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return &cli.ExitError{Code: 2, Err: errors.New("name a file with --output")}
			}
			text, err := cli.ReadFile(args[0])
			if err != nil {
				return &cli.ExitError{Code: 2, Err: err}
			}
			var refused error
			err = cli.WriteWhole(output, func(to io.Writer) error {
				refused = render.PDF(text, to)
				return refused
			})
			switch {
			case refused != nil:
				return &cli.ExitError{Code: 1, Err: fmt.Errorf("%s: %w", args[0], refused)}
			case err != nil:
				return &cli.ExitError{Code: 2, Err: err}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file of the PDF")
	return cli.Usage(cmd)
}
