// Command schemas writes JSON schemas that kubeconform reads into a folder: of Lethe's kinds from their CRDs, and of Kubernetes'
// own from the OpenAPI document of the API server that the tests use. Fields that a kind does not have are refused.
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/config/crd"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: schemas SWAGGER.json FOLDER")
		os.Exit(1)
	}
	if err := errors.Join(kubernetes(os.Args[1], os.Args[2]), lethe(os.Args[2])); err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
}

// write stores the schema of a kind, under the name that kubeconform is told.
func write(folder, group, version, kind string, schema any) error {
	// kubeconform takes the version for the group where there is none.
	name := strings.ToLower(kind) + "_" + cmp.Or(group, version) + "_" + version + ".json"
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), text, 0o600)
}

// lethe writes the schemas of the CRDs.
func lethe(folder string) error {
	files, err := crd.Bases.ReadDir("bases")
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := crd.Bases.ReadFile("bases/" + f.Name())
		if err != nil {
			return err
		}
		var c apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &c); err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		for _, v := range c.Spec.Versions {
			var schema map[string]any
			if text, err = json.Marshal(v.Schema.OpenAPIV3Schema); err != nil {
				return err
			}
			if err := json.Unmarshal(text, &schema); err != nil {
				return err
			}
			properties := schema["properties"].(map[string]any)
			strict(schema)
			properties["metadata"] = map[string]any{"type": "object", "required": []string{"name"}}
			if err := write(folder, c.Spec.Group, v.Name, c.Spec.Names.Kind, schema); err != nil {
				return err
			}
		}
	}
	return nil
}

// kubernetes writes the schemas of the kinds of the API server. What a schema refers to comes with it.
func kubernetes(swagger, folder string) error {
	text, err := os.ReadFile(swagger) //nolint:gosec // the caller's file
	if err != nil {
		return err
	}
	var document struct {
		Definitions map[string]map[string]any `json:"definitions"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	for _, d := range document.Definitions {
		strict(d)
	}
	for name, d := range document.Definitions {
		kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
		if len(kinds) != 1 { // those of many groups are parts of requests
			continue
		}
		gvk := kinds[0].(map[string]any)
		schema := map[string]any{"$ref": "#/definitions/" + name, "definitions": needed(document.Definitions, name)}
		if err := write(folder, fmt.Sprint(gvk["group"]), fmt.Sprint(gvk["version"]), fmt.Sprint(gvk["kind"]), schema); err != nil {
			return err
		}
	}
	return nil
}

// needed are the definitions that one leads to.
func needed(all map[string]map[string]any, name string) map[string]any {
	out := map[string]any{}
	var visit func(node any)
	add := func(name string) {
		if _, there := out[name]; !there {
			out[name] = all[name]
			visit(all[name])
		}
	}
	visit = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if ref, ok := n["$ref"].(string); ok {
				add(strings.TrimPrefix(ref, "#/definitions/"))
			}
			for _, v := range n {
				visit(v)
			}
		case []any:
			for _, v := range n {
				visit(v)
			}
		}
	}
	add(name)
	return out
}

// strict refuses fields that an object's schema does not name.
func strict(node any) {
	switch n := node.(type) {
	case map[string]any:
		_, named := n["properties"].(map[string]any)
		if _, said := n["additionalProperties"]; named && !said && n["x-kubernetes-preserve-unknown-fields"] == nil {
			n["additionalProperties"] = false
		}
		for key, v := range n {
			if key == "format" && (v == "int-or-string" || v == "quantity") { // a number or a text
				delete(n, "type")
			}
			strict(v)
		}
	case []any:
		for _, v := range n {
			strict(v)
		}
	}
}
