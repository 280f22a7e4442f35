// Command chartreadme writes the table of values into the README of a chart: what values.schema.json says of each value, and
// its default in values.yaml. A value that only one of the two knows is an error.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

const begin, end = "<!-- values: made by make generate -->\n", "<!-- /values -->"

// schema is what a table needs of a JSON schema.
type schema struct {
	Description string            `json:"description"`
	Properties  map[string]schema `json:"properties"`
	Additional  any               `json:"additionalProperties"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: chartreadme CHART")
		os.Exit(1)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "chartreadme:", err)
		os.Exit(1)
	}
}

func run(chart string) error {
	text, err := os.ReadFile(filepath.Join(chart, "values.schema.json"))
	if err != nil {
		return err
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		return fmt.Errorf("values.schema.json: %w", err)
	}
	if text, err = os.ReadFile(filepath.Join(chart, "values.yaml")); err != nil {
		return err
	}
	var values map[string]any
	if err := yaml.UnmarshalStrict(text, &values); err != nil {
		return fmt.Errorf("values.yaml: %w", err)
	}
	delete(root.Properties, "global") // Helm's own
	lines, err := rows("", root, values)
	if err != nil {
		return err
	}
	path := filepath.Join(chart, "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(readme), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return fmt.Errorf("README.md has no place for the table: %q and %q", begin, end)
	}
	table := "\n| value | default | meaning |\n|---|---|---|\n" + strings.Join(lines, "") + "\n"
	return os.WriteFile(path, []byte(before+begin+table+end+after), 0o644) //nolint:gosec // a file of the repository
}

// rows of the values below a path, in alphabetical order.
func rows(path string, s schema, values map[string]any) ([]string, error) {
	var names []string
	for name := range s.Properties {
		names = append(names, name)
	}
	for name := range values {
		if _, known := s.Properties[name]; !known {
			return nil, fmt.Errorf("%s%s is in values.yaml and not in values.schema.json", path, name)
		}
	}
	slices.Sort(names)
	var out []string
	var errs []error
	for _, name := range names {
		at, below := path+name, s.Properties[name]
		value, there := values[name]
		switch {
		case below.Description == "":
			errs = append(errs, fmt.Errorf("%s has no description in values.schema.json", at))
		case !there:
			errs = append(errs, fmt.Errorf("%s is in values.schema.json and has no default in values.yaml", at))
		}
		inner, isMap := value.(map[string]any)
		if len(below.Properties) > 0 && isMap && len(inner) > 0 {
			if below.Additional != false {
				errs = append(errs, fmt.Errorf("%s takes values that nobody knows: set additionalProperties to false", at))
			}
			lines, err := rows(at+".", below, inner)
			out, errs = append(out, lines...), append(errs, err)
			continue
		}
		text, err := json.Marshal(value)
		errs = append(errs, err)
		out = append(out, fmt.Sprintf("| `%s` | `%s` | %s |\n", at, text, below.Description))
	}
	return out, errors.Join(errs...)
}
