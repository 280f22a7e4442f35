package v1alpha1

// Condition types. Ready, Reconciling and Stalled follow kstatus.
const (
	// ConditionReady is True when the object is fully reconciled: a finished request, a usable store, map, policy or hold.
	ConditionReady = "Ready"
	// ConditionReconciling is True while work on the object is still ahead.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when the object cannot proceed without a person.
	ConditionStalled = "Stalled"
	// ConditionErased is True when a re-query found nothing left of the subject that should be gone; False with reason
	// Retained while a legal basis keeps part of it.
	ConditionErased = "Erased"
	// ConditionApproved tells whether the request is approved and whether admission verified the approver.
	ConditionApproved = "Approved"
	// ConditionDeactivated is True while the subject is deactivated in the stores.
	ConditionDeactivated = "Deactivated"
	// ConditionOverdueRisk is True when the schedule is after, or the time has passed, the statutory due date.
	ConditionOverdueRisk = "OverdueRisk"
	// ConditionNotified tells whether the subject was notified.
	ConditionNotified = "Notified"
	// ConditionReachable tells whether a data store answers.
	ConditionReachable = "Reachable"
	// ConditionPrivileges tells whether the credentials of a data store suffice, and whether they are more than needed.
	ConditionPrivileges = "PrivilegesSufficient"
	// ConditionDrifted is True when the schemas are not those that a map was checked against when it was written.
	ConditionDrifted = "Drifted"
)

// Reasons of conditions and events.
const (
	ReasonReady                 = "Ready"
	ReasonReconciling           = "Reconciling"
	ReasonInvalidSpec           = "InvalidSpec"
	ReasonInUse                 = "InUse"
	ReasonInternalError         = "InternalError"
	ReasonLedgerUnavailable     = "LedgerUnavailable"
	ReasonClockDisagreement     = "ClockDisagreement"
	ReasonStoreUnreachable      = "StoreUnreachable"
	ReasonCredentialsMissing    = "CredentialsMissing"
	ReasonPrivilegesMissing     = "PrivilegesMissing"
	ReasonPrivilegesExcessive   = "PrivilegesExcessive"
	ReasonPrivilegesSufficient  = "PrivilegesSufficient"
	ReasonLocalRootMissing      = "LocalRootMissing"
	ReasonPathOutsideRoot       = "PathOutsideRoot"
	ReasonNameAmbiguous         = "NameAmbiguous"
	ReasonDocumentUnreadable    = "DocumentUnreadable"
	ReasonStoreNotReady         = "StoreNotReady"
	ReasonStoreNotFound         = "StoreNotFound"
	ReasonMapIncomplete         = "MapIncomplete"
	ReasonSchemaMismatch        = "SchemaMismatch"
	ReasonForeignKeyUncovered   = "ForeignKeyUncovered"
	ReasonEntityUnreachable     = "EntityUnreachable"
	ReasonCycle                 = "Cycle"
	ReasonIndexMissing          = "IndexMissing"
	ReasonSchemaDrift           = "SchemaDrift"
	ReasonSchemaUnchanged       = "SchemaUnchanged"
	ReasonPeriodOutOfRange      = "PeriodOutOfRange"
	ReasonEntityUnknown         = "EntityUnknown"
	ReasonClockUnknown          = "ClockUnknown"
	ReasonChainGap              = "ChainGap"
	ReasonRuleUnsupported       = "RuleUnsupported"
	ReasonScheduleInvalid       = "ScheduleInvalid"
	ReasonAdmissionRequired     = "AdmissionRequired"
	ReasonAmbiguousPolicy       = "AmbiguousPolicy"
	ReasonPolicyNotReady        = "PolicyNotReady"
	ReasonInForce               = "InForce"
	ReasonLifted                = "Lifted"
	ReasonNoMap                 = "NoMap"
	ReasonMapNotReady           = "MapNotReady"
	ReasonScopeUnknown          = "ScopeUnknown"
	ReasonIdentitiesMissing     = "IdentitiesMissing"
	ReasonIdentitiesRefused     = "IdentitiesRefused"
	ReasonSubjectIDRefused      = "SubjectIDRefused"
	ReasonSubjectNotFound       = "SubjectNotFound"
	ReasonSubjectAmbiguous      = "SubjectAmbiguous"
	ReasonDuplicate             = "Duplicate"
	ReasonAlreadyProcessed      = "AlreadyProcessed"
	ReasonProcessActive         = "ProcessActive"
	ReasonLegalHold             = "LegalHold"
	ReasonAwaitingApproval      = "AwaitingApproval"
	ReasonApproved              = "Approved"
	ReasonApprovedUnverified    = "ApprovedUnverified"
	ReasonApprovalNotRequired   = "ApprovalNotRequired"
	ReasonGracePeriod           = "GracePeriod"
	ReasonProcessing            = "Processing"
	ReasonRetrying              = "Retrying"
	ReasonErased                = "Erased"
	ReasonRetained              = "Retained"
	ReasonCancelled             = "Cancelled"
	ReasonReactivating          = "Reactivating"
	ReasonAbandoned             = "Abandoned"
	ReasonNamespaceDeleted      = "NamespaceDeleted"
	ReasonNotConfigured         = "NotConfigured"
	ReasonVerificationFailed    = "VerificationFailed"
	ReasonPlanTooLarge          = "PlanTooLarge"
	ReasonStoreRefused          = "StoreRefused"
	ReasonStoreChanged          = "StoreChanged"
	ReasonRequestGone           = "RequestGone"
	ReasonDryRun                = "DryRun"
	ReasonDryRunIncomplete      = "DryRunIncomplete"
	ReasonScheduledAfterDueDate = "ScheduledAfterDueDate"
	ReasonOverdue               = "Overdue"
	ReasonNothingDue            = "NothingDue"
	ReasonSealedMaterialMissing = "SealedMaterialMissing"
	ReasonDeactivated           = "Deactivated"
	ReasonReactivated           = "Reactivated"
	ReasonAwaitingRetainedData  = "AwaitingRetainedData"
	ReasonAwaitingOtherRequest  = "AwaitingOtherRequest"
	ReasonStateUnknown          = "StateUnknown"
	ReasonExported              = "Exported"
	ReasonPurged                = "Purged"
	ReasonExportTooLarge        = "ExportTooLarge"
	ReasonExportChanged         = "ExportChanged"
	ReasonExportStorageMissing  = "ExportStorageMissing"
	ReasonStorageFull           = "StorageFull"
	ReasonQuotaExceeded         = "QuotaExceeded"
	ReasonAlreadyExists         = "AlreadyExists"
	ReasonRequesterUnknown      = "RequesterUnknown"
	ReasonAnnounced             = "Announced"
	ReasonPostponed             = "Postponed"
	ReasonConfirmationNeeded    = "ConfirmationNeeded"
	ReasonMoreThanAnnounced     = "MoreThanAnnounced"
	ReasonShareLimit            = "ShareLimit"
	ReasonRecordLimit           = "RecordLimit"
	ReasonSuspended             = "Suspended"
	ReasonReplicaLag            = "ReplicaLag"
	ReasonNotificationFailed    = "NotificationFailed"
	ReasonRuleGone              = "RuleGone"
	ReasonRecordsLocked         = "RecordsLocked"
	ReasonSweepUnsupported      = "SweepUnsupported"
	ReasonPostponementTooLong   = "PostponementTooLong"
	ReasonSwept                 = "Swept"
	ReasonJobsUnavailable       = "JobsUnavailable"
	ReasonWorkersFailed         = "WorkersFailed"
)

// Annotations that repeat a command: a new value (a nonce) asks once more, status.acknowledged repeats the value when
// the command was taken.
const (
	AnnotationRetry   = "privacy.lethe.dev/retry"
	AnnotationAbandon = "privacy.lethe.dev/abandon"
	AnnotationRecheck = "privacy.lethe.dev/recheck"
	// AnnotationSweep on a RetentionPolicy follows its rules at once, beside the schedule.
	AnnotationSweep = "privacy.lethe.dev/sweep"
)

// AnnotationSuspend with the value true on a Namespace stops every run of a retention rule there before its next batch; on the
// operator's own namespace, everywhere.
const AnnotationSuspend = "privacy.lethe.dev/suspend"

const (
	// IdentitiesSecretType is the type of a Secret that holds a subject's identities.
	IdentitiesSecretType = "privacy.lethe.dev/identities"
	// AnnotationRequest names an ErasureRequest: on an identities' Secret the one that may use it, on the run of a residue
	// the one that left it.
	AnnotationRequest = "privacy.lethe.dev/request"
	// AnnotationRun is on the requests that a run for several people makes: the run's name and UID.
	AnnotationRun = "privacy.lethe.dev/run"
	// IdentityID is the identity that every request has: spec.subject.id.
	IdentityID = "id"
	// Finalizer keeps an object until Lethe has done what its end demands.
	Finalizer = "privacy.lethe.dev/finalizer"
)
