package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/verify"
)

const verifyExit = `The exit status is 0 if it was verified, 1 if it was refused, and 2 if it could not be checked: wrong flags, or a file that
cannot be read.`

// verifyFlags are what all verifications need.
type verifyFlags struct {
	keys, chain        string
	earlier            []string
	ledger, checkpoint string
	output             string
}

func (f *verifyFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.keys, "key", "", "file with the ledger's public key, as the ConfigMap lethe-ledger-key shows it; several keys on a line each")
	flags.StringVar(&f.chain, "key-chain", "", "file with the statements of the ledger's keys on which follows which, as the ConfigMap shows them; with it any key of the chain is enough, a former or a later one")
	flags.StringVarP(&f.output, "output", "o", "text", "text or json")
}

func (f *verifyFlags) registerLedger(flags *pflag.FlagSet) {
	flags.StringVar(&f.ledger, "ledger", "", "whole ledger, as lethe ledger export writes it")
	flags.StringVar(&f.checkpoint, "checkpoint", "", "checkpoint of the whole ledger; default: the ledger's file with the suffix .checkpoint")
}

func (f *verifyFlags) registerEarlier(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.earlier, "earlier", nil, "checkpoint that was kept elsewhere, or a certificate or proof with one; may be repeated")
}

// NewVerifyCommand makes the command verify of a program, for example lethe.
func NewVerifyCommand(program string) *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify CERTIFICATE --key FILE",
		Short: "Verify certificates of erasure, exports and ledgers, offline, from the public key alone",
		Long: `Verify a certificate of erasure: that the ledger recorded exactly this certificate. It needs no cluster and no network.
With --ledger the whole ledger is verified too, and what it says of the request is compared.

` + verifyExit,
		Example: strings.ReplaceAll(`  lethe verify erase-now.json --key lethe.vkey
  lethe verify erase-now.json --key lethe.vkey --ledger recruiting.jsonl --earlier kept-in-january.checkpoint
  lethe verify export deletions.pdf --proof deletions.proof.json --key lethe.vkey
  lethe verify ledger recruiting.jsonl --key lethe.vkey --earlier kept-in-january.checkpoint
  lethe verify consistency kept-in-january.checkpoint recruiting.consistency --key lethe.vkey`, "  lethe ", "  "+program+" "),
		Args: Files(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(in *verifyInput) (*verify.Report, error) {
				return verify.Certificate(in.keys, in.read(args[0]), in.log(f.ledger), in.earlier)
			})
		},
	}
	f.register(cmd.Flags())
	f.registerLedger(cmd.Flags())
	f.registerEarlier(cmd.Flags())
	cmd.AddCommand(newVerifyExportCommand(), newVerifyLedgerCommand(), newVerifyConsistencyCommand())
	return Usage(cmd)
}

func newVerifyExportCommand() *cobra.Command {
	f := &verifyFlags{}
	var proof string
	cmd := &cobra.Command{
		Use:   "export FILE --proof PROOF --key FILE",
		Short: "Verify a compliance export: that the ledger recorded exactly this file",
		Long: `Verify the file of a compliance export against its proof, which status.proof of the ComplianceExport holds. It needs no cluster
and no network. With --ledger the whole ledger is verified too, and that it was in the state that the file shows.

` + verifyExit,
		Args: Files(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(in *verifyInput) (*verify.Report, error) {
				path := proof
				if path == "" {
					path = args[0] + ".proof.json"
				}
				text, log := in.read(path), in.log(f.ledger)
				file, err := os.Open(args[0])
				if err != nil {
					return nil, fmt.Errorf("%s cannot be read: %w", args[0], Cause(err))
				}
				in.open = append(in.open, file)
				if in.err != nil {
					return nil, in.err
				}
				return verify.Export(in.keys, file, text, log, in.earlier)
			})
		},
	}
	f.register(cmd.Flags())
	f.registerLedger(cmd.Flags())
	f.registerEarlier(cmd.Flags())
	cmd.Flags().StringVar(&proof, "proof", "", "proof of the export; default: the export's file with the suffix .proof.json")
	return Usage(cmd)
}

func newVerifyLedgerCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "ledger LEDGER --key FILE",
		Short: "Verify a whole exported ledger against its checkpoint and earlier ones",
		Long: `Verify all entries of an exported ledger against its checkpoint, and against checkpoints that were kept elsewhere. What
does not hold is named with the entries between which it is.

` + verifyExit,
		Args: Files(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(in *verifyInput) (*verify.Report, error) {
				log := in.log(args[0])
				if in.err != nil {
					return nil, in.err
				}
				return verify.Ledger(in.keys, *log, in.earlier)
			})
		},
	}
	f.register(cmd.Flags())
	f.registerEarlier(cmd.Flags())
	cmd.Flags().StringVar(&f.checkpoint, "checkpoint", "", "checkpoint of the ledger; default: the ledger's file with the suffix .checkpoint")
	return Usage(cmd)
}

func newVerifyConsistencyCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "consistency OLDER [PROOF] --key FILE",
		Short: "Verify that a newer checkpoint continues an older one, by a proof or by the whole ledger",
		Long: `Verify that a ledger continues a checkpoint that was kept: by a consistency proof, which holds the newer checkpoint, or by
the whole ledger with its checkpoint.

` + verifyExit,
		Args: Files(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, func(in *verifyInput) (*verify.Report, error) {
				if (len(args) == 2) == (f.ledger != "") {
					return nil, errors.New("give either a consistency proof or --ledger")
				}
				older := in.read(args[0])
				if f.ledger != "" {
					return verify.Consistency(in.keys, older, nil, in.log(f.ledger))
				}
				return consistencyByProof(in, older, args[1])
			})
		},
	}
	f.register(cmd.Flags())
	f.registerLedger(cmd.Flags())
	return Usage(cmd)
}

func consistencyByProof(in *verifyInput, older []byte, file string) (*verify.Report, error) {
	text := in.read(file)
	if in.err != nil {
		return nil, in.err
	}
	proof, err := ledger.ParseConsistencyProof(text)
	if err != nil {
		return verify.Refused("Consistency", err), nil
	}
	return verify.Consistency(in.keys, older, &proof, nil)
}

// verifyInput reads files and keeps the first error, so that nothing is verified that was not read whole.
type verifyInput struct {
	keys       ledger.VerifierKeys
	earlier    [][]byte
	checkpoint string
	open       []*os.File
	err        error
}

func (in *verifyInput) read(path string) []byte {
	text, err := ReadFile(path)
	if err != nil {
		in.fail(err)
	}
	return text
}

func (in *verifyInput) fail(err error) {
	if in.err == nil {
		in.err = err
	}
}

// log opens a whole ledger; nil if none was given.
func (in *verifyInput) log(path string) *verify.Log {
	if path == "" {
		return nil
	}
	checkpoint := in.checkpoint
	if checkpoint == "" {
		checkpoint = CheckpointOf(path)
	}
	log := &verify.Log{Records: strings.NewReader(""), Checkpoint: in.read(checkpoint)}
	file, err := os.Open(path)
	if err != nil {
		in.fail(fmt.Errorf("%s cannot be read: %w", path, Cause(err)))
		return log
	}
	in.open = append(in.open, file)
	log.Records = file
	log.Rotations = ledger.RotationsIn(file)
	if _, err = file.Seek(0, io.SeekStart); err != nil {
		in.fail(fmt.Errorf("%s cannot be read twice: %w", path, Cause(err)))
	}
	return log
}

// CheckpointOf is where a ledger's checkpoint stands beside it.
func CheckpointOf(path string) string { return strings.TrimSuffix(path, ".jsonl") + ".checkpoint" }

func (f *verifyFlags) run(cmd *cobra.Command, check func(in *verifyInput) (*verify.Report, error)) error {
	if f.output != "text" && f.output != "json" {
		return &ExitError{Code: 2, Err: errors.New("--output must be text or json")}
	}
	in := &verifyInput{checkpoint: f.checkpoint}
	defer func() {
		for _, file := range in.open {
			_ = file.Close()
		}
	}()
	report, err := f.check(in, check)
	if err != nil {
		return &ExitError{Code: 2, Err: err}
	}
	if f.output == "json" {
		e := json.NewEncoder(cmd.OutOrStdout())
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		err = report.Text(cmd.OutOrStdout())
	}
	if err == nil && !report.Verified {
		err = &ExitError{Code: 1}
	}
	return err
}

func (f *verifyFlags) check(in *verifyInput, check func(in *verifyInput) (*verify.Report, error)) (*verify.Report, error) {
	if f.keys == "" {
		return nil, errors.New("name the file with the ledger's public key with --key; the operator shows it in the ConfigMap lethe-ledger-key of its namespace")
	}
	text := in.read(f.keys)
	if in.err != nil {
		return nil, in.err
	}
	var err error
	if in.keys, err = ledger.ParseVerifierKeys(string(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", f.keys, err)
	}
	if f.chain != "" {
		rotations, err := ledger.ParseRotations(in.read(f.chain))
		if err = errors.Join(in.err, err); err != nil {
			return nil, fmt.Errorf("--key-chain %s: %w", f.chain, err)
		}
		in.keys = in.keys.Extend(rotations...)
	}
	for _, path := range f.earlier {
		in.earlier = append(in.earlier, in.read(path))
	}
	report, err := check(in)
	return report, errors.Join(in.err, err)
}
