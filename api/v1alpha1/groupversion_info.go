package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of the types in this package.
var GroupVersion = schema.GroupVersion{Group: "privacy.lethe.dev", Version: "v1alpha1"}

// SchemeBuilder collects the functions that add the types of this package to a scheme.
var SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme adds the types of this package to a scheme.
var AddToScheme = SchemeBuilder.AddToScheme

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&DataStore{}, &DataStoreList{},
		&PersonalDataMap{}, &PersonalDataMapList{},
		&RetentionPolicy{}, &RetentionPolicyList{},
		&LegalHold{}, &LegalHoldList{},
		&ErasureRequest{}, &ErasureRequestList{},
		&DeletionRun{}, &DeletionRunList{},
		&ErasureCertificate{}, &ErasureCertificateList{},
		&ComplianceExport{}, &ComplianceExportList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
