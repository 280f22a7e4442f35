package crd

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// TestOneVersionIsStored: what is stored is named in docs/reference/versioning.md, and changes there in steps.
func TestOneVersionIsStored(t *testing.T) {
	files, err := Bases.ReadDir("bases")
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs: %v", err)
	}
	for _, f := range files {
		text, err := Bases.ReadFile("bases/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict(text, &crd); err != nil {
			t.Fatalf("%s: %v", f.Name(), err)
		}
		var stored []string
		for _, v := range crd.Spec.Versions {
			if v.Storage {
				stored = append(stored, v.Name)
			}
			if v.Subresources == nil || v.Subresources.Status == nil {
				if crd.Spec.Names.Kind != "ErasureCertificate" { // nothing of it ever changes
					t.Errorf("%s %s: whoever may write the object may write its status", crd.Name, v.Name)
				}
			}
		}
		if len(stored) != 1 || stored[0] != "v1alpha1" {
			t.Errorf("%s stores %v", crd.Name, stored)
		}
		if len(crd.Spec.Versions) > 1 && (crd.Spec.Conversion == nil || crd.Spec.Conversion.Strategy != apiextensionsv1.WebhookConverter) {
			t.Errorf("%s has several versions and nothing that converts them", crd.Name)
		}
	}
}
