// Package mapcheck holds data maps against the API's schema and against live stores without a cluster, for pipelines.
package mapcheck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
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

// Schema checks an object as the API server does before it stores it: against the schema of its kind, with its defaults, its
// lists without duplicates, and its rules between fields (CEL).
func Schema(d Document) ([]string, error) {
	known, err := kindOfAPI(d.Kind)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := utiljson.Unmarshal(d.JSON, &object); err != nil { // whole numbers stay whole, as rules need them
		return nil, err
	}
	var problems []string
	for _, why := range validation.IsDNS1123Subdomain(d.Metadata.Name) {
		problems = append(problems, "metadata.name: "+why)
	}
	defaulting.Default(object, known.structural)
	for _, err := range validate.NewSchemaValidator(known.schema, nil, "", strfmt.Default).Validate(object).Errors {
		problems = append(problems, strings.TrimPrefix(err.Error(), "."))
	}
	for _, err := range listtype.ValidateListSetsAndMaps(nil, known.structural, object) {
		problems = append(problems, err.Error())
	}
	if len(problems) > 0 || known.rules == nil { // rules may take for granted what the schema says
		return problems, nil
	}
	broken, _ := known.rules.Validate(context.Background(), nil, known.structural, object, nil, celconfig.RuntimeCELCostBudget)
	for _, err := range broken { // without the value, which would be the whole object
		problems = append(problems, err.Field+": "+err.Detail)
	}
	return problems, nil
}

// apiKind is what the API says of a kind.
type apiKind struct {
	schema     *spec.Schema
	structural *structuralschema.Structural
	rules      *cel.Validator
}

// kindOfAPI reads a kind once: its rules are programs.
func kindOfAPI(kind string) (*apiKind, error) {
	kinds.Lock()
	defer kinds.Unlock()
	if known := kinds.byName[kind]; known != nil {
		return known, nil
	}
	known, err := readKind(kind)
	if err == nil {
		kinds.byName[kind] = known
	}
	return known, err
}

var kinds = struct {
	sync.Mutex
	byName map[string]*apiKind
}{byName: map[string]*apiKind{}}

func readKind(kind string) (*apiKind, error) {
	props, err := definitionOf(kind)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(props)
	if err != nil {
		return nil, err
	}
	known := &apiKind{schema: &spec.Schema{}}
	if err := json.Unmarshal(text, known.schema); err != nil {
		return nil, err
	}
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		return nil, err
	}
	if known.structural, err = structuralschema.NewStructural(&internal); err != nil {
		return nil, err
	}
	known.rules = cel.NewValidator(known.structural, true, celconfig.PerCallLimit)
	return known, nil
}

// definitionOf is the schema of a kind as its CustomResourceDefinition has it.
func definitionOf(kind string) (*apiextensionsv1.JSONSchemaProps, error) {
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
			if v.Name == v1alpha1.GroupVersion.Version {
				return v.Schema.OpenAPIV3Schema, nil
			}
		}
	}
	return nil, errors.New("there is no kind " + kind + " in the group " + v1alpha1.GroupVersion.Group)
}
