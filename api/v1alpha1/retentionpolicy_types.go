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

const (
	// DefaultNotice before an automatic deletion where the policy says nothing else.
	DefaultNotice = "P30D"
	// DefaultConsentResponse is how long a person has to answer where the policy says nothing else.
	DefaultConsentResponse = "P10D"
)

// RuleAction is what a rule does to records whose time has come.
// +kubebuilder:validation:Enum=Delete;Anonymize;Archive;Mark;EraseSubject
type RuleAction string

const (
	// RuleDelete removes the records with all that belongs to them: Deep children, files, keys.
	RuleDelete RuleAction = "Delete"
	// RuleAnonymize overwrites fields and keeps the records.
	RuleAnonymize RuleAction = "Anonymize"
	// RuleArchive moves the records to another store, where they are purged after the archive retention.
	RuleArchive RuleAction = "Archive"
	// RuleMark sets columns and changes nothing else, a stage of a chain for example.
	RuleMark RuleAction = "Mark"
	// RuleEraseSubject erases the whole person, as an ErasureRequest does, for each record of a root entity.
	RuleEraseSubject RuleAction = "EraseSubject"
)

// RetentionRule says when records have to go.
// +kubebuilder:validation:ExactlyOneOf=entity;category
// +kubebuilder:validation:ExactlyOneOf=clock;after
// +kubebuilder:validation:XValidation:rule="self.action in ['Anonymize','Mark'] || !has(self.fields) || size(self.fields) == 0",message="fields belong to the actions Anonymize and Mark"
// +kubebuilder:validation:XValidation:rule="self.action != 'Mark' || has(self.fields) && size(self.fields) > 0 || has(self.stamp)",message="action Mark needs fields or a stamp"
// +kubebuilder:validation:XValidation:rule="!has(self.stamp) || self.action in ['Anonymize','Mark']",message="stamp belongs to the actions Anonymize and Mark: other actions leave no record that could have it"
// +kubebuilder:validation:XValidation:rule="has(self.archiveTo) == (self.action == 'Archive')",message="archiveTo belongs to the action Archive, and Archive needs it"
type RetentionRule struct {
	// name of the rule within the policy.
	// +required
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// entity that the rule is for, as map/entity.
	// +optional
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:Pattern=`^[^/]+/[^/]+$`
	Entity string `json:"entity,omitempty"`

	// category that the rule is for: every entity of this category in the maps of the namespace that no rule names by entity.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Category string `json:"category,omitempty"`

	// clock of the entity, as the map names it, from which the period counts. A record without a readable time, or with one in
	// the future, stays and is counted in status.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Clock string `json:"clock,omitempty"`

	// after is the rule of this policy from whose time the period counts: the stage before. It is for the same entity, or for a
	// parent of it. The time is in the stamp of that rule.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	After string `json:"after,omitempty"`

	// period as ISO 8601, counted on the calendar in UTC, for example P6M. It must be within the bounds of the map's clock.
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="period must be ISO 8601 in years, months, weeks and days, for example P6M"
	Period string `json:"period,omitempty"`

	// minPeriod and maxPeriod bound the period of a rule that counts after another one; a clock has its bounds in the map.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="minPeriod must be ISO 8601 in years, months, weeks and days, for example P3M"
	MinPeriod string `json:"minPeriod,omitempty"`

	// maxPeriod bounds the period of a rule that counts after another one.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="maxPeriod must be ISO 8601 in years, months, weeks and days, for example P3Y"
	MaxPeriod string `json:"maxPeriod,omitempty"`

	// conditions that a record must meet for the rule to be about it. All must hold; none means every record.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Conditions []Condition `json:"conditions,omitempty"`

	// unless are conditions that keep a record, whatever its age: any of them is enough, for example status In (Invited, Applied).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Unless []Condition `json:"unless,omitempty"`

	// action on the records: Delete, Anonymize, Archive, Mark or EraseSubject. There is no default.
	// +required
	Action RuleAction `json:"action,omitempty"`

	// fields to overwrite for the actions Anonymize and Mark. Default for Anonymize: those of the entity in the map. Strategies
	// Null, Constant and TruncateDate.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Fields []FieldChange `json:"fields,omitempty"`

	// stamp is the column that gets the time at which the rule was applied. A record that has it is not treated again.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Stamp string `json:"stamp,omitempty"`

	// archiveTo is the DataStore that records are moved to, of kind filesystem or s3.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ArchiveTo string `json:"archiveTo,omitempty"`

	// archiveRetention is how long archived records stay before they are purged, ISO 8601. Default P30D.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="archiveRetention must be ISO 8601 in years, months, weeks and days, for example P30D"
	ArchiveRetention string `json:"archiveRetention,omitempty"`
}

// SweepSchedule says when to look for records whose time has come.
type SweepSchedule struct {
	// cron is a schedule of five fields (minute, hour, day of month, month, day of week), or @hourly, @daily, @weekly, @monthly.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	Cron string `json:"cron,omitempty"`

	// timeZone of the schedule by its name in the IANA database, for example Europe/Berlin. Default UTC.
	// +optional
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// NoticePolicy says how an automatic deletion is announced.
type NoticePolicy struct {
	// period between the announcement and the deletion, ISO 8601 in days. P0D deletes without notice. Default P30D, range P0D to
	// P180D.
	// +optional
	// +kubebuilder:default=P30D
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]|[1-9][0-9]|1[0-7][0-9]|180)D$')",message="notice.period must be between P0D and P180D, in whole days"
	Period string `json:"period,omitempty"`

	// maxPostponement is how far a run may be postponed beyond its announced time, in all, ISO 8601 in days. Default P90D, range
	// P0D to P365D.
	// +optional
	// +kubebuilder:default=P90D
	// +kubebuilder:validation:MaxLength=8
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]|[1-9][0-9]|[12][0-9][0-9]|3[0-5][0-9]|36[0-5])D$')",message="notice.maxPostponement must be between P0D and P365D, in whole days"
	MaxPostponement string `json:"maxPostponement,omitempty"`

	// tolerancePercent is by how much more records may be deleted than were announced, in percent; beyond it the run waits for a
	// confirmation. Default 10.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	TolerancePercent *int32 `json:"tolerancePercent,omitempty"`
}

// SweepLimits bound what one run may do. A run that would go beyond them waits for a confirmation.
type SweepLimits struct {
	// maxRecordsPerRun that a run may treat without a confirmation, dependants not counted. Default: no bound.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxRecordsPerRun int64 `json:"maxRecordsPerRun,omitempty"`

	// maxSharePercent of the entity's records that a run may treat without a confirmation. Default 20.
	// +optional
	// +kubebuilder:default=20
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxSharePercent int32 `json:"maxSharePercent,omitempty"`
}

// SweepThrottle says how hard a sweep may work.
type SweepThrottle struct {
	// batchSize is the most records in one transaction. Default 5000, range 1 to 20000.
	// +optional
	// +kubebuilder:default=5000
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=20000
	BatchSize int32 `json:"batchSize,omitempty"`

	// targetMilliseconds that one transaction should take: batches grow and shrink towards it. An application that writes a record
	// of a batch waits as long. Default 100, range 10 to 5000.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=5000
	TargetMilliseconds int32 `json:"targetMilliseconds,omitempty"`

	// dutyPercent is the share of time that a worker spends in transactions; it rests in between. Default 50, range 1 to 100.
	// +optional
	// +kubebuilder:default=50
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	DutyPercent int32 `json:"dutyPercent,omitempty"`

	// maxReplicaLagSeconds beyond which a sweep pauses. Default 10.
	// +optional
	// +kubebuilder:default=10
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	MaxReplicaLagSeconds int32 `json:"maxReplicaLagSeconds,omitempty"`
}

// ExecutionMode says where runs are executed.
// +kubebuilder:validation:Enum=Operator;Job
type ExecutionMode string

const (
	// ExecuteInOperator executes a run in the operator.
	ExecuteInOperator ExecutionMode = "Operator"
	// ExecuteAsJob executes a run as an indexed Kubernetes Job.
	ExecuteAsJob ExecutionMode = "Job"
)

// SweepExecution says where and by how many workers runs are executed.
type SweepExecution struct {
	// mode of the execution: Operator, or Job for an indexed Kubernetes Job, which needs a ledger in PostgreSQL. Default Operator.
	// +optional
	// +kubebuilder:default=Operator
	Mode ExecutionMode `json:"mode,omitempty"`

	// parallelism is the number of workers of a run, each with a part of the keys. Default 1, range 1 to 32.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	Parallelism int32 `json:"parallelism,omitempty"`
}

// ConsentPolicy makes erasures from what the maps tell of consent.
type ConsentPolicy struct {
	// responseTime that a person has to answer, ISO 8601. Without an answer the consent is expired and the erasure begins. Default
	// P10D.
	// +optional
	// +kubebuilder:default=P10D
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]+Y)?([0-9]+M)?([0-9]+W)?([0-9]+D)?$') && self != 'P'",message="responseTime must be ISO 8601 in years, months, weeks and days, for example P10D"
	ResponseTime string `json:"responseTime,omitempty"`
}

// RetentionPolicySpec says how long data may stay and how requests are handled.
// +kubebuilder:validation:XValidation:rule="!has(self.rules) || size(self.rules) == 0 || has(self.schedule)",message="rules need a schedule"
type RetentionPolicySpec struct {
	// requests says how erasure requests of the namespace are handled. At most one policy of a namespace has it: with two,
	// requests wait with reason AmbiguousPolicy. A change applies to new requests only.
	// +optional
	Requests *RequestPolicy `json:"requests,omitempty"`

	// consent makes erasures from what the maps tell of consent. At most one policy of a namespace has it. Default: none are made.
	// +optional
	Consent *ConsentPolicy `json:"consent,omitempty"`

	// rules by which records go when their time has come.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Rules []RetentionRule `json:"rules,omitempty"`

	// schedule on which the rules are applied. Rules need one.
	// +optional
	Schedule *SweepSchedule `json:"schedule,omitempty"`

	// suspend stops the schedule, and runs of the rules before their next batch. Default false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// dryRun makes the schedule count and report, and delete nothing. Default false.
	// +optional
	DryRun bool `json:"dryRun,omitempty"`

	// notice before an automatic deletion. Default 30 days.
	// +optional
	Notice *NoticePolicy `json:"notice,omitempty"`

	// limits of one run.
	// +optional
	Limits *SweepLimits `json:"limits,omitempty"`

	// throttle of the work on a store.
	// +optional
	Throttle *SweepThrottle `json:"throttle,omitempty"`

	// execution of runs.
	// +optional
	Execution *SweepExecution `json:"execution,omitempty"`
}

// RuleStatus tells what a rule finds. Counts are those of the last sweep.
type RuleStatus struct {
	// name of the rule.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=40
	Name string `json:"name,omitempty"`

	// due records, by now.
	// +optional
	Due int64 `json:"due"`

	// upcoming records that fall due within the notice period.
	// +optional
	Upcoming int64 `json:"upcoming"`

	// kept records whose period has passed, but which something keeps.
	// +optional
	Kept int64 `json:"kept,omitempty"`

	// withoutClock are records whose clock is empty or cannot be read; they stay.
	// +optional
	WithoutClock int64 `json:"withoutClock,omitempty"`

	// inFuture are records whose clock is in the future; they stay.
	// +optional
	InFuture int64 `json:"inFuture,omitempty"`

	// announcedUntil is up to when what falls due has been announced by runs.
	// +optional
	AnnouncedUntil *metav1.Time `json:"announcedUntil,omitempty"`

	// reason why the rule cannot be applied; empty where it can.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message on the reason.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// RetentionPolicyStatus is what Lethe found.
type RetentionPolicyStatus struct {
	// observedGeneration is the generation that the status speaks of; -1 until the operator has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// lastSweep is when the schedule was last followed.
	// +optional
	LastSweep *metav1.Time `json:"lastSweep,omitempty"`

	// nextSweep is when it is followed next.
	// +optional
	NextSweep *metav1.Time `json:"nextSweep,omitempty"`

	// acknowledgedSweep repeats the annotation privacy.lethe.dev/sweep that was followed last.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	AcknowledgedSweep string `json:"acknowledgedSweep,omitempty"`

	// rules and what they find.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Rules []RuleStatus `json:"rules,omitempty"`

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
// +kubebuilder:storageversion
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=retentionpolicies,shortName=rpol,categories=privacy
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Grace",type=string,JSONPath=`.spec.requests.gracePeriod`
// +kubebuilder:printcolumn:name="Archive",type=string,JSONPath=`.spec.requests.archiveRetention`
// +kubebuilder:printcolumn:name="Approval",type=boolean,JSONPath=`.spec.requests.approval.required`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextSweep`
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
	// +kubebuilder:default={observedGeneration:-1}
	Status RetentionPolicyStatus `json:"status,omitzero"`
}

// RetentionPolicyList is a list of RetentionPolicies.
// +kubebuilder:object:root=true
type RetentionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []RetentionPolicy `json:"items"`
}
