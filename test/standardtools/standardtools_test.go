package standardtools

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The certificate in testdata was issued by an operator (test/promises writes it anew with LETHE_UPDATE=1).
func TestACertificateIsVerifiedWithoutLethe(t *testing.T) {
	file, key := read(t, "testdata/certificate.json"), string(read(t, "testdata/lethe.vkey"))
	if err := VerifyCertificate(file, key); err != nil {
		t.Fatal(err)
	}
	for from, into := range map[string]string{`"deleted": 2`: `"deleted": 3`, `"index 0`: `"index 1`, "c2sp.org/tlog-proof@v1\\nindex ": "c2sp.org/tlog-proof@v1\\nindex 1"} {
		if changed := bytes.Replace(file, []byte(from), []byte(into), 1); !bytes.Equal(changed, file) && VerifyCertificate(changed, key) == nil {
			t.Errorf("%s changed into %s was not found", from, into)
		}
	}
	if changed := bytes.Replace(file, []byte(`"deleted": 2`), []byte(`"deleted": 3`), 1); bytes.Equal(changed, file) {
		t.Error("the certificate in testdata has changed: choose another digit")
	}
	other := strings.Replace(key, "lethe.dev/", "lethe.dev/0", 1)
	if VerifyCertificate(file, other) == nil {
		t.Error("verified with the key of another ledger")
	}
}

func TestItImportsNothingOfLethe(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "github.com/lethe-dev/lethe") && !strings.HasSuffix(name, "/test/standardtools") {
			t.Error(name)
		}
	}
}

// The script of docs/how-to/verify.md needs jq, openssl and coreutils, which hack/test.sh installs.
func TestTheScriptForAuditorsVerifies(t *testing.T) {
	const script = "../../docs/how-to/verify-by-hand.sh"
	folder := t.TempDir()
	file := read(t, "testdata/certificate.json")
	for name, c := range map[string]struct {
		from, into string
		want       string
	}{
		"honest":           {"", "", "VERIFIED: sha256:"},
		"digit":            {`"deleted": 2`, `"deleted": 3`, "the certificate was changed"},
		"entry":            {`\"reason\":\"Erased\"`, `\"reason\":\"Gone\"`, "does not cover the entry"},
		"place":            {`index 11\n`, `index 10\n`, "does not cover the entry"},
		"size":             {`\n12\n`, `\n13\n`, "not signed with the key"},
		"ledger":           {`"ledger": "lethe.dev/`, `"ledger": "lethe.dev/0`, "was changed"},
		"not a checkpoint": {`lethe.dev/d`, `lethe.dev/e`, "REFUSED"},
	} {
		changed := bytes.Replace(file, []byte(c.from), []byte(c.into), 1)
		if bytes.Equal(changed, file) != (c.from == "") {
			t.Fatalf("%s: the certificate in testdata has changed", name)
		}
		path := filepath.Join(folder, "certificate.json")
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("sh", script, path, "testdata/lethe.vkey").CombinedOutput()
		if (err == nil) != (name == "honest") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v, want %q:\n%s", name, err, c.want, out)
		}
	}
}
