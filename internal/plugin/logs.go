package plugin

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

// maxEntry bounds one entry of the ledger as it is given out.
const maxEntry = 4 << 20

// logsFlags of kubectl lethe logs.
type logsFlags struct {
	endpoint       endpointFlags
	kinds, handles []string
	tail           int64
	follow         bool
	output         string
	next           uint64
}

func (s *session) newLogsCommand() *cobra.Command {
	f := &logsFlags{}
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Show the ledger of a namespace, and follow it",
		Long: `Show the entries of a namespace's ledger, the append-only log of what Lethe did and who decided it, and go on with -f as they come. It has
handles, counts, times, reasons and actors, and nothing that names a subject. Entries come from the operator's own endpoint; that you looked is
on record. What kubectl lethe export makes is signed and can be verified offline; what this shows is for looking.

It needs get on ledgerentries.privacy.lethe.dev in the namespace; who looked at what is shown only with get on accesslogs too.`,
		Example: `  kubectl lethe logs --tail 20 -f
  kubectl lethe logs --kind erasure. --handle 019ac3f2b1d27c0e -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			c, namespace, err := s.connect()
			if err != nil {
				return err
			}
			e, err := s.endpoint(cmd.Context(), c, namespace, &f.endpoint)
			if err != nil {
				return err
			}
			defer e.close()
			return f.show(cmd.Context(), e, namespace, s)
		},
	}
	f.endpoint.register(cmd)
	flags := cmd.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on with entries as they come")
	flags.Int64Var(&f.tail, "tail", -1, "only the newest so many entries; default: all")
	flags.StringArrayVar(&f.kinds, "kind", nil, "only entries of this kind, such as hold.placed; with a dot at the end all that begin so: hold.; may be repeated")
	flags.StringArrayVar(&f.handles, "handle", nil, "only entries of this request, by its handle (kubectl lethe status shows it); may be repeated")
	flags.StringVarP(&f.output, "output", "o", "", "json: an object on each line; default: a table")
	_ = cmd.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(ledger.Kinds(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f *logsFlags) check() error {
	if f.output != "" && f.output != "json" {
		return fmt.Errorf("--output %s: it is json, or not given for a table", f.output)
	}
	for _, k := range f.kinds {
		if !slices.ContainsFunc(ledger.Kinds(), func(kind string) bool { return projection.KindMatches(k, kind) }) {
			return fmt.Errorf("--kind %s: there is no such kind; there are: %s", k, strings.Join(ledger.Kinds(), ", "))
		}
	}
	if f.tail < -1 {
		return errors.New("--tail is not negative")
	}
	return nil
}

// show shows entries, and asks again where the operator ends an answer that is followed.
func (f *logsFlags) show(ctx context.Context, e *endpoint, namespace string, s *session) error {
	format := "table"
	if f.output == "json" {
		format = "json"
	}
	rows := cli.NewRows(s.Streams.Out, format, f.cells("INDEX", "TIME", "KIND", "HANDLE", "REASON", "ACTOR")...)
	query := url.Values{"kind": f.kinds, "handle": f.handles}
	if f.tail >= 0 {
		query.Set("tail", strconv.FormatInt(f.tail, 10))
	}
	if f.follow {
		query.Set("follow", "true")
	}
	for {
		resp, err := e.do(ctx, http.MethodGet, "/ledger/"+namespace, query, nil)
		if err != nil {
			return ended(ctx, err)
		}
		if resp.Header.Get("X-Lethe-Accesses") == "false" && query.Get("from") == "" {
			_, _ = fmt.Fprintln(s.Streams.ErrOut, "Entries on who looked at what are left out: they need get on accesslogs.privacy.lethe.dev.")
		}
		if from, err := strconv.ParseUint(resp.Header.Get("X-Lethe-From"), 10, 64); err == nil {
			f.next = max(f.next, from)
		}
		err = errors.Join(rows.Flush(), f.read(resp.Body, rows))
		_ = resp.Body.Close()
		if err = errors.Join(err, rows.Flush()); err != nil || !f.follow {
			return ended(ctx, err)
		}
		query.Del("tail")
		query.Set("from", strconv.FormatUint(f.next, 10))
		if err := wait.PollUntilContextTimeout(ctx, time.Second, 2*time.Second, false, func(context.Context) (bool, error) { return true, nil }); err != nil {
			return ended(ctx, err)
		}
	}
}

// followedWidths of columns: what comes later cannot make a column wider that was written before.
var followedWidths = []int{6, 20, 21, 36, 16, 0}

func (f *logsFlags) cells(cells ...string) []string {
	for i := range cells {
		if f.follow {
			cells[i] = fmt.Sprintf("%-*s", followedWidths[i], cmp.Or(cells[i], "-"))
		}
	}
	return cells
}

// ended leaves out that somebody has seen enough.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (f *logsFlags) read(body io.Reader, rows *cli.Rows) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxEntry)
	for lines.Scan() {
		var one struct {
			Index uint64          `json:"index"`
			Entry json.RawMessage `json:"entry"`
		}
		var entry ledger.Entry
		if json.Unmarshal(lines.Bytes(), &one) != nil || json.Unmarshal(one.Entry, &entry) != nil {
			return errors.New("an entry cannot be read; the operator may be of another version than this plugin")
		}
		f.next = one.Index + 1
		rows.Add(one, f.cells(strconv.FormatUint(one.Index, 10), cli.ClockTime(entry.Time), entry.Kind, entry.Handle, entry.Reason, entry.Actor)...)
		if !f.follow {
			continue
		}
		if err := rows.Flush(); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the answer broke off after entry %d: %w", f.next, err)
	}
	return nil
}
