package observe

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/metrics"
)

// TestTheReferenceListsTheMetrics: docs/reference/metrics.md has each metric with its type, labels and help, and no other.
func TestTheReferenceListsTheMetrics(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "reference", "metrics.md"))
	g.Expect(err).NotTo(HaveOccurred())
	var listed, want []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `lethe_") {
			listed = append(listed, strings.TrimSpace(line))
		}
	}
	for _, d := range metrics.Definitions() {
		labels := "none"
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "`, `") + "`"
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", d.Name, d.Type, labels, d.Help))
	}
	g.Expect(listed).To(ConsistOf(want))
	g.Expect(want).NotTo(BeEmpty())
}

// TestNamesFollowTheConventions: of Prometheus, and no label could name a request or a person.
func TestNamesFollowTheConventions(t *testing.T) {
	known := map[string]bool{"namespace": true, "name": true, "phase": true, "source": true, "stage": true, "within": true, "kind": true, "store": true, "what": true,
		"action": true, "cause": true, "state": true, "place": true, "verb": true, "decision": true, "reason": true, "version": true}
	seen := map[string]bool{}
	for _, d := range metrics.Definitions() {
		if seen[d.Name] {
			t.Errorf("%s is defined twice", d.Name)
		}
		seen[d.Name] = true
		if !strings.HasPrefix(d.Name, "lethe_") || (d.Type == metrics.TypeCounter) != strings.HasSuffix(d.Name, "_total") {
			t.Errorf("%s: %s", d.Name, d.Type)
		}
		if d.Type == metrics.TypeHistogram && !strings.HasSuffix(d.Name, "_seconds") {
			t.Errorf("%s has no unit", d.Name)
		}
		if !strings.HasSuffix(d.Help, ".") {
			t.Errorf("%s: the help is a sentence", d.Name)
		}
		for _, l := range d.Labels {
			if !known[l] {
				t.Errorf("%s has the label %s: is its set of values bounded, and never that of requests?", d.Name, l)
			}
			if l == "name" && (strings.Contains(d.Name, "request") || strings.Contains(d.Name, "run") || strings.Contains(d.Name, "hold")) {
				t.Errorf("%s shows names of objects that people's requests make", d.Name)
			}
		}
	}
}

// TestEveryReasonIsKnown: a label shows a reason only if the API knows it.
func TestEveryReasonIsKnown(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "..", "api", "v1alpha1", "conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
			return true
		}
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if found++; err != nil || !v1alpha1.KnownReason(reason) {
			t.Errorf("%s is not in knownReasons of conditions_funcs.go", spec.Names[0].Name)
		}
		return true
	})
	if found < 100 {
		t.Errorf("only %d reasons were found", found)
	}
	if v1alpha1.KnownReason("AdaLovelace") || word("AdaLovelace") != "Other" {
		t.Error("any word passes")
	}
}
