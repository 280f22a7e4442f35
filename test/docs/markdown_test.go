// Package docs keeps the documentation true: what it shows is tried on a real Kubernetes API and real databases.
package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/test/harness"
)

// block is a fenced block of a Markdown file. What follows the language in the fence's first line are attributes, key=value.
type block struct {
	file       string
	line       int
	language   string
	attributes map[string]string
	text       string
}

func (b block) where() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// list is an attribute with several values, separated by commas.
func (b block) list(name string) []string {
	if b.attributes[name] == "" {
		return nil
	}
	return strings.Split(b.attributes[name], ",")
}

// markdown are the repository's files that match the patterns.
func markdown(t *testing.T, patterns ...string) []string {
	t.Helper()
	var files []string
	for _, p := range patterns {
		found, err := filepath.Glob(filepath.Join(harness.Root(), p))
		if err != nil || len(found) == 0 {
			t.Fatalf("nothing matches %s: %v", p, err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	return files
}

func blocks(t *testing.T, files []string) []block {
	t.Helper()
	var all []block
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(harness.Root(), file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fenced(name, string(content))...)
	}
	return all
}

func fenced(file, content string) []block {
	var all []block
	var open *block
	for i, line := range strings.Split(content, "\n") {
		info, isFence := strings.CutPrefix(line, "```")
		switch {
		case open != nil && isFence:
			all, open = append(all, *open), nil
		case open != nil:
			open.text += line + "\n"
		case isFence:
			words := append(strings.Fields(info), "")
			open = &block{file: file, line: i + 1, language: words[0], attributes: map[string]string{}}
			for _, w := range words[1:] {
				name, value, _ := strings.Cut(w, "=")
				open.attributes[name] = value
			}
		}
	}
	return all
}
