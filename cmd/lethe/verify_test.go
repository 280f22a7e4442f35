package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/export"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	"github.com/lethe-dev/lethe/internal/state"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
	"github.com/lethe-dev/lethe/internal/verify"
)

const (
	proofLog  = "lethe.dev/4d1f"
	proofTime = "2026-03-01T12:00:00Z"
)

// proofs is a folder with what an auditor gets.
type proofs struct {
	folder string
	vault  *vaultsqlite.Vault
	signer *ledger.Signer
}

func newSigner(t rapid.TB, logName string, seed byte) *ledger.Signer {
	t.Helper()
	signer, err := ledger.NewSigner(logName, bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (p *proofs) path(name string) string { return filepath.Join(p.folder, name) }

func (p *proofs) read(t rapid.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (p *proofs) write(t rapid.TB, name string, text []byte) string {
	t.Helper()
	if err := os.WriteFile(p.path(name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return p.path(name)
}

// append adds entries to the ledger of hr.
func (p *proofs) append(t rapid.TB, from, n int) {
	t.Helper()
	at, _ := time.Parse(time.RFC3339, proofTime)
	err := p.vault.State.Update(context.Background(), func(tx state.Tx) error {
		for i := from; i < from+n; i++ {
			if _, err := tx.Append("hr", ledger.Entry{Key: fmt.Sprintf("h%d/received", i), Time: at.Add(time.Duration(i) * time.Second), Kind: ledger.KindErasureReceived,
				Handle: fmt.Sprintf("h%d", i), Reason: "Subject"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// certify records the end of a request and writes its certificate's file.
func (p *proofs) certify(t rapid.TB, handle string, number int64, file string) {
	t.Helper()
	ctx := context.Background()
	at, _ := time.Parse(time.RFC3339, proofTime)
	body := &certificate.Body{Number: number, IssuedAt: at, Ledger: p.signer.Name() + "/hr", Namespace: "hr", Result: certificate.ResultErased,
		Request: certificate.Request{UID: "uid-" + handle, Handle: handle, Source: "Subject", Timing: "Immediate"}, DueAt: at.AddDate(0, 1, 0),
		Timeline:     []certificate.Event{{Event: certificate.EventReceived, At: at}},
		Categories:   []v1alpha1.CategoryCount{{Category: "Кандидаты", Deleted: 12, Files: 7}, {Category: "Μητρώο", Anonymized: 1}},
		Verification: certificate.Verification{Method: certificate.MethodRequery, Result: certificate.VerifiedNothingLeft, At: at, PlanDigest: "abc"},
		Actors:       []certificate.Actor{{Role: certificate.RoleRequester, Known: certificate.ActorUnknown}}}
	canonical, err := body.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	completed := ledger.Entry{Key: handle + "/run/completed", Time: at, Kind: ledger.KindErasureCompleted, Handle: handle, Attributes: map[string]string{"planDigest": "abc"}}
	entry := certificate.Entry(body, canonical, "run")
	entry.Time = at
	if err := p.vault.State.Update(ctx, func(tx state.Tx) error { _, err := tx.Append("hr", completed, entry); return err }); err != nil {
		t.Fatal(err)
	}
	record, err := p.vault.Ledger.Find(ctx, "hr", entry.Key)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := p.vault.Ledger.Checkpoint(ctx, "hr")
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := p.vault.Ledger.InclusionProof(ctx, "hr", record.Index, checkpoint.Size)
	if err != nil {
		t.Fatal(err)
	}
	text, err := certificate.Assemble(canonical, record, hashes, checkpoint.Note)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, file, text)
}

// export records an export of the state of the log and writes its file and its proof.
func (p *proofs) export(t rapid.TB, file string) {
	t.Helper()
	ctx := context.Background()
	before, err := p.vault.Ledger.Checkpoint(ctx, "hr")
	if err != nil {
		t.Fatal(err)
	}
	at, _ := time.Parse(time.RFC3339, proofTime)
	text := []byte("request\n" + file + "\n")
	sum := sha256.Sum256(text)
	entry := ledger.Entry{Key: export.Key(file, "completed"), Time: at, Kind: ledger.KindExportCompleted, Attributes: map[string]string{
		export.AttributeSHA256: export.Hex(sum[:]), export.AttributeSize: fmt.Sprint(len(text)),
		export.AttributeCheckpointSize: fmt.Sprint(before.Size), export.AttributeCheckpointRoot: export.Hex(before.Root)}}
	if err := p.vault.State.Update(ctx, func(tx state.Tx) error { _, err := tx.Append("hr", entry); return err }); err != nil {
		t.Fatal(err)
	}
	record, err := p.vault.Ledger.Find(ctx, "hr", entry.Key)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := p.vault.Ledger.Checkpoint(ctx, "hr")
	if err != nil {
		t.Fatal(err)
	}
	hashes, err := p.vault.Ledger.InclusionProof(ctx, "hr", record.Index, checkpoint.Size)
	if err != nil {
		t.Fatal(err)
	}
	proof, err := export.Assemble(checkpoint.OriginLine, record, hashes, checkpoint.Note)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, file, text)
	p.write(t, file+".proof.json", proof)
}

func emptyProofs(t testing.TB, signer *ledger.Signer) *proofs {
	t.Helper()
	p := &proofs{folder: t.TempDir(), signer: signer}
	var err error
	p.vault, err = vaultsqlite.Open(context.Background(), p.path("ledger.db"), ledgersqlite.Options{LogName: signer.Name(), Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.vault.Close() })
	p.write(t, "key", []byte(signer.VerifierKey()+"\n"))
	return p
}

// newProofs has ten requests, one certificate, a checkpoint that was kept after five, and the exported ledger; the operator
// still has the file open.
func newProofs(t *testing.T) *proofs {
	t.Helper()
	p := emptyProofs(t, newSigner(t, proofLog, 1))
	p.append(t, 0, 5)
	p.write(t, "kept", []byte(p.run(t, 0, newLedgerCommand(), "checkpoint", "--ledger-path", p.path("ledger.db"), "-n", "hr")))
	p.append(t, 5, 3)
	p.certify(t, "h3", 1, "certificate.json")
	p.append(t, 8, 2)
	p.run(t, 0, newLedgerCommand(), "export", "--ledger-path", p.path("ledger.db"), "-n", "hr", "-o", p.path("hr.jsonl"))
	proof := p.run(t, 0, newLedgerCommand(), "consistency", "--ledger-path", p.path("ledger.db"), "-n", "hr", "--earlier", p.path("kept"))
	p.write(t, "proof", []byte(proof))
	return p
}

// run runs a command that must end with a status.
func (p *proofs) run(t rapid.TB, want int, cmd *cobra.Command, args ...string) string {
	t.Helper()
	out, code := execute(t, cmd, args...)
	if code != want {
		t.Fatalf("%v: status %d, want %d:\n%s", args, code, want, out)
	}
	return out
}

func TestVerifyAcceptsTheHonest(t *testing.T) {
	p := newProofs(t)
	for name, args := range map[string][]string{
		"certificate":                  {p.path("certificate.json")},
		"certificate and ledger":       {p.path("certificate.json"), "--ledger", p.path("hr.jsonl"), "--earlier", p.path("kept")},
		"certificate with its own":     {p.path("certificate.json"), "--earlier", p.path("certificate.json")},
		"ledger":                       {"ledger", p.path("hr.jsonl")},
		"ledger and kept":              {"ledger", p.path("hr.jsonl"), "--earlier", p.path("certificate.json"), "--earlier", p.path("kept"), "--earlier", p.path("proof")},
		"consistency by proof":         {"consistency", p.path("kept"), p.path("proof")},
		"consistency of a certificate": {"consistency", p.path("certificate.json"), "--ledger", p.path("hr.jsonl")},
	} {
		t.Run(name, func(t *testing.T) {
			out := p.run(t, 0, cli.NewVerifyCommand("lethe"), append(args, "--key", p.path("key"))...)
			if !strings.Contains(out, ": VERIFIED\n") {
				t.Errorf("the report does not say so:\n%s", out)
			}
			var report verify.Report
			if err := json.Unmarshal([]byte(p.run(t, 0, cli.NewVerifyCommand("lethe"), append(args, "--key", p.path("key"), "-o", "json")...)), &report); err != nil || !report.Verified {
				t.Errorf("%v %+v", err, report)
			}
		})
	}
	out := p.run(t, 0, cli.NewVerifyCommand("lethe"), p.path("certificate.json"), "--key", p.path("key"))
	for _, want := range []string{"Кандидаты: 12 deleted, 7 files removed", "handle h3", "number 1", "Without an earlier checkpoint", "as its entry 9"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q:\n%s", want, out)
		}
	}
	p.certify(t, "h3", 2, "second.json")
	p.run(t, 0, newLedgerCommand(), "export", "--ledger-path", p.path("ledger.db"), "-n", "hr", "-o", p.path("later.jsonl"))
	out = p.run(t, 0, cli.NewVerifyCommand("lethe"), p.path("certificate.json"), "--key", p.path("key"), "--ledger", p.path("later.jsonl"))
	if !strings.Contains(out, "number 2 was issued since") {
		t.Errorf("a later certificate is not named:\n%s", out)
	}
	key := p.run(t, 0, newLedgerCommand(), "key", "-n", "hr", "--key", p.path("key"))
	if want, _ := p.signer.VerifierKeyFor("hr"); key != want+"\n" {
		t.Errorf("key %s, want %s", key, want)
	}
	p.run(t, 0, cli.NewVerifyCommand("lethe"), p.path("certificate.json"), "--key", p.write(t, "hr.key", []byte("# the key of hr\n"+key)))
}

// Status 1 is for what was read and does not hold, 2 for what could not be checked.
func TestVerifyRefusesWithTheReason(t *testing.T) {
	p := newProofs(t)
	stranger := emptyProofs(t, newSigner(t, "lethe.dev/other", 1))
	stranger.append(t, 0, 3)
	stranger.certify(t, "h3", 1, "certificate.json")
	impostor := emptyProofs(t, newSigner(t, proofLog, 2))
	impostor.append(t, 0, 8)
	impostor.certify(t, "h3", 1, "certificate.json")
	impostor.run(t, 0, newLedgerCommand(), "export", "--ledger-path", impostor.path("ledger.db"), "-n", "hr", "-o", impostor.path("hr.jsonl"))
	file := p.read(t, "certificate.json")
	p.write(t, "digit", bytes.Replace(file, []byte(`"deleted": 12`), []byte(`"deleted": 13`), 1))
	p.write(t, "half", file[:len(file)/2])
	p.write(t, "entry", bytes.Replace(file, []byte(`\"number\":\"1\"`), []byte(`\"number\":\"2\"`), 1))
	p.write(t, "index", bytes.Replace(file, []byte(`index 9\n`), []byte(`index 8\n`), 1))
	lines := p.read(t, "hr.jsonl")
	p.write(t, "short.jsonl", lines[:len(lines)-40])
	p.write(t, "short.checkpoint", p.read(t, "hr.checkpoint"))
	p.write(t, "big", make([]byte, cli.MaxProofFile+1))
	key := []string{"--key", p.path("key")}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"one digit changed":                {append(key, p.path("digit")), 1, "it was changed"},
		"truncated certificate":            {append(key, p.path("half")), 1, "ends in the middle"},
		"entry changed":                    {append(key, p.path("entry")), 1, "of another request or certificate"},
		"place changed":                    {append(key, p.path("index")), 1, "entries 8 to 9"},
		"certificate of another cluster":   {append(key, stranger.path("certificate.json")), 1, "the key is of another ledger: it is of lethe.dev/4d1f, and what is to be verified of lethe.dev/other/hr"},
		"signed with another key":          {append(key, impostor.path("certificate.json")), 1, "not signed with the key"},
		"key of another cluster":           {[]string{"--key", stranger.path("key"), p.path("certificate.json")}, 1, "the key is of another ledger"},
		"ledger cut short":                 {append(key, "ledger", p.path("short.jsonl")), 1, "ends in the middle of an entry"},
		"ledger of another key":            {append(key, "ledger", impostor.path("hr.jsonl")), 1, "not signed with the key"},
		"checkpoint of another key":        {append(key, "ledger", p.path("hr.jsonl"), "--earlier", impostor.path("certificate.json")), 1, "given as earlier"},
		"ledger that lacks the entry":      {append(key, p.path("certificate.json"), "--ledger", p.path("hr.jsonl"), "--earlier", impostor.path("hr.checkpoint")), 1, "given as earlier"},
		"no consistency proof":             {append(key, "consistency", p.path("kept"), p.path("kept")), 1, "not a consistency proof"},
		"kept checkpoint, nothing between": {append(key, p.path("certificate.json"), "--earlier", p.path("kept")), 2, "give the whole ledger too"},
		"no key":                           {[]string{p.path("certificate.json")}, 2, "lethe-ledger-key"},
		"missing key":                      {[]string{"--key", p.path("nowhere"), p.path("certificate.json")}, 2, "nowhere cannot be read: no such file"},
		"key that is none":                 {[]string{"--key", p.path("certificate.json"), p.path("certificate.json")}, 2, "not a verifier key"},
		"empty key":                        {[]string{"--key", p.write(t, "empty", nil), p.path("certificate.json")}, 2, "there is none"},
		"missing certificate":              {append(key, p.path("nowhere")), 2, "cannot be read"},
		"missing ledger":                   {append(key, p.path("certificate.json"), "--ledger", p.path("nowhere.jsonl")), 2, "cannot be read"},
		"missing checkpoint":               {append(key, "ledger", p.path("hr.jsonl"), "--checkpoint", p.path("nowhere")), 2, "cannot be read"},
		"folder":                           {append(key, p.folder), 2, "cannot be read"},
		"very long file":                   {append(key, p.path("big")), 2, "longer than"},
		"no file":                          {key, 2, "0 files were named"},
		"unknown flag":                     {append(key, "--what"), 2, "what"},
		"unknown output":                   {append(key, p.path("certificate.json"), "-o", "xml"), 2, "text or json"},
		"proof and ledger":                 {append(key, "consistency", p.path("kept"), p.path("proof"), "--ledger", p.path("hr.jsonl")), 2, "either"},
	} {
		t.Run(name, func(t *testing.T) {
			out := p.run(t, c.code, cli.NewVerifyCommand("lethe"), c.args...)
			if !strings.Contains(out, c.want) {
				t.Errorf("no %q in:\n%s", c.want, out)
			}
			if c.code == 1 && !strings.Contains(out, "REFUSED") {
				t.Errorf("the report does not say so:\n%s", out)
			}
		})
	}
}

func TestExportLeavesNothingHalfWritten(t *testing.T) {
	p := newProofs(t)
	before := p.read(t, "hr.jsonl")
	for name, args := range map[string][]string{
		"unknown namespace": {"export", "--ledger-path", p.path("ledger.db"), "-n", "it", "-o", p.path("hr.jsonl")},
		"no file":           {"export", "--ledger-path", p.path("nowhere.db"), "-n", "hr", "-o", p.path("hr.jsonl")},
		"no ledger":         {"export", "--ledger-path", p.path("hr.jsonl"), "-n", "hr", "-o", p.path("hr.jsonl")},
		"no folder":         {"export", "--ledger-path", p.path("ledger.db"), "-n", "hr", "-o", p.path("nowhere/hr.jsonl")},
		"no output":         {"export", "--ledger-path", p.path("ledger.db"), "-n", "hr"},
		"later checkpoint":  {"consistency", "--ledger-path", p.path("ledger.db"), "-n", "hr", "--earlier", p.path("nowhere")},
	} {
		p.run(t, 2, newLedgerCommand(), args...)
		if !bytes.Equal(p.read(t, "hr.jsonl"), before) {
			t.Errorf("%s: the file was touched", name)
		}
	}
	p.nothingHalf(t)
}

// nothingHalf looks for files that a command that failed has left.
func (p *proofs) nothingHalf(t *testing.T, but ...string) {
	t.Helper()
	entries, err := os.ReadDir(p.folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") || slices.Contains(but, e.Name()) {
			t.Errorf("%s was left behind", e.Name())
		}
	}
}

// Promise 8 at the level of files: whoever has the public key and an earlier checkpoint finds every change of what was
// handed out, and is told where it is.
func TestTamperedFilesAreFound(t *testing.T) {
	p := newProofs(t)
	records, note := p.read(t, "hr.jsonl"), p.read(t, "hr.checkpoint")
	kept, err := ledger.ReadCheckpoint(p.read(t, "kept"))
	if err != nil {
		t.Fatal(err)
	}
	stranger := emptyProofs(t, newSigner(t, proofLog, 9))
	rapid.Check(t, func(t *rapid.T) {
		lines := bytes.SplitAfter(bytes.Clone(records), []byte("\n"))
		lines = lines[:len(lines)-1]
		n := len(lines)
		at := rapid.IntRange(0, n-1).Draw(t, "at")
		forged, checkpoint := bytes.Clone(records), bytes.Clone(note)
		what := rapid.SampledFrom([]string{"flip", "flip checkpoint", "drop", "reorder", "insert", "repeat", "truncate", "truncate checkpoint", "rewrite with new key",
			"rewrite with the key", "other line ends"}).Draw(t, "what")
		switch what {
		case "flip":
			forged[rapid.IntRange(0, len(forged)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		case "flip checkpoint":
			checkpoint[rapid.IntRange(0, len(checkpoint)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		case "drop":
			forged = bytes.Join(append(lines[:at:at], lines[at+1:]...), nil)
		case "reorder":
			other := rapid.IntRange(0, n-1).Filter(func(i int) bool { return i != at }).Draw(t, "other")
			lines[at], lines[other] = lines[other], lines[at]
			forged = bytes.Join(lines, nil)
		case "insert":
			extra := []byte(fmt.Sprintf(`{"v":1,"key":"x","time":%q,"kind":"erasure.received"}`+"\n", proofTime))
			forged = bytes.Join(append(lines[:at:at], append([][]byte{extra}, lines[at:]...)...), nil)
		case "repeat":
			forged = bytes.Join(append(lines[:at+1:at+1], lines[at:]...), nil)
		case "truncate":
			forged = forged[:rapid.IntRange(0, len(forged)-1).Draw(t, "to")]
		case "truncate checkpoint":
			checkpoint = checkpoint[:rapid.IntRange(0, len(checkpoint)-1).Draw(t, "to")]
		case "rewrite with new key", "rewrite with the key":
			signer := p.signer
			if what == "rewrite with new key" {
				signer = stranger.signer
			} else {
				// A change below the kept checkpoint, by whoever has the private key.
				at = rapid.IntRange(0, int(kept.Size)-1).Draw(t, "changed")
				lines[at] = bytes.Replace(lines[at], []byte(`"Subject"`), []byte(`"Admin"`), 1)
			}
			forged, checkpoint = bytes.Join(lines, nil), sign(t, signer, lines)
		case "other line ends":
			forged = bytes.ReplaceAll(forged, []byte("\n"), []byte("\r\n"))
		}
		p.write(t, "forged.jsonl", forged)
		p.write(t, "forged.checkpoint", checkpoint)
		out := p.run(t, 1, cli.NewVerifyCommand("lethe"), "ledger", p.path("forged.jsonl"), "--key", p.path("key"), "--earlier", p.path("kept"))
		ofRecords := what != "flip checkpoint" && what != "truncate checkpoint" && what != "rewrite with new key"
		if ofRecords && !strings.Contains(out, "entries ") {
			t.Fatalf("%s: it is not said where:\n%s", what, out)
		}
	})
}

// sign makes the checkpoint of lines.
func sign(t rapid.TB, signer *ledger.Signer, lines [][]byte) []byte {
	t.Helper()
	var tree ledger.Tree
	for _, line := range lines {
		tree, _ = tree.With(ledger.LeafHash(bytes.TrimSuffix(line, []byte("\n"))))
	}
	named, err := signer.Named(signer.Name() + "/hr")
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := ledger.Checkpoint{OriginLine: named.Name(), Size: tree.Size(), Root: tree.Root()}.Sign(named)
	if err != nil {
		t.Fatal(err)
	}
	return checkpoint.Note
}

// The same of certificates and consistency proofs: no byte of the file can be changed but white space.
func TestTamperedProofsAreFound(t *testing.T) {
	p := newProofs(t)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom([]string{"certificate.json", "proof"}).Draw(t, "file")
		file := p.read(t, name)
		forged := bytes.Clone(file)
		if rapid.Bool().Draw(t, "truncate") {
			forged = forged[:rapid.IntRange(0, len(forged)-2).Draw(t, "to")]
		} else {
			forged[rapid.IntRange(0, len(forged)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		}
		args := []string{"consistency", p.path("kept"), p.write(t, "forged", forged)}
		if name == "certificate.json" {
			before, _ := certificate.Canonicalize(file)
			if after, err := certificate.Canonicalize(forged); err == nil && bytes.Equal(before, after) {
				return
			}
			args = []string{p.path("forged")}
		}
		p.run(t, 1, cli.NewVerifyCommand("lethe"), append(args, "--key", p.path("key"))...)
	})
}
