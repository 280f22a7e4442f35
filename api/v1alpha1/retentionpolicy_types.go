package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

const (
	// DefaultGracePeriod applies where no policy says otherwise.
	DefaultGracePeriod = "P60D"
	// DefaultArchiveRetention applies where no policy says otherwise.
	DefaultArchiveRetention = "P30D"
)

// ApprovalPolicy says whether a person must approve an erasure.
type ApprovalPolicy struct {
	// required makes every request wait for spec.approved. Default false.
	// +optional
	Required bool `json:"required,omitempty"`

	// fourEyes demands that the approver is not the requester, and makes every request wait for spec.approved. It needs
	// admission, which verifies who asked and who approved: without it the policy is not Ready and requests wait. Default
	// false.
	// +optional
	FourEyes bool `json:"fourEyes,omitempty"`
}

// ActorNames says how people who act are named.
// +kubebuilder:validation:Enum=Full;Pseudonymous
type ActorNames string

// Ways to name actors.
const (
	ActorsFull         ActorNames = "Full"
	ActorsPseudonymous ActorNames = "Pseudonymous"
)

// RequestPolicy applies to the erasure requests of the namespace.
type RequestPolicy struct {
	// gracePeriod from confirmation to deletion, ISO 8601 in days. Default P60D, range P30D to P180D.
	// +optional
	// +kubebuilder:default=P60D
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="self.matches('^P(3[0-9]|[4-9][0-9]|1[0-7][0-9]|180)D$')",message="gracePeriod must be between P30D and P180D, in whole days"
	GracePeriod string `json:"gracePeriod,omitempty"`

	// archiveRetention is how long a finished request stays before it is purged, ISO 8601 in days. Default P30D, range
	// P30D to P180D.
	// +optional
	// +kubebuilder:default=P30D
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="self.matches('^P(3[0-9]|[4-9][0-9]|1[0-7][0-9]|180)D$')",message="archiveRetention must be between P30D and P180D, in whole days"
	ArchiveRetention string `json:"archiveRetention,omitempty"`

	// approval that a request needs.
	// +optional
	Approval ApprovalPolicy `json:"approval,omitzero"`

	// actors says how annotations and the ledger name who asked, approved or changed something: Full, or Pseudonymous, under
	// the namespace's pseudonym key. A change applies to what comes after it. Default Full.
	// +optional
	// +kubebuilder:default=Full
	Actors ActorNames `json:"actors,omitempty"`
}

// RetentionPolicySpec says how long data may stay and how requests are handled.
type RetentionPolicySpec struct {
	// requests says how erasure requests of the namespace are handled. At most one policy of a namespace has it: with two,
	// requests wait with reason AmbiguousPolicy. A change applies to new requests only.
	// +optional
	Requests *RequestPolicy `json:"requests,omitempty"`
}

// RetentionPolicyStatus is what Lethe found.
type RetentionPolicyStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions in the manner of kstatus, of the types Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RetentionPolicy says how long data may stay and how erasure requests of the namespace are handled.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=retentionpolicies,shortName=rpol,categories=privacy
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Grace",type=string,JSONPath=`.spec.requests.gracePeriod`
// +kubebuilder:printcolumn:name="Archive",type=string,JSONPath=`.spec.requests.archiveRetention`
// +kubebuilder:printcolumn:name="Approval",type=boolean,JSONPath=`.spec.requests.approval.required`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RetentionPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what applies.
	// +required
	Spec RetentionPolicySpec `json:"spec,omitzero"`

	// status is what Lethe found.
	// +optional
	Status RetentionPolicyStatus `json:"status,omitzero"`
}

// RetentionPolicyList is a list of RetentionPolicies.
// +kubebuilder:object:root=true
type RetentionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []RetentionPolicy `json:"items"`
}
