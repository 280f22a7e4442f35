package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/test/harness"
)

// krewManifest is what Krew's manifest has, and nothing else (krew.googlecontainertools.github.com/v1alpha2).
type krewManifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		Version, Homepage, ShortDescription, Description, Caveats string

		Platforms []struct {
			Selector struct {
				MatchLabels map[string]string `json:"matchLabels"`
			} `json:"selector"`
			URI, SHA256, Bin string
		} `json:"platforms"`
	} `json:"spec"`
}

// TestKrewManifest fills the template in as a release does, and holds it against Krew's rules.
func TestKrewManifest(t *testing.T) {
	fill := filepath.Join(harness.Root(), "hack", "krew", "fill.sh")
	var sums strings.Builder
	for i, platform := range []string{"linux_amd64", "linux_arm64", "darwin_amd64", "darwin_arm64", "windows_amd64"} {
		fmt.Fprintf(&sums, "%064x  dist/kubectl-lethe_v1.2.3_%s.tar.gz\n", i+1, platform)
	}
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "SHA256SUMS")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, err := exec.Command(fill, "v1.2.3", write(sums.String())).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var m krewManifest
	if err := yaml.UnmarshalStrict(text, &m); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "@") || m.APIVersion != "krew.googlecontainertools.github.com/v1alpha2" || m.Kind != "Plugin" || m.Metadata.Name != "lethe" || m.Spec.Version != "v1.2.3" {
		t.Errorf("%s", text)
	}
	if n := len(m.Spec.ShortDescription); n == 0 || n > 50 || strings.HasSuffix(m.Spec.ShortDescription, ".") {
		t.Errorf("the short description has %d characters, Krew's guide asks for at most 50 and no full stop", n)
	}
	seen := map[string]bool{}
	for _, p := range m.Spec.Platforms {
		key := p.Selector.MatchLabels["os"] + "_" + p.Selector.MatchLabels["arch"]
		if seen[key] || seen[p.SHA256] || !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(p.SHA256) || !strings.Contains(p.URI, "/v1.2.3/kubectl-lethe_v1.2.3_"+key+".tar.gz") || !strings.HasPrefix(p.Bin, "kubectl-lethe") {
			t.Errorf("%+v", p)
		}
		seen[key], seen[p.SHA256] = true, true
	}
	if len(m.Spec.Platforms) != 5 {
		t.Errorf("%d platforms", len(m.Spec.Platforms))
	}
	lines := strings.SplitAfter(sums.String(), "\n")
	for what, args := range map[string][]string{"a missing checksum": {"v1.2.3", write(strings.Join(lines[1:], ""))}, "another version": {"v1.2.4", write(sums.String())}, "no version": {"dev", write(sums.String())}} {
		if out, err := exec.Command(fill, args...).CombinedOutput(); err == nil {
			t.Errorf("%s is taken: %s", what, out)
		}
	}
}
