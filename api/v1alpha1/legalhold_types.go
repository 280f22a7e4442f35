package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HoldSelector selects records of one entity.
type HoldSelector struct {
	// map that has the entity.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Map string `json:"map,omitempty"`

	// entity whose records are held.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Entity string `json:"entity,omitempty"`

	// conditions that a held record meets. All must hold; none means every record of the entity.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Conditions []Condition `json:"conditions,omitempty"`
}

// LegalHoldSpec says what must not be deleted. A hold covers every subject that it names, whole, and every record that
// it selects.
// +kubebuilder:validation:XValidation:rule="has(self.subjects) && size(self.subjects) > 0 || has(self.records) && size(self.records) > 0",message="a hold names subjects or selects records"
// +kubebuilder:validation:XValidation:rule="!oldSelf.lifted || self.lifted",message="a lifted hold stays lifted; place a new one"
// +kubebuilder:validation:XValidation:rule="has(self.subjects) == has(oldSelf.subjects) && (!has(self.subjects) || self.subjects == oldSelf.subjects)",message="subjects of a hold cannot change; place another hold, or lift this one"
// +kubebuilder:validation:XValidation:rule="has(self.records) == has(oldSelf.records) && (!has(self.records) || self.records == oldSelf.records)",message="records of a hold cannot change; place another hold, or lift this one"
type LegalHoldSpec struct {
	// subjects that are held, by the application's opaque ids as in an ErasureRequest.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=1000
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[^@\s]+$`
	Subjects []string `json:"subjects,omitempty"`

	// records that are held, of every subject.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Records []HoldSelector `json:"records,omitempty"`

	// reason of the hold, at most 256 characters; no personal data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^@[:space:]]+@[^@[:space:]]+')",message="reason must not hold an e-mail address: Kubernetes objects are kept in etcd, Git and audit logs"
	Reason string `json:"reason,omitempty"`

	// placedBy names who placed the hold, for example a department or matter number; no personal data of subjects.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PlacedBy string `json:"placedBy,omitempty"`

	// expectedUntil is when the hold is expected to end. It does not end by itself: only lifted ends it.
	// +optional
	ExpectedUntil *metav1.Time `json:"expectedUntil,omitempty"`

	// lifted ends the hold. Deleting the object does not.
	// +optional
	// +kubebuilder:default=false
	Lifted bool `json:"lifted"`
}

// LegalHoldStatus is the state of the hold.
type LegalHoldStatus struct {
	// observedGeneration is the generation that the status speaks of; -1 until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions of the hold. Ready is True once the hold is in force, with reason InForce, or once it is lifted, with reason Lifted.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// inForceSince is when the hold came into force.
	// +optional
	InForceSince *metav1.Time `json:"inForceSince,omitempty"`

	// liftedAt is when the hold ended.
	// +optional
	LiftedAt *metav1.Time `json:"liftedAt,omitempty"`
}

// LegalHold keeps data from being deleted until it is lifted. A hold always wins.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=lhold,categories=privacy
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.inForceSince`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type LegalHold struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is held.
	// +required
	Spec LegalHoldSpec `json:"spec,omitzero"`

	// status is the state of the hold.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status LegalHoldStatus `json:"status,omitzero"`
}

// LegalHoldList is a list of LegalHolds.
// +kubebuilder:object:root=true
type LegalHoldList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []LegalHold `json:"items"`
}
