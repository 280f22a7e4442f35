package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/test/harness"
)

var (
	testFunction = regexp.MustCompile("`(Test[A-Za-z0-9]+|Fuzz[A-Za-z0-9]+)`")
	testCase     = regexp.MustCompile(`"([^"|]{6,})"`)
)

// TestNamedTestsExist: what the documentation says that a test shows is the name of a test.
func TestNamedTestsExist(t *testing.T) {
	var sources strings.Builder
	for _, folder := range []string{"internal", "test", "cmd"} {
		err := filepath.WalkDir(filepath.Join(harness.Root(), folder), func(path string, d fs.DirEntry, err error) error {
			suite := strings.Contains(path, "test/") // suites that other packages run
			if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") && (!suite || !strings.HasSuffix(path, ".go")) {
				return err
			}
			text, err := os.ReadFile(path)
			sources.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	all := sources.String()
	for file, least := range map[string]int{"docs/promises.md": 40, "docs/reference/stores.md": 60} {
		text, err := os.ReadFile(filepath.Join(harness.Root(), file))
		if err != nil {
			t.Fatal(err)
		}
		named := 0
		for _, line := range strings.Split(string(text), "\n") {
			if !strings.HasPrefix(line, "| ") {
				continue
			}
			for _, m := range testFunction.FindAllStringSubmatch(line, -1) {
				named++
				if !strings.Contains(all, "func "+m[1]+"(") {
					t.Errorf("%s: there is no %s", file, m[1])
				}
			}
			for _, m := range testCase.FindAllStringSubmatch(line, -1) {
				named++
				if !strings.Contains(all, `"`+m[1]+`"`) && !strings.Contains(all, ": "+m[1]+`"`) {
					t.Errorf("%s: no test is called %q", file, m[1])
				}
			}
		}
		if named < least {
			t.Errorf("%s names %d tests", file, named)
		}
	}
}
