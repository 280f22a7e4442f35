package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
	"github.com/lethe-dev/lethe/internal/cli"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgerpostgresql "github.com/lethe-dev/lethe/internal/ledger/postgresql"
	"github.com/lethe-dev/lethe/internal/state"
	vaultpostgresql "github.com/lethe-dev/lethe/internal/vault/postgresql"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// A ledger in PostgreSQL is exported by a role that may only read, while the operator has it open, and verifies offline.
func TestLedgerInPostgreSQLIsExported(t *testing.T) {
	ctx := context.Background()
	server, err := pgtest.Start(ctx, pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	p := &proofs{folder: t.TempDir(), signer: newSigner(t, proofLog, 1)}
	url := fmt.Sprintf("postgres://%s@/postgres?host=%s&port=%d&sslmode=disable", server.User, server.Host, server.Port)
	vault, err := vaultpostgresql.Open(ctx, vaultpostgresql.Options{URL: wiring.URLFile(p.write(t, "url", []byte(url+"\n"))),
		Ledger: ledgerpostgresql.Options{LogName: proofLog, Signer: p.signer}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = vault.Close() }()
	conn, err := server.Connect(ctx, "postgres")
	if err == nil {
		_, err = conn.Exec(ctx, "CREATE ROLE auditor LOGIN; GRANT USAGE ON SCHEMA lethe TO auditor; GRANT SELECT ON lethe.origins, lethe.bundles TO auditor")
		_ = conn.Close(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "auditor", []byte(strings.Replace(url, "//"+server.User, "//auditor", 1)))
	p.write(t, "key", []byte(p.signer.VerifierKey()+"\n"))
	at, _ := time.Parse(time.RFC3339, proofTime)
	appendMany := func(from, n int) {
		err := vault.State.Update(ctx, func(tx state.Tx) error {
			for i := from; i < from+n; i++ {
				if _, err := tx.Append("hr", ledger.Entry{Key: fmt.Sprint(i), Time: at, Kind: ledger.KindErasureReceived, Handle: "h"}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	where := []string{"--ledger-url-file", p.path("auditor"), "-n", "hr"}
	appendMany(0, 5)
	p.write(t, "kept", []byte(p.run(t, 0, newLedgerCommand(), append([]string{"checkpoint"}, where...)...)))
	appendMany(5, 2000) // several pages
	p.write(t, "proof", []byte(p.run(t, 0, newLedgerCommand(), append([]string{"consistency", "--earlier", p.path("kept")}, where...)...)))
	p.run(t, 0, newLedgerCommand(), append([]string{"export", "-o", p.path("hr.jsonl")}, where...)...)
	p.run(t, 0, cli.NewVerifyCommand("lethe"), "ledger", p.path("hr.jsonl"), "--earlier", p.path("kept"), "--earlier", p.path("proof"), "--key", p.path("key"))
	p.run(t, 0, cli.NewVerifyCommand("lethe"), "consistency", p.path("kept"), p.path("proof"), "--key", p.path("key"))

	if out := p.run(t, 0, newLedgerCommand(), append([]string{"query", "-o", "json", "--kind", "erasure.received"}, where...)...); strings.Count(out, "\n") != 2005 {
		t.Errorf("%d entries were found", strings.Count(out, "\n"))
	}

	for name, args := range map[string][]string{
		"unknown namespace": {"checkpoint", "--ledger-url-file", p.path("auditor"), "-n", "it"},
		"no file":           {"checkpoint", "--ledger-url-file", p.path("nowhere"), "-n", "hr"},
		"no URL":            {"checkpoint", "--ledger-url-file", p.path("key"), "-n", "hr"},
		"no ledger":         {"checkpoint", "--ledger-url-file", p.write(t, "other", []byte(url+"&search_path=nowhere")), "-n", "hr"},
		"two ledgers":       {"checkpoint", "--ledger-url-file", p.path("auditor"), "--ledger-path", p.path("ledger.db"), "-n", "hr"},
	} {
		t.Run(name, func(t *testing.T) { p.run(t, 2, newLedgerCommand(), args...) })
	}
}

func TestManagerRefusesTwoLedgersAndShortLeases(t *testing.T) {
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("postgres://u:canary%@h/db"), 0o600); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, []byte("{kind: Config, apiVersion: v1, clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"ledger-path ledger-url-file": {"--ledger-path", "x", "--ledger-url-file", file},
		"--ledger-lease":              {"--ledger-url-file", file, "--ledger-lease", "1s"},
	} {
		out, code := execute(t, newManagerCommand(), append(args, "--kubeconfig", kubeconfig)...)
		if code == 0 || !strings.Contains(out, want) || strings.Contains(out, "canary") {
			t.Errorf("%v: status %d:\n%s", args, code, out)
		}
	}
}
