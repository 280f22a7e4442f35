package controller

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/lethe-dev/lethe/internal/anchor"
	"github.com/lethe-dev/lethe/internal/ledger"
	ledgersqlite "github.com/lethe-dev/lethe/internal/ledger/sqlite"
	vaultsqlite "github.com/lethe-dev/lethe/internal/vault/sqlite"
)

// Each place gets the checkpoints of all namespaces: a second one at the same host, and those that sort behind a namespace whose
// checkpoint is refused for good.
func TestEveryPlaceGetsEveryCheckpoint(t *testing.T) {
	ctx := context.Background()
	signer, err := ledger.NewSigner("lethe.dev/test", []byte(strings.Repeat("s", 32)))
	if err != nil {
		t.Fatal(err)
	}
	vault, err := vaultsqlite.Open(ctx, filepath.Join(t.TempDir(), "ledger.db"), ledgersqlite.Options{LogName: signer.Name(), Signer: signer})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = vault.Close() })
	for _, namespace := range []string{"changed", "hidden", "sound"} {
		if _, err := vault.Ledger.Append(ctx, namespace, ledger.Entry{Key: "k", Time: time.Unix(1, 0), Kind: ledger.KindErasureReceived}); err != nil {
			t.Fatal(err)
		}
	}
	kept := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		switch {
		case r.Method == http.MethodPut && (strings.Contains(r.URL.Path, "/changed/") || strings.Contains(r.URL.Path, "/hidden/")):
			w.WriteHeader(http.StatusPreconditionFailed)
		case r.Method == http.MethodPut:
			kept[r.URL.Path] = string(text)
		case strings.Contains(r.URL.Path, "/hidden/"):
			w.WriteHeader(http.StatusForbidden)
		default:
			_, _ = io.WriteString(w, "another one")
		}
	}))
	t.Cleanup(server.Close)
	a := &Anchors{Ledger: vault.Ledger, Signer: signer, Log: logr.Discard()}
	for _, path := range []string{"/one", "/two"} {
		place, err := anchor.Open(server.URL+path, anchor.Options{Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		a.Places = append(a.Places, place)
	}
	newest, err := a.newest(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range a.Places {
		if err := a.outsideAt(ctx, i, newest); !errors.Is(err, anchor.ErrOther) || !errors.Is(err, anchor.ErrUnread) {
			t.Errorf("place %d: %v", i, err)
		}
	}
	for _, path := range []string{"/one", "/two"} {
		if name := path + "/lethe.dev/test/sound/00000000000000000001.checkpoint"; kept[name] != string(newest["sound"].Note) {
			t.Errorf("%s is %q", name, kept[name])
		}
	}
	if a.placeName(0) == a.placeName(1) {
		t.Errorf("both places are called %s", a.placeName(0))
	}
}
