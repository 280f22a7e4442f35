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

// RetentionReference names the rule that a run applies.
type RetentionReference struct {
	// policy that has the rule.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Policy string `json:"policy,omitempty"`

	// policyUID of the policy; a rule of another policy of the same name is not applied. Required unless dryRun.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	PolicyUID string `json:"policyUID,omitempty"`

	// rule of the policy.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Rule string `json:"rule,omitempty"`

	// until is the time up to which records that fall due are treated. It is also when the run begins, unless it is confirmed
	// before or postponed. Required unless dryRun, where it is now by default.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// RunSubject is one of the people whose data a run erases.
type RunSubject struct {
	// id of the person: the application's opaque id, as in an ErasureRequest.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[^@\s]+$`
	ID string `json:"id,omitempty"`
}

// SubjectsReference names people whose data a run erases at once.
type SubjectsReference struct {
	// items are the people. Each gets an ErasureRequest of its own, with its certificate.
	// +required
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	Items []RunSubject `json:"items,omitempty"`

	// reason of the erasure, at most 256 characters; no personal data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^@[:space:]]+@[^@[:space:]]+')",message="reason must not hold an e-mail address: Kubernetes objects are kept in etcd, Git and audit logs"
	Reason string `json:"reason,omitempty"`

	// force erases although a process of a person is active. It needs the verb force on deletionruns, and is recorded. Default
	// false.
	// +optional
	Force bool `json:"force,omitempty"`
}

// RunConfirmation lets a run begin at once, and beyond its limits.
type RunConfirmation struct {
	// records is the most that may be treated; a run that would treat more waits again. status.announced.due tells how many are due.
	// +required
	// +kubebuilder:validation:Minimum=0
	Records int64 `json:"records"`
}

// RunPostponement lets a run begin later.
type RunPostponement struct {
	// to is when the run begins instead. It is within the bound of the policy's notice.
	// +required
	To metav1.Time `json:"to,omitzero"`

	// reason of the postponement, at most 256 characters; no personal data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^@[:space:]]+@[^@[:space:]]+')",message="reason must not hold an e-mail address: Kubernetes objects are kept in etcd, Git and audit logs"
	Reason string `json:"reason,omitempty"`
}

// DeletionRunSpec says what the run executes. Exactly one of request, residue, retention and subjects is set.
// +kubebuilder:validation:ExactlyOneOf=request;residue;retention;subjects
// +kubebuilder:validation:XValidation:rule="has(self.request) == has(oldSelf.request) && (!has(self.request) || self.request == oldSelf.request) && has(self.residue) == has(oldSelf.residue) && (!has(self.residue) || self.residue == oldSelf.residue) && has(self.retention) == has(oldSelf.retention) && (!has(self.retention) || self.retention == oldSelf.retention) && has(self.subjects) == has(oldSelf.subjects) && (!has(self.subjects) || self.subjects == oldSelf.subjects) && has(self.dryRun) == has(oldSelf.dryRun) && (!has(self.dryRun) || self.dryRun == oldSelf.dryRun)",message="what a run executes cannot change; create another one"
// +kubebuilder:validation:XValidation:rule="has(self.retention) || !has(self.confirmed) && !has(self.postponed)",message="only runs of retention rules are confirmed or postponed"
// +kubebuilder:validation:XValidation:rule="has(self.retention) || !has(self.cancelled) || !self.cancelled",message="only runs of retention rules are cancelled here; cancel the ErasureRequest instead"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.cancelled) && oldSelf.cancelled) || has(self.cancelled) && self.cancelled",message="a cancelled run stays cancelled"
// +kubebuilder:validation:XValidation:rule="!has(self.retention) || (has(self.dryRun) && self.dryRun) || has(self.retention.policyUID) && has(self.retention.until)",message="retention.policyUID and retention.until are required; the operator creates the runs of rules, people create dry runs"
// +kubebuilder:validation:XValidation:rule="!has(self.subjects) || !has(self.dryRun) || !self.dryRun",message="create dry runs for single requests; a run for several people has none"
// +kubebuilder:validation:XValidation:rule="!has(self.request) || (has(self.dryRun) && self.dryRun) || has(self.request.uid)",message="request.uid is required; the operator creates the runs of requests, people create dry runs"
// +kubebuilder:validation:XValidation:rule="!has(self.residue) || !has(self.dryRun) || !self.dryRun",message="dryRun is for requests"
type DeletionRunSpec struct {
	// request that the run executes.
	// +optional
	Request *RequestReference `json:"request,omitempty"`

	// residue that the run deletes.
	// +optional
	Residue *ResidueReference `json:"residue,omitempty"`

	// retention is the rule that the run applies.
	// +optional
	Retention *RetentionReference `json:"retention,omitempty"`

	// subjects are people whose data the run erases at once.
	// +optional
	Subjects *SubjectsReference `json:"subjects,omitempty"`

	// confirmed lets the run of a rule begin at once. It needs the verb approve on deletionruns.
	// +optional
	Confirmed *RunConfirmation `json:"confirmed,omitempty"`

	// postponed lets the run of a rule begin later. It needs the verb postpone on deletionruns.
	// +optional
	Postponed *RunPostponement `json:"postponed,omitempty"`

	// cancelled ends the run of a rule before it begins: what it announced is announced anew by the next sweep. It needs the verb
	// cancel on deletionruns. Default false.
	// +optional
	Cancelled bool `json:"cancelled,omitempty"`

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

// RequestCounts counts erasure requests by phase.
type RequestCounts struct {
	// pending requests.
	// +optional
	Pending int32 `json:"pending"`
	// completed requests.
	// +optional
	Completed int32 `json:"completed"`
	// cancelled requests.
	// +optional
	Cancelled int32 `json:"cancelled"`
	// failed requests.
	// +optional
	Failed int32 `json:"failed"`
}

// Announcement is what the run of a rule found when it was announced, or when it was looked at again.
type Announcement struct {
	// at is when it was counted.
	// +required
	At metav1.Time `json:"at,omitzero"`

	// due records at the run's time.
	// +required
	Due int64 `json:"due"`

	// total records of the entity.
	// +required
	Total int64 `json:"total"`
}

// ShardStatus tells how far one worker of a run is.
type ShardStatus struct {
	// index of the worker, from 0.
	// +required
	Index int32 `json:"index"`

	// state of its part.
	// +required
	State StepState `json:"state,omitempty"`

	// done records, dependants included.
	// +optional
	Done int64 `json:"done"`
}

// DeletionRunStatus tells how far the run is.
type DeletionRunStatus struct {
	// observedGeneration is the generation that the status speaks of; -1 until the operator has seen the object.
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

	// scheduledAt is when the run of a rule begins.
	// +optional
	ScheduledAt *metav1.Time `json:"scheduledAt,omitempty"`

	// announced is what the run of a rule was announced with.
	// +optional
	Announced *Announcement `json:"announced,omitempty"`

	// recordsPerSecond of a run that goes on, dependants included.
	// +optional
	RecordsPerSecond int64 `json:"recordsPerSecond,omitempty"`

	// estimatedEnd of a run that goes on.
	// +optional
	EstimatedEnd *metav1.Time `json:"estimatedEnd,omitempty"`

	// shards of a run with several workers.
	// +optional
	// +listType=map
	// +listMapKey=index
	// +kubebuilder:validation:MaxItems=32
	Shards []ShardStatus `json:"shards,omitempty"`

	// requests that the run of several people made, by phase.
	// +optional
	Requests *RequestCounts `json:"requests,omitempty"`

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
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=drun,categories=privacy
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.spec.request.name`
// +kubebuilder:printcolumn:name="Rule",type=string,JSONPath=`.spec.retention.rule`
// +kubebuilder:printcolumn:name="Scheduled",type=string,JSONPath=`.status.scheduledAt`
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
	// +kubebuilder:default={observedGeneration:-1}
	Status DeletionRunStatus `json:"status,omitzero"`
}

// DeletionRunList is a list of DeletionRuns.
// +kubebuilder:object:root=true
type DeletionRunList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []DeletionRun `json:"items"`
}
