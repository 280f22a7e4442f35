package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
)

// ledgerFlags say which ledger a command reads.
type ledgerFlags struct {
	path, urlFile, namespace, output, earlier string
}

// ledgerSource reads a ledger as it is, damaged or not, whoever has it open.
type ledgerSource interface {
	Origins(ctx context.Context) ([]string, error)
	Checkpoint(ctx context.Context, namespace string) ([]byte, error)
	Leaves(ctx context.Context, namespace string, size uint64) iter.Seq2[[]byte, error]
	Entries(ctx context.Context, namespace string, from uint64, limit int) ([]ledger.Record, error)
	// HandlesOf are those of the requests of subjects, by their pseudonyms, as far as the state store still links them.
	HandlesOf(ctx context.Context, namespace string, pseudonyms []string) ([]string, error)
	ConsistencyProof(ctx context.Context, namespace string, older, newer uint64) ([][]byte, error)
	Close() error
}

func (f *ledgerFlags) source(ctx context.Context) (source ledgerSource, name string, err error) {
	switch {
	case f.urlFile != "" && f.path != "":
		return nil, "", errors.New("name the ledger by --ledger-path or by --ledger-url-file, not by both")
	case f.urlFile != "":
		source, err = ledgerpostgresql.OpenReader(ctx, wiring.URLFile(f.urlFile))
		return source, "the database of " + f.urlFile, err
	}
	path := cmp.Or(f.path, defaultLedgerPath)
	source, err = ledgersqlite.OpenFile(ctx, path)
	return source, path, err
}

func newLedgerCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ledger", Short: "Export the ledger for those who verify it, and ask what is in it", Args: cobra.NoArgs}
	cmd.AddCommand(newLedgerExportCommand(), newLedgerCheckpointCommand(), newLedgerConsistencyCommand(), newLedgerKeyCommand(),
		newLedgerQueryCommand(), newLedgerStatsCommand())
	return cmd
}

func (f *ledgerFlags) register(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&f.path, "ledger-path", "", "file of the ledger, of an operator that is stopped or running, or a copy; it is not changed. Default "+defaultLedgerPath)
	cmd.Flags().StringVar(&f.urlFile, "ledger-url-file", "", "file with the postgres:// URL of a ledger in PostgreSQL, which a role that may only read is enough for")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "namespace whose ledger it is")
	return cli.Usage(cmd)
}

func newLedgerExportCommand() *cobra.Command {
	f := &ledgerFlags{}
	cmd := &cobra.Command{
		Use:   "export --namespace NAMESPACE --output FILE.jsonl",
		Short: "Write all entries of a ledger, and its checkpoint beside them",
		Long: `Write all entries of a namespace's ledger, one on a line, in the canonical text that the tree hashes, and the signed
checkpoint beside them in FILE.checkpoint. The entries are written as they are: lethe verify ledger tells whether they hold.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.output == "" {
				return &cli.ExitError{Code: 2, Err: errors.New("name a file with --output")}
			}
			return f.open(cmd.Context(), func(file ledgerSource, checkpoint ledger.SignedCheckpoint) error {
				if err := f.export(cmd.Context(), file, checkpoint); err != nil {
					return err
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: %d entries of %s\n%s: its checkpoint\n", f.output, checkpoint.Size, checkpoint.OriginLine, cli.CheckpointOf(f.output))
				return err
			})
		},
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "", "file of the entries")
	return f.register(cmd)
}

func newLedgerCheckpointCommand() *cobra.Command {
	f := &ledgerFlags{}
	return f.register(&cobra.Command{
		Use:   "checkpoint --namespace NAMESPACE",
		Short: "Print the newest signed checkpoint, to be kept elsewhere",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.open(cmd.Context(), func(_ ledgerSource, checkpoint ledger.SignedCheckpoint) error {
				_, err := cmd.OutOrStdout().Write(checkpoint.Note)
				return err
			})
		},
	})
}

func newLedgerConsistencyCommand() *cobra.Command {
	f := &ledgerFlags{}
	cmd := &cobra.Command{
		Use:   "consistency --namespace NAMESPACE --earlier CHECKPOINT",
		Short: "Print a proof that the ledger continues a checkpoint that was kept, with the newest checkpoint",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.open(cmd.Context(), func(file ledgerSource, checkpoint ledger.SignedCheckpoint) error {
				proof, err := f.prove(cmd.Context(), file, checkpoint)
				if err == nil {
					_, err = cmd.OutOrStdout().Write(proof)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&f.earlier, "earlier", "", "checkpoint that was kept")
	return f.register(cmd)
}

func newLedgerKeyCommand() *cobra.Command {
	var keys, namespace string
	cmd := &cobra.Command{
		Use:   "key --namespace NAMESPACE --key FILE",
		Short: "Print the public key under the name of a namespace's ledger, for tools that know no other",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := os.ReadFile(keys)
			if err != nil {
				return &cli.ExitError{Code: 2, Err: fmt.Errorf("--key: the file cannot be read: %w", cli.Cause(err))}
			}
			list, err := ledger.ParseVerifierKeys(string(text))
			if err == nil {
				err = ledger.CheckOrigin(namespace)
			}
			if err != nil {
				return &cli.ExitError{Code: 2, Err: err}
			}
			for _, k := range list {
				text, err := k.Text(ledger.OriginLine(k.Name, namespace))
				if err != nil {
					return &cli.ExitError{Code: 2, Err: err}
				}
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), text); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&keys, "key", "", "file with the ledger's public key")
	cmd.Flags().StringVarP(&namespace, "namespace", "n", "", "namespace whose ledger it is")
	return cli.Usage(cmd)
}

// open opens the ledger and finds the namespace's newest checkpoint. All that can go wrong ends with status 2: nothing is verified here.
func (f *ledgerFlags) open(ctx context.Context, use func(ledgerSource, ledger.SignedCheckpoint) error) error {
	file, name, err := f.source(ctx)
	if err != nil {
		return &cli.ExitError{Code: 2, Err: err}
	}
	defer func() { _ = file.Close() }()
	origins, err := file.Origins(ctx)
	if err != nil {
		return &cli.ExitError{Code: 2, Err: err}
	}
	text, err := file.Checkpoint(ctx, f.namespace)
	if errors.Is(err, ledger.ErrNotFound) {
		err = fmt.Errorf("--namespace %s: there is no ledger of it in %s; there are: %s", f.namespace, name, strings.Join(origins, ", "))
	}
	var checkpoint ledger.SignedCheckpoint
	if err == nil {
		checkpoint, err = ledger.ReadCheckpoint(text)
	}
	if err == nil {
		err = use(file, checkpoint)
	}
	if err != nil {
		return &cli.ExitError{Code: 2, Err: err}
	}
	return nil
}

func (f *ledgerFlags) export(ctx context.Context, file ledgerSource, checkpoint ledger.SignedCheckpoint) error {
	err := cli.WriteWhole(f.output, func(to io.Writer) error {
		for leaf, err := range file.Leaves(ctx, f.namespace, checkpoint.Size) {
			if err != nil {
				return err
			}
			if _, err := to.Write(append(leaf, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return cli.WriteWhole(cli.CheckpointOf(f.output), func(to io.Writer) error {
		_, err := to.Write(checkpoint.Note)
		return err
	})
}

func (f *ledgerFlags) prove(ctx context.Context, file ledgerSource, newest ledger.SignedCheckpoint) ([]byte, error) {
	text, err := os.ReadFile(f.earlier)
	if err != nil {
		return nil, fmt.Errorf("--earlier: the file cannot be read: %w", cli.Cause(err))
	}
	earlier, err := ledger.ReadCheckpoint(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("--earlier: %w", err)
	case earlier.OriginLine != newest.OriginLine:
		return nil, fmt.Errorf("--earlier: the checkpoint is of %s, this ledger is %s", earlier.OriginLine, newest.OriginLine)
	case earlier.Size > newest.Size:
		return nil, fmt.Errorf("--earlier: the checkpoint covers %d entries, this ledger has %d: it was cut short, or is an older copy", earlier.Size, newest.Size)
	}
	hashes, err := file.ConsistencyProof(ctx, f.namespace, earlier.Size, newest.Size)
	if err != nil {
		return nil, err
	}
	return ledger.ConsistencyProof{OldSize: earlier.Size, Hashes: hashes, Checkpoint: newest.Note}.Marshal(), nil
}
