package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RequestReference names the ErasureRequest that a run executes.
type RequestReference struct {
	// name of the ErasureRequest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid of the ErasureRequest; a run for a request of the same name but another uid is refused. Required unless dryRun.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`
}

// ResidueReference names what a hold kept after an erasure and that is now due.
type ResidueReference struct {
	// id of the residue in the operator's state store.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	ID string `json:"id,omitempty"`
}

// DeletionRunSpec says what the run executes. Exactly one of request and residue is set.
// +kubebuilder:validation:ExactlyOneOf=request;residue
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a run cannot change; create another one"
// +kubebuilder:validation:XValidation:rule="!has(self.request) || (has(self.dryRun) && self.dryRun) || has(self.request.uid)",message="request.uid is required; the operator creates the runs of requests, people create dry runs"
// +kubebuilder:validation:XValidation:rule="!has(self.residue) || !has(self.dryRun) || !self.dryRun",message="dryRun is for requests"
type DeletionRunSpec struct {
	// request that the run executes.
	// +optional
	Request *RequestReference `json:"request,omitempty"`

	// residue that the run deletes.
	// +optional
	Residue *ResidueReference `json:"residue,omitempty"`

	// dryRun counts what would happen and changes nothing. Default false.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`
}

// StepState is the state of a step.
// +kubebuilder:validation:Enum=Pending;Running;Done;Skipped
type StepState string

// States of a step.
const (
	StepPending StepState = "Pending"
	StepRunning StepState = "Running"
	StepDone    StepState = "Done"
	StepSkipped StepState = "Skipped"
)

// RunStep is one step of a run.
type RunStep struct {
	// name of the step, for example records/ats or files/documents.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Name string `json:"name,omitempty"`

	// state of the step.
	// +required
	State StepState `json:"state,omitempty"`

	// reason of the state, for example NotConfigured.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// planned records or files.
	// +optional
	Planned int64 `json:"planned,omitempty"`

	// done records or files.
	// +optional
	Done int64 `json:"done,omitempty"`
}

// DeletionRunStatus tells how far the run is.
type DeletionRunStatus struct {
	// observedGeneration is the generation that the status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase is Pending, Completed, Cancelled or Failed.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// conditions in the manner of kstatus, of the types Ready, Reconciling, Stalled.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// planDigest is the SHA-256 of the plan in hexadecimal. The plan holds a random value, so the digest tells nothing of
	// its content.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	PlanDigest string `json:"planDigest,omitempty"`

	// planRevision counts the plans: a plan that no longer fits before or while it is executed is replaced or amended.
	// +optional
	PlanRevision int32 `json:"planRevision,omitempty"`

	// steps in their order.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=100
	Steps []RunStep `json:"steps,omitempty"`

	// progress as done/planned records and files.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Progress string `json:"progress,omitempty"`

	// attempts counts how often the run was started or resumed.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// startedAt is when the run began.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// finishedAt is when the run ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`

	// counts by category.
	// +optional
	// +listType=map
	// +listMapKey=category
	// +kubebuilder:validation:MaxItems=100
	Counts []CategoryCount `json:"counts,omitempty"`

	// retained data, on which basis and until when; at most 50 entries.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Retained []RetainedData `json:"retained,omitempty"`
}

// DeletionRun is one execution of a plan, all its resumptions and retries included.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=drun,categories=privacy
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.spec.request.name`
// +kubebuilder:printcolumn:name="DryRun",type=boolean,JSONPath=`.spec.dryRun`
// +kubebuilder:printcolumn:name="Progress",type=string,JSONPath=`.status.progress`
// +kubebuilder:printcolumn:name="Attempts",type=integer,JSONPath=`.status.attempts`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
type DeletionRun struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what the run executes.
	// +required
	Spec DeletionRunSpec `json:"spec,omitzero"`

	// status tells how far the run is.
	// +optional
	Status DeletionRunStatus `json:"status,omitzero"`
}

// DeletionRunList is a list of DeletionRuns.
// +kubebuilder:object:root=true
type DeletionRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []DeletionRun `json:"items"`
}
