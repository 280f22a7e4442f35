// Package mapcheck holds data maps against the API's schema and against live stores without a cluster, for pipelines.
package mapcheck

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/config/crd"
)

// APIVersion and the kinds that manifests may have.
const (
	APIVersion    = "privacy.lethe.dev/v1alpha1"
	KindMap       = "PersonalDataMap"
	KindDataStore = "DataStore"
)

// Document is one object of a manifest.
type Document struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	// JSON is the whole object.
	JSON []byte `json:"-"`
}

// Split reads the documents of a YAML or JSON file. Those without a kind are left out.
func Split(file []byte) ([]Document, error) {
	var out []Document
	for n, part := range splitYAML(string(file)) {
		if strings.TrimSpace(part) == "" {
			continue
		}
		data, err := yaml.YAMLToJSONStrict([]byte(part))
		if err != nil {
			return nil, fmt.Errorf("document %d is no YAML: %w", n+1, err)
		}
		var d Document
		if err := json.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("document %d is no Kubernetes object", n+1)
		}
		if d.Kind == "" {
			continue
		}
		d.JSON = data
		out = append(out, d)
	}
	return out, nil
}

func splitYAML(text string) []string {
	var parts []string
	var part strings.Builder
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "---"); ok && (rest == "" || strings.ContainsAny(rest[:1], " \t\r\n")) {
			parts = append(parts, part.String())
			part.Reset()
			line = rest // a document may begin in the line of its mark
		}
		part.WriteString(line)
	}
	return append(parts, part.String())
}

// Decode reads an object strictly: a field that the kind does not have is an error.
func Decode(d Document, into any) error {
	if d.APIVersion != APIVersion {
		return fmt.Errorf("%s %s has the apiVersion %q; this program knows %s", d.Kind, d.Metadata.Name, d.APIVersion, APIVersion)
	}
	if err := yaml.UnmarshalStrict(d.JSON, into); err != nil {
		return fmt.Errorf("%s %s: %w", d.Kind, d.Metadata.Name, err)
	}
	return nil
}

// Schema checks an object against the schema of its kind: types, patterns, limits, words and required fields. The rules
// between fields (CEL) are the API server's; what matters of them the planner checks again.
func Schema(d Document) ([]string, error) {
	schema, err := schemaOf(d.Kind)
	if err != nil {
		return nil, err
	}
	var object any
	if err := json.Unmarshal(d.JSON, &object); err != nil {
		return nil, err
	}
	var problems []string
	for _, err := range validate.NewSchemaValidator(schema, nil, "", strfmt.Default).Validate(object).Errors {
		problems = append(problems, strings.TrimPrefix(err.Error(), "."))
	}
	return problems, nil
}

func schemaOf(kind string) (*spec.Schema, error) {
	files, err := fs.Glob(crd.Bases, "bases/*.yaml")
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		data, err := fs.ReadFile(crd.Bases, name)
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(data, &definition); err != nil {
			return nil, err
		}
		if definition.Spec.Names.Kind != kind {
			continue
		}
		for _, v := range definition.Spec.Versions {
			if v.Name != v1alpha1.GroupVersion.Version {
				continue
			}
			text, err := json.Marshal(v.Schema.OpenAPIV3Schema)
			if err != nil {
				return nil, err
			}
			var schema spec.Schema
			return &schema, json.Unmarshal(text, &schema)
		}
	}
	return nil, errors.New("there is no kind " + kind + " in the group " + v1alpha1.GroupVersion.Group)
}
