package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/state"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
)

// newQueried is a ledger of 1,200 requests, five a day, of which every third is completed, and a hold.
func newQueried(t *testing.T) *proofs {
	t.Helper()
	p := &proofs{folder: t.TempDir(), signer: newSigner(t, proofLog, 1)}
	vault, err := vaultsqlite.Open(context.Background(), p.path("ledger.db"), ledgersqlite.Options{LogName: proofLog, Signer: p.signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vault.Close() }) // the operator runs meanwhile
	at, _ := time.Parse(time.RFC3339, proofTime)
	entries := []ledger.Entry{{Key: "hold", Time: at, Kind: ledger.KindHoldPlaced, Actor: "mallory\x1b[2J", Reason: "Litigation"}}
	for i := range 1200 {
		handle, at := fmt.Sprintf("h%d", i), at.Add(time.Duration(i)*24*time.Hour/5)
		entries = append(entries, ledger.Entry{Key: handle + "/received", Time: at, Kind: ledger.KindErasureReceived, Handle: handle, Reason: "Subject", Actor: fmt.Sprintf("user-%d", i%7),
			Attributes: map[string]string{ledger.AttributeDueAt: at.AddDate(0, 1, 0).Format(time.RFC3339)}})
		if i%3 == 0 {
			entries = append(entries, ledger.Entry{Key: handle + "/completed", Time: at.Add(time.Hour), Kind: ledger.KindErasureCompleted, Handle: handle,
				Counts: []ledger.Count{{Category: "notes", Action: "Delete", Count: 2}}})
		}
	}
	if _, err := vault.Ledger.Append(context.Background(), "hr", entries...); err != nil {
		t.Fatal(err)
	}
	// Whose a request is, is in the state store alone.
	err = vault.State.Update(context.Background(), func(tx state.Tx) error {
		for i := 3; i < 1200; i += 10 {
			r := &state.Request{UID: fmt.Sprint("uid-", i), Namespace: "hr", Name: fmt.Sprint("er-", i), Handle: fmt.Sprintf("h%d", i), SubjectPseudonym: "p1.k.3"}
			if err := tx.PutRequest(r); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLedgerQueryListsWhatMatches(t *testing.T) {
	p := newQueried(t)
	lines := func(args ...string) []string {
		t.Helper()
		out := p.run(t, 0, newLedgerCommand(), append([]string{"query", "--ledger-path", p.path("ledger.db"), "-n", "hr", "--index", p.path("kept.index")}, args...)...)
		return strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	}
	for _, c := range []struct {
		args string
		want int // lines, of tables without their head
	}{
		{"", 1601}, {"--limit 3", 3}, {"--kind hold.", 1}, {"--kind erasure.received --kind erasure.completed", 1600}, {"--kind erasure.received --limit 1100", 1100},
		{"--actor user-3", 171}, {"--subject p1.k.3", 160}, {"--subject p1.k.3 --subject unknown --handle h13 --handle h14", 1}, {"--subject unknown", 0}, {"--handle h3 --handle h4", 3}, {"--reason Litigation", 1}, {"--actor nobody", 0},
		{"--from 2026-03-02 --to 2026-03-03", 7}, {"--from 2026-03-01T12:00:00Z --to 2026-03-01T12:00:01Z", 2}, {"--to 2026-03-01", 0}, {"--after 1600", 0}, {"--after 1598", 2},
		{"--of requests", 1200}, {"--of requests --status Completed", 400}, {"--of requests --status Completed --status Pending --subject p1.k.3", 120},
		{"--of requests --category notes --actor user-0", 58}, {"--of requests --source Subject --from 2026-03-02 --to 2026-03-03", 5}, {"--of requests --source Admin", 0},
	} {
		args := strings.Fields(c.args)
		if got := len(lines(args...)) - 1; got != c.want {
			t.Errorf("%s: a table of %d, want %d", c.args, got, c.want)
		}
		objects := lines(append(args, "-o", "json")...)
		if c.want == 0 && (len(objects) != 1 || objects[0] != "") || c.want > 0 && len(objects) != c.want {
			t.Errorf("%s: %d objects, want %d", c.args, len(objects), c.want)
		}
		for _, o := range objects {
			if c.want > 0 && !json.Valid([]byte(o)) {
				t.Errorf("%s: %s is not JSON", c.args, o)
			}
		}
	}
	if hold := lines("--kind", "hold.placed")[1]; strings.ContainsRune(hold, '\x1b') || !strings.Contains(hold, "mallory") {
		t.Errorf("%q", hold)
	}
	request := lines("--of", "requests", "--handle", "h3", "-o", "json")[0]
	if want := `{"index":5,"handle":"h3","status":"Completed","source":"Subject","actor":"user-3","receivedAt":"2026-03-02T02:24:00Z",` +
		`"dueAt":"2026-04-02T02:24:00Z","finishedAt":"2026-03-02T03:24:00Z","counts":[{"category":"notes","action":"Delete","count":2}]}`; request != want {
		t.Errorf("%s", request)
	}
}

func TestLedgerStatsCount(t *testing.T) {
	p := newQueried(t)
	where := []string{"stats", "--ledger-path", p.path("ledger.db"), "-n", "hr"}
	out := p.run(t, 0, newLedgerCommand(), append(where, "--to", "2026-03-03")...)
	for _, want := range []string{"Total                    8", "Completed                3", "Mean time to completion  1h0m0s", "2026-03-01  3         1          0          0", "2026-03-02  5         2"} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in\n%s", want, out)
		}
	}
	out = p.run(t, 0, newLedgerCommand(), append(where, "-o", "json")...)
	var s struct {
		Total, Pending, Completed, Overdue, MeanSecondsToCompletion int64
		Days                                                        []any
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Total != 1200 || s.Pending != 800 || s.Completed != 400 || s.MeanSecondsToCompletion != 3600 || len(s.Days) != 241 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestLedgerQuestionsThatCannotBeAsked(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	p := newQueried(t)
	copied := p.write(t, "copy.db", p.read(t, "ledger.db"))
	for args, want := range map[string]string{
		"query --kind erasure.recieved":                 "there is no such kind; there are: erasure.received",
		"query --of requests --status Processed":        "--status Processed: it is one of Pending, Completed",
		"query --status Completed":                      "--status, --source and --category are for --of requests",
		"query --of requests --kind hold.":              "--kind is for --of entries",
		"query --of everything":                         "it is entries or requests",
		"query --from 2026-03-02 --to 2026-03-01":       "--from 2026-03-02 is not before --to 2026-03-01",
		"stats --from 2026-03-01 --to 2026-03-01":       "empty or reversed",
		"stats --from yesterday":                        "--from yesterday: it is neither a day",
		"stats -o yaml":                                 "--format yaml: it is table or json",
		"query --limit -1":                              "--limit is not negative",
		"query --colour red":                            "unknown flag: --colour",
		"stats --namespace it":                          "there is no ledger of it in",
		"stats --index " + p.path("ledger.db"):          "in use by another process",
		"stats --index " + copied:                       "another kind of database",
		"query --index " + p.path("no/such\x00/folder"): "not available",
	} {
		out, code := execute(t, newLedgerCommand(), append(strings.Fields(args), "--ledger-path", p.path("ledger.db"), "-n", "hr")...)
		if strings.Contains(args, "--namespace") {
			out, code = execute(t, newLedgerCommand(), append(strings.Fields(args), "--ledger-path", p.path("ledger.db"))...)
		}
		if code != 2 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, want %q in:\n%s", args, code, want, out)
		}
	}
	p.run(t, 0, newLedgerCommand(), "stats", "--ledger-path", p.path("ledger.db"), "-n", "hr") // it is as it was
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Error("something temporary is left:", left, err)
	}
}
