package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
)

// newRotated is a ledger whose key was rotated twice, with a certificate and a kept checkpoint of the first one, and a
// certificate of the last.
func newRotated(t *testing.T) (p *proofs, generations []*ledger.Signer) {
	t.Helper()
	var chain []ledger.Rotation
	for g := range byte(3) {
		generations = append(generations, newSigner(t, proofLog, g+1))
		if g > 0 {
			r, err := ledger.Rotate(generations[g-1], generations[g])
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, r)
		}
	}
	p = emptyProofs(t, generations[0])
	where := []string{"--ledger-path", p.path("ledger.db"), "-n", "hr"}
	p.append(t, 0, 5)
	p.certify(t, "h3", 1, "first.json")
	p.export(t, "first.csv")
	p.write(t, "kept", []byte(p.run(t, 0, newLedgerCommand(), append([]string{"checkpoint"}, where...)...)))
	for g := 1; g < 3; g++ {
		if err := p.vault.Close(); err != nil {
			t.Fatal(err)
		}
		var err error
		p.signer = generations[g]
		p.vault, err = vaultsqlite.Open(context.Background(), p.path("ledger.db"), ledgersqlite.Options{LogName: proofLog, Signer: p.signer, Rotations: chain[:g]})
		if err != nil {
			t.Fatal(err)
		}
		p.append(t, 5*g, 5)
	}
	p.certify(t, "h7", 1, "last.json")
	p.export(t, "last.csv")
	p.run(t, 0, newLedgerCommand(), append([]string{"export", "-o", p.path("hr.jsonl")}, where...)...)
	p.write(t, "proof", []byte(p.run(t, 0, newLedgerCommand(), append([]string{"consistency", "--earlier", p.path("kept")}, where...)...)))
	var text []byte
	for _, r := range chain {
		text = append(append(text, r.Note...), '\n')
	}
	p.write(t, "chain", text)
	for g, name := range []string{"old", "middle", "new"} {
		p.write(t, name, []byte(generations[g].VerifierKey()+"\n"))
	}
	p.write(t, "stranger", []byte(newSigner(t, proofLog, 9).VerifierKey()+"\n"))
	return p, generations
}

// Whoever trusts one key of the chain, the first or the last, verifies what any of them signed.
func TestVerifyFollowsTheChainOfKeys(t *testing.T) {
	p, _ := newRotated(t)
	for _, key := range []string{"old", "middle", "new"} {
		for name, args := range map[string][]string{
			"certificate of the first key":      {p.path("first.json"), "--key-chain", p.path("chain")},
			"certificate of the last key":       {p.path("last.json"), "--key-chain", p.path("chain")},
			"certificates with the ledger":      {p.path("first.json"), "--ledger", p.path("hr.jsonl"), "--earlier", p.path("kept")}, // which has the chain itself
			"later certificate with the ledger": {p.path("last.json"), "--ledger", p.path("hr.jsonl"), "--earlier", p.path("first.json")},
			"export of the first key":           {"export", p.path("first.csv"), "--key-chain", p.path("chain")},
			"export of the last key":            {"export", p.path("last.csv"), "--key-chain", p.path("chain")},
			"export with the ledger":            {"export", p.path("first.csv"), "--ledger", p.path("hr.jsonl"), "--earlier", p.path("kept")},
			"later export with the ledger":      {"export", p.path("last.csv"), "--ledger", p.path("hr.jsonl"), "--earlier", p.path("first.csv.proof.json")},
			"ledger":                            {"ledger", p.path("hr.jsonl"), "--earlier", p.path("kept"), "--earlier", p.path("proof")},
			"consistency":                       {"consistency", p.path("kept"), p.path("proof"), "--key-chain", p.path("chain")},
			"consistency by the ledger":         {"consistency", p.path("kept"), "--ledger", p.path("hr.jsonl")},
		} {
			t.Run(name+" with the "+key+" key", func(t *testing.T) {
				p.run(t, 0, cli.NewVerifyCommand("lethe"), append(args, "--key", p.path(key))...)
			})
		}
	}
	out := p.run(t, 0, cli.NewVerifyCommand("lethe"), "ledger", p.path("hr.jsonl"), "--key", p.path("old"))
	if !strings.Contains(out, "replaced by entry 8, 14") {
		t.Error(out)
	}
}

func TestVerifyRefusesWhatTheChainDoesNotLeadTo(t *testing.T) {
	p, generations := newRotated(t)
	half := bytes.SplitAfterN(p.read(t, "chain"), []byte("\n\n"), 3)
	p.write(t, "half", bytes.Join(half[2:], nil)) // the second statement
	for name, args := range map[string][]string{
		"a later certificate without the chain":  {p.path("last.json"), "--key", p.path("old")},
		"an older certificate without the chain": {p.path("first.json"), "--key", p.path("new")},
		"a stranger's key with the chain":        {p.path("last.json"), "--key", p.path("stranger"), "--key-chain", p.path("chain")},
		"a stranger's key with an export":        {"export", p.path("last.csv"), "--key", p.path("stranger"), "--ledger", p.path("hr.jsonl")},
		"a stranger's key with the ledger":       {"ledger", p.path("hr.jsonl"), "--key", p.path("stranger")},
	} {
		t.Run(name, func(t *testing.T) { p.run(t, 1, cli.NewVerifyCommand("lethe"), args...) })
	}
	for name, text := range map[string][]byte{"nothing of the kind": []byte("key\n"), "changed": bytes.Replace(p.read(t, "chain"), []byte("rotation\n"), []byte("Rotation\n"), 1)} {
		t.Run(name, func(t *testing.T) {
			p.run(t, 2, cli.NewVerifyCommand("lethe"), p.path("last.json"), "--key", p.path("old"), "--key-chain", p.write(t, "bad", text))
		})
	}

	// The old key signs once more, for a ledger that says itself that it was replaced.
	current, err := ledger.ReadCheckpoint(p.read(t, "hr.checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	named, err := generations[0].Named(current.OriginLine)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := current.Sign(named)
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "forged", forged.Note)
	for _, key := range []string{"old", "new"} {
		out := p.run(t, 1, cli.NewVerifyCommand("lethe"), "ledger", p.path("hr.jsonl"), "--key", p.path(key), "--checkpoint", p.path("forged"))
		if !strings.Contains(out, "signed with a key that was replaced before") {
			t.Error(out)
		}
		p.run(t, 1, cli.NewVerifyCommand("lethe"), "ledger", p.path("hr.jsonl"), "--key", p.path(key), "--earlier", p.path("forged"))
	}
}

// Whoever got hold of a key that was replaced can name a successor of it, and put the statement of the true one into a ledger of
// their own. Nobody who knows what followed believes it.
func TestVerifyTakesNoOtherSuccessorOfAFormerKey(t *testing.T) {
	p, generations := newRotated(t)
	forged := emptyProofs(t, generations[0])
	forged.append(t, 0, 5)
	if err := forged.vault.Close(); err != nil {
		t.Fatal(err)
	}
	forged.signer = newSigner(t, proofLog, 9)
	var statements []ledger.Rotation
	for _, to := range []*ledger.Signer{forged.signer, generations[1]} {
		r, err := ledger.Rotate(generations[0], to)
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, r)
	}
	later, err := ledger.Rotate(generations[1], generations[2])
	if err != nil {
		t.Fatal(err)
	}
	forged.vault, err = vaultsqlite.Open(context.Background(), forged.path("ledger.db"), ledgersqlite.Options{LogName: proofLog, Signer: forged.signer, Rotations: statements[:1]})
	if err != nil {
		t.Fatal(err)
	}
	forged.append(t, 5, 5)
	verifies := func(want int, how string, args ...string) {
		t.Helper()
		forged.run(t, 0, newLedgerCommand(), "export", "-o", forged.path(how), "--ledger-path", forged.path("ledger.db"), "-n", "hr")
		for _, key := range []string{"middle", "new"} {
			forged.run(t, want, cli.NewVerifyCommand("lethe"), append([]string{"ledger", forged.path(how), "--key", p.path(key)}, args...)...)
		}
	}
	verifies(1, "alone.jsonl")
	verifies(1, "chained.jsonl", "--key-chain", p.path("chain"))
	at, _ := time.Parse(time.RFC3339, proofTime)
	if _, err := forged.vault.Ledger.Append(context.Background(), "hr", statements[1].Entry(at), later.Entry(at)); err != nil {
		t.Fatal(err)
	}
	verifies(1, "both.jsonl")
	forged.run(t, 1, cli.NewVerifyCommand("lethe"), "ledger", forged.path("both.jsonl"), "--key", p.path("old"))
}
