package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Source says where a request comes from. It is a claim of the requester, never a reason to skip approval.
// +kubebuilder:validation:Enum=Subject;Admin;API;ConsentWithdrawn;ConsentDeclined;ConsentExpired;Retention
type Source string

// Sources of requests.
const (
	SourceSubject          Source = "Subject"
	SourceAdmin            Source = "Admin"
	SourceAPI              Source = "API"
	SourceConsentWithdrawn Source = "ConsentWithdrawn"
	SourceConsentDeclined  Source = "ConsentDeclined"
	SourceConsentExpired   Source = "ConsentExpired"
	SourceRetention        Source = "Retention"
)

// Timing of the deletion.
// +kubebuilder:validation:Enum=AfterGracePeriod;Immediate
type Timing string

const (
	// TimingAfterGracePeriod deletes when the policy's grace period has passed.
	TimingAfterGracePeriod Timing = "AfterGracePeriod"
	// TimingImmediate deletes as soon as checks and approval have passed.
	TimingImmediate Timing = "Immediate"
)

// Phase in the words of the product: Pending, Completed, Cancelled or Failed. The finer stage is the reason of Ready.
// +kubebuilder:validation:Enum=Pending;Completed;Cancelled;Failed
type Phase string

// Phases.
const (
	PhasePending   Phase = "Pending"
	PhaseCompleted Phase = "Completed"
	PhaseCancelled Phase = "Cancelled"
	PhaseFailed    Phase = "Failed"
)

// Finished tells whether a phase is final.
func (p Phase) Finished() bool { return p == PhaseCompleted || p == PhaseCancelled }

// Subject is the person whose data it is.
// +kubebuilder:validation:XValidation:rule="!has(self.identitiesFromRecords) || !self.identitiesFromRecords || !has(self.identitiesSecretRef)",message="identities come from a Secret or from the records; give one of identitiesSecretRef and identitiesFromRecords"
type Subject struct {
	// id of the subject in the application: opaque, never an e-mail address or a name. 1 to 253 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.contains('@')",message="subject.id must be an opaque id of the application, not an e-mail address: Kubernetes objects are kept in etcd, Git and audit logs. Put the address into a Secret of type privacy.lethe.dev/identities"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[[:space:][:cntrl:]]')",message="subject.id must not hold white space or control characters"
	ID string `json:"id,omitempty"`

	// identitiesSecretRef names a Secret of type privacy.lethe.dev/identities whose annotation privacy.lethe.dev/request
	// names this request. Each key is an identity (for example email), each value holds one value a line. The Secret is
	// destroyed when the request is finished.
	// +optional
	IdentitiesSecretRef *LocalReference `json:"identitiesSecretRef,omitempty"`

	// identitiesFromRecords takes the identities from the root records that the id leads to: each column by which the maps
	// identify such a record gives the identity of that name. Requests that the operator makes have it. Default false.
	// +optional
	IdentitiesFromRecords bool `json:"identitiesFromRecords,omitempty"`
}

// ErasureRequestSpec asks to erase one subject.
// +kubebuilder:validation:XValidation:rule="self.subject == oldSelf.subject",message="subject cannot change; cancel this request and create another one"
// +kubebuilder:validation:XValidation:rule="has(self.scope) == has(oldSelf.scope) && (!has(self.scope) || self.scope == oldSelf.scope)",message="scope cannot change; cancel this request and create another one"
// +kubebuilder:validation:XValidation:rule="self.source == oldSelf.source",message="source cannot change"
// +kubebuilder:validation:XValidation:rule="!oldSelf.cancelled || self.cancelled",message="a cancelled request stays cancelled; create another one"
// +kubebuilder:validation:XValidation:rule="!oldSelf.approved || self.approved",message="an approval cannot be taken back; set cancelled instead"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.force) && oldSelf.force) || has(self.force) && self.force",message="force cannot be taken back; set cancelled instead"
// +kubebuilder:validation:XValidation:rule="oldSelf.timing == self.timing || self.timing == 'Immediate'",message="timing may only change to Immediate"
type ErasureRequestSpec struct {
	// subject to erase.
	// +required
	Subject Subject `json:"subject,omitzero"`

	// scope is a named part of the maps. Default: everything.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`
	Scope string `json:"scope,omitempty"`

	// source of the request. Default API.
	// +optional
	// +kubebuilder:default=API
	Source Source `json:"source,omitempty"`

	// note for the record, at most 256 characters; no personal data.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="!self.matches('[^@[:space:]]+@[^@[:space:]]+')",message="note must not hold an e-mail address: Kubernetes objects are kept in etcd, Git and audit logs"
	Note string `json:"note,omitempty"`

	// timing of the deletion: AfterGracePeriod or Immediate. Default AfterGracePeriod.
	// +optional
	// +kubebuilder:default=AfterGracePeriod
	Timing Timing `json:"timing,omitempty"`

	// force erases although a process of the subject is active. It needs the verb force, which admission checks; without
	// admission it is not followed. Default false.
	// +optional
	Force bool `json:"force,omitempty"`

	// approved by a person who may; needed where the policy demands approval, and after an active process has ended.
	// +optional
	// +kubebuilder:default=false
	Approved bool `json:"approved"`

	// cancelled ends the request while it is Pending and reactivates the subject. Once processing has begun nothing
	// cancels it.
	// +optional
	// +kubebuilder:default=false
	Cancelled bool `json:"cancelled"`
}

// PolicySnapshot is the policy that applies to a request; later changes of the policy do not.
type PolicySnapshot struct {
	// name of the RetentionPolicy; empty where the defaults apply.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// generation of the RetentionPolicy.
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// gracePeriod as ISO 8601.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	GracePeriod string `json:"gracePeriod,omitempty"`

	// archiveRetention as ISO 8601.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	ArchiveRetention string `json:"archiveRetention,omitempty"`

	// approvalRequired by the policy.
	// +optional
	ApprovalRequired bool `json:"approvalRequired,omitempty"`

	// fourEyes is true where the approver must not be the requester.
	// +optional
	FourEyes bool `json:"fourEyes,omitempty"`
}

// RetainedData is data that a law or a hold keeps.
type RetainedData struct {
	// category of the data.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Category string `json:"category,omitempty"`

	// entity as map/entity.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Entity string `json:"entity,omitempty"`

	// count of records.
	// +required
	Count int64 `json:"count,omitempty"`

	// basis on which they are kept.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Basis string `json:"basis,omitempty"`

	// until is when they are deleted; absent while a hold without an end keeps them.
	// +optional
	Until *metav1.Time `json:"until,omitempty"`
}

// StageTransition is one step of a request's history.
type StageTransition struct {
	// stage that was entered: a reason of the condition Ready.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Stage string `json:"stage,omitempty"`

	// time of the transition.
	// +required
	Time metav1.Time `json:"time,omitzero"`
}

// MapReference pins a map.
type MapReference struct {
	// name of the PersonalDataMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid of the PersonalDataMap.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// generation of the PersonalDataMap.
	// +optional
	Generation int64 `json:"generation,omitempty"`
}

// CertificateReference names the newest certificate of a request.
type CertificateReference struct {
	// name of the ErasureCertificate.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// number counts the certificates of the request from 1.
	// +required
	// +kubebuilder:validation:Minimum=1
	Number int64 `json:"number,omitempty"`

	// digest of the certificate as the ledger's entry holds it, for example sha256:9f86d0...
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Digest string `json:"digest,omitempty"`

	// ledgerIndex is the place of the ledger's entry that commits to the certificate.
	// +required
	// +kubebuilder:validation:Minimum=0
	LedgerIndex int64 `json:"ledgerIndex"`

	// issuedAt is when the run ended.
	// +required
	IssuedAt metav1.Time `json:"issuedAt,omitzero"`
}

// AcknowledgedCommands repeats the nonces of the commands that were taken.
type AcknowledgedCommands struct {
	// retry nonce.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Retry string `json:"retry,omitempty"`

	// abandon nonce.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Abandon string `json:"abandon,omitempty"`

	// recheck nonce.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Recheck string `json:"recheck,omitempty"`
}

// ErasureRequestStatus tells how far the request is. Schedule and policy snapshot are a projection of the operator's
// state store: changing them here changes nothing.
type ErasureRequestStatus struct {
	// observedGeneration is the generation that the status speaks of; -1 until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// phase is Pending, Completed, Cancelled or Failed.
	// +optional
	Phase Phase `json:"phase,omitempty"`

	// conditions in the manner of kstatus, of the types Ready, Reconciling, Stalled, Erased, Approved, Deactivated, OverdueRisk, Notified.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// handle of the request in the ledger.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Handle string `json:"handle,omitempty"`

	// receivedAt is when Lethe first saw the request.
	// +optional
	ReceivedAt *metav1.Time `json:"receivedAt,omitempty"`

	// dueAt is the statutory due date: receipt plus one month (GDPR Art. 12(3)).
	// +optional
	DueAt *metav1.Time `json:"dueAt,omitempty"`

	// confirmedAt is when checks and approval had passed.
	// +optional
	ConfirmedAt *metav1.Time `json:"confirmedAt,omitempty"`

	// scheduledAt is when deletion begins; not one moment earlier.
	// +optional
	ScheduledAt *metav1.Time `json:"scheduledAt,omitempty"`

	// processingStartedAt is when processing began; from then on nothing cancels.
	// +optional
	ProcessingStartedAt *metav1.Time `json:"processingStartedAt,omitempty"`

	// finishedAt is when the request became Completed, Cancelled or Failed.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`

	// purgeAt is when this finished object is purged.
	// +optional
	PurgeAt *metav1.Time `json:"purgeAt,omitempty"`

	// policy that applies.
	// +optional
	Policy *PolicySnapshot `json:"policy,omitempty"`

	// maps that apply.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=50
	Maps []MapReference `json:"maps,omitempty"`

	// duplicateOf names the request that already covers the subject.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	DuplicateOf string `json:"duplicateOf,omitempty"`

	// run names the DeletionRun.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Run string `json:"run,omitempty"`

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

	// certificate of the erasure, the newest one.
	// +optional
	Certificate *CertificateReference `json:"certificate,omitempty"`

	// history of stages, the newest last, at most 20.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	History []StageTransition `json:"history,omitempty"`

	// acknowledged commands.
	// +optional
	Acknowledged AcknowledgedCommands `json:"acknowledged,omitzero"`
}

// ErasureRequest asks to erase the personal data of one subject.
//
// +kubebuilder:object:root=true
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=er,categories=privacy
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:selectablefield:JSONPath=`.spec.source`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Stage",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Source",type=string,JSONPath=`.spec.source`
// +kubebuilder:printcolumn:name="Scheduled",type=string,JSONPath=`.status.scheduledAt`
// +kubebuilder:printcolumn:name="Due",type=string,JSONPath=`.status.dueAt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="!self.spec.cancelled || oldSelf.spec.cancelled || !has(oldSelf.status) || !has(oldSelf.status.processingStartedAt)",message="processing has begun: nothing cancels this request any more"
type ErasureRequest struct {
	metav1.TypeMeta `json:",inline"`
	// metadata of the object.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec asks to erase a subject.
	// +required
	Spec ErasureRequestSpec `json:"spec,omitzero"`

	// status tells how far the request is.
	// +optional
	// +kubebuilder:default={observedGeneration:-1}
	Status ErasureRequestStatus `json:"status,omitzero"`
}

// ErasureRequestList is a list of ErasureRequests.
// +kubebuilder:object:root=true
type ErasureRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []ErasureRequest `json:"items"`
}
