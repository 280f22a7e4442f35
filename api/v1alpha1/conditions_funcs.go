package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// GetConditions gives access to the conditions of the status.
func (o *DataStore) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// SetObservedGeneration says which generation the status speaks of.
func (o *DataStore) SetObservedGeneration(generation int64) { o.Status.ObservedGeneration = generation }

// GetConditions gives access to the conditions of the status.
func (o *PersonalDataMap) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// SetObservedGeneration says which generation the status speaks of.
func (o *PersonalDataMap) SetObservedGeneration(generation int64) {
	o.Status.ObservedGeneration = generation
}

// GetConditions gives access to the conditions of the status.
func (o *RetentionPolicy) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// SetObservedGeneration says which generation the status speaks of.
func (o *RetentionPolicy) SetObservedGeneration(generation int64) {
	o.Status.ObservedGeneration = generation
}

// GetConditions gives access to the conditions of the status.
func (o *LegalHold) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// SetObservedGeneration says which generation the status speaks of.
func (o *LegalHold) SetObservedGeneration(generation int64) { o.Status.ObservedGeneration = generation }

// GetConditions gives access to the conditions of the status.
func (o *ErasureRequest) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// SetObservedGeneration says which generation the status speaks of.
func (o *ErasureRequest) SetObservedGeneration(generation int64) {
	o.Status.ObservedGeneration = generation
}

// GetConditions gives access to the conditions of the status.
func (o *DeletionRun) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// SetObservedGeneration says which generation the status speaks of.
func (o *DeletionRun) SetObservedGeneration(generation int64) {
	o.Status.ObservedGeneration = generation
}

// GetConditions gives access to the conditions of the status.
func (o *ComplianceExport) GetConditions() *[]metav1.Condition { return &o.Status.Conditions }

// SetObservedGeneration says which generation the status speaks of.
func (o *ComplianceExport) SetObservedGeneration(generation int64) {
	o.Status.ObservedGeneration = generation
}

// knownReasons are all reasons that conditions of these kinds have.
var knownReasons = map[string]bool{
	ReasonReady: true, ReasonReconciling: true, ReasonInvalidSpec: true, ReasonInUse: true, ReasonInternalError: true,
	ReasonLedgerUnavailable: true, ReasonClockDisagreement: true, ReasonStoreUnreachable: true, ReasonCredentialsMissing: true,
	ReasonPrivilegesMissing: true, ReasonPrivilegesExcessive: true, ReasonPrivilegesSufficient: true, ReasonLocalRootMissing: true,
	ReasonPathOutsideRoot: true, ReasonNameAmbiguous: true, ReasonDocumentUnreadable: true, ReasonStoreNotReady: true,
	ReasonStoreNotFound: true, ReasonMapIncomplete: true, ReasonSchemaMismatch: true, ReasonForeignKeyUncovered: true,
	ReasonEntityUnreachable: true, ReasonCycle: true, ReasonIndexMissing: true, ReasonSchemaDrift: true,
	ReasonSchemaUnchanged: true, ReasonPeriodOutOfRange: true, ReasonEntityUnknown: true, ReasonClockUnknown: true,
	ReasonChainGap: true, ReasonRuleUnsupported: true, ReasonScheduleInvalid: true, ReasonAdmissionRequired: true,
	ReasonAmbiguousPolicy: true, ReasonPolicyNotReady: true, ReasonInForce: true, ReasonLifted: true, ReasonNoMap: true,
	ReasonMapNotReady: true, ReasonScopeUnknown: true, ReasonIdentitiesMissing: true, ReasonIdentitiesRefused: true,
	ReasonSubjectIDRefused: true, ReasonSubjectNotFound: true, ReasonSubjectAmbiguous: true, ReasonDuplicate: true,
	ReasonAlreadyProcessed: true, ReasonProcessActive: true, ReasonLegalHold: true, ReasonAwaitingApproval: true,
	ReasonApproved: true, ReasonApprovedUnverified: true, ReasonApprovalNotRequired: true, ReasonGracePeriod: true,
	ReasonProcessing: true, ReasonRetrying: true, ReasonErased: true, ReasonRetained: true, ReasonCancelled: true,
	ReasonReactivating: true, ReasonAbandoned: true, ReasonNamespaceDeleted: true, ReasonNotConfigured: true,
	ReasonVerificationFailed: true, ReasonPlanTooLarge: true, ReasonStoreRefused: true, ReasonStoreChanged: true,
	ReasonRequestGone: true, ReasonDryRun: true, ReasonDryRunIncomplete: true, ReasonScheduledAfterDueDate: true,
	ReasonOverdue: true, ReasonNothingDue: true, ReasonSealedMaterialMissing: true, ReasonDeactivated: true,
	ReasonReactivated: true, ReasonAwaitingRetainedData: true, ReasonAwaitingOtherRequest: true, ReasonStateUnknown: true,
	ReasonExported: true, ReasonPurged: true, ReasonExportTooLarge: true, ReasonExportChanged: true,
	ReasonExportStorageMissing: true, ReasonStorageFull: true, ReasonQuotaExceeded: true, ReasonAlreadyExists: true,
	ReasonRequesterUnknown: true, ReasonAnnounced: true, ReasonPostponed: true, ReasonConfirmationNeeded: true,
	ReasonMoreThanAnnounced: true, ReasonShareLimit: true, ReasonRecordLimit: true, ReasonSuspended: true, ReasonReplicaLag: true,
	ReasonRuleGone: true, ReasonRecordsLocked: true, ReasonSweepUnsupported: true, ReasonPostponementTooLong: true,
	ReasonSwept: true, ReasonJobsUnavailable: true, ReasonWorkersFailed: true, ReasonNotificationFailed: true,
}

// KnownReason tells whether a word is one of the reasons of conditions, so that it may stand where words of anybody may not.
func KnownReason(reason string) bool { return knownReasons[reason] }
