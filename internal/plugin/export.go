package plugin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/cli"
)

// exportFlags of kubectl lethe export.
type exportFlags struct {
	endpoint                  endpointFlags
	log, format, from, to     string
	statuses, sources, actors []string
	retention, file           string
	noDownload, force         bool
	timeout                   time.Duration
}

func logNames() []string {
	return []string{string(v1alpha1.LogDeletions), string(v1alpha1.LogAudit), string(v1alpha1.LogAccess), string(v1alpha1.LogExports), string(v1alpha1.LogCertificates)}
}

func formatNames() []string {
	return []string{string(v1alpha1.FormatCSV), string(v1alpha1.FormatJSON), string(v1alpha1.FormatPDF)}
}

func (s *session) newExportCommand() *cobra.Command {
	f := &exportFlags{}
	cmd := &cobra.Command{
		Use:   "export [NAME]",
		Short: "Export a log of the ledger to a file that verifies offline",
		Long: `Export a log of the ledger: it makes a ComplianceExport, waits for it, downloads the file from the operator's own endpoint, and checks its digest.
The proof is put beside it (FILE.proof.json), with which kubectl lethe verify export verifies the file offline. With the name of an export that is
there already it downloads that one.

It needs create on complianceexports and get on complianceexports/download; for the log Access get on accesslogs too.`,
		Example: `  kubectl lethe export --log Deletions --format PDF --from 2026-01-01 --to 2026-04-01
  kubectl lethe export deletions-2026-q1 --file q1.pdf
  kubectl lethe export --log Access --endpoint https://localhost:8443 --service-account privacy-officer`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			return s.export(cmd.Context(), f, name)
		},
		ValidArgsFunction: s.completeNames(&v1alpha1.ComplianceExportList{}, false, nil),
	}
	f.endpoint.register(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.log, "log", "", "log of a new export: "+strings.Join(logNames(), ", "))
	flags.StringVar(&f.format, "format", string(v1alpha1.FormatCSV), "its format: "+strings.Join(formatNames(), ", "))
	flags.StringVar(&f.from, "from", "", "first day (2026-01-01) or moment (RFC 3339) of its period")
	flags.StringVar(&f.to, "to", "", "first day or moment that is not in the period any more")
	flags.StringSliceVar(&f.statuses, "status", nil, "only records with these statuses, for example Completed,Failed")
	flags.StringSliceVar(&f.sources, "source", nil, "only deletions from these sources, for example Subject,Retention")
	flags.StringSliceVar(&f.actors, "actor", nil, "only records of these actors")
	flags.StringVar(&f.retention, "archive-retention", "", "how long the operator keeps the file, P30D to P180D; default: as the policy says")
	flags.StringVar(&f.file, "file", "", "file to write; default: NAMESPACE-NAME and the format")
	flags.BoolVar(&f.noDownload, "no-download", false, "make it and wait for it, and download nothing")
	flags.BoolVar(&f.force, "force", false, "write over a file that is there")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Minute, "how long to wait at most")
	_ = cmd.RegisterFlagCompletionFunc("log", cobra.FixedCompletions(logNames(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formatNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// spec of a new export.
func (f *exportFlags) spec() (v1alpha1.ComplianceExportSpec, error) {
	spec := v1alpha1.ComplianceExportSpec{Log: v1alpha1.ExportLog(f.log), Format: v1alpha1.ExportFormat(f.format), ArchiveRetention: f.retention}
	if !slices.Contains(logNames(), f.log) {
		return spec, fmt.Errorf("--log %s: it is one of %s", f.log, strings.Join(logNames(), ", "))
	}
	if !slices.Contains(formatNames(), f.format) {
		return spec, fmt.Errorf("--format %s: it is one of %s", f.format, strings.Join(formatNames(), ", "))
	}
	for _, side := range []struct {
		flag, text string
		to         **metav1.Time
	}{{"from", f.from, &spec.Period.From}, {"to", f.to, &spec.Period.To}} {
		t, err := cli.Moment(side.flag, side.text)
		if err != nil {
			return spec, err
		}
		if !t.IsZero() {
			*side.to = &metav1.Time{Time: t}
		}
	}
	if p := spec.Period; p.From != nil && p.To != nil && !p.From.Before(p.To) {
		return spec, fmt.Errorf("--from %s is not before --to %s: the period is empty or reversed", f.from, f.to)
	}
	for _, word := range f.statuses {
		spec.Filters.Statuses = append(spec.Filters.Statuses, v1alpha1.ExportStatusWord(word))
	}
	for _, source := range f.sources {
		spec.Filters.Sources = append(spec.Filters.Sources, v1alpha1.Source(source))
	}
	spec.Filters.Actors = f.actors
	return spec, nil
}

func (s *session) export(ctx context.Context, f *exportFlags, name string) error {
	c, namespace, err := s.connect()
	if err != nil {
		return err
	}
	x := &v1alpha1.ComplianceExport{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}}
	if f.log != "" {
		if x.Spec, err = f.spec(); err != nil {
			return err
		}
		if name == "" {
			x.Name = strings.ToLower(f.log) + "-" + rand.String(8)
		}
	} else if name == "" {
		return errors.New("name an export that is there, or the log of a new one with --log")
	}
	var e *endpoint
	if !f.noDownload { // before something is made that could not be fetched
		if e, err = s.endpoint(ctx, c, namespace, &f.endpoint); err != nil {
			return err
		}
		defer e.close()
	}
	if f.log != "" {
		if err := c.Create(ctx, x); err != nil {
			return s.helpful(err, namespace)
		}
		_, _ = fmt.Fprintf(s.Streams.ErrOut, "complianceexport/%s created\n", x.Name)
	}
	if err := s.awaitExport(ctx, c, x, f.timeout); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(s.Streams.Out, "%s: %d records of the log %s, %d bytes, sha256 %s, kept until %s\n", x.Name, x.Status.Records, x.Spec.Log, x.Status.Size,
		x.Status.SHA256, instant(x.Status.ExpiresAt))
	switch {
	case f.noDownload:
		return nil
	case x.Spec.Destination != nil:
		_, err := fmt.Fprintf(s.Streams.Out, "The file is in DataStore %s: %s\n", x.Spec.Destination.DataStoreRef.Name, x.Status.Location)
		return err
	}
	return s.download(ctx, e, x, f)
}

func (s *session) awaitExport(ctx context.Context, c client.Client, x *v1alpha1.ComplianceExport, timeout time.Duration) error {
	p := &progress{s: s}
	err := poll(ctx, timeout, func(ctx context.Context) (bool, error) {
		if err := c.Get(ctx, client.ObjectKeyFromObject(x), x); err != nil {
			return false, s.helpful(err, x.Namespace)
		}
		stage := ready(x.Status.Conditions)
		switch x.Status.Phase {
		case v1alpha1.ExportCompleted:
			return true, nil
		case v1alpha1.ExportFailed:
			return false, fmt.Errorf("the export %s has failed: %s: %s", x.Name, stage.Reason, stage.Message)
		}
		p.tell("%s: %d %% %s", x.Name, x.Status.Progress, stage.Message)
		return false, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the export %s is not complete within %s; kubectl lethe export %s goes on with it", x.Name, timeout, x.Name)
	}
	return err
}

// download writes file and proof. Neither is there in part, and a file with another digest than the status says is not there at all.
func (s *session) download(ctx context.Context, e *endpoint, x *v1alpha1.ComplianceExport, f *exportFlags) error {
	file := f.file
	if file == "" {
		file = x.Namespace + "-" + x.Name + "." + strings.ToLower(string(x.Spec.Format))
	}
	proof := file + ".proof.json"
	for _, path := range []string{file, proof} {
		if _, err := os.Lstat(path); err == nil && !f.force {
			return fmt.Errorf("%s is there already; name another one with --file, or write over it with --force", path)
		}
	}
	resp, err := e.do(ctx, http.MethodGet, x.Status.Location, nil, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	sum := sha256.New()
	err = cli.WriteWhole(file, func(to io.Writer) error {
		if _, err := io.Copy(io.MultiWriter(to, sum), resp.Body); err != nil {
			return fmt.Errorf("the download broke off: %w", err)
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != x.Status.SHA256 {
			return fmt.Errorf("the file that came has the sha256 %s, and the export's status says %s: it is not the export", got, x.Status.SHA256)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := cli.WriteWhole(proof, func(to io.Writer) error {
		_, err := io.WriteString(to, x.Status.Proof)
		return err
	}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Streams.Out, "%s\n%s: its proof\nVerify them offline: kubectl lethe verify export %s --proof %s --key FILE\n", file, proof, file, proof)
	return err
}
