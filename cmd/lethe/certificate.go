package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/internal/certificate/render"
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
		Args: files(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" {
				return &exitError{code: 2, err: errors.New("name a file with --output")}
			}
			in := &verifyInput{}
			text := in.read(args[0])
			if in.err != nil {
				return &exitError{code: 2, err: in.err}
			}
			var refused error
			err := writeWhole(output, func(to io.Writer) error {
				refused = render.PDF(text, to)
				return refused
			})
			switch {
			case refused != nil:
				return &exitError{code: 1, err: fmt.Errorf("%s: %w", args[0], refused)}
			case err != nil:
				return &exitError{code: 2, err: err}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file of the PDF")
	return usage(cmd)
}
