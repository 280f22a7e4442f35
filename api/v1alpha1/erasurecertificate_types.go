package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ErasureCertificateSpec is a certificate of erasure. It holds no personal data: the request's random handle, counts, times
// and reasons.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a certificate is never changed"
type ErasureCertificateSpec struct {
	// number counts the certificates of a request from 1; each replaces the one before.
	// +required
	// +kubebuilder:validation:Minimum=1
	Number int64 `json:"number,omitempty"`

	// result is Erased, or Retained where a law or a hold keeps something.
	// +required
	// +kubebuilder:validation:Enum=Erased;Retained
	Result string `json:"result,omitempty"`

	// issuedAt is when the run ended.
	// +required
	IssuedAt metav1.Time `json:"issuedAt,omitzero"`

	// digest of the certificate as the ledger's entry holds it, for example sha256:9f86d0...
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`

	// ledgerIndex is the place of the ledger's entry that commits to the certificate.
	// +required
	// +kubebuilder:validation:Minimum=0
	LedgerIndex int64 `json:"ledgerIndex"`

	// document is the file that `lethe verify` checks: the certificate as JSON, the ledger's entry and its proof.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1000000
	Document string `json:"document,omitempty"`
}

// ErasureCertificate is what Lethe certifies of an erasure. The operator makes it; it goes with its request, or with the run
// that deleted what was retained.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:resource:shortName=ecert,categories=privacy
// +kubebuilder:selectablefield:JSONPath=`.spec.result`
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.metadata.labels.privacy\.lethe\.dev/request`
// +kubebuilder:printcolumn:name="No",type=integer,JSONPath=`.spec.number`
// +kubebuilder:printcolumn:name="Result",type=string,JSONPath=`.spec.result`
// +kubebuilder:printcolumn:name="Issued",type=string,JSONPath=`.spec.issuedAt`
// +kubebuilder:printcolumn:name="Digest",type=string,JSONPath=`.spec.digest`,priority=1
type ErasureCertificate struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the certificate.
	// +required
	Spec ErasureCertificateSpec `json:"spec,omitzero"`
}

// ErasureCertificateList is a list of ErasureCertificates.
// +kubebuilder:object:root=true
type ErasureCertificateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ErasureCertificate `json:"items"`
}
